"""Maya scenes: transforms and lenses against the formulas of Maya's documentation; the rest is refused by line."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Given, plain_camera
from ganvas.io.cameras.maya_scene import Scene

HEAD = "//Maya ASCII 2020 scene\ncurrentUnit -l centimeter -a degree -t pal;\n"
SCREEN = 'select -ne :defaultResolution;\n\tsetAttr ".w" 2000;\n\tsetAttr ".h" 1000;\n'


def scene(path, transform="", lens="", screen="", before="", after="", parent=""):
    above = f' -p "{parent}"' if parent else ""
    text = (
        f'{HEAD}{before}createNode transform -n "shot"{above};\n{transform}'
        f'createNode camera -n "shotShape" -p "shot";\n\tsetAttr ".ff" 1;\n{lens}{SCREEN}{screen}{after}'
    )
    (path / "a.ma").write_text(text)
    return path / "a.ma"


def moved(*by):
    matrix = np.eye(4)
    matrix[:3, 3] = by
    return matrix


def turned(order, *angles):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler(order, angles, degrees=True).as_matrix()
    return matrix


def test_a_transform_is_the_product_of_its_documentation(tmp_path):
    """For rows: [Sp^-1][S][Sh][Sp][St][Rp^-1][Ra][R][Rp][Rt][T], then the offset parent matrix and the parent."""
    attributes = "".join(
        f'\tsetAttr ".{name}" -type "double3" {values} ;\n'
        for name, values in (
            ("t", "10 20 30"),
            ("r", "12 -40 25"),
            ("ra", "0 -90 5"),
            ("rp", "1 2 3"),
            ("sp", "4 5 6"),
            ("rpt", ".1 .2 .3"),
            ("spt", ".4 .5 .6"),
            ("s", "2 2 2"),
        )
    )
    rig = 'createNode transform -n "rig";\n\tsetAttr ".t" -type "double3" 100 0 0 ;\n\tsetAttr ".ry" 30;\n'
    opm = '\tsetAttr ".opm" -type "matrix" 0 1 0 0 -1 0 0 0 0 0 1 0 7 8 9 1;\n\tsetAttr ".ro" 4;\n'
    one = cameras.read(scene(tmp_path, attributes + opm, before=rig, parent="rig")).cameras[0]
    offset = np.array([[0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [7, 8, 9, 1]], float).T
    # Columns: the same from right to left; rotate order 4 is YXZ.
    turn = Rotation.from_euler("yxz", (-40, 12, 25), degrees=True).as_matrix()
    turn4 = np.eye(4)
    turn4[:3, :3] = turn
    local = (
        moved(10, 20, 30) @ moved(0.1, 0.2, 0.3) @ moved(1, 2, 3) @ turn4 @ turned("xyz", 0, -90, 5) @ moved(-1, -2, -3)
        @ moved(0.4, 0.5, 0.6) @ moved(4, 5, 6) @ np.diag([2, 2, 2, 1]) @ moved(-4, -5, -6)
    )  # fmt: skip
    whole = moved(100, 0, 0) @ turned("y", 30) @ offset @ local
    np.testing.assert_allclose(one.matrix[:3, 3], whole[:3, 3] / 100, atol=1e-9)
    np.testing.assert_allclose(one.matrix[:3, :3], whole[:3, :3] / 2, atol=1e-9)


def test_rotate_axis_of_cameras_from_fbx(tmp_path):
    one = cameras.read(scene(tmp_path, '\tsetAttr ".r" -type "double3" 0 90 0 ;\n\tsetAttr ".ray" -90;\n')).cameras[0]
    np.testing.assert_allclose(one.matrix, np.eye(4), atol=1e-12)


def test_a_transform_that_does_not_inherit_stands_alone(tmp_path):
    rig = 'createNode transform -n "rig";\n\tsetAttr ".t" -type "double3" 100 0 0 ;\n'
    for word, place in (("no", 0.0), ("yes", 1.0)):
        one = cameras.read(scene(tmp_path, f'\tsetAttr ".it" {word};\n', before=rig, parent="rig")).cameras[0]
        assert one.matrix[0, 3] == place


F = 35 / 36 * 2000
"""Of Maya's default lens and film in pixels, but for the rounding of its inches."""


