"""Speed of the upscaler, as ratios taken in one run with the contestants in turn (A B C A B C ...).

    python benchmarks/upscale_speed.py [--rounds 3] [--model realesrgan-x4plus] [--engines-only] [--int8 FILE]

1. Every engine that is installed against eager float32 in torch's default layout, on one crop of a photograph: CPU
   seconds (process time, all threads), PSNR against that float32, and the share of the largest rate at which this
   machine was seen to multiply in the same precision: a product of matrices and a convolution take turns with the
   engines, and the fastest rounds count. `--int8` adds 8 bits, quantised on tiles of other photographs and kept in
   FILE; `--memory` adds the peak of memory of each, run once in a process of its own.
2. Tiles against the untiled network at equal arithmetic: seconds per pixel that the network computed.
3. Seconds per megapixel of output, from 1 to 50 megapixels, the whole way from array to array: with a compact network,
   or with `--sizes-only` alone and of `--model`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from ganvas import device as devices
from ganvas.errors import UserError, need
from ganvas.inference import backends, export, fastest, int8
from ganvas.inference.backends import pick_backend
from ganvas.inference.open import Opened, load, resolve
from ganvas.inference.picture.upscale import Upscaler
from ganvas.inference.rows.tiles import Tiler
from ganvas.inference.rows.tiling import Tiling
from ganvas.networks.rrdb.net import CompactNet, RRDBNet
from ganvas.protocol import Card

SIDE = 1024
"""Of the matrices whose product shows the machine's rate."""
INT8_TILES, INT8_TILE_PX = 18, 48
"""Tiles on which a network is quantised: every third one measures, the others calibrate."""


def photograph() -> np.ndarray:
    """Return scikit-image's cat, (300, 451, 3) of uint8."""
    from skimage import data

    return data.chelsea()


def in_turn(
    contestants: Mapping[str, Callable[[], Any]], rounds: int, warm: bool = False
) -> dict[str, dict[str, float]]:
    """Return the median CPU and wall seconds of each, and the least CPU seconds, after a round that does not count.

    With `warm` the first of two calls in each turn does not count either: it finds the caches full of another's data,
    where in use one tile follows another.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, call in contestants.items():
            if warm:
                call()
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            if number:
                seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {
        name: {
            "cpu": statistics.median(t[0] for t in taken), "wall": statistics.median(t[1] for t in taken),
            "least": min(t[0] for t in taken),
        }
        for name, taken in seconds.items()
    }  # fmt: skip


def psnr(found: Tensor, truth: Tensor) -> float:
    """Return the PSNR in dB; the peak is the truth's largest value, since untrained networks do not fill [0, 1]."""
    error = float((found - truth).double().square().mean())
    return 10 * math.log10(float(truth.abs().max()) ** 2 / error) if error else math.inf


def crop_of(side: int) -> Tensor:
    """Return a square of the photograph, (1, 3, side, side)."""
    return torch.from_numpy(photograph()[60 : 60 + side, 150 : 150 + side].copy()).permute(2, 0, 1)[None].float() / 255


def tiles_of_photographs(count: int) -> list[Tensor]:
    """Return tiles of three photographs that are not the one that is upscaled."""
    from skimage import data

    random, tiles = np.random.default_rng(0), []
    for number in range(count):
        picture = (data.astronaut(), data.coffee(), data.rocket())[number % 3]
        top, left = (int(random.integers(0, length - INT8_TILE_PX)) for length in picture.shape[:2])
        tile = picture[top : top + INT8_TILE_PX, left : left + INT8_TILE_PX].transpose(2, 0, 1)[None]
        tiles.append(torch.from_numpy(np.ascontiguousarray(tile)).float() / 255)
    return tiles


def quantised(net: nn.Module, path: Path) -> int8.Graph:
    """Return the network in 8 bits from a file, or quantise it on tiles of three photographs and keep it there."""
    if not path.exists():
        made = int8.quantise(net, tiles_of_photographs(INT8_TILES), say=print)
        save_file(int8.attach(made.graph), path)
    graph = int8.graph_of(load_file(path))
    assert graph is not None
    return graph


def ncnn_call(net: nn.Module, shipped: Path | None) -> Callable[[Tensor], Tensor]:
    """Return what runs the network in ncnn in float32: from the file that its authors ship for ncnn, or exported."""
    if shipped:
        return ncnn_of(shipped)
    card = getattr(net, "card", Card(network="", scale=4))
    with tempfile.TemporaryDirectory() as folder:
        opened = Opened(card, "net", module=net)
        whole, path = export.portable(opened), Path(folder) / "net.param"
        return export.WRITERS["ncnn"](whole, export.probes(opened), path)


def ncnn_of(param: Path) -> Callable[[Tensor], Tensor]:
    """Return what runs a file of ncnn's."""
    ncnn = need("ncnn", "ncnn")
    net = ncnn.Net()
    net.opt.num_threads = torch.get_num_threads()
    net.load_param(str(param))
    net.load_model(str(param.with_suffix(".bin")))

    def call(picture: Tensor) -> Tensor:
        array = np.ascontiguousarray(picture[0].numpy())  # must live as long as ncnn reads it
        extractor = net.create_extractor()
        extractor.input(net.input_names()[0], ncnn.Mat(array))
        return torch.from_numpy(np.array(extractor.extract(net.output_names()[0])[1]))[None]

    return call


