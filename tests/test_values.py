"""Values go to a network's range and back, bytes too; grays are what they were."""

import torch

from ganvas.values import LUMA, gray, to_range, to_unit


def test_black_and_white_are_the_ends_of_the_range():
    ends = torch.tensor([0.0, 1.0])
    for span in ((-1.0, 1.0), (0.0, 1.0), (-0.5, 2.0)):
        assert to_range(ends, span).tolist() == list(span)
        assert torch.equal(to_unit(to_range(ends, span), span), ends)
    assert to_range(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_values_outside_the_range_are_not_clamped():
    assert to_unit(torch.tensor([-3.0, 2.0])).tolist() == [-1.0, 1.5]


def test_gray_keeps_its_value_and_colours_weigh_as_bt601_says():
    assert abs(sum(LUMA) - 1) < 1e-9
    picture = torch.rand(2, 1, 3, 4).expand(-1, 3, -1, -1)
    assert torch.allclose(gray(picture), picture[:, :1])
    assert torch.allclose(gray(torch.eye(3)[:, :, None, None])[:, 0, 0, 0], torch.tensor(LUMA))
