"""Views and their augmentation: against re-rendered frames of the world, plain geometry, and what folders lack."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.data import shots
from ganvas.data.shots import View, Views, homography, read_footage, resample, vector, view_of
from ganvas.drawn import photograph
from ganvas.drawn.world import world
from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import plain_camera
from ganvas.io.pictures import images


def camera_of(one, width, height, frame=0, name=""):
    """A camera of the world in the normal form; the world tells shift as where the axis meets the film."""
    shift = (-one.shift[0] * one.film_back_mm[0], -one.shift[1] * one.film_back_mm[1])
    return plain_camera(one.matrix, one.focal_mm, one.film_back_mm, (width, height), frame, name, shift)


def psnr(a, b, mask):
    error = ((a - b).square() * mask).sum() / (3 * mask.sum())
    return float(-10 * torch.log10(error))


def of_world(camera):
    """The world's own form of one of ours, for rendering anew."""
    (width, height), (x, y) = camera.size_px, camera.shift_mm
    film = (width * camera.focal_mm / camera.focal_px[0], height * camera.focal_mm / camera.focal_px[1])
    return world.Camera(camera.matrix, camera.focal_mm, film, (-x / film[0], -y / film[1]))


@pytest.mark.parametrize(
    ("film", "size", "shift", "crop", "roll", "zoom"),
    [
        ((36.0, 18.0), (256, 128), (0.0, 0.0), "square", 12.0, 1.5),
        ((36.0, 24.0), (240, 160), (0.06, -0.04), "square", -15.0, 1.2),
        ((36.0, 18.0), (192, 128), (0.0, 0.0), "whole", 14.0, 1.3),
    ],
    ids=["plain", "shifted lens", "pixels not square, squeezed"],
)
def test_a_turned_and_zoomed_view_is_what_the_turned_and_zoomed_camera_renders(film, size, shift, crop, roll, zoom):
    place = world.World(3)
    own = replace(world.survey(2, 3, film_back_mm=film)[1], shift=shift)
    view = View(camera_of(own, *size), torch.from_numpy(place.render(own, 0.0, *size).picture))
    views = Views([view], 64, zoom=(1.0, 2.0), crop=crop)
    made = views.turned(0, roll, zoom)
    target, wrong = views.squares[0].rolled(roll).zoomed(zoom), views.squares[0].rolled(-roll).zoomed(zoom)
    again, other = (
        torch.from_numpy(place.render(of_world(camera), 0.0, 64, 64).picture) for camera in (target, wrong)
    )  # fmt: skip
    ours = psnr(made["picture"], again, made["mask"])
    # Edges of the world alias; pictures that do not fit say how far apart two views of it are.
    assert ours > 24
    for unlike in (psnr(views.plain(0)["picture"], again, made["mask"]), psnr(made["picture"], other, made["mask"])):
        assert unlike < ours - 5


@given(st.floats(-40, 40), st.floats(0.7, 2), st.floats(-4, 4))
@settings(max_examples=30, deadline=None)
def test_homographies_compose_and_fix_the_axis(roll, zoom, shift):
    one = plain_camera(np.eye(4), 40.0, (36.0, 24.0), (300, 200), 0, shift_mm=(shift, 1.0))
    other = one.rolled(roll).zoomed(zoom)
    there, back = homography(one, other), homography(other, one)
    np.testing.assert_allclose(there @ back, np.eye(3), atol=1e-9)
    middle = np.array([*one.centre_px, 1])
    np.testing.assert_allclose(there @ middle, middle, atol=1e-9)


def test_the_mask_is_where_a_rotated_rectangle_lies():
    """The share of a square inside itself turned by 45 degrees is 2 (sqrt 2 - 1)."""
    one = plain_camera(np.eye(4), 40.0, (24.0, 24.0), (100, 100), 0)
    _, mask = resample(torch.rand(3, 100, 100), one, one.rolled(45).resized(400, 400))
    assert float(mask.float().mean()) == pytest.approx(2 * (2**0.5 - 1), abs=2e-3)
    _, behind = resample(torch.rand(3, 100, 100), one, replace(one, matrix=np.diag([-1.0, 1, -1, 1])))
    assert not behind.any()


def test_the_identity_gives_the_picture_back():
    one = plain_camera(np.eye(4), 40.0, (24.0, 16.0), (60, 40), 0)
    picture = torch.rand(3, 40, 60)
    seen, mask = resample(picture, one, one)
    torch.testing.assert_close(seen, picture, atol=1e-4, rtol=0)
    assert mask.all()


