"""Pictures from seeds: any generator whose card says `input: seeds`, with classes or without."""

from __future__ import annotations

import copy
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ganvas import device as machine
from ganvas.errors import UserError, did_you_mean
from ganvas.inference.open import Opened, open_model
from ganvas.inference.result import Progress
from ganvas.inference.seeds.latents import Kind, between, latents, parse_numbers
from ganvas.io import runs
from ganvas.networks.statistics import batch_norms, renew_statistics, set_statistics, statistics_of
from ganvas.protocol import Card
from ganvas.values import to_unit

BATCH = 16
STANDING_BATCH = 64
BANK = "bank"
"""Name of the attachment that holds statistics by truncation."""
REMEMBERED = 64
"""Truncations whose statistics are kept once they are measured; the one that was not used for longest goes."""
FIRST_STANDING_SEED = 1 << 40
"""Statistics are measured with the noise of seeds from here on, which nobody asks for."""


@dataclass(frozen=True)
class Truncation:
    """A threshold on the noise and what it is of; no threshold truncates nothing."""

    threshold: float | None = None
    kind: Kind = "value"


def class_names_of(card: Card) -> list[str]:
    """Return the names of the classes that a generator knows, or their numbers where they have no names."""
    names = [str(name) for name in card.extra.get("class_names", ())]
    return names or [str(number) for number in range(int(card.settings.get("num_classes", 0)))]


