"""Large pictures go on where a killed process stopped, to the same bytes; and nothing half-written looks whole."""

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas.errors import UserError
from ganvas.inference.picture import kept
from ganvas.inference.picture.streaming import Output, upscale_file
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures.images import Header, Writer
from ganvas.networks.rrdb.net import CompactNet

HEIGHT, WIDTH = 150, 40


class Stops(KeyboardInterrupt):
    """The work ends here, as by a kill."""


@pytest.fixture(autouse=True)
def keep_small(monkeypatch):
    monkeypatch.setattr(kept, "KEPT_FROM_PX", 1)


def upscaler(after_tiles=None, **options):
    torch.manual_seed(0)
    up = Upscaler(CompactNet(width=8, convs=2, scale=2).eval(), precision="float32", device="cpu", tile=32, **options)
    engine = up.engine_for(np.dtype(np.uint8))
    call, up.tiles_seen = engine.call, 0

    def counted(picture):
        if up.tiles_seen == after_tiles:
            raise Stops
        up.tiles_seen += 1
        return call(picture)

    engine.call = counted
    return up


def picture(path, dtype="uint8", channels=3, size=(HEIGHT, WIDTH)):
    rows = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (*size, channels), dtype)
    header = Header(width=size[1], height=size[0], channels=channels, dtype=dtype, format="png")
    with Writer(path, header, size[1], size[0]) as writer:
        writer.write_rows(rows)
    return path


def undated(path):
    """Return a file without the times of writing that a TIFF holds."""
    return re.sub(rb"20[0-9]{2}[:-][0-9]{2}[:-][0-9]{2}[ T][0-9:]{8}", b"", path.read_bytes())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels", "output", "options"),
    [
        (".png", "uint8", 3, Output(), {}),
        (".png", "uint16", 4, Output(), {"overlap_px": 4}),
        (".tif", "uint8", 3, Output(factor=1.3), {"overlap_px": 4}),
        (".png", "uint8", 1, Output(factor=3.5), {}),
        (".png", "uint8", 3, Output(crop=(5, 20, 30, 100)), {}),
        (".jpg", "uint8", 3, Output(factor=2.0), {"border": "reflect"}),
        (".png", "uint8", 3, Output(), {"border": "wrap"}),
    ],
)
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_an_interrupted_picture_ends_byte_equal(tmp_path, suffix, dtype, channels, output, options, share):
    source = picture(tmp_path / "in.png", dtype, channels)
    straight = upscaler(**options)
    upscale_file(straight, source, tmp_path / f"straight{suffix}", output)
    target = tmp_path / f"out{suffix}"
    with pytest.raises(Stops):
        upscale_file(upscaler(int(share * straight.tiles_seen), **options), source, target, output)
    assert not target.exists()
    resumed = upscaler(**options)
    result = upscale_file(resumed, source, target, output)
    assert undated(target) == undated(tmp_path / f"straight{suffix}")
    assert names(tmp_path) == sorted(["in.png", f"out{suffix}", f"straight{suffix}"])
    if share > 0.5:
        assert resumed.tiles_seen < straight.tiles_seen
        assert "interrupted" in result.note


def test_tiles_stay_what_they_were_when_less_memory_is_free(tmp_path, monkeypatch):
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    upscale_file(upscaler(), source, tmp_path / "straight.png")
    with pytest.raises(Stops):
        upscale_file(upscaler(9), source, target)
    other = upscaler()
    smaller = replace(other._base_tiling, height_px=64, width_px=64)
    monkeypatch.setattr(other, "_tiling", lambda *_: smaller)
    upscale_file(other, source, target)
    assert target.read_bytes() == (tmp_path / "straight.png").read_bytes()


