"""What all tests share: chance that is the same in any order, and a folder for what Ganvas remembers of its user."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def own_memory(tmp_path_factory: pytest.TempPathFactory):
    before = os.environ.get("GANVAS_HOME")
    os.environ["GANVAS_HOME"] = str(tmp_path_factory.mktemp("home"))
    yield Path(os.environ["GANVAS_HOME"])
    if before is None:
        del os.environ["GANVAS_HOME"]
    else:
        os.environ["GANVAS_HOME"] = before


@pytest.fixture(autouse=True)
def seeded():
    """Give each test the same numbers by chance, whichever tests ran before it in its process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
