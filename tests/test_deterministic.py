"""Deterministic mode: the same bits each time, at no more cost than that takes, and what was set before afterwards."""

from typing import Any

import torch

from ganvas import device as machine


def test_operations_are_deterministic_and_memory_is_not_filled_first():
    mode: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), mode.fill_uninitialized_memory
    with machine.deterministic(torch.device("cpu")):
        assert torch.are_deterministic_algorithms_enabled()
        # Torch would fill it with NaN.
        assert not torch.empty(1 << 16).isnan().all()
    assert (torch.are_deterministic_algorithms_enabled(), mode.fill_uninitialized_memory) == before
