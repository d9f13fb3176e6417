"""The verb `inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from ganvas.cli import DONE, USER_ERROR
from ganvas.cli.console import Bar, print_columns, print_facts, print_json
from ganvas.cli.picture_facts import is_picture, is_video, picture_facts, video_facts
from ganvas.cli.weights import resolved
from ganvas.errors import UserError
from ganvas.inference.options import Millimetres, Size

if TYPE_CHECKING:
    from ganvas.data.map_regions import MapRegions
    from ganvas.io.cameras.cameras import Given

MOSAIC_PX = 64
"""Side of the pictures of a mosaic, unless the set has smaller ones."""


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What is looked at, and what its files do not say."""

    path: Positional[str]
    """Model by name, weight file of ours or another project, run folder, picture, label or instance map, video, or data
    set (label maps also as labels=DIR,picture=DIR,instances=DIR)."""
    num_labels: int = 0
    """Of a data set: labels that it is to be used with; 0 takes those of its legend."""
    ignore: tuple[int, ...] = (255,)
    """Of a data set: ids that stand for no class."""
    write_legend: bool = False
    """Of a data set whose label maps are in colours: write a legend.json with a class for each colour."""
    mosaic: Path | None = None
    """Of a data set with classes: write pictures of each class into this file."""
    plan: Path | None = None
    """Of footage with cameras: write the cameras as seen from above into this SVG file."""
    cameras: str = ""
    """Of footage: its camera file, where that is not found."""
    rotation_order: str = ""
    """Of a .chan file: ZXY, XYZ ... (the first axis turned about first)."""
    film_back: Millimetres | None = None
    """Of cameras: width and height in millimetres, where their file does not say it: 36x24."""
    focal: float | None = None
    """Of cameras: focal length in millimetres, where their file does not say it."""
    up: Literal["", "y", "z", "-y"] = ""
    """Of cameras: up axis of their world, where their file does not say it."""
    metres_per_unit: float | None = None
    """Of cameras: their unit, where their file does not say it."""
    camera_name: str = ""
    """Of cameras: which, where a scene holds several."""
    first_frame: int | None = None
    """Of a movie with cameras: the number of its first frame."""
    size: Size | None = None
    """Of a camera file alone: size of its pictures in pixels, where it does not say it: 1920x1080."""
    json: bool = False
    """Print JSON."""

    @property
    def given(self) -> Given:
        """What the user says of the camera file."""
        from ganvas.io.cameras.cameras import Given

        return Given(
            film_back_mm=self.film_back, rotation_order=self.rotation_order, focal_mm=self.focal, up=self.up,
            metres_per_unit=self.metres_per_unit, camera=self.camera_name, first_frame=self.first_frame,
            size_px=self.size,
        )  # fmt: skip


def inspect(asked: Inspected) -> int:
    """Say what a weight file, a run, a picture or a data set is, and what is wrong with it.

    Data sets are folders of pictures, folders by class, label maps, and footage with solved cameras, or a camera file.
    """
    from ganvas.io import runs
    from ganvas.io.weights import files as weights

    path = Path(asked.path)
    if "=" in asked.path and not path.exists():
        return _inspect_labels(asked.path, asked)
    if _is_camera_file(path):
        return _inspect_cameras(path, asked)
    if path.is_dir() and not runs.is_run(path):
        from ganvas.data.label_layouts import is_data_set

        if asked.plan or asked.cameras:
            return _inspect_cameras(path, asked)
        if asked.write_legend or is_data_set(asked.path):
            return _inspect_labels(asked.path, asked)
        if _has_cameras(path):
            return _inspect_cameras(path, asked)
        from ganvas.data import inspect_sequences

        if (sequences := inspect_sequences.examine(path)) is not None:
            return _tell(sequences, asked.json)
        return _inspect_pictures(path, asked.mosaic, asked.json)
    if is_picture(path) or is_video(path):
        return _inspect_file(path, asked)
    if path.suffix.lower() in (".zip", ".tar") and path.is_file():
        from ganvas.data.label_layouts import is_data_set

        if asked.write_legend or is_data_set(path):
            return _inspect_labels(asked.path, asked)
        return _inspect_pictures(path, asked.mosaic, asked.json)
    facts = weights.describe(resolved(asked.path))
    if asked.json:
        print_json(facts)
    else:
        print_facts(_with_training_frames(facts))
    return DONE


