"""Recipe pix2pixhd: stages and their hand-over, losses by plain arithmetic, the paper's values, exact resume."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from assembled import networks_of

from ganvas.data.conditions import class_of_segment, colorize, instance_of_segment, pack, segments, shrink, unpack
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.protocol import Context
from ganvas.recipes.base import find
from ganvas.recipes.pix2pixhd.recipe import PREVIEW, Pix2PixHD
from ganvas.training import loop, step
from ganvas.training.trainer import Plan, Trainer

TINY = replace(
    PREVIEW, width_px=64, height_px=32, global_width=8, downs=2, blocks=1, encoder_width=4, discriminator_width=4,
    discriminator_layers=1, global_steps=2, enhancer_steps=2, joint_steps=2, checkpoint_every=1, preview_every=3,
    score_every=6, precision="float32", threads=1, workers=1, num_labels=4, instance_features=2,
)  # fmt: skip


class Crash(Exception):
    """Stands for a kill: nothing is saved."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four scenes of 64 x 32 px: ground, sky and two boxes, each box an instance of its own colour."""
    root = tmp_path_factory.mktemp("scenes")
    random = np.random.default_rng(0)
    for folder in ("frames", "labels", "instances", "inputs"):
        (root / folder).mkdir()
    for number in range(4):
        labels = np.zeros((32, 64), np.uint8)
        labels[16:] = 1
        instances, picture = labels.astype(np.uint16), np.where(labels[..., None], 90, 200).repeat(3, 2)
        for box in range(2):
            x, y = random.integers(0, 48), random.integers(8, 20)
            labels[y : y + 9, x : x + 14], instances[y : y + 9, x : x + 14] = 2, 2000 + box
            picture[y : y + 9, x : x + 14] = random.integers(0, 255, 3)
        planes = {"frames": picture.astype(np.uint8), "labels": labels, "instances": instances,
                  "inputs": (60 * labels).astype(np.uint8)}  # fmt: skip
        for folder, plane in planes.items():
            images.write(root / folder / f"{number}.png", plane)
    return root


def paired(data, role):
    return f"{role}={data / ('labels' if role == 'labels' else 'inputs')},picture={data / 'frames'}" + (
        f",instances={data / 'instances'}" if role == "labels" else ""
    )


def plan(data, role="labels", val=False, **changes):
    recipe = Pix2PixHD(replace(TINY, data=str(data), **changes))
    source = recipe.source(paired(data, role))
    recipe.prepare(source)
    return Plan("pix2pixhd", recipe, source, source.subset([0, 1]) if val else None)


def context(recipe, name, seed=0):
    stage = next(stage for stage in recipe.stages() if stage.name == name)
    return Context(step=0, stage_step=0, images_seen=0, stage=stage, random=torch.Generator().manual_seed(seed))


def batch_of(plan, name, number=2):
    random = np.random.default_rng(1)
    samples = [plan.train.sample(index, random) for index in range(number)]
    raw = {key: torch.stack([sample[key] for sample in samples]) for key in samples[0]}
    return raw, plan.recipe.batch(raw, context(plan.recipe, name))


# Stages


def test_stages_go_from_coarse_to_fine_in_one_command(data):
    stages = Pix2PixHD(replace(TINY, enhancers=2, global_width=8, width_px=128, height_px=64)).stages()
    assert [(stage.name, stage.resolution) for stage in stages] == [
        ("global", 32), ("enhancer1", 64), ("enhancer2", 128), ("joint", 128),
    ]  # fmt: skip
    assert stages[2].frozen == ("generator.model.*", "generator.model1_*") and not stages[3].frozen
    generators = [set(stage.turns[1].trains) for stage in stages]
    assert generators == [{"generator", "encoder", "heads"}, {"generator", "heads"}, {"generator"},
                          {"generator", "encoder"}]  # fmt: skip
    assert [stage.name for stage in Pix2PixHD(replace(TINY, enhancers=0)).stages()] == ["global"]
    assert [stage.name for stage in Pix2PixHD(replace(TINY, joint_steps=0)).stages()] == ["global", "enhancer1"]


def snapshot(trainer, prefix):
    return {
        key: value.detach().clone()
        for key, value in trainer.nets.generator.named_parameters()
        if key.startswith(prefix)
    }


