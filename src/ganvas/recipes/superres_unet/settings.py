"""The settings of superres_unet: the published values, presets of other sizes, and what is refused beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ganvas.errors import UserError
from ganvas.losses.adversarial import AdversarialLoss, require_coupled_batch
from ganvas.networks.unet import SCALES
from ganvas.settings import Training


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of the U-Net super-resolver; the defaults are ours for photographs."""

    RENAMED: ClassVar = {"tail": {"seed": "single"}}

    scale: Literal[1, 2, 4, 8, 16] = 2
    """Enlargement by one run of the network; 1 is an autoencoder, the check of the set-up."""
    iterations: int = 1
    """Stages of growing pictures for the one network: 3 with a scale of 2 goes 64 -> 128 -> 256 -> 512."""
    low_px: int = 64
    """Side of the low pictures of the first stage."""
    framing: Literal["crops", "squares"] = "crops"
    """Random crops of the pictures, or the largest square in the middle of each, shrunk (the original's)."""
    mirror: bool = True
    """Mirror pictures at random; crops are turned, too."""
    low: str = ""
    """Folder of low pictures paired by name with those of `data`; empty computes them from the high ones."""
    labels: str = ""
    """Folder of label maps paired by name with the pictures, as further input channels."""
    num_labels: int = 0
    """Number of labels in them."""
    num_classes: int = 0
    """Number of classes, one folder each below the data; 0 for none."""

    width: int = 64
    """Channels of the U-Net's first layer."""
    downs: int = 5
    """Halvings of the U-Net (`num_downs` 4 in the original code is five)."""
    norm: Literal["batch", "instance", "none"] = "batch"
    """Norm of the generator."""
    tail: Literal["symmetric", "single"] = "symmetric"
    """How it grows beyond its input's size: by levels with skip connections, or by one more layer (the original)."""
    upsampling: Literal["transposed", "resize", "smooth"] = "transposed"
    """How the sides are doubled: transposed convolutions (the original's), `resize`, which leaves no grid, or `smooth`,
    by interpolation, which makes a weave of two pixels harder to learn."""
    base: Literal["none", "bicubic", "faithful"] = "none"
    """What the network adds to: `bicubic` learns faster; `faithful`, ours, also makes the sum, shrunk, the input."""
    detail: float = 1.0
    """Gain of the finest detail at inference (ours), since L1 damps what it is unsure of; 0 is found in training."""
    generator_std: float = 0.02
    """Standard deviation of the generator's first weights."""
    grid: str = "4x4"
    """Scores of the discriminator on pictures of the first stage: `1x1`, `4x4`, or what a score sees, `70px`."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    discriminator_norm: Literal["batch", "instance", "spectral", "none"] = "none"
    """Norm of the discriminator."""
    discriminator_sees_low: bool = False
    """Show the discriminator the enlarged low picture, too, as pix2pix does."""
    judged: Literal["picture", "detail"] = "picture"
    """What the discriminator sees: pictures, or what the enlarged low ones lack of them, ten times as strong."""
    minibatch: bool = False
    """Minibatch discrimination (Salimans et al.); needs the grid 1x1, one iteration and 32 to 256 px."""

    content_weight: float = 1.0
    """Weight of the L1 content loss."""
    perceptual: str = "none"
    """Features of a perceptual loss (ours): `vgg16[:layers]`, `efficientnet-lite0`, joined by `+`, or `none`."""
    perceptual_weight: float = 0.1
    """Weight of that loss."""
    content_off_step: int = 0
    """Step from which the content loss fades, while the discriminator is healthy; 0 keeps it."""
    content_fade_steps: int = 1000
    """Healthy steps until it is gone; unhealthy ones bring it back at the same pace."""
    style: Literal["none", "gan", "salimans", "vaegan"] = "gan"
    """The style loss; `none` leaves L1 alone and trains no discriminator."""
    style_weight: float = 0.1
    """Weight of the style loss (lambda)."""
    adversarial: AdversarialLoss = AdversarialLoss(base="least_squares", pairing="plain")
    """The discriminator's loss, and the style `gan`'s."""
    replay_size: int = 0
    """Past fakes of which the discriminator is shown some in place of new ones; 0 for none, 50 is usual."""
    history_weight: float = 0.0
    """Weight of staying near the mean of one's past weights, for both players (historical averaging)."""

    content_steps: int = 0
    """Steps of each iteration with the content loss alone, before the style (ours)."""
    content_schedule: Literal["constant", "cosine"] = "constant"
    """How the generator's rate goes in them: `cosine` lets it fall to nothing."""
    steps: int = 160_000
    """Steps of each iteration with both networks."""
    generator_rate: float = 2e-4
    """Learning rate of the generator."""
    discriminator_rate: float = 5e-5
    """Learning rate of the discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas."""


