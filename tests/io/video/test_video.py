"""Videos read and written: stamps, counts, sound, colours and orientation, with PyAV alone as the oracle."""

import itertools
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from tiny_clips import FILM, FRAMES, HEIGHT, NTSC, WIDTH, facts, make_clip

from ganvas.errors import UserError
from ganvas.io.video import reader as reader_module
from ganvas.io.video.headers import VideoHeader, new_header
from ganvas.io.video.reader import VideoReader, read_header
from ganvas.io.video.writer import VideoWriter

UNEVEN = [0, 900, 1100, 1101, 2000, 3000, 3500, 9000, 9100, 9200, 9999, 12000, 12001, 12050, 14000, 15000]
UNEVEN += [16000, 17000, 18000, 30000]


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return make_clip(tmp_path_factory.mktemp("film") / "film.mp4", metadata={"title": "Meadow", "artist": "Nobody"})


def doubled(picture: np.ndarray) -> np.ndarray:
    return picture.repeat(2, axis=0).repeat(2, axis=1)


def copy_doubled(source: Path, target: Path, header: VideoHeader | None = None, **options) -> VideoWriter:
    with VideoReader(source) as reader:
        like = header or reader.header
        with VideoWriter(target, like, 2 * like.width, 2 * like.height, audio_from=source, **options) as writer:
            for _, pts, picture in reader:
                writer.write(doubled(picture), pts, reader.frame_duration)
    return writer


# Time


@pytest.mark.parametrize(("fps", "suffix"), [(FILM, ".mp4"), (NTSC, ".mov"), (Fraction(25), ".mp4")])
def test_stamps_number_and_sound_are_exact(tmp_path, fps, suffix):
    source = make_clip(tmp_path / "a.mp4", fps=fps)
    copy_doubled(source, target := tmp_path / f"b{suffix}")
    before, after = facts(source), facts(target)
    assert after.stamps == before.stamps == [number / fps for number in range(FRAMES)]
    assert after.sound == before.sound
    assert len(after.sound) > 30
    assert after.size == (2 * WIDTH, 2 * HEIGHT)
    header = read_header(target)
    assert (header.fps, header.frames, header.frames_from) == (fps, FRAMES, "packets")
    assert not header.is_variable_rate
    assert header.duration_s == FRAMES / fps


@pytest.mark.parametrize("offset", [0, 777])
def test_a_varying_rate_is_kept_exactly(tmp_path, offset):
    stamps = [stamp + offset for stamp in UNEVEN]
    source = make_clip(tmp_path / "a.mp4", stamps=stamps, time_base=Fraction(1, 16000), fps=Fraction(25))
    copy_doubled(source, target := tmp_path / "b.mp4")
    before, after = facts(source), facts(target)
    assert after.stamps == before.stamps
    assert [later - after.stamps[0] for later in after.stamps] == [Fraction(stamp, 16000) for stamp in UNEVEN]
    assert after.sound == before.sound
    assert read_header(target).is_variable_rate


@pytest.mark.parametrize("codec", ["h264", "h265", "prores"])
@pytest.mark.parametrize("stamps", [[0], [5], [0, 7], [3, 4, 90]])
def test_videos_of_very_few_frames(tmp_path, codec, stamps):
    with VideoWriter(path := tmp_path / "a.mov", new_header(64, 64, 25), codec=codec) as writer:
        for stamp in stamps:
            writer.write(np.full((64, 64, 3), 99, np.uint8), stamp)
    assert facts(path).stamps == [Fraction(stamp, 25) for stamp in stamps]


