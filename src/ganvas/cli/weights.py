"""The verbs `inspect`, `convert`, `pack` and `blend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from ganvas.cli import DONE, USER_ERROR
from ganvas.cli.console import print_facts, print_json
from ganvas.errors import UserError

if TYPE_CHECKING:
    from ganvas.io.cameras.cameras import Given

MOSAIC_PX = 64
"""Side of the pictures of a mosaic, unless the set has smaller ones."""


def inspect(
    path: Positional[str],
    num_labels: int = 0,
    ignore: tuple[int, ...] = (255,),
    write_legend: bool = False,
    mosaic: Path | None = None,
    plan: Path | None = None,
    cameras: str = "",
    rotation_order: str = "",
    film_back: str = "",
    focal: float | None = None,
    up: Literal["", "y", "z", "-y"] = "",
    metres_per_unit: float | None = None,
    camera_name: str = "",
    first_frame: int | None = None,
    size: str = "",
    json: bool = False,
) -> int:
    """Say what a weight file, a run or a data set is, and what is wrong with it.

    Data sets are folders of pictures, folders by class, label maps, and footage with solved cameras, or a camera file.

    Args:
        path: weight file of ours or another project, run folder, or data set (label maps also as
            labels=DIR,picture=DIR,instances=DIR).
        num_labels: of a data set: labels that it is to be used with; 0 takes those of its legend.
        ignore: of a data set: ids that stand for no class.
        write_legend: of a data set whose label maps are in colours: write a legend.json with a class for each colour.
        mosaic: of a data set with classes: write pictures of each class into this file.
        plan: of footage with cameras: write the cameras as seen from above into this SVG file.
        cameras: of footage: its camera file, where that is not found.
        rotation_order: of a .chan file: ZXY, XYZ ... (the first axis turned about first).
        film_back: of cameras: width and height in millimetres, where their file does not say it: 36x24.
        focal: of cameras: focal length in millimetres, where their file does not say it.
        up: of cameras: up axis of their world, where their file does not say it.
        metres_per_unit: of cameras: their unit, where their file does not say it.
        camera_name: of cameras: which, where a scene holds several.
        first_frame: of a movie with cameras: the number of its first frame.
        size: of a camera file alone: size of its pictures in pixels, where it does not say it: 1920x1080.
        json: print JSON.
    """
    from ganvas.io import runs
    from ganvas.io.weights import files as weights

    if "=" in path and not Path(path).exists():
        return _inspect_labels(path, num_labels, ignore, write_legend, json)
    told = _told(film_back, rotation_order, focal, up, metres_per_unit, camera_name, first_frame, size)
    if _is_camera_file(Path(path)):
        return _inspect_cameras(Path(path), cameras, told, plan, json)
    if Path(path).is_dir() and not runs.is_run(path):
        from ganvas.data.label_layouts import is_data_set

        if plan or cameras:
            return _inspect_cameras(Path(path), cameras, told, plan, json)
        if write_legend or is_data_set(path):
            return _inspect_labels(path, num_labels, ignore, write_legend, json)
        if _has_cameras(Path(path)):
            return _inspect_cameras(Path(path), cameras, told, plan, json)
        return _inspect_pictures(Path(path), mosaic, json)
    if Path(path).suffix.lower() == ".zip" and Path(path).is_file():
        return _inspect_pictures(Path(path), mosaic, json)
    (print_json if json else print_facts)(weights.describe(_resolved(path)))
    return DONE


def _resolved(name: str | Path) -> Path:
    """Return the file that a name means: that of a model that `ganvas models` lists, or its own."""
    if Path(name).exists():
        return Path(name)
    from ganvas.inference.open import resolve

    return resolve(name)


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

    return is_movie(path) or (path.is_file() and path.suffix.lower() in SUFFIXES and path.suffix.lower() != ".bin")


def _told(
    film_back: str,
    rotation_order: str,
    focal: float | None,
    up: Literal["", "y", "z", "-y"],
    metres_per_unit: float | None,
    camera_name: str,
    first_frame: int | None,
    size: str,
) -> Given:
    from ganvas.io.cameras.cameras import Given

    film, pixels = _pair(film_back, "--film-back", "36x24"), _pair(size, "--size", "1920x1080")
    return Given(
        film_back_mm=film, rotation_order=rotation_order, focal_mm=focal, up=up, metres_per_unit=metres_per_unit,
        camera=camera_name, first_frame=first_frame, size_px=(round(pixels[0]), round(pixels[1])) if pixels else None,
    )  # fmt: skip


def _pair(text: str, option: str, example: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        width, height = map(float, text.lower().split("x"))
    except ValueError as error:
        raise UserError(f"{option} is {text!r}", do=f"Give width and height: {example}") from error
    return width, height


def _inspect_cameras(folder: Path, cameras: str, told: Given, plan: Path | None, json: bool) -> int:
    from ganvas.data.camera_checks import check_folder
    from ganvas.io import runs

    report = check_folder(folder, cameras, told)
    if plan:
        if plan.exists():
            raise UserError(f"{plan} exists already", do="Choose another name")
        runs.write_atomically(plan, report.plan.encode())
    if json:
        findings = [str(finding) for finding in report.findings]
        print_json({"cameras": len(report.cameras), "notes": list(report.notes), "findings": findings})
    else:
        print("\n".join([*report.lines(), *([] if report.findings else ["Nothing is wrong."])]))
    return USER_ERROR if report.findings else DONE


def _inspect_pictures(path: Path, mosaic: Path | None, json: bool) -> int:
    from ganvas.data.inspect_pictures import examine

    result = examine(path)
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


def _inspect_labels(inputs: str, num_labels: int, ignore: tuple[int, ...], write_legend: bool, json: bool) -> int:
    from ganvas.data import inspect as doctor

    if write_legend:
        print(doctor.write_legend(inputs))
        return DONE
    return _tell(doctor.examine(inputs, num_labels, ignore), json)


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


def convert(
    source: Positional[Path],
    target: Positional[Path],
    layout: Literal["ganvas", "basicsr", "xinntao", "old"] = "ganvas",
    num_labels: int = 0,
    no_boundaries: FlagCreatePairsOff[bool] = False,
    overwrite: bool = False,
) -> int:
    """Turn another project's checkpoint into ours, or ours into theirs.

    Args:
        source: a weight file that `ganvas inspect` recognises, or a run.
        target: the file to write: .safetensors for ours, .pth for theirs.
        layout: ours, or that of BasicSR and Real-ESRGAN, of ESRGAN, or of ESRGAN before June 2019.
        num_labels: of a pix2pixHD generator: the classes that it was trained on, where its channels do not tell.
        no_boundaries: of a pix2pixHD generator: it was trained without instance maps.
        overwrite: replace an existing file.
    """
    from ganvas.io.weights import files as weights

    source, card = _resolved(source), None
    if num_labels or no_boundaries:
        from ganvas.io.weights.foreign_pix2pixhd import assume

        card = assume(weights.read_card(source), num_labels, no_boundaries)
    print(weights.convert(source, target, layout, overwrite, card))
    return DONE


def pack(run: Positional[Path], target: Positional[Path], best: bool = False, overwrite: bool = False) -> int:
    """Make one weight file, with its card, of a run.

    Args:
        run: the run's folder.
        target: the .safetensors file to write.
        best: take the checkpoint that scored best instead of the newest.
        overwrite: replace an existing file.
    """
    from ganvas.io import runs
    from ganvas.io.weights import files as weights

    if not runs.is_run(run):
        raise UserError(f"{run} is no run", do="Give the folder that `ganvas train --out` made")
    packed = weights.read_run(run, best=best)
    print(weights.save(target, packed.tensors, packed.card, packed.attachments, overwrite))
    return DONE


def blend(first: Positional[str], second: Positional[str], alpha: float, out: Path, overwrite: bool = False) -> int:
    """Interpolate between two models of one network: (1 - alpha) first + alpha second.

    Args:
        first: name or file of the model at alpha 0, usually the one trained on pixels.
        second: name or file of the model at alpha 1, usually the GAN that was trained from it.
        alpha: 0 to 1.
        out: the .safetensors file to write.
        overwrite: replace an existing file.
    """
    from ganvas.inference.open import resolve
    from ganvas.io.weights import files as weights

    mixed = weights.blend(weights.read(resolve(first)), weights.read(resolve(second)), alpha)
    print(weights.save(out, mixed.tensors, mixed.card, mixed.attachments, overwrite))
    return DONE
