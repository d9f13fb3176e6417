"""The pages of formats against the program: the endings are those that it reads, and the tests exist."""

import re
from pathlib import Path
from typing import get_args

import pytest

from ganvas.inference.cameras.options import CameraFormat
from ganvas.io.cameras.kinds import SUFFIXES
from ganvas.io.pictures.formats import ASKED_FOR, READABLE, WRITABLE
from ganvas.io.pictures.images import Header
from ganvas.io.pictures.samples import adapt_header
from ganvas.io.video.codecs import _HOLDS, FORMATS, VIDEO_SUFFIXES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "formats.md").read_text() + (ROOT / "docs" / "picture-formats.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| ")]


@pytest.mark.parametrize(
    ("page", "fewest"),
    [
        ("formats.md", 20),
        ("picture-formats.md", 40),
        ("label-formats.md", 35),
        ("camera-formats.md", 35),
        ("cameras.md", 15),
    ],
)
def test_every_named_test_exists(page, fewest):
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / page).read_text())
    assert len(named) > fewest
    found = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in found.get(file, "")]
    assert not missing


def test_every_claim_names_a_test():
    claims = [row for row in ROWS if len(row) == 3 and row[0] != "what"]
    assert len(claims) > 35 and all("::test_" in row[2] for row in claims)


def test_every_line_of_label_formats_names_a_test():
    lines = [line for line in (ROOT / "docs" / "label-formats.md").read_text().splitlines() if line.startswith("| ")]
    told = [line for line in lines if not line.rstrip().endswith("| test |")]
    assert len(told) > 18 and all("::test_" in line for line in told)


def table(page: str, columns: int) -> list[list[str]]:
    lines = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("| ")]
    return [
        row for row in ([cell.strip() for cell in line.strip("|").split("|")] for line in lines) if len(row) == columns
    ]


def test_every_camera_format_names_its_tests_and_is_there():
    head, *rows = table("camera-formats.md", 6)
    assert head[-1] == "held by" and len(rows) > 15 and all("::test_" in row[5] for row in rows)
    told = " ".join(row[0] for row in rows)
    assert not [suffix for suffix in SUFFIXES if suffix not in (".txt", ".bin", ".json") and suffix not in told.lower()]
    written = [row[0] for row in rows if not row[3].startswith("no")]
    assert len(written) == len({one[:3] for one in get_args(CameraFormat)})  # .usda and .usdc are one row


def pictures() -> list[list[str]]:
    return [row for row in ROWS if len(row) == 8 and row[1].startswith(".")]


def test_endings_of_pictures():
    assert sorted(suffix for row in pictures() for suffix in row[1].split()) == sorted(READABLE)
    for row in pictures():
        written = [suffix for suffix in row[1].split() if suffix in WRITABLE or suffix in ASKED_FOR]
        assert bool(written) == (not row[2].startswith("no"))


def test_alpha_and_bits_of_pictures(tmp_path):
    for row in pictures():
        suffix = row[1].split()[0]
        if suffix not in WRITABLE:
            continue
        kinds = ("uint8", "uint16", "float16", "float32")
        for dtype in kinds:
            plain = adapt_header(Header(8, 8, 3, dtype, "png"), tmp_path / f"a{suffix}", allow_loss=True)
            alpha = adapt_header(Header(8, 8, 4, dtype, "png"), tmp_path / f"a{suffix}", allow_loss=True)
            assert alpha.has_alpha == row[4].startswith("yes"), row
            assert plain.dtype in kinds
        if row[3] == "8":
            assert plain.dtype == "uint8", row


def test_endings_and_codecs_of_videos():
    read = re.search(r"Read: (.*?), and numbered", PAGE)[1].split()
    written = re.search(r"Written: (.*?), and numbered", PAGE, re.S)[1].split()
    assert sorted(read) == sorted(VIDEO_SUFFIXES) and sorted(written) == sorted(FORMATS)
    short = {"matroska": "mkv"}
    for names, containers, *_ in (row for row in ROWS if len(row) == 6 and row[0] != "`--codec`"):
        for codec in names.split(", "):
            holding = {short.get(name, name) for name, codecs in _HOLDS.items() if codec in codecs}
            assert holding == set(containers.split()), codec
