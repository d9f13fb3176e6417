"""The face-like set: exact landmarks, the same for the same seed, textures that a low picture cannot show."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganvas import cli
from ganvas.data.landmarks import drawn
from ganvas.drawn.faces import face, write
from ganvas.errors import UserError


@pytest.mark.parametrize("seed", range(4))
def test_landmarks_are_where_the_features_were_painted(seed: int) -> None:
    made = face(seed, 128)
    assert made.picture.shape == (128, 128, 3) and made.points.shape == (68, 2)
    assert made.points.min() >= 0 and made.points.max() <= 127
    _, _, eyes, _, mouth = drawn(made.points, 128, 128) > 0.99
    outer = drawn(made.points, 128, 128)[0] > 0.99
    skin = outer & ~eyes & ~mouth
    # Lips are redder than the skin around them, and the white of the eye, pupil and iris make eyes vary most.
    redness = made.picture[..., 0] - made.picture[..., 1]
    assert redness[mouth].mean() > redness[skin].mean()
    assert made.picture[eyes].std() > made.picture[skin].std()


def test_the_same_number_is_the_same_face_at_every_size() -> None:
    first, again, large = face(5, 64), face(5, 64), face(5, 128)
    assert np.array_equal(first.picture, again.picture)
    assert np.allclose((first.points + 0.5) / 64, (large.points + 0.5) / 128)
    assert not np.array_equal(first.picture, face(6, 64).picture)


def test_high_pictures_hold_what_low_ones_cannot() -> None:
    for seed in range(3):
        high = face(seed, 256).picture
        low = high.reshape(32, 8, 32, 8, 3).mean((1, 3)).repeat(8, 0).repeat(8, 1)
        assert (high - low).std() > 0.02


def test_the_set_is_written_with_its_landmarks_and_read_back(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["faces", str(tmp_path / "set"), "--number", "2", "--size", "48"]) == 0
    noted = json.loads((tmp_path / "set" / "landmarks.json").read_text())
    assert sorted(noted["points"]) == ["000000.png", "000001.png"] and noted["licence"] == "CC0-1.0"
    assert np.allclose(noted["points"]["000001.png"], face(1, 48).points, atol=0.006)
    pixels = np.asarray(Image.open(tmp_path / "set" / "000001.png"))
    assert np.abs(pixels / 255 - face(1, 48).picture).max() < 1 / 255
    with pytest.raises(UserError, match="not empty"):
        write(tmp_path / "set", 1, 48)
    with pytest.raises(UserError, match="8 px"):
        face(0, 8)
