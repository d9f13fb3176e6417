"""Weight files come back as they were written, say what they are, blend exactly, and are never half there."""

import hashlib
import http.server
import json
import re
import struct
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from ganvas.errors import UserError
from ganvas.io.weights import files as weights
from ganvas.io.weights.files import Weights
from ganvas.networks.rrdb.net import CompactNet, RRDBNet
from ganvas.protocol import Card

CARD = Card(
    network="compact",
    settings={"width": 4, "convs": 1, "scale": 2},
    scale=2,
    licence="CC0-1.0",
    data="two photographs",
    scores={"psnr_y": 31.25},
    extra={"steps": 7},
)


def tensors(seed=0):
    random = torch.Generator().manual_seed(seed)
    return {
        "body.0.weight": torch.randn(4, 3, 3, 3, generator=random),
        "body.0.bias": torch.randn(4, generator=random),
        "norm.num_batches_tracked": torch.tensor(seed),
    }


def made(seed=0, **changes):
    return Weights(card=replace(CARD, **changes), tensors=tensors(seed))


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


# Writing and reading


def test_what_is_written_is_read(tmp_path):
    path = weights.save(tmp_path / "net.safetensors", tensors(), CARD, {"styles/centres": torch.ones(2, 5)})
    read = weights.read(path)
    assert read.card == replace(CARD, attachments=("styles/centres",))
    assert same(read.tensors, tensors())
    assert same(read.attachments, {"styles/centres": torch.ones(2, 5)})
    assert weights.read_card(path) == read.card
    assert read.path == path
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=8),
        st.tuples(
            st.sampled_from(
                [
                    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
                    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
                ]
            ),
            st.lists(st.integers(0, 3), max_size=4),
        ),
        max_size=5,
    ).filter(lambda names: not any(name.startswith(("attachment/", "__metadata__")) for name in names))
)
def test_every_type_and_shape_is_what_the_safetensors_library_reads(tmp_path_factory, names):
    content = {name: (torch.rand(shape) * 3).to(dtype) for name, (dtype, shape) in names.items()}
    path = weights.save(tmp_path_factory.mktemp("any") / "net.safetensors", content, CARD)
    read = load_file(path)
    assert same(read, content)
    assert all(read[key].dtype == content[key].dtype for key in content)
    with safe_open(path, "pt") as file:
        assert file.metadata()["format"] == "pt"
        assert json.loads(file.metadata()["ganvas"])["card"]["network"] == "compact"


