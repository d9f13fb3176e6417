"""Reading ahead and writing behind: order, errors and early ends are those of a plain loop."""

import threading

import numpy as np
import pytest

from ganvas.inference.rows.threads import WriteBehind, beside, read_ahead


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


@pytest.mark.parametrize("most_bytes", [1, 20])
def test_what_is_finished_beside_comes_in_order_and_the_items_are_made_in_the_callers_thread(most_bytes):
    made, finished = [], []

    def source():
        for item in strips(50):
            made.append(threading.current_thread())
            yield item

    def in_pairs(items):
        for item in items:
            finished.append(threading.current_thread())
            yield np.stack([item, next(items)])

    pairs = [pair[:, 0].tolist() for pair in beside(source(), in_pairs, most_bytes)]
    assert pairs == [[number, number + 1] for number in range(0, 50, 2)]
    assert set(made) == {threading.current_thread()}
    assert len(set(finished)) == 1
    assert finished[0] is not threading.current_thread()
    assert not alive()


def test_no_more_than_allowed_waits_to_be_finished():
    made, taken = [], []

    def source():
        for item in strips(20):
            # One was taken at most for each that is finished, one waits, one is handed over.
            made.append(len(taken))
            yield item

    def finish(items):
        for item in items:
            taken.append(item)
            yield item

    assert len(list(beside(source(), finish))) == 20
    assert all(number <= finished + 2 for number, finished in enumerate(made))


@pytest.mark.parametrize("where", ["source", "finish"])
def test_an_error_on_either_side_comes_to_who_asked(where):
    def source():
        yield from strips(3)
        if where == "source":
            raise OSError("gone")

    def finish(items):
        for number, item in enumerate(items):
            if where == "finish" and number == 2:
                raise OSError("gone")
            yield item

    finished = []
    with pytest.raises(OSError, match="gone"):
        for item in beside(source(), finish):
            finished.append(item)
    assert len(finished) == {"source": 3, "finish": 2}[where]
    assert not alive()


def test_who_stops_early_leaves_no_thread_behind():
    going = beside(iter(strips(100)), lambda items: items)
    next(going)
    going.close()
    assert not alive()


@pytest.mark.parametrize("always", [False, True])
def test_what_waits_when_the_block_fails_is_dropped_or_written_as_asked(always):
    written, may_write = [], threading.Event()

    def write(item):
        may_write.wait(60)
        written.append(int(item[0]))

    behind = WriteBehind(write, always_finishes=always)
    with pytest.raises(KeyboardInterrupt), behind as put:
        for number in range(5):
            put(np.array([number]))
        threading.Timer(0.1, may_write.set).start()
        raise KeyboardInterrupt
    assert written == list(range(5)) if always else len(written) <= 1
