"""The settings of reverse matchmove: the posts' values, presets of other sizes, and what is refused beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from ganvas.errors import UserError
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.settings import Training


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of reverse matchmove; the defaults are the post's at 512 px."""

    cameras: str = ""
    """Camera file; empty looks for transforms.json, cameras.csv, COLMAP's text or the only other one in `data`."""
    film_back_mm: tuple[float, float] | None = None
    """Width and height of the film back, for camera files that do not say it."""
    rotation_order: str = ""
    """Order of rotation of a .chan file: ZXY, XYZ ..."""
    metres_per_unit: float | None = None
    """Unit of the camera file, if it is not the format's usual one."""
    up: Literal["", "y", "z", "-y"] = ""
    """Up axis of the camera file's world, if it does not say it."""
    focal_mm: float | None = None
    """Focal length, for camera files that do not say it."""
    camera_name: str = ""
    """Which camera, where a scene holds several."""
    first_frame: int | None = None
    """Number of a movie's first frame, where `data` is a movie."""
    exposure: float = 0.0
    """Stops by which light of floating-point plates is exposed up; what is above 1 then is clipped."""
    stmap: str = ""
    """STMap (OpenEXR) that undistorts the plates, whose cameras are those of the undistorted ones."""
    lens_profile: Literal["", "exif"] = ""
    """`exif` undistorts plates by lensfun's profile of the lens that their EXIF names, where the cameras tell none."""
    photograph_views: int = 500
    """Views that a virtual camera takes where `data` is one large photograph."""
    run: int = 1
    """Consecutive frames that are held out together by `--val 0.2`; 1 holds out single frames."""
    size_px: Literal[16, 32, 64, 128, 256, 512, 1024, 2048] = 512
    """Side of the square that the network makes."""
    crop: Literal["square", "whole"] = "square"
    """Train on the centred square of each frame, or on the whole frame, squeezed and unsqueezed on output."""
    roll_degrees: float = 15.0
    """Roll pictures and cameras together by up to this, either way."""
    zoom: tuple[float, float] = (1.2, 1.4)
    """Zoom pictures and cameras together by factors of this range."""

    width: int = 128
    """Channels of the generator's last doubling."""
    fourier: int = 0
    """Octaves of Fourier features of the camera and of its rays."""
    rays_px: int = 0
    """Resolution from which on the rays of the pixels enter each doubling; 0 leaves them out."""
    rays_fourier: int | None = None
    """Octaves of Fourier features of the rays alone; None takes `fourier`."""
    rays_layers: int = 0
    """Layers of an MLP that each ray goes through before it enters."""
    rays_width: int = 64
    """Channels of that MLP."""
    rays_table: int = 0
    """Cells across a learned table of directions, in which each ray is looked up; 0 for none."""
    rays_planes: int = 0
    """Planes across each axis, near what the cameras look at, with tables of where rays cross them; 0 for none."""
    upsampling: Literal["transposed", "resize", "smooth"] = "transposed"
    """How the sides are doubled: transposed convolutions (the post's), `resize`, which leaves no grid, or `smooth`, by
    interpolation, which makes a weave of two pixels harder to learn."""
    generator_norm: Literal["batch", "instance", "none"] = "batch"
    """Norm in the generator."""
    attention_px: int = 0
    """Resolution of self-attention in the generator; 0 for none."""
    generator_spectral: bool = False
    """Spectral norm in the generator."""
    dropout: float = 0.0
    """Share of the generator's features that are dropped while training."""
    discriminator_width: int = 128
    """Channels of the discriminator's first layer."""
    discriminator_norm: Literal["spectral", "batch", "none"] = "spectral"
    """Norm in the discriminator."""
    conditional: bool = False
    """Show the discriminator the camera, too (projection)."""

    pixel_weight: float = 3.0
    """Weight of L1 between pictures normalised as ImageNet's are."""
    perceptual: str = "vgg19"
    """Features of the perceptual loss: `vgg19`, `vgg16[:layers]`, `efficientnet-lite0`, several joined by `+`, `small`
    (ours), a weight file, or `none`."""
    perceptual_layers: tuple[str, ...] = ("relu1_1", "relu1_2", "relu2_1", "relu2_2", "conv3_1")
    """Layers compared, with the poolings between them left out."""
    perceptual_weight: float = 1.25
    """Weight of the mean over these layers."""
    learned_weight: float = 31.25
    """Weight of the discriminator's features as a loss, the mean over its layers."""
    learned_layers: tuple[int, ...] = (0, 1, 2, 3)
    """The discriminator's layers that are compared."""
    gan_weight: float = 1e-3
    """Weight of the adversarial loss."""
    adversarial: AdversarialLoss = AdversarialLoss(base="hinge", pairing="plain")
    """Base and pairing of the adversarial loss; the post's other choice is wasserstein."""
    weight_clip: float = 0.0
    """Confine the discriminator's weights to +- this (WGAN: 0.01); 0 does not."""
    discriminator_decay: float = 0.0
    """Weight decay of the discriminator."""

    coarse_px: int = 0
    """Resolution of a first stage that trains the coarse half of the generator alone; 0 leaves it out."""
    coarse_steps: int = 0
    """Steps of that stage."""
    pixel_steps: int = 0
    """Steps with the fixed losses alone, before the discriminator joins."""
    steps: int = 375_000
    """Steps with all losses (500 epochs of 3000 frames)."""
    rate: float = 2e-4
    """Learning rate of the generator."""
    warmup_steps: int = 0
    """Steps at the beginning of each stage over which rates rise from nothing."""
    momentum: float = 0.5
    """First beta of the generator's Adam; the discriminator's is 0.5."""
    discriminator_rate: float = 2e-4
    """Learning rate of the discriminator."""
    halvings: int = 8
    """How often both rates are halved, evenly after the first fifth of a stage."""


