"""A recipe with a kind of input of its own: pictures from the numbers of a table.

`data` is a folder of pictures with a file `table.csv`: a column `picture`, and columns of numbers.

ganvas train examples/table.py --data ~/skies --columns 2 --out runs/skies
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ganvas.data.squares import Squares
from ganvas.errors import UserError
from ganvas.protocol import Card, Ledger, Optimizer, Recipe, Source, Stage, Turn
from ganvas.settings import Training


class Rows(Source):
    """Pictures, each with its row of numbers."""

    def __init__(self, pictures, rows):
        self.pictures, self.rows = pictures, rows

    def __len__(self):
        return len(self.rows)

    def groups(self):
        return self.pictures.groups()

    def subset(self, indices):
        return Rows(self.pictures.subset(indices), self.rows[list(indices)])

    def sample(self, index, random):
        return {**self.pictures.sample(index, random), "numbers": self.rows[index]}


@dataclass(frozen=True, kw_only=True)
class Settings(Training):
    """The settings of the table recipe."""

    columns: int = 1
    """Columns of numbers in the table."""
    steps: int = 2000
    """Optimiser steps."""
    size_px: int = 64
    """Side of the pictures: 32, 64, 128 or 256."""


class Table(Recipe):
    """Pictures from rows of numbers, which the network sees as so many deviations from the training rows' mean."""

    Settings = Settings
    PRESETS = {"preview": Settings(batch_size=8)}

    def source(self, path):
        pictures = Squares(path, self.settings.size_px, mirror=False)
        with (Path(path) / "table.csv").open(newline="") as file:
            table = {row.pop("picture"): [float(value) for value in row.values()] for row in csv.DictReader(file)}
        for name in pictures.groups():
            if len(table.get(name, ())) != self.settings.columns:
                raise UserError(f"table.csv has no {self.settings.columns} numbers for {name}")
        return Rows(pictures, torch.tensor([table[name] for name in pictures.groups()]))

    def prepare(self, train):
        self.mean, self.deviation = train.rows.mean(0), train.rows.std(0).clamp(min=1e-6)

    def batch(self, raw, context):
        numbers = (raw["numbers"] - self.mean.to(context.device)) / self.deviation.to(context.device)
        return {"numbers": numbers, "real": raw["picture"].float() / 127.5 - 1}

    def stages(self):
        turn = Turn(side="generator", trains=("generator",))
        return [Stage(name="l1", steps=self.settings.steps, turns=(turn,), optimizers={"generator": Optimizer()})]

    def card(self):
        s = self.settings
        return Card(
            network="dcgan_generator",
            settings={"latent": s.columns, "size_px": s.size_px, "width": 16},
            input="other",
            range=(-1.0, 1.0),
            channels_in=s.columns,
            purpose="pictures from a table's numbers",
            extra={"mean": self.mean.tolist(), "deviation": self.deviation.tolist()},
        )

    def forward(self, nets, batch, carry, context):
        return {"fake": nets.generator(batch["numbers"]).float()}, carry

    def generator_losses(self, nets, batch, outputs, carry, context):
        return Ledger({"l1": F.l1_loss(outputs["fake"], batch["real"])})

    def score(self, nets, source, context):
        raw = [source.sample(index, np.random.default_rng(0)) for index in range(min(16, len(source)))]
        batch = self.batch(
            {name: torch.stack([row[name] for row in raw]).to(context.device) for name in raw[0]}, context
        )
        return {"minus_l1": -float(F.l1_loss(nets.generator(batch["numbers"]).float(), batch["real"]))}

    def sample(self, nets, batch, context):
        return torch.cat([nets.generator(batch["numbers"]).float(), batch["real"]], dim=-1) * 0.5 + 0.5
