"""What needs a GPU, in one command of at most eight minutes: right results first, then speed; one table, one JSON file.

    python scripts/gpu_check.py [--out gpu_check.json] [--minutes 8] [--cpu]

On a machine without a GPU it says so, writes that into the same file and ends with 0. `--cpu` runs every check on the
processor at tiny sizes instead, so that the code of the checks is known to work before a GPU is there.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import train_step

from ganvas import cli
from ganvas import device as devices
from ganvas.inference.backends import pick_backend, smooth_probe
from ganvas.inference.open import known_models, open_model
from ganvas.recipes.base import RECIPES
from ganvas.training import step

LEAST_DB = {"float32": 90.0, "float16": 45.0, "bfloat16": 40.0}
"""Of a device's result against float32 on the processor."""
TINY: dict[str, dict[str, Any]] = {
    "esrgan": {"crop_px": 32, "pixel_crop_px": 32, "width": 8, "blocks": 1, "discriminator_width": 8},
    "relativistic": {"width": 4, "latent": 8},
    "biggan": {"width": 4, "latent": 24},
    "superres_unet": {"low_px": 16, "width": 4, "discriminator_width": 4},
    "tiled_upres": {"high_px": 128, "low_px": 48, "tile_px": 32, "scale": 4, "width": 2, "discriminator_width": 2},
    "pix2pixhd": {
        "width_px": 128, "height_px": 64, "global_width": 8, "blocks": 1, "discriminator_width": 4, "encoder_width": 4,
    },
    "vid2vid": {"width": 4, "downs": 2, "blocks": 1, "discriminator_width": 4},
    "reverse_matchmove": {"size_px": 32, "rays_table": 16, "width": 4, "discriminator_width": 4},
}  # fmt: skip
"""What makes each recipe small enough for a processor."""


@dataclass
class Bench:
    """Where and how large the checks run."""

    device: torch.device
    folder: Path
    ends: float
    """Time by `time.monotonic` after which no further check begins."""

    @property
    def is_tiny(self) -> bool:
        """Tell whether this is a rehearsal on the processor."""
        return self.device.type == "cpu"

    def changes(self, recipe: str, **more: Any) -> dict[str, Any]:
        """Return the settings of a recipe that differ from its preset here."""
        small = {**TINY[recipe], "batch_size": 2} if self.is_tiny else {}
        return {"device": self.device.type, **small, **more}


@dataclass(frozen=True)
class Row:
    """The outcome of one check of one subject."""

    check: str
    subject: str
    value: str
    passed: bool | None
    """None: a measurement, that nothing is asked of."""


def psnr(found: Tensor, true: Tensor) -> float:
    """Return the PSNR in dB against the largest value of the truth."""
    error = float((found.float().cpu() - true).square().mean())
    return 10 * math.log10(float(true.abs().max()) ** 2 / error) if error else math.inf


def seconds(bench: Bench, call: Callable[[], object], rounds: int = 3) -> float:
    """Return the least seconds of a call after a first that does not count."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        call()
        if bench.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return min(taken[1:])


def parity(bench: Bench) -> Iterator[Row]:
    """Every bundled upscaler on the device against float32 on the processor, in three precisions."""
    for model in known_models():
        opened = open_model(model.name) if not model.package else None
        if opened is None or opened.takes != "picture" or opened.card.channels_in != 3:
            continue
        net = opened.network()
        unit = max(1, opened.card.multiple_of)
        side = -(-(32 if bench.is_tiny else 192) // unit) * unit
        probe = smooth_probe((side, side), unit)
        with torch.inference_mode():
            true = net(probe)
        for precision, least in LEAST_DB.items():
            backend = pick_backend(net, precision, bench.device, "torch", multiple_of=unit)
            found = psnr(backend(probe), true)
            yield Row(f"parity {backend.precision}", model.name, f"{found:.1f} dB", found >= least)


def steps(bench: Bench) -> Iterator[Row]:
    """One step of each recipe in the device's own precision: its losses are numbers."""
    for recipe in RECIPES:
        data = train_step.draw(train_step.SETS[recipe], bench.folder)
        trainer = train_step.trainer_of(recipe, "preview", data, bench.changes(recipe))
        try:
            seen = step.advance(trainer)
            taken = train_step.seconds_of(trainer)
        finally:
            trainer.feed.close()
        fine = all(math.isfinite(value) for value in seen.values.values())
        yield Row("training step", recipe, f"{taken:.3f} s, {str(trainer.precision).removeprefix('torch.')}", fine)


def layouts(bench: Bench) -> Iterator[Row]:
    """channels_last and compiled networks against torch's default, in bfloat16."""
    net = open_model("compact-x4" if bench.is_tiny else "photo-x4").network().to(bench.device, torch.bfloat16)
    side = 24 if bench.is_tiny else 512
    given = torch.rand(1, 3, side, side, device=bench.device, dtype=torch.bfloat16)
    with torch.inference_mode():
        base = seconds(bench, lambda: net(given))
        yield Row("layout", "default", f"{base * 1e3:.2f} ms", None)
        net = net.to(memory_format=torch.channels_last)
        given = given.contiguous(memory_format=torch.channels_last)
        last = seconds(bench, lambda: net(given))
        yield Row("layout", "channels_last", f"{last * 1e3:.2f} ms, {base / last:.2f} times", None)
        if not bench.is_tiny:
            compiled = torch.compile(net)
            began = time.perf_counter()
            compiled(given)
            first = time.perf_counter() - began
            fast = seconds(bench, lambda: compiled(given))
            told = f"{fast * 1e3:.2f} ms, {base / fast:.2f} times, compiled in {first:.0f} s"
            yield Row("layout", "torch.compile", told, None)


