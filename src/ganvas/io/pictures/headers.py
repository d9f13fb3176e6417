"""Which files are pictures, and what each of them is, found out without decoding more than its format forces us to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - as its own documentation does

from ganvas.errors import UserError
from ganvas.io.pictures import colour, decoders
from ganvas.io.pictures.formats import READABLE, SUPPORTED, Signs, damaged, no_pixels, sniff
from ganvas.io.pictures.metadata import is_shape, readable
from ganvas.io.pictures.paths import plain

# The library refuses pictures of more than 32 GB unless told otherwise; read in strips they do no harm.
oiio.attribute("limits:imagesize_MB", 1 << 30)

_OURS = {"openexr": "exr"}
_DECODED_WHOLE = {"webp", "jpegxl", "jpeg2000", "gif", "targa", "pnm", "psd", "dds", "heif", "avif"}
# What a codec that decodes whole holds beside the returned array, as a multiple of it; measured at 12 megapixels, but
# for JPEG, where it is the worst case: 16-bit coefficients of every sample of a progressive file.
_CODEC_COPIES = {"webp": 1.5, "jpegxl": 2.5, "jpeg2000": 5.5, "gif": 2.0, "jpeg": 2.25}
_DTYPES = {"uint8": "uint8", "uint16": "uint16", "half": "float16", "float": "float32"}
BYTES_PER_SAMPLE = {"uint8": 1, "uint16": 2, "float16": 2, "float32": 4}

# Facts about the file's own bytes or its stored size, which would be wrong in any other file.
_STALE = re.compile(
    r"(ICCProfile:|oiio:(?!ColorSpace$)|tiff:|jpeg:|png:|gif:|webp:|bmp:|targa:|pnm:|dds:|psd:|thumbnail|Thumbnail"
    r"|openexr:(lineOrder|chunkCount|roundingmode)|dpx:(ImageDescriptor|Packing|EndOf|DittoKey|Version))"
    r"|^(Orientation|planarconfig|textureformat|chunkCount|Exif:Pixel[XY]Dimension)$"
)


@dataclass(frozen=True)
class Header:
    """What a picture file is, as its rows come out of `Reader`: orientation applied, palette and CMYK made RGB."""

    width: int
    height: int
    channels: int
    """1 gray, 2 gray and alpha, 3 RGB, 4 RGBA."""
    dtype: str
    """"uint8", "uint16", "float16" or "float32"."""
    format: str
    """A value of `READABLE`."""
    scene_linear: bool = False
    """Floating point: values may exceed 1."""
    interlaced: bool = False
    """The file can only be decoded whole (see `decoded_bytes`), not in strips."""
    frames: int = 1
    """Frames or pages in the file; the first one is read."""
    metadata: tuple[tuple[str, str, Any], ...] = field(default=(), repr=False)
    """(name, type, value): ICC profile, EXIF, IPTC, XMP, text and resolution; what `Writer` writes back."""
    bits: int = 8
    """Significant bits of a sample: 10 for a 10-bit DPX whose rows are uint16."""
    associated_alpha: bool = False
    """Colours are already multiplied by alpha, as OpenEXR defines it (and some TIFF files); everything else is not."""
    note: str = ""
    """What a reader of this file should be told: channels left out, a profile that could not be kept."""
    window: tuple[int, int, int, int, int, int] | None = None
    """OpenEXR's data origin (x, y) and display window (x, y, width, height), where they differ from the plain ones."""
    unread: tuple[str, ...] = ()
    """Names of channels that the file has beside those that are read."""
    path: Path | None = field(default=None, compare=False)

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)

    @property
    def icc_profile(self) -> bytes | None:
        """The embedded colour profile, byte for byte."""
        return next((value for name, _, value in self.metadata if name == "ICCProfile"), None)


