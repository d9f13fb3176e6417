"""Whole pictures as squares: what is cut, what is passed over, and what chance does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ganvas.data.squares import Squares
from ganvas.errors import UserError
from ganvas.io.pictures import images


@pytest.fixture
def folder(tmp_path):
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = 200  # the largest centred square
    wide[:, 40:60, 0] = 100
    images.write(tmp_path / "a_wide.png", wide)
    images.write(tmp_path / "b_even.png", np.full((32, 32, 3), 77, np.uint8))
    images.write(tmp_path / "c_small.png", np.full((31, 90, 3), 77, np.uint8))
    return tmp_path


def test_the_middle_is_cut_and_small_pictures_are_named(folder):
    source = Squares(folder, 32, mirror=False)
    assert len(source) == 2 and "c_small" in source.report.text
    cut = source.sample(0, np.random.default_rng(0))["picture"]
    assert cut.shape == (3, 32, 32) and cut.dtype == torch.uint8
    # Away from edges, where resizing rings, only the middle of the picture is seen.
    assert cut[0, :, 2:12].unique().tolist() == [100] and cut[0, :, 20:30].unique().tolist() == [200]
    same = source.sample(1, np.random.default_rng(0))["picture"]
    assert same.unique().tolist() == [77]


def test_half_of_the_squares_are_mirrored_by_the_samples_own_chance(folder):
    source = Squares(folder, 32)
    plain = Squares(folder, 32, mirror=False).sample(0, np.random.default_rng(0))["picture"]
    drawn = [source.sample(0, np.random.default_rng(seed))["picture"] for seed in range(40)]
    mirrored = [torch.equal(picture, plain.flip(-1)) for picture in drawn]
    assert all(torch.equal(picture, plain) or flip for picture, flip in zip(drawn, mirrored))
    assert 8 < sum(mirrored) < 32


def test_a_subset_holds_its_own_pictures(folder):
    source = Squares(folder, 32, mirror=False)
    part = source.subset([1])
    assert part.groups() == ["b_even.png"] and len(part) == 1 and len(source) == 2
    expected = source.sample(1, np.random.default_rng(0))["picture"]
    assert torch.equal(part.sample(0, np.random.default_rng(0))["picture"], expected)
    with pytest.raises(UserError, match="at least 64"):
        Squares(folder, 64)
