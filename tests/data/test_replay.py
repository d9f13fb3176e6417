"""The replay pool against a plain writing of its rule, and its promise that what is saved is what is used."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ganvas.data import replay
from ganvas.errors import UserError


def batch(start: int, number: int) -> torch.Tensor:
    """Fakes of one value each, all of them 8-bit levels, told apart by that value."""
    return (torch.arange(start, start + number).float() / 127.5 - 1).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()


def levels(fakes: torch.Tensor) -> list[int]:
    return ((fakes[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_until_it_is_full_fakes_are_stored_and_shown_as_they_are():
    fakes = batch(0, 3) + 0.001
    shown, condition, pool = replay.exchange({}, fakes, torch.Generator(), size=5)
    assert torch.equal(shown, fakes) and condition is None
    assert pool["replay.count"] == 3 and pool["replay.fake"].dtype == torch.uint8
    shown, _, pool = replay.exchange(pool, batch(10, 2), torch.Generator(), size=5)
    assert levels(shown) == [10, 11]
    assert pool["replay.fake"][:, 0, 0, 0].tolist() == [0, 1, 2, 10, 11]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 7), st.lists(st.integers(1, 6), min_size=1, max_size=8), st.integers(0, 99))
def test_nothing_is_lost_or_doubled(size, batches, seed):
    # Each fake is at any time in exactly one of three places: in the pool, or shown for good, or both only when new.
    pool, made, gone = {}, 0, []
    random = torch.Generator().manual_seed(seed)
    for number in batches:
        before = pool.get("replay.count", 0)
        shown, _, pool = replay.exchange(pool, batch(made, number), random, size=size)
        held = pool["replay.fake"][: pool["replay.count"], 0, 0, 0].tolist()
        assert pool["replay.count"] == min(size, before + number)
        old = [level for level in levels(shown) if level < made]
        # What comes out of the pool is gone from it, and comes out once.
        assert not set(old) & set(held) and not set(old) & set(gone)
        assert len(set(levels(shown))) == number and len(set(held)) == len(held)
        made += number
        gone += [level for level in levels(shown) if level not in held]
        assert sorted(gone + held) == list(range(made))


def test_half_of_a_large_batch_is_exchanged_and_chance_is_the_generators():
    pool = replay.exchange({}, torch.zeros(4000, 1), torch.Generator(), size=4000).pool
    one, other, third = (
        replay.exchange(pool, torch.ones(4000, 1), torch.Generator().manual_seed(seed), size=4000).fake
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, other) and not torch.equal(one, third)
    assert abs(float((one < 0.5).float().mean()) - 0.5) < 0.03
    none = replay.exchange(pool, torch.ones(4000, 1), torch.Generator(), size=4000, share=0.0)
    assert bool((none.fake == 1).all())


def test_a_fake_keeps_its_condition():
    pool, random = {}, torch.Generator().manual_seed(3)
    for start in range(0, 200, 8):
        fakes = batch(start, 8)
        labels = torch.arange(start, start + 8)
        shown, condition, pool = replay.exchange(pool, fakes, random, size=12, condition=labels)
        assert condition is not None and condition.dtype == torch.int64
        assert condition.tolist() == levels(shown)
    assert pool["replay.condition"].tolist() == pool["replay.fake"][:, 0, 0, 0].tolist()


def test_what_is_saved_is_what_is_used():
    random = torch.Generator().manual_seed(0)
    pool = replay.exchange({}, torch.rand(6, 3, 4, 4) * 2 - 1, random, size=6).pool
    fakes = torch.rand(6, 3, 4, 4) * 2 - 1
    again = {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in pool.items()}
    one = replay.exchange(pool, fakes, torch.Generator().manual_seed(5), size=6)
    other = replay.exchange(again, fakes, torch.Generator().manual_seed(5), size=6)
    assert torch.equal(one.fake, other.fake)
    replaced = (one.fake != fakes).flatten(1).any(1)
    assert bool(replaced.any())
    # Replaced rows are 8-bit levels exactly; what was given was not changed, nor was the pool.
    steps = (one.fake[replaced] + 1) * 127.5
    assert float((steps - steps.round()).abs().max()) < 1e-4
    assert all(torch.equal(pool[key], again[key]) for key in ("replay.fake",))


def test_a_pool_of_other_pictures_is_refused():
    pool = replay.exchange({}, torch.zeros(2, 3, 4, 4), torch.Generator(), size=4).pool
    with pytest.raises(UserError, match="another shape"):
        replay.exchange(pool, torch.zeros(2, 3, 8, 8), torch.Generator(), size=4)
    with pytest.raises(UserError, match="cannot hold 0"):
        replay.exchange({}, torch.zeros(2, 3, 8, 8), torch.Generator(), size=0)
