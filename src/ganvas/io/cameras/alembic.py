"""Cameras of Alembic archives (extra `alembic`).

An archive says lenses in millimetres and film backs in centimetres, but not the unit of its world: centimetres, as Maya
and Houdini write, unless given (Blender writes metres). Its times are seconds.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.cameras.cameras import Camera, Given, Solve, plain_camera
from ganvas.io.cameras.geometry import into_metres, out_of_metres

UNIT_M = 0.01
FPS = 24.0
MOST_FRAMES = 1_000_000


def says(_path: Path) -> tuple[str, ...]:
    """Return which fields of `Given` these files say themselves."""
    return ("film_back_mm", "rotation_order")


def read(path: Path, given: Given) -> Solve:
    """Read the camera of an archive at each frame from its first to its last sample.

    Raises:
        UserError: the extra is missing, the archive cannot be opened, holds no or several cameras and none was named,
            or its film is changed in a way that is not evaluated.
    """
    core, geometry = need("alembic3d.Abc", "alembic"), need("alembic3d.AbcGeom", "alembic")
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        archive = core.IArchive(str(path))
        found = list(_cameras(archive.getTop(), [], geometry))
    except Exception as error:
        # The library raises a plain exception of its own for every kind of damage.
        raise UserError(f"{path} cannot be opened", str(error).strip().splitlines()[-1]) from error
    if given.camera:
        found = [one for one in found if given.camera in (one[0].getName(), one[0].getFullName(), one[1][-1].getName())]
    if len(found) != 1:
        names = ", ".join(one[0].getFullName() for one in found)
        what = f"{path} holds {'several cameras' if found else 'no camera'}"
        raise UserError(what, names, "Name one: --camera-name NAME" if found else "")
    camera, above = found[0]
    fps = given.fps or _rate(archive, [camera, *above])
    frames = _frames([camera, *above], fps)
    notes = [] if given.metres_per_unit else ["The archive does not say its unit: centimetres (--metres-per-unit 1)"]
    cameras = [_camera(core, camera, above, frame, fps, given) for frame in frames]
    return Solve(tuple(cameras), tuple(notes), fps=fps)


def _cameras(node: Any, above: list[Any], geometry: Any) -> Iterator[tuple[Any, list[Any]]]:
    """Yield each camera with the transforms above it, the outermost first."""
    for place in range(node.getNumChildren()):
        child = node.getChild(place)
        if geometry.ICamera.matches(child.getMetaData()):
            yield geometry.ICamera(node, child.getName()), above
        is_transform = geometry.IXform.matches(child.getMetaData())
        inner = [*above, geometry.IXform(node, child.getName())] if is_transform else above
        yield from _cameras(child, inner, geometry)


def _rate(archive: Any, nodes: Sequence[Any]) -> float:
    for item in archive.getTop().getMetaData().serialize().split(";"):
        name, _, value = item.partition("=")
        if name == "FramesPerTimeUnit" and float(value) > 0:
            return float(value)
    steps = [
        schema.getTimeSampling().getTimeSamplingType().getTimePerCycle()
        for schema in (node.getSchema() for node in nodes)
        if schema.getNumSamples() > 1 and schema.getTimeSampling().getTimeSamplingType().isUniform()
    ]
    return round(1 / min(steps), 3) if steps and 0 < min(steps) <= 1 else FPS


def _frames(nodes: Sequence[Any], fps: float) -> list[int]:
    times = []
    for schema in (node.getSchema() for node in nodes):
        count = schema.getNumSamples()
        if count > 1:
            sampling = schema.getTimeSampling()
            times += [sampling.getSampleTime(0) * fps, sampling.getSampleTime(count - 1) * fps]
    if not times:
        return [0]
    low, high = min(times), max(times)
    if high - low > MOST_FRAMES:
        raise UserError(f"A camera has samples from frame {low:g} to {high:g}", "These are too many frames")
    return list(range(math.ceil(low - 1e-3), math.floor(high + 1e-3) + 1)) or [round(low)]


def _camera(core: Any, camera: Any, above: Sequence[Any], frame: int, fps: float, given: Given) -> Camera:
    whole = np.eye(4)
    for node in above:
        local, inherits = _at(core, node.getSchema(), frame / fps, _matrix)
        whole = whole @ local if inherits else local
    lens, _ = _at(core, camera.getSchema(), frame / fps, _lens)
    focal, across, down, right, up, squeeze = lens[:6].tolist()
    if np.abs(lens[6:]).max() > 1e-9:
        raise UserError(f"The camera {camera.getFullName()} has overscan", "It is not evaluated", "Set it to 0")
    film = given.film_back_mm or (10 * across * squeeze, 10 * down)
    size = given.size_px or (1920, max(1, round(1920 * film[1] / film[0])))
    film = (film[0], film[0] * size[1] / size[0])
    matrix = into_metres(whole, given.metres_per_unit or UNIT_M, given.up)
    shift = (10 * right, 10 * up)
    return plain_camera(matrix, given.focal_mm or focal, film, size, frame, "", shift)


def _at(core: Any, schema: Any, time: float, take: Any) -> tuple[np.ndarray, bool]:
    """Return what a schema holds at a time; between samples a straight line."""
    count, sampling = schema.getNumSamples(), schema.getTimeSampling()
    if count <= 1:
        return take(schema.getValue(core.ISampleSelector(0.0)))
    times = [sampling.getSampleTime(index) for index in range(count)]
    low = min(max(bisect.bisect_right(times, time + 1e-6) - 1, 0), count - 2)
    first, inherits = take(schema.getValue(core.ISampleSelector(times[low])))
    second, _ = take(schema.getValue(core.ISampleSelector(times[low + 1])))
    share = min(1.0, max(0.0, (time - times[low]) / (times[low + 1] - times[low])))
    return first * (1 - share) + second * share, inherits


def _matrix(sample: Any) -> tuple[np.ndarray, bool]:
    rows = sample.getMatrix()
    return np.array([[rows[i][j] for j in range(4)] for i in range(4)]).T, bool(sample.getInheritsXforms())


def _lens(sample: Any) -> tuple[np.ndarray, bool]:
    if sample.getNumOps():
        raise UserError("A camera's film back is transformed", "That is not evaluated", "Export it without")
    return np.array([
        sample.getFocalLength(), sample.getHorizontalAperture(), sample.getVerticalAperture(),
        sample.getHorizontalFilmOffset(), sample.getVerticalFilmOffset(), sample.getLensSqueezeRatio(),
        sample.getOverScanLeft(), sample.getOverScanRight(), sample.getOverScanTop(), sample.getOverScanBottom(),
    ]), True  # fmt: skip


def check_writable(path: Path, frames: Sequence[int]) -> None:
    """Check that an archive can be written.

    Raises:
        UserError: the extra is missing, or the frames are not in a row.
    """
    need("alembic3d.Abc", "alembic")
    if frames and list(frames) != list(range(frames[0], frames[0] + len(frames))):
        raise UserError(f"{path} cannot be written", "Its frames are not in a row", "Write .usda or .ma")


def write(path: Path, cameras: Sequence[Camera], given: Given) -> list[str]:
    """Write an archive with one camera, a sample for each frame, and return what is lost."""
    core, geometry = need("alembic3d.Abc", "alembic"), need("alembic3d.AbcGeom", "alembic")
    abstract, imath = need("alembic3d.AbcCoreAbstract", "alembic"), need("imath", "alembic")
    fps, unit = given.fps or FPS, given.metres_per_unit or UNIT_M
    frames = [camera.frame for camera in cameras]
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    partial.unlink(missing_ok=True)
    archive = core.CreateArchiveWithInfo(str(partial), float(fps), "Ganvas", "camera")
    top = archive.getTop()
    sampling = archive.addTimeSampling(abstract.TimeSampling(1.0 / fps, frames[0] / fps))
    place = geometry.OXform(top, "shotCam", core.Argument(sampling))
    lens = geometry.OCamera(place, "shotCamShape", core.Argument(sampling))
    for camera in cameras:
        rows = out_of_metres(camera.matrix, unit, given.up).T
        transform, sample = geometry.XformSample(), geometry.CameraSample()
        transform.setMatrix(imath.M44d(*rows.ravel().tolist()))
        place.getSchema().set(transform)
        sample.setFocalLength(camera.focal_mm)
        sample.setHorizontalAperture(camera.film_back_mm[0] / 10)
        sample.setVerticalAperture(camera.film_back_mm[1] / 10)
        sample.setHorizontalFilmOffset(camera.shift_mm[0] / 10)
        sample.setVerticalFilmOffset(camera.shift_mm[1] / 10)
        lens.getSchema().set(sample)
    del lens, place, top, archive  # an archive is finished when nothing holds it
    partial.replace(path)
    told = f"An archive does not say its unit, which is {unit:g} m"
    return [told + (f", nor its up axis, which is {given.up}" if given.up not in ("", "y") else "")]
