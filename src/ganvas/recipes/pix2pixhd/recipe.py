"""pix2pixHD: pictures from label and instance maps at 2048 x 1024 (Wang et al. 2018, arXiv 1711.11585).

A label map goes in, one plane for each class and one for the boundaries of the instances; a picture comes out.
Training goes from coarse to fine in one command, as in section 3.2:

    global      G1 alone, at 1 / 2**enhancers of the size
    enhancer N  the N-th enhancer around it, everything coarser frozen, at twice the size of the stage before
    joint       all together, at full size

The same network is trained throughout, and each parameter keeps its optimiser's state from stage to stage. Coarse
stages have the coarse discriminators, which see the same sizes again in the pyramid of the finer stages. The
loss is (equation 5, and the authors' code for its last term)

    generator = GAN + 10 * feature matching + 10 * VGG features,

GAN and feature matching over every scale of the discriminator. With `instance_features` an encoder is trained along: it
sees the real picture and gives each instance a few numbers, its style (section 3.4), which `ganvas styles` turns into
choices for `ganvas generate`. A data set whose inputs are pictures (edges, sketches, renders) is learned likewise,
without labels.

It draws what the label map says: where the map is wrong or its like is rare, so is the picture.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ganvas.data import replay
from ganvas.data.conditions import colorize, compose, pack, segments, shrink, unpack
from ganvas.data.input_ranges import Asked, InputRange
from ganvas.data.labels import LabelledPictures, boundaries
from ganvas.errors import UserError
from ganvas.io.score_cache import default_cache
from ganvas.losses.reconstruction import feature_matching, l1
from ganvas.metrics import painted
from ganvas.metrics.labels import score_labels
from ganvas.metrics.probe import Probe, train_segmenter
from ganvas.metrics.sliced import pyramid_distances
from ganvas.networks.pix2pixhd.card import discriminator_card, encoder_card, generator_card
from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.recipes import features
from ganvas.recipes.pix2pixhd.settings import LAPTOP, PAPER, PICTURE, PREVIEW, SHOW, Settings, check
from ganvas.values import to_range

SCORED = 16  # validation pictures that a score compares
PROBED = 200  # training pictures that a score's segmenter learns from, about


class Batch(NamedTuple):
    """What one batch of a stage holds, all at the stage's size."""

    condition: Tensor
    """(B, N, H, W): classes and boundaries as 0 and 1, an input picture in [-1, 1], or the one before the other."""
    real: Tensor
    """(B, 3, H, W) in [-1, 1]."""
    label_map: Tensor | None = None
    """(B, 1, H, W) integers."""
    instance_map: Tensor | None = None
    """(B, 1, H, W) integers."""


