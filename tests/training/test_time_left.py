"""The time that is left is that of all stages; without a preset every machine gets the smallest."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import torch

from ganvas import cli, launch
from ganvas.protocol import Stage
from ganvas.recipes import base
from ganvas.training import rehearsal
from ganvas.training.logbook import Logbook


def left(pace, step, seconds):
    stages = [Stage(name=name, steps=steps, turns=(), optimizers={}) for name, steps in (("pixel", 400), ("gan", 200))]
    index = int(step >= 400)
    log = Logbook.__new__(Logbook)
    log.pace = pace
    log.trainer = SimpleNamespace(
        stages=stages, stage=stages[index], stage_index=index, stage_step=step - 400 * index, total_steps=600
    )
    return log._left(seconds)


def test_later_stages_count_at_their_own_pace():
    pace = {"pixel": 0.1, "gan": 1.0}
    assert left(pace, 200, 0.1) == "3 min 40 s left"  # 200 x 0.1 + 200 x 1
    assert left(pace, 200, 0.2) == "7 min 20 s left"  # everything takes twice as long as rehearsed
    assert left(pace, 500, 1.0) == "1 min 40 s left" and left(pace, 600, 1.0) == "0 s left"
    assert left({}, 200, 0.1) == "20 s left of this stage" and left({}, 500, 1.0) == "1 min 40 s left"


@pytest.mark.parametrize("recipe", base.RECIPES)
@pytest.mark.parametrize("gpu", [False, True])
def test_without_a_name_the_preset_is_the_smallest_whatever_the_machine(recipe, gpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    chosen = base.preset(base.find(recipe), "")
    assert chosen.name == next(name for name in ("laptop", "preview") if name in base.find(recipe).PRESETS)
    assert launch.order(recipe).preset.name == chosen.name


def test_the_papers_values_say_first_what_they_need(tmp_path, monkeypatch, capsys):
    from PIL import Image

    Image.new("RGB", (300, 300)).save(tmp_path / "a.png")
    found = [rehearsal.Rehearsal("pixel", 1000, 3 << 30, 3.6), rehearsal.Rehearsal("gan", 1000, 5 << 30, 7.2)]
    monkeypatch.setattr(rehearsal, "rehearse", lambda plan, steps: found)

    def train(plan, out, **options):
        assert options["pace"] == {"pixel": 3.6, "gan": 7.2}

    monkeypatch.setattr("ganvas.training.loop.train", train)
    assert (
        cli.main(["train", "esrgan", "--preset", "paper", "--data", str(tmp_path), "--out", str(tmp_path / "r")]) == 0
    )
    said = capsys.readouterr().out
    assert re.search(r"need 5.0 GB of memory and 3 hours here, for 2000 steps\.\nRun: ", said), said


def run_of(stages, seconds_of, pauses, monkeypatch, pace):
    """Return what the log says is left at a tenth of a run, and what then was left, both in seconds."""
    from ganvas.training import logbook

    clock = [0.0]
    monkeypatch.setattr(logbook.time, "perf_counter", lambda: clock[0])
    log = Logbook.__new__(Logbook)
    log.pace, log._stage_since, log._since = pace, None, (0.0, 0, 0)
    log.trainer = SimpleNamespace(stages=stages, images_seen=0)
    total = sum(stage.steps for stage in stages)
    said = now = None
    step = 0
    for index, stage in enumerate(stages):
        for within in range(1, stage.steps + 1):
            step += 1
            clock[0] += seconds_of(index, step) + (pauses if step % 100 == 0 else 0)
            log.trainer.__dict__.update(step=step, stage=stage, stage_index=index, stage_step=within, total_steps=total)
            if step % 10 == 0:
                latest = (clock[0] - log._since[0]) / 10
                log._since = (clock[0], step, 0)
                mean = log._mean_pace(latest)
                if said is None and step >= total / 10:
                    said, now = log._left(mean), clock[0]
    return said, clock[0] - now


def seconds(text):
    units = {"h": 3600, "min": 60, "s": 1}
    return sum(int(number) * units[unit] for number, unit in re.findall(r"(\d+) (h|min|s)\b", text))


@pytest.mark.parametrize("seed", range(5))
def test_the_time_left_is_right_to_30_percent_at_a_tenth_of_a_run(seed, monkeypatch):
    import numpy as np

    # Steps of a busy machine: some take three times as long; the first are slow; scores and checkpoints pause them.
    noise = np.random.default_rng(seed).choice([1.0, 1.0, 1.0, 3.0], 4000)
    stages = [Stage(name=name, steps=steps, turns=(), optimizers={}) for name, steps in (("a", 2500), ("b", 1500))]

    def seconds_of(index, step):
        return (0.1, 0.4)[index] * noise[step - 1] + (5.0 if step <= 3 else 0.0)

    # What a rehearsal of a few steps finds, within its own noise.
    pace = {"a": 0.1 * 1.5, "b": 0.4 * 1.5}
    said, truth = run_of(stages, seconds_of, 3.0, monkeypatch, pace)
    assert said.endswith(" left") and 0.7 <= seconds(said) / truth <= 1.3, (said, truth)


def test_lines_of_a_training_fit_120_columns():
    from ganvas.training.logbook import _fitted

    parts = [f"G.loss_number_{number} 0.{number}234" for number in range(40)]
    line = _fitted("joint  step 100/1000 10%  3 min 20 s left", parts)
    assert len(line) <= 120 and parts[0] in line and line.endswith(" …")
    assert _fitted("a", parts[:2]) == f"a  {parts[0]}  {parts[1]}"
