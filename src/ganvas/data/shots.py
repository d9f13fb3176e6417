"""Footage: a folder of pictures, or a movie, with the cameras that a solver found for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ganvas.data import pairing, plates
from ganvas.data.plates import Plate, decode_light, encode, read_picture
from ganvas.data.views import View, Views, homography, resample, vector, view_of
from ganvas.errors import UserError
from ganvas.io.cameras import cameras as camera_files
from ganvas.io.cameras import lensfun
from ganvas.io.cameras.cameras import Camera, Given, Solve
from ganvas.io.cameras.kinds import MODELS, STANDARD, SUFFIXES, is_cameras, kind_of
from ganvas.io.pictures import images

__all__ = [
    "Footage",
    "View",
    "Views",
    "decode_light",
    "encode",
    "find_cameras",
    "homography",
    "is_movie",
    "read_footage",
    "read_picture",
    "resample",
    "vector",
    "view_of",
]

MOVIES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mxf")
LOOKED_AT = 16
"""Floating-point pictures that are looked at for light above 1."""
CURVES = {9: "logarithms of light", 10: "logarithms of light", 16: "light by PQ (HDR)", 18: "light by HLG (HDR)"}
"""Transfer characteristics of movies (H.273) that are no display's usual one."""
IN_MILLIMETRES = ("chan", "csv", "usd", "alembic", "fbx", "nuke")
"""Formats that say lenses in millimetres and nothing of pixels."""


def find_cameras(path: str | Path) -> Path:
    """Return the camera file of a folder, or the file itself that was named.

    Raises:
        UserError: there is none, or several and none of the usual name.
    """
    path = Path(path)
    if path.is_file() and not is_movie(path):
        return path
    folder = path.parent if path.is_file() else path
    for name in STANDARD:
        if (folder / name).is_file():
            return folder / name
    if (folder / "keyframes").is_dir() and kind_of(folder / "keyframes") == "polycam":
        return folder / "keyframes"
    for name in MODELS:
        if any((folder / name / f"images{suffix}").is_file() for suffix in (".bin", ".txt")):
            return folder / name
    if folder.is_dir() and kind_of(folder) in ("polycam", "arkit"):
        return folder
    found = sorted(file for file in folder.glob("*") if file.is_file() and is_cameras(file)) if folder.is_dir() else []
    if len(found) == 1:
        return found[0]
    listed = f": {', '.join(file.name for file in found[:4])}" if found else ""
    what = f"{path} holds {len(found)} camera files{listed}" if found else f"{path} holds no camera file"
    why = f"{', '.join(STANDARD)}, COLMAP's model or one file of {', '.join(SUFFIXES)} is looked for"
    raise UserError(what, why, "Name the file: --cameras FILE")


def is_movie(path: str | Path) -> bool:
    """Tell whether a file is named as a movie."""
    return Path(path).suffix.lower() in MOVIES and Path(path).is_file()


@dataclass(frozen=True)
class Footage:
    """The views of a folder, and what did not fit together."""

    views: tuple[View, ...]
    notes: tuple[str, ...]
    without_picture: tuple[str, ...]
    """Cameras whose picture is missing."""
    without_camera: tuple[str, ...]
    """Pictures of the cameras' folders that no camera names."""


def read_footage(folder: str | Path, camera_file: str | Path = "", given: Given | None = None) -> Footage:
    """Read the cameras of a folder and find their pictures, or read those of a movie's frames.

    Raises:
        UserError: there is no camera file, it cannot be read, pictures are ambiguous, or not one camera has a picture
            of its shape.
    """
    folder, given = Path(folder), given or Given()
    if given.file and Path(given.footage).resolve() == folder.resolve() and Path(given.file).exists():
        camera_file = camera_file or given.file
    path = find_cameras(camera_file or folder)
    root = folder if folder.is_dir() else folder.parent
    if is_movie(folder):
        return _of_movie(folder, path, given)
    files = pairing.plates_of(images.find_pictures([root])[0], root)
    movies = sorted(file for file in root.glob("*") if is_movie(file))
    if not files and not movies:
        raise UserError(f"{root} holds no pictures", f"{path} needs the pictures of its cameras")
    if not files:
        return _of_movie(_only_movie(movies, root), path, given)
    solve = _read(path, given, files[0])
    found = pairing.pair(solve, files, root)
    first = next((file for file in found if file is not None), None)
    if first is None and movies:
        return _of_movie(_only_movie(movies, root), path, given)
    if first is None:
        lost = solve.cameras[0].name or f"frame {solve.cameras[0].frame}"
        why = f"{path.name} names {lost}, and the pictures are {', '.join(file.name for file in files[:3])} ..."
        raise UserError(
            f"No camera of {path} has a picture", why, "Rename them alike, or name the right --cameras FILE"
        )
    if given.size_px is None and plates.film(first).size_px != plates.film(files[0]).size_px:
        solve = _read(path, given, first)
    return _footage(solve, found, files, root, given)


