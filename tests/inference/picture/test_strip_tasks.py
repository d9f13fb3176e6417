"""A picture made of strips by several workers is, byte for byte, the picture that one process makes."""

import numpy as np
import pytest

from ganvas.inference import shares
from ganvas.inference.cluster import Piece, Worker
from ganvas.inference.open import open_model
from ganvas.inference.picture import strip_tasks
from ganvas.inference.picture.options import Options
from ganvas.inference.result import Progress, Result
from ganvas.io.pictures import images

ASKED = {
    "tiles": {"tile": 40},
    "overlap": {"tile": 64, "overlap_px": 4},
    "auto tile": {},
    "another size": {"tile": 40, "factor": 1.5},
    "twice": {"tile": 40, "factor": 3.5},
    "deep": {"tile": 40},
}


@pytest.fixture
def small_strips(monkeypatch):
    monkeypatch.setattr(strip_tasks, "CUT_FROM_PX", 20_000)
    monkeypatch.setattr(strip_tasks, "STRIP_PX", 5_000)


@pytest.fixture(scope="module")
def opened():
    return open_model("compact-x2")


def write(path, height=190, width=70, channels=3, dtype=np.uint8):
    random = np.random.default_rng(0)
    path.parent.mkdir(exist_ok=True)
    high = np.iinfo(dtype).max + 1
    picture = random.integers(0, high, (height // 5 + 1, width // 5 + 1, channels)).repeat(5, 0).repeat(5, 1)
    images.write(path, picture[:height, :width].astype(dtype))
    return path


def cut(opened, source, target, **asked):
    """Return what becomes of a picture: its tasks, and itself."""
    options = Options(inputs=(str(source),), out=target, precision="float32", **asked)
    pieces, problems = shares._cut_pictures(opened, options)
    parts, pictures, more = shares._in_strips(opened, pieces)
    assert not problems and not more
    return parts, pictures


def work(opened, pieces):
    """Do pieces as a worker would, the last first: no strip waits for another."""
    worker = object.__new__(Worker)
    worker._opened = opened
    return [result for piece in reversed(pieces) for result in worker.work(piece.options)]


def alone(opened, source, target, **asked):
    options = Options(inputs=(str(source),), out=target, precision="float32", **asked)
    (result,) = opened.suite.run(opened, options, Progress())
    assert not result.error
    return target.read_bytes()


@pytest.mark.parametrize("kind", ASKED)
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_strips_are_the_picture_of_one_process(tmp_path, opened, small_strips, kind, suffix):
    if kind == "deep" and suffix == ".jpg":
        pytest.skip("JPEG has eight bits")
    source = write(tmp_path / "in.png", channels=4, dtype=np.uint16) if kind == "deep" else write(tmp_path / "in.png")
    target = tmp_path / f"out{suffix}"
    pieces, (picture,) = cut(opened, source, target, **ASKED[kind])
    assert len(pieces) == (1 if kind == "auto tile" else len(picture.tasks)) and all(piece.is_part for piece in pieces)
    assert len(pieces) > 2 or kind == "auto tile"
    results = work(opened, pieces)
    assert not any(result.error for result in results)
    told = []
    (made,) = shares._put_together([picture], results, Progress(told.append))
    assert (
        not made.error
        and made.output == str(target)
        and [event for event in told if isinstance(event, Result)] == [made]
    )
    assert target.read_bytes() == alone(opened, source, tmp_path / f"alone{suffix}", **ASKED[kind])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.png", f"out{suffix}", f"alone{suffix}"])


def test_each_row_of_tiles_is_computed_by_one_task_alone(tmp_path, opened, small_strips):
    _, (picture,) = cut(opened, write(tmp_path / "in.png"), tmp_path / "out.png", tile=40)
    edges = [task.start for task in picture.tasks] + [picture.tasks[-1].stop]
    assert edges[0] == 0 and edges[-1] == 380 and edges == sorted(set(edges))
    begins = set(picture._up.bands(190, 70, opened_pixels(), (380, 140))[1])
    assert begins >= set(edges[:-1])
    shares._put_together([picture], [], Progress())


def opened_pixels():
    from ganvas.inference.rows.pixels import Pixels

    return Pixels(channels=3, dtype=np.dtype(np.uint8), associated_alpha=False)


def test_a_second_call_does_only_what_the_first_left(tmp_path, opened, small_strips):
    source, target = write(tmp_path / "in.png"), tmp_path / "out.png"
    pieces, (picture,) = cut(opened, source, target, tile=40)
    some = work(opened, pieces[:2])
    assert shares._put_together([picture], some, Progress()) == [] and not target.exists()
    again, (picture,) = cut(opened, source, target, tile=40)
    assert [piece.name for piece in again] == [piece.name for piece in pieces[2:]]
    (made,) = shares._put_together([picture], work(opened, again), Progress())
    assert not made.error and target.read_bytes() == alone(opened, source, tmp_path / "alone.png", tile=40)
    # Asked otherwise, nothing of the earlier work is taken.
    pieces, (picture,) = cut(opened, source, tmp_path / "other.png", tile=40)
    shares._put_together([picture], work(opened, pieces[:1]), Progress())
    other, (picture,) = cut(opened, source, tmp_path / "other.png", tile=48)
    assert len(other) == len(picture.tasks)
    shares._put_together([picture], [], Progress())


def test_what_goes_wrong_with_a_strip_is_the_picture_s_error(tmp_path, opened, small_strips):
    source, target = write(tmp_path / "in.png"), tmp_path / "out.png"
    pieces, (picture,) = cut(opened, source, target, tile=40)
    source.write_bytes(source.read_bytes()[:2000])
    (made,) = shares._put_together([picture], work(opened, pieces), Progress())
    assert made.error and made.input == str(source) and not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_small_pictures_pages_and_what_is_there_are_left_whole(tmp_path, opened, small_strips):
    source = write(tmp_path / "in.png")
    write(tmp_path / "there.png")
    assert cut(opened, write(tmp_path / "small.png", 30, 30), tmp_path / "o1.png", tile=40)[1] == []
    assert cut(opened, source, tmp_path / "there.png", tile=40, skip_existing=True)[1] == []
    assert cut(opened, source, tmp_path / "o2.png", tile=40, alpha="separate")[1] == []
    assert all(isinstance(piece, Piece) for piece in cut(opened, source, tmp_path / "o3.png", alpha="separate")[0])
