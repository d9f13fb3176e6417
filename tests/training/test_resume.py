"""Exact resume: a run that is interrupted at any step ends bit-equal to one that was not."""

from __future__ import annotations

import os
import signal

import pytest
from tiny_recipe import Tiny
from tiny_runs import STEPS, assert_same_bits, resume, train

from ganvas.training import loop

VARIANTS = {
    "plain": {},
    "repeats": {"repeats": 2, "samples": 10},
    "accumulation": {"micro_batches": 2, "clip_gradient": 0.5},
}


class Crash(Exception):
    """Stands for a kill: nothing is saved."""


@pytest.fixture(params=VARIANTS)
def variant(request):
    return VARIANTS[request.param]


@pytest.fixture
def whole(variant, tmp_path):
    return train(tmp_path / "whole", **variant)


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


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_every_step(whole, variant, tmp_path, monkeypatch, signal_number):
    for step in range(STEPS):
        with monkeypatch.context() as patch:
            at_step(patch, step, lambda: os.kill(os.getpid(), signal_number))
            run = tmp_path / f"stopped-{step}"
            if step < STEPS - 1:
                with pytest.raises(loop.Stopped):
                    train(run, **variant)
                resume(run, **variant)
            else:
                train(run, **variant)
        assert_same_bits(whole, run)


def test_a_crash_at_every_step(whole, variant, tmp_path, monkeypatch):
    for step in range(STEPS):
        run = tmp_path / f"crashed-{step}"
        with monkeypatch.context() as patch:
            at_step(patch, step, crash)
            with pytest.raises(Crash):
                train(run, **variant)
        resume(run, **variant)
        assert_same_bits(whole, run)
