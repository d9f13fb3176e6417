"""Speed of a training step of BigGAN: ours against a plain eager float32 one, taken in turn in one run.

    python benchmarks/biggan_step.py [--size 64] [--width 32] [--batch 64] [--rounds 5] [--json FILE]
    python benchmarks/biggan_step.py --paper [--batch 8]

A step is one update of D and one of G with hinge loss, with the generator run once, as the recipe does. The plain one
runs D on real and fake pictures separately, in float32 and torch's default layout, without the engine; ours is the
engine's step (bfloat16 where the processor has it, channels last, both batches of D in one call). CPU seconds are those
of the process, all threads. `--paper` instead runs the paper's networks for 1000 classes once each, in processes of
their own: a step at 128 px (two updates of D, one of G), samples at 128 px and one at 512 px.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from ganvas import device as machine
from ganvas.drawn.shapes import CLASSES, Shapes
from ganvas.networks.biggan.net import BigGANGenerator
from ganvas.recipes.biggan import PAPER, BigGAN, Settings
from ganvas.training import step
from ganvas.training.trainer import Plan, Trainer


def settings(size_px: int, width: int, batch: int) -> Settings:
    """Return the recipe's settings for the benchmark: the published plan of channels."""
    stages = (size_px // 4).bit_length()
    return replace(
        PAPER, size_px=size_px, width=width, latent=16 * stages, attention_px=min(64, size_px // 2), batch_size=batch,
        micro_batches=1, discriminator_steps=1, num_classes=len(CLASSES), workers=0, orthogonal_weight=0.0,
        precision="auto", sentinel="off",
    )  # fmt: skip


def ours(chosen: Settings) -> Callable[[], None]:
    """Return the engine's step."""
    trainer = Trainer(Plan("biggan", BigGAN(chosen), Shapes(chosen.size_px, 8), None))
    return lambda: (step.advance(trainer), None)[1]


def plain(chosen: Settings) -> Callable[[], None]:
    """Return a plain step on the same networks."""
    recipe = BigGAN(chosen)
    torch.manual_seed(0)
    nets = recipe.networks()
    rates = {"generator": chosen.generator_rate, "discriminator": chosen.discriminator_rate}
    adams = {name: torch.optim.Adam(nets[name].parameters(), rates[name], chosen.betas) for name in rates}
    source = Shapes(chosen.size_px, 8)
    pictures = torch.stack([source.sample(n, None)["picture"] for n in range(len(source))])  # pyright: ignore[reportArgumentType]
    labels = torch.tensor([int(source.sample(n, None)["label"]) for n in range(len(source))])  # pyright: ignore[reportArgumentType]

    def advance() -> None:
        rows = torch.randint(len(pictures), (chosen.batch_size,))
        real, classes = pictures[rows].float() / 127.5 - 1, labels[rows]
        fake = nets.generator(torch.randn(len(rows), chosen.latent), classes)
        r, f = nets.discriminator(real, classes).score, nets.discriminator(fake.detach(), classes).score
        adams["discriminator"].zero_grad()
        (F.relu(1 - r).mean() + F.relu(1 + f).mean()).backward()
        adams["discriminator"].step()
        adams["generator"].zero_grad()
        nets.discriminator.requires_grad_(False)
        (-nets.discriminator(fake, classes).score.mean()).backward()
        nets.discriminator.requires_grad_(True)
        adams["generator"].step()

    return advance


def timed(run: Callable[[], None]) -> tuple[float, float]:
    """Return CPU seconds and wall seconds of one call."""
    cpu, wall = time.process_time(), time.monotonic()
    run()
    return time.process_time() - cpu, time.monotonic() - wall


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Take both steps in turn and return their medians and ratio."""
    chosen = settings(options.size, options.width, options.batch)
    contestants = {"plain": plain(chosen), "ours": ours(chosen)}
    for run in contestants.values():
        run()
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, run in contestants.items():
            seconds[name].append(timed(run))
    cpu = {name: statistics.median(one[0] for one in each) for name, each in seconds.items()}
    wall = {name: statistics.median(one[1] for one in each) for name, each in seconds.items()}
    ratios = [p[0] / o[0] for p, o in zip(seconds["plain"], seconds["ours"])]
    return {
        "size_px": options.size, "width": options.width, "batch": options.batch, "rounds": options.rounds,
        "cpu_seconds": cpu, "wall_seconds": wall, "ratio_cpu": statistics.median(ratios),
        "ratio_cpu_range": [min(ratios), max(ratios)],
    }  # fmt: skip


def sampled(size_px: int, latent: int, number: int, rounds: int, precision: str) -> dict[str, Any]:
    """Make pictures by the paper's generator of a size; the first call is not timed."""
    dtype = machine.pick_precision(precision, torch.device("cpu"))
    generator: Any = BigGANGenerator(size_px, latent=latent).eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    latents, classes = torch.randn(number, latent), torch.arange(number)

    def run() -> None:
        with torch.no_grad(), machine.autocast(torch.device("cpu"), dtype):
            generator(latents, classes)

    first = timed(run)
    later = [timed(run) for _ in range(rounds)] or [first]
    cpu, wall = (statistics.median(column) for column in zip(*later))
    return {
        "pictures": number, "precision": str(dtype), "cpu_seconds": cpu, "wall_seconds": wall,
        "pictures_a_cpu_second": number / cpu, "peak_mb": machine.peak_memory() / 2**20,
    }  # fmt: skip


def stepped(batch: int) -> dict[str, Any]:
    """Take one step of the preset `paper` at a smaller batch."""
    chosen = replace(PAPER, batch_size=batch, micro_batches=1, num_classes=1000, workers=0, sentinel="off")
    advance = ours(chosen)
    cpu, wall = timed(advance)
    return {
        "batch": batch, "discriminator_steps": chosen.discriminator_steps, "cpu_seconds": cpu, "wall_seconds": wall,
        "peak_mb": machine.peak_memory() / 2**20,
    }  # fmt: skip


def paper(batch: int) -> dict[str, Any]:
    """Run the paper's networks, each in a process of its own so that peaks of memory do not mix."""
    parts: dict[str, tuple[Callable[..., dict[str, Any]], tuple[Any, ...]]] = {
        "sample_128": (sampled, (128, 120, 16, 2, "auto")),
        "sample_512": (sampled, (512, 160, 1, 0, "float32")),
        "step_128": (stepped, (batch,)),
    }
    results: dict[str, Any] = {}
    for name, (run, arguments) in parts.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            results[name] = pool.apply(run, arguments)
        print(name, json.dumps(results[name]), flush=True)
    return results


def main() -> None:
    """Print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--batch", type=int, help="default 64, with --paper 8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--paper", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    facts = {
        "threads": torch.get_num_threads(), "torch": str(torch.__version__), "machine": platform.machine(),
        "bfloat16": machine.has_fast_bfloat16(torch.device("cpu")),
    }  # fmt: skip
    options.batch = options.batch or (8 if options.paper else 64)
    result = {**facts, **(paper(options.batch) if options.paper else compare(options))}
    text = json.dumps(result, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
