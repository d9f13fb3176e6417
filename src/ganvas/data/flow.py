"""Optical flow in pixels: who tells it, how it is turned round and chained.

A flow from frame a to frame b, (B, 2, H, W), says for each pixel of a how far to the right (x) and down (y) it is found
in b: `warp(b, flow)` looks like a. A *teacher* is any function `(a, b) -> (B, 2, H, W)` of pictures in [0, 1].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.errors import UserError, need
from ganvas.warping import is_inside, warp

__all__ = ["DIS", "FlowTeacher", "ONNXTeacher", "TorchScriptTeacher", "chain", "invert", "is_inside", "teacher", "warp"]

AGREEMENT_PX = 0.5
"""An inverted flow counts where going there and back ends this near."""

ROUNDS = 4
"""Fixed-point rounds of an inversion."""


class FlowTeacher(Protocol):
    """Tells the flow from pictures a to pictures b, (B, 3, H, W) in [0, 1] each."""

    def __call__(self, a: Tensor, b: Tensor) -> Tensor: ...


# Turned round and chained


def invert(flow: Tensor, is_visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return the flow from b to a, given that from a to b, and where it is known.

    (B, 2, H, W), (B, 1, H, W) -> (B, 2, H, W), (B, 1, H, W)

    Renderers give the motion to the next frame; the generator fetches from the frame before. Pixels of b that a does
    not show have no flow: they are 0 in the second result. Each visible pixel of a is put where it goes, and the
    result is refined until it agrees with the flow at the place that it points to.

    Args:
        flow: from a to b.
        is_visible: 1 where a pixel of a can be seen in b.
    """
    start, landed = _splat(flow, is_visible)
    known, back = landed, start
    for _ in range(ROUNDS):
        back = torch.where(landed > 0, -warp(flow, back), back)
    # Near an edge the flow there is a mixture of two surfaces: the first guess is then the better one.
    wrong = (back + warp(flow, back)).square().sum(1, keepdim=True) > AGREEMENT_PX**2
    strayed = (back - start).square().sum(1, keepdim=True) > 2.0
    back = torch.where(wrong | strayed, start, back)
    return back, known * is_inside(back)


