"""Evaluates the cameras of an FBX file by the library ufbx and prints them as JSON; run as a process of its own.

The library's Python side frees memory that is still in use (version 0.0.5), which ends a process. So nothing that it
returned is let go of here, and what ends is not the user's program.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

MOST_FRAMES = 100_000


def cameras_of(path: str, asked: str) -> dict[str, Any]:
    """Return frame rate, names of cameras and, of the one that is asked for, what it is at each frame."""
    import ufbx

    axis = ufbx.CoordinateAxis
    axes = ufbx.CoordinateAxes(axis.POSITIVE_X, axis.POSITIVE_Y, axis.POSITIVE_Z)
    scene = ufbx.load_file(
        path, target_axes=axes, target_camera_axes=axes, target_unit_meters=1.0, ignore_geometry=True
    )  # fmt: skip
    anim, fps = scene.anim, float(scene.settings.frames_per_second) or 24.0
    nodes = list(scene.nodes)
    kept: list[Any] = [scene, anim, nodes]
    places = [place for place, node in enumerate(nodes) if node.camera]
    names = [nodes[place].name for place in places]
    chosen = [place for place in places if nodes[place].name == asked] if asked else places
    first, last = math.ceil(anim.time_begin * fps - 1e-3), math.floor(anim.time_end * fps + 1e-3)
    found: dict[str, Any] = {"fps": fps, "names": names, "chosen": len(chosen), "frames": []}
    if len(chosen) != 1 or last - first > MOST_FRAMES:
        return found | {"span": [first, last]}
    for frame in range(first, max(first, last) + 1):
        evaluated = ufbx.evaluate_scene(scene, anim, frame / fps)
        everything = list(evaluated.nodes)
        node: Any = everything[chosen[0]]
        camera, matrix = node.camera, node.node_to_world
        props, film, size = camera.props, camera.film_size_inch, camera.resolution
        columns = [matrix.c0, matrix.c1, matrix.c2, matrix.c3]
        kept += [evaluated, everything, node, camera, matrix, props, film, size, columns]
        found["frames"].append({
            "frame": frame, "matrix": [[getattr(column, letter) for column in columns] for letter in "xyz"],
            "focal_mm": camera.focal_length_mm, "film_inch": [film.x, film.y], "squeeze": camera.squeeze_ratio,
            "size_px": [size.x, size.y] if camera.resolution_is_pixels else None, "fit": int(camera.gate_fit),
            "orthographic": int(camera.projection_mode) != 0,
            "offset_inch": [ufbx.find_real(props, f"FilmOffset{axis}", 0.0) for axis in "XY"],
        })  # fmt: skip
    return found


if __name__ == "__main__":
    try:
        told = cameras_of(sys.argv[1], sys.argv[2])
    except Exception as problem:
        # The library raises a plain exception of its own for every kind of damage.
        told = {"error": str(problem).strip() or type(problem).__name__}
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)
