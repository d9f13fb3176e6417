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
