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
    assert not list((tmp_path / "run").glob("checkpoints/0*")) if (tmp_path / "run").exists() else True
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


def test_a_file_that_is_no_python_is_named_with_its_line(tmp_path, photos, capsys):
    assert "mine.py, line 1: " in attempt(tmp_path, photos, "def (:\n" + EXAMPLE, capsys)


@pytest.mark.parametrize("text", ["\x1b[2J", "\x07", "\x1b]0;title\x07", "a\rb", "\u202e", "\x9b31m"])
def test_no_text_of_a_card_steers_the_terminal(text, tmp_path, capsys):
    assert harmless(text).isprintable() and harmless("plain ü\n") == "plain ü\n"
    card = Card(network="compact", settings={"width": 4, "convs": 1, "scale": 2}, scale=2, licence=f"x{text}y")
    path = weights.save(tmp_path / "net.safetensors", build(card).state_dict(), card)
    assert cli.main(["inspect", str(path)]) == cli.DONE
    assert text not in capsys.readouterr().out
