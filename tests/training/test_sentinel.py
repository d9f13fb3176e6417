"""The collapse watch: what trips it and what does not, what a rollback restores, and that resume stays exact."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from line_recipe import Line, Settings, Vectors, plan, stage, vectors
from tiny_runs import STEPS, assert_same_bits, assert_same_tensors, last
from tiny_runs import plan as tiny_plan
from tiny_runs import resume as resume_tiny
from tiny_runs import train as train_tiny
from torch import Tensor, nn

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.networks.blocks import spectral
from ganvas.protocol import Ledger, Networks, Optimizer
from ganvas.training import loop, sentinel, step
from ganvas.training.feed import order
from ganvas.training.sentinel import Observation, Sentinel, spread
from ganvas.training.trainer import Trainer

SMALL = sentinel.SMALL_SHARE


def log_of(run, kind):
    return [{"step": entry["step"], **entry[kind]} for entry in runs.read_log(run) if kind in entry]


# A small GAN on a ring of eight points


class Ring(Vectors):
    def sample(self, index, random: np.random.Generator) -> dict[str, Tensor]:
        angle = 2 * math.pi * random.integers(8) / 8
        real = np.array([math.cos(angle), math.sin(angle)]) + 0.05 * random.normal(size=2)
        latent = random.normal(size=4)
        return {
            "latent": torch.from_numpy(latent).float(),
            "real": torch.from_numpy(real).float(),
            "number": torch.tensor(index),
        }


def dense(inputs: int, outputs: int) -> nn.Module:
    act = nn.LeakyReLU(0.2) if outputs == 1 else nn.ReLU()
    return nn.Sequential(nn.Linear(inputs, 32), act, nn.Linear(32, 32), act, nn.Linear(32, outputs))


def ring_networks() -> Networks:
    return Networks(generator=dense(4, 2), discriminator=dense(2, 1))


def d_losses(recipe, nets, batch, outputs, carry, context) -> Ledger:
    real, fake = nets.discriminator(batch.real), nets.discriminator(outputs["fake"])
    ledger = Ledger({"gan": F.softplus(-real).mean() + F.softplus(fake).mean()})
    ledger.observed["margin"] = real.mean() - fake.mean()
    return ledger


def g_losses(recipe, nets, batch, outputs, carry, context) -> Ledger:
    return Ledger({"gan": F.softplus(-nets.discriminator(outputs["fake"])).mean()})


def ring_plan(seed, num_steps, highest_rate, warmup_steps, mode):
    optimizer = Optimizer(rate=highest_rate, betas=(0.5, 0.9), warmup_steps=warmup_steps)
    stages = [stage(num_steps, optimizers={"generator": optimizer, "discriminator": optimizer})]
    settings = Settings(batch_size=16, seed=seed, sentinel=mode, checkpoint_every=10, keep_last=5, log_every=1000)
    return plan(Line(settings, stages, ring_networks, d_losses, g_losses), Ring(4096))


def play(seed, num_steps, highest_rate, warmup_steps=0):
    """Train with a sentinel that only says why it would trip; return that by step, and the diversity at each step."""
    trainer = Trainer(ring_plan(seed, num_steps, highest_rate, warmup_steps, "warn"))
    trips, diversity = {}, []
    for _ in range(num_steps):
        seen = step.advance(trainer)
        if why := trainer.sentinel.observe(seen, trainer.nets):
            trips[seen.step] = why
        diversity.append(trainer.sentinel.health.diversity)
    return trips, np.array(diversity)


def collapse_of(diversity):
    """Return the first step from which on 95 % of all steps have fakes of less than 5 % of the reals' diversity."""
    dead = ~(diversity >= SMALL)
    share = dead[::-1].cumsum()[::-1] / np.arange(len(dead), 0, -1)
    steps = np.flatnonzero(dead & (share >= 0.95))
    return int(steps[0]) + 1 if len(steps) else None


# The rates climb to one that no GAN survives.
ABSURD = {"num_steps": 300, "highest_rate": 1.0, "warmup_steps": 300}


