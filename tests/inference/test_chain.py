"""Chains that begin with a generator: pictures of seeds, and a walk between them, enlarged in one command."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganvas
from ganvas import cli
from ganvas.drawn.faces import write


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dcgan")
    write(root / "faces", 4, 32)
    settings = {
        "size_px": 32, "width": 2, "latent": 4, "batch_size": 4, "steps": 1, "threads": 1, "precision": "float32",
    }  # fmt: skip
    return ganvas.train("relativistic", root / "faces", root / "run", preset="dcgan", settings=settings, quiet=True)


@pytest.fixture(scope="module")
def upres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("upres")
    write(root / "faces", 2, 128)
    settings = {
        "width": 4, "encoder_width_div": 2, "discriminator_width": 4, "high_px": 128, "low_px": 64, "scale": 2,
        "guide": "edges", "batch_size": 2, "pixel_steps": 0, "steps": 1, "threads": 1, "precision": "float32",
    }  # fmt: skip
    return ganvas.train("tiled_upres", root / "faces", root / "tiles", preset="laptop", settings=settings, quiet=True)


def test_a_generator_two_enlargers_and_seeds_in_one_command(generator: Path, upres: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["generate", str(generator), "--then", str(upres), "--then", "compact-x4", "--seeds", "3,5"]
    assert cli.main([*arguments, "--out", str(out), "--device", "cpu"]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["1-run", "2-tiles", "3-compact-x4"]
    sizes = {name: Image.open(out / name / "000005.png").size for name in ("1-run", "2-tiles", "3-compact-x4")}
    assert sizes == {"1-run": (32, 32), "2-tiles": (64, 64), "3-compact-x4": (256, 256)}
    assert len(list((out / "3-compact-x4").iterdir())) == 2
    # A second run into the same place overwrites nothing.
    assert cli.main([*arguments, "--out", str(out), "--device", "cpu"]) == 1


def test_a_walk_is_enlarged_with_fixed_choices(
    generator: Path, upres: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["generate", str(generator), "--then", str(upres), "--walk", "--seeds", "1,2", "--steps", "3"]
    assert cli.main([*arguments, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    names = [f"{number:06d}.png" for number in range(4)]
    assert sorted(path.name for path in (tmp_path / "out" / "2-tiles").iterdir()) == names
    first = np.asarray(Image.open(tmp_path / "out" / "1-run" / "000000.png"))
    assert cli.main(["generate", str(generator), "--out", str(tmp_path / "one"), "--seeds", "1"]) == 0
    assert np.abs(first.astype(int) - np.asarray(Image.open(tmp_path / "one" / "000001.png"))).max() <= 1
    assert cli.main([*arguments, "--grid", "--out", str(tmp_path / "out2")]) == 2
    assert "means nothing for a walk" in capsys.readouterr().err


def test_a_generator_cannot_stand_behind_then(generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["generate", str(generator), "--then", str(generator), "--out", str(tmp_path / "out")]) == 1
    assert "hands on pictures" in capsys.readouterr().err


def test_a_model_that_takes_pictures_named_first_says_how_it_is_used(
    upres: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["generate", str(upres), "--out", str(tmp_path / "out")]) == 2
    assert f"ganvas upscale PICTURES --model {upres}" in " ".join(capsys.readouterr().err.split())


def test_a_walk_is_written_as_a_video_at_its_exact_rate(generator: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    arguments = ["generate", str(generator), "--then", "compact-x4", "--walk", "--seeds", "1,2", "--steps", "3"]
    out = tmp_path / "walk.mp4"
    assert cli.main([*arguments, "--out", str(out), "--fps", "30000/1001", "--device", "cpu"]) == 0
    with av.open(out) as film:
        stream = film.streams.video[0]
        assert stream.average_rate == Fraction(30000, 1001)
        times = [frame.time for frame in film.decode(stream)]
    assert np.allclose(times, [number * 1001 / 30000 for number in range(4)], atol=1e-6)
    assert len(list((tmp_path / "walk" / "2-compact-x4").iterdir())) == 4


def test_a_video_of_no_clip_and_a_rate_of_nothing_are_refused(
    generator: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["generate", str(generator), "--then", "compact-x4", "--out", str(tmp_path / "walk.mp4")]
    assert cli.main([*arguments, "--seeds", "1,2"]) == 2
    assert "Add --walk" in capsys.readouterr().err
    assert cli.main([*arguments, "--walk", "--fps", "0"]) == 2
    assert not list(tmp_path.iterdir())


def test_upscale_runs_a_net_with_its_own_guide_and_refuses_what_it_cannot_heed(
    upres: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write(tmp_path / "lows", 1, 64)
    low, out = tmp_path / "lows" / "000000.png", tmp_path / "high.png"
    assert cli.main(["upscale", str(low), "--model", str(upres), "--out", str(out), "--device", "cpu"]) == 0
    chained = ["generate", str(low), "--then", str(upres), "--out", str(tmp_path / "chain"), "--device", "cpu"]
    assert cli.main(chained) == 0
    assert out.read_bytes() == (tmp_path / "chain" / "1-tiles" / "000000.png").read_bytes()
    assert cli.main(["upscale", str(low), "--model", str(upres), "--out", str(out), "--ensemble"]) == 2
    assert "--ensemble means nothing" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["--walk", "classes", "--classes", "boot,bag"], ["--walk", "classes", "--classes", "boot,bag"]),
        (["--walk=classes", "--classes=boot,bag"], ["--walk", "classes", "--classes", "boot,bag"]),
        (["--walk", "latents", "--classes", "bag"], ["--walk", "latents", "--classes", "bag"]),
        (["--walk", "--truncation", "0.5"], ["--walk", "latents", "--classes", "0", "--truncation", "0.5"]),
    ],
)
def test_an_enlarged_walk_is_the_walk_of_its_generator(words: list[str], same: list[str], tmp_path: Path) -> None:
    shared = ["generate", "fashion", "--steps", "2", "--seeds", "3,4", "--device", "cpu", "--quiet"]
    assert cli.main([*shared, *words, "--then", "compact-x2", "--out", str(tmp_path / "chain")]) == 0
    assert cli.main([*shared, *same, "--out", str(tmp_path / "walk")]) == 0
    walked = sorted((tmp_path / "walk").iterdir())
    assert len(walked) == 3
    for path in walked:
        assert np.array_equal(Image.open(path), Image.open(tmp_path / "chain" / "1-fashion" / path.name))
        assert Image.open(tmp_path / "chain" / "2-compact-x2" / path.name).size == (64, 64)
