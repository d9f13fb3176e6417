"""What a run tells while it goes: one live line, the log, preview pictures, a plot of the losses."""

from __future__ import annotations

import json
import math
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from torch import Tensor

from ganvas.device import peak_memory
from ganvas.errors import need
from ganvas.io import panels, runs
from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import captioned
from ganvas.io.pictures.sheets import contact_sheet
from ganvas.training.previews import prune
from ganvas.training.sentinel import Observation
from ganvas.training.trainer import Trainer

LINE_COLUMNS = 120
"""What fits on a terminal; losses beyond are in the log."""


class Logbook:
    """Writes a run's log, plot and previews, and keeps one line on the terminal up to date; plain lines when piped."""

    def __init__(self, run: Path, trainer: Trainer, *, as_json: bool, quiet: bool, writes: bool) -> None:
        self.run, self.trainer, self.as_json, self.quiet, self.writes = run, trainer, as_json, quiet, writes
        self.console = Console(file=sys.stdout)
        self.live: Live | None = None
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)
        self._since = (time.perf_counter(), trainer.step, trainer.images_seen)
        self._stage_since: tuple[int, float, int] | None = None
        """Of the present stage, from its first line on: its index, time and step."""
        self.pace: dict[str, float] = {}
        """Seconds that a step of each stage takes, as a rehearsal has found."""
        self._writer: Any = None
        if writes and trainer.settings.tensorboard:
            tensorboard = need("torch.utils.tensorboard", "track")
            self._writer = tensorboard.SummaryWriter(str(run / "tensorboard"), purge_step=trainer.step + 1)

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

    def count(self, seen: Observation) -> None:
        """Add a step's values to the means of the next log line."""
        norms = {f"gradient of {name}": norm for name, norm in seen.gradient_norms.items()}
        for key, value in {**seen.values, **norms}.items():
            self._sums[key] += value
            self._counts[key] += 1

    def write(self) -> None:
        """Write a log line of the means since the last one, and renew the live line."""
        trainer = self.trainer
        clock, step, images = self._since
        self._since = (time.perf_counter(), trainer.step, trainer.images_seen)
        seconds = self._since[0] - clock
        means = {key: self._sums[key] / self._counts[key] for key in self._sums}
        self._sums.clear()
        self._counts.clear()
        entry = {
            "step": trainer.step,
            "stage": trainer.stage.name,
            "images": trainer.images_seen,
            "losses": {key: _rounded(value) for key, value in means.items()},
            "rates": {key: _rounded(value) for key, value in trainer.rates.items()},
            "seconds_a_step": round(seconds / max(1, trainer.step - step), 5),
            "images_a_second": round((trainer.images_seen - images) / max(seconds, 1e-9), 2),
            "memory_mb": round(peak_memory(trainer.device) / 2**20),
        }
        self._append(entry)
        if self._writer:
            for key, value in means.items():
                self._writer.add_scalar(key, value, trainer.step)
        if not self.quiet:
            self._show(entry, self._mean_pace(entry["seconds_a_step"]))

    def _mean_pace(self, latest: float) -> float:
        """Return the seconds that a step of this stage takes with all that comes between steps, warm-up left out."""
        index, now, step = self.trainer.stage_index, self._since[0], self.trainer.step
        if self._stage_since is None or self._stage_since[0] != index:
            self._stage_since = (index, now, step)
        _, began, first = self._stage_since
        return (now - began) / (step - first) if step > first else latest

    def _append(self, entry: Mapping[str, Any]) -> None:
        if self.writes:
            runs.append_log(self.run, entry)

    def _show(self, entry: Mapping[str, Any], pace: float) -> None:
        total = self.trainer.total_steps
        line = _fitted(
            f"{entry['stage']}  step {entry['step']}/{total} {entry['step'] / max(1, total):.0%}  {self._left(pace)}",
            [
                *(f"{key} {math.nan if value is None else value:.4g}" for key, value in entry["losses"].items()),
                f"{entry['images_a_second']:.1f} images/s",
                f"{entry['memory_mb']} MB",
            ],
        )
        if self.as_json:
            print(json.dumps(entry), flush=True)
        elif self.live:
            self.live.update(Text(line, overflow="fold"))
        else:
            print(line, flush=True)

    def _left(self, seconds_a_step: float) -> str:
        """Say how long the run will still take: later stages at the pace of their rehearsal, if there was one."""
        trainer = self.trainer
        seconds = (trainer.stage.steps - trainer.stage_step) * seconds_a_step
        later = [stage for stage in trainer.stages[trainer.stage_index + 1 :] if stage.steps]
        if not all(stage.name in self.pace for stage in later):
            return f"{duration(seconds)} left of this stage"
        # As much faster or slower than rehearsed as the present stage is.
        rehearsed = self.pace.get(trainer.stage.name, 0)
        factor = seconds_a_step / rehearsed if rehearsed else 1.0
        return f"{duration(seconds + factor * sum(self.pace[stage.name] * stage.steps for stage in later))} left"

    def record(self, kind: str, values: Mapping[str, Any]) -> None:
        """Write an event of the present step (a score, a rollback, a note) into the log."""
        entry = {"step": self.trainer.step, kind: {key: _rounded(value) for key, value in values.items()}}
        self._append(entry)
        if self._writer:
            for key, value in values.items():
                if isinstance(value, (int, float)):
                    self._writer.add_scalar(f"{kind}/{key}", value, self.trainer.step)
        if self.as_json and not self.quiet:
            print(json.dumps(entry), flush=True)

    def preview(self, pictures: Tensor) -> Path:
        """Write preview pictures (B, 3, H, W) in [0, 1] as one sheet with captions, and again as `latest.png`."""
        recipe = self.trainer.recipe
        rows = recipe.shown_rows()
        number, _, height, width = pictures.shape
        # About as wide as high, however wide a picture is.
        columns = number // len(rows) if rows else max(1, round((number * height / width) ** 0.5))
        sheet = contact_sheet(pictures.detach().float(), columns)
        repeats = max(1, round(sheet.shape[1] / (pictures.shape[-1] + 2)))
        sheet = captioned(sheet, recipe.SHOWN, rows, repeats)
        path = self.run / "previews" / f"{self.trainer.step:08d}.png"
        images.write(path, sheet, overwrite=True)
        images.write(self.run / "latest.png", sheet, overwrite=True)
        prune(path.parent)
        if self._writer:
            self._writer.add_image("preview", sheet, self.trainer.step, dataformats="HWC")
        return path

    def plot(self) -> None:
        """Draw all losses and scores of the run so far into `losses.svg`."""
        if not self.writes:
            return
        curves: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
        for entry in runs.read_log(self.run):
            for key, value in {**entry.get("losses", {}), **entry.get("scores", {})}.items():
                if value is not None:
                    curves[key][0].append(entry["step"])
                    curves[key][1].append(value)
        if curves:
            runs.write_atomically(self.run / "losses.svg", panels.panels(curves, "Losses and scores", "step").encode())


def _fitted(first: str, parts: Sequence[str]) -> str:
    """Return a line of at most 120 columns: the parts that fit; all of them stand in the log."""
    line = first
    for part in parts:
        if len(line) + 2 + len(part) > LINE_COLUMNS - 2:
            return f"{line} …"
        line = f"{line}  {part}"
    return line


def _rounded(value: Any) -> Any:
    # JSON knows no NaN and no infinity.
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


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
