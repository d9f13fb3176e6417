"""Say which losses, weights and outputs two checkouts of Ganvas do not share to the bit.

    python scripts/compare_checkouts.py OLD NEW [--only vid2vid --only pix2pixhd] [--no-verbs] [--resume]

OLD and NEW are working trees. Each runs the same command lines in one process of its own, on data that OLD has drawn,
on one thread: every recipe through all of its stages, then the verbs of the README. Of a run its log, checkpoints and
preview are compared, of a verb every file that it writes. With --resume NEW resumes runs that OLD began, from
the middle of them. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import OpenImageIO
import torch
from safetensors.torch import load_file

DATA = (
    "faces faces --number 6 --size 128",
    "shapes shapes --size 32 --per-class 4",
    "world street --frames 6 --size 128x64",
    "world clips --clips 3 --frames 9 --size 64x32",
    "world flights --frames 12 --size 32x32 --path survey",
)
"""What OLD draws for both."""

COMMON = (
    "--batch-size 2 --precision float32 --average-half-life 8 --log-every 1 --checkpoint-every 1000 "
    "--preview-every 1000 --score-every 1000 --quiet"
)
EVERY_STEP = "--checkpoint-every 1 --keep-last 100"
AVERAGE = "--adversarial.pairing average"
ESRGAN = (
    "esrgan --data faces --val 0.34 --preset preview --pixel-steps 2 --gan-steps 3 --crop-px 32 --pixel-crop-px 32 "
    "--width 8 --blocks 1 --discriminator-width 8"
)
RELATIVISTIC = "relativistic --data shapes --val 0.2 --preset preview --steps 3 --width 4 --latent 8"
BIGGAN = "biggan --data shapes --val 0.2 --preset preview --steps 3 --width 4 --latent 24"
UNET = (
    "superres_unet --data faces --val 0.34 --preset preview --content-steps 1 --steps 3 --low-px 16 --width 4 "
    "--discriminator-width 4"
)
UPRES = (
    "tiled_upres --data faces --val 0.34 --preset preview --pixel-steps 1 --steps 3 --high-px 128 --low-px 48 "
    "--tile-px 32 --scale 4 --width 2 --discriminator-width 2"
)
PAINTED = (
    "pix2pixhd --data street --val 0.34 --preset preview --global-steps 2 --enhancer-steps 2 --joint-steps 2 "
    "--global-width 8 --blocks 1 --discriminator-width 4 --encoder-width 4"
)
VIDEO = (
    "vid2vid --data clips --val 0.34 --preset preview --picture-rounds 2 --rounds 1 --lengths 2 --first-length 3 "
    "--longest 6 --frames-a-step 2 --width 4 --downs 2 --blocks 1 --discriminator-width 4"
)
SHOT = (
    "reverse_matchmove --data flights --val 0.25 --run 2 --preset preview --pixel-steps 2 --steps 3 --size-px 32 "
    "--rays-table 16 --width 4 --discriminator-width 4"
)
TRAINED: Mapping[str, str] = {
    "esrgan": ESRGAN,
    "esrgan rrdb vgg": f"{ESRGAN} --network rrdb --growth 4 --perceptual small --perceptual-layers conv3_2",
    "esrgan two passes": f"{ESRGAN} --micro-batches 2 --adversarial.exact-means",
    "esrgan from another": f"{ESRGAN} --init runs/esrgan --freeze 'generator.body.0.*'",
    "esrgan srresnet unet": f"{ESRGAN} --network srresnet_bn --discriminator unet --adversarial.pairing plain",
    "esrgan patch second order": f"{ESRGAN} --discriminator patch --degradation second_order",
    "relativistic": RELATIVISTIC,
    "relativistic patches": (
        f"{RELATIVISTIC} --patch-grid 4x4 --replay-size 4 --history-weight 0.1 --feature-matching-weight 1 "
        "--adversarial.base hinge --adversarial.pairing plain --discriminator-norm spectral --penalty r1_r2 "
        "--consistency-weight 1 --discriminator-steps 2"
    ),
    "relativistic wgan": (
        f"{RELATIVISTIC} --adversarial.base wasserstein --adversarial.pairing plain --weight-clip 0.01 "
        "--minibatch discrimination --attention-px 16 --no-fresh-batch --width 8"
    ),
    "biggan": BIGGAN,
    "biggan deep": f"{BIGGAN} --deep --r1-weight 1 --orthogonal-weight 0.1 --discriminator-steps 2 --micro-batches 2",
    "superres_unet": UNET,
    "superres_unet minibatch": (
        f"{UNET} --minibatch --grid 1x1 --style vaegan --history-weight 0.1 --low-px 32 --no-discriminator-sees-low"
    ),
    "superres_unet iterated": (
        f"{UNET} --iterations 2 --style salimans --replay-size 4 --judged detail --detail 0 {AVERAGE}"
    ),
    "superres_unet classes": (
        f"{UNET} --data shapes --num-classes 12 --framing squares --low-px 16 --content-off-step 1 "
        "--content-fade-steps 2"
    ),
    "superres_unet squares": f"{UNET} --framing squares --style none",
    "tiled_upres": f"{UPRES} --guide edges",
    "tiled_upres points": f"{UPRES} --guide points --detail 0 --l1-at laplacian --judged detail {AVERAGE}",
    "pix2pixhd": f"{PAINTED} --perceptual small",
    "pix2pixhd replay": f"{PAINTED} --enhancers 0 --instance-features 0 --replay-size 4 {AVERAGE}",
    "vid2vid": f"{VIDEO} --given-share 0.5",
    "vid2vid two scales": (
        f"{VIDEO} --scales 2 --rounds 1 1 --rates 5e-4 5e-4 --alone-rounds 1 --instance-features 3 --encoder-width 4 "
        "--image-frames all --backpropagated 2 --things-are-foreground"
    ),
    "vid2vid given flow": f"{VIDEO} --flow-use replace --mask-from exact --mask-use replace --given-share 1 --shrink 2",
    "vid2vid no flow": f"{VIDEO} --flow-from none --no-with-flow --mask-weight 0 --warp-weight 0 {AVERAGE}",
    "reverse_matchmove": SHOT,
    "reverse_matchmove conditional": (
        f"{SHOT} --conditional --perceptual small --perceptual-layers conv1_2 conv2_2 --adversarial.pairing average "
        "--coarse-px 16 --coarse-steps 2"
    ),
    "reverse_matchmove whole": (
        f"{SHOT} --crop whole --learned-weight 0 --gan-weight 0 --perceptual small --perceptual-layers conv1_2"
    ),
}
"""Every recipe with tiny networks, in variants that between them take every branch of the losses."""

VERBS = (
    "upscale photo.png --out photo-x4.png",
    "upscale faces --out faces-x4 --model compact-x4-gan",
    "upscale photo.png --out poster.tif --long-side 300 --model compact-x4",
    "upscale photo.png --out preview.png --crop 20,20,64,64 --model compact-x4 compact-x4-gan",
    "upscale photo.png --out mixed.png --blend compact-x4 compact-x4-gan",
    "upscale photo.png --out mine.png --model 'runs/esrgan'",
    "upscale photo.png --out unet.png --model 'runs/superres_unet'",
    "upscale faces/000000.png --out upres.png --model 'runs/tiled_upres'",
    "pack runs/esrgan mine.safetensors",
    "evaluate --pairs photo-x4.png photo-x4.png",
    "styles runs/pix2pixhd",
    "generate runs/pix2pixhd --labels street --out painted --seed 3",
    "generate runs/vid2vid --labels clips/clip_000 --out clip.mp4",
    "generate runs/reverse_matchmove --camera flights/cameras.csv --out shot.mp4",
    "generate runs/reverse_matchmove --through 0,3 --frames 8 --out path.mp4 --camera-format ma",
    "generate runs/reverse_matchmove --film flights --camera path.camera.ma --out film.mp4 --burn-in",
    "generate runs/biggan --seeds 0-15 --truncation 0.5 --grid --out sheet.png",
    "neighbours runs/biggan --out neighbours.png",
    "world street-again --frames 3 --size 64x32",
    "shapes shapes-again --size 32 --per-class 2",
    "faces faces-again --number 2 --size 64",
    "curate faces --out report",
)
"""Those of the README. They use the runs of the recipes."""

DRIVER = """
import contextlib, json, random, sys, time
import numpy, torch
from ganvas import cli
torch.set_num_threads(1)
for line in json.load(sys.stdin):
    random.seed(0), numpy.random.seed(0), torch.manual_seed(0)
    begun = time.perf_counter()
    print("#", " ".join(line), flush=True)
    code = cli.main(line)
    print(f"# exit {code}, {time.perf_counter() - begun:.1f} s", flush=True)
