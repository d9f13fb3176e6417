"""The sample world: what it says of its pictures is true, judged by plain arithmetic on its cameras and depths."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ganvas.cli import main
from ganvas.data.labels import LabelledPictures
from ganvas.drawn.world import scene
from ganvas.drawn.world import world as worlds
from ganvas.drawn.world.render import GROUND, NOTHING, Hits, Snapshot, cast, shadows
from ganvas.drawn.world.world import FAR_M, LEGEND, Camera, Frame, Shot, World, shots
from ganvas.io.cameras import cameras as camera_files
from ganvas.io.labels import world_layout
from ganvas.io.labels.legends import read_legend
from ganvas.io.pictures import images

SIZE = (64, 32)
THINGS = [label.id for label in LEGEND if label.thing]


def _frame(shot: Shot, later: Shot, seed: int = 0, size: tuple[int, int] = SIZE) -> Frame:
    return World(seed).render(shot.camera, shot.time, *size, later.camera, later.time)


@pytest.fixture(scope="module")
def pair() -> tuple[Frame, Frame, list[Shot]]:
    """Two frames of a drive, one after the other, large enough for smooth surfaces between edges."""
    path = shots("drive", 24, seed=3)[20:]
    return _frame(path[0], path[1], 3, (192, 96)), _frame(path[1], path[2], 3, (192, 96)), path


def _unproject(camera: Camera, depth: np.ndarray) -> np.ndarray:
    """World points (H, W, 3) of pixel centres, written out plainly."""
    height, width = depth.shape
    points = np.empty((height, width, 3))
    for y in range(height):
        for x in range(width):
            right = ((x + 0.5) / width - 0.5) * camera.film_back_mm[0] / camera.focal_mm * depth[y, x]
            up = (0.5 - (y + 0.5) / height) * camera.film_back_mm[1] / camera.focal_mm * depth[y, x]
            points[y, x] = (camera.matrix @ (right, up, -depth[y, x], 1.0))[:3]
    return points


def _project(camera: Camera, points: np.ndarray, width: int, height: int) -> np.ndarray:
    """Pixels (H, W, 2) and depth (H, W) of world points by the inverse of the camera's matrix."""
    local = np.concatenate([points, np.ones((*points.shape[:2], 1))], -1) @ np.linalg.inv(camera.matrix).T
    x = (local[..., 0] / -local[..., 2] * camera.focal_mm / camera.film_back_mm[0] + 0.5) * width
    y = (0.5 - local[..., 1] / -local[..., 2] * camera.focal_mm / camera.film_back_mm[1]) * height
    return np.stack([x, y, -local[..., 2]], -1)


def _centres(frame: Frame) -> np.ndarray:
    height, width = frame.depth.shape
    return np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1)


def test_flow_is_the_reprojection_of_points_that_stand_or_drive(pair: tuple) -> None:
    frame, later, path = pair
    height, width = frame.depth.shape
    points = _unproject(frame.camera, frame.depth)
    number = frame.instance_map % 1000
    driving = (frame.label_map == scene.CAR) & (number >= 500)
    lane = np.where(points[..., 0] > 0, -8.0, 9.0)
    points[..., 2] += np.where(driving, lane * (path[1].time - path[0].time), 0.0)
    expected = _project(later.camera, points, width, height)[..., :2] - _centres(frame)
    judged = (frame.label_map != scene.SKY) & (frame.label_map != scene.PERSON)
    assert judged.mean() > 0.7 and driving.sum() > 20
    assert np.abs(frame.flow.transpose(1, 2, 0) - expected)[judged].max() < 1e-6


