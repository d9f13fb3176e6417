"""The cache holds what it was given within its bound, and forgets as it was told to."""

import numpy as np

from ganvas.data.cache import ByteCache, num_bytes


def rows(number):
    return np.zeros(number, np.uint8)


def test_a_value_is_made_once_and_the_bound_holds():
    made: list[int] = []

    def make(key, size=40):
        return lambda: (made.append(key), rows(size))[1]

    cache: ByteCache[np.ndarray] = ByteCache(limit_bytes=100)
    for key in (1, 2, 1, 3, 1, 2):
        cache.get(key, make(key))
        assert cache.held_bytes <= 100
    assert made == [1, 2, 3, 2]  # 3 pushed out 2, as 1 had been used since
    cache.get(4, make(4, 101))
    cache.get(4, make(4, 101))
    assert made[-2:] == [4, 4] and cache.held_bytes == 80  # too large to keep, and nothing was forgotten for it


def test_without_eviction_what_came_first_stays():
    made: list[int] = []
    cache: ByteCache[np.ndarray] = ByteCache(limit_bytes=100, evicts=False)
    for key in (1, 2, 3, 1, 2, 3):
        cache.get(key, lambda key=key: (made.append(key), rows(50))[1])
    assert made == [1, 2, 3, 3]


def test_a_failure_is_not_kept():
    cache: ByteCache[np.ndarray] = ByteCache()

    def fail():
        raise ValueError

    for _ in range(2):
        try:
            cache.get("a", fail)
        except ValueError:
            continue
        raise AssertionError
    assert len(cache.get("a", lambda: rows(3))) == 3


def test_the_size_of_groups_is_that_of_their_arrays():
    assert num_bytes({"a": rows(3), "b": (np.zeros(2), None, "text")}) == 3 + 16
