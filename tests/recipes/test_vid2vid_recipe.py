"""vid2vid: stages as data, the paper's values, losses against plain arithmetic, and exact resume amid a sequence."""

import copy
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import clip_ranks
import numpy as np
import pytest
import torch
from assembled import networks_of
from drawn_clips import STEP_PX, draw_clip, square
from tiny_runs import assert_same_bits, last

from ganvas.data.clips import PLACES, Clips
from ganvas.data.windows import Cut, Windows
from ganvas.errors import UserError
from ganvas.flow import warp
from ganvas.protocol import Context
from ganvas.recipes.vid2vid import video
from ganvas.recipes.vid2vid.batch import batch_of as batch_of_raw
from ganvas.recipes.vid2vid.cards import Conditions
from ganvas.recipes.vid2vid.generation import roll
from ganvas.recipes.vid2vid.recipe import Vid2VidRecipe
from ganvas.recipes.vid2vid.settings import PRESETS, PREVIEW
from ganvas.training import loop, step
from ganvas.training.feed import collate
from ganvas.training.trainer import Plan, Trainer

TINY = replace(
    PREVIEW, width=4, downs=1, blocks=2, discriminator_width=2, discriminator_scales=1, rounds=(2,), lengths=2,
    first_length=3, longest=7, frames_a_step=3, clip_frames=2, clip_strides=(1, 3), batch_size=2, perceptual="none",
    perceptual_weight=0.0, workers=0, checkpoint_every=1, keep_last=20, preview_every=100, log_every=1,
    sentinel="off", threads=1, things_are_foreground=True, pixel_weight=10.0, mask_weight=1.0, sampling="bilinear",
    given_share=0.5, flow_weight=10.0, mask_slope=1.0, repaint_relabelled=False, picture_rounds=0,
)  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    # Flushing guards against power failures, which no test here can cause.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips") / "set"
    for number in range(3):
        draw_clip(folder / f"clip_{number}", seed=number)
    return folder


def recipe_of(data, **changes):
    recipe = Vid2VidRecipe(replace(TINY, **{"data": str(data), **changes}))
    source = recipe.source(str(data))
    recipe.prepare(source)
    return recipe, source


def batch_of(recipe, source, context, part=0, indices=(0, 1)):
    """Return one chunk of windows, as the feed gives it: part 0, 1 ... of the same ones."""
    samples = recipe.samples(source, context.stage)
    return recipe.batch(collate([samples.part(i, np.random.default_rng(i), part) for i in indices]), context)


def plan_of(data, **changes):
    recipe, source = recipe_of(data, **changes)
    return Plan("vid2vid", recipe, source)


def a_step(data, indices=(0, 1), **changes):
    """Return recipe, networks, batch, context and what the first step generates."""
    recipe, source = recipe_of(data, **changes)
    torch.manual_seed(0)
    nets = networks_of(recipe)
    for parameter in nets.generator.parameters():
        parameter.data.mul_(5)
    context = Context(
        step=0, stage_step=0, images_seen=0, stage=recipe.stages()[0], random=torch.Generator().manual_seed(5)
    )
    batch = batch_of(recipe, source, context, indices=indices)
    outputs, carry = recipe.forward(nets, batch, {}, context)
    return recipe, nets, batch, context, outputs, carry


# Stages


def test_the_paper_is_in_the_presets():
    paper = PRESETS["512"]
    # Wang et al. 2018, appendix; the authors' published options.
    values = {
        "past_frames": 2, "clip_frames": 3, "clip_strides": (1, 3, 9), "width": 128, "downs": 3, "blocks": 9,
        "norm": "batch", "discriminator_width": 64, "discriminator_scales": 2, "betas": (0.5, 0.999),
        "matching_weight": 10.0, "perceptual_weight": 10.0, "flow_weight": 10.0, "warp_weight": 10.0,
        "perceptual": "vgg19", "first_length": 30 - 2, "longest": 128 - 2, "lengths": 20 // 5, "image_frames": "one",
        "backpropagated": 1, "pixel_weight": 0.0, "with_flow": True,
    }  # fmt: skip
    assert {name: getattr(paper, name) for name in values} == values
    assert paper.adversarial.base == "least_squares" and paper.adversarial.pairing == "plain"
    assert [PRESETS[name].scales for name in ("512", "1024", "2048")] == [1, 2, 3]
    assert PRESETS["2048"].rates == (2e-4, 1e-4, 5e-5)
    assert [rounds / 2975 for rounds in PRESETS["2048"].rounds] == [5, 2, 1]
    assert PRESETS["paper"] is paper


