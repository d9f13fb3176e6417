"""The sets of scripts/real_shot.py hold one shot: what is read of each is compared, so that training need not be."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from ganvas.data.shots import Views, read_footage
from ganvas.io.cameras.cameras import Given
from ganvas.io.pictures import images

SCRIPT = Path(__file__).parents[2] / "scripts" / "real_shot.py"
VIEWS, SIDE = 5, 24


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("real_shot", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def shots(script, tmp_path_factory):
    photograph = tmp_path_factory.mktemp("photograph") / "a.png"
    coarse = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    images.write(photograph, coarse.repeat(16, 0).repeat(16, 1))
    return {"nodal": script.nodal(photograph, VIEWS, SIDE), "parallax": script.parallax(VIEWS, SIDE)}


def read(script, shot, kind, plate, folder):
    script.write(shot, folder, kind, plate)
    order = script.FORMATS[kind][1][-1] if script.FORMATS[kind][1] else ""
    footage = read_footage(folder, given=Given(film_back_mm=shot[0][0].film_back_mm, rotation_order=order))
    return footage, Views(footage.views, SIDE, 0.0, (1.0, 1.0))


@pytest.mark.parametrize("name", ["nodal", "parallax"])
def test_every_format_holds_the_same_cameras_and_frames(name, script, shots, tmp_path):
    for kind in script.FORMATS:
        footage, views = read(script, shots[name], kind, "tif", tmp_path / kind)
        assert not footage.without_camera and not footage.without_picture
        for place, ((camera, _), view) in enumerate(zip(shots[name], footage.views, strict=True)):
            assert view.camera.frame == script.FIRST + place and view.picture.stem.endswith(str(view.camera.frame))
            np.testing.assert_allclose(view.camera.matrix, camera.matrix, atol=1e-11, err_msg=kind)
            # Far below what a number of single precision holds, 6e-8: training sees the very same.
            np.testing.assert_allclose(view.camera.focal_px, camera.focal_px, rtol=1e-12, err_msg=kind)
            np.testing.assert_allclose(view.camera.centre_px, camera.centre_px, atol=1e-9, err_msg=kind)
        # What decides which networks are built, and by what their input is divided.
        assert (views.centre() is None) == (name == "nodal")
        assert np.shape(views.statistics()) == (2, 13)
        assert views.groups() == [f"{place:06d}" for place in range(VIEWS)]


def test_every_kind_of_plate_holds_the_same_pictures(script, shots, tmp_path):
    for plate in script.PLATES:
        _, views = read(script, shots["nodal"], "chan", plate, tmp_path / plate)
        for place, (_, picture) in enumerate(shots["nodal"]):
            found = views.plain(place)["picture"].numpy().transpose(1, 2, 0)
            np.testing.assert_allclose(found, np.round(picture.clip(0, 1) * 255) / 255, atol=1e-5, err_msg=plate)
