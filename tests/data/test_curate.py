"""Curating: each kind of spoiled picture, made by other libraries, is told from clean ones; nothing moves unasked."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data as samples

from ganvas import cli
from ganvas.data.curate import Entry, Limits, curate, measure, move_rejected, report
from ganvas.drawn.faces import face
from ganvas.errors import UserError


def drawn(seed: int) -> Image.Image:
    return Image.fromarray((face(seed, 192).picture * 255).astype(np.uint8))


def recoded(picture: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def half_tone(picture: Image.Image) -> Image.Image:
    gray = np.asarray(picture.convert("L"), float) / 255
    y, x = np.mgrid[0 : gray.shape[0], 0 : gray.shape[1]]
    screen = 0.5 + 0.25 * (np.sin((x + y) * 2 * np.pi / 5) + np.sin((x - y) * 2 * np.pi / 5))
    dots = (gray > screen)[..., None] * np.array([255, 240, 200])
    return Image.fromarray(dots.astype(np.uint8))


def cartoon() -> Image.Image:
    picture = np.full((192, 192, 3), (250, 240, 200), np.uint8)
    picture[40:150, 40:150] = (200, 60, 60)
    picture[60:100, 60:100] = (20, 20, 20)
    return Image.fromarray(picture)


SPOILED = {
    "blurred": lambda: drawn(20).filter(ImageFilter.GaussianBlur(4)),
    "blocks": lambda: recoded(drawn(21), 8),
    "gray": lambda: drawn(22).convert("L").convert("RGB"),
    "half-tone": lambda: half_tone(drawn(23)),
    "flat": lambda: cartoon(),
    "contrast": lambda: Image.fromarray((np.asarray(drawn(24)) * 0.1 + 100).astype(np.uint8)),
    "the same as": lambda: recoded(drawn(1), 90).resize((240, 240), Image.Resampling.BICUBIC),
    "small": lambda: drawn(25).resize((64, 64)),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder")
    (root / "sub").mkdir()
    for seed in range(8):
        drawn(seed).save(root / ("sub" if seed % 2 else ".") / f"clean{seed}.png")
    for name, make in SPOILED.items():
        make().save(root / f"{name}.png")
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    return root


@pytest.fixture(scope="module")
def entries(folder: Path) -> list[Entry]:
    return curate(folder, Limits(least_px=100))


@pytest.mark.parametrize("kind", SPOILED)
def test_each_kind_of_spoiled_picture_is_found_and_named(entries: list[Entry], kind: str) -> None:
    if kind == "the same as":
        # The larger of the two may be the one that stays.
        doubles = [entry for entry in entries if entry.name in (f"{kind}.png", "sub/clean1.png")]
        assert sorted(entry.is_kept for entry in doubles) == [False, True]
        assert any("the same as" in reason for entry in doubles for reason in entry.reasons)
        return
    found = next(entry for entry in entries if entry.name == f"{kind}.png")
    assert any(kind in reason for reason in found.reasons), (found.reasons, found.measures)


def test_clean_pictures_stay_first_and_broken_ones_are_told(entries: list[Entry]) -> None:
    clean = [entry for entry in entries if "clean" in entry.name and "clean1" not in entry.name]
    assert all(entry.is_kept for entry in clean), [(e.name, e.reasons) for e in clean]
    places = [entry.is_kept for entry in entries]
    assert places == sorted(places, reverse=True)
    kept = [entry.score for entry in entries if entry.is_kept]
    assert kept == sorted(kept, reverse=True)
    broken = next(entry for entry in entries if entry.name == "broken.png")
    assert broken.reasons[0].startswith("cannot be read")


def test_photographs_of_another_library_are_clean() -> None:
    for picture in (samples.astronaut(), samples.coffee(), samples.chelsea()):
        measured = measure(picture.astype(np.float32) / 255)
        limits = Limits()
        assert measured.sharpness > limits.sharpness and measured.contrast > limits.contrast
        assert measured.halftone < limits.halftone and measured.flatness < limits.flatness
        assert measured.blocks < limits.blocks and measured.color > limits.color


def test_measures_follow_what_they_are_called() -> None:
    picture = face(3, 192).picture
    blurs = [np.asarray(drawn(3).filter(ImageFilter.GaussianBlur(r)), np.float32) / 255 for r in (0.5, 1, 2, 4)]
    sharpness = [measure(picture).sharpness, *(measure(blurred).sharpness for blurred in blurs)]
    assert sharpness == sorted(sharpness, reverse=True)
    blocks = [measure(np.asarray(recoded(drawn(3), q), np.float32) / 255).blocks for q in (95, 30, 8)]
    assert blocks == sorted(blocks)
    assert measure(picture).contrast == pytest.approx(float((picture @ [0.299, 0.587, 0.114]).std()), rel=1e-4)


def test_the_report_lists_all_and_moves_nothing(folder: Path, entries: list[Entry], tmp_path: Path) -> None:
    before = sorted(folder.rglob("*"))
    page = report(entries, tmp_path / "report")
    text = page.read_text()
    assert all(entry.name in text for entry in entries)
    assert len(list((tmp_path / "report" / "thumbnails").iterdir())) == len(entries) - 1
    kept = (tmp_path / "report" / "keep.txt").read_text().splitlines()
    assert kept == [str(entry.path) for entry in entries if entry.is_kept]
    assert sorted(folder.rglob("*")) == before
    with pytest.raises(UserError, match="report already"):
        report(entries, tmp_path / "report")


def test_names_cannot_break_the_page(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    drawn(0).save(tmp_path / "set" / "<b>&.png")
    page = report(curate(tmp_path / "set"), tmp_path / "out").read_text()
    assert "&lt;b&gt;&amp;.png" in page and "<b>&.png" not in page


def test_the_verb_moves_only_when_told(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "set").mkdir()
    for seed in range(3):
        drawn(seed).save(tmp_path / "set" / f"{seed}.png")
    SPOILED["blurred"]().save(tmp_path / "set" / "soft.png")
    aside = tmp_path / "aside"
    arguments = ["curate", str(tmp_path / "set"), "--json", "--move-rejected", str(aside)]
    assert cli.main([*arguments, "--out", str(tmp_path / "one")]) == 0
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [Path(row["path"]).name for row in rows if not row["keep"]] == ["soft.png"]
    assert (aside / "soft.png").exists() and not (tmp_path / "set" / "soft.png").exists()
    SPOILED["blurred"]().save(tmp_path / "set" / "soft.png")
    with pytest.raises(UserError, match="Nothing was moved"):
        move_rejected(curate(tmp_path / "set"), aside)
    assert (tmp_path / "set" / "soft.png").exists()


def test_an_empty_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no pictures"):
        curate(tmp_path)