def test_sequences_grow_and_stay_within_bounds():
    recipe = Vid2VidRecipe(PRESETS["512"])
    assert [leg.length for leg in recipe.legs().values()] == [28, 56, 112, 126]
    stages = recipe.stages()
    assert [stage.steps for stage in stages] == [14_875 * chunks for chunks in (5, 10, 19, 21)]
    rates = [(stage.optimizers["generator"].rate, stage.optimizers["generator"].final_rate) for stage in stages]
    assert rates == [(2e-4, 2e-4), (2e-4, 2e-4), (2e-4, 1e-4), (1e-4, 0.0)]
    assert [stage.optimizers["generator"].schedule for stage in stages] == ["constant", "constant", "linear", "linear"]
    assert [stage.optimizers["generator"].hold for stage in stages[2:]] == [0, 0]


def test_the_data_bounds_the_length(data):
    recipe, _ = recipe_of(data, longest=50, lengths=4)
    assert [leg.length for leg in recipe.legs().values()] == [3, 6, 7, 7]
    with pytest.raises(UserError, match=r"8 frames.*--first-length 7"):
        recipe_of(data, first_length=8)


def test_single_frames_come_first_where_asked(data):
    recipe, _ = recipe_of(data, picture_rounds=5)
    first, *rest = recipe.stages()
    assert (first.name, first.steps, first.clip_length) == ("scale 1, single frames", 5, 1)
    assert first.optimizers["generator"].rate == first.optimizers["generator"].final_rate == TINY.rates[0]
    assert [stage.steps for stage in rest] == [stage.steps for stage in recipe_of(data)[0].stages()]


def test_single_frames_have_no_past(data):
    _, _, _, _, outputs, _ = a_step(data, picture_rounds=2, given_share=1.0)
    assert outputs["has_before"].tolist() == [[False], [False]]


def test_a_frame_without_a_past_is_judged_once_and_counts_twice(data):
    changes = {"picture_rounds": 2, "given_share": 0.0, "perceptual": "small", "perceptual_weight": 1.0,
               "perceptual_layers": ("relu1_1",)}  # fmt: skip
    recipe, nets, batch, context, outputs, _ = a_step(data, **changes)
    assert torch.equal(outputs["fake"], outputs["raw"])
    once = recipe.generator_losses(nets, batch, outputs, {}, context)
    # As if one of them had a past: both pictures are judged.
    twice = recipe.generator_losses(nets, batch, {**outputs, "has_before": ~outputs["has_before"]}, {}, context)
    for name in ("image", "matching", "pixel", "perceptual"):
        assert once[name].item() == pytest.approx(twice[name].item(), rel=1e-5), name
    judged = recipe.discriminator_losses(nets, batch, outputs, {}, context)
    assert set(judged) == {"image"} and judged["image"].isfinite()


def test_finer_scales_begin_alone(data):
    recipe, _ = recipe_of(data, scales=2, rounds=(2, 3), rates=(1e-3, 1e-4), alone_rounds=4)
    stages = {stage.name: stage for stage in recipe.stages()}
    alone = stages["scale 2 alone, 3 frames"]
    assert alone.steps == 4 and alone.frozen == ("generator.scale0.*",)
    assert stages["scale 2, 6 frames"].frozen == () and stages["scale 2, 6 frames"].optimizers["generator"].rate == 1e-4
    trainer = Trainer(Plan("vid2vid", recipe, recipe.clips))
    trainer.skip_to(list(stages).index(alone.name))
    before = {k: v.clone() for k, v in trainer.nets.generator.state_dict().items()}
    step.advance(trainer)
    after = trainer.nets.generator.state_dict()
    changed = {key.split(".")[0] for key, value in before.items() if not torch.equal(value, after[key])}
    assert changed == {"scale1"}
    trainer.feed.close()


