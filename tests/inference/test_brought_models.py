"""Which stronger model is named beside a bundled one, and that it is named once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ganvas import cli
from ganvas.inference.brought_models import suggestion
from ganvas.inference.open import known_models
from ganvas.io.pictures import images
from ganvas.io.told import first_time


@pytest.mark.parametrize(
    ("scale", "purpose", "named"),
    [
        (4, "x4, for clean photographs: highest PSNR", "dat-light-x4"),
        (2, "x2, for clean photographs: highest PSNR", "dat-light-x2"),
        (4, "x4, for photographs with noise, blur and JPEG", "realesrgan-x4plus"),
        (4, "x4, for clean photographs: crisp, invents texture", "realsr-df2k"),
        (8, "", ""),
    ],
)
def test_the_strongest_of_the_same_scale_and_purpose_is_named(scale: int, purpose: str, named: str) -> None:
    text = suggestion(scale, purpose)
    assert text.startswith(f"{named} ") if named else not text
    assert not named or (named in {model.name for model in known_models()} and "pip install" in text)


def test_a_subject_comes_up_for_the_first_time_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    assert [first_time("one"), first_time("one"), first_time("two")] == [True, False, True]
    (tmp_path / "file").touch()
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "file"))
    assert not first_time("one")


def test_a_bundled_model_names_a_stronger_one_when_it_is_first_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    source = images.write(tmp_path / "small.png", np.full((12, 16, 3), 90, np.uint8))
    said = []
    for number in range(2):
        assert cli.run("upscale", [str(source), "--out", str(tmp_path / f"{number}.png")]) == 0
        said.append(capsys.readouterr().err.count("dat-light-x4"))
    assert said == [1, 0]
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "another"))
    quiet = ["upscale", str(source), "--out", str(tmp_path / "quiet.png"), "--quiet"]
    assert cli.main(quiet) == 0 and "dat-light" not in capsys.readouterr().err