class Pix2PixHD(Recipe):
    """Pictures from label maps, coarse to fine, with a style for each instance."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = {
        "laptop": LAPTOP, "preview": PREVIEW, "show": SHOW, "paper": PAPER, "picture": PICTURE,
        "paper_styles": replace(PAPER, instance_features=3),
    }  # fmt: skip
    SHOWN = ("input", "generated", "truth")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.data: LabelledPictures | None = None
        check(settings)

    # What is trained

    def stages(self) -> list[Stage]:
        """Return G1 alone, each enhancer around what is frozen, and all together; those without steps left out."""
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
        # While the generator's input from the encoder is frozen, so must be the encoder.
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
        """Return how many discriminators see the pictures of a level, the finest having all."""
        return max(1, self.settings.discriminator_scales - (self.settings.enhancers - level))

    def fixed(self) -> dict[str, nn.Module]:
        """Return the feature network of the perceptual loss, if there is one."""
        network: Any = features.load_features(self.settings.perceptual, tuple(self.settings.layer_weights))
        if network is None:
            return {}
        network.normalize = self.settings.imagenet_means
        return {"features": network}

    # Data

    def source(self, path: str) -> LabelledPictures:
        """Return the scenes of a folder at the finest size."""
        s = self.settings
        return self._opened(path, s.num_labels, Asked(s.input_range, s.input_scale))

    def held_out(self, path: str, train: Source) -> LabelledPictures:
        """Return the scenes of a validation folder, with the labels of the training data."""
        assert isinstance(train, LabelledPictures)
        return self._opened(path, self.settings.num_labels or train.num_labels, train.input_range)

    def prepare(self, train: Source) -> None:
        """Take over the labels of the data, and its scenes for a score's segmenter."""
        assert isinstance(train, LabelledPictures)
        self.data = train

    def _opened(self, path: str, num_labels: int, input_range: Asked | InputRange | None) -> LabelledPictures:
        s = self.settings
        source = LabelledPictures(
            path, num_labels=num_labels, size_px=(s.height_px, s.width_px), fit=s.fit, mirror=s.mirror, ignore=s.ignore,
            input_range=input_range,
        )  # fmt: skip
        if s.instance_features and not source.has_labels:
            why = "Instance features need label maps, and this data set has pictures as inputs"
            raise UserError(f"{path} has no instances", why, "Use --preset picture, or --instance-features 0")
        return source

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Bring the scenes to the stage's size: pictures by the mean of each cell, ids by its middle pixel."""
        s = self.settings
        factor = 1 << (s.enhancers - self.level(context.stage))
        real = to_range(shrink(raw["picture"], factor))
        given = [to_range(shrink(raw["input"], factor))] if "input" in raw else []
        if "label_map" not in raw:
            return Batch(given[0], real)
        label_map = shrink(raw["label_map"], factor)
        instance_map = segments(label_map, shrink(raw["instance_map"], factor))
        edges = boundaries(instance_map) if s.boundaries else None
        condition = torch.cat([compose(label_map, edges, self._num_labels()), *given], dim=1)
        return Batch(condition, real, label_map, instance_map)

    def _num_labels(self) -> int:
        found = self.settings.num_labels or (self.data.num_labels if self.data else 0)
        if not found and not (self.data and not self.data.has_labels):
            raise UserError("The number of labels is not known", "No data were opened", "Set --num-labels")
        return found

    # One step

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Generate the pictures of a stage's size, and exchange some for past ones where there is a replay pool."""
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
        # Classes and edges are packed; an input picture beside them cannot be.
        is_packed = batch.label_map is not None and not (self.data and self.data.has_inputs)
        if is_packed:
            assert batch.label_map is not None
            condition = pack(batch.label_map, condition[:, -1:] if s.boundaries else torch.zeros_like(condition[:, :1]))
        # Pictures of another size are another pool: the carry then forgets the smaller ones.
        fake, condition, pool = replay.exchange(
            carry, outputs["fake"], context.random, size=s.replay_size, condition=condition, prefix=f"replay{level}"
        )
        assert condition is not None
        if is_packed:
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
        return Ledger({"gan": 0.5 * scales * loss})

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss, feature matching, the perceptual and the pixel distance, where weighted."""
        s, fake, ledger = self.settings, outputs["fake"], Ledger()
        if self.has_adversary:
            self._add_adversary(ledger, nets, batch, fake, self.num_scales(self.level(context.stage)))
        if "features" in nets:
            cut, truth = features.random_crops(s.perceptual_crop_px, context.random, fake, batch.real)
            distance = features.distance(nets.features, cut * 0.5 + 0.5, truth * 0.5 + 0.5, s.layer_weights)
            ledger["perceptual"] = s.perceptual_weight * distance
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
        """Return scores of up to 16 pictures, higher being better, of which the first chooses the best weights.

        They are minus the sliced Wasserstein distance, the kernel distance of random features, the peak of repeated
        patterns and the mean error; for labels also the contrast at borders between things of one class against that
        of real pictures, and with `score_probe_steps` the mean IoU that a segmenter reads off.
        """
        fakes, batches = [], []
        for index in range(min(SCORED, len(source))):
            sample = source.sample(index, np.random.default_rng(index))
            batch = self.batch({name: plane[None].to(context.device) for name, plane in sample.items()}, context)
            fakes.append((self.forward(nets, batch, {}, context)[0]["fake"].float().cpu() * 0.5 + 0.5).clamp(0, 1)[0])
            batches.append(batch)
        reals = [batch.real.float().cpu()[0] * 0.5 + 0.5 for batch in batches]
        fake, real = torch.stack(fakes), torch.stack(reals)
        distances = pyramid_distances(_square(real), _square(fake))
        scores = {
            "minus_swd": -sum(distances.values()) / len(distances),
            "minus_distance": -painted.distance(fakes, reals),
            "minus_repetition": -sum(map(painted.repetition, fakes)) / len(fakes),
        }
        if batches[0].label_map is not None:
            maps = [[plane.cpu()[0] for plane in (b.label_map, b.instance_map) if plane is not None] for b in batches]
            scores |= self._label_scores(fakes, reals, maps, source, context)
        return scores | {"minus_l1": -float((fake - real).abs().mean())}

    def _label_scores(
        self, fakes: list[Tensor], reals: list[Tensor], maps: list[list[Tensor]], source: Source, context: Context
    ) -> dict[str, float]:
        """Return how strong borders between adjacent things are against real ones, and what a segmenter reads."""
        scores, (label_maps, instance_maps) = {}, zip(*maps, strict=True)
        contrasts = [painted.instance_contrast(pictures, label_maps, instance_maps) for pictures in (fakes, reals)]
        if contrasts[1] > 0:
            scores["borders"] = contrasts[0] / contrasts[1]
        is_finest = self.level(context.stage) == self.settings.enhancers
        if self.settings.score_probe_steps and is_finest and isinstance(source, LabelledPictures):
            found = self._probe(source).predict(torch.stack(fakes))
            scores["miou"] = score_labels(found, torch.cat(label_maps), self._num_labels()).mean_iou
        return scores

    def _probe(self, held_out: LabelledPictures) -> Probe:
        """Return a segmenter trained on the training pictures; kept, so that it is trained once."""
        assert self.data is not None
        numbers = range(0, len(self.data), 1 + len(self.data) // PROBED)
        scenes = [self.data.sample(number, np.random.default_rng(number)) for number in numbers]
        probed = range(len(scenes), len(scenes) + min(SCORED, len(held_out)))
        scenes += [held_out.sample(index, np.random.default_rng(index)) for index in range(len(probed))]
        pictures, maps = ([scene[key] for scene in scenes] for key in ("picture", "label_map"))
        return train_segmenter(
            pictures, maps, self._num_labels(), steps=self.settings.score_probe_steps, held_out=probed,
            cache=default_cache(),
        )  # fmt: skip

    # Cards

    def card(self) -> Card:
        """Return the card of the generator."""
        s, data = self.settings, self.data
        is_picture = data is not None and not data.has_labels
        num_labels, edges = (0, False) if is_picture else (self._num_labels(), s.boundaries)
        has_both = data is not None and data.has_labels and data.has_inputs
        channels_in = num_labels + edges + s.instance_features + 3 if has_both else 0
        card = generator_card(
            num_labels, edges, s.instance_features, channels_in, width=s.global_width >> s.enhancers, downs=s.downs,
            blocks=s.blocks, enhancers=s.enhancers, local_blocks=s.local_blocks, upsampling=s.upsampling,
        )  # fmt: skip
        legend = [] if data is None else [{"id": e.id, "name": e.name, "color": list(e.color)} for e in data.legend]
        extra = {
            **card.extra, "legend": legend, "ignore": list(s.ignore), "size_px": [s.width_px, s.height_px],
            "encoder_shrinks": 1 << s.enhancers, "fit": s.fit, "inputs": 3 if has_both else 0,
        }  # fmt: skip
        if data is not None and data.input_range is not None:
            extra["input_range"] = data.input_range.note()
        what = "pictures from pictures" if is_picture else f"pictures from label maps of {self._num_labels()} classes"
        purpose = f"{what}, trained at {s.width_px} x {s.height_px} px"
        return replace(card, recipe="pix2pixhd", purpose=purpose, data=s.data, extra=extra)

    def cards(self) -> dict[str, Card]:
        """Return the cards of the generator, of its coarser parts' heads, of the encoder and of the discriminator."""
        s, cards = self.settings, {"generator": self.card()}
        if s.enhancers:
            cards["heads"] = Card(
                network="pix2pixhd_heads", input="other", range=(-1.0, 1.0), tiling="internal",
                settings={"width": s.global_width >> s.enhancers, "enhancers": s.enhancers},
            )  # fmt: skip
        if s.instance_features:
            cards["encoder"] = encoder_card(s.instance_features, s.encoder_width, s.downs)
        if self.has_adversary:
            sizes = (s.discriminator_width, s.discriminator_scales, s.discriminator_layers)
            card = discriminator_card(self.card().channels_in - s.instance_features + 3, *sizes)
            # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
            settings = {**card.settings, "last_bias": not s.adversarial.is_shift_invariant}
            cards["discriminator"] = replace(card, settings=settings)
        return {name: replace(card, recipe="pix2pixhd", data=s.data) for name, card in cards.items()}


def _square(pictures: Tensor) -> Tensor:
    side = min(pictures.shape[-2:])
    top, left = ((length - side) // 2 for length in pictures.shape[-2:])
    return pictures[..., top : top + side, left : left + side]
