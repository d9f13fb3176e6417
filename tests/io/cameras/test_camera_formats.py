"""Cameras through every format and back: matrices, lenses, frames; conventions against scipy and plain trigonometry."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Camera, Given, plain_camera
from ganvas.io.cameras.geometry import angles_from_rotation, quaternion, rotation_from_angles

HAS_USD = importlib.util.find_spec("pxr") is not None
SIZE, FILM = (1280, 720), (36.0, 20.25)
ORDERS = ("XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX")
FORMATS = ["shot.csv", "shot.chan", "shot.json", "shot.ma", "model"] + (["shot.usda", "shot.usdc"] if HAS_USD else [])

finite = st.floats(-500, 500, allow_nan=False)
turns = st.tuples(*[st.floats(-180, 180)] * 3)
poses = st.tuples(turns, st.tuples(finite, finite, finite), st.floats(8, 300))


def camera(turn=(0.0, 0.0, 0.0), position=(0.0, 0.0, 0.0), focal=35.0, frame=0, shift=(0.0, 0.0)) -> Camera:
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("XYZ", turn, degrees=True).as_matrix()
    matrix[:3, 3] = position
    return plain_camera(matrix, focal, FILM, SIZE, frame, f"view.{frame:04d}.png", shift)


def assert_same(found, expected, path, tolerance=1e-6):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected):
        assert ours.frame == theirs.frame
        scale = max(1.0, np.abs(theirs.matrix).max())
        np.testing.assert_allclose(ours.matrix, theirs.matrix, atol=tolerance * scale, err_msg=str(path))
        np.testing.assert_allclose(ours.focal_px, theirs.focal_px, rtol=tolerance)
        np.testing.assert_allclose(ours.centre_px, theirs.centre_px, atol=1e-3)
        assert ours.size_px == theirs.size_px
        np.testing.assert_allclose(ours.film_back_mm, theirs.film_back_mm, rtol=1e-5)


@pytest.mark.parametrize("name", FORMATS)
@given(told=st.lists(poses, min_size=1, max_size=3))
@settings(max_examples=15, deadline=None)
def test_there_and_back_again(name, told, tmp_path_factory):
    path = tmp_path_factory.mktemp("cameras") / name
    shot = [camera(*pose, frame=1001 + place) for place, pose in enumerate(told)]
    known = Given(film_back_mm=FILM, size_px=SIZE, rotation_order="YZX")
    cameras.write(path, shot, known)
    # USD keeps lenses in single precision.
    assert_same(cameras.read(path, known).cameras, shot, path, 3e-6 if name.startswith("shot.usd") else 1e-9)


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("shot.csv", "shot.chan")])
def test_lens_shift_is_kept_where_a_format_has_room_for_it(name, tmp_path):
    shot = [camera((10, 20, 30), (1, 2, 3), 50.0, frame, shift=(1.5, -0.75)) for frame in (1, 2)]
    assert shot[0].centre_px == pytest.approx((640 - 1.5 * 1280 / 36, 360 - 0.75 * 720 / 20.25))
    assert shot[0].shift_mm == pytest.approx((1.5, -0.75))
    cameras.write(tmp_path / name, shot)
    found = cameras.read(tmp_path / name, Given(film_back_mm=FILM)).cameras
    assert_same(found, shot, name, 3e-6)


@pytest.mark.parametrize("name", ["shot.csv", "shot.chan"])
def test_lens_shift_is_told_of_where_it_is_lost(name, tmp_path):
    notes = cameras.write(tmp_path / name, [camera(shift=(1.0, 0.0))])
    assert any("shift" in note for note in notes)


@pytest.mark.parametrize("order", ORDERS)
@given(turn=turns)
@settings(max_examples=25, deadline=None)
def test_orders_of_rotation_are_scipys_extrinsic_ones(order, turn):
    ours = rotation_from_angles(turn, order)
    theirs = Rotation.from_euler(order.lower(), [turn["XYZ".index(axis)] for axis in order], degrees=True)
    np.testing.assert_allclose(ours, theirs.as_matrix(), atol=1e-12)
    np.testing.assert_allclose(rotation_from_angles(angles_from_rotation(ours, order), order), ours, atol=1e-7)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("middle", [90.0, -90.0])
def test_angles_are_found_at_gimbal_lock(order, middle):
    turn = [25.0, 25.0, 25.0]
    turn["XYZ".index(order[1])] = middle
    rotation = rotation_from_angles(turn, order)
    np.testing.assert_allclose(rotation_from_angles(angles_from_rotation(rotation, order), order), rotation, atol=1e-7)


@given(turn=turns)
@settings(max_examples=25, deadline=None)
def test_quaternions_are_scipys(turn):
    rotation = Rotation.from_euler("XYZ", turn, degrees=True)
    x, y, z, w = rotation.as_quat()
    ours = quaternion(rotation.as_matrix())
    assert abs(np.dot(ours, [w, x, y, z])) == pytest.approx(1, abs=1e-9)


def pixel_of(one, point):
    """Where a camera of the normal form sees a point: plain trigonometry."""
    x, y, z, _ = np.linalg.inv(one.matrix) @ [*point, 1]
    (fx, fy), (cx, cy) = one.focal_px, one.centre_px
    return cx + fx * x / -z, cy - fy * y / -z


def test_colmap_sees_a_point_where_its_own_formula_does(tmp_path):
    """K (R p + t), as COLMAP documents it, with a quaternion of scipy's."""
    turn = Rotation.from_euler("XYZ", (20, -15, 5), degrees=True)
    x, y, z, w = turn.as_quat()
    t = np.array([0.3, -0.2, 4.0])
    (tmp_path / "cameras.txt").write_text("1 PINHOLE 640 480 500 510 320.5 241\n")
    (tmp_path / "images.txt").write_text(f"# list\n7 {w} {x} {y} {z} {t[0]} {t[1]} {t[2]} 1 a7.png\n1 2 -1 3 4 -1\n")
    one = cameras.read(tmp_path).cameras[0]
    point = np.array([0.4, 0.3, 1.2])
    seen = turn.as_matrix() @ point + t
    expected = (500 * seen[0] / seen[2] + 320.5, 510 * seen[1] / seen[2] + 241)
    assert pixel_of(one, point) == pytest.approx(expected, abs=1e-9)
    assert one.frame == 7


