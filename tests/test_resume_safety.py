"""A run folder is data: resuming executes no file because the folder names it, and deletes nothing of others."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ganvas import cli, launch
from ganvas.io import recipe_files
from ganvas.io.pictures import images
from ganvas.training import parallel

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    images.write(folder / "a.png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    return folder


def train(recipe, photos, run, steps=1):
    options = ["--data", str(photos), "--out", str(run), "--steps", str(steps), "--crop-px", "32", "--batch-size", "2"]
    assert cli.main(["train", str(recipe), *options, "-q"]) == cli.DONE
    return run


@pytest.fixture
def own(tmp_path, photos):
    """A run of a user's own recipe."""
    recipe = shutil.copy(ROOT / "examples/deblur.py", tmp_path / "deblur.py")
    return train(recipe, photos, tmp_path / "run")


def tamper(run, **fields):
    noted = json.loads((run / "settings.json").read_text())
    (run / "settings.json").write_text(json.dumps({**noted, **fields}))


@pytest.fixture
def evil(tmp_path):
    witness = tmp_path / "code ran"
    file = tmp_path / "run" / "evil.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"open({str(witness)!r}, 'w').close()\n{(ROOT / 'examples/deblur.py').read_text()}")
    return file, witness


@pytest.mark.parametrize("options", [[], ["--dry-run"], ["--help"], ["--gpus", "2"], ["--json", "-q"]])
@pytest.mark.parametrize("noted", ["no hash", "its hash", "another hash"])
def test_a_file_that_only_the_run_names_is_never_executed(own, evil, options, noted, capsys):
    file, witness = evil
    sha256 = {"no hash": "", "its hash": recipe_files.digest(file), "another hash": "0" * 64}[noted]
    tamper(own, recipe=str(file), recipe_sha256=sha256)
    assert cli.main(["train", "--resume", str(own), *options]) == cli.USER_ERROR
    assert not witness.exists()
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "was not run" in said and f"ganvas train {file} --resume {own}" in said


def test_the_users_own_file_is_gone_on_with_without_a_word(own):
    assert cli.main(["train", "--resume", str(own), "--steps", "2", "-q", "--allow-changes"]) == cli.DONE


def test_a_file_that_has_changed_must_be_named_and_is_then_run(own, tmp_path, capsys):
    recipe = tmp_path / "deblur.py"
    recipe.write_text(recipe.read_text() + "\n# Changed since.\n")
    assert cli.main(["train", "--resume", str(own), "-q"]) == cli.USER_ERROR
    assert f"It is not the file that {own} was trained with" in capsys.readouterr().err
    assert cli.main(["train", str(recipe), "--resume", str(own), "-q", "--allow-changes"]) == cli.DONE


def test_a_file_that_has_moved_is_named_where_it_is_now(own, tmp_path, capsys):
    moved = shutil.move(tmp_path / "deblur.py", tmp_path / "moved.py")
    assert cli.main(["train", "--resume", str(own), "-q"]) == cli.USER_ERROR
    assert "is not at hand" in capsys.readouterr().err
    assert cli.main(["train", str(moved), "--resume", str(own), "-q"]) == cli.DONE


def test_a_run_is_resumed_by_its_own_recipe_only(own, capsys):
    assert cli.main(["train", "esrgan", "--resume", str(own), "-q"]) == cli.USER_ERROR
    assert "was not trained by esrgan" in capsys.readouterr().err


def test_a_relative_path_is_resumed_from_anywhere(tmp_path, photos, monkeypatch):
    shutil.copy(ROOT / "examples/deblur.py", tmp_path / "deblur.py")
    monkeypatch.chdir(tmp_path)
    run = train("deblur.py", photos, tmp_path / "run")
    monkeypatch.chdir("/")
    assert launch.reorder(run).recipe == str(tmp_path / "deblur.py")


def test_hidden_files_behind_a_link_survive_a_resume(tmp_path, photos, capsys):
    run = train(ROOT / "examples/deblur.py", photos, tmp_path / "run")
    home = shutil.move(run / "checkpoints", tmp_path / "home")
    (Path(home) / ".ssh").mkdir()
    (Path(home) / ".ssh" / "id_rsa").write_text("key")
    (Path(home) / ".bashrc").write_text("x")
    (run / "checkpoints").symlink_to(home)
    before = sorted(Path(home).rglob("*"))
    assert cli.main(["train", "--resume", str(run), "-q"]) == cli.USER_ERROR
    assert "checkpoints is a link to" in capsys.readouterr().err
    assert sorted(Path(home).rglob("*")) == before