def test_equal_weights_are_equal_bytes_in_any_process(tmp_path):
    weights.save(tmp_path / "here.safetensors", tensors(), CARD)
    backwards = dict(reversed(tensors().items()))
    weights.save(tmp_path / "backwards.safetensors", backwards, CARD)
    script = (
        "import sys; from ganvas.io.weights import files as weights; read = weights.read(sys.argv[1]);"
        "weights.save(sys.argv[2], read.tensors, read.card)"
    )
    again = tmp_path / "again.safetensors"
    subprocess.run([sys.executable, "-c", script, tmp_path / "here.safetensors", again], check=True)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_views_and_shared_tensors_are_written_whole(tmp_path):
    base = torch.arange(24.0).reshape(2, 3, 4)
    content = {"tied": base, "tied_too": base, "turned": base.permute(2, 0, 1), "row": base[1]}
    content["last"] = torch.rand(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    read = weights.read(weights.save(tmp_path / "net.safetensors", content, CARD))
    assert same(read.tensors, content)


def test_nothing_is_overwritten_unasked(tmp_path):
    path = weights.save(tmp_path / "net.safetensors", tensors(0), CARD)
    before = path.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        weights.save(path, tensors(1), CARD)
    assert path.read_bytes() == before
    weights.save(path, tensors(1), CARD, overwrite=True)
    assert same(weights.read(path).tensors, tensors(1))


def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = weights.save(tmp_path / "net.safetensors", tensors(), CARD)

    class Broken(torch.Tensor):
        def detach(self):
            raise OSError(28, "No space left on device")

    broken = {**tensors(1), "z": torch.ones(2).as_subclass(Broken)}
    with pytest.raises(UserError, match=r"Cannot write .*No space left"):
        weights.save(path, broken, CARD, overwrite=True)
    assert [each.name for each in tmp_path.iterdir()] == ["net.safetensors"]
    assert same(weights.read(path).tensors, tensors())


def test_unwritable_places_are_clear_errors(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="Cannot write"):
        weights.save(tmp_path / "file" / "net.safetensors", tensors(), CARD)
    with pytest.raises(UserError, match="is a folder"):
        weights.save(tmp_path, tensors(), CARD, overwrite=True)
    assert weights.save(tmp_path / "new" / "deeper" / "net.safetensors", tensors(), CARD).is_file()


# Bad files


def with_header(path, header):
    save_file(tensors(), path, metadata={"ganvas": header if isinstance(header, str) else json.dumps(header)})
    return path


@pytest.mark.parametrize(
    "header, says",
    [
        ({"version": 2, "card": {}}, "newer Ganvas.*version 2.*pip install --upgrade"),
        ({"version": 1, "card": {"network": "compact", "licens": "MIT"}}, "'licens'.*Did you mean licence"),
        ({"version": 1, "card": {"network": "compact", "scale": "four"}}, "'scale' is 'four'"),
        ({"version": 1, "card": {}}, "cannot be read.*network"),
        ({"version": 1}, "is damaged"),
        ("no json", "is damaged"),
        ("[1]", "is damaged"),
    ],
)
def test_cards_that_cannot_be_read_are_named(tmp_path, header, says):
    path = with_header(tmp_path / "net.safetensors", header)
    for action in (weights.read, weights.read_card, weights.describe):
        with pytest.raises(UserError, match=says) as caught:
            action(path)
        assert str(path) in str(caught.value)


def test_a_file_cut_off_anywhere_is_a_clear_error(tmp_path):
    whole = weights.save(tmp_path / "net.safetensors", tensors(), CARD).read_bytes()
    path = tmp_path / "cut.safetensors"
    header_end = 8 + struct.unpack("<Q", whole[:8])[0]
    for length in (0, 5, 8, 9, 50, header_end - 1, header_end, header_end + 1, len(whole) - 1):
        path.write_bytes(whole[:length])
        for action in (weights.read, weights.read_card):
            with pytest.raises(UserError, match=r"is empty|no weight file|damaged or cut off"):
                action(path)


def test_missing_files_and_run_folders_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        weights.read(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match="ganvas pack RUN FILE"):
        weights.read(tmp_path)


# Blending


def test_a_blend_is_either_side_at_its_ends_to_the_bit():
    first, second = made(1), made(2)
    assert same(weights.blend(first, second, 0.0).tensors, first.tensors)
    assert same(weights.blend(first, second, 1.0).tensors, second.tensors)


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 1))
def test_a_blend_lies_between(alpha):
    first, second = made(1), made(2)
    blended, turned = weights.blend(first, second, alpha), weights.blend(second, first, 1 - alpha)
    for key in ("body.0.weight", "body.0.bias"):
        a, b = (side.tensors[key].numpy().astype(np.float64) for side in (first, second))
        assert np.allclose(blended.tensors[key].numpy(), a + (b - a) * alpha, rtol=1e-6, atol=1e-7)
        assert torch.allclose(blended.tensors[key], turned.tensors[key], rtol=1e-6, atol=1e-6)
    assert torch.equal(weights.blend(first, first, alpha).tensors["body.0.bias"], first.tensors["body.0.bias"])
    assert int(blended.tensors["norm.num_batches_tracked"]) in (1, 2)


def test_a_blend_does_not_share_memory_with_its_sides():
    first, second = made(1), made(2)
    for alpha in (0.0, 0.5, 1.0):
        weights.blend(first, second, alpha).tensors["body.0.bias"].zero_()
    assert same(first.tensors, tensors(1))
    assert same(second.tensors, tensors(2))


