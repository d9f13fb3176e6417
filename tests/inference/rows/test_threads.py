"""Reading ahead and writing behind: order, errors and early ends are those of a plain loop."""

import threading

import numpy as np
import pytest

from ganvas.inference.rows.threads import WriteBehind, read_ahead


def strips(count, nbytes=8):
    return [np.full(nbytes, number, np.uint8) for number in range(count)]


def alive():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ganvas-")]


@pytest.mark.parametrize("most_bytes", [1, 20, 1 << 20])
def test_all_items_come_in_order_however_few_may_wait(most_bytes):
    read = [int(item[0]) for item in read_ahead(iter(strips(50)), most_bytes)]
    written = []
    with WriteBehind(lambda item: written.append(int(item[0])), most_bytes) as put:
        for item in strips(50):
            put(item)
    assert read == written == list(range(50))
    assert not alive()


def test_no_more_than_allowed_is_read_ahead():
    given = []

    def source():
        for item in strips(100):
            given.append(item)
            yield item

    reading = read_ahead(source(), most_bytes=32)
    next(reading)
    reading.close()
    # One taken, four waiting, one in the reader's hand.
    assert len(given) <= 6
    assert not alive()


def test_an_error_of_the_source_comes_after_what_was_read_before_it():
    def source():
        yield from strips(3)
        raise OSError("the disk is gone")

    read = []
    with pytest.raises(OSError, match="gone"):
        for item in read_ahead(source()):
            read.append(item)
    assert len(read) == 3
    assert not alive()


def test_an_error_of_the_writer_reaches_who_writes():
    def write(item):
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"), WriteBehind(write, most_bytes=1) as put:
        for item in strips(200):
            put(item)
    with pytest.raises(OSError, match="full"), WriteBehind(write) as put:
        put(strips(1)[0])
    assert not alive()


def test_an_error_in_the_block_drops_what_waits():
    begun, gate, written = threading.Event(), threading.Event(), []

    def write(item):
        begun.set()
        gate.wait(60)
        written.append(item)

    def block():
        with WriteBehind(write) as put:
            for item in strips(5):
                put(item)
            begun.wait(60)
            gate.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        block()
    assert len(written) <= 5
    assert not alive()