def test_colmap_lines_of_points_may_be_empty(tmp_path):
    (tmp_path / "cameras.txt").write_text("1 SIMPLE_RADIAL 640 480 500 320 240 0.1\n")
    (tmp_path / "images.txt").write_text("1 1 0 0 0 0 0 0 1 b.png\n\n2 1 0 0 0 1 0 0 1 a.png\n\n")
    solve = cameras.read(tmp_path)
    assert [c.name for c in solve.cameras] == ["a.png", "b.png"] and "Brown" in solve.notes[0]


def test_the_originals_table_has_row_vectors_in_centimetres(tmp_path):
    header = ",".join([*(f"m{i}" for i in range(16)), "focal_length", "filename"])
    row = "1,0,0,0, 0,1,0,0, 0,0,1,0, 100,200,300,1, 35,frame.0012.jpg"
    (tmp_path / "a.csv").write_text(f"{header}\n{row}\n")
    solve = cameras.read(tmp_path / "a.csv", Given(size_px=(1920, 1080)))
    one = solve.cameras[0]
    np.testing.assert_allclose(one.matrix[:3, 3], [1, 2, 3])
    assert one.frame == 12 and one.name == "frame.0012.jpg" and one.focal_mm == pytest.approx(35)
    assert one.focal_px == pytest.approx((35 * 1920 / 36, 35 * 1920 / 36))
    assert "36 mm" in solve.notes[0]


def test_chan_gives_nukes_vertical_view(tmp_path):
    (tmp_path / "a.chan").write_text("1 0 0 5 0 90 0 40\n2 0 0 5 0 91 0 40\n")
    one = cameras.read(tmp_path / "a.chan", Given(rotation_order="ZXY", film_back_mm=(24.0, 18.0))).cameras[0]
    assert one.focal_mm == pytest.approx(9 / np.tan(np.radians(20)))
    # Turned left by 90 degrees about Y it looks along -X.
    np.testing.assert_allclose(one.matrix[:3, :3] @ [0, 0, -1], [-1, 0, 0], atol=1e-12)