"""
SHOWN = 12
"""Differences of a run that are printed."""
TIMES = ("seconds_a_step", "images_a_second", "memory_mb")
"""What no two runs share."""


def play(checkout: Path, desk: Path, lines: list[str], log: Path) -> None:
    """Run command lines one after the other in one process of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(checkout / "src"), "OMP_NUM_THREADS": "1"}
    commands = json.dumps([shlex.split(line) for line in lines])
    with log.open("ab") as file:
        subprocess.run(
            [sys.executable, "-c", DRIVER], input=commands.encode(), cwd=desk, env=environment, stdout=file,
            stderr=subprocess.STDOUT, check=True,
        )  # fmt: skip


def prepare(old: Path, folder: Path) -> list[Path]:
    """Draw the data once and return two desks that hold them."""
    first, second = folder / "old", folder / "new"
    first.mkdir(parents=True)
    play(old, first, list(DATA), folder / "data.log")
    shutil.copyfile(next((first / "faces").glob("*.png")), first / "photo.png")
    shutil.copytree(first, second)
    return [first, second]


# Recipes


def resume_lines(desks: list[Path], only: list[str]) -> list[str]:
    """Copy OLD's runs as they stood halfway to NEW's desk, and return the command lines that resume them."""
    lines = []
    for name in chosen(only):
        run = desks[1] / "runs" / slug(name)
        shutil.copytree(desks[0] / "runs" / slug(name), run)
        steps = sorted(path for path in (run / "checkpoints").iterdir() if path.is_dir())
        for step in steps[len(steps) // 2 + 1 :]:
            shutil.rmtree(step)
        lines.append(f"train --resume runs/{slug(name)} --quiet")
    return lines


def slug(name: str) -> str:
    """Return the folder of a run."""
    return name.replace(" ", "-")


def recipe_lines(only: list[str], more: str = "") -> list[str]:
    """Return the command lines that train every recipe, or those whose names begin with one of the words."""
    return [f"train {line} --out runs/{slug(name)} {COMMON} {more}" for name, line in chosen(only).items()]


def chosen(only: list[str]) -> dict[str, str]:
    """Return the recipes and variants that are to be compared; none named means all."""
    return {name: line for name, line in TRAINED.items() if not only or name.split()[0] in only or name in only}


def compare_runs(desks: list[Path]) -> Iterator[str]:
    """Yield what differs between the runs of two desks."""
    for name in TRAINED:
        runs = [desk / "runs" / slug(name) for desk in desks]
        there = [(run / "checkpoints").is_dir() for run in runs]
        if any(there):
            found = list(compare_run(runs)) if all(there) else ["one of the two has no such run"]
            print(f"{name}: {'equal' if not found else f'{len(found)} differences'}", flush=True)
            yield from (f"{name}: {text}" for text in found[:SHOWN])


def compare_run(runs: list[Path]) -> Iterator[str]:
    """Yield what differs between two runs: the log, the tensors of all checkpoints, the preview, the cards."""
    logs = [[json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()] for run in runs]
    for entries in zip(*logs, strict=False):
        old, new = ({key: value for key, value in entry.items() if key not in TIMES} for entry in entries)
        yield from (f"step {old.get('step')}, {text}" for text in leaves(old, new))
    if len(logs[0]) != len(logs[1]):
        yield f"the logs have {len(logs[0])} and {len(logs[1])} entries"
    steps = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in runs]
    if steps[0] != steps[1]:
        yield f"the checkpoints are {steps[0]} and {steps[1]}"
    for step in set(steps[0]) & set(steps[1]):
        old, new = (tensors_of(run / "checkpoints" / step) for run in runs)
        yield from (f"checkpoint {step}, {text}" for text in leaves(old, new))
    previews = [digest(run / "latest.png") for run in runs]
    if previews[0] != previews[1]:
        yield "the preview"
    noted = [json.loads((run / "settings.json").read_text()) for run in runs]
    yield from (f"card, {text}" for text in leaves(noted[0]["card"], noted[1]["card"]))


