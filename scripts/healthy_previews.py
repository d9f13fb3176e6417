"""Does the collapse watch leave healthy training alone? Every recipe's preview under three seeds, and what tripped.

    python scripts/healthy_previews.py [RECIPE ...] [--seeds 3] [--out runs/healthy]

Data that is missing is made: the sample world, the shapes and the faces by their verbs, photographs by
scripts/photographs.py. An interrupted run goes on where it stood. Writes OUT/table.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from ganvas import launch
from ganvas.errors import UserError
from ganvas.io import runs

PHOTOGRAPHS = ["scripts/photographs.py", ".photos"]
DATA: dict[str, list[str]] = {
    "photographs": PHOTOGRAPHS,
    "street": ["-m", "ganvas", "world", "{out}", "--frames", "60", "--size", "128x64", "--seed", "1"],
    "clips": ["-m", "ganvas", "world", "{out}", "--frames", "20", "--clips", "6", "--size", "128x64", "--seed", "2"],
    "flights": ["-m", "ganvas", "world", "{out}", "--frames", "120", "--size", "96x96", "--path", "survey"],
    "shapes": ["-m", "ganvas", "shapes", "{out}", "--size", "32"],
    "faces": ["-m", "ganvas", "faces", "{out}", "--number", "200", "--size", "256"],
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=[], metavar="RECIPE", help=", ".join(PREVIEWS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/healthy"))
    options = parser.parse_args()
    lines = ["| recipe | runs | steps of each | trips |", "|---|---|---|---|"]
    for recipe in options.recipes or PREVIEWS:
        data = prepare(PREVIEWS[recipe], options.out)
        found = [watch(recipe, data, seed, options.out / f"{recipe}-{seed}") for seed in range(options.seeds)]
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


def watch(recipe: str, data: Path, seed: int, run: Path) -> tuple[int, list[str]]:
    """Train the preview under a seed, or go on with it, and return its steps and why the watch tripped."""
    if runs.is_run(run):
        launch.train(resume=run, quiet=True)
    else:
        launch.train(recipe, data, run, preset="preview", settings={"seed": seed}, quiet=True)
    log = list(runs.read_log(run))
    return max(entry.get("step", 0) for entry in log), [
        str(entry["sentinel"]["why"]) for entry in log if "sentinel" in entry
    ]


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
