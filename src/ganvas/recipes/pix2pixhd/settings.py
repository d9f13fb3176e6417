"""The settings of pix2pixHD: the paper's values, presets of other sizes, and what is refused before work starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch

from ganvas.errors import UserError
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.metrics.sliced import SMALLEST_PX
from ganvas.networks.discriminators import MultiScaleDiscriminator
from ganvas.settings import Training


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of pix2pixHD; the defaults are the paper's."""

    data: str = ""
    """Folder with pictures, label maps and instance maps, or with inputs and pictures; see docs/pix2pixhd.md."""
    width_px: int = 2048
    """Width of the finest pictures; each coarser stage has half of it."""
    height_px: int = 1024
    """Height of the finest pictures."""
    fit: Literal["crop", "cover", "resize"] = "cover"
    """How pictures come to that size: a random part, shrunk until it just covers and then a part, or squeezed."""
    mirror: bool = True
    """Show scenes mirrored at random."""
    num_labels: int = 0
    """Classes of the label maps, whose ids are below it; 0 asks the legend or the data."""
    ignore: tuple[int, ...] = (255,)
    """Label ids that stand for no class."""
    input_range: tuple[float, ...] = ()
    """Values of the inputs that become 0 and 1, such as 0.5 80 metres of depth; empty measures what is no picture."""
    input_scale: Literal["auto", "linear", "log", "inverse"] = "auto"
    """How values between them are spread; `auto` takes log where one is more than 20 times the other."""
    boundaries: bool = True
    """Show the generator and the discriminator the boundaries of the instances."""
    instance_features: int = 0
    """Numbers that an encoder describes each instance's style with, the paper's 3; 0 trains no encoder."""

    global_width: int = 64
    """Channels of the first and last maps of the global generator; each enhancer has half of the one before."""
    downs: int = 4
    """Halvings of the global generator; 3 makes it a quarter as large, for small data."""
    blocks: int = 9
    """Its residual blocks."""
    enhancers: int = 1
    """Local enhancers, each of which doubles the size; 0 trains the global generator alone."""
    local_blocks: int = 3
    """Residual blocks of each enhancer."""
    upsampling: Literal["transposed", "resize", "smooth"] = "transposed"
    """How the sides are doubled: transposed convolutions (the paper's), `resize`, which leaves no grid, or `smooth`,
    which leaves no weave of two pixels either (ours)."""
    encoder_width: int = 16
    """Channels of the encoder's first maps."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    discriminator_scales: int = 3
    """Sizes at which discriminators see the finest stage; each coarser stage has one fewer, at least one."""
    discriminator_layers: int = 3
    """Halvings of each discriminator; a score of 3 sees 70 px."""

    adversarial: AdversarialLoss = AdversarialLoss(base="least_squares")
    """Base and pairing of the adversarial loss; the paper's is least_squares, plain."""
    gan_weight: float = 1.0
    """Weight of the adversarial loss, summed over the scales."""
    feature_matching_weight: float = 10.0
    """Weight of matching the discriminator's features (lambda)."""
    perceptual: str = "vgg19"
    """Features of the perceptual loss: `vgg19`, `vgg16[:layers]`, `efficientnet-lite0`, several joined by `+`, `small`
    (ours), a weight file, or `none`."""
    perceptual_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    """Layers compared; `small` has four stages, of which the fifth's layers are left out."""
    perceptual_layer_weights: tuple[float, ...] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    """Weight of each of these layers."""
    perceptual_weight: float = 10.0
    """Weight of the perceptual loss."""
    perceptual_crop_px: int = 0
    """Side of the random square that it compares in each step, which saves time; 0 compares whole pictures."""
    imagenet_means: bool = False
    """Feed the features pictures shifted and scaled by ImageNet's statistics; the original feeds [-1, 1] as it is."""
    pixel_weight: float = 0.0
    """Weight of mean |difference|, which the paper has not."""
    replay_size: int = 0
    """Past fakes of which the discriminator is shown some in place of new ones; the original's default is 0."""

    global_steps: int = 595_000
    """Steps of G1 alone (200 epochs of Cityscapes' 2975 pictures)."""
    enhancer_steps: int = 29_750
    """Steps of each enhancer with all that is coarser frozen (10 epochs)."""
    joint_steps: int = 267_750
    """Steps of all together (90 epochs); 0 leaves the last stage out."""
    rate: float = 2e-4
    """Learning rate of all networks."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas."""
    global_hold: float = 0.5
    """Share of the global stage at the full rate, which then falls linearly to 0."""
    joint_hold: float = 4 / 9
    """The same of the joint stage: with the 10 epochs before it 50 of 100, as the original."""
    score_probe_steps: int = 0
    """Steps of a segmenter that reads validation pictures for the score `miou`; 600 do; 0 leaves that score out."""

    @property
    def layer_weights(self) -> dict[str, float]:
        """The weight of each layer that the perceptual loss compares."""
        pairs = zip(self.perceptual_layers, self.perceptual_layer_weights)
        return {layer: weight for layer, weight in pairs if self.perceptual != "small" or layer[4:5] != "5"}


