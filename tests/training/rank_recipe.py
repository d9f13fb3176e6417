"""One step of a GAN with every way of comparing real with fake, for one process and for two that must agree with it.

As a script, `python -m rank_recipe FOLDER` with torchrun's variables in the environment, it is one of the two.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from line_recipe import Line, Settings, Vectors, plan, stage
from tiny_runs import plan as tiny_plan
from torch import Tensor, nn

from ganvas import ranks
from ganvas.losses.adversarial import BASES, PAIRINGS, AdversarialLoss
from ganvas.losses.reconstruction import feature_matching
from ganvas.losses.regularization import r1
from ganvas.networks.blocks import SyncedBatchNorm2d
from ganvas.protocol import Ledger, Networks, Optimizer, Verdict
from ganvas.training import loop, parallel, step
from ganvas.training.trainer import Trainer

DTYPES = {"float64": torch.float64, "float32": torch.float32}
MEETINGS = [f"{base} {pairing}" for base in BASES for pairing in PAIRINGS]
# In float32 one base shows what rounding does to each pairing.
CASES = [(case, "float64") for case in (*MEETINGS, "features only", "r1")]
CASES += [(case, "float32") for case in (*MEETINGS[: len(PAIRINGS)], "features only", "r1")]
STOP_AFTER = 5
TINY = {"batch_norm": False, "checkpoint_every": 2}


class Judge(nn.Module):
    """Scores pictures, with a norm whose statistics are those of all ranks."""

    def __init__(self) -> None:
        super().__init__()
        # No bias whose gradient is zero: Adam would make steps of its rounding noise.
        self.first, self.norm = nn.Conv2d(3, 4, 3, bias=False), SyncedBatchNorm2d(4)
        self.last = nn.Conv2d(4, 1, 4, bias=False)

    def forward(self, pictures: Tensor) -> Verdict:
        features = nn.functional.leaky_relu(self.norm(self.first(pictures)), 0.2)
        score = self.last(features)
        return Verdict(score.flatten(1), (features, score))


class Meeting(Line):
    """Compares real with fake as a case says."""

    def __init__(self, case: str, dtype: torch.dtype) -> None:
        base, _, pairing = case.partition(" ")
        known = base in BASES
        self.adversarial = AdversarialLoss(base=base, pairing=pairing) if known else AdversarialLoss()  # pyright: ignore
        self.case, self.dtype = case, dtype
        # Adam with so large an epsilon does not enlarge the rounding of D's gradients before G's are taken.
        gentle = dict.fromkeys(("generator", "discriminator"), Optimizer(rate=1e-2, betas=(0.5, 0.9), epsilon=1e-2))
        super().__init__(Settings(batch_size=8), [stage(1, optimizers=gentle)])

    def networks(self) -> Networks:
        generator = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Tanh(), nn.Conv2d(5, 3, 3, padding=1))
        return Networks({"generator": generator.to(self.dtype), "discriminator": Judge().to(self.dtype)})

    def forward(self, nets, batch, carry, context):
        return {"fake": nets.generator(pictures(batch.latent))}, carry

    def discriminator_losses(self, nets, batch, outputs, carry, context) -> Ledger:
        real = pictures(batch.real)
        loss = self.adversarial.discriminator(nets.discriminator(real), nets.discriminator(outputs["fake"]))
        ledger = Ledger({"gan": loss})
        if self.case == "r1":
            ledger["r1"] = 5.0 * r1(nets.discriminator, real)
        return ledger

    def generator_losses(self, nets, batch, outputs, carry, context) -> Ledger:
        real, fake = nets.discriminator(pictures(batch.real)), nets.discriminator(outputs["fake"])
        if self.case == "features only":
            return Ledger({"features": feature_matching([fake.features], [real.features])})
        return Ledger({"gan": self.adversarial.generator(real, fake)})


def pictures(vectors: Tensor) -> Tensor:
    """Return vectors as small pictures: (B, 3) -> (B, 3, 6, 6)."""
    ramp = torch.linspace(-1, 1, 36, dtype=vectors.dtype).view(6, 6)
    return (vectors[:, :, None, None] * ramp).sin()


def step_once(case: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Play one step; return its losses, and the gradients as Adam saw them."""
    trainer = Trainer(plan(Meeting(case, dtype), Vectors(dtype=dtype)))
    seen = step.advance(trainer)
    # After one step Adam's first moment is half the gradient here.
    found = {key: 2 * value for key, value in trainer.optimizers.tensors().items() if key.endswith("exp_avg")}
    found.update({key: value for key, value in trainer.groups()["networks"].items() if "running" in key})
    return {**found, **{f"loss {key}": torch.tensor(value) for key, value in seen.values.items()}}


def stop_run(folder: Path) -> None:
    """Train a tiny run up to a step, and stop."""
    done: list[bool] = []
    original = parallel.any_rank
    parallel.any_rank = lambda flag: done.append(flag) or original(len(done) == STOP_AFTER and ranks.rank() == 1)
    try:
        loop.train(tiny_plan(**TINY), folder, quiet=True)
    except loop.Stopped:
        parallel.any_rank = original


def main(folder: Path) -> None:
    """Do all that needs two processes, and leave what was found in a folder."""
    parallel.join("cpu")
    torch.set_num_threads(1)
    found = {f"{case}, {name}": step_once(case, DTYPES[name]) for case, name in CASES}
    torch.save(found, folder / f"steps-{ranks.rank()}.pt")
    loop.train(tiny_plan(**TINY), folder / "whole", quiet=True)
    stop_run(folder / "resumed")
    parallel.barrier()
    if ranks.rank() == 0:
        shutil.copytree(folder / "resumed", folder / "alone")
    parallel.barrier()
    loop.resume(tiny_plan(**TINY), folder / "resumed", quiet=True)
    parallel.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
