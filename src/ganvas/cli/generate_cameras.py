"""The verb `generate` for generators of views from cameras."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.cli.console import Bar
from ganvas.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from ganvas.inference.cameras.flyer import Flight, Flyer
    from ganvas.io.cameras.cameras import Given


def generate(
    model: Positional[str],
    out: Path,
    camera: Path | None = None,
    through: str = "",
    frames: int = 240,
    zoom: float = 1.0,
    rotation_order: str = "",
    film_back: str = "",
    focal: float | None = None,
    size: str = "",
    metres_per_unit: float | None = None,
    up: Literal["", "y", "z", "-y"] = "",
    camera_name: str = "",
    camera_format: Literal["json", "csv", "chan", "ma", "usda", "colmap"] = "json",
    fps: str = "24",
    bits: Literal[8, 10, 16] = 8,
    burn_in: bool = False,
    film: Path | None = None,
    footage: str = "",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: str = "auto",
    overwrite: bool = False,
    quiet: bool = False,
) -> int:
    """Fly a camera through a learned place: video or numbered frames, the matching camera, and how far to trust them.

    Args:
        model: run, weight file or name.
        out: a video (.mp4, .mov), numbered frames (shot.####.exr, shot.####.png), or a folder.
        camera: camera path: .csv, .chan, transforms.json, .ma, .usd, .abc, or a folder of COLMAP text.
        through: instead of --camera, a smooth flight through training cameras, by number: 3,17,40.
        frames: frames of such a flight.
        zoom: multiply all focal lengths.
        rotation_order: of a .chan file: ZXY, XYZ ... (the first axis turned about first).
        film_back: width and height in millimetres, for formats that do not say it: 36x24.
        focal: focal length in millimetres, for a .chan without field of view.
        size: size of the path's pictures in pixels, where it matters and is not said: 1920x1080.
        metres_per_unit: unit of the camera file, if it is not the format's usual one.
        up: up axis of the camera file's world, if it does not say it.
        camera_name: which camera, where a scene holds several.
        camera_format: format of the camera written beside the pictures.
        fps: frames a second of a video: 24, 24000/1001.
        bits: depth of a video or of PNG frames; .mov with 10 is ProRes, .exr is always half float.
        burn_in: draw the trust strip over the lower edge of the frames; captions below those of a film.
        film: footage: show its views that were not trained on beside what is made of their cameras, then the flights of
            --camera and --through side by side.
        footage: training footage of a checkpoint that does not know its cameras.
        precision: auto takes the machine's fastest.
        device: auto, cpu, cuda or cuda:1.
        overwrite: replace existing files.
        quiet: print only errors and warnings.
    """
    from ganvas.inference.cameras import flyer as flights
    from ganvas.inference.cameras.paths import cameras_of
    from ganvas.io.cameras import cameras

    if film is None and (camera is None) == (not through):
        raise UserError("Which way?", "Give --camera FILE or --through 3,17,40, one of the two; both with --film")
    if not zoom > 0:
        raise UserError(f"--zoom is {zoom:g}", "It must be above 0")
    rate = _rate(fps)
    given = cameras.Given(
        film_back_mm=_pair(film_back, "--film-back"), rotation_order=rotation_order, focal_mm=focal, up=up,
        size_px=_whole(_pair(size, "--size")), metres_per_unit=metres_per_unit, camera=camera_name,
    )  # fmt: skip
    # Beside a --camera the options are that file's; the footage is read as the run was told.
    trained = flights.told(model)
    flyer = flights.Flyer(model, footage, trained.filled(given) if camera else given, device, precision)
    paths = _paths(flyer, camera, through, frames, zoom, given)
    if film is not None:
        from ganvas.cli.generate_film import make_film

        return make_film(flyer, film, paths, out, rate, bits, burn_in, overwrite, quiet)
    (flight,) = paths
    folder, stem = _beside(out)
    # The world of the training footage, in which the place lies.
    world = replace(trained.filled(given), fps=float(rate))
    kind = "colmap" if camera_format == "colmap" else ""
    match = folder / f"{stem}.camera{'' if kind else f'.{camera_format}'}"
    tables = [folder / f"{stem}.trust.csv", folder / f"{stem}.trust.png"]
    flights.check_free(tables, overwrite)
    cameras.check_writable(match, world, overwrite, kind)
    screen = flights.Screen(out, flyer.geometry.output_px, flight.frames, rate, bits, overwrite, flyer.exposure)
    with screen, Bar(quiet) as bar:
        for done, _ in enumerate(flights.fly(flyer, flight.vectors, flight.trust, screen, burn_in), 1):
            bar.move("frames", done, len(flight.vectors))
    shot = cameras_of(flight.vectors, flyer.geometry, flight.frames, screen.names())
    lost = cameras.write(match, shot, world, overwrite, kind)
    flights.write_trust(folder, stem, flight.trust, flight.frames, overwrite)
    if not quiet:
        width, height = flyer.geometry.output_px
        print(f"{screen.target}  {len(flight.vectors)} frames of {width} x {height}")
        print(f"{match}  the camera of these pictures" + "".join(f"; {note}" for note in lost))
        print(f"{tables[0]}  trust: {flight.trust.counts()}")
    return DONE


def _paths(
    flyer: Flyer, camera: Path | None, through: str, frames: int, zoom: float, given: Given
) -> list[Flight]:  # fmt: skip
    """Return the flight through training cameras and that of a file, as far as asked for; print notes on them."""
    from ganvas.inference.cameras import paths as camera_paths
    from ganvas.inference.cameras.flyer import Flight

    found: list[tuple[str, np.ndarray, list[int], list[str]]] = []
    if through:
        vectors = camera_paths.through(flyer.training, _places(through), frames)
        vectors[:, 12] *= zoom
        found.append((f"through {through}", vectors, list(range(1, frames + 1)), []))
    if camera is not None:
        found.append((camera.name, *_read(flyer, camera, zoom, given)))
    flights = []
    for name, vectors, numbers, notes in found:
        trust = flyer.trust(vectors)
        for note in [*notes, *flyer.warnings(vectors, trust, numbers)]:
            print(f"Note: {name}: {note}.")
        flights.append(Flight(name, vectors, numbers, trust))
    return flights


def _read(flyer: Flyer, camera: Path, zoom: float, given: Given) -> tuple[np.ndarray, list[int], list[str]]:
    """Return what the network is told of a file's cameras, the frame numbers, and notes."""
    from ganvas.inference.cameras import paths as camera_paths
    from ganvas.io.cameras import cameras

    assumed = []
    if camera.suffix.lower() == ".csv" and not (given.film_back_mm or flyer.given.film_back_mm):
        # The table tells millimetres and no film: they are of the footage's, of which the network makes a part.
        film = flyer.geometry.film_back_mm
        given = replace(given, film_back_mm=film, size_px=flyer.geometry.output_px)
        assumed = [f"Its film back is taken for the training's, of which {film[0]:.1f} x {film[1]:.1f} mm are seen"]
    solve = cameras.read(camera, given, flyer.given)
    vectors, notes = camera_paths.told(solve.cameras, flyer.geometry, zoom)
    notes = [*assumed, *notes]
    numbers = [one.frame for one in solve.cameras]
    if len(set(numbers)) != len(numbers) or sorted(numbers) != numbers:
        numbers = list(range(1, len(vectors) + 1))
        notes.append("The path's frame numbers repeat or go back, so frames are counted from 1")
    return vectors, numbers, [*solve.notes, *notes]


def _places(through: str) -> list[int]:
    try:
        return [int(part) for part in through.split(",")]
    except ValueError as error:
        raise UserError(f"--through is {through!r}", do="Give numbers of training cameras: 3,17,40") from error


def _beside(out: Path) -> tuple[Path, str]:
    """Return the folder and the first part of the names of what is written beside the pictures."""
    from ganvas.io.video.frames import parse_pattern

    pattern = parse_pattern(out)
    if pattern is not None:
        return pattern.folder, pattern.before.rstrip("._-") or "shot"
    return (out.parent, out.stem) if out.suffix else (out, "shot")


def _pair(text: str, option: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        width, height = map(float, text.lower().split("x"))
    except ValueError as error:
        raise UserError(f"{option} is {text!r}", do="Give width and height: 36x24") from error
    return width, height


def _whole(pair: tuple[float, float] | None) -> tuple[int, int] | None:
    return (round(pair[0]), round(pair[1])) if pair else None


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"--fps is {text!r}", do="Give 24, 25 or 24000/1001") from error
    if rate <= 0:
        raise UserError(f"--fps is {text!r}", "It must be above 0")
    return rate
