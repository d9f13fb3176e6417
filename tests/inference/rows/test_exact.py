"""Exact tiled execution: the untiled network's own picture, at any strip height, size and budget."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.inference.rows.exact import ExactRun, padded_size, run_exact
from ganvas.inference.rows.layers import Budget, GivenRows, Halved, Kind, Moments, Size, Stored
from ganvas.io.spill import SpillFile, require_room
from ganvas.networks.pix2pixhd.net import GlobalGenerator, LocalEnhancer
from ganvas.networks.rrdb.net import CompactNet

ONE_ROW_STRIPS = 1
"""Bytes of workspace so small that every strip has the fewest rows there may be."""

DOUBLE = Kind(torch.float64, torch.device("cpu"))


def generators() -> dict[str, nn.Module]:
    """Return tiny generators of every build."""
    return {
        "global": GlobalGenerator(5, width=4, downs=2, blocks=2),
        "no blocks": GlobalGenerator(5, width=4, downs=1, blocks=0),
        "one enhancer": LocalEnhancer(5, width=4, downs=2, blocks=2, local_blocks=2),
        "two enhancers": LocalEnhancer(5, width=2, downs=1, blocks=1, enhancers=2, local_blocks=1),
        "resized": LocalEnhancer(5, width=4, downs=2, blocks=1, local_blocks=1, upsampling="resize"),
        "smooth": LocalEnhancer(5, width=4, downs=2, blocks=1, local_blocks=1, upsampling="smooth"),
        "no local blocks": LocalEnhancer(5, width=2, downs=1, blocks=0, local_blocks=0),
    }


def generator(name: str, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Return one with weights drawn anew, larger than at the start of training, so that no layer is near linear."""
    torch.manual_seed(3)
    network = generators()[name].to(dtype)
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.3)
    return network


