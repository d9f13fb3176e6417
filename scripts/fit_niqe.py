"""Fit the bundled NIQE model on the photographs of scripts/photographs.py, and print what it says of their damages.

    python scripts/fit_niqe.py [FOLDER]        (default: .photos/train; about a minute on one core)

The right quarter of each photograph is held out of the model; on it the printed means are taken.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ganvas.data.degrade import resize_bicubic
from ganvas.evaluation.sets import read_picture
from ganvas.io.pictures import images
from ganvas.io.weights import files as weights
from ganvas.metrics.niqe import PRISTINE, Niqe, niqe
from ganvas.protocol import Card

HELD_OUT = 0.25


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(".photos/train"))
    folder = parser.parse_args().folder
    photographs = [read_picture(path) for path in images.find_pictures([folder])[0]]
    edges = [round(picture.shape[-1] * (1 - HELD_OUT)) for picture in photographs]
    model = Niqe.fit(picture[..., :edge] for picture, edge in zip(photographs, edges))
    card = Card(
        network="niqe",
        input="other",
        purpose="NIQE's Gaussian of pristine photographs",
        licence="CC-BY-SA-4.0",
        data=f"{len(photographs)} photographs of scripts/photographs.py, without the right quarter of each",
        data_licence="CC-BY-SA-4.0, CC-BY-SA-3.0, CC-BY-4.0 and CC0-1.0, by photograph",
        origin="scripts/fit_niqe.py",
    )
    weights.save(PRISTINE, {"mean": model.mean, "covariance": model.covariance}, card, overwrite=True)
    held_out = [picture[..., edge:] for picture, edge in zip(photographs, edges)]
    held_out = [picture for picture in held_out if min(picture.shape[-2:]) >= 192]
    print(f"{len(held_out)} held-out parts, model {model.digest}")
    for name, damage in DAMAGES.items():
        scores = [float(niqe(damage(picture), model)) for picture in held_out]
        print(f"{name:24s}{sum(scores) / len(scores):8.3f}")


def _noisy(picture: Tensor) -> Tensor:
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    return (picture + 0.1 * noise).clamp(0, 1)


def _small_and_back(picture: Tensor) -> Tensor:
    height, width = picture.shape[-2:]
    return resize_bicubic(resize_bicubic(picture, 0.25), size=(height, width)).clamp(0, 1)


DAMAGES: dict[str, Callable[[Tensor], Tensor]] = {
    "as they are": lambda picture: picture,
    "noise of 0.1": _noisy,
    "bicubic x1/4 and back": _small_and_back,
}

if __name__ == "__main__":
    main()
