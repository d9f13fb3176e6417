"""Training that no longer moves: gradients of zero, a discriminator that sleeps, outputs that ignore their input."""

from __future__ import annotations

import pytest
from tiny_runs import plan, settings

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.protocol import Networks
from ganvas.training import loop, step
from ganvas.training.sentinel import Observation, Sentinel
from ganvas.training.stillness import ALL_STILL, ASLEEP, ONE_STILL, SAME

MOVING = {"margin": 0.5, "fake_spread": 0.2, "real_spread": 0.2}


def watched(count, norms=(1.0, 1.0), **values):
    """Return what a watch says of each of so many equal steps."""
    watch = Sentinel()
    told = []
    for number in range(1, count + 1):
        names = ("generator", "discriminator")
        seen = Observation(number, {**MOVING, **values}, dict(zip(names, norms)))
        told.append((watch.observe(seen, Networks()), watch.advice))
    return told, watch


def first(told, which):
    return next((number for number, each in enumerate(told, 1) if each[which]), None)


@pytest.mark.parametrize(
    ("norms", "at"), [((0.0, 0.0), ALL_STILL), ((0.0, 1.0), ONE_STILL), ((1.0, 0.0), ONE_STILL), ((1.0, 1e-9), None)]
)
def test_gradients_of_zero_trip_after_their_time(norms, at):
    told, _ = watched(1100, norms)
    assert first(told, 0) == at


def test_one_step_that_moves_begins_the_count_anew():
    watch = Sentinel()
    for number in range(1, 5 * ALL_STILL):
        norm = 0.0 if number % (ALL_STILL - 1) else 1.0
        assert watch.observe(Observation(number, MOVING, {"generator": norm}), Networks()) is None


@pytest.mark.parametrize(
    ("margin", "at"), [(0.0029, ASLEEP), (-0.001, ASLEEP), (0.0, ASLEEP), (0.0031, None), (-0.5, None)]
)
def test_a_discriminator_that_tells_nothing_apart_is_said_to_sleep(margin, at):
    told, _ = watched(400, margin=margin)
    assert first(told, 1) == at and first(told, 0) is None


def test_outputs_that_are_all_the_same_trip_although_they_never_were_a_fair_share():
    told, _ = watched(200, fake_spread=1e-6)
    assert first(told, 0) == SAME
    assert "depended on their input" in told[SAME - 1][0]


def test_a_step_that_stands_still_is_no_healthy_one_to_go_back_to():
    _, watch = watched(10, (0.0, 0.0))
    assert not watch.health.healthy
    _, watch = watched(10)
    assert watch.health.healthy


def test_what_it_counts_comes_back_from_a_checkpoint():
    _, watch = watched(ALL_STILL - 1, (0.0, 0.0))
    again = Sentinel()
    again.load(watch.state())
    assert again.observe(Observation(ALL_STILL, MOVING, {"generator": 0.0, "discriminator": 0.0}), Networks())


def dead_after(monkeypatch, number, **values):
    """Have every step from the n-th on be seen without a gradient."""
    original = step.advance

    def advance(trainer):
        seen = original(trainer)
        if trainer.step > number:
            seen.gradient_norms = dict.fromkeys(seen.gradient_norms, 0.0)
        seen.values |= values
        return seen

    monkeypatch.setattr(step, "advance", advance)


def test_a_run_that_stands_still_goes_back_once_and_then_stops(tmp_path, monkeypatch):
    dead_after(monkeypatch, 10)
    changes = {"first_steps": 0, "second_steps": 400, "checkpoint_every": 5, "preview_every": 0, "log_every": 1000}
    with pytest.raises(UserError, match=r"stands still.*second time"):
        loop.train(plan(**changes), tmp_path / "run", quiet=True)
    trips = [entry for entry in runs.read_log(tmp_path / "run") if "sentinel" in entry]
    assert len(trips) == 2 and settings().sentinel == "rollback"


def test_a_sleeping_discriminator_is_told_and_ends_no_run(tmp_path, monkeypatch, capsys):
    dead_after(monkeypatch, 10**9, margin=0.001)
    changes = {
        "first_steps": 0,
        "second_steps": ASLEEP + 20,
        "checkpoint_every": 500,
        "preview_every": 0,
        "log_every": 1000,
    }
    loop.train(plan(**changes), tmp_path / "run")
    assert f"Step {ASLEEP}: The discriminator sleeps" in capsys.readouterr().out


def test_a_preview_or_plot_that_fails_is_a_warning_after_the_checkpoint(tmp_path, monkeypatch, capsys):
    from tiny_recipe import Tiny

    def broken(*_):
        raise ZeroDivisionError("no such\npicture")

    monkeypatch.setattr(Tiny, "sample", broken)
    monkeypatch.setattr(loop.Logbook, "plot", lambda self: (_ for _ in ()).throw(UserError("Cannot write losses.svg")))
    run = loop.train(plan(), tmp_path / "run")
    said = capsys.readouterr().out
    assert "Warning: no preview at step 4: ZeroDivisionError: no such picture (" in said and "line" in said
    assert "Warning: no plot at step 2: Cannot write losses.svg" in said
    assert runs.checkpoints(run)[-1].name == runs.checkpoint_name(8)
