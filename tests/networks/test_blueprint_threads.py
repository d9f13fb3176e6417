"""The limit on what a card may ask for holds in the thread that reads the card, and in no other."""

from __future__ import annotations

import threading

import pytest
from torch import nn

from ganvas.networks import blueprint


def many(count: int) -> nn.Module:
    return nn.Sequential(*(nn.Linear(1, 1) for _ in range(count)))


def test_another_thread_builds_what_it_likes_while_a_card_is_read():
    reads, built = threading.Event(), threading.Event()
    found, failed = [], []

    def read():
        def build():
            reads.set()
            assert built.wait(60)
            return {"net": many(2)}

        found.append(blueprint.shapes_of(build, 4))

    reader = threading.Thread(target=read)
    reader.start()
    assert reads.wait(60)
    try:
        net = many(3000)
    except blueprint.TooManyLayers as error:
        failed.append(error)
    built.set()
    reader.join()
    assert not failed and len(net) == 3000
    assert set(found[0]["net"]) == {"0.weight", "0.bias", "1.weight", "1.bias"}


def test_the_reading_thread_itself_is_stopped_and_free_again_afterwards():
    with pytest.raises(blueprint.TooManyLayers):
        blueprint.shapes_of(lambda: {"net": many(3000)}, 4)
    assert len(many(3000)) == 3000
