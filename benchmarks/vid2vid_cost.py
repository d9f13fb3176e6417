"""What vid2vid costs: generation by length, a training step by operation, and one step and one frame at full size.

    python benchmarks/vid2vid_cost.py length RUN CLIPDIR [--frames 30 600]
    python benchmarks/vid2vid_cost.py drift RUN CLIPDIR [--frames 480] [--anchors 0 0.05]
    python benchmarks/vid2vid_cost.py step DATA [--preset preview]
    python benchmarks/vid2vid_cost.py full [--size 1024x512] [--scales 1] [--train] [--precision bfloat16]

`length` makes clips of several lengths from one sequence, gone through to and fro, each in a process of its own, and
prints seconds a frame and peak memory. `drift` makes a long one with several anchors and prints, by tenths of it, how
far its frames are from the hallucinated and from the real ones, and how sharp they are. `step` profiles training steps
and prints what costs most. `full` builds the generator at the paper's width and runs one frame, or with --train one
whole training step of one.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganvas import device as machine
from ganvas import launch
from ganvas.data.sequences import ROLES, find_clips
from ganvas.inference.clips.sampler import ClipOptions, generate_clip
from ganvas.io.pictures import images
from ganvas.metrics.paired import luma
from ganvas.metrics.sharpness import octave_energies
from ganvas.networks.vid2vid.net import Vid2Vid
from ganvas.training import step
from ganvas.training.trainer import Trainer

GIB = 1 << 30


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    length = kinds.add_parser("length")
    length.add_argument("run", type=Path)
    length.add_argument("clip", type=Path)
    length.add_argument("--frames", type=int, nargs="+", default=[30, 600])
    length.add_argument("--child", action="store_true")
    drifting = kinds.add_parser("drift")
    drifting.add_argument("run", type=Path)
    drifting.add_argument("clip", type=Path)
    drifting.add_argument("--frames", type=int, default=480)
    drifting.add_argument("--anchors", type=float, nargs="+", default=[0.0, 0.05])
    profiled = kinds.add_parser("step")
    profiled.add_argument("data", type=Path)
    profiled.add_argument("--preset", default="preview")
    full = kinds.add_parser("full")
    full.add_argument("--size", default="1024x512")
    full.add_argument("--scales", type=int, default=1)
    full.add_argument("--train", action="store_true")
    full.add_argument("--precision", default="bfloat16", help="of a training step")
    options = parser.parse_args()
    {"length": lengths, "drift": drifts, "step": profile_step, "full": full_size}[options.kind](options)


def lengths(options: argparse.Namespace) -> None:
    """Print seconds a frame and peak memory for clips of several lengths."""
    if options.child:
        make_clip(options.run, options.clip, options.frames[0])
        return
    for frames in options.frames:
        command = [sys.executable, __file__, "length", str(options.run), str(options.clip), "--child", "--frames"]
        subprocess.run([*command, str(frames)], check=True)


def make_clip(run: Path, source: Path, frames: int) -> None:
    """Make one clip of so many frames."""
    with tempfile.TemporaryDirectory() as folder:
        long = stretched(source, Path(folder) / "long", frames)
        report = generate_clip(run, long, Path(folder) / "out", ClipOptions())
    # The first second goes into loading; what counts is the whole.
    peak = machine.peak_memory(torch.device("cpu")) / (1 << 20)
    print(f"{frames} frames  {report.seconds / frames:.4f} s a frame  {peak:.0f} MiB", flush=True)


def drifts(options: argparse.Namespace) -> None:
    """Print how a long clip's frames change, by tenths of it: how far they are from others, and how sharp they are."""
    with tempfile.TemporaryDirectory() as folder:
        long = stretched(options.clip, Path(folder) / "long", options.frames, (*CONDITIONS, "frames"))
        real = [images.to_float(file.read()) for file in find_clips(long)[0].files["frames"]]
        sharp = np.array([energy(frame) for frame in real])
        for anchor in options.anchors:
            out = Path(folder) / f"anchor-{anchor}"
            report = generate_clip(options.run, long, out, ClipOptions(anchor=anchor))
            made = [images.to_float(images.read(path)[0]) for path in sorted(out.glob("*.png"))]
            curves = {
                "mean difference from the hallucinated frames": np.array(report.drift),
                "mean difference from the real frames": np.array([np.abs(a - b).mean() for a, b in zip(made, real)]),
                "high-frequency energy, 1 is the real frames'": np.array([energy(frame) for frame in made]) / sharp,
            }
            for name, curve in curves.items():
                tenths = ", ".join(f"{part.mean():.3f}" for part in np.array_split(curve, 10))
                print(f"anchor {anchor}, {name}: {tenths}", flush=True)


def energy(picture: np.ndarray) -> float:
    """Return the energy of the two finest octaves of a picture (H, W, 3) in [0, 1]."""
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    return float(octave_energies(luma(planes)[:, 0])[:, :2].sum())


CONDITIONS = ("labels", "conditions", "instances")