def _read(path: Path, given: Given, picture: Path) -> Solve:
    if given.size_px is None:
        given = replace(given, size_px=plates.film(picture).size_px)
    return _stretched(camera_files.read(path, given), kind_of(path), plates.film(picture).header)


def _stretched(solve: Solve, kind: str, header: images.Header) -> Solve:
    """Return cameras whose lens is told in millimetres before pixels that are not square, as the picture tells."""
    ratio = next((float(value) for name, _, value in header.metadata if name == "PixelAspectRatio"), 1.0)
    if kind not in IN_MILLIMETRES or not ratio > 0 or abs(ratio - 1) < 1e-3:
        return solve
    cameras = []
    for camera in solve.cameras:
        (fx, fy), (cx, cy), height = camera.focal_px, camera.centre_px, camera.size_px[1]
        film = (camera.film_back_mm[0], camera.film_back_mm[1] / ratio)
        centre = (cx, height / 2 + (cy - height / 2) * ratio)
        cameras.append(replace(camera, focal_px=(fx, fy * ratio), centre_px=centre, film_back_mm=film))
    note = f"The pictures say that their pixels are {ratio:g} times as wide as high, so the film is that wide"
    return replace(solve, cameras=tuple(cameras), notes=(*solve.notes, note))


def _profiled(camera: Camera, file: Path, header: images.Header) -> tuple[Camera, str]:
    """Return a camera with the lens that its picture's EXIF names, and that name."""
    told = {name: value for name, _, value in header.metadata}
    try:
        lens, name = lensfun.profile(told, camera.size_px, camera.focal_px[0])
    except UserError as error:
        raise UserError(f"{file}: {error.what}", error.why, error.do) from error
    return replace(camera, lens=lens), name


def _footage(
    solve: Solve, found: Sequence[Path | None], files: Sequence[Path], root: Path, given: Given
) -> Footage:  # fmt: skip
    exposure = given.exposure or 0.0
    views, lost, turned, logs = [], [], Counter[tuple[int, bool]](), []
    films: dict[Path, plates.Film] = {}
    profiles = Counter[str]()
    for camera, file in zip(solve.cameras, found):
        if file is None:
            lost.append(camera.name or f"frame {camera.frame}")
            continue
        told = films[file] = plates.film(file)
        as_stored = _as_stored(camera, told, solve.as_stored, file)
        if told.orientation != 1:
            turned[told.orientation, as_stored] += 1
        if plates.is_log(told.header):
            logs.append(file.name)
        if given.lens_profile and camera.lens is None:
            camera, name = _profiled(camera, file, told.header)
            profiles[name] += 1
        views.append(View(camera, file, Plate(as_stored, exposure, stmap=given.stmap)))
    used = {file for file in found if file is not None}
    idle = tuple(str(file.relative_to(root)) for file in files if file not in used)
    notes = list(solve.notes)
    for (orientation, as_stored), count in sorted(turned.items()):
        how = "are kept as stored, as they were solved" if as_stored else "are turned upright"
        notes.append(f"{count} pictures with EXIF orientation {orientation} {how}")
    windows = sum(told.size_px != told.stored_px or told.origin != (0, 0) for told in films.values())
    if windows:
        notes.append(f"{windows} pictures have a data window of their own: the film is their display window")
    if logs:
        notes.append(
            f"{len(logs)} plates hold logarithms of light ({logs[0]}): they are taken as they are, so what is "
            "generated is logarithmic, too"
        )
    for name, count in profiles.items():
        notes.append(f"{count} pictures are undistorted by lensfun's profile of {name}, as their EXIF says")
    notes += _above_one([file for file, told in films.items() if told.header.scene_linear], exposure)
    for names, what in ((lost, "cameras have no picture"), (idle, "pictures have no camera")):
        if names:
            notes.append(f"{len(names)} {what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}")
    return Footage(tuple(views), tuple(notes), tuple(lost), idle)


