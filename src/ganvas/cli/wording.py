"""Errors in the words of the command line: a setting is named as it is written there, not as runs store it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ganvas.errors import UserError

if TYPE_CHECKING:
    from ganvas.cli.options import Option

_SETTING = re.compile(r"Setting '([\w.]+)'")
_OPTION = re.compile(r"--([a-z][a-z0-9-]*[a-z0-9])")
_STORED = re.compile(r"(?<![\w./'\"-])[a-z]\w*_\w+(?![\w/(='\"]|\.\w)")
"""A name with an underscore that is no part of a path, of a quotation or of code."""
_LISTED = re.compile(r"(--[a-z-]+ (?:and|or) )([a-z]+)\b")
_FIRST = re.compile(r"([a-z]\w*) is ")


def as_written(text: str, options: Sequence[Option]) -> str:
    """Return a sentence with the options that one writes in place of the settings that runs store."""
    written = _names(options)
    text = _SETTING.sub(lambda found: written.get(found[1], found[0]), text)
    if (first := _FIRST.match(text)) and first[1] in written:
        text = written[first[1]] + text[first.end(1) :]
    text = _OPTION.sub(lambda found: written.get(found[1].replace("-", "_"), found[0]), text)
    text = _STORED.sub(lambda found: written.get(found[0], found[0]), text)
    return _LISTED.sub(lambda found: found[1] + written.get(found[2], found[2]), text)


@contextlib.contextmanager
def in_words_of(options: Sequence[Option]) -> Iterator[None]:
    """Let errors of the block name the options that were written."""
    try:
        yield
    except UserError as error:
        error.args = tuple(as_written(str(part), options) for part in error.args)
        raise


def _names(options: Sequence[Option]) -> dict[str, str]:
    """Return how each setting is written: crop_px -> --crop-size."""
    found: dict[str, str] = {}
    for option in options:
        if option.is_positional:
            continue
        long = next(name for name in option.names if name.startswith("--"))
        found[option.field.replace("-", "_")] = long
        for part, side in zip(option.parts, ("width", "height")):
            found[part.replace("-", "_")] = f"the {side} of {long}"
    return found
