"""Every known layout is recognised from its file, gives the network it came from, and goes back unchanged."""

import os
import pickle
import re
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ganvas import networks
from ganvas.errors import UserError
from ganvas.io.weights import files as weights
from ganvas.io.weights import foreign
from ganvas.networks.rrdb import layouts
from ganvas.networks.rrdb.net import CompactNet, RRDBNet, SRResNet

RRDB_SETTINGS = [
    {"width": 8, "blocks": 1, "growth": 4, "scale": 4, "unshuffle": 1},
    {"width": 6, "blocks": 2, "growth": 3, "scale": 2, "unshuffle": 1},
    {"width": 4, "blocks": 1, "growth": 2, "scale": 1, "unshuffle": 1},
    {"width": 4, "blocks": 2, "growth": 2, "scale": 8, "unshuffle": 1},
    {"width": 4, "blocks": 1, "growth": 2, "scale": 2, "unshuffle": 2},
    {"width": 4, "blocks": 1, "growth": 2, "scale": 1, "unshuffle": 4},
    {"width": 4, "blocks": 1, "growth": 2, "scale": 4, "unshuffle": 1, "channels_in": 1, "channels_out": 1},
    {"width": 4, "blocks": 1, "growth": 2, "scale": 2, "unshuffle": 2, "channels_in": 1, "channels_out": 1},
]


def xinntao_name(key: str) -> str:
    key = re.sub(r"^body\.(\d+)\.rdb(\d)", r"RRDB_trunk.\1.RDB\2", key)
    for ours, theirs in {"conv_body": "trunk_conv", "conv_up": "upconv", "conv_hr": "HRconv"}.items():
        key = key.replace(ours, theirs)
    return key


def old_name(key: str, blocks: int, num_ups: int) -> str:
    module, _, part = key.rpartition(".")
    if dense := re.fullmatch(r"body\.(\d+)\.rdb(\d)\.conv(\d)", module):
        return "model.1.sub.{}.RDB{}.conv{}.0.".format(*dense.groups()) + part
    hr, last = {0: (2, 4), 1: (5, 7), 2: (8, 10), 3: (11, 13)}[num_ups]
    places = {"conv_first": "0", "conv_body": f"1.sub.{blocks}", "conv_up1": "3", "conv_up2": "6", "conv_up3": "9"}
    places |= {"conv_hr": str(hr), "conv_last": str(last)}
    return f"model.{places[module]}.{part}"


def spelt(state, layout, blocks, num_ups):
    if layout == "basicsr":
        return dict(state)
    if layout == "xinntao":
        return {xinntao_name(key): value for key, value in state.items()}
    return {old_name(key, blocks, num_ups): value for key, value in state.items()}


def made(network, **settings):
    torch.manual_seed(0)
    return network(**settings).eval()


def rebuilt(recognised):
    net = networks.build(recognised.card)
    net.load_state_dict(recognised.tensors)
    return net.eval()


def num_ups(settings):
    return (settings["scale"] * settings["unshuffle"]).bit_length() - 1


def assert_same_network(recognised, net, **settings):
    assert settings.items() <= dict(recognised.card.settings).items()
    assert recognised.card.scale == settings["scale"]
    low = torch.rand(1, settings.get("channels_in", 3), 8, 12)
    with torch.inference_mode():
        assert torch.equal(rebuilt(recognised)(low), net(low))


@pytest.mark.parametrize("layout", ["basicsr", "xinntao", "old"])
@pytest.mark.parametrize("settings", RRDB_SETTINGS, ids=str)
def test_rrdbnet_comes_back_from_every_layout(tmp_path, layout, settings):
    net = made(RRDBNet, **settings)
    theirs = spelt(net.state_dict(), layout, settings["blocks"], num_ups(settings))
    torch.save(theirs, tmp_path / "net.pth")
    recognised = foreign.recognise(tmp_path / "net.pth")
    assert recognised.card.network == "rrdbnet"
    assert_same_network(recognised, net, **settings)
    assert recognised.card.exact_halo_px == net.receptive_halo_px
    assert recognised.card.multiple_of == settings["unshuffle"]


@pytest.mark.parametrize("layout", ["basicsr", "xinntao", "old"])
@pytest.mark.parametrize("settings", RRDB_SETTINGS, ids=str)
def test_the_way_back_gives_the_same_file(tmp_path, layout, settings):
    theirs = spelt(made(RRDBNet, **settings).state_dict(), layout, settings["blocks"], num_ups(settings))
    torch.save(theirs, tmp_path / "net.pth")
    back = {"basicsr": layouts.to_basicsr, "xinntao": layouts.to_xinntao, "old": layouts.to_old_esrgan}[layout]
    returned = back(*foreign.recognise(tmp_path / "net.pth"))
    assert returned.keys() == theirs.keys()
    assert all(torch.equal(returned[key], theirs[key]) for key in theirs)


