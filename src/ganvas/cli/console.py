"""What every verb shows: a bar on the terminal, a line or a JSON line for each result, the exit code."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.cli import DONE, USER_ERROR
from ganvas.errors import harmless

if TYPE_CHECKING:
    from ganvas.cli.arguments import Printing
    from ganvas.inference.result import Counted, Event, Progress, Result


LEAST_MEGAPIXELS = 0.1
"""Size of a picture below which its seconds a megapixel tell nothing."""


class Console:
    """Shows the events of running work: `with Console(printing) as console: suite.run(..., console.progress)`.

    Results go to the standard output; the bar, sentences and errors to the error stream. The bar is shown on a terminal
    only; elsewhere, `--json` gives progress as JSON lines.
    """

    def __init__(self, printing: Printing) -> None:
        from ganvas.inference.result import Progress

        self.as_json, self.quiet = printing.json, printing.quiet
        self.progress: Progress = Progress(self.show)
        self._bar = Bar(printing.quiet)
        self._lines = ProgressLines(printing.json and not printing.quiet)
        self._failed = False
        self._skipped = 0
        self._complaints = Complaints()

    def __enter__(self) -> Console:
        self._bar.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._bar.__exit__(*details)
        if self._skipped:
            self.say(f"{self._skipped} exist already and were left as they are; --overwrite replaces them")
        self._complaints.close()

    @property
    def code(self) -> int:
        """Exit code after the work: an error where one of the inputs failed."""
        return USER_ERROR if self._failed else DONE

    def show(self, event: Event) -> None:
        """Show an event of the work."""
        from ganvas.inference.result import Counted, Moved, Said

        if isinstance(event, Moved):
            self._bar.move(event.name, event.done, event.total)
            self._lines.tell("progress", name=event.name, done=event.done, total=event.total)
        elif isinstance(event, Counted):
            self._bar.count(counted(event))
            self._lines.tell("batch", done=event.done, total=event.total, left_s=event.left_s)
        elif isinstance(event, Said):
            if event.is_warning or not self.quiet:
                print(event.text, file=sys.stderr, flush=True)
        else:
            self._failed |= bool(event.error)
            self._show_result(event)

    def say(self, text: str) -> None:
        """Print a sentence that is no result on the error stream."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def _show_result(self, result: Result) -> None:
        self._skipped += result.skipped
        if self.as_json:
            print(json.dumps(result.row(), default=str), flush=True)
        elif result.error:
            self._complaints.add(str(result.error))
        elif not self.quiet and not result.skipped:
            print(line_of(result), flush=True)


class Complaints:
    """Errors of a batch: each in a line, but one line for all outputs that exist already, which are one mistake."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    def add(self, error: str) -> None:
        """Print an error, or keep it for the collected line."""
        if "exists already" in error or "there already" in error:
            self.taken.append(error)
        else:
            print(f"ganvas: {harmless(error)}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Print the collected line."""
        more = f" So do {len(self.taken) - 1} more outputs." if len(self.taken) > 1 else ""
        if self.taken:
            print(f"ganvas: {harmless(self.taken[0])}{more}", file=sys.stderr, flush=True)
        self.taken.clear()


def complain(errors: Iterable[object]) -> None:
    """Print the errors of a batch that is done."""
    complaints = Complaints()
    for error in errors:
        complaints.add(str(error))
    complaints.close()


def line_of(result: Result) -> str:
    """Return the line that tells what became of an input."""
    parts = [result.output]
    if result.frames > 1:
        before = f", {result.resumed_frames} of them from before" if result.resumed_frames else ""
        parts.append(f"{result.frames} frames{before}")
    parts += [f"{result.width} x {result.height}", f"{result.seconds:.2f} s"]
    if result.frames > 1:
        parts.append(f"{result.seconds / max(1, result.frames - result.resumed_frames):.3f} s a frame")
    elif result.megapixels >= LEAST_MEGAPIXELS:
        parts.append(f"{result.seconds / max(result.megapixels, 1e-9):.2f} s/MP")
    parts += [", ".join(filter(None, (result.precision, result.tile and f"tiles {result.tile}")))]
    note = f"  ({result.note})" if result.note else ""
    return "  ".join(part for part in parts if part) + note


def counted(event: Counted) -> str:
    """Return how far a batch is: 12 of 500, 3 min left."""
    if event.left_s is None:
        return f"{event.done} of {event.total}"
    seconds = round(event.left_s)
    left = f"{seconds} s" if seconds < 90 else f"{round(seconds / 60)} min"
    return f"{event.done} of {event.total}, {left if seconds < 5400 else f'{seconds / 3600:.1f} h'} left"


class Bar:
    """Progress on the terminal, a line for each part of the work; nothing where nobody watches."""

    def __init__(self, quiet: bool) -> None:
        self.quiet = quiet or not sys.stderr.isatty()
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Bar:
        if not self.quiet:
            from rich.console import Console as Terminal
            from rich.progress import Progress as Lines

            self._bar = Lines(console=Terminal(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(self, *details: object) -> None:
        if self._bar:
            self._bar.stop()

    def count(self, text: str) -> None:
        """Show how far the whole batch is."""
        if self._bar:
            if "" not in self._tasks:
                self._tasks[""] = self._bar.add_task(text, total=None)
            self._bar.update(self._tasks[""], description=text)

    def move(self, name: str, done: int, total: int | None) -> None:
        """Move the line of one part, or of one file, which goes when it is done."""
        if self._bar:
            if name not in self._tasks:
                self._tasks[name] = self._bar.add_task(Path(name).name, total=total)
            self._bar.update(self._tasks[name], completed=done, total=total, visible=total is None or done < total)


def report(text: str, values: Any, printing: Printing) -> None:
    """Print what a verb has done: a sentence, or the same as JSON; nothing where it is to be quiet."""
    if printing.json:
        print_json(values)
    elif not printing.quiet:
        print(text, flush=True)


class ProgressLines:
    """Progress as JSON lines on the error stream, for programs that read it; nothing on a terminal."""

    EVERY_S = 0.5
    """Between two lines of one kind, but for the last."""

    def __init__(self, is_asked: bool) -> None:
        self.is_shown = is_asked and not sys.stderr.isatty()
        self._last: dict[str, float] = {}

    def tell(self, event: str, **facts: Any) -> None:
        """Print a line, unless one was printed just now."""
        is_last = facts["done"] == facts["total"]
        if self.is_shown and (is_last or time.monotonic() - self._last.get(event, -1e9) >= self.EVERY_S):
            self._last[event] = time.monotonic()
            print(json.dumps({"event": event, **facts}), file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print plain values as JSON."""
    print(json.dumps(value, indent=2, default=str), flush=True)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print names and values in two columns, leaving out what is empty."""
    width = max(map(len, facts))
    for key, value in facts.items():
        if value not in ("", {}, []):
            print(harmless(f"{key.ljust(width)}  {_shown(value)}"))


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_shown, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def print_columns(lines: Iterable[tuple[str, ...]]) -> None:
    """Print lines of cells as a table, the first column to the left and the others to the right."""
    lines = list(lines)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for first, *rest in lines:
        print("  ".join([first.ljust(widths[0]), *(cell.rjust(size) for cell, size in zip(rest, widths[1:]))]))
