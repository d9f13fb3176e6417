"""The doctor of label maps where they are read: `inspect`, `train` and `generate` say the same of them."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_clips import draw_clip
from PIL import Image

from ganvas import cli
from ganvas.data.clips import Clips
from ganvas.data.doctor import Examination, Finding
from ganvas.inference.result import Progress, Said
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.networks.pix2pixhd.card import generator_card
from ganvas.networks.vid2vid.net import Vid2Vid
from ganvas.protocol import Card

LOSSY, SMOOTHED, MIXED = "stored with loss", "the maps were smoothed", "8-bit instance maps cannot hold their ids"


def maps(folder, ill):
    """Write label and instance maps of four scenes, ill or whole."""
    for name in ("labels", "instances", "frames"):
        (folder / name).mkdir(parents=True)
    for number in range(4):
        y, x = np.mgrid[:256, :512]
        disc = Image.fromarray(np.where((y - 128) ** 2 + (x - 200 - 20 * number) ** 2 < 90**2, 60, 0).astype(np.uint8))
        kind = Image.Resampling.BOX if ill == SMOOTHED else Image.Resampling.NEAREST
        labels = np.array(disc.resize((64, 32), kind))
        instances = labels.astype(np.uint16) * 1000
        if ill == MIXED:
            instances = np.where(np.arange(64) < 32, 7, 9).astype(np.uint8)[None].repeat(32, 0)
        images.write(folder / "instances" / f"{number}.png", instances)
        images.write(folder / "frames" / f"{number}.png", np.full((32, 64, 3), 90, np.uint8))
        if ill == LOSSY:
            Image.fromarray(labels).save(folder / "labels" / f"{number}.jpg")
        else:
            images.write(folder / "labels" / f"{number}.png", labels)
    return folder


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    card = generator_card(61, True, 0, 0, width=4, downs=1, blocks=0, enhancers=0, local_blocks=0, upsampling="resize")
    return weights.save(tmp_path_factory.mktemp("net") / "painter.safetensors", build(card).state_dict(), card)


@pytest.mark.parametrize("ill", [LOSSY, SMOOTHED, MIXED])
def test_label_maps_that_are_ill_are_told_by_inspect_train_and_generate(ill, painter, tmp_path, capsys):
    data = maps(tmp_path / "data", ill)
    assert cli.main(["inspect", str(data)]) == cli.USER_ERROR and ill in capsys.readouterr().out
    train = ["train", "pix2pixhd", "--data", str(data), "--preset", "preview", "--size", "64x32"]
    assert cli.main([*train, "--out", str(tmp_path / "run")]) == cli.USER_ERROR and not (tmp_path / "run").exists()
    assert ill in capsys.readouterr().err
    code = cli.main(["generate", str(painter), "--labels", str(data), "--out", str(tmp_path / "out"), "--quiet"])
    assert ill in capsys.readouterr().err
    if ill != LOSSY:  # whose ids are beyond the model's, which each map's own line says
        assert code == cli.DONE and len(list((tmp_path / "out").glob("*.png"))) == 4


def test_whole_maps_are_generated_from_without_a_word(painter, tmp_path, capsys):
    data = maps(tmp_path / "data", "")
    arguments = ["generate", str(painter), "--labels", str(data), "--out", str(tmp_path / "out"), "--quiet"]
    assert cli.main(arguments) == cli.DONE and capsys.readouterr().err == ""


def test_sequences_are_examined_before_training_and_generating(tmp_path, capsys):
    clip = draw_clip(tmp_path / "clip", frames=4)
    assert Clips(clip, flow_from="none").examine().findings == []
    for path in sorted((clip / "instances").glob("*.png")):
        images.write(path, np.where(np.arange(32) < 16, 7, 9).astype(np.uint8)[None].repeat(16, 0), overwrite=True)
    (finding,) = Clips(clip, flow_from="none").examine().findings
    assert finding.kind == "error" and MIXED in finding.what
    settings = {"channels_label": 3, "width": 4, "downs": 1, "blocks": 2, "norm": "instance", "with_flow": True}
    known = {"num_labels": 2, "edges": True, "first_frame": "optional", "replaces": []}
    card = Card(network="vid2vid", settings=settings, input="clip", extra=known)
    net = weights.save(tmp_path / "net.safetensors", Vid2Vid(**settings).state_dict(), card)
    arguments = ["generate", str(net), "--labels", str(clip), "--out", str(tmp_path / "out"), "--quiet"]
    assert cli.main(arguments) == cli.DONE
    assert MIXED in capsys.readouterr().err and len(list((tmp_path / "out").glob("*.png"))) == 4


def test_notes_are_no_warnings():
    said = []
    found = Examination(
        findings=[Finding("note", "Fine"), Finding("warning", "Odd", "Mend it"), Finding("error", "Bad")]
    )
    Progress(said.append).warn_of(found)
    assert said == [Said("Odd. Mend it", is_warning=True), Said("Bad.", is_warning=True)]
