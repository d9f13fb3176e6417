"""`generate` for generators of views from cameras: what their suite runs, and the film beside held-out footage."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ganvas.inference.cameras import suite
from ganvas.inference.open import Opened
from ganvas.inference.result import Cancelled, Progress, Result


@dataclass(frozen=True, kw_only=True)
class Options(suite.Options):
    """Which way a camera flies through a learned place, and what is shown beside it."""

    film: Path | None = None
    """Footage: show its views that were not trained on beside what is generated of their cameras, then the flights of
    --cameras and --through side by side."""


def run(opened: Opened, options: Options, progress: Progress) -> list[Result]:
    """Fly a camera through a learned place, or show the film of it.

    Raises:
        UserError: as the suite, or the footage cannot be read.
    """
    if options.film is None:
        return suite.run(opened, options, progress)
    from ganvas.evaluation.film import Film
    from ganvas.evaluation.views import HeldOut
    from ganvas.inference.cameras.flyer import Screen

    began = time.perf_counter()
    flyer = suite.open_flyer(opened, options)
    flights = suite.find_flights(flyer, options, progress)
    held = HeldOut(flyer, options.film)
    rate = suite.rate_of(options, flights)
    film = Film(flyer, held, flights, rate, options.burn_in)
    for note in held.notes:
        progress.warn(f"Note: {note}.")
    report = progress.of(str(options.out))
    numbers = range(1, len(film) + 1)
    try:
        with Screen(options.out, film.size_px, numbers, rate, options.bits, options.overwrite) as screen:
            for place, frame in enumerate(film.frames()):
                screen.show(place, frame)
                report(place + 1, len(film))
    except Cancelled:
        return []
    mean = sum(film.decibels) / len(film.decibels)
    notes = [f"truth | generated: {len(held.places)} held-out views, mean PSNR {mean:.2f} dB"]
    notes += [f"{flight.name}: {len(flight.vectors)} frames, {flight.trust.counts()}" for flight in flights]
    width, height = film.size_px
    result = Result(
        input=str(options.film), output=screen.target, width=width, height=height, frames=len(film),
        seconds=round(time.perf_counter() - began, 3), note="; ".join(notes), facts={"psnr_db": mean},
    )  # fmt: skip
    progress.finish(result)
    return [result]
