"""BigGAN: pictures of many classes from noise, by scale (Brock, Donahue and Simonyan 2019, arXiv 1809.11096).

A larger self-attention GAN: batches of 2048, wider layers, the noise fed into every block (skip-z), one class
embedding shared by all conditional norms, orthogonal weights kept so by a penalty, two steps of the discriminator for
one of the generator, and an average of the weights to sample from. At sampling, noise drawn from the middle of its
distribution trades variety for quality (the truncation trick): `ganvas generate RUN --truncation 0.5`.

Data is a folder of classes. Large batches come from accumulation: `--batch-size 128 --micro-batches 16` has the
gradients of 2048 pictures, while batch norm sees 128 at a time. Training at full scale ends in collapse; the sentinel
keeps the last healthy weights, and `--r1-weight` or `--dropout` put it off at a price in quality.

Expect, of the preset `preview`, shapes or digits of 32 px that are told apart at a glance within minutes on two cores.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ganvas.data.classes import ClassPictures
from ganvas.errors import UserError
from ganvas.losses import augmentation, regularization
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.metrics.sliced import pyramid_distances
from ganvas.networks.biggan.net import GENERATOR_CHANNELS, chunk_size
from ganvas.networks.statistics import renew_statistics
from ganvas.protocol import (
    Card,
    Carry,
    Context,
    Ledger,
    Networks,
    Optimizer,
    Outputs,
    Recipe,
    Source,
    Stage,
    Turn,
    Verdict,
)
from ganvas.settings import Training, bounded
from ganvas.values import to_range

SCORED = 512
"""Pictures of each kind that a score compares."""
SHOWN = 64
"""Pictures of a preview, eight of each class that it shows."""


class Batch(NamedTuple):
    """Real pictures in [-1, 1], (B, 3, S, S), their classes, (B,), and noise for as many fakes, (B, latent)."""

    real: Tensor
    classes: Tensor
    latents: Tensor


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of the biggan recipe; the defaults are the paper's for 128 px."""

    size_px: Literal[32, 64, 128, 256, 512] = 128
    """Side of the pictures."""
    mirror: bool = True
    """Show real pictures mirrored at random; not for digits and letters."""
    num_classes: int = 0
    """Classes; 0 takes those of the data."""
    deep: bool = False
    """BigGAN-deep: bottleneck blocks, the whole noise in every norm."""
    depth: int = 0
    """Blocks for each resolution; 0 for the published number: 1, and 2 of BigGAN-deep."""
    latent: int = 120
    """Length of the noise vector; with skip_z a multiple of the number of blocks plus one."""
    width: int = 96
    """Channels that the multiples of the plan are taken of."""
    multipliers: tuple[int, ...] = ()
    """Channels in multiples of the width from 4 px to the full size; empty for the published plan of the size."""
    class_features: int = 128
    """Length of the class embedding that all norms share; 0 gives each norm its own, as in SAGAN."""
    skip_z: bool = True
    """Feed a chunk of the noise into every block."""
    attention_px: int = 64
    """Resolution of the self-attention in both networks, where it occurs; 0 for none."""
    dropout: float = 0.0
    """Share of the discriminator's last features left out in training (0.5 in the paper's study of collapse)."""

    upsampling: Literal["resize", "smooth"] = "resize"
    """How the generator doubles sides: by repeated pixels (the paper's), or `smooth`, by interpolation."""
    discriminator_norm: Literal["spectral", "none"] = "spectral"
    """Norm in the discriminator; `none` wants R1 and R2."""

    adversarial: AdversarialLoss = AdversarialLoss(base="hinge", pairing="plain")
    """Base and pairing of the adversarial loss."""
    augmentation: str = ""
    """DiffAugment, against few data: `color`, `translation`, `cutout`, joined by commas; penalties see no change."""
    orthogonal_weight: float = 1e-4
    """Weight of ||W W^T (1 - I)||^2 over the generator's weights; by its true gradient, twice that of other code."""
    r1_weight: float = 0.0
    """Gamma of R1 on real pictures (10 in the paper's study of collapse); 0 for none."""
    r2_weight: float = 0.0
    """Gamma of R2, the same on generated pictures; 0 for none."""
    r1_every: int = 1
    """Take R1 and R2 every so many steps only, so many times as strong."""

    steps: int = 165_000
    """Steps of the generator."""
    discriminator_steps: int = bounded(2, 1, 1000)
    """Steps of the discriminator for each of the generator's, each on new pictures."""
    fresh_batch: bool = False
    """Draw new noise for the generator's turn; otherwise its last fakes serve both, which saves a forward pass."""
    generator_rate: float = 5e-5
    """Learning rate of the generator."""
    discriminator_rate: float = 2e-4
    """Learning rate of the discriminator."""
    betas: tuple[float, float] = (0.0, 0.999)
    """Adam's betas."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How both rates fall."""
    standing_batches: int = 16
    """Batches over which previews, scores and `ganvas generate` measure the statistics of batch norms anew."""


