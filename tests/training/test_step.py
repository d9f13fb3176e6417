"""One step, against the same step written out by hand, and the properties that a step must have."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from line_recipe import DISCRIMINATOR, GENERATOR, Line, Settings, Vectors, plan, stage, vectors
from tiny_runs import assert_same_tensors
from tiny_runs import plan as tiny_plan
from torch import nn

from ganvas.errors import UserError
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.networks.rrdb.net import RRDBNet
from ganvas.protocol import Ledger, Networks, Optimizer, Recipe
from ganvas.training import step
from ganvas.training.feed import order
from ganvas.training.trainer import Trainer


def turn(which, **changes):
    return type(which)(**{**vars(which), **changes})


OPEN: list[Trainer] = []


@pytest.fixture(autouse=True)
def close_feeds():
    yield
    while OPEN:
        OPEN.pop().feed.close()


def trainer_of(recipe, source=None, steps=0, **more):
    OPEN.append(made := Trainer(plan(recipe, source, **more)))
    for _ in range(steps):
        step.advance(made)
    return made


def parameters(trainer):
    return {f"{name}/{key}": value for name, net in trainer.nets.items() for key, value in net.named_parameters()}


def assert_close(mine, theirs, tolerance=1e-6):
    for key, value in mine.items():
        torch.testing.assert_close(value, theirs[key], rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}")


# Against a plain writing


def by_hand(nets, num_steps, num_repeats=1, batch_size=4, length=24, clip=0.0):
    """Train a least-squares GAN by plain autograd, and Adam by its published formula."""
    moments = {}

    def optimise(name, loss, count):
        weights = list(nets[name].parameters())
        gradients = torch.autograd.grad(loss, weights)
        if clip:
            norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
            gradients = [g * min(1, clip / (norm + 1e-6)) for g in gradients]  # torch's own small term
        for index, (weight, gradient) in enumerate(zip(weights, gradients)):
            first, second = moments.get((name, index), (0, 0))
            first, second = 0.5 * first + 0.5 * gradient, 0.9 * second + 0.1 * gradient**2
            moments[name, index] = first, second
            with torch.no_grad():
                weight -= 1e-2 * (first / (1 - 0.5**count)) / ((second / (1 - 0.9**count)).sqrt() + 1e-8)

    position, count = 0, 0
    stream = np.concatenate([order(length, 0, epoch) for epoch in range(20)])
    for done in range(num_steps):
        for _ in range(num_repeats):
            samples = [vectors(int(index)) for index in stream[position : position + batch_size]]
            position += batch_size
            latent, real = (torch.stack([s[key] for s in samples]) for key in ("latent", "real"))
            fake = nets["generator"](latent).detach()
            loss = (nets["discriminator"](real) - 1).square().mean() + nets["discriminator"](fake).square().mean()
            count += 1
            optimise("discriminator", loss, count)
        loss = (nets["discriminator"](nets["generator"](latent)) - 1).square().mean()
        optimise("generator", loss, done + 1)


@pytest.mark.parametrize(("repeats", "clip"), [(1, 0.0), (3, 0.0), (1, 0.05)])
def test_steps_equal_a_plain_writing(repeats, clip):
    def networks():
        return Networks({name: net.double() for name, net in Line().networks().items()})

    turns = (turn(DISCRIMINATOR, repeats=repeats), GENERATOR)
    recipe = Line(Settings(clip_gradient=clip), [stage(7, turns)], networks)
    trainer = trainer_of(recipe, Vectors(dtype=torch.float64))
    nets = copy.deepcopy(dict(trainer.nets))
    before = copy.deepcopy(parameters(trainer))
    for net in nets.values():
        net.requires_grad_(True)
    for _ in range(7):
        step.advance(trainer)
    by_hand(nets, 7, repeats, clip=clip)
    expected = {f"{name}/{key}": value for name, net in nets.items() for key, value in net.named_parameters()}
    assert_close(parameters(trainer), expected, 1e-10)
    assert all((value != before[key]).any() for key, value in expected.items())


# Batches and forwards


def test_one_forward_serves_both_sides_where_it_may():
    recipe = Line(stages=[stage(2)])
    trainer_of(recipe, steps=2)
    assert [(seen["step"], seen["graph"]) for seen in recipe.forwards] == [(0, True), (1, True)]


@pytest.mark.parametrize("changes", [{}, {"repeats": 2}, {"precision": "bfloat16"}])
def test_a_shared_forward_equals_two(changes, monkeypatch):
    # With dropout in the generator, batch norm and spectral norm in the discriminator, and noise in the batch.
    shared = Trainer(tiny_plan(first_steps=1, **changes))
    for _ in range(4):
        step.advance(shared)
    monkeypatch.setattr(step, "_generator_after", lambda turn, later: None)
    separate = Trainer(tiny_plan(first_steps=1, **changes))
    for _ in range(4):
        step.advance(separate)
    for name in ("networks", "optimizers", "averages", "carry-0"):
        assert_same_tensors(shared.groups()[name], separate.groups()[name])


def test_every_repeat_and_a_fresh_turn_draw_new_samples():
    turns = (turn(DISCRIMINATOR, repeats=3), turn(GENERATOR, fresh_batch=True))
    recipe = Line(stages=[stage(2, turns)])
    trainer = trainer_of(recipe, steps=2)
    drawn = [seen["numbers"] for seen in recipe.forwards]
    assert len(drawn) == 8
    assert [number for numbers in drawn for number in numbers] == [*order(24, 0, 0), *order(24, 0, 1)[:8]]
    assert trainer.images_seen == trainer.feed.position == 32
    # Only what a generator learns from has a graph.
    assert [seen["graph"] for seen in recipe.forwards] == [False, False, False, True] * 2


def test_a_turn_without_a_fresh_batch_uses_the_samples_of_the_turn_before():
    recipe = Line(stages=[stage(1, (GENERATOR, DISCRIMINATOR))])
    trainer_of(recipe, steps=1)
    # After the generator's step its outputs are things of the past: new fakes of the same samples.
    assert [seen["graph"] for seen in recipe.forwards] == [True, False]
    assert recipe.forwards[0]["numbers"] == recipe.forwards[1]["numbers"]


@pytest.mark.parametrize("side", [DISCRIMINATOR, GENERATOR])
def test_accumulation_equals_the_large_batch(side):
    def gradients(batch_size, micro_batches):
        recipe = Line(Settings(batch_size=batch_size, micro_batches=micro_batches), [stage(1, (side,))])
        moments = trainer_of(recipe, steps=1).optimizers.tensors()
        return {key: value for key, value in moments.items() if key.endswith("exp_avg")}

    assert_close(gradients(4, 3), gradients(12, 1), 1e-6)


@dataclass(frozen=True, kw_only=True)
class CoupledSettings(Settings):
    adversarial: AdversarialLoss = field(default_factory=AdversarialLoss)


def coupled_d(recipe, nets, batch, outputs, carry, context):
    real, fake = nets.discriminator(batch.real), nets.discriminator(outputs["fake"])
    return Ledger({"gan": recipe.settings.adversarial.discriminator(real, fake)})


def coupled_g(recipe, nets, batch, outputs, carry, context):
    real, fake = nets.discriminator(batch.real), nets.discriminator(outputs["fake"])
    return Ledger({"gan": recipe.settings.adversarial.generator(real, fake)})


@pytest.mark.parametrize("pairing", ["average", "centred", "all_pairs"])
@pytest.mark.parametrize("side", [DISCRIMINATOR, GENERATOR])
def test_exact_means_make_accumulation_equal_the_large_batch(side, pairing):
    def gradients(batch_size, micro_batches, exact):
        loss = AdversarialLoss(base="least_squares", pairing=pairing, exact_means=exact)
        settings = CoupledSettings(batch_size=batch_size, micro_batches=micro_batches, adversarial=loss)
        recipe = Line(settings, [stage(2, (side,))], d_losses=coupled_d, g_losses=coupled_g)
        trainer = trainer_of(recipe, Vectors(dtype=torch.float32), steps=2)
        return {key: value for key, value in trainer.optimizers.tensors().items() if key.endswith("exp_avg")}

    whole = gradients(12, 1, False)
    assert_close(gradients(4, 3, True), whole, 1e-6)
    apart = gradients(4, 3, False)
    assert any((value - whole[key]).abs().max() > 1e-5 for key, value in apart.items())


def test_what_accumulation_changes_is_told_of_any_recipe_with_a_coupled_loss():
    def told(micro_batches, turns=(DISCRIMINATOR, GENERATOR), **loss):
        settings = CoupledSettings(micro_batches=micro_batches, adversarial=AdversarialLoss(**loss))
        return trainer_of(Line(settings, [stage(1, turns)])).notices()

    (notice,) = told(2, pairing="average")
    assert "within each of the 2 micro-batches" in notice
    assert not told(1, pairing="average") and not told(2) and not told(2, pairing="average", exact_means=True)
    assert not told(2, (GENERATOR,), pairing="average")


def test_accumulation_reuses_each_micro_batch_in_the_generators_turn():
    recipe = Line(Settings(micro_batches=2), [stage(1)])
    trainer_of(recipe, steps=1)
    numbers = [seen["numbers"] for seen in recipe.forwards]
    assert numbers[:2] == numbers[2:] and numbers[0] != numbers[1]


def test_the_carry_goes_on_once_a_batch_and_each_turn_sees_that_of_its_batch():
    seen = []

    def losses(recipe, nets, batch, outputs, carry, context):
        seen.append((context.step, context.turn.side[0], carry.get("calls", 0)))
        return Ledger({"loss": nets[context.turn.trains[0]](batch.latent).mean()})

    trainer = trainer_of(Line(Settings(micro_batches=2), [stage(2)], d_losses=losses, g_losses=losses), steps=2)
    assert seen == [(n, side, 2 * n + k) for n in range(2) for side in "dg" for k in range(2)]
    assert trainer.carry == {"calls": 4}


def test_a_carry_that_no_checkpoint_can_hold_is_refused():
    class Wrong(Line):
        def forward(self, nets, batch, carry, context):
            return super().forward(nets, batch, carry, context)[0], {"past": [1, 2]}

    with pytest.raises(UserError, match="'past', of type list"):
        trainer_of(Wrong(), steps=1)


def test_chance_is_new_in_every_turn_and_the_same_in_every_run():
    def drawn():
        seen = []

        class Noisy(Line):
            def forward(self, nets, batch, carry, context):
                seen.append(torch.randn(1, generator=context.random).item())
                seen.append(torch.rand(1).item())
                return super().forward(nets, batch, carry, context)

        def losses(recipe, nets, batch, outputs, carry, context):
            seen.append(torch.randn(1, generator=context.random).item())
            return Ledger({"loss": nets[context.turn.trains[0]](batch.latent).mean()})

        turns = (turn(DISCRIMINATOR, repeats=3), GENERATOR)
        trainer_of(Noisy(stages=[stage(2, turns)], d_losses=losses, g_losses=losses), steps=2)
        return seen

    first, second = drawn(), drawn()
    assert first == second and len(set(first)) == len(first) == 2 * (3 * 2 + 4)


# What is trained


def test_each_turn_gives_gradients_only_to_what_it_trains():
    seen = {}

    def losses(recipe, nets, batch, outputs, carry, context):
        seen[context.turn.side] = {name for name, net in nets.items() if any(p.requires_grad for p in net.parameters())}
        seen[context.turn.side + " outputs"] = outputs["fake"].requires_grad
        return Ledger({"loss": nets.discriminator(outputs["fake"]).mean()})

    trainer_of(Line(stages=[stage(1)], d_losses=losses, g_losses=losses), steps=1)
    assert seen["discriminator"] == {"discriminator"} and not seen["discriminator outputs"]
    assert seen["generator"] == {"generator"} and seen["generator outputs"]


def test_frozen_parameters_stand_still_and_keep_their_moments():
    stages = [stage(2, name="first"), stage(3, name="second", frozen=("generator.0.*", "*.2.bias"))]
    trainer = trainer_of(Line(stages=stages), steps=2)
    before = copy.deepcopy((parameters(trainer), trainer.optimizers.tensors()))
    for _ in range(3):
        step.advance(trainer)
    frozen = {"generator/0.weight", "generator/0.bias", "generator/2.bias", "discriminator/2.bias"}
    after = parameters(trainer), trainer.optimizers.tensors()
    assert {key for key, value in after[0].items() if value.equal(before[0][key])} == frozen
    still = {key.rpartition("/")[0] for key, value in after[1].items() if value.equal(before[1][key])}
    assert still == frozen
    assert after[1]["generator/0.weight/step"] == 2 and after[1]["generator/2.weight/step"] == 5


def test_the_users_patterns_hold_in_every_stage_and_a_parameter_that_the_recipe_holds_still_stays_so():
    def networks():
        nets = Line().networks()
        nets.generator[2].bias.requires_grad_(False)
        return nets

    trainer = trainer_of(Line(networks=networks), steps=0, freeze=("*.0.weight",))
    before = copy.deepcopy(parameters(trainer))
    for _ in range(3):
        step.advance(trainer)
    same = {key for key, value in parameters(trainer).items() if value.equal(before[key])}
    assert same == {"generator/0.weight", "discriminator/0.weight", "generator/2.bias"}


def test_a_new_stage_keeps_moments_and_takes_new_rates():
    rates = {"generator": Optimizer(rate=3e-3, betas=(0.5, 0.9))}
    stages = [stage(2, (GENERATOR,)), stage(2, (GENERATOR,), name="later", optimizers=rates)]
    split = trainer_of(Line(stages=stages), steps=4)
    assert split.rates == {"generator": 3e-3}
    assert split.optimizers.tensors()["generator/0.weight/step"] == 4
    same = trainer_of(Line(stages=[stage(2, (GENERATOR,)), stage(2, (GENERATOR,), name="later")]), steps=4)
    whole = trainer_of(Line(stages=[stage(4, (GENERATOR,))]), steps=4)
    assert_same_tensors(same.groups()["networks"], whole.groups()["networks"])


@pytest.mark.parametrize(
    ("recipe", "more", "said"),
    [
        (Line(stages=[stage(1, (turn(GENERATOR, trains=("genrator",)),))]), {}, "Did you mean generator"),
        (Line(stages=[stage(1, optimizers={"generator": Optimizer()})]), {}, "says no rate"),
        (Line(stages=[stage(0)]), {}, "no steps"),
        (Line(), {"freeze": ("genrator.*",)}, "No parameter matches"),
        (Line(g_losses=lambda *_: Ledger({"raw": torch.zeros(3)})), {}, r"'raw' has the shape \(3,\)"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(recipe, more, said):
    with pytest.raises(UserError, match=said):
        trainer_of(recipe, steps=1, **more)


def test_an_empty_ledger_leaves_the_networks_alone():
    trainer = trainer_of(Line(stages=[stage(2)], d_losses=lambda *_: Ledger()), steps=0)
    before = copy.deepcopy(parameters(trainer))
    step.advance(trainer)
    changed = {key.split("/")[0] for key, value in parameters(trainer).items() if not value.equal(before[key])}
    assert changed == {"generator"}


# Precision and layout


def after_steps(settings, steps=3, networks=None):
    trainer = trainer_of(Line(settings, [stage(steps)], networks), steps=steps)
    return parameters(trainer), trainer


def test_bfloat16_keeps_its_parameters_in_float32_and_stays_near():
    seen = []

    def losses(recipe, nets, batch, outputs, carry, context):
        seen.append(outputs["fake"].dtype)
        return Ledger({"loss": nets.discriminator(outputs["fake"]).mean()})

    trainer_of(Line(Settings(precision="bfloat16"), [stage(1)], g_losses=losses), steps=1)
    assert seen == [torch.bfloat16]
    low, _ = after_steps(Settings(precision="bfloat16"))
    full, _ = after_steps(Settings())
    assert all(value.dtype == torch.float32 for value in low.values())
    assert_close(low, full, 2e-2)
    assert any(not value.equal(full[key]) for key, value in low.items())


def small(recipe, nets, batch, outputs, carry, context):
    # Small enough that the first scale, 65536, fits into float16; and one step with a loss that does not.
    factor = 1e30 if context.step == 1 and recipe.settings.seed else 1e-3
    return Ledger({"loss": factor * outputs["fake"].float().square().mean()})


def test_float16_scales_its_losses_and_stays_near():
    def after(precision):
        recipe = Line(Settings(precision=precision), [stage(3, (GENERATOR,))], g_losses=small)
        return trainer_of(recipe, steps=3)

    low, full = after("float16"), after("float32")
    assert low.scaler.get_scale() == 65536.0
    assert_close(parameters(low), parameters(full), 1e-3)


def test_float16_answers_an_overflow_by_a_smaller_scale_and_no_step():
    recipe = Line(Settings(precision="float16", seed=1), [stage(3, (GENERATOR,))], g_losses=small)
    trainer = trainer_of(recipe, steps=1)
    before = copy.deepcopy(parameters(trainer))
    seen = step.advance(trainer)
    assert trainer.scaler.get_scale() == seen.loss_scale == 32768.0
    assert "generator" not in seen.gradient_norms
    assert_same_tensors(dict(parameters(trainer)), before)
    step.advance(trainer)
    assert trainer.optimizers.tensors()["generator/0.weight/step"] == 2


def test_a_gradient_that_is_not_finite_changes_no_weight():
    def losses(recipe, nets, batch, outputs, carry, context):
        return Ledger({"loss": nets.generator(batch.latent).mean() * float("inf")})

    trainer = trainer_of(Line(stages=[stage(1, (GENERATOR,))], g_losses=losses))
    before = copy.deepcopy(parameters(trainer))
    seen = step.advance(trainer)
    assert not math.isfinite(seen.gradient_norms["generator"])
    assert_same_tensors(dict(parameters(trainer)), before)


def rrdb_gradients(dropout=0.0, **changes):
    def networks():
        torch.manual_seed(0)
        net = RRDBNet(width=8, blocks=3, growth=4, scale=2)
        for block in net.body:
            block.rdb1 = nn.Sequential(block.rdb1, nn.Dropout(dropout))
        return Networks(generator=net)

    recipe = PictureLine(Settings(**changes), [stage(1, (GENERATOR,))], networks, g_losses=squares)
    moments = trainer_of(recipe, steps=1).optimizers.tensors()
    return {key: value for key, value in moments.items() if key.endswith("exp_avg")}


def squares(recipe, nets, batch, outputs, carry, context):
    return Ledger({"pixel": (outputs["fake"] - 0.5).square().mean()})


class PictureLine(Line):
    def forward(self, nets, batch, carry, context):
        picture = batch.latent[:, :, None, None] * torch.linspace(0, 1, 64).view(8, 8)
        return {"fake": nets.generator(picture)}, carry


def test_recomputed_blocks_give_the_same_gradients_with_dropout_in_them():
    assert_same_tensors(rrdb_gradients(0.2, activation_checkpoints=True), rrdb_gradients(0.2))


def test_channels_last_gives_nearly_the_same_gradients():
    assert_close(rrdb_gradients(channels_last=True), rrdb_gradients(channels_last=False), 1e-6)


def test_an_average_is_its_closed_form():
    half_life, batch = 20.0, 4

    def losses(recipe, nets, batch, outputs, carry, context):
        return Ledger({"loss": nets.generator(batch.latent).square().mean()})

    recipe = Line(Settings(average_half_life=half_life), [stage(60, (GENERATOR,))], g_losses=losses)
    trainer = trainer_of(recipe)
    averages = trainer.averages.nets.generator.state_dict()
    history = [copy.deepcopy(averages)]
    for _ in range(60):
        step.advance(trainer)
        history.append(copy.deepcopy(trainer.nets.generator.state_dict()))
    for key, average in averages.items():
        expected = history[0][key].double()
        for done, present in enumerate(history[1:], start=1):
            keep = 0.5 ** (batch / min(half_life, 0.1 * done * batch))
            expected = keep * expected + (1 - keep) * present[key].double()
        torch.testing.assert_close(average.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_stage_may_begin_its_averages_anew():
    stages = [stage(2, (GENERATOR,)), stage(1, (GENERATOR,), name="anew", restarts_average=True)]
    trainer = trainer_of(Line(Settings(average_half_life=1e9), stages), steps=2)
    trainer.enter_due()
    assert_same_tensors(trainer.averages.nets.generator.state_dict(), trainer.nets.generator.state_dict())


# What the engine sees to


def test_the_margin_is_that_of_every_comparison_over_all_scales():
    hinge = AdversarialLoss(base="hinge")
    real, fake = torch.tensor([[3.0], [1.0]]), torch.tensor([[-1.0], [-2.0]])

    def d_losses(recipe, nets, batch, outputs, carry, context):
        touched = 0 * nets.discriminator(batch.real).mean()
        by_scale = hinge.discriminator([real, 2 * real], [fake, fake])
        return Ledger({"gan": by_scale + touched, "clip": hinge.discriminator(real, real)})

    seen = step.advance(trainer_of(Line(d_losses=d_losses)))
    # The scales' margins are 3.5 and 5.5, the clip's is 0.
    assert seen.values["margin"] == pytest.approx((4.5 + 0) / 2)


def test_a_margin_of_a_recipe_s_own_stands():
    def d_losses(recipe, nets, batch, outputs, carry, context):
        loss = AdversarialLoss().discriminator(nets.discriminator(batch.real), nets.discriminator(outputs["fake"]))
        ledger = Ledger({"gan": loss})
        ledger.observed["margin"] = torch.tensor(7.0)
        return ledger

    assert step.advance(trainer_of(Line(d_losses=d_losses))).values["margin"] == 7


class WithFeatures(Line):
    """Compares features of a network that nothing trains."""

    def __init__(self, name="features", **more):
        super().__init__(g_losses=self.compare, **more)
        torch.manual_seed(5)
        self.name, self.net, self.asked = name, nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5)), 0

    def fixed(self):
        self.asked += 1
        return {self.name: self.net.train()}

    @staticmethod
    def compare(recipe, nets, batch, outputs, carry, context):
        assert nets.features is recipe.net
        return Ledger({"features": (nets.features(outputs["fake"]) - nets.features(batch.real)).abs().mean()})


def test_fixed_networks_are_handed_out_and_neither_trained_nor_kept():
    recipe = WithFeatures()
    before = copy.deepcopy(recipe.net.state_dict())
    trainer = trainer_of(recipe, steps=3)
    assert recipe.asked == 1 and not recipe.net.training
    assert all(torch.equal(value, before[key]) for key, value in recipe.net.state_dict().items())
    assert not any(parameter.requires_grad for parameter in recipe.net.parameters())
    assert {key.split("/")[0] for key in trainer.groups()["networks"]} == {"generator", "discriminator"}
    with trainer.resting() as nets:
        assert nets.features is recipe.net


def test_a_fixed_network_cannot_have_the_name_of_a_trained_one():
    with pytest.raises(UserError, match="'discriminator'"):
        trainer_of(WithFeatures(name="discriminator"))


def test_the_training_split_comes_before_stages_and_networks():
    calls = []

    class Asked(Line):
        def prepare(self, train):
            calls.append(("prepare", len(train)))

        def stages(self):
            calls.append("stages")
            return super().stages()

        def networks(self):
            calls.append("networks")
            return super().networks()

    trainer_of(Asked(), Vectors(length=9))
    assert calls == [("prepare", 9), "stages", "networks"]


def test_a_turn_of_the_discriminator_needs_its_losses():
    class Silent(Line):
        discriminator_losses = Recipe.discriminator_losses

    with pytest.raises(UserError, match="lacks discriminator_losses"):
        trainer_of(Silent())
    trainer_of(Silent(stages=[stage(turns=[GENERATOR])]), steps=1)
