"""Plates as their cameras saw them: orientation against Pillow, OpenEXR's windows, light, lenses against OpenCV."""

import json

import av
import cv2
import numpy as np
import OpenImageIO as oiio
import pytest
import torch
from PIL import Image

from ganvas.data import plates
from ganvas.data.camera_checks import check_folder
from ganvas.data.plates import Plate
from ganvas.data.shots import View, Views, read_footage
from ganvas.data.undistort import distorted, undistorted
from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Camera, Given, plain_camera
from ganvas.io.cameras.lens import Lens
from ganvas.io.pictures import images


def rows(seed, height, width):
    return (
        np.random.default_rng(seed).integers(0, 255, (height // 4, width // 4, 3), np.uint8).repeat(4, 0).repeat(4, 1)
    )


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_as_stored_where_its_camera_was_solved_so(orientation, tmp_path):
    stored = rows(orientation, 24, 32)
    tags = Image.Exif()
    tags[0x112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=tags)
    camera = plain_camera(np.eye(4), 35.0, (36.0, 27.0), (32, 24), 1, "a.png")
    picture, _, _ = plates.read(tmp_path / "a.png", camera, Plate(as_stored=True))
    np.testing.assert_allclose(picture.permute(1, 2, 0).numpy(), stored / 255, atol=1e-6)


@pytest.mark.parametrize(("orientation", "solved"), [(3, "colmap"), (6, "colmap"), (6, "upright"), (3, "upright")])
def test_inspect_says_how_turned_pictures_are_taken(orientation, solved, tmp_path):
    tags = Image.Exif()
    tags[0x112] = orientation
    stored = rows(1, 24, 32)
    Image.fromarray(stored).save(tmp_path / "a1.png", exif=tags)
    upright = solved == "upright" and orientation == 6
    size = (24, 32) if upright else (32, 24)
    one = plain_camera(np.eye(4), 35.0, (36.0, 36.0 * size[1] / size[0]), size, 1, "a1.png")
    path = tmp_path / ("model" if solved == "colmap" else "transforms.json")
    cameras.write(path, [one], kind="colmap" if solved == "colmap" else "")
    report = check_folder(tmp_path, path)
    how = "kept as stored" if solved == "colmap" else "turned upright"
    assert any(f"orientation {orientation}" in line and how in line for line in report.lines())
    (view,) = read_footage(tmp_path, path).views
    made = plates.read(tmp_path / "a1.png", view.camera, view.plate)[0]
    expected = stored if solved == "colmap" else np.asarray(_upright(tmp_path / "a1.png"))
    np.testing.assert_allclose(made.permute(1, 2, 0).numpy(), expected / 255, atol=1e-6)


def _upright(path):
    from PIL import ImageOps

    return ImageOps.exif_transpose(Image.open(path))


def test_a_picture_of_another_shape_is_refused_before_training(tmp_path):
    Image.fromarray(rows(1, 24, 24)).save(tmp_path / "a1.png")
    cameras.write(tmp_path / "transforms.json", [plain_camera(np.eye(4), 35.0, (36.0, 27.0), (32, 24), 1, "a1.png")])
    with pytest.raises(UserError, match="another shape"):
        check_folder(tmp_path)


def exr(path, values, origin=(0, 0), display=None, ratio=None):
    height, width = values.shape[:2]
    spec = oiio.ImageSpec(width, height, 3, "half")
    spec.x, spec.y = origin
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, *(display or (width, height))
    if ratio:
        spec.attribute("PixelAspectRatio", ratio)
    out = oiio.ImageOutput.create(str(path))
    out.open(str(path), spec)
    out.write_image(values.astype(np.float32))
    out.close()


@pytest.mark.parametrize(("left", "top", "width", "height"), [(-8, -6, 80, 60), (8, 4, 40, 40), (-8, 10, 60, 30)])
def test_a_data_window_is_placed_in_the_display_window(left, top, width, height, tmp_path):
    """Overscan and crops see what the whole frame shows there, and nothing is known where they do not reach."""
    y, x = np.mgrid[-10:58, -10:74]
    whole = np.stack([(x + 12) / 90, (y + 12) / 80, np.full(x.shape, 0.25)], -1)
    exr(tmp_path / "a.1001.exr", whole[10 + top :, 10 + left :][:height, :width], (left, top), (64, 48))
    (tmp_path / "cam.chan").write_text("1001 0 0 0 0 0 0 30\n")
    footage = read_footage(tmp_path, given=Given(rotation_order="ZXY", film_back_mm=(36.0, 27.0)))
    (view,) = footage.views
    assert view.camera.size_px == (64, 48)
    # The film is the display window's: half its height over the tangent of half the view.
    assert view.camera.focal_px[1] == pytest.approx(24 / np.tan(np.radians(15)))
    seen = Views(footage.views, 48, 0.0, (1.0, 1.0)).plain(0)
    mask = seen["mask"][0] > 0
    expected = np.zeros((48, 48), bool)
    expected[max(0, top) : top + height, max(0, left - 8) : max(0, left + width - 8)] = True
    np.testing.assert_array_equal(mask.numpy(), expected)
    light = plates.decode_light(seen["picture"].numpy())
    inner = expected & (np.roll(expected, 2, 1) & np.roll(expected, -2, 1) & np.roll(expected, 2, 0))
    np.testing.assert_allclose(light[0][inner], whole[10:58, 18:66, 0][inner], atol=0.02)


def test_light_above_one_is_told_of_and_kept_by_exposing_down(tmp_path):
    light = np.full((20, 30, 3), 6.0)
    exr(tmp_path / "a1.exr", light)
    cameras.write(tmp_path / "transforms.json", [plain_camera(np.eye(4), 35.0, (36.0, 24.0), (30, 20), 1, "a1.exr")])
    footage = read_footage(tmp_path)
    assert any("up to 6" in note and "--exposure -3" in note for note in footage.notes)
    exposed = read_footage(tmp_path, given=Given(exposure=-3.0))
    assert not any("clipped" in note for note in exposed.notes)
    picture = plates.read(tmp_path / "a1.exr", exposed.views[0].camera, exposed.views[0].plate)[0]
    np.testing.assert_allclose(plates.decode_light(picture.numpy()) * 8, 6.0, rtol=1e-3)


def test_light_above_one_in_some_plates_only_is_told_of(tmp_path):
    shot = []
    for number in range(12):
        exr(tmp_path / f"a{number}.exr", np.full((20, 30, 3), 3.0 if number == 4 else 0.5))
        shot.append(plain_camera(np.eye(4), 35.0, (36.0, 24.0), (30, 20), number, f"a{number}.exr"))
    cameras.write(tmp_path / "transforms.json", shot)
    assert any("up to 3" in note and "--exposure -2" in note for note in read_footage(tmp_path).notes)


@pytest.mark.parametrize(
    ("space", "is_log"),
    [("ACEScct", True), ("ARRI LogC4", True), ("S-Log3", True), ("ADX10", True), ("sRGB", False), ("ACEScg", False)],
)
def test_colour_spaces_of_logarithms_are_known_by_their_names(space, is_log):
    header = images.Header(30, 20, 3, "float16", "exr", metadata=(("oiio:ColorSpace", "string", space),))
    assert plates.is_log(header) == is_log


def test_log_plates_are_told_of(tmp_path):
    spec = oiio.ImageSpec(30, 20, 3, "uint16")
    spec.attribute("oiio:BitsPerSample", 10)
    spec.attribute("dpx:Transfer", "Printing density")
    out = oiio.ImageOutput.create(str(tmp_path / "a1.dpx"))
    out.open(str(tmp_path / "a1.dpx"), spec)
    out.write_image(np.full((20, 30, 3), 30000, np.uint16))
    out.close()
    cameras.write(tmp_path / "transforms.json", [plain_camera(np.eye(4), 35.0, (36.0, 24.0), (30, 20), 1, "a1.dpx")])
    assert any("logarithms" in note for note in read_footage(tmp_path).notes)


def test_pixels_that_are_not_square_stretch_the_film(tmp_path):
    exr(tmp_path / "a1.exr", np.full((40, 40, 3), 0.5), ratio=2.0)
    (tmp_path / "cam.chan").write_text("1 0 0 0 0 0 0 30\n")
    given = Given(rotation_order="ZXY", film_back_mm=(40.0, 20.0))
    footage = read_footage(tmp_path, given=given)
    one = footage.views[0].camera
    focal = 10 / np.tan(np.radians(15))
    assert one.focal_px == pytest.approx((focal, 2 * focal)) and any("2 times" in note for note in footage.notes)


# Lenses

PLATE = Camera(
    matrix=np.eye(4), focal_px=(90.0, 92.0), centre_px=(66.0, 47.0), size_px=(128, 96), film_back_mm=(36, 27),
    lens=Lens(radial=(-0.25, 0.06), tangential=(0.003, -0.002)),
)  # fmt: skip


def smooth(width, height):
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 9) * np.cos(y / 7), np.cos(x / 11 + y / 8), np.sin(x / 8 - y / 10)]
    return torch.from_numpy(np.stack(waves) * 0.4 + 0.5).float()


