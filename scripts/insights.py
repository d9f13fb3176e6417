"""Put claims of the methods' papers to the test at small, equal budgets: a figure, a table and a verdict for each.

    python scripts/insights.py                  # the claims there are
    python scripts/insights.py batch upsampling # trains what is missing of these; prints a line for the docs
    python scripts/insights.py batch --figures docs/pictures

Each is a comparison as `ganvas compare` makes them: the rows of a claim, three seeds each, equal steps. The first row
is what the claim holds against. Runs lie below runs/insights and go on where they stood. Networks are tiny and steps
few: what is not resolved here may be true elsewhere, and the line says so.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import upres_tables

from ganvas import cli
from ganvas.experiments.compare import compare
from ganvas.experiments.comparison import Comparison
from ganvas.io.pictures import images

PLACE = Path("runs/insights")
SEEDS = 3
GAP = 8
"""Pixels between the previews of a comparison's sheet."""
POINTS = str(Path(__file__).with_name("points_recipe.py"))
TINY: dict[str, Any] = {"score_every": 100_000, "preview_every": 100_000, "checkpoint_every": 100_000, "workers": 1}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper or post says, and how it is put to the test."""

    says: str
    source: str
    recipe: str
    rows: Mapping[str, Mapping[str, Any]]
    """The first is what the claim holds against."""
    data: str = ""
    """A command of `ganvas` that draws the data, without the folder, or `upres`; empty where the budget names it."""
    preset: str = "preview"
    budget: Mapping[str, Any] = field(default_factory=dict)
    score: str = ""
    """The score that the claim is about; empty for the recipe's first."""
    shown: tuple[int, int] = (268, 268)
    """Width and height of what the figure shows of each run's last preview, from its upper left corner, in px."""