def moved(trainer, before):
    return {key: not torch.equal(dict(trainer.nets.generator.named_parameters())[key], before[key]) for key in before}


def test_each_stage_trains_its_part_and_the_optimiser_is_handed_over(data):
    trainer = Trainer(plan(data))
    seen = {}
    try:
        for _ in range(6):
            trainer.enter_due()
            name = trainer.stage.name
            first, second = snapshot(trainer, "model."), snapshot(trainer, "model1_")
            step.advance(trainer)
            # Biases before an instance norm have no gradient: only weights say what was trained.
            seen[name] = tuple(
                {value for key, value in moved(trainer, before).items() if key.endswith("weight")}
                for before in (first, second)
            )
    finally:
        trainer.feed.close()
    assert seen == {"global": ({True}, {False}), "enhancer1": ({False}, {True}), "joint": ({True}, {True})}
    steps = trainer.optimizers.adams["generator"].state
    inner = dict(trainer.nets.generator.named_parameters())
    # G1 was trained in two stages of two steps, the enhancer in two others: both moments went on.
    assert int(steps[inner["model.1.weight"]]["step"]) == int(steps[inner["model1_1.1.weight"]]["step"]) == 4


def test_the_rate_of_a_frozen_part_falls_in_the_joint_stage_too(data):
    trainer = Trainer(plan(data, joint_steps=4, joint_hold=0.0))
    rates = []
    try:
        for _ in range(8):
            step.advance(trainer)
            rates.append(trainer.rates["generator"])
    finally:
        trainer.feed.close()
    assert rates[4:] == pytest.approx([TINY.rate * share for share in (1, 0.75, 0.5, 0.25)])


def test_the_generator_runs_once_a_step(data):
    trainer = Trainer(plan(data, enhancers=0))
    calls = []
    trainer.nets.generator.register_forward_hook(lambda *_: calls.append(1))
    try:
        step.advance(trainer)
    finally:
        trainer.feed.close()
    assert len(calls) == 1


def test_coarse_stages_are_judged_by_the_coarsest_discriminators(data):
    recipe = Pix2PixHD(replace(TINY, discriminator_scales=3, enhancers=1, width_px=128, height_px=64))
    assert [recipe.num_scales(level) for level in (0, 1)] == [2, 3]
    recipe = Pix2PixHD(replace(TINY, discriminator_scales=1))
    assert [recipe.num_scales(level) for level in (0, 1)] == [1, 1]


# Data


def test_a_batch_has_the_stage_s_size_and_both_kinds_of_planes(data):
    tiny = plan(data)
    raw, batch = batch_of(tiny, "global")
    assert batch.condition.shape == (2, 5, 16, 32) and batch.real.shape == (2, 3, 16, 32)
    cells = raw["picture"].reshape(2, 3, 16, 2, 32, 2).mean((3, 5)) * 2 - 1
    assert torch.allclose(batch.real, cells, atol=1e-6)
    assert torch.equal(batch.condition[:, :4].argmax(1, keepdim=True), raw["label_map"][:, :, 1::2, 1::2])
    assert torch.equal(batch.condition[:, :4].sum(1), torch.ones(2, 16, 32))
    assert set(batch.condition[:, 4].unique().tolist()) == {0.0, 1.0}


def test_segments_tell_classes_apart_under_one_instance():
    labels, instances = torch.tensor([[0, 1, 2, -1, 2]]), torch.tensor([[0, 0, 26001, 0, -1]])
    ids = segments(labels[None, None], instances[None, None])
    assert len(ids.unique()) == 5
    assert torch.equal(class_of_segment(ids)[0, 0], labels) and torch.equal(instance_of_segment(ids)[0, 0], instances)


def test_packed_conditions_come_back():
    labels = torch.tensor([[[[-1, 0, 3000]]]])
    edges = torch.tensor([[[[1.0, 0.0, 1.0]]]])
    codes = pack(labels, edges)
    assert codes.dtype == torch.int16
    assert all(torch.equal(ours, given) for ours, given in zip(unpack(codes), (labels, edges)))


def test_shrinking_takes_means_and_middles():
    values = torch.arange(24.0).reshape(1, 1, 4, 6)
    assert shrink(values, 2)[0, 0, 0, 0] == (0 + 1 + 6 + 7) / 4
    assert shrink(values.long(), 2).flatten().tolist() == [7, 9, 11, 19, 21, 23]


