"""The words of a command: any order, one name for one thing, earlier names, files of settings, an end by the clock."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ganvas import cli
from ganvas.cli import names
from ganvas.cli.arguments import options_of
from ganvas.io.pictures import images
from ganvas.recipes import base

TRAINED = ["--preset", "preview", "--pixel-steps", "2", "--steps", "0", "--batch-size", "2", "--pixel-crop-size", "32",
           "--crop-size", "32", "--device", "cpu", "--quiet"]  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    images.write(tmp_path / "photos" / "a.png", values)
    return tmp_path / "photos"


def noted(run):
    return json.loads((run / "settings.json").read_text())["settings"]


@pytest.fixture
def run(photos, tmp_path):
    assert cli.main(["train", "esrgan", "--data", str(photos), "--out", str(tmp_path / "run"), *TRAINED]) == cli.DONE
    return tmp_path / "run"


def test_the_recipe_may_stand_behind_its_options(photos, tmp_path):
    arguments = ["--data", str(photos), "--out", str(tmp_path / "run"), *TRAINED, "esrgan", "--seed", "7"]
    assert cli.main(["train", *arguments]) == cli.DONE
    settings = noted(tmp_path / "run")
    assert settings["seed"] == 7 and settings["pixel_crop_px"] == 32 and settings["gan_steps"] == 0


def test_earlier_names_are_understood_and_the_new_one_is_told(photos, tmp_path, capsys):
    old = ["--pixel-crop-px", "32", "--gan-steps", "0", "--pixel-steps", "1", "--batch-size", "2", "--crop_px", "32"]
    out = ["--out", str(tmp_path / "run"), "--preset", "preview"]
    assert cli.main(["train", "esrgan", "--data", str(photos), *out, *old]) == cli.DONE
    told = capsys.readouterr().err.splitlines()
    assert "ganvas: --gan-steps is called --steps now" in told and len(told) == 3
    assert cli.main(["shapes", str(tmp_path / "shapes"), "--size", "16x16", "--per-class", "1"]) == cli.DONE
    assert "--out" in capsys.readouterr().err and (tmp_path / "shapes").is_dir()


def test_a_model_may_stand_behind_its_options(tmp_path):
    assert cli.main(["generate", "--out", str(tmp_path / "a"), "--seeds", "3", "fashion", "--quiet"]) == cli.DONE
    assert cli.main(["generate", "fashion", "--out", str(tmp_path / "b"), "--seed", "3", "--quiet"]) == cli.DONE
    (first,), (second,) = (list((tmp_path / name).iterdir()) for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_a_list_before_a_file_does_not_swallow_it(tmp_path, photos, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo = str(photos / "a.png")
    assert cli.main(["upscale", "--model", "compact-x2", photo, "--out", "b.png", "--quiet"]) == cli.DONE
    assert images.read_header("b.png").width == 128
    assert cli.main(["upscale", "--variants", "contrast", photo, "--out", "c.png"]) == cli.USAGE  # no upres net
    assert cli.main(["inspect", "--ignore", "0", "255", photo]) == cli.DONE


@pytest.mark.parametrize("verb", [verb for verb in cli.VERBS if verb not in ("generate", "studio", "completion")])
def test_what_is_common_has_one_name_in_every_verb(verb, capsys):
    # The words are asked of the help page itself, which is read off the parser.
    assert cli.main(["help", verb, *(["esrgan"] if verb == "train" else [])]) == cli.DONE
    page = capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z0-9.-]*", page))
    assert not options & {"--number", "--size-px", "--camera", "--alpha-x", "--output", "--target", "--n", "--verbose"}
    if verb in ("world", "shapes", "faces", "convert", "pack", "blend", "export", "curate", "neighbours", "compare"):
        assert "--out" in options
    if verb not in ("recipes", "models", "gallery", "demo", "inspect", "export"):
        assert "-q" in page or "--quiet" in options, page
    assert max(map(len, page.splitlines())) <= 120
    assert not re.search(r"\bSTR\b|\{None\}|\[\w+ \[\w+ \.\.\.\]\]|default: ''", page)


@pytest.mark.parametrize("recipe", base.RECIPES)
def test_the_help_of_a_recipe_is_two_screens_and_hides_nothing(recipe, capsys):
    assert cli.main(["train", recipe, "--help"]) == cli.DONE
    short = capsys.readouterr().out
    assert cli.main(["train", recipe, "--help-all"]) == cli.DONE
    whole = capsys.readouterr().out
    kind = base.find(recipe)
    written = {
        name for option in options_of(kind.Settings, f"train {recipe}", kind.Settings()) for name in option.names
    }
    for name in written:
        positive = name.replace("--no-", "--").replace(".no-", ".")
        assert positive in short.replace("--no-", "--").replace(".no-", "."), name
        assert positive in whole.replace("--no-", "--").replace(".no-", "."), name
    assert len(short.splitlines()) <= 100 < len(whole.splitlines())
    assert short.index("settings that matter most") < short.index("\ndata:\n") < short.index("\nengine:\n")
    for preset in kind.PRESETS:
        assert re.search(rf"^  {preset}( \(default\))? ", short, re.MULTILINE), preset


def test_names_of_settings_are_fields_or_lead_to_one():
    for scope, shown in names.SHOWN.items():
        verb, _, recipe = scope.partition(" ")
        if verb == "train":
            fields = {
                option.field for option in options_of(base.find(recipe).Settings, "", base.find(recipe).Settings())
            }
            assert set(shown) <= fields, scope
            assert len({shown.get(field, field) for field in fields}) == len(fields), "two settings of one name"


def test_a_file_of_settings_trains_the_same(run, photos, tmp_path):
    again = tmp_path / "again"
    assert cli.main(["train", "--config", str(run / "settings.json"), "--out", str(again), "--quiet"]) == cli.DONE
    assert noted(again) == noted(run)
    first, second = ((one / "checkpoints").rglob("*.safetensors") for one in (run, again))
    assert [path.read_bytes() for path in sorted(first)] == [path.read_bytes() for path in sorted(second)]


@pytest.mark.parametrize("name", ["mine.json", "mine.toml"])
def test_a_written_file_of_settings(name, photos, tmp_path):
    settings = {"data": str(photos), "pixel_steps": 1, "batch_size": 2, "pixel_crop_px": 32, "crop_px": 32}
    if name.endswith("json"):
        text = json.dumps({"recipe": "esrgan", "preset": "preview", "settings": {**settings, "gan_steps": 0}})
    else:
        lines = [f"{key} = {json.dumps(value)}" for key, value in {**settings, "gan_steps": 0}.items()]
        text = 'recipe = "esrgan"\npreset = "preview"\n[settings]\n' + "\n".join(lines)
    (tmp_path / name).write_text(text)
    out = tmp_path / "run"
    assert cli.main(["train", "--config", str(tmp_path / name), "--out", str(out), "--seed", "5", "-q"]) == cli.DONE
    assert noted(out)["seed"] == 5 and noted(out)["batch_size"] == 2


@pytest.mark.parametrize("inside", ["run", "file"])
def test_a_file_of_settings_runs_no_code_of_a_recipe_that_it_names(inside, tmp_path, capsys):
    recipe, mark = tmp_path / "evil.py", tmp_path / "ran"
    recipe.write_text(f"open({str(mark)!r}, 'w').close()\n")
    values = {"recipe": str(recipe), "settings": {}}
    if inside == "run":
        values |= {"recipe_sha256": "0" * 64, "folder": str(tmp_path), "card": {}}
    (tmp_path / "c.json").write_text(json.dumps(values))
    assert cli.main(["train", "--config", str(tmp_path / "c.json"), "--out", str(tmp_path / "r")]) == cli.USER_ERROR
    assert "was not run" in capsys.readouterr().err and not mark.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "cannot be read"), ("[]", "no JSON object"), ('{"recipe": "esrgan", "presets": 1}', "Did you mean preset"),
     ('{"recipe": "esrgan", "settings": {"batchsize": 1}}', "batch_size"), ('{"settings": {}}', "names no recipe"),
     ('{"recipe": "esrgan", "settings": []}', "no table"), ('{"recipe": "esrgan", "init": "x"}', "no list")],
)  # fmt: skip
def test_a_file_of_settings_that_cannot_be_used(text, said, tmp_path, capsys):
    (tmp_path / "c.json").write_text(text)
    assert cli.main(["train", "--config", str(tmp_path / "c.json")]) == cli.USER_ERROR
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_minutes_end_a_training_which_can_be_resumed(photos, tmp_path):
    arguments = ["--data", str(photos), "--out", str(tmp_path / "run"), *TRAINED, "--pixel-steps", "100000"]
    began = time.monotonic()
    assert cli.main(["train", "esrgan", *arguments, "--minutes", "0.02"]) == cli.DONE
    assert time.monotonic() - began < 120
    steps = [int(path.name) for path in (tmp_path / "run" / "checkpoints").glob("0*")]
    assert 0 < max(steps) < 100_000
    resumed = ["train", "--resume", str(tmp_path / "run"), "--minutes", "0.02", "--quiet"]
    assert cli.main(resumed) == cli.DONE


def test_minutes_that_are_over_before_the_first_step_end_a_training_in_the_background(photos, tmp_path):
    # As a shell starts it: SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        arguments = ["--data", str(photos), "--out", str(tmp_path / "run"), *TRAINED, "--pixel-steps", "100000"]
        assert cli.main(["train", "esrgan", *arguments, "--minutes", "0.0001", "--quiet"]) == cli.DONE
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_picture_is_inspected(photos, capsys):
    assert cli.main(["inspect", str(photos / "a.png"), "--json"]) == cli.DONE
    facts = json.loads(capsys.readouterr().out)
    assert facts["size"] == "64 x 64" and facts["channels"] == "RGB" and "ganvas upscale" in facts["next"]


def test_outputs_that_exist_are_one_line(tmp_path, capsys):
    for number in range(12):
        (tmp_path / "ab").mkdir(exist_ok=True)
        images.write(tmp_path / "ab" / f"{number}.png", np.zeros((8, 16, 3), np.uint8))
    arguments = ["label", "split", str(tmp_path / "ab"), "--out", str(tmp_path / "halves")]
    assert cli.main(arguments) == cli.DONE
    capsys.readouterr()
    assert cli.main(arguments) == cli.USER_ERROR
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "--overwrite" in error and "11 more" in error


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_verbs_options_recipes_and_models(shell, capsys):
    assert cli.main(["completion", shell]) == cli.DONE
    script = capsys.readouterr().out
    for word in ("upscale", "skip-existing", "pixel-crop-size", "reverse_matchmove", "street-painter", "preview"):
        assert word in script, word


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [("tra", "train"), ("train esr", "esrgan"), ("upscale --model photo-x", "photo-x2"), ("help compl", "completion"),
     ("train esrgan --preset lap", "laptop"), ("world --fra", "--frames")],
)  # fmt: skip
def test_bash_completes(words, found, tmp_path, capsys):
    assert cli.main(["completion", "bash"]) == cli.DONE
    (tmp_path / "script").write_text(capsys.readouterr().out)
    typed = ["ganvas", *words.split(" ")]
    line = f"source {tmp_path / 'script'}; COMP_WORDS=({' '.join(typed)}); COMP_CWORD={len(typed) - 1}; _ganvas; "
    done = subprocess.run(["bash", "-c", line + 'echo "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True)
    assert found in done.stdout.split()


def test_a_run_noted_under_the_settings_names_resumes(run, tmp_path):
    # settings.json has the fields' own names, which no renaming of options touches.
    assert {"pixel_crop_px", "crop_px", "gan_steps"} <= set(noted(run))
    assert cli.main(["train", "--resume", str(run), "--pixel-steps", "3", "--quiet", "--allow-changes"]) == cli.DONE


def test_help_of_a_part_and_a_reader_that_goes_away():
    for words in (["help", "train", "esrgan"], ["help"]):
        script = f"import sys; from ganvas.cli import main; sys.exit(main({words!r}))"
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == "" and process.wait() == cli.DONE
