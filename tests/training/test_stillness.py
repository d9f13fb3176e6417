"""Training that no longer moves: gradients of zero, a discriminator that sleeps, outputs that ignore their input."""

from __future__ import annotations

import shutil

import pytest
import torch
from tiny_runs import plan, resume, settings

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.protocol import Networks
from ganvas.training import loop, sentinel, step, stillness
from ganvas.training.sentinel import Observation, Sentinel, thumbnail
from ganvas.training.stillness import ALL_STILL, ASLEEP, ONE_STILL, SAME, SLEEPS, WOKE

MOVING = {"margin": 0.5, "fake_spread": 0.2, "real_spread": 0.2}


def watched(count, norms=(1.0, 1.0), watch=None, **values):
    """Return what a watch says of each of so many equal steps."""
    watch = watch or Sentinel()
    told = []
    for number in range(1, count + 1):
        names = ("generator", "discriminator")
        seen = Observation(number, {**MOVING, **values}, dict(zip(names, norms)))
        told.append(watch.observe(seen, Networks()))
    return told, watch


def first(told):
    return next((number for number, why in enumerate(told, 1) if why), None)


@pytest.mark.parametrize(
    ("norms", "at"), [((0.0, 0.0), ALL_STILL), ((0.0, 1.0), ONE_STILL), ((1.0, 0.0), ONE_STILL), ((1.0, 1e-9), None)]
)
def test_gradients_of_zero_trip_after_their_time(norms, at):
    told, _ = watched(1100, norms)
    assert first(told) == at


def test_one_step_that_moves_begins_the_count_anew():
    watch = Sentinel()
    for number in range(1, 5 * ALL_STILL):
        norm = 0.0 if number % (ALL_STILL - 1) else 1.0
        assert watch.observe(Observation(number, MOVING, {"generator": norm}), Networks()) is None


@pytest.mark.parametrize(
    ("margin", "at"), [(0.0029, ASLEEP), (-0.001, ASLEEP), (0.0, ASLEEP), (0.0031, None), (-0.5, None)]
)
def test_a_discriminator_that_tells_nothing_apart_trips(margin, at):
    told, watch = watched(400, margin=margin)
    assert first(told) == at
    # What a content loss teaches beside it is none the worse.
    assert watch.health.healthy


def test_going_back_helps_once_and_only_where_the_discriminator_was_awake():
    told, never = watched(ASLEEP, margin=0.0)
    assert told[-1].startswith(SLEEPS) and not never.may_mend(told[-1]) and never.may_mend("NaN")
    _, fell = watched(WOKE)
    told, _ = watched(ASLEEP, watch=fell, margin=0.0)
    assert fell.may_mend(told[-1]) and fell.lasted(told[-1]) == ASLEEP and fell.lasted("NaN") == 0
    fell.roll_back(WOKE + ASLEEP, told[-1], WOKE, watched(WOKE)[1].state())
    assert fell.response.slept == 1 and fell.response.rate_factor == 1 and not fell.stillness.asleep
    told, _ = watched(ASLEEP, watch=fell, margin=0.0)
    assert not fell.may_mend(told[-1])


def test_outputs_that_are_all_the_same_trip_although_they_never_were_a_fair_share():
    told, _ = watched(200, fake_spread=1e-6)
    assert first(told) == SAME
    assert "depended on their input" in told[SAME - 1]


@pytest.mark.parametrize(("fake", "real", "at"), [(1e-6, 0.2, SAME), (1e-3, 0.2, None), (0.0, 0.0, None)])
def test_so_do_batches_of_one_that_do_not_change_while_the_real_ones_do(fake, real, at):
    watch, told = Sentinel(), []
    for number in range(1, 200):
        values = {"margin": 0.5, "fake_change": fake, "real_change": real}
        told.append(watch.observe(Observation(number, values, {"generator": 1.0}), Networks()))
    assert first(told) == at


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


@pytest.fixture
def impatient(monkeypatch):
    """Have the watch wait for fewer steps, of which each takes time."""
    monkeypatch.setattr(stillness, "ASLEEP", 40)
    monkeypatch.setattr(sentinel, "LAG", 5)


