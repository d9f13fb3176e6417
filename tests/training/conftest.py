"""Puts the tests' own recipes within reach, and makes tiny runs quick."""

import os

import pytest
import torch


@pytest.fixture(scope="session")
def forks():
    from forks import Forks

    process = Forks()
    yield process
    process.close()


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    # Flushing guards against power failures, which no test here can cause; it is nine tenths of a tiny run's time.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