def test_the_sky_moves_with_the_cameras_turning_only() -> None:
    shot = shots("drive", 1, seed=1)[0]
    moved, turned = (np.array(shot.camera.matrix) for _ in range(2))
    moved[:3, 3] += moved[:3, 0]
    angle = np.radians(3.0)
    yaw = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    turned[:3, :3] = turned[:3, :3] @ yaw
    sideways = _frame(shot, Shot(replace(shot.camera, matrix=moved), shot.time))
    panned = _frame(shot, Shot(replace(shot.camera, matrix=turned), shot.time))
    sky = sideways.label_map == scene.SKY
    assert sky.sum() > 50 and (sideways.depth[sky] == FAR_M).all()
    assert np.abs(sideways.flow[:, sky]).max() < 1e-9
    # Turned to the left, the picture moves to the right; on the axis by f tan(angle).
    focal_px = SIZE[0] * shot.camera.focal_mm / shot.camera.film_back_mm[0]
    middle = panned.flow[0, :, SIZE[0] // 2 - 1 : SIZE[0] // 2 + 1].mean(1)[sky[:, SIZE[0] // 2]]
    assert np.allclose(middle, focal_px * np.tan(angle), rtol=0.02)


def test_the_next_frame_warped_by_the_flow_is_this_frame(pair: tuple) -> None:
    frame, later, _ = pair
    height, width = frame.depth.shape
    at = _centres(frame) + frame.flow.transpose(1, 2, 0) - 0.5
    left, top = (np.clip(np.floor(at[..., i]).astype(int), 0, side - 2) for i, side in ((0, width), (1, height)))
    u, v = at[..., 0] - left, at[..., 1] - top
    picture = later.picture
    upper = picture[:, top, left] * (1 - u) + picture[:, top, left + 1] * u
    lower = picture[:, top + 1, left] * (1 - u) + picture[:, top + 1, left + 1] * u
    warped = upper * (1 - v) + lower * v
    error = np.abs(warped - frame.picture).mean(0)[~frame.occlusion]
    still = np.abs(later.picture - frame.picture).mean(0)[~frame.occlusion]
    assert 0.02 < frame.occlusion.mean() < 0.5
    assert np.median(error) < 0.012 and error.mean() < 0.5 * still.mean()


def test_occlusion_agrees_with_the_depths_of_the_next_frame(pair: tuple) -> None:
    frame, later, _ = pair
    height, width = frame.depth.shape
    points = _unproject(frame.camera, frame.depth)
    solid = (frame.label_map != scene.SKY) & (frame.label_map != scene.PERSON) & (frame.label_map != scene.CAR)
    x, y, depth = np.moveaxis(_project(later.camera, points, width, height), -1, 0)
    inside = (x > 1) & (x < width - 1) & (y > 1) & (y < height - 1)
    assert frame.occlusion[(x < 0) | (x > width) | (y < 0) | (y > height)].all()
    left, top = np.clip((x - 0.5).astype(int), 0, width - 2), np.clip((y - 0.5).astype(int), 0, height - 2)
    around = np.stack([later.depth[top + i, left + j] for i in (0, 1) for j in (0, 1)])
    hidden, seen = solid & inside & frame.occlusion, solid & inside & ~frame.occlusion
    assert hidden.sum() > 100
    assert (around.min(0) < depth * 0.999)[hidden].mean() > 0.9
    assert ((around.min(0) <= depth * 1.001) & (around.max(0) >= depth * 0.999))[seen].mean() > 0.97


def test_labels_and_instances_agree(pair: tuple) -> None:
    for frame in pair[:2]:
        things = np.isin(frame.label_map, THINGS)
        assert (frame.instance_map[things] // 1000 == frame.label_map[things]).all()
        assert (frame.instance_map[~things] == frame.label_map[~things]).all()
        assert len(np.unique(frame.label_map)) >= 7
    # What is in both frames keeps its number.
    assert len(np.intersect1d(pair[0].instance_map, pair[1].instance_map)) > 0.8 * len(np.unique(pair[0].instance_map))


def test_details_divide_houses_and_cars_and_change_nothing_else(pair: tuple) -> None:
    path = pair[2]
    plain, fine = pair[0], World(3, details=True).render(path[0].camera, path[0].time, 192, 96, path[1].camera)
    assert np.array_equal(plain.picture, fine.picture)
    of = {scene.ROOFING: scene.HOUSE, scene.WINDOW: scene.HOUSE, scene.DOOR: scene.HOUSE, scene.AWNING: scene.HOUSE,
          scene.GLASS: scene.CAR, scene.TYRE: scene.CAR}  # fmt: skip
    for label in scene.DETAILED[len(LEGEND) :]:
        here = fine.label_map == label.id
        assert here.any(), label.name
        assert (plain.label_map[here] == of[label.id]).all(), label.name
        # A part belongs to its house's or car's number.
        assert np.array_equal(fine.instance_map[here] - 1000 * label.id, plain.instance_map[here] % 1000)
    same = fine.label_map < len(LEGEND)
    assert np.array_equal(plain.label_map[same], fine.label_map[same])
    assert np.array_equal(plain.instance_map[same], fine.instance_map[same])


def test_windows_are_where_the_walls_have_glass() -> None:
    """Walls stand in the sun and glass is dark and bluish: on average a window is bluer than its wall."""
    shot = shots("drive", 1, seed=3)[0]
    frame = World(3, details=True).render(shot.camera, shot.time, 192, 96)
    bluer = frame.picture[2] - frame.picture[0]
    near = frame.depth < 60
    wall, window = (bluer[near & (frame.label_map == label)] for label in (scene.HOUSE, scene.WINDOW))
    assert window.mean() > wall.mean() + 0.05
    assert frame.picture[:, frame.label_map == scene.TYRE].mean() < 0.5


def test_road_and_pavement_are_the_plane_at_height_0_in_their_strips(pair: tuple) -> None:
    frame = pair[0]
    points = _unproject(frame.camera, frame.depth)
    for label, low, high in ((scene.ROAD, 0, 5.2), (scene.PAVEMENT, 5.2, 8.6), (scene.GRASS, 8.6, np.inf)):
        found = points[frame.label_map == label]
        assert np.abs(found[:, 1]).max() < 1e-9
        assert (np.abs(found[:, 0]) >= low - 1e-9).all() and (np.abs(found[:, 0]) <= high + 1e-9).all()


def _inside(snapshot: Snapshot, points: np.ndarray, shrink: float) -> np.ndarray:
    """Which points (P, 3) lie inside any part, taken a little smaller."""
    found = points[:, 1] < -shrink
    for part, centre, half in zip(snapshot.parts, snapshot.centre, snapshot.half):
        local = points - centre
        if part.planes is None:
            found |= ((local / half) ** 2).sum(1) < 1 - shrink
        else:
            found |= (local @ part.planes[:, :3].T <= part.planes[:, 3] - shrink).all(1)
    return found


def test_rays_stop_at_the_first_thing_that_marching_along_them_finds() -> None:
    shot = shots("drive", 4, seed=5)[3]
    view = shot.camera.view(12, 6)
    snapshot = Snapshot(scene.parts_near(5, float(shot.camera.matrix[2, 3]), shot.time), shot.time)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(12) + 0.5, np.arange(6) + 0.5))
    pixels, rays = np.stack([x, y], -1), view.rays(x, y)
    hits = cast(snapshot, view, rays, pixels, grid=True)
    scattered = cast(snapshot, view, rays[::-1], pixels[::-1], grid=False)
    assert (hits.part == scattered.part[::-1]).all() and (hits.distance == scattered.distance[::-1]).all()
    reach = np.minimum(hits.distance, 150.0)
    for share in np.linspace(0.02, 0.999, 60):
        assert not _inside(snapshot, view.origin + rays * (share * reach)[:, None], 1e-6).any()
    met = hits.part != NOTHING
    beyond = view.origin + rays[met] * (hits.distance[met] + 0.01)[:, None]
    grazing = np.abs((rays[met] * hits.normal[met]).sum(1)) < 0.05
    assert _inside(snapshot, beyond[~grazing], -1e-9).all()
    assert {GROUND, NOTHING} < set(hits.part.tolist())
    assert np.allclose(np.linalg.norm(hits.normal, axis=1), 1) and isinstance(hits, Hits)


