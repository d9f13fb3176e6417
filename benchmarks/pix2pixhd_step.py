"""A whole training step of pix2pixHD against the same networks written plainly in eager float32, NCHW.

    python benchmarks/pix2pixhd_step.py [--width 32] [--size 512x256] [--rounds 5] [--profile]

Both make one generator forward, the discriminator's losses and step, the generator's losses and step, from the same
weights and the same scene. They take turns, so that a busy machine slows both; what counts is the ratio. The losses of
the first step stand beside it. No perceptual loss: its weights may not be at hand. `--profile` adds our costliest
operations.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas import device as machine
from ganvas.recipes.pix2pixhd.recipe import PAPER, Pix2PixHD
from ganvas.training import step
from ganvas.training.trainer import Plan, Trainer

NUM_LABELS = 35


class Scene:
    """One scene of blocks, the same at every step."""

    def __init__(self, width: int, height: int) -> None:
        random = torch.Generator().manual_seed(0)
        blocks = torch.randint(0, NUM_LABELS, (1, 1, height // 32, width // 32), generator=random)
        labels = blocks.repeat_interleave(32, 2).repeat_interleave(32, 3)[0]
        picture = torch.rand(3, height, width, generator=random)
        self.scene = {"label_map": labels, "instance_map": labels, "picture": picture}

    def __len__(self) -> int:
        return 1

    def groups(self) -> list[str]:
        """Return the one scene's name."""
        return ["scene"]

    def subset(self, indices: Sequence[int]) -> Scene:
        """Return itself."""
        return self

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return the scene."""
        return self.scene


def block(width: int) -> nn.Module:
    """Return a residual block as the paper draws it."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv_block = nn.Sequential(
                nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width), nn.ReLU(True),
                nn.ReflectionPad2d(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width),
            )  # fmt: skip

        def forward(self, x: Tensor) -> Tensor:
            return x + self.conv_block(x)

    return Block()


def plain_generator(channels: int, width: int, downs: int, blocks: int) -> nn.Sequential:
    """Return the global generator out of torch's own layers."""
    layers = [nn.ReflectionPad2d(3), nn.Conv2d(channels, width, 7), nn.InstanceNorm2d(width), nn.ReLU(True)]
    for level in range(downs):
        wide = width * 2**level
        layers += [nn.Conv2d(wide, 2 * wide, 3, 2, 1), nn.InstanceNorm2d(2 * wide), nn.ReLU(True)]
    layers += [block(width * 2**downs) for _ in range(blocks)]
    for level in range(downs, 0, -1):
        wide = width * 2**level
        layers += [nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, 1), nn.InstanceNorm2d(wide // 2), nn.ReLU(True)]
    return nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh())


class PlainCritic(nn.Module):
    """The discriminator out of torch's own layers: features of each scale, the finest first."""

    def __init__(self, channels: int, width: int, scales: int) -> None:
        super().__init__()
        self.scales = scales
        widths = [channels, width, 2 * width, 4 * width, 8 * width, 1]
        for scale in range(scales):
            for place in range(5):
                conv = nn.Conv2d(widths[place], widths[place + 1], 4, 2 if place < 3 else 1, 2)
                norm = [nn.InstanceNorm2d(widths[place + 1])] if 0 < place < 4 else []
                slope = [nn.LeakyReLU(0.2)] if place < 4 else []
                self.add_module(f"scale{scale}_layer{place}", nn.Sequential(conv, *norm, *slope))

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        seen = []
        for scale in reversed(range(self.scales)):
            features = [x]
            for place in range(5):
                features.append(self.get_submodule(f"scale{scale}_layer{place}")(features[-1]))
            seen.append(features[1:])
            x = F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
        return seen


