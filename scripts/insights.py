"""Put claims of the methods' papers to the test at small, equal budgets: a figure, a table and a verdict for each.

    python scripts/insights.py                  # the claims there are
    python scripts/insights.py batch upsampling # trains what is missing of these, and prints a line for docs/gallery.md
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

from ganvas import cli
from ganvas.experiments.compare import compare
from ganvas.experiments.comparison import Comparison
from ganvas.io.pictures import images

PLACE = Path("runs/insights")
SEEDS = 3
POINTS = str(Path(__file__).with_name("points_recipe.py"))
TINY: dict[str, Any] = {"score_every": 100_000, "preview_every": 100_000, "checkpoint_every": 100_000, "workers": 1}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What a paper says, and how it is put to the test."""

    says: str
    source: str
    recipe: str
    rows: Mapping[str, Mapping[str, Any]]
    data: str = ""
    """A command of `ganvas` that draws the data, without the folder; empty where the budget names it."""
    preset: str = "preview"
    budget: Mapping[str, Any] = field(default_factory=dict)


FACES = "faces --number 200 --size 32 --quiet"
SHAPES = "shapes --size 32 --per-class 60 --quiet"
FACE_RUNS = {"size_px": 32, "width": 16, "latent": 32, "batch_size": 16, "steps": 300}
SHAPE_RUNS = {"latent": 16, "class_features": 16, "steps": 250}
RING = {"val": "ring", "steps": 1500}
CLAIMS: dict[str, Claim] = {
    "relativistic": Claim(
        says="a discriminator that compares real with made pictures covers more than one that does not",
        source="Jolicoeur-Martineau 2018", recipe=POINTS, preset="ring", budget=RING,
        rows={
            "least squares": {"adversarial.base": "least_squares", "adversarial.pairing": "plain"},
            "RaLSGAN": {"adversarial.base": "least_squares", "adversarial.pairing": "average"},
        },
    ),
    "slope": Claim(
        says="a bound on the slope by a penalty beats clipped weights",
        source="Gulrajani et al. 2017", recipe=POINTS, preset="ring", budget={
            **RING, "adversarial.base": "wasserstein", "adversarial.pairing": "plain",
        },
        rows={
            "weights clipped at 0.1": {"weight_clip": 0.1},
            "gradient penalty": {"penalty": "gradient_penalty", "penalty_weight": 1.0},
        },
    ),
    "stability": Claim(
        says="at a rate of 0.001 the relativistic average holds where plain least squares fails",
        source="Jolicoeur-Martineau 2018, table 2", recipe="relativistic", data=FACES,
        budget={**FACE_RUNS, "generator_rate": 1e-3, "discriminator_rate": 1e-3},
        rows={
            "least squares": {"adversarial.base": "least_squares", "adversarial.pairing": "plain"},
            "RaLSGAN": {"adversarial.base": "least_squares", "adversarial.pairing": "average"},
        },
    ),
    "upsampling": Claim(
        says="repeated pixels and a convolution leave no grid where transposed convolutions do",
        source="Odena et al. 2016", recipe="relativistic", data=FACES, budget=FACE_RUNS,
        rows={"transposed": {"upsampling": "transposed"}, "resize": {"upsampling": "resize"}},
    ),
    "batch": Claim(
        says="larger batches help at equal steps",
        source="Brock et al. 2018, table 1", recipe="biggan", data=SHAPES, budget={**SHAPE_RUNS, "width": 8},
        rows={"batch 8": {"batch_size": 8}, "batch 32": {"batch_size": 32}},
    ),
    "skip-z": Claim(
        says="a chunk of the latent for every block helps",
        source="Brock et al. 2018, table 1", recipe="biggan", data=SHAPES,
        budget={**SHAPE_RUNS, "width": 8, "batch_size": 16},
        rows={"latent at the first block": {"skip_z": False}, "latent at every block": {"skip_z": True}},
    ),
    "width": Claim(
        says="wider networks help at equal steps",
        source="Brock et al. 2018, table 1", recipe="biggan", data=SHAPES,
        budget={**SHAPE_RUNS, "batch_size": 16},
        rows={"width 8": {"width": 8}, "width 16": {"width": 16}},
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
    if claim.data:
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
    claim, score = CLAIMS[name], comparison.score_names[0]
    verdict = comparison.verdicts(score)[-1] or "no verdict"
    numbers = []
    for row in comparison.rows:
        values, results = comparison.scores(row.name, score), comparison.of(row.name)
        lost = sum(result.status == "diverged" for result in results)
        mean = f"{sum(values) / len(values):.3g}" if values else "-"
        numbers.append(f"{row.name} {mean}" + (f" ({lost} of {len(results)} lost)" if lost else ""))
    return f"| `{name}` | {claim.says} ({claim.source}) | `{score}`: {'; '.join(numbers)} | {verdict} |"


def main() -> None:
    """Measure the claims that are named, print their lines, and write their figures where a folder is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*CLAIMS, []], help="which claims; none lists them")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--figures", type=Path, help="folder for insight-NAME.png")
    options = parser.parse_args()
    for name in options.names:
        print(line(name, measure(name, options.seeds)), flush=True)
        if options.figures and (sheet := PLACE / name / "previews.png").is_file():
            images.write(options.figures / f"insight-{name}.png", images.read(sheet)[0], overwrite=True)
    if not options.names:
        print("\n".join(f"{name.ljust(14)} {claim.says} ({claim.source})" for name, claim in CLAIMS.items()))


if __name__ == "__main__":
    main()
