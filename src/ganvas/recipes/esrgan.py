"""ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks (Wang et al. 2018, arXiv 1809.00219).

A low picture goes in, one of `scale` times its sides comes out. Two stages: the first fits pixels (L1), which gives
the highest PSNR and soft pictures; the second goes on from its weights with three terms (equation 3 of the paper),

    generator = perceptual + 5e-3 * relativistic average GAN + 1e-2 * L1,

and gives sharp ones. Against SRGAN it changes four things, each of which is one setting here: dense residual blocks
without batch norm (`network`), the relativistic average discriminator (`adversarial`), features taken before their
activation (`perceptual_layers`), and the first stage itself (`pixel_steps`). The preset `srgan` undoes all four, and
takes squares where ESRGAN takes absolute values.

Expect the second stage to lose 1 to 2 dB of PSNR and to invent texture. `ganvas blend` moves between the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ganvas.data import degrade
from ganvas.data.pictures import Crops, PairedPictures, Pictures
from ganvas.errors import UserError
from ganvas.losses import regularization
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.losses.reconstruction import charbonnier, decibels, feature_matching, l1, l2
from ganvas.losses.structure import (
    colour_consistency,
    locally_discriminative,
    ms_ssim_loss,
    wavelet_details,
)
from ganvas.metrics.paired import luma, psnr
from ganvas.networks.rrdb.card import enlarger_card
from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.recipes import features
from ganvas.recipes.teachers import load_teacher
from ganvas.settings import Training, bounded

PIXEL_LOSSES = {"l1": l1, "l2": l2, "charbonnier": charbonnier, "decibels": decibels}
SCORED_PX = 384
"""Side of the part of each validation picture that is scored; a multiple of every scale."""


class Batch(NamedTuple):
    """Pictures in [0, 1]: low (B, 3, h, w), high (B, 3, scale * h, scale * w)."""

    low: Tensor
    high: Tensor


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of ESRGAN; the defaults are the paper's."""

    scale: Literal[1, 2, 4, 8] = 4
    """Output side divided by input side."""
    low: str = ""
    """Folder of low pictures paired by name with those of `data`; empty computes them from the high ones."""
    degradation: Literal["bicubic", "files", "second_order"] = "bicubic"
    """How low pictures are computed: MATLAB's antialiased bicubic, or by blur, noise and JPEG twice over, as files have
    suffered (`files`) or as hard as Real-ESRGAN does (`second_order`)."""
    crop_px: int = 128
    """Side of the high crops of the GAN stage."""
    pixel_crop_px: int = 192
    """Side of the high crops of the pixel stage (supplement, section 4)."""

    network: Literal["rrdb", "span", "compact", "srresnet", "srresnet_bn"] = "rrdb"
    """Generator: dense residual blocks, SPAN (fast, accurate), a plain chain, or SRGAN's without or with batch norm."""
    width: int = 64
    """Channels of the generator."""
    blocks: int = 23
    """Residual blocks of the generator, or convolutions of `compact`."""
    growth: int = 32
    """Channels that each convolution of a dense block adds (`rrdb` only)."""
    base: Literal["none", "nearest", "bilinear", "bicubic"] = "bicubic"
    """Upsampling to which `span` adds its output; `none` is the published network's, whose weights need it."""
    branches: bool = False
    """Train `span` with its branches (re-parameterised); what a run hands out is fused."""
    notch: int = bounded(0, 0, 255)
    """Window, in low pixels, of a filter in `span` that takes out the grid which a GAN leaves, such as 9; 0 is none."""
    unshuffle: Literal[0, 1, 2, 4] = 0
    """Pixels a side that `rrdb` and `span` fold into channels first; 0: the published 4 and 2 for `rrdb` at x1, x2."""
    discriminator: Literal["vgg", "unet", "patch"] = "vgg"
    """One score a picture (the paper's), one a pixel (with spectral norm), or one for each patch of 34 px."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    patch_norm: Literal["spectral", "instance", "none"] = "spectral"
    """Norm in the discriminator of patches; `none` wants R1 and R2."""

    pixel_steps: int = 1_000_000
    """Steps of the first stage, which fits pixels alone; 0 leaves it out."""
    pixel_rate: float = 2e-4
    """Learning rate of the pixel stage."""
    pixel_schedule: Literal["constant", "step", "linear", "cosine"] = "step"
    """How that rate falls; `step` halves it at every fifth of the stage (the paper's 2e5 iterations)."""
    pixel_loss: Literal["l1", "l2", "charbonnier", "decibels"] = "l1"
    """Distance between pixels in both stages; SRGAN's is the square, LapSRN's L1 with a round bottom. `decibels` counts
    every picture alike in PSNR, the nearly clean one, too (HINet's)."""
    teacher: str = ""
    """Distil: a weight file, run or bundled model of the same scale, whose output is a target beside the truth."""
    teacher_share: float = 0.5
    """Share of the pixel distance that is to the teacher's output (0 to 1)."""
    ms_ssim_weight: float = 0.0
    """Weight of 1 - MS-SSIM, in both stages."""

    gan_steps: int = 400_000
    """Steps of the second stage; 0 leaves it out."""
    gan_rate: float = 1e-4
    """Learning rate of generator and discriminator in the GAN stage, halved at 1/8, 1/4, 1/2 and 3/4 of it."""
    pixel_weight: float = 1e-2
    """Weight of the pixel distance in the GAN stage (eta)."""
    gan_weight: float = 5e-3
    """Weight of the adversarial loss (lambda), which is, as in the authors' code, the mean of its two terms."""
    adversarial: AdversarialLoss = AdversarialLoss(base="standard", pairing="average")
    """Base and pairing of the adversarial loss; the paper's is standard, average."""
    r1_weight: float = 0.0
    """Gamma of R1 on real pictures, of the mean of each one's scores; 0 for none."""
    r2_weight: float = 0.0
    """Gamma of R2, the same on generated pictures; 0 for none."""
    r1_every: int = bounded(4, 1, 1000)
    """Take R1 and R2 every so many steps only, so many times as strong."""
    perceptual: str = "vgg19"
    """Features of the perceptual loss: `vgg19`, `vgg16[:layers]`, `efficientnet-lite0`, several joined by `+`, `small`
    (ours), a weight file, or `none` (the discriminator's own)."""
    perceptual_layers: tuple[str, ...] = ("conv5_4",)
    """Layers compared; convN_M is before its activation (the paper's finding), reluN_M after it (SRGAN's)."""
    perceptual_loss: Literal["l1", "l2"] = "l1"
    """Distance between features; SRGAN's is the square."""
    perceptual_weight: float = 1.0
    """Weight of the perceptual loss."""
    dists_weight: float = 0.0
    """Weight of DISTS over VGG16, all channels alike, in the GAN stage; needs `ganvas features fetch vgg16`."""
    colour_weight: float = 0.0
    """Weight of the colours' difference after averaging over squares of the scale, in the GAN stage."""
    ldl_weight: float = 0.0
    """Weight of the locally discriminative loss (LDL), which minds artifacts, in the GAN stage."""
    judged: Literal["picture", "wavelets"] = "picture"
    """What the discriminator sees: pictures, or the detail bands of their luma (wavelet-guided)."""


LAPTOP = Settings(
    network="compact", width=32, blocks=8, pixel_steps=4000, pixel_rate=2e-3, pixel_schedule="cosine", gan_steps=0,
    batch_size=16, pixel_crop_px=128, crop_px=128, perceptual="none", average_half_life=4000.0,
    checkpoint_every=500, preview_every=500, score_every=1000,
)  # fmt: skip
PREVIEW = replace(
    LAPTOP, width=16, blocks=4, pixel_steps=400, gan_steps=200, batch_size=4, pixel_crop_px=128, crop_px=128,
    discriminator_width=16, pixel_weight=1.0, gan_rate=2e-4, checkpoint_every=200, preview_every=200, score_every=200,
)  # fmt: skip
# What the bundled photo-x4-gan was trained by, behind a pixel stage. With `--init photo-x4 --pixel-steps 0` that begins
# where ours began.
SHOW = replace(
    LAPTOP, network="span", width=48, blocks=6, base="none", notch=7, batch_size=8, clip_gradient=1.0,
    pixel_steps=20_000, pixel_rate=2e-4, gan_steps=3000, gan_rate=4e-4, pixel_weight=1.0, gan_weight=0.15,
    perceptual="vgg16", perceptual_weight=0.15, colour_weight=1.0, ldl_weight=1.0, discriminator="patch",
    discriminator_width=32, average_half_life=2000.0,
)  # fmt: skip
PAPER = Settings()
SRGAN = replace(
    PAPER, network="srresnet_bn", blocks=16, pixel_steps=0, pixel_loss="l2", gan_steps=200_000, crop_px=96,
    pixel_weight=0.0, perceptual_layers=("relu5_4",), perceptual_loss="l2", perceptual_weight=0.006, gan_weight=1e-3,
    adversarial=AdversarialLoss(base="standard", pairing="plain"),
)  # fmt: skip


class ESRGAN(Recipe):
    """Super-resolution in two stages: pixels, then perception with a relativistic discriminator."""

    Settings = Settings
    PRESETS: ClassVar = {"laptop": LAPTOP, "preview": PREVIEW, "show": SHOW, "paper": PAPER, "srgan": SRGAN}
    SHOWN = ("bicubic", "generated", "truth")

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        _check(settings)

    def stages(self) -> list[Stage]:
        """Return the pixel stage and the GAN stage, each if it has steps."""
        s = self.settings
        generator = Turn(side="generator", trains=("generator",))
        discriminator = Turn(side="discriminator", trains=("discriminator",))
        pixel = Optimizer(
            rate=s.pixel_rate, schedule=s.pixel_schedule, milestones=(0.2, 0.4, 0.6, 0.8),
            final_rate=1e-3 * s.pixel_rate,
        )  # fmt: skip
        gan = Optimizer(rate=s.gan_rate, schedule="step", milestones=(1 / 8, 1 / 4, 1 / 2, 3 / 4))
        pixels = Stage(
            name="pixel", steps=s.pixel_steps, turns=(generator,), resolution=s.pixel_crop_px,
            optimizers={"generator": pixel},
        )  # fmt: skip
        perception = Stage(
            name="gan", steps=s.gan_steps, turns=(discriminator, generator), resolution=s.crop_px,
            optimizers={"generator": gan, "discriminator": gan}, restarts_average=True,
        )  # fmt: skip
        return [stage for stage in (pixels, perception) if stage.steps]

    def fixed(self) -> dict[str, nn.Module]:
        """Return the networks of the perceptual losses, where there is a GAN stage, and the teacher."""
        s = self.settings
        found = {
            "features": features.load_features(s.perceptual, s.perceptual_layers) if s.gan_steps else None,
            "dists": features.load_dists() if s.gan_steps and s.dists_weight else None,
            "teacher": load_teacher(s.teacher, s.scale) if s.teacher else None,
        }
        return {name: network for name, network in found.items() if network is not None}

    def source(self, path: str) -> Source:
        """Return crops of the pictures in a folder, or aligned pairs where there is a folder of low ones."""
        s = self.settings
        crop_px = max(stage.resolution for stage in self.stages())
        if s.low:
            return PairedPictures(s.low, path, scale=s.scale, crop_px=crop_px)
        return Pictures(path, crop_px=crop_px, scale=s.scale)

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Cut the crops to the stage's size and compute the low pictures that were not given."""
        s = self.settings
        side = context.stage.resolution
        high = raw["high"][..., :side, :side]
        if "low" in raw:
            return Batch(raw["low"][..., : side // s.scale, : side // s.scale], high)
        return Batch(self._lower(high, context.random), high)

    def _lower(self, high: Tensor, random: torch.Generator) -> Tensor:
        scale = self.settings.scale
        if self.settings.degradation != "bicubic":
            how = degrade.files(scale) if self.settings.degradation == "files" else degrade.SecondOrder(scale=scale)
            return degrade.degrade(high, how, random)
        return degrade.bicubic(high, scale)

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Upscale the low pictures: (B, 3, h, w) -> (B, 3, scale * h, scale * w)."""
        return {"fake": nets.generator(batch.low).to(batch.high.dtype)}, carry

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss of real against generated pictures, R1 and R2."""
        s, pictures = self.settings, (self._seen(batch.high), self._seen(outputs["fake"]))
        ledger = Ledger({"gan": s.adversarial.discriminator(*(nets.discriminator(shown) for shown in pictures))})
        lazy = context.health.r1_factor * regularization.lazy_factor(context.step, s.r1_every)
        ledger.update(regularization.zero_centred(nets.discriminator, *pictures, (s.r1_weight, s.r2_weight), lazy))
        return ledger

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the pixel distance; in the GAN stage also the perceptual distance and the adversarial loss."""
        s, fake = self.settings, outputs["fake"]
        pixel = self._pixel(nets, fake, batch)
        structure = {"ms_ssim": s.ms_ssim_weight * ms_ssim_loss(fake, batch.high)} if s.ms_ssim_weight else {}
        if context.stage.name == "pixel":
            return Ledger({"pixel": pixel, **structure})
        real_verdict: Any = None
        if s.adversarial.generator_needs_real or "features" not in nets:
            with torch.no_grad():
                real_verdict = nets.discriminator(self._seen(batch.high))
        fake_verdict = nets.discriminator(self._seen(fake))
        ledger = Ledger({"gan": s.gan_weight * s.adversarial.generator(real_verdict, fake_verdict), **structure})
        if s.pixel_weight:
            ledger["pixel"] = s.pixel_weight * pixel
        ledger.update(self._further(nets, fake, batch, context))
        if "features" not in nets:
            distance = feature_matching(fake_verdict, real_verdict)
        else:
            layers = dict.fromkeys(s.perceptual_layers, 1.0)
            distance = features.distance(nets.features, fake, batch.high, layers, s.perceptual_loss)
        ledger["perceptual"] = s.perceptual_weight * distance
        return ledger

    def _seen(self, pictures: Tensor) -> Tensor:
        """Return what the discriminator sees of pictures."""
        return wavelet_details(pictures) if self.settings.judged == "wavelets" else pictures

    def _pixel(self, nets: Networks, fake: Tensor, batch: Batch) -> Tensor:
        """Return the distance of pixels to the truth, and to the teacher's output where there is one."""
        s, distance = self.settings, PIXEL_LOSSES[self.settings.pixel_loss]
        if "teacher" not in nets:
            return distance(fake, batch.high)
        with torch.no_grad():
            taught = nets.teacher(batch.low).to(fake.dtype).clamp(0, 1)
        return (1 - s.teacher_share) * distance(fake, batch.high) + s.teacher_share * distance(fake, taught)

    def _further(self, nets: Networks, fake: Tensor, batch: Batch, context: Context) -> dict[str, Tensor]:
        """Return the losses of the GAN stage that came after the paper, where they have weights."""
        s, found = self.settings, dict[str, Tensor]()
        if s.colour_weight:
            found["colour"] = s.colour_weight * colour_consistency(fake, batch.high, s.scale)
        if s.ldl_weight:
            average = None
            if "generator" in context.averages:
                with torch.no_grad():
                    average = context.averages["generator"](batch.low)
            found["ldl"] = s.ldl_weight * locally_discriminative(fake, batch.high, average)
        if "dists" in nets:
            found["dists"] = s.dists_weight * nets.dists(fake.float(), batch.high.float()).mean()
        return found

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return low (bicubic), generated and true picture side by side: (B, 3, H, 3 W)."""
        bicubic = degrade.resize_bicubic(batch.low, size=(batch.high.shape[-2], batch.high.shape[-1]))
        return torch.cat([bicubic, nets.generator(batch.low).float(), batch.high], dim=-1).clamp(0, 1)

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return the mean PSNR on Y in dB, and its gain over bicubic, on the middle of up to 16 pictures."""
        s, ours, base = self.settings, [], []
        assert isinstance(source, Crops)
        pictures = source.one_each()
        for index in range(min(16, len(pictures))):
            raw = {name: picture[None].to(context.device) for name, picture in pictures.whole(index).items()}
            high = _middle(raw["high"], SCORED_PX, s.scale)
            # Seeded by the picture alone: a random degradation is the same at every score.
            random = torch.Generator().manual_seed(index)
            low = _middle(raw["low"], SCORED_PX // s.scale) if "low" in raw else self._lower(high, random)
            bicubic = degrade.resize_bicubic(low, size=(high.shape[-2], high.shape[-1]))
            for found, picture in ((ours, nets.generator(low)), (base, bicubic)):
                found.append(float(psnr(luma(picture.float().clamp(0, 1)), luma(high), crop_px=s.scale)))
        mean = sum(ours) / len(ours)
        return {"psnr_y": mean, "gain_over_bicubic": mean - sum(base) / len(base)}

    def card(self) -> Card:
        """Return the card of the generator."""
        s = self.settings
        if s.network == "compact":
            card = enlarger_card("compact", width=s.width, convs=s.blocks, scale=s.scale, base="bicubic")
        elif s.network == "span":
            card = enlarger_card(
                "span", width=s.width, blocks=s.blocks, scale=s.scale, base=s.base, branches=s.branches, notch=s.notch,
                unshuffle=s.unshuffle or 1,
            )  # fmt: skip
        elif s.network == "rrdb":
            unshuffle = s.unshuffle or {1: 4, 2: 2}.get(s.scale, 1)  # as Real-ESRGAN: its trunk works at a quarter
            card = enlarger_card(
                "rrdbnet", width=s.width, blocks=s.blocks, growth=s.growth, scale=s.scale, unshuffle=unshuffle
            )
        else:
            batch_norm = s.network == "srresnet_bn"
            card = enlarger_card("srresnet", width=s.width, blocks=s.blocks, scale=s.scale, batch_norm=batch_norm)
        return replace(card, recipe="esrgan", purpose=f"super-resolution x{s.scale}", data=s.data, origin="")

    def cards(self) -> dict[str, Card]:
        """Return the cards of the generator and, for the GAN stage, of the discriminator."""
        s, cards = self.settings, {"generator": self.card()}
        if s.gan_steps:
            own = {"vgg": {"size_px": s.crop_px}, "unet": {}, "patch": {"layers": 2, "norm": s.patch_norm}}
            # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
            shared = {"width": s.discriminator_width, "last_bias": not s.adversarial.is_shift_invariant}
            cards["discriminator"] = Card(
                network=f"{s.discriminator}_discriminator", settings={**shared, **own[s.discriminator]}, input="other",
                channels_out=1, recipe="esrgan", purpose="tells photographs from enlargements", data=s.data,
            )  # fmt: skip
        return cards


def _middle(picture: Tensor, side_px: int, unit_px: int = 1) -> Tensor:
    """Cut the middle out of pictures, beginning at a multiple of a unit, so that low and high parts stay aligned."""
    top, left = (max(0, length - side_px) // (2 * unit_px) * unit_px for length in picture.shape[-2:])
    return picture[..., top : top + side_px, left : left + side_px]


def _check(s: Settings) -> None:
    if min(s.pixel_steps, s.gan_steps) < 0 or not s.pixel_steps + s.gan_steps:
        raise UserError("There is nothing to train", f"pixel_steps is {s.pixel_steps} and gan_steps {s.gan_steps}")
    for name, side in (("crop_px", s.crop_px), ("pixel_crop_px", s.pixel_crop_px)):
        if side < s.scale or side % s.scale:
            raise UserError(f"{name} is {side}", f"It must be a multiple of the scale {s.scale}")
    if s.notch and s.network != "span":
        raise UserError(f"notch is {s.notch} and network {s.network}", "Only span has the filter", "Use --notch 0")
    if s.unshuffle > 1 and s.network not in ("rrdb", "span"):
        raise UserError(f"unshuffle is {s.unshuffle} and network {s.network}", "Only rrdb and span fold pixels")
    if s.low and s.degradation != "bicubic":
        raise UserError("Low pictures are given and are to be computed, too", do="Leave out --low or --degradation")
    if s.scale == 1 and not s.low and s.degradation == "bicubic":
        why = "At x1 the bicubic low pictures are the high ones"
        raise UserError("There is nothing to learn", why, "Add --degradation files, or --low FOLDER")
    if not 0 <= s.teacher_share <= 1:
        raise UserError(f"teacher_share is {s.teacher_share:g}", do="Use 0 (the truth alone) to 1 (the teacher alone)")
    if min(s.ms_ssim_weight, s.colour_weight, s.ldl_weight, s.dists_weight, s.r1_weight, s.r2_weight) < 0:
        raise UserError("A weight of a loss is below 0", do="Use 0 to leave the loss out")
    if s.r1_weight + s.r2_weight and s.discriminator == "vgg":
        why = "The discriminator vgg has batch norm, which couples samples; a penalty is of each alone"
        raise UserError("R1 and R2 do not go with --discriminator vgg", why, "Use --discriminator patch or unet")
    if s.gan_steps:
        s.adversarial.require_batch(s.batch_size)
