"""A recipe of one's own: points in the plane, and stacked digits, whose modes can be counted.

It is the relativistic recipe with other networks, another source and another score; everything else (losses, penalties,
schedule of turns) is inherited. Trained like any recipe, the data being the name of a distribution:

    ganvas train scripts/points_recipe.py --preset ring
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ganvas.drawn import points
from ganvas.errors import UserError
from ganvas.losses.adversarial import AdversarialLoss
from ganvas.metrics.coverage import Reader, coverage_of_classes, coverage_of_points, train_reader
from ganvas.networks.blocks import norm_layer
from ganvas.protocol import Card, Context, Networks, Source, Verdict
from ganvas.recipes import relativistic

POINTS_SCORED = 2_500
"""As VEEGAN and PacGAN."""
DIGITS_SCORED = 26_000
"""As VEEGAN and PacGAN, for 1000 modes."""


@dataclass(frozen=True, kw_only=True)
class PointsSettings(relativistic.Settings):
    """Settings of the relativistic recipe; `width` is that of the hidden layers, `batch_size` counts clouds."""

    hidden_layers: int = 3
    """Hidden layers of both networks (points only)."""


class Times(nn.Module):
    """Multiplies by a constant, so that both networks see coordinates of about 1 whatever the distribution."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, points: Tensor) -> Tensor:
        return self.factor * points


class PointCritic(nn.Module):
    """Scores points: (B, 2) -> (B, 1)."""

    def __init__(self, width: int, hidden_layers: int, reach: float, last_bias: bool) -> None:
        super().__init__()
        self.reach = reach
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Linear(width if place else 2, width), nn.LeakyReLU(0.2)) for place in range(hidden_layers)
        )
        self.last = nn.Linear(width, 1, bias=last_bias)
        self.num_layers = hidden_layers + 1

    def forward(self, points: Tensor) -> Verdict:
        features = [points / self.reach]
        for layer in self.hidden:
            features.append(layer(features[-1]))
        score = self.last(features[-1])
        return Verdict(score, (*features[1:], score))


class DigitCritic(nn.Module):
    """Scores stacked digits: (B, 3, 8, 8) -> (B, 1)."""

    def __init__(self, width: int, last_bias: bool) -> None:
        super().__init__()
        shapes = ((3, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2))
        self.hidden = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, out, stride + 2, stride, 1), nn.LeakyReLU(0.2))
            for wide, out, stride in shapes
        )
        self.last = nn.Linear(16 * width, 1, bias=last_bias)
        self.num_layers = len(shapes) + 1

    def forward(self, pictures: Tensor) -> Verdict:
        features = [pictures]
        for layer in self.hidden:
            features.append(layer(features[-1]))
        score = self.last(features[-1].flatten(1))
        return Verdict(score, (*features[1:], score))


def _point_generator(latent: int, width: int, hidden_layers: int, reach: float) -> nn.Module:
    layers: list[nn.Module] = []
    for place in range(hidden_layers):
        layers += [nn.Linear(width if place else latent, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 2), Times(reach))


def _digit_generator(latent: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(latent, 64 * width), nn.Unflatten(1, (4 * width, 4, 4)), norm_layer("batch", 4 * width), nn.ReLU(),
        nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1), norm_layer("batch", 2 * width), nn.ReLU(),
        nn.Conv2d(2 * width, 3, 3, padding=1), nn.Tanh(),
    )  # fmt: skip


RING = PointsSettings(
    data="ring", val="ring", width=128, latent=8, batch_size=2, steps=2500, betas=(0.0, 0.99), schedule="linear",
    generator_rate=1e-3, discriminator_rate=1e-3, discriminator_norm="none", average_half_life=0.0,
    adversarial=AdversarialLoss(base="standard", pairing="plain"), precision="float32", workers=1,
    log_every=100, checkpoint_every=1000, preview_every=1000, score_every=500,
)  # fmt: skip
GRID = replace(RING, data="grid", val="grid")
DIGITS = replace(
    RING, data="stacked_digits", val="stacked_digits", width=16, latent=64, steps=900, betas=(0.5, 0.999),
    generator_rate=5e-4, discriminator_rate=5e-4, checkpoint_every=300, preview_every=450, score_every=900,
)  # fmt: skip