def stretched(source: Path, target: Path, frames: int, roles: tuple[str, ...] = CONDITIONS) -> Path:
    """Copy a sequence's conditions, gone through to and fro until there are so many frames."""
    (clip,) = find_clips(source)
    there = list(range(len(clip)))
    order = (there + there[-2:0:-1]) * (1 + frames // max(1, len(there)))
    for role in roles:
        if role in clip.files:
            (target / ROLES[role][0]).mkdir(parents=True)
            for number, frame in enumerate(order[:frames]):
                file = clip.files[role][frame].path
                shutil.copyfile(file, target / ROLES[role][0] / f"{number:06d}{file.suffix}")
    for legend in (source / "legend.json", source.parent / "legend.json"):
        if legend.is_file():
            shutil.copyfile(legend, target / "legend.json")
            break
    return target


def profile_step(options: argparse.Namespace) -> None:
    """Print seconds and memory of a step of the last stage, and the operations that take most of it."""
    order = launch.order("vid2vid", options.preset, {"data": str(options.data), "workers": 0})
    trainer = Trainer(launch.plan(order))
    trainer.skip_to(len(trainer.stages) - 1)
    for _ in range(2):
        step.advance(trainer)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        begun = time.perf_counter()
        for _ in range(3):
            step.advance(trainer)
        seconds = (time.perf_counter() - begun) / 3
    trainer.feed.close()
    rows = sorted(seen.key_averages(), key=lambda row: -row.self_cpu_time_total)
    total = sum(row.self_cpu_time_total for row in rows)
    print(f"{seconds:.2f} s a step, {machine.peak_memory(torch.device('cpu')) / GIB:.2f} GiB")
    for row in rows[:8]:
        print(f"  {100 * row.self_cpu_time_total / total:5.1f} %  {row.key}")


def full_size(options: argparse.Namespace) -> None:
    """Run one frame, or one training step, at the paper's width."""
    width, height = (int(side) for side in options.size.split("x"))
    if options.train:
        train_once(width, height, options.scales, options.precision)
        return
    net = Vid2Vid(scales=options.scales, foreground=(26,), norm="batch").eval()
    labels = torch.zeros(1, 108, height, width)
    labels[:, ::36] = 1
    begun = time.perf_counter()
    with torch.inference_mode():
        net(labels, torch.zeros(1, 6, height, width))
    seconds, peak = time.perf_counter() - begun, machine.peak_memory(torch.device("cpu")) / GIB
    parameters = sum(parameter.numel() for parameter in net.parameters())
    print(f"frame of {options.size}, {parameters:,} parameters: {seconds:.1f} s, {peak:.1f} GiB")


def train_once(width: int, height: int, scales: int, precision: str) -> None:
    """Train one step of one frame of the paper's preset on a rendered sequence, and tell what each part of it costs."""
    with tempfile.TemporaryDirectory() as folder:
        told = Phases()
        size = ["--frames", "4", "--size", f"{width}x{height}"]
        subprocess.run([sys.executable, "-m", "ganvas", "world", f"{folder}/world", *size], check=True)
        told.phase("sequence rendered")
        changes = {
            "data": f"{folder}/world", "workers": 0, "first_length": 1, "longest": 1, "lengths": 1, "frames_a_step": 1,
            "perceptual": "small", "perceptual_layers": ["relu1_1", "relu2_1", "relu3_1", "relu4_1"],
            # The paper's foreground: the parameters are then its 411,335,241 with 35 classes.
            "num_labels": 35, "things_are_foreground": True, "precision": precision, "average_half_life": 0.0,
        }  # fmt: skip
        preset = {1: "512", 2: "1024", 3: "2048"}[scales]
        trainer = Trainer(launch.plan(launch.order("vid2vid", preset, changes)))
        trainer.skip_to(len(trainer.stages) - 1)
        for name, net in trainer.nets.items():
            print(f"  {name}: {sum(parameter.numel() for parameter in net.parameters()):,} parameters")
        told.phase("networks built")
        with told.calls(trainer.recipe, ("forward", "discriminator_losses", "generator_losses")):
            begun = time.perf_counter()
            step.advance(trainer)
        seconds = time.perf_counter() - begun
        told.phase("step ended")
        trainer.feed.close()
    print(f"a training step of one frame, {width}x{height}, preset {preset}, {precision}: {seconds:.0f} s", flush=True)


class Phases:
    """Prints, as soon as it is known, when each part of the work ended and how much memory it had taken by then."""

    def __init__(self) -> None:
        self.begun = time.perf_counter()

    def phase(self, name: str) -> None:
        """Tell that a part has ended."""
        peak = machine.peak_memory(torch.device("cpu")) / GIB
        print(f"{time.perf_counter() - self.begun:7.0f} s  {peak:5.1f} GiB  {name}", flush=True)

    @contextmanager
    def calls(self, owner: Any, names: tuple[str, ...]) -> Iterator[None]:
        """Tell of each call of these methods when it ended; what lies between two is backward passes and updates."""
        kept = {name: getattr(owner, name) for name in names}

        def told(name: str) -> Callable[..., Any]:
            def call(*arguments: Any) -> Any:
                self.phase(f"{name} begins")
                found = kept[name](*arguments)
                self.phase(f"{name} ends")
                return found

            return call

        for name in names:
            setattr(owner, name, told(name))
        try:
            yield
        finally:
            for name in names:
                delattr(owner, name)


if __name__ == "__main__":
    main()