class SeedSampler:
    """A generator of pictures from noise, ready to be asked by seed and class.

    Its batch norms use, in this order: the bank that the network itself holds, the bank attached to the run where the
    truncation lies in its range, statistics measured anew over `standing` batches, those of training.
    Those measured are kept by truncation. Several threads may ask one sampler: one picture is made after the other.

    Args:
        model: run, weight file, name, or what `open_model` gave.
        device: `auto`, `cpu`, `cuda` or `cuda:1`.
        precision: `auto` takes the machine's fastest.
        standing: batches; None asks the card, 0 takes the statistics of training.

    Raises:
        UserError: the model cannot be read, or makes no pictures from seeds.
    """

    def __init__(
        self, model: str | Path | Opened, device: str = "auto", precision: str = "float32", standing: int | None = None
    ) -> None:
        opened = open_model(model)
        opened.require("seeds", "pictures from seeds")
        self.device = machine.pick(device)
        self.dtype = machine.pick_precision(precision, self.device)
        self.path, self.attachments = opened.path, opened.attachments
        self.network = opened.network(device=self.device)
        self.card = opened.card
        self.standing = int(self.card.extra.get("standing_batches", 0)) if standing is None else standing
        self.length = int(self.card.settings.get("latent", self.card.channels_in))
        self.num_classes = int(self.card.settings.get("num_classes", 0))
        self.class_names = class_names_of(self.card)
        self.has_own_bank = bool(self.card.settings.get("statistics", 0))
        self._trained = statistics_of(self.network)
        self._measured: OrderedDict[Truncation, dict[str, Tensor]] = OrderedDict()
        self._prepared: Truncation | None = None
        self._lock = threading.RLock()  # the norms belong to the picture that is being made

    # What is asked

    def classes(self, text: str) -> list[int]:
        """Return the numbers of classes named as `207,dog,0-9` or `all`; a name goes before a number.

        Raises:
            UserError: there is no such class, or the generator knows no classes.
        """
        if not self.num_classes:
            raise UserError(
                f"{self.path} knows no classes", "It makes pictures from noise alone", "Leave --classes out"
            )
        if text.strip() == "all":
            return list(range(self.num_classes))
        chosen: list[int] = []
        for part in filter(None, (part.strip() for part in text.split(","))):
            chosen += self._class(part)
        if not chosen:
            raise UserError("No class is named", do=f"Known: {', '.join(self.class_names[:12])}, or all")
        return chosen

    def _class(self, part: str) -> list[int]:
        lowered = [name.casefold() for name in self.class_names]
        if part.casefold() in lowered:
            return [lowered.index(part.casefold())]
        if not re.fullmatch(r"\d+(-\d+)?", part):
            raise UserError(f"No class is called {part!r}", do=did_you_mean(part, self.class_names))
        numbers = parse_numbers(part, "classes")
        if max(numbers) >= self.num_classes:
            why = f"It has {self.num_classes} classes, numbered from 0"
            raise UserError(f"There is no class {max(numbers)}", why, f"The last is {self.num_classes - 1}")
        return numbers

    def class_of(self, seed: int) -> int:
        """Return the class of a seed where none is asked for: they take turns."""
        return seed % self.num_classes if self.num_classes else 0

    # Pictures

    def sample(
        self,
        seeds: Sequence[int],
        classes: Sequence[int] | None = None,
        truncation: Truncation | None = None,
        progress: Progress | None = None,
    ) -> Tensor:
        """Return a picture for each seed and its class: (N, 3, S, S) float32 in [0, 1], the same in any batch.

        Args:
            seeds: of the noise.
            classes: as many; None lets them take turns.
            truncation: of the noise.
            progress: may stop it between two batches.

        Raises:
            UserError: the truncation is not positive, or there are not as many classes as seeds.
        """
        truncation = truncation or Truncation()
        chosen = [self.class_of(seed) for seed in seeds] if classes is None else list(classes)
        if len(chosen) != len(seeds):
            raise UserError(f"There are {len(seeds)} seeds and {len(chosen)} classes", do="Give as many of each")
        noise = latents(seeds, self.length, truncation.threshold, truncation.kind)
        return self.paint(noise, torch.tensor(chosen), truncation, progress)

    def paint(
        self, noise: Tensor, classes: Tensor, truncation: Truncation | None = None, progress: Progress | None = None
    ) -> Tensor:
        """Return pictures of noise (N, L) and classes, by number (N,) or by weights (N, classes): (N, 3, S, S)."""
        truncation = truncation or Truncation()
        if noise.shape[1] != self.length:
            why = f"This generator's has {self.length} numbers"
            raise UserError(f"A latent of {noise.shape[1]} numbers does not fit", why)
        pairs = zip(noise.split(BATCH), classes.split(BATCH))
        with self._lock:
            self.prepare(truncation, progress)
            made = []
            for number, pair in enumerate(pairs):
                if progress:
                    progress(number * BATCH, len(noise))
                made.append(self._run(*pair, truncation).cpu())
        return torch.cat(made)

    @torch.no_grad()
    def _run(self, noise: Tensor, classes: Tensor, truncation: Truncation) -> Tensor:
        inputs = self._inputs(noise, classes, truncation)
        with machine.autocast(self.device, self.dtype):
            made = self.network(*inputs).float()
        return to_unit(made, self.card.range).clamp(0, 1)

    def _inputs(self, noise: Tensor, classes: Tensor, truncation: Truncation) -> tuple[object, ...]:
        inputs: tuple[object, ...] = (noise.to(self.device),)
        if self.num_classes:
            inputs += (classes.to(self.device),)
        # Its own bank goes from 0 to 1.
        threshold = 1.0 if truncation.threshold is None else min(truncation.threshold, 1.0)
        return (*inputs, threshold) if self.has_own_bank else inputs

    # Statistics of batch norms

    def prepare(self, truncation: Truncation, progress: Progress | None = None) -> None:
        """Bring the batch norms to the statistics of a truncation."""
        with self._lock:
            if truncation == self._prepared or self.has_own_bank or not batch_norms(self.network):
                return
            self._prepared = None  # whatever fails on the way leaves statistics of nothing
            banked = self._from_bank(truncation)
            if banked is not None:
                set_statistics(self.network, banked)
            elif self.standing:
                set_statistics(self.network, self._remembered(truncation, progress))
            else:
                set_statistics(self.network, self._trained)
            self._prepared = truncation

    def _remembered(self, truncation: Truncation, progress: Progress | None) -> dict[str, Tensor]:
        if truncation not in self._measured:
            renew_statistics(self.network, self._standing(truncation, progress))
            self._measured[truncation] = statistics_of(self.network)
            if len(self._measured) > REMEMBERED:
                self._measured.popitem(last=False)
        self._measured.move_to_end(truncation)
        return self._measured[truncation]

    def _standing(self, truncation: Truncation, progress: Progress | None = None) -> Iterator[tuple[Tensor, ...]]:
        shares = torch.tensor(
            self.card.extra.get("class_counts") or [1] * max(1, self.num_classes), dtype=torch.float32
        )
        random = torch.Generator().manual_seed(0)
        for batch in range(self.standing):
            if progress:
                progress.check()
            first = FIRST_STANDING_SEED + batch * STANDING_BATCH
            noise = latents(
                range(first, first + STANDING_BATCH), self.length, truncation.threshold, truncation.kind
            )  # fmt: skip
            classes = torch.multinomial(shares, STANDING_BATCH, replacement=True, generator=random)
            inputs = self._inputs(noise, classes, truncation)
            yield inputs  # pyright: ignore[reportReturnType]

    def _from_bank(self, truncation: Truncation) -> dict[str, Tensor] | None:
        grid = self.attachments.get(f"{BANK}.truncations")
        if grid is None or truncation.threshold is None or truncation.kind != "value":
            return None
        if int(self.attachments[f"{BANK}.step"]) != _step_of(self.card.origin):
            return None
        place = interpolation(grid, truncation.threshold)
        if place is None:
            return None
        below, share = place
        names = [key.removeprefix(f"{BANK}.") for key in self.attachments if key.startswith(f"{BANK}.")]
        rows = {name: self.attachments[f"{BANK}.{name}"] for name in names if name.endswith((".mean", ".var"))}
        return {
            name: torch.lerp(row[below], row[min(below + 1, len(row) - 1)], share) for name, row in rows.items()
        }  # fmt: skip

    def make_bank(self, truncations: Sequence[float]) -> dict[str, Tensor]:
        """Measure the statistics at each of some truncations: `truncations` (N,), `NAME.mean` and `NAME.var` (N, C).

        Raises:
            UserError: fewer than two truncations, one is not positive, or the generator has no batch norm of its own.
        """
        grid = sorted(set(truncations))
        if len(grid) < 2 or grid[0] <= 0:
            raise UserError(f"A bank over {list(truncations)} cannot be made", do="Name two or more above 0: 0.2,0.5,1")
        if self.has_own_bank or not batch_norms(self.network):
            raise UserError(f"{self.path} needs no bank", "It has its own, or no batch norm at all")
        measured = []
        with self._lock:
            network = self.network
            for threshold in grid:
                self.network = copy.deepcopy(network)
                try:
                    self.standing = self.standing or 16
                    renew_statistics(self.network, self._standing(Truncation(threshold)))
                    measured.append(statistics_of(self.network))
                finally:
                    self.network = network
        stacked = {name: torch.stack([one[name] for one in measured]).cpu() for name in measured[0]}
        return {"truncations": torch.tensor(grid, dtype=torch.float64), **stacked}

    def attach_bank(self, truncations: Sequence[float]) -> Path:
        """Measure a bank and keep it with the run, for this checkpoint of it.

        Raises:
            UserError: as `make_bank`, or the model is no run.
        """
        if self.path is None or not runs.is_run(self.path):
            raise UserError(f"{self.path} is no run", "A bank is kept in a run's folder", "Name the run")
        bank = self.make_bank(truncations)
        bank["step"] = torch.tensor(_step_of(self.card.origin))
        with self._lock:
            self.attachments = {**self.attachments, **{f"{BANK}.{name}": value for name, value in bank.items()}}
            self._prepared = None
        return runs.write_attachment(self.path, BANK, bank)


