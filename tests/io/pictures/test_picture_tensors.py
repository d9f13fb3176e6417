"""Pictures as tensors: values against plain arithmetic, and memory of their own in every layout."""

import warnings

import numpy as np
import pytest
import torch

from ganvas.io.pictures.tensors import from_tensor, to_tensor


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_picture_becomes_a_tensor_of_its_own(channels, planar, dtype):
    values = np.random.default_rng(0).integers(0, 256, (5, 7, channels)).astype(dtype)
    if dtype == "float32":
        values /= 255
    # As a tensor's permuted axes leave it: planes lie one behind the other.
    picture = np.ascontiguousarray(values.transpose(2, 0, 1)).transpose(1, 2, 0) if planar else values.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = to_tensor(picture)
    shown = values[..., :3] if channels >= 3 else np.repeat(values[..., :1], 3, -1)
    wanted = torch.from_numpy(shown.astype(np.float32) / (255 if dtype == "uint8" else 1)).permute(2, 0, 1)
    assert (tensor - wanted).abs().max() < 1e-7 and tensor.is_contiguous()
    tensor.zero_()
    np.testing.assert_array_equal(picture, values)


def test_there_and_back():
    picture = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(from_tensor(to_tensor(picture)), picture)