@pytest.mark.parametrize(
    ("lens", "screen", "focal", "shift"),
    [
        ("", "", (F, F), (0, 0)),
        ('\tsetAttr ".lsr" 2;\n', "", (F / 2, F / 2), (0, 0)),
        ('\tsetAttr ".lensSqueezeRatio" 2;\n', '\tsetAttr ".pa" 2;\n', (F / 2, F), (0, 0)),
        ("", '\tsetAttr ".pa" 2;\n', (F, 2 * F), (0, 0)),
        ("", '\tsetAttr ".dar" 4;\n', (F, 2 * F), (0, 0)),
        ('\tsetAttr ".cs" 2;\n', "", (F / 2, F / 2), (0, 0)),
        ('\tsetAttr ".se" yes;\n\tsetAttr ".hs" 0.1;\n\tsetAttr ".vs" -0.2;\n', "", (F, F), (2.54, -5.08)),
        ('\tsetAttr ".se" no;\n\tsetAttr ".hs" 0.1;\n', "", (F, F), (0, 0)),
        ('\tsetAttr ".hfo" 0.1;\n\tsetAttr ".se" yes;\n\tsetAttr ".hs" 0.1;\n', "", (F, F), (5.08, 0)),
    ],
)
def test_lenses(lens, screen, focal, shift, tmp_path):
    one = cameras.read(scene(tmp_path, lens=lens, screen=screen)).cameras[0]
    assert one.focal_px == pytest.approx(focal, rel=1e-4) and one.shift_mm == pytest.approx(shift, abs=1e-6)


@pytest.mark.parametrize("name", ["o", "orthographic", "frv", "filmRollValue", "ffo", "ptsc", "psc", "cth"])
def test_what_of_a_lens_is_not_evaluated_is_refused_by_line(name, tmp_path):
    value = "yes" if name[0] == "o" else "0.5"
    with pytest.raises(UserError, match=r"shotShape.*line 6"):
        cameras.read(scene(tmp_path, lens=f'\tsetAttr ".{name}" {value};\n'))


def curve(keys, *extra, kind="animCurveTL", name="c"):
    flat = " ".join(f"{time} {value}" for time, value in keys)
    more = "".join(f"\tsetAttr {one};\n" for one in extra)
    return f'createNode {kind} -n "{name}";\n\tsetAttr -s {len(keys)} ".ktv[0:{len(keys) - 1}]"  {flat};\n{more}'


CONNECT = 'connectAttr "c.o" "shot.tx";\n'


@pytest.mark.parametrize(
    ("keys", "extra", "expected"),
    [
        ([(1, 0), (5, 8)], ['".tan" 2'], [0, 2, 4, 6, 8]),
        ([(1, 0), (5, 8)], ['".tan" 9'], [0, 2, 4, 6, 8]),
        ([(1, 0), (5, 8)], ['-s 2 ".kot[0:1]"  5 5'], [0, 0, 0, 0, 8]),
        ([(1, 0), (5, 8)], ['-s 2 ".kot[0:1]"  17 17'], [0, 8, 8, 8, 8]),
        # A cubic with flat ends: 3 t^2 - 2 t^3.
        ([(1, 0), (5, 8)], ['".tan" 3'], [0, 1.25, 4, 6.75, 8]),
        ([(1, 0), (2, 7), (3, 1), (4, 4), (5, 2)], ['".tan" 18'], [0, 7, 1, 4, 2]),
    ],
)
def test_curves_between_keys(keys, extra, expected, tmp_path):
    shot = cameras.read(scene(tmp_path, after=curve(keys, *extra) + CONNECT)).cameras
    assert [one.frame for one in shot] == [1, 2, 3, 4, 5]
    np.testing.assert_allclose([100 * one.matrix[0, 3] for one in shot], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("infinity", "expected"),
    [(0, [0, 2, 2, 2, 2]), (1, [0, 2, 4, 6, 8]), (3, [0, 0, 0, 0, 0]), (4, [0, 2, 4, 6, 8]), (5, [0, 2, 0, 2, 0])],
)
def test_curves_beyond_their_keys(infinity, expected, tmp_path):
    x = curve([(1, 0), (2, 2)], '".tan" 2', f'".pst" {infinity}')
    y = curve([(1, 0), (5, 4)], '".tan" 2', name="d")
    shot = cameras.read(scene(tmp_path, after=x + y + CONNECT + 'connectAttr "d.o" "shot.ty";\n')).cameras
    found = [100 * one.matrix[0, 3] for one in shot]
    # A cycle of one frame begins anew at each key.
    np.testing.assert_allclose(found[0::2] if infinity == 3 else found, [0, 0, 0] if infinity == 3 else expected)


