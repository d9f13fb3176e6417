"""Between the planes of a video frame and RGB pictures, by the matrix and range that the file is tagged with.

The arithmetic is ours because FFmpeg's scaler treats 16-bit RGB white as 65280, which costs a 10-bit picture up to four
codes, and places chroma in the middle of its two columns where H.264, H.265 and VP9 place it on the left one.
Formulas: ITU-R BT.601, BT.709, BT.2020; the numbers of the tags: ITU-T H.273.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ganvas.errors import UserError, need

Siting: TypeAlias = Literal["left", "centre"]
"""Where a halved chroma sample stands between its two columns; vertically it is always in the middle."""

UNSPECIFIED = 2
LIMITED, FULL = 1, 2
RGB, BT709, BT601, BT2020 = 0, 1, 6, 9

_LUMA_WEIGHTS: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
"""Matrix code -> weights of red and blue in luma."""

_SAMPLINGS = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}

_CENTRED_CHROMA = frozenset({"mjpeg", "mpeg1video"})


class ColourTags(NamedTuple):
    """What a file says of its colours, as H.273 codes: 2 is "unspecified" (for the range, 0; 1 limited, 2 full)."""

    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    matrix: int = UNSPECIFIED
    range: int = 0

    def resolved(self, pixel_format: str, codec: str, width: int, height: int) -> ColourTags:
        """Return the tags with matrix and range filled in by what players assume where the file does not tell.

        Raises:
            UserError: the matrix is one that is not known here.
        """
        layout = Layout.of(pixel_format)
        matrix = self.matrix
        if layout.family == "rgb":
            matrix = RGB
        elif layout.family == "gray" and matrix not in _LUMA_WEIGHTS:
            matrix = BT709
        elif matrix in (UNSPECIFIED, RGB, 3):
            matrix = BT709 if width >= 1280 or height > 576 else BT601
        elif matrix not in _LUMA_WEIGHTS:
            do = "Convert it first to BT.709, BT.601 or BT.2020 (non-constant luminance)"
            raise UserError(f"The colour matrix number {matrix} (ITU-T H.273) is not known", do=do)
        full = layout.family == "rgb" or pixel_format.startswith("yuvj")
        # Gray without a tag is full in the picture-like codecs and limited in those made for broadcasting.
        full = full or (layout.family == "gray" and self.range == 0 and codec in ("ffv1", "mjpeg", "png", "rawvideo"))
        return self._replace(matrix=matrix, range=FULL if full or self.range == FULL else LIMITED)


UNTAGGED = ColourTags()


@dataclass(frozen=True)
class Layout:
    """How the planes of a frame lie: one of the plain planar formats that every other can be brought into."""

    family: Literal["yuv", "rgb", "gray"]
    bits: int
    has_alpha: bool = False
    sampling: str = "444"

    @classmethod
    def of(cls, pixel_format: str) -> Layout:
        """Return the plain planar layout that holds all that a pixel format holds."""
        form = need("av", extra="video").VideoFormat(pixel_format, 64, 64)
        parts = form.components
        bits = next(depth for depth in (8, 9, 10, 12, 14, 16) if depth >= min(16, max(part.bits for part in parts)))
        has_alpha = any(part.is_alpha for part in parts)
        if form.is_rgb or form.has_palette or (len(parts) == 2):
            # Gray with alpha is rare enough to travel as colour.
            return cls("rgb", bits, has_alpha)
        if len(parts) == 1:
            return cls("gray", bits)
        ratio = 64 // form.chroma_width(64), 64 // form.chroma_height(64)
        return cls("yuv", bits, has_alpha, _SAMPLINGS.get(ratio, "444"))

    @property
    def name(self) -> str:
        """Return FFmpeg's name of the layout."""
        depth = "" if self.bits == 8 else f"{self.bits}le"
        if self.family == "gray":
            return f"gray{depth}"
        if self.family == "rgb":
            return f"gbr{'a' if self.has_alpha else ''}p{depth}"
        return f"yuv{'a' if self.has_alpha else ''}{self.sampling}p{depth}"

    @property
    def dtype(self) -> np.dtype:
        """Return the type of a sample: uint8, or uint16 holding `bits` bits."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)


def siting(codec: str) -> Siting:
    """Return where a codec's chroma stands by its standard."""
    return "centre" if codec in _CENTRED_CHROMA else "left"