@pytest.mark.parametrize("fisheye", [False, True])
def test_a_plate_is_undistorted_as_opencv_does_it(fisheye):
    coefficients = (-0.25, 0.06, 0.003, -0.002)
    lens = Lens("fisheye", (0.03, -0.01, 0.002, 0.001)) if fisheye else PLATE.lens
    plate = smooth(128, 96)
    camera = Camera(**{**vars(PLATE), "lens": lens})
    made, pinhole, known = undistorted(plate, camera)
    assert pinhole.lens is None and pinhole.focal_px == PLATE.focal_px
    k = np.array([[90.0, 0, 66.0 - 0.5], [0, 92.0, 47.0 - 0.5], [0, 0, 1]])
    new = k.copy()
    new[:2, 2] = np.array(pinhole.centre_px) - 0.5
    size = pinhole.size_px
    if fisheye:
        maps = cv2.fisheye.initUndistortRectifyMap(
            k, np.array(lens.radial), np.eye(3), new, size, cv2.CV_32FC1
        )  # fmt: skip
    else:
        maps = cv2.initUndistortRectifyMap(k, np.array(coefficients), None, new, size, cv2.CV_32FC1)
    theirs = cv2.remap(plate.permute(1, 2, 0).numpy(), *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    inside = known[0].numpy()
    inner = inside & np.roll(inside, 3, 0) & np.roll(inside, -3, 0) & np.roll(inside, 3, 1) & np.roll(inside, -3, 1)
    assert inner.mean() > 0.5
    np.testing.assert_allclose(made.permute(1, 2, 0).numpy()[inner], theirs[inner], atol=6e-3)
    # Barrel distortion draws in what a pinhole's frame would not show: it is kept.
    assert size[0] > 128 and size[1] > 96


def test_a_pinholes_picture_lies_on_the_plate_again():
    plate = smooth(128, 96)
    straight, pinhole, _ = undistorted(plate, PLATE)
    again, known = distorted(straight, pinhole, PLATE)
    assert known.all()
    np.testing.assert_allclose(again[:, 3:-3, 3:-3].numpy(), plate[:, 3:-3, 3:-3].numpy(), atol=0.02)


def test_an_stmap_undistorts_as_the_lens_model_that_it_was_made_of(tmp_path):
    """A map as Nuke writes it (from the lower left), made of OpenCV's."""
    plate = smooth(128, 96)
    k = np.array([[90.0, 0, 65.5], [0, 92.0, 46.5], [0, 0, 1]])
    maps = cv2.initUndistortRectifyMap(k, np.array([-0.25, 0.06, 0.003, -0.002]), None, k, (128, 96), cv2.CV_32FC1)
    st = np.stack([(maps[0] + 0.5) / 128, 1 - (maps[1] + 0.5) / 96, np.zeros_like(maps[0])], -1)
    spec = oiio.ImageSpec(128, 96, 3, "float")
    out = oiio.ImageOutput.create(str(tmp_path / "map.exr"))
    out.open(str(tmp_path / "map.exr"), spec)
    out.write_image(st.astype(np.float32))
    out.close()
    view = View(Camera(**{**vars(PLATE), "lens": None}), plate, Plate(stmap=tmp_path / "map.exr"))
    made = Views([view], 96, 0.0, (1.0, 1.0)).plain(0)
    by_model = Views([View(PLATE, plate)], 96, 0.0, (1.0, 1.0)).plain(0)
    assert made["mask"].mean() > 0.9
    both = ((made["mask"] > 0) & (by_model["mask"] > 0))[0]
    error = (made["picture"] - by_model["picture"]).abs()[:, both]
    assert float(error.max()) < 0.02
    Image.fromarray(rows(0, 24, 32)).save(tmp_path / "no.png")
    with pytest.raises(UserError, match="no STMap"):
        Views([View(view.camera, plate, Plate(stmap=tmp_path / "no.png"))], 96).plain(0)


def test_distorted_views_see_what_undistorted_cameras_see(tmp_path):
    """A point of the plate lies in a view where a pinhole sees its direction."""
    image = np.zeros((96, 128, 3), np.float32)
    point = np.array([0.35, -0.2, 1.0])  # right and above, Y down
    x, y = PLATE.lens.distort(point[0], point[1])
    u, v = 90 * float(x) + 66, 92 * float(y) + 47
    columns, lines = np.meshgrid(np.arange(128) + 0.5, np.arange(96) + 0.5)
    image[:] = np.exp(-((columns - u) ** 2 + (lines - v) ** 2) / 18)[..., None]
    views = Views([View(PLATE, torch.from_numpy(image).permute(2, 0, 1))], 96, 0.0, (1.0, 1.0))
    seen = views.plain(0)["picture"][0].numpy()
    columns, lines = np.meshgrid(np.arange(96) + 0.5, np.arange(96) + 0.5)
    found = (seen * columns).sum() / seen.sum(), (seen * lines).sum() / seen.sum()
    square = views.squares[0]
    expected = square.focal_px[0] * point[0] + square.centre_px[0], square.focal_px[1] * point[1] + square.centre_px[1]
    assert found == pytest.approx(expected, abs=0.3)


# Movies


def movie(path, frames=6, rate=24):
    from ganvas.io.video.headers import new_header
    from ganvas.io.video.writer import VideoWriter

    header = new_header(32, 24, rate)
    writer = VideoWriter(path, header)
    for place in range(frames):
        writer.write(np.full((24, 32, 3), 30 + 30 * place, np.uint8), place * header.frame_step)
    writer.close()


@pytest.mark.parametrize(("transfer", "said"), [(1, ""), (9, "logarithms"), (16, "PQ"), (18, "HLG")])
def test_what_a_movies_values_are_is_told(transfer, said, tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as file:
        stream = file.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        stream.codec_context.color_trc = transfer
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((24, 32, 3), 90, np.uint8), format="rgb24")))
        file.mux(stream.encode())
    cameras.write(tmp_path / "cam.ma", [plain_camera(np.eye(4), 35.0, (36.0, 27.0), (32, 24), n) for n in range(3)])
    notes = " ".join(read_footage(tmp_path / "a.mp4", tmp_path / "cam.ma").notes)
    assert ("taken as they are" in notes) == bool(said) and said in notes


