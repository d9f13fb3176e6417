"""Picture files against independent readers and writers: Pillow, tifffile, and plain ones written out here."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from ganvas.errors import UserError
from ganvas.io.pictures import images

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
EXACT = [
    *[("png", dtype, channels) for dtype in ("uint8", "uint16") for channels in (1, 2, 3, 4)],
    *[("tif", dtype, channels) for dtype in ("uint8", "uint16", "float32") for channels in (1, 2, 3, 4)],
    *[("exr", dtype, channels) for dtype in ("float16", "float32") for channels in (1, 3)],
    *[("dpx", dtype, channels) for dtype in ("uint8", "uint16", "float32") for channels in (1, 3, 4)],
    *[("jxl", dtype, channels) for dtype in ("uint16", "float16", "float32") for channels in (1, 3, 4)],
    *[(suffix, "uint8", channels) for suffix in ("tga", "bmp") for channels in (1, 3, 4)],
    *[("ppm", dtype, 3) for dtype in ("uint8", "uint16")],
    *[("pgm", dtype, 1) for dtype in ("uint8", "uint16")],
]


def noise(dtype: str, channels: int, height: int = 23, width: int = 31, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random((height, width, channels))
    if dtype.startswith("uint"):
        return (values * (np.iinfo(dtype).max + 1)).astype(dtype)
    return (values * 3).astype(dtype)


def smooth(channels: int, height: int = 40, width: int = 56) -> np.ndarray:
    across, down = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 50, height))
    return np.stack([across + down + 3 * c for c in range(channels)], axis=-1).astype(np.uint8)


def png_bytes(array: np.ndarray) -> bytes:
    """A PNG of 8 or 16 bits, written by the letter of its specification."""
    height, width, channels = array.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    raw = b"".join(b"\0" + row.astype(array.dtype.newbyteorder(">")).tobytes() for row in array)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, array.dtype.itemsize * 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def png_array(data: bytes) -> np.ndarray:
    """The pixels of a non-interlaced PNG of 8 or 16 bits, decoded by the letter of its specification."""
    at, body = 8, b""
    width = height = depth = kind = 0
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at : at + 8])
        chunk = data[at + 8 : at + 8 + length]
        if name == b"IHDR":
            width, height, depth, kind = struct.unpack(">IIBB", chunk[:10])
        body += chunk if name == b"IDAT" else b""
        at += 12 + length
    channels = {0: 1, 4: 2, 2: 3, 6: 4}[kind]
    step, raw, rows = channels * depth // 8, zlib.decompress(body), []
    above = [0] * (width * step)
    for y in range(height):
        line = raw[y * (width * step + 1) : (y + 1) * (width * step + 1)]
        row: list[int] = []
        for x, byte in enumerate(line[1:]):
            a, b, c = (row[x - step] if x >= step else 0), above[x], (above[x - step] if x >= step else 0)
            p = a + b - c
            nearest = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            row.append((byte + (0, a, b, (a + b) // 2, nearest)[line[0]]) & 255)
        rows.append(bytes(row))
        above = row
    dtype = np.dtype(np.uint8 if depth == 8 else ">u2")
    return np.frombuffer(b"".join(rows), dtype).reshape(height, width, channels).astype(dtype.newbyteorder("="))


def exr_bytes(channels: dict[str, np.ndarray], data_xy: tuple[int, int] = (0, 0), display=None) -> bytes:
    """An uncompressed scan-line EXR of half and float channels, written by the letter of its specification."""
    names = sorted(channels)
    height, width = channels[names[0]].shape
    x, y = data_xy
    data_window = (x, y, x + width - 1, y + height - 1)
    kinds = {np.dtype(np.float16): 1, np.dtype(np.float32): 2}
    entries = b"".join(
        name.encode() + b"\0" + struct.pack("<iB3xii", kinds[channels[name].dtype], 0, 1, 1) for name in names
    )
    attributes = [
        ("channels", "chlist", entries + b"\0"),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", struct.pack("<4i", *data_window)),
        ("displayWindow", "box2i", struct.pack("<4i", *(display or data_window))),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ]
    head = struct.pack("<II", 20000630, 2) + b"".join(
        f"{name}\0{kind}\0".encode() + struct.pack("<i", len(body)) + body for name, kind, body in attributes
    )
    head += b"\0"
    lines = [b"".join(channels[name][row].tobytes() for name in names) for row in range(height)]
    start = len(head) + 8 * height
    offsets = [start + row * (8 + len(lines[0])) for row in range(height)]
    body = b"".join(struct.pack("<ii", y + row, len(line)) + line for row, line in enumerate(lines))
    return head + struct.pack(f"<{height}Q", *offsets) + body


# --- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("dither", [False, True])
def test_every_level_survives_the_way_through_float(dtype, dither):
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    floats = images.to_float(levels)
    assert floats.dtype == np.float32
    assert floats[0] == 0 and floats[-1] == 1
    back = images.from_float(floats, dtype, dither)
    off = np.abs(back.astype(int) - levels)
    # Dithering may move a level that float32 puts a hair below a whole number, and no other.
    assert off.max() <= dither and off.mean() < 0.01


@given(st.floats(-10, 10, width=32), st.sampled_from(["uint8", "uint16"]))
@settings(max_examples=200, deadline=None)
def test_rounding_is_half_up_and_clipped(value, dtype):
    top = np.iinfo(dtype).max
    exact = min(max(float(value), 0.0), 1.0) * top
    got = int(images.from_float(np.array([value], np.float32), dtype)[0])
    assert abs(got - exact) <= 0.5 + 0.01


def test_half_is_rounded_up_and_nan_is_black():
    values = np.array([0.5 / 255, 1.5 / 255, np.nan, np.inf, -np.inf], np.float64)
    assert images.from_float(values, "uint8").tolist() == [1, 2, 0, 255, 0]


def test_dither_keeps_the_mean_of_a_flat_field():
    field = np.full((64, 64, 3), 100.3 / 255, np.float32)
    levels = images.from_float(field, "uint8", dither=True)
    assert set(np.unique(levels)) == {100, 101}
    assert abs(levels.mean() - 100.3) < 0.02


def test_floats_keep_values_above_one():
    values = np.array([20.0, -1.0], np.float16)
    assert images.to_float(values).tolist() == [20.0, -1.0]
    assert images.from_float(images.to_float(values), "float16").tolist() == [20.0, -1.0]


def test_unpremultiply_undoes_premultiply_where_alpha_is_not_zero():
    picture = np.random.default_rng(0).random((5, 6, 4)).astype(np.float32) + 0.01
    assert np.allclose(images.unpremultiply(images.premultiply(picture)), picture, atol=1e-6)
    glow = np.array([[[0.5, 0.25, 1.0, 0.0]]], np.float32)
    assert images.unpremultiply(glow).tolist() == glow.tolist()


# --- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("suffix", "dtype", "channels"), EXACT)
def test_round_trip_is_exact(tmp_path, suffix, dtype, channels):
    array = noise(dtype, channels)
    path = images.write(tmp_path / f"a.{suffix}", array)
    back, header = images.read(path)
    assert (header.width, header.height, header.channels, header.dtype) == (31, 23, channels, dtype)
    assert header.scene_linear == dtype.startswith("float")
    assert np.array_equal(back, array)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


SHARED_WITH_PILLOW = [
    *[(suffix, channels) for suffix in ("png", "tif") for channels in (1, 2, 3, 4)],
    *[("tga", channels) for channels in (1, 3, 4)],
    *[("bmp", 3), ("ppm", 3), ("pgm", 1)],
]


@pytest.mark.parametrize(("suffix", "channels"), SHARED_WITH_PILLOW)
def test_pillow_reads_what_we_write_and_we_read_what_pillow_writes(tmp_path, suffix, channels):
    array = noise("uint8", channels)
    ours = Image.open(images.write(tmp_path / f"ours.{suffix}", array))
    assert ours.mode == MODES[channels]
    assert np.array_equal(np.asarray(ours).reshape(array.shape), array)
    theirs = tmp_path / f"theirs.{suffix}"
    Image.fromarray(array.squeeze(), MODES[channels]).save(theirs)
    assert np.array_equal(images.read(theirs)[0], array)


def test_the_fourth_channel_of_a_bmp_does_not_disturb_the_colours_of_others(tmp_path):
    array = noise("uint8", 4)
    pillow = Image.open(images.write(tmp_path / "a.bmp", array))
    assert np.array_equal(np.asarray(pillow.convert("RGB")), array[..., :3])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_against_a_plain_reader_and_writer(tmp_path, channels):
    array = noise("uint16", channels)
    ours = images.write(tmp_path / "ours.png", array)
    assert np.array_equal(png_array(ours.read_bytes()), array)
    (tmp_path / "theirs.png").write_bytes(png_bytes(array))
    back, header = images.read(tmp_path / "theirs.png")
    assert header.dtype == "uint16" and np.array_equal(back, array)


def test_a_dark_sixteen_bit_picture_stays_sixteen_bit(tmp_path):
    dark = (noise("uint8", 3) % 200).astype(np.uint16)
    (tmp_path / "dark.png").write_bytes(png_bytes(dark))
    back, header = images.read(tmp_path / "dark.png")
    assert header.dtype == "uint16" and np.array_equal(back, dark)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tifffile_reads_what_we_write(tmp_path, dtype):
    array = noise(dtype, 3)
    path = images.write(tmp_path / "a.tif", array, images.Header(31, 23, 3, dtype, "tiff"))
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.dtype == dtype and page.shape == array.shape  # type: ignore[union-attr]
        if page.compression == 1:  # type: ignore[union-attr]
            assert np.array_equal(page.asarray(), array)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
@pytest.mark.parametrize("layout", ["strips", "tiles", "planes"])
def test_tiff_layouts_of_others(tmp_path, dtype, layout):
    array = noise(dtype, 3, height=50, width=70)
    options = {"strips": {"rowsperstrip": 7}, "tiles": {"tile": (32, 16)}, "planes": {"planarconfig": "separate"}}[
        layout
    ]
    stored = np.ascontiguousarray(array.transpose(2, 0, 1)) if layout == "planes" else array
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", **options)
    with images.Reader(tmp_path / "a.tif") as reader:
        assert reader.header.dtype == dtype
        got = np.concatenate([reader.rows(start, min(start + 9, 50)) for start in range(0, 50, 9)])
    assert np.array_equal(got, array)


def test_odd_tiff_sample_types_become_float(tmp_path):
    array = np.random.default_rng(0).random((5, 6)).astype(np.float64)
    tifffile.imwrite(tmp_path / "double.tif", array)
    back, header = images.read(tmp_path / "double.tif")
    assert header.dtype == "float32" and "float32" in header.note
    assert np.allclose(back[..., 0], array, atol=1e-6)


def test_jpeg_is_near_and_as_pillow_sees_it(tmp_path):
    array = smooth(3)
    path = images.write(tmp_path / "a.jpg", array, quality=98)
    pillow = np.asarray(Image.open(path)).astype(int)
    assert np.abs(pillow - array).max() <= 8
    assert np.abs(images.read(path)[0].astype(int) - pillow).max() <= 1
    small = images.write(tmp_path / "b.jpg", noise("uint8", 3), quality=30)
    large = images.write(tmp_path / "c.jpg", noise("uint8", 3), quality=95)
    assert small.stat().st_size < large.stat().st_size


def test_webp_is_lossless_at_full_quality_and_gray_becomes_colour(tmp_path):
    array = noise("uint8", 3)
    path = images.write(tmp_path / "a.webp", array, quality=100)
    assert np.array_equal(np.asarray(Image.open(path)), array)
    assert np.array_equal(images.read(path)[0], array)
    gray = images.read(images.write(tmp_path / "g.webp", noise("uint8", 1), quality=100))[0]
    assert np.array_equal(gray, np.repeat(noise("uint8", 1), 3, axis=-1))
    near = images.read(images.write(tmp_path / "n.webp", smooth(3), quality=95))[0]
    assert np.abs(near.astype(int) - smooth(3)).mean() < 3


@pytest.mark.parametrize("suffix", ["jxl", "dpx", "tga", "bmp", "webp"])
def test_gray_and_alpha_becomes_rgba_where_it_must(tmp_path, suffix):
    array = np.maximum(noise("uint8", 2), 1)
    back, header = images.read(images.write(tmp_path / f"a.{suffix}", array, quality=100))
    assert header.channels == 4
    assert np.array_equal(back, array[..., [0, 0, 0, 1]])


def test_radiance_keeps_a_hundredth(tmp_path):
    array = noise("float32", 3) + 0.5
    back, header = images.read(images.write(tmp_path / "a.hdr", array))
    assert header.scene_linear and np.abs(back - array).max() < array.max() / 100


@pytest.mark.parametrize("suffix", ["png", "tif", "tga"])
def test_colours_under_transparent_pixels_survive(tmp_path, suffix):
    array = noise("uint8", 4)
    array[:10, :, 3] = 0
    array[10:15, :, 3] = 1
    assert np.array_equal(images.read(images.write(tmp_path / f"a.{suffix}", array))[0], array)


# --- EXR, DPX ---------------------------------------------------------------------------------------------------------


def test_exr_of_the_specification_is_read_with_its_highlight(tmp_path):
    planes = {name: noise("float16", 1, seed=i)[..., 0] for i, name in enumerate("RGB")}
    planes["R"][3, 4] = 20.0
    (tmp_path / "a.exr").write_bytes(exr_bytes(planes))
    back, header = images.read(tmp_path / "a.exr")
    assert header.dtype == "float16" and header.scene_linear
    assert np.array_equal(back, np.stack([planes[name] for name in "RGB"], axis=-1))
    again = images.read(images.write(tmp_path / "b.exr", back, header))[0]
    assert again[3, 4, 0] == 20.0


def test_exr_alpha_is_associated_and_other_layers_are_named(tmp_path):
    planes = {name: noise("float16", 1, seed=i)[..., 0] for i, name in enumerate("RGBA")}
    planes |= {"Z": noise("float32", 1)[..., 0], "diffuse.R": planes["R"]}
    (tmp_path / "a.exr").write_bytes(exr_bytes(planes))
    back, header = images.read(tmp_path / "a.exr")
    assert header.dtype == "float16" and header.associated_alpha
    assert "Z" in header.note and "diffuse.R" in header.note
    assert np.array_equal(back, np.stack([planes[name] for name in "RGBA"], axis=-1))


def test_exr_without_a_main_layer_gives_its_first(tmp_path):
    planes = {f"beauty.{name}": noise("float32", 1, seed=i)[..., 0] for i, name in enumerate("RGB")}
    (tmp_path / "a.exr").write_bytes(exr_bytes({"N": planes["beauty.R"], **planes}))
    back, header = images.read(tmp_path / "a.exr")
    assert np.array_equal(back, np.stack([planes[f"beauty.{name}"] for name in "RGB"], axis=-1)) and "N" in header.note


def test_exr_windows_grow_with_the_picture(tmp_path):
    planes = {name: noise("float16", 1)[..., 0] for name in "RGB"}
    (tmp_path / "a.exr").write_bytes(exr_bytes(planes, (-5, 7), (0, 0, 39, 29)))
    back, header = images.read(tmp_path / "a.exr")
    assert header.window == (-5, 7, 0, 0, 40, 30)
    with images.Writer(tmp_path / "b.exr", header, 62, 46) as writer:
        writer.write_rows(np.repeat(np.repeat(back, 2, 0), 2, 1))
    assert images.read_header(tmp_path / "b.exr").window == (-10, 14, 0, 0, 80, 60)


def test_alpha_is_multiplied_into_exr_and_divided_out_of_it(tmp_path):
    array = noise("uint8", 4)
    array[..., 3] = np.maximum(array[..., 3], 60)
    exr = images.write(tmp_path / "a.exr", array)
    stored, header = images.read(exr)
    floats = array / 255
    assert header.dtype == "float16"
    assert np.allclose(stored[..., :3], floats[..., :3] * floats[..., 3:], atol=1e-3)
    back = images.read(images.write(tmp_path / "b.png", stored, header, allow_loss=True))[0]
    assert np.abs(back / 65535 - floats).max() < 4e-3


def test_ten_bit_dpx_is_packed_as_its_standard_says(tmp_path):
    levels = np.random.default_rng(0).integers(0, 1024, (20, 31, 3))
    array = ((levels << 6) | (levels >> 4)).astype(np.uint16)
    header = images.Header(31, 20, 3, "uint16", "dpx", bits=10)
    data = images.write(tmp_path / "a.dpx", array, header).read_bytes()
    order = ">" if data[:4] == b"SDPX" else "<"
    start = struct.unpack(order + "I", data[4:8])[0]
    words = np.frombuffer(data, order + "u4", 20 * 31, start).reshape(20, 31)
    assert np.array_equal(np.stack([(words >> shift) & 1023 for shift in (22, 12, 2)], axis=-1), levels)
    back, read = images.read(tmp_path / "a.dpx")
    assert read.bits == 10 and np.array_equal(back, array)


# --- palettes, CMYK, one bit, animation, orientation ------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "gif", "bmp", "tif"])
@pytest.mark.parametrize("mode", ["P", "1", "L"])
def test_palette_and_one_bit_pictures_are_as_pillow_sees_them(tmp_path, suffix, mode):
    Image.fromarray(smooth(3)).convert(mode).save(tmp_path / f"a.{suffix}")
    back, header = images.read(tmp_path / f"a.{suffix}")
    assert header.dtype == "uint8" and header.bits == 8 and header.channels in (1, 3)
    pillow = np.asarray(Image.open(tmp_path / f"a.{suffix}").convert(MODES[header.channels])).reshape(back.shape)
    assert np.abs(back.astype(int) - pillow).max() <= 1
    copy = images.read(images.write(tmp_path / "copy.tif", back, header))[0]
    assert np.array_equal(copy, back)


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_transparent_palette_colour_becomes_alpha(tmp_path, suffix):
    palette = Image.fromarray(smooth(3)).convert("P")
    palette.save(tmp_path / f"a.{suffix}", transparency=palette.getpixel((20, 20)))
    back = images.read(tmp_path / f"a.{suffix}")[0]
    pillow = np.asarray(Image.open(tmp_path / f"a.{suffix}").convert("RGBA"))
    assert np.array_equal(back[..., 3], pillow[..., 3]) and back[20, 20, 3] == 0
    shown = pillow[..., 3] > 0
    assert np.array_equal(back[shown], pillow[shown])


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk_is_as_pillow_sees_it_and_loses_its_profile(tmp_path, suffix):
    cmyk = bytearray(SRGB)
    cmyk[16:20] = b"CMYK"
    Image.fromarray(smooth(3)).convert("CMYK").save(tmp_path / f"a.{suffix}", icc_profile=bytes(cmyk), quality=100)
    back, header = images.read(tmp_path / f"a.{suffix}")
    pillow = np.asarray(Image.open(tmp_path / f"a.{suffix}").convert("RGB"))
    assert header.channels == 3 and header.icc_profile is None and "profile" in header.note
    assert np.abs(back.astype(int) - pillow).max() <= 1


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_animations_tell_their_frames_and_give_the_first(tmp_path, suffix):
    frames = [Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)) for i in range(1, 4)]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:], lossless=True)
    back, header = images.read(tmp_path / f"a.{suffix}")
    assert header.frames == 3
    assert np.array_equal(back[..., :3], np.asarray(frames[0]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_orientation_is_applied_as_pillow_does(tmp_path, suffix, orientation):
    array = smooth(3)
    array[:9, :13] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(array).save(tmp_path / f"a.{suffix}", exif=exif, quality=100, subsampling=0)
    with Image.open(tmp_path / f"a.{suffix}") as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored))
    back, header = images.read(tmp_path / f"a.{suffix}")
    assert (header.height, header.width) == upright.shape[:2]
    assert np.abs(back.astype(int) - upright).max() <= 1
    copy = images.write(tmp_path / f"b.{suffix}", back, header)
    with Image.open(copy) as written:
        assert written.getexif().get(0x0112, 1) == 1
        assert written.size == (header.width, header.height)


@pytest.mark.parametrize("interlaced", [False, True])
def test_what_must_be_decoded_whole_is_known_beforehand(tmp_path, interlaced):
    Image.fromarray(smooth(3)).save(tmp_path / "a.jpg", progressive=interlaced)
    header = images.read_header(tmp_path / "a.jpg")
    assert header.interlaced == interlaced
    raw = 40 * 56 * 3
    assert images.decoded_bytes(header) >= raw * (2 if interlaced else 1)


def test_an_interlaced_png_is_read_whole(tmp_path):
    # The Adam7 form of a 1 x 1 picture is its plain form with another flag.
    data = bytearray(png_bytes(np.full((1, 1, 3), 77, np.uint8)))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "a.png").write_bytes(data)
    back, header = images.read(tmp_path / "a.png")
    assert header.interlaced and back.tolist() == [[[77, 77, 77]]]


# --- metadata --------------------------------------------------------------------------------------------------------


def tagged(path: Path) -> Path:
    exif = Image.Exif()
    exif[0x010F], exif[0x8298], exif[0x0132] = "Maker", "someone", "2020:01:02 03:04:05"
    exif.get_ifd(0x8769)[0x829A] = IFDRational(1, 250)
    exif.get_ifd(0x8769)[0x8827] = 400
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment about", "a text")
    Image.fromarray(smooth(3)).save(path, exif=exif, icc_profile=SRGB, dpi=(300, 300), pnginfo=info)
    return path


@pytest.mark.parametrize("source", ["jpg", "png", "tif"])
@pytest.mark.parametrize("goal", ["jpg", "png", "tif"])
def test_profile_exif_and_resolution_are_kept_between_formats(tmp_path, source, goal):
    array, header = images.read(tagged(tmp_path / f"a.{source}"))
    path = images.write(tmp_path / f"b.{goal}", array, header)
    with Image.open(path) as copy:
        exif = copy.getexif()
        assert copy.info["icc_profile"] == SRGB
        assert exif[0x010F] == "Maker" and exif[0x8298] == "someone" and exif[0x0132] == "2020:01:02 03:04:05"
        # Pillow leaves this part out of a TIFF that it writes.
        if source != "tif":
            assert exif.get_ifd(0x8769)[0x829A] == pytest.approx(1 / 250)
        assert [round(float(v)) for v in copy.info["dpi"]] == [300, 300]


def test_png_text_and_extra_metadata_are_kept(tmp_path):
    array, header = images.read(tagged(tmp_path / "a.png"))
    with images.Writer(tmp_path / "b.png", header, 56, 40, extra_metadata={"ganvas model": "compact-x4"}) as writer:
        writer.write_rows(array)
    with Image.open(tmp_path / "b.png") as copy:
        assert copy.info["Comment about"] == "a text" and copy.info["ganvas model"] == "compact-x4"


@pytest.mark.parametrize("suffix", ["webp", "jxl"])
def test_profile_is_kept_in_new_formats(tmp_path, suffix):
    array, header = images.read(tagged(tmp_path / "a.jpg"))
    assert images.read_header(images.write(tmp_path / f"b.{suffix}", array, header)).icc_profile == SRGB


def test_a_profile_that_cannot_be_kept_is_said(tmp_path):
    header = images.read_header(tagged(tmp_path / "a.jpg"))
    adapted = images.adapt_header(header, tmp_path / "b.tga")
    assert adapted.icc_profile is None and "profile" in adapted.note
    assert images.adapt_header(header, tmp_path / "b.png").icc_profile == SRGB


def test_metadata_that_cannot_be_kept_is_said(tmp_path):
    header = images.read_header(tagged(tmp_path / "a.jpg"))
    assert "Copyright" in images.adapt_header(header, tmp_path / "b.bmp").note
    assert images.adapt_header(header, tmp_path / "b.webp").note == ""
    assert images.adapt_header(header, tmp_path / "b.tif").note == ""
    plain = images.read_header(images.write(tmp_path / "plain.png", noise("uint8", 3)))
    assert images.adapt_header(plain, tmp_path / "b.webp").note == ""


def test_associated_alpha_of_a_tiff_is_known_and_kept(tmp_path):
    array = noise("uint8", 4)
    for kind, associated in (("assocalpha", True), ("unassalpha", False)):
        tifffile.imwrite(tmp_path / f"{kind}.tif", array, photometric="rgb", extrasamples=[kind])
        back, header = images.read(tmp_path / f"{kind}.tif")
        assert header.associated_alpha == associated and np.array_equal(back, array)
        copy = images.write(tmp_path / f"{kind}2.tif", back, header)
        with tifffile.TiffFile(copy) as file:
            assert [int(v) for v in file.pages[0].extrasamples] == [1 if associated else 2]  # type: ignore[union-attr]


# --- what a format can hold -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "channels", "suffix", "reason"),
    [
        ("uint8", 4, "jpg", "alpha"),
        ("uint16", 3, "jpg", "uint16"),
        ("uint16", 3, "webp", "uint16"),
        ("float16", 3, "png", "float16"),
        ("uint16", 3, "tga", "uint16"),
        ("float32", 4, "hdr", "alpha"),
    ],
)
def test_loss_must_be_allowed(tmp_path, dtype, channels, suffix, reason):
    header = images.Header(31, 23, channels, dtype, "png")
    with pytest.raises(UserError, match=reason):
        images.adapt_header(header, tmp_path / f"a.{suffix}")
    array = noise(dtype, channels) if dtype[0] == "u" else noise(dtype, channels) / 3
    images.write(tmp_path / f"a.{suffix}", array.astype(dtype), header, allow_loss=True)
    colour = images.to_float(images.read(tmp_path / f"a.{suffix}")[0])
    assert colour.shape == (23, 31, 3)
    tolerance = {"jpg": 0.6, "webp": 0.9}.get(suffix, 0.01)
    assert np.abs(colour - images.to_float(array.astype(dtype))[..., :3]).max() < tolerance


@pytest.mark.parametrize(
    ("dtype", "suffix", "expected"),
    [
        ("uint8", "exr", "float16"),
        ("uint16", "exr", "float32"),
        ("float16", "tif", "float32"),
        ("uint8", "hdr", "float32"),
    ],
)
def test_depth_grows_where_nothing_is_lost(tmp_path, dtype, suffix, expected):
    header = images.Header(31, 23, 3, dtype, "png")
    assert images.adapt_header(header, Path(f"a.{suffix}")).dtype == expected
    if suffix != "hdr":
        array = noise(dtype, 3)
        back = images.read(images.write(tmp_path / f"a.{suffix}", array, header))[0]
        assert np.array_equal(images.from_float(images.to_float(back), dtype), array)
