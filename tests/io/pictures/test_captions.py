"""Lines of text as pixels."""

from __future__ import annotations

import numpy as np

from ganvas.io.pictures.captions import caption


def test_other_words_are_other_pixels_and_longer_ones_reach_farther():
    short, long = caption("made", 256, 24), caption("made, 24.1 dB", 256, 24)
    assert short.shape == (24, 256, 3) and short.dtype == np.float32
    assert short.max() > 0.7 and short.min() == 0
    ends = [np.flatnonzero(line.max((0, 2))).max() for line in (short, long)]
    assert ends[0] < ends[1] < 256
    assert not np.array_equal(caption("truth", 256, 24), short)


def test_the_letters_stay_within_the_line():
    line = caption("gQ|jÅ", 200, 24)
    assert not line[0].any() and not line[-1].any()


def test_what_does_not_fit_is_cut_and_without_room_there_is_none():
    cut = caption("a very long name of a camera path.ma", 80, 24)
    assert cut[:, :76].any() and not cut[:, 78:].any()
    assert not caption("words", 6, 24).any()