# The original's options.py defaults and the post: 500 epochs, batch 4, Adam 2e-4, halved every 50 epochs from 100 on.
PAPER = Settings(batch_size=4)
GOAL_1024 = replace(PAPER, size_px=1024, coarse_px=256, coarse_steps=100_000, batch_size=2)
GOAL_2048 = replace(
    PAPER, size_px=2048, coarse_px=256, coarse_steps=100_000, batch_size=1, activation_checkpoints=True
)  # fmt: skip
# Ours: rays with tables of what they see, narrow layers at a higher rate.
LAPTOP = replace(
    PAPER, size_px=128, width=12, fourier=0, rays_px=32, rays_fourier=7, rays_layers=3, rays_table=512, rays_planes=3,
    generator_norm="none", momentum=0.9, warmup_steps=100, zoom=(1.0, 1.15), roll_degrees=10.0, batch_size=2,
    discriminator_width=16, perceptual="none", learned_weight=10.0, gan_weight=0.1, rate=4e-3, discriminator_rate=5e-4,
    halvings=4, pixel_steps=1500, steps=1500, average_half_life=200.0, checkpoint_every=500, preview_every=500,
    score_every=500,
)  # fmt: skip
PREVIEW = replace(
    LAPTOP, size_px=64, rays_px=16, rays_fourier=6, rays_table=256, pixel_steps=600, steps=300, score_every=300,
)  # fmt: skip
# The gallery's: 256 px, in steps of one view.
SHOW = replace(
    LAPTOP, size_px=256, rays_px=64, rays_table=640, photograph_views=300, batch_size=1, pixel_steps=400, steps=700,
    average_half_life=40.0, upsampling="resize", precision="bfloat16",
)  # fmt: skip


def check(s: Settings) -> None:
    """Refuse settings that contradict each other.

    Raises:
        UserError: what contradicts, and what to set instead.
    """
    if min(s.coarse_steps, s.pixel_steps, s.steps) < 0 or not s.coarse_steps + s.pixel_steps + s.steps:
        raise UserError("There is nothing to train", "coarse_steps, pixel_steps and steps are all 0 or below")
    weights = ("pixel_weight", "perceptual_weight", "learned_weight", "gan_weight", "weight_clip")
    for name in (*weights, "roll_degrees", "rays_table", "rays_planes"):
        if getattr(s, name) < 0:
            raise UserError(f"{name} is {getattr(s, name):g}", "It must not be negative", "0 switches it off")
    if not (s.pixel_weight or s.learned_weight or s.gan_weight or (s.perceptual_weight and s.perceptual != "none")):
        raise UserError("The generator has nothing to learn from", "All its losses have the weight 0")
    if s.pixel_steps and not s.pixel_weight and (s.perceptual == "none" or not s.perceptual_weight):
        raise UserError("The pixel stage has nothing to learn from", do="Give pixel_weight, or set pixel_steps to 0")
    if not 0 < s.zoom[0] <= s.zoom[1]:
        raise UserError(f"zoom is {s.zoom}", "It goes from the least factor to the greatest, both above 0")
    if bool(s.coarse_steps) != bool(s.coarse_px):
        raise UserError("coarse_px and coarse_steps go together", do="Give both, or neither")
    if s.coarse_px and not 16 <= s.coarse_px < s.size_px:
        raise UserError(f"coarse_px is {s.coarse_px}", f"It goes from 16 to half of size_px, which is {s.size_px}")
    if s.halvings < 1:
        raise UserError(f"halvings is {s.halvings}", do="Use at least 1")
    if s.adversarial.base == "wasserstein" and s.discriminator_norm != "spectral" and not s.weight_clip:
        why = "Nothing bounds the discriminator's slope, so its loss has no minimum"
        do = "Add --weight-clip 0.01 or --discriminator-norm spectral"
        raise UserError("The wasserstein loss needs a bounded discriminator", why, do)
    s.adversarial.require_batch(s.batch_size)
