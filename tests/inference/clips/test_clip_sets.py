"""Several sequences at once, videos as label maps, plain folders of maps: each equal to the clip made by itself."""

import json
import shutil

import av
import numpy as np
import pytest
from drawn_clips import draw_clip

from ganvas.cli import main
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.networks.vid2vid.net import Vid2Vid
from ganvas.protocol import Card


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    settings = {"channels_label": 3, "width": 4, "downs": 1, "blocks": 1, "norm": "instance"}
    path = tmp_path_factory.mktemp("model") / "net.safetensors"
    extra = {"num_labels": 2, "edges": True, "first_frame": "optional", "replaces": []}
    weights.save(path, Vid2Vid(**settings).state_dict(), Card(network="vid2vid", settings=settings, input="clip",
                                                              extra=extra))  # fmt: skip
    return path


@pytest.fixture
def one(tmp_path):
    return draw_clip(tmp_path / "set" / "one", frames=4, roles=("labels", "instances"))


def generate(model, labels, out, *options):
    return main(["generate", str(model), "--labels", str(labels), "--out", str(out), *options])


def frames_of(folder):
    return [images.read(path)[0] for path in sorted(folder.glob("*.png"))]


def same(one, other):
    return len(one) == len(other) > 0 and all(np.array_equal(a, b) for a, b in zip(one, other))


def test_several_sequences_are_made_and_a_bad_one_stops_none(model, one, tmp_path, capsys):
    draw_clip(tmp_path / "set" / "bad", frames=3, roles=("labels",))
    draw_clip(tmp_path / "set" / "two", frames=3, roles=("labels", "instances"), seed=1)
    assert generate(model, one, tmp_path / "alone") == 0
    capsys.readouterr()
    assert generate(model, tmp_path / "set", tmp_path / "all", "--json") == 1
    reports = [json.loads(part) for part in capsys.readouterr().out.replace("}\n{", "}\0{").split("\0")]
    assert [bool(report["error"]) for report in reports] == [True, False, False]
    assert "bad" in reports[0]["error"]
    assert same(frames_of(tmp_path / "all" / "one"), frames_of(tmp_path / "alone"))
    assert len(frames_of(tmp_path / "all" / "two")) == 3
    shutil.rmtree(tmp_path / "set" / "bad")
    assert generate(model, tmp_path / "set", tmp_path / "clips" / "{name}.mkv") == 0
    with av.open(str(tmp_path / "clips" / "two.mkv")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 3
    assert generate(model, tmp_path / "set", tmp_path / "all.mkv") == 1
    assert "{name}.mkv" in capsys.readouterr().err


def film(path, maps, form):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width = maps[0].shape[:2]
        stream.pix_fmt = form
        for plane in maps:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(plane, format=form)))
        container.mux(stream.encode())
    return path


def test_a_video_of_maps_and_a_plain_folder_of_them(model, one, tmp_path):
    assert generate(model, one, tmp_path / "wanted") == 0
    wanted = frames_of(tmp_path / "wanted")
    labels, instances = ([plane[..., 0] for plane in frames_of(one / role)] for role in ("labels", "instances"))
    labels = film(tmp_path / "clip.mkv", labels, "gray")
    instances = film(tmp_path / "inst.mkv", instances, "gray16le")
    assert generate(model, labels, tmp_path / "a", "--instances", str(instances)) == 0
    assert generate(model, labels, tmp_path / "b", "--instances", str(one / "instances")) == 0
    assert generate(model, one / "labels", tmp_path / "c") == 0
    assert all(same(frames_of(tmp_path / name), wanted) for name in "abc")


def test_holes_are_told_and_what_is_no_video_is_named(model, one, tmp_path, capsys):
    for role in ("labels", "instances"):
        (one / role / "000002.png").unlink()
    assert generate(model, one, tmp_path / "a") == 0
    assert "lacks the frames 2" in capsys.readouterr().out
    assert generate(model, one / "labels" / "000000.png", tmp_path / "b") == 1
    assert "no video" in capsys.readouterr().err
    assert generate(model, one, tmp_path / "c", "--instances", str(tmp_path / "absent")) == 1
    assert "absent" in capsys.readouterr().err
