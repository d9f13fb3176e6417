"""What a run tells while it goes: one live line, the log, preview pictures, a plot of the losses."""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text
from torch import Tensor

from ganvas.device import peak_memory
from ganvas.errors import need
from ganvas.io import images, plots, runs


class Logbook:
    """Writes a run's log, plot and previews, and keeps one line on the terminal up to date; plain lines when piped."""

    def __init__(
        self, run: Path, total_steps: int, as_json: bool = False, tensorboard: bool = False, quiet: bool = False
    ) -> None:
        self.run, self.total_steps, self.as_json, self.quiet = run, total_steps, as_json, quiet
        self.console = Console(file=sys.stdout)
        self.live: Live | None = None
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)
        self._clock = time.perf_counter()
        self._steps_timed = 0
        self._writer: Any = None
        if tensorboard:
            self._writer = need("torch.utils.tensorboard", "track").SummaryWriter(str(run / "tensorboard"))

    def __enter__(self) -> Logbook:
        if self.console.is_terminal and not self.as_json and not self.quiet:
            self.live = Live(
                Text("first steps warm up ..."), console=self.console, refresh_per_second=4, transient=False
            )
            self.live.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        if self.live:
            self.live.__exit__(None, None, None)
            self.live = None
        if self._writer:
            self._writer.close()

    def say(self, text: str) -> None:
        """Print a sentence above the live line (on the error stream under --json)."""
        if self.quiet:
            return
        if self.as_json:
            print(text, file=sys.stderr, flush=True)
        else:
            self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def count(self, values: Mapping[str, float]) -> None:
        """Add a step's values to the means of the next log line."""
        for key, value in values.items():
            self._sums[key] += value
            self._counts[key] += 1
        self._steps_timed += 1

    def write(self, step: int, stage: str, images_seen: int, images_a_step: int, rates: Mapping[str, float]) -> None:
        """Write a log line of the means since the last one, and renew the live line."""
        seconds = time.perf_counter() - self._clock
        per_step = seconds / max(1, self._steps_timed)
        means = {key: self._sums[key] / self._counts[key] for key in self._sums}
        entry = {
            "step": step,
            "stage": stage,
            "images": images_seen,
            "losses": {key: float(f"{value:.6g}") for key, value in means.items()},
            "rates": {key: float(f"{value:.6g}") for key, value in rates.items()},
            "seconds_a_step": round(per_step, 5),
            "memory_mb": round(peak_memory() / 2**20),
        }
        runs.append_log(self.run, entry)
        if self._writer:
            for key, value in means.items():
                self._writer.add_scalar(key, value, step)
        if not self.quiet:
            self._show(entry, images_a_step / per_step if per_step else 0.0, per_step)
        self._sums.clear()
        self._counts.clear()
        self._clock, self._steps_timed = time.perf_counter(), 0

    def _show(self, entry: Mapping[str, Any], images_a_second: float, per_step: float) -> None:
        left = (self.total_steps - entry["step"]) * per_step
        losses = "  ".join(f"{key} {value:.4g}" for key, value in entry["losses"].items())
        line = (
            f"{entry['stage']}  step {entry['step']}/{self.total_steps}  {images_a_second:.1f} images/s  "
            f"{duration(left)} left  {entry['memory_mb']} MB  {losses}"
        )
        if self.as_json:
            print(json.dumps(entry), flush=True)
        elif self.live:
            self.live.update(Text(line, overflow="fold"))
        else:
            print(line, flush=True)

    def record(self, step: int, kind: str, values: Mapping[str, Any]) -> None:
        """Write an event (a score, a rollback, a note) into the log."""
        runs.append_log(self.run, {"step": step, kind: dict(values)})
        if self._writer:
            for key, value in values.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{kind}/{key}", value, step)
        if self.as_json:
            print(json.dumps({"step": step, kind: dict(values)}), flush=True)

    def preview(self, step: int, pictures: Tensor) -> Path:
        """Write preview pictures (B, 3, H, W) in [0, 1] as one sheet, and again as `latest.png`."""
        sheet = images.from_float(contact_sheet(pictures), "uint8")
        path = self.run / "previews" / f"{step:08d}.png"
        images.write(path, sheet, overwrite=True)
        images.write(self.run / "latest.png", sheet, overwrite=True)
        return path

    def plot(self) -> None:
        """Draw all losses and scores of the run so far into `losses.svg`."""
        curves: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
        for entry in runs.read_log(self.run):
            for key, value in {**entry.get("losses", {}), **entry.get("scores", {})}.items():
                curves[key][0].append(entry["step"])
                curves[key][1].append(value)
        if curves:
            runs.write_atomically(self.run / "losses.svg", plots.curves(curves, "Losses and scores", "step").encode())


def contact_sheet(pictures: Tensor, columns: int = 0) -> np.ndarray:
    """Lay pictures out in a grid with thin gaps: (B, 3, H, W) -> array (rows * H, columns * W, 3)."""
    batch = pictures.detach().float().clamp(0, 1).cpu().permute(0, 2, 3, 1).numpy()
    number, height, width, channels = batch.shape
    columns = columns or max(1, round((number * height / width) ** 0.5))
    rows = -(-number // columns)
    gap = 2
    sheet = np.ones((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), np.float32)
    for index, picture in enumerate(batch):
        y, x = divmod(index, columns)
        sheet[y * (height + gap) :, x * (width + gap) :][:height, :width] = picture
    return sheet


def duration(seconds: float) -> str:
    """Return a time span as people say it: 45 s, 3 min 20 s, 2 h 05 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a plain text table."""
    widths = [max(len(str(row[i])) for row in [columns, *rows]) for i in range(len(columns))]
    lines = ["  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip() for row in [columns, *rows]]
    return "\n".join([title, lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
