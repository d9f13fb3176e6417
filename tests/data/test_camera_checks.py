"""The doctor for cameras: healthy solves pass, and each known fault is found and named."""

import dataclasses
import xml.etree.ElementTree

import numpy as np
import pytest

from ganvas.data import camera_checks
from ganvas.data.camera_checks import check_folder, top_view
from ganvas.data.camera_findings import check
from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import plain_camera
from ganvas.io.cameras.geometry import into_metres, out_of_metres
from ganvas.io.pictures import images

WORDS = {
    "duplicates": "same as another", "pixels": "millimetres", "outlier": "far from all", "flipped": "look away",
    "z": "up axis is Z", "head": "heads", "sizes": "sizes",
}  # fmt: skip


def orbit(number=24, height=1.0):
    """Cameras around the origin that look at it."""
    made = []
    for frame in range(number):
        angle = 2 * np.pi * frame / number
        back = np.array([np.sin(angle), height / 5, np.cos(angle)])
        origin, back = 5 * back, back / np.linalg.norm(back)
        right = np.cross([0, 1, 0], back)
        right /= np.linalg.norm(right)
        matrix = np.eye(4)
        matrix[:3] = np.column_stack([right, np.cross(back, right), back, origin])
        made.append(plain_camera(matrix, 35.0, (36.0, 24.0), (300, 200), frame, f"{frame:04d}.png"))
    return made


def changed(camera, **changes):
    return dataclasses.replace(camera, **changes)


def words(found):
    return " | ".join(map(str, found))


def test_a_healthy_solve_has_no_findings():
    assert check(orbit()) == []


def fault(kind):
    solve = orbit()
    if kind == "duplicates":
        return [*solve, changed(solve[3], frame=99)]
    if kind == "pixels":
        return [plain_camera(one.matrix, 1400.0, (36.0, 24.0), (300, 200), one.frame) for one in solve]
    if kind == "outlier":
        matrix = solve[0].matrix.copy()
        matrix[:3, 3] = [400, 0, 0]
        return [changed(solve[0], matrix=matrix), *solve[1:]]
    if kind == "flipped":
        return [changed(one, matrix=one.matrix @ np.diag([-1.0, 1, -1, 1])) for one in solve]
    if kind == "z":
        return [changed(one, matrix=out_of_metres(one.matrix, 1, "z")) for one in solve]
    if kind == "head":
        return [changed(one, matrix=into_metres(one.matrix, 1, "-y")) for one in solve]
    return [changed(solve[0], size_px=(600, 400)), *solve[1:]]


@pytest.mark.parametrize("kind", WORDS)
def test_each_fault_is_found(kind):
    assert WORDS[kind] in words(check(fault(kind)))


def test_a_part_in_another_unit_is_told_from_a_stray_camera():
    solve = orbit()
    for place in (2, 3, 4, 5):
        matrix = solve[place].matrix.copy()
        matrix[:3, 3] *= 100
        solve[place] = changed(solve[place], matrix=matrix)
    assert "100 times" in words(check(solve)) and "Units are mixed" in words(check(solve))


def test_a_pan_from_one_place_is_no_fault():
    solve = [
        changed(one, matrix=np.vstack([np.column_stack([one.matrix[:3, :3], [0, 0, 0]]), [0, 0, 0, 1]]))
        for one in orbit()
    ]
    assert check(solve) == []


def test_the_plan_is_drawn_to_scale_with_a_dot_for_each_camera():
    drawn = xml.etree.ElementTree.fromstring(top_view(orbit(8)))
    dots = [node for node in drawn.iter() if node.tag.endswith("circle")]
    assert len(dots) == 8
    xs = [float(dot.get("cx")) for dot in dots]
    assert max(xs) - min(xs) == pytest.approx(camera_checks.SIDE - 2 * camera_checks.MARGIN, abs=0.2)


def test_a_folder_is_reported_with_what_is_missing(tmp_path):
    solve = orbit(6)
    cameras.write(tmp_path / "cameras.csv", solve)
    for one in [*solve[:5], changed(solve[0], name="stray.png")]:
        images.write(tmp_path / one.name, np.zeros((20, 30, 3), np.uint8))
    report = check_folder(tmp_path)
    told = " | ".join(report.lines())
    assert "5 cameras with pictures of 30 x 20 px" in told
    assert "1 cameras have no picture: 0005.png" in told and "1 pictures have no camera: stray.png" in told
    assert report.plan.startswith("<svg")
    with pytest.raises(UserError):
        check([])