def test_published_sizes_are_read_off_the_shapes(tmp_path):
    # Parameter counts of the published networks.
    published = [
        (RRDBNet, {}, "xinntao", 16_697_987),
        (RRDBNet, {"blocks": 6}, "basicsr", 4_467_779),
        (RRDBNet, {"blocks": 6, "scale": 2, "unshuffle": 2}, "basicsr", 4_472_963),
        (CompactNet, {"convs": 32}, "basicsr", 1_213_296),
    ]
    for network, settings, layout, parameters in published:
        with torch.device("meta"):
            shapes = {key: value.shape for key, value in network(**settings).state_dict().items()}
        state = {key: torch.zeros(shape) for key, shape in shapes.items()}
        torch.save(spelt(state, layout, settings.get("blocks", 23), 2), tmp_path / "net.pth")
        card, tensors = foreign.recognise(tmp_path / "net.pth")
        assert settings.items() <= dict(card.settings).items()
        assert sum(tensor.numel() for tensor in tensors.values()) == parameters


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("convs, width, channels", [(0, 4, 3), (3, 6, 3), (2, 4, 1)])
def test_the_compact_net_is_read_off_its_shapes(tmp_path, scale, convs, width, channels):
    settings = {"convs": convs, "width": width, "scale": scale, "channels_in": channels, "channels_out": channels}
    net = made(CompactNet, **settings, activation="prelu")
    torch.save({"params": net.state_dict()}, tmp_path / "net.pth")
    recognised = foreign.recognise(tmp_path / "net.pth")
    assert_same_network(recognised, net, **settings, activation="prelu")
    assert recognised.card.exact_halo_px == recognised.card.halo_px == net.receptive_halo_px


def test_what_a_file_cannot_say_is_called_an_assumption(tmp_path):
    net = made(CompactNet, convs=1, width=4, scale=2, activation="relu")
    torch.save(net.state_dict(), tmp_path / "net.pth")
    recognised = foreign.recognise(tmp_path / "net.pth")
    assert_same_network(recognised, net, convs=1, scale=2, activation="relu")
    assert "leaky_relu" in recognised.card.extra["assumed"]


@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_srresnet_is_recognised(tmp_path, scale, batch_norm):
    settings = {"width": 4, "blocks": 2, "scale": scale, "batch_norm": batch_norm}
    net = made(SRResNet, **settings)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    recognised = foreign.recognise(tmp_path / "net.pth")
    assert_same_network(recognised, net, **settings)
    assert recognised.card.exact_halo_px == net.receptive_halo_px


def tiny_state(value=None):
    state = made(RRDBNet, width=4, blocks=1, growth=2).state_dict()
    return {key: torch.full_like(tensor, value) if value is not None else tensor for key, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"params": tiny_state(7.0), "params_ema": state},
        lambda state: {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in state.items()}},
        lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
        lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
        lambda state: {"model": {f"model.{key}": value for key, value in state.items()}},
        lambda state: {"state_dict": {f"netG.{k}": v for k, v in state.items()} | {"netD.0.weight": torch.ones(1)}},
        lambda state: {"generator": state, "discriminator": {"a": torch.ones(1)}, "step": 5},
        lambda state: {"anything": state},
        lambda state: {"params_ema": {xinntao_name(key): value for key, value in state.items()}},
    ],
)
def test_wrappers_and_prefixes_are_peeled(tmp_path, wrap):
    state = tiny_state()
    torch.save(wrap(state), tmp_path / "net.pth")
    tensors = foreign.recognise(tmp_path / "net.pth").tensors
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[key], state[key]) for key in state)


def test_the_old_format_of_torch_and_bare_safetensors_are_read(tmp_path):
    state = tiny_state()
    torch.save(state, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "bare.safetensors")
    for name in ("legacy.pth", "bare.safetensors"):
        tensors = foreign.recognise(tmp_path / name).tensors
        assert all(torch.equal(tensors[key], state[key]) for key in state)


# Files that must not be believed


