"""Weights of 8 and 16 bits: how far they are off, what they weigh, and files whose steps do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ganvas.errors import UserError
from ganvas.io.weights import files
from ganvas.io.weights.packing import LEAST, STEP, packed, unpacked
from ganvas.protocol import Card


def tensors() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    wide = torch.randn(64, 16, 3, 3, generator=random) * torch.logspace(-4, 2, 64)[:, None, None, None]
    return {
        "conv.weight": wide, "conv.bias": torch.randn(64, generator=random), "dead": torch.zeros(64, 64),
        "huge": torch.full((3,), 1e6), "count": torch.tensor(7),
    }  # fmt: skip


def test_eight_bits_are_at_most_half_a_step_off() -> None:
    given = tensors()
    found = unpacked(packed(given, 8), Path("x"))
    assert list(found) == list(given)
    largest = given["conv.weight"].flatten(1).abs().amax(1)
    error = (found["conv.weight"] - given["conv.weight"]).flatten(1).abs().amax(1)
    assert bool((error <= largest / 254 * 1.001).all())
    assert torch.equal(found["dead"], given["dead"])
    assert torch.equal(found["huge"], given["huge"])
    assert torch.equal(found["count"], given["count"])
    assert torch.equal(found["conv.bias"], given["conv.bias"].half())


def test_sixteen_bits_are_halves() -> None:
    found = packed(tensors(), 16)
    assert found["conv.weight"].dtype == torch.float16
    assert found["huge"].dtype == torch.float32
    assert not any(name.startswith(STEP) for name in found)


def test_a_file_of_eight_bits_is_half_as_large_and_reads_as_numbers(tmp_path: Path) -> None:
    weight = {"weight": torch.randn(64, LEAST, generator=torch.Generator().manual_seed(0))}
    paths = [files.save(tmp_path / f"{bits}.safetensors", packed(weight, bits), Card(network="x")) for bits in (8, 16)]
    assert paths[0].stat().st_size < 0.51 * paths[1].stat().st_size
    read = files.read(paths[0]).tensors
    assert list(read) == ["weight"]
    assert float((read["weight"] - weight["weight"]).abs().max()) < 0.03


@pytest.mark.parametrize(
    "change",
    [
        {STEP + "absent": torch.ones(64)},
        {STEP + "conv.bias": torch.ones(64)},
        {STEP + "conv.weight": torch.ones(63)},
        {STEP + "conv.weight": torch.ones(64, dtype=torch.int64)},
        {"conv.weight": torch.zeros(64, 16, 3, 3)},
    ],
)
def test_steps_that_fit_nothing_are_damage(change: dict[str, torch.Tensor]) -> None:
    with pytest.raises(UserError, match="damaged"):
        unpacked(packed(tensors(), 8) | change, Path("x"))
