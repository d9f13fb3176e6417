"""Work over several workers: every piece once, whatever becomes of the workers, and the same pictures as alone."""

import contextlib
import os
import signal
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ganvas.cli import main
from ganvas.errors import UsageError, UserError
from ganvas.inference import cluster, shares
from ganvas.inference.cluster import Piece, Place, read_place
from ganvas.inference.open import open_model
from ganvas.inference.picture import strip_tasks
from ganvas.inference.picture.options import Options
from ganvas.inference.result import CancelToken, Progress, Result
from ganvas.io.pictures import images

# A cluster without Ray: what the head does with what Ray tells it, in no time


class Lost(Exception):
    """As Ray's errors of lost actors."""


class FakeRay:
    """Actors whose calls are done when they are waited for; a call may take its actor down."""

    exceptions = SimpleNamespace(RayError=Lost)

    def __init__(self, doomed=(), dead_starts=0):
        self.doomed, self.dead_starts = list(doomed), dead_starts
        self.started, self.asked = 0, []

    def start(self):
        self.started += 1
        number = self.started

        def ready():
            return ("start", number)

        def work(options):
            self.asked.append(options)
            return ("work", number, options, len(self.asked))

        return SimpleNamespace(ready=SimpleNamespace(remote=ready), work=SimpleNamespace(remote=work))

    def wait(self, references, num_returns, timeout):
        # The newest first: results come in any order.
        return references[-1:], references[:-1]

    def get(self, reference):
        if reference[0] == "start":
            if self.dead_starts:
                self.dead_starts -= 1
                raise Lost("no such model")
            return 1
        _, _, options, _ = reference
        name = options.removesuffix(" again")
        if name in self.doomed:
            self.doomed.remove(name)
            raise Lost("the actor died")
        return [Result(input=name, output=options)]


def run(ray, names, count=2, progress=None):
    pieces = [Piece(name, f"{name}.png", name, f"{name} again") for name in names]
    progress = progress or Progress()
    return cluster._Share(ray, pieces, ray.start, count, progress).run()


NAMES = ["a", "b", "c", "d", "e"]


def test_every_piece_is_done_once_and_results_keep_their_order():
    ray = FakeRay()
    assert [result.input for result in run(ray, NAMES)] == NAMES
    assert sorted(ray.asked) == NAMES
    assert ray.started == 2


@pytest.mark.parametrize("doomed", [["a"], ["b", "b"], NAMES, ["a", "a", "e", "e"]])
def test_the_piece_of_a_lost_worker_is_done_again_and_no_other(doomed):
    ray = FakeRay(doomed)
    results = run(ray, NAMES)
    assert [result.input for result in results] == NAMES
    assert not any(result.error for result in results)
    assert sorted(ray.asked) == sorted(NAMES + [f"{name} again" for name in doomed])


def test_a_piece_that_takes_every_worker_down_is_given_up_and_the_others_are_done():
    results = run(FakeRay(["c"] * 10), NAMES)
    assert [bool(result.error) for result in results] == [False, False, True, False, False]
    assert "3 workers were lost over c" in results[2].error


def test_workers_that_cannot_start_are_an_error_and_not_a_wait():
    with pytest.raises(UserError, match="No worker could be started"):
        run(FakeRay(dead_starts=100), NAMES)


def test_one_worker_that_starts_is_enough():
    assert len(run(FakeRay(dead_starts=2), NAMES)) == 5


def test_more_workers_than_pieces_are_not_started():
    ray = FakeRay()
    run(ray, ["a"], count=8)
    assert ray.started == 1


def test_cancelled_work_returns_what_it_has():
    token = CancelToken()
    seen = []

    def tell(event):
        if isinstance(event, Result):
            seen.append(event)
            token.cancel()

    assert run(FakeRay(), NAMES, count=1, progress=Progress(tell, token=token)) == seen[:1]


PLACES = {
    "local": Place(None, 0),
    "local:2": Place(None, 2),
    "auto": Place("auto", 0),
    "ray://a.b:1": Place("ray://a.b:1", 0),
}


