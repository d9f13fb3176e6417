"""The files of a release agree: one version everywhere, and a citation file that can be read."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

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


def dry(*variables: str) -> str:
    """Return the commands that make would run on a fresh machine."""
    return subprocess.run(
        ["make", "--dry-run", "VENV=/nowhere", *variables, "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_takes_the_small_torch_only_when_told():
    assert "+cpu" not in dry() and "--index-url" not in dry()
    own, _, torchs = next(line for line in dry("CPU=1").splitlines() if "+cpu" in line).partition("||")
    assert "--index-url" not in own, "an index of the user's own comes first"
    assert "--index-url https://download.pytorch.org/whl/cpu torch==" in torchs
    assert "--index-url file:///wheels torch==" in dry("CPU=1", "CPU_INDEX=file:///wheels")
