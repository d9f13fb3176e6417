"""What state a file is in: JPEG qualities as Pillow wrote them, noise as it was added, and the model that follows."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from skimage import data

from ganvas import cli
from ganvas.inference.picture import condition
from ganvas.inference.picture.condition import examine, model_for, noise_of
from ganvas.inference.picture.options import Sizing
from ganvas.io.pictures.jpeg_quality import jpeg_quality


@pytest.fixture(scope="module")
def photograph():
    return data.chelsea()[40:200, 60:300]


@pytest.mark.parametrize("quality", [20, 30, 50, 74, 80, 85, 95, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg_quality_is_what_it_was_written_with(photograph, tmp_path, quality, mode):
    path = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[0x010E] = "x" * 5000
    Image.fromarray(photograph).convert(mode).save(path, quality=quality, progressive=quality % 2 == 0, exif=exif)
    # Tables hold whole numbers, and the standard's entries saturate at 1 and 255.
    assert jpeg_quality(path) == pytest.approx(quality, abs=2)


def test_what_is_no_jpeg_has_no_quality(photograph, tmp_path):
    Image.fromarray(photograph).save(tmp_path / "photo.png")
    assert jpeg_quality(tmp_path / "photo.png") is None
    for name, content in (("cut", b"\xff\xd8\xff\xdb\x00"), ("empty", b""), ("odd", b"\xff\xd8\xff\xe0\x00\x00" * 9)):
        (tmp_path / name).write_bytes(content)
        assert jpeg_quality(tmp_path / name) is None


@pytest.mark.parametrize("sigma", [4, 8, 16])
@pytest.mark.parametrize("gray", [False, True])
def test_noise_is_found_as_it_was_added(sigma, gray):
    ramp = np.linspace(0.2, 0.8, 160)[None, :, None] * np.ones((128, 1, 3))
    shape = (128, 160, 1 if gray else 3)
    noisy = ramp + np.random.default_rng(0).normal(0, sigma / 255, shape)
    assert noise_of(noisy) == pytest.approx(sigma, rel=0.15)
    assert noise_of(ramp) < 0.1 and noise_of(np.zeros((20, 20, 3))) == 0


def write(folder, photograph, quality=None, sigma=0.0, name="photo"):
    noisy = photograph + np.random.default_rng(1).normal(0, sigma, photograph.shape)
    picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    path = folder / (f"{name}.png" if quality is None else f"{name}.jpg")
    folder.mkdir(exist_ok=True)
    picture.save(path, **({} if quality is None else {"quality": quality}))
    return str(path)


@pytest.mark.parametrize(
    "quality, sigma, restored, says",
    [
        (None, 0, False, ""),
        (95, 0, False, ""),
        (60, 0, True, "JPEG of quality 60"),
        (None, 20, True, "noise of"),
        (None, 2, False, ""),
        (90, 10, True, "noise of"),
        (85, 0, True, "JPEG of quality 85"),
        (90, 0, False, ""),
    ],
)
def test_poor_files_are_restored_and_the_line_says_why(tmp_path, photograph, quality, sigma, restored, says):
    name, told = model_for([write(tmp_path, photograph, quality, sigma)])
    assert name == ("restore-x4" if restored else "photo-x4")
    assert says in told and ("--model photo-x4" in told) == restored


def test_the_less_is_enlarged_the_poorer_a_file_must_be(tmp_path, photograph):
    chosen = {
        quality: [model_for([write(tmp_path, photograph, quality)], Sizing(factor=factor))[0] for factor in (1, 2, 4)]
        for quality in (50, 65, 75, 90)
    }
    assert chosen == {
        50: ["restore-x1", "restore-x2", "restore-x4"],
        65: ["photo-x4", "restore-x2", "restore-x4"],
        75: ["photo-x4", "photo-x4", "restore-x4"],
        90: ["photo-x4"] * 3,
    }


def test_a_batch_goes_by_most_of_its_pictures(tmp_path, photograph):
    for number, quality in enumerate((40, 50, 95)):
        write(tmp_path / "mostly", photograph, quality, name=str(number))
    (tmp_path / "mostly" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    name, told = model_for([str(tmp_path / "mostly")])
    assert name == "restore-x4" and "2 of 3 pictures looked at are poor" in told
    write(tmp_path / "half", photograph, 40, name="a")
    write(tmp_path / "half", photograph, 95, name="b")
    assert model_for([str(tmp_path / "half")]) == ("photo-x4", "")
    assert model_for([str(tmp_path / "nowhere.png")]) == ("photo-x4", "")


def test_without_the_restoring_model_nothing_is_chosen(tmp_path, photograph, monkeypatch):
    monkeypatch.setattr(condition, "BUNDLED", tmp_path)
    assert model_for([write(tmp_path, photograph, 30)]) == ("photo-x4", "")


@pytest.mark.parametrize(
    "asked, scale",
    [
        ({}, 4), ({"factor": 0.5}, 1), ({"factor": 1}, 1), ({"factor": 1.5}, 2), ({"factor": 2}, 2), ({"factor": 8}, 4),
        ({"size": (480, 0)}, 2), ({"size": (240, 481)}, 4), ({"long_side": 240}, 1),
    ],
)  # fmt: skip
def test_the_restoring_model_is_that_of_the_size_asked_for(tmp_path, photograph, monkeypatch, asked, scale):
    path = write(tmp_path, photograph, 30)  # 240 x 160
    monkeypatch.setattr(condition, "BUNDLED", tmp_path)
    for each in (1, 2, 4):
        (tmp_path / f"restore-x{each}.safetensors").touch()
    assert model_for([path], Sizing(**asked))[0] == f"restore-x{scale}"
    for each in (1, 2):
        (tmp_path / f"restore-x{each}.safetensors").unlink()
    assert model_for([path], Sizing(**asked))[0] == "restore-x4"


def test_the_verb_tells_and_a_named_model_overrules(tmp_path, photograph, capsys):
    path = write(tmp_path, photograph[:48, :48], 40)
    assert cli.main(["upscale", path, "--out", str(tmp_path / "a.png")]) == 0
    assert "restore-x4 was taken" in "".join(capsys.readouterr())
    assert cli.main(["upscale", path, "--out", str(tmp_path / "b.png"), "--model", "photo-x4"]) == 0
    assert "restore-x4" not in "".join(capsys.readouterr())
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_large_and_deep_pictures_are_judged_by_their_tables_alone(tmp_path, photograph, monkeypatch):
    path = write(tmp_path, photograph, None, 20)
    monkeypatch.setattr(condition, "LARGEST_PX", 100)
    assert examine(tmp_path / "photo.png").noise == 0 and model_for([path])[0] == "photo-x4"
