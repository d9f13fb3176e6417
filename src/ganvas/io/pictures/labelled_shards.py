"""Shards whose pictures have classes: in folders within, or by a `.cls` file beside each, as WebDataset keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any

from ganvas.io.pictures.archives import Shelf, open_shelf
from ganvas.io.pictures.shards import Tar, find_shards, is_plain, open_shard

CLASS_SUFFIX = ".cls"


def open_labelled(inputs: str | Path) -> Shelf:
    """Return the pictures of a folder, a zip file, a tar file, or of all shards of a folder or glob.

    Raises:
        UserError: it is none of these, or cannot be read.
    """
    found = find_shards(inputs)
    is_archive = len(found) == 1 and found[0] == Path(inputs) and found[0].suffix.lower() == ".zip"
    return Shards(found) if found and not is_archive else open_shelf(inputs)


class Shards:
    """The pictures of one or several shards as those of one folder.

    A picture of several shards has its shard's name before its own, `rose/train-000.tar:0001.jpg`. A folder that holds
    everything is left out of the names, as packing a folder by its name puts it there.

    Raises:
        UserError: a shard cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        found = [(path, name) for path in paths for name in open_shard(path).names() if is_plain(name)]
        self._shards = list(paths)
        self._root = _common_root([name for _, name in found])
        self._places: dict[str, tuple[Path, str]] = {}
        for path, name in found:
            shown = PurePosixPath(name.removeprefix(self._root))
            self._places[str(shown if len(paths) == 1 else shown.with_name(f"{path.name}:{shown.name}"))] = path, name

    def names(self) -> list[str]:
        """Return the pictures' names."""
        return sorted(self._places)

    def files(self) -> list[str]:
        """Return the names of all files in the shards."""
        return sorted(name for path in self._shards for name in open_shard(path).files())

    def folders(self) -> list[str]:
        """Return the folders directly below the top."""
        return sorted({name.partition("/")[0] for name in self._places if "/" in name})

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object at the top of a shard that is alone; as `labels.json` what the `.cls` files say.

        Raises:
            UserError: it is no JSON object, or a `.cls` file is none.
        """
        if len(self._shards) == 1 and (stored := open_shard(self._shards[0]).read_json(self._root + name)) is not None:
            return stored
        labels = {shown: self._label(*place) for shown, place in self._places.items()} if name == "labels.json" else {}
        known = {shown: label for shown, label in labels.items() if label is not None}
        return {"labels": known} if known else None

    def _label(self, path: Path, name: str) -> int | str | None:
        shard = open_shard(path)
        folder, _, file = name.rpartition("/")
        # WebDataset's key ends at the first dot of the name.
        beside = str(PurePosixPath(folder) / (file.partition(".")[0] + CLASS_SUFFIX))
        text = shard.read_text(beside) if isinstance(shard, Tar) else None
        return int(text) if text is not None and text.isdecimal() else text

    def num_bytes(self, names: Sequence[str]) -> int:
        """Return the bytes that pictures take in their shards."""
        return sum(open_shard(path).num_bytes([name]) for path, name in (self._places[shown] for shown in names))

    def file(self, name: str) -> AbstractContextManager[Path]:
        """Give a picture as a temporary file."""
        path, own = self._places[name]
        return open_shard(path).file(own)


def _common_root(names: Sequence[str]) -> str:
    """Return the folder that holds all others, with its slash; or nothing."""
    roots = {name.partition("/")[0] for name in names}
    return roots.pop() + "/" if len(roots) == 1 and all(name.count("/") > 1 for name in names) else ""
