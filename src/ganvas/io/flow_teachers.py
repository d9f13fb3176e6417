"""What tells the flow between two pictures: OpenCV, or a network of the user's own as TorchScript or ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganvas.errors import UserError, need
from ganvas.flow import FlowTeacher
from ganvas.values import gray


def teacher(name: str) -> FlowTeacher | None:
    """Return what a setting names; None for `none` and `exact`, which no function of pictures can tell.

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
    return (gray(pictures)[:, 0].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


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