def _splat(flow: Tensor, is_visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return the negative of each visible pixel's flow at the pixel that it comes to lie on, and where one did."""
    batch, _, height, width = flow.shape
    x = torch.arange(width, device=flow.device)
    y = torch.arange(height, device=flow.device)[:, None]
    to_x, to_y = (x + flow[:, 0]).round().long(), (y + flow[:, 1]).round().long()
    lands = (to_x >= 0) & (to_x < width) & (to_y >= 0) & (to_y < height) & (is_visible[:, 0] > 0.5)
    place = (to_y.clamp(0, height - 1) * width + to_x.clamp(0, width - 1)).flatten(1)
    sums = torch.zeros(batch, 3, height * width, dtype=flow.dtype, device=flow.device)
    weights = lands.flatten(1).to(flow.dtype)
    for channel, values in enumerate((-flow[:, 0].flatten(1), -flow[:, 1].flatten(1), torch.ones_like(weights))):
        sums[:, channel].scatter_add_(1, place, values * weights)
    count = sums[:, 2:]
    sums, landed = _filled(sums.reshape(batch, 3, height, width), count.reshape(batch, 1, height, width))
    return sums, landed


def _filled(sums: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Take means, and give holes that rounding left in a surface that grows the mean of their neighbours."""
    mean = sums[:, :2] / count.clamp(min=1)
    landed = (count > 0).to(sums.dtype)
    around = 9 * F.avg_pool2d(landed, 3, 1, 1)
    near = 9 * F.avg_pool2d(mean * landed, 3, 1, 1) / around.clamp(min=1)
    far = 1e6 * (1 - landed)
    spread = F.max_pool2d(mean - far, 3, 1, 1) + F.max_pool2d(-mean - far, 3, 1, 1)
    edged = F.pad(landed, (1, 1, 1, 1))
    across = edged[..., 1:-1, 2:] * edged[..., 1:-1, :-2] + edged[..., 2:, 1:-1] * edged[..., :-2, 1:-1]
    # Between neighbours that move apart there is no hole in a surface but what lies behind two of them.
    is_hole = (landed == 0) & (across > 0) & (spread.amax(1, keepdim=True) < 1)
    return torch.where(is_hole, near, mean), torch.where(is_hole, torch.ones_like(landed), landed)


def chain(first: Tensor, second: Tensor) -> Tensor:
    """Return the flow from a to c, given those from a to b and from b to c: (B, 2, H, W), (B, 2, H, W) -> same."""
    return first + warp(second, first)


# Teachers


def teacher(name: str) -> FlowTeacher | None:
    """Return the teacher that a setting names; None for `none` and `exact`, which no function of pictures can tell.

    Args:
        name: `none`, `exact`, `dis`, or a file: `.onnx`, otherwise TorchScript.

    Raises:
        UserError: the file is missing or cannot be used, or a package is not installed.
    """
    if name in ("none", "exact"):
        return None
    if name == "dis":
        return DIS()
    path = Path(name)
    if not path.is_file():
        raise UserError(f"There is no flow teacher {name!r}", do="Use exact, dis, none, or a TorchScript or ONNX file")
    return ONNXTeacher(path) if path.suffix.lower() == ".onnx" else TorchScriptTeacher(path)


class DIS:
    """OpenCV's dense inverse search (Kroeger et al. 2016): quick on a processor, and no network.

    Raises:
        UserError: OpenCV is not installed.
    """

    def __init__(self) -> None:
        self._cv2 = need("cv2", extra="flow")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the flow from a to b: (B, 3, H, W), (B, 3, H, W) -> (B, 2, H, W)."""
        flows = [self._flow(one, other) for one, other in zip(_gray(a), _gray(b))]
        return _checked(torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2).to(a.device), a, "DIS")

    def _flow(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        # A new one each time: it keeps buffers, and threads that read data share the teacher.
        search = self._cv2.DISOpticalFlow_create(self._cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        return np.asarray(search.calc(a, b, None), np.float32)


def _gray(pictures: Tensor) -> np.ndarray:
    weights = pictures.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    return ((pictures * weights).sum(1).clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


class TorchScriptTeacher:
    """A flow network as TorchScript: two pictures in [0, 1] in, a flow in pixels out (of several, the last).

    Raises:
        UserError: the file is no TorchScript.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._module: Any = torch.jit.load(str(path), map_location="cpu").eval()
        except RuntimeError as error:
            raise UserError(f"{path} cannot be read as TorchScript", str(error).splitlines()[0]) from error

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the flow from a to b: (B, 3, H, W), (B, 3, H, W) -> (B, 2, H, W)."""
        try:
            with torch.no_grad():
                told = self._module(a.cpu().float(), b.cpu().float())
        except RuntimeError as error:
            raise _unusable(self.path, str(error).strip().splitlines()[-1]) from error
        return _checked((told[-1] if isinstance(told, (list, tuple)) else told).to(a.device), a, str(self.path))


class ONNXTeacher:
    """A flow network as ONNX, of the same kind.

    Raises:
        UserError: onnxruntime is not installed, or the file is no ONNX of two inputs.
    """

    def __init__(self, path: Path) -> None:
        runtime = need("onnxruntime", extra="onnx")
        self.path = path
        try:
            self._session: Any = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors share no base but this one
            raise UserError(f"{path} cannot be read as ONNX", str(error).splitlines()[0]) from error
        self._names = [put.name for put in self._session.get_inputs()]
        if len(self._names) != 2:
            raise _unusable(path, f"it takes {len(self._names)} inputs, not two pictures")

    def __call__(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the flow from a to b: (B, 3, H, W), (B, 3, H, W) -> (B, 2, H, W)."""
        pictures = [picture.cpu().float().numpy() for picture in (a, b)]
        try:
            told = self._session.run(None, dict(zip(self._names, pictures)))[-1]
        except Exception as error:
            raise _unusable(self.path, str(error).splitlines()[0]) from error
        return _checked(torch.from_numpy(told).to(a.device), a, str(self.path))


def _checked(flow: Tensor, like: Tensor, name: str) -> Tensor:
    wanted = (len(like), 2, *like.shape[-2:])
    if tuple(flow.shape) != wanted:
        raise _unusable(name, f"It gives {tuple(flow.shape)} where {wanted} was to come")
    if not bool(torch.isfinite(flow).all()):
        raise _unusable(name, "It gives values that are not finite")
    return flow.float()


def _unusable(name: str | Path, why: str) -> UserError:
    do = "It must take two pictures (B, 3, H, W) in [0, 1] and give (B, 2, H, W) in pixels"
    return UserError(f"The flow teacher {name} cannot be used", why, do)
