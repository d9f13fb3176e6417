"""What `generate --film` does: the film of a learned place."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from ganvas.cli import DONE
from ganvas.cli.console import Bar

if TYPE_CHECKING:
    from ganvas.inference.cameras.flyer import Flight, Flyer


def make_film(
    flyer: Flyer,
    footage: Path,
    flights: Sequence[Flight],
    out: Path,
    fps: Fraction,
    bits: int,
    burn_in: bool,
    overwrite: bool,
    quiet: bool,
) -> int:
    """Show held-out views of footage beside what is made of them, then flights, in one video or sequence of frames."""
    from ganvas.evaluation.film import Film
    from ganvas.evaluation.views import HeldOut
    from ganvas.inference.cameras.flyer import Screen

    held = HeldOut(flyer, footage)
    film = Film(flyer, held, flights, fps, burn_in)
    for note in held.notes:
        print(f"Note: {note}.")
    screen = Screen(out, film.size_px, range(1, len(film) + 1), fps, bits, overwrite)
    with screen, Bar(quiet) as bar:
        for place, frame in enumerate(film.frames()):
            screen.show(place, frame)
            bar.move("frames", place + 1, len(film))
    if not quiet:
        width, height = film.size_px
        print(f"{screen.target}  {len(film)} frames of {width} x {height}")
        mean = sum(film.decibels) / len(film.decibels)
        print(f"truth | made: {len(held.places)} held-out views, mean PSNR {mean:.2f} dB")
        for flight in flights:
            print(f"{flight.name}: {len(flight.vectors)} frames, {flight.trust.counts()}")
    return DONE
