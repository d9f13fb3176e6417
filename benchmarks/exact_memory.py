"""Peak memory and seconds of pix2pixHD's full-size local generator, run exactly, and its equality with the untiled net.

    python benchmarks/exact_memory.py [--sizes 4096x2048 8192x4096] [--budget-mib 1024] [--equality 2048x1024]

Each size runs in a process of its own, whose high-water mark (VmHWM) is read at its end: weights and Python included.
The weights are random, which changes neither memory nor time; the label map is drawn strip by strip.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LABELS = 35


def condition_of(width: int, height: int) -> Callable[[int, int], Tensor]:
    """Return the rows of a street of many labels with its boundaries, as one-hot maps made when they are asked for."""
    import torch

    random = torch.Generator().manual_seed(5)
    blocks = torch.randint(LABELS, (height // 64 + 2, width // 64 + 2), generator=random)

    def labels(top: int, bottom: int) -> Tensor:
        rows, columns = torch.arange(top, bottom)[:, None], torch.arange(width)
        return blocks[(rows + columns // 3) // 64 % len(blocks), columns // 64]

    def provide(top: int, bottom: int) -> Tensor:
        rows = labels(top, bottom)
        condition = torch.zeros(1, LABELS + 1, bottom - top, width)
        condition[0].scatter_(0, rows[None], 1.0)
        condition[0, -1, :, 1:] = (rows[:, 1:] != rows[:, :-1]).float()
        return condition

    return provide


def run(width: int, height: int, budget_mib: int | None, is_compared: bool) -> None:
    """Make one picture and print what it took; runs in a process of its own."""
    import torch

    from ganvas.device import peak_memory
    from ganvas.inference.rows.exact import ExactRun
    from ganvas.networks.pix2pixhd.net import LocalEnhancer

    torch.manual_seed(0)
    network = LocalEnhancer(LABELS + 1).eval()
    provide = condition_of(width, height)
    before, began, shown = peak_memory(), time.perf_counter(), [0]

    def show(done: int, total: int) -> None:
        if done * 20 // total > shown[0]:
            shown[0] = done * 20 // total
            print(f"\r{width}x{height} {5 * shown[0]} %", end="", file=sys.stderr, flush=True)

    budget = None if budget_mib is None else budget_mib << 20
    exact = ExactRun(network, provide, height, width, memory_budget=budget, progress=show)
    # A consumer writes strips to a file and forgets them; only a comparison needs them all.
    kept = [strip if is_compared else strip.mean() for strip in exact.strips()]
    print(file=sys.stderr)
    facts = {
        "size": f"{width}x{height}", "seconds": time.perf_counter() - began, "peak": peak_memory(), "before": before,
        "kept": exact.budget.peak, "spilled": exact.budget.spilled, "gmac": exact.plan().work / 1e9,
    }  # fmt: skip
    if is_compared:
        began = time.perf_counter()
        with torch.no_grad():
            # Not channels-last: torch's group norm loses digits there, 5e-4 of the maximum over two megapixels.
            whole = network(provide(0, height))
        error = (torch.cat(kept, dim=2) - whole).abs().max() / whole.abs().max()
        facts |= {"error": float(error), "untiled_seconds": time.perf_counter() - began, "untiled_peak": peak_memory()}
    print(json.dumps(facts))


def measure(size: str, budget_mib: int | None, is_compared: bool) -> dict[str, float]:
    """Return what one picture took in a fresh process."""
    command = [sys.executable, __file__, "--child", size] + (["--compare"] if is_compared else [])
    command += [] if budget_mib is None else ["--budget-mib", str(budget_mib)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ.copy())
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="*", default=["4096x2048"], help="of pictures, width x height")
    parser.add_argument("--equality", default="2048x1024", help="size at which the untiled net runs, too; '' for none")
    parser.add_argument("--budget-mib", type=int, help="maps in memory; what is beyond goes to disk. All by default")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--compare", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        width, height = (int(side) for side in options.child.split("x"))
        run(width, height, options.budget_mib, options.compare)
        return
    print("| picture | peak of the process | of it before the run | maps kept | to disk | seconds | GMAC |")
    print("|---|---|---|---|---|---|---|")
    for size in [options.equality, *options.sizes] if options.equality else options.sizes:
        facts = measure(size, options.budget_mib, size == options.equality)
        peak, before, kept, spilled = (facts[key] / 2**30 for key in ("peak", "before", "kept", "spilled"))
        row = f"{peak:.2f} GiB | {before:.2f} GiB | {kept:.2f} GiB | {spilled:.2f} GiB | {facts['seconds']:.0f}"
        print(f"| {size} | {row} | {facts['gmac']:.0f} |", flush=True)
        if "error" in facts:
            untiled = f"{facts['untiled_seconds']:.0f} s, peak {facts['untiled_peak'] / 2**30:.2f} GiB"
            print(f"| {size}, untiled | {untiled}, largest difference {facts['error']:.1e} of the maximum |||||||")


if __name__ == "__main__":
    main()
