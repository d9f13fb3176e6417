"""Others' checkpoints from label maps, whose files do not tell what their channels are: what is assumed is said."""

import numpy as np
import pytest
import torch
from PIL import Image

import ganvas
from ganvas import cli
from ganvas.errors import UserError
from ganvas.inference.labels.painter import Known, LabelPainter
from ganvas.io.weights import files as weights
from ganvas.networks import build
from ganvas.networks.pix2pixhd.card import encoder_card, generator_card

LABELS = np.zeros((32, 64), np.uint8)
LABELS[:, 20:40], LABELS[:, 40:] = 7, 26


def write_generator(path, channels_in):
    torch.manual_seed(0)
    state = build(generator_card(channels_in - 1, width=4, downs=2, blocks=1)).state_dict()
    torch.save({key: torch.randn(value.shape) * 0.2 for key, value in state.items()}, path)
    return path


def write_maps(folder, labels=LABELS, instances=None):
    for name, plane in (("test_label", labels), ("test_inst", instances)):
        if plane is not None:
            (folder / name).mkdir(parents=True)
            Image.fromarray(plane).save(folder / name / "a.png")
    return folder


def planes(labels, count):
    return torch.nn.functional.one_hot(torch.from_numpy(labels).long(), count).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize(
    ("channels", "options", "assumed"),
    [(35, [], (35, False)), (36, [], (35, True)), (20, ["--num-labels", "20", "--no-boundaries"], (20, False)),
     (35, ["--num-labels", "34"], (34, True)), (28, ["--no-boundaries"], (28, False))],
)  # fmt: skip
def test_a_checkpoint_is_what_it_is_said_to_be(tmp_path, channels, options, assumed, capsys):
    num_labels, edges = assumed
    labels = np.minimum(LABELS, num_labels - 1).astype(np.uint8)
    model, data = write_generator(tmp_path / "latest_net_G.pth", channels), write_maps(tmp_path / "data", labels)
    arguments = ["generate", str(model), "--labels", str(data), "--precision", "float32", *options]
    assert cli.main([*arguments, "--out", str(tmp_path / "out.png")]) == 0
    told = capsys.readouterr().out
    assert ("assumed" in told) is not bool(options) and ("no instance map was found" in told) is edges
    condition = planes(labels, num_labels)
    if edges:
        across = np.pad(labels[:, 1:] != labels[:, :-1], ((0, 0), (0, 1)))
        marks = across | np.pad(across[:, :-1], ((0, 0), (1, 0)))
        condition = torch.cat([condition, torch.from_numpy(marks)[None, None].float()], 1)
    with torch.no_grad():
        wanted = (ganvas.load(model)(condition)[0].permute(1, 2, 0).numpy() + 1) * 127.5
    assert np.abs(wanted - np.array(Image.open(tmp_path / "out.png"))).max() < 1.01
    # What is known stays with the file once it is converted.
    ours = tmp_path / "ours.safetensors"
    assert cli.main(["convert", str(model), str(ours), *options]) == 0
    card = weights.read_card(ours)
    assert (card.extra["num_labels"], card.extra["boundaries"]) == assumed and ("assumed" in card.extra) is not options
    assert ("assumed" in card.extra) is not bool(options)


def test_what_does_not_add_up_is_refused(tmp_path):
    model = write_generator(tmp_path / "G.pth", 36)
    for known in (Known(num_labels=30), Known(num_labels=35, no_boundaries=True), Known(num_labels=37)):
        with pytest.raises(UserError, match="do not fit this generator"):
            LabelPainter(model, known=known)


def test_an_id_too_high_is_told_with_what_this_verb_can_do(tmp_path, capsys):
    model = write_generator(tmp_path / "G.pth", 36)
    data = write_maps(tmp_path / "high", np.where(LABELS == 26, 40, LABELS).astype(np.uint8))
    arguments = ["generate", str(model), "--labels", str(data)]
    assert cli.main([*arguments, "--out", str(tmp_path / "a")]) == 1
    told = capsys.readouterr().err
    assert "--ignore 40" in told and "label remap" in told and "number of labels" not in told
    assert cli.main([*arguments, "--out", str(tmp_path / "b"), "--ignore", "40"]) == 0
    last = write_maps(tmp_path / "last", np.where(LABELS == 26, 35, LABELS).astype(np.uint8))
    assert cli.main(["generate", str(model), "--labels", str(last), "--out", str(tmp_path / "c")]) == 1
    assert "--num-labels 36 --no-boundaries" in capsys.readouterr().err


def test_instances_of_the_originals_folders_are_used(tmp_path):
    model = write_generator(tmp_path / "G.pth", 36)
    numbers = LABELS.astype(np.uint16)
    numbers[:16, 40:], numbers[16:, 40:] = 26000, 26001
    data = write_maps(tmp_path / "d", instances=numbers)
    for name, given in (("one", data), ("two", data / "test"), ("three", data / "test_label")):
        assert cli.main(["generate", str(model), "--labels", str(given), "--out", str(tmp_path / f"{name}.png")]) == 0
    bare = write_maps(tmp_path / "bare")
    assert cli.main(["generate", str(model), "--labels", str(bare), "--out", str(tmp_path / "four.png")]) == 0
    one, two, three, four = (np.array(Image.open(tmp_path / f"{n}.png")) for n in ("one", "two", "three", "four"))
    assert np.array_equal(one, two) and np.array_equal(one, three) and not np.array_equal(one, four)


def test_several_maps_make_no_single_file(tmp_path, capsys):
    model, data = write_generator(tmp_path / "G.pth", 36), write_maps(tmp_path / "d")
    Image.fromarray(LABELS).save(data / "test_label" / "b.png")
    assert cli.main(["generate", str(model), "--labels", str(data), "--out", str(tmp_path / "o.png")]) == 1
    assert "2 label maps" in capsys.readouterr().err and not (tmp_path / "o.png").exists()


def test_a_generator_and_its_encoder_are_found_together(tmp_path):
    model = write_generator(tmp_path / "latest_net_G.pth", 39)
    with pytest.raises(UserError, match="--encoder"):
        LabelPainter(model)._require_encoder()
    card = encoder_card(features=3, width=4, downs=2)
    torch.save(build(card).state_dict(), tmp_path / "latest_net_E.pth")
    data = write_maps(tmp_path / "d")
    Image.fromarray(np.repeat(LABELS[..., None] * 9, 3, 2)).save(tmp_path / "style.png")
    arguments = ["generate", str(model), "--labels", str(data), "--style-from", str(tmp_path / "style.png")]
    assert cli.main([*arguments, "--out", str(tmp_path / "a.png")]) == 0
    (tmp_path / "latest_net_E.pth").rename(tmp_path / "other.pth")
    assert cli.main([*arguments, "--encoder", str(tmp_path / "other.pth"), "--out", str(tmp_path / "b.png")]) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    torch.save(build(encoder_card(features=2, width=4, downs=2)).state_dict(), tmp_path / "wrong.pth")
    with pytest.raises(UserError, match="not the encoder"):
        LabelPainter(model, known=Known(encoder=str(tmp_path / "wrong.pth")))._require_encoder()