@pytest.mark.parametrize("change", ["source", "weights", "output"])
def test_what_was_kept_of_other_work_is_not_used(tmp_path, change):
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    with pytest.raises(Stops):
        upscale_file(upscaler(9), source, target)
    up, output = upscaler(), Output(factor=1.5) if change == "output" else Output()
    if change == "source":
        source.unlink()
        picture(source, size=(HEIGHT, WIDTH + 1))
    if change == "weights":
        with torch.no_grad():
            next(up.net.parameters()).mul_(1.5)
    upscale_file(up, source, target, output)
    alone = tmp_path / "alone"
    alone.mkdir()
    upscale_file(up, source, alone / "out.png", output)
    assert target.read_bytes() == (alone / "out.png").read_bytes()


def test_a_damaged_log_costs_time_only(tmp_path):
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    upscale_file(upscaler(), source, tmp_path / "straight.png")
    for damage in (b"", b"\0" * 100, b"\xff" * 5000):
        with pytest.raises(Stops):
            upscale_file(upscaler(9), source, target, Output(overwrite=True))
        (tmp_path / ".out.png.ganvas" / "rows.log").write_bytes(damage)
        upscale_file(upscaler(), source, target, Output(overwrite=True))
        assert target.read_bytes() == (tmp_path / "straight.png").read_bytes()


def test_a_journal_that_names_no_tiles_is_not_believed(tmp_path):
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    upscale_file(upscaler(), source, tmp_path / "straight.png")
    for tiles in ("null", '"x"', "[[1]]", "[[-4, 32, 1]]", '[["a", 32, 1]]', "[[true, 32, 1]]"):
        with pytest.raises(Stops):
            upscale_file(upscaler(9), source, target, Output(overwrite=True))
        journal = tmp_path / ".out.png.ganvas" / "journal.json"
        head, _, _ = journal.read_text().rpartition('"tiles"')
        journal.write_text(f'{head}"tiles": {tiles}}}')
        upscale_file(upscaler(), source, target, Output(overwrite=True))
        assert target.read_bytes() == (tmp_path / "straight.png").read_bytes()


def test_an_error_of_the_users_leaves_nothing(tmp_path, monkeypatch):
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    up = upscaler()

    def full(*_):
        raise UserError("The disk is full")

    monkeypatch.setattr(Writer, "_put", full)
    with pytest.raises(UserError, match="full"):
        upscale_file(up, source, target)
    assert names(tmp_path) == ["in.png"]


def test_a_log_that_cannot_grow_does_not_stop_the_work(tmp_path, monkeypatch):
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    upscale_file(upscaler(), source, tmp_path / "straight.png")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.RowLog, "append", full)
    upscale_file(upscaler(), source, target)
    assert target.read_bytes() == (tmp_path / "straight.png").read_bytes()
    assert names(tmp_path) == ["in.png", "out.png", "straight.png"]


CHILD = """
import sys, time
sys.path.insert(0, {tests!r})
import numpy as np
from test_kept import upscaler, kept
from ganvas.inference.picture.streaming import upscale_file
kept.KEPT_FROM_PX = 1
up = upscaler()
engine = up.engine_for(np.dtype(np.uint8))
call = engine.call
def slow(picture):
    if up.tiles_seen >= 9:
        print("under way", flush=True)
        time.sleep(600)
    return call(picture)
engine.call = slow
upscale_file(up, {source!r}, {target!r})
"""


def test_a_killed_process_is_gone_on_with(tmp_path):
    source, target = picture(tmp_path / "in.png"), tmp_path / "out.png"
    upscale_file(upscaler(), source, tmp_path / "straight.png")
    code = CHILD.format(tests=str(Path(__file__).parent), source=str(source), target=str(target))
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "under way\n"
    log = tmp_path / ".out.png.ganvas" / "rows.log"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert not target.exists()
    # All that is left lies in one hidden folder of a name that only Ganvas gives.
    assert names(tmp_path) == [".out.png.ganvas", "in.png", "straight.png"]
    assert set(names(tmp_path / ".out.png.ganvas")) <= {"journal.json", "lock", "picture.part", "rows.log"}
    resumed = upscaler()
    result = upscale_file(resumed, source, target)
    assert "interrupted" in result.note
    assert target.read_bytes() == (tmp_path / "straight.png").read_bytes()
    assert names(tmp_path) == ["in.png", "out.png", "straight.png"]
