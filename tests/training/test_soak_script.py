"""The small version of scripts/soak.py: two recipes, killed a few times each, end bit-equal."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "soak.py"


def test_killed_runs_of_real_recipes_end_bit_equal(tmp_path):
    arguments = [
        sys.executable,
        str(SCRIPT),
        "relativistic",
        "--kills",
        "3",
        "--steps",
        "40",
        "--folder",
        str(tmp_path),
    ]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 0 and "| relativistic | 1 | 40 | " in ended.stdout, ended.stdout + ended.stderr
    assert "| equal |" in ended.stdout
