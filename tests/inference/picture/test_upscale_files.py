"""Picture files through a network: kept as they were, streamed, many at once, and none can stop the others."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ganvas import device as devices
from ganvas.errors import UserError
from ganvas.inference.picture import files
from ganvas.inference.picture.files import Output, preview, upscale_file, upscale_files
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.result import CancelToken, Moved, Progress, Result
from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import LINE_PX
from ganvas.io.pictures.images import Header, Reader, Writer
from ganvas.networks.rrdb.net import CompactNet


class Nearest(nn.Module):
    def forward(self, x):
        return F.interpolate(x, scale_factor=2, mode="nearest")


def compact():
    torch.manual_seed(0)
    return CompactNet(width=8, convs=2, scale=2).eval()


@pytest.fixture
def up():
    return Upscaler(Nearest(), precision="float32", device="cpu")


def write(path, picture, **facts):
    picture = picture if picture.ndim == 3 else picture[..., None]
    height, width, channels = picture.shape
    header = Header(width=width, height=height, channels=channels, dtype=picture.dtype.name, format="png", **facts)
    with Writer(path, header, width, height, quality=100) as writer:
        writer.write_rows(picture)
    return path


def read(path):
    with Reader(path) as reader:
        return reader.header, reader.rows(0, reader.header.height)


def repeat(picture):
    return picture.repeat(2, axis=0).repeat(2, axis=1)


def noise(shape, dtype="uint8"):
    random = np.random.default_rng(0)
    if dtype.startswith("float"):
        return random.random(shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels"),
    [
        (".png", "uint8", 1),
        (".png", "uint8", 3),
        (".png", "uint16", 3),
        (".png", "uint16", 1),
        (".tif", "uint16", 3),
        (".tif", "float32", 3),
        (".exr", "float16", 3),
        (".exr", "float32", 3),
        (".bmp", "uint8", 3),
        (".tga", "uint8", 3),
    ],
)
def test_depth_channels_and_values_are_kept(tmp_path, up, suffix, dtype, channels):
    picture = noise((37, 51, channels), dtype)
    source = write(tmp_path / f"in{suffix}", picture)
    result = upscale_file(up, source, tmp_path / f"out{suffix}")
    header, rows = read(tmp_path / f"out{suffix}")
    assert (header.dtype, header.channels) == (dtype, channels)
    np.testing.assert_allclose(rows.astype(float), repeat(picture).astype(float), rtol=1e-3, atol=1e-6)
    assert (result.width, result.height, result.error) == (102, 74, "")
    assert result.precision == "float32"
    assert json.loads(json.dumps(result.row()))["megapixels"] == 0.008


def test_straight_alpha_of_png_and_associated_alpha_of_exr(tmp_path, up):
    picture = np.zeros((20, 20, 4), np.float32)
    picture[:, :10] = (0.8, 0.4, 0.2, 1.0)
    picture[:, 5:10, 3] = 0.5
    straight = (picture * 255).round().astype(np.uint8)
    source = write(tmp_path / "in.png", straight)
    upscale_file(up, source, tmp_path / "out.png")
    assert np.abs(read(tmp_path / "out.png")[1].astype(int) - repeat(straight)).max() <= 1
    associated = np.concatenate([picture[..., :3] * picture[..., 3:], picture[..., 3:]], axis=-1)
    source = write(tmp_path / "in.exr", associated, associated_alpha=True)
    upscale_file(up, source, tmp_path / "out.exr")
    np.testing.assert_allclose(read(tmp_path / "out.exr")[1], repeat(associated), atol=1e-5)


def test_highlights_of_an_exr_survive(tmp_path, up):
    light = np.full((16, 16, 3), 0.18, np.float32)
    light[4:8, 4:8] = 20.0
    light[0, 0] = -0.25
    source = write(tmp_path / "in.exr", light)
    upscale_file(up, source, tmp_path / "out.exr")
    np.testing.assert_allclose(read(tmp_path / "out.exr")[1], repeat(light), rtol=1e-4)


def test_a_file_equals_the_array(tmp_path):
    up = Upscaler(compact(), precision="float32", device="cpu", tile=64)
    picture = noise((150, 90, 3))
    source = write(tmp_path / "in.png", picture)
    for output in (Output(), Output(factor=3.5), Output(size=(300, 0)), Output(long_side=77)):
        name = tmp_path / "out.png"
        upscale_file(up, source, name, replace(output, overwrite=True))
        expected = up(picture, factor=output.factor, size=output.size, long_side=output.long_side)
        np.testing.assert_array_equal(read(name)[1], expected)


@pytest.mark.parametrize("region", [(0, 0, 40, 30), (31, 17, 20, 25), (60, 90, 30, 30), (5, 5, 1, 1)])
@pytest.mark.parametrize("factor", [None, 4])
def test_a_crop_is_that_part_of_the_whole_result(tmp_path, region, factor):
    net = compact()
    up = Upscaler(net, precision="float32", device="cpu", halo_px=net.receptive_halo_px)
    picture = noise((120, 90, 3))
    source = write(tmp_path / "in.png", picture)
    upscale_file(up, source, tmp_path / "out.png", Output(crop=tuple(region), factor=factor))
    x, y, width, height = (value * (factor or 2) for value in region)
    whole = up(picture, factor=factor)[y : y + height, x : x + width].astype(int)
    assert np.abs(read(tmp_path / "out.png")[1] - whole).max() <= 1


def test_a_crop_outside_the_picture_is_refused(tmp_path, up):
    source = write(tmp_path / "in.png", noise((10, 10, 3)))
    for region in ((5, 5, 6, 1), (-1, 0, 2, 2), (0, 0, 0, 5)):
        with pytest.raises(UserError, match="10 x 10"):
            upscale_file(up, source, tmp_path / "out.png", Output(crop=tuple(region)))
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_preview_shows_bicubic_and_every_model_side_by_side(tmp_path, up):
    picture = noise((40, 50, 3))
    source = write(tmp_path / "in.png", picture)
    other = Upscaler(compact(), precision="float32", device="cpu")
    strip, names = preview(source, [up, other], (10, 10, 20, 15))
    assert names == ["bicubic", "Nearest", "CompactNet"]
    assert strip.shape == (30 + LINE_PX, 3 * 40 + 2 * files.PREVIEW_GAP_PX, 3)
    np.testing.assert_array_equal(strip[LINE_PX:, 40 + files.PREVIEW_GAP_PX :][:, :40], repeat(picture[10:25, 10:30]))


@pytest.mark.parametrize("dtype, channels", [("uint8", 3), ("uint16", 1), ("uint8", 4), ("float32", 3)])
def test_names_stand_above_the_parts_of_a_preview(tmp_path, up, dtype, channels):
    source = write(tmp_path / ("in.exr" if dtype == "float32" else "in.png"), noise((80, 120, channels), dtype))
    strip, _ = preview(source, [up], (0, 0, 120, 80))
    line, full = strip[:LINE_PX], np.iinfo(dtype).max if dtype != "float32" else 1
    assert strip.dtype == dtype
    for start in (0, 240 + files.PREVIEW_GAP_PX):
        name = line[:, start : start + 240]
        # Light letters at the left of a dark line, as long as a name is.
        assert name[..., 0].max() > full / 2 and np.median(name[..., 0]) == 0 and not name[:, 150:, 0].any()
    assert channels != 4 or (line[..., 3] == full).all()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    write(root / "a.png", noise((9, 8, 3)))
    write(root / "sub" / "a.png", noise((7, 8, 3), "uint16"))
    (root / "broken.png").write_bytes((root / "a.png").read_bytes()[:60])
    (root / "empty.jpg").write_bytes(b"")
    (root / "notes.txt").write_text("no picture")
    return root


def test_a_batch_keeps_names_and_folders_and_survives_bad_files(tmp_path, folder, up):
    events = []
    results = upscale_files(
        up,
        [folder, tmp_path / "missing.png"],
        tmp_path / "out",
        progress=Progress(events.append),
    )
    assert [event for event in events if isinstance(event, Result)] == results
    good = {Path(r.output).relative_to(tmp_path / "out").as_posix() for r in results if not r.error}
    assert good == {"a.png", "sub/a.png"}
    bad = {Path(r.input).name: r.error for r in results if r.error}
    assert set(bad) == {"broken.png", "empty.jpg", "missing.png"}
    assert all(text and "\n" not in text for text in bad.values())
    left = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert left == ["a.png", "sub/a.png"]
    assert Moved(str(folder / "a.png"), 18, 18) in events


def test_a_cancelled_batch_leaves_whole_files_only(tmp_path):
    up = Upscaler(Nearest(), precision="float32", device="cpu", tile=80)
    (tmp_path / "in").mkdir()
    for name in ("a", "b", "c"):
        write(tmp_path / "in" / f"{name}.png", noise((300, 60, 3)))
    token = CancelToken()

    def listen(event):
        if isinstance(event, Moved) and event.name.endswith("b.png") and 0 < event.done < event.total:
            token.cancel()

    results = upscale_files(up, [tmp_path / "in"], tmp_path / "out", progress=Progress(listen, token=token))
    assert [Path(result.output).name for result in results] == ["a.png"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]
    assert images.read(tmp_path / "out" / "a.png")[0].shape == (600, 120, 3)


def test_nothing_is_overwritten_unless_allowed(tmp_path, folder, up):
    out = tmp_path / "out"
    first = upscale_files(up, [folder / "a.png"], out)
    assert not first[0].error
    before = (out / "a.png").read_bytes()
    again = upscale_files(up, [folder / "a.png"], out)
    assert "there already" in again[0].error
    assert (out / "a.png").read_bytes() == before
    assert not upscale_files(up, [folder / "a.png"], out, Output(overwrite=True))[0].error
    itself = upscale_files(up, [folder / "a.png"], folder, Output(overwrite=True))
    assert "itself" in itself[0].error


def test_one_input_may_name_its_output_file_and_a_pattern_names_many(tmp_path, folder, up):
    assert not upscale_files(up, [folder / "a.png"], tmp_path / "big.tif")[0].error
    assert (tmp_path / "big.tif").is_file()
    results = upscale_files(up, [str(folder / "**" / "a.png")], tmp_path / "out", pattern="{name}-{model}-x{scale}")
    assert {Path(r.output).name for r in results} == {"a-Nearest-x2.png"}
    # Both files of the glob get the same name: the second is refused, not lost over the first.
    assert sorted(bool(r.error) for r in results) == [False, True]
    with pytest.raises(UserError, match="pattern"):
        upscale_files(up, [folder / "a.png"], tmp_path / "out2", pattern="{nme}")


def test_results_inside_the_input_folder_are_not_upscaled_again(folder, up):
    for _ in range(2):
        results = upscale_files(up, [folder], folder / "up", Output(overwrite=True))
        assert {Path(r.input).relative_to(folder).as_posix() for r in results if not r.error} == {"a.png", "sub/a.png"}


def test_an_unwritable_folder_is_told_for_each_file(tmp_path, folder, up):
    (tmp_path / "out").write_text("a file where the folder should be")
    results = upscale_files(up, [folder / "a.png", folder / "sub" / "a.png"], tmp_path / "out" / "deep")
    assert len(results) == 2
    assert all("Cannot" in r.error for r in results)


def test_what_cannot_fit_is_refused_before_the_network_runs(tmp_path, monkeypatch):
    class Never(nn.Module):
        card = None

        def forward(self, x):
            if x.shape[2] > 32:
                raise AssertionError("the network ran")
            return F.interpolate(x, scale_factor=2)

    up = Upscaler(Never(), precision="float32", device="cpu")
    from PIL import Image

    Image.fromarray(noise((200, 200, 3))).save(tmp_path / "progressive.jpg", progressive=True)
    plain = write(tmp_path / "plain.png", noise((200, 200, 3)))
    with monkeypatch.context() as patch:
        patch.setattr(devices, "free_memory", lambda device: 100_000)
        with pytest.raises(UserError, match=r"decoded whole.*GB"):
            upscale_file(up, tmp_path / "progressive.jpg", tmp_path / "out.png")
        with pytest.raises(UserError, match="encoded whole"):
            upscale_file(up, plain, tmp_path / "out.webp")
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 10_000))
        with pytest.raises(UserError, match="disk"):
            upscale_file(up, plain, tmp_path / "out.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plain.png", "progressive.jpg"]


@pytest.mark.parametrize("error", [RuntimeError("a defect"), KeyboardInterrupt()])
def test_nothing_half_written_is_left_when_the_network_fails_or_the_user_stops(tmp_path, error):
    class Fails(nn.Module):
        calls = 0

        def forward(self, x):
            Fails.calls += x.shape[2] > 32
            if Fails.calls > 2:
                raise error
            return F.interpolate(x, scale_factor=2)

    up = Upscaler(Fails(), precision="float32", device="cpu", tile=80)
    source = write(tmp_path / "in.png", noise((300, 60, 3)))
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            upscale_files(up, [source], tmp_path / "out")
    else:
        assert "a defect" in upscale_files(up, [source], tmp_path / "out")[0].error
    assert list((tmp_path / "out").iterdir()) == []


def test_odd_pictures_go_through(tmp_path, up):
    from PIL import Image

    picture = Image.fromarray(noise((12, 10, 3)))
    variants = {
        "palette.png": picture.convert("P"),
        "one-bit.png": picture.convert("1"),
        "cmyk.jpg": picture.convert("CMYK"),
        "pixel.png": picture.crop((0, 0, 1, 1)),
    }
    for name, variant in variants.items():
        variant.save(tmp_path / name)
    picture.save(tmp_path / "animated.gif", save_all=True, append_images=[picture.rotate(90)])
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    results = upscale_files(up, [tmp_path], tmp_path / "out")
    assert [r.error for r in results] == [""] * 6
    sizes = {Path(r.output).name: (r.width, r.height) for r in results}
    assert sizes["pixel.png"] == (2, 2)
    assert sizes["turned.jpg"] == (24, 20)
    assert sizes["animated.png"] == (20, 24)


MEASURE = """
import sys, torch
from ganvas.device import peak_memory
from ganvas.inference.picture.files import upscale_file
from ganvas.inference.picture.upscale import Upscaler
from ganvas.networks.rrdb.net import CompactNet
torch.set_num_threads(1)
up = Upscaler(CompactNet(width=4, convs=0, scale=2), precision="float32", device="cpu", halo_px=2, tile=96)
upscale_file(up, sys.argv[1], sys.argv[2])
print(peak_memory())
"""


@pytest.mark.parametrize("suffix", [".png"])
def test_a_high_picture_is_never_held_whole(tmp_path, suffix):
    # What waits to be written and kept, and what the C library keeps, grows to about 130 MB and no further: measured,
    # 20,000 rows and 60,000 take the same. Held whole, what is written of 20,000 would take 235 MB more than of 400.
    peaks, heights = [], (400, 20_000)
    for height in heights:
        row = noise((1, 1000, 3))
        source = write(tmp_path / f"in{height}{suffix}", np.broadcast_to(row, (height, 1000, 3)))
        command = [sys.executable, "-c", MEASURE, str(source), str(tmp_path / f"out{height}{suffix}")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        peaks.append(int(done.stdout))
    assert peaks[1] - peaks[0] < 180e6
    assert read(tmp_path / f"out{heights[1]}{suffix}")[0].height == 2 * heights[1]
