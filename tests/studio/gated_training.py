"""`ganvas` with trainings that wait in the middle of a step while a file is there: python gated_training.py WORDS."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ganvas.cli import main
from ganvas.recipes.biggan import BigGAN

GATE = "GANVAS_TEST_GATE"
"""Environment variable: path of the file. Beside it `reached` is written when a training waits."""
HELD_STEP = 4


def wait_at_gate() -> None:
    """Make trainings of BigGAN wait at a step while the gate is shut."""
    original = BigGAN.generator_losses

    def losses(self, nets, batch, outputs, carry, context):
        gate = Path(os.environ[GATE])
        if context.step == HELD_STEP and gate.exists():
            gate.with_name("reached").touch()
            while gate.exists():
                time.sleep(0.02)
        return original(self, nets, batch, outputs, carry, context)

    BigGAN.generator_losses = losses


if __name__ == "__main__":
    wait_at_gate()
    sys.exit(main(sys.argv[1:]))
