"""What docs/architecture.md promises of the house, beyond what import-linter checks."""

from __future__ import annotations

import ast
import graphlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src"
FILES = {
    ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (SRC / "ganvas").rglob("*.py")
}


def imported(path: Path) -> set[str]:
    """Return the files that a file imports when it runs, in functions as well."""
    tree = ast.parse(path.read_text())
    types_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in types_only:
            found |= {
                name if (name := f"{node.module}.{alias.name}") in FILES else f"{node.module}" for alias in node.names
            }
        elif isinstance(node, ast.Import) and node not in types_only:
            found |= {alias.name for alias in node.names}
    return found & FILES.keys()


def test_no_two_files_import_each_other_however_far_around():
    graph = {name: imported(path) - {name} for name, path in FILES.items()}
    assert sum(map(len, graph.values())) > 500
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError with the cycle


@pytest.mark.parametrize("room", ["cli", "inference", "evaluation"])
def test_no_function_has_more_than_twelve_parameters(room):
    for path in (SRC / "ganvas" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                arguments = [one.arg for one in (*node.args.args, *node.args.kwonlyargs) if one.arg != "self"]
                assert len(arguments) <= 12, f"{path.name}: {node.name} has {len(arguments)}"


def test_the_walks_name_files_that_are_there():
    text = "".join((ROOT / "docs" / page).read_text() for page in ("architecture.md", "inside.md"))
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)(?::\w+)?`", text))
    assert len(named) > 30
    paths = [path.relative_to(SRC).as_posix() for path in FILES.values()]
    missing = [name for name in named if not any(path.endswith(f"/{name}") for path in paths)]
    assert missing == []


def test_help_of_every_verb_is_printed(capsys):
    from ganvas import cli

    for verb in cli.VERBS:
        if verb != "generate":  # its options depend on the model
            assert cli.main([verb, "--help"]) == cli.DONE, verb
            assert "usage" in capsys.readouterr().out.lower(), verb
