"""Upscaling by nets that know more than the picture: its label map, or the class of what it shows.

Each picture goes through the net whole, once, with the channels that it was trained with behind its own.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas import device as devices
from ganvas.data.conditions import class_planes, label_planes
from ganvas.data.pictures import stem_of
from ganvas.errors import UserError, did_you_mean
from ganvas.inference.open import Opened, open_model
from ganvas.inference.result import Result
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import from_tensor, to_tensor
from ganvas.values import to_range


class Conditioned:
    """A net with label or class channels, made ready for whole low pictures.

    Raises:
        UserError: the net wants labels or a class that were not given, or there is no such class.
    """

    def __init__(
        self, model: str | Path | Opened, labels: str = "", class_name: str = "", device: str = "auto"
    ) -> None:
        opened = open_model(model)
        self.device = devices.pick(device)
        self.card, self.scale = opened.card, opened.card.scale
        facts = self.card.extra["conditions"]
        self.num_labels, self.class_names = int(facts["num_labels"]), [str(name) for name in facts["class_names"]]
        self._class = _number(class_name, self.class_names) if self.class_names else 0
        self._maps = _maps_in(labels) if self.num_labels else {}
        self.net = opened.network(device=self.device)

    @torch.inference_mode()
    def __call__(self, low: Tensor, label_map: Tensor | None = None) -> Tensor:
        """Return a picture enlarged: (3, h, w) in [0, 1], the map (1 or 3, H, W) of 8-bit values -> (3, H', W')."""
        height, width = low.shape[-2:]
        layers = [to_range(low[None])]
        if self.num_labels:
            if label_map is None:
                raise UserError("This net wants the label map of a picture", do="Add --labels DIR")
            planes = label_planes(label_map[None], self.num_labels).to(low)
            layers.append(F.interpolate(planes, size=(height, width), mode="nearest-exact"))
        if self.class_names:
            layers.append(class_planes(torch.tensor([self._class]), len(self.class_names), height, width).to(low))
        made = self.net(torch.cat(layers, dim=1).to(self.device)).float()[0].cpu()
        return (made * 0.5 + 0.5).clamp(0, 1)

    def enlarge_file(self, path: Path, target: Path, overwrite: bool = False) -> Result:
        """Enlarge one file; its label map has the same name, whatever its ending.

        Raises:
            UserError: it has no label map, or cannot be read or written.
        """
        began = time.perf_counter()
        label_map = None
        if self.num_labels:
            found = self._maps.get(path.stem)
            if found is None:
                raise UserError(f"{path.name} has no label map", "The folder of --labels holds none of its name")
            label_map = to_tensor(images.read(found)[0])
        high = self(to_tensor(images.read(path)[0]), label_map)
        images.write(target, from_tensor(high), overwrite=overwrite)
        height, width = high.shape[-2:]
        return Result(
            input=str(path), output=str(target), width=width, height=height,
            seconds=round(time.perf_counter() - began, 3), precision="float32", tile="whole",
        )  # fmt: skip


def _number(asked: str, names: Sequence[str]) -> int:
    if not asked:
        raise UserError("This net wants the class of the pictures", do=f"Add --class {names[0]}, or another of {names}")
    if asked in names:
        return names.index(asked)
    if asked.isdecimal() and int(asked) < len(names):
        return int(asked)
    raise UserError(f"No class is called {asked!r}", do=did_you_mean(asked, names))


def _maps_in(folder: str) -> dict[str, Path]:
    if not folder:
        raise UserError("This net wants the label maps of the pictures", do="Add --labels DIR")
    found, problems = images.find_pictures([folder])
    if not found:
        raise UserError(f"{folder} holds no label maps", problems[0][1] if problems else "")
    return {stem_of(path.name): path for path in found}
