"""Rows that outlive their process: what is read back is what was appended, up to the first strip that is not whole."""

import numpy as np
import pytest

from ganvas.io.pictures.row_log import RowLog


def strips(dtype="uint8"):
    random = np.random.default_rng(0)
    return [(255 * random.random((rows, 7, 3))).astype(dtype) for rows in (5, 1, 8)]


def filled(path, dtype="uint8"):
    log = RowLog(path, (7, 3), np.dtype(dtype))
    for strip in strips(dtype):
        log.append(strip)
    log.close()
    return path


def read(path, most_rows=100, dtype="uint8"):
    log = RowLog(path, (7, 3), np.dtype(dtype))
    found = list(log.read(most_rows))
    log.close()
    return found


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float16", "float32"])
def test_what_was_appended_is_read(tmp_path, dtype):
    found = read(filled(tmp_path / "rows.log", dtype), dtype=dtype)
    for strip, expected in zip(found, strips(dtype), strict=True):
        np.testing.assert_array_equal(strip, expected)


def test_a_log_cut_anywhere_gives_the_strips_before_the_cut(tmp_path):
    whole = filled(tmp_path / "rows.log").read_bytes()
    ends = np.cumsum([8 + 21 * rows for rows in (5, 1, 8)])
    for length in range(len(whole)):
        path = tmp_path / "cut.log"
        path.write_bytes(whole[:length])
        assert len(read(path)) == (ends <= length).sum()
        assert path.stat().st_size == max([0, *ends[ends <= length]])


def test_a_changed_byte_ends_what_is_read(tmp_path):
    path = filled(tmp_path / "rows.log")
    data = bytearray(path.read_bytes())
    data[8 + 21 * 5 + 8 + 3] ^= 1
    path.write_bytes(data)
    assert [len(strip) for strip in read(path)] == [5]


def test_appending_goes_on_behind_what_was_whole(tmp_path):
    path = filled(tmp_path / "rows.log")
    path.write_bytes(path.read_bytes()[:-4])
    log = RowLog(path, (7, 3), np.dtype("uint8"))
    assert [len(strip) for strip in log.read(100)] == [5, 1]
    log.append(strips()[2])
    log.close()
    assert [len(strip) for strip in read(path)] == [5, 1, 8]


def test_a_length_beyond_the_picture_is_not_believed(tmp_path):
    path = tmp_path / "rows.log"
    path.write_bytes(b"\xff" * 64)
    assert read(path, most_rows=14) == []
    assert [len(strip) for strip in read(filled(path), most_rows=6)] == [5, 1]


def test_no_link_is_followed(tmp_path):
    other = tmp_path / "precious"
    other.write_bytes(b"precious")
    (tmp_path / "rows.log").symlink_to(other)
    with pytest.raises(OSError):
        RowLog(tmp_path / "rows.log", (7, 3), np.dtype("uint8"))
    assert other.read_bytes() == b"precious"
