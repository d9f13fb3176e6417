"""What annotation tools write, as shapes: labelme and COCO (JSON), CVAT and Pascal VOC (XML), CelebAMask-HQ's parts.

Only what covers an area can become a label map. Points, lines and key points are counted as lost, with their kind.
"""

from __future__ import annotations

import base64
import binascii
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ganvas.errors import UserError, need
from ganvas.io.pictures import images
from ganvas.io.runs import read_json

CELEB_PARTS = ("skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear", "mouth", "u_lip",
               "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth")  # fmt: skip
"""CelebAMask-HQ's parts in the order in which its makers lay them over one another."""


@dataclass
class Shape:
    """An area of one class."""

    label: str
    area: np.ndarray
    """(H, W) bool."""
    group: str = ""
    """Shapes of one class and group are one instance; empty: an instance by itself."""


@dataclass
class Annotated:
    """The shapes of one picture, the last on top."""

    name: str
    """Of the picture, without its suffix."""
    size: tuple[int, int]
    """(height, width)"""
    shapes: list[Shape] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)
    """Kind -> how many of it have no area."""


def read_annotations(path: Path) -> Iterator[Annotated | UserError]:
    """Yield what is annotated of each picture in a file or folder, or what is wrong with a file of it.

    Raises:
        UserError: nothing there is known as annotations.
    """
    celebs = next((p for p in (path, path / "CelebAMask-HQ-mask-anno") if p.name == "CelebAMask-HQ-mask-anno"
                   and p.is_dir()), None)  # fmt: skip
    if celebs is not None:
        yield from _celebs(celebs)
        return
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in (".json", ".xml"))
    if not files:
        raise UserError(f"{path} holds no annotations", "Looked for were JSON and XML files", "Name the file or folder")
    for file in files:
        try:
            yield from (_json(file) if file.suffix.lower() == ".json" else _xml(file))
        except UserError as error:
            yield error
        except (KeyError, TypeError, ValueError, IndexError, binascii.Error) as error:
            yield UserError(f"{file} cannot be understood", f"{type(error).__name__}: {error}")


# JSON


def _json(file: Path) -> Iterator[Annotated]:
    told = read_json(file)
    if "shapes" in told:
        yield _labelme(file, told)
    elif "annotations" in told and "images" in told:
        yield from _coco(file, told)
    else:
        raise UserError(f"{file} holds no annotations", "It is neither labelme's nor COCO's")


def _labelme(file: Path, told: dict[str, Any]) -> Annotated:
    size = int(told["imageHeight"]), int(told["imageWidth"])
    found = Annotated(Path(str(told.get("imagePath") or file.name).replace("\\", "/")).stem, size)
    for shape in told["shapes"]:
        kind, points = shape.get("shape_type") or "polygon", np.asarray(shape["points"], np.float64)
        group = "" if shape.get("group_id") is None else str(shape["group_id"])
        if kind == "polygon":
            area = polygons([points.ravel()], size)
        elif kind == "rectangle":
            area = polygons([_corners(*points.min(0), *points.max(0))], size)
        elif kind == "circle":
            angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
            radius = np.hypot(*(points[1] - points[0]))
            area = polygons([(points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], 1)).ravel()], size)
        elif kind == "mask":
            area = _pasted(_decoded(shape["mask"]), points[0], size)
        else:
            found.lost[kind] += 1
            continue
        found.shapes.append(Shape(str(shape["label"]), area, group))
    return found


def _decoded(text: str) -> np.ndarray:
    with tempfile.TemporaryDirectory(prefix="ganvas-") as folder:
        file = Path(folder) / "mask.png"
        file.write_bytes(base64.b64decode(text))
        return images.read(file)[0][..., 0] > 0


