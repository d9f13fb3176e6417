"""Seconds of an upres net over one picture, tiles in batches and otherwise, and its memory at two heights.

    python benchmarks/upres_tiles.py [--width 64] [--low 128] [--batches 1 2 4 8] [--runs 3] [--threads 1]

Each way is held against one tile at a time as plainly written: a batch of one, NCHW, float32, layers as the paper
names them, a tensor of its own for each result. The weights are random: speed and memory do not depend on them. How far
results differ is told, too, in levels of 255. Times are those of the processor, with `--wall` those of the clock, the
best of several runs taken by turns, each in a process of its own. Memory is the growth of the process's peak while a
picture of so many times the height is made.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas import device as devices
from ganvas.inference.picture.options import TileOptions
from ganvas.inference.picture.tiled import Upres
from ganvas.networks.upres import JNet
from ganvas.protocol import Card

HEIGHTS = (1, 16)


class Way(NamedTuple):
    """How tiles are run; a batch of 0 is what Ganvas chooses."""

    batch: int = 1
    precision: str = "float32"
    is_plain: bool = False

    def __str__(self) -> str:
        return (
            "one at a time, as plainly written" if self.is_plain else f"batch {self.batch or 'auto'}, {self.precision}"
        )


class PlainJNet(JNet):
    """The same network, layer by layer."""

    def forward(self, picture: Tensor) -> Tensor:
        x, levels = picture, [picture]
        for layer in self.down:
            x = F.relu(layer(x))
            levels.append(x)
        levels.pop()
        for level in self.up:
            parts: Any = level
            x = F.relu(parts.grow(x))
            x = torch.cat([x, levels.pop()], dim=1) if levels else x
            x = F.relu(parts.refine(F.relu(parts.join(x))))
        return torch.tanh(self.last(x))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=64, help="channels of the J-net's finest layers")
    parser.add_argument("--low", type=int, default=128, help="side of the low picture")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8], help="0 is what Ganvas chooses")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0 for all")
    parser.add_argument("--wall", action="store_true", help="time by the clock: for several threads, when all is quiet")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.only:
        task, *words = json.loads(options.only)
        print(json.dumps(timed(options, Way(*words[:3]), words[3]) if task == "time" else peak_growth(options, *words)))
        return
    ways = [Way(is_plain=True), *(Way(batch, form) for form in options.precisions for batch in options.batches)]
    print(f"J-net of width {options.width}, low picture of {options.low} px, {torch.get_num_threads()} threads\n")
    print("| tiles | seconds | times as fast | largest difference | mean |\n|---|---|---|---|---|")
    rows = speeds(options, ways)
    for way, seconds, largest, mean in rows:
        print(f"| {way} | {seconds:.2f} | {rows[0][1] / seconds:.2f} | {largest:.4f} | {mean:.4f} |")
    print()
    for times in HEIGHTS:
        found = alone("memory", times)
        print(f"height x {times}: {found['rows']} rows, peak grows by {found['megabytes']:.0f} MB")


def alone(*task: Any) -> Any:
    """Return what this file finds for one task in a process of its own."""
    command = [sys.executable, *sys.argv, "--only", json.dumps(task)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def speeds(options: argparse.Namespace, ways: list[Way]) -> list[tuple[Way, float, float, float]]:
    """Return the best seconds of each way, and how far its result is from the first one's: at most, and on average."""
    best = [float("inf")] * len(ways)
    with tempfile.TemporaryDirectory() as folder:
        files = [str(Path(folder) / f"{place}.pt") for place in range(len(ways))]
        for _ in range(options.runs):
            for place, way in enumerate(ways):
                best[place] = min(best[place], alone("time", *way, files[place]))
        results = [torch.load(file, weights_only=True) for file in files]
    apart = [255 * (result - results[0]).abs() for result in results]
    return [(way, s, float(a.max()), float(a.mean())) for way, s, a in zip(ways, best, apart)]


def timed(options: argparse.Namespace, way: Way, file: str) -> float:
    """Return the seconds of one picture in the way, after a first one, and write the result to a file."""
    up = upres_net(options, way)
    # The other of a pair of cores counts less in the processor's own time than on the clock.
    clock = time.perf_counter if options.wall or up.device.type != "cpu" else time.process_time
    low = torch.rand(3, options.low, options.low, generator=torch.Generator().manual_seed(1))
    torch.save(up(low), file)
    began = clock()
    up(low)
    return clock() - began


def upres_net(options: argparse.Namespace, way: Way) -> Upres:
    """Return an upres net of random weights whose variants are chosen by sharpness."""
    torch.manual_seed(0)
    if way.is_plain:
        devices.keep_freed_memory = lambda: None
    net: Any = (PlainJNet if way.is_plain else JNet)(channels_in=4, width=options.width)
    facts = {"guide": {"kind": "edges"}, "tile_px": 32, "low_px": 128, "grid_px": 96}
    settings = {"width": options.width}
    net.card = Card(network="jnet", settings=settings, scale=8, channels_in=4, range=(-1, 1), extra={"upres": facts})
    made = Upres(
        net, TileOptions(choose="laplacian", tile_batch=way.batch, precision=way.precision, device=options.device)
    )
    if way.is_plain:
        made.memory_format = torch.contiguous_format
        made.net.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return made


def peak_growth(options: argparse.Namespace, times: int) -> dict[str, float]:
    """Return by how much the peak memory grows while a picture so many times as high is made and dropped row by row."""
    up = upres_net(options, Way(batch=0))
    list(up.strips(torch.rand(3, 44, 44)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rows = sum(strip.shape[1] for strip in up.strips(torch.rand(3, options.low * times, options.low)))
    return {"rows": rows, "megabytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


if __name__ == "__main__":
    main()
