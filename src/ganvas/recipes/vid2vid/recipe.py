"""Video from label maps that stays the same thing from frame to frame (Wang et al. 2018, arXiv 1808.06601).

A generator predicts the next frame from the label maps of this one and of those before, and from the pictures that it
generated before: it moves the last picture along a flow that it estimates, and paints what the flow cannot tell. One
discriminator sees single frames with their labels, others see several frames at once, some far apart in time.

A batch is a chunk of consecutive frames, a step trains on it, and the next step continues where it ended; gradients
flow back through the frames of a chunk. Sequences get longer from stage to stage, and pictures get larger from scale
to scale: all of that is data in `stages`.

    --data       a folder of sequences: NAME/labels/000000.png, NAME/frames/000000.png, ... (`ganvas world` makes such)
    --flow-from  what teaches flow: exact (folders `flow`), dis (OpenCV), a TorchScript or ONNX file, none

Expect flat but steady pictures after minutes at 128 px; the paper trained for days on eight GPUs.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.data.clips import Clips
from ganvas.data.input_ranges import Asked
from ganvas.data.windows import Windows
from ganvas.errors import UserError
from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Outputs, Recipe, Source, Stage
from ganvas.recipes import features
from ganvas.recipes.vid2vid import images, video
from ganvas.recipes.vid2vid.batch import Batch, batch_of, follows
from ganvas.recipes.vid2vid.cards import Conditions, cards_of, generator_card
from ganvas.recipes.vid2vid.generation import roll
from ganvas.recipes.vid2vid.schedule import Leg, cut_of, given_share_of, legs_of, reach_of, stage_of
from ganvas.recipes.vid2vid.sequences import open_sequences
from ganvas.recipes.vid2vid.settings import PRESETS, Settings, check
from ganvas.recipes.vid2vid.temporal import scores, temporal_losses
from ganvas.values import to_unit

SCORED, SCORED_FRAMES = 4, 16
"""Sequences that a score looks at, and frames of each."""
PREVIEWED_FRAMES = 8


class Vid2VidRecipe(Recipe):
    """Video synthesis frame by frame with flow, mask and hallucination, under discriminators of frames and of clips."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = PRESETS
    SHOWN = ("truth", "generated", "hallucinated", "mask")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self.clips: Clips | None = None
        check(settings)

    # Data

    def source(self, path: str) -> Clips:
        """Return the sequences of a folder."""
        return open_sequences(self.settings, path, self.settings.num_labels, Asked())

    def held_out(self, path: str, train: Source) -> Clips:
        """Return the sequences of a validation folder, with the labels of the training data."""
        known = _clips(train)
        clips = open_sequences(self.settings, path, known.num_labels, known.input_range)
        if clips.channels_label != known.channels_label:
            raise UserError(f"{path} has other labels or instances than {known.folder}")
        return clips

    def prepare(self, train: Source) -> None:
        """Learn the labels of the data, and how long its sequences are."""
        self.clips = _clips(train)

    def samples(self, source: Source, stage: Stage) -> Source:
        """Return windows of the stage's length, each of which lasts for a step a chunk."""
        leg, s = self.legs()[stage.name], self.settings
        return Windows(_clips(source), cut_of(s, leg, leg.length, s.frames_a_step, given_share_of(s, leg.length)))

    def previews(self, source: Source, stage: Stage) -> Source:
        """Return short windows, whole."""
        return self._first_frames(source, stage, PREVIEWED_FRAMES)

    def _first_frames(self, source: Source, stage: Stage, longest: int, given_share: float | None = None) -> Windows:
        s, clips = self.settings, _clips(source)
        length = min(longest, clips.shortest - 1)
        share = given_share_of(s, length) if given_share is None else given_share
        return Windows(clips, cut_of(s, self.legs()[stage.name], length, length, share))

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Bring a chunk of frames to the networks' range, and label maps to planes."""
        conditions = Conditions(self.settings, self.clips)
        return batch_of(raw, conditions.num_labels, conditions.has_edges)

    # What is trained

    def legs(self) -> dict[str, Leg]:
        """Return the stages by name, with what they mean; the data's shortest sequence bounds their length."""
        return legs_of(self.settings, self.clips.shortest - 1 if self.clips else math.inf)

    def stages(self) -> list[Stage]:
        """Return a stage for each scale and length: whole sequences, in chunks."""
        return [stage_of(self.settings, name, leg) for name, leg in self.legs().items()]

    def card(self) -> Card:
        """Return the card of the generator."""
        return generator_card(self.settings, Conditions(self.settings, self.clips))

    def cards(self) -> dict[str, Card]:
        """Return the cards of all networks: one generator, one image discriminator, a video discriminator a stride."""
        return cards_of(self.settings, Conditions(self.settings, self.clips))

    def fixed(self) -> dict[str, nn.Module]:
        """Return the feature network of the perceptual loss, if there is one."""
        s = self.settings
        network = features.load_features(s.perceptual, s.perceptual_layers) if s.perceptual_weight else None
        return {"features": network} if network else {}

    # One step

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Generate the next chunk of frames; carry the last pictures, and where in the windows they stand."""
        leg = self.legs()[context.stage.name]
        history = self._history(batch, carry, context)
        outputs = roll(self.settings, nets, batch, None if history is None else carry["pictures"], leg.scales)
        shown = video.shown({"fake": outputs["fake"].detach()}, history)
        kept = min(shown.shape[1], reach_of(self.settings, leg.length))
        return outputs, {
            "stage": context.stage.name,
            "windows": batch.windows,
            "made": batch.made + batch.num_frames,
            "pictures": outputs.pop("past"),
            "history": shown[:, shown.shape[1] - kept :],
        }

    def _history(self, batch: Batch, carry: Carry, context: Context) -> Tensor | None:
        """Return the generated frames before this chunk; None where its windows begin."""
        return carry["history"] if follows(batch, carry, context.stage.name) else None

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the losses of the image and video discriminators; blended and raw pictures both count as fake."""
        ledger = Ledger({"image": images.discriminator_loss(self.settings, nets, batch, outputs, context.random)})
        ledger.update(video.discriminator_losses(self.settings, nets, self._clips(batch, outputs, carry, context)))
        return ledger

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the losses of pictures (blended and raw), of clips, of flows, of warped pictures and of the mask."""
        s = self.settings
        ledger = Ledger(images.generator_losses(s, nets, batch, outputs, context.random))
        ledger.update(video.generator_losses(s, nets, self._clips(batch, outputs, carry, context)))
        ledger.update(temporal_losses(s, self.legs()[context.stage.name].scales, batch, outputs))
        return ledger

    def _clips(self, batch: Batch, outputs: Outputs, carry: Carry, context: Context) -> list[video.Clip]:
        frames = video.shown(outputs, self._history(batch, carry, context))
        length = self.legs()[context.stage.name].length
        return video.draw_clips(self.settings, batch, length, frames, context.random)

    # Looking at it

    @torch.no_grad()
    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return real, generated and hallucinated frame and the mask after some frames: (B, 3, H, 4 W)."""
        outputs = roll(self.settings, nets, batch, None, self.legs()[context.stage.name].scales)
        frames = [to_unit(part[:, -1].float()) for part in (batch.target, outputs["fake"], outputs["raw"])]
        return torch.cat([*frames, outputs["mask"][:, -1].float().repeat(1, 3, 1, 1)], dim=-1).clamp(0, 1)

    @torch.no_grad()
    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return the likeness to real frames, the warping errors of generated and real ones, and the flow's error."""
        s, found = self.settings, dict[str, list[Tensor]]()
        windows = self._first_frames(source, context.stage, SCORED_FRAMES, given_share=1.0)
        for index in windows.clips.indices[:SCORED]:
            raw = {name: plane[None].to(context.device) for name, plane in windows.chunk((index, 0, 0)).items()}
            batch = self.batch(raw, context)
            # The first frame is given wherever it ever was in training.
            batch = batch._replace(given=batch.given & bool(given_share_of(s, windows.cut.length)))
            outputs = roll(s, nets, batch, None, self.legs()[context.stage.name].scales)
            for name, value in scores(batch, outputs).items():
                found.setdefault(name, []).append(value.float().cpu())
        return {name: float(torch.stack(values).mean()) for name, values in found.items()}


def _clips(source: Source) -> Clips:
    assert isinstance(source, Clips)
    return source