@dataclass(frozen=True)
class Layout:
    """How the samples lie in the file; of interest to `Reader` only."""

    indices: tuple[int, ...]
    sample_type: str
    first_row: int
    first_column: int
    stored_width: int
    stored_height: int
    chunk_rows: int
    tiled: bool
    orientation: int
    part: int = 0
    raw: bool = False
    """The file's own colour model is asked for, not the library's RGB."""
    convert: colour.Conversion | None = None
    """Decoded rows into those that the header tells of."""
    whole: decoders.Whole | None = None
    """Another library decodes the picture."""


def read_header(path: str | Path) -> Header:
    """Return what a picture file is, without decoding its rows where the format allows that.

    Raises:
        UserError: the file is missing, empty, a folder, damaged, or of a format that is not read here.
    """
    return inspect(Path(path))[0]


def decoded_bytes(header: Header) -> int:
    """Return an estimate of the memory in bytes that decoding the whole picture takes at its peak."""
    raw = header.width * header.height * header.channels * BYTES_PER_SAMPLE[header.dtype]
    copies = _CODEC_COPIES.get(header.format, 1.0) if header.interlaced else 0.0
    return int(raw * (1 + copies))


def open_input(path: Path, part: int = 0, raw: bool = False) -> oiio.ImageInput:
    """Open a picture for reading, its alpha left as it is stored, and its colours, too, if `raw`."""
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    if raw:
        config.attribute("oiio:RawColor", 1)
    source = oiio.ImageInput.open(plain(path), config)
    if source is None:
        try:
            why = oiio.geterror()
        except UnicodeDecodeError:  # it repeats what the damaged header says
            why = "its header holds what is no text"
        raise damaged(path, why)
    if part and not source.seek_subimage(part, 0):
        raise damaged(path, source.geterror() or f"there is no page {part + 1}")
    return source


def inspect(path: Path, part: int = 0) -> tuple[Header, Layout]:
    """Return a file's header and the layout of its samples; `part` counts pages or parts from 0.

    Raises:
        UserError: as `read_header`.
    """
    signs = sniff(path)
    if signs.brand:
        return _of_whole(path, signs.brand, decoders.heif(path) if signs.brand == "heif" else decoders.avif(path))
    raw = False
    try:
        source = open_input(path, part)
    except UserError as error:
        # The library's own conversion knows fewer colour models than its decoder.
        raw = "PhotometricInterpretation" in str(error)
        if not raw:
            raise
        source = open_input(path, part, raw)
    try:
        spec = source.spec()
        name = _OURS.get(source.format_name(), source.format_name())
        if name not in READABLE.values():
            raise UserError(f"Cannot read {path}", f"The format {name!r} is not supported", SUPPORTED)
        if spec.deep or spec.depth > 1:
            kind = "deep data (lists of samples in each pixel)" if spec.deep else "a volume"
            raise UserError(f"Cannot read {path}", f"It holds {kind}, not a flat picture", "Flatten it first")
        if spec.width < 1 or spec.height < 1:
            raise no_pixels(path, spec.width, spec.height)
        # The further pictures of a PSD are its layers, which the first one shows all.
        frames = signs.frames if signs.frames > 1 or part or name == "psd" else _count_pages(source, name)
        model = spec.get_string_attribute("tiff:ColorSpace") or spec.get_string_attribute("jpeg:ColorSpace")
        if name == "jpeg" and str(spec.format) == "half":
            whole, plain = decoders.ultra_hdr(path)
            return _of_whole(path, name, whole, plain)
        if model in ("CMYK", "YCCK", "palette", "CIELAB", "ICCLAB") or raw:
            return _of_other_colours(path, name, spec, frames, part, model)
        if name in ("bmp", "targa") and not signs.opaque and spec.alpha_channel > 0 and _is_zero(source, spec):
            signs = replace(signs, opaque=True)
        header, layout = _describe(path, name, spec, signs, frames, part)
        note = ""
        if name == "jpeg" and decoders.holds_more_jpegs(path):
            note = "further pictures in the file (depth, gain map, other views) are left out"
        elif name == "psd" and (layers := _count_pages(source, name) - 1):
            note = f"its {layers} layers are left out, the whole picture is taken"
        return replace(header, note="; ".join(text for text in (header.note, note) if text)), layout
    finally:
        source.close()


