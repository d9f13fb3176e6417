"""The words of a command: checked against a verb's options, put in the order and the names of its parser.

Options and positional arguments may come in any order, a list may be written with spaces or commas, and names of
earlier versions are understood. What cannot be understood is told in one line, with exit code 2.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ganvas.cli.names import EARLIER, OUT_STOOD_FREE, SQUARES
from ganvas.cli.options import MANY, TRUTHS, Option, is_negative
from ganvas.errors import UsageError, did_you_mean

_PAIR = re.compile(r"([-+\d.e]+)[x,]([-+\d.e]+)", re.IGNORECASE)
"""Two numbers written as one word: 36x24 or 0.5,0.9."""


@dataclass
class Words:
    """What a command says: its positional arguments, its options with their values, and hints to tell."""

    positional: list[str] = field(default_factory=list)
    named: list[tuple[Option, list[str], str]] = field(default_factory=list)
    """Option, values, and the name that was written."""
    unknown: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        """Tell whether an option was given."""
        return any(option.field == name for option, _, _ in self.named)


def read_words(arguments: Sequence[str], options: Sequence[Option], scope: str) -> Words:
    """Return what a command says; words that are no option of the verb are `unknown`.

    Raises:
        UsageError: a value is missing, or is not what its option takes.
    """
    known = _known(options, scope)
    said = Words()
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if word == "--":
            said.positional += queue
            break
        if not _is_option(word):
            said.positional.append(word)
            continue
        name, equals, value = word.partition("=")
        name = name.replace("_", "-") if name.startswith("--") else name
        if name not in known:
            said.unknown.append(word)
            # Its value, if it has one, is no positional argument.
            while not equals and queue and not _is_option(queue[0]):
                said.unknown.append(queue.pop(0))
            continue
        option, now = known[name]
        if now != name:
            said.hints.append(f"{name} is called {now} now")
        if equals and option.values == 2:
            queue.insert(0, value)
        given = [value] if equals and option.values != 2 else _values(option, now, queue)
        said.named.append((option, _checked(option, now, given), now))
    return said


def arrange(arguments: Sequence[str], options: Sequence[Option], scope: str, prog: str) -> list[str]:
    """Return the words of a command as its parser takes them, and print hints on the error stream.

    Raises:
        UsageError: an option is unknown or missing, or a value is not what its option takes.
    """
    said = read_words(arguments, options, scope)
    refuse_unknown(said, options, prog)
    positional = [option for option in options if option.is_positional]
    _place_free_output(said, options, positional, scope.split(" ")[0])
    _recover(said, positional)
    _require_all(said, options, positional, prog)
    tell(said)
    return [*said.positional, *spelled(said)]


def tell(said: Words) -> None:
    """Print the hints about names of earlier versions, unless the command is to be quiet."""
    if not said.has("quiet"):
        for hint in dict.fromkeys(said.hints):
            print(f"ganvas: {hint}", file=sys.stderr)


def spelled(said: Words) -> list[str]:
    """Return the options of a command as the parser spells them."""
    words: list[str] = []
    many: dict[str, list[str]] = {}
    for option, values, name in said.named:
        if option.parts:
            for part, value in zip(option.parts, values[0].lower().split("x")):
                words += [f"--{part}", value]
        elif option.is_flag:
            negative = is_negative(name) and not option.field.startswith("no-")
            group, _, last = option.field.rpartition(".")
            words.append(f"--{group}{'.' if group else ''}{'no-' if negative else ''}{last}")
        elif option.values == MANY and not option.repeats:
            many.setdefault(option.field, []).extend(values)
        elif option.values == 1 and values[0].startswith("-"):
            words.append(f"--{option.field}={values[0]}")
        else:
            words += [f"--{option.field}", *values]
    for name, values in many.items():
        words += [f"--{name}", *values]
    return words


def refuse_unknown(said: Words, options: Sequence[Option], prog: str) -> None:
    """Refuse words that look like options and are none of the verb.

    Raises:
        UsageError: there are such.
    """
    strays = [word.partition("=")[0] for word in said.unknown if _is_option(word)]
    if not strays:
        return
    for option in options:
        if strays[0].removeprefix("--").replace("_", "-") in option.parts:
            raise UsageError(f"`{prog}` has no option {strays[0]}", do=f"Write {_long(option)} {option.metavar}")
    names = [name for option in options for name in option.names if name.startswith("--")]
    near = did_you_mean(strays[0], names)
    command = prog.removeprefix("ganvas ")
    advice = near if near.startswith("Did") else f"`ganvas help {command.split(' ')[0]}` lists the options"
    raise UsageError(f"`{prog}` has no option {' '.join(strays)}", do=advice)


def _known(options: Sequence[Option], scope: str) -> dict[str, tuple[Option, str]]:
    """Return the option of each name that may be written, and its name of today."""
    found: dict[str, tuple[Option, str]] = {}
    for option in options:
        for part in option.parts or (option.field,):
            if option.names and not option.parts:
                found[f"--{part}"] = (option, option.names[-1] if option.is_flag else _long(option))
        for name in option.names:
            found[name] = (option, name)
    for old, new in EARLIER.get(scope, {}).items():
        if f"--{new}" in found and f"--{old}" not in found:
            found[f"--{old}"] = (found[f"--{new}"][0], f"--{new}")
    return found


def _long(option: Option) -> str:
    return next((name for name in option.names if name.startswith("--")), option.names[0])


def _is_option(word: str) -> bool:
    return len(word) > 1 and word.startswith("-") and not re.match(r"-[.\d]", word)


def _values(option: Option, name: str, queue: list[str]) -> list[str]:
    if option.is_flag:
        return []
    if option.values != MANY or option.repeats:
        count = 1 if option.values == MANY else option.values
        if count == 2 and queue and (pair := _PAIR.fullmatch(queue[0])):
            queue.pop(0)
            return [pair[1], pair[2]]
        taken = [queue.pop(0) for _ in range(min(count, len(queue)))]
        if len(taken) < count or any(_is_option(word) and word.startswith("--") for word in taken):
            what = f"{name} needs a value" if count == 1 else f"{name} needs {count} values"
            raise UsageError(what, do=f"Write {name} {option.metavar}")
        return taken
    taken = []
    while queue and not _is_option(queue[0]) and _suits(option, queue[0]):
        taken.append(queue.pop(0))
    return taken


def _suits(option: Option, word: str) -> bool:
    """Tell whether a word may be one of the many values of an option, and is not what comes behind them."""
    if option.choices:
        return word in option.choices
    if option.kind in ("int", "float"):
        return all(_is_number(part, option.kind) for part in word.split(","))
    return True


def _is_number(text: str, kind: str) -> bool:
    try:
        (int if kind == "int" else float)(text)
    except ValueError:
        return False
    return True


def _checked(option: Option, name: str, values: list[str]) -> list[str]:
    if option.choices == tuple(TRUTHS):
        if values[0] not in (*TRUTHS, *TRUTHS.values()):
            raise UsageError(f"{name} is {values[0]!r}", do=f"Write {name} {option.metavar}")
        return [TRUTHS.get(values[0], values[0])]
    if option.parts:
        if len(values[0].lower().split("x")) != 2 or not all(map(str.isdecimal, values[0].lower().split("x"))):
            raise UsageError(f"{name} is {values[0]!r}", do="Write width x height in pixels, such as 512x256")
        return values
    if option.kind == "int" and name.removeprefix("--") in SQUARES and option.values == 1:
        width, x, height = values[0].lower().partition("x")
        if x and width != height:
            raise UsageError(f"{name} is {values[0]}", "These pictures are square", f"Write {name} {width}")
        values = [width]
    if option.values == MANY and option.kind in ("int", "float"):
        values = [part for value in values for part in value.split(",") if part]
    for value in values:
        if value == "None":
            continue
        if option.choices and value not in option.choices:
            raise UsageError(f"{name} is {value!r}", do=did_you_mean(value, option.choices))
        if option.kind in ("int", "float") and not _is_number(value, option.kind):
            wanted = "a whole number" if option.kind == "int" else "a number"
            raise UsageError(f"{name} is {value!r}", f"It takes {wanted}")
    return values


def _place_free_output(said: Words, options: Sequence[Option], positional: Sequence[Option], verb: str) -> None:
    """Take a positional argument too many for the output, where that was once written so."""
    out = next((option for option in options if option.field == "out"), None)
    if verb not in OUT_STOOD_FREE or out is None or said.has("out") or len(said.positional) != len(positional) + 1:
        return
    said.named.append((out, [said.positional.pop()], "--out"))
    said.hints.append("the output is named by --out now")


def _recover(said: Words, positional: Sequence[Option]) -> None:
    """Give back to the positional arguments what a list of values before them has swallowed: `--style a=1 FOLDER`."""
    missing = len([option for option in positional if option.is_required or option.values == MANY])
    missing -= len(said.positional)
    for option, values, _ in reversed(said.named):
        if option.values == MANY and option.kind == "text" and not option.choices and not option.repeats:
            while missing > 0 and len(values) > 1 and Path(values[-1]).exists():
                said.positional.insert(0, values.pop())
                missing -= 1


def _require_all(said: Words, options: Sequence[Option], positional: Sequence[Option], prog: str) -> None:
    needed = [option.metavar for option in positional if option.is_required][len(said.positional) :]
    needed += [
        f"{_long(option)} {option.metavar}"
        for option in options
        if option.is_required and not option.is_positional and not said.has(option.field)
    ]
    if needed:
        do = f"`ganvas help {prog.removeprefix('ganvas ').split(' ')[0]}` tells what they are"
        raise UsageError(f"`{prog}` needs {' and '.join(needed)}", do=do)
    most = MANY if any(option.values == MANY for option in positional) else len(positional)
    if most != MANY and len(said.positional) > most:
        extra = " ".join(said.positional[most:])
        raise UsageError(f"`{prog}` does not know what to do with {extra}", do="Options begin with --")
