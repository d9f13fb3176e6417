"""A whole training step of reverse matchmove against the same networks written plainly in eager float32, NCHW.

    python benchmarks/matchmove_step.py [--size 512] [--width 128] [--rounds 2] [--alone]

Both make the discriminator's losses and step, then the generator's with the discriminator as learned perceptual loss,
from the same weights and the same view; the losses of the first step stand beside each other. They take turns, and
processor seconds are counted too, so that a busy machine slows both. `--alone` makes a picture and our step only and
tells their peaks of memory. The networks and weights of losses are those of the preset `512`, whose perceptual loss is
left out because its weights may not be at hand. `matchmove_speed.py` measures the making of pictures at other sizes.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganvas import device as machine
from ganvas.recipes.reverse_matchmove.recipe import IMAGENET_DEVIATION, PAPER, ReverseMatchmove
from ganvas.training import step
from ganvas.training.trainer import Plan, Trainer


class OneView:
    """One view of noise, the same at every step."""

    def __init__(self, size_px: int) -> None:
        random = torch.Generator().manual_seed(0)
        self.view = {
            "picture": torch.rand(3, size_px, size_px, generator=random),
            "camera": torch.randn(13, 1, 1, generator=random), "mask": torch.ones(1, size_px, size_px),
        }  # fmt: skip

    def __len__(self) -> int:
        return 1

    def groups(self) -> list[str]:
        """Return the one view's name."""
        return ["view"]

    def subset(self, indices: Sequence[int]) -> OneView:
        """Return itself."""
        return self

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return the view."""
        return self.view


def add_residue(out: Tensor, x: Tensor) -> Tensor:
    """Add a fifth of the input, resized along channels, height and width, as the original does."""
    return out + 0.2 * F.interpolate(x[None], size=out.shape[1:], mode="trilinear", align_corners=True)[0]


class PlainBlock(nn.Module):
    """A doubling of the generator out of torch's own layers."""

    def __init__(self, conv: nn.Module, channels: int, shuffle: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.shuffle = conv, nn.BatchNorm2d(channels), shuffle

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(F.leaky_relu(self.conv(x), 0.01))
        return add_residue(F.pixel_shuffle(out, 2) if self.shuffle else out, x)


class PlainGenerator(nn.Module):
    """The generator out of torch's own layers."""

    def __init__(self, size_px: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList()
        for channels, out, stride, padding in ((13, 8 * width, 1, 0), (8 * width, 4 * width, 2, 1)):
            conv = nn.ConvTranspose2d(channels, out, 4, stride, padding, bias=False)
            self.blocks.append(PlainBlock(conv, out, False))
        channels, side = 4 * width, 8
        while side < size_px:
            out = width * min(4, size_px // (2 * side))
            self.blocks.append(PlainBlock(nn.Conv2d(channels, 4 * out, 3, padding=1), 4 * out, True))
            channels, side = out, 2 * side
        self.last = nn.Conv2d(channels, 3, 7)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return torch.tanh(self.last(F.pad(x, (3, 3, 3, 3), mode="reflect")))


class PlainDown(nn.Module):
    """A halving of the discriminator out of torch's own layers."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = spectral_norm(nn.Conv2d(channels, out, 3, 2, 1))


class PlainCritic(nn.Module):
    """The discriminator out of torch's own layers: its features, and its scores last."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width]
        self.first = spectral_norm(nn.Conv2d(3, width, 7))
        self.blocks = nn.ModuleList([PlainDown(narrow, wide) for narrow, wide in itertools.pairwise(widths)])
        self.last = spectral_norm(nn.Conv2d(widths[-1], 1, 4, 1, 1))

    def forward(self, picture: Tensor) -> list[Tensor]:
        x = self.first(F.pad(picture, (3, 3, 3, 3), mode="reflect"))
        seen = [x]
        for block in self.blocks:
            active = F.leaky_relu(block.conv(x), 0.01)
            seen.append(active)
            x = add_residue(active, x)
        return [*seen, self.last(x)]


class PlainStep:
    """A training step as one would write it down."""

    def __init__(self, trainer: Trainer, view: dict[str, Tensor]) -> None:
        s = self.settings = trainer.settings
        self.camera, self.real = view["camera"][None], view["picture"][None] * 2 - 1
        self.generator, self.critic = PlainGenerator(s.size_px, s.width), PlainCritic(s.discriminator_width)
        self.generator.load_state_dict(trainer.nets.generator.state_dict())
        self.critic.load_state_dict(trainer.nets.discriminator.state_dict())
        rates = ((self.generator, s.rate), (self.critic, s.discriminator_rate))
        self.adams = [torch.optim.Adam(net.parameters(), rate, (0.5, 0.999)) for net, rate in rates]

    def __call__(self) -> dict[str, float]:
        s = self.settings
        fake = self.generator(self.camera)
        true, false = self.critic(self.real)[-1], self.critic(fake.detach())[-1]
        critic = F.relu(1 - true).mean() + F.relu(1 + false).mean()
        self.update(1, critic)
        self.critic.requires_grad_(False)
        scale = 2 * torch.tensor(IMAGENET_DEVIATION)[:, None, None]
        pixel = s.pixel_weight * (fake / scale - self.real / scale).abs().mean()
        with torch.no_grad():
            wanted = self.critic(self.real)
        found = self.critic(fake)
        distances = [(ours - theirs).abs().mean() for ours, theirs in zip(found[:4], wanted[:4])]
        learned = s.learned_weight * torch.stack(distances).mean()
        gan = -s.gan_weight * found[-1].mean()
        self.update(0, pixel + learned + gan)
        self.critic.requires_grad_(True)
        losses = {"D.gan": critic, "G.pixel": pixel, "G.learned": learned, "G.gan": gan}
        return {name: float(value.detach()) for name, value in losses.items()}

    def update(self, which: int, loss: Tensor) -> None:
        """Take one optimiser step."""
        self.adams[which].zero_grad()
        loss.backward()
        self.adams[which].step()


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that an action takes: of the processor, and by the clock."""
    cpu, wall = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - cpu, time.perf_counter() - wall


def main() -> None:
    """Compare losses of the first step, then seconds a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--precision", default="auto")
    parser.add_argument(
        "--alone", action="store_true", help="only one picture and our step, with their peaks of memory"
    )
    options = parser.parse_args()
    settings = replace(
        PAPER, size_px=options.size, width=options.width, discriminator_width=options.width, batch_size=1,
        perceptual="none", precision=options.precision, sentinel="off", workers=1,
    )  # fmt: skip
    source = OneView(options.size)
    trainer = Trainer(Plan("reverse_matchmove", ReverseMatchmove(settings), source))  # pyright: ignore[reportArgumentType]
    sizes = {name: sum(parameter.numel() for parameter in net.parameters()) for name, net in trainer.nets.items()}
    print(", ".join(f"{name} {size:,} parameters" for name, size in sizes.items()))
    print(f"{options.size} px, batch 1, {trainer.precision}, {torch.get_num_threads()} threads", flush=True)
    with machine.deterministic(trainer.device):
        if options.alone:
            alone(trainer, source, options.rounds)
        else:
            compare(trainer, source, options.rounds)
    trainer.feed.close()


def alone(trainer: Trainer, source: OneView, rounds: int) -> None:
    """Print the time of a picture and of our steps, each with the peak of the process's memory."""
    net = trainer.nets.generator
    net.eval()
    with torch.no_grad(), machine.autocast(trainer.device, trainer.precision):
        seconds = [timed(lambda: net(source.view["camera"][None])) for _ in range(1 + rounds)]
    net.train()
    tell("a picture", seconds)
    tell("a training step", [timed(lambda: step.advance(trainer)) for _ in range(1 + rounds)])


def tell(what: str, seconds: Sequence[tuple[float, float]]) -> None:
    """Print times by the clock, and the most memory that the process has taken so far."""
    later = ", ".join(f"{wall:.1f}" for _, wall in seconds[1:])
    peak = machine.peak_memory() / 2**30
    print(f"{what}: the first {seconds[0][1]:.1f} s, then {later} s; peak of the process {peak:.2f} GiB", flush=True)


def compare(trainer: Trainer, source: OneView, rounds: int) -> None:
    """Print the losses of the first steps, and the time of those that follow in turn."""
    plain = PlainStep(trainer, source.view)
    ours, theirs = step.advance(trainer).values, plain()
    for name, value in theirs.items():
        print(f"{name:<10} ours {ours[name]:.5f}  plain {value:.5f}", flush=True)
    pairs = [(timed(lambda: step.advance(trainer)), timed(plain)) for _ in range(rounds)]
    for clock, label in ((0, "processor"), (1, "clock")):
        mine, his = ([one[which][clock] for one in pairs] for which in (0, 1))
        ratios = [b / a for a, b in zip(mine, his)]
        print(
            f"{label}: ours {statistics.median(mine):.2f} s, plain {statistics.median(his):.2f} s a step; plain / ours "
            f"{statistics.median(ratios):.2f} (rounds: {', '.join(f'{ratio:.2f}' for ratio in ratios)})"
        )


if __name__ == "__main__":
    main()