class PlainStep:
    """A training step as one would write it down."""

    def __init__(self, trainer: Trainer, scene: dict[str, Tensor], width: int) -> None:
        s = trainer.settings
        self.scene = scene
        self.generator = plain_generator(NUM_LABELS + 1, width, s.downs, s.blocks)
        self.generator.load_state_dict(
            {key.removeprefix("model."): value for key, value in trainer.nets.generator.state_dict().items()}
        )
        self.critic = PlainCritic(NUM_LABELS + 4, s.discriminator_width, s.discriminator_scales)
        self.critic.load_state_dict(trainer.nets.discriminator.state_dict())
        self.adams = [torch.optim.Adam(net.parameters(), s.rate, s.betas) for net in (self.generator, self.critic)]

    def __call__(self) -> dict[str, float]:
        labels, real = self.scene["label_map"][None], self.scene["picture"][None] * 2 - 1
        condition = torch.zeros(1, NUM_LABELS, *labels.shape[2:]).scatter_(1, labels, 1.0)
        edge = torch.zeros_like(labels, dtype=torch.bool)
        for axis in (2, 3):
            length = labels.shape[axis] - 1
            differs = labels.narrow(axis, 0, length) != labels.narrow(axis, 1, length)
            edge.narrow(axis, 0, length).logical_or_(differs)
            edge.narrow(axis, 1, length).logical_or_(differs)
        condition = torch.cat([condition, edge.float()], 1)
        fake = self.generator(condition)
        true = self.critic(torch.cat([condition, real], 1))
        false = self.critic(torch.cat([condition, fake.detach()], 1))
        critic = sum(0.5 * ((t[-1] - 1).square().mean() + f[-1].square().mean()) for t, f in zip(true, false))
        self.update(1, critic)
        for parameter in self.critic.parameters():
            parameter.requires_grad_(False)
        with torch.no_grad():
            true = self.critic(torch.cat([condition, real], 1))
        false = self.critic(torch.cat([condition, fake], 1))
        gan = sum((f[-1] - 1).square().mean() for f in false)
        pairs = [(t, f) for ts, fs in zip(true, false) for t, f in zip(ts[:-1], fs[:-1])]
        matching = 10 / len(true) * sum((t - f).abs().mean() for t, f in pairs)
        self.update(0, gan + matching)
        for parameter in self.critic.parameters():
            parameter.requires_grad_(True)
        losses = {"D.gan": critic, "G.gan": gan, "G.features": matching}
        return {name: float(torch.as_tensor(value).detach()) for name, value in losses.items()}

    def update(self, which: int, loss: Tensor | float) -> None:
        """Take one optimiser step."""
        assert isinstance(loss, Tensor)
        self.adams[which].zero_grad()
        loss.backward()
        self.adams[which].step()


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def main() -> None:
    """Compare losses of the first step, then seconds a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=32, help="ngf")
    parser.add_argument("--size", default="512x256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    settings = replace(
        PAPER, width_px=width, height_px=height, enhancers=0, global_width=options.width, num_labels=NUM_LABELS,
        discriminator_scales=2, perceptual="none", precision=options.precision, threads=options.threads,
        sentinel="off", workers=1,
    )  # fmt: skip
    source = Scene(width, height)
    trainer = Trainer(Plan("pix2pixhd", Pix2PixHD(settings), source))  # pyright: ignore[reportArgumentType]
    plain = PlainStep(trainer, source.scene, options.width)
    print(f"ngf {options.width}, {width} x {height}, {trainer.precision}, {torch.get_num_threads()} threads")
    with machine.deterministic(trainer.device):
        ours = step.advance(trainer).values
        theirs = plain()
        for name, value in theirs.items():
            print(f"{name:<12} ours {ours[name]:.5f}  plain {value:.5f}  {100 * (ours[name] / value - 1):+.2f} %")
        pairs = [(timed(lambda: step.advance(trainer)), timed(plain)) for _ in range(options.rounds)]
        if options.profile:
            with torch.profiler.profile() as profile:
                step.advance(trainer)
            print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=12, max_name_column_width=40))
    trainer.feed.close()
    seconds = [statistics.median(column) for column in zip(*pairs)]
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"ours {seconds[0]:.2f} s, plain {seconds[1]:.2f} s a step; plain / ours {ratio:.2f} (median of rounds)")
    print("rounds: " + ", ".join(f"{b / a:.2f}" for a, b in pairs))


if __name__ == "__main__":
    main()
