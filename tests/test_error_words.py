"""Errors name options as they are written, and say what a model takes."""

from __future__ import annotations

import dataclasses

import pytest

from ganvas import cli
from ganvas.cli.arguments import options_of
from ganvas.cli.wording import as_written
from ganvas.recipes import base


@pytest.mark.parametrize("recipe", base.RECIPES)
def test_no_setting_is_named_as_runs_store_it(recipe):
    kind = base.find(recipe).Settings
    options = options_of(kind, f"train {recipe}", kind())
    known = {name for option in options for name in option.names}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(getattr(kind(), field.name)):
            continue
        said = as_written(f"Setting '{field.name}' is 3. It must be above 4.", options)
        assert field.name not in said.split() and "Setting" not in said
        assert any(name in said for name in known), said
        assert as_written(f"{field.name} is 3", options) == said.partition(".")[0]


@pytest.mark.parametrize("text", ["/data/crop_px/a.png is broken.", "crop_px.png is broken.", "The data is few.",
                                  "pixel_steps_2 is no setting."])  # fmt: skip
def test_names_of_files_stay(text):
    kind = base.find("esrgan").Settings
    assert as_written(text, options_of(kind, "train esrgan", kind())) == text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("esrgan --pixel-steps 0 --steps 0", "--pixel-steps is 0 and --steps 0"),
        ("superres_unet --pixel-steps 0 --steps 0", "--pixel-steps and --steps are 0"),
        ("tiled_upres --size 100", "--size is 100"),
        ("esrgan --crop-size -4", "--crop-size is -4"),
        ("pix2pixhd --width-px 512", "Write --size WxH"),
        ("pix2pixhd --size 0x8", "the width of --size is 0"),
    ],
)
def test_mistakes_of_a_training_are_told_in_its_own_words(words, said, tmp_path, capsys):
    (tmp_path / "data").mkdir()
    out = ["--out", str(tmp_path / "run"), "--preset", "preview", "--device", "cpu"]
    assert cli.main(["train", *words.split(), "--data", str(tmp_path / "data"), *out]) in (cli.USAGE, cli.USER_ERROR)
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_folder_of_data_that_is_missing_is_the_first_and_only_thing_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "esrgan", "--data", "photos", "--preset", "preview"]) == cli.USER_ERROR
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("ganvas: There is no folder photos.") and "--data" in told.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("street-painter --seeds 0-3", "street-painter takes label maps. --seeds is for models that take noise."),
        ("street-painter --through 0,4", "street-painter takes label maps. --through is for models that take cameras."),
        ("fashion --labels maps", "fashion takes noise. --labels is for models that take label maps."),
        ("panorama --labels maps", "panorama takes cameras. --labels is for models that take label maps."),
        ("street-clip --truncation=1", "street-clip takes a clip of label maps. --truncation is for models that take"),
    ],
)
def test_an_option_of_another_kind_of_model_is_answered_by_what_the_model_takes(words, said, tmp_path, capsys):
    assert cli.main(["generate", *words.split(), "--out", str(tmp_path / "out")]) == cli.USAGE
    told = capsys.readouterr().err
    assert said in told and f"ganvas generate {words.split()[0]} --" in told
