"""The same camera through every format renders the same frame of the embedded world, to a fraction of a pixel."""

import importlib.util

import numpy as np
import pytest

from ganvas.drawn.world import world
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Given, plain_camera

SIZE, FILM = (96, 48), (36.0, 18.0)
NAMES = ["a.csv", "a.chan", "a.json", "a.ma", "model", *(["a.usda"] if importlib.util.find_spec("pxr") else [])]


def rendered(camera):
    (width, height), (x, y) = camera.size_px, camera.shift_mm
    film = (width * camera.focal_mm / camera.focal_px[0], height * camera.focal_mm / camera.focal_px[1])
    own = world.Camera(camera.matrix, camera.focal_mm, film, (-x / film[0], -y / film[1]))
    return world.World(1).render(own, 0.0, width, height)


@pytest.fixture(scope="module")
def truth():
    own = world.orbit(5, 1)[2]
    camera = plain_camera(own.matrix, own.focal_mm, own.film_back_mm, SIZE, 7, "frames/000007.png")
    return camera, world.World(1).render(own, 0.0, *SIZE)


@pytest.mark.parametrize("name", NAMES)
def test_every_format_renders_the_same_frame(name, truth, tmp_path):
    camera, frame = truth
    given = Given(film_back_mm=FILM, size_px=SIZE, rotation_order="ZXY")
    cameras.write(tmp_path / name, [camera], given)
    again = rendered(cameras.read(tmp_path / name, given).cameras[0])
    # Depth is taken at the pixels' centres: a hundredth of a pixel of error would move every edge of it.
    assert (np.abs(again.depth - frame.depth) > 1e-3 * frame.depth).mean() < 2e-3
    assert np.abs(again.picture - frame.picture).mean() < 1e-3


def test_the_worlds_own_files_hold_its_cameras(tmp_path):
    from ganvas.cli import main

    assert main(["world", str(tmp_path / "w"), "--frames", "2", "--size", "32x16", "--path", "orbit", "--quiet"]) == 0
    own = [shot.camera for shot in world.shots("orbit", 2, 0, 0, (36.0, 18.0))[:2]]
    for name in ("cameras.csv", "transforms.json"):
        found = cameras.read(tmp_path / "w" / name, Given(film_back_mm=(36.0, 18.0), size_px=(32, 16))).cameras
        for ours, theirs in zip(found, own):
            np.testing.assert_allclose(ours.matrix, theirs.matrix, atol=1e-9)
            assert ours.focal_mm == pytest.approx(theirs.focal_mm)
            assert ours.film_back_mm == pytest.approx((36.0, 18.0))
        assert [one.frame for one in found] == [0, 1]


def test_formats_that_only_read_or_are_unknown_are_told_apart(tmp_path, truth):
    from ganvas.errors import UserError

    with pytest.raises(UserError, match="no camera format"):
        cameras.write(tmp_path / "a.mb", [truth[0]])
    with pytest.raises(UserError, match="only read"):
        cameras.write(tmp_path / "a.usdz", [truth[0]])
    with pytest.raises(UserError, match="no cameras"):
        cameras.write(tmp_path / "a.ma", [])
