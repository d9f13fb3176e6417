"""The verb `generate`: pictures and video from a trained generator, whose card says what it wants to be given."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from ganvas.cli import DONE, USAGE
from ganvas.errors import UserError

EXTENDED = {"seeds": "generate_seeds", "camera": "generate_cameras"}
"""Kinds with options that compare with data, which `inference/` does not do -> the file of this room that has them."""


def generate(arguments: Sequence[str]) -> int:
    """Open the model named first, and run what suits it with the other arguments."""
    if not arguments or arguments[0].startswith("-"):
        print(_help())
        return DONE if arguments and arguments[0] in ("-h", "--help") else USAGE
    if any(argument == "--then" or argument.startswith("--then=") for argument in arguments):
        return importlib.import_module("ganvas.cli.generate_chain").generate_then(arguments)
    from ganvas.cli.arguments import Printing, parse
    from ganvas.cli.console import Console
    from ganvas.inference.kinds import KINDS
    from ganvas.inference.open import open_model

    opened = open_model(arguments[0])
    if opened.takes == "picture":
        do = f"ganvas upscale PICTURES --model {arguments[0]} --out DIR"
        raise UserError(f"{opened} does not generate", "It takes a picture", do)
    suite = _suite(opened.takes)

    def run(options: Any, printing: Printing) -> int:
        with Console(printing) as console:
            suite.run(opened, options, console.progress)
        return console.code

    run.__doc__ = f"Generate {KINDS[opened.takes].makes}."
    run.__annotations__ = {"options": suite.Options, "printing": Printing, "return": int}
    return parse(run, arguments[1:], "ganvas generate MODEL")


def _suite(takes: str) -> Any:
    from ganvas.inference.open import suite_of

    if takes in EXTENDED:
        return importlib.import_module(f"ganvas.cli.{EXTENDED[takes]}")
    return suite_of(takes)


def _help() -> str:
    from ganvas.inference.kinds import KINDS

    kinds = [f"  {name.ljust(8)}{kind.makes}" for name, kind in KINDS.items() if name != "picture"]
    return "\n".join([
        "usage: ganvas generate RUN_OR_FILE --out PATH [options]", "",
        "What a trained generator takes stands in its card:", *kinds, "",
        "`ganvas generate RUN_OR_FILE --help` lists the options that this one has.", "",
        "`--then MODEL`, as often as you like, enlarges what was generated: the results of each step lie in",
        "PATH/1-NAME, PATH/2-NAME ... In place of the first model a folder of pictures may stand. Of upres nets:",
        "--choose discriminator|contrast|laplacian|first, --variants flip,contrast,saturation, --layout sparse|dense,",
        "--size-px, --guide, --guide-file. For a clip: --walk --seeds 1,2,3 --steps 24, --fixed-choices, --steady 0.6",
        "(a blend along the flow; extra flow), --times 2 (frames between).",
    ])  # fmt: skip