def test_label_colours_are_the_palette_s():
    shown = colorize(torch.tensor([[[[2, -1, 5]]]]), {2: (255, 0, 51)})
    assert shown[0, :, 0, 0].tolist() == pytest.approx([1, 0, 0.2]) and shown[0, :, 0, 1].sum() == 0
    assert 0 < shown[0, :, 0, 2].max() <= 1


# Losses


def reals_and_fakes(tiny, name, seed=0):
    torch.manual_seed(seed)
    nets = networks_of(tiny.recipe)
    _, batch = batch_of(tiny, name)
    made, carry = tiny.recipe.forward(nets, batch, {}, context(tiny.recipe, name))
    return nets, batch, made, carry


@pytest.mark.parametrize(("name", "scales"), [("global", 1), ("joint", 2)])
def test_losses_of_a_step_by_plain_arithmetic(data, name, scales):
    tiny = plan(data, pixel_weight=3.0)
    nets, batch, outputs, _ = reals_and_fakes(tiny, name)
    here = context(tiny.recipe, name)
    with torch.no_grad():
        judged = {
            kind: nets.discriminator(torch.cat([batch.condition, picture], 1), scales)
            for kind, picture in (("real", batch.real), ("fake", outputs["fake"]))
        }
        ours = tiny.recipe.discriminator_losses(nets, batch, outputs, {}, here)
        theirs = tiny.recipe.generator_losses(nets, batch, outputs, {}, here)
    real, fake = ([v.score.double().numpy() for v in judged[kind]] for kind in ("real", "fake"))
    assert len(real) == scales
    critic = sum(0.5 * (((r - 1) ** 2).mean() + (f**2).mean()) for r, f in zip(real, fake))
    assert float(ours["gan"]) == pytest.approx(critic, rel=1e-5)
    assert float(theirs["gan"]) == pytest.approx(sum(((f - 1) ** 2).mean() for f in fake), rel=1e-5)
    matching = 0.0
    for r, f in zip(judged["real"], judged["fake"]):
        layers = list(zip(r.features[:-1], f.features[:-1]))
        matching += 4 / len(layers) / scales * sum(float((a - b).abs().double().mean()) for a, b in layers)
    assert float(theirs["features"]) == pytest.approx(10 * matching, rel=1e-5)
    error = float((outputs["fake"].detach() - batch.real).abs().double().mean())
    assert float(theirs["pixel"]) == pytest.approx(3 * error, rel=1e-5)


def test_small_features_are_compared_where_they_have_layers(data):
    recipe = plan(data, perceptual="small").recipe
    assert list(recipe.fixed()["features"](torch.rand(1, 3, 32, 32))) == ["relu1_1", "relu2_1", "relu3_1", "relu4_1"]
    assert recipe.settings.layer_weights == {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4}


@pytest.mark.parametrize("means", [False, True])
def test_perceptual_loss_feeds_as_the_flag_says(data, means):
    layers, weights = ("conv1_2", "relu2_1"), (0.25, 1.0)
    tiny = plan(
        data, perceptual="small", perceptual_layers=layers, perceptual_layer_weights=weights, imagenet_means=means
    )
    nets, batch, outputs, _ = reals_and_fakes(tiny, "joint")
    with torch.no_grad():
        found = tiny.recipe.generator_losses(nets, batch, outputs, {}, context(tiny.recipe, "joint"))["perceptual"]
        features = nets.features.features
        seen = []
        for picture in (outputs["fake"], batch.real):
            x, maps = picture, {}
            if means:
                shift, spread = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
                x = (picture * 0.5 + 0.5 - shift) / spread
            for place, module in enumerate(list(features)[:7]):
                x = F.max_pool2d(x, 2) if place == 4 else module(x)
                maps[place] = x
            seen.append((maps[2], maps[6]))
    expected = sum(weight * float((a - b).abs().mean()) for weight, a, b in zip(weights, *seen))
    assert float(found) == pytest.approx(10 * expected, rel=1e-4)


def test_the_encoder_learns_through_the_generator_only(data):
    tiny = plan(data)
    nets, _, outputs, _ = reals_and_fakes(tiny, "joint")
    outputs["fake"].square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in nets.encoder.named_parameters() if "29" in n)
    # The discriminator sees condition and picture, no styles.
    assert nets.discriminator.get_submodule("scale0_layer0")[0].in_channels == 4 + 1 + 3


