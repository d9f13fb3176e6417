"""The stream of batches where samples last for several of them: parts in order, whatever reads ahead."""

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.protocol import PartedSource, Source
from ganvas.training.feed import Feed, order


class Plain(Source):
    """Numbers with a draw of chance."""

    def __init__(self, length=10):
        self.length = length

    def __len__(self):
        return self.length

    def sample(self, index, random):
        return {"number": torch.tensor(index), "chance": torch.tensor(float(random.random()))}


class Parted(Plain, PartedSource):
    """The same numbers, three batches each."""

    parts = 3

    def part(self, index, random, number):
        return {**self.sample(index, random), "part": torch.tensor(number)}


def draws(feed, count, first=0, size=2):
    try:
        return [feed.draw(size, first + number) for number in range(count)]
    finally:
        feed.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_come_in_order_and_are_of_the_same_samples(workers):
    batches = draws(Feed(Parted(), 5, workers=workers), 9)
    assert [batch["part"].tolist() for batch in batches] == [[n % 3] * 2 for n in range(9)]
    # The samples of a batch are those of the position at which its first part was drawn.
    shuffled = order(10, 5, 0)
    for number, batch in enumerate(batches[:5]):
        begin = number // 3 * 6
        assert batch["number"].tolist() == shuffled[begin : begin + 2].tolist()
    for first, *others in (batches[0:3], batches[3:6], batches[6:9]):
        for other in others:
            assert torch.equal(first["chance"], other["chance"]) and torch.equal(first["number"], other["number"])


def test_a_feed_that_begins_amid_a_sample_gives_the_same_parts():
    whole = draws(Feed(Parted(), 5, workers=0), 8)
    later = draws(Feed(Parted(), 5, position=8, workers=2), 4, first=4)
    for mine, theirs in zip(later, whole[4:], strict=True):
        assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_ranks_share_the_parts_of_a_batch():
    whole = draws(Feed(Parted(), 1, workers=0), 5)
    ranks = [draws(Feed(Parted(), 1, rank=rank, world_size=2, workers=0), 5) for rank in range(2)]
    for number, batch in enumerate(whole):
        for name in batch:
            assert torch.equal(torch.cat([rank[number][name] for rank in ranks]), batch[name])


def test_a_stage_serves_another_form_of_the_samples():
    feed = Feed(Plain(), 5, workers=2)
    before = [feed.draw(2, number) for number in range(2)]
    assert feed.parts == 1 and "part" not in before[0]
    feed.serve(Parted())
    after = feed.draw(2, 0)
    assert after["part"].tolist() == [0, 0] and after["number"].tolist() == order(10, 5, 0)[4:6].tolist()
    with pytest.raises(UserError, match="9 samples of 10"):
        feed.serve(Parted(9))
    feed.close()


def test_chance_depends_on_the_sample_and_its_epoch_alone():
    batches = draws(Feed(Plain(4), 2, workers=2), 4, size=2)
    for number, batch in enumerate(batches):
        for index, chance in zip(batch["number"].tolist(), batch["chance"].tolist()):
            assert chance == pytest.approx(np.random.default_rng([2, number // 2, index, 1]).random())
