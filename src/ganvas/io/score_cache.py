"""What scores need again: features of real sets and trained probes, by a name that tells all they depend on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from ganvas.io import runs
from ganvas.io.weights import containers


class ScoreCache:
    """Tensors by name in a folder, which is made when the first are kept."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def get(self, name: str) -> dict[str, Tensor] | None:
        """Return what was kept under a name, None where nothing was."""
        path = self._path(name)
        return dict(containers.open_stored(path)) if path.is_file() else None

    def put(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors under a name, all or none of them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        stored = {key: value.cpu().contiguous() for key, value in tensors.items()}
        runs.write_atomically(self._path(name), safetensors.torch.save(stored))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def default_cache() -> ScoreCache:
    """Return the cache below $GANVAS_HOME or ~/.cache/ganvas."""
    home = os.environ.get("GANVAS_HOME")
    return ScoreCache((Path(home) if home else Path.home() / ".cache" / "ganvas") / "scores")
