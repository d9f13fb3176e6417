"""Scanners' and trackers' files against OpenCV's projection and COLMAP's own library; scenes that Blender wrote."""

import json
import struct
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from ganvas.errors import UserError
from ganvas.io.cameras import cameras, colmap
from ganvas.io.cameras.cameras import Given
from ganvas.io.cameras.lens import Lens

BLENDER = Path(__file__).parent / "blender"
UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], float)
"""From a world with Z up to ours."""
TURN = Rotation.from_euler("xyz", (20, -15, 5), degrees=True)
SHIFT = np.array([0.3, -0.2, 4.0])
POINTS = np.array([[0.4, 0.3, 1.2], [-0.5, 0.2, 0.1], [0.1, -0.6, -0.4]])
SIZE, F, CX, CY = (640, 480), 500.0, 322.5, 239.0


def seen(camera, point):
    """Where a camera of the normal form, with its lens, sees a point."""
    x, y, z, _ = np.linalg.inv(camera.matrix) @ [*point, 1]
    x, y = np.array(x / -z), np.array(y / z)
    if camera.lens is not None:
        x, y = camera.lens.distort(x, y)
    return camera.focal_px[0] * float(x) + camera.centre_px[0], camera.focal_px[1] * float(y) + camera.centre_px[1]


def projected(points, distortion=(), fisheye=False):
    """OpenCV's own projection with rotation and translation from the world."""
    k = np.array([[F, 0, CX], [0, F, CY], [0, 0, 1]])
    rotation = TURN.as_rotvec()
    if fisheye:
        found, _ = cv2.fisheye.projectPoints(points[:, None], rotation, SHIFT, k, np.array(distortion, float))
    else:
        found, _ = cv2.projectPoints(points, rotation, SHIFT, k, np.array(distortion or (0.0,) * 4))
    return found.reshape(-1, 2)


def assert_sees(camera, pixels, world=np.eye(3), tolerance=1e-6):
    for point, pixel in zip(POINTS, pixels):
        assert seen(camera, world @ point) == pytest.approx(pixel, abs=tolerance)


BROWN, TANGENTIAL = (0.08, -0.02, 0.01), (0.003, -0.002)
OPENCV = (BROWN[0], BROWN[1], *TANGENTIAL, BROWN[2])


def metashape(folder, kind="frame"):
    to_world = np.eye(4)
    to_world[:3, :3], to_world[:3, 3] = TURN.as_matrix().T, -TURN.as_matrix().T @ SHIFT
    coefficients = "".join(f"<k{n}>{value}</k{n}>" for n, value in enumerate(BROWN, 1))
    flat = " ".join(map(repr, to_world.ravel().tolist()))
    (folder / "a.xml").write_text(f"""<?xml version="1.0" encoding="UTF-8"?>
<document version="2.0.0"><chunk label="c"><sensors next_id="1"><sensor id="0" label="u" type="{kind}">
<resolution width="640" height="480"/><calibration type="{kind}" class="adjusted"><resolution width="640" height="480"/>
<f>{F}</f><cx>{CX - 320}</cx><cy>{CY - 240}</cy>{coefficients}<p1>{TANGENTIAL[1]}</p1><p2>{TANGENTIAL[0]}</p2>
</calibration></sensor></sensors><cameras><camera id="0" sensor_id="0" label="a7.jpg"><transform>{flat}</transform>
</camera><camera id="1" sensor_id="0" label="lost.jpg"/></cameras></chunk></document>""")
    return folder / "a.xml"


def opensfm(folder):
    told = [{"cameras": {"c": {"projection_type": "brown", "width": 640, "height": 480, "focal_x": F / 640,
             "focal_y": F / 640, "c_x": (CX - 320) / 640, "c_y": (CY - 240) / 640, "k1": BROWN[0], "k2": BROWN[1],
             "k3": BROWN[2], "p1": TANGENTIAL[0], "p2": TANGENTIAL[1]}},
             "shots": {"a7.jpg": {"rotation": TURN.as_rotvec().tolist(), "translation": SHIFT.tolist(),
                                  "camera": "c"}}}]  # fmt: skip
    (folder / "reconstruction.json").write_text(json.dumps(told))
    return folder / "reconstruction.json"


