"""Agisoft Metashape's camera export (File > Export > Export Cameras, Agisoft XML)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, refused_model

MODELS = ("frame", "fisheye")
FAR = 1e5
"""Components that lie farther from the origin than this are placed on the globe."""


def read(path: Path, given: Given) -> Solve:
    """Read the aligned cameras of the chunk.

    Raises:
        UserError: the file is damaged, holds several chunks, or a lens model is not supported.
    """
    root = _root(path)
    chunks = [root] if root.tag == "chunk" else [one for one in root.iter("chunk") if one.find("cameras") is not None]
    if len(chunks) != 1:
        raise UserError(f"{path} holds {len(chunks)} chunks with cameras", do="Export the cameras of one chunk")
    chunk = chunks[0]
    try:
        sensors = {one.get("id", ""): sensor for one in chunk.iter("sensor") if (sensor := _sensor(one, path))}
        components = {one.get("id", ""): _transform(one) for one in chunk.iter("component")}
        shots, lost = [], 0
        georeferenced = False
        for one in chunk.iter("camera"):
            told = one.find("transform")
            if told is None or one.get("sensor_id", "") not in sensors:
                lost += 1
                continue
            matrix = np.reshape([float(part) for part in (told.text or "").split()], (4, 4))
            component = components.get(one.get("component_id", ""), np.eye(4))
            if np.abs(component[:3, 3]).max() > FAR:
                # On the globe only the scale says something here: up is another direction at every place.
                georeferenced, component = True, np.diag([*[np.cbrt(np.linalg.det(component[:3, :3]))] * 3, 1.0])
            shots.append(Shot(one.get("label", ""), component @ matrix, sensors[one.get("sensor_id", "")]))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} has a value that is no number", str(error)) from error
    notes = [f"{lost} cameras are not aligned and are left out"] if lost else []
    if georeferenced:
        notes.append("The chunk is georeferenced: its scale is kept, its axes are its own (--up)")
    return Solve(cameras_of(shots, given), tuple(notes), as_stored=True)


def _root(path: Path) -> ElementTree.Element:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise UserError(f"{path} cannot be read", "It defines entities, which no camera export does")
        return ElementTree.fromstring(text)
    except (OSError, UnicodeDecodeError, ElementTree.ParseError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error


def _transform(component: ElementTree.Element) -> np.ndarray:
    """Return the similarity that places a component in the world."""
    matrix = np.eye(4)
    told = component.find("transform")
    if told is None:
        return matrix
    rotation, translation, scale = (told.find(name) for name in ("rotation", "translation", "scale"))
    if rotation is not None and rotation.text:
        matrix[:3, :3] = np.reshape([float(part) for part in rotation.text.split()], (3, 3))
    if scale is not None and scale.text:
        matrix[:3, :3] *= float(scale.text)
    if translation is not None and translation.text:
        matrix[:3, 3] = [float(part) for part in translation.text.split()]
    return matrix


def _sensor(told: ElementTree.Element, path: Path) -> Sensor | None:
    calibrations = told.findall("calibration")
    best = next((one for one in calibrations if one.get("class") == "adjusted"), None)
    found = best if best is not None else next(iter(calibrations), None)
    if found is None:
        return None
    model = found.get("type", told.get("type", "frame"))
    if model not in MODELS:
        raise refused_model(path, model, MODELS)
    size = found.find("resolution")
    size = told.find("resolution") if size is None else size
    if size is None:
        return None
    width, height = int(size.get("width", "0")), int(size.get("height", "0"))
    value = {one.tag: float(one.text) for one in found if one.text and one.tag != "resolution" and _is_number(one.text)}
    if "f" in value:
        focal, centre = (value["f"], value["f"]), (width / 2 + value.get("cx", 0), height / 2 + value.get("cy", 0))
    else:  # before version 1.3
        focal = (value.get("fx", 0.0), value.get("fy", value.get("fx", 0.0)))
        centre = (value.get("cx", width / 2), value.get("cy", height / 2))
    k1, k2, k3, k4 = (value.get(f"k{place}", 0.0) for place in range(1, 5))
    # Its p1 belongs to x, OpenCV's to y.
    lens = Lens(
        "fisheye" if model == "fisheye" else "brown", (k1, k2, k3, k4),
        tangential=(value.get("p2", 0.0), value.get("p1", 0.0)),
        affine=(value.get("b1", 0.0) / (focal[0] or 1), value.get("b2", 0.0) / (focal[0] or 1)),
    )  # fmt: skip
    return Sensor((width, height), focal, centre, lens)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