def _with_training_frames(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what is told of a model, with the frames of its training cameras in place of the cameras' numbers."""
    from ganvas.inference.cameras.stops import numbers_of, ranges

    extra = dict(facts.get("extra", {}))
    cameras = extra.pop("cameras", None)
    if not cameras:
        return facts
    extra.pop("frames", None)
    numbers = numbers_of(facts["extra"])
    named = f"frames {ranges(numbers)}" if numbers else f"0 to {len(cameras) - 1}, by place: they have no frame numbers"
    return {**facts, "extra": extra, "trained on": f"{len(cameras)} cameras, for --through: {named}"}


def _inspect_file(path: Path, asked: Inspected) -> int:
    from ganvas.data.map_regions import regions_of

    if is_picture(path) and (found := regions_of(path)) is not None:
        return _tell_regions(found, asked.json)
    facts = picture_facts(path) if is_picture(path) else video_facts(path)
    if asked.json:
        print_json({name.replace(" ", "_"): value for name, value in facts.items() if value != ""})
    else:
        print_facts(facts)
    return DONE


def _tell_regions(found: MapRegions, json: bool) -> int:
    """List the instances of a map, or the classes of a label map, and how one of them is given a style."""
    if json:
        rows = [{name: value for name, value in vars(one).items() if value not in (None, "")} for one in found.regions]
        print_json({"map": str(found.path), "size_px": list(found.size_px), "regions": rows})
        return DONE
    kind = "instance map" if found.has_instances else "label map"
    print(f"{found.path}: {kind}, {found.size_px[0]} x {found.size_px[1]}")
    names = [one.name or ("" if one.label is None else str(one.label)) for one in found.regions]
    rows = [
        (name, *([] if one.instance is None else [str(one.instance)]), str(one.pixels))
        for name, one in zip(names, found.regions)
    ]
    print_columns([("class", *(["instance"] if found.has_instances else []), "pixels"), *rows])
    things = [(name, one) for name, one in zip(names, found.regions) if name and one.instance not in (None, one.label)]
    if things:
        name, one = things[0]
        where = found.path.parent.parent
        print(f"One in a style of its own: ganvas generate MODEL --labels {where} --style '{name}@{one.instance}=3'")
    return DONE


def _has_cameras(folder: Path) -> bool:
    from ganvas.data.shots import find_cameras

    try:
        find_cameras(folder)
    except UserError:
        return False
    return True


def _is_camera_file(path: Path) -> bool:
    from ganvas.data.shots import is_movie
    from ganvas.io.cameras.kinds import SUFFIXES

    if is_movie(path):
        return _has_cameras(path)
    return path.is_file() and path.suffix.lower() in SUFFIXES and path.suffix.lower() != ".bin"


def _inspect_cameras(folder: Path, asked: Inspected) -> int:
    from ganvas.data.camera_checks import check_folder
    from ganvas.io import runs

    report = check_folder(folder, asked.cameras, asked.given)
    plan = asked.plan
    if plan:
        if plan.exists():
            raise UserError(f"{plan} exists already", do="Choose another name")
        runs.write_atomically(plan, report.plan.encode())
    if asked.json:
        findings = [str(finding) for finding in report.findings]
        print_json({"cameras": len(report.cameras), "notes": list(report.notes), "findings": findings})
    else:
        print("\n".join([*report.lines(), *([] if report.findings else ["Nothing is wrong."])]))
    return USER_ERROR if report.findings else DONE


def _inspect_pictures(path: Path, mosaic: Path | None, json: bool) -> int:
    from ganvas.data.inspect_pictures import examine

    with Bar(json) as bar:
        result = examine(path, lambda done, total: bar.move("pictures", done, total))
    if mosaic:
        _write_mosaic(path, mosaic, min([MOSAIC_PX, *result.facts["shorter_side_px"][:1]]))
    return _tell(result, json)


def _write_mosaic(path: Path, mosaic: Path, size_px: int) -> None:
    from ganvas.data import classes
    from ganvas.io.pictures import images

    try:
        source = classes.ClassPictures(path, size_px)
    except UserError as error:
        raise UserError(f"There is no mosaic of {path}", error.what, error.do) from error
    images.write(mosaic, classes.mosaic(source))


def _inspect_labels(inputs: str, asked: Inspected) -> int:
    from ganvas.data import inspect as doctor

    if asked.write_legend:
        print(doctor.write_legend(inputs))
        return DONE
    with Bar(asked.json) as bar:
        found = doctor.examine(
            inputs, asked.num_labels, asked.ignore, lambda done, total: bar.move("label maps", done, total)
        )
    return _tell(found, asked.json)


def _tell(result: Any, json: bool) -> int:
    """Print an examination, and return 0 where nothing is wrong."""
    from dataclasses import asdict

    if json:
        print_json({**result.facts, "findings": [asdict(finding) for finding in result.findings]})
    else:
        print_facts(result.facts)
        for line in result.lines():
            print(line)
        if not (result.findings or result.facts.get("problems")):
            print("Nothing is wrong.")
    return DONE if result.is_healthy else USER_ERROR