def uneven(height: int, width: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return a condition whose statistics differ from place to place, so that those of a tile would be wrong."""
    random = torch.Generator().manual_seed(7)
    noise = torch.randn(1, 5, height, width, generator=random, dtype=dtype)
    return noise * torch.linspace(0, 3, height, dtype=dtype)[:, None] + torch.linspace(-2, 1, width, dtype=dtype)


def relative_error(made: Tensor, true: Tensor) -> float:
    return float((made - true).abs().max() / true.abs().max())


@torch.no_grad()
@pytest.mark.parametrize("size", [(32, 48), (29, 43), (6, 40)])
@pytest.mark.parametrize("name", generators())
def test_equals_the_untiled_network(name: str, size: tuple[int, int]) -> None:
    network, condition = generator(name), uneven(*size)
    whole = network(condition)
    for workspace, budget in ((ONE_ROW_STRIPS, None), (40_000, 0), (1 << 30, None)):
        run = ExactRun(network, lambda t, b: condition[:, :, t:b], *size, memory_budget=budget, workspace=workspace)
        assert relative_error(torch.cat(list(run.strips()), dim=2), whole) < 1e-9


@torch.no_grad()
@pytest.mark.parametrize("name", ["global", "one enhancer"])
def test_equals_in_single_precision(name: str) -> None:
    network, condition = generator(name, torch.float32), uneven(64, 96, torch.float32)
    made = run_exact(network, lambda t, b: condition[:, :, t:b], 64, 96)
    assert made.dtype == torch.float32
    assert relative_error(made, network(condition)) < 1e-4


@torch.no_grad()
def test_half_precision_is_no_worse_than_untiled() -> None:
    network, condition = generator("one enhancer", torch.float32), uneven(64, 96, torch.float32)
    true = network(condition)
    network.bfloat16()
    made = run_exact(network, lambda t, b: condition[:, :, t:b], 64, 96)
    assert made.dtype == torch.bfloat16
    errors = [float((picture.float() - true).abs().mean()) for picture in (made, network(condition.bfloat16()))]
    assert errors[0] < 1.2 * errors[1]


def test_statistics_of_tiles_alone_would_be_wrong() -> None:
    network, condition = generator("global"), uneven(64, 48)
    with torch.no_grad():
        whole = network(condition)
        halves = torch.cat([network(condition[:, :, :32]), network(condition[:, :, 32:])], dim=2)
    assert relative_error(halves, whole) > 0.1


def test_given_statistics_take_the_place_of_measured_ones() -> None:
    network, condition = generator("one enhancer"), uneven(32, 48)
    first = ExactRun(network, lambda t, b: condition[:, :, t:b], 32, 48)
    whole = torch.cat(list(first.strips()), dim=2)
    again = ExactRun(network, lambda t, b: condition[:, :, t:b], 32, 48, statistics=first.statistics)
    assert again.plan().work < first.plan().work
    torch.testing.assert_close(torch.cat(list(again.strips()), dim=2), whole)


@pytest.mark.parametrize("strip", [1, 3, 50])
def test_moments_are_those_of_the_whole(strip: int) -> None:
    values = np.random.default_rng(0).normal(300, 2, (40, 60, 3)).astype(np.float32)
    values[:20] += 5
    moments = Moments()
    for top in range(0, 40, strip):
        moments.add(torch.from_numpy(values[top : top + strip]).permute(2, 0, 1)[None])
    found = moments.statistics()
    true = values.astype(np.float64).reshape(-1, 3)
    np.testing.assert_allclose(found.mean, true.mean(0), rtol=1e-7)
    np.testing.assert_allclose(found.variance, true.var(0), rtol=1e-5)


def test_moments_in_double_precision_are_exact_over_many_pieces() -> None:
    values = np.random.default_rng(1).normal(1e4, 1, (200, 100, 2))
    moments = Moments()
    for part in np.split(values, 4):
        moments.add(torch.from_numpy(part).permute(2, 0, 1)[None])
    found = moments.statistics()
    np.testing.assert_allclose(found.mean, values.reshape(-1, 2).mean(0), rtol=1e-13)
    np.testing.assert_allclose(found.variance, values.reshape(-1, 2).var(0), rtol=1e-9)


def test_halved_rows_are_averages_of_what_lies_inside() -> None:
    picture = torch.arange(48, dtype=torch.float64).reshape(1, 1, 6, 8)
    halved = Halved(GivenRows(lambda t, b: picture[:, :, t:b], Size(1, 6, 8), DOUBLE))
    plain = picture[0, 0].numpy()
    true = [
        [plain[max(0, 2 * y - 1) : 2 * y + 2, max(0, 2 * x - 1) : 2 * x + 2].mean() for x in range(4)] for y in range(3)
    ]
    strips = torch.cat([halved.read(top, top + 1) for top in range(3)], dim=2)
    np.testing.assert_allclose(strips[0, 0], true)


def test_stored_rows_come_back_from_memory_and_disk(tmp_path: Path) -> None:
    values = torch.randn(1, 3, 8, 5, dtype=torch.float64)
    for limit in (0, 1 << 20):
        budget = Budget(limit, tmp_path)
        stored = Stored(Size(3, 8, 5), DOUBLE, budget)
        stored.write(0, values[:, :, :5])
        stored.write(5, values[:, :, 5:])
        assert torch.equal(stored.read(2, 7), values[:, :, 2:7])
        assert (budget.used == 0) == (limit == 0) == bool(budget.spilled)
        stored.close()
        assert budget.used == budget.held == 0


def test_what_is_kept_is_a_small_part_and_as_planned() -> None:
    # Two half-size maps of twice the width: what a block of the enhancer needs.
    network = LocalEnhancer(5, width=4, downs=2, blocks=2)
    run = ExactRun(network, lambda _top, _bottom: torch.empty(0), 64, 96)
    assert run.plan().kept == 2 * 8 * 32 * 48 * 4
    tiny, condition = generator("one enhancer"), uneven(32, 48)
    run = ExactRun(tiny, lambda t, b: condition[:, :, t:b], 32, 48)
    planned = run.plan().kept
    list(run.strips())
    assert run.budget.peak == planned
    assert run.budget.used == 0


def test_progress_rises_to_the_whole_work() -> None:
    network, condition = generator("one enhancer"), uneven(32, 48)
    told: list[tuple[int, int]] = []
    run_exact(
        network, lambda t, b: condition[:, :, t:b], 32, 48, progress=lambda done, total: told.append((done, total))
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1][0] == told[-1][1] > 0
    assert len({total for _, total in told}) == 1


def test_nothing_is_left_behind_on_disk(tmp_path: Path) -> None:
    network, condition = generator("global"), uneven(32, 48)
    run = ExactRun(
        network, lambda t, b: condition[:, :, t:b], 32, 48,
        memory_budget=0, spill_folder=tmp_path, workspace=ONE_ROW_STRIPS,
    )  # fmt: skip
    strips = run.strips()
    next(strips)
    assert run.budget.spilled > 0
    assert not any(tmp_path.iterdir())  # nameless even while it works: a kill leaves nothing
    strips.close()
    del strips, run
    gc.collect()
    assert not any(tmp_path.iterdir())


def test_spill_files_refuse_what_was_never_written(tmp_path: Path) -> None:
    spill = SpillFile(tmp_path)
    spill.write(4, memoryview(b"abcd"))
    buffer = bytearray(6)
    spill.read_into(2, memoryview(buffer))
    assert bytes(buffer) == b"\0\0abcd"
    with pytest.raises(ValueError, match="never written"):
        spill.read_into(6, memoryview(bytearray(3)))


def test_spill_files_name_the_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        SpillFile(tmp_path / "nowhere")


def test_a_disk_without_room_is_said_before_work_starts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="GiB"):
        require_room(1 << 60, tmp_path)
    require_room(1, tmp_path)
    asked: list[int] = []
    run = ExactRun(
        generator("global"), lambda top, _bottom: asked.append(top) or torch.empty(0), 32, 48,
        memory_budget=0, spill_folder=tmp_path / "nowhere",
    )  # fmt: skip
    with pytest.raises(UserError, match="nowhere"):
        next(run.strips())
    assert not asked


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 40), (8, 9), (33, 64)])
def test_padded_sizes_are_those_of_the_network(size: tuple[int, int]) -> None:
    network = LocalEnhancer(2, width=2, downs=2, blocks=0, local_blocks=0)
    seen: list[tuple[int, ...]] = []
    network.get_submodule("model1_1").register_forward_hook(
        lambda _module, inputs, _out: seen.append(inputs[0].shape[-2:])
    )
    network(torch.zeros(1, 2, *size))
    assert padded_size(network, *size) == tuple(seen[0])


def test_other_networks_are_refused() -> None:
    with pytest.raises(UserError, match="CompactNet"):
        ExactRun(CompactNet(width=4, convs=0), lambda _t, _b: torch.empty(0), 8, 8)


def test_a_condition_of_another_shape_is_refused() -> None:
    with pytest.raises(UserError, match="5"):
        run_exact(generator("global"), lambda t, b: torch.zeros(1, 3, b - t, 16), 16, 16)


def test_statistics_of_another_network_are_refused() -> None:
    condition = uneven(32, 32)
    run = ExactRun(generator("global"), lambda t, b: condition[:, :, t:b], 32, 32)
    list(run.strips())
    with pytest.raises(UserError, match="norms"):
        ExactRun(generator("no blocks"), lambda t, b: condition[:, :, t:b], 32, 32, statistics=run.statistics)
