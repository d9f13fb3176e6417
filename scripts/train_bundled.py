"""Train the weights that come with Ganvas, on the photographs of scripts/photographs.py, by the recipe `esrgan`.

    python scripts/photographs.py
    python scripts/train_bundled.py [compact-x4 | compact-x4-gan | compact-x2 ...]

Each is a run below runs/bundled, so an interrupted one goes on when the script is started again. `compact-x4-gan` starts
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
from ganvas.io import runs, weights

DATA = Path(".photos/train")
RUNS = Path("runs/bundled")
WEIGHTS = Path(__file__).parents[1] / "src/ganvas/weights"
SOURCE = "14 photographs of the Debian packages lomiri-wallpapers-16.04 and -20.04, at a quarter of their sides"

PIXELS: dict[str, Any] = {
    "pixel_steps": 5000, "log_every": 100, "preview_every": 2500, "checkpoint_every": 500,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "compact-x4": PIXELS,
    "compact-x2": {**PIXELS, "scale": 2, "pixel_steps": 3000, "pixel_crop_px": 64, "crop_px": 64},
}
PURPOSES = {
    "compact-x4": "x4, small and fast, trained on pixels: highest PSNR, soft texture",
    "compact-x4-gan": "x4, small and fast, trained as a GAN: sharp, invents texture",
    "compact-x2": "x2, small and fast, trained on pixels",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*MODELS, []], help="which weights; all of them by default")
    for name in parser.parse_args().names or MODELS:
        print(name, train(name))


def train(name: str) -> Path:
    """Train one model, or go on where it was interrupted, and write its weight file."""
    if not DATA.is_dir():
        raise UserError(f"{DATA} does not exist", do="Run python scripts/photographs.py first")
    run = RUNS / name
    if runs.is_run(run):
        launch.train(resume=run)
    else:
        changes = {key: value for key, value in MODELS[name].items() if key != "init"}
        init = [str(WEIGHTS / f"{MODELS[name]['init']}.safetensors")] if "init" in MODELS[name] else []
        launch.train("esrgan", DATA, run, preset="laptop", settings=changes, init=init)
    return publish(run, name)


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
