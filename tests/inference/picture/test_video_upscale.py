"""Upscaling videos: every frame at its time, and the same bytes whether or not the work was killed on its way."""

import os
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from tiny_clips import FRAMES, HEIGHT, WIDTH, facts, make_clip

from ganvas.errors import UserError
from ganvas.inference.picture import video
from ganvas.inference.picture.video import VideoOptions, upscale_video
from ganvas.inference.result import Progress, Said
from ganvas.io.pictures import images
from ganvas.io.video.reader import VideoReader

SIX = VideoOptions(segment_frames=6)
MODEL = {"model": "doubling", "sha256": "00"}


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", metadata={"title": "Meadow"})


def doubled(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(2, axis=0).repeat(2, axis=1)


class Doubler:
    """Doubles pictures, counts them, and stops at one of them as a kill does: by an exception that nobody expects."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.calls = 0
        self.stop_at = stop_at

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        if self.calls == self.stop_at:
            raise KeyboardInterrupt
        self.calls += 1
        return doubled(picture)


def upscale(source, target, up=doubled, settings=MODEL, options=SIX, said=None):
    def listen(event):
        if said is not None and isinstance(event, Said):
            said.append(event.text)

    progress = Progress(listen)
    return upscale_video(source, target, up, scale=2, settings=settings, options=options, progress=progress)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# Whole


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_stamps_sound_metadata_and_number_are_those_of_the_source(tmp_path, film, suffix):
    seen = []
    report = upscale_video(
        film, target := tmp_path / f"b{suffix}", doubled, scale=2, settings=MODEL, options=SIX,
        progress=lambda done, whole: seen.append((done, whole)),
    )  # fmt: skip
    before, after = facts(film), facts(target)
    assert after.stamps == before.stamps
    assert after.sound == before.sound
    assert after.metadata["title"] == "Meadow"
    assert after.size == (report.width, report.height) == (2 * WIDTH, 2 * HEIGHT)
    assert (report.frames, report.resumed_frames) == (FRAMES, 0)
    assert seen == [(number, FRAMES) for number in range(1, FRAMES + 1)]
    assert hidden(tmp_path) == []


def test_frames_stand_in_their_order(tmp_path, film):
    # Across the joints of segments, and with pictures that are decoded before they are shown.
    upscale(film, target := tmp_path / "b.mp4", options=VideoOptions(segment_frames=7, quality=4))
    with VideoReader(film) as before, VideoReader(target) as after:
        for one, other in zip(before, after, strict=True):
            assert np.abs(doubled(one.picture).astype(int) - other.picture).mean() < 3, one.number


def test_a_varying_rate_survives_the_joints(tmp_path):
    stamps = [0, 900, 1100, 1101, 2000, 3000, 3500, 9000, 9100, 9200, 9999, 12000, 40000, 40001, 40002, 40003]
    stamps += [60000, 60001, 90000, 90001]
    source = make_clip(tmp_path / "a.mp4", stamps=stamps, time_base=Fraction(1, 16000), fps=Fraction(25))
    for segment_frames in (1, 5, 13):
        options = VideoOptions(segment_frames=segment_frames, overwrite=True)
        upscale(source, target := tmp_path / "b.mp4", options=options)
        assert facts(target).stamps == facts(source).stamps
        assert facts(target).sound == facts(source).sound


def test_ten_bits_go_through_as_sixteen(tmp_path):
    source = make_clip(tmp_path / "a.mov", "prores_ks", "yuv422p10le", audio="pcm_s16le", frames=8)
    types = set()

    def up(picture):
        types.add(picture.dtype)
        return doubled(picture)

    upscale(source, lossless := tmp_path / "b.mkv", up, options=VideoOptions(codec="ffv1", segment_frames=3))
    assert types == {np.dtype(np.uint16)}
    with VideoReader(source) as before, VideoReader(lossless) as after:
        for one, other in zip(before, after, strict=True):
            assert np.abs(doubled(one.picture).astype(int) - other.picture).max() <= 33
    upscale(source, target := tmp_path / "b.mov", options=VideoOptions(segment_frames=3))
    assert facts(target)[0] == facts(source)[0]
    assert facts(target).codec == "prores"
    upscale(source, target := tmp_path / "b.mp4", options=VideoOptions(segment_frames=3, sampling="420"))
    assert facts(target)[0] == facts(source)[0]
    assert (facts(target).codec, facts(target).pixel_format) == ("hevc", "yuv420p10le")


# Interrupted


@pytest.mark.parametrize("stop_at", [0, 6, 14])
def test_interrupted_and_gone_on_with_is_the_same_file(tmp_path, film, stop_at):
    upscale(film, whole := tmp_path / "whole.mp4")
    with pytest.raises(KeyboardInterrupt):
        upscale(film, target := tmp_path / "b.mp4", Doubler(stop_at))
    assert not target.exists()
    assert hidden(tmp_path) == ([".b.mp4.ganvas"] if stop_at >= 6 else [])
    said = []
    report = upscale(film, target, again := Doubler(), said=said)
    finished = stop_at // 6 * 6
    assert again.calls == FRAMES - finished
    assert report.resumed_frames == finished
    assert said == ([f"Resuming at frame {finished}"] if finished else [])
    assert target.read_bytes() == whole.read_bytes()
    assert hidden(tmp_path) == []


def test_frames_that_took_long_are_kept_one_by_one(tmp_path, film, monkeypatch):
    monkeypatch.setattr(video, "SLOW_S", 0.0)
    upscale(film, whole := tmp_path / "whole.mp4")
    with pytest.raises(KeyboardInterrupt):
        upscale(film, target := tmp_path / "b.mp4", Doubler(stop_at=10))
    upscale(film, target, again := Doubler())
    assert again.calls == FRAMES - 10
    assert target.read_bytes() == whole.read_bytes()


def test_joining_that_was_interrupted_makes_no_frame_again(tmp_path, film, monkeypatch):
    def stop(store, writer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(video.SegmentStore, "join", stop)
        upscale(film, tmp_path / "b.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.mp4.ganvas"]
    upscale(film, target := tmp_path / "b.mp4", again := Doubler())
    assert again.calls == 0
    assert facts(target).stamps == facts(film).stamps


def test_killed_outright_it_goes_on(tmp_path, film):
    script = textwrap.dedent(
        """
        import os, signal, sys
        from ganvas.inference.picture.video import VideoOptions, upscale_video
        calls = 0
        def up(picture):
            global calls
            calls += 1
            if calls == 15:
                os.kill(os.getpid(), signal.SIGKILL)
            return picture.repeat(2, axis=0).repeat(2, axis=1)
        settings = {"model": "doubling", "sha256": "00"}
        options = VideoOptions(segment_frames=6)
        upscale_video(sys.argv[1], sys.argv[2], up, scale=2, settings=settings, options=options)
        """
    )
    target = tmp_path / "b.mp4"
    command = [sys.executable, "-c", script, str(film), str(target)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not target.exists()
    report = upscale(film, target, again := Doubler())
    assert (report.resumed_frames, again.calls) == (12, FRAMES - 12)
    upscale(film, whole := tmp_path / "whole.mp4")
    assert target.read_bytes() == whole.read_bytes()
    assert hidden(tmp_path) == []


def interrupted(film: Path, target: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        upscale(film, target, Doubler(stop_at=14))


def test_another_model_or_another_look_starts_anew_and_says_so(tmp_path, film):
    changes = {
        "settings": {"settings": {**MODEL, "sha256": "ff"}},
        "encoding": {"options": VideoOptions(segment_frames=6, quality=30)},
        "segment_frames": {"options": VideoOptions(segment_frames=5)},
        "switched off": {"options": VideoOptions(segment_frames=6, resume=False)},
    }
    for changed, arguments in changes.items():
        target = tmp_path / f"{changed}.mp4"
        interrupted(film, target)
        said = []
        report = upscale(film, target, again := Doubler(), said=said, **arguments)
        assert (again.calls, report.resumed_frames) == (FRAMES, 0)
        assert len(said) == 1
        assert changed in said[0]


def test_a_changed_source_starts_anew_and_says_so(tmp_path, film):
    source = tmp_path / "a.mp4"
    source.write_bytes(film.read_bytes())
    interrupted(source, target := tmp_path / "b.mp4")
    source.unlink()
    make_clip(source, fps=Fraction(25))
    said = []
    upscale(source, target, again := Doubler(), said=said)
    assert again.calls == FRAMES
    assert "source" in said[0]
    assert facts(target).stamps == facts(source).stamps


def test_a_segment_that_was_damaged_is_made_again(tmp_path, film):
    upscale(film, whole := tmp_path / "whole.mp4")
    interrupted(film, target := tmp_path / "b.mp4")
    segment = tmp_path / ".b.mp4.ganvas" / "segment-000001.packets"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 255
    segment.write_bytes(data)
    upscale(film, target, again := Doubler())
    assert again.calls == FRAMES - 6
    assert target.read_bytes() == whole.read_bytes()


def test_two_processes_do_not_write_one_file(tmp_path, film):
    def nested(picture):
        upscale(film, tmp_path / "b.mp4")

    with pytest.raises(UserError, match="another process"):
        upscale(film, tmp_path / "b.mp4", nested)


# Refused before the first frame


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("b.avi", {}, r"\.mp4, \.mov, \.mkv or \.webm"),
        ("taken.mp4", {}, "exists already"),
        ("b.mp4", {"codec": "prores"}, "holds no prores"),
        ("b.mp4", {"segment_frames": 0}, "at least one frame"),
        ("b.####.bmp4", {}, "no pictures"),
    ],
)
def test_what_cannot_be_written_is_refused_before_any_frame(tmp_path, film, name, options, told):
    (tmp_path / "taken.mp4").write_bytes(b"mine")
    up = Doubler()
    with pytest.raises(UserError, match=told):
        upscale(film, tmp_path / name, up, options=VideoOptions(**options))
    assert up.calls == 0
    assert [path.name for path in tmp_path.iterdir()] == ["taken.mp4"]
    assert (tmp_path / "taken.mp4").read_bytes() == b"mine"


def test_an_upscaler_of_another_scale_is_named(tmp_path, film):
    with pytest.raises(UserError, match=r"Frame 0 came out as 96x64.*192x128"):
        upscale_video(film, tmp_path / "b.mp4", doubled, scale=4, settings=MODEL)


def test_a_source_that_is_cut_off_is_refused_or_passed_over_as_asked(tmp_path, film):
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(film.read_bytes()[: int(0.7 * film.stat().st_size)])
    up = Doubler()
    with pytest.raises(UserError, match="frame"):
        upscale(cut, tmp_path / "b.mp4", up)
    assert up.calls == 0
    report = upscale(cut, target := tmp_path / "b.mp4", options=VideoOptions(strict=False))
    assert 0 < report.frames < FRAMES
    # What could be read stands where it stood, whatever is missing between.
    assert len(facts(target).stamps) == report.frames
    assert set(facts(target).stamps) < set(facts(film).stamps)


# Numbered frames


def test_video_into_frames_and_back(tmp_path, film):
    (tmp_path / "f").mkdir()
    report = upscale(film, tmp_path / "f" / "x.####.png")
    names = sorted(path.name for path in (tmp_path / "f").iterdir())
    assert names == [f"x.{number:04d}.png" for number in range(1, FRAMES + 1)]
    assert "sound" in report.note
    with VideoReader(film) as reader:
        for frame in reader:
            picture, _ = images.read(tmp_path / "f" / f"x.{frame.number + 1:04d}.png")
            assert np.array_equal(picture, doubled(frame.picture))
    options = VideoOptions(fps=Fraction(24000, 1001))
    upscale(tmp_path / "f" / "x.[0003-0012].png", target := tmp_path / "b.mp4", options=options)
    assert facts(target).stamps == [Fraction(1001 * number, 24000) for number in range(10)]


def test_frames_into_frames_keep_number_and_light_and_go_on(tmp_path):
    pictures = {number: np.full((4, 6, 3), number / 4, np.float16) for number in range(7, 13)}
    for number, picture in pictures.items():
        images.write(tmp_path / f"a.{number:04d}.exr", picture)
    source, target = tmp_path / "a.####.exr", tmp_path / "b_%03d.exr"
    with pytest.raises(KeyboardInterrupt):
        upscale(source, target, Doubler(stop_at=4))
    assert (tmp_path / "b_010.exr").exists()
    report = upscale(source, target, again := Doubler())
    assert (again.calls, report.resumed_frames, report.frames) == (2, 4, 6)
    for number, picture in pictures.items():
        found, _ = images.read(tmp_path / f"b_{number:03d}.exr")
        assert found.dtype == np.float16
        assert np.array_equal(found, doubled(picture))
    with pytest.raises(UserError, match="floating point"):
        upscale(source, tmp_path / "b.mp4")
    with pytest.raises(UserError, match="exist already"):
        upscale(source, target)
    assert hidden(tmp_path) == []
