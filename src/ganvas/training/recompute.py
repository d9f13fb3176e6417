"""Less memory for more time: a network's repeated blocks keep only their inputs and run again in the backward pass."""

from __future__ import annotations

from collections import Counter
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

FEWEST = 3
"""A class of modules that occurs at least this often side by side is a repeated block."""


def recompute_blocks(net: nn.Module) -> list[str]:
    """Make a network's outermost repeated blocks recompute their activations; return their names.

    Blocks with buffers (batch or spectral norm) are left alone: a second forward would move their statistics twice.
    """
    changed: list[str] = []
    for parent_name, parent in list(net.named_modules()):
        if any(parent_name == name or parent_name.startswith(name + ".") for name in changed):
            continue
        children = dict(parent.named_children())
        kinds = Counter(type(child) for child in children.values())
        for name, block in children.items():
            is_repeated = kinds[type(block)] >= FEWEST and any(True for _ in block.children())
            if is_repeated and not any(True for _ in block.buffers()):
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)
                changed.append(f"{parent_name}.{name}" if parent_name else name)
    return changed