def test_shadows_are_where_marching_towards_the_sun_meets_something() -> None:
    street = World(2)
    near = [part for part in scene.parts_near(2, 0.0, 0.0) if abs(part.centre[2]) < 18]
    snapshot, random = Snapshot(near, 0.0), np.random.default_rng(0)
    points = np.stack([random.uniform(-8, 8, 60), np.full(60, 0.01), random.uniform(-18, 18, 60)], -1)
    steps = np.arange(0.02, 36, 0.08)
    expected = _inside(snapshot, (points[:, None] + street.sun * steps[:, None]).reshape(-1, 3), 0.0)
    expected = expected.reshape(60, -1).any(1)
    found = shadows(snapshot, points, street.sun)
    # Marching in steps may jump over the edge of a thin pole.
    assert (found == expected).mean() > 0.95 and 0.1 < found.mean() < 0.95


def test_the_same_seed_gives_the_same_frame_and_another_seed_another() -> None:
    one, two, other = (_frame(*shots("drive", 1, seed), seed) for seed in (4, 4, 5))
    for name, plane in one.planes.items():
        assert np.array_equal(plane, two.planes[name]), name
    assert np.abs(one.picture - other.picture).mean() > 0.05


def test_a_picture_in_bands_is_the_picture_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    path = shots("drive", 2, seed=4)
    whole = _frame(path[0], path[1], 4)
    monkeypatch.setattr(worlds, "RAYS_AT_ONCE", 5 * 4 * SIZE[0])
    banded = _frame(path[0], path[1], 4)
    for name, plane in whole.planes.items():
        assert np.allclose(plane, banded.planes[name], rtol=1e-9, atol=1e-9), name


