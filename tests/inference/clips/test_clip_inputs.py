"""Generators of clips with pictures beside the label maps, films of maps, files that tell nothing of their planes."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_clips import LEGEND, draw_clip

from ganvas.cli import main
from ganvas.data.clips import Clips, condition_of
from ganvas.errors import UserError
from ganvas.inference.clips.assumptions import assume
from ganvas.inference.clips.sampler import ClipOptions, ClipSampler, find_sequences
from ganvas.inference.open import open_model
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.networks.vid2vid.net import Vid2Vid
from ganvas.protocol import Card

DEPTH = np.geomspace(0.5, 60, 16 * 32, dtype=np.float32).reshape(16, 32, 1)


def with_depth(folder, frames: int = 4):
    """Draw a sequence with depth in metres, of which the sky is 10,000 m away."""
    draw_clip(folder, frames=frames)
    (folder / "depth").mkdir()
    for number in range(frames):
        depth = DEPTH + number
        depth[:3] = 10_000
        images.write(folder / "depth" / f"{number:06d}.exr", depth)
    return folder


def test_labels_and_depth_go_in_together(tmp_path):
    folder = with_depth(tmp_path / "one")
    clips = Clips(folder, flow_from="none", inputs="depth")
    assert clips.channels_label == 2 + 1 + 3
    assert clips.input_range is not None and clips.input_range.high < 70 and "become 0 to 1" in clips.report.text
    planes = clips.read(0, [0, 1])
    condition = condition_of({name: planes[name] for name in ("label_map", "instance_map", "condition")}, 2, True)
    assert condition.shape == (2, 6, 16, 32)
    # Depth is last, in [-1, 1], by its logarithm; the sky is as far as anything.
    low, high = clips.input_range.low, clips.input_range.high
    wanted = np.log(np.clip(DEPTH[5:, :, 0], low, high) / low) / np.log(high / low) * 2 - 1
    assert np.abs(condition[0, 3:, 5:].numpy() - wanted).max() < 1e-3 and (condition[0, 3:, :3] == 1).all()
    assert torch.equal(condition[:, :2].argmax(1), planes["label_map"][:, 0])


def test_what_is_not_asked_for_is_left_aside(tmp_path):
    folder = with_depth(tmp_path / "one")
    assert Clips(folder, flow_from="none").channels_label == 3
    shutil.copytree(folder / "frames", folder / "edges")
    assert Clips(folder, flow_from="none").channels_label == 6
    assert Clips(folder, flow_from="none", inputs="none").channels_label == 3
    assert Clips(folder, flow_from="none", inputs="depth").input_range is not None
    with pytest.raises(UserError, match="no conditions"):
        Clips(folder, flow_from="none", inputs="normals")


def test_metric_conditions_without_labels_are_scaled(tmp_path):
    folder = with_depth(tmp_path / "one")
    shutil.rmtree(folder / "labels")
    (folder / "depth").rename(folder / "conditions")
    clips = Clips(folder, flow_from="none")
    picture = clips.read(0, [0])["condition"]
    assert clips.channels_label == 3 and 0 <= float(picture.min()) < float(picture.max()) == 1


def train(folder, run, *options):
    tiny = (
        "--preset preview --flow-from none --width 8 --downs 2 --blocks 1 --discriminator-width 4 "
        "--discriminator-scales 1 --picture-rounds 1 --first-length 2 --longest 2 --lengths 1 --frames-a-step 1 "
        "--rounds 1 --perceptual none --threads 1 --device cpu"
    )
    return main(["train", "vid2vid", "--data", str(folder), "--out", str(run), *tiny.split(), *options])


def test_a_run_on_labels_and_depth_generates_from_both(tmp_path, capsys):
    folder, run = with_depth(tmp_path / "one"), tmp_path / "run"
    assert train(folder, run, "--inputs", "depth") == 0
    card = open_model(run).card
    assert card.channels_in == 6 and card.extra["inputs"] == "depth" and card.extra["input_range"]["scale"] == "log"
    sampler = ClipSampler(run, find_sequences(open_model(run), folder)[0], ClipOptions(device="cpu"))
    trained = Clips(folder, flow_from="none", inputs="depth").read(0, [1])
    shown = {name: trained[name] for name in ("label_map", "instance_map", "condition")}
    assert torch.allclose(sampler._condition(1), condition_of(shown, 2, True), atol=1e-5)
    shutil.rmtree(folder / "depth")
    assert main(["generate", str(run), "--labels", str(folder), "--out", str(tmp_path / "o")]) != 0
    assert "depth" in capsys.readouterr().err


@pytest.fixture
def silent(tmp_path):
    """Save a generator of three planes whose card tells nothing of them, as published files do."""
    settings = {"channels_label": 3, "width": 4, "downs": 1, "blocks": 1, "norm": "instance"}
    path = tmp_path / "net.safetensors"
    extra = {"first_frame": "optional", "replaces": []}
    card = Card(network="vid2vid", settings=settings, input="clip", extra=extra)
    weights.save(path, Vid2Vid(**settings).state_dict(), card)
    return path


def test_what_a_file_does_not_tell_is_assumed_and_can_be_told(silent, tmp_path, capsys):
    folder = draw_clip(tmp_path / "one", frames=3, roles=("labels", "instances"))
    assert main(["generate", str(silent), "--labels", str(folder), "--out", str(tmp_path / "a")]) == 0
    assert "assumed are 2 labels, boundaries" in capsys.readouterr().out
    told = ["--num-labels", "3", "--no-boundaries"]
    assert main(["generate", str(silent), "--labels", str(folder), "--out", str(tmp_path / "b"), *told]) == 0
    assert "assumed are 3 labels, no boundaries" in capsys.readouterr().out
    pictures = [images.read(tmp_path / name / "000001.png")[0] for name in "ab"]
    assert not np.array_equal(*pictures)
    assert (
        main(["generate", str(silent), "--labels", str(folder), "--out", str(tmp_path / "c"), "--num-labels", "9"]) != 0
    )
    assert "3 planes a frame" in capsys.readouterr().err


def test_what_a_card_tells_is_not_contradicted():
    card = Card(network="vid2vid", settings={}, input="clip", extra={"num_labels": 2, "edges": True})
    assert assume(card, 3, 2) == {"num_labels": 2, "edges": True}
    for wrong in ((3, False), (0, True)):
        with pytest.raises(UserError, match="tells itself"):
            assume(card, 3, *wrong)


def test_a_film_of_maps_takes_the_legend_of_the_model(silent, tmp_path, capsys):
    from test_label_films import film

    folder = draw_clip(tmp_path / "one", frames=3, height=64, width=96, roles=("labels",))
    card = open_model(silent).card
    extra = {**card.extra, "num_labels": 3, "edges": False, "legend": LEGEND["labels"]}
    state = open_model(silent).network().state_dict()
    weights.save(silent, state, replace(card, extra=extra), overwrite=True)
    table = np.array([entry["color"] for entry in LEGEND["labels"]], np.uint8)
    maps = [table[images.read(path)[0][..., 0]] for path in sorted((folder / "labels").iterdir())]
    clip = film(tmp_path / "clip.mp4", maps, crf=18)
    assert main(["generate", str(silent), "--labels", str(clip), "--out", str(tmp_path / "a")]) == 0
    assert "h264 changes values" in capsys.readouterr().out
    lossless = film(tmp_path / "exact.mkv", maps, "ffv1", "bgr0")
    assert main(["generate", str(silent), "--labels", str(lossless), "--out", str(tmp_path / "b")]) == 0
    assert "changes values" not in capsys.readouterr().out
    assert main(["generate", str(silent), "--labels", str(folder), "--out", str(tmp_path / "c")]) == 0
    wanted, exact, near = ([images.read(path)[0] for path in sorted((tmp_path / name).glob("*.png"))] for name in "cba")
    assert all(np.array_equal(one, other) for one, other in zip(wanted, exact))
    assert np.mean([np.abs(one.astype(int) - other).mean() for one, other in zip(wanted, near)]) < 6