def _is_zero(source: oiio.ImageInput, spec: oiio.ImageSpec) -> bool:
    """Tell whether alpha is 0 everywhere: the byte of 32-bit BMP and Targa that programs leave unused."""
    alpha = spec.alpha_channel
    for start in range(0, spec.height, 64):
        stop = min(spec.height, start + 64)
        rows = source.read_scanlines(spec.y + start, spec.y + stop, 0, alpha, alpha + 1, "uint8")
        if rows is None or rows.any():
            return False
    return True


def _of_whole(
    path: Path, name: str, whole: decoders.Whole, spec: oiio.ImageSpec | None = None, convert: Any = None
) -> tuple[Header, Layout]:
    """Return the header of a picture that another library decodes."""
    kept, note = _metadata(spec, whole.channels) if spec else ([], "")
    if whole.profile:
        fits = colour.model_of(whole.profile) == ("gray" if whole.channels <= 2 else "rgb")
        kept = [item for item in kept if item[0] != "ICCProfile"]
        kept += [("ICCProfile", "", whole.profile)] if fits else []
        note = "" if fits or convert else _OTHER_MODEL
    header = Header(
        width=whole.width, height=whole.height, channels=whole.channels, dtype=whole.dtype, format=name,
        interlaced=True, frames=whole.frames, metadata=tuple(kept), bits=whole.bits,
        note="; ".join(part for part in (whole.note, note) if part), path=path,
    )  # fmt: skip
    layout = Layout(tuple(range(whole.channels)), "", 0, 0, whole.width, whole.height, 1, False, 1, whole=whole)
    return header, replace(layout, convert=convert)


def _of_other_colours(
    path: Path, name: str, spec: oiio.ImageSpec, frames: int, part: int, model: str
) -> tuple[Header, Layout]:
    """Return the header of a picture that is not RGB, and how it becomes so."""
    if model == "palette":
        if spec.alpha_channel > 0:
            whole = decoders.palette_with_alpha(path)
            return _of_whole(path, name, replace(whole, frames=frames), spec)
        return _describe(path, name, spec, Signs(), frames, part)
    if name == "jpeg":
        whole = decoders.cmyk_jpeg(path)
        if whole is None:
            return _describe(path, name, spec, Signs(), frames, part, note="CMYK became RGB by plain arithmetic")
        convert, note = _from_cmyk(whole.profile)
        header, layout = _of_whole(path, name, whole, spec, convert)
        turned = replace(layout, orientation=spec.get_int_attribute("Orientation", 1))
        upright = spec.get_int_attribute("Orientation", 1) < 5
        size = (header.width, header.height) if upright else (header.height, header.width)
        return replace(header, channels=3, width=size[0], height=size[1], note=note), turned
    source = open_input(path, part, raw=True)
    spec = source.spec()
    source.close()
    if model == "CMYK":
        if spec.nchannels < 4:
            return _describe(path, name, spec, Signs(), frames, part)
        convert, note = _from_cmyk(_profile_of(spec))
        indices = tuple(range(5 if spec.alpha_channel == 4 else 4))
    else:
        signed = model == "CIELAB"
        convert, note = partial(colour.lab_to_srgb, signed=signed), "CIELAB became sRGB"
        indices = tuple(range(4 if spec.alpha_channel == 3 else 3))
    header, layout = _describe(path, name, spec, Signs(), frames, part, indices, note)
    channels = 4 if len(indices) > len("CMYK" if model == "CMYK" else "Lab") else 3
    # What names the stored colours is untrue of sRGB; a writer of TIFF would call its three channels inks.
    metadata = tuple(item for item in header.metadata if item[0] not in ("ICCProfile", "oiio:ColorSpace"))
    return replace(header, channels=channels, metadata=metadata), replace(layout, convert=convert, raw=True)