# A step


def test_chunks_of_one_window_follow_each_other_and_then_a_new_one_begins(data):
    trainer = Trainer(plan_of(data, first_length=7, lengths=1, given_share=1.0))
    seen = []
    for _ in range(4):
        step.advance(trainer)
        seen.append((trainer.carry["made"], trainer.carry["windows"].tolist()))
    trainer.feed.close()
    assert [made for made, _ in seen] == [3, 6, 7, 3]
    assert seen[0][1] == seen[1][1] == seen[2][1] != seen[3][1]


def test_the_carry_goes_on_as_one_long_chunk_would(data):
    recipe, nets, _, context, outputs, carry = a_step(data, first_length=6, lengths=1)
    later, _ = recipe.forward(nets, batch_of(recipe, recipe.clips, context, 1), carry, context)
    whole = Vid2VidRecipe(replace(recipe.settings, frames_a_step=6))
    whole.prepare(recipe.clips)
    at_once, _ = whole.forward(nets, batch_of(whole, recipe.clips, context), {}, context)
    assert torch.allclose(torch.cat([outputs["fake"], later["fake"]], 1), at_once["fake"], atol=1e-6)
    assert torch.equal(carry["history"], outputs["fake"][:, -3:])


def test_a_chunk_of_other_windows_than_the_carry_s_begins_anew(data):
    recipe, nets, _, context, _, carry = a_step(data, first_length=6, lengths=1, given_share=0.0)
    others = batch_of(recipe, recipe.clips, context, 1, indices=(2, 0))
    assert others.made == carry["made"] == 3
    outputs, after = recipe.forward(nets, others, carry, context)
    assert outputs["has_before"].tolist() == [[False, True, True]] * 2
    assert torch.equal(after["history"], outputs["fake"])
    # Runs of old noted the number of a source, too.
    old = {**carry, "windows": torch.cat([torch.zeros(2, 1, dtype=torch.long), carry["windows"]], 1)}
    same, _ = recipe.forward(nets, batch_of(recipe, recipe.clips, context, 1), old, context)
    assert bool(same["has_before"].all())


