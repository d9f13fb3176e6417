"""The documentation against the program: links lead somewhere, commands can be read, errors that are quoted exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from ganvas import cli
from ganvas.cli import words
from ganvas.cli.arguments import options_of
from ganvas.cli.options import Option
from ganvas.errors import UserError
from ganvas.recipes import base

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [ROOT / "README.md", *DOCS.rglob("*.md")])
SHORT = [page for page in PAGES if "measured/" not in page]
MOST_WORDS = 1200


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def slugs(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md", "AGENTS.md"])
def test_every_link_leads_to_a_page_and_its_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)):
        if target.startswith(("http", "mailto")):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / page).parent / name if name else ROOT / page
        assert path.exists(), f"{page}: {target}"
        if anchor and path.suffix == ".md":
            assert anchor in slugs(path.read_text()), f"{page}: {target}"


@pytest.mark.parametrize("page", SHORT)
def test_a_page_is_read_in_one_sitting(page):
    assert len(text_of(page).split()) <= MOST_WORDS, len(text_of(page).split())


def test_the_navigation_has_every_page_once():
    nav = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]

    def pages(entry):
        if isinstance(entry, str):
            return [entry]
        return [page for value in (entry.values() if isinstance(entry, dict) else entry) for page in pages(value)]

    assert sorted(pages(nav)) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def commands(page: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|bash|sh methods)?\n(.*?)```", text_of(page), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    quoted = re.findall(r"`(ganvas [a-z_]+ [^`]+)`", re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL))
    found = [line.strip() for line in lines if re.match(r"\s*ganvas ", line)] + [
        " ".join(one.split()) for one in quoted
    ]
    return [line for line in found if "..." not in line and "VERB" not in line]


@pytest.fixture(scope="module")
def known() -> dict[str, list[Option]]:
    """The options of verbs that ask a model or a recipe for them."""
    from ganvas.cli import generate_cameras, generate_chain, generate_seeds, label, train
    from ganvas.inference.open import suite_of

    found = {f"train {name}": [*options_of(train.Starting, f"train {name}"),
             *options_of(base.find(name).Settings, f"train {name}", base.find(name).Settings())]
             for name in base.RECIPES}  # fmt: skip
    for takes, kind in (("labels", suite_of("labels").Options), ("clip", suite_of("clip").Options),
                        ("seeds", generate_seeds.Options), ("camera", generate_cameras.Options),
                        ("chain", generate_chain.Chain)):  # fmt: skip
        found[f"generate {takes}"] = options_of(kind, f"generate {takes}")
    for part, function in (("", label.segment), (" remap", label.remap), (" split", label.split),
                           (" import", label.import_), (" legend", label.legend)):  # fmt: skip
        found[f"label{part}"] = options_of(function, f"label{part}")
    return found


def options_for(verb: str, rest: list[str], known: dict[str, list[Option]]) -> list[tuple[str, list[Option]]]:
    """Return the options that a command may have, by scope: several where the model decides."""
    import importlib

    if verb == "train":
        recipe = next((word for word in rest if word in base.RECIPES), "")
        every = [(scope, options) for scope, options in known.items() if scope.startswith("train")]
        return [(f"train {recipe}", known[f"train {recipe}"])] if recipe else every
    if verb == "generate":
        printing = options_of(importlib.import_module("ganvas.cli.arguments").Printing, "")
        chain = known["generate chain"] if "--then" in rest else []
        return [
            (scope, [*options, *chain, *printing]) for scope, options in known.items() if scope.startswith("generate")
        ]
    if verb == "label":
        scope = f"label {rest[0]}" if rest and f"label {rest[0]}" in known else "label"
        return [(scope, known[scope])]
    if verb == "help":
        return []
    return [(verb, options_of(getattr(importlib.import_module(f"ganvas.cli.{cli.VERBS[verb][0]}"), verb), verb))]


OWN_RECIPE = ("my_recipe.py", "examples/", "FILE.py", "RECIPE.py", "my_recipe", "FILE")


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "AGENTS.md"])
def test_every_command_can_be_read(page, known, capsys):
    for line in commands(page):
        said = line.partition(" #")[0].partition(" > ")[0].partition(" | ")[0].rstrip(";, ")
        verb, *rest = shlex.split(said)[1:] or [""]
        if verb.startswith("-") or not verb.islower() or any(own in said for own in OWN_RECIPE) or "--help" in said:
            continue
        assert verb in [*cli.VERBS, "help"], f"{page}: {line}"
        problems = []
        scopes = options_for(verb, rest, known)
        for scope, options in scopes:
            try:
                read = words.read_words(rest, options, scope)
                words.refuse_unknown(read, options, f"ganvas {verb}")
                if page in SHORT:
                    assert not read.hints, f"{page}: {line}: {read.hints}"
                break
            except UserError as error:
                # Values stand for others: A|B, N, DIR.
                if "is '" in str(error) and re.search(r"[A-Z|]", str(error)):
                    break
                problems.append(str(error))
        else:
            assert not scopes, f"{page}: {line}: {problems}"


def test_errors_that_are_explained_exist():
    sources = " ".join(path.read_text() for path in (ROOT / "src").rglob("*.py")) + (ROOT / "Makefile").read_text()
    sources = re.sub(r"\s+", " ", sources)
    headings = re.findall(r"^\*\*(.+?)\*\*", text_of("docs/troubleshooting.md"), re.MULTILINE)
    quoted = [code for heading in headings for code in re.findall(r"`([^`]+)`", heading)]
    quoted = [
        text for text in quoted if text not in ("margin", "ganvas: command not found") and not text.startswith("--")
    ]
    assert len(quoted) > 20
    # Names that a message fills in are left out.
    parts = [part.strip(". ") for text in quoted for part in re.split(r" ?\.\.\. ?|'[a-z]+'|'\w+'", text)]
    assert [part for part in parts if part not in sources] == []
