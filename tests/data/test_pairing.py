"""Which picture a camera gets: by the path that a file gives, by number, by time; what is ambiguous is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from ganvas.data.shots import find_cameras, read_footage
from ganvas.errors import UserError
from ganvas.io.cameras import cameras
from ganvas.io.cameras.cameras import Given, plain_camera
from ganvas.io.pictures import images


def picture(path: Path, size=(30, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.zeros((size[1], size[0], 3), np.uint8))


def shot(*names, frames=None):
    return [
        plain_camera(np.eye(4), 35.0, (36.0, 24.0), (30, 20), frame, name)
        for name, frame in zip(names, frames or range(len(names)))
    ]


def paired(root, camera_file="", given=None):
    footage = read_footage(root, camera_file, given)
    return {view.camera.name: view.picture.relative_to(root).as_posix() for view in footage.views}, footage


def colmap(folder, names):
    cameras.write(folder, shot(*names), kind="colmap")


@pytest.mark.parametrize("model", ["sparse/0", "sparse", "colmap/sparse/0", "dense/sparse", "."])
def test_colmaps_rigs_in_folders(model, tmp_path):
    names = [f"{side}/{frame:04d}.png" for side in ("left", "right") for frame in range(2)]
    images_folder = tmp_path / ("dense/images" if model == "dense/sparse" else "images")
    for name in names:
        picture(images_folder / name)
        picture(tmp_path / "masks" / name)
    colmap(tmp_path / model, names)
    assert find_cameras(tmp_path) == (tmp_path / model if model != "." else tmp_path)
    found, footage = paired(tmp_path)
    prefix = images_folder.relative_to(tmp_path).as_posix()
    assert found == {name: f"{prefix}/{name}" for name in names}
    assert [view.camera.frame for view in footage.views] == [0, 1, 2, 3]


def test_smaller_copies_beside_images_are_left_alone(tmp_path):
    for folder in ("images", "images_2", "images_4"):
        picture(tmp_path / folder / "a1.png")
    colmap(tmp_path / "sparse/0", ["a1.png"])
    assert paired(tmp_path)[0] == {"a1.png": "images/a1.png"}
    # Named, they are taken.
    found, _ = paired(tmp_path / "images_4", tmp_path / "sparse/0")
    assert found == {"a1.png": "a1.png"}


def transforms(path, names):
    frames = [{"file_path": name, "transform_matrix": np.eye(4).tolist()} for name in names]
    path.write_text(json.dumps({"camera_angle_x": 0.69, "frames": frames}))


def test_splits_of_nerfs_sets_without_suffixes(tmp_path):
    for split in ("test", "train", "val"):
        for frame in range(2):
            picture(tmp_path / split / f"r_{frame}.png")
            picture(tmp_path / split / f"r_{frame}_depth_0001.png")
        transforms(tmp_path / f"transforms_{split}.json", [f"./{split}/r_{frame}" for frame in range(2)])
        found, _ = paired(tmp_path, tmp_path / f"transforms_{split}.json")
        assert found == {f"./{split}/r_{frame}": f"{split}/r_{frame}.png" for frame in range(2)}
    assert find_cameras(tmp_path).name == "transforms_train.json"


@pytest.mark.parametrize("name", ["C:\\shots\\plates\\a1.png", "/mnt/job/plates/a1.png", "../plates/a1.png", "a1.jpg"])
def test_paths_of_other_machines_are_found_by_their_ending(name, tmp_path):
    picture(tmp_path / "plates" / "a1.png")
    picture(tmp_path / "plates" / "a2.png")
    transforms(tmp_path / "transforms.json", [name])
    assert paired(tmp_path)[0] == {name: "plates/a1.png"}


def test_a_camera_never_gets_the_picture_of_another_folder(tmp_path):
    for name in ("left/1.png", "right/1.png", "right/2.png"):
        picture(tmp_path / name)
    transforms(tmp_path / "transforms.json", ["left/1.png", "left/2.png", "right/1.png", "right/2.png"])
    found, footage = paired(tmp_path)
    assert "left/2.png" not in found and footage.without_picture == ("left/2.png",)


@pytest.mark.parametrize("name", ["a1.png", "a1"])
def test_a_name_that_two_pictures_have_is_refused_with_both(name, tmp_path):
    picture(tmp_path / "plates/a1.png")
    picture(tmp_path / "mattes/a1.png")
    transforms(tmp_path / "transforms.json", [name])
    with pytest.raises(UserError, match=r"mattes/a1\.png and .*plates/a1\.png.*--cameras"):
        read_footage(tmp_path)
    # What the message asks for works.
    assert len(read_footage(tmp_path / "plates", tmp_path / "transforms.json").views) == 1


def test_a_number_that_two_sequences_have_is_refused_with_both(tmp_path):
    for folder in ("mattes", "plates"):
        picture(tmp_path / folder / "sh010.1001.png")
    cameras.write(tmp_path / "cam.ma", shot("", frames=[1001]))
    with pytest.raises(UserError, match=r"1001: .*mattes.* and .*plates"):
        read_footage(tmp_path)
    assert len(read_footage(tmp_path / "plates", tmp_path / "cam.ma").views) == 1


def test_two_cameras_with_one_picture_are_refused(tmp_path):
    picture(tmp_path / "a1.png")
    transforms(tmp_path / "transforms.json", ["a1.png", "a1.jpg"])
    with pytest.raises(UserError, match=r"a1\.png and a1\.jpg would both"):
        read_footage(tmp_path)


def test_times_find_the_nearest_picture_in_time(tmp_path):
    for stamp in ("9.50", "10.25", "11.00"):
        picture(tmp_path / "rgb" / f"{stamp}.png")
    (tmp_path / "traj.txt").write_text("10.26 0 0 0 0 0 0 1\n9.49 1 0 0 0 0 0 1\n14.0 2 0 0 0 0 0 1\n")
    found, footage = paired(tmp_path, tmp_path / "traj.txt", Given(focal_mm=35.0))
    assert found == {"9.49": "rgb/9.50.png", "10.26": "rgb/10.25.png"}
    assert [view.camera.frame for view in footage.views] == [0, 1] and footage.without_picture == ("14.0",)


def test_cameras_are_numbered_in_the_order_of_time(tmp_path):
    names = ["1403636579763555584.png", "1403636579713555584.png", "1403636580013555584.png"]
    cameras.write(tmp_path / "a.csv", shot(*names))
    solve = cameras.read(tmp_path / "a.csv")
    assert sorted((one.frame, one.name) for one in solve.cameras) == [(0, names[1]), (1, names[0]), (2, names[2])]


def test_the_camera_file_that_a_run_named_is_read_for_its_footage_again(tmp_path):
    picture(tmp_path / "plates" / "a.1001.png")
    for name in ("first.ma", "second.ma"):
        cameras.write(tmp_path / "plates" / name, shot("", frames=[1001]))
    with pytest.raises(UserError, match="2 camera files"):
        read_footage(tmp_path / "plates")
    told = Given(footage=str(tmp_path / "plates"), file=str(tmp_path / "plates" / "second.ma"))
    assert len(read_footage(tmp_path / "plates", given=told).views) == 1
    # Other footage has its own.
    picture(tmp_path / "other" / "a.1001.png")
    with pytest.raises(UserError, match="no camera file"):
        read_footage(tmp_path / "other", given=told)


def test_links_keep_their_own_names(tmp_path):
    picture(tmp_path / "store" / "x17.png")
    (tmp_path / "job" / "images").mkdir(parents=True)
    (tmp_path / "job" / "images" / "a1.png").symlink_to(tmp_path / "store" / "x17.png")
    colmap(tmp_path / "job" / "sparse/0", ["a1.png"])
    (tmp_path / "linked").symlink_to(tmp_path / "job")
    assert paired(tmp_path / "job")[0] == {"a1.png": "images/a1.png"}
    assert paired(tmp_path / "linked")[0] == {"a1.png": "images/a1.png"}


def test_letters_with_accents_are_the_same_however_they_are_written(tmp_path):
    decomposed, composed = "caf\u0065\u0301", "caf\u00e9"
    picture(tmp_path / "images" / decomposed / f"{decomposed}1.png")
    transforms(tmp_path / "transforms.json", [f"images/{composed}/{composed}1.png"])
    assert list(paired(tmp_path)[0].values()) == [f"images/{decomposed}/{decomposed}1.png"]


def test_colmaps_masks_are_no_pictures_of_its_cameras(tmp_path):
    picture(tmp_path / "images" / "a1.jpg")
    picture(tmp_path / "masks" / "a1.jpg.png")
    colmap(tmp_path / "sparse/0", ["a1.jpg"])
    assert paired(tmp_path)[0] == {"a1.jpg": "images/a1.jpg"}


def test_two_pictures_that_a_name_without_suffix_could_be_are_refused(tmp_path):
    for suffix in (".png", ".jpg"):
        picture(tmp_path / "train" / f"r_0{suffix}")
    transforms(tmp_path / "transforms_train.json", ["./train/r_0"])
    with pytest.raises(UserError, match=r"r_0 could be .*r_0\.(png|jpg) and .*r_0\.(png|jpg)"):
        read_footage(tmp_path, tmp_path / "transforms_train.json")