def test_a_given_share_of_the_sequences_begins_with_its_first_frame(data):
    recipe, nets, _, context, *_ = a_step(data, given_share=0.5)
    samples = recipe.samples(recipe.clips, context.stage)
    raw = [samples.chunk((number, 0, coin)) for number, coin in enumerate((PLACES // 2 - 1, PLACES // 2))]
    outputs, _ = recipe.forward(nets, recipe.batch(collate(raw), context), {}, context)
    assert outputs["has_before"].tolist() == [[True, True, True], [False, True, True]]
    assert torch.equal(outputs["fake"][1, 0], outputs["raw"][1, 0])
    assert float(outputs["before"][1, 0].abs().max()) == 0 < float(outputs["before"][0, 0].abs().max())


@pytest.mark.parametrize(("reach", "wanted"), [(1, [0, 0, 0]), (2, [0, 1, 0]), (3, [0, 1, 1])])
def test_gradients_flow_back_through_as_many_frames_as_asked(data, reach, wanted):
    _, nets, _, _, outputs, _ = a_step(data, backpropagated=reach, given_share=1.0)
    bias = nets.generator.scale0.model_final_img[1].bias
    reached = []
    for number in range(3):
        before = outputs["before"][:, number]
        gradient = torch.autograd.grad(before.sum(), bias, retain_graph=True)[0] if before.requires_grad else bias * 0
        reached.append(int(float(gradient.detach().abs().sum()) > 0))
    assert reached == wanted


def test_temporal_losses_equal_plain_arithmetic(data):
    recipe, nets, batch, context, outputs, _ = a_step(data, given_share=1.0, mask_from="exact")
    ledger = recipe.generator_losses(nets, batch, outputs, {}, context)
    real, before, flow = (part.double().flatten(0, 1) for part in (batch.target, batch.target_before, batch.flow))
    known = batch.trust.double().flatten(0, 1)
    fake, raw, guess = (outputs[name].double().flatten(0, 1) for name in ("fake", "raw", "flow"))
    mask = outputs["mask"].double().flatten(0, 1)
    trust = known * (((real - warp(before, flow)) ** 2).sum(1, keepdim=True) < 0.02)
    made_before = torch.cat([batch.target_before[:, :1], outputs["fake"][:, :-1]], 1).double().flatten(0, 1)
    wanted = {
        "flow": 10 * ((guess - flow).abs() * trust).mean(),
        "flow_warp": 10 * ((warp(before, guess) - real).abs() * trust).mean(),
        "made_warp": 10 * ((fake - warp(made_before, flow)).abs() * trust).mean(),
        "mask": 1.0 * (mask * trust).mean(),
        "mask_teacher": (mask - (1 - known)).abs().mean(),
        "pixel": 10 * ((fake - real).abs().mean() + (raw - real).abs().mean()),
    }
    for name, value in wanted.items():
        assert abs(float(ledger[name]) - float(value)) < 1e-4 * max(1.0, float(value)), name
    assert {"image", "matching", "clip1"} <= set(ledger) and "clip3" not in ledger


def test_adversarial_losses_see_labels_frames_and_clips(data):
    recipe, nets, batch, context, outputs, _ = a_step(data, image_frames="all", given_share=1.0)
    ledger = recipe.discriminator_losses(nets, batch, outputs, {}, context)

    def score(picture):
        seen = torch.cat([batch.labels.flatten(0, 1), picture.flatten(0, 1)], 1)
        return nets.discriminator(seen)[0].score

    real = score(batch.target)
    fakes = [score(outputs[name]) for name in ("fake", "raw")]
    wanted = sum(((real - 1) ** 2).mean() + (fake**2).mean() for fake in fakes) / 2 / 2
    assert abs(float(ledger["image"]) - float(wanted)) < 1e-5
    # The same clips, since all frames are looked at and the clips alone are drawn.
    random = torch.Generator().manual_seed(5)
    ((stride, real, fake),) = video.draw_clips(recipe.settings, batch, 3, outputs["fake"], random)
    r, f = (nets.clip_discriminator_1(clip)[0].score for clip in (real, fake))
    assert stride == 1 and real.shape[1] == 2 * 3 + 2  # two frames and the flow between them
    wanted = ((r - 1) ** 2).mean() + (f**2).mean()
    assert ledger["clip1"].item() == pytest.approx(wanted.item() / 2, rel=1e-5)


def test_long_strides_join_in_when_the_clip_is_long_enough(data):
    recipe, nets, batch, context, outputs, carry = a_step(data, first_length=7, lengths=1, given_share=1.0)
    first = recipe.discriminator_losses(nets, batch, outputs, {}, context)
    after = batch_of(recipe, recipe.clips, context, 1)
    later, _ = recipe.forward(nets, after, carry, context)
    second = recipe.generator_losses(nets, after, later, carry, context)
    assert "clip3" not in first and "clip3" in second
    shown = video.shown(later, carry["history"])
    clips = video.draw_clips(recipe.settings, after, 7, shown, context.random)
    everything = torch.cat([outputs["fake"], later["fake"]], 1)
    stride, real, made = clips[1]
    assert stride == 3 and real.shape == made.shape == (2, 8, 16, 32)
    pairs = [(last - 3, last) for last in range(3, 6)]
    assert any(torch.equal(made[:, :6], everything[:, list(pair)].flatten(1, 2)) for pair in pairs)


def test_repainting_compares_classes_and_neither_boundaries_nor_styles(data):
    recipe, *_ = a_step(data, repaint_relabelled=True, mask_slope=3.0, instance_features=3, encoder_width=2)
    settings = recipe.card().settings
    told = Conditions(recipe.settings, recipe.clips)
    assert settings["repainted_classes"] == told.num_labels < told.channels < settings["channels_label"]
    assert settings["mask_slope"] == 3.0 and recipe_of(data)[0].card().settings["repainted_classes"] == 0


def test_exact_flow_and_mask_instead_of_learned_ones(data):
    recipe, nets, batch, context, outputs, _ = a_step(
        data, flow_use="replace", mask_from="exact", mask_use="replace", given_share=1.0
    )
    assert torch.equal(outputs["flow"], batch.flow) and torch.equal(outputs["mask"], 1 - batch.trust)
    assert "flow" not in recipe.generator_losses(nets, batch, outputs, {}, context)
    assert recipe.card().extra["replaces"] == ["flow", "mask"]


EVERY_LOSS = {"D.image", "D.clip1", "G.image", "G.matching", "G.pixel", "G.clip1", "G.flow", "G.flow_warp",
              "G.made_warp", "G.mask"}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({"with_flow": False}, {"G.flow", "G.flow_warp", "G.mask"}),
        ({"clip_strides": ()}, {"D.clip1", "G.clip1"}),
        ({"things_are_foreground": False}, set()),
        ({"flow_from": "none"}, {"G.flow", "G.made_warp"}),
        ({"scales": 2}, set()),
    ],
    ids=lambda value: str(sorted(value)),  # a set's own text differs from process to process
)
def test_ablations_and_variants_train_by_the_losses_that_they_have(data, changes, lacks):
    if "scales" in changes:
        changes = {**changes, "rounds": (1, 1), "rates": (1e-3, 1e-3)}
    trainer = Trainer(plan_of(data, **changes))
    before = {name: copy.deepcopy(net.state_dict()) for name, net in trainer.nets.items()}
    observed = step.advance(trainer)
    trainer.feed.close()
    assert {name for name in observed.values if name[:2] in ("D.", "G.")} == EVERY_LOSS - lacks
    # A stride of 3 has no room in the first stage, and the second scale joins later.
    idle = {"clip_discriminator_3"}
    for name, net in trainer.nets.items():
        moved = any(not torch.equal(value, before[name][key]) for key, value in net.state_dict().items())
        assert moved == (name not in idle), name


def test_previews_and_scores(data):
    recipe, nets, _, context, *_ = a_step(data)
    shown = recipe.previews(recipe.clips, context.stage)
    raw = collate([shown.sample(i, np.random.default_rng(i)) for i in range(2)])
    assert shown.parts == 1 and raw["picture"].shape[:2] == (2, 8)
    batch = recipe.batch(raw, context)
    strip = recipe.sample(nets, batch, context).split(32, dim=-1)
    with torch.no_grad():
        whole = roll(recipe.settings, nets, batch, None, 1)
    wanted = [raw["picture"][:, -1], *((whole[name][:, -1] + 1) / 2 for name in ("fake", "raw")), whole["mask"][:, -1]]
    for mine, theirs in zip(strip, wanted, strict=True):
        torch.testing.assert_close(mine, theirs.clamp(0, 1).expand_as(mine))
    scores = recipe.score(nets, recipe.clips, context)
    assert next(iter(scores)) == "minus_l1" and scores["warping_error_of_real"] < 1e-4 < scores["warping_error"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scales": 2}, "rounds has 1"),
        ({"flow_use": "replace", "flow_from": "dis"}, "exact"),
        ({"mask_use": "replace"}, "--mask-from exact"),
        ({"given_share": 1.5}, "0 to 1"),
        ({"frames_a_step": 0}, "frames_a_step"),
    ],
)
def test_contradictions_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        Vid2VidRecipe(replace(TINY, **changes))


