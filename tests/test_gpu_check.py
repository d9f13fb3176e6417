"""The script for a GPU skips cleanly where there is none, and its checks tell right from wrong."""

import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def gpu_check():
    spec = importlib.util.spec_from_file_location("gpu_check", ROOT / "scripts" / "gpu_check.py")
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.modules["gpu_check"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before
    del sys.modules["gpu_check"]


@pytest.fixture
def bench(gpu_check, tmp_path):
    return gpu_check.Bench(torch.device("cpu"), tmp_path, time.monotonic() + 600)


def test_without_a_gpu_it_says_so_and_writes_its_files(gpu_check, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu_check.main(["--out", str(tmp_path / "found.json")]) == 0
    assert "No GPU" in capsys.readouterr().out
    told = json.loads((tmp_path / "found.json").read_text())
    assert told["skipped"] and len(told["rows"]) == 1
    assert "skipped" in (tmp_path / "found.md").read_text()


def test_a_check_that_raises_fails_alone_and_the_exit_code_says_so(gpu_check, tmp_path, monkeypatch):
    def fails(bench):
        yield gpu_check.Row("first", "a", "1", True)
        raise RuntimeError("CUDA error")

    def works(bench):
        yield gpu_check.Row("second", "b", "2", None)

    monkeypatch.setattr(gpu_check, "CHECKS", (fails, works))
    assert gpu_check.main(["--cpu", "--out", str(tmp_path / "found.json")]) == 1
    rows = json.loads((tmp_path / "found.json").read_text())["rows"]
    assert [(row["check"], row["passed"]) for row in rows] == [("first", True), ("fails", False), ("second", None)]
    assert "FAILED" in (tmp_path / "found.md").read_text()


def test_no_check_begins_after_the_time_is_over(gpu_check, bench):
    def endless(bench):
        while True:
            yield gpu_check.Row("step", "a", "1", True)

    bench.ends = 0
    gpu_check.CHECKS, before = (endless,), gpu_check.CHECKS
    try:
        rows = gpu_check.run_checks(bench)
    finally:
        gpu_check.CHECKS = before
    assert len(rows) == 2 and "time is over" in rows[-1].value


def test_parity_fails_where_a_device_computes_something_else(gpu_check, bench, monkeypatch):
    known = [model for model in gpu_check.known_models() if model.name == "compact-x2"]
    monkeypatch.setattr(gpu_check, "known_models", lambda: known)
    assert all(row.passed for row in gpu_check.parity(bench))
    real = gpu_check.pick_backend

    def wrong(*arguments, **named):
        backend = real(*arguments, **named)
        call = backend.call
        backend.call = lambda picture: call(picture) + 0.1
        return backend

    monkeypatch.setattr(gpu_check, "pick_backend", wrong)
    assert not any(row.passed for row in gpu_check.parity(bench))


def test_a_step_is_made_and_the_layouts_are_timed(gpu_check, bench, monkeypatch):
    monkeypatch.setattr(gpu_check, "RECIPES", {"relativistic": ""})
    monkeypatch.setitem(gpu_check.train_step.DRAWN, "shapes", ("shapes", "--size", "64", "--per-class", "1"))
    (row,) = gpu_check.steps(bench)
    assert row.passed and "s, " in row.value
    assert {row.subject for row in gpu_check.layouts(bench)} == {"default", "channels_last"}
    assert [row.passed for row in gpu_check.ranks(bench)] == [None]
