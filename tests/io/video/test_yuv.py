"""RGB and YUV, held against the formulas of the standards written out plainly in float64."""

import av
import numpy as np
import pytest

from ganvas.errors import UserError
from ganvas.io.video.yuv import ColourTags, Layout, to_frame, to_picture

MATRICES = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
PATCHES = np.array(
    [[0, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0.2, 0.7, 0.4]], np.float64
)


def codes(colours, matrix, bits, full):
    red_weight, blue_weight = MATRICES[matrix]
    red, green, blue = colours.T
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    cb, cr = (blue - luma) / (2 - 2 * blue_weight), (red - luma) / (2 - 2 * red_weight)
    if full:
        top, half = 2**bits - 1, 2 ** (bits - 1)
        return np.clip(np.stack([luma * top, cb * top + half, cr * top + half]), 0, top)
    step = 2 ** (bits - 8)
    return np.stack([(16 + 219 * luma) * step, (128 + 224 * cb) * step, (128 + 224 * cr) * step])


def patches(bits, patch_px=8):
    top = 255 if bits == 8 else 65535
    picture = np.repeat(np.repeat(PATCHES[None] * top, patch_px, 0), patch_px, 1)
    return np.rint(picture).astype(np.uint8 if bits == 8 else np.uint16)


def samples(frame, plane):
    plane = frame.planes[plane]
    dtype = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else "<u2")
    lines = np.frombuffer(bytes(plane), dtype).reshape(plane.height, plane.line_size // dtype.itemsize)
    return lines[:, : plane.width]


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize(("pixel_format", "bits"), [("yuv420p", 8), ("yuv422p10le", 10), ("yuv444p12le", 12)])
def test_codes_are_those_of_the_standard_and_colours_come_back(pixel_format, bits, matrix, full):
    picture = patches(bits)
    tags = ColourTags(1, 1, matrix, 2 if full else 1)
    frame = to_frame(picture, pixel_format, tags)
    expected = codes(picture[4, 4::8] / np.iinfo(picture.dtype).max, matrix, bits, full)
    for plane in range(3):
        middle = samples(frame, plane)
        patch_px = middle.shape[1] // len(PATCHES)
        found = middle[middle.shape[0] // 2, patch_px // 2 :: patch_px]
        assert np.abs(found - expected[plane]).max() <= 0.51
    back = to_picture(frame, tags).astype(np.float64)[4, 4::8]
    # Half a code of luma and of chroma, in eighths of a bit: what the depth itself loses.
    tolerance = 2.5 / 219 * 255 / 2 ** (bits - 8) * (1 if bits == 8 else 257)
    assert np.abs(back - picture[4, 4::8]).max() <= tolerance


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_gray_stays_gray(pixel_format, matrix):
    bits = 8 if pixel_format == "yuv420p" else 10
    ramp = np.linspace(0, 255 if bits == 8 else 65535, 64)
    picture = np.rint(np.broadcast_to(ramp[None, :, None], (8, 64, 3))).astype(np.uint8 if bits == 8 else np.uint16)
    tags = ColourTags(matrix=matrix, range=1)
    back = to_picture(to_frame(picture, pixel_format, tags), tags)
    assert np.array_equal(back[..., 0], back[..., 1])
    assert np.array_equal(back[..., 0], back[..., 2])
    assert back.min() == 0
    assert back.max() == (255 if bits == 8 else 65535)


def test_chroma_stands_on_the_left_column():
    # A ramp of colour tells any shift: halved and doubled again it must come back where it was.
    ramp = np.linspace(0.2, 0.8, 64)
    colours = np.stack([ramp, np.full(64, 0.5), 1 - ramp], axis=-1)
    picture = np.rint(np.broadcast_to(colours * 65535, (16, 64, 3))).astype(np.uint16)
    tags = ColourTags(matrix=1, range=1)
    frame = to_frame(picture, "yuv420p10le", tags)
    cb = codes(colours, 1, 10, False)[1]
    assert np.abs(samples(frame, 1)[4, 1:-1] - cb[2:-2:2]).max() <= 0.51
    back = to_picture(frame, tags).astype(np.float64)
    assert np.abs(back - picture)[:, 4:-4].max() <= 200


@pytest.mark.parametrize("pixel_format", ["bgr0", "bgra", "gbrp10le", "gbrap12le", "gbrp16le"])
def test_rgb_formats_lose_nothing_but_depth(pixel_format):
    layout = Layout.of(pixel_format)
    top = 255 if layout.bits == 8 else 65535
    rng = np.random.default_rng(0)
    picture = rng.integers(0, top + 1, (9, 7, 4 if layout.has_alpha else 3)).astype(np.uint8 if top == 255 else "u2")
    tags = ColourTags(matrix=0, range=2)
    back = to_picture(to_frame(picture, pixel_format, tags), tags)
    assert back.shape == picture.shape
    assert np.abs(back.astype(int) - picture).max() <= top / (2**layout.bits - 1) / 2 * (layout.bits not in (8, 16))


def test_packed_and_interleaved_formats_are_read_as_the_planar_ones():
    picture = patches(8)
    tags = ColourTags(matrix=1, range=1)
    planar = to_frame(picture, "yuv420p", tags)
    interleaved = planar.reformat(format="nv12", src_color_range=1, dst_color_range=1)
    assert np.array_equal(to_picture(interleaved, tags), to_picture(planar, tags))


def test_untagged_video_is_601_when_small_and_709_when_large():
    assert ColourTags().resolved("yuv420p", "h264", 720, 576).matrix == 6
    assert ColourTags().resolved("yuv420p", "h264", 1280, 720).matrix == 1
    assert ColourTags(range=2).resolved("yuv420p", "h264", 1280, 720).range == 2
    assert ColourTags().resolved("yuvj420p", "mjpeg", 1280, 720).range == 2


def test_a_matrix_that_is_not_known_is_refused_by_its_number():
    with pytest.raises(UserError, match="14"):
        ColourTags(matrix=14).resolved("yuv420p10le", "hevc", 1920, 1080)


def test_ffmpegs_scaler_agrees_on_eight_bits():
    # Another library as oracle; its own rounding is worth up to two codes.
    picture = patches(8)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame = frame.reformat(format="yuv444p", dst_colorspace=1, dst_color_range=1)
    back = to_picture(frame, ColourTags(matrix=1, range=1))
    assert np.abs(back.astype(int) - picture).max() <= 4
