"""Video from label maps that stays the same thing from frame to frame (Wang et al. 2018, arXiv 1808.06601).

A generator makes the next frame from the label maps of this one and of those before, and from the pictures that it
made before: it moves the last picture along a flow that it estimates, and paints what the flow cannot tell. One
discriminator judges single frames with their labels, others judge several frames at once, some far apart in time.

A batch is a chunk of consecutive frames, a step trains on it, and the next step goes on where it ended; gradients flow
back through the frames of a chunk. Sequences get longer from stage to stage, and pictures get larger from scale to
scale: all of that is data in `stages`.

    --data       a folder of sequences: NAME/labels/000000.png, NAME/frames/000000.png, ... (`ganvas world` makes such)
    --flow-from  what teaches flow: exact (folders `flow`), dis (OpenCV), a TorchScript or ONNX file, none

Expect flat but steady pictures after minutes at 128 px; the paper trained for days on eight GPUs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from ganvas import settings
from ganvas.data.clips import Clips
from ganvas.data.windows import Chunk, Place, Windows, style_planes
from ganvas.errors import UserError
from ganvas.io.weights.foreign_pix2pixhd import discriminator_card, encoder_card
from ganvas.losses.reconstruction import feature_matching, l1, perceptual
from ganvas.networks.vid2vid import FLOW_PX, Known, Past, next_frame
from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.recipes import features
from ganvas.recipes.vid2vid_settings import PRESETS, Leg, Settings, check, schedule
from ganvas.recipes.vid2vid_temporal import scores, temporal_losses

SCORED = 4
"""Sequences that a score looks at, and sixteen frames of each."""


class Batch(NamedTuple):
    """Addresses of windows, (B, 4): which of them are used depends on how far the present ones are made."""

    windows: Tensor


class Vid2VidRecipe(Recipe):
    """Video synthesis frame by frame with flow, mask and hallucination, judged frame by frame and clip by clip."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = PRESETS

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.sources: list[Clips] = []
        self._read: tuple[Any, Chunk] | None = None
        check(settings)

    # Data

    def source(self, path: str) -> Source:
        """Return the sequences of a folder."""
        s = self.settings
        clips = Clips(
            path, s.num_labels or self.num_labels, flow_from=s.flow_from, number=len(self.sources),
            multiple_of=s.shrink * 2 ** (s.downs + s.scales - 1),
        )  # fmt: skip
        if clips.shortest < s.first_length + 1:
            name = min(clips.clips, key=len).name
            why = f"A sequence of {s.first_length} frames and the one before it was asked for"
            do = f"Give longer sequences, or --first-length {max(1, clips.shortest - 1)}"
            raise UserError(f"The sequence {name} has {clips.shortest} frames", why, do)
        if s.instance_features and not clips.has_labels:
            raise UserError(f"{path} has no label maps", "Styles belong to instances", "Use --instance-features 0")
        if self.sources and clips.channels_label != self.sources[0].channels_label:
            raise UserError(f"{path} has other labels or instances than {self.sources[0].folder}")
        self.sources.append(clips)
        return clips

    @property
    def num_labels(self) -> int:
        """Classes of the first source."""
        return self.sources[0].num_labels if self.sources else self.settings.num_labels

    @property
    def has_edges(self) -> bool:
        """Whether boundaries of instances are shown to the networks."""
        return bool(self.sources) and self.sources[0].has_instances and self.sources[0].has_labels

    @property
    def _has_labels(self) -> bool:
        return all(source.has_labels for source in self.sources)

    @property
    def channels_label(self) -> int:
        """Planes of one frame's condition."""
        return self.sources[0].channels_label if self.sources else self.settings.num_labels

    def foreground(self) -> tuple[int, ...]:
        """Return the labels that the foreground branch draws."""
        legend = self.sources[0].legend if self.sources and self.settings.things_are_foreground else ()
        return tuple(label.id for label in legend if label.thing) or self.settings.foreground

    # What is trained

    def legs(self) -> dict[str, Leg]:
        """Return the stages by name, with what they mean; the data's shortest sequence bounds their length."""
        return schedule(self.settings, min((source.shortest - 1 for source in self.sources), default=math.inf))

    def stages(self) -> list[Stage]:
        """Return a stage for each scale and length: whole sequences, in chunks."""
        s = self.settings
        judges = ("discriminator", *(f"clip_discriminator_{stride}" for stride in s.clip_strides))
        makers = ("generator", "encoder") if s.instance_features else ("generator",)
        turns = (Turn(side="discriminator", trains=judges), Turn(side="generator", trains=makers))
        stages = []
        for name, leg in self.legs().items():
            rate = s.rates[leg.scales - 1]
            # At the full rate for the first half of the scale, then down to nothing at its end.
            start, stop = (rate * min(1.0, 2 - 2 * share) for share in (leg.begin, leg.end))
            hold = min(1.0, max(0.0, (0.5 - leg.begin) / (leg.end - leg.begin))) if leg.end > leg.begin else 1.0
            schedule = "constant" if hold == 1 else "linear"
            adam = Optimizer(rate=start, betas=s.betas, schedule=schedule, hold=hold, final_rate=stop)
            coarser = tuple(f"generator.scale{number}.*" for number in range(leg.scales - 1)) if leg.is_alone else ()
            steps = leg.rounds * math.ceil(leg.length / s.frames_a_step)
            stage = Stage(
                name=name, steps=steps, turns=turns, optimizers=dict.fromkeys((*makers, *judges), adam),
                frozen=coarser, averaged=makers, clip_length=leg.length,
            )  # fmt: skip
            stages.append(stage)
        return stages

    def fixed(self) -> dict[str, nn.Module]:
        """Return the feature network of the perceptual loss, if there is one."""
        s = self.settings
        network = features.load_features(s.perceptual, s.perceptual_layers) if s.perceptual_weight else None
        return {"features": network} if network else {}

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Keep the addresses."""
        return Batch(raw["window"].cpu())

    # One step

    def place(self, batch: Batch, carry: Carry, context: Context) -> Place:
        """Return where this step stands: in the windows that the carry holds, or at the beginning of the batch's."""
        leg = self.legs()[context.stage.name]
        goes_on = carry.get("stage") == context.stage.name and carry["made"] < leg.length
        windows = carry["windows"] if goes_on else batch.windows
        addresses = tuple(tuple(map(int, window)) for window in windows.tolist())
        shrink = self.settings.shrink * 2 ** (self.settings.scales - leg.scales)
        return Place(addresses, carry["made"] if goes_on else 0, leg.length, shrink)

    def chunk(self, place: Place, context: Context) -> Chunk:
        """Return the frames of this step; both sides of a step ask for the same."""
        if self._read is None or self._read[0] != place:
            s = self.settings
            reader, frames = self._windows(), min(s.frames_a_step, place.length - place.made)
            self._read = place, reader.chunk(place, frames, self._given(place), context.device)
        return self._read[1]

    def _given(self, place: Place) -> Tensor:
        """Return (B,) which windows are given their first frame; single frames before the sequences never are."""
        s = self.settings
        return place.coins(0.0 if s.picture_rounds and place.length == 1 else s.given_share)

    def _windows(self) -> Windows:
        s = self.settings
        return Windows(self.sources, self.num_labels, self.has_edges, s.past_frames, s.instance_features > 0)

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Make the next chunk of frames; carry the last pictures, and where in the windows they stand."""
        place = self.place(batch, carry, context)
        chunk = self.chunk(place, context)
        outputs = self.roll(nets, place, chunk, carry.get("pictures") if place.made else None)
        fake = outputs["fake"]
        made = place.made + fake.shape[1]
        shown = torch.cat([carry["history"], fake.detach()], 1) if place.made else fake.detach()
        kept = min(shown.shape[1], (self.settings.clip_frames - 1) * max(self._strides(place.length), default=0))
        return outputs, {
            "stage": context.stage.name,
            "windows": torch.tensor(place.windows),
            "made": made,
            "pictures": outputs.pop("past"),
            "history": shown[:, shown.shape[1] - kept :],
        }

    def roll(self, nets: Networks, place: Place, chunk: Chunk, pictures: Tensor | None) -> Outputs:
        """Make the frames of a chunk, each from those before it; none of `pictures` means that windows begin.

        Outputs are stacked along the second axis: `fake`, `raw`, `flow`, `mask`; `before` is what was moved along the
        flow, `has_before` (B, T) whether there was anything, `past` the pictures that the next chunk begins with.
        """
        s = self.settings
        batch, frames = chunk.labels.shape[:2]
        given = self._given(place).to(chunk.real.device)
        if pictures is None:
            first = chunk.real_before[:, 0] * given[:, None, None, None]
            pictures, has = first.repeat(1, s.past_frames, 1, 1), given
        else:
            has = torch.ones(batch, dtype=torch.bool, device=given.device)
        seen = torch.cat([chunk.labels_before, chunk.labels], 1)
        if chunk.shown is not None and chunk.regions is not None:
            seen = torch.cat([seen, style_planes(nets.encoder, chunk.shown, chunk.regions).to(seen.dtype)], 2)
        past = Past(seen[:, : s.past_frames].flatten(1, 2), pictures.detach().to(chunk.real.dtype), has)
        generator: Any = nets.generator
        made, before, has_before = [], [], []
        for number in range(frames):
            if number % s.backpropagated == 0:
                past = Past(past.labels, past.pictures.detach(), past.has_previous)
            before.append(past.pictures[:, -3:])
            has_before.append(past.has_previous)
            known, scales = self._known(chunk, number), self._scales_at(place)
            frame, past = next_frame(generator, seen[:, s.past_frames + number], past, known, scales)
            made.append(frame)
        stacked = {name: torch.stack([getattr(frame, name) for frame in made], 1) for name in made[0]._fields}
        stacked["fake"] = stacked.pop("picture")
        return {**stacked, "before": torch.stack(before, 1), "has_before": torch.stack(has_before, 1),
                "past": past.pictures}  # fmt: skip

    def _scales_at(self, place: Place) -> int:
        return self.settings.scales - int(math.log2(place.shrink // self.settings.shrink))

    def _known(self, chunk: Chunk, number: int) -> Known | None:
        s = self.settings
        if chunk.flow is None or chunk.trust is None:
            return None
        flow = chunk.flow[:, number] if s.flow_use == "replace" else None
        mask = 1 - chunk.trust[:, number] if s.mask_from == "exact" and s.mask_use == "replace" else None
        return None if flow is None and mask is None else Known(flow, mask)

    def _strides(self, length: int) -> list[int]:
        s = self.settings
        return [stride for stride in s.clip_strides if (s.clip_frames - 1) * stride < length]

    # Losses

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the losses of the image and clip discriminators; blended and raw pictures both count as fake."""
        s, place = self.settings, self.place(batch, carry, context)
        chunk = self.chunk(place, context)
        labels, real, fakes = self._drawn_frames(chunk, outputs, context)
        real_verdicts = nets.discriminator(torch.cat([labels, real], 1))
        fake_verdicts = [nets.discriminator(torch.cat([labels, fake], 1)) for fake in fakes]
        losses = [s.adversarial.discriminator(real_verdicts, verdicts) for verdicts in fake_verdicts]
        # The mean of its two halves, summed over the scales.
        factor = s.gan_weight * s.discriminator_scales / 2
        ledger = Ledger({"image": factor * torch.stack(losses).mean()})
        for stride, real_clip, fake_clip in self._drawn_clips(place, outputs, carry, context):
            judge = nets[f"clip_discriminator_{stride}"]
            ledger[f"clip{stride}"] = factor * s.adversarial.discriminator(judge(real_clip), judge(fake_clip))
        return ledger

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the losses of pictures (blended and raw), of clips, of flows, of warped pictures and of the mask."""
        place = self.place(batch, carry, context)
        chunk = self.chunk(place, context)
        ledger = Ledger()
        self._add_image_losses(ledger, nets, chunk, outputs, context)
        self._add_clip_losses(ledger, nets, place, outputs, carry, context)
        ledger.update(temporal_losses(self.settings, self._scales_at(place), chunk, outputs))
        return ledger

    def _add_image_losses(
        self, ledger: Ledger, nets: Networks, chunk: Chunk, outputs: Outputs, context: Context
    ) -> None:
        s = self.settings
        labels, real, fakes = self._drawn_frames(chunk, outputs, context)
        with torch.no_grad():
            real_verdicts = nets.discriminator(torch.cat([labels, real], 1))
        verdicts = [nets.discriminator(torch.cat([labels, fake], 1)) for fake in fakes]
        judged = [s.adversarial.generator(real_verdicts, verdict) for verdict in verdicts]
        # One picture that stands for both counts twice.
        kinds = 2 if s.with_flow else 1
        ledger["image"] = kinds * s.gan_weight * s.discriminator_scales * torch.stack(judged).mean()
        matched = [feature_matching(verdict, real_verdicts, "pix2pixhd") for verdict in verdicts]
        ledger["matching"] = kinds * s.matching_weight * torch.stack(matched).mean()
        everything = [outputs[name].flatten(0, 1) for name in self._kinds(outputs)]
        target = chunk.real.flatten(0, 1)
        if s.pixel_weight:
            ledger["pixel"] = kinds * s.pixel_weight * torch.stack([l1(fake, target) for fake in everything]).mean()
        if "features" in nets:
            network = nets.features
            last = len(s.perceptual_layers) - 1
            own = {name: 2.0 ** (place - last) for place, name in enumerate(s.perceptual_layers)}
            weights = features.weights_of(network, own)
            with torch.no_grad():
                wanted = network((target + 1) / 2)
            distances = [perceptual(network((fake.float() + 1) / 2), wanted, weights) for fake in everything]
            ledger["perceptual"] = kinds * s.perceptual_weight * torch.stack(distances).mean()

    def _add_clip_losses(
        self, ledger: Ledger, nets: Networks, place: Place, outputs: Outputs, carry: Carry, context: Context
    ) -> None:
        s = self.settings
        for stride, real_clip, fake_clip in self._drawn_clips(place, outputs, carry, context):
            judge = nets[f"clip_discriminator_{stride}"]
            with torch.no_grad():
                real_verdicts = judge(real_clip)
            verdicts = judge(fake_clip)
            judged = s.gan_weight * s.discriminator_scales * s.adversarial.generator(real_verdicts, verdicts)
            matched = s.matching_weight * feature_matching(verdicts, real_verdicts, "pix2pixhd")
            ledger[f"clip{stride}"] = judged + matched

    def _kinds(self, outputs: Outputs) -> tuple[str, ...]:
        """Return which pictures are judged: where nothing came before, the blended one is the hallucinated one."""
        has_blended = self.settings.with_flow and bool(outputs["has_before"].any())
        return ("fake", "raw") if has_blended else ("fake",)

    def _drawn_frames(self, chunk: Chunk, outputs: Outputs, context: Context) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return labels, real and made pictures of one frame of each sample, drawn at random, or of all frames."""
        planes = [chunk.labels, chunk.real, *(outputs[name] for name in self._kinds(outputs))]
        batch, frames = chunk.labels.shape[:2]
        if self.settings.image_frames == "one":
            drawn = torch.randint(frames, (batch,), generator=context.random).tolist()
            picked = [torch.stack([plane[b, t] for b, t in enumerate(drawn)]) for plane in planes]
        else:
            picked = [plane.flatten(0, 1) for plane in planes]
        return picked[0], picked[1], picked[2:]

    def _drawn_clips(
        self, place: Place, outputs: Outputs, carry: Carry, context: Context
    ) -> list[tuple[int, Tensor, Tensor]]:
        """Return for each stride that has room a real and a made clip that end at a frame of this chunk."""
        s, clips = self.settings, []
        fake = outputs["fake"]
        shown = torch.cat([carry["history"].to(fake.dtype), fake], 1) if place.made else fake
        oldest = place.made + fake.shape[1] - shown.shape[1]
        for stride in self._strides(place.length):
            span = (s.clip_frames - 1) * stride
            ends = [last for last in range(place.made, place.made + fake.shape[1]) if last - span >= oldest]
            if not ends:
                continue
            last = ends[int(torch.randint(len(ends), (), generator=context.random))]
            real, flows = self._windows().strided(place, last, stride, s.clip_frames, context.device)
            first = last - span - oldest
            made = shown[:, first : first + span + 1 : stride]
            moves = [] if flows is None else [flows.flatten(1, 2) / FLOW_PX]
            clips.append((stride, *(torch.cat([part.flatten(1, 2), *moves], 1) for part in (real, made))))
        return clips

    # Looking at it

    @torch.no_grad()
    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return the real and the made frame, the hallucinated one and the mask after some frames: (B, 3, H, 4 W)."""
        place = self._first_place(batch.windows, context, longest=8)
        chunk = self._windows().chunk(place, place.length, self._given(place), context.device)
        outputs = self.roll(nets, place, chunk, None)
        made = [(part[:, -1].float() + 1) / 2 for part in (chunk.real, outputs["fake"], outputs["raw"])]
        return torch.cat([*made, outputs["mask"][:, -1].float().repeat(1, 3, 1, 1)], dim=-1).clamp(0, 1)

    @torch.no_grad()
    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return the likeness to real frames, and what flows cost: of made frames, of real ones, of the flow itself."""
        assert isinstance(source, Clips)
        found: dict[str, list[Tensor]] = {}
        for index in source.indices[:SCORED]:
            address = torch.tensor([[source.number, index, 0, 0]])
            place = self._first_place(address, context, longest=16)
            chunk = self._windows().chunk(place, place.length, place.coins(1.0), context.device)
            outputs = self.roll(nets, place, chunk, None)
            for name, value in scores(chunk, outputs).items():
                found.setdefault(name, []).append(value.float().cpu())
        return {name: float(torch.stack(values).mean()) for name, values in found.items()}

    def _first_place(self, windows: Tensor, context: Context, longest: int) -> Place:
        length = min([longest, *(source.shortest - 1 for source in self.sources)])
        scales = self.legs()[context.stage.name].scales
        addresses = tuple(tuple(map(int, window)) for window in windows.tolist())
        return Place(addresses, 0, length, self.settings.shrink * 2 ** (self.settings.scales - scales))

    def card(self) -> Card:
        """Return the card of the generator, with what a sampler must know of the conditions."""
        s = self.settings
        network = {
            "channels_label": self.channels_label + s.instance_features, "frames": s.past_frames + 1,
            "width": s.width, "downs": s.downs, "blocks": s.blocks, "scales": s.scales, "norm": s.norm,
            "with_flow": s.with_flow, "foreground": list(self.foreground()), "sampling": s.sampling,
            "mask_slope": s.mask_slope, "upsampling": s.upsampling,
            "repainted_classes": self.num_labels if s.repaint_relabelled and self._has_labels else 0,
        }  # fmt: skip
        extra = {
            "num_labels": self.num_labels,
            "edges": self.has_edges,
            "features": s.instance_features,
            "legend": [settings.to_json(label) for label in (self.sources[0].legend if self.sources else ())],
            # What the gathering of styles asks for.
            "encoder_shrinks": 1,
            "ignore": [255],
            "fit": "resize",
            "size_px": self._size_px(),
            "first_frame": "needed" if s.given_share == 1 else "optional" if s.given_share else "unused",
            "replaces": [name for name, use in (("flow", s.flow_use), ("mask", s.mask_use)) if use == "replace"],
        }
        return Card(
            network="vid2vid", settings=network, input="clip", range=(-1.0, 1.0), tiling="discouraged",
            multiple_of=2 ** (s.downs + s.scales - 1), channels_in=self.channels_label, recipe="vid2vid",
            purpose="video from label maps", data=s.data, extra=extra,
        )  # fmt: skip

    def cards(self) -> dict[str, Card]:
        """Return the cards of the generator, of the image and clip discriminators, and of the encoder of styles."""
        s = self.settings
        cards = {"generator": self.card(), "discriminator": self._judge_card(self.channels_label + 3)}
        if s.instance_features:
            cards["encoder"] = encoder_card(s.instance_features, s.encoder_width, s.downs)
        channels = 3 * s.clip_frames + (0 if s.flow_from == "none" else 2 * (s.clip_frames - 1))
        cards |= {f"clip_discriminator_{stride}": self._judge_card(channels) for stride in s.clip_strides}
        return {name: replace(card, recipe="vid2vid", data=s.data) for name, card in cards.items()}

    def _judge_card(self, channels_in: int) -> Card:
        s = self.settings
        card = discriminator_card(channels_in, s.discriminator_width, s.discriminator_scales)
        return replace(card, settings={**card.settings, "norm": s.norm})

    def _size_px(self) -> list[int]:
        height, width = self.sources[0].size_px if self.sources else (0, 0)
        return [width // self.settings.shrink, height // self.settings.shrink]