class Trap:
    """An object that makes a file when it is unpickled."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self):
        return os.system, (f"touch {self.victim}",)


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle 4", "pickle 0", "hidden"])
def test_code_in_a_file_is_never_run(tmp_path, how):
    victim, path = tmp_path / "victim", tmp_path / "net.pth"
    if how.startswith("pickle"):
        path.write_bytes(pickle.dumps({"params": Trap(victim)}, protocol=int(how[-1])))
    else:
        content = {**tiny_state(), "note": Trap(victim)} if how == "hidden" else {"params": Trap(victim)}
        torch.save(content, path, _use_new_zipfile_serialization=how != "legacy")
    for action in (foreign.recognise, weights.read, weights.read_card, weights.describe):
        with pytest.raises(UserError) as caught:
            action(path)
        assert not victim.exists()
    if how in ("zip", "legacy", "hidden"):
        assert "would run code" in caught.value.what
        assert "system" in caught.value.why
    # The trap is a real one.
    pickle.loads(pickle.dumps(Trap(victim)))
    assert victim.exists()


def test_whole_modules_and_programs_are_refused_with_advice(tmp_path):
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "module.pth")
    with pytest.raises(UserError, match=r"Conv2d.*state_dict"):
        foreign.recognise(tmp_path / "module.pth")
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.script(torch.nn.Conv2d(1, 1, 1)), tmp_path / "program.pt")
    with pytest.raises(UserError, match=r"TorchScript.*state_dict"):
        foreign.recognise(tmp_path / "program.pt")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_cut_off_anywhere_is_a_clear_error(tmp_path, legacy):
    torch.save(tiny_state(), tmp_path / "whole.pth", _use_new_zipfile_serialization=not legacy)
    content = (tmp_path / "whole.pth").read_bytes()
    path = tmp_path / "cut.pth"
    for share in (0.0, 0.001, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(UserError, match="cut"):
            foreign.recognise(path)


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "is empty"),
        (b"hello, this is no weight file", "no weight file"),
        (b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "picture"),
        (b"PK\x03\x04" + bytes(60), "damaged"),
        (b"\xdd\x85\x76\x00" + bytes(60), "binary ncnn"),
        ((200).to_bytes(8, "little") + b'{"a":', "damaged"),
    ],
)
def test_what_is_no_weight_file_is_named(tmp_path, content, says):
    path = tmp_path / "net.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        foreign.recognise(path)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        foreign.recognise(tmp_path / "none.pth")
    with pytest.raises(UserError, match=r"is a folder.*ganvas pack"):
        foreign.recognise(tmp_path)


def test_variants_of_a_network_are_refused_by_name(tmp_path):
    state = {xinntao_name(key): value for key, value in tiny_state().items()}
    path = tmp_path / "net.pth"
    cases = {
        r"ESRGAN\+": {**state, "RRDB_trunk.0.RDB1.conv1x1.weight": torch.ones(2, 4, 1, 1)},
        "lacks the tensor HRconv.bias": {key: value for key, value in state.items() if key != "HRconv.bias"},
        "too many: attention.weight": {**state, "attention.weight": torch.ones(1)},
        r"trunk_conv.weight is \[5, 4, 3, 3\]": {**state, "trunk_conv.weight": torch.ones(5, 4, 3, 3)},
    }
    for says, content in cases.items():
        torch.save(content, path)
        with pytest.raises(UserError, match=says) as caught:
            foreign.recognise(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content, says",
    [
        ({"encoder.weight": torch.ones(5, 7)}, r"begin with encoder.weight \[5, 7\].*Known layouts: ESRGAN"),
        ({"epoch": 3}, "no tensors"),
        ([1, 2], "no tensors"),
        ({"body.0.weight": torch.ones(4, 3, 3, 3), "body.2.weight": torch.ones(7, 4, 3, 3)}, "do not fit together"),
        ({"body.0.weight": torch.ones(4), "body.0.bias": torch.ones(4)}, "by turns"),
        ({"act_first.weight": torch.ones(4), "upsample.0.0.conv.weight": torch.ones(16, 4, 3, 3)}, "lacks the tensor"),
    ],
)
def test_other_networks_are_refused_and_described(tmp_path, content, says):
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(UserError, match=says):
        foreign.recognise(tmp_path / "net.pth")


def test_only_rrdbnet_goes_back_to_esrgan_layouts(tmp_path):
    net = made(CompactNet, convs=1, width=4, scale=2)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    recognised = foreign.recognise(tmp_path / "net.pth")
    assert layouts.to_basicsr(*recognised).keys() == net.state_dict().keys()
    for back in (layouts.to_xinntao, layouts.to_old_esrgan):
        with pytest.raises(UserError, match="RRDBNet"):
            back(*recognised)
