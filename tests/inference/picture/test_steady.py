"""Steady frames: a shifted texture with noise anew in each frame, known flow, uncovered parts, frames between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ganvas import cli
from ganvas.errors import UserError
from ganvas.inference import chain
from ganvas.inference.picture.steady import Blend, Flicker, flow_between, steady, with_between


class Shift:
    """The true flow between frames of a pattern that moves: b is a, `by` pixels (of the small frames) further."""

    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        flow = torch.zeros(len(a), 2, *a.shape[-2:])
        flow[:, 0] = self.by
        return flow


def clip(length: int, noise: float = 0.05, speed: int = 2) -> list[Tensor]:
    wide = torch.rand(3, 40, 40 + speed * length, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(wide[None], 5, 1, 2)[0]
    random = torch.Generator().manual_seed(1)
    frames = []
    for number in range(length):
        # The pattern goes left by `speed` in each frame, so what is at x now was at x + speed before.
        part = smooth[..., speed * number : speed * number + 40]
        frames.append((part + noise * torch.randn(part.shape, generator=random)).clamp(0, 1))
    return frames


def test_noise_falls_to_the_share_of_a_running_mean() -> None:
    frames = clip(12)
    truth = clip(12, noise=0.0)
    flicker = Flicker()
    strength = 0.5
    made = list(steady(frames, Shift(2), Blend(strength=strength, tolerance=1e6), flicker))
    inner = (..., slice(4, -8))
    before = float((frames[-1] - truth[-1])[inner].std())
    after = float((made[-1] - truth[-1])[inner].std())
    # A running mean of this strength keeps sqrt((1 - s) / (1 + s)) of independent noise.
    assert after / before == pytest.approx(((1 - strength) / (1 + strength)) ** 0.5, rel=0.1)
    assert flicker.after < 0.75 * flicker.before and flicker.frames == 11


def test_what_differs_is_left_alone() -> None:
    first, second = torch.zeros(3, 32, 32), torch.zeros(3, 32, 32)
    second[:, 8:24, 8:24] = 1.0
    made = list(steady([first, second], Shift(0), Blend(strength=0.9)))
    assert torch.equal(made[0], first)
    assert torch.allclose(made[1][:, 8:24, 8:24], second[:, 8:24, 8:24])
    assert made[1][:, :4].abs().max() == 0


def test_strength_zero_changes_nothing_and_others_are_checked() -> None:
    frames = clip(3)
    assert all(torch.equal(a, b) for a, b in zip(steady(frames, Shift(2), Blend(strength=0)), frames))
    with pytest.raises(UserError, match="share"):
        Blend(strength=1.5)


def test_flow_is_in_pixels_of_the_frames() -> None:
    flow = flow_between(Shift(3), torch.rand(3, 768, 384), torch.rand(3, 768, 384))
    assert flow.shape == (1, 2, 768, 384)
    # Found at half the size, so three small pixels are six.
    assert torch.allclose(flow[:, 0], torch.tensor(6.0)) and flow[:, 1].abs().max() == 0


class TwoWay(Shift):
    """The pattern's own flow in both directions, told apart by which frame comes first."""

    def __init__(self, first: Tensor, by: float) -> None:
        super().__init__(by)
        self.first = first

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        sign = -1 if torch.equal(a[0], self.first) else 1
        return sign * super().__call__(a, b)


@pytest.mark.parametrize("times", [2, 4])
def test_frames_between_lie_on_the_way(times: int) -> None:
    frames = clip(2, noise=0, speed=4)
    made = list(with_between(frames, TwoWay(frames[0], 4), times))
    assert len(made) == times + 1
    finer = clip(2, noise=0, speed=4)
    wide = torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.avg_pool2d(wide[None], 5, 1, 2)[0]
    for place in range(times + 1):
        start = 4 * place // times
        expected = smooth[..., start : start + 40]
        assert torch.allclose(made[place][..., 6:-6], expected[..., 6:-6], atol=1e-5), place
    assert torch.equal(made[0], finer[0])
    with pytest.raises(UserError, match="0 times"):
        list(with_between(frames, Shift(0), 0))


def test_a_folder_of_frames_is_made_steady_from_one_command(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("cv2")
    (tmp_path / "low").mkdir()
    for number, frame in enumerate(clip(3, noise=0.01)):
        rows = (frame.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(rows).save(tmp_path / "low" / f"{number}.png")
    arguments = ["generate", str(tmp_path / "low"), "--then", "compact-x4", "--device", "cpu", "--steady", "0.5"]
    assert cli.main([*arguments, "--times", "2", "--out", str(tmp_path / "out")]) == 0
    found = sorted(path.name for path in (tmp_path / "out" / "2-steady").iterdir())
    assert found == [f"{number:06d}.png" for number in range(5)]
    assert Image.open(tmp_path / "out" / "2-steady" / "000000.png").size == (160, 160)
    assert "warping error" in capsys.readouterr().err
    with pytest.raises(UserError, match="holds 0 frames"):
        chain.steady_frames(tmp_path / "nothing", tmp_path / "x", blend=Blend())
