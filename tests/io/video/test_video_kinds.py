"""Kinds of video and what they hold: WebM, AV1, alpha, HDR metadata, fields, parts, odd names; FFmpeg is the oracle."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from tiny_clips import FILM, make_clip, moving_picture

from ganvas.errors import UserError
from ganvas.io.video.codecs import choose
from ganvas.io.video.frames import parse_pattern
from ganvas.io.video.hdr import Static
from ganvas.io.video.headers import Cut, new_header
from ganvas.io.video.reader import VideoReader, read_header
from ganvas.io.video.writer import VideoWriter

PRIMARIES = tuple(Fraction(n, 50000) for n in (34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450))
HDR = Static(PRIMARIES, (Fraction(1, 10000), Fraction(1000)), (1000, 400))


def ffprobe(path: Path, *what: str) -> Any:
    if not shutil.which("ffprobe"):
        pytest.skip("ffprobe is not installed")
    command = ["ffprobe", "-v", "error", "-of", "json", *what, str(path)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def write(path: Path, header, frames: int = 6, alpha: bool = False, **options: Any) -> VideoWriter:
    """Write moving pictures, with a ramp of alpha that moves along."""
    kind = np.uint8 if header.bits == 8 else np.uint16
    with VideoWriter(path, header, **options) as writer:
        for number in range(frames):
            picture = moving_picture(number, header.width, header.height).astype(kind)
            picture = picture if kind is np.uint8 else picture * 257
            if alpha:
                ramp = (np.arange(header.width) * 3 + 10 * number) % 256
                picture = np.dstack([picture, np.broadcast_to(ramp.astype(kind), picture.shape[:2])])
            writer.write(picture, number * header.frame_step)
    return writer


@pytest.mark.parametrize(
    ("name", "codec", "bits", "stored", "form"),
    [
        ("a.webm", "auto", 8, "vp9", "yuv420p"),
        ("a.webm", "av1", 8, "av1", "yuv420p"),
        ("a.webm", "auto", 10, "av1", "yuv420p10le"),
        ("a.mp4", "av1", 10, "av1", "yuv420p10le"),
        ("a.mkv", "vp9", 8, "vp9", "yuv420p"),
    ],
)
def test_webm_and_av1_are_written(tmp_path, name, codec, bits, stored, form):
    header = new_header(96, 64, FILM, bits)
    write(tmp_path / name, header, codec=codec)
    stream = ffprobe(tmp_path / name, "-show_streams", "-count_frames")["streams"][0]
    assert (stream["codec_name"], stream["pix_fmt"], stream["nb_read_frames"]) == (stored, form, "6")
    with VideoReader(tmp_path / name) as reader:
        for frame in reader:
            seen = frame.picture / (1 if bits == 8 else 257)
            assert np.abs(seen - moving_picture(frame.number, 96, 64)).mean() < 6


def test_quality_decides_the_size(tmp_path):
    header = new_header(96, 64, FILM)
    for suffix in (".mp4", ".webm"):
        sizes = []
        for percent in (20, 95, 100):
            path = tmp_path / f"{percent}{suffix}"
            write(path, header, percent=percent)
            sizes.append(path.stat().st_size)
        assert sizes == sorted(sizes) and sizes[0] < 0.7 * sizes[2]
    assert dict(choose("a.mp4", header, 96, 64, percent=95).options) == dict(choose("a.mp4", header, 96, 64).options)
    assert dict(choose("a.mp4", header, 96, 64, quality=30).options)["crf"] == "30"
    for options in ({"quality": 20, "percent": 50}, {"percent": 0}, {"codec": "prores", "percent": 50}):
        with pytest.raises(UserError):
            choose("a.mov", header, 96, 64, **options)


def vp9_with_alpha(path: Path) -> Path:
    header = replace(new_header(64, 48, 25), has_alpha=True)
    write(path, header, alpha=True)
    return path


def test_alpha_of_vp9_is_written_and_read(tmp_path):
    path = vp9_with_alpha(tmp_path / "a.webm")
    assert ffprobe(path, "-show_streams")["streams"][0]["tags"]["alpha_mode"] == "1"
    with VideoReader(path) as reader:
        assert reader.header.has_alpha
        for frame in reader:
            ramp = (np.arange(64) * 3 + 10 * frame.number) % 256
            near = np.abs(frame.picture[..., 3].astype(int) - ramp)
            assert frame.picture.shape == (48, 64, 4) and np.median(near) < 6


def test_alpha_of_vp9_reaches_other_containers(tmp_path):
    header = read_header(vp9_with_alpha(tmp_path / "a.webm"))
    for name, form in (("a.mov", "yuva444p10le"), ("a.mkv", "bgra")):
        assert choose(tmp_path / name, header, 64, 48).pixel_format == form
    with pytest.raises(UserError, match="alpha"):
        choose(tmp_path / "a.mp4", header, 64, 48)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "h265"), ("a.mkv", "h264"), ("a.mp4", "av1"), ("a.webm", "av1")])
def test_mastering_display_and_light_level_are_kept(tmp_path, name, codec):
    header = replace(new_header(128, 128, 24, 10), hdr=HDR)
    write(tmp_path / name, header, frames=3, codec=codec)
    if codec != "h264":  # the FFmpeg of 2022 does not read it from H.264
        frame = ffprobe(tmp_path / name, "-show_frames", "-read_intervals", "%+#1")["frames"][0]
        facts = {key: value for data in frame["side_data_list"] for key, value in data.items()}
        told = {key: float(Fraction(value)) for key, value in facts.items() if isinstance(value, str) and "/" in value}
        assert abs(told["red_x"] - 0.68) < 1e-4 and abs(told["white_point_y"] - 0.329) < 1e-4
        assert told["max_luminance"] == 1000 and abs(told["min_luminance"] - 1e-4) < 3e-5
        assert (facts["max_content"], facts["max_average"]) == (1000, 400)
    again = read_header(tmp_path / name).hdr
    assert again.light_level == (1000, 400) and all(abs(a - b) < 1e-4 for a, b in zip(again.primaries, PRIMARIES))


def test_hdr_that_a_codec_cannot_say_is_told(tmp_path):
    header = replace(new_header(64, 48, 24, 10), hdr=HDR, dynamic_hdr="HDR10+")
    notes = " ".join(choose("a.mov", header, 64, 48).notes)
    assert "mastering display" in notes and "HDR10+" in notes
    assert "mastering" not in " ".join(choose("a.mp4", header, 64, 48).notes)


def combed(path: Path) -> Path:
    """Write fields of one moving edge, the lower one half a frame later, as interlaced H.264."""
    options = {"x264-params": "tff=1", "flags": "+ildct+ilme"}
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for number in range(8):
            picture = np.zeros((64, 96, 3), np.uint8)
            for field in (0, 1):
                edge = 10 + 4 * (2 * number + field)
                picture[field::2, edge:] = 255
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def comb(picture: np.ndarray) -> float:
    """Return how much neighbouring rows differ: interlaced motion has combs."""
    return float(np.abs(np.diff(picture[..., 0].astype(int), axis=0)).mean())


def test_fields_are_made_whole_on_request(tmp_path):
    path = combed(tmp_path / "a.mp4")
    with VideoReader(path) as reader:
        assert reader.header.is_interlaced
        plain = list(reader)
    with VideoReader(path, deinterlace=True) as reader:
        assert not reader.header.is_interlaced
        whole = list(reader)
    assert [frame.pts for frame in whole] == [frame.pts for frame in plain]
    assert max(comb(frame.picture) for frame in whole[1:-1]) < 0.35 * min(comb(frame.picture) for frame in plain)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_part_is_read_and_written_with_its_sound(tmp_path, suffix):
    source = make_clip(tmp_path / f"in{suffix}", fps=Fraction(25), frames=20)
    cut = Cut(Fraction(1, 5), Fraction(3, 5))
    header = read_header(source, cut=cut)
    assert header.frames == 10 and header.begins_s == Fraction(1, 5) and header.duration_s == Fraction(2, 5)
    with VideoReader(source) as reader:
        whole = list(reader)
    with VideoReader(source, cut=cut) as reader:
        part = list(reader)
    assert [frame.number for frame in part] == list(range(10))
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(part, whole[5:15]))
    target = tmp_path / f"out{suffix}"
    with VideoWriter(target, header, audio_from=source) as writer:
        for frame in part:
            writer.write(frame.picture, frame.pts)
    streams = {s["codec_type"]: s for s in ffprobe(target, "-show_streams", "-count_packets")["streams"]}
    assert streams["video"]["nb_read_packets"] == "10"
    # AAC has 1024 samples a packet: 0.4 s of 48,000 a second are 18 or 19 of them.
    assert int(streams["audio"]["nb_read_packets"]) in (18, 19)
    assert abs(float(streams["audio"]["start_time"]) - float(streams["video"]["start_time"])) < 0.03


def test_starting_within_a_part(tmp_path):
    source = make_clip(tmp_path / "in.mp4", fps=Fraction(25), frames=20)
    cut = Cut(Fraction(1, 5))
    with VideoReader(source, cut=cut) as reader:
        whole = list(reader)
    with VideoReader(source, start=4, cut=cut) as reader:
        rest = list(reader)
    assert [frame.pts for frame in rest] == [frame.pts for frame in whole[4:]] and rest[0].number == 4
    with pytest.raises(UserError, match=r"0\.760 s"):
        read_header(source, cut=Cut(Fraction(5)))


@pytest.mark.parametrize("name", ["a#1.mp4", "100%.mp4", "shot_%04d.mp4", "a:b.mp4", "x" * 251 + ".mp4", "[1-2].mp4"])
def test_videos_of_any_name(tmp_path, name):
    write(tmp_path / name, new_header(64, 48, 24))
    assert read_header(tmp_path / name).frames == 6 and parse_pattern(name) is None
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_a_video_whose_name_is_no_utf_8(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xf6rg.mp4"))
    write(path, new_header(64, 48, 24))
    assert read_header(path).frames == 6


def test_a_damaged_video_gives_what_can_be_decoded(tmp_path):
    source = make_clip(tmp_path / "in.mp4", frames=100, audio=None, options={"g": "10"})
    data = bytearray(source.read_bytes())
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 6 // 10])
    middle = len(data) // 2
    data[middle : middle + 100] = np.random.default_rng(0).bytes(100)
    (tmp_path / "hole.mp4").write_bytes(data)
    for name, least in (("cut.mp4", 30), ("hole.mp4", 85)):
        with pytest.raises(UserError), VideoReader(tmp_path / name) as reader:
            list(reader)
        with VideoReader(tmp_path / name, strict=False) as reader:
            frames = list(reader)
        assert least <= len(frames) and (name == "cut.mp4" or len(frames) + reader.lost == 100)
        assert [frame.pts for frame in frames] == sorted(frame.pts for frame in frames)
