"""Runs generators of views from cameras: a flight through a learned place, its camera, and how far to trust it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.inference.cameras import flyer as flights
from ganvas.inference.cameras import paths
from ganvas.inference.cameras.flyer import Flight, Flyer, Screen
from ganvas.inference.cameras.options import Options
from ganvas.inference.cameras.stops import parse_stops
from ganvas.inference.open import Opened
from ganvas.inference.result import Cancelled, Progress, Result
from ganvas.io.cameras import cameras
from ganvas.io.video.frames import parse_pattern

__all__ = ["Options", "find_flights", "open_flyer", "run"]


def run(opened: Opened, options: Options, progress: Progress) -> list[Result]:
    """Fly a camera through a learned place: video or numbered frames, the matching camera, and how far to trust them.

    Raises:
        UserError: no way is named, its file cannot be read, or a file is in the way; nothing was written then.
    """
    if (options.camera is None) == (not options.through):
        raise UserError("Which way?", "Give --cameras FILE or --through FRAME,FRAME, one of the two")
    began = time.perf_counter()
    flyer = open_flyer(opened, options)
    (flight,) = find_flights(flyer, options, progress)
    rate = rate_of(options, [flight])
    folder, stem = _beside(options.out)
    # The world of the training footage, in which the place lies.
    world = replace(flights.told(opened).filled(options.given), fps=float(rate))
    kind = "colmap" if options.camera_format == "colmap" else ""
    match = folder / f"{stem}.camera{'' if kind else f'.{options.camera_format}'}"
    flights.check_free([folder / f"{stem}.trust.csv", folder / f"{stem}.trust.png"], options.overwrite)
    cameras.check_writable(match, world, options.overwrite, kind, flight.frames)
    shot = paths.cameras_of(flight.vectors, flyer.geometry, flight.frames)
    plates = paths.plates_of(shot, flyer.geometry, options.size) if options.on_plate else []
    width, height = plates[0].size_px if plates else flyer.geometry.output_px
    laid = list(zip(shot, plates))
    report = progress.of(str(options.out))
    try:
        with Screen(
            options.out, (width, height), flight.frames, rate, options.bits, options.overwrite, flyer.exposure
        ) as screen:  # fmt: skip
            for done in flights.fly(flyer, flight.vectors, flight.trust, screen, options.burn_in, laid):
                report(done, len(flight.vectors))
    except Cancelled:
        return []
    names = screen.names() or [""] * len(shot)
    shot = [replace(camera, name=name) for camera, name in zip(plates or shot, names)]
    lost = cameras.write(match, shot, world, options.overwrite, kind)
    tables = flights.write_trust(folder, stem, flight.trust, flight.frames, options.overwrite)
    camera = "; ".join([f"{match} is the camera of these pictures", *lost])
    result = Result(
        input=flight.name, output=screen.target, width=width, height=height, frames=len(flight.vectors),
        seconds=round(time.perf_counter() - began, 3), note=f"{camera}; {tables[0]} says {flight.trust.counts()}",
        facts={"camera": str(match), "trust": str(tables[0])},
    )  # fmt: skip
    progress.finish(result)
    return [result]


def open_flyer(opened: Opened, options: Options) -> Flyer:
    """Return the generator, told what the options say of its footage.

    Raises:
        UserError: as `Flyer`.
    """
    # Beside --cameras the options are that file's; the footage is read as the run was told.
    given = flights.told(opened).filled(options.given) if options.camera else options.given
    return Flyer(opened, options.footage, given, options.device, options.precision)


def find_flights(flyer: Flyer, options: Options, progress: Progress) -> list[Flight]:
    """Return the flight through training cameras and that of a file, as far as asked for; say what is to be noted.

    Raises:
        UserError: a camera does not exist, or the file cannot be read.
    """
    found: list[tuple[str, np.ndarray, list[int], list[str], float | None]] = []
    if options.through:
        stops, told = parse_stops(options.through, flyer.training_frames, len(flyer.training))
        vectors = paths.through(flyer.training, stops, options.frames)
        vectors[:, 12] *= options.zoom
        first = 1 if options.first_frame is None else options.first_frame
        found.append((f"through {options.through}", vectors, list(range(first, first + options.frames)), told, None))
    if options.camera is not None:
        found.append((options.camera.name, *_read(flyer, options.camera, options)))
    flown = []
    for name, vectors, numbers, notes, fps in found:
        trust = flyer.trust(vectors)
        for note in [*notes, *flyer.warnings(vectors, trust, numbers)]:
            progress.warn(f"Note: {name}: {note}.")
        flown.append(Flight(name, vectors, numbers, trust, fps))
    return flown


def _read(flyer: Flyer, camera: Path, options: Options) -> tuple[np.ndarray, list[int], list[str], float | None]:
    """Return what the network is told of a file's cameras, the frame numbers, notes, and the frame rate."""
    given, assumed = options.given, []
    if camera.suffix.lower() == ".csv" and not (given.film_back_mm or flyer.given.film_back_mm):
        # The table tells millimetres and no film: they are of the footage's, of which the network makes a part.
        film = flyer.geometry.film_back_mm
        given = replace(given, film_back_mm=film, size_px=flyer.geometry.output_px)
        assumed = [f"Its film back is taken for the training's, of which {film[0]:.1f} x {film[1]:.1f} mm are seen"]
    solve = cameras.read(camera, given, flyer.given)
    vectors, notes = paths.told(solve.cameras, flyer.geometry, options.zoom)
    notes = [*assumed, *notes]
    numbers = [one.frame for one in solve.cameras]
    if len(set(numbers)) != len(numbers) or sorted(numbers) != numbers:
        numbers = list(range(1, len(vectors) + 1))
        notes.append("The path's frame numbers repeat or go back, so frames are counted from 1")
    if options.first_frame is not None:
        numbers = [options.first_frame + number - numbers[0] for number in numbers]
    return vectors, numbers, [*solve.notes, *notes], solve.fps


def rate_of(options: Options, flown: Sequence[Flight]) -> Fraction:
    """Return the frames a second that are asked for, or those of a path, or 24."""
    told = next((flight.fps for flight in flown if flight.fps), 24.0)
    return options.fps or Fraction(told).limit_denominator(1001)


def _beside(out: Path) -> tuple[Path, str]:
    """Return the folder and the first part of the names of what is written beside the pictures."""
    pattern = parse_pattern(out)
    if pattern is not None:
        return pattern.folder, pattern.before.rstrip("._-") or "shot"
    return (out.parent, out.stem) if out.suffix else (out, "shot")