def test_replay_keeps_a_fake_with_its_condition(data):
    tiny = plan(data, replay_size=2)
    nets, batch, outputs, carry = reals_and_fakes(tiny, "joint")
    assert carry["replay1.count"] == 2 and torch.equal(outputs["shown_condition"], batch.condition)
    again, carry = tiny.recipe.forward(nets, batch._replace(condition=batch.condition * 0), carry,
                                       context(tiny.recipe, "joint", seed=3))  # fmt: skip
    for shown, condition in zip(again["shown"], again["shown_condition"]):
        is_old = condition.sum() > 0
        row = [torch.allclose(shown, old, atol=0.005) for old in outputs["fake"]]
        assert any(row) == bool(is_old)
    # A larger size begins a pool of its own, and the old one is forgotten.
    _, small = batch_of(tiny, "global")
    _, carry = tiny.recipe.forward(nets, small, carry, context(tiny.recipe, "global"))
    assert {key.partition(".")[0] for key in carry} == {"replay0"}


def test_without_weights_there_is_no_discriminator(data):
    tiny = plan(data, gan_weight=0.0, feature_matching_weight=0.0, pixel_weight=1.0)
    nets, batch, outputs, _ = reals_and_fakes(tiny, "joint")
    assert "discriminator" not in nets and all(len(stage.turns) == 1 for stage in tiny.recipe.stages())
    assert set(tiny.recipe.generator_losses(nets, batch, outputs, {}, context(tiny.recipe, "joint"))) == {"pixel"}


# Whole runs


def last(run):
    return runs.newest_checkpoint(run)[0]


def test_killed_in_every_stage_and_resumed_it_ends_bit_equal(data, tmp_path, monkeypatch):
    changes = {"replay_size": 3}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    loop.train(plan(data, val=True, **changes), whole, quiet=True)
    original, due = Pix2PixHD.generator_losses, [1, 3, 5]

    def crash(self, nets, batch, outputs, carry, context):
        if due and context.step == due[0]:
            due.pop(0)
            raise Crash
        return original(self, nets, batch, outputs, carry, context)

    with monkeypatch.context() as patch:
        patch.setattr(Pix2PixHD, "generator_losses", crash)
        for life in (loop.train, loop.resume, loop.resume):
            torch.manual_seed(99)
            with pytest.raises(Crash):
                life(plan(data, val=True, **changes), killed, quiet=True)
    loop.resume(plan(data, val=True, **changes), killed, quiet=True)
    assert not due
    one, other = last(whole), last(killed)
    assert one.step == other.step == 6
    for group, tensors in one.groups.items():
        assert tensors.keys() == other.groups[group].keys()
        assert [key for key, value in tensors.items() if not torch.equal(value, other.groups[group][key])] == []
    scores = next(entry["scores"] for entry in runs.read_log(whole) if "scores" in entry)
    assert scores["minus_swd"] < 0 and scores["minus_l1"] < 0
    assert -1 <= scores["minus_repetition"] <= 0 and "minus_distance" in scores and "miou" not in scores
    assert images.read(whole / "latest.png")[0].shape[1] % (3 * 64) == 0


def test_a_score_reads_labels_off_by_a_segmenter_that_is_trained_once(data, tmp_path, monkeypatch):
    monkeypatch.setenv("GANVAS_HOME", str(tmp_path))
    ours = plan(data, val=True, score_probe_steps=40)
    recipe, nets = ours.recipe, Trainer(ours).nets
    painted = {name: recipe.score(nets, ours.val, context(recipe, name)) for name in ("global", "joint")}
    assert "miou" not in painted["global"]
    (kept,) = (tmp_path / "scores").iterdir()
    before = kept.stat().st_mtime_ns
    monkeypatch.setattr(recipe, "forward", lambda nets, batch, carry, context: ({"fake": batch.real}, {}))
    real = recipe.score(nets, ours.val, context(recipe, "joint"))["miou"]
    assert 1 >= real > painted["joint"]["miou"] + 0.15 and painted["joint"]["miou"] >= 0
    assert kept.stat().st_mtime_ns == before