def openmvg(folder):
    centre = (-TURN.as_matrix().T @ SHIFT).tolist()
    told = {
        "sfm_data_version": "0.3", "root_path": str(folder),
        "views": [{"key": 0, "value": {"polymorphic_id": 1073741824, "ptr_wrapper": {"id": 1, "data": {
            "local_path": "/", "filename": "a7.jpg", "width": 640, "height": 480, "id_view": 0, "id_intrinsic": 0,
            "id_pose": 0}}}}],
        "intrinsics": [{"key": 0, "value": {"polymorphic_id": 2147483649, "polymorphic_name": "pinhole_brown_t2",
            "ptr_wrapper": {"id": 2, "data": {"width": 640, "height": 480, "focal_length": F,
            "principal_point": [CX, CY], "disto_t2": [*BROWN, *TANGENTIAL]}}}}],
        "extrinsics": [{"key": 0, "value": {"rotation": TURN.as_matrix().tolist(), "center": centre}}],
    }  # fmt: skip
    (folder / "sfm_data.json").write_text(json.dumps(told))
    return folder / "sfm_data.json"


def meshroom(folder):
    centre = [str(value) for value in -TURN.as_matrix().T @ SHIFT]
    told = {
        "version": ["1", "2", "6"],
        "views": [{"viewId": "1", "poseId": "1", "intrinsicId": "2", "path": "/me/a7.jpg"},
                  {"viewId": "3", "poseId": "3", "intrinsicId": "2", "path": "/me/b.jpg"}],
        "intrinsics": [{"intrinsicId": "2", "width": "640", "height": "480", "sensorWidth": "36", "sensorHeight": "27",
            "type": "brown", "focalLength": str(F * 36 / 640), "pixelRatio": "1", "principalPoint": ["2.5", "-1.0"],
            "distortionParams": [str(value) for value in (*BROWN, *TANGENTIAL)]}],
        "poses": [{"poseId": "1", "pose": {"transform": {
            # Column by column, as its matrices are stored.
            "rotation": [str(value) for value in TURN.as_matrix().T.ravel()], "center": centre}, "locked": "0"}}],
    }  # fmt: skip
    (folder / "cameras.sfm").write_text(json.dumps(told))
    return folder / "cameras.sfm"


@pytest.mark.parametrize("write", [metashape, opensfm, openmvg, meshroom])
def test_scanners_files_see_what_opencv_projects(write, tmp_path):
    solve = cameras.read(write(tmp_path))
    (one,) = solve.cameras
    assert one.frame == 7 and one.name.endswith("a7.jpg") and one.size_px == SIZE
    assert_sees(one, projected(POINTS, OPENCV), UP if write is opensfm else np.eye(3))
    assert any("Brown" in note for note in solve.notes) and solve.as_stored


def test_a_fisheye_of_metashapes_is_one(tmp_path):
    path = metashape(tmp_path, "fisheye")
    text = path.read_text().replace(f"<p1>{TANGENTIAL[1]}</p1><p2>{TANGENTIAL[0]}</p2>", "")
    path.write_text(text)
    assert_sees(cameras.read(path).cameras[0], projected(POINTS, (*BROWN, 0.0), fisheye=True))
    path.write_text(text.replace("fisheye", "spherical"))
    with pytest.raises(UserError, match="spherical"):
        cameras.read(path)
    path.write_text("<!DOCTYPE a [<!ENTITY b 'c'>]>" + text)
    with pytest.raises(UserError, match="entities"):
        cameras.read(path)


