"""The command line as a stranger meets it: help, exit codes, errors, and the verbs end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ganvas import cli
from ganvas.io.pictures import images
from ganvas.io.pictures.captioned import LINE_PX
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.networks.rrdb.card import enlarger_card

TINY = enlarger_card("compact", width=4, convs=1, scale=2, base="bicubic")


@pytest.fixture
def model(tmp_path) -> Path:
    torch.manual_seed(0)
    return weights.save(tmp_path / "tiny.safetensors", build(TINY).state_dict(), TINY)


@pytest.fixture
def photo(tmp_path) -> Path:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    return images.write(tmp_path / "photo.png", picture)


def test_help_and_lists_import_no_torch():
    script = (
        "import sys; from ganvas.cli import main\n"
        "codes = [main(['--help']), main(['recipes']), main(['upscale', '--help']), main(['blend', '--help'])]\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "assert codes == [0, 0, 0, 0], codes\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "esrgan" in done.stdout


def test_an_unknown_verb_is_a_usage_error_with_advice(capsys):
    assert cli.main(["upscal"]) == cli.USAGE
    assert "Did you mean upscale?" in capsys.readouterr().err


def test_an_unknown_option_is_a_usage_error(capsys):
    assert cli.main(["evaluate", "--no-such-option"]) == cli.USAGE


def check_one_line(arguments, said, code, capsys):
    assert cli.main(arguments) == code
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("ganvas: ") and error.count("\n") == 1
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "esrgan", "--data", "no-such-folder"], "no-such-folder"),
        (["train", "--resume", "no-such-run"], "is no run"),
        (["upscale", "no-such-file.png", "--out", "x.png", "--model", "no-such-model"], "No model is called"),
        (["inspect", "no-such-file.pth"], "no-such-file.pth"),
    ],
)
def test_mistakes_are_one_line_and_exit_1(arguments, said, capsys):
    check_one_line(arguments, said, cli.USER_ERROR, capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "ganvas recipes"),
        (["train", "--data", "x"], "ganvas recipes"),
        (["train", "esrgn", "--data", "x"], "Did you mean esrgan?"),
        (["train", "esrgan", "--preset", "papr", "--data", "x"], "Did you mean paper?"),
        (["train", "esrgan"], "--data"),
        (["train", "esrgan", "--data", "x", "--pixel-stps", "3"], "Did you mean --pixel-steps"),
        (["train", "esrgan", "--data", "x", "--scale", "3"], "Known: 1, 2, 4, 8"),
        (["train", "esrgan", "--data", "x", "--batch-size", "many"], "a whole number"),
        (["train", "esrgan", "--data", "x", "--crop-size", "96x64"], "square"),
        (["train", "esrgan", "--data", "x", "--batch-size", "0"], "--batch-size is 0"),
        (["train", "pix2pixhd", "--data", "x", "--size", "96"], "512x256"),
        (["train", "esrgan", "--data", "x", "--minutes", "0"], "above 0"),
        (["train", "esrgan", "--data", "x", "--batch-size"], "needs a value"),
        (["train", "esrgan", "relativistic", "--data", "x"], "relativistic"),
        (["upscale"], "nothing to upscale"),
        (["upscale", "a.png", "--factr", "2"], "Did you mean --factor"),
        (["upscale", "a.png", "--size", "big"], "3840x2160"),
        (["upscale", "a.png", "--mix", "0.3"], "without --blend"),
        (["blend", "photo-x4"], "SECOND"),
        (["world"], "--out"),
        (["world", "--out", "x", "--frames", "0"], "1 or more"),
        (["world", "--out", "x", "y"], "y"),
        (["faces", "--out"], "needs a value"),
        (["inspect"], "PATH"),
        (["generate", "--out", "x"], "Which model"),
        (["generate", "photo-x4", "--out", "x"], "ganvas upscale"),
        (["generate", "street-painter", "--seeds", "0-3", "--labels", "x", "--out", "y"], "--seed"),
        (["generate", "fashion", "--labels", "x", "--out", "y"], "fashion takes noise"),
        (["evaluate", "fashion", "--fake", "x"], "at once"),
        (["demo", "esrgn"], "Did you mean esrgan?"),
        (["help", "upscael"], "Did you mean upscale"),
    ],
)
def test_words_that_cannot_be_understood_are_one_line_and_exit_2(arguments, said, capsys):
    check_one_line(arguments, said, cli.USAGE, capsys)


def test_upscale_does_the_good_inputs_and_names_the_bad(tmp_path, model, photo, capsys):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n then nothing")
    (tmp_path / "empty.jpg").write_bytes(b"")
    out = tmp_path / "out"
    inputs = [str(tmp_path / name) for name in ("broken.png", "empty.jpg", "photo.png", "missing.png")]
    assert cli.main(["upscale", *inputs, "--out", str(out), "--model", str(model), "--json"]) == cli.USER_ERROR
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {Path(row["input"]).name for row in rows if row["error"]} == {"broken.png", "empty.jpg", "missing.png"}
    assert [path.name for path in out.iterdir()] == ["photo.png"]
    big, header = images.read(out / "photo.png")
    assert big.shape == (40, 60, 3) and header.dtype == "uint8"


def test_upscale_overwrites_nothing_silently(tmp_path, model, photo):
    arguments = ["upscale", str(photo), "--out", str(tmp_path / "big.png"), "--model", str(model), "--quiet"]
    assert cli.main(arguments) == cli.DONE
    before = (tmp_path / "big.png").read_bytes()
    assert cli.main(arguments) == cli.USER_ERROR
    assert (tmp_path / "big.png").read_bytes() == before
    assert cli.main([*arguments, "--overwrite"]) == cli.DONE


def test_a_preview_shows_every_model_beside_bicubic(tmp_path, model, photo):
    out = tmp_path / "preview.png"
    arguments = ["upscale", str(photo), "--out", str(out), "--model", str(model), str(model), "--crop", "2,2,10,8"]
    assert cli.main(arguments) == cli.DONE
    picture, _ = images.read(out)
    assert picture.shape[0] == 16 + LINE_PX and picture.shape[1] >= 3 * 20


def test_weight_files_go_round(tmp_path, model, capsys):
    other = build(TINY)
    second = weights.save(tmp_path / "second.safetensors", other.state_dict(), TINY)
    mixed = tmp_path / "mixed.safetensors"
    assert cli.main(["blend", str(model), str(second), "--alpha", "0.25", "--out", str(mixed)]) == cli.DONE
    first = weights.read(model).tensors["body.0.weight"].double()
    wanted = 0.75 * first + 0.25 * other.state_dict()["body.0.weight"].double()
    torch.testing.assert_close(weights.read(mixed).tensors["body.0.weight"].double(), wanted, atol=1e-7, rtol=0)
    capsys.readouterr()
    assert cli.main(["inspect", str(mixed), "--json"]) == cli.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["network"] == "compact" and found["scale"] == 2


def test_evaluate_prints_a_table_and_json(tmp_path, photo, capsys):
    picture, _ = images.read(photo)
    worse = images.write(tmp_path / "worse.png", (picture.astype(int) + 10).clip(0, 255).astype(np.uint8))
    assert cli.main(["evaluate", "--pairs", str(worse), str(photo), "--crop-px", "2"]) == cli.DONE
    assert "psnr_y" in capsys.readouterr().out
    assert cli.main(["evaluate", "--pairs", str(photo), str(photo), "--json"]) == cli.DONE
    assert json.loads(capsys.readouterr().out)["means"]["ssim_y"] == pytest.approx(1)


def test_folders_that_do_not_pair_are_named(tmp_path, photo, capsys):
    for folder, name in (("a", "one.png"), ("b", "two.png")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(photo.read_bytes())
    assert cli.main(["evaluate", "--pairs", str(tmp_path / "a"), str(tmp_path / "b")]) == cli.USER_ERROR
    assert "one" in capsys.readouterr().err


def test_inspecting_a_folder_counts_kinds_and_problems(tmp_path, photo, capsys):
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    assert cli.main(["inspect", str(tmp_path), "--json"]) == cli.DONE
    found = json.loads(capsys.readouterr().out)
    assert found["pictures"] == 1 and found["kinds"] == {"png 3 x uint8": 1}
    assert any("broken.png" in name for name in found["problems"])


def test_inspecting_classes_counts_them_and_draws_a_mosaic(tmp_path, capsys):
    assert cli.main(["shapes", str(tmp_path / "shapes"), "--size", "16", "--per-class", "2"]) == cli.DONE
    capsys.readouterr()
    sheet = tmp_path / "sheet.png"
    assert cli.main(["inspect", str(tmp_path / "shapes"), "--mosaic", str(sheet), "--json"]) == cli.DONE
    counts = json.loads(capsys.readouterr().out)["classes"]
    assert len(counts) == 12 and set(counts.values()) == {2}
    assert images.read_header(sheet).height == 12 * 18 - 2


def test_inspecting_cameras_names_what_is_wrong_and_draws_a_plan(tmp_path, capsys):
    world = tmp_path / "world"
    assert cli.main(["world", str(world), "--frames", "2", "--size", "16x16", "--path", "survey"]) == cli.DONE
    (world / "frames" / "000001.png").unlink()
    capsys.readouterr()
    plan = tmp_path / "plan.svg"
    assert cli.main(["inspect", str(world), "--plan", str(plan)]) == cli.USER_ERROR
    assert "have no picture: 000001" in capsys.readouterr().out.replace("frames/", "")
    assert plan.read_text().startswith("<svg")


def test_a_video_keeps_its_stamps_and_frames(tmp_path, model):
    pytest.importorskip("av")
    from fractions import Fraction

    from ganvas.io.video.headers import new_header
    from ganvas.io.video.reader import VideoReader
    from ganvas.io.video.writer import VideoWriter

    clip, big = tmp_path / "clip.mp4", tmp_path / "big.mp4"
    with VideoWriter(clip, new_header(32, 24, Fraction(24000, 1001)), 32, 24) as writer:
        for number in range(4):
            writer.write(np.full((24, 32, 3), 40 * number, np.uint8), number * 1001)
    assert cli.main(["upscale", str(clip), "--out", str(big), "--model", str(model), "--quiet"]) == cli.DONE
    with VideoReader(clip) as before, VideoReader(big) as after:
        assert after.header.width == 64 and after.header.height == 48
        assert [frame.pts for frame in after] == [frame.pts for frame in before]


def test_compare_prints_a_row_for_each_variant(tmp_path, capsys):
    recipe = str(Path(__file__).parent / "tiny_recipe.py")
    out = tmp_path / "comparison"
    arguments = ["compare", recipe, "--data", "x", "--out", str(out), "--vary", "rate=0.01,0.001", "--seeds", "2"]
    assert cli.main([*arguments, "--fix", "second_steps=2"]) == cli.DONE
    printed = capsys.readouterr().out
    assert "| rate=0.01 |" in printed and "| rate=0.001 |" in printed
    assert (out / "table.md").read_text().strip() in printed
