"""The settings of the recipe vid2vid, and its presets: the paper's at three sizes, and ours for small machines."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ganvas.errors import UserError
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.settings import Training, bounded


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of vid2vid; the defaults are the paper's at 1024 x 512."""

    num_labels: int = 0
    """Classes of the label maps; 0 takes them from the legend or from the data."""
    inputs: str = "auto"
    """Pictures that go in beside label maps: `auto` (folders conditions, inputs, edges or poses where all sequences
    have them), `none`, or the name of the folders, such as depth."""
    shrink: int = 1
    """Train on pictures whose sides are divided by this."""
    flow_from: str = "exact"
    """Teacher of the flow: `exact` (folders `flow` or `flow_back`), `dis`, a TorchScript or ONNX file, `none`."""
    flow_use: Literal["teach", "replace"] = "teach"
    """`replace`: use that flow instead of an estimated one, in training and in generating (exact flow only)."""
    mask_from: Literal["none", "exact"] = "none"
    """`exact`: the mask is to hallucinate what the frame before does not show, as the exact flow tells."""
    mask_use: Literal["teach", "replace"] = "teach"
    """`replace`: use that mask instead of an estimated one."""
    given_share: float = 1.0
    """Share of the sequences whose first frame is given; the others begin with nothing and hallucinate it."""

    past_frames: int = 2
    """Frames before this one that the generator sees."""
    scales: Literal[1, 2, 3] = 1
    """Spatial scales, trained one after the other; each doubles the sides, and the last one's are those of the data."""
    width: int = 128
    """Channels of the coarsest scale's first layer."""
    downs: int = 3
    """Halvings of the coarsest scale."""
    blocks: int = 9
    """Residual blocks of the coarsest scale."""
    norm: Literal["batch", "instance"] = "batch"
    """Norm in all networks."""
    upsampling: Literal["transposed", "resize", "smooth"] = "transposed"
    """How the sides are doubled: transposed convolutions (the paper's), `resize`, which leaves no grid, or `smooth`,
    which leaves no weave of two pixels either (ours)."""
    with_flow: bool = True
    """False leaves the flow branch out: every frame is hallucinated (an ablation of the paper's)."""
    sampling: Literal["bilinear", "bicubic"] = "bilinear"
    """How the frame before is fetched along the flow: the paper's bilinear, or bicubic, which blurs less."""
    mask_slope: float = 1.0
    """Steepness of the mask's sigmoid: above 1 (the paper's) a pixel is rather painted or fetched than a mixture."""
    repaint_relabelled: bool = False
    """Paint a pixel anew, whatever the mask says, where the label fetched along the flow is not this frame's (ours)."""
    foreground: tuple[int, ...] = ()
    """Labels that are drawn by a branch of their own."""
    things_are_foreground: bool = False
    """Take all labels that the legend calls things as the foreground; good where all of them move by themselves."""
    instance_features: int = 0
    """Numbers that an encoder describes each instance's style with, the paper's 3; 0 trains no encoder."""
    encoder_width: int = 16
    """Channels of the encoder's first maps."""
    discriminator_width: int = 64
    """Channels of the discriminators' first layer."""
    discriminator_scales: int = 2
    """Sizes of the picture at which a discriminator looks."""
    clip_frames: int = bounded(3, 2, 64)
    """Frames that a clip discriminator sees at once."""
    clip_strides: tuple[int, ...] = (1, 3, 9)
    """Steps between those frames, one clip discriminator for each; empty for none (an ablation)."""
    image_frames: Literal["one", "all"] = "one"
    """Frames of a chunk that the image discriminator sees: one drawn at random, or all."""

    picture_rounds: int = 0
    """Batches of single frames, from labels alone, before the sequences begin (ours): quicker to good pictures."""
    first_length: int = 28
    """Frames of a sequence in the first stage; each further one doubles it."""
    longest: int = 126
    """Longest sequence; shorter where the data's shortest sequence is."""
    lengths: int = 4
    """How many lengths are trained at each scale."""
    frames_a_step: int = 6
    """Frames of a chunk: memory grows with them."""
    backpropagated: int = 1
    """Frames through which a gradient flows back; 1 holds the frames before still."""
    rounds: tuple[int, ...] = (14_875,)
    """Batches of sequences at each length, one number for each scale."""
    rates: tuple[float, ...] = (2e-4,)
    """Learning rates, one for each scale; they fall linearly in the second half of a scale."""
    alone_rounds: int = 0
    """Batches of sequences for which a finer scale is trained alone, before the coarser ones join in."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas."""

    adversarial: AdversarialLoss = AdversarialLoss(base="least_squares")
    """The adversarial loss."""
    gan_weight: float = 1.0
    """Weight of both adversarial losses."""
    matching_weight: float = 10.0
    """Weight of feature matching in all discriminators."""
    perceptual: str = "vgg19"
    """Features of the perceptual loss: `vgg19`, `vgg16[:layers]`, `efficientnet-lite0`, several joined by `+`, `small`
    (ours), a weight file, or `none`."""
    perceptual_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    """Layers compared, each weighted twice as much as the one before; the last counts whole."""
    perceptual_weight: float = 10.0
    """Weight of the perceptual loss."""
    pixel_weight: float = 0.0
    """Weight of the mean absolute difference to the real frame (not in the paper)."""
    flow_weight: float = 10.0
    """Weight of the flow's distance to its teacher."""
    warp_weight: float = 10.0
    """Weight of both warp losses: of generated frames along the teacher's flow, of real ones along the estimated."""
    mask_weight: float = 0.0
    """Weight that keeps the mask from hallucinating what could be fetched."""


