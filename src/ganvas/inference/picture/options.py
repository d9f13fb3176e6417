"""All that can be asked of models that take a picture; each way to run one takes the dataclass of what it can honour.

NetOptions      a network over pictures or frames, in tiles
PictureOptions  + what concerns picture files
FilmOptions     + what concerns videos
PlainOptions    all three
GuidedOptions   an upres net with its guide, tile by tile
PlanesOptions   a net with label or class planes, whole pictures
Options         all of them: what the verbs offer
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from tyro.conf import Positional, arg

from ganvas.inference.options import Border, Common, CommonOptions, Precision, Size
from ganvas.io.video.codecs import CodecName

Choose: TypeAlias = Literal["discriminator", "contrast", "laplacian", "first"]
Layout: TypeAlias = Literal["sparse", "dense"]
Alpha: TypeAlias = Literal["auto", "keep-rgb", "separate", "ignore"]


@dataclass(frozen=True, kw_only=True)
class Inputs(CommonOptions):
    """Pictures, folders, globs or videos, and where they go."""

    inputs: Positional[tuple[str, ...]]
    """Pictures, folders, globs or videos."""
    out: Path | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """File for a single input, or a folder, in which names and sub-folders are kept; default beside the input."""


@dataclass(frozen=True, kw_only=True)
class Sizing:
    """The size of the output; it is asked for in at most one way."""

    factor: Annotated[float | None, arg(aliases=("-s",))] = None
    """Sides of the output over sides of the input; default the model's scale."""
    size: Size | None = None
    """Output size as WxH in pixels; 0 keeps the proportions (3840x0)."""
    long_side: int | None = None
    """Longer side of the output in pixels."""


@dataclass(frozen=True, kw_only=True)
class Losing:
    """How much of the output may be lost."""

    quality: int = 95
    """1 to 100, for formats and codecs that lose; at 100 WebP and JPEG XL lose nothing."""


@dataclass(frozen=True, kw_only=True)
class Writing(Losing):
    """How a picture file is written."""

    overwrite: bool = False
    """Replace existing files."""
    allow_loss: bool = False
    """Permit fewer bits or no alpha where the output's format demands that."""
    scene_linear: bool | None = None
    """Treat floats as light, through a log curve, or not; default what the file says."""
    alpha: Alpha = "auto"
    """Transparency: auto (what is invisible has no say), keep-rgb (hidden colours are upscaled and kept, as in game
    textures), separate (a picture NAME_alpha of its own) or ignore."""


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Names of the outputs, and what happens where one is taken."""

    pattern: str = ""
    """Names of the outputs without extension, of {name}, {ext} (the input's), {model}, {scale} and {size}; default
    {name} in a folder, {name}_{size} beside the input (photo_x4.png)."""
    format: str = ""
    """Extension of all outputs: png, jpg, tif, webp, exr, jxl, avif, heic, dds, mp4, webm ...; default the input's."""
    skip_existing: bool = False
    """Pass over outputs that exist; of folders and several inputs they always are, unless --overwrite is given."""


@dataclass(frozen=True, kw_only=True)
class Filming:
    """How a video is read and written."""

    codec: CodecName = "auto"
    """h264, h265, av1, vp9, prores, prores4444 or ffv1 (lossless); auto by the extension, depth and alpha."""
    crf: int | None = None
    """Constant rate factor of h264 and h265 (0 best to 51), av1 and vp9 (to 63); in place of --quality."""
    fps: Fraction | None = None
    """Frames a second of numbered frames; default what lies beside them says, or 24. A video has its own."""
    begin: Annotated[str, arg(name="from")] = ""
    """Where in a video to begin: seconds, or 1:02:03.5."""
    end: Annotated[str, arg(name="to")] = ""
    """Where in a video to end."""
    deinterlace: bool = False
    """Make one whole frame of the two fields of each interlaced one."""
    strict: bool = False
    """Refuse a video with damaged or missing frames, instead of passing over them with a note."""


@dataclass(frozen=True, kw_only=True)
class Running(Common):
    """How a network is run over a picture of any size."""

    tile: int | Literal["auto"] = "auto"
    """Side of a tile in pixels, or auto by free memory."""
    halo_px: int | None = None
    """Context around each tile; default what the model's card says."""
    overlap_px: int | None = None
    """Width of the cross-fade between tiles."""
    border: Border = "net"
    """What the network sees beyond the picture: its own padding, the mirrored picture, or the opposite side."""
    seamless: bool = False
    """A texture whose opposite sides meet."""
    ensemble: bool = False
    """Mean over the eight flips and turns: eight times as slow."""
    faithful: float = 0.0
    """0 to 1: correct the result so that, shrunk again, it is the input."""
    backend: Literal["torch", "openvino", "onnx", "auto"] = "torch"
    """What runs the network; auto takes the fastest that is installed, measured once for each network."""


@dataclass(frozen=True, kw_only=True)
class NetOptions(Inputs, Sizing, Losing, Naming, Running):
    """What a plain network honours for pictures and videos alike."""


@dataclass(frozen=True, kw_only=True)
class FilmOptions(NetOptions, Filming):
    """What a plain network honours for videos."""


@dataclass(frozen=True, kw_only=True)
class PictureOptions(NetOptions, Writing):
    """What a plain network honours for picture files."""

    report_seams: bool = False
    """Measure on crops of the first picture how far tiles are from the untiled network."""


@dataclass(frozen=True, kw_only=True)
class PlainOptions(PictureOptions, FilmOptions):
    """What a plain network honours."""


@dataclass(frozen=True, kw_only=True)
class TileOptions(Common):
    """How an upres net tries each tile, and which of its variants is kept."""

    precision: Precision = "float32"
    """Arithmetic of the network; auto takes the machine's fastest."""
    variants: tuple[str, ...] = ("flip",)
    """Upres nets: shown beside each tile as it is: flip, contrast, saturation."""
    choose: Choose = "discriminator"
    """Upres nets: what the best variant is chosen by; first takes the tile as it is, in a single pass."""
    tile_batch: int = 0
    """Upres nets: tiles in one call of the network; 0 takes what the device likes."""
    layout: Layout = "sparse"
    """Upres nets: where tiles lie: sparse (21 at 768 px), or dense, with one over the middle of every seam (25)."""
    guide: str = ""
    """Upres nets: another guide than the training's with as many channels: landmarks for a net trained on points."""
    guide_file: str = ""
    """Upres nets: what the guide reads; empty takes what the training took."""
    long_side: int | None = None
    """Longer side of the output; default the training's proportion of the low picture (768 for 128)."""


@dataclass(frozen=True, kw_only=True)
class GuidedOptions(Inputs, TileOptions):
    """What an upres net honours."""

    fixed_choices: bool = False
    """Upres nets: keep for every picture the variants that were best for the first one, as for frames of a clip."""


@dataclass(frozen=True, kw_only=True)
class PlanesOptions(Inputs):
    """What a net with label or class planes honours."""

    labels: str = ""
    """Nets trained with label maps: folder of the label maps of the pictures' names."""
    class_name: str = ""
    """Nets trained with classes: class of all pictures, by name or number."""


@dataclass(frozen=True, kw_only=True)
class Options(PlainOptions, GuidedOptions, PlanesOptions):
    """All that can be asked of a model that takes a picture."""

    precision: Precision = "auto"
    """auto takes the machine's fastest for 8-bit pictures, and float32 for deeper ones."""
    long_side: int | None = None
    """Longer side of the output in pixels."""
