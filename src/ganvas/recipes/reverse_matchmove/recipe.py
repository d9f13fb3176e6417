"""Reverse matchmove: from camera matrices to the pictures that they see (NeuralVFX 2018 and its sequel at 512 px).

Matchmoving finds the camera of each frame of footage; here the cameras go in and frames come out, so that a real place
can be looked at along a new path. The network has to learn one place by heart. Its losses, as in the posts:

    generator = 3 L1 + 1.25 VGG19 features + 31.25 discriminator features + 0.001 adversarial.

The third term dominates: the discriminator is used as a *learned perceptual loss*, the distance of its features between
the true and the generated picture, and so learns what the fixed features miss. It has spectral norm in place of batch
norm and the hinge loss. Footage is rolled and zoomed together with its cameras, which multiplies the views.

Expect sharp pictures near the training cameras and smears where none looked; a score says how much better they are than
the nearest training frame.

Ours beyond the posts: rays of the pixels, with Fourier features and a learned table of directions (`rays_px`,
`rays_table`), which learn a place in minutes on a CPU; each is a setting, and the preset `512` is the posts' network.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas.data import camera_trust
from ganvas.data.shots import Views, is_movie, read_footage
from ganvas.drawn.photograph import photograph_views
from ganvas.io.cameras.cameras import Given
from ganvas.losses import regularization
from ganvas.losses.reconstruction import l1, learned_perceptual
from ganvas.metrics.paired import psnr, ssim
from ganvas.networks.features import FeatureNetwork
from ganvas.protocol import Card, Carry, Context, Ledger, Networks, Optimizer, Outputs, Recipe, Source, Stage, Turn
from ganvas.recipes import features
from ganvas.recipes.reverse_matchmove.settings import (
    GOAL_1024,
    GOAL_2048,
    LAPTOP,
    PAPER,
    PREVIEW,
    SHOW,
    Settings,
    check,
)
from ganvas.values import to_range

SCORED = 64
"""Held-out views that a score compares, evenly among them."""
KEPT_CAMERAS = 4000
"""Training cameras that the card holds at most; of more, evenly as many."""
DIGITS = 7
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class Batch(NamedTuple):
    """Cameras (B, 13, 1, 1), what they see in [-1, 1], (B, 3, S, S), and where that is known, (B, 1, S, S)."""

    camera: Tensor
    real: Tensor
    mask: Tensor


class ReverseMatchmove(Recipe):
    """Cameras to pictures, with the discriminator as a learned perceptual loss."""

    Settings: ClassVar = Settings
    PRESETS: ClassVar = {
        "laptop": LAPTOP, "preview": PREVIEW, "show": SHOW, "paper": PAPER, "512": PAPER,
        "1024": GOAL_1024, "2048": GOAL_2048,
    }  # fmt: skip
    SHOWN = ("generated", "truth")

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._training: Views | None = None
        self._held: dict[str, Tensor] = {}
        self._statistics: tuple[list[float] | None, list[float] | None] = (None, None)
        check(settings)

    @property
    def has_discriminator(self) -> bool:
        """Whether there is a discriminator."""
        return bool(self.settings.steps and (self.settings.learned_weight or self.settings.gan_weight))

    def stages(self) -> list[Stage]:
        """Return the coarse, the pixel and the last stage, each if it has steps."""
        s = self.settings
        generator = Turn(side="generator", trains=("generator",))
        turns = (
            (Turn(side="discriminator", trains=("discriminator",)), generator)
            if self.has_discriminator
            else (generator,)
        )
        milestones = tuple(0.2 + 0.8 * place / s.halvings for place in range(s.halvings))
        rates = {"generator": s.rate, "discriminator": s.discriminator_rate}
        decays = {"generator": 0.0, "discriminator": s.discriminator_decay}
        betas = {"generator": (s.momentum, 0.999), "discriminator": (0.5, 0.999)}
        adams = {
            name: Optimizer(
                rate=rates[name],
                betas=betas[name],
                weight_decay=decays[name],
                schedule="step",
                milestones=milestones,
                warmup_steps=s.warmup_steps,
            )
            for name in rates
            if name == "generator" or self.has_discriminator
        }
        # The rate is whole until the last stage begins, which starts from there.
        still = {"generator": Optimizer(rate=s.rate, betas=betas["generator"], warmup_steps=s.warmup_steps)}
        first = adams if self.has_discriminator else still
        stages = [
            Stage(name="coarse", steps=s.coarse_steps, turns=turns, optimizers=first, resolution=s.coarse_px),
            Stage(name="pixel", steps=s.pixel_steps, turns=(generator,), optimizers=still, resolution=s.size_px),
            Stage(name="all", steps=s.steps, turns=turns, optimizers=adams, resolution=s.size_px),
        ]
        return [stage for stage in stages if stage.steps]

    def fixed(self) -> dict[str, nn.Module]:
        """Return the feature network of the perceptual loss, if there is one."""
        s = self.settings
        found = features.load_features(s.perceptual, s.perceptual_layers) if s.perceptual_weight else None
        for network in found.modules() if found else ():
            if isinstance(network, FeatureNetwork):
                # Pooled features leave blocks in the pictures that look like JPEG's.
                network.pools = "none"
        return {"features": found} if found else {}

    def source(self, path: str) -> Views:
        """Return the views of a folder of footage with a camera file, or of a virtual camera over a photograph."""
        return self._opened(path, self.settings.cameras)

    def held_out(self, path: str, train: Source) -> Views:
        """Return the views of a validation folder, which has a camera file of its own."""
        return self._opened(path, "")

    def prepare(self, train: Source) -> None:
        """Learn the training cameras, and by which mean and deviation the networks normalise all of the footage's."""
        assert isinstance(train, Views)
        self._training, self._statistics = train, train.whole.statistics()

    def _opened(self, path: str, cameras: str) -> Views:
        s = self.settings
        notes: tuple[str, ...] = ()
        if Path(path).is_file() and not is_movie(path):
            views = photograph_views(path, s.photograph_views, s.size_px, s.seed)
        else:
            given = Given(
                film_back_mm=s.film_back_mm, rotation_order=s.rotation_order, metres_per_unit=s.metres_per_unit,
                up=s.up, focal_mm=s.focal_mm, camera=s.camera_name, first_frame=s.first_frame, exposure=s.exposure,
                stmap=Path(s.stmap) if s.stmap else None, lens_profile=s.lens_profile,
            )  # fmt: skip
            footage = read_footage(path, cameras, given)
            views, notes = list(footage.views), footage.notes
        return Views(views, s.size_px, s.roll_degrees, s.zoom, s.crop, s.run, notes)

    def notices(self) -> list[str]:
        """Return what was assumed about the cameras, and what does not fit together."""
        return list(self._training.notes) if self._training else []

    def batch(self, raw: dict[str, Tensor], context: Context) -> Batch:
        """Bring pictures to [-1, 1] and to the stage's resolution."""
        real, mask = to_range(raw["picture"].float()), raw["mask"].float()
        factor = self.settings.size_px // (context.stage.resolution or self.settings.size_px)
        if factor > 1:
            real, mask = F.avg_pool2d(real, factor), (F.avg_pool2d(mask, factor) > 0.999).float()
        return Batch(raw["camera"].float(), real, mask)

    def forward(self, nets: Networks, batch: Batch, carry: Carry, context: Context) -> tuple[Outputs, Carry]:
        """Generate what the cameras see; where that is unknown, the real picture's repeated border stands in."""
        fake = self._generated(nets, batch, context)
        return {"fake": batch.mask * fake.to(batch.real.dtype) + (1 - batch.mask) * batch.real}, carry

    def _generated(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        if context.stage.name == "coarse":
            return nets.generator(batch.camera, coarse=True)
        return nets.generator(batch.camera)

    def _verdict(self, nets: Networks, pictures: Tensor, batch: Batch) -> Any:
        return nets.discriminator(pictures, batch.camera) if self.settings.conditional else nets.discriminator(pictures)

    def discriminator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return the adversarial loss of real against generated pictures."""
        s = self.settings
        if s.weight_clip:
            regularization.clip_weights(nets.discriminator.parameters(), s.weight_clip)
        real, fake = self._verdict(nets, batch.real, batch), self._verdict(nets, outputs["fake"], batch)
        return Ledger({"gan": s.adversarial.discriminator(real, fake)})

    def generator_losses(
        self, nets: Networks, batch: Batch, outputs: Outputs, carry: Carry, context: Context
    ) -> Ledger:
        """Return L1, the fixed and the learned perceptual distance, and the adversarial loss."""
        s, fake, real = self.settings, outputs["fake"], batch.real
        ledger = Ledger()
        if s.pixel_weight:
            # Half the difference, over the deviation of the channel: both pictures in [0, 1], normalised.
            scale = fake.new_tensor(IMAGENET_DEVIATION)[:, None, None] * 2
            ledger["pixel"] = s.pixel_weight * l1(fake / scale, real / scale)
        if "features" in nets:
            layers = dict.fromkeys(s.perceptual_layers, 1 / len(s.perceptual_layers))
            pictures = (fake * 0.5 + 0.5, real * 0.5 + 0.5)
            ledger["perceptual"] = s.perceptual_weight * features.distance(nets.features, *pictures, layers)
        if "discriminator" in nets and context.stage.name != "pixel":
            ledger.update(self._learned_losses(nets, batch, fake))
        return ledger

    def _learned_losses(self, nets: Networks, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        s = self.settings
        if s.weight_clip:
            regularization.clip_weights(nets.discriminator.parameters(), s.weight_clip)
        with torch.no_grad():
            real_verdict = self._verdict(nets, batch.real, batch)
        fake_verdict = self._verdict(nets, fake, batch)
        losses: dict[str, Tensor] = {}
        if s.learned_weight:
            losses["learned"] = s.learned_weight * learned_perceptual(fake_verdict, real_verdict, s.learned_layers)
        if s.gan_weight:
            losses["gan"] = s.gan_weight * s.adversarial.generator(real_verdict, fake_verdict)
        return losses

    def sample(self, nets: Networks, batch: Batch, context: Context) -> Tensor:
        """Return generated and true views side by side: (B, 3, S, 2 S)."""
        fake = self._generated(nets, batch, context).float()
        return (torch.cat([fake, batch.real.float()], dim=-1) * 0.5 + 0.5).clamp(0, 1)

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return PSNR in dB, its gain over the nearest training frame, SSIM, and the PSNR by distance."""
        training = self._training
        assert isinstance(source, Views) and training is not None
        chosen = np.unique(np.linspace(0, len(source) - 1, min(SCORED, len(source))).round().astype(int))
        held = source.subset(chosen.tolist())
        mean, deviation = training.whole.statistics()
        known, asked = training.vectors(), held.vectors()
        ours, base, likeness = [], [], []
        for place in range(len(held)):
            view = held.plain(place)
            fake = nets.generator(view["camera"][None].to(context.device)).float().cpu() * 0.5 + 0.5
            truth = view["picture"][None]
            nearest = int(np.argmin(np.linalg.norm((known - asked[place]) / deviation, axis=1)))
            ours.append(float(psnr(fake.clamp(0, 1), truth)))
            base.append(float(psnr(training.plain(nearest)["picture"][None], truth)))
            likeness.append(float(ssim(fake.clamp(0, 1), truth)) if min(truth.shape[-2:]) >= 11 else 0.0)
        self._held = {
            "cameras": torch.from_numpy(asked), "psnr": torch.tensor(ours, dtype=torch.float64),
            "runs": torch.from_numpy(np.unique(held.groups(), return_inverse=True)[1]),
        }  # fmt: skip
        far = camera_trust.distances(asked, known, mean, deviation, training.roll_degrees, self._reach())
        scores = {"psnr": float(np.mean(ours)), "gain_over_nearest": float(np.mean(ours) - np.mean(base))}
        return scores | {"ssim": float(np.mean(likeness))} | camera_trust.calibrate(far, np.array(ours))

    def attachments(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Return the held-out cameras with their PSNR, with which flights are compared."""
        return {camera_trust.HELD: self._held} if self._held else {}

    def _reach(self) -> float:
        return self.settings.zoom[1] / self.settings.zoom[0]

    def card(self) -> Card:
        """Return the card of the generator, which holds the training cameras and their statistics."""
        s = self.settings
        mean, deviation = self._statistics
        film = list(self._training.film_back_mm) if self._training else [24.0, 24.0]
        return Card(
            network="camera_generator",
            settings={
                "size_px": s.size_px, "width": s.width, "mean": mean, "deviation": deviation, "film_back_mm": film,
                "fourier": s.fourier, "rays_px": s.rays_px, "rays_fourier": s.rays_fourier,
                "rays_layers": s.rays_layers, "rays_width": s.rays_width, "rays_table": s.rays_table,
                "rays_planes": s.rays_planes, "centre": self._training.centre() if self._training else None,
                "norm": s.generator_norm, "attention_px": s.attention_px, "coarse_px": s.coarse_px,
                "spectral": s.generator_spectral, "drop": s.dropout, "upsampling": s.upsampling,
            },
            input="camera", range=(-1.0, 1.0), channels_in=13, tiling="internal", recipe="reverse_matchmove",
            purpose=f"views of {s.size_px} px from cameras", data=s.data,
            extra=self._told(self._training) if self._training else {},
        )  # fmt: skip

    def _told(self, training: Views) -> dict[str, Any]:
        """Return what generation needs to know of the training cameras.

        The cameras stand in the card, not in a file beside the run: they are small (13 numbers each), and trust and
        smooth paths through them must outlive the run in a packed weight file.
        """
        s = self.settings
        step = -(-len(training) // KEPT_CAMERAS)
        known = training.vectors()[::step].tolist()
        size = training.views[0].camera.size_px if s.crop == "whole" else (s.size_px, s.size_px)
        width, height = max(size[0] / size[1], 1) * s.size_px, max(size[1] / size[0], 1) * s.size_px
        return {
            "cameras": [[float(f"{value:.{DIGITS}g}") for value in told] for told in known],
            "frames": [view.camera.frame for view in training.views[::step]],
            "film_back_mm": list(training.film_back_mm),
            "centre": [place / s.size_px for place in training.squares[0].centre_px],
            "crop": s.crop, "output_px": [round(width / 2) * 2, round(height / 2) * 2],
            "roll_degrees": s.roll_degrees, "zoom": list(s.zoom), "exposure": s.exposure,
            "whole_film_back_mm": list(training.views[0].camera.film_back_mm), "plate": training.plate(),
            "told": {
                "film_back_mm": s.film_back_mm, "up": s.up, "rotation_order": s.rotation_order, "data": s.data,
                "metres_per_unit": s.metres_per_unit, "focal_mm": s.focal_mm, "camera_name": s.camera_name,
                "first_frame": s.first_frame, "exposure": s.exposure, "stmap": s.stmap, "cameras": s.cameras,
                "lens_profile": s.lens_profile,
            },
        }  # fmt: skip

    def cards(self) -> Mapping[str, Card]:
        """Return the cards of the generator and, if a loss needs it, of the discriminator."""
        if not self.has_discriminator:
            return {"generator": self.card()}
        s = self.settings
        mean, deviation = self._statistics
        settings = {
            "width": s.discriminator_width, "norm": s.discriminator_norm, "conditional": s.conditional,
            "mean": mean if s.conditional else None, "deviation": deviation if s.conditional else None,
            # A relativistic loss gives the last bias no gradient; Adam would turn rounding noise into drift.
            "last_bias": not s.adversarial.is_shift_invariant,
        }  # fmt: skip
        card = Card(
            network="camera_discriminator", settings=settings, input="other", range=(-1.0, 1.0), channels_out=1,
            tiling="discouraged", recipe="reverse_matchmove", purpose="tells views from generated ones", data=s.data,
        )  # fmt: skip
        return {"generator": self.card(), "discriminator": card}