@pytest.mark.parametrize("alone", [True, False])
def test_a_movies_frames_are_footage(alone, tmp_path):
    movie(tmp_path / "a.mp4")
    shot = [plain_camera(np.eye(4), 35.0, (36.0, 27.0), (32, 24), 1001 + place) for place in range(6)]
    cameras.write(tmp_path / "cam.ma", shot)
    footage = read_footage(tmp_path / "a.mp4" if alone else tmp_path, tmp_path / "cam.ma")
    assert any("begin with frame 1001" in note for note in footage.notes)
    views = Views(footage.views, 16, 0.0, (1.0, 1.0))
    for place in (4, 0, 5):  # in any order
        assert float(views.plain(place)["picture"].mean() * 255) == pytest.approx(30 + 30 * place, abs=2)


def test_a_movie_needs_an_offset_where_it_is_longer_than_its_cameras(tmp_path):
    movie(tmp_path / "a.mp4")
    shot = [plain_camera(np.eye(4), 35.0, (36.0, 27.0), (32, 24), 1003 + place) for place in range(2)]
    cameras.write(tmp_path / "cam.ma", shot)
    with pytest.raises(UserError, match="--first-frame"):
        read_footage(tmp_path / "a.mp4")
    footage = read_footage(tmp_path / "a.mp4", given=Given(first_frame=1001))
    assert [view.plate.movie_frame for view in footage.views] == [2, 3] and len(footage.without_camera) == 4
    assert float(Views(footage.views, 16, 0.0, (1, 1)).plain(1)["picture"].mean() * 255) == pytest.approx(120, abs=2)


