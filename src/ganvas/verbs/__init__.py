"""The verbs of the command line: typed functions whose parameters are the options and whose docstrings are the help.

torch is imported inside the functions that need it, so that help and lists answer at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

HOMES = {
    "upscale": "upscaling",
    "models": "upscaling",
    "demo": "upscaling",
    "recipes": "training",
    "inspect": "weight_files",
    "convert": "weight_files",
    "pack": "weight_files",
    "blend": "weight_files",
    "styles": "styling",
    "compare": "comparing",
    "shapes": "shaping",
    "neighbours": "neighbouring",
    "evaluate": "scores",
    "curate": "curating",
    "faces": "curating",
    "world": "worlds",
    "label": "labelling",
}
"""The file of each verb but `train` and `generate`, whose options depend on the recipe and on the model."""


def run(verb: str, arguments: Sequence[str]) -> int:
    """Run a verb by name with its command line arguments and return the exit code."""
    if verb == "train":
        return importlib.import_module("ganvas.verbs.training").train(arguments)
    if verb == "generate":
        return importlib.import_module("ganvas.verbs.generating").generate(arguments)
    import tyro

    function = getattr(importlib.import_module(f"ganvas.verbs.{HOMES[verb]}"), verb)
    return tyro.cli(function, prog=f"ganvas {verb}", args=list(arguments))