# Wang et al. 2018, appendix A and B, and the authors' options: 10 epochs at the full rate and 10 falling, of the 2975
# sequences of Cityscapes; 30 frames at first, twice as many every 5 epochs (2 and 1 at the finer scales), at most 128.
PAPER_512 = Settings(batch_size=1)
PAPER_1024 = replace(
    PAPER_512, scales=2, rounds=(14_875, 5950), rates=(2e-4, 1e-4), alone_rounds=5950, frames_a_step=4,
    discriminator_scales=3,
)  # fmt: skip
PAPER_2048 = replace(
    PAPER_1024, scales=3, rounds=(14_875, 5950, 2975), rates=(2e-4, 1e-4, 5e-5), alone_rounds=2975,
)  # fmt: skip
# Ours: narrow networks with instance norm, which needs no running statistics, at higher rates.
LAPTOP = Settings(
    batch_size=2, width=32, downs=3, blocks=6, norm="instance", given_share=0.5,
    discriminator_width=32, clip_strides=(1, 3), first_length=6, longest=24, lengths=3, frames_a_step=3,
    rounds=(400,), rates=(5e-4,), perceptual="small",
    # Both the blended and the hallucinated picture are compared.
    perceptual_layers=("relu1_1", "relu2_1", "relu3_1", "relu4_1"), pixel_weight=5.0, mask_weight=2.0,
    # The flow's gradients, in pixels, drown those of pictures in the encoders that both share.
    flow_weight=2.0, sampling="bicubic", mask_slope=4.0, repaint_relabelled=True, picture_rounds=4000,
    average_half_life=500.0, checkpoint_every=250, preview_every=100, score_every=250,
)  # fmt: skip
# Minutes are few: many short steps teach more than few long ones, and windows that change often more than long ones.
PREVIEW = replace(
    LAPTOP, frames_a_step=1, width=16, blocks=4, discriminator_width=16, picture_rounds=450, rounds=(9,),
    given_share=0.0, first_length=4, longest=16, average_half_life=200.0,
    checkpoint_every=200, preview_every=200, score_every=400,
)  # fmt: skip
# The gallery's: decoders that leave no grid, and half the data's size.
SHOW = replace(PREVIEW, shrink=2, upsampling="resize", perceptual="vgg16", perceptual_weight=5.0, precision="bfloat16")
PRESETS = {
    "laptop": LAPTOP,
    "preview": PREVIEW,
    "show": SHOW,
    "paper": PAPER_512,
    "512": PAPER_512,
    "1024": PAPER_1024,
    "2048": PAPER_2048,
}


def check(s: Settings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UserError: what contradicts.
    """
    for name, numbers in (("rounds", s.rounds), ("rates", s.rates)):
        if len(numbers) < s.scales:
            raise UserError(f"{name} has {len(numbers)} numbers", f"There are {s.scales} scales, and each needs one")
    for name in ("first_length", "lengths", "frames_a_step", "backpropagated", "past_frames", "shrink", "clip_frames"):
        if getattr(s, name) < 1:
            raise UserError(f"{name} is {getattr(s, name)}", "There is nothing to train", "Use 1 or more")
    if not 0 <= s.given_share <= 1:
        raise UserError(f"given_share is {s.given_share}", "It is a share of the sequences", "Use 0 to 1")
    replaces = [name for name, use in (("flow", s.flow_use), ("mask", s.mask_use)) if use == "replace"]
    if replaces and s.flow_from != "exact":
        why = f"The learned {' and '.join(replaces)} cannot be replaced by {s.flow_from!r}"
        raise UserError(why, "When frames are generated there are no pictures to look at", "Use --flow-from exact")
    if s.mask_from == "exact" and s.flow_from != "exact":
        raise UserError("The exact mask comes with the exact flow", do="Use --flow-from exact, or --mask-from none")
    if "mask" in replaces and s.mask_from != "exact":
        raise UserError("There is no mask to put in the place of the learned one", do="Use --mask-from exact")
    s.adversarial.require_batch(s.batch_size)