def _step_of(origin: str) -> int:
    found = re.search(r"step (\d+)$", origin)
    return int(found[1]) if found else -1


def interpolation(grid: Tensor, value: float) -> tuple[int, float] | None:
    """Return the place of a value in a sorted grid: the entry below it and the share of the next; None outside."""
    if not float(grid[0]) - 1e-9 <= value <= float(grid[-1]) + 1e-9:
        return None
    below = int(torch.searchsorted(grid, torch.tensor(value + 1e-9, dtype=grid.dtype))) - 1
    below = min(max(below, 0), len(grid) - 2)
    share = (value - float(grid[below])) / float(grid[below + 1] - grid[below])
    return below, min(max(share, 0.0), 1.0)


# From one to another


def walk(
    sampler: SeedSampler, seeds: Sequence[int], classes: Sequence[int], steps: int, truncation: Truncation
) -> Iterator[Tensor]:
    """Return pictures from each pair of seed and class to the next, `steps` for each way, and the last one.

    Args:
        sampler: the generator.
        seeds: of the noise, which turns from one to the next.
        classes: as many; where they differ the class embeddings are mixed.
        steps: pictures from one (included) to the next (not).
        truncation: of the noise.

    Raises:
        UserError: fewer than two places, or no steps.
    """
    if len(seeds) < 2 or steps < 1:
        raise UserError("There is no way to walk", "It leads through two or more places", "Name more seeds or classes")
    return _pictures_on_the_way(sampler, seeds, classes, steps, truncation)


def _pictures_on_the_way(
    sampler: SeedSampler, seeds: Sequence[int], classes: Sequence[int], steps: int, truncation: Truncation
) -> Iterator[Tensor]:
    noise = latents(seeds, sampler.length, truncation.threshold, truncation.kind)
    places = torch.nn.functional.one_hot(torch.tensor(classes), max(1, sampler.num_classes)).float()
    for index in range(len(seeds) - 1):
        shares = [step / steps for step in range(steps)] + ([1.0] if index == len(seeds) - 2 else [])
        ways = [between(noise[index : index + 1], noise[index + 1 : index + 2], share) for share in shares]
        mixed = [torch.lerp(places[index], places[index + 1], share) for share in shares]
        yield from sampler.paint(torch.cat(ways), torch.stack(mixed), truncation)
