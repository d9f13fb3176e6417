"""Exact resume: a run that is interrupted at any step ends bit-equal to one that was not."""

from __future__ import annotations

import signal

import pytest
from tiny_runs import STEPS, assert_same_bits, resume, train

from ganvas.io import runs
from ganvas.training import loop
from tiny_recipe import Tiny

VARIANTS = {
    "several discriminator steps": {"repeats": 2, "samples": 10},
    "accumulation": {"micro_batches": 2, "clip_gradient": 0.5},
    "bfloat16": {"precision": "bfloat16"},
    "float16, read ahead": {"precision": "float16", "workers": 3},
    "recomputed, contiguous, no average": {
        "activation_checkpoints": True,
        "channels_last": False,
        "average_half_life": 0.0,
    },
    "scored": {"val": True, "score_every": 3, "keep_last": 1},
}


class Crash(Exception):
    """Stands for a kill: nothing is saved."""


def at_step(monkeypatch, step, action):
    """Do something in the middle of a step, once."""
    original, done = Tiny.generator_losses, []

    def losses(self, nets, batch, outputs, carry, context):
        if context.step == step and not done:
            done.append(True)
            action()
        return original(self, nets, batch, outputs, carry, context)

    monkeypatch.setattr(Tiny, "generator_losses", losses)


def crash():
    raise Crash


def terminate():
    # What the system would call. A real signal twice ended the process of a whole test run, for a reason not found;
    # programs of their own are sent real ones in test_cli_training.
    listens = signal.getsignal(signal.SIGTERM)
    assert callable(listens), "nobody listens: the signal would end the tests"
    listens(signal.SIGTERM, None)


def test_a_signal_at_every_step(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")
    for step in range(STEPS - 1):
        run = tmp_path / f"stopped-{step}"
        with monkeypatch.context() as patch:
            at_step(patch, step, terminate)
            with pytest.raises(loop.Stopped):
                train(run)
        # The step was finished, and nothing was done after it.
        assert runs.checkpoints(run)[-1].name == runs.checkpoint_name(step + 1)
        resume(run)
        assert_same_bits(whole, run)


def test_a_crash_at_every_step(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")
    for step in range(STEPS):
        run = tmp_path / f"crashed-{step}"
        with monkeypatch.context() as patch:
            at_step(patch, step, crash)
            with pytest.raises(Crash):
                train(run)
        resume(run)
        assert_same_bits(whole, run)


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_run_crashed_at_all_steps(variant, tmp_path, monkeypatch):
    changes = VARIANTS[variant]
    whole, run = train(tmp_path / "whole", **changes), tmp_path / "crashed"
    for step in range(STEPS):
        with monkeypatch.context() as patch:
            at_step(patch, step, crash)
            with pytest.raises(Crash):
                resume(run, **changes) if step else train(run, **changes)
    resume(run, **changes)
    assert_same_bits(whole, run)
    assert runs.best_scores(run) == runs.best_scores(whole)


def test_a_signal_in_the_last_step_ends_the_run_as_usual(tmp_path, monkeypatch):
    at_step(monkeypatch, STEPS - 1, terminate)
    train(tmp_path / "run")
    assert runs.checkpoints(tmp_path / "run")[-1].name == runs.checkpoint_name(STEPS)
