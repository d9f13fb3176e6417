"""A run that says anything at all: one line that names what is wrong, never a defect, and no memory for its claims."""

from __future__ import annotations

import copy
import json
import os
import shutil

import pytest
from tiny_runs import RECIPE, train

from ganvas import cli
from ganvas.io import recipe_files, runs

HUGE = 10**30
WRONG = (None, True, -1, HUGE, 1.5, "x", "", [], ["x"], {}, {"x": 1}, [[1]], float("nan"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    recipe_files.confirm(RECIPE)
    return train(tmp_path_factory.mktemp("runs") / "whole", data="drawn", val=True, score_every=4)


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "run")


def places(value, path=()):
    """Yield the path of every value within plain values."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key))


def changed(value, path, new):
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    if new is KeyError:
        del place[path[-1]]
    else:
        place[path[-1]] = new
    return value


def resume(run, capsys, *options):
    code = cli.main(["train", "--resume", str(run), "-q", *options])
    said = capsys.readouterr().err
    assert "defect" not in said, said
    assert code in (cli.DONE, cli.USER_ERROR, cli.USAGE) and (code == cli.DONE) == (said == ""), said
    assert said.count("\n") <= 1
    return code, said


def write_state(folder, state):
    """Write a state as an attacker would: with the right checksum."""
    state.pop("checksum", None)
    state = json.loads(json.dumps(state))
    (folder / "state.json").write_text(json.dumps({**state, "checksum": runs._checksum(state)}))


def wrongs(number):
    """Return what takes the place of the n-th field: nothing, or a value of another type, in turn; or all of them."""
    if os.environ.get("GANVAS_ALL_WRONGS"):
        return (KeyError, *WRONG)
    return ((KeyError, *WRONG)[(5 * number + 3) % (len(WRONG) + 1)],)


def test_every_field_of_the_settings_file_with_wrong_values(run, capsys):
    told = json.loads((run / "settings.json").read_text())
    for number, path in enumerate(places(told)):
        for new in wrongs(number):
            (run / "settings.json").write_text(json.dumps(changed(told, path, new)))
            resume(run, capsys)


def test_every_field_of_a_checkpoint_with_wrong_values(run, capsys):
    for folder in runs.checkpoints(run)[:-1]:
        shutil.rmtree(folder)
    (folder,) = runs.checkpoints(run)
    told = json.loads((folder / "state.json").read_text())
    kept = shutil.copytree(run, run.with_name("kept"))
    for number, path in enumerate(places(told)):
        for new in wrongs(number):
            write_state(folder, changed(told, path, new))
            resume(run, capsys)
            shutil.rmtree(run)
            shutil.copytree(kept, run)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a": ' * 5000, b"9" * 9999])
@pytest.mark.parametrize("name", ["settings.json", "state.json", "best.json", "latest", "log.jsonl"])
def test_files_with_anything_in_them(run, name, content, capsys):
    last = runs.checkpoints(run)[-1]
    place = {"state.json": last / name, "best.json": last.parent / name, "latest": last.parent / name}
    place.get(name, run / name).write_bytes(content)
    resume(run, capsys)


@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "link out", "link to a device", "nothing", "cut", "text"])
@pytest.mark.parametrize("name", ["networks.safetensors", "state.json"])
def test_a_file_of_a_checkpoint_that_is_none(run, kind, name, capsys, tmp_path):
    for folder in runs.checkpoints(run)[:-1]:
        shutil.rmtree(folder)
    (folder,) = runs.checkpoints(run)
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind.startswith("link") or kind == "device":
        (tmp_path / "other").write_bytes(content)
        file.symlink_to("/dev/zero" if "device" in kind else tmp_path / "other")
    elif kind != "nothing":
        file.write_bytes(content[:-9] if kind == "cut" else b"text")
    code, said = resume(run, capsys)
    assert code == cli.USER_ERROR and name in said and "no whole checkpoint" in said


@pytest.mark.parametrize(
    "absurd",
    [
        {"samples": HUGE},
        {"first_steps": 0, "second_steps": 0},
        {"batch_size": 10**9},
        {"workers": 10**6},
        {"threads": 10**9},
    ],
    ids=str,
)
def test_absurd_settings_take_no_memory(run, absurd, capsys):
    told = json.loads((run / "settings.json").read_text())
    told["settings"] |= absurd
    (run / "settings.json").write_text(json.dumps(told))
    code, _ = resume(run, capsys)
    assert code in (cli.USER_ERROR, cli.USAGE)
