"""What work with a trained model reports while it runs and when it is done, and how it is asked to stop.

    work -> Progress -> events (Moved, Said, Result) -> whoever listens: the console, a page, a test

A batch checks between files, tiles, strips and frames whether it was cancelled. Cancelling leaves nothing half-written:
the file at work is dropped, those before it stay.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ganvas.data.doctor import Examination
from ganvas.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one input: a row of a table, a line of JSON."""

    input: str
    output: str = ""
    width: int = 0
    height: int = 0
    frames: int = 1
    """Pictures of the output; more than one of a clip or video."""
    resumed_frames: int = 0
    """Frames that an interrupted run had finished before."""
    seconds: float = 0.0
    precision: str = ""
    tile: str = ""
    """Width x height of the tiles in pixels, and whether memory ran out on the way."""
    note: str = ""
    """What the user should be told: metadata or channels left out, roundings, missing guides."""
    error: str = ""
    """Empty when all went well."""
    skipped: bool = False
    """The output was there already, and was left as it is."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What only this kind of work reports, as plain values."""

    @property
    def megapixels(self) -> float:
        """Return the millions of pixels of the output, over all frames."""
        return round(self.frames * self.width * self.height / 1e6, 3)

    def row(self) -> dict[str, Any]:
        """Return the result as plain values, for JSON."""
        row = {name: value for name, value in vars(self).items() if name != "facts"}
        return {**row, "megapixels": self.megapixels, **self.facts}


@dataclass(frozen=True)
class Moved:
    """One input, or one part of the work, came this far."""

    name: str
    done: int
    total: int | None
    """None where it is not known."""


@dataclass(frozen=True)
class Said:
    """A sentence for the user that is no result."""

    text: str
    is_warning: bool = False
    """To be shown to those, too, who want to see errors only."""


@dataclass(frozen=True)
class Counted:
    """So many inputs of a batch are done."""

    done: int
    total: int
    left_s: float | None
    """What the rest will take, if it goes on as fast; None where nothing was done yet."""


Event: TypeAlias = Moved | Said | Counted | Result
Reports: TypeAlias = Callable[[int, int], None]
"""What one piece of work is handed to report on: called with what is done and all there is; a `Progress` is one."""


class Cancelled(Exception):
    """The work was asked to stop. Raised between two pieces of it, where nothing is left half-written."""


class CancelToken:
    """Asks running work to stop, from any thread."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def cancel(self) -> None:
        """Ask for the stop; the work ends at its next check."""
        self._asked.set()

    @property
    def is_cancelled(self) -> bool:
        """Tell whether the stop was asked for."""
        return self._asked.is_set()


class Progress:
    """Reports of running work: call it with what is done and all there is to do.

    Args:
        tell: receives the events; None for nobody.
        name: input or part of the work that is reported on.
        token: asks the work to stop.
    """

    def __init__(
        self, tell: Callable[[Event], None] | None = None, name: str = "", token: CancelToken | None = None
    ) -> None:
        self.name, self.token = name, token or CancelToken()
        self._tell = tell or (lambda _: None)

    def __call__(self, done: int, total: int | None) -> None:
        """Report how far the named work is.

        Raises:
            Cancelled: the work was asked to stop.
        """
        self.check()
        self._tell(Moved(self.name, done, total))

    def of(self, name: str) -> Progress:
        """Return the reports of another input or part of the same work."""
        return Progress(self._tell, name, self.token)

    def share(self, place: int, places: int) -> Reports:
        """Return the reports of one of several equal pieces, counted as a part of the whole."""
        return lambda done, total: self(place * total + done, places * total)

    def say(self, text: str) -> None:
        """Report a sentence that is no result."""
        self._tell(Said(text))

    def warn(self, text: str) -> None:
        """Report what the user should know before the result is believed."""
        self._tell(Said(text, is_warning=True))

    def warn_of(self, examination: Examination) -> None:
        """Report what a doctor of data found, short of notes: the work goes on, and what comes of it may be useless."""
        for finding in examination.findings:
            if finding.kind != "note":
                self.warn(" ".join(finding.text.partition(": ")[2].split()))

    def count(self, done: int, total: int, left_s: float | None) -> None:
        """Report how many inputs are done."""
        self._tell(Counted(done, total, left_s))

    def finish(self, result: Result) -> None:
        """Report what became of one input."""
        self._tell(result)

    def check(self) -> None:
        """Raise where the work was asked to stop.

        Raises:
            Cancelled: it was.
        """
        if self.token.is_cancelled:
            raise Cancelled


class Job(NamedTuple):
    """One input of a batch and the file that it becomes."""

    source: str | Path
    target: Path


def run_batch(
    jobs: Iterable[Job], work: Callable[[Job, Progress], Result], progress: Progress | None = None
) -> list[Result]:
    """Do the jobs one after the other and return what became of each; one that fails stops none of the others.

    A cancelled batch returns the results that it has; the job at work has none.
    """
    progress = progress or Progress()
    results: list[Result] = []
    jobs = list(jobs)
    begun, worked = time.monotonic(), 0
    for number, job in enumerate(jobs):
        if len(jobs) > 1:
            left_s = (time.monotonic() - begun) / worked * (len(jobs) - number) if worked else None
            progress.count(number, len(jobs), left_s)
        try:
            progress.check()
            result = work(job, progress.of(str(job.source)))
        except Cancelled:
            break
        except UserError as error:
            result = Result(input=str(job.source), output=str(job.target), error=str(error))
        except OSError as error:
            why = f"Cannot write {job.target}. {error.strerror or error}"
            result = Result(input=str(job.source), output=str(job.target), error=why)
        except Exception as error:
            # A defect must not cost the user the rest of a night's work; it is told with its type.
            why = f"{type(error).__name__}: {error}"
            result = Result(input=str(job.source), output=str(job.target), error=why)
        results.append(result)
        worked += not result.skipped
        progress.finish(result)
    return results


def report_problems(problems: Iterable[tuple[str, str]], progress: Progress | None = None) -> list[Result]:
    """Report inputs that cannot be used, by name and why, and return their results."""
    results = [Result(input=name, error=str(UserError(f"Cannot use {name}", why))) for name, why in problems]
    for result in results:
        if progress:
            progress.finish(result)
    return results


class Taken:
    """The outputs of a batch: two inputs must not become one file.

    Args:
        do: what to do about it.
    """

    def __init__(self, do: str) -> None:
        self._do = do
        self._taken: dict[Path, str | Path] = {}

    def claim(self, job: Job) -> None:
        """Note the output of an input.

        Raises:
            UserError: another input has it already.
        """
        if self._taken.setdefault(job.target, job.source) != job.source:
            raise UserError(f"Cannot write {job.target}", f"{self._taken[job.target]} has the same name", self._do)
