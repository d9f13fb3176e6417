"""Kill a training run at random moments, over and over, and check that it ends bit-equal to one that was left alone.

    python scripts/soak.py [--kills 30] [--seed 0] [--steps 400] [--folder DIR]

Each life is forked, lives for a random time and is ended by SIGKILL; the next one goes on from what lies on the disk.
Prints where each kill struck, and exits with 1 if a single bit of the final state differs.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "training")]


def soak(folder: Path, kills: int, seed: int, steps: int) -> bool:
    """Train a run through a number of kills; tell whether it equals an undisturbed one."""
    import nursery
    from tiny_runs import assert_same_bits

    # Flushing guards against power failures; here it would only take time.
    os.fsync = lambda _: None
    nursery.CHANGES.update(first_steps=steps // 2, second_steps=steps - steps // 2, checkpoint_every=1, score_every=10)
    whole, run = folder / "whole", folder / "killed"
    begun = time.monotonic()
    wait(nursery.fork(lambda: nursery.live(whole)))
    seconds = time.monotonic() - begun
    print(f"Undisturbed: {steps} steps in {seconds:.1f} s.", flush=True)
    chance = random.Random(seed)
    struck = past_zero = 0
    while struck < kills:
        start = nursery.whole_steps(run)
        past_zero += struck > 0 and start > 0
        child = nursery.fork(lambda: nursery.live(run))
        # Long enough to get somewhere on the average, short enough not to be through before the last kill.
        time.sleep(chance.uniform(0.02, 1.6 * seconds / kills))
        os.kill(child, signal.SIGKILL)
        if wait(child) != -signal.SIGKILL:
            print(f"The run ended after {struck} kills; give it more --steps.")
            return False
        struck += 1
        left = [path.name for path in (run / "checkpoints").glob(".*")] if run.exists() else []
        print(f"Kill {struck}: went on from step {start}, left behind {left or 'nothing half-done'}.", flush=True)
    wait(nursery.fork(lambda: nursery.live(run)))
    print(f"{past_zero} of {kills - 1} restarts went on from a checkpoint past step 0.")
    assert_same_bits(whole, run)
    return True


def wait(child: int) -> int:
    """Wait for a process and return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> int:
    """Read the command line, soak, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--folder", type=Path, default=None, help="keep the runs here (default: a temporary folder)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            equal = soak(folder, options.kills, options.seed, options.steps)
        except AssertionError as error:
            print(f"NOT equal: {error}")
            equal = False
    print("Bit-equal to the undisturbed run." if equal else "Failed.")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
