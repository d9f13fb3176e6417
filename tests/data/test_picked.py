"""A training on the pictures that a list names."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ganvas import cli
from ganvas.data.picked import pick
from ganvas.errors import UserError


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "sub/b.png", "c [1].png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)).save(path)
    return tmp_path / "photos"


def names(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("form", ["absolute", "below", "present"])
def test_what_the_list_names_is_taken(folder, tmp_path, monkeypatch, form):
    monkeypatch.chdir(tmp_path)
    before = {"absolute": f"{folder}/", "below": "", "present": "photos/"}[form]
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/keep.txt").write_text(f"# kept\n{before}sub/b.png\n\n{before}c [1].png\n")
    made = pick(folder, tmp_path / "lists/keep.txt")
    assert names(made) == ["c [1].png", "sub/b.png"] and made == tmp_path / "lists/keep-pictures"
    assert (made / "sub/b.png").read_bytes() == (folder / "sub/b.png").read_bytes()
    (tmp_path / "lists/keep.txt").write_text("a.png\n")
    assert names(pick("photos", "lists/keep.txt")) == ["a.png"]
    assert names(folder) == ["a.png", "c [1].png", "sub/b.png"]


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("gone.png\n", "not among"), ("../secret.png\n", "not among"), ("/etc/hosts\n", "not among")],
)
def test_lists_that_cannot_be(folder, tmp_path, text, said):
    (tmp_path / "secret.png").touch()
    (tmp_path / "keep.txt").write_text(text)
    with pytest.raises(UserError, match=said):
        pick(folder, tmp_path / "keep.txt")
    assert not (tmp_path / "keep-pictures").exists()


def test_a_folder_of_somebody_else_is_left_alone(folder, tmp_path):
    (tmp_path / "keep.txt").write_text("a.png\n")
    (tmp_path / "keep-pictures").mkdir()
    (tmp_path / "keep-pictures/mine.png").touch()
    with pytest.raises(UserError, match="exists already"):
        pick(folder, tmp_path / "keep.txt")
    assert names(tmp_path / "keep-pictures") == ["mine.png"]


def test_the_verb_trains_on_them(folder, tmp_path, capsys):
    for name in ("a.png", "sub/b.png"):
        Image.open(folder / name).resize((160, 160)).save(folder / name)
    (tmp_path / "keep.txt").write_text("a.png\nsub/b.png\n")
    words = ["train", "esrgan", "--data", str(folder), "--list", str(tmp_path / "keep.txt"), "--preset", "preview"]
    assert cli.main([*words, "--batch-size", "2", "--perceptual", "none", "--dry-run"]) == 0
    told = capsys.readouterr()
    assert "keep-pictures" in told.out and "c [1].png" not in told.out + told.err
    assert cli.main(["train", "--resume", str(tmp_path), "--list", str(tmp_path / "keep.txt")]) != 0