FACES = "faces --number 200 --size 32 --quiet"
SHAPES = "shapes --size 32 --per-class 60 --quiet"
FACE_RUNS = {"size_px": 32, "width": 16, "latent": 32, "batch_size": 16, "steps": 300}
LARGER_FACES = "faces --number 1000 --size 64 --quiet"
LARGER_FACE_RUNS = {
    "size_px": 64, "width": 16, "latent": 64, "batch_size": 16, "steps": 600, "precision": "bfloat16", "threads": 1,
    "frechet": "efficientnet-lite2",
}  # fmt: skip
LEAST_SQUARES = {
    "least squares": {"adversarial.base": "least_squares", "adversarial.pairing": "plain"},
    "RaLSGAN": {"adversarial.base": "least_squares", "adversarial.pairing": "average"},
}
STABILITY: dict[str, tuple[str, dict[str, Any]]] = {
    "rate": ("at a rate of 0.001", {"generator_rate": 1e-3, "discriminator_rate": 1e-3}),
    "betas": ("with both of Adam's betas 0.9", {"betas": (0.9, 0.9)}),
    "no-norm": ("without batch norm", {"generator_norm": "none", "discriminator_norm": "none"}),
    "tanh": ("with tanh in place of every ReLU", {"activation": "tanh"}),
}
"""Settings under which the paper's table 2 trains: what they are, and the change."""
SHAPES_SHOWN = (364, 268)
SHAPE_RUNS = {"latent": 16, "class_features": 16, "steps": 250}
RING = {"val": "ring", "steps": 1500}
UPRES = PLACE / "data" / "upres"
"""Drawn faces of 192 px: clean, spoiled and held out."""
HELD = {"val": str(UPRES / "held_out"), "threads": 1}
TILES_SHOWN = (512, 276)
TILES = {
    **HELD, "high_px": 192, "low_px": 48, "scale": 4, "batch_size": 2, "judged": "detail", "discriminator_rate": 1e-3,
    "discriminator_norm": "instance", "upsampling": "smooth", "pixel_steps": 200, "steps": 400,
}  # fmt: skip
DOUBLING = {**HELD, "low_px": 32, "content_steps": 120, "steps": 180, "style_weight": 0.3, "discriminator_rate": 1e-3}
STYLED = {
    **DOUBLING, "content_steps": 200, "steps": 400, "discriminator_norm": "instance", "upsampling": "smooth",
}  # fmt: skip
STREET = "world --frames 24 --clips 6 --size 128x64 --quiet"
PAINTER = {
    "enhancers": 0, "enhancer_steps": 0, "joint_steps": 0, "global_steps": 150, "global_width": 16,
    "threads": 1,
}  # fmt: skip
FILM = {"picture_rounds": 100, "rounds": (3,), "threads": 1}
CLAIMS: dict[str, Claim] = {
    "relativistic": Claim(
        says="a discriminator that compares real with made pictures covers more than one that does not",
        source="Jolicoeur-Martineau 2018", recipe=POINTS, preset="ring", budget=RING, shown=(640, 640),
        rows=LEAST_SQUARES,
    ),
    "slope": Claim(
        says="a bound on the slope by a penalty beats clipped weights",
        source="Gulrajani et al. 2017", recipe=POINTS, preset="ring", budget={
            **RING, "adversarial.base": "wasserstein", "adversarial.pairing": "plain",
        },
        shown=(640, 640),
        rows={
            "weights clipped at 0.1": {"weight_clip": 0.1},
            "gradient penalty": {"penalty": "gradient_penalty", "penalty_weight": 1.0},
        },
    ),
    **{
        f"stability-{name}": Claim(
            says=f"{test} the relativistic average holds where plain least squares fails",
            source="Jolicoeur-Martineau 2018, table 2", recipe="relativistic", data=LARGER_FACES,
            budget={**LARGER_FACE_RUNS, **changes}, rows=LEAST_SQUARES, shown=(268, 136),
        )
        for name, (test, changes) in STABILITY.items()
    },
    "upsampling": Claim(
        says="repeated pixels and a convolution leave no grid where transposed convolutions do",
        source="Odena et al. 2016", recipe="relativistic", data=FACES, budget=FACE_RUNS,
        rows={kind: {"upsampling": kind} for kind in ("transposed", "resize", "smooth")},
    ),
    "batch": Claim(
        says="larger batches help at equal steps",
        source="Brock et al. 2018, table 1", recipe="biggan", data=SHAPES, shown=SHAPES_SHOWN,
        budget={**SHAPE_RUNS, "width": 8},
        rows={"batch 8": {"batch_size": 8}, "batch 32": {"batch_size": 32}},
    ),
    "skip-z": Claim(
        says="a chunk of the latent for every block helps",
        source="Brock et al. 2018, table 1", recipe="biggan", data=SHAPES, shown=SHAPES_SHOWN,
        budget={**SHAPE_RUNS, "width": 8, "batch_size": 16},
        rows={"latent at the first block": {"skip_z": False}, "latent at every block": {"skip_z": True}},
    ),
    "width": Claim(
        says="wider networks help at equal steps",
        source="Brock et al. 2018, table 1", recipe="biggan", data=SHAPES, shown=SHAPES_SHOWN,
        budget={**SHAPE_RUNS, "batch_size": 16},
        rows={"width 8": {"width": 8}, "width 16": {"width": 16}},
    ),
    "orthogonal": Claim(
        says="weights held orthogonal by a penalty help", source="Brock et al. 2018, table 1",
        recipe="biggan", data=SHAPES, shown=SHAPES_SHOWN, budget={**SHAPE_RUNS, "width": 8, "batch_size": 16},
        rows={"no penalty": {"orthogonal_weight": 0.0}, "penalty": {"orthogonal_weight": 1e-4}},
    ),
    "spectral": Claim(
        says="spectral norm makes clipped weights needless", source="Miyato et al. 2018",
        recipe="relativistic", data=FACES,
        budget={**FACE_RUNS, "adversarial.base": "wasserstein", "adversarial.pairing": "plain"},
        rows={
            "weights clipped at 0.01": {"weight_clip": 0.01, "discriminator_norm": "none"},
            "spectral norm": {"discriminator_norm": "spectral"},
        },
    ),
    "guide": Claim(
        says="a semantic guide helps a network that sees a tile only", source="Tyka 2017",
        recipe="tiled_upres", data="upres", shown=TILES_SHOWN, budget=TILES,
        rows={"no guide": {"guide": "none"}, "points as guide": {"guide": "points"}},
    ),
    "low-l1": Claim(
        says="L1 on shrunk pictures leaves room for detail", source="Tyka 2017", score="laplacian_ratio",
        recipe="tiled_upres", data="upres", shown=TILES_SHOWN, budget={**TILES, "guide": "points"},
        rows={"L1 at full size": {"l1_at": "full"}, "L1 at the low size": {"l1_at": "low"}},
    ),
    "clean": Claim(
        says="a smaller clean set beats a larger one with bad pictures", source="Tyka 2017",
        recipe="tiled_upres", data="upres", shown=TILES_SHOWN, budget={**TILES, "guide": "points"},
        rows={
            "100 faces, 30 of them spoiled": {"data": str(UPRES / "spoiled")},
            "what ganvas curate keeps": {"data": str(UPRES / "curated")},
        },
    ),
    "batch-norm": Claim(
        says="batch norm in the generator can be left out without loss", source="Tyka 2017; Wang et al. 2018 (ESRGAN)",
        recipe="superres_unet", data="upres", budget=DOUBLING,
        rows={"batch norm": {"norm": "batch"}, "no norm": {"norm": "none"}},
    ),
    "patches": Claim(
        says="a discriminator of patches improves fine detail", source="SuperResGANUnet, after Isola et al. 2017",
        recipe="superres_unet", data="upres", budget=DOUBLING, score="laplacian_ratio",
        rows={"one score": {"grid": "1x1"}, "4 x 4 scores": {"grid": "4x4"}},
    ),
    "fidelity": Claim(
        says="to reproduce the target, a learned loss (VAEGAN) serves better than the plain score",
        source="SuperResGANUnet", recipe="superres_unet", data="upres",
        budget={**DOUBLING, "content_weight": 0.0, "content_steps": 0, "steps": 300},
        rows={"plain score": {"style": "gan"}, "learned loss": {"style": "vaegan"}},
    ),
    "content-off": Claim(
        says="once the discriminator is healthy, L1 may be shut off and detail grows",
        source="SuperResGANUnet", recipe="superres_unet", data="upres", budget=STYLED, shown=(396, 268),
        score="laplacian_ratio",
        rows={"L1 to the end": {}, "L1 shut off after half": {"content_off_step": 200, "content_fade_steps": 100}},
    ),
    "feature-losses": Claim(
        says="pairs of features (VAEGAN) tell more than their means over the batch (Salimans)",
        source="SuperResGANUnet", recipe="superres_unet", data="upres", budget=STYLED, shown=(396, 268),
        rows={"Salimans": {"style": "salimans"}, "VAEGAN": {"style": "vaegan"}},
    ),
    "autoencoder": Claim(
        says="as an autoencoder the set-up handles the easy case, 64 px to the same 64 px", source="SuperResGANUnet",
        recipe="superres_unet", data="upres", preset="autoencoder",
        budget={**HELD, "low_px": 64, "batch_size": 8, "width": 12, "steps": 1500, "generator_rate": 1e-3},
        shown=(396, 268),
        rows={f"{kind} layers": {"upsampling": kind} for kind in ("transposed", "smooth")},
    ),
    "pixels-first": Claim(
        says="a first stage of pixels alone keeps the GAN from bad optima", source="Wang et al. 2018 (ESRGAN)",
        recipe="esrgan", data="upres", shown=(384, 282), budget={
            **HELD, "perceptual": "small", "perceptual_layers": ("conv4_1",), "pixel_weight": 0.1, "crop_px": 64,
            "pixel_crop_px": 64,
        },
        rows={
            "400 steps of GAN": {"pixel_steps": 0, "gan_steps": 400},
            "200 of pixels, 200 of GAN": {"pixel_steps": 200, "gan_steps": 200},
        },
    ),
    "scales": Claim(
        says="three discriminators repeat patterns less than one", source="Wang et al. 2018 (pix2pixHD)",
        recipe="pix2pixhd", data=STREET, shown=(384, 150), budget=PAINTER, score="minus_repetition",
        rows={"one discriminator": {"discriminator_scales": 1}, "three": {"discriminator_scales": 3}},
    ),
    "boundaries": Claim(
        says="boundary maps part adjacent things of a class", source="Wang et al. 2018 (pix2pixHD)",
        recipe="pix2pixhd", data=STREET, shown=(384, 150), budget={**PAINTER, "instance_features": 0}, score="borders",
        rows={"no boundary map": {"boundaries": False}, "boundary map": {"boundaries": True}},
    ),
    "features": Claim(
        says="the discriminator's features as a loss see what fixed ones miss",
        source="Wang et al. 2018 (pix2pixHD)",
        recipe="pix2pixhd", data=STREET, shown=(384, 150),
        budget={**PAINTER, "instance_features": 0, "perceptual_crop_px": 64},
        rows={
            "VGG16 alone": {"feature_matching_weight": 0.0, "perceptual": "vgg16"},
            "discriminator's alone": {"feature_matching_weight": 10.0, "perceptual": "none"},
            "both": {"feature_matching_weight": 10.0, "perceptual": "vgg16"},
        },
    ),
    "nets": Claim(
        says="a second network of features, trained on something else, sees what the first misses",
        source="the first seed", recipe="pix2pixhd", data=STREET, shown=(384, 150),
        budget={**PAINTER, "global_steps": 300, "instance_features": 0, "perceptual_crop_px": 64},
        rows={
            "none": {"perceptual": "none"},
            "VGG16": {"perceptual": "vgg16"},
            "EfficientNet-Lite0": {"perceptual": "efficientnet-lite0"},
            "both": {"perceptual": "vgg16+efficientnet-lite0"},
        },
    ),
    "styles": Claim(
        says="a style for each instance gives likeness and variety", source="Wang et al. 2018 (pix2pixHD)",
        recipe="pix2pixhd", data=STREET, shown=(384, 150), budget=PAINTER,
        rows={"no styles": {"instance_features": 0}, "styles": {"instance_features": 3}},
    ),
    "film": Claim(
        says="flow with a mask, a clip discriminator and a foreground branch each help",
        source="Wang et al. 2018 (vid2vid)", recipe="vid2vid", data=STREET, budget=FILM,
        rows={
            "flow, mask and clip discriminator": {},
            "no flow": {"with_flow": False, "mask_weight": 0.0},
            "no clip discriminator": {"clip_strides": ()},
            "with a foreground branch": {"things_are_foreground": True},
        },
    ),
}  # fmt: skip