def test_half_precision_is_blended_in_full_precision():
    first, second = made(1), made(2)
    half = replace(second, tensors={key: v.half() if v.is_floating_point() else v for key, v in second.tensors.items()})
    blended = weights.blend(first, half, 0.5).tensors["body.0.bias"]
    assert blended.dtype == torch.float32
    expected = (first.tensors["body.0.bias"] + half.tensors["body.0.bias"].float()) / 2
    assert torch.allclose(blended, expected, rtol=1e-6)


def test_the_card_of_a_blend_names_both():
    first = made(1, licence="MIT", data="ours")
    second = made(2, licence="BSD-3-Clause", data="ours", settings={"width": 4, "activation": "prelu"})
    card = weights.blend(first, second, 0.25).card
    assert card.licence == "MIT and BSD-3-Clause"
    assert card.data == "ours"
    assert card.scores == {}
    assert card.settings == {"width": 4, "convs": 1, "scale": 2, "activation": "prelu"}
    assert "0.75" in card.origin
    assert "0.25" in card.origin


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda side: replace(side, card=replace(CARD, network="rrdbnet")), "network is compact and rrdbnet"),
        (lambda side: replace(side, card=replace(CARD, scale=4)), "scale is 2 and 4"),
        (lambda side: replace(side, card=replace(CARD, settings={"width": 8})), "width is 4 and 8"),
        (lambda side: replace(side, card=replace(CARD, range=(-1.0, 1.0))), "range"),
        (
            lambda side: replace(side, tensors={**side.tensors, "body.0.bias": torch.ones(5)}),
            r"body.0.bias is \[4\] in the first and \[5\]",
        ),
        (lambda side: replace(side, tensors={**side.tensors, "extra": torch.ones(5)}), "extra is missing in the first"),
        (lambda side: replace(side, attachments={"centres": torch.ones(1)}), "attachment centres"),
    ],
)
def test_different_networks_are_not_blended(change, says):
    with pytest.raises(UserError, match=says):
        weights.blend(made(1), change(made(2)), 0.5)


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_alpha_goes_from_zero_to_one(alpha):
    with pytest.raises(UserError, match="alpha"):
        weights.blend(made(1), made(2), alpha)


# Converting and describing


def rrdbnet_file(path):
    torch.manual_seed(0)
    net = RRDBNet(width=4, blocks=2, growth=2, scale=4)
    torch.save({"params_ema": net.state_dict()}, path)
    return net


@pytest.mark.parametrize(
    "layout, key", [("basicsr", "body.1.rdb2.conv3.weight"), ("old", "model.1.sub.1.RDB2.conv3.0.weight")]
)
def test_conversion_there_and_back_changes_nothing(tmp_path, layout, key):
    net = rrdbnet_file(tmp_path / "theirs.pth")
    ours = weights.convert(tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    back = weights.convert(ours, tmp_path / "back.pth", layout)
    stored = torch.load(back, weights_only=True)
    assert key in (stored["params_ema"] if layout == "basicsr" else stored)
    read = weights.read(back)
    assert same(read.tensors, net.state_dict())
    assert dict(read.card.settings) == dict(weights.read_card(ours).settings)


def test_conversions_that_cannot_be_are_refused_and_leave_nothing(tmp_path):
    torch.save(CompactNet(width=4, convs=1, scale=2).state_dict(), tmp_path / "compact.pth")
    cases = [("out.pth", "old", "RRDBNet"), ("out.pth", "ganvas", "wrong ending"), ("out.safetensors", "old", "ending")]
    for name, layout, says in cases:
        with pytest.raises(UserError, match=says):
            weights.convert(tmp_path / "compact.pth", tmp_path / name, layout)
    weights.convert(tmp_path / "compact.pth", tmp_path / "x2.safetensors")
    read = weights.read(tmp_path / "x2.safetensors")
    card = replace(read.card, extra={"resize_output": 0.5}, scale=1)
    weights.save(tmp_path / "x1.safetensors", read.tensors, card)
    with pytest.raises(UserError, match="resizes"):
        weights.convert(tmp_path / "x1.safetensors", tmp_path / "out.pth", "basicsr")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["compact.pth", "x1.safetensors", "x2.safetensors"]


def test_a_description_is_plain_and_right(tmp_path):
    net = rrdbnet_file(tmp_path / "theirs.pth")
    about = weights.describe(tmp_path / "theirs.pth")
    assert about["network"] == "rrdbnet"
    assert about["settings"]["blocks"] == 2
    assert about["parameters"] == sum(parameter.numel() for parameter in net.parameters())
    assert about["tensors"] == len(net.state_dict())
    assert about["types"] == ["float32"]
    assert "BasicSR" in about["layout"]
    assert about["sha256"] == hashlib.sha256((tmp_path / "theirs.pth").read_bytes()).hexdigest()
    path = weights.save(tmp_path / "net.safetensors", tensors(), CARD, {"centres": torch.ones(2, 5)})
    about = json.loads(json.dumps(weights.describe(path)))
    assert about["layout"] == "Ganvas"
    assert about["licence"] == "CC0-1.0"
    assert about["attachments"] == {"centres": [2, 5]}
    assert about["parameters"] == 4 * 3 * 9 + 4


# Fetching

PUBLISHED = b"published weights" * 1000
HASH8 = hashlib.sha256(PUBLISHED).hexdigest()[:8]


class Published(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(PUBLISHED)))
        self.end_headers()
        self.wfile.write(PUBLISHED[:500] if self.path == "/broken" else PUBLISHED)

    def log_message(self, *args):
        pass