def _pasted(mask: np.ndarray, corner: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    area = np.zeros(size, bool)
    left, top = (round(float(value)) for value in corner)
    part = area[max(0, top) : top + mask.shape[0], max(0, left) : left + mask.shape[1]]
    part |= mask[max(0, -top) :, max(0, -left) :][: part.shape[0], : part.shape[1]]
    return area


def _coco(file: Path, told: dict[str, Any]) -> Iterator[Annotated]:
    if any("segments_info" in each for each in told["annotations"][:1]):
        what = f"{file} is of COCO's panoptic kind"
        raise UserError(what, "Its areas are in PNGs", "Give the file of instances or stuff")
    coco: Any = need("pycocotools.mask", "labels")
    names = {each["id"]: str(each["name"]) for each in told["categories"]}
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for each in told["annotations"]:
        by_image.setdefault(each["image_id"], []).append(each)
    for image in told["images"]:
        size = int(image["height"]), int(image["width"])
        found = Annotated(Path(str(image["file_name"])).with_suffix("").as_posix(), size)
        for each in by_image.get(image["id"], ()):
            area, segmentation = None, each.get("segmentation")
            if isinstance(segmentation, dict):
                run = segmentation
                if isinstance(run["counts"], list):
                    run = coco.frPyObjects(run, *size)
                area = coco.decode(run).astype(bool)
            elif segmentation:
                area = polygons(segmentation, size)
            if area is None or area.shape != size:
                found.lost["boxes or key points without an area"] += 1
                continue
            # Crowds come first: what is told apart lies over them.
            place = 0 if each.get("iscrowd") else len(found.shapes)
            found.shapes.insert(place, Shape(names[each["category_id"]], area))
        yield found


# XML


def _xml(file: Path) -> Iterator[Annotated]:
    try:
        text = file.read_bytes()
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise UserError(f"{file} is not read", "It declares entities, which annotations do not need")
        root = ElementTree.fromstring(text)
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"{file} is no XML file that can be read", str(error)) from error
    if root.tag == "annotation":
        yield _voc(file, root)
    elif root.tag == "annotations":
        if root.find("track") is not None:
            raise UserError(f"{file} holds tracks of a video", do="Export it as CVAT for images")
        yield from map(_cvat, root.iter("image"))
    else:
        raise UserError(f"{file} holds no annotations", f"It is neither CVAT's nor Pascal VOC's, but <{root.tag}>")


def _voc(file: Path, root: ElementTree.Element) -> Annotated:
    size = int(root.findtext("size/height", "")), int(root.findtext("size/width", ""))
    found = Annotated(Path(root.findtext("filename") or file.name).stem, size)
    for each in root.iter("object"):
        box = each.find("bndbox")
        if box is None:
            found.lost["objects without a box"] += 1
            continue
        # Pixels are counted from 1, both ends included.
        left, top, right, bottom = (float(box.findtext(key, "")) for key in ("xmin", "ymin", "xmax", "ymax"))
        area = np.zeros(size, bool)
        area[max(0, round(top) - 1) : round(bottom), max(0, round(left) - 1) : round(right)] = True
        found.shapes.append(Shape(each.findtext("name", ""), area))
    return found


def _cvat(image: ElementTree.Element) -> Annotated:
    size = int(image.attrib["height"]), int(image.attrib["width"])
    found = Annotated(Path(image.attrib["name"]).with_suffix("").as_posix(), size)
    for each in sorted(image, key=lambda element: int(element.get("z_order", 0))):
        told = each.attrib
        if each.tag == "polygon":
            area = polygons([[float(value) for point in told["points"].split(";") for value in point.split(",")]], size)
        elif each.tag == "box":
            area = polygons([_corners(*(float(told[key]) for key in ("xtl", "ytl", "xbr", "ybr")))], size)
        elif each.tag == "mask":
            area = _cvat_mask(told, size)
        else:
            found.lost[each.tag] += each.tag != "tag"
            continue
        found.shapes.append(Shape(told["label"], area, told.get("group_id", "")))
    return found


def _cvat_mask(told: dict[str, str], size: tuple[int, int]) -> np.ndarray:
    # Runs along the rows of a box, beginning with what is outside.
    runs = [int(number) for number in told["rle"].split(",")]
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    left, top, width, height = (round(float(told[key])) for key in ("left", "top", "width", "height"))
    return _pasted(flat.reshape(height, width), (left, top), size)


# Masks


def _celebs(folder: Path) -> Iterator[Annotated | UserError]:
    parts: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.rglob("*.png")):
        number, _, part = file.stem.partition("_")
        parts.setdefault(number, {})[part] = file
    for number, files in parts.items():
        try:
            masks = {part: images.read(files[part])[0][..., 0] > 127 for part in CELEB_PARTS if part in files}
            found = Annotated(str(int(number)), next(iter(masks.values())).shape)
            found.shapes = [Shape(part, area, part) for part, area in masks.items()]
            found.lost.update(part for part in files if part not in CELEB_PARTS)
            yield found
        except (UserError, ValueError, StopIteration) as error:
            yield UserError(f"The masks of {number} in {folder} cannot be used", str(error))


def polygons(rings: Sequence[Sequence[float] | np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """Return the area of polygons x, y, x, y ..., as COCO's own tools draw it: (H, W) bool."""
    coco: Any = need("pycocotools.mask", "labels")
    whole = [np.asarray(ring, np.float64).ravel().tolist() for ring in rings]
    whole = [ring for ring in whole if len(ring) >= 6]
    if not whole:
        return np.zeros(size, bool)
    return coco.decode(coco.merge(coco.frPyObjects(whole, *size))).astype(bool)


def _corners(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]