def test_chan_asks_for_what_it_lacks(tmp_path):
    (tmp_path / "a.chan").write_text("1 0 0 5 0 90 0\n")
    with pytest.raises(UserError, match="rotation order"):
        cameras.read(tmp_path / "a.chan", Given(film_back_mm=FILM))
    with pytest.raises(UserError, match="film back"):
        cameras.read(tmp_path / "a.chan", Given(rotation_order="XYZ"))
    with pytest.raises(UserError, match="focal"):
        cameras.read(tmp_path / "a.chan", Given(rotation_order="XYZ", film_back_mm=FILM))


def test_chan_angles_do_not_jump(tmp_path):
    shot = [camera((0, angle, 0), frame=place) for place, angle in enumerate(range(160, 201, 10))]
    cameras.write(tmp_path / "a.chan", shot, Given(rotation_order="XYZ"))
    angles = [float(line.split()[5]) for line in (tmp_path / "a.chan").read_text().splitlines()]
    assert np.abs(np.diff(angles)).max() < 11


def test_nerf_reads_one_lens_for_all_and_turns_z_up(tmp_path):
    matrix = np.eye(4)
    matrix[:3, 3] = [1, 2, 3]
    told = {"camera_angle_x": 1.0, "w": 800, "h": 600,
            "frames": [{"file_path": "images/r_3", "transform_matrix": matrix.tolist()}]}  # fmt: skip
    (tmp_path / "transforms.json").write_text(json.dumps(told))
    one = cameras.read(tmp_path / "transforms.json", Given(up="z")).cameras[0]
    assert one.focal_px == pytest.approx((400 / np.tan(0.5),) * 2) and one.frame == 3
    np.testing.assert_allclose(one.matrix[:3, 3], [1, 3, -2])
    np.testing.assert_allclose(one.matrix[:3, :3] @ [0, 1, 0], [0, 0, -1], atol=1e-12)  # its Y was the old Y


MAYA = """//Maya ASCII 2024 scene
currentUnit -l meter -a degree -t film;
createNode transform -s -n "persp";
	setAttr ".t" -type "double3" 28 21 28 ;
createNode camera -s -n "perspShape" -p "persp";
createNode transform -n "dolly";
	setAttr ".t" -type "double3" 10 0 0 ;
	setAttr ".r" -type "double3" 0 90 0 ;
createNode transform -n "shot cam; 1" -p "dolly";
	setAttr ".ro" 2;
	setAttr ".rx" 10;
createNode camera -n "camShape" -p "shot cam; 1";
	setAttr -k off ".v";
	setAttr ".cap" -type "double2" 0.98425 0.5536 ;
	setAttr ".fl" 50;
createNode animCurveTL -n "slide";
	setAttr ".tan" 9;
	setAttr -s 2 ".ktv[0:1]"  1 0
		5 -4;
select -ne :defaultResolution;
	setAttr ".w" 1000;
	setAttr ".h" 500;
connectAttr "slide.o" "shot cam; 1.tz";
// End of scene
"""


def test_maya_scene_with_a_parent_keys_and_a_name_full_of_traps(tmp_path):
    (tmp_path / "a.ma").write_text(MAYA)
    shot = cameras.read(tmp_path / "a.ma").cameras
    assert [one.frame for one in shot] == [1, 2, 3, 4, 5]
    # The dolly is turned by 90 degrees about Y: along its -Z is along the world's -X.
    np.testing.assert_allclose(shot[2].matrix[:3, 3], [10 - 2, 0, 0], atol=1e-12)
    expected = Rotation.from_euler("Y", 90, degrees=True) * Rotation.from_euler("X", 10, degrees=True)
    np.testing.assert_allclose(shot[0].matrix[:3, :3], expected.as_matrix(), atol=1e-12)
    # Fill: the picture is wider than the aperture, so the width is filled.
    assert shot[0].focal_mm == pytest.approx(50)
    assert shot[0].film_back_mm == pytest.approx((25.0, 12.5), rel=1e-4)