PARAMETERS = {
    "SIMPLE_PINHOLE": (F, CX, CY), "PINHOLE": (F, F + 5, CX, CY), "SIMPLE_RADIAL": (F, CX, CY, 0.1),
    "RADIAL": (F, CX, CY, 0.1, -0.03), "OPENCV": (F, F + 5, CX, CY, 0.1, -0.03, 0.002, -0.001),
    "OPENCV_FISHEYE": (F, F + 5, CX, CY, 0.1, -0.03, 0.002, -0.001),
    "FULL_OPENCV": (F, F + 5, CX, CY, 0.1, -0.03, 0.002, -0.001, 0.01, 0.02, 0.01, -0.002), "FOV": (F, F, CX, CY, 0.9),
    "SIMPLE_RADIAL_FISHEYE": (F, CX, CY, 0.1), "RADIAL_FISHEYE": (F, CX, CY, 0.1, -0.03),
    "THIN_PRISM_FISHEYE": (F, F, CX, CY, 0.1, -0.03, 0.002, -0.001, 0.01, 0.004, 0.002, -0.003),
    "RAD_TAN_THIN_PRISM_FISHEYE": (
        F, F + 5, CX, CY, 0.1, -0.03, 0.002, -0.001, 0.01, 0.004, 0.002, -0.003, 0.005, -0.002, 0.003, 0.001
    ),
    "SIMPLE_DIVISION": (F, CX, CY, -0.2), "DIVISION": (F, F + 5, CX, CY, 0.05), "SIMPLE_FISHEYE": (F, CX, CY),
    "FISHEYE": (F, F + 5, CX, CY), "EUCM": (F, F + 5, CX, CY, 0.6, 1.1),
}  # fmt: skip


def reconstruction(model):
    """A model of two pictures in COLMAP's own library."""
    whole = pycolmap.Reconstruction()
    lens = pycolmap.Camera(model=model, width=640, height=480, params=PARAMETERS[model], camera_id=3)
    whole.add_camera_with_trivial_rig(lens)
    for number, name in ((5, "left/a9.png"), (4, "left/a7.png")):
        image = pycolmap.Image(name=name, camera_id=3, image_id=number)
        pose = pycolmap.Rigid3d(pycolmap.Rotation3d(TURN.as_quat()), SHIFT + np.array([0.1 * number, 0, 0]))
        whole.add_image_with_trivial_frame(image, pose)
    return whole


@pytest.mark.parametrize("model", PARAMETERS)
@pytest.mark.parametrize("kind", ["binary", "text"])
def test_colmaps_models_see_what_its_library_projects(model, kind, tmp_path):
    whole = reconstruction(model)
    getattr(whole, f"write_{kind}")(str(tmp_path))
    solve = cameras.read(tmp_path)
    assert [(one.frame, one.name) for one in solve.cameras] == [(7, "left/a7.png"), (9, "left/a9.png")]
    for one, number in zip(solve.cameras, (4, 5)):
        assert_sees(one, [whole.images[number].project_point(point) for point in POINTS])
    assert bool(solve.notes) == ("PINHOLE" not in model), solve.notes


def test_every_model_of_colmap_is_read_or_refused_by_name(tmp_path):
    told = {name: int(number) for name, number in pycolmap.CameraModelId.__members__.items() if int(number) >= 0}
    assert set(told) == {*PARAMETERS, "EQUIRECTANGULAR"}
    assert [name for name, _ in colmap.MODELS] == sorted(told, key=lambda name: told[name])
    pycolmap.Reconstruction().write_text(str(tmp_path))
    (tmp_path / "cameras.txt").write_text("1 EQUIRECTANGULAR 640 320 640 320\n")
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 0 1 a.png\n\n")
    with pytest.raises(UserError, match="EQUIRECTANGULAR"):
        cameras.read(tmp_path)


