"""Other projects' networks by spandrel: what is handed over, what comes back, and honest words where it cannot be."""

from __future__ import annotations

import sys
from enum import Enum
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import ganvas
from ganvas.errors import UserError
from ganvas.inference.open import open_model
from ganvas.networks import others
from ganvas.recipes.teachers import load_teacher


class Tiling(Enum):
    SUPPORTED = 1
    INTERNAL = 3


class Enlarger(nn.Module):
    """The stranger's network: nearest neighbour times a learned gain."""

    def __init__(self, gain, scale):
        super().__init__()
        self.gain, self.scale = nn.Parameter(gain), scale

    def forward(self, x):
        assert x.shape[-1] % 4 == 0 and x.shape[-2] % 4 == 0
        return nn.functional.interpolate(x, scale_factor=self.scale) * self.gain


@pytest.fixture
def spandrel(monkeypatch):
    """A package with spandrel's face that knows one architecture, by the tensor `stranger.gain`."""
    handed = []

    class UnsupportedModelError(Exception):
        pass

    class ModelLoader:
        def load_from_state_dict(self, state):
            handed.append(state)
            if "stranger.gain" not in state:
                raise UnsupportedModelError("unknown")
            if state["stranger.gain"].numel() > 1:
                raise RuntimeError("size mismatch for gain")
            channels = 1 if "gray" in state else 4 if "four" in state else 3
            return SimpleNamespace(
                architecture=SimpleNamespace(name="Stranger"), model=Enlarger(state["stranger.gain"], 2), scale=2,
                input_channels=channels, output_channels=channels, tiling=Tiling.SUPPORTED,
                size_requirements=SimpleNamespace(minimum=8, multiple_of=4, square="square" in state),
            )  # fmt: skip

    module = SimpleNamespace(ModelLoader=ModelLoader, UnsupportedModelError=UnsupportedModelError, __spec__="found")
    monkeypatch.setitem(sys.modules, "spandrel", module)
    monkeypatch.setattr(others, "is_installed", lambda: True)
    return handed


def stranger(folder, **more):
    path = folder / "stranger.pth"
    torch.save({"params_ema": {"stranger.gain": torch.tensor([0.5]), **more}}, path)
    return path


def test_a_strangers_network_upscales_pictures_of_any_size(spandrel, tmp_path):
    path = stranger(tmp_path)
    opened = open_model(path)
    card = opened.card
    assert (card.network, card.scale, card.multiple_of, card.minimum_px) == ("spandrel:Stranger", 2, 4, 8)
    # Tensors were handed over, and no path: the file was read by the loader that runs nothing.
    assert all(isinstance(value, torch.Tensor) for state in spandrel for value in state.values())
    picture = np.full((13, 19, 3), 200, np.uint8)
    assert (ganvas.Upscaler(path)(picture) == 100).all()
    assert ganvas.Upscaler(path)(picture).shape == (26, 38, 3)
    assert ganvas.load(path).card.scale == 2


def test_a_network_of_one_channel_runs_on_the_luma(spandrel, tmp_path):
    net = ganvas.load(stranger(tmp_path, gray=torch.zeros(1)))
    gray = torch.full((1, 3, 8, 8), 0.6)
    assert (net(gray) - 0.3).abs().max() < 1e-6
    coloured = torch.tensor([0.8, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    luma = 0.299 * 0.8 + 0.587 * 0.4 + 0.114 * 0.2
    wanted = coloured - luma + luma / 2
    assert (net(coloured) - wanted[..., :1, :1]).abs().max() < 1e-6


def test_it_may_teach(spandrel, tmp_path):
    teacher = load_teacher(str(stranger(tmp_path)), 2)
    assert (teacher(torch.ones(1, 3, 8, 8)) == 0.5).all()
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    with pytest.raises(UserError, match="cannot teach"):
        load_teacher(str(stranger(tmp_path)), 4)


@pytest.mark.parametrize(
    "more, says",
    [
        ({"stranger.gain": torch.ones(2)}, "cannot build this network"),
        ({"four": torch.ones(1)}, "takes 4 channels"),
        ({"square": torch.ones(1)}, "squares only"),
    ],
)
def test_what_enlarges_no_pictures_is_refused(spandrel, tmp_path, more, says):
    with pytest.raises(UserError, match=says):
        open_model(stranger(tmp_path, **more))


def test_tensors_that_nobody_knows_are_described(spandrel, tmp_path):
    torch.save({"encoder.weight": torch.ones(5, 7)}, tmp_path / "net.pth")
    with pytest.raises(UserError, match=r"begin with encoder.weight \[5, 7\], and spandrel knows no such network"):
        open_model(tmp_path / "net.pth")


def test_without_spandrel_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(others, "is_installed", lambda: False)
    with pytest.raises(UserError, match=r"Known layouts: .*ganvas\[spandrel\]"):
        open_model(stranger(tmp_path))
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(UserError, match=r"extra 'spandrel'|cannot be imported"):
        load_teacher(str(stranger(tmp_path)), 2)


@pytest.mark.parametrize(
    "failure",
    [
        "raise ModuleNotFoundError(\"No module named 'torchvision'\", name='torchvision')",
        "raise RuntimeError('operator torchvision::nms does not exist')",
    ],
)
def test_a_torchvision_that_is_missing_or_wrong_is_explained(monkeypatch, tmp_path, failure):
    (tmp_path / "spandrel").mkdir()
    (tmp_path / "spandrel" / "__init__.py").write_text(failure)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spandrel", raising=False)
    with pytest.raises(UserError, match=r"cannot be imported.*install the torchvision made for your torch"):
        open_model(stranger(tmp_path))
