"""`--backend auto` takes the fastest engine of those that compute the same here, and measures once."""

import json

import pytest
import torch

from ganvas.errors import UserError
from ganvas.inference import backends, fastest
from ganvas.io import timings
from ganvas.networks.rrdb.net import CompactNet

SLOWNESS = {"torch": 3.0, "openvino": 1.0}


@pytest.fixture
def net():
    torch.manual_seed(0)
    return CompactNet(width=8, convs=1, scale=2).eval()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def clocked(monkeypatch):
    """Give torch and OpenVINO a known speed, and record which were timed."""
    pytest.importorskip("openvino")
    monkeypatch.setattr(fastest, "installed", lambda: {"torch": "2", "openvino": "2026"})
    timed = []

    def seconds(backend, probe):
        timed.append(backend.name)
        return SLOWNESS[backend.name]

    monkeypatch.setattr(fastest, "_seconds", seconds)
    return timed


def test_the_fastest_engine_is_taken_measured_once_and_computes_the_same(net, home, clocked):
    low = torch.rand(1, 3, 19, 23, generator=torch.Generator().manual_seed(1))
    engines = fastest.installed()
    chosen = fastest.pick(net, "float32", "cpu")
    assert chosen.name == min(engines, key=SLOWNESS.__getitem__)
    assert set(clocked) == set(engines) and "fastest" in str(chosen)
    with torch.inference_mode():
        torch.testing.assert_close(chosen(low), net(low), rtol=1e-4, atol=1e-4)
    clocked.clear()
    again = fastest.pick(net, "float32", "cpu")
    assert again.name == chosen.name and not clocked
    fastest.pick(CompactNet(width=8, convs=2, scale=2).eval(), "float32", "cpu")
    assert clocked  # another network is measured anew
    assert len(json.loads((home / "engines.json").read_text())) == 2


def test_an_engine_that_computes_otherwise_is_not_taken_however_fast(net, home, clocked, monkeypatch):
    def wrong(net, precision, multiple_of):
        return lambda picture: torch.zeros(picture.shape[0], 3, picture.shape[2] * 2, picture.shape[3] * 2)

    monkeypatch.setattr(backends, "_openvino", wrong)
    chosen = fastest.pick(net, "float32", "cpu")
    assert chosen.name != "openvino" and "openvino" not in clocked


def test_what_was_fastest_and_is_gone_is_passed_over(net, home, clocked, monkeypatch):
    first = fastest.pick(net, "float32", "cpu").name
    real = backends.pick_backend

    def pick(net, precision, device, name, *rest):
        if name == first:
            raise UserError("gone")
        return real(net, precision, device, name, *rest)

    monkeypatch.setattr(backends, "pick_backend", pick)
    assert fastest.pick(net, "float32", "cpu").name != first


@pytest.mark.parametrize("content", ["", "[]", '{"key": 3}', "{broken", '{"key": {"torch": "fast"}}', '{"key": {}}'])
def test_a_damaged_file_of_timings_is_as_good_as_none(home, content):
    home.mkdir()
    (home / "engines.json").write_text(content)
    assert timings.known("key") is None
    timings.keep("key", {"onnx": 2.0, "torch": 1.0})
    assert list(timings.known("key")) == ["torch", "onnx"]


def test_a_folder_that_cannot_be_written_to_costs_only_the_next_probe(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "file" / "home"))
    timings.keep("key", {"torch": 1.0})
    assert timings.known("key") is None


def test_what_is_installed_is_known_with_its_version():
    assert fastest.installed()["torch"] == torch.__version__
    assert set(fastest.installed()) <= set(backends.BACKENDS)


def test_with_torch_alone_nothing_is_measured(net, home, clocked, monkeypatch):
    monkeypatch.setattr(fastest, "installed", lambda: {"torch": "2"})
    assert fastest.pick(net, "float32", "cpu").name == "torch"
    assert not clocked and not home.exists()