# The real engine


class Crash(Exception):
    pass


def test_a_run_broken_off_in_the_middle_of_a_sequence_ends_bit_equal(tmp_path, data, monkeypatch):
    changes = {"first_length": 7, "lengths": 1, "given_share": 0.5, "backpropagated": 2}
    whole = loop.train(plan_of(data, **changes), tmp_path / "whole", quiet=True)
    assert last(whole).step == 6
    for at in (1, 2, 4):  # the windows' second and third chunk, and again the second
        original = Vid2VidRecipe.generator_losses

        def losses(self, nets, batch, outputs, carry, context, at=at, original=original):
            if context.step == at:
                raise Crash
            return original(self, nets, batch, outputs, carry, context)

        with monkeypatch.context() as patch:
            patch.setattr(Vid2VidRecipe, "generator_losses", losses)
            with pytest.raises(Crash):
                loop.train(plan_of(data, **changes), tmp_path / f"broken-{at}", quiet=True)
        assert 0 < last(tmp_path / f"broken-{at}").state["carry"][0]["made"] < 7
        torch.manual_seed(99)
        loop.resume(plan_of(data, **changes), tmp_path / f"broken-{at}", quiet=True)
        assert_same_bits(whole, tmp_path / f"broken-{at}")


def test_two_processes_train_as_one_does(tmp_path, data):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    tests = Path(__file__).parents[1]
    folders = os.pathsep.join(map(str, (tests / "recipes", tests / "training", tests, tests.parent / "src")))
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "clip_ranks", str(data), str(tmp_path / "two")],
            env={**os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": folders},
        )
        for rank in range(2)
    ]
    alone = last(loop.train(clip_ranks.plan(str(data)), tmp_path / "one", quiet=True))
    assert [process.wait(240) for process in both] == [0, 0]
    shared = last(tmp_path / "two")
    # Each rank carries its own clip.
    carries = [shared.groups[f"carry-{rank}"]["pictures"] for rank in range(2)]
    # Bicubic fetching hands on the rounding noise of the flow: weights agree to 4e-6, pictures to 2e-4.
    assert torch.allclose(torch.cat(carries), alone.groups["carry-0"]["pictures"], atol=5e-4)
    # A bias before a norm has no gradient but rounding noise, of which Adam makes whole steps.
    weights = {key: value for key, value in alone.groups["networks"].items() if key.endswith("weight")}
    for key, value in weights.items():
        assert torch.allclose(value, shared.groups["networks"][key], atol=2e-5), key


