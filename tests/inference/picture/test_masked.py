"""Two upscalers in one picture by a mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from ganvas import cli
from ganvas.errors import UserError
from ganvas.inference.picture.masked import Mask, _together, mix, upscale_masked
from ganvas.inference.picture.upscale import Upscaler


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "low.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 26, 3), np.uint8)).save(path)
    return path


def pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path))


def run(picture, out, *words) -> int:
    return cli.main(["upscale", str(picture), "--out", str(out), "--device", "cpu", "--precision", "float32", *words])


BLEND = ("--blend", "compact-x4", "compact-x4-gan")


def test_black_is_the_first_model_white_the_mix_and_gray_lies_between(picture, tmp_path):
    weights = np.zeros((20, 26), np.uint8)
    weights[:, 13:] = 255
    Image.fromarray(weights).save(tmp_path / "mask.png")
    assert run(picture, tmp_path / "first.png", "--model", "compact-x4") == 0
    assert run(picture, tmp_path / "mixed.png", *BLEND, "--mix", "0.75") == 0
    mask = ("--mix", "0.75", "--mix-mask", str(tmp_path / "mask.png"))
    assert run(picture, tmp_path / "masked.png", *BLEND, *mask) == 0
    first, mixed, masked = (pixels(tmp_path / f"{name}.png") for name in ("first", "mixed", "masked"))
    assert np.array_equal(masked[:, : 12 * 4], first[:, : 12 * 4])
    assert np.array_equal(masked[:, 14 * 4 :], mixed[:, 14 * 4 :])
    low, high = np.minimum(first, mixed), np.maximum(first, mixed)
    assert (masked >= low).all() and (masked <= high).all() and not np.array_equal(first, mixed)


@pytest.mark.parametrize("size", [(20, 26), (80, 104), (7, 9), (33, 26)])
def test_a_mask_is_interpolated_linearly(size):
    """Against torch, whatever strips it is asked for in."""
    weights = np.random.default_rng(1).random((20, 26)).astype(np.float32)
    expected = F.interpolate(torch.from_numpy(weights)[None, None], size=size, mode="bilinear", align_corners=False)
    mask = Mask(weights, size)
    made = np.concatenate([mask.rows(top, min(size[0], top + 3)) for top in range(0, size[0], 3)])[..., 0]
    assert np.abs(made - expected[0, 0].numpy()).max() < 1e-5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32])
def test_ends_are_exact(dtype):
    random = np.random.default_rng(2)
    one, two = (random.random((4, 5, 3)) * (250 if np.dtype(dtype).kind == "u" else 1) for _ in range(2))
    one, two = one.astype(dtype), two.astype(dtype)
    assert np.array_equal(mix(one, two, np.zeros((4, 5, 1), np.float32)), one)
    assert np.array_equal(mix(one, two, np.ones((4, 5, 1), np.float32)), two)
    assert mix(one, two, np.full((4, 5, 1), 0.5, np.float32)).dtype == dtype


def test_strips_of_any_heights_go_together():
    rows = np.arange(11)[:, None]
    pairs = list(_together(iter(np.split(rows, [2, 7])), iter(np.split(rows, [1, 3, 10]))))
    assert all(np.array_equal(*pair) for pair in pairs)
    assert np.array_equal(np.concatenate([first for first, _ in pairs]), rows)


def test_what_cannot_be_masked_is_refused(picture, tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "mask.png")
    with pytest.raises(UserError, match="do not go together"):
        upscale_masked(
            Upscaler("compact-x4"), Upscaler("compact-x2"), tmp_path / "mask.png", picture, tmp_path / "o.png"
        )
    for words in (
        ["--mix-mask", str(tmp_path / "mask.png")],
        [*BLEND, "--mix-mask", str(tmp_path / "gone.png")],
        [*BLEND, "--mix-mask", str(tmp_path / "mask.png"), "--crop", "0,0,4,4"],
    ):
        assert run(picture, tmp_path / "o.png", *words) != 0
    assert not (tmp_path / "o.png").exists()