@pytest.mark.parametrize("seed", range(5))
def test_a_collapse_is_seen_and_the_run_survives_it(seed, tmp_path):
    trips, diversity = play(seed, **ABSURD)
    collapse = collapse_of(diversity)
    assert collapse is not None and len(diversity) - collapse > 10, "this configuration must collapse by itself"
    assert min(trips) <= collapse + 50

    run = loop.train(ring_plan(seed, mode="rollback", **ABSURD), tmp_path / "run", quiet=True)
    rollbacks = log_of(run, "rollback")
    assert rollbacks and rollbacks[0]["step"] == min(trips)
    assert last(run).step == ABSURD["num_steps"]
    health = last(run).state["sentinel"]["health"]
    assert health["rollbacks"] == len(rollbacks)
    assert all(entry["to"] < entry["step"] for entry in rollbacks)


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_run_trips_nothing(seed):
    trips, diversity = play(seed, num_steps=500, highest_rate=1e-3)
    assert trips == {}
    assert diversity[-50:].mean() > 0.3


# Values that are no numbers


@pytest.mark.parametrize("bad_step", range(STEPS))
def test_nan_trips_at_its_step_and_the_run_finishes(bad_step, tmp_path):
    run = train_tiny(tmp_path / "run", nan_at=bad_step)
    assert [entry["step"] for entry in log_of(run, "sentinel")] == [bad_step + 1]
    saved = last(run)
    assert saved.step == STEPS
    for tensors in saved.groups.values():
        assert all(torch.isfinite(value).all() for value in tensors.values())
    state = saved.state["sentinel"]
    assert state["response"]["rollbacks"] == 1 and state["response"]["rate_factor"] == 0.5


def test_a_rollback_restores_weights_moments_and_averages_while_step_data_and_chance_go_on(tmp_path):
    trainers = []

    class Watched(Trainer):
        def roll_back(self, saved):
            super().roll_back(saved)
            trainers.append((saved, {name: {k: v.clone() for k, v in t.items()} for name, t in self.groups().items()}))
            trainers.append((self.step, self.feed.position, self.images_seen))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Trainer", Watched)
        train_tiny(tmp_path / "run", nan_at=6, checkpoint_every=4)
    saved, groups = trainers[0]
    for name in ("networks", "optimizers", "averages"):
        assert_same_tensors(groups.get(name, {}), saved.groups.get(name, {}))
    assert trainers[1] == (7, 28, 28)


def test_resume_after_a_rollback_is_exact(tmp_path, monkeypatch):
    changes = {"nan_at": 4, "checkpoint_every": 1}
    whole = train_tiny(tmp_path / "whole", **changes)
    for stop in range(1, STEPS):
        run = tmp_path / f"stopped-{stop}"
        stop_after(monkeypatch, stop)
        with pytest.raises(loop.Stopped):
            train_tiny(run, **changes)
        monkeypatch.undo()
        resume_tiny(run, **changes)
        assert_same_bits(whole, run)


def test_where_a_rollback_leads_does_not_depend_on_interruptions(tmp_path, monkeypatch):
    # Uninterrupted, the checkpoints are 0 and 3. A stop at step 5 leaves one at 5, nearer to the trip at step 6.
    changes = {"nan_at": 5, "checkpoint_every": 3}
    monkeypatch.setattr(sentinel, "LAG", 1)
    whole = train_tiny(tmp_path / "whole", **changes)
    run = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        with pytest.raises(loop.Stopped):
            train_tiny(run, **changes)
    resume_tiny(run, **changes)
    assert [entry["to"] for entry in log_of(run, "rollback")] == [3]
    assert_same_bits(whole, run)


def stop_after(patch, steps):
    """Ask a run to stop once it has done so many steps."""
    done = []

    def asked(flag):
        done.append(flag)
        return len(done) == steps

    patch.setattr(loop.parallel, "any_rank", asked)


def test_after_eight_rollbacks_it_stops_with_the_reason(tmp_path):
    def always_nan(recipe, nets, batch, outputs, carry, context):
        return Ledger({"gan": outputs["fake"].mean() * math.nan})

    def run_with(action):
        recipe = Line(Settings(sentinel="rollback", sentinel_action=action), [stage(20)], g_losses=always_nan)
        with pytest.raises(UserError, match=r"after 8 rollbacks. The loss or observed value G.gan is nan"):
            loop.train(plan(recipe), tmp_path / action, quiet=True)
        return log_of(tmp_path / action, "rollback")

    assert [entry["count"] for entry in run_with("halve_rates")] == list(range(1, 9))
    assert [entry["step"] for entry in run_with("none")] == list(range(1, 9))


