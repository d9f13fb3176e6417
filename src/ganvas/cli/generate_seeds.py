"""`generate` for generators from seeds: what their suite runs, and the truncation curve, which compares with data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ganvas.errors import UserError
from ganvas.inference.open import Opened
from ganvas.inference.result import Progress, Result
from ganvas.inference.seeds import suite


@dataclass(frozen=True, kw_only=True)
class Options(suite.Options):
    """Which pictures a generator makes, or what its truncation trades."""

    curve: Path | None = None
    """Data to compare with: plot variety against likeness at truncations from 0.1 to none, into an .svg."""


def run(opened: Opened, options: Options, progress: Progress) -> list[Result]:
    """Generate pictures, one sheet, or a walk, or plot the truncation curve.

    Raises:
        UserError: as the suite, or the plot cannot be written.
    """
    if options.curve is None:
        return suite.run(opened, options, progress)
    from ganvas.evaluation.truncation import curve, plot
    from ganvas.inference.seeds.sampler import SeedSampler
    from ganvas.io import runs

    if options.out.suffix.lower() != ".svg":
        raise UserError(f"A curve cannot be written to {options.out}", do="Name a file that ends in .svg")
    if options.out.exists() and not options.overwrite:
        raise UserError(f"{options.out} exists already", do="Choose another name, or add --overwrite")
    sampler = SeedSampler(opened, options.device, options.precision, options.standing)
    points = curve(sampler, options.curve, sampler.classes(options.classes) if options.classes else None)
    for point in points:
        name = "none" if point.threshold is None else f"{point.threshold:g}"
        print(f"truncation {name.rjust(4)}  likeness {point.likeness:.3f}  variety {point.variety:.3f}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    runs.write_atomically(options.out, plot(points).encode())
    result = Result(input=str(options.curve), output=str(options.out), frames=len(points))
    progress.finish(result)
    return [result]
