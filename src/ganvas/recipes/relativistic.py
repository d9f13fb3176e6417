"""GANs from noise, with every adversarial loss: the place to compare losses (Jolicoeur-Martineau 2018 and 2019).

A vector of noise goes in, a picture of 32 to 256 px comes out. The relativistic discriminator (arXiv 1807.00734) does
not ask "is this real?" but "is this more real than the others of the batch?", so that the generator also learns from
real pictures, by making them look less real than its own. That and every other loss is one setting each:

    --adversarial.base     standard, least_squares, hinge, wasserstein
    --adversarial.pairing  plain, paired, average, centred, all_pairs

The network is DCGAN's (Radford et al. 2015), whose own loss is the preset `dcgan`; `paper` is the paper's experiment on
cats. What others added to keep training alive is here to be switched on: gradient penalties, weight clipping and
spectral norm; of Salimans et al. 2016 feature matching, minibatch discrimination, historical averaging and one-sided
smoothing (`adversarial.smooth_real`); a replay pool (Shrivastava et al. 2017); consistency (Zhang et al. 2020).

Expect recognisable pictures of one kind of subject, centred, after some 10,000 steps; 256 px is hard for all losses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas import ranks
from ganvas.data import replay
from ganvas.data.squares import Squares
from ganvas.errors import UserError
from ganvas.losses import augmentation, regularization
from ganvas.losses.adversarial import AdversarialLoss, require_coupled_batch
from ganvas.losses.reconstruction import mean_feature_matching
from ganvas.metrics.sliced import pyramid_distances
from ganvas.networks import build
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
SEEN_PX = 8
"""Side to which pictures are averaged before the spread of a batch is taken: noise is no diversity."""


class Batch(NamedTuple):
    """Real samples in [-1, 1], (B, 3, S, S), and as many vectors of noise, (B, latent)."""

    real: Tensor
    latents: Tensor


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of the relativistic recipe; the defaults are the paper's for cats of 64 px."""

    size_px: Literal[32, 64, 128, 256] = 64
    """Side of the pictures."""
    mirror: bool = True
    """Show real pictures mirrored at random."""
    latent: int = 128
    """Length of the noise vector."""
    width: int = 64
    """Channels of the generator's last and the discriminator's first layer."""
    generator_norm: Literal["batch", "none"] = "batch"
    """Norm in the generator."""
    generator_spectral: bool = False
    """Spectral norm in the generator."""
    upsampling: Literal["transposed", "resize", "smooth"] = "transposed"
    """How the sides are doubled: transposed convolutions (the paper's), `resize`, which leaves no grid, or `smooth`, by
    interpolation, which makes a weave of two pixels harder to learn."""
    head: Literal["doubling", "full_size"] = "doubling"
    """The generator's last layer: a doubling that makes the picture (the paper's), or a doubling of features and then a
    convolution, which draws lines of one pixel by `resize` and `smooth`, too."""
    attention_px: int = 0
    """Resolution at which the generator has self-attention; 0 for none."""
    discriminator_norm: Literal["batch", "instance", "spectral", "none"] = "batch"
    """Norm in the discriminator; gradient penalties need one other than `batch`."""
    patch_grid: str = ""
    """Scores of patches instead of one a picture: `4x4`, or what a score sees, `70px`; empty for one score."""
    minibatch: Literal["none", "discrimination", "stddev"] = "none"
    """Layer that shows the discriminator how alike a batch is (Salimans et al., or the cheap one of Karras et al.)."""
    activation: Literal["relu", "tanh"] = "relu"
    """`tanh` in place of every ReLU of both networks: one of the paper's stability tests."""

    adversarial: AdversarialLoss = AdversarialLoss(base="standard", pairing="average")
    """Base and pairing of the adversarial loss."""
    augmentation: str = ""
    """DiffAugment, against few data: `color`, `translation`, `cutout`, joined by commas; penalties see no change."""
    gan_weight: float = 1.0
    """Weight of the adversarial loss in the generator's; 0 leaves feature matching alone."""
    penalty: Literal["none", "gradient_penalty", "r1", "r2", "r1_r2", "dragan"] = "none"
    """What keeps the discriminator smooth."""
    penalty_weight: float = 10.0
    """Weight of the penalty: WGAN-GP and DRAGAN 10; gamma of R1 and R2, which grows with the number of pixels."""
    penalty_every: int = 1
    """Take the penalty every so many steps only, so many times as strong (StyleGAN2: 16)."""
    weight_clip: float = 0.0
    """Confine the discriminator's weights to +- this (WGAN: 0.01); 0 does not."""
    consistency_weight: float = 0.0
    """Weight of equal scores for real pictures and the same ones shifted and mirrored (CR-GAN: 10)."""
    feature_matching_weight: float = 0.0
    """Weight of matching the mean features of real and fake batches in the generator's loss (Salimans et al.)."""
    feature_matching_layer: int = -2
    """Which of the discriminator's layers is matched: 0 the first, -1 the scores, -2 the last before them."""
    feature_matching_norm: Literal["l1", "l2", "squared"] = "squared"
    """Distance of the means: mean absolute, Euclidean, or mean square."""
    history_weight: float = 0.0
    """Weight of staying near the mean of one's past weights, for both players (historical averaging)."""
    replay_size: int = 0
    """Past fakes of which the discriminator is shown some in place of new ones; 0 for none, 50 is usual."""

    steps: int = 100_000
    """Steps of the generator."""
    discriminator_steps: int = bounded(1, 1, 1000)
    """Steps of the discriminator for each of the generator's, each on new pictures."""
    fresh_batch: bool = True
    """Draw new pictures and noise for the generator's turn (algorithm 1); otherwise it reuses the discriminator's."""
    generator_rate: float = 2e-4
    """Learning rate of the generator."""
    discriminator_rate: float = 2e-4
    """Learning rate of the discriminator; another one than the generator's gives two time scales."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's betas."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How both rates fall."""