def test_the_recipe_is_told_what_to_strengthen(tmp_path):
    factors = []

    def losses(recipe, nets, batch, outputs, carry, context):
        factors.append(context.health.r1_factor)
        return Ledger({"gan": outputs["fake"].mean() * (math.nan if context.step in (1, 3) else 1.0)})

    recipe = Line(Settings(sentinel="rollback", sentinel_action="strengthen_r1"), [stage(5)], g_losses=losses)
    run = loop.train(plan(recipe), tmp_path / "run", quiet=True)
    assert factors == [1, 1, 2, 2, 4]
    assert last(run).state["sentinel"]["response"]["rate_factor"] == 1.0


def test_stop_ends_the_run_and_warn_does_not(tmp_path):
    with pytest.raises(UserError, match="Stopped at step 3 by the sentinel"):
        train_tiny(tmp_path / "stop", nan_at=2, sentinel="stop")
    run = train_tiny(tmp_path / "warn", nan_at=2, sentinel="warn")
    assert len(log_of(run, "sentinel")) == 1 and not log_of(run, "rollback")


# Which checkpoint is gone back to


def test_a_checkpoint_from_the_stretch_before_the_trip_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(sentinel, "LAG", 3)
    run = train_tiny(tmp_path / "run", nan_at=6, checkpoint_every=1, keep_last=10)
    assert [entry["to"] for entry in log_of(run, "rollback")] == [4]


def test_an_unhealthy_checkpoint_is_not_gone_back_to(tmp_path, monkeypatch):
    monkeypatch.setattr(sentinel, "LAG", 0)
    original = Sentinel.observe

    def suspicious(self, seen, nets):
        why = original(self, seen, nets)
        if seen.step in (4, 5, 6):
            self.health = type(self.health)(healthy=False)
        return why

    monkeypatch.setattr(Sentinel, "observe", suspicious)
    # Only the two newest are kept, and both are unhealthy; the newest healthy one is kept beside them.
    run = train_tiny(tmp_path / "run", nan_at=6, checkpoint_every=1, keep_last=2)
    assert [entry["to"] for entry in log_of(run, "rollback")] == [3]


def test_a_stretch_that_was_rolled_back_is_not_gone_back_to():
    watch = Sentinel()
    watch.roll_back(90, "why", 40, watch.state())
    trusted = [number for number in (30, 40, 50, 80, 90, 100) if watch.trusts(number, is_healthy=True)]
    assert trusted == [30, 40, 90, 100]
    assert not watch.trusts(100, is_healthy=False)


# The running statistics


def observe_all(watch, observations, nets=None):
    return [watch.observe(seen, nets or Networks()) for seen in observations]


def norms(values, name="generator"):
    return [Observation(number, {}, {name: value}) for number, value in enumerate(values, start=1)]


def lognormal(count, spread=0.5, seed=0):
    return np.exp(np.random.default_rng(seed).normal(0, spread, count)).tolist()


def test_an_explosion_trips_after_a_few_steps_and_one_spike_does_not():
    told = observe_all(Sentinel(), norms([*lognormal(300), 1e4, *lognormal(50)]))
    assert told == [None] * 351
    told = observe_all(Sentinel(), norms([*lognormal(300), *[1e4] * 10]))
    first = next(index for index, why in enumerate(told) if why)
    assert first == 300 + sentinel.LIMITS["gradient"].patience - 1
    assert "The gradient of generator is 1e+04" in told[first]


def test_slow_growth_and_vanishing_and_return_trip_nothing():
    growing = [1.005**n for n in range(3000)]
    assert not any(observe_all(Sentinel(), norms(growing)))
    vanishing = [*lognormal(300), *[0.0] * 500, *lognormal(300)]
    assert not any(observe_all(Sentinel(), norms(vanishing)))


