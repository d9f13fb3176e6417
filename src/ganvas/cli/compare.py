"""The verb `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction

from ganvas.cli import DONE, STOPPED
from ganvas.errors import UserError

Repeated = Annotated[tuple[str, ...], UseAppendAction]


def compare(
    recipe: Positional[str],
    out: Path,
    vary: Repeated = (),
    data: str = "",
    seeds: int = 3,
    preset: str = "",
    fix: Repeated = (),
    reach: float | None = None,
) -> int:
    """Train every combination of settings under every seed with an equal budget, and print the table.

    Args:
        recipe: a name that `ganvas recipes` lists, or the path of your own recipe.py.
        out: folder of the comparison; an unfinished one in it is gone on with.
        vary: FIELD=A,B,C; may be given several times, every combination is a row.
        data: training data.
        seeds: runs of each row.
        preset: what the rows have in common.
        fix: FIELD=VALUE, a setting that all rows share, such as gan_steps=500; may be given several times.
        reach: value of the first score; the table tells after how many steps each row had it.
    """
    from ganvas.experiments import compare as comparing
    from ganvas.settings import parse
    from ganvas.training import loop

    budget = {}
    for text in fix:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UserError(f"--fix {text!r} says nothing", do="Write --fix FIELD=VALUE")
        budget[name] = parse(value)
    try:
        comparison = comparing.compare(
            recipe, data, comparing.parse_vary(vary), seeds=seeds, preset=preset, budget=budget, out=out,
            reach=reach,
        )  # fmt: skip
    except loop.Stopped:
        return STOPPED
    print(comparison.markdown())
    print(f"Written to {out}: table.md, curves.svg, previews.png, and a run for each row and seed.")
    return DONE
