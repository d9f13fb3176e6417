"""How the processor's cores are shared with other programs."""

from __future__ import annotations

import os
from collections.abc import MutableMapping

SHARED = 0.5
"""Load for each core from which another program is taken to be at work."""
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")


def share_cores(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads sleep while they wait for each other, where other programs want the cores.

    OpenMP's threads spin for milliseconds at the end of every operation, in case the others are done at once. On an
    idle machine that is quickest; where another program holds a core it is many times slower than sleeping. It has to
    be said before torch is imported. What the user has set stays.
    """
    if any(name in environment for name in WAITING) or not hasattr(os, "getloadavg"):
        return
    if os.getloadavg()[0] >= SHARED * (os.cpu_count() or 1):
        environment["OMP_WAIT_POLICY"] = "passive"
