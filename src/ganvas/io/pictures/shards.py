"""Pictures in shards: uncompressed tar files (WebDataset) and zip files, read in place, one picture at a time.

A picture in a shard is named by a path through it, `train-000.tar/0001.jpg`. Nothing is unpacked beside the shard, and
no name in it is ever a place on the disk: a picture's bytes lie in a file of a name of ours while it is decoded.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import hashlib
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Concatenate, ParamSpec, TypeVar

from ganvas.errors import UserError
from ganvas.io import folders, runs
from ganvas.io.pictures import images
from ganvas.io.pictures.archives import MOST_BYTES, Shelf, open_shelf, temporary

SUFFIXES = (".tar", ".zip")
MOST_LABEL_BYTES = 256


class Tar:
    """The pictures of an uncompressed tar file. Only its headers are read to begin with.

    Raises:
        UserError: the file is compressed or no tar file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damage = ""
        """Why members at its end are missing, where it is cut short."""
        self._members: dict[str, tuple[int, int]] = {}
        size = path.stat().st_size
        try:
            with tarfile.open(path, "r:") as tar:
                self._list(tar, size)
        except (tarfile.TarError, OSError, ValueError) as error:
            if not self._members:
                do = "Shards are not compressed: gzip -d FILE.tar.gz, or pack them by tar -cf"
                raise UserError(f"{path} is no tar file that can be read", str(error), do) from error
            self.damage = f"It is damaged behind {len(self._members)} files: {error}"

    def _list(self, tar: tarfile.TarFile, size: int) -> None:
        # No links and no devices: only what has bytes of its own in the shard.
        for member in tar:
            if member.isreg() and not member.issparse() and is_plain(member.name):
                if member.offset_data + member.size > size:
                    self.damage = f"It ends within {member.name}"
                    return
                self._members[str(PurePosixPath(member.name))] = member.offset_data, member.size
            # The module keeps every header for members to be found by name again.
            tar.members = []  # pyright: ignore[reportAttributeAccessIssue]

    def names(self) -> list[str]:
        """Return the pictures' names in the shard."""
        return [name for name in self.files() if Path(name).suffix.lower() in images.READABLE]

    def files(self) -> list[str]:
        """Return the names of all files in the shard."""
        return sorted(self._members)

    def folders(self) -> list[str]:
        """Return the folders directly below the top."""
        return sorted({name.partition("/")[0] for name in self._members if "/" in name})

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object at the top of the shard.

        Raises:
            UserError: it is no JSON object, or too large.
        """
        if name not in self._members:
            return None
        if (size := self._members[name][1]) > runs.MOST_JSON_BYTES:
            why = f"It has {size} bytes; at most {runs.MOST_JSON_BYTES} are read"
            raise UserError(f"{name} in {self.path} cannot be read", why)
        try:
            value = json.loads(self._read(name))
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"{name} in {self.path} cannot be read", str(error)) from error
        if not isinstance(value, dict):
            raise UserError(f"{name} in {self.path} cannot be read", "It holds no JSON object")
        return value

    def read_text(self, name: str) -> str | None:
        """Return a short text beside a picture, stripped, or None where there is none.

        Raises:
            UserError: it is longer than a label, or no text.
        """
        if name not in self._members:
            return None
        try:
            if (size := self._members[name][1]) > MOST_LABEL_BYTES:
                raise ValueError(f"It has {size} bytes; at most {MOST_LABEL_BYTES} are read")
            return self._read(name).decode().strip()
        except (OSError, ValueError) as error:
            raise UserError(f"{name} in {self.path} is no label", str(error)) from error

    def num_bytes(self, names: Sequence[str]) -> int:
        """Return the bytes of members."""
        return sum(self._members[name][1] for name in names)

    def _read(self, name: str) -> bytes:
        # Opened for each read: threads and forked processes would share one file's position.
        offset, size = self._members[name]
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(size)
        if len(data) < size:
            raise OSError(f"it ends within {name}")
        return data

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give a temporary copy, because the library that decodes pictures reads files only.

        Raises:
            UserError: the member is too large, or cannot be read.
        """
        if name not in self._members:
            raise UserError(f"{name} is not in {self.path}", "The shard has changed", "Start again")
        if (size := self._members[name][1]) > MOST_BYTES:
            raise UserError(f"{name} in {self.path} is no picture", f"It has {size} bytes")
        with temporary(name, self.path) as copy:
            try:
                copy.write_bytes(self._read(name))
            except OSError as error:
                raise UserError(f"{name} in {self.path} cannot be read", str(error)) from error
            yield copy