def _from_cmyk(profile: bytes | None) -> tuple[colour.Conversion, str]:
    plainly = "CMYK became RGB by plain arithmetic"
    if profile is None:
        return colour.cmyk_plainly, f"{plainly}, as the file has no profile"
    if not colour.is_available():
        return colour.cmyk_plainly, f"{plainly}; colours are exact with: pip install 'ganvas[pictures]'"
    try:
        return colour.by_profile(profile), "CMYK became sRGB through its profile"
    except ValueError as error:
        return colour.cmyk_plainly, f"{plainly}, as its profile cannot be used ({error})"


def _profile_of(spec: oiio.ImageSpec) -> bytes | None:
    value = spec.getattribute("ICCProfile")
    return None if value is None else np.asarray(value, np.uint8).tobytes()


def _describe(
    path: Path,
    name: str,
    spec: oiio.ImageSpec,
    signs: Signs,
    frames: int,
    part: int = 0,
    indices: tuple[int, ...] = (),
    note: str = "",
) -> tuple[Header, Layout]:
    channels_note = ""
    if not indices:
        indices, channels_note = _choose_channels(spec, name, signs.opaque)
    sample_type, type_note = _sample_type(spec, indices)
    dtype = _DTYPES[sample_type]
    orientation = spec.get_int_attribute("Orientation", 1)
    orientation = orientation if 1 <= orientation <= 8 else 1
    chunk_rows = spec.tile_height or spec.get_int_attribute("oiio:RowsPerChunk", 1) or 1
    width, height = (spec.height, spec.width) if orientation >= 5 else (spec.width, spec.height)
    bits = 8 * BYTES_PER_SAMPLE[dtype]
    if dtype == "uint16":
        bits = min(bits, max(spec.get_int_attribute("oiio:BitsPerSample", bits), 9))
    # Two channels that are no gray and alpha are a texture's red and green.
    red_green = name == "dds" and list(spec.channelnames) == ["R", "G"]
    channels = 3 if red_green else len(indices)
    metadata, profile_note = _metadata(spec, channels)
    alpha = channels in (2, 4)
    header = Header(
        width=width,
        height=height,
        channels=channels,
        dtype=dtype,
        format=name,
        scene_linear=dtype.startswith("float"),
        interlaced=signs.interlaced or orientation != 1 or name in _DECODED_WHOLE or _one_strip(spec),
        frames=frames,
        metadata=tuple(metadata),
        bits=bits,
        associated_alpha=alpha and (name == "exr" or (name == "tiff" and not _unassociated(spec))),
        note="; ".join(text for text in (note, channels_note, type_note, "" if note else profile_note) if text),
        window=_window(spec) if name == "exr" else None,
        unread=tuple(text for i, text in enumerate(spec.channelnames) if i not in indices) if name == "exr" else (),
        path=path,
    )
    layout = Layout(
        indices=indices,
        sample_type=sample_type,
        first_row=spec.y,
        first_column=spec.x,
        stored_width=spec.width,
        stored_height=spec.height,
        chunk_rows=chunk_rows,
        tiled=spec.tile_width > 0,
        orientation=orientation,
        part=part,
        convert=_with_blue if red_green else None,
    )
    return header, layout


def _with_blue(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, np.zeros_like(rows[..., :1])], axis=-1)


def _unassociated(spec: oiio.ImageSpec) -> bool:
    return spec.get_int_attribute("oiio:UnassociatedAlpha", 0) == 1


def _one_strip(spec: oiio.ImageSpec) -> bool:
    """Tell whether a TIFF is one compressed strip, which the library unpacks whole at every request."""
    rows = spec.get_int_attribute("tiff:RowsPerStrip", 0)
    return not spec.tile_width and spec.height <= rows and spec.get_string_attribute("compression") != "none"


def _window(spec: oiio.ImageSpec) -> tuple[int, int, int, int, int, int] | None:
    window = (spec.x, spec.y, spec.full_x, spec.full_y, spec.full_width, spec.full_height)
    return None if window == (0, 0, 0, 0, spec.width, spec.height) else window


