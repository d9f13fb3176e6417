"""How many frames a second numbered frames have, as their files say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import OpenEXR
from PIL import Image
from tiny_clips import make_clip

from ganvas import cli
from ganvas.io.video.frames import FramesReader, parse_pattern
from ganvas.io.video.rates import rate_beside, rate_of, write_rate


def frames(folder, count=3):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(folder / f"{number:04d}.png")
    return parse_pattern(folder / "####.png")


def test_a_rate_that_is_noted_is_used(tmp_path):
    pattern = frames(tmp_path / "clip" / "pictures")
    assert FramesReader(pattern).header.fps == 24 and not FramesReader(pattern).rate_is_told
    write_rate(tmp_path / "clip", Fraction(30000, 1001))
    assert FramesReader(pattern).header.fps == Fraction(30000, 1001) and FramesReader(pattern).rate_is_told
    assert FramesReader(pattern, 50).header.fps == 50
    for text in ("", "[]", '{"fps": 0}', '{"fps": "x"}', '{"fps": "1/0"}', '{"fps": null}', "\xff"):
        (tmp_path / "clip" / "clip.json").write_text(text, encoding="latin-1")
        assert rate_beside(tmp_path / "clip" / "pictures") is None


def test_the_rate_of_openexr_frames(tmp_path):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    header["framesPerSecond"] = Fraction(25)
    pixels = {"RGB": np.zeros((8, 8, 3), np.float16)}
    for number in range(2):
        OpenEXR.File(header, pixels).write(str(tmp_path / f"a.{number:04d}.exr"))
    assert FramesReader(parse_pattern(tmp_path / "a.####.exr")).header.fps == 25


def test_the_world_notes_its_rate(tmp_path):
    assert cli.main(["world", str(tmp_path / "street"), "--frames", "2", "--size", "64x32", "--quiet"]) == cli.DONE
    assert rate_of(tmp_path / "street") == 12
    assert rate_of(make_clip(tmp_path / "a.mp4", fps=Fraction(50), frames=3)) == 50
