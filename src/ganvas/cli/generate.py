"""The verb `generate`: pictures and video from a trained generator, whose card says what it wants to be given."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganvas.cli import DONE, USAGE
from ganvas.cli.arguments import Printing, asks_for_help, options_of, parse
from ganvas.errors import UsageError

EXTENDED = {"seeds": "generate_seeds", "camera": "generate_cameras"}
"""Kinds with options that compare with data, which `inference/` does not do -> the file of this room that has them."""
TAKEN = {
    "labels": ("label maps", "--labels DIR --seed 3 --out DIR"),
    "seeds": ("noise", "--seeds 0-15 --out DIR"),
    "clip": ("a clip of label maps", "--labels DIR --out clip.mp4"),
    "camera": ("cameras", "--through 0,40 --out flight.mp4"),
}
"""What each kind takes, and how it is written."""


def generate(arguments: Sequence[str]) -> int:
    """Open the model that is named, and run what suits it with the other arguments."""
    name, rest = _model_among(arguments)
    if not name:
        if arguments and not asks_for_help(arguments):
            raise UsageError("Which model?", do="`ganvas models` lists them: ganvas generate street-painter --out DIR")
        print(_help())
        return DONE if arguments else USAGE
    if any(argument == "--then" or argument.startswith("--then=") for argument in arguments):
        return importlib.import_module("ganvas.cli.generate_chain").generate_then([name, *rest])
    from ganvas.cli.console import Console
    from ganvas.inference.kinds import KINDS
    from ganvas.inference.open import open_model
    from ganvas.inference.options import Sharing
    from ganvas.inference.shares import share

    opened = open_model(name)
    if opened.takes == "picture":
        do = f"ganvas upscale PICTURES --model {name} --out DIR"
        raise UsageError(f"{opened} does not generate", "It takes a picture", do)
    suite = _suite(opened.takes)

    def run(options: Any, printing: Printing, sharing: Sharing) -> int:
        with Console(printing) as console:
            if sharing.cluster:
                share(opened, options, sharing.cluster, console.progress)
            else:
                suite.run(opened, options, console.progress)
        return console.code

    run.__doc__ = f"Generate {KINDS[opened.takes].makes}."
    run.__annotations__ = {"options": suite.Options, "printing": Printing, "sharing": Sharing, "return": int}
    try:
        return parse(run, rest, f"ganvas generate {name}", scope=f"generate {opened.takes}")
    except UsageError:
        _refuse_options_of_other_kinds(name, opened.takes, rest)
        raise


def _refuse_options_of_other_kinds(name: str, takes: str, said: Sequence[str]) -> None:
    """Explain an error by an option that only models of another kind have.

    Raises:
        UsageError: there is such an option.
    """
    own = _names_of(takes)
    for other, (what, _) in TAKEN.items():
        strays = [word for word in said if word.partition("=")[0] in _names_of(other) - own]
        if strays:
            taken, example = TAKEN[takes]
            why = f"{strays[0].partition('=')[0]} is for models that take {what}"
            raise UsageError(f"{name} takes {taken}", why, f"ganvas generate {name} {example}")


def _names_of(kind: str) -> set[str]:
    return {name for option in options_of(_suite(kind).Options, f"generate {kind}") for name in option.names}


def _model_among(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the word that names a model, which may stand behind options, and the other words."""
    words = list(arguments)
    place = 0
    if words and words[0].startswith("-"):
        # Which options take a value depends on the model: the first word that names one, and is no folder to write to.
        free = [spot for spot, word in enumerate(words) if not word.startswith("-") and words[spot - 1] != "--out"]
        place = next((spot for spot in free if words[spot - 1] != "--then" and _is_model(words[spot])), -1)
    if place < 0 or not words:
        return "", words
    return words.pop(place), words


def _is_model(word: str) -> bool:
    from ganvas.inference.open import known_models
    from ganvas.io import runs

    path = Path(word)
    is_file = path.suffix.lower() in (".safetensors", ".pth", ".pt", ".ckpt") and path.is_file()
    return is_file or runs.is_run(path) or word in ("default", *(model.name for model in known_models()))


def _suite(takes: str) -> Any:
    from ganvas.inference.open import suite_of

    if takes in EXTENDED:
        return importlib.import_module(f"ganvas.cli.{EXTENDED[takes]}")
    return suite_of(takes)


def _help() -> str:
    from ganvas.inference.kinds import KINDS

    kinds = [f"  {name.ljust(8)}{kind.makes}" for name, kind in KINDS.items() if name != "picture"]
    return "\n".join([
        "usage: ganvas generate MODEL --out PATH [options]", "",
        "MODEL is a name (`ganvas models`), a weight file or a run. What it takes stands in its card:", *kinds, "",
        "`ganvas generate MODEL --help` lists its options: --labels DIR for a painter, --seeds 0-15 for a generator",
        "from noise, --cameras FILE or --through 0,40 for a learned place.", "",
        "`--then MODEL`, as often as you like, enlarges what was generated: the results of each step lie in",
        "PATH/1-NAME, PATH/2-NAME ... In place of the first model a folder of pictures may stand. Of upres nets:",
        "--choose discriminator|contrast|laplacian|first, --variants flip,contrast,saturation, --layout sparse|dense,",
        "--long-side, --guide, --guide-file. For a clip: --walk --seeds 1,2,3 --steps 24, --fixed-choices,",
        "--steady 0.6 (a blend along the flow; extra flow), --times 2 (frames between).",
    ])  # fmt: skip
