"""How good pix2pixHD's pictures of the sample world are: a segmenter's word, sharpness, distances, two baselines.

    python scripts/pix2pixhd_quality.py --out runs/pix2pixhd-quality [--share 1.0]

Renders streets to train on and another street to test on, trains the recipe and an L1-only generator of the same size,
makes pictures of the test street's label maps, and writes table.md, results.json and pictures.png into the folder.
Whatever is there already is used: an interrupted script goes on where it stood. `--share` scales the number of steps;
at 1 the recipe trains for about half an hour on two cores.

Rows: real frames of the test street; the recipe with styles drawn by seed, and with the styles of the real frame; the
L1-only generator; a painter of each class's mean colour. Columns: mean IoU of a segmenter that was trained on real
frames of the training street and of eight more, so that it knows streets and not this one's colours, and its share of
that on real test frames; the energies of the top three octaves and the variance of the Laplacian over those of real
frames, as `metrics/sharpness.py` has them; the kernel distance of random features of 64 px tiles to real test frames
(all sets of one size); a score of repeated patterns; the mean step of brightness from one thing to the next of its
class where two touch, over that of real frames.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas import cli, launch
from ganvas.data.conditions import colorize
from ganvas.data.degrade import resize_bicubic
from ganvas.data.labels import LabelledPictures
from ganvas.inference.labels.painter import LabelPainter, Regions
from ganvas.inference.styles import gather
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.io.score_cache import default_cache
from ganvas.metrics.distribution import squared_mmd
from ganvas.metrics.labels import score_labels
from ganvas.metrics.painted import instance_contrast, repetition, tile_features
from ganvas.metrics.paired import luma
from ganvas.metrics.probe import train_segmenter
from ganvas.metrics.sharpness import RATIO_RANGE, compare_sharpness, laplacian_variance, mean_report, octave_energies

SIZE = (256, 128)
TRAIN_SEED, TEST_SEED = 11, 77
SCORED_SEEDS, SCORED_FRAMES = range(101, 109), 10
TRAIN_CLIPS, TEST_CLIPS, FRAMES, TEST_FRAMES = 8, 3, 20, 12
COMMON: dict[str, Any] = {
    "width_px": 256, "height_px": 128, "batch_size": 1, "global_width": 32, "downs": 3, "blocks": 5, "local_blocks": 2,
    "encoder_width": 8, "discriminator_width": 32, "discriminator_scales": 2, "rate": 4e-4, "perceptual": "none",
    "average_half_life": 300.0, "checkpoint_every": 200, "preview_every": 200, "log_every": 50, "keep_last": 1,
}  # fmt: skip
PROBE_STEPS = 600
STEPS = {"global_steps": 4000, "enhancer_steps": 300, "joint_steps": 3000}
VARIANTS: dict[str, dict[str, Any]] = {
    "gan": {},
    "l1": {"gan_weight": 0.0, "feature_matching_weight": 0.0, "pixel_weight": 10.0, "instance_features": 0},
}


def main() -> None:
    """Do what is not done yet, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/pix2pixhd-quality"))
    parser.add_argument("--share", type=float, default=1.0, help="of the steps")
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train = render(options.out / "train", TRAIN_SEED, TRAIN_CLIPS, FRAMES)
    test = render(options.out / "test", TEST_SEED, TEST_CLIPS, TEST_FRAMES)
    settings = {name: max(1, round(steps * options.share)) for name, steps in STEPS.items()}
    folders = {name: train_variant(name, train, options.out / name, settings, options.threads) for name in VARIANTS}
    streets = [render(options.out / "scored" / str(seed), seed, 1, SCORED_FRAMES) for seed in SCORED_SEEDS]
    report(options.out, folders, train, test, streets)


def render(folder: Path, seed: int, clips: int, frames: int) -> Path:
    """Render a street, once."""
    done = folder.with_suffix(".done")
    if not done.exists():
        size = f"{SIZE[0]}x{SIZE[1]}"
        if cli.main(["world", str(folder), "--frames", str(frames), "--size", size, "--seed", str(seed),
                     "--clips", str(clips)]):  # fmt: skip
            raise SystemExit(f"{folder} could not be rendered; delete it and start again")
        done.write_text("")
    return folder


