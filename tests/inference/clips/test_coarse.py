"""Flow and mask of frames larger than those of training are those of the smaller frames, enlarged."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ganvas.inference.clips.coarse import coarse_moves, factor_of
from ganvas.networks.vid2vid.net import Past, Vid2Vid


@pytest.mark.parametrize(
    ("trained", "size", "factor"),
    [((128, 256), (256, 512), 2), ((128, 256), (384, 768), 3), ((128, 256), (128, 256), 1), ((128, 256), (256, 256), 1),
     ((128, 256), (200, 512), 1), ((256, 512), (128, 256), 1), (None, (128, 256), 1)],
)  # fmt: skip
def test_only_whole_multiples_are_seen_smaller(trained, size, factor) -> None:
    assert factor_of(trained, size) == factor


@torch.no_grad()
def test_a_frame_of_repeated_pixels_moves_as_the_small_one_does() -> None:
    torch.manual_seed(0)
    net = Vid2Vid(channels_label=3, frames=2, width=4, downs=1, blocks=1, norm="instance").eval()
    labels, before = torch.rand(1, 3, 16, 24).round(), torch.rand(1, 3, 16, 24).round()
    picture, has = torch.rand(1, 3, 16, 24) * 2 - 1, torch.ones(1, dtype=torch.bool)
    small = net(torch.cat([before, labels], 1), picture, has)
    labels2, before2, picture2 = (
        plane.repeat_interleave(2, -1).repeat_interleave(2, -2) for plane in (labels, before, picture)
    )
    flow, mask = coarse_moves(net, labels2, Past(before2, picture2, has), 2, 2)
    enlarged = [F.interpolate(part, scale_factor=2, mode="bilinear") for part in (small.flow, small.mask)]
    assert small.flow.abs().max() > 0.01
    torch.testing.assert_close(flow, 2 * enlarged[0])
    torch.testing.assert_close(mask, enlarged[1])


@torch.no_grad()
def test_a_boundary_of_one_pixel_is_still_there() -> None:
    net = Vid2Vid(channels_label=2, frames=2, width=4, downs=1, blocks=1, norm="instance").eval()
    seen = []
    net.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    labels = torch.zeros(1, 2, 16, 16)
    labels[..., 5] = 1  # a column that every second pixel misses, in both planes
    past = Past(torch.zeros_like(labels), torch.zeros(1, 3, 16, 16), torch.ones(1, dtype=torch.bool))
    coarse_moves(net, labels, past, 2, 1)
    assert seen[0][0, 3, :, 2].all() and not seen[0][0, 2].any()