def test_a_movie_of_variable_rate_is_refused(tmp_path):
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("ffv1", rate=24)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for stamp in (0, 1, 2, 7, 8, 20):
            frame = av.VideoFrame.from_ndarray(np.zeros((24, 32, 3), np.uint8), "rgb24")
            frame.pts = stamp
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    (tmp_path / "transforms.json").write_text(
        json.dumps({"camera_angle_x": 1.0, "frames": [{"frame": 1, "transform_matrix": np.eye(4).tolist()}]})
    )
    with pytest.raises(UserError, match=r"variable frame rate.*ffmpeg"):
        read_footage(tmp_path / "a.mkv")


def test_movies_that_would_not_fit_into_memory_are_refused_before_they_are_read(monkeypatch):
    from dataclasses import replace as changed
    from pathlib import Path

    from ganvas import device

    camera = plain_camera(np.eye(4), 35.0, (36.0, 24.0), (1500, 1000), 1)
    views = [View(changed(camera, frame=n), Path("absent.mov"), Plate(movie_frame=n)) for n in range(200)]
    # 200 frames of 768 x 512 pixels, three bytes each, are 236 MB.
    monkeypatch.setattr(device, "free_memory", lambda _: 200_000_000)
    with pytest.raises(UserError, match=r"200 frames of absent\.mov take 0\.2 GB"):
        Views(views, 512, 0.0, (1.0, 1.0))
    monkeypatch.setattr(device, "free_memory", lambda _: 500_000_000)
    assert len(Views(views, 512, 0.0, (1.0, 1.0))) == 200