@pytest.mark.parametrize(
    ("after", "match"),
    [
        (curve([(1, 0), (5, 8), (9, 0)], '".tan" 18') + CONNECT, "auto tangents"),
        (curve([(1, 0), (5, 8)], '".wgt" yes', '".tan" 3') + CONNECT, "weighted"),
        (curve([(1, 0), (5, 8)], kind="animCurveUL") + CONNECT, "driven by c"),
        (
            'createNode animBlendNodeAdditiveDL -n "b";\nconnectAttr "b.o" "shot.tx";\n',
            "animBlendNodeAdditiveDL.*line 10",
        ),
        ('createNode expression -n "e";\nconnectAttr "e.out[0]" "shot.ry";\n', "expression"),
        ('createNode parentConstraint -n "p" -p "shot";\nconnectAttr "p.ctx" "shot.tx";\n', "parentConstraint"),
        ('createNode pairBlend -n "p";\nconnectAttr "p.otx1" "shot.translateX";\n', "pairBlend"),
        ('createNode decomposeMatrix -n "d";\nconnectAttr "d.ot" "shot.t";\n', "decomposeMatrix"),
        ('createNode multMatrix -n "m";\nconnectAttr "m.o" "shot.opm";\n', "multMatrix"),
        ('createNode expression -n "e";\nconnectAttr "e.out[0]" "shotShape.fl";\n', "shotShape.fl"),
    ],
)
def test_what_drives_a_camera_and_is_not_evaluated_is_refused(after, match, tmp_path):
    with pytest.raises(UserError, match=match):
        cameras.read(scene(tmp_path, after=after))


def test_conversions_of_units_are_no_obstacle(tmp_path):
    between = 'createNode unitConversion -n "u";\n\tsetAttr ".cf" 0.5;\n'
    links = 'connectAttr "c.o" "u.i";\nconnectAttr "u.o" "shot.tx";\n'
    shot = cameras.read(scene(tmp_path, after=curve([(1, 0), (2, 8)]) + between + links)).cameras
    assert 100 * shot[1].matrix[0, 3] == pytest.approx(4)


def test_equal_names_under_other_parents_are_told_apart(tmp_path):
    text = HEAD
    for rig, place in (("a", 1), ("b", 2)):
        text += f'createNode transform -n "{rig}";\ncreateNode transform -n "cam" -p "{rig}";\n'
        text += f'\tsetAttr ".t" -type "double3" {place}00 0 0 ;\ncreateNode camera -n "camShape" -p "|{rig}|cam";\n'
    text += curve([(1, 0), (2, 50)], '".tan" 2') + 'connectAttr "c.o" "|b|cam.ty";\n'
    (tmp_path / "a.ma").write_text(text)
    still = cameras.read(tmp_path / "a.ma", Given(camera="|a|cam")).cameras
    moving = cameras.read(tmp_path / "a.ma", Given(camera="b|cam")).cameras
    assert [one.matrix[0, 3] for one in still] == [1.0]
    assert [(one.matrix[0, 3], one.matrix[1, 3]) for one in moving] == [(2.0, 0.0), (2.0, 0.5)]
    with pytest.raises(UserError, match=r"several cameras 'cam'.*\|a\|cam, \|b\|cam"):
        cameras.read(tmp_path / "a.ma", Given(camera="cam"))


def test_a_scene_of_references_says_so(tmp_path):
    (tmp_path / "a.ma").write_text(
        HEAD + 'file -rdi 1 -ns "x" -rfn "xRN" -typ "mayaAscii" "x.ma";\nfile -r -ns "x" "x.ma";\n'
    )
    with pytest.raises(UserError, match=r"x\.ma, which is not opened"):
        cameras.read(tmp_path / "a.ma")


def test_what_is_written_carries_rate_units_and_the_whole_film(tmp_path):
    """Read by nothing of ours but the tokens: the film back is the original's, of which the fit shows the square."""
    square = plain_camera(np.eye(4), 35.0, (20.25, 20.25), (512, 512), 7)
    whole = type(square)(**{**vars(square), "whole_film_mm": (36.0, 20.25)})
    notes = cameras.write(tmp_path / "a.ma", [whole], Given(fps=25.0, up="z"))
    text = (tmp_path / "a.ma").read_text()
    assert "currentUnit -l centimeter -a degree -t pal;" in text and any("up axis" in note for note in notes)
    told = Scene(text, "a.ma")
    assert told.value(told.node("shotCamShape"), "cap", (0, 0), 7) == pytest.approx([36 / 25.4, 20.25 / 25.4])
    assert told.value(told.node("shotCamShape"), "ff", (0,), 7) == [2]
    solve = cameras.read(tmp_path / "a.ma")
    assert solve.fps == 25 and solve.cameras[0].focal_px == pytest.approx(square.focal_px)
    assert solve.cameras[0].film_back_mm == pytest.approx((20.25, 20.25))


