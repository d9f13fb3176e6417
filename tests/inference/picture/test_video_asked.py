"""What can be asked of videos on the command line, and what is told of them; FFmpeg's own binding reads the results."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from ganvas import cli
from ganvas.io.video.rates import write_rate

SMALL = ["--device", "cpu", "--factor", "1", "--json"]


def clip(path: Path, frames: int = 20, codec: str = "libx264", **options: str) -> Path:
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream: Any = container.add_stream(codec, rate=25, options={"g": "5", **options})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for number in range(frames):
            picture = np.full((32, 48, 3), (10 * number) % 256, np.uint8)
            picture[:, (2 * number) % 48 :] = np.random.default_rng(number).integers(0, 255, 3)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def stream_of(path: Path) -> tuple[str, str, int, Fraction]:
    with av.open(str(path)) as container:
        video = container.streams.video[0]
        frames = len(list(container.decode(video=0)))
        return video.codec_context.codec.canonical_name, video.codec_context.pix_fmt, frames, video.average_rate


def run(capsys, *words: object) -> dict[str, Any]:
    code = cli.main(["upscale", *map(str, words), *SMALL])
    said = capsys.readouterr()
    assert code == cli.DONE, said.err
    return json.loads(said.out.splitlines()[-1])


def test_a_part_in_another_codec_at_another_quality(tmp_path, capsys):
    source = clip(tmp_path / "in.mp4")
    good = run(capsys, source, "--out", tmp_path / "a.mkv", "--codec", "av1", "--from", "0.2", "--to", "0:00:00.6")
    assert stream_of(tmp_path / "a.mkv")[:3] == ("av1", "yuv420p", 10) and good["frames"] == 10
    sizes = []
    for quality in (20, 100):
        run(capsys, source, "--out", tmp_path / f"{quality}.mp4", "--quality", quality)
        sizes.append((tmp_path / f"{quality}.mp4").stat().st_size)
    run(capsys, source, "--out", tmp_path / "crf.mp4", "--crf", 51)
    assert sizes[0] < sizes[1] and (tmp_path / "crf.mp4").stat().st_size < sizes[1]
    assert cli.main(["upscale", str(source), "--out", str(tmp_path / "b.mp4"), "--from", "2"]) == cli.USER_ERROR
    assert "holds no frame" in capsys.readouterr().err
    assert cli.main(["upscale", str(source), "--out", str(tmp_path / "b.mp4"), "--fps", "12"]) == cli.USER_ERROR
    assert "--fps" in capsys.readouterr().err


def test_a_cut_file_gives_what_it_has_with_a_note(tmp_path, capsys):
    data = clip(tmp_path / "in.mp4", 60).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 7 // 10])
    told = run(capsys, tmp_path / "cut.mp4", "--out", tmp_path / "a.mp4")
    assert "ends early" in told["note"] and "60" in told["note"]
    assert 10 < stream_of(tmp_path / "a.mp4")[2] == told["frames"] < 60
    strict = ["upscale", str(tmp_path / "cut.mp4"), "--out", str(tmp_path / "b.mp4"), "--strict", "--device", "cpu"]
    assert cli.main(strict) == cli.USER_ERROR and not (tmp_path / "b.mp4").exists()


def test_alpha_of_webm_stays_alpha(tmp_path, capsys):
    with av.open(str(tmp_path / "in.webm"), "w") as container:
        stream: Any = container.add_stream("libvpx-vp9", rate=25, options={"auto-alt-ref": "0", "crf": "10", "b": "0"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuva420p"
        for number in range(4):
            picture = np.full((32, 48, 4), (200, 50, 50, 128), np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format="yuva420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    run(capsys, tmp_path / "in.webm", "--out", tmp_path / "a.mov")
    assert stream_of(tmp_path / "a.mov")[1].startswith("yuva444p")
    run(capsys, tmp_path / "in.webm", "--out", tmp_path / "b.webm")
    with av.open(str(tmp_path / "b.webm")) as container:
        assert container.streams.video[0].metadata["alpha_mode"] == "1"
    assert cli.main(["upscale", str(tmp_path / "in.webm"), "--out", str(tmp_path / "c.mp4")]) == cli.USER_ERROR
    assert "alpha" in capsys.readouterr().err


def test_numbered_frames_have_the_rate_that_is_noted(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for number in range(4):
        Image.fromarray(np.full((16, 16, 3), 60 * number, np.uint8)).save(tmp_path / "in" / f"f_{number:03d}.png")
    write_rate(tmp_path / "in", 12)
    told = run(capsys, tmp_path / "in" / "f_###.png", "--out", tmp_path / "a.mp4")
    assert stream_of(tmp_path / "a.mp4")[3] == 12 and "24" not in told["note"]
    run(capsys, tmp_path / "in" / "f_###.png", "--out", tmp_path / "b.mp4", "--fps", "50")
    assert stream_of(tmp_path / "b.mp4")[3] == 50


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_animated_pictures_become_videos(tmp_path, capsys, suffix):
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / f"in{suffix}", save_all=True, append_images=frames[1:], duration=100)
    run(capsys, tmp_path / f"in{suffix}", "--out", tmp_path / "a.mp4")
    assert stream_of(tmp_path / "a.mp4")[2:] == (3, 10)