# Jolicoeur-Martineau 2018, CAT 64 x 64: learning rate, betas, batch, widths, latent and iterations from the authors'
# unstable.sh ("Meow64") and the defaults of GAN_losses_iter.py; loss by table 3, where RaLSGAN is best (FID 11.97).
PAPER = Settings(batch_size=32, adversarial=AdversarialLoss(base="least_squares", pairing="average"))
# The same, CIFAR-10: stable.sh and table 2 (RaSGAN: FID 31.98 at n_D = 1), a discriminator with spectral norm. Theirs
# is a deeper CNN (Miyato et al. 2018); here it is DCGAN's.
PAPER_CIFAR = Settings(
    size_px=32, batch_size=32, discriminator_norm="spectral",
    adversarial=AdversarialLoss(base="standard", pairing="average"),
)  # fmt: skip
# Radford et al. 2015, section 4: batch 128, Adam 2e-4 with beta1 0.5, a latent of 100.
DCGAN = Settings(
    batch_size=128, latent=100, fresh_batch=False, adversarial=AdversarialLoss(base="standard", pairing="plain"),
)  # fmt: skip
# Ours: narrower networks learn at higher rates, and a discriminator half as quick as the generator does not outrun it.
LAPTOP = replace(
    PAPER, width=32, steps=10_000, generator_rate=5e-4, discriminator_rate=2.5e-4, checkpoint_every=500,
    preview_every=250, score_every=500,
)  # fmt: skip
PREVIEW = replace(
    LAPTOP, size_px=32, width=16, latent=64, steps=1500, generator_rate=1e-3, discriminator_rate=5e-4,
    average_half_life=2000.0, checkpoint_every=250, preview_every=250, score_every=250,
)  # fmt: skip
# The gallery's: a paired loss under R1 and R2 and no norm in the discriminator (Huang et al. 2024, arXiv 2501.05441),
# maps doubled by interpolation, and a head that draws lines of one pixel all the same.
SHOW = replace(
    PREVIEW, size_px=64, width=24, upsampling="smooth", head="full_size", batch_size=16, discriminator_norm="none",
    adversarial=AdversarialLoss(base="standard", pairing="paired"), penalty="r1_r2", penalty_weight=1.0,
    penalty_every=4, generator_rate=5e-4, discriminator_rate=5e-4, betas=(0.0, 0.99), schedule="cosine", steps=8000,
    precision="bfloat16", average_half_life=10_000.0,
)  # fmt: skip


