"""Compare vid2vid with pix2pixHD applied frame by frame, on the embedded world, with equal time for both.

    python scripts/vid2vid_quality.py [--out runs/vid2vid-quality] [--minutes 15] [--size 128x64] [--clips 8]
                                      [--frames 48] [--held-seeds 1001 1002] [--ablations [NAME ...]] [--threads 1]
                                      [--world DIR --held DIR ...] [--no-frame-by-frame]

Renders a world for training and clips of other streets that are held out; trains each method for --minutes of
processor time a thread, so that other work on the machine changes nothing; makes the held-out clips from their label
maps alone; scores them, and writes table.md, table.json, and of the first street strip.png and one clip a method. With
--ablations also vid2vid without its flow or clip discriminators, with a foreground model, and with the render passes'
flow instead of its own. Each part is kept: the same command continues with what is missing, within a run, too.

The excess of the warping error (mean square, exact flow) is over the real clip's own, its floor: rendered frames do not
fit exactly on each other either. mIoU is a small segmenter's, trained on the real training frames. Rows that must lose:
the first frame frozen, the first frame moved along the exact flow for ever, and vid2vid's result blurred.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ganvas
from ganvas import launch
from ganvas.data.clips import Clips, condition_of, find_legend
from ganvas.data.degrade import resize_bicubic
from ganvas.data.windows import shrunk
from ganvas.flow import warp
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.io.video.headers import new_header
from ganvas.io.video.writer import VideoWriter
from ganvas.losses.temporal import end_point_error
from ganvas.metrics import probe, sharpness, temporal
from ganvas.metrics.labels import score_labels
from ganvas.metrics.paired import luma
from ganvas.networks.vid2vid.net import Known, next_frame, no_past
from ganvas.recipes.vid2vid.settings import PRESETS
from ganvas.training import loop, rehearsal

SHOWN = (1, 8, 16, 24)
"""Frames of the strip, as many as there are."""
FPS = Fraction(12)
NO_CACHE = 1 << 28
FRAME_BY_FRAME = "pix2pixHD frame by frame"
REPAINT, PAINTED_REPAINT = 1.6, 2.4
"""Added to the mask's logits in two rows: sharper, and less steady."""
PAINTED = f"vid2vid, painted by pix2pixHD, repaint {PAINTED_REPAINT}"
"""Flow and mask of the one, pictures of the other."""

VID2VID: dict[str, Any] = {"given_share": 0.0, "workers": 0, "sentinel": "warn"}
ABLATIONS: dict[str, dict[str, Any]] = {
    "no flow branch": {"with_flow": False, "mask_weight": 0.0},
    "no clip discriminator": {"clip_strides": []},
    "with a foreground model": {},
    "flow of the render passes": {"flow_use": "replace"},
}
MOVING = ("car", "person")
"""Classes that the foreground model draws."""


def main() -> None:
    """Do all that is missing, and write the table."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    world, held = prepare(options)
    methods: dict[str, Path] = {"vid2vid": train_vid2vid(options, world, "vid2vid", {})}
    if options.frame_by_frame:
        methods[FRAME_BY_FRAME] = train_pix2pixhd(options, world)
    moving = [label.id for label in find_legend(world) if label.name in MOVING]
    ABLATIONS["with a foreground model"]["foreground"] = moving
    for name in () if options.ablations is None else options.ablations or ABLATIONS:
        methods[name] = train_vid2vid(options, world, name.replace(" ", "-"), ABLATIONS[name])
    streets = streets_of(world, held, options.shrink)
    made = [clips_of(methods, street) for street in streets]
    rows = {name: mean_of([street.score(clips[name]) for street, clips in zip(streets, made)]) for name in made[0]}
    write_table(options, rows, {name: seconds_of(run) for name, run in methods.items()})
    write_pictures(options.out, made[0])


def clips_of(methods: Mapping[str, Path], street: Street) -> dict[str, Result]:
    """Return a street's clip by each method, and those that must lose."""
    results: dict[str, Result] = {"real": Result(street.real)}
    for name, run in methods.items():
        maker = frame_by_frame if name.startswith("pix2pix") else in_sequence
        results[name] = maker(run, street)
    results[f"vid2vid, repaint {REPAINT}"] = in_sequence(methods["vid2vid"], street, REPAINT)
    if FRAME_BY_FRAME in methods:
        painter = ganvas.load(methods[FRAME_BY_FRAME])
        results[PAINTED] = in_sequence(methods["vid2vid"], street, PAINTED_REPAINT, painter)
    return results | losers(results["vid2vid"].frames, street)


