"""Pictures in a folder or in a zip file, seen alike: their names, JSON files beside them, and one at a time."""

from __future__ import annotations

import contextlib
import json
import lzma
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ganvas.errors import UserError
from ganvas.io import folders, runs
from ganvas.io.pictures import images

MOST_BYTES = 1 << 29
"""A member of an archive that would unpack to more is no picture."""

MOST_PACKED = 200
"""Nor is one of some size that was packed to less than this part of it: pictures are compressed already."""


_DAMAGE = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError)


class Shelf(Protocol):
    """Pictures that have names."""

    def names(self) -> list[str]:
        """Return the names of all pictures, with `/` between folders, sorted."""
        ...

    def files(self) -> list[str]:
        """Return the names of all files, those of pictures among them."""
        ...

    def folders(self) -> list[str]:
        """Return the names of the folders directly below, whether they hold pictures or not."""
        ...

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return the JSON object of that name at the top, or None when there is none."""
        ...

    def file(self, name: str) -> AbstractContextManager[Path]:
        """Give a picture as a file for as long as the context lasts."""
        ...

    def num_bytes(self, names: Sequence[str]) -> int:
        """Return the bytes that pictures take as they lie there."""
        ...


def open_shelf(path: str | Path) -> Shelf:
    """Return the pictures of a folder or of a zip file.

    Raises:
        UserError: it is neither.
    """
    path = Path(path)
    if path.is_dir():
        return Folder(path)
    if not path.exists():
        raise UserError(f"{path} does not exist", do="Give a folder or a zip file of pictures")
    if path.suffix.lower() == ".zip" or zipfile.is_zipfile(path):
        return Archive(path)
    raise UserError(f"{path} is neither a folder nor a zip file", do="Give a folder or a zip file of pictures")


class Folder:
    """The pictures of a folder and of all folders in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Return the pictures' paths below the folder."""
        return sorted(found.relative_to(self.path).as_posix() for found in images.find_pictures([self.path])[0])

    def files(self) -> list[str]:
        """Return the paths of all files below the folder."""
        return [found.relative_to(self.path).as_posix() for found in folders.files(self.path)]

    def folders(self) -> list[str]:
        """Return the folders directly below this one, hidden ones left out."""
        return [entry.name for entry in folders.subfolders(self.path)]

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object that lies directly in the folder."""
        return runs.read_json(self.path / name) if (self.path / name).is_file() else None

    def num_bytes(self, names: Sequence[str]) -> int:
        """Return the bytes of the pictures' files."""
        return sum((self.path / name).stat().st_size for name in names)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give the picture's own file."""
        yield self.path / name


class Archive:
    """The pictures of a zip file; those stored without compression are had at once.

    Raises:
        UserError: the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            # Its reads may come from many threads at once; the module guards them.
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise UserError(f"{path} is no zip file that can be read", str(error), "Copy or pack it again") from error
        self._members = {name: name for name in self._zip.namelist() if not name.endswith("/")}
        roots = {PurePosixPath(name).parts[0] for name in self._members if not _is_hidden(name)}
        # Packing a folder puts its own name before everything; packing its contents does not.
        if len(roots) == 1 and all("/" in name for name in self._members if not _is_hidden(name)):
            root = roots.pop() + "/"
            if any(name.removeprefix(root).count("/") for name in self._members) or any(
                name.removeprefix(root) in ("labels.json", "dataset.json") for name in self._members
            ):
                self._members = {name.removeprefix(root): name for name in self._members}

    def names(self) -> list[str]:
        """Return the pictures' names in the archive."""
        return [name for name in self.files() if Path(name).suffix.lower() in images.READABLE]

    def files(self) -> list[str]:
        """Return the names of all files in the archive."""
        return sorted(name for name in self._members if not _is_hidden(name))

    def folders(self) -> list[str]:
        """Return the folders directly below the top."""
        return sorted({name.partition("/")[0] for name in self._members if "/" in name and not _is_hidden(name)})

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object at the top of the archive.

        Raises:
            UserError: it is no JSON object.
        """
        if name not in self._members:
            return None
        size = self._zip.getinfo(self._members[name]).file_size
        if size > runs.MOST_JSON_BYTES:
            why = f"It would unpack to {size} bytes; at most {runs.MOST_JSON_BYTES} are read"
            raise UserError(f"{name} in {self.path} cannot be read", why)
        try:
            value = json.loads(self._zip.read(self._members[name]))
        except (*_DAMAGE, ValueError, RecursionError) as error:
            raise UserError(f"{name} in {self.path} cannot be read", str(error)) from error
        if not isinstance(value, dict):
            raise UserError(f"{name} in {self.path} cannot be read", "It holds no JSON object")
        return value

    def num_bytes(self, names: Sequence[str]) -> int:
        """Return the bytes that the members take in the archive."""
        return sum(self._zip.getinfo(self._members[name]).compress_size for name in names)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Give a temporary copy, because the library that decodes pictures reads files only.

        Raises:
            UserError: the member is damaged or too large.
        """
        info = self._zip.getinfo(self._members[name])
        packed_too_well = info.file_size > 1 << 24 and info.file_size > MOST_PACKED * info.compress_size
        if info.file_size > MOST_BYTES or packed_too_well:
            why = f"Its {info.compress_size} bytes would unpack to {info.file_size}"
            raise UserError(f"{name} in {self.path} is no picture", why)
        with temporary(name, self.path) as copy:
            try:
                with self._zip.open(info) as member, copy.open("wb") as file:
                    shutil.copyfileobj(member, file, 1 << 20)
            except _DAMAGE as error:
                raise UserError(f"{name} in {self.path} cannot be unpacked", str(error)) from error
            yield copy


@contextlib.contextmanager
def temporary(name: str, archive: Path) -> Iterator[Path]:
    """Give the path of a file for a member's bytes; errors tell of the member, as whoever reads it knows it."""
    with tempfile.TemporaryDirectory(prefix="ganvas-") as folder:
        copy = Path(folder) / f"picture{Path(name).suffix}"
        try:
            yield copy
        except UserError as error:
            told = (part.replace(str(copy), f"{name} in {archive}") for part in (error.what, error.why, error.do))
            raise UserError(*(part.replace(folder, str(archive)) for part in told)) from error


def _is_hidden(name: str) -> bool:
    return any(not folders.is_data(part) for part in PurePosixPath(name).parts)
