"""Scanners' files against numbers that another program found in them.

Those of RealityCapture, Metashape and OpenSfM are what nerfstudio's converters give (`nerfstudio/process_data` at
commit 50e0e3c7, run on the same values); its world axes are turned back. The row of RealityCapture was printed in a
public question on how to convert it; the shots of OpenSfM are those of the example in its repository (`data/berlin`),
the lens of Meshroom that of AliceVision's test data (`pyTests/data/small.sfm`). Only numbers were taken.
"""

import json

import numpy as np
import pytest

from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Given

UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)
"""From a world with Z up to ours."""


def assert_stands(camera, rows, turn=UP, atol=1e-7):
    np.testing.assert_allclose(camera.matrix[:3], turn @ np.array(rows), atol=atol)


def test_a_row_of_realitycapture(tmp_path):
    (tmp_path / "a.csv").write_text(
        "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2\n"
        "camera_0001.tif,0.3480514800888185,-0.4569554687028632,1.874974343996205,-26.48605557558155,87.22740777694953,"
        "14.71531939343132,16.80822459736219,5.653226032102788e-003,-1.402847801366674e-002,-0.2370146620500887,"
        "6.993741670541821e-002,-1.089548244371304e-002,0,0,0\n"
    )
    (one,) = cameras.read(tmp_path / "a.csv", Given(size_px=(1920, 1080))).cameras
    assert_stands(one, [
        [0.752531716, -0.021572935, 0.658202572, 0.34805148], [0.658441371, 0.043294998, -0.751385722, -0.456955469],
        [-0.012287284, 0.998829391, 0.046785372, 1.874974344],
    ])  # fmt: skip
    assert one.focal_px == pytest.approx((896.4386451926501,) * 2)
    assert one.centre_px == pytest.approx((970.8541939816373, 513.0653222137598))
    assert one.lens.radial[:3] == pytest.approx((-0.2370146620500887, 0.06993741670541821, -0.01089548244371304))


METASHAPE = """<?xml version="1.0" encoding="UTF-8"?>
<document version="2.0.0"><chunk label="Chunk 1" enabled="true">
<sensors next_id="1"><sensor id="0" label="X" type="frame"><resolution width="6000" height="4000"/>
<calibration type="frame" class="adjusted"><resolution width="6000" height="4000"/><f>4520.25</f><cx>-12.5</cx>
<cy>8.75</cy><k1>-0.05</k1><k2>0.02</k2><k3>-0.003</k3><p1>0.0004</p1><p2>-0.0002</p2></calibration></sensor></sensors>
<components next_id="1" active_id="0"><component id="0" label="Component 1"><transform><rotation>ROTATION</rotation>
<translation>1.5 -2.25 0.75</translation><scale>2.5</scale></transform></component></components>
<cameras next_id="1" next_group_id="0"><camera id="0" sensor_id="0" component_id="0" label="DSC0001">
<transform>POSE</transform></camera></cameras></chunk></document>
"""
ROTATION = (
    "0.813797681 -0.440969611 0.378522306 0.46984631 0.882564119 0.018028311 -0.342020143 0.163175911 0.925416578"
)
POSE = (
    "0.970856637 -0.194955066 -0.139391223 0.4 0.119206206 -0.111747739 0.986560856 1.1 "
    "-0.207911691 -0.974425454 -0.085251181 -0.3 0.0 0.0 0.0 1.0"
)


def test_an_export_of_metashape(tmp_path):
    (tmp_path / "a.xml").write_text(METASHAPE.replace("ROTATION", ROTATION).replace("POSE", POSE))
    (one,) = cameras.read(tmp_path / "a.xml").cameras
    told = np.array([
        [-0.50500587, 0.853305449, -0.129764716, 0.065060472], [0.658815353, 0.478218393, 0.580749085, 0.326895809],
        [0.557612232, 0.207790708, -0.803673826, 0.253350562],
    ])  # fmt: skip
    # Its rows are z, x, y; and it leaves the scale of 2.5 out.
    told = told[[1, 2, 0]] * (1, 1, 1, 2.5)
    assert_stands(one, told, np.eye(3))
    assert one.focal_px == pytest.approx((4520.25,) * 2) and one.centre_px == pytest.approx((2987.5, 2008.75))


def test_the_example_of_opensfm(tmp_path):
    lens = {
        "k1": 0.013053492749756394, "k2": 0.000634069118971224, "focal": 0.9604884463403544, "width": 3264,
        "height": 2448, "projection_type": "perspective",
    }  # fmt: skip
    shots = {
        "02.jpg": ([1.2940695283700199, -0.39214506990022585, 0.48363132932553921],
                   [0.19287960609884439, 2.0784473237458099, 0.73166782563733967]),
        "01.jpg": ([1.2093954126158601, -0.39118466329305634, 0.5160415730954907],
                   [-0.26707060536931448, 4.8370360553880705, 7.9002202403686352]),
    }  # fmt: skip
    told = {name: {"camera": "a", "rotation": turn, "translation": place} for name, (turn, place) in shots.items()}
    (tmp_path / "reconstruction.json").write_text(json.dumps([{"cameras": {"a": lens}, "shots": told, "points": {}}]))
    found = {one.name: one for one in cameras.read(tmp_path / "reconstruction.json").cameras}
    assert_stands(found["02.jpg"], [
        [0.837266556, -0.120707202, -0.533305245, -0.802577494],
        [-0.546738126, -0.19887113, -0.813343529, -0.902985825],
        [-0.007882595, 0.972563646, -0.232503376, 1.852827459],
    ])  # fmt: skip
    assert_stands(found["01.jpg"], [
        [0.821224351, -0.167044604, -0.545606695, -4.899088946],
        [-0.570446949, -0.262881612, -0.778128227, -7.571301811],
        [-0.013447846, 0.950257522, -0.311174866, 2.134488402],
    ])  # fmt: skip
    assert found["01.jpg"].focal_px == pytest.approx((0.9604884463403544 * 3264,) * 2)


def test_the_lens_of_alicevisions_test_data(tmp_path):
    lens = {
        "intrinsicId": "1", "width": "6016", "height": "3200", "sensorWidth": "36",
        "sensorHeight": "19.148936170212767",
        "type": "radial3", "focalLength": "43.45584412271571", "pixelRatio": "1", "principalPoint": ["0", "0"],
        "distortionParams": ["0", "0", "0"],
    }  # fmt: skip
    pose = {"rotation": ["1", "0", "0", "0", "1", "0", "0", "0", "1"], "center": ["0", "0", "0"]}
    told = {
        "version": ["1", "2", "5"], "intrinsics": [lens],
        "views": [{"viewId": "7", "poseId": "7", "frameId": "1119", "intrinsicId": "1", "path": "/sequence/1119.exr"}],
        "poses": [{"poseId": "7", "pose": {"transform": pose, "locked": "1"}}],
    }  # fmt: skip
    (tmp_path / "a.sfm").write_text(json.dumps(told))
    (one,) = cameras.read(tmp_path / "a.sfm").cameras
    assert one.frame == 1119 and one.focal_mm == pytest.approx(43.45584412271571)
    assert one.film_back_mm == pytest.approx((36, 19.148936170212767)) and one.centre_px == pytest.approx((3008, 1600))