def mean_of(scores: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of several streets' scores."""
    return {name: sum(each[name] for each in scores) / len(scores) for name in scores[0]}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/vid2vid-quality"))
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--size", default="128x64")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--held-seeds", type=int, nargs="+", default=[1001, 1002], help="of held-out streets")
    parser.add_argument("--world", type=Path, help="sequences to train on, instead of rendering some")
    parser.add_argument("--held", type=Path, nargs="+", help="held-out sequences, instead of rendering some")
    parser.add_argument("--shrink", type=int, default=1, help="divide the sides of those sequences by this")
    parser.add_argument("--preset", default="preview", help="of vid2vid")
    parser.add_argument("--ablations", nargs="*", choices=[*ABLATIONS], help="rows to add, all where none is named")
    parser.add_argument("--frame-by-frame", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def prepare(options: argparse.Namespace) -> tuple[Path, list[Path]]:
    """Render the world and the held-out streets where they are not there yet."""
    world, held = options.world or options.out / "world", {}
    if not options.held:
        held = {options.out / f"held-{seed}": (1, seed) for seed in options.held_seeds}
    for folder, (clips, seed) in {world: (options.clips, 0), **held}.items():
        if not folder.exists():
            command = ["world", str(folder), "--frames", str(options.frames), "--size", options.size]
            ganvas_verb(*command, "--seed", str(seed), "--clips", str(clips))
    return world, options.held or list(held)


def ganvas_verb(*arguments: str) -> None:
    """Run a verb of the command line as a process of its own."""
    subprocess.run([sys.executable, "-m", "ganvas", *arguments], check=True)


# Training


def train_vid2vid(options: argparse.Namespace, world: Path, name: str, changes: Mapping[str, Any]) -> Path:
    """Train vid2vid for the minutes that there are."""
    settings = {**VID2VID, "data": str(world), "shrink": options.shrink, "threads": options.threads, **changes}

    preset = PRESETS[options.preset]
    # Single frames and sequences in the preset's proportion.
    singles = preset.picture_rounds / preset.rounds[0]

    def units(number: int) -> dict[str, Any]:
        return {"rounds": [number], "picture_rounds": round(number * singles)}

    def rounds(seconds_a_round: float) -> dict[str, Any]:
        return units(max(1, int(60 * options.minutes / seconds_a_round)))

    return train(options, "vid2vid", options.preset, name, settings, units(10), 10, rounds)


def train_pix2pixhd(options: argparse.Namespace, world: Path) -> Path:
    """Train pix2pixHD for as many minutes, on all frames of the same clips."""
    width, height = (int(side) // options.shrink for side in size_of(world))
    settings = {
        "data": str(world), "width_px": width, "height_px": height, "instance_features": 0, "mirror": False,
        "enhancers": 0, "enhancer_steps": 0, "joint_steps": 0, "perceptual": "small", "sentinel": "warn",
        "perceptual_layers": ["relu1_1", "relu2_1", "relu3_1", "relu4_1"], "pixel_weight": 10.0,
        "perceptual_layer_weights": [0.125, 0.25, 0.5, 1.0], "workers": 0, "threads": options.threads,
        "precision": "float32",
    }  # fmt: skip

    def steps(seconds_a_step: float) -> dict[str, Any]:
        return {"global_steps": max(1, int(60 * options.minutes / seconds_a_step))}

    return train(options, "pix2pixhd", "preview", "pix2pixhd", settings, {"global_steps": 1}, 1, steps)


def train(
    options: argparse.Namespace,
    recipe: str,
    preset: str,
    name: str,
    settings: dict[str, Any],
    unit: dict[str, Any],
    units: int,
    fill: Callable[[float], dict[str, Any]],
) -> Path:
    """Train a run, or resume it; its length is set by a rehearsal of every stage."""
    run = options.out / name
    noted = run.with_suffix(".seconds.json")
    earlier = runs.read_json(noted)["seconds"] if noted.is_file() else 0.0
    threads = settings["threads"] or torch.get_num_threads()
    if runs.is_run(run):
        plan = launch.plan(launch.reorder(run), fresh=False)
    else:
        trial = launch.order(recipe, preset, {**settings, **unit})
        begun, worked = time.monotonic(), time.process_time()
        measured = rehearsal.rehearse(launch.plan(trial), steps=15)
        # On a busy machine a step takes longer than its work does.
        share = min(1.0, (time.process_time() - worked) / (time.monotonic() - begun) / threads)
        seconds = share * sum(stage.steps * stage.seconds_a_step for stage in measured) / units
        plan = launch.plan(launch.order(recipe, preset, {**settings, **fill(seconds)}))
    worked = time.process_time()
    try:
        loop.resume(plan, run) if runs.is_run(run) else loop.train(plan, run)
    finally:
        runs.write_json(noted, {"seconds": earlier + (time.process_time() - worked) / threads})
    return run


def seconds_of(run: Path) -> float:
    """Return how long a run trained, all its parts together: seconds of processor time a thread."""
    return float(runs.read_json(run.with_suffix(".seconds.json"))["seconds"])


def size_of(world: Path) -> tuple[int, int]:
    """Return width and height of the frames."""
    header = images.read_header(next(world.rglob("frames/*.png")))
    return header.width, header.height


# Making the held-out clip


class Result:
    """A clip, and where there is one the flow that was estimated for it."""

    def __init__(self, frames: Tensor, flow: Tensor | None = None, seconds: float = 0.0) -> None:
        self.frames, self.flow, self.seconds = frames, flow, seconds


class Street:
    """A held-out clip with all that is known of it, and the segmenter."""

    def __init__(self, planes: dict[str, Tensor], num_labels: int, has_instances: bool, segmenter: probe.Probe) -> None:
        self.num_labels, self.segmenter = num_labels, segmenter
        self.real, self.labels = planes["picture"], planes["label_map"][:, 0]
        self.conditions = condition_of(planes, num_labels, has_instances)
        self.back, self.trust = planes["flow"], planes["trust"]

    def warping_error(self, frames: Tensor) -> float:
        """Return the mean squared error of each frame against the one before it, fetched along the exact flow."""
        # The score looks at the next frame: backwards in time that is the one before.
        flow, known = self.back[1:].flip(0), self.trust[1:].flip(0)
        return float(temporal.warping_error(frames.flip(0), flow, known).mean())

    def score(self, result: Result) -> dict[str, float]:
        """Return the scores of a clip."""
        frames = result.frames.clamp(0, 1)
        error, floor = self.warping_error(frames), self.warping_error(self.real)
        energy, real_energy = (
            float(sharpness.octave_energies(luma(clip)[:, 0])[:, :2].sum(-1).mean()) for clip in (frames, self.real)
        )
        scores = {
            "warping error": error,
            "excess": error - floor,
            "mIoU": score_labels(self.segmenter.predict(frames), self.labels, self.num_labels).mean_iou,
            "high-frequency energy": energy / real_energy,
            "flicker": temporal.flicker(frames, self.real),
            "drift": temporal.drift(frames, self.real),
            "L1": float((frames - self.real).abs().mean()),
        }
        if result.flow is not None:
            scores["flow error px"] = float(end_point_error(result.flow[1:], self.back[1:], self.trust[1:]))
        if result.seconds:
            scores["seconds a frame"] = result.seconds / len(frames)
        return scores


def streets_of(world: Path, held: list[Path], shrink: int) -> list[Street]:
    """Return the held-out clips, and a segmenter trained on the real frames of the world."""
    trained_on = Clips(world, cache_bytes=NO_CACHE)
    frames = [
        shrunk(trained_on.read(clip, range(0, len(trained_on.clips[clip]), 3), with_flow=False), shrink)
        for clip in range(len(trained_on.clips))
    ]
    pictures = torch.cat([part["picture"] for part in frames])
    maps = torch.cat([part["label_map"][:, 0] for part in frames])
    last = len(frames[-1]["picture"])
    held_out = list(range(len(pictures) - last, len(pictures)))
    crop = min(pictures.shape[-2:])
    segmenter = probe.train_segmenter(pictures, maps, trained_on.num_labels, held_out=held_out, crop_px=crop)
    streets = []
    for folder in held:
        source = Clips(folder, trained_on.num_labels, cache_bytes=NO_CACHE)
        planes = shrunk(source.read(0, range(len(source.clips[0]))), shrink)
        streets.append(Street(planes, source.num_labels, source.has_instances, segmenter))
    return streets


def in_sequence(run: Path, street: Street, repaint: float = 0.0, painter: Any = None) -> Result:
    """Make the clip with vid2vid, without any picture to begin with; a painter's pictures may replace its own."""
    net: Any = ganvas.load(run)
    net.repaint(repaint)
    frames, flows, past = [], [], None
    begun = time.perf_counter()
    with torch.inference_mode():
        for condition, flow in zip(street.conditions.split(1), street.back.split(1)):
            painted = None if painter is None else painter(condition)
            known = Known(flow if net.card.extra["replaces"] else None, None, painted)
            made, past = next_frame(net, condition, no_past(net, condition) if past is None else past, known)
            frames.append((made.picture + 1) / 2)
            flows.append(made.flow)
    seconds = time.perf_counter() - begun
    has_flow = net.card.settings["with_flow"] and not net.card.extra["replaces"]
    return Result(torch.cat(frames).clone(), torch.cat(flows).clone() if has_flow else None, seconds)


def frame_by_frame(run: Path, street: Street) -> Result:
    """Make each frame by itself with pix2pixHD."""
    net = ganvas.load(run)
    begun = time.perf_counter()
    with torch.inference_mode():
        frames = [(net(condition) + 1) / 2 for condition in street.conditions.split(1)]
    return Result(torch.cat(frames).clone(), None, time.perf_counter() - begun)


def losers(frames: Tensor, street: Street) -> dict[str, Result]:
    """Return what must lose, because it only looks good by one of the scores."""
    frozen = frames[:1].expand_as(frames).clone()
    moved = [frames[:1]]
    for flow in street.back[1:].split(1):
        moved.append(warp(moved[-1], flow))
    height, width = frames.shape[-2:]
    small = torch.nn.functional.avg_pool2d(frames, 4)
    blurred = resize_bicubic(small, size=(height, width))
    return {
        "first frame frozen": Result(frozen), "first frame warped": Result(torch.cat(moved)),
        "vid2vid, blurred": Result(blurred),
    }  # fmt: skip


# Writing


def write_table(options: argparse.Namespace, rows: dict[str, dict[str, float]], seconds: dict[str, float]) -> None:
    """Write the scores as JSON and as a table."""
    runs.write_json(options.out / "table.json", {"rows": rows, "seconds": seconds, "minutes": options.minutes})
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [f"{row[column]:.4g}" if column in row else "" for column in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n" + goals(rows)
    (options.out / "table.md").write_text(text)
    print(text, json.dumps(seconds))


def goals(rows: dict[str, dict[str, float]]) -> str:
    """Return how vid2vid stands to pix2pixHD; wanted are at most half the excess, and no less of the other two."""
    theirs = rows.get(FRAME_BY_FRAME)
    if theirs is None:
        return ""
    lines = []
    for name in ("vid2vid", f"vid2vid, repaint {REPAINT}", PAINTED):
        parts = [f"excess {rows[name]['excess'] / theirs['excess']:.2f} of pix2pixHD's"]
        parts += [f"{score} {rows[name][score] - theirs[score]:+.3f}" for score in ("mIoU", "high-frequency energy")]
        lines.append(f"\n{name}: {', '.join(parts)}\n")
    return "".join(lines)


def write_pictures(out: Path, results: dict[str, Result]) -> None:
    """Write a strip with a row for each method, and a clip of each."""
    rows = []
    for name, result in results.items():
        frames = images.from_float(result.frames.clamp(0, 1).permute(0, 2, 3, 1).numpy(), "uint8")
        numbers = [min(number, len(frames) - 1) for number in SHOWN]
        rows.append(np.concatenate([frames[number] for number in numbers], axis=1))
        path = out / f"{name.replace(' ', '-').replace(',', '')}.mp4"
        header = new_header(frames.shape[2], frames.shape[1], FPS)
        with VideoWriter(path, header, overwrite=True) as writer:
            for number, frame in enumerate(frames):
                writer.write(frame, number * header.frame_step, header.frame_step)
    images.write(out / "strip.png", np.concatenate(rows), overwrite=True)


if __name__ == "__main__":
    main()