def test_an_encoder_of_styles_learns_with_the_generator(data):
    recipe, nets, batch, context, outputs, _ = a_step(data, instance_features=3, encoder_width=2, given_share=1.0)
    assert recipe.card().settings["channels_label"] == 3 + 3 and "encoder" in recipe.cards()
    assert all(turn.trains[-1] == "encoder" for turn in recipe.stages()[0].turns if turn.side == "generator")
    total = sum(recipe.generator_losses(nets, batch, outputs, {}, context).values())
    gradient = torch.autograd.grad(total, nets.encoder.model[1].weight)[0]
    assert float(gradient.abs().sum()) > 0


def test_condition_pictures_take_the_place_of_label_maps(tmp_path):
    folder = draw_clip(tmp_path / "set" / "one")
    (folder / "labels").rename(tmp_path / "unused")
    shutil.copytree(folder / "frames", folder / "conditions")
    recipe, nets, batch, context, outputs, _ = a_step(
        tmp_path / "set", things_are_foreground=False, indices=(0, 0)
    )  # fmt: skip
    assert torch.equal(batch.labels, batch.target) and recipe.card().settings["channels_label"] == 3
    pixel = recipe.generator_losses(nets, batch, outputs, {}, context)["pixel"]
    # The frames are the conditions: what is wrong with the pictures is how far they are from these.
    distances = [(outputs[name] - batch.labels).abs().mean() for name in ("fake", "raw")]
    assert pixel.item() == pytest.approx(10 * sum(distances).item(), rel=1e-5)
    with pytest.raises(UserError, match="no label maps"):
        recipe_of(tmp_path / "set", things_are_foreground=False, instance_features=3)


def test_frames_a_stride_apart_and_the_flow_between_them(data):
    clips = Clips(data)
    cut = Cut(length=7, frames=3, reach=4, memory=2)
    batch = batch_of_raw(collate([Windows(clips, cut).chunk((0, 0, 0), 1)]), clips.num_labels, True)
    everything = clips.read(0, range(1, 8))["picture"] * 2 - 1
    assert (batch.made, batch.num_frames) == (3, 3)
    assert torch.equal(batch.target[0], everything[3:6]) and torch.equal(batch.target_before[0], everything[2:5])
    for end in (4, 5):
        real, flow = batch.strided(end, 2, 3)
        assert torch.equal(real[0], everything[[end - 4, end - 2, end]])
    inside, before = (torch.from_numpy(square(frame, 16, 32)) for frame in (6, 4))  # generated frame 5 is the file's 6
    assert torch.allclose(flow[0, 1][:, inside & before], -2 * torch.tensor([STEP_PX]).float().T)