def tensors_of(checkpoint: Path) -> dict[str, str]:
    """Return a digest of every tensor of a checkpoint: group/name -> digest."""
    found = {}
    for path in sorted(checkpoint.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            content = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
            found[f"{path.stem}/{name}"] = f"{tuple(tensor.shape)} {hashlib.sha256(content).hexdigest()[:12]}"
    return found


def leaves(old: Any, new: Any, where: str = "") -> Iterator[str]:
    """Yield the leaves in which two plain values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in old or key not in new:
                yield f"{where}{key} is only in the {'new' if key not in old else 'old'}"
            else:
                yield from leaves(old[key], new[key], f"{where}{key}.")
    elif old != new:
        yield f"{where.removesuffix('.')}: {old} and {new}"


# Verbs


def compare_verbs(desks: list[Path], before: set[Path]) -> Iterator[str]:
    """Yield the files that the verbs wrote and that differ; `before` is what lay there already."""
    names = [files_of(desk) - before for desk in desks]
    yield from (f"{name} is only in the {'new' if name in names[1] else 'old'}" for name in names[0] ^ names[1])
    both = sorted(names[0] & names[1])
    differing = [name for name in both if digest(desks[0] / name) != digest(desks[1] / name)]
    print(f"verbs: {len(both) - len(differing)} of {len(both)} files equal", flush=True)
    yield from (f"{name} differs" for name in differing)


def files_of(desk: Path) -> set[Path]:
    """Return all files of a desk, by their paths in it."""
    return {path.relative_to(desk) for path in desk.rglob("*") if path.is_file()}


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, of its pixels where it is dated, empty where there is no file."""
    if not path.is_file():
        return ""
    content = path.read_bytes()
    if path.suffix in (".exr", ".tif"):
        # These carry the time at which they were written.
        content = OpenImageIO.ImageBuf(str(path)).get_pixels(OpenImageIO.FLOAT).tobytes()
    return hashlib.sha256(content).hexdigest()


def exit_codes(log: Path) -> list[str]:
    """Return each command of a log with its exit code."""
    lines = log.read_text(errors="replace").splitlines()
    commands = [line for line in lines if line.startswith("# ") and not line.startswith("# exit")]
    codes = [line.split(",")[0] for line in lines if line.startswith("# exit")]
    return [f"{command}: {code[2:]}" for command, code in zip(commands, codes, strict=True)]


def main() -> int:
    """Read the command line, run both checkouts, and say what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--only", action="append", default=[], help="a recipe, or a name of TRAINED; may be repeated")
    parser.add_argument("--resume", action="store_true", help="let NEW resume OLD's runs from halfway")
    parser.add_argument("--no-verbs", action="store_true", help="compare the recipes alone")
    parser.add_argument("--folder", type=Path, default=None, help="an empty folder to keep everything in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        checkouts = [options.old.resolve(), options.new.resolve()]
        desks = prepare(checkouts[0], folder)
        logs = [folder / "old.log", folder / "new.log"]
        found: list[str] = []
        # The verbs need the runs.
        if options.resume:
            play(checkouts[0], desks[0], recipe_lines(options.only, EVERY_STEP), logs[0])
            play(checkouts[1], desks[1], resume_lines(desks, options.only), logs[1])
        else:
            for checkout, desk, log in zip(checkouts, desks, logs, strict=True):
                play(checkout, desk, recipe_lines(options.only), log)
        found += compare_runs(desks)
        if not options.no_verbs and not options.resume:
            before = files_of(desks[0]) | files_of(desks[1])
            for checkout, desk, log in zip(checkouts, desks, logs, strict=True):
                play(checkout, desk, list(VERBS), log)
            found += compare_verbs(desks, before)
        codes = [[code for code in exit_codes(log) if not code.endswith("exit 0")] for log in logs]
        found += [f"failed in {'OLD' if place == 0 else 'NEW'}: {code}" for place in (0, 1) for code in codes[place]]
    print("\n".join(found) if found else "Nothing differs.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
