"""The figure of the relativistic discriminator: what one real batch is called beside worse and better fakes.

The claim (Jolicoeur-Martineau 2018, section 3; drawn with dogs and loaves of bread in its figure 1): under a standard
discriminator the probability that real data is real does not depend on the fakes beside it; under a relativistic one it
falls towards 1/2 as the fakes come near. Two measurements, both on stacked digits and written down whichever way they
come out:

1. Two small discriminators, trained briefly against noise, half noise and nearly real digits together, one with each
   loss, look at one real batch beside each kind of fake.
2. Two GANs are trained, and the probability of one fixed real batch is followed beside the generator's fakes.

    python scripts/relativistic_figure.py        # some minutes; an interrupted run goes on where it stood
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from points_recipe import DigitCritic, Points
from torch import Tensor

from ganvas.drawn import points
from ganvas.experiments.compare import compare
from ganvas.io import plots, runs
from ganvas.losses.adversarial import AdversarialLoss, Pairing, probability_real
from ganvas.protocol import Context, Networks, Source

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "measured" / "relativistic.md"
BEGIN, END = "<!-- figure: begin -->", "<!-- figure: end -->"
KINDS = ("obviously false", "middling", "nearly real")
ROWS: dict[str, Pairing] = {"standard": "plain", "relativistic average": "average"}
NOTABLE = 0.02
"""Change of a probability below which it is said to stay."""
WATCHED = 256
"""Real pictures in the fixed batch."""


class Watched(Points):
    """The recipe of stacked digits, with the probabilities of a fixed real batch among its scores."""

    def score(self, nets: Networks, source: Source, context: Context) -> dict[str, float]:
        """Return the coverage, and P(real) of one real batch by both readings of the discriminator's scores."""
        scores = super().score(nets, source, context)
        real = digits(WATCHED, seed=5)
        fake = self.generate(nets, WATCHED, 3, context)
        verdicts = nets.discriminator(real), nets.discriminator(fake)
        for name, pairing in ROWS.items():
            scores[f"real: {name}"] = float(probability_real(*verdicts, pairing=pairing).mean())
            scores[f"fake: {name}"] = float(probability_real(*verdicts[::-1], pairing=pairing).mean())
        return scores