def test_maya_scene_with_several_standing_cameras_is_a_set_of_views(tmp_path):
    parts = ["//Maya ASCII 2020 scene", "currentUnit -l cm;"]
    for number in (4, 9):
        parts.append(f'createNode transform -n "img{number}";\n\tsetAttr ".t" -type "double3" {number}00 0 0 ;')
        parts.append(f'createNode camera -n "img{number}Shape" -p "img{number}";')
    (tmp_path / "a.ma").write_text("\n".join(parts))
    shot = cameras.read(tmp_path / "a.ma").cameras
    assert [(one.frame, one.name, one.matrix[0, 3]) for one in shot] == [(4, "img4", 4.0), (9, "img9", 9.0)]
    assert cameras.read(tmp_path / "a.ma", Given(camera="img9")).cameras[0].matrix[0, 3] == 9.0
    with pytest.raises(UserError, match="img4"):
        cameras.read(tmp_path / "a.ma", Given(camera="img5"))


def test_usd_is_asked_for_when_it_is_missing(tmp_path, monkeypatch):
    import sys

    (tmp_path / "a.usda").write_text("#usda 1.0\n")
    for name in [name for name in sys.modules if name.split(".")[0] == "pxr"] or ["pxr"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(UserError, match=r"ganvas\[cameras\]"):
        cameras.read(tmp_path / "a.usda")


@pytest.mark.skipif(not HAS_USD, reason="the extra 'cameras' is not installed")
def test_usd_tenths_of_a_unit_and_parents(tmp_path):
    from pxr import Gf, Usd, UsdGeom

    stage = Usd.Stage.CreateNew(str(tmp_path / "a.usda"))
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdGeom.SetStageUpAxis(stage, "Z")
    UsdGeom.Xform.Define(stage, "/rig").AddTranslateOp().Set(Gf.Vec3d(0, 0, 2))
    lens = UsdGeom.Camera.Define(stage, "/rig/cam")
    lens.CreateFocalLengthAttr(0.35)
    lens.CreateHorizontalApertureAttr(0.36)
    lens.CreateVerticalApertureAttr(0.24)
    stage.GetRootLayer().Save()
    one = cameras.read(tmp_path / "a.usda").cameras[0]
    assert one.focal_mm == pytest.approx(35, rel=1e-6) and one.film_back_mm == pytest.approx((36, 24), rel=1e-6)
    np.testing.assert_allclose(one.matrix[:3, 3], [0, 2, 0], atol=1e-9)
    np.testing.assert_allclose(one.matrix[:3, :3] @ [0, 0, -1], [0, -1, 0], atol=1e-9)


def bad(**changes):
    matrix = np.eye(4)
    for (row, column), value in changes.pop("entries", {}).items():
        matrix[row, column] = value
    return replace(camera(), matrix=matrix, **changes)


@pytest.mark.parametrize(
    ("one", "match"),
    [
        (bad(entries={(0, 0): np.nan}), "no numbers"),
        (bad(entries={(1, 1): 0.0}), "singular"),
        (bad(entries={(0, 0): 0.0, (1, 0): 1.0}), "singular"),
        (bad(entries={(0, 0): -1.0}), "left-handed"),
        (bad(entries={(0, 1): 0.2}), "sheared"),
        (bad(focal_px=(-3.0, -3.0)), "focal length"),
    ],
)
def test_what_is_no_camera_is_named_with_its_frame(one, match, tmp_path):
    text = {"w": 1280, "h": 720, "frames": [
        {"file_path": "f5.png", "transform_matrix": one.matrix.tolist(), "fl_x": one.focal_px[0]}]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(text))
    with pytest.raises(UserError, match=f"Frame 5.*{match}"):
        cameras.read(tmp_path / "a.json")


def test_uniform_scale_of_a_rig_is_taken_out(tmp_path):
    text = {"w": 1280, "h": 720, "fl_x": 900, "frames": [
        {"file_path": "f5.png", "transform_matrix": (np.eye(4) * [3, 3, 3, 1]).tolist()}]}  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(text))
    np.testing.assert_allclose(cameras.read(tmp_path / "a.json").cameras[0].matrix, np.eye(4))


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("a.csv", "m0,m1\n1,2\n", "m2"),
        ("a.csv", ",".join([*(f"m{i}" for i in range(16)), "focal_length"]) + "\n" + "1," * 16 + "x\n", "focal_length"),
        ("a.csv", "", "no rows"),
        ("a.chan", "1 2 3\n", "3 values"),
        ("a.chan", "", "no cameras"),
        ("a.json", "{}", "frames"),
        ("a.json", "[", "cannot be read"),
        ("a.json", '{"frames": [{"file_path": "a"}], "w": 1, "h": 1, "fl_x": 1}', "transform_matrix"),
        (
            "a.json",
            '{"frames": [{"transform_matrix": [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]}], "fl_x": 1}',
            "--size",
        ),
        ("a.ma", "//Maya ASCII 2020 scene\n", "no cameras"),
        ("a.mb", "", "no camera format"),
        ("images.txt", "", "cameras.txt"),
    ],
)
def test_damaged_files_are_named(name, text, match, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=match):
        cameras.read(tmp_path / name, Given(rotation_order="XYZ", film_back_mm=FILM))