@pytest.fixture
def site(monkeypatch):
    monkeypatch.delenv("GANVAS_OFFLINE", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Published)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_file_is_fetched_once_and_then_taken_from_the_cache(site, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path / "home"))
    seen = []
    path = weights.fetch(f"{site}/file", "net.pth", HASH8, progress=lambda done, total: seen.append((done, total)))
    assert path == tmp_path / "home" / "net.pth"
    assert path.read_bytes() == PUBLISHED
    assert seen[-1] == (len(PUBLISHED), len(PUBLISHED))
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    assert weights.fetch("http://127.0.0.1:9/nothing", "net.pth", HASH8) == path


def test_a_damaged_file_in_the_cache_is_fetched_anew(site, tmp_path):
    (tmp_path / "net.pth").write_bytes(PUBLISHED[:100])
    assert weights.fetch(f"{site}/file", "net.pth", HASH8, cache=tmp_path).read_bytes() == PUBLISHED


@pytest.mark.parametrize(
    "page, hash8, says",
    [
        ("file", "00000000", f"begins with {HASH8}, not 00000000"),
        ("missing", HASH8, "answers 404"),
        ("broken", HASH8, f"500 of {len(PUBLISHED)} bytes|IncompleteRead"),
    ],
)
def test_failed_downloads_say_what_to_do_and_leave_nothing(site, tmp_path, page, hash8, says):
    with pytest.raises(UserError, match=says) as caught:
        weights.fetch(f"{site}/{page}", "net.pth", hash8, cache=tmp_path)
    assert "yourself" in caught.value.do
    assert str(tmp_path / "net.pth") in caught.value.do
    assert list(tmp_path.iterdir()) == []


def test_without_network_the_error_says_what_to_do(site, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="yourself"):
        weights.fetch("http://127.0.0.1:9/file", "net.pth", HASH8, cache=tmp_path)
    monkeypatch.setenv("GANVAS_OFFLINE", "1")
    with pytest.raises(UserError, match="GANVAS_OFFLINE"):
        weights.fetch(f"{site}/file", "net.pth", HASH8, cache=tmp_path)
    assert weights.fetch(f"{site}/file", "net.pth", HASH8, cache=tmp_path, offline=False).is_file()


def test_the_hash_of_vgg19_is_the_one_in_its_published_name():
    assert re.fullmatch(rf"https://download\.pytorch\.org/models/vgg19-{weights.VGG19_HASH}\.pth", weights.VGG19_URL)
    assert len(weights.VGG19_HASH) == 8
