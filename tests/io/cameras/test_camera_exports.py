"""The export scripts for Blender and Maya, run with stand-ins for the two programs, and read back."""

import importlib.util
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from ganvas.io.cameras import cameras

EXAMPLES = Path(__file__).parents[3] / "examples"


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Matrix(list):
    def normalized(self):
        return self


def test_blenders_camera_comes_out_upright_with_its_lens(tmp_path, monkeypatch):
    data = types.SimpleNamespace(
        lens=50.0, sensor_width=36.0, sensor_height=24.0, sensor_fit="AUTO", shift_x=0.1, shift_y=-0.05
    )
    # In Blender a camera that looks along Y, its up along Z, at height 3.
    matrix = Matrix([[1, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 3], [0, 0, 0, 1]])
    camera = types.SimpleNamespace(data=data, matrix_world=matrix)
    render = types.SimpleNamespace(
        resolution_percentage=50, resolution_x=1920, resolution_y=1080, pixel_aspect_x=1.0, pixel_aspect_y=1.0
    )
    scene = types.SimpleNamespace(
        render=render, frame_start=4, frame_end=5, camera=camera, frame_set=lambda frame: None,
        unit_settings=types.SimpleNamespace(scale_length=2.0),
    )  # fmt: skip
    bpy = types.SimpleNamespace(context=types.SimpleNamespace(scene=scene))
    monkeypatch.setitem(sys.modules, "bpy", bpy)
    example("blender_cameras").export(tmp_path / "transforms.json")
    found = cameras.read(tmp_path / "transforms.json").cameras
    assert [one.frame for one in found] == [4, 5]
    one = found[0]
    np.testing.assert_allclose(one.matrix[:3, 3], [0, 6, 0], atol=1e-12)
    np.testing.assert_allclose(one.matrix[:3, 1], [0, 1, 0], atol=1e-12)  # up is up
    assert one.focal_mm == pytest.approx(50) and one.film_back_mm == pytest.approx((36, 20.25))
    assert one.size_px == (960, 540)
    # Blender's own rule: a shift of 0.1 moves the picture by a tenth of its longer side.
    assert one.centre_px == pytest.approx((480 - 96, 270 - 48))


@pytest.mark.parametrize(
    ("fit", "size", "film"),
    [
        ("AUTO", (100, 200), (18.0, 36.0)),
        ("VERTICAL", (200, 100), (48.0, 24.0)),
        ("HORIZONTAL", (100, 200), (36.0, 72.0)),
    ],
)
def test_blenders_sensor_fits(fit, size, film):
    data = types.SimpleNamespace(
        lens=50.0, sensor_width=36.0, sensor_height=24.0, sensor_fit=fit, shift_x=0.0, shift_y=0.0
    )
    told, found = example("blender_cameras").lens(data, *size)
    assert found == pytest.approx(film)
    assert told["fl_x"] == pytest.approx(told["fl_y"]) == pytest.approx(50 * size[0] / film[0])


def test_mayas_cameras_come_out_as_a_table(tmp_path, monkeypatch):
    matrices = {"|a_0007FBXASC046jpg": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 100, 200, 300, 1]}

    def get(name, time=None):
        attribute = name.rpartition(".")[2]
        if attribute == "worldMatrix[0]":
            values = list(next(iter(matrices.values())))
            values[12] += 0 if time is None else 10 * time
            return values
        return {"focalLength": 35.0, "horizontalFilmAperture": 36 / 25.4, "verticalFilmAperture": 24 / 25.4}[attribute]

    cmds = types.SimpleNamespace(
        ls=lambda **_: list(matrices), getAttr=get, listRelatives=lambda *_, **__: ["shape"],
        playbackOptions=lambda query, minTime=None, maxTime=None: 1 if minTime else 3,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "maya", types.SimpleNamespace(cmds=cmds))
    script = example("maya_cameras")
    script.export_selected(tmp_path / "solve.csv")
    one = cameras.read(tmp_path / "solve.csv").cameras[0]
    assert one.name == "a_0007.jpg" and one.frame == 7
    np.testing.assert_allclose(one.matrix[:3, 3], [1, 2, 3])
    script.export_animated(tmp_path / "path.csv", "shotCam")
    path = cameras.read(tmp_path / "path.csv").cameras
    assert [one.frame for one in path] == [1, 2, 3]
    assert [one.matrix[0, 3] for one in path] == pytest.approx([1.1, 1.2, 1.3])
