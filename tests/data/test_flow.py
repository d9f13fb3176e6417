"""Flow turned round and chained, against closed forms and the embedded world; teachers, good and bad."""

import itertools

import pytest
import torch

from ganvas.data import flow as flows
from ganvas.drawn.world import world
from ganvas.errors import UserError


def pictures(seed=0, height=48, width=64):
    random = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, height, width, generator=random)
    return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(noise, (4, 4, 4, 4), mode="reflect"), 9, 1)


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


def test_dis_finds_a_shift_and_pictures_fetched_along_it_fit():
    big = pictures(1, 48, 72)
    a, b = big[..., 4:68], big[..., 1:65]  # what lies at x in a lies at x + 3 in b
    flow = flows.DIS()(a, b)
    inner = flow[..., 8:-8, 8:-8]
    assert float((inner[:, 0] - 3).abs().median()) < 0.2 and float(inner[:, 1].abs().median()) < 0.2
    error = (flows.warp(b, flow) - a).abs()[..., 8:-8, 8:-8].mean()
    assert float(error) < 0.3 * float((a - b).abs()[..., 8:-8, 8:-8].mean())


class Shift(torch.nn.Module):
    def __init__(self, by: float, channels: int = 2) -> None:
        super().__init__()
        self.by, self.channels = by, channels

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a[:, : self.channels] - b[:, : self.channels]) * 0 + self.by


def test_networks_as_teachers(tmp_path):
    path = tmp_path / "flow.pt"
    torch.jit.script(Shift(1.5)).save(str(path))
    told = flows.teacher(str(path))
    assert told is not None
    assert torch.equal(told(pictures(), pictures(1)), torch.full((1, 2, 48, 64), 1.5))
    torch.jit.script(Shift(1.0, channels=1)).save(str(path))
    wrong = flows.teacher(str(path))
    assert wrong is not None
    with pytest.raises(UserError, match=r"\(1, 2, 48, 64\)"):
        wrong(pictures(), pictures(1))
    torch.jit.script(Shift(float("nan"))).save(str(path))
    broken = flows.teacher(str(path))
    assert broken is not None
    with pytest.raises(UserError, match="finite"):
        broken(pictures(), pictures(1))


def test_an_onnx_file_as_teacher(tmp_path):
    onnx = pytest.importorskip("onnx")
    make = onnx.helper
    kind = onnx.TensorProto.FLOAT
    shape = ["B", 3, "H", "W"]
    graph = make.make_graph(
        [
            make.make_node("Sub", ["a", "b"], ["d"]),
            make.make_node("Slice", ["d", "from", "to", "axis"], ["flow"]),
        ],
        "difference",
        [make.make_tensor_value_info(name, kind, shape) for name in ("a", "b")],
        [make.make_tensor_value_info("flow", kind, ["B", 2, "H", "W"])],
        [make.make_tensor(n, onnx.TensorProto.INT64, [1], [v]) for n, v in (("from", 0), ("to", 2), ("axis", 1))],
    )
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, tmp_path / "flow.onnx")
    told = flows.teacher(str(tmp_path / "flow.onnx"))
    assert told is not None
    a, b = pictures(), pictures(1)
    assert torch.allclose(told(a, b), (a - b)[:, :2])


def test_names_that_are_no_teachers(tmp_path):
    assert flows.teacher("none") is None and flows.teacher("exact") is None
    with pytest.raises(UserError, match="TorchScript"):
        flows.teacher("raft")
    for name in ("x.pt", "x.onnx"):
        (tmp_path / name).write_bytes(b"no network")
        with pytest.raises(UserError, match=name):
            flows.teacher(str(tmp_path / name))


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