def test_ranks_import_nothing_from_the_working_folder(tmp_path, monkeypatch):
    started = []

    class Ended:
        def __init__(self, command, **options):
            started.append((command, options["env"]))

        def wait(self, timeout=None):
            return 0

    monkeypatch.setattr(parallel.subprocess, "Popen", Ended)
    assert parallel.launch(2, []) == 0
    ((_, environment),) = started
    (tmp_path / "colorsys.py").write_text("print('CODE RAN')")
    monkeypatch.undo()
    ran = subprocess.run(
        [sys.executable, "-m", "colorsys"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "CODE RAN" not in ran.stdout


# The data of a run


@pytest.fixture
def moving(tmp_path):
    """Photographs that a test may change."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        values = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        images.write(folder / f"{number}.png", values)
    return folder


def change(kind, folder):
    if kind == "content":
        values = images.read(folder / "1.png")[0]
        images.write(folder / "1.png", np.ascontiguousarray(values[::-1]), overwrite=True)
    elif kind == "name":
        (folder / "1.png").rename(folder / "z.png")
    else:
        shutil.copy(folder / "1.png", folder / "more.png")


@pytest.mark.parametrize(
    ("kind", "said"), [("content", "other contents"), ("name", "other names"), ("number", "3 files then, 4 now")]
)
def test_data_that_are_not_those_of_the_run_are_named(kind, said, moving, tmp_path, capsys):
    run = train(ROOT / "examples/deblur.py", moving, tmp_path / "run")
    change(kind, moving)
    assert cli.main(["train", "--resume", str(run), "-q"]) == cli.USER_ERROR
    assert f"the data: {'files of ' if 'other' in said else ''}" in (told := capsys.readouterr().err) and said in told
    assert cli.main(["train", "--resume", str(run), "-q", "--steps", "2", "--allow-changes"]) == cli.DONE
    assert cli.main(["train", "--resume", str(run), "-q"]) == cli.DONE


def test_data_that_only_moved_are_found_by_their_new_place(moving, tmp_path):
    run = train(ROOT / "examples/deblur.py", moving, tmp_path / "run")
    moved = shutil.move(moving, tmp_path / "elsewhere")
    assert cli.main(["train", "--resume", str(run), "-q", "--data", str(moved)]) == cli.DONE
    # And the run remembers.
    assert cli.main(["train", "--resume", str(run), "-q"]) == cli.DONE


def test_a_relative_folder_is_found_from_any_other(moving, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = train(ROOT / "examples/deblur.py", "photos", tmp_path / "run")
    monkeypatch.chdir("/")
    assert cli.main(["train", "--resume", str(run)]) == cli.DONE
    assert "kept as" not in capsys.readouterr().out


@pytest.mark.parametrize("val", ["photos", "./photos/../photos", "link", "photos/inner", ".", "copy"])
def test_a_validation_set_that_is_trained_on_is_refused(val, moving, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (moving / "inner").mkdir()
    shutil.copy(moving / "1.png", moving / "inner" / "x.png")
    (tmp_path / "link").symlink_to(moving)
    shutil.copytree(moving, tmp_path / "copy")
    arguments = ["--data", "photos", "--val", val, "--out", "run", "-q", "--crop-px", "32"]
    assert cli.main(["train", str(ROOT / "examples/deblur.py"), *arguments]) == cli.USER_ERROR
    assert "training data" in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("resumed", [False, True])
@pytest.mark.parametrize("option", ["data", "val"])
def test_a_path_that_cannot_even_be_looked_up_is_one_line(option, resumed, moving, tmp_path, capsys):
    run, path = tmp_path / "run", "a" * 5000
    arguments = ["train", str(ROOT / "examples/deblur.py"), "--data", str(moving), "--out", str(run), "-q"]
    options = [f"--{option}", path]
    if resumed:
        assert cli.main([*arguments, "--crop-px", "32", "--steps", "1"]) == cli.DONE
        said = json.loads((run / "settings.json").read_text())
        said["settings"][option] = path
        (run / "settings.json").write_text(json.dumps(said))
        arguments, options = ["train", "--resume", str(run)], []
    assert cli.main([*arguments, *options]) == cli.USER_ERROR
    complaint = capsys.readouterr().err
    assert "defect" not in complaint and "ganvas: " in complaint and run.exists() == resumed


@pytest.mark.parametrize("number", ["0", "-1"])
def test_a_number_of_processes_that_means_nothing_is_refused(number, moving, tmp_path, capsys):
    arguments = ["train", "esrgan", "--data", str(moving), "--out", str(tmp_path / "run"), "--gpus", number]
    assert cli.main(arguments) == cli.USAGE
    assert f"--gpus is {number}" in capsys.readouterr().err and not (tmp_path / "run").exists()