def _sample_type(spec: oiio.ImageSpec, indices: Sequence[int]) -> tuple[str, str]:
    types = {str(spec.channelformats[index]) for index in indices} if spec.channelformats else {str(spec.format)}
    if len(types) == 1 and (only := types.pop()) in _DTYPES:
        return only, ""
    return "float", "" if types <= set(_DTYPES) and types else f"samples of type {spec.format} are read as float32"


def _choose_channels(spec: oiio.ImageSpec, name: str, opaque: bool) -> tuple[tuple[int, ...], str]:
    names = list(spec.channelnames)
    if name == "exr":
        indices = _exr_channels(names)
    elif spec.nchannels == 2:
        # The library knows no name for the alpha of a gray Targa.
        indices = (0, 1) if spec.alpha_channel == 1 or name == "targa" or name == "dds" else (0,)
        indices = (0,) if opaque else indices
    elif spec.nchannels >= 4:
        has_alpha = not opaque and (spec.alpha_channel == 3 or name == "gif")
        indices = (0, 1, 2, 3) if has_alpha else (0, 1, 2)
    else:
        indices = tuple(range(spec.nchannels))
    others = [channel for index, channel in enumerate(names) if index not in indices]
    note = f"other channels are left out: {', '.join(others[:12])}" if others and not opaque else ""
    return indices, note


def _exr_channels(names: list[str]) -> tuple[int, ...]:
    """Choose the main layer's RGB(A) or Y(A), or else the first layer's that has one, or else the first channel."""
    layers = dict.fromkeys(["", *(name.rpartition(".")[0] for name in names)])
    for layer in layers:
        at = {name.rpartition(".")[2].upper(): i for i, name in enumerate(names) if name.rpartition(".")[0] == layer}
        for wanted in ("RGBA", "RGB", "YA", "Y"):
            # A luminance/chroma picture (Y, RY, BY) has a Y but is not gray; its colour cannot be had here.
            if all(letter in at for letter in wanted):
                return tuple(at[letter] for letter in wanted)
    return (0,)


_OTHER_MODEL = "the colour profile is of another colour model than the pixels and is left out"


def _metadata(spec: oiio.ImageSpec, channels: int) -> tuple[list[tuple[str, str, Any]], str]:
    kept: list[tuple[str, str, Any]] = []
    note = ""
    for item in spec.extra_attribs:
        value = item.value
        if _STALE.match(item.name) or value is None:
            continue
        if item.name == "ICCProfile":
            value = np.asarray(value, np.uint8).tobytes()
            if colour.model_of(value) != ("gray" if channels <= 2 else "rgb"):
                note = _OTHER_MODEL
                continue
        elif isinstance(value, np.ndarray):
            value = tuple(value.ravel().tolist())
        elif isinstance(value, str):
            value = readable(value)
            if item.name == "ImageDescription" and is_shape(value):
                continue
        kept.append((item.name, str(item.type), value))
    return _plain_resolution(kept), note


def _plain_resolution(metadata: list[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    """Name the unit of resolution as TIFF and JPEG do: pixels per inch ("in") or centimetre ("cm")."""
    unit = next((value for name, _, value in metadata if name == "ResolutionUnit"), None)
    per_metre = unit == "m"
    plain: list[tuple[str, str, Any]] = []
    for name, kind, value in metadata:
        if name == "ResolutionUnit":
            value = {"m": "cm", "inch": "in"}.get(value, value)
        elif per_metre and name in ("XResolution", "YResolution"):
            kind, value = "float", value / 100.0
        plain.append((name, kind, value))
    return plain


def _count_pages(source: oiio.ImageInput, name: str) -> int:
    if name not in ("tiff", "gif", "webp", "exr", "psd"):
        return 1
    count = 1
    while count < 10_000 and source.seek_subimage(count, 0):
        count += 1
    source.geterror()
    return count
