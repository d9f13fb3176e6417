"""How much of upscaling a file is not the network: decoding, converting, blending and encoding, at 20 megapixels.

    OMP_NUM_THREADS=1 python benchmarks/outside_network.py [--models photo-x4] [--formats png jpg] [--rounds 3]

One thread runs the network; others read ahead, blend, keep finished rows and encode. Processor seconds of each are
counted, since other programs may share the cores. Models and formats take turns, and medians are shown; a round that
does not count comes first, since a process loads its codecs once. `outside` is the share of the network's thread that
is not the network: what the work takes longer than the network alone, as long as the other threads have a core and are
not the slower ones. `in turn` is that share if one thread did everything.
"""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from skimage import data

from ganvas.inference.picture.streaming import Output, upscale_file
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images


def measure(model: str, folder: Path, suffix: str, megapixels: float) -> dict[str, float]:
    """Return processor seconds of one upscaling by what they were spent on."""
    up = Upscaler(model, device="cpu")
    side = round(math.sqrt(megapixels * 1e6) / up.scale)
    cat = data.chelsea()
    repeats = (-(-side // cat.shape[0]), -(-side // cat.shape[1]), 1)
    source = folder / f"in.{suffix}"
    images.write(source, np.ascontiguousarray(np.tile(cat, repeats)[:side, :side]), overwrite=True)
    engine = up.engine_for(np.dtype(np.uint8))
    call, network = engine.call, 0.0

    def timed(picture):
        nonlocal network
        began = time.thread_time()
        result = call(picture)
        network += time.thread_time() - began
        return result

    engine.call = timed
    thread, process = time.thread_time(), time.process_time()
    upscale_file(up, source, folder / f"out.{suffix}", Output(overwrite=True))
    thread, process = time.thread_time() - thread, time.process_time() - process
    return {"network": network, "around": thread - network, "other": process - thread}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=20)
    parser.add_argument("--models", nargs="+", default=["photo-x4"])
    parser.add_argument("--formats", nargs="+", default=["png", "jpg"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        spent: dict[tuple[str, str], list[dict[str, float]]] = {}
        for number in range(options.rounds + 1):
            for case in itertools.product(options.models, options.formats):
                taken = measure(case[0], Path(folder), case[1], options.megapixels)
                if number:
                    spent.setdefault(case, []).append(taken)
    print("| model | format | network, s | around it, s | other threads, s | outside | in turn |")
    print("|---|---|---|---|---|---|---|")
    for (model, suffix), rounds in spent.items():
        network, around, other = (statistics.median(t[name] for t in rounds) for name in ("network", "around", "other"))
        outside, in_turn = around / (around + network), 1 - network / (network + around + other)
        cells = f"{network:.2f} | {around:.3f} | {other:.2f} | {outside:.1%} | {in_turn:.1%}"
        print(f"| {model} | {suffix} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
