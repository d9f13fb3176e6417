"""Seconds of an upres net over one picture, tiles one at a time and in batches, and its memory at two heights.

    python benchmarks/upres_tiles.py [--width 64] [--low 128] [--batches 1 4 8 16] [--runs 3]

The weights are random: speed and memory do not depend on them. Equal results are checked, too. Memory is the growth of
the process's peak while a picture of so many times the height is made, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import torch

from ganvas.inference.upres import Options, Upres
from ganvas.networks.upres import JNet
from ganvas.protocol import Card

HEIGHTS = (1, 4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64, help="channels of the J-net's finest layers")
    parser.add_argument("--low", type=int, default=128, help="side of the low picture")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8, 16])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--height-times", type=int, default=0, help="only measure memory, and print it")
    options = parser.parse_args()
    if options.height_times:
        print(json.dumps(peak_growth(options.width, options.low, options.height_times, options.device)))
        return
    rows = speeds(options.width, options.low, options.batches, options.runs, options.device)
    base = rows[0]["seconds"]
    print(f"J-net of width {options.width}, {options.low} px, {torch.get_num_threads()} threads")
    for row in rows:
        faster = base / row["seconds"]
        print(f"batch {row['batch']:3d}: {row['seconds']:.2f} s, {faster:.2f}x, differs by {row['error']:.1e}")
    for times in HEIGHTS:
        asked = ["--width", str(options.width), "--low", str(options.low), "--device", options.device]
        command = [sys.executable, __file__, *asked, "--height-times", str(times)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"height x {times}: {found['rows']} rows, peak grows by {found['megabytes']:.0f} MB")


def upres(width: int, batch: int, device: str) -> Upres:
    """Return an upres net of random weights whose variants are chosen by sharpness."""
    torch.manual_seed(0)
    net: Any = JNet(channels_in=4, width=width)
    facts = {"guide": {"kind": "edges"}, "tile_px": 32, "low_px": 128, "grid_px": 96}
    net.card = Card(network="jnet", scale=8, channels_in=4, range=(-1, 1), extra={"upres": facts})
    return Upres(net, Options(choose="laplacian", batch=batch, device=device))


def speeds(width: int, low_px: int, batches: list[int], runs: int, device: str) -> list[dict[str, Any]]:
    """Return the best of several runs for each batch, taken in turns, and how far results differ from the first."""
    low = torch.rand(3, low_px, low_px, generator=torch.Generator().manual_seed(1))
    ups = [upres(width, batch, device) for batch in batches]
    results = [up(low) for up in ups]
    best = [float("inf")] * len(ups)
    for _ in range(runs):
        for place, up in enumerate(ups):
            began = time.perf_counter()
            up(low)
            best[place] = min(best[place], time.perf_counter() - began)
    errors = [float((result - results[0]).abs().max()) for result in results]
    return [{"batch": b, "seconds": s, "error": e} for b, s, e in zip(batches, best, errors)]


def peak_growth(width: int, low_px: int, times: int, device: str) -> dict[str, float]:
    """Return by how much the peak memory grows while a picture so many times as high is made and dropped row by row."""
    up = upres(width, 8, device)
    list(up.strips(torch.rand(3, 44, 44)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = sum(strip.shape[1] for strip in up.strips(torch.rand(3, low_px * times, low_px)))
    return {"rows": rows, "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


if __name__ == "__main__":
    main()