class Points(relativistic.Relativistic):
    """A GAN of points or of stacked digits with any adversarial loss."""

    Settings: ClassVar = PointsSettings
    PRESETS: ClassVar = {"ring": RING, "grid": GRID, "stacked_digits": DIGITS}

    def __init__(self, settings: PointsSettings) -> None:
        known = points.MIXTURES.get(settings.data)
        self.reach = float(known().centres.abs().max()) if known else 1.0
        super().__init__(settings)

    @property
    def is_digits(self) -> bool:
        """Tell whether digits are made and not points."""
        return self.settings.data == "stacked_digits"

    def source(self, path: str) -> Source:
        """Return a distribution by its name."""
        return points.source(path)

    def networks(self) -> dict[str, nn.Module]:
        """Return a new generator and discriminator."""
        s = self.settings
        last_bias = not s.adversarial.is_shift_invariant
        if self.is_digits:
            return {"generator": _digit_generator(s.latent, s.width), "discriminator": DigitCritic(s.width, last_bias)}
        return {
            "generator": _point_generator(s.latent, s.width, s.hidden_layers, self.reach),
            "discriminator": PointCritic(s.width, s.hidden_layers, self.reach, last_bias),
        }

    def batch(self, raw: dict[str, Tensor], context: Context) -> relativistic.Batch:
        """Pour the clouds together and draw as many vectors of noise."""
        real = raw["real"].flatten(0, 1)
        return relativistic.Batch(real, self.noise(len(real), context.random).to(real.device))

    def generate(self, nets: Networks, number: int, seed: int, context: Context) -> Tensor:
        """Return samples as the generator gives them, the same noise for the same seed."""
        latents = self.noise(number, torch.Generator().manual_seed(self.settings.seed * 1000 + seed))
        return torch.cat([nets.generator(part.to(context.device)).float() for part in latents.split(2048)])

    def sample(self, nets: Networks, batch: relativistic.Batch, context: Context) -> Tensor:
        """Return one picture of real (gray) and made points (red), or 64 stacked digits."""
        if self.is_digits:
            digits = self.generate(nets, 64, 1, context) * 0.5 + 0.5
            return digits.clamp(0, 1).repeat_interleave(4, 2).repeat_interleave(4, 3)
        return scatter(batch.real, self.generate(nets, POINTS_SCORED, 1, context))

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:  # noqa: ARG002
        """Return modes covered, minus the KL divergence from even use of them, and the share of good samples."""
        if self.is_digits:
            reader = digit_reader()
            made = self.generate(nets, DIGITS_SCORED, 2, context) * 0.5 + 0.5
            numbers = torch.cat([reader.read_stacked(part.cpu()) for part in made.split(2048)])
            found = coverage_of_classes(numbers, 1000)
            return {"modes": found.modes, "minus_kl": -found.divergence, "reader_accuracy": reader.held_out_accuracy}
        mixture = points.MIXTURES[self.settings.data]()
        made = self.generate(nets, POINTS_SCORED, 2, context).cpu()
        found = coverage_of_points(made, mixture.centres, mixture.sigma)
        return {"modes": found.modes, "minus_kl": -found.divergence, "quality": found.quality}

    def card(self) -> Card:
        """Return the card of the generator."""
        return Card(network="points", input="seeds", range=(-1.0, 1.0), recipe="points", data=self.settings.data)

    def _check(self) -> None:
        s: Any = self.settings
        for name in ("replay_size", "consistency_weight", "patch_grid"):
            if getattr(s, name):
                raise UserError(f"{name} is for pictures", do="Leave it out")
        super()._check()


@functools.cache
def digit_reader() -> Reader:
    """Return the classifier that reads stacked digits, trained once a process."""
    known = points.digits()
    return train_reader(known.pictures, known.labels, known.held_out, known.held_out_labels)


def scatter(real: Tensor, made: Tensor, side_px: int = 320) -> Tensor:
    """Draw points into a square picture: (N, 2), (M, 2) -> (1, 3, S, S)."""
    canvas = torch.ones(3, side_px, side_px)
    reach = 1.3 * float(real.abs().max())
    for cloud, colour in ((real, (0.75, 0.75, 0.75)), (made, (0.85, 0.1, 0.1))):
        place = ((cloud.cpu() / reach * 0.5 + 0.5) * side_px).nan_to_num(-1).long()
        place = place[((place >= 0) & (place < side_px - 1)).all(1)]
        for right in range(2):
            for down in range(2):
                canvas[:, side_px - 1 - place[:, 1] - down, place[:, 0] + right] = torch.tensor(colour)[:, None]
    return canvas[None]