def test_thirteen_numbers_do_not_depend_on_the_film_back_in_which_a_lens_is_told():
    one = plain_camera(np.eye(4), 40.0, (36.0, 24.0), (300, 200), 0)
    other = plain_camera(np.eye(4), 20.0, (18.0, 12.0), (600, 400), 0)
    told = [vector(view_of(camera, 64, "square"), 24.0) for camera in (one, other)]
    np.testing.assert_allclose(told[0], told[1])
    assert told[0][12] == pytest.approx(40.0) and told[0].shape == (13,)


def test_statistics_are_those_of_the_rolled_and_zoomed_cameras_and_leave_constants_alone():
    path = photograph.virtual_path(photograph.photograph_camera(300, 200), 40, 32)
    views = Views([View(camera, torch.zeros(3, 32, 32)) for camera in path], 32, 15.0, (1.0, 1.2))
    mean, deviation = views.statistics()
    random = np.random.default_rng(0)
    told = np.stack([views.sample(i % 40, random)["camera"].flatten().numpy() for i in range(500)])
    np.testing.assert_allclose(mean, told.mean(0), atol=0.05 * max(deviation))
    assert [deviation[i] for i in (3, 7, 11)] == [1.0, 1.0, 1.0]
    assert deviation[12] == pytest.approx(told[:, 12].std(), rel=0.3)
    assert views.statistics() == (mean, deviation)


