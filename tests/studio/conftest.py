"""The studio's runs, trained once."""

from pathlib import Path

import pytest
from trained_runs import train_runs


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    return train_runs(tmp_path_factory.mktemp("trained"))