# Brock et al. 2019: section 3 and appendix C for rates, betas, steps of D and batch 2048; table 1, last full row, for
# width and steps until collapse; the average's 0.9999 a step of 2048 pictures is a half-life of 14.2 million pictures.
# Here 2048 is 8 batches of 256, whose norms see 256 pictures.
PAPER = Settings(batch_size=256, micro_batches=8, average_half_life=14_195_000.0, checkpoint_every=1000)
PAPER_256 = replace(PAPER, size_px=256, latent=140)
PAPER_512 = replace(PAPER, size_px=512, latent=160)
# Appendix B.2 and C: the whole noise in each norm, width and noise 128.
DEEP = replace(PAPER, deep=True, width=128, latent=128)
# Zhang et al. 2019 as the baseline of Brock et al.'s table 1: batch 256, width 64, no sharing, no skip-z, two rates.
SAGAN = replace(
    PAPER, micro_batches=1, width=64, latent=128, class_features=0, skip_z=False, orthogonal_weight=0.0,
    steps=1_000_000, discriminator_steps=1, generator_rate=1e-4, discriminator_rate=4e-4, betas=(0.0, 0.9),
    average_half_life=1_774_000.0,
)  # fmt: skip
# Ours: small networks learn at higher rates and from one step of each player. At equal rates the preview's D runs away,
# and falling ones lose variety; at 32 px attention and the orthogonal penalty would take a third of its time.
LAPTOP = replace(
    PAPER, size_px=64, width=32, multipliers=(8, 8, 4, 2, 1), latent=80, class_features=64, attention_px=32,
    batch_size=32, micro_batches=1, steps=20_000, discriminator_steps=1, generator_rate=2e-4, discriminator_rate=4e-4,
    average_half_life=10_000.0, checkpoint_every=500, preview_every=250, score_every=500,
)  # fmt: skip
PREVIEW = replace(
    LAPTOP, size_px=32, width=8, multipliers=(8, 8, 4, 2), latent=64, class_features=32, attention_px=0,
    orthogonal_weight=0.0, steps=2500, generator_rate=1.5e-3, discriminator_rate=7.5e-4, betas=(0.0, 0.99),
    average_half_life=5000.0, checkpoint_every=250, preview_every=250, score_every=250, standing_batches=8,
)  # fmt: skip
# The gallery's: clothes and letters must not be mirrored; both players learn at one rate, which falls.
SHOW = replace(
    PREVIEW, mirror=False, steps=1600, generator_rate=7e-4, discriminator_rate=7e-4, betas=(0.0, 0.999),
    schedule="linear", average_half_life=10_000.0,
)  # fmt: skip


