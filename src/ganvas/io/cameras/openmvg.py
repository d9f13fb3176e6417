"""OpenMVG's sfm_data.json: views, intrinsics and extrinsics (rotation from the world, centre)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganvas.errors import UserError
from ganvas.io.cameras.cameras import Given, Solve
from ganvas.io.cameras.kinds import load_json
from ganvas.io.cameras.lens import Lens
from ganvas.io.cameras.scanned import Sensor, Shot, cameras_of, number_of, placed, refused_model

MODELS = ("pinhole", "pinhole_radial_k1", "pinhole_radial_k3", "pinhole_brown_t2", "fisheye")


def read(path: Path, given: Given) -> Solve:
    """Read the views that have a pose.

    Raises:
        UserError: the file is damaged or a lens model is not supported.
    """
    told = load_json(path)
    shots, lost = [], 0
    try:
        sensors = {one["key"]: _sensor(one["value"], path) for one in told["intrinsics"]}
        poses = {one["key"]: one["value"] for one in told["extrinsics"]}
        for one in told["views"]:
            view = _inner(one["value"])
            pose, sensor = poses.get(view["id_pose"]), sensors.get(view["id_intrinsic"])
            if pose is None or sensor is None:
                lost += 1
                continue
            name = "/".join(part for part in (str(view.get("local_path", "")).strip("/"), view["filename"]) if part)
            turn = [[row[column] for row in pose["rotation"]] for column in range(3)]
            shots.append(Shot(name, placed(turn, pose["center"]), sensor))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} is no sfm_data.json of OpenMVG's", f"{type(error).__name__}: {error}") from error
    notes = (f"{lost} views have no pose and are left out",) if lost else ()
    roots = [Path(str(told.get("root_path", ""))), path.parent]
    return Solve(cameras_of(shots, given), notes, roots=tuple(root for root in roots if root.is_dir()), as_stored=True)


def _inner(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the object within the wrappers of the serialiser."""
    data = value["ptr_wrapper"]["data"]
    base = next((data[key] for key in ("value0", "View", "base") if isinstance(data.get(key), dict)), {})
    return {**base, **data}


def _sensor(value: Mapping[str, Any], path: Path) -> Sensor:
    told = _inner(value)
    model = value.get("polymorphic_name", "")
    # The serialiser names a type once; later ones are told by what they hold.
    distortion = next((key for key in told if key.startswith("disto_") or key == "fisheye"), "")
    if (model and model not in MODELS) or "focal_length" not in told:
        raise refused_model(path, model or "spherical", MODELS)
    k = [float(one) for one in told.get(distortion, [])]
    lens = {
        "disto_k1": lambda: Lens(radial=tuple(k)), "disto_k3": lambda: Lens(radial=tuple(k)),
        "disto_t2": lambda: Lens(radial=tuple(k[:3]), tangential=(k[3], k[4])),
        "fisheye": lambda: Lens("fisheye", tuple(k)), "": lambda: None,
    }.get(distortion)  # fmt: skip
    if lens is None:
        raise refused_model(path, distortion, MODELS)
    focal = number_of(told, "focal_length", str(path))
    centre = told["principal_point"]
    size = (int(told["width"]), int(told["height"]))
    return Sensor(size, (focal, focal), (float(centre[0]), float(centre[1])), lens())
