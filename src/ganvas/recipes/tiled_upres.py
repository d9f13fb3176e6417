"""Tiled upres: portraits of 768 px and more, tile by tile from a low picture and what is known of it (M. Tyka 2017).

Stage 1 generates a low picture of 128 px from noise: `ganvas train relativistic --preset dcgan --size 128`. This
recipe is stage 2: a J-net (slim encoder, rich decoder) that turns 32 px into 256, conditioned on a *semantic guide*:
the features of the whole face, drawn in colour, which a crop of 32 px could not know. Its two losses are

    a conditional GAN on the 256 px (pix2pix's discriminator, which is given the 32 px, too), and
    lambda * L1 between both pictures averaged down to 32 px: right in the large, free in detail.

There is no norm in the generator; instance and batch norm are switches, since the author compared them. At inference
(`inference/picture/tiled.py`) overlapping tiles are blended, each tried in several variants of which the best is kept.

Expect sharp textures that are invented, right colours, and that hair is harder than skin. No lambda is published; 100
is pix2pix's, whose optimiser the paper preset takes, too.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.data import guides
from ganvas.data.guides import Guide, GuidedPictures, GuideSettings
from ganvas.errors import UserError
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.losses.reconstruction import l1, low_l1
from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.recipes import enlargement, features
from ganvas.settings import Training

SCORED = 16
"""Validation pictures that a score looks at, one tile of each."""
LAPLACIAN_LEVELS = 3


class Batch(NamedTuple):
    """Tiles in [-1, 1]: the low picture over its guide, (B, 3 + C, s, s), and the high one, (B, 3, 8 s, 8 s)."""

    low: Tensor
    high: Tensor


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of the tiled upres; the defaults are the post's."""

    high_px: int = 768
    """Side of the high pictures, the largest square in the middle of each; smaller ones are passed over."""
    low_px: int = 128
    """Side of the low pictures that the guide is drawn on: what the first stage makes."""
    tile_px: int = 32
    """Side of the crops of the low picture that the network sees."""
    scale: Literal[2, 4, 8, 16] = 8
    """Enlargement; the low picture is first resized to the high side divided by it (768 / 8 = 96)."""
    guide: str = "landmarks"
    """`landmarks` (dlib), `points`, `labels`, `edges`, `none`, or your function as FILE.py:NAME."""
    guide_file: str = ""
    """What the guide reads: dlib's predictor, the points' JSON file, or the folder of label maps."""
    guide_each: bool = False
    """One channel for each feature or label instead of colours."""
    num_labels: int = 0
    """Labels of `--guide labels --guide-each`."""
    mirror: bool = True
    """Mirror pictures at random."""

    width: int = 64
    """Channels of the generator's finest layers; the others are one, two and four times as wide."""
    encoder_width_div: int = 4
    """By what the encoder's channels are divided (the text says 4, the figure shows 1)."""
    norm: Literal["none", "instance", "batch", "batch_statistics"] = "none"
    """Norm of the generator; `batch_statistics` is batch norm that uses the batch's statistics at inference, too."""
    upsampling: Literal["transposed", "resize", "smooth"] = "transposed"
    """How the sides are doubled: transposed convolutions (the post's), `resize`, which leaves no grid, or `smooth`, by
    interpolation, which makes a weave of two pixels harder to learn."""
    base: Literal["none", "bicubic", "faithful"] = "none"
    """What the network adds to: `bicubic` learns faster; `faithful`, ours, also makes the sum, shrunk, the input."""
    detail: float = 1.0
    """Gain of the finest detail at inference (ours), since L1 damps what it is unsure of; 0 is found in training."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    discriminator_norm: Literal["batch", "instance", "none"] = "batch"
    """Norm of the discriminator."""
    judged: Literal["picture", "detail"] = "picture"
    """What it sees: high tiles, or what the enlarged low ones lack of them, ten times as strong (ours)."""

    l1_weight: float = 100.0
    """Weight of the L1 loss (lambda)."""
    l1_at: Literal["low", "laplacian", "full"] = "low"
    """Where pictures are compared: averaged to the tile's own size, on a Laplacian pyramid, or pixel by pixel."""
    perceptual: str = "none"
    """Features of a perceptual loss (ours): `vgg16[:layers]`, `efficientnet-lite0`, joined by `+`, or `none`."""
    perceptual_weight: float = 0.1
    """Weight of that loss."""
    gan_weight: float = 1.0
    """Weight of the adversarial loss."""
    adversarial: AdversarialLoss = AdversarialLoss(base="standard", pairing="plain")
    """Base and pairing of the adversarial loss."""

    pixel_steps: int = 0
    """Steps before, with the L1 loss alone, pixel by pixel: ours, it teaches what the guide means (the author: 0)."""
    pixel_schedule: Literal["constant", "cosine"] = "constant"
    """How the generator's rate goes in them: `cosine` lets it fall to nothing."""
    steps: int = 100_000
    """Steps with both networks."""
    generator_rate: float = 2e-4
    """Learning rate of the generator."""
    discriminator_rate: float = 2e-4
    """Learning rate of the discriminator."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas."""


