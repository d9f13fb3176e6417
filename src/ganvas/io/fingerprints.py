"""Fingerprints of data: whether the files that a run is resumed with are those that it was trained on.

Names, sizes and contents each give a hash, so that a difference can be told. Of files beyond two megabytes both ends
are read, of archives their directory, which holds a checksum of every member.
"""

from __future__ import annotations

import glob
import hashlib
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ganvas.io import folders

_END_BYTES = 1 << 20
_NO_DATA = (".md", ".log", ".html", ".partial")


def of(text: str) -> dict[str, Any]:
    """Return the fingerprint of what a setting names: a folder, a file, `role=DIR,...`; empty where nothing is."""
    found: list[tuple[str, int, str]] = []
    for path in _paths(text):
        found += _facts(path)
    if not found:
        return {}
    found.sort()
    return {
        "files": len(found),
        "names": _hash(name for name, _, _ in found),
        "sizes": _hash(str(size) for _, size, _ in found),
        "contents": _hash(digest for _, _, digest in found),
    }


def difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say how two fingerprints differ; empty where they do not, or where one is not known."""
    if not before or not now or before == now:
        return ""
    if "sha256" in now:
        return "another content"
    if before.get("files") != now.get("files"):
        return f"{before.get('files')} files then, {now.get('files')} now"
    if before.get("names") != now.get("names"):
        return "files of other names"
    return "files of the same names with other contents"


def _paths(text: str) -> list[Path]:
    if not text:
        return []
    try:
        if Path(text).exists():
            return [Path(text)]
    except (OSError, ValueError):
        return []
    if glob.has_magic(text) and (matches := sorted(glob.glob(text, recursive=True))):  # noqa: PTH207 - absolute patterns
        return [Path(match) for match in matches]
    named = [part.partition("=")[2] for part in text.split(",") if "=" in part]
    return [Path(path) for path in named if path]


def _facts(root: Path) -> list[tuple[str, int, str]]:
    if root.is_file():
        return _members(root) if zipfile.is_zipfile(root) else [_of_file(root, root.name)]
    if not root.is_dir():
        return []
    paths = [path for path in folders.files(root) if path.suffix.lower() not in _NO_DATA]
    with ThreadPoolExecutor(max_workers=8) as pool:
        return list(pool.map(lambda path: _of_file(path, path.relative_to(root).as_posix()), paths))


def _members(archive: Path) -> list[tuple[str, int, str]]:
    try:
        with zipfile.ZipFile(archive) as opened:
            return [(info.filename, info.file_size, f"{info.CRC:08x}") for info in opened.infolist()]
    except (zipfile.BadZipFile, OSError, ValueError):
        return [_of_file(archive, archive.name)]


def _of_file(path: Path, name: str) -> tuple[str, int, str]:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            digest.update(file.read(_END_BYTES))
            if size > 2 * _END_BYTES:
                file.seek(-_END_BYTES, 2)
            digest.update(file.read(_END_BYTES))
    except OSError as error:
        digest.update(str(error.errno).encode())
    return name, size, digest.hexdigest()


def _hash(texts: Any) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