def is_plain(name: str) -> bool:
    """Tell whether a member's name is a path below the shard, with no hidden part."""
    parts = PurePosixPath(name).parts
    return bool(parts) and not name.startswith("/") and all(part != ".." and folders.is_data(part) for part in parts)


def find_shards(entry: str | Path) -> list[Path]:
    """Return the shards that a path names: itself, those of a folder without pictures of its own, those of a glob."""
    path = Path(entry)
    if path.is_file():
        return [path] if path.suffix.lower() in SUFFIXES else []
    if path.is_dir():
        files = [file for file in folders.files(path) if file.suffix.lower() in (*SUFFIXES, *images.READABLE)]
        shards = [file for file in files if file.suffix.lower() in SUFFIXES]
        return sorted(shards) if len(shards) == len(files) else []
    if not glob.has_magic(str(entry)):
        return []
    matches = (Path(match) for match in glob.glob(str(entry), recursive=True))  # noqa: PTH207 - absolute patterns
    return sorted(match for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES)


def open_shard(path: Path) -> Shelf:
    """Return the pictures of a shard, which is listed once.

    Raises:
        UserError: it cannot be read.
    """
    facts = path.stat()
    return _opened(path, facts.st_mtime_ns, facts.st_size)


@functools.lru_cache(maxsize=1024)
def _opened(path: Path, _mtime_ns: int, _size: int) -> Shelf:
    return Tar(path) if path.suffix.lower() == ".tar" else open_shelf(path)


def members(shard: Path) -> list[Path]:
    """Return the pictures in a shard, as paths through it.

    Raises:
        UserError: it cannot be read.
    """
    return [shard / name for name in open_shard(shard).names() if is_plain(name)]


def shard_of(path: Path) -> tuple[Path, str] | None:
    """Return the shard that a path leads through and the name in it; None for a file of its own."""
    for parent in path.parents:
        if parent.suffix.lower() in SUFFIXES and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return None


@contextlib.contextmanager
def as_file(path: Path) -> Iterator[Path]:
    """Give a picture as a file, whether it is one or lies in a shard.

    Raises:
        UserError: the shard cannot be read, or holds no such picture that may be read.
    """
    if (found := shard_of(path)) is None:
        yield path
        return
    with open_shard(found[0]).file(found[1]) as file:
        yield file


Given = ParamSpec("Given")
Found = TypeVar("Found")


def from_shards(
    read: Callable[Concatenate[Path, Given], Found],
) -> Callable[Concatenate[str | Path, Given], Found]:
    """Return a function that reads files as one that also reads those in shards."""

    @functools.wraps(read)
    def reads(path: str | Path, *given: Given.args, **named: Given.kwargs) -> Found:
        with as_file(Path(path)) as file:
            return read(file, *given, **named)

    return reads


read = from_shards(images.read)
read_header = from_shards(images.read_header)


def num_bytes(path: Path) -> int:
    """Return the bytes of a picture's file, in a shard or not."""
    found = shard_of(path)
    return path.stat().st_size if found is None else open_shard(found[0]).num_bytes([found[1]])


def digest(path: Path) -> str:
    """Return the SHA-256 of a picture's bytes, or a text of its own where they cannot be read."""
    if shard_of(path) is None:
        return runs.sha256(path)
    try:
        with as_file(path) as file:
            return hashlib.sha256(file.read_bytes()).hexdigest()
    except UserError:
        return str(path)