def test_a_cut_or_strange_binary_model_is_refused(tmp_path):
    reconstruction("PINHOLE").write_binary(str(tmp_path))
    whole = (tmp_path / "images.bin").read_bytes()
    for damage in (whole[:60], struct.pack("<Q", 1 << 60) + whole[8:], whole[:8] + b"\xff" * 500):
        (tmp_path / "images.bin").write_bytes(damage)
        with pytest.raises(UserError, match=r"ends early|no model|camera"):
            cameras.read(tmp_path)


RADIAL = {
    "brown": (-0.2, 0.05), "fisheye": (0.05, -0.01), "aria": (0.05, -0.01, 0.002), "fov": (0.9,), "division": (-0.2,),
    "eucm": (0.6, 1.1),
}  # fmt: skip


@pytest.mark.parametrize("model", RADIAL)
def test_undistorting_undoes_distorting(model):
    prism = {"prism": (2e-3, 1e-3, -1e-3, 3e-3)} if model == "aria" else {}
    lens = Lens(model, RADIAL[model], tangential=(1e-3, 2e-3), **prism)
    x, y = np.meshgrid(np.linspace(-0.7, 0.7, 9), np.linspace(-0.5, 0.5, 7))
    again = lens.undistort(*lens.distort(x, y))
    np.testing.assert_allclose(again, [x, y], atol=1e-7)


def test_a_lens_tells_nothing_past_where_its_polynomial_turns_back():
    lens = Lens(radial=(-0.5,))  # r - r^3 / 2 is largest at r^2 = 2 / 3
    inside, beyond = np.sqrt(2 / 3) - 0.01, np.sqrt(2 / 3) + 0.01
    assert np.isfinite(lens.distort(np.array(inside), np.array(0.0))).all()
    assert np.isnan(lens.distort(np.array(beyond), np.array(0.0))).all()


def test_bundlers_cameras(tmp_path):
    turn, flip = TURN.as_matrix(), np.diag([1.0, -1.0, -1.0])
    ours = flip @ turn  # it looks down -Z
    rows = [
        f"{F} 0.08 -0.02",
        *(" ".join(map(repr, row)) for row in ours.tolist()),
        " ".join(map(repr, (flip @ SHIFT).tolist())),
    ]
    text = "# Bundle file v0.3\n2 0\n" + "\n".join(["0 0 0", "0 0 0", "0 0 0", "0 0 0", "0 0 0", *rows]) + "\n"
    (tmp_path / "bundle.out").write_text(text)
    with pytest.raises(UserError, match=r"list\.txt"):
        cameras.read(tmp_path / "bundle.out", Given(size_px=SIZE))
    (tmp_path / "list.txt").write_text("./a6.jpg\n./a7.jpg 0 700\n")
    (one,) = cameras.read(tmp_path / "bundle.out", Given(size_px=SIZE)).cameras
    # Its formula: p = -P / P.z from the middle of the picture, Y up.
    for point in POINTS:
        p = ours @ point + flip @ SHIFT
        x, y = -p[:2] / p[2]
        square = x * x + y * y
        scale = F * (1 + 0.08 * square - 0.02 * square**2)
        assert seen(one, point) == pytest.approx((320 + scale * x, 240 - scale * y), abs=1e-6)
    assert one.frame == 7


