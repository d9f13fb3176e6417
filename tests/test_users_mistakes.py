"""A user's own recipe: mistakes are named with file and line before training; texts of others steer no terminal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ganvas import cli
from ganvas.errors import harmless
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.protocol import Card

EXAMPLE = (Path(__file__).parents[1] / "examples" / "deblur.py").read_text()


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    values = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    images.write(tmp_path / "photos" / "a.png", values)
    return tmp_path / "photos"


def attempt(tmp_path, photos, text, capsys, *options):
    recipe = tmp_path / "mine.py"
    recipe.write_text(text)
    arguments = ["--data", str(photos), "--out", str(tmp_path / "run"), "--steps", "1", "--crop-px", "32", "-q"]
    code = cli.main(["train", str(recipe), *arguments, "--batch-size", "2", *options])
    said = capsys.readouterr().err
    assert code == cli.USER_ERROR and "defect" not in said and said.count("\n") == 1, said
    assert not (tmp_path / "run").exists()
    return said


def test_a_side_that_does_not_exist_is_refused(tmp_path, photos, capsys):
    assert 'side="generator"' in EXAMPLE
    said = attempt(tmp_path, photos, EXAMPLE.replace('side="generator"', 'side="gen"'), capsys)
    assert "'gen'" in said and "mine.py" in said


def test_what_a_part_raises_is_named_with_file_and_line(tmp_path, photos, capsys):
    lines = EXAMPLE.splitlines()
    place = next(number for number, line in enumerate(lines) if "def stages" in line)
    body = place + 1
    while not lines[body].strip() or lines[body].strip().startswith('"""'):
        body += 1
    lines.insert(body, "        return self.settings.no_such_setting")
    said = attempt(tmp_path, photos, "\n".join(lines), capsys)
    assert f"mine.py, line {body + 1}: AttributeError" in said


LOSSES = 'return Ledger({"gan": self.settings.adversarial.discriminator(real, fake)})'
FORWARD = 'return {"fake": nets.generator(batch["blurred"]).float()}, carry'
MISTAKES = {
    "PRESETS = {}": ('PRESETS = {"preview": Settings(batch_size=8)}', "PRESETS = {}"),
    "is a dict": ('PRESETS = {"preview": Settings(batch_size=8)}', 'PRESETS = {"preview": {"batch_size": 8}}'),
    "`source` cannot be used. It returns nothing": ("return Pictures(path, crop_px=self.settings.crop_px)", "pass"),
    "`source` cannot be used. It returns a str": (
        "return Pictures(path, crop_px=self.settings.crop_px)",
        "return path",
    ),
    "`stages` cannot be used. It returns a Stage": ("return [Stage(", "return Stage(*[], **dict("),
    "has no schedule 'cos'": ('schedule="cosine"', 'schedule="cos"'),
    "rate=-0.0002": ("Optimizer(rate=2e-4)", "Optimizer(rate=-2e-4)"),
    "rate=nan": ("Optimizer(rate=2e-4)", 'Optimizer(rate=float("nan"))'),
    "has 10.5 steps": ("steps=self.settings.steps,", "steps=10.5,"),
    "trains 'generator', a text": ('trains=("generator",)', 'trains="generator"'),
    "unknown network 'generators'": ('trains=("generator",)', 'trains=("generators",)'),
    "says no rate": ('{"generator": Optimizer(rate=1e-3, schedule="cosine"), ', "{"),
    "`card` cannot be used. It returns nothing": ("return Card(network", "_ = Card(network"),
    "compact has no setting 'conv'": ('"convs": 4', '"conv": 4'),
    "lacks sample": ("def sample(", "def sampel("),
    "`forward` cannot be used. It returns a dict": (FORWARD, FORWARD.removesuffix(", carry")),
    "`discriminator_losses` cannot be used. It returns a dict": (LOSSES, LOSSES.replace("Ledger(", "dict(")),
    "`discriminator_losses` cannot be used. It returns nothing": (LOSSES, "pass"),
    "The loss 'gan' is a float": (LOSSES, 'return Ledger({"gan": 0.5})'),
    "no loss depends on what it trains: discriminator": (LOSSES, LOSSES.replace("fake)}", "fake).detach()}")),
}
"""What is said of a mistake -> the part of the example, and what stands in its place."""


@pytest.mark.parametrize("said", MISTAKES)
def test_a_part_that_gives_something_else_is_named_by_file_and_line(said, tmp_path, photos, capsys):
    right, wrong = MISTAKES[said]
    text = EXAMPLE.replace(right, wrong)
    if "**dict(" in wrong:
        text = text.replace("optimizers=rates)]", "optimizers=rates))")
    assert text != EXAMPLE
    told = attempt(tmp_path, photos, text, capsys)
    assert said.replace("PRESETS = {}", "Its PRESETS are {}") in told
    if "cannot be used" in told:
        assert "mine.py, line " in told


@pytest.mark.parametrize("wrong", ['{"psnr": "high"}', "30.0", "None"])
def test_scores_that_are_no_numbers_are_named_by_file_and_line(wrong, tmp_path, photos, capsys):
    right = 'return {"psnr": float(torch.stack(scores).mean())}'
    assert right in EXAMPLE
    images.write(photos / "b.png", np.zeros((64, 64, 3), np.uint8))
    recipe = tmp_path / "mine.py"
    recipe.write_text(EXAMPLE.replace(right, f"return {wrong}"))
    arguments = ["train", str(recipe), "--data", str(photos), "--out", str(tmp_path / "run"), "--val", "0.5", "-q"]
    options = ["--steps", "1", "--crop-px", "32", "--batch-size", "2"]
    assert cli.main([*arguments, *options]) == cli.USER_ERROR
    assert "`score` cannot be used" in (said := capsys.readouterr().err) and "mine.py, line " in said
    assert not (tmp_path / "run").exists()


def test_a_score_that_raises_is_named_by_file_and_line_before_training(tmp_path, photos, capsys):
    right = 'return {"psnr": float(torch.stack(scores).mean())}'
    images.write(photos / "b.png", np.zeros((64, 64, 3), np.uint8))
    said = attempt(tmp_path, photos, EXAMPLE.replace(right, "return scores.psnr"), capsys, "--val", "0.5")
    line = next(number for number, text in enumerate(EXAMPLE.splitlines(), 1) if right in text)
    assert f"mine.py, line {line}: AttributeError" in said


def test_a_file_that_is_no_python_is_named_with_its_line(tmp_path, photos, capsys):
    assert "mine.py, line 1: " in attempt(tmp_path, photos, "def (:\n" + EXAMPLE, capsys)
    assert "mine.py: source code string cannot contain null bytes" in attempt(tmp_path, photos, "\0", capsys)


@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "\x1b]0;title\x07", "a\rb", "\u202e", "\x9b31m"])
def test_no_text_of_a_card_steers_the_terminal(text, tmp_path, capsys):
    assert harmless(text).isprintable() and harmless("plain ü\n") == "plain ü\n"
    card = Card(network="compact", settings={"width": 4, "convs": 1, "scale": 2}, scale=2, licence=f"x{text}y")
    path = weights.save(tmp_path / "net.safetensors", build(card).state_dict(), card)
    assert cli.main(["inspect", str(path)]) == cli.DONE
    assert text not in capsys.readouterr().out