def test_matroska_rounds_to_milliseconds_and_says_so(tmp_path, film):
    writer = copy_doubled(film, target := tmp_path / "b.mkv")
    assert any("millisecond" in note for note in writer.notes)
    before, after = facts(film), facts(target)
    assert len(after.stamps) == FRAMES
    assert max(abs(one - other) for one, other in zip(before.stamps, after.stamps, strict=True)) <= Fraction(1, 2000)
    assert [data for _, data in after.sound] == [data for _, data in before.sound]
    # From Matroska to Matroska there is nothing left to round.
    writer = copy_doubled(target, again := tmp_path / "c.mkv")
    assert writer.notes == ()
    assert facts(again).stamps == after.stamps
    assert facts(again).sound == after.sound


def test_reading_gives_what_pyav_decodes(film):
    with av.open(str(film)) as container:
        decoded = list(container.decode(video=0))
    with VideoReader(film) as reader:
        for (_, pts, picture), frame in zip(reader, decoded, strict=True):
            assert pts == frame.pts
            # Luma of BT.709 comes back out of the RGB picture, to its rounding.
            plane = frame.planes[0]
            luma = np.frombuffer(bytes(plane), np.uint8).reshape(HEIGHT, plane.line_size)[:, :WIDTH]
            assert np.abs(16 + 219 / 255 * (picture @ [0.2126, 0.7152, 0.0722]) - luma).mean() < 0.6


def test_starting_at_a_frame_gives_the_same_frames(film):
    with VideoReader(film) as whole, VideoReader(film, start=13) as rest:
        expected = list(whole)[13:]
        found = list(rest)
    assert [frame[:2] for frame in found] == [frame[:2] for frame in expected]
    assert all(np.array_equal(one.picture, other.picture) for one, other in zip(found, expected, strict=True))


# Pictures


def test_what_is_written_looks_like_what_was_given(tmp_path, film):
    copy_doubled(film, target := tmp_path / "b.mp4", quality=4)
    with VideoReader(film) as before, VideoReader(target) as after:
        for one, other in zip(before, after, strict=True):
            assert np.abs(doubled(one.picture).astype(int) - other.picture).mean() < 3