class BigGAN(Recipe):
    """Class-conditional generation with a projection discriminator."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = {
        "laptop": LAPTOP, "preview": PREVIEW, "show": SHOW, "sagan": SAGAN,
        "paper": PAPER, "paper128": PAPER, "paper256": PAPER_256, "paper512": PAPER_512,
        "deep": DEEP, "deep256": replace(DEEP, size_px=256, generator_rate=2.5e-5, discriminator_rate=2.5e-5),
    }  # fmt: skip

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.augmentation = augmentation.parse(settings.augmentation)
        self.class_names: list[str] = []
        self.class_counts: list[int] = []
        self._check()

    def stages(self) -> list[Stage]:
        """Return the one stage: some turns of the discriminator, then one of the generator."""
        s = self.settings
        discriminator = Turn(side="discriminator", trains=("discriminator",), repeats=s.discriminator_steps)
        generator = Turn(side="generator", trains=("generator",), fresh_batch=s.fresh_batch)
        rates = {"generator": s.generator_rate, "discriminator": s.discriminator_rate}
        optimizers = {name: Optimizer(rate=rate, betas=s.betas, schedule=s.schedule) for name, rate in rates.items()}
        return [Stage(name="gan", steps=s.steps, turns=(discriminator, generator), optimizers=optimizers)]

    def source(self, path: str) -> ClassPictures:
        """Return the pictures of a folder or zip file with their classes.

        Raises:
            UserError: the data cannot be used, or has other classes than expected.
        """
        return self._opened(path, [])

    def held_out(self, path: str, train: Source) -> ClassPictures:
        """Return the pictures of a validation folder, by the classes of the training data."""
        assert isinstance(train, ClassPictures)
        return self._opened(path, train.class_names)

    def prepare(self, train: Source) -> None:
        """Take over the data's classes, and how many pictures each has."""
        if isinstance(train, ClassPictures):
            self.class_names, self.class_counts = train.class_names, list(train.report.counts.values())

    def _opened(self, path: str, class_names: list[str]) -> ClassPictures:
        s = self.settings
        source = ClassPictures(path, s.size_px, s.mirror, class_names=class_names)
        found = len(source.class_names)
        if s.num_classes and found != s.num_classes:
            why = f"num_classes says {s.num_classes}"
            raise UserError(f"{path} has {found} classes", why, "Leave --num-classes out to take those of the data")
        return source

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Bring pictures to [-1, 1] and draw as many vectors of noise."""
        real = raw["picture"]
        real = to_range(real)
        latents = torch.randn(len(real), self.settings.latent, generator=context.random)
        return Batch(real, raw["label"].to(real.device), latents.to(real.device))

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Generate one fake of each real picture's class: fakes then have the classes in the data's proportions."""
        return {"fake": nets.generator(batch.latents, batch.classes)}, carry

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss of real against generated pictures, R1 and R2."""
        s, classes = self.settings, batch.classes
        # One call for both: the weights are normalised once, and nothing in D mixes samples.
        shown = self._shown(torch.cat([batch.real, outputs["fake"]]), context)
        both = nets.discriminator(shown, torch.cat([classes, classes]))
        real, fake = split(both, len(batch.real))
        ledger = Ledger({"gan": s.adversarial.discriminator(real, fake)})
        lazy = context.health.r1_factor * regularization.lazy_factor(context.step, s.r1_every)
        ledger.update(
            regularization.zero_centred(
                lambda pictures: nets.discriminator(pictures, classes), batch.real, outputs["fake"],
                (s.r1_weight, s.r2_weight), lazy,
            )
        )  # fmt: skip
        return ledger

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss and the penalty on filters that are not orthogonal."""
        s = self.settings
        fake: Verdict = nets.discriminator(self._shown(outputs["fake"], context), batch.classes)
        real: Verdict | None = None
        if s.adversarial.generator_needs_real:
            with torch.no_grad():
                real = nets.discriminator(self._shown(batch.real, context), batch.classes)
        ledger = Ledger({"gan": s.adversarial.generator(real, fake)})
        if s.orthogonal_weight:
            # All but the class embedding, whose rows are no filters (the authors' code leaves it out, too).
            weights = [value for name, value in nets.generator.named_parameters() if "embedding" not in name]
            ledger["orthogonal"] = s.orthogonal_weight * regularization.orthogonality(weights)
        return ledger

    def _shown(self, pictures: Tensor, context: Context) -> Tensor:
        """Return what the discriminator sees of pictures: changed at random where that is asked for."""
        return augmentation.diff_augment(pictures, self.augmentation, context.random)

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return the same noise at every preview, eight pictures of each of up to eight classes: (64, 3, S, S)."""
        return self.generate(nets, torch.tensor(self._shown_classes()).repeat_interleave(8), 1, context)

    def _shown_classes(self) -> list[int]:
        rows = min(SHOWN // 8, self._num_classes)
        return torch.linspace(0, self._num_classes - 1, rows).round().long().tolist()

    def shown_rows(self) -> list[str]:
        """Return the classes of the rows of a preview."""
        return [self.class_names[label] if self.class_names else str(label) for label in self._shown_classes()]

    def generate(self, nets: Networks, classes: Tensor, seed: int, context: Context) -> Tensor:
        """Return a sample of each class in [0, 1], by standing statistics, the same noise for the same seed."""
        s = self.settings
        random = torch.Generator().manual_seed(s.seed * 1000 + seed)
        # A copy: measuring statistics must not reach the weights that are saved.
        generator = copy.deepcopy(nets.generator)
        renew_statistics(generator, self._standing(random, context))
        latents = torch.randn(len(classes), s.latent, generator=random)
        pairs = zip(latents.split(32), classes.split(32))
        parts = [generator(z.to(context.device), y.to(context.device)).float() for z, y in pairs]
        return (torch.cat(parts) * 0.5 + 0.5).clamp(0, 1)

    def _standing(self, random: torch.Generator, context: Context) -> Iterator[tuple[Tensor, Tensor]]:
        shares = torch.tensor(self.class_counts or [1] * self._num_classes, dtype=torch.float32)
        for _ in range(self.settings.standing_batches):
            classes = torch.multinomial(shares, 64, replacement=True, generator=random)
            latents = torch.randn(64, self.settings.latent, generator=random)
            yield latents.to(context.device), classes.to(context.device)

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return minus the sliced Wasserstein distance to up to 512 held-out pictures: the mean over scales first.

        By it the best checkpoint is kept, never by a score that ignores what is missing, such as Inception's.
        """
        distances = pyramid_distances(*self.compared(nets, source, context))
        mean = sum(distances.values()) / len(distances)
        return {"minus_swd": -mean} | {f"minus_swd_{side}px": -value for side, value in distances.items()}

    def compared(self, nets: Networks, source: Source, context: Context) -> tuple[Tensor, Tensor]:
        """Return up to 512 held-out pictures, and samples of the same classes."""
        samples = [source.sample(i, np.random.default_rng(i)) for i in range(min(SCORED, len(source)))]
        real = torch.stack([sample["picture"] for sample in samples]).to(context.device)
        real = real.float() / 255 if real.dtype == torch.uint8 else real
        return real, self.generate(nets, torch.stack([sample["label"] for sample in samples]), 2, context)

    @property
    def _depth(self) -> int:
        return self.settings.depth or (2 if self.settings.deep else 1)

    @property
    def _num_classes(self) -> int:
        return self.settings.num_classes or len(self.class_names)

    def card(self) -> Card:
        """Return the card of the generator."""
        s = self.settings
        shared = {
            "size_px": s.size_px, "width": s.width, "num_classes": self._num_classes, "latent": s.latent,
            "class_features": s.class_features, "attention_px": s.attention_px, "multipliers": s.multipliers,
            "upsampling": s.upsampling,
        }  # fmt: skip
        own = {"depth": self._depth} | ({} if s.deep else {"skip_z": s.skip_z})
        return Card(
            network="biggan_deep_generator" if s.deep else "biggan_generator", settings=shared | own,
            input="seeds", range=(-1.0, 1.0), channels_in=s.latent, tiling="internal", recipe="biggan", data=s.data,
            purpose=f"pictures of {s.size_px} px of {self._num_classes} classes from noise",
            extra={"class_names": self.class_names, "class_counts": self.class_counts,
                   "standing_batches": s.standing_batches},
        )  # fmt: skip

    def cards(self) -> Mapping[str, Card]:
        """Return the cards of generator and discriminator."""
        s = self.settings
        # The generator's first map and its doublings, read from the picture's side.
        settings = {
            "size_px": s.size_px, "width": s.width, "num_classes": self._num_classes,
            # The discriminator has no layer of the full size.
            "attention_px": s.attention_px if s.attention_px < s.size_px else 0, "multipliers": s.multipliers[::-1],
            # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
            "last_bias": not s.adversarial.is_shift_invariant, "dropout": s.dropout, "depth": self._depth,
            "norm": s.discriminator_norm,
        }  # fmt: skip
        network = "biggan_deep_discriminator" if s.deep else "biggan_discriminator"
        discriminator = Card(
            network=network, settings=settings, input="other", range=(-1.0, 1.0), recipe="biggan", data=s.data,
            purpose=f"how real a picture of {s.size_px} px is, and how well it fits its class",
        )  # fmt: skip
        return {"generator": self.card(), "discriminator": discriminator}

    def _check(self) -> None:
        s = self.settings
        s.adversarial.require_batch(s.batch_size * (s.micro_batches if s.adversarial.exact_means else 1))
        for name in ("steps", "discriminator_steps", "r1_every", "latent", "width", "standing_batches"):
            if getattr(s, name) < 1:
                raise UserError(f"{name} is {getattr(s, name)}", "It must be at least 1")
        for name in ("orthogonal_weight", "r1_weight", "r2_weight", "num_classes", "class_features", "depth"):
            if getattr(s, name) < 0:
                raise UserError(f"{name} is {getattr(s, name):g}", "It must not be negative", "0 switches it off")
        if s.skip_z and not s.deep:
            doublings = len(s.multipliers or GENERATOR_CHANNELS[s.size_px]) - 1
            chunk_size(s.latent, doublings * self._depth + 1)


def split(verdict: Verdict, number: int) -> tuple[Verdict, Verdict]:
    """Return the verdicts of the first samples of a batch and of the others."""
    halves = [(score[:number], score[number:]) for score in (verdict.score, *verdict.features)]
    first, second = ([pair[side] for pair in halves] for side in (0, 1))
    return Verdict(first[0], tuple(first[1:])), Verdict(second[0], tuple(second[1:]))
