"""What all tests share: what Ganvas remembers of its user is kept in a folder of the tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_memory(tmp_path_factory: pytest.TempPathFactory):
    before = os.environ.get("GANVAS_HOME")
    os.environ["GANVAS_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield Path(os.environ["GANVAS_HOME"])
    if before is None:
        del os.environ["GANVAS_HOME"]
    else:
        os.environ["GANVAS_HOME"] = before
