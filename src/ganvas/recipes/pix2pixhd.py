"""pix2pixHD: pictures from label and instance maps at 2048 x 1024 (Wang et al. 2018, arXiv 1711.11585).

A label map goes in, one plane for each class and one for the boundaries of the instances; a picture comes out.
Training goes from coarse to fine in one command, as in section 3.2:

    global      G1 alone, at 1 / 2**enhancers of the size
    enhancer N  the N-th enhancer around it, everything coarser held still, at twice the size of the stage before
    joint       all together, at full size

The same network is trained throughout, and each parameter keeps its optimiser's state from stage to stage. Coarse
stages are judged by the coarse discriminators, which see the same sizes again in the pyramid of the finer stages. The
loss is (equation 5, and the authors' code for its last term)

    generator = GAN + 10 * feature matching + 10 * VGG features,

GAN and feature matching over every scale of the discriminator. With `instance_features` an encoder is trained along: it
sees the real picture and gives each instance a few numbers, its style (section 3.4), which `ganvas styles` turns into
choices for `ganvas generate`. A data set whose inputs are pictures (edges, sketches, renders) is learned likewise,
without labels.

It draws what the label map says: where the map is wrong or its like is rare, so is the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.data import replay
from ganvas.data.conditions import colorize, compose, pack, segments, shrink, unpack
from ganvas.data.labels import LabelledPictures, boundaries
from ganvas.errors import UserError
from ganvas.io.foreign_pix2pixhd import discriminator_card, encoder_card, generator_card
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.losses.reconstruction import feature_matching, l1, perceptual
from ganvas.metrics.sliced import SMALLEST_PX, pyramid_distances
from ganvas.networks import build
from ganvas.networks.discriminators import MultiScaleDiscriminator
from ganvas.networks.pix2pixhd import CoarseHeads
from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.recipes.features import load_features
from ganvas.settings import Training

SCORED = 16  # validation pictures that a score compares


class Batch(NamedTuple):
    """What one batch of a stage holds, all at the stage's size."""

    condition: Tensor
    """(B, N, H, W): classes and boundaries as 0 and 1, or an input picture in [-1, 1]."""
    real: Tensor
    """(B, 3, H, W) in [-1, 1]."""
    label_map: Tensor | None = None
    """(B, 1, H, W) integers."""
    instance_map: Tensor | None = None
    """(B, 1, H, W) integers."""


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
    encoder_width: int = 16
    """Channels of the encoder's first maps."""
    discriminator_width: int = 64
    """Channels of the discriminator's first layer."""
    discriminator_scales: int = 3
    """Sizes at which the finest stage is judged; each coarser stage has one fewer, at least one."""
    discriminator_layers: int = 3
    """Halvings of each discriminator; a score of 3 sees 70 px."""

    adversarial: AdversarialLoss = AdversarialLoss(base="least_squares")
    """Base and pairing of the adversarial loss; the paper's is least_squares, plain."""
    gan_weight: float = 1.0
    """Weight of the adversarial loss, summed over the scales."""
    feature_matching_weight: float = 10.0
    """Weight of matching the discriminator's features (lambda)."""
    perceptual: str = "vgg19"
    """Features of the perceptual loss: `vgg19`, `small` (ours), a weight file, or `none`."""
    perceptual_layers: tuple[str, ...] = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
    """Layers compared."""
    perceptual_layer_weights: tuple[float, ...] = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
    """Weight of each of these layers."""
    perceptual_weight: float = 10.0
    """Weight of the perceptual loss."""
    imagenet_means: bool = False
    """Feed the features pictures shifted and scaled by ImageNet's statistics; the original feeds [-1, 1] as it is."""
    pixel_weight: float = 0.0
    """Weight of mean |difference|, which the paper has not."""
    replay_size: int = 0
    """Past fakes of which the discriminator is shown some in place of new ones; the original's default is 0."""

    global_steps: int = 595_000
    """Steps of G1 alone (200 epochs of Cityscapes' 2975 pictures)."""
    enhancer_steps: int = 29_750
    """Steps of each enhancer with all that is coarser held still (10 epochs)."""
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
PICTURE = replace(LAPTOP, instance_features=0, boundaries=False)


