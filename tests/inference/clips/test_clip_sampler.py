"""Clips from label maps: exact frame counts, constant work, going on where it broke off, and clear refusals."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from drawn_clips import draw_clip

from ganvas import cli
from ganvas.data.clips import as_tensors, condition_of, read_condition
from ganvas.data.sequences import find_clips
from ganvas.errors import UserError
from ganvas.flow import warp
from ganvas.inference.clips import sampler as clips
from ganvas.inference.clips.sampler import ClipOptions, generate_clip
from ganvas.inference.clips.styles import ClipStyles
from ganvas.io.pictures import images
from ganvas.io.video.frames import FramePattern
from ganvas.io.video.reader import VideoReader
from ganvas.io.weights import files as weights
from ganvas.networks.pix2pixhd.layouts import generator_card
from ganvas.networks.pix2pixhd.net import GlobalGenerator
from ganvas.networks.vid2vid.net import Vid2Vid, next_frame, no_past, past_of
from ganvas.protocol import Card

SETTINGS = {"channels_label": 3, "width": 4, "downs": 1, "blocks": 2, "norm": "instance", "foreground": [1]}


def save_model(path, first="optional", with_flow=True, **extra):
    torch.manual_seed(0)
    settings = {**SETTINGS, "with_flow": with_flow}
    net = Vid2Vid(**settings).eval()
    for parameter in net.parameters():
        parameter.data.mul_(4)
    known = {"num_labels": 2, "edges": True, "first_frame": first, "replaces": [], **extra}
    weights.save(path, net.state_dict(), Card(network="vid2vid", settings=settings, input="clip", extra=known))
    return net


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return draw_clip(tmp_path_factory.mktemp("clip") / "one", frames=7)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "net.safetensors"
    save_model(path)
    return path


def conditions(folder):
    (one,) = find_clips(folder)
    return [condition_of(as_tensors(read_condition(one, frame, 2)), 2, True) for frame in range(len(one))]


def read_all(folder):
    return np.stack([images.read(path)[0] for path in sorted(folder.glob("*.png"))])


@pytest.mark.parametrize("with_first", [False, True])
def test_frames_are_the_recurrence_with_rounded_pictures(clip, model, tmp_path, with_first):
    first = str(clip / "frames" / "000000.png") if with_first else ""
    report = generate_clip(model, clip, tmp_path / "out", ClipOptions(first=first))
    made = read_all(tmp_path / "out")
    assert report.frames == len(made) == 7 and report.resumed_frames == 0 and made.dtype == np.uint8

    net, labels = save_model(tmp_path / "again.safetensors"), conditions(clip)
    given = torch.from_numpy(images.read(clip / "frames" / "000000.png")[0] / 255.0).permute(2, 0, 1)[None].float()
    past = past_of(net, labels[0], given * 2 - 1) if with_first else no_past(net, labels[0])
    if with_first:
        assert np.array_equal(made[0], images.read(clip / "frames" / "000000.png")[0])
    for number in range(int(with_first), 7):
        with torch.no_grad():
            frame, past = next_frame(net, labels[number], past)
        wanted = ((frame.picture[0].permute(1, 2, 0) + 1) / 2 * 255).numpy()
        difference = np.abs(made[number] - wanted)
        # Half a level is rounding; untrained norms of nearly constant maps add a little.
        assert difference.mean() < 0.3 and np.median(difference) < 0.5, number
        # Fed back is what was written, so that differences do not add up.
        written = torch.from_numpy(made[number] / 255.0).permute(2, 0, 1)[None].float() * 2 - 1
        past = past._replace(pictures=torch.cat([past.pictures[:, :-3], written], 1))


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("with_first", [False, True])
@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_clip_that_was_gone_on_with_is_the_unbroken_one(clip, model, tmp_path, at, with_first):
    options = ClipOptions(first=str(clip / "frames" / "000000.png") if with_first else "")
    generate_clip(model, clip, tmp_path / "whole", options)

    def stop(done, total):
        if done == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        generate_clip(model, clip, tmp_path / "broken", options, stop)
    assert len(list((tmp_path / "broken").glob("*.png"))) == at
    report = generate_clip(model, clip, tmp_path / "broken", options)
    assert report.resumed_frames == at and report.frames == 7
    assert np.array_equal(read_all(tmp_path / "whole"), read_all(tmp_path / "broken"))
    assert not list((tmp_path / "broken").glob(".*"))


def test_another_anchor_is_another_clip_and_begins_anew(clip, model, tmp_path):
    def stop(done, total):
        if done == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        generate_clip(model, clip, tmp_path / "out", ClipOptions(), stop)
    with pytest.raises(UserError, match="exist already"):
        generate_clip(model, clip, tmp_path / "out", ClipOptions(anchor=0.5))


def test_a_full_anchor_shows_the_hallucinated_pictures(clip, model, tmp_path):
    report = generate_clip(model, clip, tmp_path / "out", ClipOptions(anchor=1.0))
    net, labels = save_model(tmp_path / "again.safetensors"), conditions(clip)
    made = read_all(tmp_path / "out")
    before = [torch.from_numpy(made[t] / 255.0).permute(2, 0, 1)[None].float() * 2 - 1 for t in (3, 4)]
    with torch.no_grad():
        raw = net(torch.cat(labels[3:6], 1), torch.cat(before, 1)).raw
    assert np.abs(made[5] - ((raw[0].permute(1, 2, 0).numpy() + 1) / 2 * 255)).max() < 1.0
    assert len(report.facts["drift"]) == 7 and report.facts["drift"][0] == 0 < report.facts["drift"][5]


def test_repainting_leads_from_the_fetched_to_the_hallucinated_pictures(clip, model, tmp_path):
    drift = {}
    for repaint in (-3.0, 0.0, 3.0, 1e4):
        drift[repaint] = sum(
            generate_clip(model, clip, tmp_path / str(repaint), ClipOptions(repaint=repaint)).facts["drift"]
        )
    assert drift[-3.0] > drift[0.0] > drift[3.0] > drift[1e4] == 0
    generate_clip(model, clip, tmp_path / "anchor", ClipOptions(anchor=1.0))
    assert all(map(np.array_equal, read_all(tmp_path / "10000.0"), read_all(tmp_path / "anchor")))
    save_model(tmp_path / "no-flow.safetensors", with_flow=False)
    with pytest.raises(UserError, match="no mask"):
        generate_clip(tmp_path / "no-flow.safetensors", clip, tmp_path / "a", ClipOptions(repaint=1.0))


def save_painter(path, num_labels=2, boundaries=True, features=0, attachments=None):
    torch.manual_seed(1)
    card = generator_card(num_labels, boundaries, features, width=4, downs=1, blocks=1)
    net = GlobalGenerator(**card.settings)
    weights.save(path, net.state_dict(), card, attachments)
    return net


def test_a_painter_paints_all_frames_and_the_model_holds_them_still(clip, tmp_path):
    painter = save_painter(tmp_path / "painter.safetensors")
    net = save_model(tmp_path / "net.safetensors", first="needed")
    generate_clip(tmp_path / "net.safetensors", clip, tmp_path / "out",
                  ClipOptions(painter=str(tmp_path / "painter.safetensors")))  # fmt: skip
    made, labels = read_all(tmp_path / "out").astype(np.float32) / 127.5 - 1, conditions(clip)
    past = [torch.zeros(1, 3, 16, 32)] * 2
    with torch.no_grad():
        for number, condition in enumerate(labels):
            painted = painter(condition)
            frame = net(torch.cat([labels[max(0, number - back)] for back in (2, 1, 0)], 1), torch.cat(past[-2:], 1))
            anew = frame.mask if number else torch.ones_like(frame.mask)
            # What is foreground, label 1, has no past.
            anew = torch.where(condition[:, 1:2] > 0, 1, anew)
            wanted = painted * anew + warp(past[-1], frame.flow) * (1 - anew)
            past.append(torch.from_numpy(made[number]).permute(2, 0, 1)[None])
            assert (past[-1] - wanted).abs().max() < 0.52 / 127.5, number
    assert (past[-1] - painted).abs().mean() > 0.02


def test_a_painter_paints_in_styles_of_its_own_and_by_seed(clip, tmp_path):
    gathered = {
        "styles.labels": torch.arange(2), "styles.centers": torch.rand(2, 3), "styles.counts": torch.ones(2),
        "instances.label": torch.arange(2).repeat(4), "instances.share": torch.ones(8),
        "instances.features": torch.rand(8, 3) * 2 - 1,
    }  # fmt: skip
    painter = save_painter(tmp_path / "painter.safetensors", features=3, attachments=gathered)
    save_model(tmp_path / "net.safetensors", first="needed")
    planes = as_tensors(read_condition(find_clips(clip)[0], 0, 2))
    made = []
    for seed in (0, 1):
        options = ClipOptions(painter=str(tmp_path / "painter.safetensors"), seed=seed)
        generate_clip(tmp_path / "net.safetensors", clip, tmp_path / str(seed), options)
        styles = ClipStyles(gathered, 3, seed).planes(planes["label_map"], planes["instance_map"], 0)
        with torch.no_grad():
            wanted = (painter(torch.cat([conditions(clip)[0], styles], 1))[0].permute(1, 2, 0).numpy() + 1) / 2
        made.append(read_all(tmp_path / str(seed))[0])
        assert np.abs(made[-1] - 255 * wanted).max() <= 0.51
    assert np.abs(made[0].astype(int) - made[1]).mean() > 1


@pytest.mark.parametrize(("boundaries", "features"), [(True, 0), (False, 3)])
def test_another_model_makes_the_first_frame(clip, tmp_path, boundaries, features):
    painter = save_painter(tmp_path / "painter.safetensors", 2, boundaries, features)
    save_model(tmp_path / "net.safetensors", first="needed")
    generate_clip(tmp_path / "net.safetensors", clip, tmp_path / "out",
                  ClipOptions(first=str(tmp_path / "painter.safetensors")))  # fmt: skip
    condition = torch.cat([conditions(clip)[0][:, : 2 + boundaries], torch.zeros(1, features, 16, 32)], 1)
    with torch.no_grad():
        wanted = (painter(condition)[0].permute(1, 2, 0).numpy() + 1) / 2
    assert np.abs(read_all(tmp_path / "out")[0] - 255 * wanted).max() <= 0.51
    # From then on the frames depend on it.
    generate_clip(tmp_path / "net.safetensors", clip, tmp_path / "real",
                  ClipOptions(first=str(clip / "frames" / "000000.png")))  # fmt: skip
    assert np.abs(read_all(tmp_path / "out")[1:].astype(int) - read_all(tmp_path / "real")[1:]).mean() > 1

    save_painter(tmp_path / "other.safetensors", num_labels=3, boundaries=False)
    with pytest.raises(UserError, match=r"3 classes.*this sequence has 2"):
        generate_clip(tmp_path / "net.safetensors", clip, tmp_path / "no",
                      ClipOptions(first=str(tmp_path / "other.safetensors")))  # fmt: skip


def test_videos_have_every_frame_and_exact_times(clip, model, tmp_path):
    options = ClipOptions(fps=Fraction(30000, 1001), bits=10)
    generate_clip(model, clip, tmp_path / "out.mp4", options)
    with VideoReader(tmp_path / "out.mp4") as reader:
        frames = list(reader)
        assert reader.header.bits == 10 and reader.header.fps == Fraction(30000, 1001)
        assert [frame.pts * reader.header.time_base for frame in frames] == [n / options.fps for n in range(7)]
    generate_clip(model, clip, tmp_path / "deep.####.png", ClipOptions(bits=16))
    picture, header = images.read(FramePattern(tmp_path, "deep.", ".png", 4).path(0))
    assert header.dtype == "uint16" and picture.shape == (16, 32, 3)


def test_memory_does_not_grow_with_the_clip(clip, model, tmp_path):
    # What a frame needs is what stays alive: the tensors that exist while frame 3 and frame 7 are made.
    import gc

    (one,) = find_clips(clip)
    sampler = clips.ClipSampler(model, one, ClipOptions())
    alive = []
    for _ in sampler.frames():
        gc.collect()
        alive.append(sum(t.numel() for t in gc.get_objects() if isinstance(t, torch.Tensor)))
    assert alive[3] == alive[6]


def test_exact_flow_is_used_where_the_model_was_trained_with_it(clip, tmp_path):
    path = tmp_path / "net.safetensors"
    save_model(path, replaces=["flow", "mask"])
    first = str(clip / "frames" / "000000.png")
    generate_clip(path, clip, tmp_path / "out", ClipOptions(first=first))
    made, real = read_all(tmp_path / "out"), read_all(clip / "frames")
    # The plain stands still and is not drawn anew: it is the first frame's all along.
    labels = read_all(clip / "labels")[..., 0]
    still = (labels == 0).all(0)
    assert np.abs(made[6][still].astype(int) - real[0][still].astype(int)).max() <= 1


def test_key_points_alone_are_drawn_at_the_size_of_training(tmp_path):
    settings = {**SETTINGS, "foreground": []}
    torch.manual_seed(0)
    known = {"num_labels": 0, "edges": False, "first_frame": "unused", "replaces": [], "size_px": [32, 16]}
    card = Card(network="vid2vid", settings=settings, input="clip", extra=known)
    weights.save(tmp_path / "net.safetensors", Vid2Vid(**settings).state_dict(), card)
    (tmp_path / "dance").mkdir()
    frames = [[[4 + number, 3], [20, 12 - number]] for number in range(4)]
    (tmp_path / "dance" / "points.json").write_text(json.dumps({"frames": frames, "lines": [[0, 1]]}))
    report = generate_clip(tmp_path / "net.safetensors", tmp_path / "dance", tmp_path / "out", ClipOptions())
    made = read_all(tmp_path / "out")
    assert (report.frames, report.width, report.height) == (4, 32, 16) and made[0].std() > 0
    # Other points are another clip.
    (tmp_path / "dance" / "points.json").write_text(json.dumps({"frames": frames[::-1], "lines": [[0, 1]]}))
    generate_clip(tmp_path / "net.safetensors", tmp_path / "dance", tmp_path / "other", ClipOptions())
    assert not np.array_equal(made[0], read_all(tmp_path / "other")[0])


# Refusals


def test_what_does_not_go_together_is_refused(clip, model, tmp_path):
    save_model(tmp_path / "needs.safetensors", first="needed")
    with pytest.raises(UserError, match="--first"):
        generate_clip(tmp_path / "needs.safetensors", clip, tmp_path / "a", ClipOptions())
    images.write(tmp_path / "small.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match=r"8x8.*32x16"):
        generate_clip(model, clip, tmp_path / "a", ClipOptions(first=str(tmp_path / "small.png")))
    with pytest.raises(UserError, match="instances"):
        generate_clip(model, draw_clip(tmp_path / "bare", roles=["labels"]), tmp_path / "a", ClipOptions())
    save_model(tmp_path / "flow.safetensors", replaces=["flow"])
    bare = draw_clip(tmp_path / "flowless", roles=["labels", "instances"])
    with pytest.raises(UserError, match="no flow"):
        generate_clip(tmp_path / "flow.safetensors", bare, tmp_path / "a", ClipOptions())
    with pytest.raises(UserError, match="anchor"):
        generate_clip(model, clip, tmp_path / "a", ClipOptions(anchor=2))
    draw_clip(tmp_path / "two" / "a", frames=2)
    draw_clip(tmp_path / "two" / "b", frames=2)
    with pytest.raises(UserError, match="2 sequences"):
        generate_clip(model, tmp_path / "two", tmp_path / "a", ClipOptions())


def test_odd_sizes_are_refused_by_the_codec_before_work_begins(model, tmp_path):
    odd = draw_clip(tmp_path / "odd", frames=2, height=15, width=31)
    begun = []
    with pytest.raises(UserError, match="31"):
        generate_clip(model, odd, tmp_path / "odd.mp4", ClipOptions(), lambda *done: begun.append(done))
    assert not begun and not list(tmp_path.glob("*.mp4"))
    assert generate_clip(model, odd, tmp_path / "odd-frames", ClipOptions()).frames == 2


def test_the_verb(clip, model, tmp_path, capsys):
    arguments = ["generate", str(model), "--labels", str(clip), "--out", str(tmp_path / "v.mp4"), "--json"]
    assert cli.main(arguments) == cli.DONE
    told = json.loads(capsys.readouterr().out)
    assert told["frames"] == 7 and told["width"] == 32 and len(told["drift"]) == 7
    assert cli.main([*arguments[:-1]]) == cli.USER_ERROR
    assert "exists already" in capsys.readouterr().err
    assert cli.main([*arguments[:-1], "--fps", "zero"]) == cli.USAGE
