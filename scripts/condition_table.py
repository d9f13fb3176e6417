"""Whether `ganvas upscale` takes the right model for a file: thirty files, both models, and the one it would choose.

    python scripts/condition_table.py [--scale 4|2|1]

Three of scikit-image's photographs are shrunk by the scale and saved in ten states each. For each file the table has
its state as examined, the PSNR-Y of both models against the untouched photograph, and what was chosen; a choice within
0.1 dB of the better one counts as right.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data

from ganvas.data.degrade import bicubic
from ganvas.inference.open import DEFAULT
from ganvas.inference.picture.condition import RESTORING, examine, model_for
from ganvas.inference.picture.options import Sizing
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images
from ganvas.metrics.paired import luma, psnr

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee")
STATES: tuple[tuple[int | None, float], ...] = (
    (None, 0), (95, 0), (90, 0), (85, 0), (75, 0), (60, 0), (30, 0), (None, 3), (None, 10), (85, 10),
)  # fmt: skip
"""JPEG quality, or None for PNG, and noise in 8-bit levels."""
SLACK_DB = 0.1


def save(low: np.ndarray, folder: Path, name: str, quality: int | None, noise: float) -> Path:
    """Write a picture in a state and return its file."""
    noisy = low + np.random.default_rng(0).normal(0, noise, low.shape)
    path = folder / f"{name}-{quality or 'png'}-{noise:g}.{'png' if quality is None else 'jpg'}"
    kept = {} if quality is None else {"quality": quality}
    Image.fromarray(noisy.round().clip(0, 255).astype(np.uint8)).save(path, **kept)
    return path


def main() -> None:
    """Print the table and how many choices were right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=int, choices=list(RESTORING), default=4)
    scale = parser.parse_args().scale
    restore = RESTORING[scale].name
    ups = {name: Upscaler(name) for name in (DEFAULT, restore)}
    right, lost, number = 0, [], 0
    print(f"| file | examined | {DEFAULT} | {restore} | chosen | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        for name in PHOTOGRAPHS:
            picture = getattr(data, name)()
            high, wide = (side // scale * scale for side in picture.shape[:2])
            truth = torch.from_numpy(images.to_float(picture[:high, :wide])).permute(2, 0, 1)[None]
            low = (bicubic(truth, scale) if scale > 1 else truth)[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255
            for quality, noise in STATES:
                path = save(low, Path(place), name, quality, noise)
                decibels = {}
                for model, up in ups.items():
                    made = up(images.read(path)[0], factor=scale)
                    enlarged = torch.from_numpy(images.to_float(made)).permute(2, 0, 1)[None]
                    decibels[model] = min(60.0, float(psnr(luma(enlarged), luma(truth), scale)))
                chosen, _ = model_for([str(path)], Sizing(factor=scale))
                loss = max(decibels.values()) - decibels[chosen]
                right, number = right + (loss <= SLACK_DB), number + 1
                lost.append(loss)
                state = examine(path)
                seen = "PNG" if state.quality is None else f"JPEG {state.quality:.0f}"
                print(
                    f"| {path.name} | {seen}, noise {state.noise:.1f} | {decibels[DEFAULT]:.2f} "
                    f"| {decibels[restore]:.2f} | {chosen} | {'' if loss <= SLACK_DB else f'-{loss:.2f} dB'} |"
                )
    print(f"\n{right} of {number} right within {SLACK_DB} dB; the largest loss is {max(lost):.2f} dB.")


if __name__ == "__main__":
    main()
