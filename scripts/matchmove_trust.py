"""How right the promised PSNR of a run on the embedded world is: on its held-out views, and on flights with truth.

    ganvas world flights --frames 80 --size 64x64 --path survey
    ganvas train reverse_matchmove --data flights --preset preview --val 0.2 --run 4 --out runs/place
    python scripts/matchmove_trust.py runs/place --data flights

Each frame of a flight is rendered of the world as truth. Printed are, for each level, how many frames it has, the mean
of promised and found PSNR, and the promise's error; and the rank correlation of promise and find over all frames.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

from ganvas.data.shots import View, Views, read_footage, vector
from ganvas.drawn.world import world
from ganvas.inference.cameras.flyer import LEVELS, Flyer
from ganvas.inference.cameras.paths import through
from ganvas.io.cameras.cameras import Camera, plain_camera
from ganvas.metrics import paired


def truth(place: world.World, camera: Camera, side: int) -> torch.Tensor:
    """Return what a square camera sees of the world: (3, S, S)."""
    x, y = camera.shift_mm
    own = world.Camera(camera.matrix, camera.focal_mm, camera.film_back_mm,
                       (-x / camera.film_back_mm[0], -y / camera.film_back_mm[1]))  # fmt: skip
    return torch.from_numpy(place.render(own, 0.0, side, side).picture)


def flights(flyer: Flyer, data: Path, seed: int) -> dict[str, np.ndarray]:
    """Return flights as thirteen numbers: through training cameras, around the block, and single new views."""
    chance = np.random.default_rng(seed)
    found = {}
    for _ in range(3):
        places = chance.choice(len(flyer.training), 5, replace=False).tolist()
        found[f"through {','.join(map(str, places))}"] = through(flyer.training, places, 40)
    film = read_footage(data).views[0].camera.film_back_mm
    for name, cameras in (("orbit", world.orbit(40, seed, 0, film)), ("survey", world.survey(40, seed + 7, 0, film))):
        shot = [plain_camera(one.matrix, one.focal_mm, one.film_back_mm, (64, 64), 0) for one in cameras]
        views = Views([View(one, torch.zeros(3, 64, 64)) for one in shot], flyer.size_px, 0.0, (1.0, 1.0))
        found[name] = np.array([vector(square, flyer.geometry.film_back_mm[0]) for square in views.squares])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the training footage")
    parser.add_argument("--world", type=int, default=0, help="the seed of the footage's world")
    parser.add_argument("--seed", type=int, default=0, help="of the flights")
    parser.add_argument("--save", type=Path, help="write promise and find of every frame as .npz")
    options = parser.parse_args()
    flyer, place = Flyer(options.run, device="cpu"), world.World(options.world)
    from ganvas.inference.cameras.paths import cameras_of

    rows: dict[str, tuple[np.ndarray, ...]] = {}
    for name, vectors in flights(flyer, options.data, options.seed).items():
        shot = cameras_of(vectors, flyer.geometry, range(len(vectors)))
        found = []
        for camera, picture in zip(shot, flyer.frames(vectors)):
            made = torch.from_numpy(picture).permute(2, 0, 1)[None]
            found.append(float(paired.psnr(made, truth(place, camera, flyer.size_px)[None])))
        trust = flyer.trust(vectors)
        promised = trust.expected_db if trust.expected_db is not None else np.full(len(vectors), np.nan)
        rows[name] = (vectors, trust.distance, promised, np.array(found), np.array(trust.levels()))
        print(f"{name}: promised {promised.mean():.2f}, found {np.mean(found):.2f} dB")
    _, distance, promised, found, levels = (np.concatenate(part) for part in zip(*rows.values()))
    print("| level | frames | promised | found | error (mean, RMS) |\n|---|---|---|---|---|")
    for level in LEVELS:
        chosen = levels == level
        if chosen.any():
            off = promised[chosen] - found[chosen]
            print(f"| {level} | {chosen.sum()} | {promised[chosen].mean():.2f} dB | {found[chosen].mean():.2f} dB | "
                  f"{off.mean():+.2f}, {np.sqrt((off**2).mean()):.2f} dB |")  # fmt: skip
    off, orders = promised - found, (spearmanr(one, found)[0] for one in (promised, distance))
    print(f"all: error {off.mean():+.2f} dB in the mean, {np.sqrt((off**2).mean()):.2f} dB RMS")
    print("rank correlation with what was found: of the promise {:.2f}, of the distance {:.2f}".format(*orders))
    if options.save:
        names = ("vectors", "distance", "promised", "found")
        whole = {f"{name}/{key}": value for name, row in rows.items() for key, value in zip(names, row)}
        np.savez(options.save, **whole)


if __name__ == "__main__":
    main()