def measure(name: str, seeds: int = SEEDS, more: Mapping[str, Any] | None = None) -> Comparison:
    """Train what is missing of a claim and return the comparison.

    Args:
        name: of the claim.
        seeds: of each row.
        more: settings of all rows beside the claim's.
    """
    claim, data = CLAIMS[name], ""
    if claim.data == "upres":
        upres_tables.prepare(UPRES, number=100, size_px=192)
        data = "" if any("data" in row for row in claim.rows.values()) else str(UPRES / "clean")
    elif claim.data:
        verb, *words = claim.data.split()
        data = str(PLACE / "data" / "-".join([verb, *words[1::2]]))
        if not Path(data).exists():
            cli.run(verb, [data, *words])
    budget = {**TINY, **claim.budget, **(more or {})}
    return compare(
        claim.recipe, data, rows=claim.rows, seeds=seeds, preset=claim.preset, budget=budget, out=PLACE / name
    )


def line(name: str, comparison: Comparison) -> str:
    """Return a claim's line of the page: what is claimed, the numbers of both rows, and the verdict."""
    claim = CLAIMS[name]
    score = claim.score or comparison.score_names[0]
    said = {row.name: text or "no verdict" for row, text in zip(comparison.rows, comparison.verdicts(score))}
    others = list(said.items())[1:]
    verdict = others[0][1] if len(others) == 1 else "; ".join(f"{row}: {text}" for row, text in others)
    numbers = []
    for row in comparison.rows:
        values, results = comparison.scores(row.name, score), comparison.of(row.name)
        lost = sum(result.status == "diverged" for result in results)
        mean = f"{sum(values) / len(values):.3g}" if values else "-"
        numbers.append(f"{row.name} {mean}" + (f" ({lost} of {len(results)} lost)" if lost else ""))
    return f"| `{name}` | {claim.says} ({claim.source}) | `{score}`: {'; '.join(numbers)} | {verdict} |"