@pytest.mark.parametrize(
    ("lens", "after"),
    [
        ('\tsetAttr ".cap" -type "double2" 0 0;\n', ""),
        ('\tsetAttr ".cs" 0;\n', ""),
        ("", curve([("nan", 0), (5, 8)]) + CONNECT),
        ("", curve([(1, 0), (10**12, 8)]) + CONNECT),
        ("", curve([(1, "nan"), (2, 8)]) + CONNECT),
    ],
)
def test_numbers_that_are_none_are_the_files_fault(lens, after, tmp_path):
    with pytest.raises(UserError, match=r"a\.ma"):
        cameras.read(scene(tmp_path, lens=lens, after=after))


@pytest.mark.parametrize(
    ("kind", "place"), [("transform", 1.0), ("dagContainer", 1.0), ("joint", 1.0), ("stereoRigTransform", 1.0)]
)
def test_every_kind_of_parent_that_is_a_transform_counts(kind, place, tmp_path):
    rig = f'createNode {kind} -n "rig";\n\tsetAttr ".t" -type "double3" 100 0 0 ;\n'
    assert cameras.read(scene(tmp_path, before=rig, parent="rig")).cameras[0].matrix[0, 3] == place


def test_a_parent_of_an_unknown_kind_is_refused_by_line(tmp_path):
    with pytest.raises(UserError, match=r"below rig.*somebodysRig.*line \d"):
        cameras.read(scene(tmp_path, before='createNode somebodysRig -n "rig";\n', parent="rig"))


def test_an_instance_of_a_camera_is_a_camera(tmp_path):
    after = 'createNode transform -n "other";\n\tsetAttr ".t" -type "double3" 0 200 0 ;\n'
    path = scene(
        tmp_path, lens='\tsetAttr ".fl" 50;\n', after=after + 'parent -s -nc -r -add "|shot|shotShape" "other" ;\n'
    )
    one = cameras.read(path, Given(camera="other")).cameras[0]
    assert one.matrix[1, 3] == 2.0 and one.focal_mm == pytest.approx(50)


@pytest.mark.parametrize(
    ("after", "lens", "match"),
    [
        (curve([(1, 0), (5, 90)], '".tan" 2', '".roti" 5', kind="animCurveTA") + 'connectAttr "c.o" "shot.rx";\n', "",
         "quaternions"),
        (curve([(1, 0), (5, 8)], '".tan" 2') + CONNECT + 'createNode animCurveTT -n "timewarp";\n'
         'connectAttr "timewarp.o" ":time1.twi";\n', "", r"time of .* warped \(line 1\d"),
        ("", '\tsetAttr ".rpz" yes;\n\tsetAttr ".pze" yes;\n', "2D pan and zoom"),
        ("", '\tsetAttr ".renderPanZoom" yes;\n\tsetAttr ".panZoomEnabled" yes;\n', "2D pan and zoom"),
        ('createNode mute -n "m";\nconnectAttr "m.o" "shot.tx";\n', "", "mute"),
        ('createNode motionPath -n "m";\nconnectAttr "m.ac" "shot.t";\n', "", "motionPath"),
    ],
)  # fmt: skip
def test_more_that_is_not_evaluated_is_refused(after, lens, match, tmp_path):
    with pytest.raises(UserError, match=match):
        cameras.read(scene(tmp_path, lens=lens, after=after))


def test_synchronised_angles_are_angles(tmp_path):
    keys = curve([(1, 0), (5, 80)], '".tan" 2', '".roti" 2', kind="animCurveTA")
    shot = cameras.read(scene(tmp_path, after=keys + 'connectAttr "c.o" "shot.ry";\n')).cameras
    np.testing.assert_allclose(
        -shot[2].matrix[:3, 2], [-np.sin(np.radians(40)), 0, -np.cos(np.radians(40))], atol=1e-12
    )
