"""Previews say what they show, and a run keeps a bounded number: the first, the last, and evenly spread ones."""

from __future__ import annotations

import numpy as np
import pytest

from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import LINE_PX, NAMES_PX, captioned
from ganvas.recipes import base
from ganvas.training.previews import prune


def write(folder, steps, size=10):
    folder.mkdir(exist_ok=True)
    for step in steps:
        (folder / f"{step:08d}.png").write_bytes(b"x" * size)


def kept(folder):
    return sorted(int(path.stem) for path in folder.glob("*.png"))


@pytest.mark.parametrize("at_once", [False, True])
def test_few_previews_are_kept_and_they_are_spread(tmp_path, at_once):
    steps = range(250, 250 * 400 + 1, 250)
    for step in steps:
        write(tmp_path / "previews", [step])
        if not at_once:
            prune(tmp_path / "previews", most=20)
    prune(tmp_path / "previews", most=20)
    left = kept(tmp_path / "previews")
    assert len(left) == 20 and left[0] == 250 and left[-1] == 100_000
    # Evenly: no gap is more than three times the mean one.
    assert max(np.diff(left)) <= 3 * (100_000 - 250) / 19


def test_large_previews_are_bounded_by_their_bytes_and_other_files_stay(tmp_path):
    write(tmp_path, range(100, 1100, 100), size=1000)
    (tmp_path / "mine.png").write_bytes(b"x" * 9000)
    gone = prune(tmp_path, most=100, most_bytes=4000)
    assert kept_numbers(tmp_path) == [100, *kept_numbers(tmp_path)[1:-1], 1000] and len(kept_numbers(tmp_path)) == 4
    assert len(gone) == 6 and (tmp_path / "mine.png").exists()


def kept_numbers(folder):
    return sorted(int(path.stem) for path in folder.glob("*.png") if path.stem.isdecimal())


def test_a_small_sheet_is_enlarged_pixel_by_pixel_and_named():
    sheet = np.random.default_rng(0).integers(0, 256, (32, 96, 3), dtype=np.uint8)
    shown = captioned(sheet, ("low", "generated", "truth"), ("boot", "bag"))
    times = 4
    assert shown.shape == (32 * times + LINE_PX, 96 * times + NAMES_PX, 3)
    assert (shown[LINE_PX::times, NAMES_PX::times] == sheet).all()
    for column in range(3):  # each has letters
        assert shown[:LINE_PX, NAMES_PX + 128 * column : NAMES_PX + 128 * (column + 1)].max() > 100
    assert shown[LINE_PX:, :NAMES_PX].max() > 100
    large = np.zeros((20, 2000, 3), np.uint8)
    assert captioned(large).shape == large.shape


def test_every_recipe_with_parts_side_by_side_names_them():
    named = {name for name in base.RECIPES if base.find(name).SHOWN}
    assert named == set(base.RECIPES) - {"relativistic", "biggan"}


def test_a_run_writes_captioned_previews_and_prunes_them(tmp_path, monkeypatch):
    from ganvas import launch
    from ganvas.training import previews

    (tmp_path / "photos").mkdir()
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    images.write(tmp_path / "photos" / "a.png", values)
    monkeypatch.setattr(previews.prune, "__defaults__", (3, previews.MOST_BYTES))
    settings = {
        "pixel_steps": 6,
        "gan_steps": 0,
        "batch_size": 2,
        "pixel_crop_px": 32,
        "preview_every": 1,
        "threads": 1,
    }
    run = launch.train("esrgan", tmp_path / "photos", tmp_path / "run", preset="preview", settings=settings, quiet=True)
    left = kept(run / "previews")
    assert len(left) == 3 and left[0] == 1 and left[-1] == 6
    shown = images.read(run / "latest.png")[0]
    assert shown.shape[1] >= 192 and shown[:LINE_PX].max() > 100
