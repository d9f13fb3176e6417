"""Which codec a video is written with: chosen by the file's suffix, the depth, alpha and size, and checked before work.

Nothing here depends on the machine: the same pictures give the same bytes with any number of processors.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias

from ganvas.errors import UserError, did_you_mean, need
from ganvas.io.video import hdr
from ganvas.io.video.headers import VideoHeader
from ganvas.io.video.yuv import BT709, FULL, LIMITED, RGB, UNSPECIFIED, ColourTags

CodecName: TypeAlias = Literal["auto", "h264", "h265", "av1", "vp9", "prores", "prores4444", "ffv1"]
Sampling: TypeAlias = Literal["auto", "420", "422", "444"]

FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""Suffix -> the container that FFmpeg calls so."""
VIDEO_SUFFIXES = frozenset((*FORMATS, ".avi", ".mxf", ".mpg", ".mpeg", ".wmv", ".ts"))
"""Endings of the files that are read as videos."""

_HOLDS: dict[str, tuple[str, ...]] = {
    "mp4": ("h264", "h265", "av1", "ffv1"),
    "mov": ("h264", "h265", "prores", "prores4444"),
    "matroska": ("h264", "h265", "av1", "vp9", "ffv1", "prores", "prores4444"),
    "webm": ("vp9", "av1"),
}
_ENCODERS = {"h264": "libx264", "h265": "libx265", "prores": "prores_ks", "prores4444": "prores_ks", "ffv1": "ffv1"}
_ENCODERS |= {"av1": "libsvtav1", "vp9": "libvpx-vp9"}
_QUALITY = {"h264": 17, "h265": 18, "av1": 22, "vp9": 22}
_WORST = {"h264": 51, "h265": 51, "av1": 63, "vp9": 63}
_DEEPEST = {"h264": 10, "h265": 10, "av1": 10, "vp9": 8, "prores": 10, "prores4444": 10, "ffv1": 16}
_ALPHA = ("prores4444", "ffv1", "vp9")
_USUAL_PERCENT = 95
_THREADS = 8


@dataclass(frozen=True)
class Encoding:
    """How frames are encoded: everything that decides the bytes."""

    codec: str
    encoder: str
    pixel_format: str
    tags: ColourTags
    options: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = ()
    """What a user should be told of the choice."""

    @property
    def delay(self) -> int:
        """Return by how many places, at most, a picture is decoded before its place in the order of showing."""
        return 2 if self.codec in ("h264", "h265") else 0


def choose(
    path: str | Path,
    like: VideoHeader,
    width: int,
    height: int,
    codec: str = "auto",
    quality: int | None = None,
    bits: int | None = None,
    sampling: str = "auto",
    percent: int | None = None,
) -> Encoding:
    """Return the encoding for a file.

    `auto`: H.264 for 8 bits; H.265 for more, in .mov ProRes 422 HQ; with alpha ProRes 4444 (.mov) or FFV1 (.mkv). In
    .webm VP9, and AV1 for more than 8 bits. `quality` is the constant rate factor, 0 (best) to 51, of AV1 and VP9 to
    63; `percent` is the quality as pictures have it, 1 to 100 (best), where 95 is the usual factor.

    Raises:
        UserError: the container, the codec, the depth, the size or alpha do not go together.
    """
    path = Path(path)
    container = container_for(path)
    wanted = bits or like.bits
    name = _auto(container, wanted, like.has_alpha) if codec == "auto" else codec
    _check_names(path, container, name, like.has_alpha)
    # Few players show 12 bits of H.265: they must be asked for.
    deepest = 12 if name == "h265" and bits else _DEEPEST[name]
    depth = min(wanted, deepest)
    chroma = _chroma(name, like.sampling if sampling == "auto" else sampling)
    _check_size(path, width, height, name, chroma)
    pixel_format = _pixel_format(name, depth, chroma, like.has_alpha)
    encoder = _ENCODERS[name]
    _check_encoder(encoder, pixel_format)
    tags = _tags_to_write(like, pixel_format)
    return Encoding(
        name,
        encoder,
        pixel_format,
        tags,
        _options(name, _factor(name, quality, percent), min(width, height), like),
        tuple(_notes(like, name, wanted, deepest)),
    )


