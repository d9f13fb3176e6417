"""The first words of a command: help, files in place of verbs, readers that go away."""

import subprocess
import sys

import pytest

from ganvas import cli


def test_help_of_a_verb_is_that_of_the_verb(capsys):
    assert cli.main(["help", "upscale"]) == cli.DONE
    assert "--skip-existing" in capsys.readouterr().out
    assert cli.main(["help", "upscael"]) == cli.USAGE
    assert "upscale" in capsys.readouterr().err


def test_what_an_option_turns_off_is_said_to_be_turned_off(capsys):
    assert cli.main(["help", "evaluate"]) == cli.DONE
    assert "--no-cache            Switch off: keep what was seen" in capsys.readouterr().out


@pytest.mark.parametrize("written, taken", [("yes", "True"), ("no", "False"), ("auto", "None"), ("True", "True")])
def test_yes_no_or_neither_is_written_in_words(written, taken, capsys):
    from ganvas.cli.arguments import options_of
    from ganvas.cli.upscale import upscale
    from ganvas.cli.words import read_words, spelled

    options = options_of(upscale, "upscale")
    assert spelled(read_words(["--scene-linear", written], options, "upscale")) == ["--scene-linear", taken]
    assert cli.main(["help", "upscale"]) == cli.DONE
    assert "--scene-linear auto|yes|no" in capsys.readouterr().out
    assert cli.main(["upscale", "a.exr", "--scene-linear", "maybe"]) == cli.USAGE
    assert "auto|yes|no" in capsys.readouterr().err


def test_a_file_in_place_of_a_verb(tmp_path, capsys):
    (tmp_path / "my photo.jpg").touch()
    assert cli.main([str(tmp_path / "my photo.jpg"), "--out", "b.png"]) == cli.USAGE
    assert f"ganvas upscale '{tmp_path}/my photo.jpg' --out b.png" in capsys.readouterr().err
    assert cli.main(["missing.png"]) == cli.USAGE and "ganvas upscale missing.png" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["--help"], ["recipes"], ["upscale", "--help"]])
def test_a_reader_that_goes_away_is_no_error(words):
    script = f"import sys; from ganvas.cli import main; sys.exit(main({words!r}))"
    # The pipe is closed before a word is written, as by `ganvas --help | true`.
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    assert process.wait() in (cli.DONE, cli.USAGE) and told == ""


def test_models_by_name_are_known_to_inspect_and_convert(tmp_path, capsys):
    assert cli.main(["inspect", "compact-x4"]) == cli.DONE
    target = tmp_path / "copy.safetensors"
    assert cli.main(["convert", "compact-x4", str(target), "--layout", "ganvas"]) == cli.DONE and target.exists()
    capsys.readouterr()
    assert cli.main(["inspect", "compact-x44"]) == cli.USER_ERROR
    assert "compact-x4" in capsys.readouterr().err