@pytest.mark.parametrize(("text", "place"), PLACES.items())
def test_places(text, place):
    assert read_place(text) == place


@pytest.mark.parametrize("text", ["here", "local:0", "local:-1", "ray://", "ray://a", "http://a:1", "ray://a b:1"])
def test_no_places(text):
    with pytest.raises(UsageError, match="is no cluster"):
        read_place(text)


# How work is cut


def write(path, seed, size=(24, 20)):
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))
    return path


def cut(options):
    return shares._cut_pictures(open_model("compact-x2"), options)


def test_a_folder_becomes_a_piece_for_each_file_with_the_names_it_has_alone(tmp_path):
    for number in range(3):
        write(tmp_path / "in" / f"sub{number}" / "photo.png", number)
    pieces, problems = cut(Options(inputs=(str(tmp_path / "in"),), out=tmp_path / "out", format="jpg", quality=90))
    assert not problems
    assert [piece.output for piece in pieces] == [str(tmp_path / f"out/sub{n}/photo.jpg") for n in range(3)]
    assert all(piece.options.quality == 90 and piece.options.skip_existing for piece in pieces)
    assert all(len(piece.options.inputs) == 1 for piece in pieces)


def test_two_inputs_of_one_output_are_refused_before_work(tmp_path):
    write(tmp_path / "a" / "photo.png", 0)
    write(tmp_path / "b" / "photo.png", 0)
    with pytest.raises(UserError, match="the same name"):
        cut(Options(inputs=(str(tmp_path / "a/photo.png"), str(tmp_path / "b/photo.png")), out=tmp_path / "out"))


def test_a_clip_is_not_shared():
    with pytest.raises(UserError, match="cannot be shared"):
        shares.share(SimpleNamespace(takes="clip"), None, "local", Progress())


def test_without_ray_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    source = write(tmp_path / "photo.png", 0)
    assert main(["upscale", str(source), "--cluster", "local", "--out", str(tmp_path / "out.png")]) == 1
    assert "pip install 'ganvas[cluster]'" in capsys.readouterr().err


# Ray itself


@pytest.mark.alone
def test_two_workers_of_which_one_is_killed(tmp_path, monkeypatch):
    """One such test: starting Ray takes seconds, and more on a machine under load."""
    pytest.importorskip("ray")
    # The first one is large, and its strips are shared.
    monkeypatch.setattr(strip_tasks, "CUT_FROM_PX", 20_000)
    monkeypatch.setattr(strip_tasks, "STRIP_PX", 5_000)
    for number in range(6):
        write(tmp_path / "in" / f"{number}.png", number, (24, 20) if number else (190, 70))
    opened = open_model("compact-x2")
    alone = Options(inputs=(str(tmp_path / "in"),), out=tmp_path / "alone", precision="float32", tile=40)
    opened.suite.run(opened, alone, Progress())
    killed = []
    lost = cluster._Share._take

    def take(self, reference):
        _, number = self._running[reference]
        if number is None and not killed:
            # The first worker that is ready is killed as soon as it has been given its first piece.
            process = self._ray.get(reference)
            lost(self, reference)
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
            killed.append(process)
        else:
            lost(self, reference)

    monkeypatch.setattr(cluster._Share, "_take", take)
    events = []
    shared = Options(inputs=(str(tmp_path / "in"),), out=tmp_path / "out", precision="float32", tile=40)
    results = shares.share(opened, shared, "local:2", Progress(events.append))
    assert killed
    assert [result.error for result in results] == [""] * 6
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [f"{n}.png" for n in range(6)]
    for number in range(6):
        together, apart = (images.read(tmp_path / name / f"{number}.png")[0] for name in ("out", "alone"))
        np.testing.assert_array_equal(together, apart)
    assert (tmp_path / "out/0.png").read_bytes() == (tmp_path / "alone/0.png").read_bytes()
    assert any("0.png, rows 0 to" in str(event) and "lost" in str(event) for event in events)
    assert any("strips" in result.note for result in results)
    assert sum(isinstance(event, Result) for event in events) == 6
    assert torch.get_num_threads() >= 1