def test_nothing_is_overwritten_unasked(tmp_path):
    for name in ("a.csv", "model"):
        cameras.write(tmp_path / name, [camera()])
        with pytest.raises(UserError, match="exists already"):
            cameras.write(tmp_path / name, [camera()])
        cameras.write(tmp_path / name, [camera()], overwrite=True)


def test_roll_zoom_crop_and_resize_move_pixels_as_they_move_pictures():
    one = camera((5, 40, -10), (1, 2, 3), 40.0, shift=(2.0, 1.0))
    ahead = one.matrix @ [0.7, 0.4, -5, 1]
    x, y = pixel_of(one, ahead[:3])
    cx, cy = one.centre_px
    assert pixel_of(one.zoomed(2), ahead[:3]) == pytest.approx((cx + 2 * (x - cx), cy + 2 * (y - cy)))
    assert pixel_of(one.cropped(100, 50, 640, 400), ahead[:3]) == pytest.approx((x - 100, y - 50))
    assert pixel_of(one.resized(640, 720), ahead[:3]) == pytest.approx((x / 2, y))
    # The camera turns counter-clockwise, the picture clockwise: what was above is right, what was right is below.
    assert pixel_of(one.rolled(90), ahead[:3]) == pytest.approx((cx + (cy - y), cy + (x - cx)))
    assert one.cropped(100, 50, 640, 400).focal_mm == pytest.approx(40) == one.resized(640, 720).focal_mm
    np.testing.assert_allclose(one.intrinsics @ [0.7, 0.4, -5] / 5, [x, y, 1])


def test_colmaps_own_reader_opens_what_is_written(tmp_path):
    import pycolmap

    shot = [camera((10, 40, -5), (1, 2, 3), 40.0, frame, shift=(1.0, -0.5)) for frame in (1, 2)]
    cameras.write(tmp_path / "shot.camera", shot, kind="colmap")
    model = pycolmap.Reconstruction(str(tmp_path / "shot.camera"))
    point = shot[0].matrix @ [0.3, -0.2, -4, 1]
    for image, ours in zip(sorted(model.images.values(), key=lambda one: one.name), shot):
        assert image.name == ours.name
        assert image.project_point(point[:3]) == pytest.approx(pixel_of(ours, point[:3]), abs=1e-6)


def test_what_neither_user_nor_file_says_comes_from_elsewhere_with_a_note(tmp_path):
    cameras.write(tmp_path / "a.chan", [camera((10, 20, 30), (1, 2, 3))], Given(rotation_order="YZX", up="z"))
    cameras.write(tmp_path / "a.ma", [camera((10, 20, 30), (1, 2, 3))])
    known = Given(film_back_mm=FILM, size_px=SIZE, rotation_order="YZX", up="z")
    solve = cameras.read(tmp_path / "a.chan", otherwise=known)
    np.testing.assert_allclose(solve.cameras[0].matrix, camera((10, 20, 30), (1, 2, 3)).matrix, atol=1e-12)
    assert "rotation order YZX" in solve.notes[0] and "up axis z" in solve.notes[0]
    # A scene says its own film back and unit, and the user goes before all.
    assert cameras.read(tmp_path / "a.ma", Given(up="y"), Given(film_back_mm=(99.0, 9.0))).cameras[0].focal_mm == 35
    again = cameras.read(tmp_path / "a.chan", Given(rotation_order="XYZ"), known).cameras[0]
    assert not np.allclose(again.matrix, solve.cameras[0].matrix, atol=1e-2)


