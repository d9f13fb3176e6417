"""Does the collapse watch leave healthy training alone? Every recipe's preview under three seeds, and what tripped.

    python scripts/healthy_previews.py [RECIPE ...] [--seeds 3] [--share 0.3] [--out runs/healthy]

`--share` shortens every stage of a preview to a part of its steps: enough to see whether the watch trips while networks
leave their start, where losses and spreads move most. Data that is missing is made: the sample world, the shapes and
the faces by their verbs, photographs by scripts/photographs.py. An interrupted run goes on where it stood. Writes
OUT/table.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvas import launch
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.settings import to_json

PHOTOGRAPHS = ["scripts/photographs.py", ".photos"]
DATA: dict[str, list[str]] = {
    "photographs": PHOTOGRAPHS,
    "street": ["-m", "ganvas", "world", "{out}", "--frames", "60", "--size", "128x64", "--seed", "1"],
    "clips": ["-m", "ganvas", "world", "{out}", "--frames", "20", "--clips", "6", "--size", "128x64", "--seed", "2"],
    "flights": ["-m", "ganvas", "world", "{out}", "--frames", "120", "--size", "96x96", "--path", "survey"],
    "shapes": ["-m", "ganvas", "shapes", "{out}", "--size", "32", "--per-class", "100"],
    "faces": ["-m", "ganvas", "faces", "{out}", "--number", "60", "--size", "256"],
}
"""Arguments for Python that make each set of data."""
PREVIEWS = {
    "esrgan": "photographs",
    "relativistic": "shapes",
    "pix2pixhd": "street",
    "vid2vid": "clips",
    "reverse_matchmove": "flights",
    "biggan": "shapes",
    "superres_unet": "photographs",
    "tiled_upres": "faces",
}
LENGTHS = {
    "esrgan": ("pixel_steps", "gan_steps"),
    "relativistic": ("steps",),
    "pix2pixhd": ("global_steps", "enhancer_steps", "joint_steps"),
    "vid2vid": ("rounds",),
    "reverse_matchmove": ("pixel_steps", "steps"),
    "biggan": ("steps",),
    "superres_unet": ("content_steps", "content_fade_steps", "steps"),
    "tiled_upres": ("pixel_steps", "steps"),
}
"""Settings that say how long the stages of each preview are."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=[], metavar="RECIPE", help=", ".join(PREVIEWS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--share", type=float, default=1.0, help="of the preview's steps, stage by stage")
    parser.add_argument("--out", type=Path, default=Path("runs/healthy"))
    options = parser.parse_args()
    lines = ["| recipe | runs | steps of each | trips |", "|---|---|---|---|"]
    for recipe in options.recipes or PREVIEWS:
        data = prepare(PREVIEWS[recipe], options.out)
        lengths = shortened(recipe, options.share)
        found = [watch(recipe, data, seed, lengths, options.out / f"{recipe}-{seed}") for seed in range(options.seeds)]
        why = "; ".join(dict.fromkeys(reason for _, reasons in found for reason in reasons))
        trips = sum(len(reasons) for _, reasons in found)
        lines.append(f"| {recipe} | {len(found)} | {found[0][0]} | {trips}{': ' + why if why else ''} |")
        print(lines[-1], flush=True)
    (options.out / "table.md").write_text("\n".join(lines) + "\n")


def prepare(name: str, out: Path) -> Path:
    """Return the folder of a set of data, making it first where it is missing."""
    folder = Path(".photos/train") if name == "photographs" else out / "data" / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, *(part.format(out=folder) for part in DATA[name])], check=True)
    return folder


def shortened(recipe: str, share: float) -> dict[str, Any]:
    """Return the settings of a preview whose stages have a share of their steps."""
    if share == 1:
        return {}
    settings = to_json(launch.order(recipe, "preview").settings)
    return {name: _scaled(settings[name], share) for name in LENGTHS[recipe]}


def _scaled(value: Any, share: float) -> Any:
    return [_scaled(one, share) for one in value] if isinstance(value, list) else round(share * value)


def watch(recipe: str, data: Path, seed: int, lengths: Mapping[str, Any], run: Path) -> tuple[int, list[str]]:
    """Train the preview under a seed, or resume it, and return its steps and why the watch tripped."""
    if runs.is_run(run):
        launch.train(resume=run, quiet=True)
    else:
        launch.train(recipe, data, run, preset="preview", settings={"seed": seed, **lengths}, quiet=True)
    log = list(runs.read_log(run))
    return max(entry.get("step", 0) for entry in log), [
        str(entry["sentinel"]["why"]) for entry in log if "sentinel" in entry
    ]


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