def _as_stored(camera: Camera, told: plates.Film, solved_so: bool | None, file: Path) -> bool:
    """Tell whether a camera belongs to the stored pixels or to the upright picture: its shape tells, else the format.

    Raises:
        UserError: it has the shape of neither.
    """
    upright, stored = (plates.fits(camera, told.turned(as_stored)) for as_stored in (False, True))
    if told.size_px != told.stored_px and camera.size_px == told.stored_px:
        return False
    if not upright and not stored:
        (width, height), (across, down) = camera.size_px, told.size_px
        why = f"Its camera is of {width} x {height} px, another shape"
        raise UserError(f"{file} is {across} x {down} px", why, "Give the pictures that were solved")
    if upright != stored:
        return stored
    return bool(solved_so) and told.orientation != 1


def _above_one(light: Sequence[Path], exposure: float) -> list[str]:
    """Return what is to be said of floating-point pictures, of which some in even steps are looked at."""
    some = {light[place] for place in np.linspace(0, len(light) - 1, LOOKED_AT).round().astype(int)} if light else set()
    most = max((plates.brightest(file, exposure) for file in some), default=0.0)
    if most <= 1.0:
        return []
    return [f"Light above 1 is clipped (up to {most:.3g} was seen): --exposure {exposure - _stops(most):g} keeps it"]


def _stops(value: float) -> int:
    stops = 1
    while 2.0**stops < value:
        stops += 1
    return stops


# Movies


def _only_movie(movies: Sequence[Path], root: Path) -> Path:
    if len(movies) == 1:
        return movies[0]
    listed = ", ".join(movie.name for movie in movies[:4])
    raise UserError(f"{root} holds {len(movies)} movies: {listed}", do="Name one: --data MOVIE --cameras FILE")


def _of_movie(movie: Path, path: Path, given: Given) -> Footage:
    from ganvas.io.video.reader import read_header

    header = read_header(movie)
    if header.is_variable_rate:
        why = "Its frames are not evenly spaced in time, so numbers of frames do not say which is which"
        do = f"Write it again at a constant rate: ffmpeg -i {movie.name} -fps_mode cfr -r {header.fps} constant.mov"
        raise UserError(f"{movie} has a variable frame rate", why, do)
    size = given.size_px or (header.width, header.height)
    solve = camera_files.read(path, replace(given, size_px=size))
    count, frames = header.frames or 0, [camera.frame for camera in solve.cameras]
    first, notes = given.first_frame, list(solve.notes)
    if first is None:
        if max(frames) - min(frames) + 1 != count:
            why = f"It has {count} frames, and the cameras are of frames {min(frames)} to {max(frames)}"
            raise UserError(f"Which frame {movie.name} begins with is not known", why, "Give it: --first-frame 1001")
        first = min(frames)
        notes.append(f"{movie.name} is taken to begin with frame {first} (--first-frame says otherwise)")
    if header.tags.transfer in CURVES:
        held = CURVES[header.tags.transfer]
        notes.append(
            f"{movie.name} holds {held}: its values are taken as they are, so what is generated holds that, too"
        )
    if header.is_interlaced:
        notes.append(f"{movie.name} is interlaced: its frames are two moments in one. Deinterlace it first")
    views = [
        View(camera, movie, Plate(movie_frame=camera.frame - first, stmap=given.stmap))
        for camera in solve.cameras
        if 0 <= camera.frame - first < count
    ]
    lost = tuple(f"frame {frame}" for frame in frames if not 0 <= frame - first < count)
    used = {view.plate.movie_frame for view in views}
    idle = tuple(f"frame {first + place}" for place in range(count) if place not in used)
    if not views:
        why = f"It holds frames {first} to {first + count - 1}, the cameras are of {min(frames)} to {max(frames)}"
        raise UserError(f"No camera of {path} has a frame of {movie.name}", why, "Give another --first-frame")
    for view in views[:1]:
        if not plates.fits(view.camera, (header.width, header.height)):
            why = f"Its camera is of {view.camera.size_px[0]} x {view.camera.size_px[1]} px, another shape"
            raise UserError(f"{movie} is {header.width} x {header.height} px", why, "Give the movie that was solved")
    for names, what in ((lost, "cameras have no picture"), (idle, "pictures have no camera")):
        if names:
            notes.append(f"{len(names)} {what}: {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}")
    return Footage(tuple(views), tuple(notes), lost, idle)