# The post and its figure method2; what it leaves open (lambda, rate, betas, batch) is pix2pix's, and steps are ours.
PAPER = Settings(batch_size=1)
LAPTOP = replace(
    PAPER, guide="edges", high_px=384, low_px=64, width=16, encoder_width_div=2, discriminator_width=16, batch_size=4,
    base="bicubic", pixel_steps=500, steps=4000, generator_rate=5e-4, discriminator_rate=2e-4,
    average_half_life=1000.0, checkpoint_every=250, preview_every=250, score_every=500,
)  # fmt: skip
PREVIEW = replace(
    LAPTOP, high_px=256, low_px=48, width=8, discriminator_width=8, pixel_steps=150, steps=450,
    average_half_life=200.0, checkpoint_every=150, preview_every=150, score_every=150,
)  # fmt: skip
# The gallery's: the detail that the guide and the low picture allow, scored apart from all that they tell.
SHOW = replace(
    PREVIEW, guide="edges", high_px=768, low_px=128, scale=8, width=12, base="faithful", upsampling="resize",
    judged="detail", pixel_steps=300, steps=250, generator_rate=1e-3, discriminator_rate=1e-3, precision="bfloat16",
)  # fmt: skip


class TiledUpres(Recipe):
    """The second stage of the tiled upres: a J-net under a semantic guide, against a discriminator that sees both."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = {
        "laptop": LAPTOP,
        "preview": PREVIEW,
        "show": SHOW,
        "paper": PAPER,
        "points": replace(LAPTOP, guide="points"),
    }
    SHOWN = ("low", "guide", "generated", "truth")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._guide: Guide | None = None
        _check(settings)

    @property
    def guide(self) -> Guide:
        """The guide, built when it is first needed: it may read files."""
        if self._guide is None:
            self._guide = guides.make(self._guide_settings())
        return self._guide

    def stages(self) -> list[Stage]:
        """Return the stage of the L1 loss, if it has steps, and that of both networks."""
        s = self.settings
        generator = Turn(side="generator", trains=("generator",))
        discriminator = Turn(side="discriminator", trains=("discriminator",))
        rates = {"generator": s.generator_rate, "discriminator": s.discriminator_rate}
        both = {name: Optimizer(rate=rate, betas=s.betas) for name, rate in rates.items()}
        alone = {"generator": replace(both["generator"], schedule=s.pixel_schedule)}
        pixels = Stage(name="pixel", steps=s.pixel_steps, turns=(generator,), optimizers=alone)
        gan = Stage(
            name="gan", steps=s.steps, turns=(discriminator, generator), optimizers=both,
            restarts_average=bool(s.pixel_steps),
        )  # fmt: skip
        return [stage for stage in (pixels, gan) if stage.steps]

    def fixed(self) -> dict[str, nn.Module]:
        """Return the feature network of the perceptual loss, if there is one."""
        network = features.load_balanced(self.settings.perceptual)
        return {"features": network} if network else {}

    def source(self, path: str) -> Source:
        """Return random tiles of the pictures in a folder."""
        s = self.settings
        return GuidedPictures(path, self.guide, s.high_px, s.low_px, s.tile_px, s.scale, s.mirror)

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Take the tiles as they are."""
        return Batch(raw["low"], raw["high"])

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Enlarge the low tiles: (B, 3 + C, s, s) -> (B, 3, scale s, scale s)."""
        return {"fake": nets.generator(batch.low).to(batch.high.dtype)}, carry

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss: is it real, and is it a high version of this low tile?"""
        real, fake = (nets.discriminator(high, batch.low) for high in (batch.high, outputs["fake"]))
        return Ledger({"gan": self.settings.adversarial.discriminator(real, fake)})

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the L1 loss, and after the first stage the adversarial one."""
        s, fake, ledger = self.settings, outputs["fake"], Ledger()
        if not s.detail and context.step % enlargement.CALIBRATED_EVERY == 0:
            enlargement.calibrate(nets.generator, batch.low, batch.high)
        if s.l1_weight:
            at = "full" if context.stage.name == "pixel" else s.l1_at
            ledger["l1"] = s.l1_weight * self._distance(fake, batch.high, at)
        if "features" in nets:
            pictures = (fake * 0.5 + 0.5, batch.high * 0.5 + 0.5)
            ledger["perceptual"] = s.perceptual_weight * features.distance(nets.features, *pictures)
        if context.stage.name == "gan" and s.gan_weight:
            real = None
            if s.adversarial.generator_needs_real:
                with torch.no_grad():
                    real = nets.discriminator(batch.high, batch.low)
            ledger["gan"] = s.gan_weight * s.adversarial.generator(real, nets.discriminator(fake, batch.low))
        return ledger

    def _distance(self, fake: Tensor, real: Tensor, at: str) -> Tensor:
        match at:
            case "low":
                return low_l1(fake, real, self.settings.tile_px)
            case "laplacian":
                return laplacian_l1(fake, real, LAPLACIAN_LEVELS)
            case _:
                return l1(fake, real)

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return the low tile, its guide, the generated and the true tile side by side: (B, 3, S, 4 S)."""
        size = (batch.high.shape[-2], batch.high.shape[-1])
        low = [F.interpolate(part, size=size, mode="nearest") for part in (batch.low[:, :3], _shown(batch.low[:, 3:]))]
        return (torch.cat([*low, nets.generator(batch.low).float(), batch.high], dim=-1) * 0.5 + 0.5).clamp(0, 1)

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return the PSNR on Y in dB, its gain over bicubic, the low L1 in 255ths, and the share of the truth's detail.

        One tile from the middle of each of up to 16 pictures.
        """
        assert isinstance(source, GuidedPictures)
        return enlargement.mean(
            [self._scored(nets, source, index, context) for index in range(min(SCORED, len(source)))]
        )

    def _scored(self, nets: Networks, source: GuidedPictures, index: int, context: Context) -> dict[str, float]:
        s, whole = self.settings, source.whole(index)
        at = (source.grid_px - s.tile_px) // 2
        low = whole["low"][None, :, at : at + s.tile_px, at : at + s.tile_px].to(context.device)
        part = slice(at * s.scale, (at + s.tile_px) * s.scale)
        high = whole["high"][None, :, part, part].to(context.device).float() / 255
        fake = nets.generator(low).float() * 0.5 + 0.5
        return enlargement.score(fake, low[:, :3] * 0.5 + 0.5, high)

    def card(self) -> Card:
        """Return the card of the J-net, with all that inference needs: guide, grid and tile."""
        s = self.settings
        settings = {
            "channels_in": 3 + self.guide.channels, "width": s.width, "encoder_width_div": s.encoder_width_div,
            "scale": s.scale, "norm": s.norm, "base": s.base, "detail": s.detail,
            "upsampling": s.upsampling,
        }  # fmt: skip
        upres = {
            "guide": asdict(self._guide_settings()), "tile_px": s.tile_px, "low_px": s.low_px,
            "grid_px": s.high_px // s.scale,
        }  # fmt: skip
        return Card(
            network="jnet", settings=settings, input="picture", range=(-1.0, 1.0), scale=s.scale,
            channels_in=3 + self.guide.channels, multiple_of=32, minimum_px=32, tiling="internal", recipe="tiled_upres",
            purpose=f"upres x{s.scale} in tiles under the guide {s.guide}", data=s.data, extra={"upres": upres},
        )  # fmt: skip

    def cards(self) -> dict[str, Card]:
        """Return the cards of the J-net and of the discriminator, which also chooses the best variant of a tile."""
        s = self.settings
        settings = {
            "channels_low": 3 + self.guide.channels, "width": s.discriminator_width, "scale": s.scale,
            # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
            "norm": s.discriminator_norm, "last_bias": not s.adversarial.is_shift_invariant,
            "judged": s.judged,
        }  # fmt: skip
        discriminator = Card(
            network="low_conditioned_discriminator", settings=settings, input="other", range=(-1.0, 1.0),
            recipe="tiled_upres", purpose="scores tiles of the upres net", data=s.data,
        )  # fmt: skip
        return {"generator": self.card(), "discriminator": discriminator}

    def _guide_settings(self) -> GuideSettings:
        s = self.settings
        return GuideSettings(kind=s.guide, file=s.guide_file, each=s.guide_each, num_labels=s.num_labels)


def _shown(guide: Tensor) -> Tensor:
    """Return three channels of a guide of any number: (B, C, H, W) -> (B, 3, H, W)."""
    if not guide.shape[1]:
        return guide.new_full((len(guide), 3, *guide.shape[-2:]), -1.0)
    return guide[:, :3] if guide.shape[1] >= 3 else guide[:, :1].expand(-1, 3, -1, -1)


def laplacian_l1(fake: Tensor, real: Tensor, levels: int) -> Tensor:
    """Return the mean L1 distance over the levels of Laplacian pyramids of 2 x 2 averages.

    Source: Bojanowski et al. 2017 (GLO), section 3.2, whose weights of 2^(2j) on sums are equal ones on means.
    """
    terms = []
    for _ in range(levels):
        small = [F.avg_pool2d(picture, 2) for picture in (fake, real)]
        detail = [
            picture - F.interpolate(less, scale_factor=2, mode="bilinear", align_corners=False)
            for picture, less in zip((fake, real), small)
        ]
        terms.append(l1(detail[0], detail[1]))
        fake, real = small
    return torch.stack([*terms, l1(fake, real)]).mean()


def _check(s: Settings) -> None:
    if s.high_px % s.scale:
        raise UserError(f"high_px is {s.high_px}", f"It must be a multiple of the scale {s.scale}")
    grid = s.high_px // s.scale
    if s.tile_px > grid:
        why = f"High pictures of {s.high_px} px give a low grid of {grid} px"
        raise UserError(f"Tiles of {s.tile_px} px are larger than the picture", why, "Raise --size or the scale")
    if s.tile_px < 32 or s.tile_px % 32:
        raise UserError(f"tile_px is {s.tile_px}", "The J-net halves it five times", "Use a multiple of 32")
    if s.low_px < grid:
        why = f"The low picture is {s.low_px} px and would be enlarged to {grid} px"
        raise UserError(f"low_px is {s.low_px}", why, f"Use {grid} or more")
    if not s.pixel_steps + s.steps:
        raise UserError("There is nothing to train", "pixel_steps and steps are 0")
    if not s.l1_weight and (not s.gan_weight or s.pixel_steps):
        raise UserError("The generator has nothing to learn from", "l1_weight is 0", "Give it a weight")
    if s.steps:
        s.adversarial.require_batch(s.batch_size)