def contestants_of(
    net: nn.Module, int8_path: Path | None, shipped: Path | None, without: Collection[str]
) -> dict[str, tuple[str, Callable[[Tensor], Tensor]]]:
    """Return the precision and the call of every engine that is installed, by name."""

    def eager(picture: Tensor) -> Tensor:
        with torch.no_grad():
            return net(picture)

    found: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {"eager float32": ("float32", eager)}
    for engine in (name for name in fastest.installed() if name not in without):
        for precision in {"onnx": ("float32",)}.get(engine, ("float32", "bfloat16")):
            found[f"{engine} {precision}"] = (precision, pick_backend(net, precision, "cpu", engine))
    if importlib.util.find_spec("ncnn") and (shipped or importlib.util.find_spec("pnnx")):
        with contextlib.suppress(UserError):
            found["ncnn float32"] = ("float32", ncnn_call(net, shipped))
    if int8_path:
        found["openvino int8"] = ("int8", int8.engine(net, quantised(net, int8_path)))
    return found


def yardsticks() -> list[tuple[str, float, Callable[[], Any]]]:
    """Return (precision, operations, call) of what shows how fast the machine multiplies.

    That is a product of matrices, which torch leaves to another library than convolutions, and a convolution.
    """
    whole = torch.randint(-100, 100, (SIDE, SIDE), dtype=torch.int8)
    real, half = whole.float(), whole.bfloat16()
    planes = torch.rand(1, 256, 66, 66).contiguous(memory_format=torch.channels_last)
    kernels = torch.rand(256, 256, 3, 3).contiguous(memory_format=torch.channels_last)
    planes16, kernels16 = planes.bfloat16(), kernels.bfloat16()
    product, convolution = 2 * SIDE**3, 2 * 9 * 256**2 * 64**2
    return [
        ("float32", product, lambda: real @ real), ("float32", convolution, lambda: conv2d(planes, kernels)),
        ("bfloat16", product, lambda: half @ half), ("bfloat16", convolution, lambda: conv2d(planes16, kernels16)),
        ("int8", product, lambda: torch._int_mm(whole, whole)),
    ]  # fmt: skip


def engines(
    net: nn.Module, rounds: int, side: int, int8_path: Path | None, shipped: Path | None, without: Collection[str]
) -> list[dict[str, Any]]:
    """Compare eager float32 with what the engines run, on one tile, and all with products of matrices."""
    devices.keep_freed_memory()  # this and the next line: as with the tiles of a large picture
    backends.FIXED_FROM_PX = 0
    crop = crop_of(side)
    contestants = contestants_of(net, int8_path, shipped, without)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        truth = net(crop)
    operations = counter.get_total_flops()
    quality = {name: psnr(call(crop), truth) for name, (_, call) in contestants.items()}
    measured = yardsticks()
    calls: dict[str, Callable[[], Any]] = {f"yardstick {place}": call for place, (_, _, call) in enumerate(measured)}
    calls |= {name: lambda call=call: call(crop) for name, (_, call) in contestants.items()}
    taken = in_turn(calls, rounds, warm=True)
    peak: dict[str, float] = {}
    for place, (precision, number, _) in enumerate(measured):
        # They take a hundredth of a second, in which the fastest round was hardly disturbed.
        peak[precision] = max(peak.get(precision, 0.0), number / taken[f"yardstick {place}"]["least"])
    base = taken["eager float32"]
    rows = []
    for name, (precision, _) in contestants.items():
        t = taken[name]
        told = {
            "times": base["cpu"] / t["cpu"],
            "psnr": quality[name],
            "share": operations / t["least"] / peak[precision],
        }
        rows.append({"engine": name, **t, **told})
    return rows


def memory(names: Iterable[str], words: list[str]) -> dict[str, str]:
    """Return the peak of memory of each engine in MB, run alone in a process of its own, and what a call added."""
    found = {}
    for name in names:
        done = subprocess.run([sys.executable, __file__, *words, "--alone", name], capture_output=True, text=True)
        found[name] = done.stdout.strip() if done.returncode == 0 else "none"
    return found


def alone(net: nn.Module, name: str, side: int, int8_path: Path | None) -> None:
    """Run one engine once and print the megabytes that its process held at most, and before."""
    engine, _, precision = name.partition(" ")
    if engine == "ncnn":
        ncnn_alone(net, side)
        return
    if engine == "eager":
        call = torch.no_grad()(net)
    elif precision == "int8" and int8_path:
        call = int8.engine(net, quantised(net, int8_path))
    else:
        call = pick_backend(net, precision, "cpu", engine)
    crop = crop_of(side)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = devices.peak_memory()
    call(crop)
    most = devices.peak_memory()
    print(f"{most / 2**20:.0f} ({(most - before) / 2**20:.0f})")


