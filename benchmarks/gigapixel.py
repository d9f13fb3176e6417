"""One gigapixel of output, 25,000 x 40,000 by default: its peak of memory and its time.

    python benchmarks/gigapixel.py [--size 25000x40000] [--model compact-x4] [--folder DIR] [--keep]

The input is drawn strip by strip: slopes, edges and noise. `ganvas upscale` then runs on it as a command of its own,
whose high-water mark of memory (VmHWM) is read while it runs. Processor time counts, where other programs share the
cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ganvas.io.pictures.images import Header, Reader, Writer


def write_source(path: Path, width: int, height: int) -> None:
    """Write a picture of slopes, edges and noise, strip by strip."""
    random = np.random.default_rng(0)
    header = Header(width=width, height=height, channels=3, dtype="uint8", format="png")
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None] * np.float32([1, 0.7, 0.4])
    with Writer(path, header, width, height) as writer:
        for top in range(0, height, 64):
            rows = min(64, height - top)
            down = np.arange(top, top + rows, dtype=np.float32)[:, None, None]
            edges = ((down // 97 + np.arange(width)[None, :, None] // 131) % 2) * 0.2
            values = 0.5 * across + 0.2 * down / height + edges + 0.03 * random.random((rows, width, 3), np.float32)
            writer.write_rows((values * 255).astype(np.uint8))


def peak_of(process: int) -> int:
    """Return a process's high-water mark of memory in bytes, or 0 when it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def main() -> None:
    """Draw, enlarge and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="25000x40000", help="of the output, multiples of the model's scale of 4")
    parser.add_argument("--model", default="compact-x4")
    parser.add_argument("--folder", default="", help="where input and output lie (default: a temporary folder)")
    parser.add_argument("--suffix", default=".png")
    parser.add_argument("--json", default="", help="also write the numbers to this file")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    with tempfile.TemporaryDirectory(dir=options.folder or None) as name:
        source, target = Path(name) / f"in{options.suffix}", Path(name) / f"out{options.suffix}"
        write_source(source, width // 4, height // 4)
        command = [
            sys.executable,
            "-m",
            "ganvas",
            "upscale",
            str(source),
            "--model",
            options.model,
            "--out",
            str(target),
        ]
        began = time.perf_counter()
        work = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True, env=os.environ.copy())
        peak = 0
        while work.poll() is None:
            peak = max(peak, peak_of(work.pid))
            time.sleep(0.2)
        wall = time.perf_counter() - began
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        result = json.loads(work.communicate()[0])
        with Reader(target) as reader:
            found = (reader.header.width, reader.header.height)
        assert found == (width, height), found
        facts = {
            "model": options.model, "size": list(found), "tile": result["tile"], "precision": result["precision"],
            "peak_gib": round(peak / 2**30, 3), "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
            "wall_s": round(wall, 1), "output_gb": round(target.stat().st_size / 1e9, 2),
        }  # fmt: skip
    print(json.dumps(facts, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(facts, indent=1))


if __name__ == "__main__":
    main()
