"""Give every setting of every recipe values that mean nothing, and count what should never happen.

    python scripts/fuzz_settings.py [RECIPE ...] [--patience 60]

Each recipe is the tiny one of scripts/soak.py. One setting at a time takes 0, -1, NaN, infinity, 10^12, 1 and -0.5
(lists: of one such value; texts: empty, `x` and `nan`), and one step of each stage is played in a process of its own.
It must be refused in one line, or run: a traceback, or no answer within the patience, is printed and ends with 1.
"""

from __future__ import annotations

import argparse
import collections
import math
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import soak
import torch

from ganvas import launch
from ganvas.errors import UserError
from ganvas.settings import to_json
from ganvas.training import rehearsal

NUMBERS = (0, -1, math.nan, math.inf, 10**12, 1, -0.5)


def leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and value of every setting."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{name}.")
        else:
            yield above + name, value


def wrongs(value: Any) -> list[Any]:
    """Return what takes a value's place."""
    if isinstance(value, bool):
        return []
    if isinstance(value, str):
        return ["", "x", "nan"]
    return [[], *([number] for number in NUMBERS)] if isinstance(value, list) else list(NUMBERS)


def attempt(recipe: str, data: Path, name: str, value: Any, patience: int) -> str:
    """Play a step with one setting changed in a forked process; return `refused`, `ran` or what went wrong."""
    receive, told = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(patience)
        with open(os.devnull, "w") as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        try:
            where, preset, changes = soak.RECIPES[recipe]
            changed = {**soak.COMMON, **changes, "data": str(data / where), name: value}
            rehearsal.rehearse(launch.plan(launch.order(recipe, preset, changed)), steps=1)
            said = "ran"
        except UserError:
            said = "refused"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(told, said.encode()[:500])
        os._exit(0)
    os.close(told)
    with os.fdopen(receive, "rb") as answer:
        said = answer.read().decode(errors="replace")
    os.waitpid(child, 0)
    return said or "no answer"


def main() -> int:
    """Read the command line, try every setting, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=[], help="default: all eight")
    parser.add_argument("--patience", type=int, default=60, help="seconds after which an attempt has hung")
    options = parser.parse_args()
    torch.set_num_threads(1)
    wrong = False
    with tempfile.TemporaryDirectory() as folder:
        soak.draw(Path(folder))
        print(
            "| recipe | attempts | refused in one line | ran | tracebacks or hangs |\n|---|---|---|---|---|", flush=True
        )
        for recipe in options.recipes or soak.RECIPES:
            counts: collections.Counter[str] = collections.Counter()
            for name, value in leaves(to_json(soak.order_of(recipe, Path(folder)).settings)):
                for other in wrongs(value) if name != "data" else ():
                    said = attempt(recipe, Path(folder), name, other, options.patience)
                    counts[said if said in ("refused", "ran") else "wrong"] += 1
                    if said not in ("refused", "ran"):
                        wrong = True
                        print(f"{recipe} {name}={other!r}: {said}", file=sys.stderr, flush=True)
            row = (recipe, sum(counts.values()), counts["refused"], counts["ran"], counts["wrong"])
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
