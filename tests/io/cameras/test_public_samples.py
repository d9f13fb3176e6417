"""Phones' and trackers' files with the numbers of public files, against what else those files say or formulas.

- Bundler: `snavely/bundler_sfm`, `examples/kermit/results.example/bundle.out`: five of its cameras, and where three of
  its points were seen.
- 3D Scanner App (ARKit): `laanlabs/3dScannerApp_samples`, `chair_scan/frame_00000.json`, with the projection of OpenGL
  that ARKit wrote beside pose and lens.
- Record3D: `YaroslavGladun/door_handle_detection`, `EXR_RGBD/metadata.json`: its first pose.
- Polycam: a keyframe in `thomas-graphopti/trajectoryAlign`, in the tests of `modelAlign`.
- OpenMVG: views and lens of `LucasSwitz/OnlineSFM`, `sfm_data.json`, and a pose that is printed in jsoncons' examples
  (`danielaparker/jsoncons`): no public file that holds all of it was found.
- TUM: the first line of `rgbd_dataset_freiburg1_xyz/groundtruth.txt`, which many descriptions of the format print.
  KITTI: the first two poses of sequence 00 and its `P0`, likewise.

Only numbers were taken.
"""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Given


def seen(camera, point):
    """Where a camera of the normal form, with its lens, sees a point."""
    x, y, z, _ = np.linalg.inv(camera.matrix) @ [*point, 1]
    x, y = np.array(x / -z), np.array(y / z)
    if camera.lens is not None:
        x, y = camera.lens.distort(x, y)
    return camera.focal_px[0] * float(x) + camera.centre_px[0], camera.focal_px[1] * float(y) + camera.centre_px[1]


KERMIT = """# Bundle file v0.3
5 0
6.8836191949e+02 -4.3298174566e-02 6.4595780129e-02
9.9169682343e-01 -1.1465523668e-01 5.8237334201e-02
9.1862251402e-02 9.4851528606e-01 3.0311726919e-01
-8.9992983950e-02 -2.9525062035e-01 9.5117208434e-01
2.0185509789e-01 9.9076193853e-01 -5.0499057991e-01
0 0 0
0 0 0
0 0 0
0 0 0
0 0 0
6.9977694537e+02 -2.0665597816e-02 -3.1888241333e-03
9.1024628669e-01 -2.8120635237e-01 3.0393204001e-01
1.9276829644e-01 9.3741219825e-01 2.8999785251e-01
-3.6645884005e-01 -2.0538100681e-01 9.0748364205e-01
1.1082175219e+00 1.0251393695e+00 -4.1406441589e-01
7.0536763787e+02 -6.1514718359e-02 -3.8535446503e-02
9.9916814437e-01 -5.5608928990e-03 -4.0399204737e-02
5.8219181266e-03 9.9996291372e-01 6.3463740627e-03
4.0362414974e-02 -6.5762956580e-03 9.9916346400e-01
-1.2465447342e-01 -1.0176644469e-02 -4.0754171518e-01
7.2010295081e+02 -5.7447735839e-02 -2.9784925075e-02
9.9126230731e-01 6.1414957239e-02 -1.1673577484e-01
-1.0194218854e-01 9.1830642805e-01 -3.8251940395e-01
8.3706799580e-02 3.9107736732e-01 9.1654332384e-01
-1.9169496608e-01 -1.1151636713e+00 -5.5190582573e-01
"""
SEEN = {
    (-0.40485346845, -0.34008687041, -2.5720917457): {
        0: (-76.27, -36.36), 5: (12.78, -30.83), 7: (-98.87, -87.60), 8: (-71.58, -95.73),
    },
    (-0.11892448486, -0.76868283696, -2.6138678838): {
        0: (5.75, -134.21), 5: (114.08, -129.51), 7: (-32.07, -185.28), 8: (-11.54, -177.91),
    },
    (0.61262575458, 0.29334725833, -2.7598187498): {0: (129.45, 102.62), 7: (133.95, 60.03), 8: (185.65, 36.51)},
}  # fmt: skip
"""Point -> camera -> where its picture of 640 x 480 px shows it, from its middle, Y up."""


def test_bundlers_example_sees_its_points_where_its_pictures_show_them(tmp_path):
    (tmp_path / "bundle.out").write_text(KERMIT)
    numbers = (0, 4, 5, 7, 8)
    (tmp_path / "list.txt").write_text("".join(f"./kermit{number:03d}.jpg\n" for number in numbers))
    solve = cameras.read(tmp_path / "bundle.out", Given(size_px=(640, 480)))
    found = {one.frame: one for one in solve.cameras}
    assert sorted(found) == [0, 5, 7, 8] and any("1 pictures" in note for note in solve.notes)
    for point, places in SEEN.items():
        for number, (x, y) in places.items():
            # Within what its bundle adjustment left; a wrong sign or order is off by tens of pixels.
            assert seen(found[number], point) == pytest.approx((320 + x, 240 - y), abs=2.5)