def test_pictures_to_pictures(data, tmp_path):
    changes = {"instance_features": 0, "num_labels": 0, "enhancers": 0, "global_steps": 1}
    tiny = plan(data, role="input", **changes)
    run = loop.train(tiny, tmp_path / "run", quiet=True)
    card = runs.read_json(run / runs.SETTINGS)["card"]
    assert card["input"] == "picture" and card["channels_in"] == 3
    with pytest.raises(UserError, match="instance"):
        plan(data, role="input", instance_features=3)


def test_the_card_tells_what_generating_needs(data):
    recipe = plan(data, num_labels=0).recipe
    card = recipe.card()
    assert card.input == "labels" and card.extra["num_labels"] == 3 and card.extra["features"] == 2
    assert card.channels_in == 3 + 1 + 2 and card.multiple_of == 8
    assert recipe.cards()["discriminator"].channels_in == 3 + 1 + 3
    with pytest.raises(UserError, match="labels"):
        networks_of(Pix2PixHD(replace(TINY, num_labels=0)))


# Settings


PAPER_TABLE = {
    # Wang et al. 2018: appendix A (c7s1-64, four halvings, nine blocks; the enhancer c7s1-32).
    "global_width": 64, "downs": 4, "blocks": 9, "enhancers": 1, "local_blocks": 3,
    # Section 4: 2048 x 1024 pictures of Cityscapes; section 3.2 and appendix A: three discriminators of 70 px.
    "width_px": 2048, "height_px": 1024, "discriminator_scales": 3, "discriminator_width": 64,
    # Section 4: LSGAN, lambda 10 for feature matching, the same for VGG; Adam 2e-4, betas of the authors' options.
    "discriminator_layers": 3,
    "feature_matching_weight": 10.0, "perceptual_weight": 10.0, "gan_weight": 1.0, "pixel_weight": 0.0,
    "perceptual": "vgg19", "perceptual_layers": ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"),
    "perceptual_layer_weights": (0.03125, 0.0625, 0.125, 0.25, 1.0), "imagenet_means": False,
    "rate": 2e-4, "betas": (0.5, 0.999), "batch_size": 1, "replay_size": 0, "boundaries": True, "mirror": True,
    # The authors' scripts: 100 + 100 epochs, then 50 + 50 of which 10 with G1 fixed, of 2975 pictures.
    "global_steps": 200 * 2975, "enhancer_steps": 10 * 2975, "joint_steps": 90 * 2975, "global_hold": 0.5,
    "joint_hold": 40 / 90, "average_half_life": 0.0, "instance_features": 0,
}  # fmt: skip


def test_the_paper_preset_holds_the_paper_s_values():
    found = asdict(Pix2PixHD.PRESETS["paper"])
    assert {name: found[name] for name in PAPER_TABLE} == PAPER_TABLE
    assert found["adversarial"] == asdict(AdversarialLoss(base="least_squares", pairing="plain"))
    assert Pix2PixHD.PRESETS["paper_styles"].instance_features == 3


def test_the_paper_s_networks_have_the_published_sizes():
    with torch.device("meta"):
        recipe = Pix2PixHD(replace(Pix2PixHD.PRESETS["paper"], num_labels=35, perceptual="none"))
        nets = networks_of(recipe)
    count = {name: sum(p.numel() for p in net.parameters()) for name, net in nets.items()}
    assert count == {"generator": 182_857_059, "heads": 64 * 3 * 49 + 3, "discriminator": 8_404_803}


def test_every_preset_builds_its_stages_and_the_recipe_is_found_by_name():
    assert find("pix2pixhd") is Pix2PixHD
    for settings in Pix2PixHD.PRESETS.values():
        assert Pix2PixHD(settings).stages()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"enhancers": 2, "width_px": 66}, "multiple of 4"),
        ({"global_width": 9}, "multiple of 2"),
        ({"enhancers": -1}, "enhancers"),
        ({"height_px": 16, "discriminator_scales": 3}, "too small"),
        ({"pixel_weight": -1.0}, "pixel_weight"),
        ({"global_steps": -1}, "global_steps"),
        ({"gan_weight": 0.0, "feature_matching_weight": 0.0}, "nothing to learn"),
        ({"perceptual_layers": ("relu1_1",)}, "one weight for each"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, named):
    with pytest.raises(UserError, match=named):
        Pix2PixHD(replace(TINY, **changes))
