"""Which files below a folder are data: links are followed, loops cut, and our own output is none."""

from __future__ import annotations

import pytest

from ganvas.io import fingerprints, folders


def put(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def found(root, **options):
    return [path.relative_to(root).as_posix() for path in folders.files(root, **options)]


def test_links_are_followed_and_loops_are_cut(tmp_path):
    put(tmp_path / "elsewhere" / "deep" / "b.png")
    root = tmp_path / "root"
    put(root / "a.png")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere" / "deep")
    (tmp_path / "elsewhere" / "loop").symlink_to(root)
    (root / "self").symlink_to(root)
    (root / "gone").symlink_to(tmp_path / "nowhere")
    # The deep folder is reached first by the name that sorts first.
    assert found(root) == ["a.png", "again/b.png"]
    assert found(root, recursive=False) == ["a.png"]


@pytest.mark.parametrize("depth", ["runs/00001-esrgan", "mine", "a/b/c"])
def test_runs_and_comparisons_below_are_no_data_but_a_folder_that_is_named_is(tmp_path, depth):
    put(tmp_path / "a.png")
    put(tmp_path / "settings.json")
    put(tmp_path / depth / "settings.json")
    put(tmp_path / depth / "previews" / "b.png")
    put(tmp_path / depth / "checkpoints" / "latest")
    put(tmp_path / "table" / "comparison.json")
    put(tmp_path / "table" / "previews.png")
    assert found(tmp_path) == ["a.png", "settings.json"]
    assert found(tmp_path / depth / "previews") == ["b.png"]


def test_what_systems_leave_is_no_data(tmp_path):
    for name in ("__MACOSX/._a.png", ".hidden/a.png", ".DS_Store", "Thumbs.db", "cat/desktop.ini"):
        put(tmp_path / name)
    put(tmp_path / "cat" / "a.png")
    put(tmp_path / "runs" / "1" / "settings.json")
    (tmp_path / "runs" / "1" / "checkpoints").mkdir()
    assert found(tmp_path) == ["cat/a.png"]
    assert [path.name for path in folders.subfolders(tmp_path)] == ["cat"]


def test_a_fingerprint_tells_names_contents_and_numbers_apart(tmp_path):
    for number in range(3):
        put(tmp_path / "d" / f"{number}.png", str(number))
    before = fingerprints.of(str(tmp_path / "d"))
    assert before["files"] == 3 and fingerprints.of(str(tmp_path / "d")) == before
    put(tmp_path / "d" / "1.png", "X")
    assert fingerprints.difference(before, fingerprints.of(str(tmp_path / "d"))).endswith("other contents")
    put(tmp_path / "d" / "1.png", "1")
    (tmp_path / "d" / "1.png").rename(tmp_path / "d" / "z.png")
    assert fingerprints.difference(before, fingerprints.of(str(tmp_path / "d"))) == "files of other names"
    put(tmp_path / "d" / "more.png")
    assert fingerprints.difference(before, fingerprints.of(str(tmp_path / "d"))) == "3 files then, 4 now"


def test_a_folder_that_moved_and_notes_beside_the_data_change_nothing(tmp_path):
    put(tmp_path / "d" / "sub" / "a.png")
    before = fingerprints.of(str(tmp_path / "d"))
    put(tmp_path / "d" / "README.md")
    (tmp_path / "d").rename(tmp_path / "e")
    assert fingerprints.of(str(tmp_path / "e")) == before
    assert fingerprints.of(f"picture={tmp_path / 'e'}") == before


def test_both_ends_of_a_large_file_count(tmp_path):
    path = tmp_path / "large.exr"
    content = bytearray(3 << 20)
    path.write_bytes(content)
    before = fingerprints.of(str(tmp_path))
    for place in (0, -1):
        changed = bytearray(content)
        changed[place] = 1
        path.write_bytes(changed)
        assert fingerprints.of(str(tmp_path)) != before


@pytest.mark.parametrize("text", ["", "drawn", "0.1", "a\0b", "x" * 5000, "a=b", "=,="])
def test_what_is_no_path_has_no_fingerprint(text):
    assert fingerprints.of(text) == {} and fingerprints.difference({}, {"files": 3}) == ""