def test_samples_are_a_function_of_their_chance():
    path = photograph.virtual_path(photograph.photograph_camera(300, 200), 4, 32)
    views = Views([View(camera, torch.rand(3, 32, 32)) for camera in path], 32, 15.0, (1.0, 1.2))
    first, second = (views.sample(2, np.random.default_rng(5)) for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert first["picture"].shape == (3, 32, 32) and first["camera"].shape == (13, 1, 1)
    part = views.subset([2, 3])
    assert torch.equal(part.sample(0, np.random.default_rng(5))["picture"], first["picture"])
    assert len(part) == 2 and part.whole is views


def test_views_in_a_row_are_held_out_together():
    path = photograph.virtual_path(photograph.photograph_camera(300, 200), 9, 32)
    views = Views([View(camera, torch.zeros(3, 32, 32)) for camera in path], 32, run=4)
    assert [len(set(views.groups()[a:b])) for a, b in ((0, 4), (4, 8), (8, 9))] == [1, 1, 1]
    assert len(set(views.groups())) == 3


def test_a_virtual_camera_sees_the_part_of_the_photograph_that_its_geometry_says():
    """A photograph whose colours tell the place: the middle of a view has those of where its axis meets the plane."""
    height, width = 240, 360
    ramp = torch.stack(torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij"))
    picture = torch.cat([ramp, torch.zeros(1, height, width)])
    own = photograph.photograph_camera(width, height)
    for camera in photograph.virtual_path(own, 30, 33, seed=2)[::7]:
        seen = photograph.render(picture, own, camera)
        ahead = camera.matrix[:3, 2] / camera.matrix[2, 2]
        x, y = width / 2 - own.focal_px[0] * ahead[0], height / 2 + own.focal_px[1] * ahead[1]
        expected = (y - 0.5) / (height - 1), (x - 0.5) / (width - 1)
        assert seen[0, 16, 16] == pytest.approx(expected[0], abs=0.01)
        assert seen[1, 16, 16] == pytest.approx(expected[1], abs=0.01)


@pytest.mark.parametrize("size", [(300, 200), (400, 225), (256, 256)])
def test_a_virtual_path_stays_within_the_photograph(size):
    own = photograph.photograph_camera(*size)
    for camera in photograph.virtual_path(own, 120, 16, seed=1):
        corners = np.array([[0, 0, 1], [16, 0, 1], [0, 16, 1], [16, 16, 1]], float)
        places = corners @ homography(own, camera).T
        places = places[:, :2] / places[:, 2:]
        assert places.min() >= 0 and (places <= size).all()


def test_written_views_read_back_alike(tmp_path):
    picture = np.random.default_rng(0).random((96, 144, 3)).astype(np.float32)
    images.write(tmp_path / "photo.png", images.from_float(picture, "uint8"))
    views = photograph.photograph_views(tmp_path / "photo.png", 5, 32, seed=3)
    photograph.write_views(views, tmp_path / "shot")
    for camera_file in ("", tmp_path / "shot" / "cameras.csv"):
        footage = read_footage(tmp_path / "shot", camera_file, cameras.Given(film_back_mm=(24.0, 24.0)))
        assert not footage.without_camera and not footage.without_picture
        for ours, theirs in zip(footage.views, views):
            np.testing.assert_allclose(ours.camera.matrix, theirs.camera.matrix, atol=1e-12)
            assert ours.camera.focal_px == pytest.approx(theirs.camera.focal_px)
            stored = shots.read_picture(ours.picture)
            torch.testing.assert_close(stored, theirs.picture, atol=0.5 / 255 + 1e-6, rtol=0)


def test_frames_and_cameras_that_miss_each_other_are_told(tmp_path):
    (tmp_path / "frames").mkdir()
    for number in (0, 1, 5):
        images.write(tmp_path / "frames" / f"{number:06d}.png", np.zeros((20, 30, 3), np.uint8))
    shot = [plain_camera(np.eye(4), 35.0, (36.0, 24.0), (30, 20), k, f"frames/{k:06d}.png") for k in (0, 1, 2)]
    cameras.write(tmp_path / "cameras.csv", shot)
    footage = read_footage(tmp_path)
    assert len(footage.views) == 2
    assert footage.without_picture == ("frames/000002.png",) and footage.without_camera == ("frames/000005.png",)
    assert any("no picture" in note for note in footage.notes)


def test_cameras_without_names_find_their_pictures_by_frame(tmp_path):
    for number in (1001, 1002):
        images.write(tmp_path / f"plate.{number}.png", np.zeros((20, 30, 3), np.uint8))
    shot = [plain_camera(np.eye(4), 35.0, (36.0, 24.0), (30, 20), k) for k in (1001, 1002)]
    cameras.write(tmp_path / "solve.ma", shot)
    assert [view.picture.name for view in read_footage(tmp_path).views] == ["plate.1001.png", "plate.1002.png"]


def test_folders_without_what_is_needed(tmp_path):
    with pytest.raises(UserError, match="no camera file"):
        read_footage(tmp_path)
    shot = [plain_camera(np.eye(4), 35.0, (36.0, 24.0), (30, 20), 0, "a.png")]
    cameras.write(tmp_path / "cameras.csv", shot)
    with pytest.raises(UserError, match="no pictures"):
        read_footage(tmp_path)
    images.write(tmp_path / "b.png", np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.png"):
        read_footage(tmp_path)


def test_pictures_of_another_shape_than_their_camera_are_refused():
    one = plain_camera(np.eye(4), 35.0, (36.0, 24.0), (300, 200), 0)
    with pytest.raises(UserError, match="another shape"):
        Views([View(one, torch.zeros(3, 200, 200))], 32).plain(0)


def test_light_is_encoded_and_decoded_by_srgbs_curve():
    values = np.linspace(0, 1, 101)
    np.testing.assert_allclose(shots.decode_light(shots.encode(values)), values, atol=1e-6)
    assert shots.encode(np.array(0.18)) == pytest.approx(0.4613561, abs=1e-6)


def test_the_point_that_cameras_look_at_is_found_and_none_where_they_stand_still():
    target, around = np.array([3.0, 1.0, -8.0]), []
    for frame in range(12):
        origin = target + np.array([10 * np.cos(0.2 * frame), 4 + 0.1 * frame, 10 * np.sin(0.2 * frame)])
        matrix = world.look(tuple(origin), tuple(target), 0.1)
        around.append(View(plain_camera(matrix, 30.0, (24.0, 24.0), (16, 16), frame), torch.zeros(3, 16, 16)))
    found = Views(around, 16).centre()
    assert found is not None
    np.testing.assert_allclose(found, target, atol=0.1)
    turned = [replace(view.camera, matrix=world.look((1, 2, 3), (n, 0, -9.0), 0.0)) for n, view in enumerate(around)]
    assert Views([View(one, torch.zeros(3, 16, 16)) for one in turned], 16).centre() is None
    # Seen from the other side of the cameras, what their axes meet in lies behind them.
    away = [replace(one.camera, matrix=one.camera.matrix @ np.diag([-1.0, 1, -1, 1])) for one in around]
    assert Views([View(one, torch.zeros(3, 16, 16)) for one in away], 16).centre() is None