def train_variant(name: str, data: Path, run: Path, steps: dict[str, int], threads: int) -> Path:
    """Train a variant, or resume it; the minutes that this took are noted beside it."""
    clock = run.with_suffix(".seconds")
    began = time.perf_counter()
    if not runs.is_run(run):
        settings = {**COMMON, **steps, "threads": threads, **VARIANTS[name]}
        launch.train("pix2pixhd", data, run, preset="laptop", settings=settings)
    elif (saved := runs.newest_checkpoint(run)[0]) is None or saved.step < sum(steps.values()):
        launch.train(resume=run)
    else:
        return run
    before = float(clock.read_text()) if clock.exists() else 0.0
    clock.write_text(str(before + time.perf_counter() - began))
    return run


def read_all(folder: Path) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return pictures (3, H, W), label maps and instance maps (1, H, W) of a folder of clips."""
    source = LabelledPictures(folder, fit="whole", mirror=False)
    scenes = [source.whole(index) for index in range(len(source))]
    return tuple([scene[key] for scene in scenes] for key in ("picture", "label_map", "instance_map"))  # pyright: ignore[reportReturnType]


def paint_all(make: Callable[[Regions, Tensor], np.ndarray], scenes: tuple[list[Tensor], ...]) -> list[Tensor]:
    """Make the picture of every scene, rounded to 8 bits as a file would be."""
    made = []
    for picture, label_map, instance_map in zip(*scenes, strict=True):
        array = make(Regions.of(label_map[None], instance_map[None]), picture[None])
        made.append((torch.from_numpy(array).permute(2, 0, 1) * 255).round() / 255)
    return made


def report(out: Path, folders: dict[str, Path], train: Path, test: Path, streets: Sequence[Path]) -> None:
    """Make all pictures, score them and write the table."""
    trained_on, scenes = read_all(train), read_all(test)
    torch.manual_seed(0)
    for name in ("gan",):
        if not (folders[name] / "attachments").exists():
            gather(folders[name])
    gan, l1 = (LabelPainter(folders[name], device="cpu", precision="float32") for name in ("gan", "l1"))
    means = class_means(*trained_on[:2], gan.num_labels)
    sets = {
        "real frames": scenes[0],
        "pix2pixHD, styles by seed": paint_all(lambda r, _: gan.picture(r, gan.draw(r, 0).features), scenes),
        "pix2pixHD, styles of the frame": paint_all(lambda r, p: gan.picture(r, gan.copy(r, p).features), scenes),
        "L1 only": paint_all(lambda r, _: l1.picture(r, l1.draw(r).features), scenes),
        "class means": paint_all(lambda r, _: means[r.label_map[0, 0].clamp(min=0)].numpy(), scenes),
    }
    probe = probe_of([trained_on, *map(read_all, streets)], scenes, gan.num_labels)
    rows = score(sets, scenes, trained_on[0], probe, gan.num_labels)
    results = {"rows": rows, "trust": probe.trust, "sharp": sharpness(sets), "minutes": minutes(folders)}
    runs.write_json(out / "results.json", results)
    (out / "table.md").write_text(table(results))
    show(out / "pictures.png", sets, scenes, gan)
    print((out / "table.md").read_text())


def minutes(folders: dict[str, Path]) -> dict[str, float]:
    """Return what each training took."""
    clocks = {name: run.with_suffix(".seconds") for name, run in folders.items()}
    return {name: round(float(clock.read_text()) / 60, 1) for name, clock in clocks.items() if clock.exists()}


def class_means(pictures: list[Tensor], label_maps: list[Tensor], num_labels: int) -> Tensor:
    """Return the mean colour of each class, (num_labels, 3)."""
    sums, counts = torch.zeros(num_labels, 3), torch.zeros(num_labels)
    for picture, label_map in zip(pictures, label_maps, strict=True):
        known = label_map[0] >= 0
        sums.index_add_(0, label_map[0][known], picture[:, known].T)
        counts += torch.bincount(label_map[0][known], minlength=num_labels)
    return sums / counts.clamp(min=1)[:, None]


def probe_of(real: list[tuple[list[Tensor], ...]], scenes: tuple[list[Tensor], ...], num_labels: int) -> Any:
    """Train the segmenter on real frames of streets; the test street is what it holds out."""
    pictures, maps = ([picture for street in [*real, scenes] for picture in street[place]] for place in (0, 1))
    held_out = range(len(pictures) - len(scenes[0]), len(pictures))
    return train_segmenter(pictures, maps, num_labels, steps=PROBE_STEPS, held_out=held_out, cache=default_cache())


def score(
    sets: dict[str, list[Tensor]], scenes: tuple[list[Tensor], ...], real: list[Tensor], probe: Any, num_labels: int
) -> list[dict[str, Any]]:
    """Return a row for each set of pictures."""
    truth, border = torch.stack(scenes[1])[:, 0], instance_contrast(*scenes)
    features = {name: tile_features(pictures) for name, pictures in {**sets, "train": real[: len(truth)]}.items()}
    reference = torch.stack([detail(picture) for picture in sets["real frames"]]).mean(0)
    rows: list[dict[str, Any]] = []
    for name, pictures in sets.items():
        miou = score_labels(probe.predict(torch.stack(pictures)), truth, num_labels).mean_iou
        other = features["train" if name == "real frames" else name]
        ratios = (torch.stack([detail(picture) for picture in pictures]).mean(0) / reference).tolist()
        rows.append({
            "row": name, "miou": miou, "miou_share": miou / rows[0]["miou"] if rows else 1.0,
            "octaves": ratios[:3], "laplacian": ratios[3],
            "detailed": all(RATIO_RANGE[0] <= ratio <= RATIO_RANGE[1] for ratio in ratios),
            "distance": squared_mmd(features["real frames"], other),
            "borders": instance_contrast(pictures, *scenes[1:]) / border,
            "repetition": float(np.mean([repetition(picture) for picture in pictures])),
        })  # fmt: skip
    return rows


def detail(picture: Tensor) -> Tensor:
    """Return the energies of the top three octaves and the variance of the Laplacian."""
    y = luma(picture[None])[0, 0]
    return torch.cat([octave_energies(y), laplacian_variance(y)[None]])


def sharpness(sets: dict[str, list[Tensor]]) -> list[dict[str, Any]]:
    """Compare the recipe with an unsharp mask and noise of the same strength, on each of two soft bases.

    The first is what every page's *sharp* is measured by, the real frame shrunk to a quarter and enlarged again; the
    second the L1-only pictures, which come from the label maps alone.
    """
    real, found = sets["real frames"], []
    quarter = [resize_bicubic(resize_bicubic(picture[None], 1 / 4), size=SIZE[::-1])[0].clamp(0, 1) for picture in real]
    for name in ("pix2pixHD, styles by seed", "pix2pixHD, styles of the frame"):
        for base, soft in (("bicubic", quarter), ("L1", sets["L1 only"])):
            planes = zip(
                *([luma(picture[None])[0, 0] for picture in one] for one in (sets[name], real, soft)), strict=True
            )
            report = mean_report([compare_sharpness(*three) for three in planes])
            rows = {"result": report.result, base: report.bicubic, f"{base} + unsharp mask": report.unsharp,
                    f"{base} + noise": report.noise}  # fmt: skip
            correlations = {row: one.correlation for row, one in rows.items()}
            found.append({"of": name, "sharp": report.sharp, "correlation": correlations})
    return found


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    lines = [
        "| | mean IoU | share of real | octaves, finest first | Laplacian | distance | repetition | borders |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        octaves = " ".join(f"{ratio:.2f}" for ratio in row["octaves"])
        lines.append(
            f"| {row['row']} | {row['miou']:.3f} | {row['miou_share']:.2f} | {octaves} | {row['laplacian']:.2f} | "
            f"{row['distance']:.4f} | {row['repetition']:.3f} | {row['borders']:.2f} |"
        )
    lines += ["", f"{results['trust']}. The distance of real frames is that to frames of the training streets."]
    for found in results["sharp"]:
        pairs = ", ".join(f"{name} {value:.3f}" for name, value in found["correlation"].items())
        lines.append(f"High-pass correlation with the real frame, {found['of']}: {pairs}; sharp: {found['sharp']}.")
    lines.append(f"Minutes of training: {json.dumps(results['minutes'])}.")
    return "\n".join(lines) + "\n"


def show(path: Path, sets: dict[str, list[Tensor]], scenes: tuple[list[Tensor], ...], gan: LabelPainter) -> None:
    """Write a sheet of four scenes: labels, class means, L1, the recipe with both kinds of styles, the real frame."""
    palette = {label.id: label.color for label in gan.legend}
    names = ("class means", "L1 only", "pix2pixHD, styles by seed", "pix2pixHD, styles of the frame", "real frames")
    rows = []
    for index in (round(place) for place in np.linspace(0, len(scenes[0]) - 1, 4)):
        shown = colorize(scenes[1][index][None], palette, scenes[2][index][None])[0]
        rows.append(torch.cat([shown, *(sets[name][index] for name in names)], dim=2))
    sheet = torch.cat(rows, dim=1).permute(1, 2, 0).numpy()
    images.write(path, images.from_float(sheet, "uint8"), overwrite=True)


if __name__ == "__main__":
    main()
