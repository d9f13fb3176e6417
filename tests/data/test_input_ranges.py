"""Inputs that are measures: far skies, 12 bits in 16, infinity; plain pictures are left alone."""

import numpy as np
import pytest

from ganvas.data.input_ranges import Asked, InputRange, measure, read_input
from ganvas.data.labels import LabelledPictures
from ganvas.errors import UserError
from ganvas.io.pictures import images

DEPTH = np.linspace(2, 12, 32 * 48).reshape(32, 48).astype(np.float32)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, array)
    return path


@pytest.mark.parametrize("sky", [10_000.0, np.inf, None])
def test_a_sky_far_away_does_not_flatten_the_rest(tmp_path, sky):
    depth = DEPTH.copy()
    if sky:
        depth[:10] = sky
    found = measure([write(tmp_path / "d.exr", depth)], Asked())
    rest = depth[depth < 100]
    assert found.scale == "linear" and abs(found.low - rest.min()) < 0.1 and abs(found.high - 12) < 0.1
    values = read_input(tmp_path / "d.exr", found)[..., 0]
    assert np.allclose(values, np.clip((depth - found.low) / (found.high - found.low), 0, 1), atol=1e-6)
    assert values[-1, 0] > 0.9 and (sky is None or (values[:10] == 1).all())


def test_values_of_many_powers_of_ten_are_taken_by_their_logarithm(tmp_path):
    depth = np.geomspace(0.5, 5000, 32 * 48).reshape(32, 48).astype(np.float32)
    found = measure([write(tmp_path / "d.exr", depth)], Asked())
    assert found.scale == "log"
    # Evenly spread in the logarithm, they come out evenly spread.
    assert np.allclose(found.apply(depth)[5:-5].ravel(), np.linspace(0, 1, depth.size)[5 * 48 : -5 * 48], atol=0.01)
    inverse = InputRange(1, 4, "inverse")
    assert np.allclose(inverse.apply(np.array([1, 2, 4, np.inf])), [1, 1 / 3, 0, 0])


def test_twelve_bits_in_sixteen_and_plain_pictures(tmp_path):
    twelve = write(tmp_path / "twelve.png", (DEPTH * 300).astype(np.uint16))
    found = measure([twelve], Asked())
    values = read_input(twelve, found)
    assert values.min() == 0 and values.max() == 1
    plain = [
        write(tmp_path / "full.png", np.linspace(0, 65535, 12).reshape(3, 4).astype(np.uint16)),
        write(tmp_path / "render.exr", np.linspace(0, 1, 12).reshape(3, 4).astype(np.float32)),
        write(tmp_path / "gray.png", np.full((3, 4), 9, np.uint8)),
    ]
    assert [measure([path], Asked()) for path in plain] == [None] * 3
    assert measure(plain[2:], Asked((0, 0.5))) == InputRange(0, 0.5)


def test_what_is_no_range_or_no_number_is_refused(tmp_path):
    path = write(tmp_path / "d.exr", DEPTH)
    for asked, told in ((Asked((1,)), "two values"), (Asked((5, 1)), "no range"), (Asked((0, 5), "log"), "positive")):
        with pytest.raises(UserError, match=told):
            measure([path], asked)
    broken = DEPTH.copy()
    broken[3, 3] = np.nan
    with pytest.raises(UserError, match="no numbers"):
        read_input(write(tmp_path / "nan.exr", broken), InputRange(0, 9))


def test_a_data_set_says_which_range_it_took(tmp_path):
    depth = np.where(np.arange(48) < 20, 10_000, DEPTH).astype(np.float32)
    write(tmp_path / "input" / "0.exr", depth)
    write(tmp_path / "pictures" / "0.png", np.zeros((32, 48, 3), np.uint8))
    source = LabelledPictures(tmp_path)
    values = source.whole(0)["input"]
    assert values.shape == (3, 32, 48) and values.min() == 0 and values.max() == 1
    assert values[:, :, 20:].std() > 0.2 and "become 0 to 1" in source.report.text
    assert np.allclose(LabelledPictures(tmp_path, input_range=Asked((2, 22))).whole(0)["input"][0, :, 20:],
                       (DEPTH[:, 20:] - 2) / 20, atol=1e-6)  # fmt: skip