@pytest.mark.parametrize(
    ("lines", "match"),
    [
        ("1.5 2 3 10 20 30 50\n", "no frame number"),
        ("10 2 3 10 20 30 50\n10 2 3 10 20 30 50\n", "no later frame"),
        ("5 0 0 0 0 0 0 40\n3 0 0 0 0 0 0 40\n", "no later frame"),
        ("nan 0 0 0 0 0 0 35\n", "no number"),
        ("1 0 0 inf 0 0 0 35\n", "no number"),
        ("1 0 0 0 0 0 0 200\n", "--focal"),
        ("1 0 0 0 0 0 0 35\n2 0 0 0 0 0 0\n", "some lines"),
    ],
)
def test_chan_lines_that_are_none_of_nukes_are_refused(lines, match, tmp_path):
    (tmp_path / "a.chan").write_text(lines)
    with pytest.raises(UserError, match=match):
        cameras.read(tmp_path / "a.chan", Given(rotation_order="ZXY", film_back_mm=FILM))


def test_chan_column_8_and_a_focal_length_that_is_given(tmp_path):
    (tmp_path / "a.chan").write_text("1001 0 0 0 0 0 0 35\n")
    told = Given(rotation_order="ZXY", film_back_mm=FILM)
    solve = cameras.read(tmp_path / "a.chan", told)
    assert solve.cameras[0].focal_mm == pytest.approx(20.25 / 2 / np.tan(np.radians(17.5)))
    assert "degrees" in solve.notes[0] and "--focal 35" in solve.notes[0]
    solve = cameras.read(tmp_path / "a.chan", replace(told, focal_mm=35.0))
    assert solve.cameras[0].focal_mm == pytest.approx(35) and "column 8" in solve.notes[0]


def frames(*own, **common):
    matrix = np.eye(4).tolist()
    return {
        **common,
        "frames": [{"file_path": f"{n}.png", "transform_matrix": matrix, **one} for n, one in enumerate(own, 1)],
    }


@pytest.mark.parametrize(
    ("own", "focal"),
    [
        ({}, (900, 910)),
        ({"fl_x": 500}, (500, 500)),
        ({"camera_angle_x": 1.0}, (640 / np.tan(0.5), 640 / np.tan(0.5))),
        ({"fl_x": None}, (900, 910)),
        ({"fl_y": 700}, (900, 700)),
    ],
)
def test_a_frames_own_lens_goes_before_that_of_all(own, focal, tmp_path):
    told = frames(own, fl_x=900, fl_y=910, w=1280, h=720, camera_angle_x=0.3, k1=None)
    (tmp_path / "a.json").write_text(json.dumps(told))
    assert cameras.read(tmp_path / "a.json").cameras[0].focal_px == pytest.approx(focal)


@pytest.mark.parametrize(
    ("told", "match"),
    [
        (frames({}, camera_angle_x=40.0, w=8, h=8), "looks like degrees"),
        (frames({}, fl_x=9, w=8, h=8, camera_model="EQUIRECTANGULAR"), "EQUIRECTANGULAR"),
        (frames({"camera_model": "EQUIRECTANGULAR"}, fl_x=9, w=8, h=8), "EQUIRECTANGULAR"),
        (frames({}, fl_x=9, w=8, h=8, camera_model="EQUISOLID"), "EQUISOLID"),
        (frames({}, fl_x=9, w=8, h=8, ftheta_p0=1.0), "f-theta"),
        (frames({}, fl_x=None, w=8, h=8), "focal length"),
        (frames({}, fl_x="wide", w=8, h=8), "no number"),
        (frames({"frame": "x"}, fl_x=9, w=8, h=8), "frame number"),
        (frames({"frame": float("inf")}, fl_x=9, w=8, h=8), "beyond all bounds"),
        (frames({}, fl_x=9, w=float("inf"), h=8), "beyond all bounds"),
    ],
)
def test_lenses_of_transforms_that_are_none_are_refused(told, match, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(told))
    with pytest.raises(UserError, match=match):
        cameras.read(tmp_path / "a.json")


