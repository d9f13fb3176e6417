"""From low to high by a U-Net, a doubling at a time, with the GAN as a style loss (SuperResGANUnet).

A low picture that a GAN can make is enlarged by a network that is conditioned on it, and that again, 64 -> 128 -> 256
-> 512 px. The generator's loss is

    content: L1 between generated and true picture, plus
    style:   lambda times one of  gan        any adversarial loss (the original: least squares),
                                  salimans   the distance of the batches' mean features in the discriminator,
                                  vaegan     the squared distance of the features of each pair, a learned L2.

`content_off_step` lets the content loss fade to nothing, as long as the collapse watch calls the discriminator healthy.

One network serves all doublings: `iterations` stages of growing pictures train the same weights, and from the second
on a share of the inputs are the network's own results, which is what it will be given when it is iterated. The result
is one weight file, of which `ganvas upscale --factor 8` runs as many passes as it takes. `--scale 1` is the
original's check of the set-up: an autoencoder from 64 to 64 px.

Expect L1 alone to be soft, and the styles to be sharper with errors of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.data import degrade, replay
from ganvas.data.class_folders import WithClasses
from ganvas.data.conditions import class_planes, label_planes
from ganvas.data.pictures import Crops, PairedPictures, Pictures
from ganvas.data.squares import Squares
from ganvas.losses import regularization
from ganvas.losses.reconstruction import l1, learned_l2, mean_feature_matching
from ganvas.networks import build
from ganvas.networks.blocks import init_normal
from ganvas.networks.unet import detail_of
from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.recipes import enlargement, features
from ganvas.recipes.enlargement import lowered, middle, with_condition
from ganvas.recipes.superres_unet.settings import LAPTOP, PAPER, PREVIEW, SHOW, Settings, check
from ganvas.values import to_range

FADED = "content.faded"
SCORED = 16
SCORED_PX = 256
OWN_SHARE = 0.5
"""Share of the inputs that are the network's own results, from the second doubling on."""


class Batch(NamedTuple):
    """Pictures in [-1, 1]."""

    low: Tensor
    """(B, 3, h, w)."""
    lower: Tensor | None
    """The first samples at half of that again, from which the network computes its own input: (B', 3, h / 2, w / 2)."""
    high: Tensor
    """(B, 3, scale h, scale w)."""
    condition: Tensor
    """Labels and classes, one channel each: (B, C, scale h, scale w)."""


