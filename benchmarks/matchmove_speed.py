"""Speed and memory of reverse matchmove: views made a second, a training step, the peak of memory; one JSON line each.

    python benchmarks/matchmove_speed.py [--sizes 128 512] [--widths 24 128] [--step] [--precision float32]

Each measurement runs in a process of its own, so that its peak is its own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import sys
import time

import torch

from ganvas.networks.matchmove import CameraDiscriminator, CameraGenerator


def main() -> int:
    """Measure every size with its width."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", type=int, default=[128, 512])
    parser.add_argument("--widths", nargs="*", type=int, default=[24, 128])
    parser.add_argument("--step", action="store_true", help="a training step of generator and discriminator instead")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for size, width in zip(options.sizes, options.widths, strict=True):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            told = pool.apply(measure, (size, width, options.step, options.precision, options.repeats))
        print(json.dumps(told), flush=True)
    return 0


def measure(size: int, width: int, step: bool, precision: str, repeats: int) -> dict[str, float | int | str]:
    """Return seconds (the best of some) and the memory that was taken beyond the weights."""
    generator = CameraGenerator(size_px=size, width=width).to(memory_format=torch.channels_last)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            if step:
                _train(generator, width)
            else:
                with torch.no_grad():
                    generator.eval()(torch.randn(1, 13, 1, 1))
        seconds.append(time.perf_counter() - begun)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    kind = "training step, batch 1" if step else "a view"
    return {
        "what": kind, "size_px": size, "width": width, "precision": precision, "seconds": round(min(seconds), 3),
        "peak_gib_beyond_weights": round(peak, 2), "threads": torch.get_num_threads(),
    }  # fmt: skip


def _train(generator: CameraGenerator, width: int) -> None:
    """Play one step as the recipe does: the discriminator on both pictures, then the generator through it."""
    critic = CameraDiscriminator(width=width)
    real = torch.rand(1, 3, generator.size_px, generator.size_px) * 2 - 1
    fake = generator.train()(torch.randn(1, 13, 1, 1))
    (torch.relu(1 - critic(real).score).mean() + torch.relu(1 + critic(fake.detach()).score).mean()).backward()
    with torch.no_grad():
        wanted = critic(real).features
    found = critic(fake).features
    sum((ours - target).abs().mean() for ours, target in zip(found[:4], wanted)).backward()


if __name__ == "__main__":
    sys.exit(main())
