"""Plain arrays by name from NumPy's .npz files; nothing in them is ever unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from ganvas.errors import UserError


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz file by name.

    Raises:
        UserError: the file is missing, damaged, or holds objects instead of numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError) as error:
        raise UserError(f"{path} cannot be read", str(error), "Write it with numpy.savez, numbers only") from error