def container_for(path: Path) -> str:
    """Return the container of a file by its suffix.

    Raises:
        UserError: videos with this suffix are not written.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: videos with the suffix {path.suffix!r} are not written", do=f"Use {_suffixes()}")
    return FORMATS[path.suffix.lower()]


def _suffixes() -> str:
    return ".mp4, .mov, .mkv or .webm"


def _auto(container: str, bits: int, has_alpha: bool) -> str:
    if container == "webm":
        return "av1" if bits > 8 and not has_alpha else "vp9"
    if has_alpha:
        return "ffv1" if container == "matroska" else "prores4444"
    if bits == 8:
        return "h264"
    return "prores" if container == "mov" else "h265"


def _check_names(path: Path, container: str, codec: str, has_alpha: bool) -> None:
    if codec not in _ENCODERS:
        raise UserError(f"There is no video codec {codec!r}", do=did_you_mean(codec, ["auto", *_ENCODERS]))
    if has_alpha and (codec not in _ALPHA or codec not in _HOLDS[container]):
        why = f"{codec} in {path.suffix} holds no alpha, and the source has it"
        do = "Use .mov (ProRes 4444), .mkv (FFV1, lossless) or .webm (VP9)"
        raise UserError(f"{path} cannot be written", why, do)
    if codec not in _HOLDS[container]:
        suffixes = [suffix for suffix, name in FORMATS.items() if codec in _HOLDS[name]]
        raise UserError(f"{path} cannot be written", f"{path.suffix} holds no {codec}", f"Use {' or '.join(suffixes)}")


def _chroma(codec: str, wanted: str) -> str:
    if wanted not in ("420", "422", "444"):
        raise UserError(
            f"There is no chroma sampling {wanted!r}", do=did_you_mean(wanted, ["auto", "420", "422", "444"])
        )
    return {"prores": "422", "prores4444": "444", "ffv1": "444", "av1": "420", "vp9": "420"}.get(codec, wanted)


def _check_size(path: Path, width: int, height: int, codec: str, chroma: str) -> None:
    odd_width = width % 2 and chroma in ("420", "422")
    odd_height = height % 2 and chroma == "420"
    if not (odd_width or odd_height):
        return
    even = f"{width + width % 2}x{height + height % 2}"
    what = f"{path}: {width}x{height} cannot be written as {codec} 4:{chroma[1]}:{chroma[2]}"
    why = f"It keeps one colour for every second column{' and row' if chroma == '420' else ''}, so they must be even"
    other = "the sampling 444, or " if codec in ("h264", "h265") else ""
    raise UserError(what, why, f"Take {even}, or {other}the codec ffv1 in .mkv")


def _pixel_format(codec: str, bits: int, chroma: str, has_alpha: bool) -> str:
    if codec == "prores":
        return "yuv422p10le"
    if codec == "prores4444":
        return "yuva444p10le" if has_alpha else "yuv444p10le"
    if codec == "ffv1":
        depth = next(depth for depth in (8, 10, 12, 16) if depth >= bits)
        if depth == 8:
            return "bgra" if has_alpha else "bgr0"
        return f"gbr{'a' if has_alpha else ''}p{depth}le"
    if codec == "vp9":
        return "yuva420p" if has_alpha else "yuv420p"
    depth = next(depth for depth in (8, 10, 12) if depth >= bits)
    return f"yuv{chroma}p" + ("" if depth == 8 else f"{depth}le")


def _check_encoder(encoder: str, pixel_format: str) -> None:
    av = need("av", extra="video")
    try:
        formats = av.codec.Codec(encoder, "w").video_formats or ()
    except av.error.FFmpegError as error:
        why = f"This build of PyAV lacks the encoder {encoder}"
        raise UserError(
            "The video cannot be written", why, "Choose another codec, or install PyAV from PyPI"
        ) from error
    if pixel_format not in [form.name for form in formats]:
        raise UserError("The video cannot be written", f"This build's {encoder} cannot do {pixel_format}")


def _tags_to_write(like: VideoHeader, pixel_format: str) -> ColourTags:
    colour = like.colour
    if not pixel_format.startswith("yuv"):
        return colour._replace(matrix=RGB, range=FULL)
    if colour.matrix == RGB:
        # RGB sources have no matrix; where they say nothing else they are taken for BT.709, as screens are.
        known = colour.primaries != UNSPECIFIED
        tags = colour if known else ColourTags(BT709, BT709, BT709, LIMITED)
        return tags._replace(matrix=9 if colour.primaries == 9 else BT709, range=LIMITED)
    return colour


def _factor(codec: str, quality: int | None, percent: int | None) -> int | None:
    """Return the constant rate factor that is asked for; None is the usual one."""
    if quality is not None and percent is not None:
        raise UserError("The quality is given twice", do="Give the constant rate factor, or the quality of 1 to 100")
    named = quality is not None or percent is not None
    if named and codec not in _QUALITY:
        raise UserError(f"{codec} takes no quality", "Its quality is fixed", f"Leave it out, or use {_factored()}")
    if percent is not None:
        if not 1 <= percent <= 100:
            raise UserError(f"A quality of {percent} is not between 1 and 100")
        worst, usual = _WORST[codec], _QUALITY[codec]
        lower = (_USUAL_PERCENT - percent) / (_USUAL_PERCENT - 1) * (worst - usual)
        return round(usual + lower) if lower > 0 else max(0, usual - 2 * (percent - _USUAL_PERCENT))
    if quality is not None and not 0 <= quality <= _WORST[codec]:
        raise UserError(f"The quality {quality} is out of range", do=f"{codec} takes 0 (best) to {_WORST[codec]}")
    return quality


def _factored() -> str:
    return ", ".join(_QUALITY)


def _options(codec: str, factor: int | None, shorter_px: int, like: VideoHeader) -> tuple[tuple[str, str], ...]:
    crf = ("crf", str(factor if factor is not None else _QUALITY.get(codec, 0)))
    light = hdr.parameters(like.hdr, codec) if codec in hdr.HOLDERS else ""
    if codec == "h264":
        # Stitchable: headers do not depend on the pictures, so that segments can be joined. Independent of the
        # processor: otherwise one and the same input gave up to six different files.
        fixed = "stitchable=1:cpu-independent=1"
        return (crf, ("preset", "medium"), ("x264-params", _joined(fixed, light)))
    if codec == "h265":
        fixed = "log-level=none:info=0:frame-threads=2:pools=none"
        # On pictures less than 64 wide x265's look-ahead writes beyond its memory (seen with PyAV 18), which kills.
        safe = "cutree=0" if shorter_px < 128 else ""
        return (crf, ("preset", "medium"), ("x265-params", _joined(fixed, safe, light)))
    if codec == "av1":
        return (crf, ("preset", "6"), ("svtav1-params", _joined("lp=2", light)))
    if codec == "vp9":
        # The alternative reference frame has no place for alpha.
        plain = (("auto-alt-ref", "0"),) if like.has_alpha else ()
        return (crf, ("b", "0"), ("deadline", "good"), ("cpu-used", "2"), *plain)
    if codec == "ffv1":
        return (("level", "3"), ("slices", "4"), ("slicecrc", "1"))
    return (("profile", "hq" if codec == "prores" else "4444"), ("vendor", "apl0"))


def _joined(*parts: str) -> str:
    return ":".join(part for part in parts if part)


def _notes(like: VideoHeader, codec: str, bits: int, deepest: int) -> list[str]:
    notes = []
    if bits > deepest:
        notes.append(f"{bits} bits become {deepest} in {codec}")
    if codec in ("av1", "vp9") and like.sampling != "420":
        notes.append(f"colour of 4:{like.sampling[1]}:{like.sampling[2]} becomes 4:2:0 in {codec}")
    if like.is_interlaced:
        notes.append(
            "the source is interlaced; its frames are taken as they are and written as progressive "
            "(--deinterlace makes one whole frame of each two fields)"
        )
    if like.hdr != hdr.NONE and codec not in hdr.HOLDERS:
        notes.append(f"the mastering display and light level (HDR) are left out, which {codec} is not told here")
    if like.dynamic_hdr:
        notes.append(f"{like.dynamic_hdr} metadata, which changes from scene to scene, is left out")
    return notes


def configure(context: Any, encoding: Encoding, width: int, height: int, time_base: Fraction, fps: Fraction) -> None:
    """Set up an encoder that is not open yet."""
    context.width, context.height = width, height
    context.pix_fmt = encoding.pixel_format
    context.time_base = time_base
    context.framerate = fps
    context.options = dict(encoding.options)
    context.thread_count = _THREADS
    tags = encoding.tags
    context.color_primaries, context.color_trc = tags.primaries, tags.transfer
    context.colorspace, context.color_range = tags.matrix, tags.range
    # Players of Apple take H.265 under this name only.
    if encoding.codec == "h265":
        context.codec_tag = "hvc1"
    # The last frame's duration is nowhere else.
    context.flags |= int(need("av.codec.context", extra="video").Flags.frame_duration)
