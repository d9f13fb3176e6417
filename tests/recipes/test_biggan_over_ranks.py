"""Two processes take a step of the biggan recipe as one does: its norms see the pictures of both."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganvas.drawn.shapes import Shapes
from ganvas.networks import build
from ganvas.recipes.biggan import PREVIEW, BigGAN
from ganvas.training import step
from ganvas.training.trainer import Plan, Trainer

SETTINGS = replace(
    PREVIEW, width=2, multipliers=(8, 4, 4, 4), latent=8, class_features=5, num_classes=12, batch_size=8, workers=0,
    precision="float32", sentinel="off", threads=1,
)  # fmt: skip


class Unrolled(BigGAN):
    """The recipe in float64, with noise that follows from the pictures and not from the rank."""

    def networks(self):
        return {name: build(card).double() for name, card in self.cards().items()}

    def batch(self, raw, context):
        made = super().batch(raw, context)
        real = made.real.double()
        ramp = torch.arange(1.0, 9.0, dtype=torch.float64)
        return made._replace(real=real, latents=torch.sin(40 * real.mean((1, 2, 3))[:, None] * ramp) * 2)


def step_once() -> dict[str, torch.Tensor]:
    """Take one step; return the gradients, which Adam's first moment is here, statistics and losses."""
    trainer = Trainer(Plan("biggan", Unrolled(SETTINGS), Shapes(32, 2)))
    seen = step.advance(trainer)
    found = {key: value for key, value in trainer.optimizers.tensors().items() if key.endswith("exp_avg")}
    found |= {key: value for key, value in trainer.groups()["networks"].items() if "running" in key}
    return found | {f"loss {key}": torch.tensor(value) for key, value in seen.values.items()}


def run_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(step_once(), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(sys.platform == "win32", reason="gloo over files")
def test_gradients_statistics_and_losses_of_two_ranks_are_those_of_one_process(tmp_path):
    torch.multiprocessing.spawn(run_rank, (str(tmp_path),), nprocs=2)
    alone = step_once()
    assert sum("running_var" in key for key in alone) == 7 and sum(key.endswith("exp_avg") for key in alone) > 40
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == alone.keys()
        for key, value in alone.items():
            torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-9, msg=lambda text, k=key: f"{k}: {text}")