SCANNER = {
    "cameraPoseARFrame": [
        0.82525503635406494, 0.39880329370498657, -0.39988726377487183, -0.40769326686859131,
        -0.010261503979563713, 0.71853721141815186, 0.69541257619857788, 1.4488900899887085,
        0.56466680765151978, -0.56978940963745117, 0.59706878662109375, 1.305903434753418, 0, 0, 0, 0.99999988079071045,
    ],
    "projectionMatrix": [
        1.5079731941223145, 0, -0.0068008899688720703, 0, 0, 2.0106310844421387, -0.038609027862548828, 0,
        0, 0, -0.9999997615814209, -0.00099999981466680765, 0, 0, -1, 0,
    ],
    "intrinsics": [1447.654296875, 0, 966.02886962890625, 0, 1447.654296875, 691.7015380859375, 0, 0, 1],
    "frame_index": 0, "time": 402896.97460912511, "motionQuality": 1,
}  # fmt: skip


def test_the_sample_of_the_3d_scanner_app_projects_as_arkit_does(tmp_path):
    (tmp_path / "frame_00000.json").write_text(json.dumps(SCANNER))
    (one,) = cameras.read(tmp_path / "frame_00000.json", Given(size_px=(1920, 1440))).cameras
    pose = np.reshape(SCANNER["cameraPoseARFrame"], (4, 4))
    for ahead in ([0.3, -0.2, -2.0], [-0.9, 0.5, -1.5], [0.0, 0.0, -1.0]):
        x, y, _, w = np.reshape(SCANNER["projectionMatrix"], (4, 4)) @ [*ahead, 1]
        # From OpenGL's square to pixels: its edges are the picture's.
        expected = ((1 + x / w) / 2 * 1920, (1 - y / w) / 2 * 1440)
        assert seen(one, (pose @ [*ahead, 1])[:3]) == pytest.approx(expected, abs=2e-3)
    # The phone was held nearly level, above the chair that it looks down on.
    assert one.matrix[1, 1] > 0.7 and one.matrix[1, 2] > 0.6 and one.matrix[1, 3] == pytest.approx(1.44889, abs=1e-5)


def test_a_recording_of_record3d(tmp_path):
    pose = [0.24366383254528046, 0.75411069393157959, 0.35214099287986755, -0.49793744087219238,
            0.27216407666669617, -0.043846167623996735, 0.95833921432495117]  # fmt: skip
    told = {"w": 1440, "h": 1920, "dw": 192, "dh": 256, "fps": 60, "cameraType": 1, "initPose": [0, 0, 0, 1, 0, 0, 0],
            "K": [1404.302978515625, 0, 0, 0, 1404.302978515625, 0, 724.6458740234375, 963.78375244140625, 1],
            "poses": [pose], "frameTimestamps": [0]}  # fmt: skip
    (tmp_path / "metadata.json").write_text(json.dumps(told))
    solve = cameras.read(tmp_path / "metadata.json")
    (one,) = solve.cameras
    np.testing.assert_allclose(one.matrix[:3, :3], Rotation.from_quat(pose[:4]).as_matrix(), atol=1e-6)
    np.testing.assert_allclose(one.matrix[:3, 3], pose[4:])
    assert one.size_px == (1440, 1920) and one.focal_px == pytest.approx((1404.302978515625,) * 2)
    assert one.centre_px == pytest.approx((724.6458740234375, 963.78375244140625)) and solve.fps == 60
    # A phone held upright, looking down at a door's handle: its X is level, its Y up.
    assert abs(one.matrix[1, 0]) < 0.02 and one.matrix[1, 1] > 0.6


def test_a_keyframe_of_polycam(tmp_path):
    rows = [
        [0.32845363020896912, 0.70677530765533447, 0.62656736373901367, -0.026150837540626526],
        [-0.88823282718658447, 0.0055511882528662682, 0.4593597948551178, 0.2792048454284668],
        [0.32118603587150574, -0.70741617679595947, 0.6296045184135437, -0.11549199372529984],
    ]
    told = {f"t_{row}{column}": value for row, line in enumerate(rows) for column, value in enumerate(line)}
    told |= {"fx": 1512.2042236328125, "fy": 1512.2042236328125, "cx": 969.39349365234375, "cy": 719.08648681640625,
             "width": 1920, "height": 1440, "timestamp": 484009.04417091602, "neighbors": []}  # fmt: skip
    folder = tmp_path / "keyframes" / "corrected_cameras"
    folder.mkdir(parents=True)
    (folder / "484009044.json").write_text(json.dumps(told))
    (one,) = cameras.read(tmp_path / "keyframes").cameras
    np.testing.assert_allclose(one.matrix[:3], rows, atol=1e-6)
    assert one.focal_px == pytest.approx((1512.2042236328125,) * 2) and one.size_px == (1920, 1440)
    assert one.name == "484009044" and one.centre_px == pytest.approx((969.39349365234375, 719.08648681640625))


