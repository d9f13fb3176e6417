"""The class of a sample: the folder, directly below the data's, that its picture lies in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ganvas.data import doctor
from ganvas.data.doctor import Examination
from ganvas.errors import UserError
from ganvas.protocol import Source


class WithClasses(Source):
    """Another source's samples with their class: {..., "class": () int64}, the folders numbered by name from 0.

    Raises:
        UserError: there are not as many such folders as expected.
    """

    def __init__(self, source: Any, num_classes: int) -> None:
        self.source = source
        folders = [name.partition("/")[0] if "/" in name else "" for name in source.groups()]
        self.names = sorted(set(folders) - {""})
        if len(self.names) != num_classes or "" in folders:
            loose = f", and {folders.count('')} samples lie in none" if "" in folders else ""
            what = f"The data has {len(self.names)} folders of classes{loose}"
            raise UserError(what, f"{num_classes} classes are expected", "Put each class in a folder of its own")
        self._numbers = {name: number for number, name in enumerate(self.names)}

    def __len__(self) -> int:
        return len(self.source)

    @property
    def report(self) -> Any:
        """What the other source reports."""
        return self.source.report

    takes_all_below = True
    """Every picture below the folder is trained on."""

    def examine(self) -> Examination:
        """Return what the other source's doctor says."""
        return doctor.examine(self.source)

    def classes(self) -> list[int]:
        """Return the number of each sample's class."""
        return [self._numbers[name.partition("/")[0]] for name in self.source.groups()]

    def groups(self) -> list[str]:
        """Return the groups of the other source."""
        return self.source.groups()

    def subset(self, indices: Sequence[int]) -> Self:
        """Return the source of only these samples, with the same classes."""
        chosen = type(self).__new__(type(self))
        chosen.__dict__.update(self.__dict__)
        chosen.source = self.source.subset(indices)
        return chosen

    def class_of(self, index: int) -> int:
        """Return the class of a sample."""
        return self._numbers[self.source.groups()[index].partition("/")[0]]

    def one_each(self) -> Self:
        """Return the source with one sample for each picture, where the other source can."""
        chosen = self.subset([])
        chosen.source = self.source.one_each()
        return chosen

    def whole(self, index: int) -> dict[str, Tensor]:
        """Return the whole picture of a sample with its class."""
        return {**self.source.whole(index), "class": torch.tensor(self.class_of(index))}

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return one sample with its class."""
        return {**self.source.sample(index, random), "class": torch.tensor(self.class_of(index))}
