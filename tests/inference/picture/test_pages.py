"""Files of more than one picture, and hidden colours: nothing is lost in silence; read back by Pillow and OpenEXR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR
import pytest
import tifffile
import torch.nn.functional as F
from PIL import Image
from torch import nn

from ganvas.errors import UserError
from ganvas.inference.picture.files import Output, upscale_files
from ganvas.inference.picture.pages import upscale_any
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures.parts import Part, read_parts, write_parts

COLOURS = ((255, 0, 0), (0, 130, 0), (0, 0, 255))


class Nearest(nn.Module):
    def forward(self, x):
        return F.interpolate(x, scale_factor=2, mode="nearest")


@pytest.fixture
def up():
    return Upscaler(Nearest(), precision="float32", device="cpu")


def run(up, source: Path, target: Path, **options):
    return upscale_any(up, source, target, Output(**options), lambda *_: None)


def animation(path: Path, alpha: bool = False) -> Path:
    frames = [Image.new("RGBA" if alpha else "RGB", (32, 24), colour) for colour in COLOURS]
    if alpha:
        # Half of it glass: what is wholly clear libwebp leaves out, and with it the sign that there is alpha.
        clear = Image.fromarray(np.tile(np.where(np.arange(32) < 16, 255, 90).astype(np.uint8), (24, 1)))
        for frame in frames:
            frame.putalpha(clear)
    options = {"quality": 100, "subsampling": "4:4:4"} if path.suffix == ".avif" else {"loop": 0, "lossless": True}
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 200, 300], **options)
    return path


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif"])
@pytest.mark.parametrize("target", [".gif", ".png", ".webp", ".avif"])
def test_animations_keep_frames_and_times(tmp_path, up, suffix, target):
    result = run(up, animation(tmp_path / f"a{suffix}"), tmp_path / f"b{target}", quality=100)
    with Image.open(result.output) as copy:
        assert copy.n_frames == result.frames == 3 and copy.size == (64, 48)
        assert copy.info.get("loop", 0) == 0 or target == ".avif"
        for number, colour in enumerate(COLOURS):
            copy.seek(number)
            assert np.abs(np.asarray(copy.convert("RGB")).astype(int) - colour).max() <= 6
            assert copy.info["duration"] == 100 * (number + 1)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif"])
def test_alpha_of_animations_is_kept(tmp_path, up, suffix):
    result = run(up, animation(tmp_path / f"a{suffix}", alpha=True), tmp_path / f"b{suffix}", quality=100)
    with Image.open(result.output) as copy:
        copy.seek(2)
        pixels = np.asarray(copy.convert("RGBA"))
    assert (pixels[:, :31, 3] == 255).all() and np.abs(pixels[:, 33:, 3].astype(int) - 90).max() <= 1


def test_an_animation_becomes_a_video(tmp_path, up):
    import av

    from ganvas.inference.picture.video import upscale_video

    source = animation(tmp_path / "a.gif")
    upscale_video(source, tmp_path / "b.mp4", lambda p: p.repeat(2, 0).repeat(2, 1), scale=2, settings={})
    with av.open(str(tmp_path / "b.mp4")) as film:
        frames = list(film.decode(video=0))
    assert [round(float(frame.pts * frame.time_base), 3) for frame in frames] == [0, 0.1, 0.3]


def test_what_holds_one_picture_says_which(tmp_path, up):
    assert "frame 1 of 3" in run(up, animation(tmp_path / "a.gif"), tmp_path / "b.jpg").note
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 24, 32, 3), np.uint8), photometric="rgb")
    assert "page 1 of 3" in run(up, tmp_path / "a.tif", tmp_path / "b.png").note


def test_pages_of_tiff_of_any_kind_are_all_upscaled(tmp_path, up):
    rng = np.random.default_rng(0)
    pages = [
        rng.integers(0, 255, (24, 32, 3), np.uint8),
        rng.integers(0, 65535, (10, 14), np.uint16),
        rng.random((8, 6, 3)).astype(np.float32),
    ]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in pages:
            file.write(page, photometric="rgb" if page.ndim == 3 else "minisblack")
    result = run(up, tmp_path / "a.tif", tmp_path / "b.tif")
    assert "3 pages" in result.note
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert len(file.pages) == 3
        for before, after in zip(pages, file.pages, strict=True):
            grown = after.asarray()
            assert grown.dtype == before.dtype
            wanted = before.repeat(2, 0).repeat(2, 1)
            assert np.abs(grown.astype(float) - wanted).max() <= (1e-5 if before.dtype.kind == "f" else 0)


def test_a_bad_page_leaves_nothing_behind(tmp_path, up):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 24, 32, 3), np.uint8), photometric="rgb", compression="zlib")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset = file.pages[2].dataoffsets[0]
    data[offset : offset + 20] = b"\xff" * 20
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        run(up, tmp_path / "a.tif", tmp_path / "b.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def exr(path: Path) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    channels = {
        name: rng.random((12, 16)).astype(np.float16) for name in ("R", "G", "B", "diffuse.R", "diffuse.G", "diffuse.B")
    }
    channels |= {"Z": (1000 * rng.random((12, 16))).astype(np.float32), "A": np.ones((12, 16), np.float16)}
    channels |= {"id": rng.integers(0, 2**32, (12, 16), np.uint32), "N.X": rng.random((12, 16)).astype(np.float16)}
    window = (np.array([0, 0], np.int32), np.array([15, 11], np.int32))
    plain = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, "dataWindow": window}
    plain |= {"displayWindow": window, "owner": "me"}
    beauty = {name: channels[name] for name in ("R", "G", "B", "A", "diffuse.R", "diffuse.G", "diffuse.B")}
    rest = {name: channels[name] for name in ("Z", "id", "N.X")}
    parts = [OpenEXR.Part({**plain, "name": "beauty"}, beauty), OpenEXR.Part({**plain, "name": "data"}, rest)]
    OpenEXR.File(parts).write(str(path))
    return channels


def test_parts_and_channels_of_openexr_stay_what_they_are(tmp_path, up):
    before = exr(tmp_path / "a.exr")
    result = run(up, tmp_path / "a.exr", tmp_path / "b.exr")
    assert "2 parts" in result.note and "Z" in result.note
    with OpenEXR.File(str(tmp_path / "b.exr"), separate_channels=True) as file:
        assert [part.header["name"] for part in file.parts] == ["beauty", "data"]
        assert file.parts[0].header["owner"] == "me"
        after = {name: c.pixels for part in file.parts for name, c in part.channels.items()}
    assert after.keys() == before.keys()
    for name, channel in after.items():
        assert channel.dtype == before[name].dtype and channel.shape == (24, 32)
        if name in ("Z", "id"):
            assert np.array_equal(channel, before[name].repeat(2, 0).repeat(2, 1))
        elif name != "N.X":
            assert np.abs(channel - before[name].repeat(2, 0).repeat(2, 1)).max() < 2e-3


def test_groups_of_channels():
    grid = np.zeros((2, 2), np.float16)
    part = Part(
        dict.fromkeys(("A", "B", "G", "R", "N.X", "N.Y", "N.Z", "Y", "spec.R", "spec.G", "spec.B", "RY"), grid), {}
    )
    assert part.groups() == [
        ("R", "G", "B", "A"),
        ("spec.R", "spec.G", "spec.B"),
        ("N.X",),
        ("N.Y",),
        ("N.Z",),
        ("Y",),
        ("RY",),
    ]


def test_deep_data_are_refused_by_name(tmp_path, up):
    window = (np.array([0, 0], np.int32), np.array([1, 1], np.int32))
    header = {
        "compression": OpenEXR.ZIPS_COMPRESSION,
        "type": OpenEXR.deepscanline,
        "dataWindow": window,
        "displayWindow": window,
    }
    pixels = np.empty((2, 2), object)
    for at in np.ndindex(2, 2):
        pixels[at] = np.array([1, 2], np.float32)
    try:
        OpenEXR.File(header, {"Z": pixels}).write(str(tmp_path / "a.exr"))
    except Exception:
        pytest.skip("this OpenEXR writes no deep data")
    with pytest.raises(UserError, match="deep"):
        run(up, tmp_path / "a.exr", tmp_path / "b.exr")


def test_a_taken_name_of_parts_is_not_overwritten(tmp_path):
    exr(tmp_path / "a.exr")
    with pytest.raises(UserError, match="--overwrite"):
        write_parts(tmp_path / "a.exr", read_parts(tmp_path / "a.exr"))


# --- hidden colours ---------------------------------------------------------------------------------------------------


def texture(path: Path) -> np.ndarray:
    rgba = np.random.default_rng(3).integers(1, 255, (16, 20, 4), np.uint8)
    rgba[:, :10, 3] = 0
    Image.fromarray(rgba).save(path)
    return rgba


def test_hidden_colours_are_kept_on_request_and_told_of(tmp_path, up):
    rgba = texture(tmp_path / "a.png")
    wanted = rgba.repeat(2, 0).repeat(2, 1)
    plain = run(up, tmp_path / "a.png", tmp_path / "b.png")
    assert "keep-rgb" in plain.note and not np.asarray(Image.open(plain.output))[:, :20, :3].any()
    kept = run(up, tmp_path / "a.png", tmp_path / "c.png", alpha="keep-rgb")
    assert kept.note == "" and np.array_equal(np.asarray(Image.open(kept.output)), wanted)
    apart = run(up, tmp_path / "a.png", tmp_path / "d.png", alpha="separate")
    assert np.array_equal(np.asarray(Image.open(apart.output)), wanted[..., :3]) and "d_alpha.png" in apart.note
    assert np.array_equal(np.asarray(Image.open(tmp_path / "d_alpha.png")), wanted[..., 3])
    ignored = run(up, tmp_path / "a.png", tmp_path / "e.jpg", alpha="ignore")
    assert Image.open(ignored.output).mode == "RGB"


def test_alpha_apart_never_overwrites(tmp_path, up):
    texture(tmp_path / "a.png")
    texture(tmp_path / "b_alpha.png")
    with pytest.raises(UserError, match="b_alpha"):
        run(up, tmp_path / "a.png", tmp_path / "b.png", alpha="separate")


def test_pictures_with_nothing_hidden_have_no_note(tmp_path, up):
    rgba = texture(tmp_path / "a.png")
    rgba[rgba[..., 3] == 0] = 0
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert run(up, tmp_path / "a.png", tmp_path / "b.png").note == ""
    assert [r.error for r in upscale_files(up, [tmp_path / "a.png"], tmp_path / "out")] == [""]