def digits(number: int, seed: int) -> Tensor:
    """Return stacked digits in [-1, 1], the same for the same seed."""
    source = points.source("stacked_digits")
    clouds = -(-number // points.PICTURES)
    drawn = [source.sample(0, np.random.default_rng([seed, cloud]))["real"] for cloud in range(clouds)]
    return torch.cat(drawn)[:number]


def fakes(kind: str, number: int, seed: int) -> Tensor:
    """Return fakes of a kind: noise, real digits with half their contrast in noise, real digits with a trace of it."""
    share = {"obviously false": 1.0, "middling": 0.5, "nearly real": 0.02}[kind]
    noise = torch.rand(number, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return (1 - share) * digits(number, seed) + share * noise


def beside_each_kind(pairing: Pairing, steps: int) -> list[float]:
    """Return the mean P(real) of one real batch beside each kind of fake, by a discriminator trained briefly."""
    torch.manual_seed(0)
    loss = AdversarialLoss(base="standard", pairing=pairing)
    critic = DigitCritic(16, last_bias=not loss.is_shift_invariant)
    adam = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for step in range(steps):
        shown = torch.cat([fakes(kind, 64, 1000 + 10 * step + place) for place, kind in enumerate(KINDS)])
        adam.zero_grad()
        loss.discriminator(critic(digits(192, 500_000 + step)), critic(shown)).backward()
        adam.step()
    with torch.no_grad():
        real = critic(digits(WATCHED, 5))
        return [
            float(probability_real(real, critic(fakes(kind, WATCHED, 7)), pairing=pairing).mean()) for kind in KINDS
        ]


def followed(steps: int, out: Path) -> dict[str, list[dict[str, float]]]:
    """Train a GAN with each loss and return what was scored on the way: row -> entries with `step`."""
    rows = {name: {"adversarial.pairing": pairing} for name, pairing in ROWS.items()}
    budget = {"val": "stacked_digits", "steps": steps, "score_every": max(1, steps // 8)}
    comparison = compare(str(Path(__file__)), rows=rows, seeds=1, preset="stacked_digits", budget=budget, out=out)
    found = {}
    for row in comparison.rows:
        log = runs.read_log(out / "runs" / row.slug / "seed-0")
        found[row.name] = [{"step": entry["step"], **entry["scores"]} for entry in log if "scores" in entry]
    return found


def report(beside: dict[str, list[float]], entries: dict[str, list[dict[str, float]]]) -> str:
    """Return both tables, and in words what came out."""
    lines = [f"| the same real batch beside fakes that are | {' | '.join(ROWS)} |", "|---|---|---|"]
    for place, kind in enumerate(KINDS):
        lines.append(f"| {kind} | {' | '.join(f'{beside[name][place]:.3f}' for name in ROWS)} |")
    lines += ["", "![P(real) beside three kinds of fakes](relativistic-kinds.svg)", ""]
    lines += ["| step | " + " | ".join(f"{name}: P(real) | modes" for name in ROWS) + " |", "|---" * 5 + "|"]
    for together in zip(*entries.values()):
        cells = [f"{entry[f'real: {name}']:.3f} | {entry['modes']:.0f}" for name, entry in zip(ROWS, together)]
        lines.append(f"| {together[0]['step']:.0f} | {' | '.join(cells)} |")
    lines += ["", "![P(real) while the generator learns](relativistic-steps.svg)", ""]
    for name in ROWS:
        lines.append(_in_words(name, beside[name], [entry[f"real: {name}"] for entry in entries[name]]))
    return "\n".join(lines)


def _in_words(name: str, beside: Sequence[float], steps: Sequence[float]) -> str:
    text = f"- {name}: beside better fakes P(real) {_way(beside)}"
    return text + (f"; while the generator learns it {_way(steps)}." if steps else ".")


def _way(values: Sequence[float]) -> str:
    change = values[-1] - values[0]
    word = "falls" if change < -NOTABLE else "rises" if change > NOTABLE else "stays"
    return f"{word} ({values[0]:.3f} to {values[-1]:.3f})"


def draw(beside: dict[str, list[float]], entries: dict[str, list[dict[str, float]]], folder: Path) -> None:
    """Write both figures."""
    kinds = {name: (list(range(len(KINDS))), values) for name, values in beside.items()}
    title = "P(real) of one real batch beside fakes that are false (0), middling (1), nearly real (2)"
    runs.write_atomically(folder / "relativistic-kinds.svg", plots.curves(kinds, title, "kind of fake").encode())
    curves = {
        f"{who}, {name}": ([entry["step"] for entry in found], [entry[f"{who}: {name}"] for entry in found])
        for name, found in entries.items()
        for who in ("real", "fake")
    }
    title = "Probability of being real while the generator learns"
    runs.write_atomically(folder / "relativistic-steps.svg", plots.curves(curves, title, "step").encode())


def main() -> None:
    """Measure, draw, print, and write into docs/measured/relativistic.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=900, help="steps of each GAN")
    parser.add_argument("--critic-steps", type=int, default=300, help="steps of each small discriminator")
    parser.add_argument("--out", type=Path, default=Path("runs/relativistic-figure"))
    parser.add_argument("--docs", type=Path, default=PAGE.parent, help="folder of the page and the figures")
    options = parser.parse_args()
    beside = {name: beside_each_kind(pairing, options.critic_steps) for name, pairing in ROWS.items()}
    entries = followed(options.steps, options.out)
    text = report(beside, entries)
    print(text)
    draw(beside, entries, options.docs)
    page = options.docs / PAGE.name
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


if __name__ == "__main__":
    main()
