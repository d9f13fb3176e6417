"""A tiny run of vid2vid whose chance does not depend on the rank; as a script, one of two processes that share it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from ganvas.recipes.vid2vid.recipe import Vid2VidRecipe
from ganvas.recipes.vid2vid.settings import PREVIEW
from ganvas.training import loop, parallel
from ganvas.training.trainer import Plan

SETTINGS = replace(
    PREVIEW, width=4, downs=1, blocks=2, discriminator_width=2, discriminator_scales=1, rounds=(1,), lengths=1,
    first_length=4, longest=4, frames_a_step=2, clip_strides=(), image_frames="all", batch_size=2, given_share=1.0,
    perceptual="none", perceptual_weight=0.0, workers=0, checkpoint_every=10, preview_every=100, log_every=1,
    sentinel="off", threads=1, rates=(1e-4,), picture_rounds=0, mask_slope=1.0, flow_weight=10.0, mask_weight=3.0,
    repaint_relabelled=False, precision="float32",
)  # fmt: skip


def plan(data: str) -> Plan:
    """Return the plan of the run."""
    recipe = Vid2VidRecipe(replace(SETTINGS, data=data))
    return Plan("vid2vid", recipe, recipe.source(data))


if __name__ == "__main__":
    torch.set_num_threads(1)
    parallel.join("cpu")
    loop.train(plan(sys.argv[1]), Path(sys.argv[2]), quiet=True)
    parallel.leave()