class Pix2PixHD(Recipe):
    """Pictures from label maps, coarse to fine, with a style for each instance."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = {
        "laptop": LAPTOP, "preview": PREVIEW, "paper": PAPER, "picture": PICTURE,
        "paper_styles": replace(PAPER, instance_features=3),
    }  # fmt: skip

    def __init__(self, settings: Any) -> None:
        self.settings: Settings = settings
        self.features: nn.Module | None = None
        self.data: LabelledPictures | None = None
        _check(settings)

    # What is trained

    def stages(self) -> list[Stage]:
        """Return G1 alone, each enhancer around what is held still, and all together; those without steps left out."""
        s = self.settings
        stages = [self._stage("global", 0, s.global_steps, hold=s.global_hold)]
        for level in range(1, s.enhancers + 1):
            coarser = ("generator.model.*", *(f"generator.model{number}_*" for number in range(1, level)))
            stages.append(self._stage(f"enhancer{level}", level, s.enhancer_steps, frozen=coarser))
        if s.enhancers:
            stages.append(self._stage("joint", s.enhancers, s.joint_steps, hold=s.joint_hold))
        return [stage for stage in stages if stage.steps]

    def _stage(self, name: str, level: int, steps: int, hold: float = 1.0, frozen: tuple[str, ...] = ()) -> Stage:
        s = self.settings
        # While the generator's input from the encoder is held still, so must be the encoder.
        trained = ["generator", *(["encoder"] if s.instance_features and not frozen else [])]
        trained += ["heads"] if level < s.enhancers else []
        turns = [Turn(side="generator", trains=tuple(trained))]
        if self.has_adversary:
            turns = [Turn(side="discriminator", trains=("discriminator",)), *turns]
        optimizer = Optimizer(rate=s.rate, betas=s.betas, schedule="linear" if hold < 1 else "constant", hold=hold)
        return Stage(
            name=name, steps=steps, turns=tuple(turns), frozen=frozen, resolution=s.width_px >> (s.enhancers - level),
            optimizers={network: optimizer for turn in turns for network in turn.trains},
            averaged=("generator", "encoder", "heads"),
        )  # fmt: skip

    @property
    def has_adversary(self) -> bool:
        """Tell whether there is a discriminator: its scores or its features count."""
        return bool(self.settings.gan_weight or self.settings.feature_matching_weight)

    def level(self, stage: Stage) -> int:
        """Return how many enhancers take part in a stage."""
        digits = stage.name.removeprefix("enhancer")
        return int(digits) if digits.isdigit() else 0 if stage.name == "global" else self.settings.enhancers

    def num_scales(self, level: int) -> int:
        """Return how many discriminators judge the pictures of a level, the finest having all."""
        return max(1, self.settings.discriminator_scales - (self.settings.enhancers - level))

    def networks(self) -> Networks:
        """Return the generator; the heads of its coarser parts, the encoder and the discriminator where needed."""
        s = self.settings
        nets = Networks(generator=build(self.card()))
        if s.enhancers:
            nets["heads"] = CoarseHeads(width=s.global_width >> s.enhancers, enhancers=s.enhancers)
        if s.instance_features:
            nets["encoder"] = build(self.cards()["encoder"])
        if self.has_adversary:
            # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
            last_bias = not s.adversarial.is_shift_invariant
            nets["discriminator"] = MultiScaleDiscriminator(
                **self.cards()["discriminator"].settings, last_bias=last_bias
            )
        self.features = load_features(s.perceptual, s.perceptual_layers)
        if self.features is not None:
            self.features.normalize = s.imagenet_means  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
        return nets

    # Data

    def source(self, path: str) -> Source:
        """Return the scenes of a folder at the finest size; the first folder says how many labels there are."""
        s = self.settings
        source = LabelledPictures(
            path, num_labels=s.num_labels or (self.data.num_labels if self.data else 0),
            size_px=(s.height_px, s.width_px), fit=s.fit, mirror=s.mirror, ignore=s.ignore,
        )  # fmt: skip
        if s.instance_features and not source.has_labels:
            why = "Instance features need label maps, and this data set has pictures as inputs"
            raise UserError(f"{path} has no instances", why, "Use --preset picture, or --instance-features 0")
        self.data = self.data or source
        return source

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Bring the scenes to the stage's size: pictures by the mean of each cell, ids by its middle pixel."""
        s = self.settings
        factor = 1 << (s.enhancers - self.level(context.stage))
        real = shrink(raw["picture"], factor) * 2 - 1
        if "input" in raw:
            return Batch(shrink(raw["input"], factor) * 2 - 1, real)
        label_map = shrink(raw["label_map"], factor)
        instance_map = segments(label_map, shrink(raw["instance_map"], factor))
        edges = boundaries(instance_map) if s.boundaries else None
        return Batch(compose(label_map, edges, self._num_labels()), real, label_map, instance_map)

    def _num_labels(self) -> int:
        found = self.settings.num_labels or (self.data.num_labels if self.data else 0)
        if not found and not (self.data and not self.data.has_labels):
            raise UserError("The number of labels is not known", "No data were opened", "Set --num-labels")
        return found

    # One step

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Make the pictures of a stage's size, and exchange some for past ones where there is a replay pool."""
        s, level = self.settings, self.level(context.stage)
        given = batch.condition
        if s.instance_features:
            assert batch.instance_map is not None
            # The encoder sees the size of the first stage in all of them, so that styles stay what they were.
            styles = nets.encoder(shrink(batch.real, 1 << level), batch.instance_map)
            given = torch.cat([given, styles.to(given.dtype)], dim=1)
        if level == s.enhancers:
            fake = nets.generator(given)
        else:
            generator: Any = nets.generator
            fake = nets.heads(generator.features(given, level), level)
        outputs = {"fake": fake.to(batch.real.dtype)}
        if not s.replay_size or not self.has_adversary:
            return outputs, {}
        return self._replayed(outputs, batch, carry, context, level)

    def _replayed(
        self, outputs: Outputs, batch: Batch, carry: Carry, context: Context, level: int
    ) -> tuple[Outputs, Carry]:
        s, condition = self.settings, batch.condition
        if batch.label_map is not None:
            condition = pack(batch.label_map, condition[:, -1:] if s.boundaries else torch.zeros_like(condition[:, :1]))
        # Pictures of another size are another pool: the carry then forgets the smaller ones.
        fake, condition, pool = replay.exchange(
            carry, outputs["fake"], context.random, size=s.replay_size, condition=condition, prefix=f"replay{level}"
        )
        assert condition is not None
        if batch.label_map is not None:
            label_map, edges = unpack(condition)
            condition = compose(label_map, edges if s.boundaries else None, self._num_labels())
        return outputs | {"shown": fake, "shown_condition": condition}, pool

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss of real against generated pictures, half the sum over the scales."""
        scales = self.num_scales(self.level(context.stage))
        condition, fake = outputs.get("shown_condition", batch.condition), outputs.get("shown", outputs["fake"])
        real_verdicts = nets.discriminator(torch.cat([batch.condition, batch.real], dim=1), scales)
        fake_verdicts = nets.discriminator(torch.cat([condition, fake], dim=1), scales)
        loss = self.settings.adversarial.discriminator(real_verdicts, fake_verdicts)
        ledger = Ledger({"gan": 0.5 * scales * loss})
        margins = [r.score.detach().mean() - f.score.detach().mean() for r, f in zip(real_verdicts, fake_verdicts)]
        ledger.observed["margin"] = torch.stack(margins).float().mean()
        return ledger

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss, feature matching, the perceptual and the pixel distance, where weighted."""
        s, fake, ledger = self.settings, outputs["fake"], Ledger()
        if self.has_adversary:
            self._add_adversary(ledger, nets, batch, fake, self.num_scales(self.level(context.stage)))
        if self.features is not None:
            ledger["perceptual"] = s.perceptual_weight * self._perceptual(fake, batch.real)
        if s.pixel_weight:
            ledger["pixel"] = s.pixel_weight * l1(fake, batch.real)
        return ledger

    def _add_adversary(self, ledger: Ledger, nets: Networks, batch: Batch, fake: Tensor, scales: int) -> None:
        s = self.settings
        real_verdicts: Any = None
        if s.feature_matching_weight or s.adversarial.generator_needs_real:
            with torch.no_grad():
                real_verdicts = nets.discriminator(torch.cat([batch.condition, batch.real], dim=1), scales)
        fake_verdicts = nets.discriminator(torch.cat([batch.condition, fake], dim=1), scales)
        if s.gan_weight:
            ledger["gan"] = s.gan_weight * scales * s.adversarial.generator(real_verdicts, fake_verdicts)
        if s.feature_matching_weight:
            distance = feature_matching(fake_verdicts, real_verdicts, weighting="pix2pixhd")
            ledger["features"] = s.feature_matching_weight * distance

    def _perceptual(self, fake: Tensor, real: Tensor) -> Tensor:
        s = self.settings
        assert self.features is not None
        features = self.features.to(fake.device)
        with torch.no_grad():
            target = features(real * 0.5 + 0.5)
        weights = dict(zip(s.perceptual_layers, s.perceptual_layer_weights))
        return perceptual(features(fake * 0.5 + 0.5), target, weights)

    # What is shown and scored

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return input, generated and real picture side by side: (B, 3, H, 3 W)."""
        fake = self.forward(nets, batch, {}, context)[0]["fake"].float()
        if batch.label_map is None:
            shown = batch.condition[:, :3] * 0.5 + 0.5
        else:
            palette = {entry.id: entry.color for entry in self.data.legend} if self.data else {}
            shown = colorize(batch.label_map, palette, batch.instance_map)
        return torch.cat([shown.to(fake), fake * 0.5 + 0.5, batch.real * 0.5 + 0.5], dim=-1).clamp(0, 1)

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return minus the sliced Wasserstein distance to up to 16 real pictures, and minus the mean error."""
        fakes, reals = [], []
        for index in range(min(SCORED, len(source))):
            sample = source.sample(index, np.random.default_rng(index))
            batch = self.batch({name: plane[None].to(context.device) for name, plane in sample.items()}, context)
            fakes.append(self.forward(nets, batch, {}, context)[0]["fake"].float() * 0.5 + 0.5)
            reals.append(batch.real.float() * 0.5 + 0.5)
        fake, real = torch.cat(fakes).clamp(0, 1), torch.cat(reals)
        distances = pyramid_distances(_square(real), _square(fake))
        error = float((fake - real).abs().mean())
        return {"minus_swd": -sum(distances.values()) / len(distances), "minus_l1": -error}

    # Cards

    def card(self) -> Card:
        """Return the card of the generator."""
        s, data = self.settings, self.data
        is_picture = data is not None and not data.has_labels
        card = generator_card(
            0 if is_picture else self._num_labels(), boundaries=s.boundaries and not is_picture,
            features=s.instance_features, width=s.global_width >> s.enhancers, downs=s.downs, blocks=s.blocks,
            enhancers=s.enhancers, local_blocks=s.local_blocks,
        )  # fmt: skip
        legend = [] if data is None else [{"id": e.id, "name": e.name, "color": list(e.color)} for e in data.legend]
        extra = {
            **card.extra, "legend": legend, "ignore": list(s.ignore), "size_px": [s.width_px, s.height_px],
            "encoder_shrinks": 1 << s.enhancers, "fit": s.fit,
        }  # fmt: skip
        what = "pictures from pictures" if is_picture else f"pictures from label maps of {self._num_labels()} classes"
        purpose = f"{what}, trained at {s.width_px} x {s.height_px} px"
        return replace(card, recipe="pix2pixhd", purpose=purpose, data=s.data, extra=extra)

    def cards(self) -> dict[str, Card]:
        """Return the cards of the encoder and the discriminator, where there are such."""
        s, cards = self.settings, {}
        if s.instance_features:
            cards["encoder"] = encoder_card(s.instance_features, s.encoder_width, s.downs)
        if self.has_adversary:
            sizes = (s.discriminator_width, s.discriminator_scales, s.discriminator_layers)
            cards["discriminator"] = discriminator_card(self.card().channels_in - s.instance_features + 3, *sizes)
        return {name: replace(card, recipe="pix2pixhd", data=s.data) for name, card in cards.items()}


def _square(pictures: Tensor) -> Tensor:
    side = min(pictures.shape[-2:])
    top, left = ((length - side) // 2 for length in pictures.shape[-2:])
    return pictures[..., top : top + side, left : left + side]


def _check(s: Settings) -> None:
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
    """Refuse pictures that a stage's discriminator or the score cannot judge, by building it without memory."""
    with torch.device("meta"):
        critic = MultiScaleDiscriminator(4, 1, s.discriminator_scales, s.discriminator_layers)
    for level in range(s.enhancers + 1):
        shrunk = s.enhancers - level
        smallest = max(SMALLEST_PX, critic.minimum_px_of(max(1, s.discriminator_scales - shrunk)))
        if min(s.width_px, s.height_px) >> shrunk < smallest:
            why = f"At {s.width_px >> shrunk} x {s.height_px >> shrunk} px {smallest} px a side are needed"
            raise UserError("The pictures are too small", why, "Enlarge them, or use fewer --discriminator-scales")
