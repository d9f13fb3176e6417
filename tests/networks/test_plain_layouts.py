"""What is only computed takes faster ways through memory, which give the same bits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ganvas.networks.blocks import in_planes, pixel_shuffle


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("factor", "dtype"), [(1, torch.float32), (2, torch.bfloat16), (4, torch.float32)])
def test_pixels_are_where_torch_puts_them(layout, factor, dtype):
    x = torch.randn(2, 3 * factor**2, 5, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    x = x.contiguous(memory_format=layout)
    expected = F.pixel_shuffle(x, factor)
    with torch.no_grad():
        assert torch.equal(pixel_shuffle(x, factor), expected)
    x.requires_grad_()
    assert pixel_shuffle(x, factor).requires_grad


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_planes_hold_the_same_values_in_order(layout):
    x = torch.randn(2, 6, 5, 7).contiguous(memory_format=layout)
    with torch.inference_mode():
        planes = in_planes(x)
    assert planes.is_contiguous()
    assert torch.equal(planes, x)


def test_a_traced_shuffle_is_the_operation_that_other_engines_know():
    with torch.no_grad():
        graph = torch.jit.trace(lambda x: pixel_shuffle(x, 2), torch.rand(1, 4, 3, 3)).graph
    assert "aten::pixel_shuffle" in str(graph)
