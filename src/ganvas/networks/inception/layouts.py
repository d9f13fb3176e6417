"""The published weights of FID's Inception in two spellings, recognised by their tensor names.

1. The PyTorch file `pt_inception-2015-12-05-6726825d.pth` (also published as `weights-inception-...`): its names are
   ours. torchvision's own Inception has the same names, but another classifier, and is refused.
2. State dicts that keep the names of TensorFlow's graph (`mixed_4.tower_1_conv_2`), which is how the state dict of the
   TorchScript program `inception-2015-12-05.pt` is assumed to look; the real file was not at hand. A program is never
   run here: save its state dict as a `.pth` first. Which of a layer's vectors is which is told by its name; where there
   are no norms they are taken as merged into the convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import torch
from torch import Tensor

from ganvas.errors import UserError
from ganvas.networks.layouts import Layout, Recognised, Tensors
from ganvas.protocol import Card

ANSWERS = 1008
EPSILON = 0.001
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

_STEM = {
    "conv": "Conv2d_1a_3x3", "conv_1": "Conv2d_2a_3x3", "conv_2": "Conv2d_2b_3x3",
    "conv_3": "Conv2d_3b_1x1", "conv_4": "Conv2d_4a_3x3",
}  # fmt: skip
_BLOCKS = {
    "A": {
        "conv": "branch1x1", "tower_conv": "branch5x5_1", "tower_conv_1": "branch5x5_2",
        "tower_1_conv": "branch3x3dbl_1", "tower_1_conv_1": "branch3x3dbl_2", "tower_1_conv_2": "branch3x3dbl_3",
        "tower_2_conv": "branch_pool",
    },
    "B": {
        "conv": "branch3x3", "tower_conv": "branch3x3dbl_1", "tower_conv_1": "branch3x3dbl_2",
        "tower_conv_2": "branch3x3dbl_3",
    },
    "C": {
        "conv": "branch1x1", "tower_conv": "branch7x7_1", "tower_conv_1": "branch7x7_2", "tower_conv_2": "branch7x7_3",
        "tower_1_conv": "branch7x7dbl_1", "tower_1_conv_1": "branch7x7dbl_2", "tower_1_conv_2": "branch7x7dbl_3",
        "tower_1_conv_3": "branch7x7dbl_4", "tower_1_conv_4": "branch7x7dbl_5", "tower_2_conv": "branch_pool",
    },
    "D": {
        "tower_conv": "branch3x3_1", "tower_conv_1": "branch3x3_2", "tower_1_conv": "branch7x7x3_1",
        "tower_1_conv_1": "branch7x7x3_2", "tower_1_conv_2": "branch7x7x3_3", "tower_1_conv_3": "branch7x7x3_4",
    },
    "E": {
        "conv": "branch1x1", "tower_conv": "branch3x3_1", "tower_mixed_conv": "branch3x3_2a",
        "tower_mixed_conv_1": "branch3x3_2b", "tower_1_conv": "branch3x3dbl_1", "tower_1_conv_1": "branch3x3dbl_2",
        "tower_1_mixed_conv": "branch3x3dbl_3a", "tower_1_mixed_conv_1": "branch3x3dbl_3b",
        "tower_2_conv": "branch_pool",
    },
}  # fmt: skip
_MIXED = dict(zip(
    ["mixed", *(f"mixed_{n}" for n in range(1, 11))],
    [("5b", "A"), ("5c", "A"), ("5d", "A"), ("6a", "B"), ("6b", "C"), ("6c", "C"), ("6d", "C"), ("6e", "C"),
     ("7a", "D"), ("7b", "E"), ("7c", "E")],
))  # fmt: skip


def graph_names() -> dict[str, str]:
    """Return the layers of TensorFlow's graph, their parts joined by underscores -> our module names, all 94."""
    names = dict(_STEM)
    for theirs, (ours, kind) in _MIXED.items():
        names |= {f"{theirs}_{tail}": f"Mixed_{ours}.{branch}" for tail, branch in _BLOCKS[kind].items()}
    return names


def _is_ours(keys: Collection[str]) -> bool:
    return "Mixed_7c.branch3x3dbl_3b.conv.weight" in keys


