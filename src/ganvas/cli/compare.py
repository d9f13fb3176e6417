"""The verb `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction

from ganvas.cli import DONE, STOPPED
from ganvas.cli.arguments import Printing
from ganvas.cli.clock import Clock
from ganvas.cli.console import Bar, report
from ganvas.cli.names import field_of
from ganvas.errors import UsageError

Repeated = Annotated[tuple[str, ...], UseAppendAction]


def _pass_over(text: str) -> None:
    """Print nothing."""


def compare(
    recipe: Positional[str],
    out: Path,
    vary: Repeated = (),
    data: str = "",
    num_seeds: int = 3,
    preset: str = "",
    fix: Repeated = (),
    reach: float | None = None,
    device: str = "",
    minutes: float | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Train every combination of settings under every seed with an equal budget, and print the table.

    Args:
        recipe: a name that `ganvas recipes` lists, or the path of your own recipe.py.
        out: folder of the comparison; an unfinished one in it is continued.
        vary: FIELD=A,B,C; may be given several times, every combination is a row.
        data: training data.
        num_seeds: seeds, and so runs, of each row.
        preset: what the rows have in common.
        fix: FIELD=VALUE, a setting that all rows share, such as gan_steps=500; may be given several times.
        reach: value of the first score; the table tells after how many steps each row had it.
        device: auto, cpu, cuda or cuda:1; default the preset's.
        minutes: stop after this time, as Ctrl-C does; the same command continues.
        json: print JSON.
        quiet: print only errors.
    """
    from ganvas.experiments import compare as comparing
    from ganvas.settings import parse
    from ganvas.training import loop

    budget = {}
    for text in fix:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise UsageError(f"--fix {text!r} says nothing", do="Write --fix FIELD=VALUE")
        budget[field_of(f"train {recipe}", name)] = parse(value)
    if device:
        budget["device"] = device
    varied = {field_of(f"train {recipe}", name): values for name, values in comparing.parse_vary(vary).items()}
    clock = Clock(minutes)
    is_silent = json or quiet
    try:
        with clock, Bar(is_silent) as bar:
            comparison = comparing.compare(
                recipe, data, varied, seeds=num_seeds, preset=preset, budget=budget, out=out, reach=reach,
                say=_pass_over if is_silent else print,
                progress=lambda done, total: bar.move("runs", done, total),
            )  # fmt: skip
    except loop.Stopped:
        return DONE if clock.has_rung else STOPPED
    columns, rows = comparison.table()
    written = f"Written to {out}: table.md, curves.svg, previews.png, and a run for each row and seed."
    text = f"{comparison.markdown()}\n{written}"
    report(text, {"out": out, "rows": [dict(zip(columns, row)) for row in rows]}, Printing(json=json, quiet=quiet))
    return DONE