@pytest.mark.parametrize("rotation", [90, 180, -90])
def test_rotated_video_is_read_upright_and_written_without_the_tag(tmp_path, rotation):
    plain = make_clip(tmp_path / "plain.mp4", audio=None, frames=3)
    turned = make_clip(tmp_path / "turned.mp4", audio=None, frames=3, rotation=rotation)
    with VideoReader(plain) as flat, VideoReader(turned) as upright:
        assert upright.header.rotation == -rotation % 360
        for one, other in zip(flat, upright, strict=True):
            assert np.array_equal(np.rot90(one.picture, rotation // 90), other.picture)
    copy_doubled(turned, target := tmp_path / "b.mp4")
    header = read_header(target)
    assert header.rotation == 0
    size = (2 * WIDTH, 2 * HEIGHT)
    assert (header.width, header.height) == (size if rotation == 180 else size[::-1])
    with av.open(str(target)) as container:
        assert next(container.decode(video=0)).rotation == 0


@pytest.mark.parametrize(
    ("suffix", "codec", "name", "pixel_format"),
    [
        (".mp4", "auto", "hevc", "yuv420p10le"),
        (".mov", "auto", "prores", "yuv422p10le"),
        (".mkv", "ffv1", "ffv1", "gbrp10le"),
        (".mp4", "ffv1", "ffv1", "gbrp10le"),
    ],
)
def test_ten_bits_stay_ten_bits(tmp_path, suffix, codec, name, pixel_format):
    source = make_clip(tmp_path / "a.mov", "prores_ks", "yuv422p10le", audio="pcm_s16le", fps=NTSC)
    sampling = {"yuv420p10le": "420"}.get(pixel_format, "auto")
    copy_doubled(source, target := tmp_path / f"b{suffix}", codec=codec, sampling=sampling)
    before, after = facts(source), facts(target)
    assert (after.codec, after.pixel_format) == (name, pixel_format)
    assert len(after.stamps) == FRAMES
    assert [data for _, data in after.sound] == [data for _, data in before.sound]
    with VideoReader(source) as one, VideoReader(target) as other:
        assert other.header.bits == 10
        first, copy = next(iter(one)).picture, next(iter(other)).picture
    assert first.dtype == copy.dtype == np.uint16
    error = np.abs(doubled(first).astype(int) - copy)
    # Lossless: half a step of ten bits. Lossy: a small share of the range.
    assert error.max() <= 33 if codec == "ffv1" else error.mean() < 1200
    # Values between those of eight bits are there.
    assert len(np.unique(copy)) > 256


def test_alpha_is_kept_and_never_dropped_in_silence(tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (3, 16, 24, 4)).astype(np.uint8)
    like = new_header(24, 16, 25, has_alpha=True)
    for suffix, tolerance in ((".mkv", 0), (".mov", 2)):
        with VideoWriter(path := tmp_path / f"a{suffix}", like) as writer:
            for number, picture in enumerate(pictures):
                writer.write(picture, number)
        with VideoReader(path) as reader:
            assert reader.header.has_alpha
            for number, _, picture in reader:
                found = picture[..., 3] / (255 if picture.dtype == np.uint8 else 65535)
                assert np.abs(found * 255 - pictures[number, ..., 3]).max() <= tolerance
    with pytest.raises(UserError, match=r"alpha.*\.mov"):
        VideoWriter(tmp_path / "a.mp4", like)


def test_a_guess_about_colour_is_written_down(tmp_path):
    # An untagged small clip is BT.601 to players; enlarged past 720 lines it would silently become BT.709.
    source = make_clip(tmp_path / "a.mp4", audio=None, frames=2, tagged=False)
    assert read_header(source).tags.matrix == 2
    copy_doubled(source, target := tmp_path / "b.mp4")
    assert read_header(target).tags[2:] == (6, 1)


@pytest.mark.parametrize("codec", ["h264", "h265", "prores"])
def test_colour_tags_travel(tmp_path, codec):
    like = new_header(32, 32, 25)
    wide = like.colour._replace(primaries=9, transfer=16, matrix=9)
    like = VideoHeader(**{**vars(like), "colour": wide, "tags": wide, "bits": 10})
    with VideoWriter(path := tmp_path / "a.mov", like, codec=codec) as writer:
        writer.write(np.full((32, 32, 3), 40000, np.uint16), 0)
    with VideoReader(path) as reader:
        assert reader.header.tags == (9, 16, 9, 1)
        assert np.abs(next(iter(reader)).picture.astype(int) - 40000).max() < 300


# What travels along


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_metadata_is_kept(tmp_path, suffix):
    facts_of_camera = {"title": "Meadow", "comment": "noon", "com.maker.lens": "35 mm"}
    source = make_clip(tmp_path / "a.mov", metadata=facts_of_camera, movflags="+use_metadata_tags", frames=3)
    copy_doubled(source, target := tmp_path / f"b{suffix}")
    found = {key.lower(): value for key, value in facts(target).metadata.items()}
    assert facts_of_camera.items() <= found.items()


def test_timecode_and_chapters_are_kept(tmp_path, film):
    source = tmp_path / "a.mov"
    chapters = [{"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
    with av.open(str(film)) as origin, av.open(str(source), "w") as container:
        container.metadata["timecode"] = "01:02:03:04"
        container.set_chapters(chapters)
        video = container.add_stream_from_template(origin.streams.video[0], opaque=True)
        for packet in origin.demux(video=0):
            if packet.size:
                packet.stream = video
                container.mux_one(packet)
    writer = copy_doubled(source, target := tmp_path / "b.mov")
    assert writer.notes == ()
    assert read_header(target).metadata["timecode"] == "01:02:03:04"
    with av.open(str(target)) as container:
        assert [chapter["metadata"].get("title") for chapter in container.chapters()] == ["One"]
    assert facts(target).stamps == facts(source).stamps


def test_subtitles_are_copied_or_said_to_be_left_out(tmp_path, film):
    source = tmp_path / "a.mkv"
    with av.open(str(film)) as origin, av.open(str(source), "w") as container:
        video = container.add_stream_from_template(origin.streams.video[0], opaque=True)
        words = container.add_mux_stream("subrip")
        words.time_base = Fraction(1, 1000)
        for packet in origin.demux(video=0):
            if packet.size:
                packet.stream = video
                container.mux_one(packet)
        line = av.Packet(b"Hello")
        line.stream, line.time_base = words, Fraction(1, 1000)
        line.pts = line.dts = 100
        line.duration = 300
        container.mux_one(line)
    writer = copy_doubled(source, target := tmp_path / "b.mkv")
    assert writer.notes == ()
    with av.open(str(target)) as container:
        lines = [(bytes(packet), packet.pts, packet.duration) for packet in container.demux(subtitles=0) if packet.size]
    assert lines == [(b"Hello", 100, 300)]
    notes = copy_doubled(source, tmp_path / "b.mp4").notes
    assert any("subtitle" in note and "left out" in note for note in notes)


def test_sound_that_the_container_cannot_hold_is_refused_before_work(tmp_path):
    source = make_clip(tmp_path / "a.mkv", audio="libopus", frames=3)
    with pytest.raises(UserError, match=r"does not hold the sound.*mkv"), VideoReader(source) as reader:
        VideoWriter(tmp_path / "b.mov", reader.header, audio_from=source)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mkv"]


# What is refused


def test_odd_sizes_are_refused_with_what_works(tmp_path, film):
    like = read_header(film)
    with pytest.raises(UserError, match=r"97x63.*98x64.*444.*ffv1"):
        VideoWriter(tmp_path / "b.mp4", like, 97, 63)
    for options in ({"sampling": "444"}, {"codec": "ffv1"}):
        with VideoWriter(path := tmp_path / "b.mp4", like, 97, 63, overwrite=True, **options) as writer:
            writer.write(np.zeros((63, 97, 3), np.uint8), 0)
        assert facts(path).size == (97, 63)


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("b.avi", {}, r"\.mp4, \.mov, \.mkv or \.webm"),
        ("b.mp4", {"codec": "h246"}, "Did you mean.*h264"),
        ("b.mp4", {"codec": "prores"}, r"\.mov or \.mkv"),
        ("b.mp4", {"quality": 60}, "0 .best. to 51"),
        ("b.mov", {"codec": "prores", "quality": 3}, "takes no quality"),
        ("b.mp4", {"sampling": "421"}, "420"),
        ("nowhere/b.mp4", {}, "does not exist"),
        ("taken.mp4", {}, "exists already"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, options, told):
    (tmp_path / "taken.mp4").write_bytes(b"mine")
    with pytest.raises(UserError, match=told):
        VideoWriter(tmp_path / name, new_header(32, 32, 25), **options)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.mp4"]
    assert (tmp_path / "taken.mp4").read_bytes() == b"mine"


def test_the_source_is_never_overwritten(tmp_path):
    source = make_clip(tmp_path / "a.mp4", frames=2)
    before = source.read_bytes()
    with pytest.raises(UserError, match="source itself"):
        VideoWriter(source, read_header(source), audio_from=source, overwrite=True)
    assert source.read_bytes() == before


def test_an_error_leaves_nothing_behind(tmp_path, film):
    like = read_header(film)
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "b.mp4", like, audio_from=film) as writer:
        writer.write(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 0)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_frames_that_do_not_fit_are_the_callers_mistake(tmp_path):
    with (
        pytest.raises(ValueError, match="not after"),
        VideoWriter(tmp_path / "b.mp4", new_header(32, 32, 25)) as writer,
    ):
        writer.write(np.zeros((32, 32, 3), np.uint8), 1)
        writer.write(np.zeros((32, 32, 3), np.uint8), 1)
    for picture in (np.zeros((32, 16, 3), np.uint8), np.zeros((32, 32, 3), np.float32), np.zeros((32, 32), np.uint8)):
        like = new_header(32, 32, 25)
        with pytest.raises(ValueError, match="a frame must be"), VideoWriter(tmp_path / "b.mp4", like) as writer:
            writer.write(picture, 0)
    assert list(tmp_path.iterdir()) == []


# Bad input


def test_what_is_no_video_is_named(tmp_path, film):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 99)
    (tmp_path / "noise.mov").write_bytes(np.random.default_rng(0).bytes(4000))
    (tmp_path / "text.txt").write_text("not a video\n" * 99)
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    with av.open(str(tmp_path / "sound.m4a"), "w") as container, av.open(str(film)) as origin:
        sound = container.add_stream_from_template(origin.streams.audio[0])
        for packet in origin.demux(audio=0):
            if packet.size:
                packet.stream = sound
                container.mux_one(packet)
    told = {
        "empty.mp4": "0 bytes",
        "text.mp4": "cannot be read as video",
        "noise.mov": "cannot be read as video",
        "text.txt": "no video|cannot be read",
        "picture.png": "picture",
        "sound.m4a": "no moving picture",
        "none.mp4": "does not exist",
        ".": "is a folder",
    }
    for name, reason in told.items():
        with pytest.raises(UserError, match=reason):
            read_header(tmp_path / name)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_video_that_is_cut_off_names_the_first_missing_frame(tmp_path, film, suffix, share):
    copy_doubled(film, whole := tmp_path / f"whole{suffix}")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with VideoReader(cut, strict=False) as reader:
        readable = len(list(reader))
    assert 0 < readable < FRAMES
    with pytest.raises(UserError, match=rf"cut{suffix} ends early") as counted:
        read_header(cut)
    with pytest.raises(UserError, match=rf"cut{suffix}.* frame \d+ ") as read, VideoReader(cut) as reader:
        list(reader)
    for caught in (counted, read):
        named = int(re.search(r"frame (\d+) ", str(caught.value))[1])
        # Frames that wait for a later one are counted by the first, and cannot be decoded by the second.
        assert readable <= named <= readable + 2


def test_frames_that_wait_in_the_decoder_when_the_file_turns_out_damaged_are_given(film, monkeypatch):
    class Damaged:
        def __init__(self, container):
            self.container = container

        def __getattr__(self, name):
            return getattr(self.container, name)

        def demux(self, stream):
            yield from itertools.islice(self.container.demux(stream), 12)
            raise av.error.InvalidDataError(1, "damaged")

    opened = reader_module.open_container
    monkeypatch.setattr(reader_module, "open_container", lambda path: Damaged(opened(path)))
    with VideoReader(film, strict=False) as reader:
        assert [index for index, _, _ in reader] == list(range(12))


def test_a_frame_that_cannot_be_decoded_is_named(tmp_path, film):
    # Pictures that stand alone, so that the damage to one is its own.
    copy_doubled(film, whole := tmp_path / "whole.mov", codec="prores")
    with av.open(str(whole)) as container:
        place, size = next((p.pos, p.size) for n, p in enumerate(container.demux(video=0)) if n == 7)
    data = bytearray(whole.read_bytes())
    data[place + 4 : place + size] = bytes(size - 4)
    (damaged := tmp_path / "damaged.mov").write_bytes(data)
    with pytest.raises(UserError, match="frame 7 cannot be decoded"), VideoReader(damaged) as reader:
        list(reader)
    with VideoReader(damaged, strict=False) as reader:
        frames = list(reader)
        assert reader.lost == 1
    assert len(frames) == FRAMES - 1
    assert [frame.pts for frame in frames] == [1001 * number for number in range(FRAMES) if number != 7]


def test_reading_holds_no_more_than_a_few_frames(film):
    with VideoReader(film) as reader:
        frames = iter(reader)
        assert frames is not reader
        assert [next(frames).number for _ in range(3)] == [0, 1, 2]
