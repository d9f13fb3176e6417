"""Resizing by strips gives the numbers of resizing the whole picture, written independently."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.data.degrade import resize_bicubic
from ganvas.inference.rows.resample import margin_for, resized
from ganvas.inference.rows.strips import Margins


def whole_by_strips(picture, target, strip=7, margins=Margins(), size=None):
    strips = resized(iter(picture.split(strip, dim=2)), size or tuple(picture.shape[2:]), target, margins, strip_px=5)
    return torch.cat(list(strips), dim=2)


def plainly(signal, target):
    """One axis in float64, pixel by pixel: the cubic of Keys, widened when shrinking, over a mirrored signal."""
    length = len(signal)
    stretch = max(1.0, length / target)
    result = np.zeros(target)
    for j in range(target):
        centre = (j + 0.5) * length / target - 0.5
        total = 0.0
        for i in range(int(centre - 3 * stretch) - 2, int(centre + 3 * stretch) + 3):
            x = abs((centre - i) / stretch)
            near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            weight = near if x <= 1 else far if x < 2 else 0
            k = i % (2 * length)
            result[j] += weight * signal[k if k < length else 2 * length - 1 - k]
            total += weight
        result[j] /= total
    return result


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60))
def test_each_axis_equals_a_plain_writing(length, target):
    signal = np.random.default_rng(length).random(length)
    column = torch.from_numpy(signal)[None, None, :, None]
    np.testing.assert_allclose(whole_by_strips(column, (target, 1)).flatten(), plainly(signal, target), atol=1e-12)
    row = column.transpose(2, 3)
    np.testing.assert_allclose(whole_by_strips(row, (1, target)).flatten(), plainly(signal, target), atol=1e-12)


@pytest.mark.parametrize("target", [(50, 70), (100, 140), (12, 17), (33, 200), (1, 1), (49, 70)])
def test_strips_equal_the_resize_of_the_training_data(target):
    picture = torch.rand(2, 3, 50, 70, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        whole_by_strips(picture, target), resize_bicubic(picture, size=target), atol=2e-6, rtol=0
    )


def test_the_same_size_changes_nothing():
    picture = torch.rand(1, 3, 20, 30)
    torch.testing.assert_close(whole_by_strips(picture, (20, 30)), picture)


@pytest.mark.parametrize("target", [(16, 32), (48, 60)])
def test_with_wrapped_margins_the_result_tiles_the_plane(target):
    picture = torch.rand(1, 3, 32, 40, dtype=torch.float64)
    margin = margin_for(0.5)
    grown = F.pad(picture, (margin,) * 4, mode="circular")
    once = whole_by_strips(grown, target, margins=Margins(*(margin,) * 4), size=(32, 40))
    assert once.shape[2:] == target
    shift = (16, 20)
    rolled = F.pad(picture.roll(shift, (2, 3)), (margin,) * 4, mode="circular")
    again = whole_by_strips(rolled, target, margins=Margins(*(margin,) * 4), size=(32, 40))
    moved = (shift[0] * target[0] // 32, shift[1] * target[1] // 40)
    torch.testing.assert_close(again, once.roll(moved, (2, 3)))
