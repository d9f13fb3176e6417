"""transforms.json: what a frame says before what is said of all, and pictures that no pinhole took."""

import json

import numpy as np
import pytest

from ganvas.errors import UserError
from ganvas.io.cameras import cameras

FRAME = {"file_path": "a_1.png", "transform_matrix": np.eye(4).tolist()}
ALL = {"w": 100, "h": 50, "fl_x": 80.0, "cx": 40.0, "cy": 20.0}


def read(folder, told, frame):
    (folder / "transforms.json").write_text(json.dumps({**told, "frames": [{**FRAME, **frame}]}))
    return cameras.read(folder / "transforms.json").cameras[0]


@pytest.mark.parametrize(
    ("frame", "focal", "centre"),
    [
        ({}, 80, (40, 20)),
        ({"fl_x": None, "cx": None}, 80, (40, 20)),
        ({"cx": 45}, 80, (45, 20)),
        # Pixels of all are no pixels of a picture of another size.
        ({"w": 200, "h": 100, "fl_x": 160}, 160, (100, 50)),
        ({"w": 200, "h": 100, "camera_angle_x": 2 * np.arctan(100 / 160)}, 160, (100, 50)),
        ({"w": 200, "h": 100, "fl_x": 160, "cx": 90, "cy": 45}, 160, (90, 45)),
    ],
)
def test_a_frames_own_size_and_lens(frame, focal, centre, tmp_path):
    one = read(tmp_path, ALL, frame)
    assert one.focal_px == pytest.approx((focal, focal)) and one.centre_px == pytest.approx(centre)


def test_a_size_without_a_lens_of_its_own_is_refused(tmp_path):
    with pytest.raises(UserError, match="no focal length"):
        read(tmp_path, ALL, {"w": 200, "h": 100})


@pytest.mark.parametrize(
    "said",
    [
        {"latlong": True}, {"is_latlong": True}, {"equirectangular": True}, {"orthographic": True},
        {"camera_type": "equirectangular"}, {"camera_model": "THIN_PRISM_FISHEYE"}, {"camera_model": "FISHEYE_FOV"},
    ],
)  # fmt: skip
@pytest.mark.parametrize("of_all", [True, False])
def test_what_is_no_pinhole_is_refused_however_it_is_said(said, of_all, tmp_path):
    with pytest.raises(UserError, match=r"a_1\.png.*camera model"):
        read(tmp_path, {**ALL, **(said if of_all else {})}, {} if of_all else said)


def test_a_matrix_written_column_by_column_is_refused(tmp_path):
    matrix = np.eye(4)
    matrix[3, :3] = [1, 2, 3]
    with pytest.raises(UserError, match="Transpose"):
        read(tmp_path, ALL, {"transform_matrix": matrix.tolist()})


@pytest.mark.parametrize(
    ("shutter", "is_told"), [([0.0, 0.0, 0.01, 0.0], True), ([0.0, 0.0, 0.0], False), (None, False)]
)
def test_a_rolling_shutter_is_said_to_be_ignored(shutter, is_told, tmp_path):
    told = {**ALL, "rolling_shutter": shutter, "frames": [FRAME]}
    (tmp_path / "transforms.json").write_text(json.dumps(told))
    assert any("rolling shutter" in note for note in cameras.read(tmp_path / "transforms.json").notes) == is_told
