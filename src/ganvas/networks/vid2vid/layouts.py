"""vid2vid's published generators, one file a scale: known by their tensor names, and joined to one network.

The coarsest scale (`G0`) is a generator by itself; a finer one (`G1`, `G2`) is of use only on top of it: see `join`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from torch import Tensor

from ganvas.errors import UserError
from ganvas.networks.layouts import Layout, Recognised, Tensors
from ganvas.protocol import Card

CAR = 26
"""The foreground label of the published street scenes. Files do not tell theirs."""


def _is_coarse(keys: Collection[str]) -> bool:
    return {"model_down_seg.1.weight", "model_down_img.1.weight", "model_res_img.0.conv_block.1.weight"} <= set(keys)


def _is_finer(keys: Collection[str]) -> bool:
    return {"model_down_seg.1.weight", "model_down_img.1.weight"} <= set(keys) and not _is_coarse(keys)


def _from_coarse(tensors: Tensors) -> Recognised:
    downs = len(_numbers(tensors, r"model_down_seg\.(\d+)\.weight", dimensions=4)) - 1
    early = len(_numbers(tensors, r"model_down_seg\.(\d+)\.conv_block\.1\.weight"))
    later = len(_numbers(tensors, r"model_res_img\.(\d+)\.conv_block\.1\.weight"))
    settings = {**_common(tensors), "downs": downs, "blocks": early + later, "scales": 1}
    card = Card(network="vid2vid", settings=settings, multiple_of=2**downs, **_SHARED)
    return Recognised(replace(card, extra=_extra(settings)), {f"scale0.{key}": value for key, value in tensors.items()})


def _from_finer(tensors: Tensors) -> Recognised:
    blocks = len(_numbers(tensors, r"model_up_img\.(\d+)\.conv_block\.1\.weight"))
    settings = {**_common(tensors), "blocks": blocks, "scale": 1}
    card = Card(network="vid2vid_local", settings=settings, multiple_of=2, **{**_SHARED, "input": "other"})
    # Neither is which of the finer scales it is: G2 has the layout of a G1 of half the width.
    return Recognised(replace(card, extra={**_extra(settings), "assumed_scale": 1}), dict(tensors))


_SHARED = {"input": "clip", "range": (-1.0, 1.0), "tiling": "discouraged"}


def _extra(settings: dict[str, object]) -> dict[str, object]:
    return {"assumed": f"the foreground label is {CAR}"} if settings["foreground"] else {}


def _common(tensors: Tensors) -> dict[str, object]:
    pictures = tensors["model_down_img.1.weight"].shape[1]
    frames = pictures // 3 + 1
    channels = tensors["model_down_seg.1.weight"].shape[1]
    if pictures % 3 or channels % frames:
        why = f"{channels} planes of labels and {pictures} of pictures are not those of whole frames"
        raise UserError("its shapes do not fit together", why)
    has_foreground = "indv_final.1.weight" in tensors
    return {
        "channels_label": channels // frames,
        "frames": frames,
        "width": tensors["model_down_seg.1.weight"].shape[0],
        "norm": _norm(tensors),
        "with_flow": "model_final_flow.1.weight" in tensors,
        # A label beyond the file's own would not build; files of other subjects have no foreground branch.
        "foreground": [min(CAR, channels // frames - 1)] if has_foreground else [],
    }


def _norm(tensors: Tensors) -> str:
    if "model_down_seg.2.weight" in tensors:
        return "batch"
    return "tracked_instance" if "model_down_seg.2.running_mean" in tensors else "instance"


def _numbers(tensors: Tensors, pattern: str, dimensions: int = 0) -> list[int]:
    matches = ((re.fullmatch(pattern, key), value) for key, value in tensors.items())
    return [int(match[1]) for match, value in matches if match and (not dimensions or value.ndim == dimensions)]


def join(scales: Sequence[Recognised]) -> Recognised:
    """Return one generator made of a coarsest scale and the finer ones that were trained on top of it, in order.

    Raises:
        UserError: the first is no coarsest scale, or a finer one does not fit on the one before.
    """
    coarse, finer = scales[0], scales[1:]
    if coarse.card.network != "vid2vid" or any(scale.card.network != "vid2vid_local" for scale in finer):
        raise UserError("These files are no vid2vid generator", "One G0 comes first, then G1 and G2")
    settings = dict(coarse.card.settings)
    joined: dict[str, Tensor] = dict(coarse.tensors)
    for number, scale in enumerate(finer, start=1):
        mine, width = scale.card.settings, int(settings["width"]) // 2**number
        wrong = [key for key in ("channels_label", "frames", "norm", "with_flow") if mine[key] != settings[key]]
        if wrong or mine["width"] != width or mine["blocks"] != finer[0].card.settings["blocks"]:
            why = f"{', '.join(wrong) or 'width'}: {mine['width']} channels where {width} were to come"
            raise UserError(f"Scale {number} does not fit on the coarser one", why)
        joined |= {f"scale{number}.{key}": value for key, value in scale.tensors.items()}
    if finer:
        settings |= {"scales": len(scales), "local_blocks": finer[0].card.settings["blocks"]}
    multiple = 2 ** (int(math.log2(coarse.card.multiple_of)) + len(finer))
    return Recognised(replace(coarse.card, settings=settings, multiple_of=multiple), joined)


LAYOUTS: tuple[Layout, ...] = (
    Layout("vid2vid, coarsest scale (G0)", _is_coarse, _from_coarse),
    Layout("vid2vid, finer scale (G1, G2)", _is_finer, _from_finer),
)
