"""The verb `neighbours`."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Console, print_json
from ganvas.errors import UserError


def neighbours(
    model: Positional[str],
    printing: Printing,
    out: Path,
    data: str = "",
    held_out: str = "",
    seeds: str = "0-15",
    classes: str = "",
    num: int = 256,
    truncation: float | None = None,
    truncation_kind: Literal["value", "norm", "scaled", "clamp", "variance"] = "value",
    device: str = "auto",
    overwrite: bool = False,
) -> int:
    """Show samples beside the training pictures nearest to them, and tell whether they are nearer than new pictures.

    Args:
        model: run or weight file.
        out: picture to write: in each row a sample, its three nearest by pixels, its three nearest by features.
        data: the pictures it was trained on; default what its card says.
        held_out: pictures it was not trained on; default a tenth of the data, set apart.
        seeds: of the samples that are shown.
        classes: of the samples, by name or number; every seed is drawn for each. By default classes take turns.
        num: samples for the statistic.
        truncation: threshold on the noise.
        truncation_kind: what the threshold is of.
        device: auto, cpu, cuda or cuda:1.
        overwrite: replace an existing file.
    """
    from ganvas.evaluation.neighbours import find_neighbours
    from ganvas.inference.seeds.latents import parse_numbers
    from ganvas.inference.seeds.sampler import SeedSampler, Truncation
    from ganvas.io.pictures import images

    chosen = parse_numbers(seeds)
    if out.exists() and not overwrite:
        raise UserError(f"{out} exists already", do="Choose another name, or add --overwrite")
    sampler = SeedSampler(model, device)
    folder = data or sampler.card.data
    if not Path(folder).exists():
        raise UserError(f"The training data {folder!r} is not here", do="Name it by --data")
    limits = Truncation(truncation, truncation_kind)
    pairs = list(itertools.product(sampler.classes(classes), chosen)) if classes else []
    asked, labels = ([seed for _, seed in pairs], [label for label, _ in pairs]) if pairs else (chosen, None)
    with Console(printing) as console:
        found = find_neighbours(sampler, folder, asked, labels, limits, held_out, num, console.progress)
    out.parent.mkdir(parents=True, exist_ok=True)
    images.write(out, found.sheet(), overwrite=overwrite)
    facts = {
        space: {
            "median_of_samples": float(near.samples.median()),
            "median_of_held_out": float(near.held_out.median()),
            "ratio": near.ratio,
            "nearer_than_95_percent_of_held_out": near.suspicious,
        }
        for space, near in found.nearness.items()
    }
    if printing.json:
        print_json({"training": found.num_training, "held_out": found.num_held_out, **facts})
        return DONE
    if printing.quiet:
        return DONE
    print(f"{len(next(iter(found.nearness.values())).samples)} samples, {found.num_training} training pictures, "
          f"{found.num_held_out} held out")  # fmt: skip
    for space, near in found.nearness.items():
        print(
            f"{space.ljust(9)} nearest distance, samples over held out: {near.ratio:.3f}; "
            f"suspiciously near: {near.suspicious:.1%} of samples (5 % of held-out pictures are)"
        )
    print(out)
    return DONE
