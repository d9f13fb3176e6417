"""Peak memory of upscaling a picture whose output has 20 and 200 megapixels, of the same width: it must not grow.

    python benchmarks/streaming_memory.py [--width 5000] [--formats png tif exr]

The network is tiny, because what is measured is all that is around it. Each upscaling runs in a process of its own,
whose high-water mark (VmHWM) is read at its end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

SCALE = 4


def upscale(source: str, target: str) -> None:
    """Upscale one file and print what it took; runs in a process of its own."""
    import torch

    from ganvas.device import peak_memory
    from ganvas.inference.picture.files import upscale_file
    from ganvas.inference.picture.upscale import Upscaler
    from ganvas.networks.rrdb.net import CompactNet

    torch.manual_seed(0)
    net = CompactNet(width=4, convs=0, scale=SCALE).eval()
    up = Upscaler(net, precision="float32", device="cpu")
    before = peak_memory()
    began = time.perf_counter()
    result = upscale_file(up, source, target)
    print(json.dumps({"peak": peak_memory(), "before": before, "seconds": time.perf_counter() - began, **vars(result)}))


def write_source(path: Path, width: int, height: int) -> None:
    """Write a picture of smooth colours and noise, strip by strip."""
    from ganvas.io.pictures.images import Header, Writer

    dtype = "float16" if path.suffix == ".exr" else "uint8"
    header = Header(width=width, height=height, channels=3, dtype=dtype, format="png")
    random = np.random.default_rng(0)
    slope = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    with Writer(path, header, width, height) as writer:
        for start in range(0, height, 64):
            rows = min(64, height - start)
            values = 0.7 * slope + 0.3 * random.random((rows, width, 3), np.float32)
            writer.write_rows((values * 255).astype(np.uint8) if dtype == "uint8" else values.astype(dtype))


def measure(folder: Path, suffix: str, width: int, megapixels: int) -> dict[str, Any]:
    """Return the peak in bytes and the seconds of one upscaling in a fresh process."""
    source, target = folder / f"in{megapixels}{suffix}", folder / f"out{megapixels}{suffix}"
    write_source(source, width // SCALE, round(megapixels * 1e6 / width / SCALE))
    command = [sys.executable, __file__, "--child", str(source), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ.copy())
    source.unlink()
    target.unlink()
    # Names alone: where a machine keeps its temporary files is nobody's business.
    return {**json.loads(done.stdout), "input": source.name, "output": target.name}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=5000, help="of the output, in pixels")
    parser.add_argument("--megapixels", type=int, nargs=2, default=(20, 200))
    parser.add_argument("--formats", nargs="+", default=["png", "tif", "exr"])
    parser.add_argument("--json", default="", help="also write the numbers to this file")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        upscale(*options.child)
        return
    rows = []
    print(f"| format | {options.megapixels[0]} MP | {options.megapixels[1]} MP | growth |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.formats:
            small, large = (measure(Path(folder), f".{name}", options.width, size) for size in options.megapixels)
            growth = large["peak"] / small["peak"] - 1
            rows.append({"format": name, "small": small, "large": large, "growth": growth})
            print(f"| {name} | {small['peak'] / 2**20:.0f} MB | {large['peak'] / 2**20:.0f} MB | {growth:+.1%} |")
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