class Relativistic(Recipe):
    """A GAN from noise to pictures with any adversarial loss and any of the usual regularisers."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = {
        "laptop": LAPTOP,
        "preview": PREVIEW,
        "show": SHOW,
        "paper": PAPER,
        "paper_cifar": PAPER_CIFAR,
        "dcgan": DCGAN,
        "ralsgan": replace(LAPTOP, adversarial=AdversarialLoss(base="least_squares", pairing="average")),
        "rahinge": replace(LAPTOP, adversarial=AdversarialLoss(base="hinge", pairing="average")),
    }

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.augmentation = augmentation.parse(settings.augmentation)
        self._check()

    def stages(self) -> list[Stage]:
        """Return the one stage: some turns of the discriminator, then one of the generator."""
        s = self.settings
        discriminator = Turn(side="discriminator", trains=("discriminator",), repeats=s.discriminator_steps)
        generator = Turn(side="generator", trains=("generator",), fresh_batch=s.fresh_batch)
        rates = {"generator": s.generator_rate, "discriminator": s.discriminator_rate}
        optimizers = {
            name: Optimizer(rate=rate, betas=s.betas, schedule=s.schedule) for name, rate in rates.items()
        }  # fmt: skip
        return [Stage(name="gan", steps=s.steps, turns=(discriminator, generator), optimizers=optimizers)]

    def source(self, path: str) -> Source:
        """Return the pictures of a folder, each as one square."""
        return Squares(path, self.settings.size_px, self.settings.mirror)

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Bring pictures to [-1, 1] and draw as many vectors of noise."""
        real = raw["picture"]
        real = to_range(real)
        return Batch(real, self.noise(len(real), context.random).to(real.device))

    def noise(self, number: int, random: torch.Generator) -> Tensor:
        """Return vectors of noise: (number, latent)."""
        return torch.randn(number, self.settings.latent, generator=random)

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Generate pictures from noise: (B, latent) -> (B, 3, S, S); keep what pool and history need."""
        s = self.settings
        outputs: Outputs = {"fake": nets.generator(batch.latents)}
        if context.turn is not None and context.turn.side == "generator":
            # Pool and history have had this step's share in the discriminator's turn.
            return outputs, carry
        kept: Carry = {}
        if s.replay_size:
            replayed = replay.exchange(carry, outputs["fake"], context.random, size=s.replay_size)
            outputs["shown"] = replayed.fake
            kept |= replayed.pool
        # Not before the first step, in which minibatch discrimination sets its scales by the data.
        if s.history_weight and context.step:
            for name in ("generator", "discriminator"):
                kept |= regularization.update_history(nets[name].named_parameters(), carry, f"history.{name}")
        return outputs, kept

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss of real against generated samples, and penalties."""
        s, real = self.settings, batch.real
        fake = outputs.get("shown", outputs["fake"])
        if s.weight_clip:
            # Before its use instead of after the step that went too far: the same weights are used and saved.
            regularization.clip_weights(nets.discriminator.parameters(), s.weight_clip)
        real_verdict, fake_verdict = (nets.discriminator(self._shown(pictures, context)) for pictures in (real, fake))
        ledger = Ledger({"gan": s.adversarial.discriminator(real_verdict, fake_verdict)})
        ledger.update(self._penalties(nets.discriminator, real, fake, context))
        if s.consistency_weight:
            moved = nets.discriminator(_moved(real, context.random))
            ledger["consistency"] = s.consistency_weight * regularization.consistency(real_verdict, moved)
        self._add_history(ledger, nets, carry, "discriminator")
        return ledger

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss and, if asked for, feature matching."""
        s, ledger = self.settings, Ledger()
        if s.weight_clip:
            regularization.clip_weights(nets.discriminator.parameters(), s.weight_clip)
        fake_verdict: Verdict = nets.discriminator(self._shown(outputs["fake"], context))
        real_verdict: Verdict | None = None
        if s.feature_matching_weight or (s.gan_weight and s.adversarial.generator_needs_real):
            with torch.no_grad():
                real_verdict = nets.discriminator(self._shown(batch.real, context))
        if s.gan_weight:
            ledger["gan"] = s.gan_weight * s.adversarial.generator(real_verdict, fake_verdict)
        if s.feature_matching_weight and real_verdict is not None:
            layers = [verdict.features[s.feature_matching_layer] for verdict in (fake_verdict, real_verdict)]
            distance = mean_feature_matching(layers[0], layers[1], s.feature_matching_norm)
            ledger["features"] = s.feature_matching_weight * distance
        self._add_history(ledger, nets, carry, "generator")
        ledger.observed.update(real_spread=spread(batch.real), fake_spread=spread(outputs["fake"]))
        return ledger

    def _penalties(self, critic: nn.Module, real: Tensor, fake: Tensor, context: Context) -> dict[str, Tensor]:
        s = self.settings
        factor = s.penalty_weight * regularization.lazy_factor(context.step, s.penalty_every)
        if s.penalty == "none" or not factor:
            return {}
        match s.penalty:
            case "gradient_penalty":
                terms = {"penalty": regularization.gradient_penalty(critic, real, fake, context.random)}
            case "dragan":
                terms = {"penalty": regularization.dragan(critic, real, context.random)}
            case _:
                terms = {}
        if s.penalty in ("r1", "r1_r2"):
            terms["r1"] = context.health.r1_factor * regularization.r1(critic, real)
        if s.penalty in ("r2", "r1_r2"):
            terms["r2"] = context.health.r1_factor * regularization.r2(critic, fake)
        return {name: factor * term for name, term in terms.items()}

    def _add_history(self, ledger: Ledger, nets: Networks, carry: Carry, name: str) -> None:
        if self.settings.history_weight:
            distance = regularization.historical_averaging(nets[name].named_parameters(), carry, f"history.{name}")
            ledger["history"] = self.settings.history_weight * distance

    def _shown(self, pictures: Tensor, context: Context) -> Tensor:
        """Return what the discriminator sees of pictures: changed at random where that is asked for."""
        return augmentation.diff_augment(pictures, self.augmentation, context.random)

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return pictures of the same noise at every preview: (64, 3, S, S), fewer when they are large."""
        number = max(16, min(64, 64 * 64**2 // self.settings.size_px**2))
        return self.generate(nets, number, 1, context)

    def generate(self, nets: Networks, number: int, seed: int, context: Context) -> Tensor:
        """Return samples in [0, 1], the same noise for the same seed."""
        latents = self.noise(number, torch.Generator().manual_seed(self.settings.seed * 1000 + seed))
        parts = [nets.generator(part.to(context.device)).float() for part in latents.split(64)]
        return (torch.cat(parts) * 0.5 + 0.5).clamp(0, 1)

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return minus the sliced Wasserstein distance to up to 512 validation pictures: the mean over scales first."""
        distances = pyramid_distances(*self.compared(nets, source, context))
        mean = sum(distances.values()) / len(distances)
        return {"minus_swd": -mean} | {f"minus_swd_{side}px": -value for side, value in distances.items()}

    def compared(self, nets: Networks, source: Source, context: Context) -> tuple[Tensor, Tensor]:
        """Return up to 512 validation pictures, and as many samples."""
        number = min(SCORED, len(source))
        raw = [source.sample(index, np.random.default_rng(index))["picture"] for index in range(number)]
        real = torch.stack(raw).to(context.device)
        real = real.float() / 255 if real.dtype == torch.uint8 else real
        return real, self.generate(nets, number, 2, context)

    def card(self) -> Card:
        """Return the card of the generator."""
        s = self.settings
        return Card(
            network="dcgan_generator",
            settings={
                "latent": s.latent, "size_px": s.size_px, "width": s.width, "norm": s.generator_norm,
                "spectral": s.generator_spectral, "attention_px": s.attention_px, "upsampling": s.upsampling,
                **self._others("activation", "head"),
            },
            input="seeds", range=(-1.0, 1.0), channels_in=s.latent, tiling="internal", recipe="relativistic",
            purpose=f"pictures of {s.size_px} px from noise", data=s.data,
        )  # fmt: skip

    def cards(self) -> dict[str, Card]:
        """Return the cards of generator and discriminator."""
        s = self.settings
        # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
        last_bias = not s.adversarial.is_shift_invariant
        settings = {"size_px": s.size_px, "width": s.width, "norm": s.discriminator_norm, "last_bias": last_bias}
        settings |= {"grid": s.patch_grid} if s.patch_grid else {"minibatch": s.minibatch, **self._others("activation")}
        discriminator = Card(
            network="patch_discriminator" if s.patch_grid else "dcgan_discriminator", settings=settings, input="other",
            range=(-1.0, 1.0), channels_out=1, tiling="internal", recipe="relativistic",
            purpose=f"tells real pictures of {s.size_px} px from generated ones", data=s.data,
        )  # fmt: skip
        return {"generator": self.card(), "discriminator": discriminator}

    def _others(self, *names: str) -> dict[str, str]:
        """Return these settings where they are not the paper's: cards of older runs do not name them."""
        return {name: value for name in names if (value := getattr(self.settings, name)) != getattr(PAPER, name)}

    def _check(self) -> None:
        s = self.settings
        s.adversarial.require_batch(s.batch_size)
        if s.minibatch == "discrimination":
            require_coupled_batch("Minibatch discrimination", s.batch_size)
        if s.minibatch == "stddev":
            share = s.batch_size // ranks.world_size()
            require_coupled_batch("Minibatch standard deviation, on each rank,", share)
        self._check_numbers()
        self._check_combinations()
        self._check_layer()

    def _check_numbers(self) -> None:
        s = self.settings
        for name in ("steps", "discriminator_steps", "penalty_every", "latent", "width"):
            if getattr(s, name) < 1:
                raise UserError(f"{name} is {getattr(s, name)}", "It must be at least 1")
        names = ("gan_weight", "penalty_weight", "weight_clip", "consistency_weight", "feature_matching_weight",
                 "history_weight", "replay_size")  # fmt: skip
        for name in names:
            if getattr(s, name) < 0:
                raise UserError(f"{name} is {getattr(s, name):g}", "It must not be negative", "0 switches it off")

    def _check_combinations(self) -> None:
        s = self.settings
        if not s.gan_weight and not s.feature_matching_weight:
            why = "gan_weight and feature_matching_weight are both 0"
            raise UserError("The generator has nothing to learn from", why, "Give one of them a weight")
        if s.patch_grid and s.minibatch != "none":
            why = "A discriminator of patches has no layer that sees whole pictures"
            raise UserError(f"minibatch {s.minibatch!r} does not go with patch_grid", why, "Leave one of them out")
        if s.patch_grid and s.activation != "relu":
            why = "A discriminator of patches has leaky ReLUs alone"
            raise UserError(f"activation {s.activation!r} does not go with patch_grid", why, "Leave one of them out")
        if s.penalty != "none" and s.discriminator_norm == "batch":
            why = "Batch norm mixes the gradients of the samples, and a penalty on each sample's loses its meaning"
            do = "Add --discriminator-norm none, instance or spectral"
            raise UserError(f"The penalty {s.penalty} does not go with batch norm", why, do)
        if s.adversarial.base == "wasserstein" and s.penalty == "none" and not s.weight_clip:
            if s.discriminator_norm == "spectral":
                return
            why = "Nothing bounds the discriminator's slope, so its loss has no minimum"
            do = "Add --penalty gradient_penalty, --weight-clip 0.01 or --discriminator-norm spectral"
            raise UserError("The wasserstein loss needs a bounded discriminator", why, do)

    def _check_layer(self) -> None:
        """Refuse a patch grid or a layer that does not exist, by building the discriminator without memory."""
        s = self.settings
        with torch.device("meta"):
            critic: Any = self.networks().get("discriminator") or build(self.cards()["discriminator"])
        layers = critic.num_layers if hasattr(critic, "num_layers") else len(critic.body) + 1
        if s.feature_matching_weight and not -layers <= s.feature_matching_layer < layers:
            what = f"The discriminator has no layer {s.feature_matching_layer}"
            raise UserError(what, f"It gives {layers} feature maps", f"Use 0 to {layers - 1}, or -{layers} to -1")


@torch.no_grad()
def spread(samples: Tensor) -> Tensor:
    """Return how much the samples of a batch differ: the mean standard deviation over it, pictures shrunk first."""
    samples = samples.float()
    if samples.ndim == 4 and min(samples.shape[-2:]) > SEEN_PX:
        samples = F.adaptive_avg_pool2d(samples, SEEN_PX)
    return samples.std(0, correction=0).mean()


def _moved(pictures: Tensor, random: torch.Generator) -> Tensor:
    """Return pictures shifted by up to a sixteenth of their side and mirrored at random, each in its own way."""
    most = max(1, pictures.shape[-1] // 16)
    height, width = pictures.shape[-2:]
    padded = F.pad(pictures, (most, most, most, most), mode="replicate")
    tops, lefts = torch.randint(2 * most + 1, (2, len(pictures)), generator=random).tolist()
    mirrored = (torch.rand(len(pictures), generator=random) < 0.5).tolist()
    shifted = [
        picture[:, top : top + height, left : left + width] for picture, top, left in zip(padded, tops, lefts)
    ]  # fmt: skip
    return torch.stack([picture.flip(-1) if flip else picture for picture, flip in zip(shifted, mirrored)])