@pytest.mark.parametrize("told", [{"camera_model": "OPENCV_FISHEYE"}, {"is_fisheye": True}])
def test_a_fisheye_of_transforms_is_never_a_pinhole(told, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(frames({}, fl_x=200, w=640, h=480, k1=0.0, **told)))
    solve = cameras.read(tmp_path / "a.json")
    assert solve.cameras[0].lens.model == "fisheye" and any("fisheye" in note for note in solve.notes)
    # An equidistant fisheye sees the angle in radians times the focal length.
    x, _ = solve.cameras[0].lens.distort(np.array(np.tan(0.8)), np.array(0.0))
    assert float(x) == pytest.approx(0.8)


@pytest.mark.skipif(not HAS_USD, reason="the extra 'cameras' is not installed")
def test_usd_samples_start_and_projection(tmp_path):
    from pxr import Gf, Usd, UsdGeom, UsdUtils

    def stage_of(name, samples, **metadata):
        stage = Usd.Stage.CreateNew(str(tmp_path / name))
        UsdGeom.SetStageMetersPerUnit(stage, 1.0)
        for key, value in metadata.items():
            stage.SetMetadata(key, value)
        lens = UsdGeom.Camera.Define(stage, "/cam")
        move = lens.AddTranslateOp()
        for time, x in samples:
            move.Set(Gf.Vec3d(x, 0, 0), time) if time is not None else move.Set(Gf.Vec3d(x, 0, 0))
        return stage, lens

    def read(stage):
        stage.GetRootLayer().Save()
        return [(one.frame, one.matrix[0, 3]) for one in cameras.read(stage.GetRootLayer().realPath).cameras]

    sparse, lens = stage_of("sparse.usda", [(1001, 0), (1005, 8)])
    assert read(sparse) == [(1001 + k, 2.0 * k) for k in range(5)]
    assert UsdUtils.CreateNewUsdzPackage(str(tmp_path / "sparse.usda"), str(tmp_path / "packed.usdz"))
    assert len(cameras.read(tmp_path / "packed.usdz").cameras) == 5
    lens.CreateProjectionAttr(UsdGeom.Tokens.orthographic)
    with pytest.raises(UserError, match="orthographic"):
        read(sparse)
    assert read(stage_of("blur.usda", [(0.75, 3), (1.0, 4), (1.25, 5), (1.75, 7), (2.0, 8)])[0]) == [(1, 4.0), (2, 8.0)]
    assert read(stage_of("still.usda", [(None, 5)], startTimeCode=1001.0)[0]) == [(1001, 5.0)]
    seconds = stage_of("seconds.usda", [(0, 0), (1, 24)], timeCodesPerSecond=1.0, framesPerSecond=24.0)[0]
    assert read(seconds)[:3] == [(0, 0.0), (1, 1.0), (2, 2.0)]


@pytest.mark.skipif(not HAS_USD, reason="the extra 'cameras' is not installed")
def test_usd_carries_rate_unit_and_up_axis(tmp_path):
    from pxr import Usd, UsdGeom

    shot = [camera((10, 20, 30), (1, 2, 3), frame=frame) for frame in (1001, 1002)]
    cameras.write(tmp_path / "a.usda", shot, Given(fps=25.0, up="z", metres_per_unit=1.0))
    stage = Usd.Stage.Open(str(tmp_path / "a.usda"))
    assert stage.GetFramesPerSecond() == stage.GetTimeCodesPerSecond() == 25
    assert UsdGeom.GetStageUpAxis(stage) == "Z" and UsdGeom.GetStageMetersPerUnit(stage) == 1.0
    assert (stage.GetStartTimeCode(), stage.GetEndTimeCode()) == (1001, 1002)
    place = UsdGeom.Xformable(stage.GetPrimAtPath("/shotCam")).ComputeLocalToWorldTransform(1001).ExtractTranslation()
    np.testing.assert_allclose(list(place), [1, -3, 2], atol=1e-12)
