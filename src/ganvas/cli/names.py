"""Names of options: where the command line spells a field otherwise than Python does, and names of earlier versions.

The same thing has the same name in every verb. Settings keep the names under which runs have stored them; here they get
the names that are written. What was once written is still understood, with a line that tells the new name.
"""

from __future__ import annotations

from collections.abc import Mapping

SHOWN: dict[str, dict[str, str]] = {
    "upscale": {"class-name": "class", "halo-px": "halo", "overlap-px": "overlap"},
    "evaluate": {"cameras": "views", "crop-px": "crop-border"},
    "curate": {"least-px": "least-side", "blocks": "jpeg"},
    "export": {"to": "format"},
    "label": {"smallest-px": "smallest"},
    "styles": {"table": "out"},
    "generate camera": {"camera": "cameras"},
    "generate clip": {"quality": "crf", "style": "style-kind"},
    "generate labels": {"extension": "format"},
    "train esrgan": {
        "judged": "discriminator-input",
        "crop-px": "crop-size",
        "pixel-crop-px": "pixel-crop-size",
        "gan-steps": "steps",
    },
    "train relativistic": {"size-px": "size", "attention-px": "attention-size"},
    "train biggan": {"size-px": "size", "attention-px": "attention-size"},
    "train pix2pixhd": {"perceptual-crop-px": "perceptual-crop-size"},
    "train superres_unet": {
        "judged": "discriminator-input",
        "low-px": "low-size",
        "content-steps": "pixel-steps",
        "content-schedule": "pixel-schedule",
    },
    "train tiled_upres": {"judged": "discriminator-input", "high-px": "size", "low-px": "low-size", "tile-px": "tile"},
    "train reverse_matchmove": {
        "size-px": "size",
        "coarse-px": "coarse-size",
        "film-back-mm": "film-back",
        "focal-mm": "focal",
        "attention-px": "attention-size",
        "rays-px": "rays-size",
    },
}
"""By verb, and by what it is for: name of the field -> name on the command line."""

PAIRS: dict[str, dict[str, tuple[str, str]]] = {"train pix2pixhd": {"size": ("width-px", "height-px")}}
"""Options written as WxH that are two fields."""

EARLIER: dict[str, dict[str, str]] = {
    "blend": {"alpha": "mix"},
    "compare": {"seeds": "num-seeds"},
    "faces": {"number": "num"},
    "generate chain": {"size-px": "long-side"},
    "generate labels": {"seeds": "seed"},
    "generate seeds": {"seed": "seeds"},
    "neighbours": {"number": "num"},
}
"""Names that are no field's any more -> those of today."""

SQUARES = frozenset({
    *("size", "crop-size", "pixel-crop-size", "low-size", "coarse-size", "perceptual-crop-size"),
    *("attention-size", "rays-size"),
})  # fmt: skip
"""Options that are one number where pictures are square: 64 and 64x64 mean the same."""

OUT_STOOD_FREE = frozenset({"world", "shapes", "faces", "convert", "pack"})
"""Verbs whose output was once named without --out."""


def field_of(scope: str, name: str) -> str:
    """Return the field of a setting that may be given by the name that the command line has for it."""
    spelled = name.replace("_", "-")
    return {shown: field for field, shown in SHOWN.get(scope, {}).items()}.get(spelled, spelled).replace("-", "_")


def shown_of(scope: str) -> Mapping[str, str]:
    """Return the fields of a verb that the command line spells otherwise."""
    return SHOWN.get(scope, {})
