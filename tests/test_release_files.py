"""The files of a release agree: one version everywhere, and a citation file that can be read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import ganvas

ROOT = Path(__file__).parents[1]


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert cited and cited[1] == project["version"] == ganvas.__version__


def test_every_extra_is_told_where_one_installs():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    page = (ROOT / "docs" / "start.md").read_text()
    assert [extra for extra in extras if f"`{extra}`" not in page] == []


def test_every_tool_of_the_documentation_is_pinned():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    pinned = {line.split("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert {re.split(r"[>=\[]", name)[0].lower() for name in extras["docs"]} <= pinned


def test_make_asks_for_the_small_torch_only_when_told():
    make = (ROOT / "Makefile").read_text()
    assert re.search(r"^TORCH_INDEX := \$\(if \$\(CPU\),--index-url ", make, re.MULTILINE)
    assert "torch==2.13.0 $(TORCH_INDEX)" in make
