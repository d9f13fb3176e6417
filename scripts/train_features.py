"""Train the small feature network that `perceptual = "small"` means, on the photographs of scripts/photographs.py.

    python scripts/train_features.py [FOLDER]        (default: .photos/train; about 4 minutes on one core)

It answers two questions about a crop of 64 x 64 px: of which photograph is it, and what was done to it? The first needs
texture and colour, the second sharpness and the traces of blur, noise and compression: what a perceptual loss should
feel. It is no VGG and has seen no ImageNet. The right quarter of each photograph is held out; the share of right
answers there stands in the file's card. Afterwards it prints for each layer how much farther a photograph is from its
bicubic copy than from itself moved by one pixel: a layer that feels texture, and not place, has a ratio above 1.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data import degrade
from ganvas.errors import UserError
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.networks.features import SmallFeatures
from ganvas.protocol import Card

OUT = Path(__file__).parents[1] / "src/ganvas/weights/small-features.safetensors"
WIDTH, STAGES, CROP_PX, BATCH, STEPS, RATE = 16, 4, 64, 48, 560, 2e-3
HELD_OUT = 0.25
"""Share of each photograph's width, at its right, that is never trained on."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".photos/train"))
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    photographs = open_photographs(options.folder)
    network = SmallFeatures(width=WIDTH, stages=STAGES, classes=len(photographs) + len(CHANGES))
    train(network, photographs, options.steps, options.seed)
    scores = accuracies(network, photographs)
    print("Right answers on what was held out:", ", ".join(f"{name} {value:.1%}" for name, value in scores.items()))
    for layer, ratio in sensitivities(network, photographs).items():
        print(f"  {layer}: bicubic is {ratio:.1f} times as far from the truth as the truth moved by one pixel")
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    weights.save(options.out, state, card_of(photographs, scores), overwrite=True)
    print(f"{options.out}: {options.out.stat().st_size / 2**20:.2f} MB")


def open_photographs(folder: Path) -> dict[str, Tensor]:
    """Return all photographs of a folder by name, (3, H, W) of uint8."""
    paths, _ = images.find_pictures([folder])
    if not paths:
        raise UserError(f"{folder} holds no photographs", do="Run scripts/photographs.py first")
    return {path.stem: torch.from_numpy(images.read(path)[0]).permute(2, 0, 1)[:3] for path in paths}


# The two questions


def blurred(crops: Tensor, random: torch.Generator) -> Tensor:
    sigma = _uniform(0.8, 2.5, random)
    return degrade.blur(crops, degrade.bell_kernel(15, (sigma, sigma)))


def noisy(crops: Tensor, random: torch.Generator) -> Tensor:
    return degrade.add_gaussian_noise(crops, _uniform(4, 20, random), _uniform(0, 1, random) < 0.5, random)


def compressed(crops: Tensor, random: torch.Generator) -> Tensor:
    return degrade.jpeg(crops, 15 + 45 * torch.rand(len(crops), generator=random))


def reduced(crops: Tensor, random: torch.Generator) -> Tensor:
    small = degrade.resize_bicubic(crops, 1 / _uniform(1.5, 4, random))
    return degrade.resize_bicubic(small, size=(CROP_PX, CROP_PX))


def oversharpened(crops: Tensor, random: torch.Generator) -> Tensor:
    soft = degrade.blur(crops, degrade.bell_kernel(9, (1.0, 1.0)))
    return crops + _uniform(1, 3, random) * (crops - soft)


CHANGES: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "untouched": lambda crops, _: crops,
    "blurred": blurred,
    "noisy": noisy,
    "compressed": compressed,
    "reduced": reduced,
    "oversharpened": oversharpened,
}


def _uniform(lowest: float, highest: float, random: torch.Generator) -> float:
    return lowest + (highest - lowest) * float(torch.rand((), generator=random))


@dataclass(frozen=True)
class Questions:
    """Crops (B, 3, 64, 64) in [0, 1] with the right answers: numbers of photographs and of changes."""

    crops: Tensor
    photographs: Tensor
    changes: Tensor

    @property
    def answers(self) -> dict[str, Tensor]:
        return {"photograph": self.photographs, "change": self.changes}


def ask(photographs: dict[str, Tensor], number: int, random: torch.Generator, held_out: bool = False) -> Questions:
    """Draw crops from the trained or the held-out part of the photographs, and change them."""
    pictures = list(photographs.values())
    which = torch.randint(len(pictures), (number,), generator=random)
    crops = torch.stack([cut(pictures[index], random, held_out) for index in which.tolist()]).float() / 255
    changes = torch.randint(len(CHANGES), (number,), generator=random)
    for index, change in enumerate(CHANGES.values()):
        chosen = changes == index
        if chosen.any():
            crops[chosen] = change(crops[chosen], random).clamp(0, 1)
    return Questions(crops.contiguous(memory_format=torch.channels_last), which, changes)