def test_realitycaptures_table(tmp_path):
    head = "#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2\n"
    (tmp_path / "a.csv").write_text(
        head + "a7.jpg,10,20,30,0,90,0,36,0,0,0,0,0,0,0,0\nb8.jpg,1,2,3,90,60,0,24,0.01,0,0,0,0,0,0,0\n"
    )
    first, second = cameras.read(tmp_path / "a.csv", Given(size_px=(6000, 4000))).cameras
    # Heading 0 and pitch 90 look north along Y, level; our Y is up, north is -Z.
    np.testing.assert_allclose(first.matrix[:3, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(first.matrix[:3, 3], [10, 30, -20])
    assert first.focal_px == pytest.approx((6000, 6000)) and second.centre_px[0] == pytest.approx(3060)
    # East, 30 degrees below the horizon.
    ahead = -second.matrix[:3, 2]
    np.testing.assert_allclose(ahead, [np.cos(np.pi / 6), -0.5, 0], atol=1e-12)


def test_phones_recordings(tmp_path):
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = TURN.as_matrix(), [1, 2, 3]
    keyframe = {f"t_{row}{column}": pose[row, column] for row in range(3) for column in range(4)}
    keyframe |= {"fx": F, "fy": F, "cx": CX, "cy": CY, "width": 640, "height": 480}
    (tmp_path / "polycam" / "keyframes" / "cameras").mkdir(parents=True)
    (tmp_path / "polycam" / "keyframes" / "cameras" / "17.json").write_text(json.dumps(keyframe))
    record = {"w": 640, "h": 480, "fps": 60, "K": [F, 0, 0, 0, F, 0, CX, CY, 1], "poses": [[*TURN.as_quat(), 1, 2, 3]]}
    (tmp_path / "metadata.json").write_text(json.dumps(record))
    (tmp_path / "arkit").mkdir()
    ar = {"cameraPoseARFrame": pose.ravel().tolist(), "intrinsics": [F, 0, CX, 0, F, CY, 0, 0, 1]}
    (tmp_path / "arkit" / "frame_00017.json").write_text(json.dumps(ar))
    for path in (tmp_path / "polycam" / "keyframes", tmp_path / "metadata.json", tmp_path / "arkit"):
        solve = cameras.read(path, Given(size_px=SIZE))
        (one,) = solve.cameras
        np.testing.assert_allclose(one.matrix, pose, atol=1e-9, err_msg=str(path))
        half = 0.5 if path.name == "arkit" else 0.0  # it counts from the middle of the first pixel
        assert one.focal_px == pytest.approx((F, F)) and one.centre_px == pytest.approx((CX + half, CY + half))
    assert cameras.read(tmp_path / "metadata.json").fps == 60


def test_trajectories_of_odometry(tmp_path):
    world = TURN.inv()
    place = -world.as_matrix() @ SHIFT
    x, y, z, w = world.as_quat()
    pose = " ".join(map(str, (*place, x, y, z, w)))
    (tmp_path / "traj.txt").write_text(f"# timestamp ...\n1305031102.5 0 0 0 0 0 0 1\n1305031098.25 {pose}\n")
    with pytest.raises(UserError, match="--focal"):
        cameras.read(tmp_path / "traj.txt", Given(size_px=SIZE))
    given = Given(size_px=SIZE, focal_mm=F * 36 / 640, film_back_mm=(36.0, 27.0))
    solve = cameras.read(tmp_path / "traj.txt", given)
    # Sorted as times are.
    assert solve.timed and [one.name for one in solve.cameras] == ["1305031098.25", "1305031102.5"]
    pixels = projected(POINTS) + np.array([320 - CX, 240 - CY])
    assert_sees(solve.cameras[0], pixels)
    whole = np.column_stack([world.as_matrix(), place])
    (tmp_path / "00.txt").write_text("1 0 0 0 0 1 0 0 0 0 1 0\n" + " ".join(map(repr, whole.ravel().tolist())) + "\n")
    (tmp_path / "calib.txt").write_text(f"P0: {F} 0 {CX} 0 0 {F} {CY} 0 0 0 1 0\n")
    solve = cameras.read(tmp_path / "00.txt", Given(size_px=SIZE))
    # KITTI's world has Y down.
    assert_sees(solve.cameras[1], projected(POINTS), np.diag([1.0, -1.0, -1.0]))
    assert solve.cameras[1].name == "000001"


def truth():
    told = json.loads((BLENDER / "truth.json").read_text())
    turn = np.eye(4)
    turn[:3, :3] = UP
    return [(one["frame"], turn @ np.array(one["matrix"]), one["lens"]) for one in told]


@pytest.mark.parametrize("name", ["shot.fbx", "shot.abc", "shot.usda"])
def test_scenes_that_blender_wrote_have_blenders_cameras(name):
    """Blender 5.0.1's exports of a camera on a turned rig, and its own world matrices and lenses."""
    solve = cameras.read(BLENDER / name, Given(metres_per_unit=1.0) if name == "shot.abc" else Given())
    assert [one.frame for one in solve.cameras] == [frame for frame, _, _ in truth()]
    for one, (_, matrix, lens) in zip(solve.cameras, truth()):
        np.testing.assert_allclose(one.matrix, matrix, atol=3e-6)
        assert one.focal_mm == pytest.approx(lens, rel=1e-6)
        assert one.film_back_mm == pytest.approx((36.0, 20.25), rel=1e-6)
        # Shifts of 0.02 and -0.01 of the picture's longer side.
        assert np.array(one.centre_px) / one.size_px[0] == pytest.approx((0.5 - 0.02, 0.28125 - 0.01), abs=1e-6)
    if name != "shot.usda":
        assert solve.fps == 25


def test_archives_are_written_as_they_are_read(tmp_path):
    shot = cameras.read(BLENDER / "shot.usda").cameras
    notes = cameras.write(tmp_path / "a.abc", shot, Given(fps=25.0))
    assert "unit" in notes[0]
    again = cameras.read(tmp_path / "a.abc")
    assert again.fps == 25 and [one.frame for one in again.cameras] == [one.frame for one in shot]
    for ours, theirs in zip(again.cameras, shot):
        np.testing.assert_allclose(ours.matrix, theirs.matrix, atol=1e-12)
        assert ours.shift_mm == pytest.approx(theirs.shift_mm) and ours.focal_mm == pytest.approx(theirs.focal_mm)
    (tmp_path / "b.abc").write_bytes((tmp_path / "a.abc").read_bytes()[:100])
    with pytest.raises(UserError, match=r"b\.abc"):
        cameras.read(tmp_path / "b.abc")


def test_broken_fbx_files_end_no_program(tmp_path):
    whole = (BLENDER / "shot.fbx").read_bytes()
    for damage in (b"", b"FBX", whole[:3000]):
        (tmp_path / "a.fbx").write_bytes(damage)
        with pytest.raises(UserError, match=r"a\.fbx"):
            cameras.read(tmp_path / "a.fbx")


NUKE = """#! /usr/bin/Nuke
version 13.2 v1
Root {
 inputs 0
 first_frame 1001
 last_frame 1003
 fps 25
 format "2048 1152 0 0 2048 1152 1 2K"
}
Camera2 {
 inputs 0
 rot_order XYZ
 translate {{curve x1001 0 0.5 1} {curve x1001 1} 3}
 rotate {{curve i x1001 10 x1002 20 x1003 30} 0 {curve x1001 5}}
 focal {{curve x1001 35 36 37}}
 haperture 24
 vaperture 18
 name Camera1
 xpos -40
}
"""


def test_nukes_camera_nodes(tmp_path):
    (tmp_path / "a.nk").write_text(NUKE)
    solve = cameras.read(tmp_path / "a.nk")
    assert [one.frame for one in solve.cameras] == [1001, 1002, 1003] and solve.fps == 25
    middle = solve.cameras[1]
    np.testing.assert_allclose(middle.matrix[:3, 3], [0.5, 1, 3])
    expected = Rotation.from_euler("xyz", (20, 0, 5), degrees=True).as_matrix()
    np.testing.assert_allclose(middle.matrix[:3, :3], expected, atol=1e-12)
    # Nuke fills the format's width with the horizontal aperture.
    assert middle.focal_px == pytest.approx((36 / 24 * 2048, 36 / 24 * 2048)) and middle.size_px == (2048, 1152)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("haperture 24", "haperture {{parent.Camera2.haperture*2}}", "haperture.*line 10"),
        ("{curve x1001 0 0.5 1}", "{curve x1001 0 x1011 1}", "not baked"),
        (" rot_order XYZ", " rot_order XYZ\n projection_mode spherical", "spherical"),
        (" rot_order XYZ", " rot_order XYZ\n useMatrix true", "matrix"),
        (" rot_order XYZ", ' rot_order XYZ\n read_from_file true\n file "a.abc"', "a.abc"),
    ],
)
def test_what_of_nuke_is_not_evaluated_is_refused(old, new, match, tmp_path):
    (tmp_path / "a.nk").write_text(NUKE.replace(old, new))
    with pytest.raises(UserError, match=match):
        cameras.read(tmp_path / "a.nk")


