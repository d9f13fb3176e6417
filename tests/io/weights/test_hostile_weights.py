"""Weight files of any origin: what they claim costs nothing, what they hold must be numbers."""

from __future__ import annotations

import io
import json
import os
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from ganvas.errors import UserError
from ganvas.inference.open import open_model
from ganvas.io.weights import cards, containers, files
from ganvas.networks import build
from ganvas.protocol import Card

CARD = Card(network="compact", settings={"width": 4, "convs": 1, "scale": 2}, scale=2)


def written(path, card=None, tensors=None):
    tensors = tensors or {key: value.clone() for key, value in build(CARD).state_dict().items()}
    values = {**json.loads(cards.write(CARD))["card"], **(card or {})}
    save_file(tensors, path, {"format": "pt", "ganvas": json.dumps({"version": 1, "card": values})})
    return path


def test_the_file_that_is_changed_below_is_in_order(tmp_path):
    assert open_model(written(tmp_path / "net.safetensors")).network()(torch.zeros(1, 3, 4, 4)).shape[-1] == 8


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", ["net.safetensors", "net.pth"])
def test_weights_that_are_no_numbers_are_refused_and_named(tmp_path, name, dtype, value):
    tensors = {key: tensor.to(dtype) for key, tensor in build(CARD).state_dict().items()}
    last = list(tensors)[-1]
    tensors[last].view(-1)[-1] = value
    path = tmp_path / name
    written(path, tensors=tensors) if name.endswith("s") else torch.save({"params": tensors}, path)
    with pytest.raises(UserError, match="not finite"):
        files.read(path)


@pytest.mark.parametrize(
    "change",
    [
        {"range": [float("nan"), 1.0]}, {"range": [0.0, float("inf")]}, {"range": [1.0, 0.0]}, {"range": [0.5, 0.5]},
        {"range": [0.0]}, {"range": "01"}, {"minimum_px": 20_000}, {"minimum_px": 0}, {"multiple_of": 10**6},
        {"multiple_of": 0}, {"halo_px": -1}, {"halo_px": 10**9}, {"scale": 0}, {"scale": 10**6}, {"channels_in": -3},
        {"settings": [1]}, {"settings": None}, {"settings": {"width": 10**6, "convs": 1, "scale": 2}},
        {"settings": {"width": 4, "convs": 10**5, "scale": 2}}, {"settings": {"width": -4, "convs": 1, "scale": 2}},
        {"settings": {"width": "4", "convs": 1, "scale": 2}}, {"settings": {"nothing": 1}}, {"network": "none"},
        {"network": 3}, {"network": None}, {"input": "door"}, {"tiling": 1}, {"extra": 3},
        {"extra": {"resize_output": 0}},
        {"extra": {"resize_output": float("nan")}}, {"extra": {"size_px": [10**6, 10**6]}},
        {"extra": {"num_labels": -1}},
        {"extra": {"conditions": {}}}, {"extra": {"upres": 1}}, {"scores": 3}, {"attachments": 3}, {"licence": 3},
    ],
    ids=str,
)  # fmt: skip
def test_a_card_that_says_what_no_card_says_is_one_line(tmp_path, change):
    path = written(tmp_path / "net.safetensors", change)
    with pytest.raises(UserError) as caught:
        open_model(path).network()
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_fact_that_a_card_lacks_is_an_error_of_the_card():
    card = cards.from_values(
        {"network": "compact", "extra": {"upres": {"guide": {}, "tile_px": 8, "low_px": 8, "grid_px": 8}}}, "FILE"
    )
    with pytest.raises(UserError, match="does not say its num_labels"):
        _ = card.extra["num_labels"]
    with pytest.raises(UserError, match="does not say its kind"):
        _ = card.extra["upres"]["guide"]["kind"]
    assert card.extra.get("num_labels", 3) == 3


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"version": 1e999}', '{"version": 1, "card": 3}']
)
def test_a_card_that_is_no_json_of_ours_is_one_line(text):
    with pytest.raises(UserError, match="FILE"):
        cards.read(text, "FILE")


def test_tensors_that_are_more_than_the_file_holds_are_refused(tmp_path):
    for number, tensor in enumerate(
        [torch.zeros(1).expand(10**6, 10**6), torch.zeros(2, 2).to_sparse(), torch.empty(10**6, 10**6, device="meta")]
    ):
        path = tmp_path / f"{number}.pth"
        torch.save({"params": {"body.0.weight": tensor}}, path)
        with pytest.raises(UserError, match=r"claims|damaged"):
            containers.open_stored(path)


def test_an_archive_that_would_unpack_to_more_is_refused(tmp_path):
    file = io.BytesIO()
    torch.save({"w": torch.zeros(1 << 24)}, file)
    with zipfile.ZipFile(file) as stored, zipfile.ZipFile(tmp_path / "net.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for info in stored.infolist():
            packed.writestr(info.filename, stored.read(info))
    assert (tmp_path / "net.pth").stat().st_size < 1 << 20
    with pytest.raises(UserError, match="would unpack to 67"):
        containers.open_stored(tmp_path / "net.pth")


def test_a_header_that_is_larger_than_any_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    path.write_bytes((50_000_000).to_bytes(8, "little") + b"{" + b" " * 100)
    with pytest.raises(UserError, match="header has 50000000 bytes"):
        files.read_card(path)


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_plain_file_is_refused(tmp_path, kind):
    path = tmp_path / "net.safetensors"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="no plain file"):
        files.read(path)
