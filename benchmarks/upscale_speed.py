"""Speed of the upscaler, as ratios taken in one run with the contestants in turn (A B C A B C ...).

    python benchmarks/upscale_speed.py [--rounds 3] [--model realesrgan-x4plus] [--json FILE]

1. The engine against eager float32 in torch's default layout, tile for tile, with RRDBNet of 64 features, 23 blocks and
   growth 32 on a 128 x 128 crop of a photograph: CPU seconds (process time, all threads) and PSNR against that float32.
2. Tiles against the untiled network at equal arithmetic: seconds per pixel that the network computed.
3. Seconds per megapixel of output with the compact network, from 1 to 50 megapixels, the whole way from array to array.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.inference.backends import pick_backend
from ganvas.inference.open import load
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.rows.tiles import Tiler, Tiling
from ganvas.networks.rrdb.net import CompactNet, RRDBNet


def photograph() -> np.ndarray:
    """Return scikit-image's cat, (300, 451, 3) of uint8."""
    from skimage import data

    return data.chelsea()


def in_turn(contestants: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, dict[str, float]]:
    """Return the median CPU and wall seconds of each, run in turn after one round that does not count."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, call in contestants.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            if number:
                seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: {"cpu": statistics.median(t[0] for t in taken), "wall": statistics.median(t[1] for t in taken)}
        for name, taken in seconds.items()
    }


def psnr(found: Tensor, truth: Tensor) -> float:
    """Return the PSNR in dB; the peak is the truth's largest value, since untrained networks do not fill [0, 1]."""
    error = float((found - truth).double().square().mean())
    return 10 * math.log10(float(truth.abs().max()) ** 2 / error) if error else math.inf


def engines(net: nn.Module, rounds: int) -> list[dict[str, Any]]:
    """Compare eager float32 with what the engine runs, on one tile."""
    crop = torch.from_numpy(photograph()[60:188, 150:278].copy()).permute(2, 0, 1)[None].float() / 255
    fast = {name: pick_backend(net, name, "cpu") for name in ("float32", "bfloat16")}

    def eager() -> Tensor:
        with torch.no_grad():
            return net(crop)

    contestants: dict[str, Callable[[], Tensor]] = {"eager float32": eager}
    for name, backend in fast.items():
        contestants[f"engine {name}"] = lambda backend=backend: backend(crop)
    truth = eager()
    quality = {name: psnr(call(), truth) for name, call in contestants.items()}
    taken = in_turn(contestants, rounds)
    base = taken["eager float32"]
    return [{"engine": name, **t, "times": base["cpu"] / t["cpu"], "psnr": quality[name]} for name, t in taken.items()]


def tiling(net: CompactNet, precision: str, rounds: int) -> dict[str, float]:
    """Compare tiles with the untiled network by seconds per computed pixel."""
    backend = pick_backend(net, precision, "cpu")
    picture = torch.rand(1, 3, 384, 384, generator=torch.Generator().manual_seed(0))
    computed = {"tiled": 0, "untiled": 0}

    def counted(name: str) -> Callable[[Tensor], Tensor]:
        def run(windows: Tensor) -> Tensor:
            computed[name] += windows.numel() // 3
            return backend(windows)

        return run

    cut = Tiling(height_px=210, width_px=210, halo_px=net.receptive_halo_px, overlap_px=0)
    tiler = Tiler(counted("tiled"), net.scale, cut)
    untiled = counted("untiled")
    taken = in_turn({"tiled": lambda: tiler.whole(picture), "untiled": lambda: untiled(picture)}, rounds)
    per_pixel = {name: taken[name]["cpu"] / (computed[name] / (rounds + 1)) for name in taken}
    return {"overhead": per_pixel["tiled"] / per_pixel["untiled"] - 1, **per_pixel}


def sizes(net: CompactNet, precision: str, megapixels: list[float], rounds: int) -> list[dict[str, Any]]:
    """Return the seconds per megapixel of output for square pictures of several sizes."""
    up = Upscaler(net, precision=precision, device="cpu")
    pictures = {}
    for size in megapixels:
        side = round(math.sqrt(size * 1e6) / net.scale)
        pictures[f"{size:g}"] = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    taken = in_turn({name: lambda picture=picture: up(picture) for name, picture in pictures.items()}, rounds)
    return [
        {"megapixels": float(name), "cpu": t["cpu"] / float(name), "wall": t["wall"] / float(name)}
        for name, t in taken.items()
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="", help="an RRDBNet with trained weights (default: untrained)")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 5, 20, 50])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--json", default="", help="also write the numbers to this file")
    options = parser.parse_args()
    torch.manual_seed(0)
    net = load(options.model) if options.model else RRDBNet().eval()
    compact = CompactNet().eval()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}\n")
    rows = engines(net, options.rounds)
    print("| engine | CPU s | wall s | times | PSNR, dB |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row['engine']} | {row['cpu']:.2f} | {row['wall']:.2f} | {row['times']:.2f} | {row['psnr']:.1f} |")
    overhead = tiling(compact, options.precision, options.rounds)
    print(f"\nTiles at equal arithmetic: {overhead['overhead']:+.1%}\n")
    curve = sizes(compact, options.precision, options.megapixels, max(1, options.rounds - 2))
    print("| megapixels out | CPU s / MP | wall s / MP |\n|---|---|---|")
    for row in curve:
        print(f"| {row['megapixels']:g} | {row['cpu']:.3f} | {row['wall']:.3f} |")
    if options.json:
        facts = {
            "torch": str(torch.__version__),
            "threads": torch.get_num_threads(),
            "model": options.model or "random",
        }
        Path(options.json).write_text(
            json.dumps({**facts, "engines": rows, "tiling": overhead, "sizes": curve}, indent=1)
        )


if __name__ == "__main__":
    main()
