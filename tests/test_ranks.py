"""Means, sums and gathers over processes: plain arithmetic in one, equal to the whole batch in two, twice derivable."""

from pathlib import Path

import pytest
import torch
import torch.distributed as distributed

from ganvas import ranks

WORLD = 2


def values(rank):
    return torch.randn(3, 2, generator=torch.Generator().manual_seed(rank), dtype=torch.float64)


def run_rank(rank, folder):
    distributed.init_process_group("gloo", f"file://{folder}/rendezvous", rank=rank, world_size=WORLD)
    x = values(rank).requires_grad_(True)
    # A loss that differs by rank, so that a gradient taken from the own rank alone would show.
    weight = rank + 1.0
    mean = ranks.mean_over_ranks(x.square().mean())
    gathered = ranks.gather_over_ranks(x)
    places = torch.arange(1.0, gathered.numel() + 1, dtype=torch.float64).view_as(gathered)
    second = torch.autograd.grad(ranks.sum_over_ranks(x.pow(3).sum()).square(), x, create_graph=True)[0]
    striped = torch.full((2, 3, 4, 4), float(rank)).contiguous(memory_format=torch.channels_last)
    striped[:, 1] += 10.0
    found = {
        "rank": torch.tensor([ranks.rank(), ranks.world_size()]),
        "mean": mean.detach(),
        "mean gradient": torch.autograd.grad(weight * mean.square(), x)[0],
        "gathered": gathered.detach(),
        "gather gradient": torch.autograd.grad(weight * (places * gathered.square()).sum(), x)[0],
        "first derivative": second.detach(),
        "second derivative": torch.autograd.grad(second.square().sum(), x)[0],
        "mixed layouts": ranks.sum_over_ranks(striped if rank == 0 else striped.contiguous()),
        "input": x.detach(),
    }
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(run_rank, (str(folder),), nprocs=WORLD)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.fixture
def both():
    return torch.stack([values(rank) for rank in range(WORLD)]).requires_grad_(True)


def test_one_process_computes_locally():
    x = values(0)
    assert (ranks.rank(), ranks.world_size()) == (0, 1)
    for function in (ranks.sum_over_ranks, ranks.mean_over_ranks, ranks.gather_over_ranks):
        assert function(x) is x


def test_ranks_know_their_number(found):
    assert [rank["rank"].tolist() for rank in found] == [[0, 2], [1, 2]]


def test_mean_and_its_gradient(found, both):
    mean = both.square().mean()
    # The loss of the run is the mean over ranks of 1 * mean^2 and 2 * mean^2; each rank's gradient is then averaged.
    expected = torch.autograd.grad((1 + 2) / WORLD * mean.square(), both)[0]
    for rank in range(WORLD):
        assert found[rank]["mean"].item() == pytest.approx(mean.item(), abs=1e-15)
        assert torch.allclose(found[rank]["mean gradient"] / WORLD, expected[rank], atol=1e-14)


def test_gather_and_its_gradient(found, both):
    gathered = both.flatten(0, 1)
    places = torch.arange(1.0, gathered.numel() + 1, dtype=torch.float64).view_as(gathered)
    expected = torch.autograd.grad((1 + 2) / WORLD * (places * gathered.square()).sum(), both)[0]
    for rank in range(WORLD):
        assert torch.equal(found[rank]["gathered"], gathered.detach())
        assert torch.allclose(found[rank]["gather gradient"] / WORLD, expected[rank], atol=1e-14)


def test_second_derivatives_see_the_other_ranks(found, both):
    # Every rank's loss is the whole: the ranks' first derivatives add up to WORLD times that of one process.
    first = torch.autograd.grad(WORLD * both.pow(3).sum().square(), both, create_graph=True)[0]
    second = torch.autograd.grad(first.square().sum(), both)[0]
    for rank in range(WORLD):
        assert torch.allclose(found[rank]["first derivative"], first[rank].detach(), rtol=1e-12)
        assert torch.allclose(found[rank]["second derivative"], second[rank], rtol=1e-12)


def test_layout_in_memory_does_not_mix_up_values(found):
    expected = torch.full((2, 3, 4, 4), 1.0)
    expected[:, 1] += 20.0
    for rank in found:
        assert torch.equal(rank["mixed layouts"], expected)


def test_inputs_are_left_alone(found):
    for rank in range(WORLD):
        assert torch.equal(found[rank]["input"], values(rank))