FBX = """; FBX 7.4.0 project file
FBXHeaderExtension:  {
	FBXHeaderVersion: 1003
	FBXVersion: 7400
}
GlobalSettings:  {
	Version: 1000
	Properties70:  {
		P: "UpAxis", "int", "Integer", "",1
		P: "UpAxisSign", "int", "Integer", "",1
		P: "FrontAxis", "int", "Integer", "",2
		P: "FrontAxisSign", "int", "Integer", "",1
		P: "CoordAxis", "int", "Integer", "",0
		P: "CoordAxisSign", "int", "Integer", "",1
		P: "UnitScaleFactor", "double", "Number", "",1
		P: "TimeMode", "enum", "", "",11
	}
}
Definitions:  {
	Version: 100
	Count: 3
}
Objects:  {
	NodeAttribute: 11, "NodeAttribute::", "Camera" {
		Properties70:  {
			P: "FilmWidth", "double", "Number", "",1.41732283464567
			P: "FilmHeight", "double", "Number", "",0.94488188976378
			P: "ApertureMode", "enum", "", "",3
			P: "FilmOffsetX", "Number", "", "A",0.1
			P: "FocalLength", "Number", "", "A",35
			P: "GateFit", "enum", "", "",GATE
			P: "CameraProjectionType", "enum", "", "",PROJECTION
		}
		TypeFlags: "Camera"
	}
	Model: 12, "Model::shot", "Camera" {
		Version: 232
		Properties70:  {
			P: "PreRotation", "Vector3D", "Vector", "",0,90,0
			P: "RotationActive", "bool", "", "",1
			P: "Lcl Translation", "Lcl Translation", "", "A",100,200,300
			P: "Lcl Rotation", "Lcl Rotation", "", "A",0,0,30
		}
	}
}
Connections:  {
	C: "OO",12,0
	C: "OO",11,12
}
"""


