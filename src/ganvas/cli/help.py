"""The pages of `--help`: plain text, in groups, without the noise of types."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ganvas.cli.options import is_negative

if TYPE_CHECKING:
    from ganvas.cli.options import Option

COLUMN = 24
WIDEST = 100

TITLES = {
    "Inputs": "options",
    "Common": "where and how the network runs",
    "CommonOptions": "options",
    "Running": "where and how the network runs",
    "Sizing": "size of the output",
    "Losing": "picture files",
    "Writing": "picture files",
    "Naming": "names of the outputs",
    "Filming": "video",
    "TileOptions": "upres nets (tiled_upres)",
    "GuidedOptions": "upres nets (tiled_upres)",
    "PlanesOptions": "nets that take labels or classes",
    "Comparison": "models",
    "Pairs": "results against their truth",
    "Faked": "what is scored",
    "Sets": "sets of pictures",
    "Classes": "classes",
    "Maps": "pictures of label maps",
    "Clips": "video",
    "Views": "views of cameras",
    "Printing": "what is printed",
}
"""Headings of the groups of options, by the dataclass that declares them."""
OF_FIELD = {
    "from": "video",
    "to": "video",
    "long-side": "size of the output",
    "overwrite": "options",
    "report-seams": "where and how the network runs",
}
"""Headings of single options whose dataclass tells less."""
FIRST = ("options", "what is scored", "models", "size of the output", "names of the outputs", "picture files", "video")
LAST = ("where and how the network runs", "what is printed")


def verb_page(prog: str, about: str, options: Sequence[Option]) -> str:
    """Return the help of a verb."""
    positional = [option for option in options if option.is_positional]
    shown = [option.metavar if option.is_required else f"[{option.metavar}]" for option in positional]
    needed = [f"{option.names[0]} {option.metavar}" for option in options if option.is_required and option.names]
    usage = " ".join(["usage:", prog, *shown, *needed, "[options]"])
    groups: dict[str, list[Option]] = {name: [] for name in FIRST}
    for option in options:
        if not option.is_positional:
            title = OF_FIELD.get(option.field) or TITLES.get(option.group, "options")
            groups.setdefault(title, []).append(option)
    for name in LAST:
        groups[name] = groups.pop(name, [])
    lines = [usage, "", *paragraphs(about)]
    if positional:
        lines += ["", *(line for option in positional for line in entry(option))]
    for title, members in groups.items():
        # What must be given comes first.
        members = sorted(members, key=lambda option: not option.is_required)
        if members:
            lines += ["", f"{title}:", *(line for option in members for line in entry(option))]
    return "\n".join(lines)


def paragraphs(text: str) -> list[str]:
    """Return a docstring's text without its list of arguments, wrapped."""
    kept = text.partition("\nArgs:")[0].partition("\nRaises:")[0].strip().split("\n\n")
    lines: list[str] = []
    for place, block in enumerate(kept):
        lines += [*([""] if place else []), *textwrap.wrap(" ".join(block.split()), width())]
    return lines


def entry(option: Option) -> list[str]:
    """Return the lines of an option: its names and value, and beside them what it does, with its default."""
    # Of a flag, the form that changes something.
    negative = bool(option.names) and is_negative(option.names[0])
    shown = [name for name in option.names if not option.is_flag or is_negative(name) == negative]
    left = "  " + " ".join([", ".join(shown), option.metavar]).strip()
    default = f" [{option.default}]" if option.default and option.default not in ("()",) else ""
    first = option.help.split(" ")[0].strip(",.:;")
    is_value = first in ("auto", "h264", *option.choices)
    text = option.help if is_value else option.help[:1].upper() + option.help[1:]
    if option.is_flag and negative and not option.field.startswith("no-"):
        text = f"Switch off: {text[:1].lower()}{text[1:]}"  # the text says what the option does while it is on
    return two_columns(left, f"{text}{default}")


def two_columns(left: str, right: str) -> list[str]:
    """Return a name and what it means beside it, or below it where the name is long."""
    body = textwrap.wrap(right, max(30, width() - COLUMN), break_on_hyphens=False) or [""]
    lines = [] if len(left) < COLUMN - 1 else textwrap.wrap(left, width(), subsequent_indent=" " * 6)
    first = left.ljust(COLUMN) if not lines else " " * COLUMN
    return [*lines, (first + body[0]).rstrip(), *(" " * COLUMN + line for line in body[1:])]


def named_list(names: Iterable[str]) -> list[str]:
    """Return names as an indented paragraph that breaks between them only."""
    return textwrap.wrap(
        ", ".join(name.replace(" ", "\0") for name in names), width(), initial_indent="  ", subsequent_indent="  ",
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip


def plain(lines: Iterable[str]) -> str:
    """Return lines as text, with the blanks that were kept together."""
    return "\n".join(lines).replace("\0", " ")


def width() -> int:
    """Return the columns of a page: the terminal's, at most 100."""
    return min(WIDEST, max(60, shutil.get_terminal_size((WIDEST, 24)).columns))


def table(rows: Mapping[str, str]) -> list[str]:
    """Return names and what they mean as two columns."""
    return [line for name, text in rows.items() for line in two_columns(f"  {name}", text)]