def test_a_discriminator_that_falls_asleep_sends_the_run_back_once(tmp_path, monkeypatch, impatient, capsys):
    original, fell = step.advance, WOKE + 10

    def advance(trainer):
        seen = original(trainer)
        seen.values["margin"] = 0.5 if trainer.step <= fell else 0.001
        return seen

    monkeypatch.setattr(step, "advance", advance)
    monkeypatch.setattr(loop, "STEPS_BETWEEN_WARNINGS", 30)
    changes = {"checkpoint_every": 10, "keep_last": 99, "preview_every": 0, "log_every": 1000, "score_every": 0}
    run = loop.train(plan(first_steps=0, second_steps=fell + 100, **changes), tmp_path / "run")
    # Behind it lies a stretch that whatever went wrong may have touched already.
    back = [entry for entry in runs.read_log(run) if "rollback" in entry]
    assert [(entry["step"], entry["rollback"]["to"]) for entry in back] == [(fell + 40, fell - 10)]
    trips = [entry["step"] for entry in runs.read_log(run) if "sentinel" in entry]
    assert trips == [fell + 40, fell + 80]
    assert "rates are now x 1, R1 x 1" in capsys.readouterr().out


def test_a_discriminator_that_never_woke_is_told_and_ends_no_run(tmp_path, monkeypatch, impatient, capsys):
    dead_after(monkeypatch, 10**9, margin=0.001)
    changes = {"first_steps": 0, "second_steps": 60, "checkpoint_every": 500, "preview_every": 0, "log_every": 1000}
    run = loop.train(plan(**changes), tmp_path / "run")
    assert "Step 40: The discriminator sleeps" in capsys.readouterr().out
    assert not [entry for entry in runs.read_log(run) if "rollback" in entry]


def test_a_sleeping_discriminator_stops_a_run_that_is_to_stop(tmp_path, monkeypatch, impatient):
    dead_after(monkeypatch, 10**9, margin=0.0)
    changes = {"first_steps": 0, "second_steps": 60, "checkpoint_every": 500, "preview_every": 0}
    with pytest.raises(UserError, match=r"Stopped at step 40 by the sentinel.*sleeps"):
        loop.train(plan(sentinel="stop", log_every=1000, **changes), tmp_path / "run", quiet=True)


def test_batches_of_one_are_watched_from_step_to_step_and_across_a_resumption(tmp_path, monkeypatch):
    seen = {}
    original = step.advance

    def advance(trainer):
        found = original(trainer)
        seen.setdefault(trainer.step, []).append(found.values)
        return found

    monkeypatch.setattr(step, "advance", advance)
    # Batch norm means nothing of one picture.
    run = loop.train(plan(batch_size=1, batch_norm=False, checkpoint_every=4), tmp_path / "run", quiet=True)
    assert "fake_change" not in seen[1][0] and all(seen[number][0]["real_change"] > 0 for number in range(2, 9))
    for folder in runs.checkpoints(run):
        if int(folder.name) > 4:
            shutil.rmtree(folder)
    resume(run, batch_size=1, batch_norm=False, checkpoint_every=4)
    assert all(len(seen[number]) == 2 and seen[number][0] == seen[number][1] for number in range(5, 9))


def test_a_thumbnail_is_the_means_of_a_few_cells_of_the_last_picture():
    pictures = torch.arange(2 * 2 * 3 * 8 * 8.0).reshape(2, 2, 3, 8, 8)
    expected = pictures[1, 1].reshape(3, 4, 2, 4, 2).mean((2, 4)).flatten()
    assert thumbnail(pictures) == pytest.approx(expected.tolist())


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
    # It will fail again, and is told once.
    assert said.count("no such picture") == 1
    assert [entry["warning"]["lacking"] for entry in runs.read_log(run) if "warning" in entry] == ["plot", "preview"]


@pytest.mark.parametrize("found", [ZeroDivisionError("no such\nscore"), {"minus_l1": "high"}, None])
def test_a_score_that_fails_is_a_warning_and_training_goes_on(found, tmp_path, monkeypatch, capsys):
    from tiny_recipe import Tiny

    def broken(*_):
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(Tiny, "score", broken)
    run = loop.train(plan(val=True, score_every=2), tmp_path / "run")
    said = capsys.readouterr().out
    assert said.count("Warning: no score at step 2") == said.count("no score") == 1
    assert ("ZeroDivisionError: no such score (" if isinstance(found, Exception) else "`score` cannot be used") in said
    assert runs.checkpoints(run)[-1].name == runs.checkpoint_name(8) and not runs.best_name(run)
