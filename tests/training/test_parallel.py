"""Two processes are one run: the same losses and gradients, exact resume, and the same samples in the same order."""

from __future__ import annotations

import socket

import numpy as np
import pytest
import torch
from rank_recipe import CASES, DTYPES, STOP_AFTER, TINY, step_once
from tiny_runs import assert_same_bits, last
from tiny_runs import plan as tiny_plan

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.training import loop, parallel
from ganvas.training.feed import Feed, order

TOLERANCES = {"float64": 1e-9, "float32": 1e-5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, forks):
    """What two processes left behind."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    both = [forks.start(folder / f"rank-{n}", "rank_recipe", folder, RANK=str(n), **common) for n in range(2)]
    assert [rank.wait() for rank in both] == [0, 0], "\n".join(rank.complained for rank in both)
    return folder


@pytest.mark.parametrize(("case", "name"), CASES)
def test_one_step_of_two_ranks_equals_one_process(folder, case, name):
    both = [torch.load(folder / f"steps-{rank}.pt", weights_only=True)[f"{case}, {name}"] for rank in range(2)]
    alone = step_once(case, DTYPES[name])
    assert both[0].keys() == both[1].keys() == alone.keys()
    for side in ("generator", "discriminator"):
        largest = max(float(value.abs().max()) for key, value in alone.items() if key.startswith(side))
        assert largest > 0
        for key, value in alone.items():
            if key.startswith((side, "loss")):
                limit = TOLERANCES[name] * (largest if key.startswith(side) else 1 + abs(float(value)))
                for found in both:
                    assert float((found[key] - value).abs().max()) <= limit, key
    assert all(both[0][key].equal(both[1][key]) for key in alone)


def test_resume_on_as_many_ranks_is_exact(folder):
    assert runs.checkpoints(folder / "alone")[-1].name == runs.checkpoint_name(STOP_AFTER)
    assert_same_bits(folder / "whole", folder / "resumed")
    # Each rank has a carry of its own.
    assert {"carry-0", "carry-1"} <= last(folder / "resumed").groups.keys()


def test_resume_on_another_number_of_ranks_goes_on_and_says_so(folder, capsys):
    visited = []
    plan = tiny_plan(**TINY)
    original = plan.train.sample
    plan.train.sample = lambda index, random: visited.append(index) or original(index, random)
    loop.resume(plan, folder / "alone")
    assert "ranks was 2, is 1" in capsys.readouterr().out
    stream = np.concatenate([order(12, 0, epoch) for epoch in range(3)])
    # Four a step; the last four are those of the preview.
    assert visited[: 4 * 3] == stream[4 * STOP_AFTER : 4 * 8].tolist()


class Numbers:
    def __len__(self):
        return 10

    def sample(self, index, random):
        return {"number": torch.tensor(index), "chance": torch.tensor(random.random())}


@pytest.mark.parametrize("workers", [0, 2])
def test_the_shares_of_all_ranks_are_the_global_batches_in_order(workers):
    def shares(world_size, sizes, position=0):
        feeds = [Feed(Numbers(), 3, position, rank, world_size, workers) for rank in range(world_size)]
        drawn = [torch.cat([feed.draw(size)["chance"] for feed in feeds]) for size in sizes]
        for feed in feeds:
            feed.close()
        return torch.cat(drawn).tolist()

    sizes = [12, 6, 6, 12]
    whole = shares(1, sizes)
    assert whole == shares(2, sizes) == shares(3, sizes)
    # From any place on, and whatever the batches are.
    assert whole[6:30] == shares(2, [6, 12, 6], position=6)
    assert len(set(whole)) == len(whole)
    numbers = [int(Feed(Numbers(), 3, position, workers=0).draw(1)["number"]) for position in range(20)]
    assert sorted(numbers[:10]) == sorted(numbers[10:]) == list(range(10)) and numbers[:10] != numbers[10:]


def test_a_batch_that_does_not_divide_is_refused_with_those_that_do():
    with pytest.raises(UserError, match="--batch-size 6 or 9"):
        parallel.require_even(7, 3)