NCNN_ALONE = """
import sys, ncnn, numpy as np
net = ncnn.Net()
net.opt.num_threads = 1
net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
net.load_param(sys.argv[1]), net.load_model(sys.argv[1].replace(".param", ".bin"))
def held():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) / 1024
array, before = np.load(sys.argv[2]), held()
extractor = net.create_extractor()
extractor.input(net.input_names()[0], ncnn.Mat(array))
extractor.extract(net.output_names()[0])
print(f"{held():.0f} ({held() - before:.0f})")
"""


def ncnn_alone(net: nn.Module, side: int) -> None:
    """Run ncnn once in a process without torch, as programs that ship it do, and print as `alone` does."""
    with tempfile.TemporaryDirectory() as folder:
        opened = Opened(getattr(net, "card", Card(network="", scale=4)), "net", module=net)
        param, crop = Path(folder) / "net.param", Path(folder) / "crop.npy"
        export.WRITERS["ncnn"](export.portable(opened), export.probes(opened), param)
        np.save(crop, crop_of(side)[0].numpy())
        done = subprocess.run([sys.executable, "-c", NCNN_ALONE, param, crop], capture_output=True, text=True)
        print(done.stdout.strip() or "none")


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


def sizes(up: Upscaler, megapixels: list[float], rounds: int) -> list[dict[str, Any]]:
    """Return the seconds per megapixel of output for squares of the photograph, repeated to several sizes."""
    pictures = {}
    for size in megapixels:
        side = round(math.sqrt(size * 1e6) / up.scale)
        repeats = (-(-side // length) for length in photograph().shape[:2])
        pictures[f"{size:g}"] = np.ascontiguousarray(np.tile(photograph(), (*repeats, 1))[:side, :side])
    taken = in_turn({name: lambda picture=picture: up(picture) for name, picture in pictures.items()}, rounds)
    return [
        {"megapixels": float(name), "cpu": t["cpu"] / float(name), "wall": t["wall"] / float(name)}
        for name, t in taken.items()
    ]


def print_sizes(curve: list[dict[str, Any]]) -> None:
    """Print the seconds of each size."""
    print("| megapixels out | CPU s / MP | wall s / MP |\n|---|---|---|")
    for row in curve:
        print(f"| {row['megapixels']:g} | {row['cpu']:.3f} | {row['wall']:.3f} |")


def compare(net: nn.Module, compact: CompactNet, options: argparse.Namespace) -> None:
    """Measure and print the three comparisons."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}\n")
    known = resolve(options.model) if options.model else Path()
    shipped = known if known.suffix == ".param" else None
    rows = engines(net, options.rounds, options.side, options.int8, shipped, options.without)
    words = [word for word in sys.argv[1:] if word != "--memory"]
    held = memory([row["engine"] for row in rows], words) if options.memory else {}
    print("| engine | CPU s | wall s | times | PSNR, dB | of the peak | peak of memory, MB (of the call) |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        row["memory_mb"] = held.get(row["engine"], "")
        numbers = f"{row['cpu']:.3f} | {row['wall']:.3f} | {row['times']:.2f} | {row['psnr']:.1f} | {row['share']:.0%}"
        print(f"| {row['engine']} | {numbers} | {row['memory_mb']} |", flush=True)
    if options.engines_only:
        return
    overhead = tiling(compact, options.precision, options.rounds)
    print(f"\nTiles at equal arithmetic: {overhead['overhead']:+.1%}\n")
    up = Upscaler(compact, precision=options.precision, device="cpu")
    curve = sizes(up, options.megapixels, max(1, options.rounds - 2))
    print_sizes(curve)
    if options.json:
        facts = {
            "torch": str(torch.__version__),
            "threads": torch.get_num_threads(),
            "model": options.model or "random",
        }
        Path(options.json).write_text(
            json.dumps({**facts, "engines": rows, "tiling": overhead, "sizes": curve}, indent=1)
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="", help="an RRDBNet with trained weights (default: untrained)")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 5, 20, 50])
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--side", type=int, default=128, help="of the crop, in pixels")
    parser.add_argument("--int8", type=Path, default=None, help="file to keep the network in 8 bits in")
    parser.add_argument("--without", nargs="+", default=[], help="engines to leave out: onnx takes long to convert")
    parser.add_argument("--engines-only", action="store_true", help="leave out tiles and sizes")
    parser.add_argument("--sizes-only", action="store_true", help="only the seconds a megapixel of --model")
    parser.add_argument("--memory", action="store_true", help="also the peak of memory of each engine")
    parser.add_argument("--alone", default="", help=argparse.SUPPRESS)
    parser.add_argument("--json", default="", help="also write the numbers to this file")
    options = parser.parse_args()
    torch.manual_seed(0)
    if options.sizes_only:
        up = Upscaler(options.model or "default", precision=options.precision, device="cpu")
        print_sizes(sizes(up, options.megapixels, options.rounds))
        return
    net = load(options.model) if options.model else RRDBNet().eval()
    compact = CompactNet().eval()
    if options.alone:
        alone(net, options.alone, options.side, options.int8)
    else:
        compare(net, compact, options)


if __name__ == "__main__":
    main()