# Frames into pictures


def to_picture(frame: Any, tags: ColourTags, where: Siting = "left") -> np.ndarray:
    """Return a decoded frame as RGB or RGBA, uint8 for 8-bit formats and full-scale uint16 for deeper ones.

    `tags` are resolved ones. Values that RGB cannot hold (whiter than white, colours out of gamut) are clipped.
    """
    layout = Layout.of(frame.format.name)
    planes = _planes(_plain(frame, layout, tags), layout)
    alpha = planes.pop() if layout.has_alpha else None
    if layout.family == "rgb":
        colours = [_unit(planes[index], layout.bits) for index in (2, 0, 1)]
    else:
        colours = _rgb_from_planes(planes, layout, tags, where)
    if alpha is not None:
        colours.append(_unit(alpha, layout.bits))
    return _quantised(colours, 8 if layout.bits == 8 else 16)


def _plain(frame: Any, layout: Layout, tags: ColourTags) -> Any:
    if frame.format.name.replace("yuvj", "yuv") == layout.name:
        return frame
    matrix = tags.matrix or BT709
    return frame.reformat(
        format=layout.name,
        src_colorspace=matrix,
        dst_colorspace=matrix,
        src_color_range=tags.range,
        dst_color_range=tags.range,
        interpolation=int(need("av.video.reformatter", extra="video").Interpolation.BICUBIC),
    )


def _planes(frame: Any, layout: Layout) -> list[np.ndarray]:
    return [_plane(plane, layout.dtype) for plane in frame.planes]


