"""What tells flow: OpenCV and networks in files, good and bad."""

import pytest
import torch

from ganvas.errors import UserError
from ganvas.flow import warp
from ganvas.io import flow_teachers as flows


def pictures(seed=0, height=48, width=64):
    random = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, height, width, generator=random)
    return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(noise, (4, 4, 4, 4), mode="reflect"), 9, 1)


def test_dis_finds_a_shift_and_pictures_fetched_along_it_fit():
    big = pictures(1, 48, 72)
    a, b = big[..., 4:68], big[..., 1:65]  # what lies at x in a lies at x + 3 in b
    flow = flows.DIS()(a, b)
    inner = flow[..., 8:-8, 8:-8]
    assert float((inner[:, 0] - 3).abs().median()) < 0.2 and float(inner[:, 1].abs().median()) < 0.2
    error = (warp(b, flow) - a).abs()[..., 8:-8, 8:-8].mean()
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
