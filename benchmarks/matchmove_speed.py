"""Speed and memory of making views by the posts' network: frames a second and the peak of memory; one JSON line each.

    python benchmarks/matchmove_speed.py [--sizes 128 512 2048] [--width 128] [--precision auto]

Each measurement runs in a process of its own, so that its peak is its own. Training steps: matchmove_step.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time

import torch

from ganvas import device as machine
from ganvas.networks.matchmove.net import CameraGenerator


def main() -> int:
    """Measure every size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", type=int, default=[128, 512])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    for size in options.sizes:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            told = pool.apply(measure, (size, options.width, options.precision, options.repeats))
        print(json.dumps(told), flush=True)
    return 0


def measure(size: int, width: int, precision: str, repeats: int) -> dict[str, float | int | str]:
    """Return the frames made a second (the best of some) and the peak of memory, of the process and beyond weights."""
    dtype = machine.pick_precision(precision, torch.device("cpu"))
    generator = CameraGenerator(size_px=size, width=width).eval().to(memory_format=torch.channels_last)
    before = machine.peak_memory()
    seconds, cpu = [], []
    for _ in range(repeats):
        began, worked = time.perf_counter(), time.process_time()
        with torch.no_grad(), machine.autocast(torch.device("cpu"), dtype):
            generator(torch.randn(1, 13, 1, 1))
        seconds.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
    peak = machine.peak_memory()
    return {
        "size_px": size, "width": width, "parameters": sum(one.numel() for one in generator.parameters()),
        "precision": str(dtype or "float32").removeprefix("torch."), "threads": torch.get_num_threads(),
        "seconds": round(min(seconds), 3), "cpu_seconds": round(min(cpu), 3),
        "frames_a_second": round(1 / min(seconds), 3), "peak_gib": round(peak / 2**30, 2),
        "peak_gib_beyond_weights": round((peak - before) / 2**30, 2),
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