def _from_pytorch(tensors: Tensors) -> Recognised:
    answers = tensors["fc.weight"].shape[0] if "fc.weight" in tensors else 0
    if answers != ANSWERS:
        why = f"It has {answers} answers where FID's Inception has {ANSWERS}: scores by it are not FID"
        raise UserError("it is another Inception", why, "Fetch pt_inception-2015-12-05-6726825d.pth")
    found = {key: value for key, value in tensors.items() if not key.startswith("AuxLogits.")}
    for name in graph_names().values():
        found.setdefault(f"{name}.bn.num_batches_tracked", torch.tensor(0))
    return Recognised(_card(), found)


def _is_graph(keys: Collection[str]) -> bool:
    return any("mixed_10_tower_1_mixed_conv_1" in _joined(key) for key in keys)


def _from_graph(tensors: Tensors) -> Recognised:
    names = graph_names()
    layers: dict[str, dict[str, Tensor]] = {name: {} for name in names}
    answers: dict[str, Tensor] = {}
    for key, value in tensors.items():
        layer = _layer_of(key, names)
        if layer:
            layers[layer][_joined(key)] = value
        elif ANSWERS in value.shape or value.shape[:1] == (ANSWERS,):
            answers["weight" if value.dim() == 2 else "bias"] = value
    found: dict[str, Tensor] = {}
    for theirs, ours in names.items():
        found |= {f"{ours}.{part}": value for part, value in _layer(theirs, layers[theirs]).items()}
    if "weight" not in answers:
        raise UserError("it lacks its 1008 answers")
    weight = answers["weight"] if answers["weight"].shape[0] == ANSWERS else answers["weight"].T.contiguous()
    found |= {"fc.weight": weight, "fc.bias": answers.get("bias", torch.zeros(ANSWERS))}
    return Recognised(_card(), found)


def _joined(key: str) -> str:
    return re.sub(r"[./]", "_", key)


def _layer_of(key: str, names: dict[str, str]) -> str:
    """Return the longest layer name that stands in a tensor's name as whole words."""
    joined = f"_{_joined(key)}_"
    fitting = [name for name in names if f"_{name}_" in joined]
    # `conv` also ends the names inside blocks: those are longer.
    return max(fitting, key=len, default="")


def _layer(name: str, parts: dict[str, Tensor]) -> dict[str, Tensor]:
    kernels = [value for value in parts.values() if value.dim() == 4]
    if len(kernels) != 1:
        raise UserError(f"its layer {name} has {len(kernels)} kernels", "One was expected")
    kernel = kernels[0]
    vectors = {key: value for key, value in parts.items() if value.dim() == 1}
    num = next((len(value) for value in vectors.values()), kernel.shape[0])
    # TensorFlow keeps kernels as (height, width, in, out).
    if kernel.shape[0] != num or max(kernel.shape[2:]) > 7:
        kernel = kernel.permute(3, 2, 0, 1).contiguous()
    found = {role: _vector(vectors, words) for role, words in _ROLES.items()}
    if found["running_mean"] is None or found["running_var"] is None:
        found |= {"running_mean": torch.zeros(num), "running_var": torch.full((num,), 1 - EPSILON)}
    norm = {
        "weight": torch.ones(num), "bias": torch.zeros(num), "num_batches_tracked": torch.tensor(0),
        **{role: value for role, value in found.items() if value is not None},
    }  # fmt: skip
    return {"conv.weight": kernel, **{f"bn.{role}": norm[role] for role in NORM}}


_ROLES = {
    "weight": ("gamma", "scale", "bn_weight"),
    "bias": ("beta", "bias"),
    "running_mean": ("mean",),
    "running_var": ("var",),
}


def _vector(vectors: dict[str, Tensor], words: tuple[str, ...]) -> Tensor | None:
    return next((value for key, value in vectors.items() if any(word in key for word in words)), None)


def _card() -> Card:
    return Card(network="inception2015", input="other", purpose="features and answers for FID, KID, Inception score")


LAYOUTS: tuple[Layout, ...] = (
    Layout("FID's Inception (PyTorch)", _is_ours, _from_pytorch),
    Layout("FID's Inception (TensorFlow's names)", _is_graph, _from_graph),
)