class SuperResolvingUNets(Recipe):
    """One U-Net for every doubling, with content and style losses."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = {
        "laptop": LAPTOP,
        "preview": PREVIEW,
        "show": SHOW,
        "paper": PAPER,
        "iterated": replace(LAPTOP, iterations=3, low_px=64, batch_size=4, content_steps=500, steps=1500),
        "autoencoder": replace(LAPTOP, scale=1, base="none", style="none", content_steps=0),
    }
    SHOWN = ("bicubic", "generated", "truth")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.class_names: list[str] = []
        check(settings)
        if settings.style != "none":
            with torch.device("meta"):  # refuses a grid that cannot be had
                build(self.cards()["discriminator"])

    def stages(self) -> list[Stage]:
        """Return for each iteration the stage of the content loss, if it has steps, and that of both losses."""
        s, stages = self.settings, []
        generator = Turn(side="generator", trains=("generator",))
        discriminator = Turn(side="discriminator", trains=("discriminator",))
        rates = {"generator": s.generator_rate, "discriminator": s.discriminator_rate}
        both = {name: Optimizer(rate=rate, betas=s.betas) for name, rate in rates.items()}
        only = {"generator": both["generator"]}
        alone = {"generator": replace(both["generator"], schedule=s.content_schedule)}
        for number in range(s.iterations):
            side = self._high_px(number)
            turns, optimizers = ((generator,), only) if s.style == "none" else ((discriminator, generator), both)
            content = Stage(
                name=f"content{side}", steps=s.content_steps, turns=(generator,), optimizers=alone, resolution=side
            )
            style = Stage(
                name=f"style{side}", steps=s.steps, turns=turns, optimizers=optimizers, resolution=side,
                restarts_average=bool(s.content_steps),
            )  # fmt: skip
            stages += [stage for stage in (content, style) if stage.steps]
        return stages

    def _high_px(self, iteration: int) -> int:
        return self.settings.low_px * self.settings.scale ** (iteration + 1)

    def networks(self) -> dict[str, nn.Module]:
        """Return the U-Net where its first weights are to have another deviation than the usual."""
        if self.settings.generator_std == 0.02:
            return {}
        generator = build(self.card())
        init_normal(generator, self.settings.generator_std)
        return {"generator": generator}

    def fixed(self) -> dict[str, nn.Module]:
        """Return the feature network of the perceptual loss, if there is one."""
        network = features.load_balanced(self.settings.perceptual)
        return {"features": network} if network else {}

    def source(self, path: str) -> Source:
        """Return pictures of a folder, alone, with their low ones or with their label maps, and with their classes."""
        s, side = self.settings, self._high_px(self.settings.iterations - 1)
        if s.low:
            source: Any = PairedPictures(s.low, path, scale=s.scale, crop_px=side, augment=s.mirror)
        elif s.labels:
            source = PairedPictures(s.labels, path, scale=1, crop_px=side, augment=s.mirror)
        elif s.framing == "squares":
            source = Squares(path, side, s.mirror)
        else:
            source = Pictures(path, crop_px=side, scale=s.scale, augment=s.mirror)
        if not s.num_classes:
            return source
        return WithClasses(source, s.num_classes)

    def prepare(self, train: Source) -> None:
        """Take over the names of the data's classes."""
        self.class_names = train.names if isinstance(train, WithClasses) else []

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Bring pictures to the stage's size and to [-1, 1], and compute the low ones that were not given."""
        s, side = self.settings, context.stage.resolution
        high = self._fitted(raw["picture"] if "picture" in raw else raw["high"], side)
        low = raw["low"][..., : side // s.scale, : side // s.scale] if s.low else lowered(high, s.scale)
        number = round(OWN_SHARE * len(high)) if side > self._high_px(0) else 0
        lower = _to_range(lowered(low[:number], s.scale)) if number else None
        return Batch(_to_range(low), lower, _to_range(high), self.condition(raw, high))

    def _fitted(self, pictures: Tensor, side: int) -> Tensor:
        if self.settings.framing == "crops":
            return pictures[..., :side, :side]
        pictures = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures
        return pictures if pictures.shape[-1] == side else degrade.resize_bicubic(pictures, size=(side, side))

    def condition(self, raw: dict[str, Tensor], high: Tensor) -> Tensor:
        """Return labels and classes as one channel each, of the size of the high pictures: (B, C, H, W)."""
        s, (height, width) = self.settings, high.shape[-2:]
        layers = [high.new_zeros((len(high), 0, height, width))]
        if s.num_labels:
            layers.append(label_planes(raw["low"][..., :height, :width], s.num_labels).to(high))
        if s.num_classes:
            layers.append(class_planes(raw["class"], s.num_classes, height, width).to(high))
        return torch.cat(layers, dim=1)

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Enlarge the low pictures: (B, 3, h, w) -> (B, 3, scale h, scale w); keep what pool and history need."""
        s, low = self.settings, batch.low
        if batch.lower is not None:
            with torch.no_grad():
                own = nets.generator(with_condition(batch.lower, batch.condition[: len(batch.lower)]))
            low = torch.cat([own.to(low.dtype).clamp(-1, 1), low[len(own) :]])
        fake = nets.generator(with_condition(low, batch.condition)).to(batch.high.dtype)
        outputs: Outputs = {"fake": fake}
        is_generators = context.turn is not None and context.turn.side == "generator"
        if "discriminator" not in nets or not context.stage.name.startswith("style") or is_generators:
            # Pool, history and fading have had this step's share in the discriminator's turn.
            return outputs, carry
        kept: Carry = {FADED: self._faded(carry, context)} if s.content_off_step else {}
        if s.replay_size:
            # Sizes grow with the stages, and a pool holds pictures of one size.
            replayed = replay.exchange(
                carry, self._seen(fake, batch), context.random, size=s.replay_size,
                condition=self._shown_beside(batch), prefix=f"replay{context.stage.resolution}",
            )  # fmt: skip
            assert replayed.condition is not None
            outputs |= {"shown": replayed.fake, "shown_beside": replayed.condition}
            kept |= replayed.pool
        # Not before the first step, in which minibatch discrimination sets its scales by the data.
        if s.history_weight and context.stage_step:
            for name in ("generator", "discriminator"):
                kept |= regularization.update_history(nets[name].named_parameters(), carry, f"history.{name}")
        return outputs, kept

    def _faded(self, carry: Carry, context: Context) -> int:
        s, faded = self.settings, int(carry.get(FADED, 0))
        if context.step < s.content_off_step:
            return faded
        return max(0, min(s.content_fade_steps, faded + (1 if context.health.healthy else -1)))

    def content_share(self, carry: Carry) -> float:
        """Return how much of the content loss is left, 1 to 0."""
        return 1.0 - int(carry.get(FADED, 0)) / self.settings.content_fade_steps

    def _seen(self, pictures: Tensor, batch: Batch) -> Tensor:
        """Return what the discriminator sees of pictures: (B, 3, H, W) -> (B, 3, H, W)."""
        is_whole = self.settings.judged == "picture"
        return pictures if is_whole else detail_of(pictures, batch.low, self.settings.scale)

    def _shown_beside(self, batch: Batch) -> Tensor:
        """Return what the discriminator sees beside a picture: (B, C, H, W)."""
        if not self.settings.discriminator_sees_low:
            return batch.condition
        low = F.interpolate(batch.low, size=(batch.high.shape[-2], batch.high.shape[-1]), mode="nearest")
        return torch.cat([low, batch.condition], dim=1)

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss of real against generated pictures."""
        beside = self._shown_beside(batch)
        real = nets.discriminator(torch.cat([self._seen(batch.high, batch), beside], dim=1))
        shown = outputs["shown"] if "shown" in outputs else self._seen(outputs["fake"], batch)
        fake = nets.discriminator(torch.cat([shown, outputs.get("shown_beside", beside)], dim=1))
        ledger = Ledger({"gan": self.settings.adversarial.discriminator(real, fake)})
        self._add_history(ledger, nets, carry, "discriminator")
        return ledger

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the content loss and, in the stages of both networks, the style loss."""
        s, fake, ledger = self.settings, outputs["fake"], Ledger()
        if not s.detail and context.step % enlargement.CALIBRATED_EVERY == 0:
            enlargement.calibrate(nets.generator, with_condition(batch.low, batch.condition), batch.high)
        styled = context.stage.name.startswith("style") and s.style != "none"
        if s.content_weight:
            share = self.content_share(carry) if styled else 1.0
            ledger["content"] = s.content_weight * share * l1(fake, batch.high)
        if "features" in nets:
            pictures = (fake * 0.5 + 0.5, batch.high * 0.5 + 0.5)
            ledger["perceptual"] = s.perceptual_weight * features.distance(nets.features, *pictures)
        if styled:
            ledger["style"] = s.style_weight * self._style(nets.discriminator, batch, fake)
            self._add_history(ledger, nets, carry, "generator")
        return ledger

    def _style(self, critic: nn.Module, batch: Batch, fake: Tensor) -> Tensor:
        s, beside = self.settings, self._shown_beside(batch)
        real_verdict: Any = None
        if s.style != "gan" or s.adversarial.generator_needs_real:
            with torch.no_grad():
                real_verdict = critic(torch.cat([self._seen(batch.high, batch), beside], dim=1))
        fake_verdict = critic(torch.cat([self._seen(fake, batch), beside], dim=1))
        if s.style == "gan":
            return s.adversarial.generator(real_verdict, fake_verdict)
        layers = fake_verdict.features[-2], real_verdict.features[-2]
        return mean_feature_matching(*layers, norm="l2") if s.style == "salimans" else learned_l2(*layers)

    def _add_history(self, ledger: Ledger, nets: Networks, carry: Carry, name: str) -> None:
        if self.settings.history_weight:
            distance = regularization.historical_averaging(nets[name].named_parameters(), carry, f"history.{name}")
            ledger["history"] = self.settings.history_weight * distance

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return low (bicubic), generated and true picture side by side: (B, 3, H, 3 W)."""
        bicubic = degrade.resize_bicubic(batch.low, size=(batch.high.shape[-2], batch.high.shape[-1]))
        fake = nets.generator(with_condition(batch.low, batch.condition)).float()
        return (torch.cat([bicubic, fake, batch.high], dim=-1) * 0.5 + 0.5).clamp(0, 1)

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return PSNR on Y in dB, its gain over bicubic, the low L1 in 255ths, and the share of the truth's detail.

        On the middle of up to 16 pictures, one run of the network.
        """
        pictures: Any = source
        inner = source.source if isinstance(source, WithClasses) else source
        if isinstance(inner, Crops):
            pictures = pictures.one_each()
        number = min(SCORED, len(pictures))
        return enlargement.mean([self._scored(nets, pictures, index, context) for index in range(number)])

    def _scored(self, nets: Networks, pictures: Any, index: int, context: Context) -> dict[str, float]:
        s = self.settings
        raw = pictures.sample(index, np.random.default_rng(index)) if s.framing == "squares" else pictures.whole(index)
        raw = {name: value[None].to(context.device) for name, value in raw.items()}
        picture = raw["picture"].float() / 255 if "picture" in raw else raw["high"]
        high = middle(picture, SCORED_PX, s.scale)
        low = middle(raw["low"], SCORED_PX // s.scale) if s.low else lowered(high, s.scale)
        if s.labels:
            raw["low"] = middle(raw["low"], SCORED_PX, s.scale)
        fake = nets.generator(with_condition(_to_range(low), self.condition(raw, high))).float()
        return enlargement.score(fake * 0.5 + 0.5, low, high)

    def card(self) -> Card:
        """Return the card of the U-Net."""
        s = self.settings
        channels = 3 + s.num_labels + s.num_classes
        settings = {
            "scale": s.scale, "width": s.width, "downs": s.downs, "channels_in": channels, "norm": s.norm,
            "tail": s.tail, "base": s.base, "detail": s.detail, "upsampling": s.upsampling,
        }  # fmt: skip
        doublings = " -> ".join(str(s.low_px * s.scale**number) for number in range(s.iterations + 1))
        names = self.class_names or [str(number) for number in range(s.num_classes)]
        conditions = {"conditions": {"num_labels": s.num_labels, "class_names": names}} if channels > 3 else {}
        return Card(
            network="super_resolving_unet", settings=settings, input="picture", range=(-1.0, 1.0), scale=s.scale,
            channels_in=channels, multiple_of=2**s.downs, minimum_px=2**s.downs, halo_px=2**s.downs,
            tiling="discouraged" if s.norm == "instance" else "supported", recipe="superres_unet",
            purpose=f"super-resolution x{s.scale}, trained {doublings} px", data=s.data, extra=conditions,
        )  # fmt: skip

    def cards(self) -> dict[str, Card]:
        """Return the cards of the U-Net and, where there is a style, of the discriminator.

        The discriminator sees pictures, with the low picture and the conditions behind them.
        """
        s = self.settings
        if s.style == "none":
            return {"generator": self.card()}
        channels = 3 + 3 * s.discriminator_sees_low + s.num_labels + s.num_classes
        settings = {
            "channels_in": channels, "width": s.discriminator_width, "norm": s.discriminator_norm,
            # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
            "size_px": self._high_px(0), "last_bias": not s.adversarial.is_shift_invariant,
            **({"minibatch": "discrimination"} if s.minibatch else {"grid": s.grid}),
        }  # fmt: skip
        discriminator = Card(
            network="dcgan_discriminator" if s.minibatch else "patch_discriminator", settings=settings, input="other",
            range=(-1.0, 1.0), channels_in=channels, channels_out=1, recipe="superres_unet",
            purpose="tells pictures from enlargements", data=s.data,
        )  # fmt: skip
        return {"generator": self.card(), "discriminator": discriminator}


def _to_range(pictures: Tensor) -> Tensor:
    return to_range(pictures)
