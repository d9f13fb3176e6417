"""What the user has been told once, so that it is not said again."""

from __future__ import annotations

import os
from pathlib import Path


def first_time(subject: str) -> bool:
    """Tell whether this is the first time that a subject comes up; where that cannot be noted, it never is.

    Noted below $GANVAS_HOME or ~/.cache/ganvas.
    """
    home = os.environ.get("GANVAS_HOME")
    folder = (Path(home) if home else Path.home() / ".cache" / "ganvas") / "told"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / subject).touch(exist_ok=False)
    except OSError:  # FileExistsError is one
        return False
    return True
