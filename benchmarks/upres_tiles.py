"""Seconds of an upres net over one picture, tiles in batches and otherwise, and its memory at two heights.

    python benchmarks/upres_tiles.py [--width 64] [--low 128] [--batches 1 2 4 8] [--runs 3] [--threads 1]

Each way is held against one tile at a time as plainly written: a batch of one, NCHW, float32. The weights are random:
speed and memory do not depend on them. How far results differ is told, too, in levels of 255. Times are those of the
processor, the best of several runs taken by turns. Memory is the growth of the process's peak while a picture of so
many times the height is made, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any, NamedTuple

import torch

from ganvas.inference.upres import Options, Upres
from ganvas.networks.upres import JNet
from ganvas.protocol import Card

HEIGHTS = (1, 16)


class Way(NamedTuple):
    """How tiles are run."""

    batch: int = 1
    precision: str = "float32"
    is_plain: bool = True

    def __str__(self) -> str:
        return f"batch {self.batch}, {'NCHW' if self.is_plain else 'channels last'}, {self.precision}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64, help="channels of the J-net's finest layers")
    parser.add_argument("--low", type=int, default=128, help="side of the low picture")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0 for all")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--height-times", type=int, default=0, help="only measure memory, and print it")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.height_times:
        print(json.dumps(peak_growth(options.width, options.low, options.height_times, options.device)))
        return
    forms = ((True, "float32"), (False, "float32"), (False, "bfloat16"))
    ways = [Way(batch, precision, plain) for plain, precision in forms for batch in options.batches]
    rows = speeds(options.width, options.low, ways, options.runs, options.device)
    print(f"J-net of width {options.width}, low picture of {options.low} px, {torch.get_num_threads()} threads\n")
    print("| tiles | seconds | times as fast | largest difference | mean |\n|---|---|---|---|---|")
    for way, seconds, largest, mean in rows:
        print(f"| {way} | {seconds:.2f} | {rows[0][1] / seconds:.2f} | {largest:.2f} | {mean:.3f} |")
    print()
    for times in HEIGHTS:
        asked = ["--width", str(options.width), "--low", str(options.low), "--device", options.device]
        command = [sys.executable, __file__, *asked, "--threads", str(options.threads), "--height-times", str(times)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print(f"height x {times}: {found['rows']} rows, peak grows by {found['megabytes']:.0f} MB")


def upres(width: int, way: Way, device: str) -> Upres:
    """Return an upres net of random weights whose variants are chosen by sharpness."""
    torch.manual_seed(0)
    net: Any = JNet(channels_in=4, width=width)
    facts = {"guide": {"kind": "edges"}, "tile_px": 32, "low_px": 128, "grid_px": 96}
    net.card = Card(network="jnet", scale=8, channels_in=4, range=(-1, 1), extra={"upres": facts})
    made = Upres(net, Options(choose="laplacian", batch=way.batch, precision=way.precision, device=device))
    if way.is_plain:
        made.memory_format = torch.contiguous_format
        made.net.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return made


def speeds(width: int, low_px: int, ways: list[Way], runs: int, device: str) -> list[tuple[Way, float, float, float]]:
    """Return the best seconds of each way, and how far its result is from the first one's: at most, and on average."""
    low = torch.rand(3, low_px, low_px, generator=torch.Generator().manual_seed(1))
    ups = [upres(width, way, device) for way in ways]
    results, best = [up(low) for up in ups], [float("inf")] * len(ups)
    for _ in range(runs):
        for place, up in enumerate(ups):
            # A processor's own time, so that others who use it count less.
            clock = time.process_time if up.device.type == "cpu" else time.perf_counter
            began = clock()
            up(low)
            best[place] = min(best[place], clock() - began)
    apart = [255 * (result - results[0]).abs() for result in results]
    return [(way, s, float(a.max()), float(a.mean())) for way, s, a in zip(ways, best, apart)]


def peak_growth(width: int, low_px: int, times: int, device: str) -> dict[str, float]:
    """Return by how much the peak memory grows while a picture so many times as high is made and dropped row by row."""
    up = upres(width, Way(batch=2, is_plain=False), device)
    list(up.strips(torch.rand(3, 44, 44)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = sum(strip.shape[1] for strip in up.strips(torch.rand(3, low_px * times, low_px)))
    return {"rows": rows, "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


if __name__ == "__main__":
    main()