def test_a_camera_that_looks_up_sees_nothing_but_sky() -> None:
    up = Camera(worlds.look((0.0, 5.0, 0.0), (0.1, 50.0, 0.0)))
    frame = World(0).render(up, 0.0, 8, 4)
    assert (frame.label_map == scene.SKY).all() and not frame.occlusion.any()
    assert np.abs(frame.flow).max() < 1e-9


def test_clips_of_one_world_cover_different_stretches() -> None:
    ends = [[shot.camera.matrix[2, 3] for shot in shots("drive", 30, 0, clip)] for clip in range(3)]
    assert min(ends[0]) > max(ends[1]) and min(ends[1]) > max(ends[2])


def _turn(degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def test_a_camera_rolled_by_90_degrees_sees_the_picture_turned() -> None:
    shot = shots("drive", 1, seed=0, film_back_mm=(24.0, 24.0))[0]
    rolled = replace(shot.camera, matrix=shot.camera.matrix @ _turn(90))
    upright, turned = (World(0).render(camera, 0.0, 32, 32) for camera in (shot.camera, rolled))
    # A camera turned counter-clockwise sees the world turned clockwise.
    assert (np.rot90(upright.label_map, -1) == turned.label_map).all()
    assert (np.rot90(upright.instance_map, -1) == turned.instance_map).all()
    assert np.allclose(np.rot90(upright.depth, -1), turned.depth, rtol=1e-9)
    assert np.allclose(np.rot90(upright.picture, -1, (1, 2)), turned.picture, atol=1e-6)


def test_a_longer_lens_sees_the_middle_of_a_larger_picture() -> None:
    camera = shots("drive", 1, seed=1)[0].camera
    wide = World(1).render(camera, 0.0, 64, 32)
    close = World(1).render(replace(camera, focal_mm=2 * camera.focal_mm), 0.0, 32, 16)
    assert (wide.label_map[8:24, 16:48] == close.label_map).all()
    assert np.allclose(wide.depth[8:24, 16:48], close.depth, rtol=1e-9)
    assert np.allclose(wide.picture[:, 8:24, 16:48], close.picture, atol=1e-6)


def test_a_shifted_lens_sees_the_picture_moved() -> None:
    camera = shots("drive", 1, seed=1)[0].camera
    plain = World(1).render(camera, 0.0, 32, 16)
    shifted = World(1).render(replace(camera, shift=(0.25, 0.25)), 0.0, 32, 16)
    assert (plain.label_map[4:, :-8] == shifted.label_map[:-4, 8:]).all()


@pytest.mark.parametrize("path", ["drive", "orbit", "survey"])
def test_cameras_are_rigid_and_upright(path: worlds.PathKind) -> None:
    for shot in shots(path, 6, seed=2):
        rotation = shot.camera.matrix[:3, :3]
        assert np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-12) and np.isclose(np.linalg.det(rotation), 1)
        assert rotation[1, 1] > 0.5 and shot.camera.matrix[1, 3] > 1
    assert shots("orbit", 6)[0].camera.matrix == pytest.approx(shots("orbit", 6)[-1].camera.matrix)


