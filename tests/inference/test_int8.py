"""Networks in 8 bits: within the promised distance of float32, carried by the weight file, refused where damaged."""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from skimage import data

from ganvas import cli
from ganvas.errors import UserError
from ganvas.inference import calibration, int8
from ganvas.inference.open import open_model
from ganvas.inference.picture.upscale import Upscaler
from ganvas.io.pictures import images

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="needs the extra int8"),
]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    images.write(folder / "astronaut.png", data.astronaut()[100:300, 150:350])
    images.write(folder / "coffee.jpg", data.coffee()[100:260, 100:300])
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    return folder


@pytest.fixture(scope="module")
def converted(photographs, tmp_path_factory):
    target = tmp_path_factory.mktemp("models") / "small.safetensors"
    words = ["convert", "compact-x2", "--out", str(target), "--int8", "--calibrate", str(photographs), "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        # Few tiles and groups: it is the way that is tried here, on machines that are busy.
        patch.setattr(calibration, "TILES", 6)
        patch.setattr(int8, "MOST_GROUPS", 3)
        assert cli.main(words) == cli.DONE
    return target


def psnr(a, b):
    return float(-10 * np.log10(np.square(a.astype(float) / 255 - b.astype(float) / 255).mean()))


def test_a_converted_file_upscales_in_8_bits_near_float32_and_keeps_its_card(converted):
    cat = np.ascontiguousarray(data.chelsea()[60:140, 150:250])
    up = Upscaler(converted)
    assert "openvino on cpu in int8" in str(up.engine_for(np.dtype(np.uint8)))
    exact = Upscaler("compact-x2", precision="float32")(cat)
    assert 38 < psnr(up(cat), exact) < 80  # it was promised on other photographs: 40
    card, before = open_model(converted).card, open_model("compact-x2").card
    told = card.extra["int8"]
    assert told["psnr_db"] >= 40 and 0 < told["layers"][0] <= told["layers"][1]
    assert (card.licence, card.settings, card.scale) == (before.licence, before.settings, before.scale)


def test_the_network_itself_is_in_the_file_and_runs_deep_pictures(converted):
    deep = np.ascontiguousarray(data.chelsea()[60:100, 150:200]).astype(np.uint16) * 257
    up = Upscaler(converted)
    assert up.engine_for(deep.dtype).precision == "float32"
    np.testing.assert_array_equal(up(deep), Upscaler("compact-x2")(deep))
    assert Upscaler(converted, precision="float32").engine_for(np.dtype(np.uint8)).precision == "float32"


def test_interrupted_work_in_8_bits_is_not_resumed_with_the_network_itself(converted):
    known = [Upscaler(model).identity for model in (converted, "compact-x2")]
    assert known[0]["weights"] != known[1]["weights"] and known[0]["engine"] == "openvino int8"
    assert Upscaler(converted).identity == known[0]


def test_most_of_the_arithmetic_is_in_8_bits(converted):
    with safe_open(converted, framework="pt") as file:
        structure = file.get_tensor("attachment/" + int8.GRAPH).numpy().tobytes()
    assert structure.count(b'type="FakeQuantize"') >= 4


def test_of_layers_the_most_harmed_are_left_higher(photographs):
    """A layer whose output is multiplied by a thousand loses most in 8 bits, wherever it stands."""

    class Loud(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.loud, self.last = (torch.nn.Conv2d(3, 3, 1) for _ in range(3))
            with torch.no_grad():
                for conv in (self.first, self.loud, self.last):
                    conv.weight.copy_(torch.eye(3)[:, :, None, None])
                    conv.bias.zero_()

        def forward(self, x):
            # A bright spot stretches the range in which the rest is told apart.
            return x + self.last(self.first(x) - x) + (self.loud(x * x * x * 40).clamp(max=1) - x).clamp(-1, 1)

    net = Loud().eval()
    made = int8.quantise(net, calibration.tiles_of(photographs, count=6), 40.0)
    assert made.psnr >= 40 and "last" not in made.left
    graph = int8.engine(net, made.graph)
    assert graph.precision == "int8"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--int8"], "needs photographs"),
        (["--calibrate", "{photographs}"], "without --int8"),
        (["--int8", "--calibrate", "{empty}"], "holds no photographs"),
        (["--int8", "--calibrate", "{photographs}", "--layout", "old"], "no other layout"),
    ],
)
def test_what_cannot_be_converted_is_said(words, said, photographs, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    words = [word.format(photographs=photographs, empty=tmp_path / "empty") for word in words]
    assert cli.main(["convert", "compact-x2", "--out", str(tmp_path / "net.safetensors"), *words]) == cli.USER_ERROR
    assert said in capsys.readouterr().err
    assert not (tmp_path / "net.safetensors").exists()


def test_a_quality_that_8_bits_cannot_keep_is_refused(photographs):
    net = torch.nn.Conv2d(3, 3, 3, padding=1).eval()
    with pytest.raises(UserError, match="keep no 120 dB"):
        int8.quantise(net, calibration.tiles_of(photographs, count=3), 120.0)


def test_a_model_that_is_no_upscaler_is_refused_before_work(photographs, tmp_path):
    with pytest.raises(UserError, match="cannot be converted to 8 bits"):
        int8.convert(open_model("fashion"), photographs, tmp_path / "net.safetensors")


DAMAGE = {
    "an operation that is no arithmetic": lambda g: replace(
        g, structure=g.structure.replace(b'type="Add"', b'type="ReadValue"', 1)
    ),
    "a foreign extension": lambda g: replace(
        g, structure=g.structure.replace(b'version="opset1"', b'version="own"', 1)
    ),
    "half of it": lambda g: replace(g, structure=g.structure[: len(g.structure) // 2]),
    "nothing": lambda g: replace(g, structure=b"<net/>"),
    "an entity": lambda g: replace(g, structure=b'<!DOCTYPE n [<!ENTITY a "b">]>' + g.structure),
    "constants cut short": lambda g: replace(g, constants=g.constants[: len(g.constants) // 2]),
    "another network's numbers": lambda g: replace(g, constants=bytes(len(g.constants))),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_graph_that_is_not_the_networks_or_more_than_arithmetic_is_refused(converted, damage):
    opened = open_model(converted)
    graph = int8.graph_of(opened.attachments)
    assert graph is not None
    with pytest.raises(UserError, match="8-bit graph of this file") as refusal:
        int8.engine(opened.network(), damage(graph))
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 500
