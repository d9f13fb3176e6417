"""The studio's runs, trained once, and studios with and without them."""

from pathlib import Path

import pytest
from studio_server import client_of
from trained_runs import train_runs


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    return train_runs(tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def page(trained, tmp_path_factory):
    """A client of a studio that has a run of each kind."""
    with client_of(tmp_path_factory.mktemp("studio") / "work", str(trained)) as client:
        yield client


@pytest.fixture
def client(tmp_path):
    with client_of(tmp_path / "work") as client:
        yield client
