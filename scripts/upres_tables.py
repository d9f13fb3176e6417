"""The insights of seeds 001 and 004 as tables: prepares the data and prints one `ganvas compare` command for each.

    python scripts/upres_tables.py OUT [--faces 100] [--size 192] [--steps 300] [--seeds 1] [--only guide,norm] [--run]

Without `--run` the commands are only printed; with it, each table is written to OUT/RECIPE_NAME/ as it is finished, and
the same command goes on where it was stopped. `tiled_upres` makes pictures of SIZE px from a quarter of that, of which
a tile is but a part; `superres_unet` makes crops of half of SIZE from a quarter. Half of the steps are L1 alone. In so
few steps a discriminator learns only if it is shown the detail alone, at a high rate; so it is in all rows. OUT/clean
is the embedded face-like set, OUT/spoiled the same with 30 % of its pictures blurred, cut into blocks, turned gray or
made flat, and OUT/curated what `ganvas curate` keeps of that. All three are scored on OUT/held_out, which is clean.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ganvas.data import curate
from ganvas.data.landmarks import SIDECAR
from ganvas.drawn import faces
from ganvas.io.pictures import images

SPOILED = 0.3
UPRES = {
    "guide": ["guide=none,edges,points"],
    "l1": ["l1_at=low,full,laplacian"],
    "norm": ["norm=none,instance,batch,batch_statistics"],
}
SUPERRES = {
    "style": ["style=none,gan,salimans,vaegan", "content_weight=1"],
    "style_alone": ["style=gan,salimans,vaegan", "content_weight=0", "content_steps=0", "steps={whole}"],
    "grid": ["grid=1x1,4x4"],
    "shut_off": ["content_off_step=0,{half}", "content_fade_steps={quarter}"],
    "minibatch": ["minibatch=false,true", "grid=1x1"],
    "replay": ["replay_size=0,50"],
    "history": ["history_weight=0,0.1"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=int, default=100)
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", default="", help="names of tables, separated by commas")
    parser.add_argument("--run", action="store_true", help="run the commands, one after the other")
    asked = parser.parse_args()
    prepare(asked.out, asked.faces, asked.size)
    wanted = set(filter(None, asked.only.split(",")))
    for command in commands(asked.out, asked.size, asked.steps, asked.seeds, wanted):
        print(shlex.join(command), flush=True)
        if asked.run:
            subprocess.run(command, check=True)


def prepare(out: Path, number: int, size_px: int) -> None:
    """Make the clean, the spoiled, the curated and the held-out set, unless they are there."""
    if not (out / "held_out").exists():
        faces.write(out / "held_out", max(8, number // 10), size_px, seed=1)
    if not (out / "clean").exists():
        faces.write(out / "clean", number, size_px)
    if (out / "curated").exists():
        return
    shutil.copytree(out / "clean", out / "spoiled")
    random = np.random.default_rng(0)
    names = sorted(path.name for path in (out / "spoiled").glob("*.png"))
    for name in random.permutation(names)[: round(SPOILED * number)]:
        path = out / "spoiled" / name
        picture, _ = images.read(path)
        images.write(path, spoiled(picture, int(random.integers(4))), overwrite=True)
    kept = [entry for entry in curate.curate(out / "spoiled") if entry.is_kept]
    (out / "curated").mkdir()
    for entry in kept:
        shutil.copy(entry.path, out / "curated" / entry.path.name)
    shutil.copy(out / "clean" / SIDECAR, out / "curated" / SIDECAR)
    print(f"curated: {len(kept)} of {number} pictures are kept, {round(SPOILED * number)} were spoiled")


def spoiled(picture: np.ndarray, kind: int) -> np.ndarray:
    """Return a picture blurred, in blocks of 8 px, gray, or with little contrast."""
    values = torch.from_numpy(images.to_float(picture)).permute(2, 0, 1)[None]
    if kind == 0:
        small = F.avg_pool2d(values, 12)
        values = F.interpolate(small, size=values.shape[-2:], mode="bicubic").clamp(0, 1)
    elif kind == 1:
        blocks = F.interpolate(F.avg_pool2d(values, 8), scale_factor=8)
        values = blocks + 0.3 * (values[..., : blocks.shape[-2], : blocks.shape[-1]] - blocks)
    elif kind == 2:
        values = values.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    else:
        values = 0.4 + 0.15 * (values - 0.5)
    return images.from_float(values[0].permute(1, 2, 0).numpy(), "uint8")


def commands(out: Path, size_px: int, steps: int, seeds: int, wanted: set[str]) -> list[list[str]]:
    """Return the command of every table, or of the wanted ones."""
    common = [f"val={out / 'held_out'}", "threads=1", f"score_every={steps // 2}", f"preview_every={steps // 2}",
              "judged=detail", "discriminator_rate=1e-3", f"steps={steps - steps // 2}"]  # fmt: skip
    own = {
        "tiled_upres": ["guide=points", "scale=4", f"high_px={size_px}", f"low_px={size_px // 4}",
                        f"pixel_steps={steps // 2}"],
        "superres_unet": ["low_px=32", "style_weight=0.3", f"content_steps={steps // 2}"],
    }  # fmt: skip
    made = []
    for recipe, tables in (("tiled_upres", UPRES), ("superres_unet", SUPERRES)):
        for name, settings in tables.items():
            if wanted and name not in wanted:
                continue
            asked = [setting.format(whole=steps, half=steps // 2, quarter=max(1, steps // 4)) for setting in settings]
            varied = [part for setting in asked if "," in setting for part in ("--vary", setting)]
            changed = {setting.partition("=")[0] for setting in asked}
            kept = [setting for setting in [*common, *own[recipe]] if setting.partition("=")[0] not in changed]
            fixed = [part for setting in [*kept, *(s for s in asked if "," not in s)] for part in ("--fix", setting)]
            made.append([*_command(recipe, out / f"{recipe}_{name}", seeds), "--data", str(out / "clean"),
                         *fixed, *varied])  # fmt: skip
    if not wanted or "data" in wanted:
        sets = ",".join(str(out / name) for name in ("clean", "spoiled", "curated"))
        fixed = [part for setting in [*common, *own["tiled_upres"]] for part in ("--fix", setting)]
        made.append([*_command("tiled_upres", out / "tiled_upres_data", seeds), *fixed, "--vary", f"data={sets}"])
    return made


def _command(recipe: str, out: Path, seeds: int) -> list[str]:
    return ["ganvas", "compare", recipe, "--out", str(out), "--preset", "preview", "--seeds", str(seeds)]


if __name__ == "__main__":
    main()
