"""Train the weights that come with Ganvas, on the photographs of scripts/photographs.py, by the recipe `esrgan`.

    python scripts/photographs.py
    python scripts/train_bundled.py [compact-x4 | compact-x4-gan | compact-x2 ...]

Each is a run below runs/bundled; an interrupted one goes on when the script is started again. `compact-x4-gan` starts
from `compact-x4`. The card of each says what it was trained on and its licence; `scripts/score_bundled.py --card`
adds what it scores on photographs that none was trained on.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ganvas import launch
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.weights import files as weights

DATA = Path(".photos/train")
RUNS = Path("runs/bundled")
WEIGHTS = Path(__file__).parents[1] / "src/ganvas/weights"
SOURCE = "14 photographs of the Debian packages lomiri-wallpapers-16.04 and -20.04, at a quarter of their sides"

PIXELS: dict[str, Any] = {
    "pixel_steps": 5000, "log_every": 100, "preview_every": 2500, "checkpoint_every": 500,
}  # fmt: skip
GAN: dict[str, Any] = {
    "pixel_steps": 0, "discriminator": "patch", "discriminator_width": 32, "gan_rate": 2e-4, "gan_weight": 0.02,
    "checkpoint_every": 300,
}  # fmt: skip
LEGS: dict[str, dict[str, Any]] = {
    "gan-first-leg": {
        **GAN, "init": "compact-x4", "batch_size": 8, "gan_steps": 2500, "pixel_weight": 0.2, "perceptual_weight": 0.2,
        "average_half_life": 1000.0,
    },
}  # fmt: skip
"""Runs that only others start from: rougher texture first, then closer to the truth."""
MODELS: dict[str, dict[str, Any]] = {
    "compact-x4": PIXELS,
    "compact-x4-gan": {
        **GAN,
        "init": "gan-first-leg",
        "batch_size": 12,
        "gan_steps": 1800,
        "pixel_weight": 0.3,
        "perceptual_weight": 1.0,
        "average_half_life": 2000.0,
    },
    "compact-x2": {**PIXELS, "scale": 2, "pixel_steps": 3000, "pixel_crop_px": 64, "crop_px": 64},
}
PURPOSES = {
    "compact-x4": "x4, small and fast, trained on pixels: highest PSNR, soft texture",
    "compact-x4-gan": "x4, small and fast, trained as a GAN: crisper, invents texture",
    "compact-x2": "x2, small and fast, trained on pixels",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*MODELS, []], help="which weights; all of them by default")
    for name in parser.parse_args().names or MODELS:
        print(name, train(name))


def train(name: str) -> Path:
    """Train one model, or go on where it was interrupted, and write its weight file."""
    return publish(run_of(name), name)


def run_of(name: str) -> Path:
    """Return the finished run of a model or leg, training what is missing of it and of those it starts from."""
    if not DATA.is_dir():
        raise UserError(f"{DATA} does not exist", do="Run python scripts/photographs.py first")
    run = RUNS / name
    if runs.is_run(run):
        return launch.train(resume=run)
    changes = dict({**LEGS, **MODELS}[name])
    start = changes.pop("init", None)
    return launch.train(
        "esrgan", DATA, run, preset="laptop", settings=changes, init=[str(run_of(start))] if start else []
    )


def publish(run: Path, name: str) -> Path:
    """Write the newest averaged generator of a run as the weight file of that name, with its whole card."""
    trained = weights.read_run(run)
    card = replace(
        trained.card, purpose=PURPOSES[name], data=SOURCE, origin="scripts/train_bundled.py", licence="CC-BY-SA-4.0",
        data_licence="CC-BY-4.0, CC-BY-SA-3.0, CC-BY-SA-4.0 and CC0-1.0, by picture",
    )  # fmt: skip
    return weights.save(WEIGHTS / f"{name}.safetensors", trained.tensors, card, overwrite=True)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
