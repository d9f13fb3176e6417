"""Validation scores: a recipe's own, and before them a Frechet distance where the run asks for one."""

from __future__ import annotations

from torch import Tensor

from ganvas.errors import UserError
from ganvas.metrics.distribution import Reference, Statistics
from ganvas.metrics.features import Extractor
from ganvas.training import contract
from ganvas.training.trainer import Trainer

AT_ONCE = 64
"""Pictures whose features are taken at once."""


class Scores:
    """Scores a run on its validation set; the real pictures' statistics are taken once."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._reference: Reference | None = None

    def take(self) -> dict[str, float]:
        """Return the scores of the averaged networks by name; the first, higher is better, chooses the best checkpoint.

        Raises:
            UserError: the validation set has too few pictures for a covariance.
        """
        trainer, extractor = self.trainer, self.trainer.plan.extractor
        assert trainer.plan.val is not None
        with trainer.resting() as nets:
            found = trainer.recipe.score(nets, trainer.plan.val, trainer.resting_context("score"))
            own = contract.scores(trainer.recipe, found)
            if extractor is None:
                return own
            pictures = trainer.recipe.compared(nets, trainer.plan.val, trainer.resting_context("score"))
        if pictures is None:
            raise UserError(f"The recipe {trainer.plan.name} compares no sets of pictures", do="Leave --frechet out")
        real, fake = pictures
        if self._reference is None:
            self._reference = Reference(_statistics(extractor, real))
        distance = self._reference.distance(_statistics(extractor, fake))
        return {f"minus_frechet_{extractor.name}": -distance, **own}


def _statistics(extractor: Extractor, pictures: Tensor) -> Statistics:
    return Statistics.of(extractor.features(part) for part in pictures.split(AT_ONCE))
