"""What comes of scoring: a number, its interval, and a hash of all that it depends on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Score:
    """One number, and what it takes to compare it with another."""

    name: str
    value: float
    low: float = math.nan
    """Lower end of the interval of 95 %; NaN where there is none."""
    high: float = math.nan
    better: str = ""
    """`lower`, `higher` or `nearer 0`."""
    preprocessing: str = ""
    """Hash of how the pictures reached the score; numbers of different hashes are not comparable."""

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Confusion:
    """How many pictures of which class (row) were taken for which class (column)."""

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def shares(self) -> tuple[tuple[float, ...], ...]:
        """Return each row as shares of its sum; a row without pictures is zero."""
        return tuple(tuple(count / max(1, sum(row)) for count in row) for row in self.counts)

    def leaks(self, most: int = 5) -> list[tuple[str, str, float]]:
        """Return the largest shares outside the diagonal: class, what it was taken for, share; the largest first."""
        found = [
            (self.classes[row], self.classes[column], share)
            for row, shares in enumerate(self.shares())
            for column, share in enumerate(shares)
            if row != column and share > 0
        ]
        return sorted(found, key=lambda leak: -leak[2])[:most]


@dataclass(frozen=True, kw_only=True)
class Results:
    """The scores of one comparison and what they depend on."""

    kind: str
    """`pairs`, `sets`, `classes`, `clips`, `labelled` or `cameras`."""
    scores: tuple[Score, ...]
    conditions: Mapping[str, str | int | float]
    rows: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Scores of single pictures or clips by name, where there are such."""
    notes: Sequence[str] = ()
    """Sentences that belong beside the numbers: what a number is worth."""
    problems: Mapping[str, str] = field(default_factory=dict)
    """Pictures that could not be scored, and why."""
    shown: Sequence[tuple[str, Sequence[Path]]] = ()
    """Captions and pictures for the report page."""
    confusions: Mapping[str, Confusion] = field(default_factory=dict)
    """Confusion matrices by what was classified."""

    def plain(self) -> dict[str, object]:
        """Return the results as plain values for JSON; an interval that is not there is left out."""
        scores = {}
        for score in self.scores:
            entry: dict[str, object] = {"value": score.value}
            if score.has_interval:
                entry["interval_95"] = [score.low, score.high]
            entry |= {key: value for key in ("better", "preprocessing") if (value := getattr(score, key))}
            scores[score.name] = entry
        plain: dict[str, object] = {
            "kind": self.kind,
            "scores": scores,
            "conditions": dict(self.conditions),
            "notes": list(self.notes),
            "problems": dict(self.problems),
        }
        if self.confusions:
            plain["confusion"] = {
                name: {"classes": list(matrix.classes), "counts": [list(row) for row in matrix.counts]}
                for name, matrix in self.confusions.items()
            }
        return plain | ({"rows": {name: dict(row) for name, row in self.rows.items()}} if self.rows else {})


def warn_of_differences(ours: Iterable[Score], theirs: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Return a sentence for each score that must not be compared with an earlier result, read from its JSON."""
    found = []
    for score in ours:
        before = theirs.get(score.name, {}).get("preprocessing", score.preprocessing)
        if before != score.preprocessing:
            found.append(
                f"{score.name} is not comparable with the earlier one: the pictures reached it in another way "
                f"(preprocessing {score.preprocessing} now, {before} then)"
            )
    return found
