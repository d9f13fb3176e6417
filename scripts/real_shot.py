"""The whole chain: the same shot as six programs would hand it over, trained on from the command line each time.

    python scripts/real_shot.py PHOTOGRAPH --out shots [--steps 300] [--formats chan ma ...] [--plates exr tif dpx]

A photograph of at least 8 megapixels becomes a nodal shot (a camera that turns and zooms in one place), the embedded
world one with parallax. The cameras of each are written as .chan, .ma, COLMAP's binary model, USD, Alembic and .nk, and
plates as OpenEXR, 16-bit TIFF and DPX; each set is trained on with the same seed and steps. A table of the PSNR of
held-out views comes last, with how far apart they are; beyond 0.2 dB the exit code is 1.

The sets hold the very same shot: lenses are told to a thousandth of a millimetre and pictures in 255 levels, which all
formats and plates hold, and plates are no larger than training looks at them, so that nothing is reduced. What differs
between sets is then a reader's fault. Training carries the least difference on: see docs/measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ganvas.cli import main as ganvas
from ganvas.data.plates import decode_light
from ganvas.data.shots import read_picture
from ganvas.drawn.photograph import photograph_camera, render, virtual_path
from ganvas.drawn.world import world
from ganvas.io import runs
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Camera, Given, plain_camera
from ganvas.io.pictures import images

LEAST_PX = 8_000_000
LIMIT_DB = 0.2
LOOKS = 1.15
"""How many times its own size the preset looks at a plate, for its zooms."""
FIRST = 1001
PLATES = ("exr", "tif", "dpx")
FORMATS = {
    "chan": ("cam.chan", ["--rotation-order", "ZXY"]), "ma": ("cam.ma", []), "colmap": ("sparse/0", []),
    "usdc": ("cam.usdc", []), "abc": ("cam.abc", []), "nk": ("cam.nk", []),
}  # fmt: skip
"""Format -> where its cameras lie in the footage, and what training must be told."""
Shot = list[tuple[Camera, np.ndarray]]


def in_microns(camera: Camera) -> Camera:
    """Return a camera whose focal length is told as a program shows it."""
    return camera.zoomed(round(camera.focal_mm, 3) / camera.focal_mm)


def nodal(path: Path, views: int, side: int) -> Shot:
    """Return cameras that turn and zoom over a photograph, and what they see, (H, W, 3) in [0, 1]."""
    photograph = read_picture(path)
    height, width = photograph.shape[-2:]
    if height * width < LEAST_PX:
        print(f"Note: {path} has {height * width / 1e6:.1f} megapixels, fewer than the 8 of a camera's plate")
    own = photograph_camera(width, height)
    shot = [in_microns(camera) for camera in virtual_path(own, views, side, seed=1)]
    return [(camera, render(photograph, own, camera).permute(1, 2, 0).numpy()) for camera in shot]


def parallax(views: int, side: int) -> Shot:
    """Return cameras on a flight around a block of the embedded world, and what they see."""
    place, made = world.World(0), []
    for own in world.orbit(views, 0, 0, (24.0, 24.0)):
        camera = in_microns(plain_camera(own.matrix, own.focal_mm, own.film_back_mm, (side, side), 0))
        made.append((camera, place.render(own, 0.0, side, side).picture.transpose(1, 2, 0)))
    return made


def write(shot: Shot, folder: Path, kind: str, plate: str) -> None:
    """Write a shot as one program would hand it over."""
    (folder / "plates").mkdir(parents=True, exist_ok=True)
    numbered = []
    for place, (camera, picture) in enumerate(shot):
        name = f"sh010.{FIRST + place}.{plate}"
        levels = np.round(picture.clip(0, 1) * 255) / 255
        values = decode_light(levels).astype(np.float32) if plate == "exr" else levels
        pixels = images.from_float(values, "float16" if plate == "exr" else "uint16")
        images.write(folder / "plates" / name, pixels, overwrite=True)
        numbered.append(replace(camera, frame=FIRST + place, name=name))
    target = folder / FORMATS[kind][0]
    target.parent.mkdir(parents=True, exist_ok=True)
    notes = cameras.write(target, numbered, Given(fps=24.0), overwrite=True, kind="colmap" if kind == "colmap" else "")
    if kind == "colmap":
        for text in target.glob("*.txt"):  # only the binary model is left
            text.unlink()
        (folder / "plates").rename(folder / "images")
    print(f"{folder}: {'; '.join(notes) or 'nothing is lost'}")


def trained(folder: Path, kind: str, film: tuple[float, float], options: argparse.Namespace) -> tuple[float, float]:
    """Train on a shot from the command line; return the PSNR of its held-out views and the seconds it took."""
    began = time.perf_counter()
    run = folder.with_name(folder.name + "-run")
    asked = [
        "train", "reverse_matchmove", "--data", str(folder), "--preset", "preview", "--out", str(run), "--val", "0.2",
        "--film-back", "x".join(f"{side:g}" for side in film), "--size", str(options.size), "--rays-px", "8",
        "--pixel-steps", str(options.steps), "--steps", "0", "--score-every", str(options.steps), "--device", "cpu",
        "--precision", "float32", "--seed", "3", *FORMATS[kind][1],
    ]  # fmt: skip
    if ganvas(asked) != 0:
        raise SystemExit(f"training on {folder} failed")
    return runs.best_scores(run)["psnr"], time.perf_counter() - began


def main() -> int:
    """Write, train and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photograph", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--views", type=int, default=60)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument(
        "--plates", nargs="+", default=[], choices=PLATES, help="all for each; default one each in turn"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    side = int(options.size * LOOKS)
    shots = {
        "nodal": nodal(options.photograph, options.views, side), "parallax": parallax(options.views, side),
    }  # fmt: skip
    rows, worst = ["| shot | cameras | plates | held-out PSNR | seconds |", "|---|---|---|---|---|"], []
    for name, shot in shots.items():
        found = []
        for place, kind in enumerate(options.formats):
            for plate in options.plates or [PLATES[place % len(PLATES)]]:
                folder = options.out / f"{name}-{kind}-{plate}"
                write(shot, folder, kind, plate)
                score, seconds = trained(folder, kind, shot[0][0].film_back_mm, options)
                found.append(score)
                rows.append(f"| {name} | {kind} | {plate} | {score:.3f} dB | {seconds:.0f} |")
                print(rows[-1], flush=True)
        worst.append(max(found) - min(found))
        rows.append(f"| {name} | {len(found)} sets | | {worst[-1]:.3f} dB apart | |")
    print("\n".join(rows))
    return int(max(worst) > LIMIT_DB)


if __name__ == "__main__":
    sys.exit(main())
