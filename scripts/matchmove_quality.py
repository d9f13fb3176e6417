"""Train reverse matchmove, score it on views that it never saw, and print the table of its measured page.

    python scripts/matchmove_quality.py PHOTOGRAPH --out runs/matchmove [--minutes 15] [--rows ours]
    python scripts/matchmove_quality.py world --out runs/matchmove-world [--views 500] [--size 128]

The first flies a virtual camera over a photograph (400 views to train on; 50 single views and 5 runs of 10 in a row are
held out), the second uses views of the embedded world, which has parallax and occlusion. Every row gets the same number
of steps, which `--minutes` sets by a short rehearsal and `--steps` outright. A row's numbers go to results.json as soon
as they are there: the same command continues with what is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ganvas
from ganvas import launch
from ganvas.data import degrade
from ganvas.data.shots import View, Views, read_footage
from ganvas.drawn.photograph import photograph_views, write_views
from ganvas.drawn.world import world
from ganvas.io.cameras.cameras import plain_camera
from ganvas.io.pictures import images
from ganvas.io.pictures.captions import caption
from ganvas.metrics import paired, sharpness
from ganvas.settings import parse
from ganvas.training import loop, rehearsal

FILM = (24.0, 24.0)
LINE_PX = 18

NONE = {"learned_weight": 0.0, "gan_weight": 0.0}
BATCH = {"discriminator_norm": "batch"}
ROWS: dict[str, dict[str, Any]] = {
    "ours": {},
    "L1 alone": NONE,
    "small features + L1": {**NONE, "perceptual": "small", "perceptual_layers": ["relu1_2", "relu2_2"]},
    "VGG19 + L1": {**NONE, "perceptual": "vgg19"},
    "L1 + plain adversarial": {"learned_weight": 0.0, "gan_weight": 0.1},
    "spectral norm, wasserstein": {"adversarial.base": "wasserstein"},
    "batch norm, wasserstein, clipping": {**BATCH, "adversarial.base": "wasserstein", "weight_clip": 0.01},
    "batch norm, least squares, decay": {**BATCH, "adversarial.base": "least_squares", "discriminator_decay": 1e-4},
    "attention in G": {"attention_px": 32},
    "spectral norm in G": {"generator_spectral": True},
    "camera-conditioned D": {"conditional": True},
    "without rays": {"rays_px": 0},
    "the posts' network, narrow": {"rays_px": 0, "generator_norm": "batch", "momentum": 0.5, "warmup_steps": 0},
}
"""What each row changes of the preset `laptop`."""
PUBLISHED = "vgg19"
"""Features whose weights others publish; a row that needs them is left out where they are missing."""


def main() -> int:
    """Make the data, train and score the rows that are missing, print the table."""
    options = _options()
    out = Path(options.out)
    data = _data(options, out / "data")
    table = out / "results.json"
    results: dict[str, Any] = json.loads(table.read_text()) if table.is_file() else {}
    for name in options.rows or ROWS:
        if name not in results:
            results[name] = _row(name, options, out, data)
            table.write_text(json.dumps(results, indent=1) + "\n")
            print(name, json.dumps(results[name]), file=sys.stderr, flush=True)
    _print(results)
    _sheet(results, out, data)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", help="a large photograph, or `world`")
    parser.add_argument("--out", default="runs/matchmove-quality")
    parser.add_argument("--minutes", type=float, default=15.0, help="of training for each row")
    parser.add_argument("--steps", type=int, default=0, help="steps of each row in place of --minutes")
    parser.add_argument("--rows", nargs="*", choices=list(ROWS), help="which rows; all if none is named")
    parser.add_argument("--pixel-share", type=float, default=0.5, help="of the steps, with L1 alone before the others")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--views", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings of all rows")
    return parser.parse_args()


# Data


def _data(options: argparse.Namespace, folder: Path) -> Path:
    if (folder / "done").is_file():
        return folder
    if options.scene == "world":
        views = _world_views(options.views, options.size, options.seed)
    else:
        views = photograph_views(options.scene, options.views, options.size, options.seed)
    for name, places in split(len(views), options.seed).items():
        write_views([views[place] for place in places], folder / name)
    (folder / "done").touch()
    return folder


def split(number: int, seed: int) -> dict[str, list[int]]:
    """Return which views are trained on, and which are held out singly and in five runs: a tenth of them each."""
    random = np.random.default_rng([seed, 11])
    length = number // 50
    starts = random.choice(np.arange(number // (2 * length)), 5, replace=False) * 2 * length + length // 2
    runs = sorted({int(start) + step for start in starts for step in range(length)})
    rest = np.setdiff1d(np.arange(number), runs)
    singles = sorted(random.choice(rest, number // 10, replace=False).tolist())
    return {"train": sorted(set(rest.tolist()) - set(singles)), "held_random": singles, "held_runs": runs}


def _world_views(number: int, size_px: int, seed: int) -> list[View]:
    """Return views of the world as `ganvas world --path survey` makes them."""
    place, views = world.World(seed), []
    for frame, one in enumerate(world.survey(number, seed, film_back_mm=FILM)):
        picture = place.render(one, 0.0, size_px, size_px).picture
        name = f"frames/{frame:06d}.png"
        camera = plain_camera(one.matrix, one.focal_mm, FILM, (size_px, size_px), frame, name)
        views.append(View(camera, torch.from_numpy(picture)))
    return views


# Rows


def _row(name: str, options: argparse.Namespace, out: Path, data: Path) -> dict[str, Any]:
    changes = {
        "data": str(data / "train"), "val": str(data / "held_random"), "size_px": options.size, "seed": options.seed,
        "film_back_mm": list(FILM),
    }  # fmt: skip
    for item in options.set:
        key, _, value = item.partition("=")
        changes[key] = parse(value)
    changes |= ROWS[name]
    run = _folder(out, name)
    try:
        begun = time.monotonic()
        if (run / "settings.json").is_file():
            loop.resume(launch.plan(launch.reorder(run), fresh=False), run, quiet=True)
        else:
            changes |= _lengths(changes, options)
            order = launch.order("reverse_matchmove", "laptop", changes)
            loop.train(launch.plan(order), run, quiet=True)
        seconds = time.monotonic() - begun
    except ganvas.errors.UserError as error:
        # The row says so and the table goes on.
        return {"not run": "weights missing" if changes.get("perceptual") == PUBLISHED else str(error)}
    scores = {kind: _scores(run, data, kind) for kind in ("held_random", "held_runs")}
    return {"minutes": round(seconds / 60, 2), "steps": _steps(run), **scores}


def _folder(out: Path, name: str) -> Path:
    return out / "rows" / name.replace(" ", "-").replace(",", "").replace("'", "")


def _lengths(changes: dict[str, Any], options: argparse.Namespace) -> dict[str, int]:
    steps = options.steps
    if not steps:
        order = launch.order("reverse_matchmove", "laptop", changes)
        measured = rehearsal.rehearse(launch.plan(order), steps=8)
        # The stages have equally many steps, so that the mean of a step of each counts.
        seconds = sum(stage.seconds_a_step for stage in measured) / len(measured)
        steps = max(10, round(60 * options.minutes / seconds))
    adversarial = changes.get("learned_weight", 1) or changes.get("gan_weight", 1)
    pixel = round(steps * options.pixel_share)
    return {"pixel_steps": pixel, "steps": steps - pixel} if adversarial else {"pixel_steps": 0, "steps": steps}


def _steps(run: Path) -> int:
    settings = json.loads((run / "settings.json").read_text())["settings"]
    return settings["pixel_steps"] + settings["steps"]


def _scores(run: Path, data: Path, kind: str) -> dict[str, Any]:
    made, truth, nearest = _pictures(run, data, kind)
    reports, base = [], []
    for ours, real in zip(made, truth):
        low = degrade.resize_bicubic(real[None], 1 / 4)
        soft = degrade.resize_bicubic(low, size=(real.shape[-2], real.shape[-1])).clamp(0, 1)
        result, wanted, bicubic = (paired.luma(picture[None])[0, 0] for picture in (ours, real, soft[0]))
        reports.append(sharpness.compare_sharpness(result, wanted, bicubic))
    report = sharpness.mean_report(reports)
    base = [float(paired.psnr(a[None], b[None])) for a, b in zip(nearest, truth)]
    found = [float(paired.psnr(a[None], b[None])) for a, b in zip(made, truth)]
    return {
        "psnr": float(np.mean(found)),
        "gain": float(np.mean(found) - np.mean(base)),
        "ssim": float(paired.ssim(made, truth).mean()),
        "ssim_nearest": float(paired.ssim(nearest, truth).mean()),
        "laplacian": report.result.laplacian_ratio,
        "octaves": list(report.result.octave_ratios),
        "correlation": report.result.correlation,
        "bar": max(report.unsharp.correlation, report.noise.correlation),
        "sharp": float(report.sharp),
    }


def _pictures(run: Path, data: Path, kind: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    net = ganvas.load(run)
    card: Any = net.card
    size = card.settings["size_px"]
    zoom = tuple(card.extra["zoom"])
    held, train = (_views(data / name, size, zoom) for name in (kind, "train"))
    mean, deviation = np.array(card.settings["mean"]), np.array(card.settings["deviation"])
    known = (train.vectors() - mean) / deviation
    made, truth, nearest = [], [], []
    with torch.no_grad():
        for place, asked in enumerate((held.vectors() - mean) / deviation):
            view = held.plain(place)
            made.append((net(view["camera"][None])[0] * 0.5 + 0.5).clamp(0, 1))
            truth.append(view["picture"])
            nearest.append(train.plain(int(np.linalg.norm(known - asked, axis=1).argmin()))["picture"])
    return torch.stack(made), torch.stack(truth), torch.stack(nearest)


def _views(folder: Path, size: int, zoom: tuple[float, float]) -> Views:
    return Views(read_footage(folder).views, size, 0.0, zoom)


# Tables


def _print(results: dict[str, Any]) -> None:
    names = [
        "row", "steps", "minutes", "PSNR single (gain)", "PSNR runs (gain)", "SSIM (nearest)", "octaves", "Laplacian",
        "correlation (bar)", "sharp",
    ]  # fmt: skip
    print("| " + " | ".join(names) + " |")
    print("|---" * len(names) + "|")
    for name, row in results.items():
        if "not run" in row:
            print(f"| {name} | not run: {row['not run']}" + " |" * (len(names) - 1))
            continue
        a, b = row["held_random"], row["held_runs"]
        octaves = " ".join(f"{ratio:.2f}" for ratio in a["octaves"])
        print(
            f"| {name} | {row['steps']} | {row['minutes']:.1f} | {a['psnr']:.2f} ({a['gain']:+.2f}) | "
            f"{b['psnr']:.2f} ({b['gain']:+.2f}) | {a['ssim']:.3f} ({a['ssim_nearest']:.3f}) | {octaves} | "
            f"{a['laplacian']:.2f} | {a['correlation']:.3f} ({a['bar']:.3f}) | {'yes' if a['sharp'] else 'no'} |"
        )


def _sheet(results: dict[str, Any], out: Path, data: Path) -> None:
    """Write sheet.png: eight held-out views, their nearest training frames, and under them what each row made."""
    lines: list[np.ndarray] = []

    def add(name: str, pictures: torch.Tensor) -> None:
        line = torch.cat(list(pictures), dim=-1).permute(1, 2, 0).numpy()
        lines.extend([caption(name, line.shape[1], LINE_PX), line])

    for name, row in results.items():
        if "not run" in row:
            continue
        made, truth, nearest = _pictures(_folder(out, name), data, "held_random")
        places = np.linspace(0, len(made) - 1, 8).round().astype(int).tolist()
        if not lines:
            add("truth", truth[places])
            add("nearest training frame", nearest[places])
        add(name, made[places])
    if lines:
        images.write(out / "sheet.png", images.from_float(np.concatenate(lines), "uint8"), overwrite=True)


if __name__ == "__main__":
    sys.exit(main())
