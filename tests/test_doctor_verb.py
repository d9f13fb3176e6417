"""`ganvas doctor` says what is here and measures every bundled model; a broken one keeps none of the others back."""

import json
import shutil

import pytest
import torch

from ganvas import cli
from ganvas.inference import export, fastest, pace
from ganvas.inference import open as door
from ganvas.inference.open import BUNDLED, Opened
from ganvas.networks import build
from ganvas.protocol import Card


def test_the_machine_is_told_at_once_and_as_json(capsys):
    assert cli.main(["doctor", "--quick", "--json"]) == cli.DONE
    told = json.loads(capsys.readouterr().out)
    assert told["engines"] == fastest.installed() and told["threads"] == torch.get_num_threads()
    assert told["free_memory_gb"] > 0 and set(told["precisions"]) == {"float32", "bfloat16", "float16"}
    assert told["models"] == []
    assert not set(told["engines_missing"]) & set(told["engines"])


def test_an_engine_that_is_missing_is_told_with_what_installs_it(capsys, monkeypatch):
    monkeypatch.setattr(fastest, "installed", lambda: {"torch": "2"})
    assert cli.main(["doctor", "--quick"]) == cli.DONE
    assert "pip install 'ganvas[openvino]'" in capsys.readouterr().out


def test_models_are_measured_and_a_broken_file_is_a_row_of_its_own(tmp_path, monkeypatch, capsys):
    for name in ("compact-x2", "street-clip"):
        shutil.copy(BUNDLED / f"{name}.safetensors", tmp_path)
    (tmp_path / "broken.safetensors").write_bytes(b"none")
    monkeypatch.setattr(door, "BUNDLED", tmp_path)
    assert cli.main(["doctor", "--json"]) == cli.DONE
    rows = {row["model"]: row for row in json.loads(capsys.readouterr().out)["models"]}
    assert set(rows) == {"broken", "compact-x2", "street-clip"}
    assert rows["compact-x2"]["seconds_per_megapixel"] > 0
    assert rows["broken"]["seconds_per_megapixel"] is None and rows["broken"]["how"]
    assert "not measured" in rows["street-clip"]["how"]


@pytest.mark.parametrize(
    ("card", "megapixels"),
    [
        (Card(network="compact", settings={"width": 4, "convs": 1, "scale": 2}, scale=2), (192 * 192) / 1e6),
        (
            Card(
                network="biggan_generator", input="seeds", range=(-1.0, 1.0), channels_in=20,
                settings={"size_px": 32, "width": 4, "num_classes": 3, "latent": 20, "attention_px": 0},
            ),
            (32 * 32) / 1e6,
        ),
    ],
)  # fmt: skip
def test_seconds_are_for_a_megapixel_of_what_is_made(card, megapixels, monkeypatch):
    monkeypatch.setattr(pace, "_once", lambda call, probe: (0.5, call(probe)))
    opened = Opened(card, "tiny", module=build(card).eval())
    assert opened.takes in export.KINDS
    assert pace.pace_of(opened).seconds_per_megapixel == pytest.approx(0.5 / megapixels)
