"""Export the scene's camera from Blender as transforms.json, which Ganvas reads: every frame, lens and shift included.

    blender shot.blend --background --python blender_cameras.py -- transforms.json

Without a command line: open this file in its text editor and run it; transforms.json lands in the current folder.
"""

import json
import sys
from pathlib import Path


def lens(camera, width, height, aspect=1.0):
    """Return fl_x, fl_y, cx, cy in pixels and the film back in millimetres of a Blender camera's data.

    `aspect` is the height of a pixel over its width. Blender fits the sensor to the longer side unless told otherwise.
    """
    across, down = width, height * aspect
    vertical = camera.sensor_fit == "VERTICAL" or (camera.sensor_fit == "AUTO" and down > across)
    if vertical:
        sensor = camera.sensor_height if camera.sensor_fit == "VERTICAL" else camera.sensor_width
        film = (sensor * across / down, sensor)
    else:
        film = (camera.sensor_width, camera.sensor_width * down / across)
    # Shift is a share of the longer side (of the fitted one, where the fit is told), in both directions.
    unit = film[1] if vertical else film[0]
    return {
        "fl_x": camera.lens * width / film[0],
        "fl_y": camera.lens * height / film[1],
        "cx": width / 2 - camera.shift_x * unit * width / film[0],
        "cy": height / 2 + camera.shift_y * unit * height / film[1],
    }, film


def export(path):
    """Write the scene's camera at each of its frames."""
    import bpy

    scene, frames, film = bpy.context.scene, [], (36.0, 24.0)
    percent = scene.render.resolution_percentage / 100
    width, height = (round(side * percent) for side in (scene.render.resolution_x, scene.render.resolution_y))
    aspect = scene.render.pixel_aspect_y / scene.render.pixel_aspect_x
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        camera = scene.camera
        told, film = lens(camera.data, width, height, aspect)
        matrix = camera.matrix_world.normalized()
        frames.append({
            "file_path": f"frames/{frame:06d}.png", "frame": frame, "w": width, "h": height,
            "transform_matrix": [list(row) for row in matrix], **told,
        })  # fmt: skip
    # Blender's world has Z up; its cameras look down -Z with Y up, as ours do.
    ours = {"up": "z", "metres_per_unit": scene.unit_settings.scale_length, "film_back_mm": list(film)}
    Path(path).write_text(json.dumps({"w": width, "h": height, "ganvas": ours, "frames": frames}, indent=1))
    print(f"{len(frames)} cameras written to {path}")


if __name__ == "__main__":
    given = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    export(given[0] if given else "transforms.json")
