"""The small version of scripts/fuzz.py: damaged files of every kind are read or refused, never a defect or a hang."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz.py"
FILES = {"weights": 40, "cards": 40, "settings": 15, "pictures": 40, "labels": 30, "cameras": 40, "clips": 10}


@pytest.fixture(scope="module")
def fuzz():
    spec = importlib.util.spec_from_file_location("fuzz_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = sys.modules["fuzz_script"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sources(fuzz, tmp_path_factory):
    return fuzz.whole(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_are_read_or_refused(kind, fuzz, sources):
    row, wrong = fuzz.fuzz(kind, sources[kind], FILES[kind], 7, 60.0)
    assert wrong == [], row
    # Both happen, or the files were not damaged or not read.
    refused = int(row.split("|")[3])
    assert 0 < refused <= FILES[kind]