def test_parts_of_openmvgs_files(tmp_path):
    rotation = [
        [0.89280214808572156, 0.35067276062587932, -0.28272413998197254],
        [-0.090429686592667424, 0.75440463553446824, 0.65015084224113584],
        [0.44127859245183554, -0.5548894131618759, 0.70524530697098287],
    ]
    centre = [-0.60959634064871249, 0.24123645392011658, 0.57783384588917808]
    view = {"local_path": "", "filename": "0a42d38d-9493-4cf2-a876-63165d7016e3.JPG", "width": 2832, "height": 2128,
            "id_view": 0, "id_intrinsic": 0, "id_pose": 0}  # fmt: skip
    lens = {"width": 2832, "height": 2128, "focal_length": 2884.2618124909256, "principal_point": [1416.0, 1064.0],
            "disto_k3": [0.0, 0.0, 0.0]}  # fmt: skip
    told = {
        "sfm_data_version": "0.3", "root_path": "", "structure": [], "control_points": [],
        "views": [{"key": 0, "value": {"polymorphic_id": 1073741824, "ptr_wrapper": {"id": 2147483649, "data": view}}}],
        "intrinsics": [{"key": 0, "value": {"polymorphic_id": 2147483649, "polymorphic_name": "pinhole_radial_k3",
                                            "ptr_wrapper": {"id": 2147483659, "data": lens}}}],
        "extrinsics": [{"key": 0, "value": {"rotation": rotation, "center": centre}}],
    }  # fmt: skip
    (tmp_path / "sfm_data.json").write_text(json.dumps(told))
    (one,) = cameras.read(tmp_path / "sfm_data.json").cameras
    for point in ([0.5, 1.0, 6.0], [-2.0, 0.3, 5.0]):
        # x = K R (X - C), as its documentation has it.
        x, y, z = np.array(rotation) @ (np.array(point) - centre)
        expected = (2884.2618124909256 * x / z + 1416, 2884.2618124909256 * y / z + 1064)
        assert z > 0 and seen(one, point) == pytest.approx(expected, abs=1e-6)


def test_lines_of_the_trajectories_of_tum_and_kitti(tmp_path):
    line = "1305031098.6659 1.3563 0.6305 1.6380 0.6132 0.5962 -0.3311 -0.3986"
    (tmp_path / "groundtruth.txt").write_text(f"# timestamp tx ty tz qx qy qz qw\n{line}\n")
    given = Given(size_px=(640, 480), focal_mm=517.3 * 36 / 640, film_back_mm=(36.0, 27.0), up="z")
    (one,) = cameras.read(tmp_path / "groundtruth.txt", given).cameras
    # Z was up there, so its height of 1.638 m is our Y; it looks down at a desk.
    np.testing.assert_allclose(one.matrix[:3, 3], [1.3563, 1.6380, -0.6305])
    ahead = Rotation.from_quat([0.6132, 0.5962, -0.3311, -0.3986]).apply([0, 0, 1])
    np.testing.assert_allclose(-one.matrix[:3, 2], [ahead[0], ahead[2], -ahead[1]], atol=1e-9)
    assert -one.matrix[1, 2] < -0.4 and one.matrix[1, 1] > 0.5
    (tmp_path / "00.txt").write_text(
        "1.000000e+00 9.043680e-12 2.326809e-11 5.551115e-17 9.043683e-12 1.000000e+00 2.392370e-10 3.330669e-16 "
        "2.326810e-11 2.392370e-10 9.999999e-01 -4.440892e-16\n9.999978e-01 5.272628e-04 -2.066935e-03 -4.690294e-02 "
        "-5.296506e-04 9.999992e-01 -1.154865e-03 -2.839928e-02 2.066324e-03 1.155958e-03 9.999971e-01 8.586941e-01\n"
    )
    (tmp_path / "calib.txt").write_text("P0: 718.856 0 607.1928 0 0 718.856 185.2157 0 0 0 1 0\n")
    first, second = cameras.read(tmp_path / "00.txt", Given(size_px=(1241, 376))).cameras
    np.testing.assert_allclose(first.matrix, np.eye(4), atol=1e-6)
    # The car drove 0.86 m ahead, which is along our -Z, and hardly turned.
    np.testing.assert_allclose(second.matrix[:3, 3], [-0.04690294, 0.02839928, -0.8586941], atol=1e-7)
    assert second.matrix[2, 2] == pytest.approx(1, abs=1e-5)
    assert second.focal_px == pytest.approx((718.856, 718.856)) and second.centre_px == pytest.approx(
        (607.1928, 185.2157)
    )