def cut(picture: Tensor, random: torch.Generator, held_out: bool) -> Tensor:
    """Cut a crop, mirrored and turned at random, out of one side of the border between what is trained and held out."""
    height, width = picture.shape[-2:]
    border = math.floor(width * (1 - HELD_OUT))
    first, last = (border, width - CROP_PX) if held_out else (0, border - CROP_PX)
    left = int(torch.randint(first, last + 1, (), generator=random))
    top = int(torch.randint(height - CROP_PX + 1, (), generator=random))
    crop = picture[:, top : top + CROP_PX, left : left + CROP_PX]
    turn = int(torch.randint(8, (), generator=random))
    return torch.rot90(crop.flip(-1) if turn >= 4 else crop, turn % 4, (-2, -1))


# Training and looking


def train(network: SmallFeatures, photographs: dict[str, Tensor], steps: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    network.to("cpu", memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    adam = torch.optim.Adam(network.parameters(), fused=True)
    start = time.perf_counter()
    for step in range(steps):
        rate = RATE * min(1, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
        adam.param_groups[0]["lr"] = rate
        questions = ask(photographs, BATCH, random)
        loss = loss_of(network, questions)
        adam.zero_grad()
        loss.backward()
        adam.step()
        if step % 50 == 0 or step == steps - 1:
            print(f"step {step}/{steps}  {time.perf_counter() - start:.0f} s  loss {loss.item():.3f}", flush=True)


def loss_of(network: SmallFeatures, questions: Questions) -> Tensor:
    terms = [F.cross_entropy(*pair) for pair in answered(network, questions)]
    return torch.stack(terms).sum()


def answered(network: SmallFeatures, questions: Questions) -> list[tuple[Tensor, Tensor]]:
    """Return scores and right answers of both questions; a row holds the photographs' scores, then the changes'."""
    scores = network.logits(questions.crops)
    return list(zip(scores.split([scores.shape[1] - len(CHANGES), len(CHANGES)], dim=1), questions.answers.values()))


@torch.no_grad()
def accuracies(network: SmallFeatures, photographs: dict[str, Tensor], number: int = 960) -> dict[str, float]:
    """Return the share of right answers on held-out parts, in [0, 1]."""
    random = torch.Generator().manual_seed(1)
    right = {"photograph": 0, "change": 0}
    for _ in range(number // 96):
        questions = ask(photographs, 96, random, held_out=True)
        for name, (scores, truth) in zip(right, answered(network, questions)):
            right[name] += int((scores.argmax(1) == truth).sum())
    return {name: count / (number // 96 * 96) for name, count in right.items()}


@torch.no_grad()
def sensitivities(network: SmallFeatures, photographs: dict[str, Tensor]) -> dict[str, float]:
    """Return for each layer d(bicubic, truth) / d(truth moved by a pixel, truth) on held-out parts."""
    random = torch.Generator().manual_seed(2)
    pictures = list(photographs.values())
    truth = torch.stack([cut(pictures[index % len(pictures)], random, True) for index in range(56)]).float() / 255
    bicubic = degrade.resize_bicubic(degrade.bicubic(truth, 4), size=(CROP_PX, CROP_PX)).clamp(0, 1)
    # Away from the border, which has nothing to do with the question.
    inner = [F.pad(picture, (-4,) * 4) for picture in (truth, bicubic, truth.roll(1, dims=-1))]
    of_truth, of_bicubic, of_moved = (network(picture) for picture in inner)
    return {
        layer: _distance(of_bicubic[layer], here) / _distance(of_moved[layer], here) for layer, here in of_truth.items()
    }


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().mean())


def card_of(photographs: dict[str, Tensor], scores: dict[str, float]) -> Card:
    return Card(
        network="small_features",
        settings={"width": WIDTH, "stages": STAGES, "classes": len(photographs) + len(CHANGES)},
        input="other",
        purpose="features for perceptual losses and distances; no upscaler, no VGG",
        licence="CC-BY-SA-4.0",
        data=f"{len(photographs)} photographs of scripts/photographs.py, without the right quarter of each",
        data_licence="CC-BY-SA-4.0, CC-BY-SA-3.0, CC-BY-4.0 and CC0-1.0, by photograph",
        origin="scripts/train_features.py",
        scores={f"{name}_accuracy": round(value, 4) for name, value in scores.items()},
    )


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