# SuperResGANUnet's train_stage2.py as last published: L1 + 0.01 x the learned L2 of VAEGAN, a least-squares
# discriminator of 5 x 5 patches of 128 px, batch 32. Epochs are not stated; ours are ten of its 16,000 steps. Its
# discriminator has SELU where this one has leaky ReLU.
PAPER = Settings(
    framing="squares", tail="single", generator_std=0.002, grid="5x5", style="vaegan", style_weight=0.01, batch_size=32,
)  # fmt: skip
LAPTOP = Settings(
    width=24, downs=3, norm="none", base="bicubic", discriminator_width=24, grid="34px", discriminator_sees_low=True,
    style_weight=0.02, batch_size=8, content_steps=1000, steps=3000, generator_rate=5e-4, discriminator_rate=2e-4,
    average_half_life=2000.0, checkpoint_every=500, preview_every=500, score_every=500,
)  # fmt: skip
# A small discriminator that is shown whole pictures learns nothing in 500 steps (its margin stays below 0.003).
PREVIEW = replace(
    LAPTOP, judged="detail", width=12, discriminator_width=12, low_px=48, content_steps=300, steps=500,
    average_half_life=400.0, checkpoint_every=200, preview_every=200, score_every=200,
)  # fmt: skip
# The gallery's: faithful L1 with a gain of detail that training finds, which is sharp at x2.
SHOW = replace(
    PREVIEW, judged="picture", low_px=32, width=16, base="faithful", style="none", content_steps=800, steps=0,
    generator_rate=1e-3, content_schedule="cosine", detail=0.0, upsampling="resize", precision="bfloat16",
)  # fmt: skip


def check(s: Settings) -> None:
    """Refuse settings of `superres_unet` that cannot be trained.

    Raises:
        UserError: one of them, or two that do not go together.
    """
    _check_sizes(s)
    _check_sources(s)
    if not s.content_steps + s.steps:
        raise UserError("There is nothing to train", "content_steps and steps are 0")
    if not s.content_weight and (s.style == "none" or s.content_steps):
        raise UserError("The generator has nothing to learn from", "content_weight is 0", "Give it a weight")
    if s.content_off_step and s.style == "none":
        raise UserError("The content loss cannot be shut off", "There is no style to continue with", "Choose a --style")
    if s.content_fade_steps < 1:
        raise UserError(f"content_fade_steps is {s.content_fade_steps}", do="Use 1 or more")
    if s.style != "none":
        s.adversarial.require_batch(s.batch_size)
        _check_discriminator(s)


def _check_sizes(s: Settings) -> None:
    if s.scale not in SCALES:
        raise UserError(f"The scale is {s.scale}", "Each level doubles the sides", f"Use one of {SCALES}")
    if s.iterations < 1 or (s.iterations > 1 and s.scale == 1):
        raise UserError(f"iterations is {s.iterations}", "At a scale of 1 nothing grows", "Use 1, or a scale of 2")
    if s.low_px < 2**s.downs:
        what = f"low_px is {s.low_px}"
        raise UserError(what, f"{s.downs} halvings need {2**s.downs} px", "Raise it, or lower --downs")


def _check_sources(s: Settings) -> None:
    if s.low and s.labels:
        raise UserError("Both --low and --labels are given", "Pairs of three are not read yet", "Leave one of them out")
    if s.low and s.iterations > 1:
        why = "Low pictures are given for one enlargement only"
        raise UserError("--low does not go with several iterations", why, "Leave it out, and they are computed")
    if (s.low or s.labels) and s.framing == "squares":
        raise UserError("Pairs of files are cut in crops", do="Use --framing crops")
    if bool(s.labels) != bool(s.num_labels):
        raise UserError("Label maps need both --labels and --num-labels", "One of them is missing")


def _check_discriminator(s: Settings) -> None:
    if s.minibatch:
        require_coupled_batch("Minibatch discrimination", s.batch_size)
        if s.grid != "1x1" or s.iterations > 1:
            why = "It compares whole pictures of one size"
            raise UserError("Minibatch discrimination needs the grid 1x1 and one iteration", why, "Set --grid 1x1")