def figure(sheet: np.ndarray, rows: int, seeds: int, shown: tuple[int, int]) -> np.ndarray:
    """Cut each preview of a comparison's sheet down to its upper left corner: a line for each row, a column a seed."""
    height, width = ((side + GAP) // number for side, number in zip(sheet.shape, (rows, seeds)))
    parts = [
        np.pad(sheet[y : y + min(shown[1], height - GAP), x : x + min(shown[0], width - GAP)],
               ((0, GAP), (0, GAP), (0, 0)), constant_values=255)
        for y in range(0, rows * height, height) for x in range(0, seeds * width, width)
    ]  # fmt: skip
    lines = [np.concatenate(parts[row * seeds : (row + 1) * seeds], 1) for row in range(rows)]
    return np.concatenate(lines)[:-GAP, :-GAP]


def main() -> None:
    """Measure the claims that are named, print their lines, and write their figures where a folder is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CLAIMS, []], help="which claims; none lists them")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--figures", type=Path, help="folder for insight-NAME.jpg or .png")
    options = parser.parse_args()
    for name in options.names:
        print(line(name, measure(name, options.seeds)), flush=True)
        if options.figures and (sheet := PLACE / name / "previews.png").is_file():
            claim, (picture, _) = CLAIMS[name], images.read(sheet)
            cut = figure(picture, len(claim.rows), options.seeds, claim.shown)
            # JPEG leaves rings around points on white.
            kind = "png" if claim.recipe == POINTS else "jpg"
            images.write(options.figures / f"insight-{name}.{kind}", cut, overwrite=True, quality=88)
    if not options.names:
        print("\n".join(f"{name.ljust(14)} {claim.says} ({claim.source})" for name, claim in CLAIMS.items()))


if __name__ == "__main__":
    main()