def test_a_jump_in_a_wild_series_must_be_larger_to_trip():
    jump = [150.0] * 20
    assert any(observe_all(Sentinel(), norms([*lognormal(500), *jump])))
    assert not any(observe_all(Sentinel(), norms([*lognormal(500, spread=1.0), *jump])))


def test_a_runaway_margin_and_singular_value_trip():
    told = observe_all(Sentinel(), [Observation(n, {"margin": 1.0 if n <= 200 else -500.0}) for n in range(1, 230)])
    assert "margin" in next(why for why in told if why)
    layer = spectral(nn.Linear(4, 4, bias=False))
    watch, nets = Sentinel(), Networks(generator=nn.Sequential(layer))
    told = []
    for number in range(1, 1301):
        if number == 1201:
            with torch.no_grad():
                layer.parametrizations["weight"].original.mul_(50)
        told.append(watch.observe(Observation(number), nets))
    first = next(index for index, why in enumerate(told) if why) + 1
    assert first == 1220 and "sigma of generator.0" in told[first - 1]


def test_a_new_stage_has_a_usual_size_of_its_own():
    watch = Sentinel()
    observe_all(watch, norms([1.0] * 200))
    watch.forget()
    assert not any(observe_all(watch, norms([1e5] * 200)))


def test_fakes_that_were_never_alike_may_start_alike():
    def ratios(values):
        return [Observation(n, {"fake_spread": value, "real_spread": 1.0}) for n, value in enumerate(values, start=1)]

    slow_start = [*[0.01] * 900, *np.linspace(0.01, 1, 100)]
    assert not any(observe_all(Sentinel(), ratios(slow_start)))
    told = observe_all(Sentinel(), ratios([0.01] * 1100))
    assert next(index for index, why in enumerate(told) if why) == sentinel.GRACE + sentinel.PATIENCE_DIVERSITY - 2
    # A batch of equal reals says nothing.
    assert not any(
        observe_all(Sentinel(), [Observation(n, {"fake_spread": 0.0, "real_spread": 0.0}) for n in range(2000)])
    )


def test_float16_that_overflows_at_every_scale_trips():
    told = Sentinel().observe(Observation(1, loss_scale=1e-4), Networks())
    assert told is not None and "loss scale" in told


def test_everything_remembered_comes_back_from_a_checkpoint():
    # Tripping at the same step as a watch that was never interrupted, wherever it is interrupted.
    series = [*lognormal(150), *[1e4] * 10]
    whole = observe_all(Sentinel(), norms(series))
    for cut in (1, 50, 99, 100, 101, 151, 153, 154):
        first = Sentinel()
        observe_all(first, norms(series[:cut]))
        second = Sentinel()
        second.load(runs.json.loads(runs.json.dumps(first.state())))
        rest = [Observation(cut + n, {}, {"generator": value}) for n, value in enumerate(series[cut:], start=1)]
        assert observe_all(second, rest) == whole[cut:]
        assert second.health.healthy == (whole[-1] is None)


# What it measures, and what that costs


def test_spread_is_the_root_of_the_mean_variance():
    batch = np.random.default_rng(0).normal(size=(6, 3, 10, 12))
    assert float(spread(torch.from_numpy(batch))) == pytest.approx(
        math.sqrt(batch.var(axis=0, ddof=1).mean()), rel=1e-6
    )
    large = torch.randn(4, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    assert float(spread(large)) == pytest.approx(1.0, abs=0.02)
    assert float(spread(large[:1].expand(4, -1, -1, -1))) == 0.0


def test_the_trainer_measures_diversity_itself():
    trainer = Trainer(plan(Line(Settings(sentinel="warn"), [stage(1)])))
    seen = step.advance(trainer)
    first = [vectors(int(index))["real"] for index in order(24, 0, 0)[:4]]
    assert seen.values["real_spread"] == pytest.approx(float(torch.stack(first).var(dim=0).mean().sqrt()))
    assert 0 < seen.values["fake_spread"] < 1


def test_a_run_of_the_tiny_recipe_trips_nothing(tmp_path):
    trainer = Trainer(tiny_plan(first_steps=100, second_steps=150))
    told = [trainer.sentinel.observe(step.advance(trainer), trainer.nets) for _ in range(250)]
    assert not any(told)