def read_plane(folder: Path, plane: str, number: int) -> np.ndarray:
    """Return one plane of one frame as `write_frame` was given it: flow (2, H, W) and depth as float32."""
    stored, _ = images.read(world_layout.plane_path(folder, plane, number))
    if plane == "picture":
        return images.to_float(stored[..., :3]).transpose(2, 0, 1)
    if plane == "flow":
        return stored[..., :2].transpose(2, 0, 1)
    return stored[..., 0] > 127 if plane == "occlusion" else stored[..., 0]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert main(["world", str(tmp_path / "w"), "--frames", "2", "--size", "32x16", "--clips", "2", "--seed", "7"]) == 0
    clips = sorted((tmp_path / "w").glob("clip_*"))
    assert [clip.name for clip in clips] == ["clip_000", "clip_001"]
    path = shots("drive", 2, 7, 1, (36.0, 18.0))
    frame = _frame(path[0], path[1], 7, (32, 16))
    read = {name: read_plane(clips[1], name, 0) for name in frame.planes}
    assert np.abs(read.pop("picture") - frame.picture).max() <= 0.5 / 255 + 1e-6
    for name, plane in read.items():
        expected = frame.planes[name]
        assert np.array_equal(plane, expected.astype(np.float32) if expected.dtype == np.float64 else expected), name
    stored, header = images.read(clips[1] / "flow/000000.exr")
    assert header.dtype == "float32" and np.array_equal(stored[..., 0], frame.flow[0].astype(np.float32))
    source = LabelledPictures(tmp_path / "w", size_px=(16, 32))
    assert len(source) == 4 and source.num_labels == 10 and len(set(source.groups())) == 2
    assert read_legend(clips[0] / "legend.json") == LEGEND


def test_the_camera_files_hold_the_cameras(tmp_path: Path) -> None:
    assert main(["world", str(tmp_path / "w"), "--frames", "3", "--size", "24x24", "--quiet"]) == 0
    expected = [shot.camera for shot in shots("drive", 3, 0, 0, (36.0, 36.0))[:-1]]
    given = camera_files.Given(size_px=(24, 24), film_back_mm=(36.0, 36.0))
    for name in ("cameras.csv", "transforms.json"):
        read = camera_files.read(tmp_path / "w" / name, given).cameras
        assert len(read) == 3
        for camera, true in zip(read, expected):
            assert np.allclose(camera.matrix, true.matrix, atol=1e-9)
            assert camera.focal_mm == pytest.approx(true.focal_mm)


def test_nothing_is_overwritten_and_nonsense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    assert main(["world", str(tmp_path), "--frames", "1", "--size", "8x8"]) == 1
    assert "not empty" in capsys.readouterr().err
    assert main(["world", str(tmp_path / "w"), "--size", "8by8"]) == 2
    assert main(["world", str(tmp_path / "w"), "--frames", "0"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.txt"]