@pytest.mark.parametrize(("gate", "width"), [(2, 36.0), (1, 48.0), (3, 36.0), (4, 48.0)])
def test_ascii_fbx_with_a_rotation_before_its_own(gate, width, tmp_path):
    """An FBX camera looks along X; its rotation is that before its own times its own."""
    (tmp_path / "a.fbx").write_text(FBX.replace("GATE", str(gate)).replace("PROJECTION", "0"))
    (one,) = cameras.read(tmp_path / "a.fbx", Given(size_px=(2000, 1000))).cameras
    turn = Rotation.from_euler("Y", 90, degrees=True) * Rotation.from_euler("Z", 30, degrees=True)
    np.testing.assert_allclose(-one.matrix[:3, 2], turn.apply([1, 0, 0]), atol=1e-9)
    np.testing.assert_allclose(one.matrix[:3, 1], turn.apply([0, 1, 0]), atol=1e-9)
    np.testing.assert_allclose(one.matrix[:3, 3], [1, 2, 3], atol=1e-9)
    # Gate fits: 2 horizontal, 1 vertical, 3 fill (a wide picture is cropped above), 4 overscan.
    assert one.film_back_mm[0] == pytest.approx(width) and one.focal_mm == pytest.approx(35)
    assert one.shift_mm[0] == pytest.approx(2.54)
    (tmp_path / "a.fbx").write_text(FBX.replace("GATE", "2").replace("PROJECTION", "1"))
    with pytest.raises(UserError, match="orthographic"):
        cameras.read(tmp_path / "a.fbx")