def _plane(plane: Any, dtype: np.dtype) -> np.ndarray:
    # A view, not a copy: what is written into it stands in the frame. Lines may be padded.
    samples = np.frombuffer(plane, dtype=dtype, count=plane.height * plane.line_size // dtype.itemsize)
    return samples.reshape(plane.height, -1)[:, : plane.width]


def _rgb_from_planes(planes: list[np.ndarray], layout: Layout, tags: ColourTags, where: Siting) -> list[np.ndarray]:
    zero, span, half, swing = _code_values(layout.bits, tags.range)
    luma = (planes[0].astype(np.float32) - zero) / span
    if layout.family == "gray":
        return [luma, luma, luma]
    height, width = luma.shape
    blue, red = (
        _spread((plane.astype(np.float32) - half) / swing, layout.sampling, where)[:height, :width]
        for plane in planes[1:]
    )
    red_weight, blue_weight = _LUMA_WEIGHTS[tags.matrix]
    red_scale, blue_scale = np.float32(2 - 2 * red_weight), np.float32(2 - 2 * blue_weight)
    green_weight = 1 - red_weight - blue_weight
    green = luma - np.float32(red_weight / green_weight) * red_scale * red
    green -= np.float32(blue_weight / green_weight) * blue_scale * blue
    return [luma + red_scale * red, green, luma + blue_scale * blue]


def _code_values(bits: int, range_: int) -> tuple[np.float32, np.float32, np.float32, np.float32]:
    """Return the codes of black, black to white, no colour, and lowest to highest colour."""
    half = np.float32(1 << (bits - 1))
    if range_ == FULL:
        top = np.float32((1 << bits) - 1)
        return np.float32(0), top, half, top
    step = 1 << (bits - 8)
    return np.float32(16 * step), np.float32(219 * step), half, np.float32(224 * step)


def _unit(plane: np.ndarray, bits: int) -> np.ndarray:
    return plane.astype(np.float32) / np.float32((1 << bits) - 1)


def _quantised(planes: list[np.ndarray], bits: int) -> np.ndarray:
    picture = np.empty((*planes[0].shape, len(planes)), np.uint8 if bits == 8 else np.uint16)
    for channel, plane in enumerate(planes):
        picture[..., channel] = _codes(plane, 0, (1 << bits) - 1, bits)
    return picture


def _codes(values: np.ndarray, zero: float | np.float32, span: float | np.float32, bits: int) -> np.ndarray:
    codes = np.rint(values * np.float32(span) + np.float32(zero))
    return np.clip(codes, 0, (1 << bits) - 1, out=codes)


# Pictures into frames


def to_frame(picture: np.ndarray, pixel_format: str, tags: ColourTags) -> Any:
    """Return an RGB or RGBA picture of uint8 or uint16 as a frame that an encoder takes.

    `tags` are resolved ones; chroma is halved onto the left column. A channel of alpha that the format has not is
    left out, and one that the picture has not is opaque.
    """
    av = need("av", extra="video")
    layout = Layout.of(pixel_format)
    height, width = picture.shape[:2]
    frame = av.VideoFrame(width, height, layout.name)
    values = [_unit(picture[..., channel], picture.itemsize * 8) for channel in range(picture.shape[2])]
    top = (1 << layout.bits) - 1
    if layout.family == "rgb":
        codes = [_codes(values[channel], 0, top, layout.bits) for channel in (1, 2, 0)]
    else:
        codes = _planes_from_rgb(values, layout, tags)
    if layout.has_alpha:
        alpha = values[3] if len(values) == 4 else np.ones_like(values[0])
        codes.append(_codes(alpha, 0, top, layout.bits))
    for plane, samples in zip(_planes(frame, layout), codes, strict=True):
        plane[:] = samples
    if layout.name != pixel_format:
        frame = frame.reformat(format=pixel_format)
    frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = tags
    return frame


def _planes_from_rgb(values: list[np.ndarray], layout: Layout, tags: ColourTags) -> list[np.ndarray]:
    zero, span, half, swing = _code_values(layout.bits, tags.range)
    red_weight, blue_weight = _LUMA_WEIGHTS[tags.matrix]
    red, green, blue = values[:3]
    luma = np.float32(red_weight) * red + np.float32(1 - red_weight - blue_weight) * green
    luma += np.float32(blue_weight) * blue
    codes = [_codes(luma, zero, span, layout.bits)]
    if layout.family == "gray":
        return codes
    for colour, weight in ((blue, blue_weight), (red, red_weight)):
        chroma = _gather((colour - luma) / np.float32(2 - 2 * weight), layout.sampling)
        codes.append(_codes(chroma, half, swing, layout.bits))
    return codes


# Chroma: halved and doubled


def _spread(chroma: np.ndarray, sampling: str, where: Siting) -> np.ndarray:
    """Return chroma at every pixel: (h, w) -> (h or 2h, w or 2w), by cubic interpolation."""
    if sampling != "444":
        chroma = _double(chroma, *((_ON, _BETWEEN) if where == "left" else (_BEFORE, _AFTER)))
    if sampling == "420":
        chroma = _double(chroma.T, _BEFORE, _AFTER).T
    return chroma


# Weights of the samples at -2 .. +2 for a new sample on an old one, midway to the next, and a quarter before and after.
_ON = (0.0, 0.0, 1.0, 0.0, 0.0)
_BETWEEN = (0.0, -0.0625, 0.5625, 0.5625, -0.0625)
_BEFORE = (-0.0234375, 0.2265625, 0.8671875, -0.0703125, 0.0)
_AFTER = (0.0, -0.0703125, 0.8671875, 0.2265625, -0.0234375)


def _double(chroma: np.ndarray, first: tuple[float, ...], second: tuple[float, ...]) -> np.ndarray:
    width = chroma.shape[1]
    padded = np.pad(chroma, ((0, 0), (2, 2)), mode="edge")
    result = np.empty((chroma.shape[0], 2 * width), np.float32)
    for column, weights in enumerate((first, second)):
        taps = [(offset, np.float32(weight)) for offset, weight in enumerate(weights) if weight]
        result[:, column::2] = sum(weight * padded[:, offset : offset + width] for offset, weight in taps)
    return result


def _gather(chroma: np.ndarray, sampling: str) -> np.ndarray:
    """Return chroma at every second column (and row): a tent on the left column, and the mean of two rows."""
    if sampling == "420":
        chroma = (chroma[0::2] + chroma[1::2]) * np.float32(0.5)
    if sampling != "444":
        before = np.concatenate([chroma[:, :1], chroma[:, 1:-1:2]], axis=1)
        chroma = chroma[:, 0::2] * np.float32(0.5) + (before + chroma[:, 1::2]) * np.float32(0.25)
    return chroma
