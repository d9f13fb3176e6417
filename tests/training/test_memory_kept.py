"""Training keeps the memory that a step frees for the next step, instead of fetching it anew page by page."""

import os
import subprocess
import sys

import pytest

PROBE = """
import resource, sys, torch
from tiny_runs import settings, plan
from ganvas.training import loop
from pathlib import Path
loop.train(plan(), Path(sys.argv[1]), quiet=True)
def faults():
    torch.ones(12_000_000).sum()  # 48 MB, which glibc hands back at once unless it is told otherwise
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
faults()
before = faults()
for _ in range(5):
    after = faults()
print((after - before) / 5)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of other systems keeps memory by its own rules")
def test_large_tensors_are_not_fetched_anew_in_every_step(tmp_path):
    from tiny_runs import FOLDERS

    run = subprocess.run(
        [sys.executable, "-c", PROBE, str(tmp_path / "run")],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": FOLDERS}, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    # 48 MB are 12,000 pages.
    assert float(run.stdout.split()[-1]) < 3000
