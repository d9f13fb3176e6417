"""The verb `generate`: pictures and video from a trained generator, whose card says what it wants to be given."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from ganvas.cli import DONE, USAGE
from ganvas.errors import UserError

KINDS = {
    "seeds": ("generate_seeds", "pictures from noise, by class where the generator knows classes"),
    "labels": ("generate_labels", "pictures from label maps, with a style for each instance"),
    "clip": ("generate_clips", "video from a sequence of label maps"),
    "camera": ("generate_cameras", "video from a camera path"),
}
"""What a card's `input` may be -> the file of cli/ whose function `generate` takes it, and what it makes."""


def generate(arguments: Sequence[str]) -> int:
    """Read the card of the model named first and run the `generate` that suits it."""
    import tyro

    if not arguments or arguments[0].startswith("-"):
        print(_help())
        return DONE if arguments and arguments[0] in ("-h", "--help") else USAGE
    if any(argument == "--then" or argument.startswith("--then=") for argument in arguments):
        return importlib.import_module("ganvas.cli.generate_chain").generate_then(arguments)
    from ganvas.inference.open import resolve
    from ganvas.io.weights import files as weights

    card = weights.read_card(resolve(arguments[0]))
    if card.input not in KINDS:
        why = f"It takes a {card.input}"
        do = ""
        if card.input == "picture":
            # Nets with a guide are no plain upscalers; a chain runs both.
            plain = card.channels_in == 3 and "upres" not in card.extra
            do = f"ganvas upscale PICTURE --model {arguments[0]} --out FILE"
            do = do if plain else f"ganvas generate PICTURES --then {arguments[0]} --out DIR"
        raise UserError(f"{Path(arguments[0]).name} does not generate", why, do)
    function = importlib.import_module(f"ganvas.cli.{KINDS[card.input][0]}").generate
    return tyro.cli(function, prog="ganvas generate", args=list(arguments))


def _help() -> str:
    kinds = [f"  {kind.ljust(8)}{about}" for kind, (_, about) in KINDS.items()]
    return "\n".join([
        "usage: ganvas generate RUN_OR_FILE --out PATH [options]", "",
        "What a trained generator takes stands in its card:", *kinds, "",
        "`ganvas generate RUN_OR_FILE --help` lists the options that this one has.", "",
        "`--then MODEL`, as often as you like, enlarges what was made: the results of each step lie in PATH/1-NAME,",
        "PATH/2-NAME ... In place of the first model a folder of pictures may stand. Of upres nets: --choose",
        "discriminator|contrast|laplacian|first, --variants flip,contrast,saturation, --layout seed|dense, --size-px,",
        "--guide, --guide-file. For a clip: --walk --seeds 1,2,3 --steps 24, --fixed-choices, --steady 0.6 (a blend",
        "along the flow; extra flow), --times 2 (frames between).",
    ])  # fmt: skip