# Wang et al. 2018, section 4 and appendix A, and the authors' scripts for 512 and 1024 px (batch 1, 100 + 100 epochs,
# then 50 + 50 with 10 of a fixed G1; three discriminators at the finest size, two before). No average of weights.
PAPER = Settings(batch_size=1, average_half_life=0.0)
LAPTOP = replace(
    PAPER, width_px=512, height_px=256, global_width=32, downs=3, blocks=6, enhancers=1, discriminator_width=32,
    perceptual="none", instance_features=3, global_steps=8000, enhancer_steps=1000, joint_steps=6000, rate=4e-4,
    average_half_life=500.0, checkpoint_every=250, preview_every=250, score_every=500,
)  # fmt: skip
PREVIEW = replace(
    LAPTOP, width_px=128, height_px=64, global_width=32, downs=3, blocks=3, local_blocks=1, encoder_width=8,
    discriminator_width=16, discriminator_scales=2, batch_size=2, global_steps=700, enhancer_steps=100,
    joint_steps=700, rate=4e-4, checkpoint_every=200, preview_every=200, score_every=200,
)  # fmt: skip
# The gallery's: coarse to fine, decoders that leave no grid, and eyes that know what windows and wheels look like.
SHOW = replace(
    PREVIEW, width_px=256, height_px=128, blocks=4, local_blocks=2, discriminator_width=24, batch_size=1,
    upsampling="resize", perceptual="vgg16", perceptual_weight=5.0, perceptual_crop_px=96, global_steps=1200,
    enhancer_steps=0, joint_steps=1700, average_half_life=150.0, precision="bfloat16",
)  # fmt: skip
PICTURE = replace(LAPTOP, instance_features=0, boundaries=False)


def check(s: Settings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UserError: what is wrong, and what to set instead.
    """
    unit = 1 << max(0, s.enhancers)
    if s.enhancers < 0 or s.global_width % unit:
        why = f"Each of {s.enhancers} enhancers has half the channels of the one before"
        raise UserError(f"global_width is {s.global_width}", why, f"Use a multiple of {unit}")
    for name in ("width_px", "height_px"):
        if getattr(s, name) < 1 or getattr(s, name) % unit:
            why = f"With {s.enhancers} enhancers the first stage has 1/{unit} of it"
            raise UserError(f"{name} is {getattr(s, name)}", why, f"Use a multiple of {unit}")
    for name in ("global_steps", "enhancer_steps", "joint_steps", "gan_weight", "feature_matching_weight",
                 "perceptual_weight", "pixel_weight", "replay_size"):  # fmt: skip
        if getattr(s, name) < 0:
            raise UserError(f"{name} is {getattr(s, name):g}", "It must not be negative", "0 switches it off")
    if not (s.gan_weight or s.feature_matching_weight or s.pixel_weight or s.perceptual != "none"):
        raise UserError("The generator has nothing to learn from", "All weights are 0", "Give one of them a weight")
    if len(s.perceptual_layers) != len(s.perceptual_layer_weights):
        why = f"There are {len(s.perceptual_layers)} layers and {len(s.perceptual_layer_weights)} weights"
        raise UserError("The perceptual loss cannot weight its layers", why, "Give one weight for each layer")
    _check_sizes(s)
    s.adversarial.require_batch(s.batch_size)


def _check_sizes(s: Settings) -> None:
    """Refuse pictures that a stage's discriminator or the score cannot take, by building it without memory."""
    with torch.device("meta"):
        critic = MultiScaleDiscriminator(4, 1, s.discriminator_scales, s.discriminator_layers)
    for level in range(s.enhancers + 1):
        shrunk = s.enhancers - level
        smallest = max(SMALLEST_PX, critic.minimum_px_of(max(1, s.discriminator_scales - shrunk)))
        if min(s.width_px, s.height_px) >> shrunk < smallest:
            why = f"At {s.width_px >> shrunk} x {s.height_px >> shrunk} px {smallest} px a side are needed"
            raise UserError("The pictures are too small", why, "Enlarge them, or use fewer --discriminator-scales")
