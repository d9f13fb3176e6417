"""Flow turned round and chained, against closed forms and the embedded world."""

import itertools

import torch

from ganvas import flow as flows
from ganvas.drawn.world import world


def test_a_constant_flow_turned_round():
    flow = torch.zeros(1, 2, 12, 20)
    flow[:, 0], flow[:, 1] = 3.0, -2.0
    back, known = flows.invert(flow, torch.ones(1, 1, 12, 20))
    inside = known[0, 0].bool()
    assert torch.allclose(back[0, 0][inside], torch.tensor(-3.0)) and torch.allclose(
        back[0, 1][inside], torch.tensor(2.0)
    )
    wanted = torch.zeros(12, 20, dtype=torch.bool)
    wanted[:10, 3:] = True
    assert torch.equal(inside, wanted)


def test_a_smooth_flow_there_and_back_ends_where_it_began():
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    flow = torch.stack([3 + torch.sin(y / 9), 2 * torch.cos(x / 11)])[None]
    back, known = flows.invert(flow, torch.ones(1, 1, 40, 60))
    ends = (back + flows.warp(flow, back)).abs() * known
    assert float(known.mean()) > 0.85 and float(ends.max()) < 0.02


def test_hidden_pixels_do_not_land_on_what_hides_them():
    flow = torch.zeros(1, 2, 4, 10)
    flow[..., 2:4] = 0
    flow[:, 0, :, 2:4] = 3  # two columns move to the right, over columns 5 and 6
    visible = torch.ones(1, 1, 4, 10)
    visible[..., 5:7] = 0
    back, known = flows.invert(flow, visible)
    assert torch.allclose(back[:, 0, :, 5:7], torch.tensor(-3.0)) and float(known[..., 5:7].min()) == 1
    assert float(known[..., 2:4].max()) == 0  # what they uncover was nowhere before
    assert torch.allclose(back[:, 0, :, 7:], torch.tensor(0.0))


def test_chain_of_two_shifts_is_their_sum():
    first, second = torch.full((1, 2, 8, 9), 1.5), torch.full((1, 2, 8, 9), -0.5)
    assert torch.allclose(flows.chain(first, second), torch.full((1, 2, 8, 9), 1.0))


def test_the_exact_flow_of_the_world_brings_the_frame_before():
    street, places = world.World(0), world.shots("drive", 2, 0, 0, (36.0, 18.0))
    before, now = (
        street.render(one.camera, one.time, 96, 48, two.camera, two.time) for one, two in itertools.pairwise(places)
    )
    forward = torch.from_numpy(before.flow).float()[None]
    visible = torch.from_numpy(~before.occlusion).float()[None, None]
    back, known = flows.invert(forward, visible)
    a, b = (torch.from_numpy(frame.picture)[None] for frame in (before, now))

    def mean(error, where):
        return float((error.abs() * where).sum() / where.sum() / 3)

    floor = mean(flows.warp(b, forward) - a, visible)
    assert float(known.mean()) > 0.8
    assert mean(flows.warp(a, back) - b, known) < 1.3 * floor < 0.8 * mean(a - b, known)
