"""What is deleted in a run bears a name that only Ganvas gives, and lies in the run."""

from __future__ import annotations

import os

import pytest
import torch

from ganvas.errors import UserError
from ganvas.io import leftovers, runs


@pytest.fixture
def run(tmp_path):
    return runs.create(tmp_path / "run", {"recipe": "tiny"})


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


OURS = (
    *(".settings.json.partial", ".log.jsonl.partial", ".losses.svg.partial", ".settings-until-00000004.json.partial"),
    *("checkpoints/.00000004.partial/networks.safetensors", "checkpoints/.00000002.deleted/state.json"),
    *("checkpoints/.latest.partial", "checkpoints/.best.json.partial", "previews/.ganvas-0123456789ab.part"),
    *(".ganvas-0123456789ab.part", "attachments/.styles.safetensors.partial"),
)
THEIRS = (
    *(".bashrc", ".ssh/id_rsa", "checkpoints/.bashrc", "checkpoints/.ssh/id_rsa", "checkpoints/.keep"),
    *("checkpoints/.4.partial", "checkpoints/.notes.partial", "checkpoints/.00000004.partial.bak"),
    *("previews/.hidden.png", "previews/.ganvas-mine.part", "attachments/.git/config", "checkpoints/2024/photo.jpg"),
    *("previews/00000004.png", "notes.partial", ".notes.partial"),
)


def test_only_names_of_ours_are_cleared(run):
    before = everything(run)
    for name in (*OURS, *THEIRS):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("x")
    leftovers.clear(run)
    left = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    assert left == {"settings.json", *THEIRS} and set(before) <= set(everything(run))


@pytest.mark.parametrize("name", leftovers.FOLDERS)
def test_nothing_is_cleared_through_a_link_and_the_run_is_refused(name, run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / ".00000004.partial").mkdir(parents=True)
    for file in (".bashrc", ".latest.partial", ".ganvas-0123456789ab.part", ".a.safetensors.partial"):
        (elsewhere / file).write_text("x")
    before = everything(elsewhere)
    if (run / name).is_dir():
        (run / name).rmdir()
    (run / name).symlink_to(elsewhere)
    leftovers.clear(run)
    assert everything(elsewhere) == before
    with pytest.raises(UserError, match=rf"{name} is a link to .*elsewhere"):
        leftovers.require_own(run)


@pytest.mark.parametrize("name", [*leftovers.FILES, "settings-until-00000004.json"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_file_of_the_run_that_is_a_link_or_a_pipe_is_refused(name, kind, run, tmp_path):
    (tmp_path / "other").write_text("x")
    (run / name).unlink(missing_ok=True)
    if kind == "link":
        (run / name).symlink_to(tmp_path / "other")
    else:
        os.mkfifo(run / name)
    with pytest.raises(UserError, match=r"is a link to|is no plain file"):
        leftovers.require_own(run)


def test_a_link_below_our_names_is_removed_and_what_it_leads_to_stays(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("x")
    (run / "checkpoints" / ".00000004.partial").symlink_to(elsewhere)
    (run / ".settings.json.partial").symlink_to(elsewhere / "file")
    leftovers.clear(run)
    assert everything(elsewhere) == ["file"] and everything(run / "checkpoints") == []
    assert not (run / ".settings.json.partial").is_symlink()


def test_nothing_is_written_through_a_link_that_waits_under_the_unfinished_name(run, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("x")
    (run / ".settings.json.partial").symlink_to(victim)
    runs.write_json(run / "settings.json", {"a": 1})
    (run / "attachments").mkdir()
    (run / "attachments" / ".styles.safetensors.partial").symlink_to(victim)
    runs.write_attachment(run, "styles", {"a": torch.ones(1)})
    assert victim.read_text() == "x" and runs.read_json(run / "settings.json") == {"a": 1}


def test_pruning_leaves_alone_what_is_no_checkpoint(run, tmp_path):
    for step in (1, 2, 3):
        runs.write_group(run, step, "networks", {"w": torch.ones(1)})
        runs.finish_checkpoint(run, step, {})
    (run / "checkpoints" / "2024").mkdir()
    (run / "checkpoints" / "٢٠٢٤٠١٠١").mkdir()
    (tmp_path / "backup").mkdir()
    (run / "checkpoints" / "20240101").symlink_to(tmp_path / "backup")
    runs.prune(run, {"00000003"})
    assert everything(run / "checkpoints") == [
        *("00000003", "00000003/networks.safetensors", "00000003/state.json"),
        *("2024", "20240101", "latest", "٢٠٢٤٠١٠١"),
    ]
    assert (tmp_path / "backup").is_dir()