def resume(bench: Bench) -> Iterator[Row]:
    """A run of four steps against one that was stopped after two: the checkpoints are equal to the bit."""
    shapes = train_step.draw("shapes", bench.folder)
    common = [
        "--preset", "preview", "--width", "4", "--latent", "8", "--batch-size", "4", "--device", bench.device.type,
        "--checkpoint-every", "2", "--preview-every", "1000", "--score-every", "1000", "--quiet",
    ]  # fmt: skip
    whole, halves = bench.folder / "whole", bench.folder / "halves"

    def run(words: list[str]) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            code = cli.main(["train", *words])
        if code != cli.DONE:
            raise RuntimeError(f"ganvas train ended with {code}")

    run(["relativistic", "--data", str(shapes), "--out", str(whole), "--steps", "4", *common])
    run(["relativistic", "--data", str(shapes), "--out", str(halves), "--steps", "2", *common])
    run(["--resume", str(halves), "--steps", "4", "--allow-changes", "--quiet"])
    ends = [digest(newest(run)) for run in (whole, halves)]
    yield Row(
        "exact resume", "relativistic", "equal to the bit" if ends[0] == ends[1] else "differs", ends[0] == ends[1]
    )


def newest(run: Path) -> Path:
    """Return the newest checkpoint of a run."""
    return max((path for path in (run / "checkpoints").iterdir() if path.is_dir()), key=lambda path: path.name)


def digest(checkpoint: Path) -> dict[str, str]:
    """Return the digest of each tensor file of a checkpoint."""
    files = sorted(checkpoint.glob("*.safetensors"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def ranks(bench: Bench) -> Iterator[Row]:
    """Two ranks over NCCL, where there are two devices."""
    if bench.device.type != "cuda" or torch.cuda.device_count() < 2:
        yield Row("two ranks", "NCCL", "skipped: fewer than two GPUs", None)
        return
    shapes = train_step.draw("shapes", bench.folder)
    words = [
        "train", "relativistic", "--data", str(shapes), "--out", str(bench.folder / "ranks"), "--preset", "preview",
        "--steps", "4", "--gpus", "2", "--preview-every", "1000", "--score-every", "1000", "--quiet",
    ]  # fmt: skip
    code = cli.main(words)
    yield Row("two ranks", "NCCL", f"exit code {code}", code == cli.DONE)


CHECKS = (parity, steps, resume, layouts, ranks)


def run_checks(bench: Bench) -> list[Row]:
    """Run every check that still has time; an error fails its check and no other."""
    rows = []
    for check in CHECKS:
        try:
            for row in check(bench):
                rows.append(row)
                print(
                    f"{row.check:<18} {row.subject:<20} {row.value}{'' if row.passed in (None, True) else '  FAILED'}"
                )
                sys.stdout.flush()
                if time.monotonic() > bench.ends:
                    rows.append(Row(check.__name__, "the rest", "skipped: time is over", None))
                    break
        except Exception as error:  # what a GPU does to a check is what is to be found out
            rows.append(Row(check.__name__, type(error).__name__, " ".join(str(error).split())[:200], False))
            print(f"{check.__name__:<18} {rows[-1].value}  FAILED", flush=True)
    return rows


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown."""
    lines = ["| check | subject | result | |", "|---|---|---|---|"]
    signs = {True: "passed", False: "FAILED", None: ""}
    return "\n".join([*lines, *(f"| {r.check} | {r.subject} | {r.value} | {signs[r.passed]} |" for r in rows)])


def main(words: list[str] | None = None) -> int:
    """Run the checks and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"), help="a table is written beside it")
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--cpu", action="store_true", help="rehearse on the processor at tiny sizes")
    options = parser.parse_args(words)
    began = time.monotonic()
    if not options.cpu and not torch.cuda.is_available():
        facts: dict[str, Any] = {"skipped": "this torch sees no GPU", "torch": str(torch.__version__)}
        rows: list[Row] = [Row("all", "", "skipped: this torch sees no GPU", None)]
        print("No GPU here: nothing was checked. --cpu rehearses the checks on the processor.")
    else:
        device = torch.device("cpu" if options.cpu else "cuda")
        facts = {**devices.facts(device, torch.float32), "minutes": options.minutes, "rehearsal": options.cpu}
        with tempfile.TemporaryDirectory() as folder:
            # A minute is kept for what is running when the time is over.
            rows = run_checks(Bench(device, Path(folder), began + 60 * max(0.1, options.minutes - 1)))
        facts["seconds"] = round(time.monotonic() - began, 1)
    options.out.write_text(json.dumps({**facts, "rows": [asdict(row) for row in rows]}, indent=1))
    options.out.with_suffix(".md").write_text(table(rows) + "\n")
    return 1 if any(row.passed is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
