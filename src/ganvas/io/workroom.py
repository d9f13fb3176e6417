"""A hidden folder beside a file in the making: what a killed process has finished, for the next one to go on from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from ganvas.errors import UserError
from ganvas.io.runs import read_json, write_json

_LONGEST_NAME_BYTES = 255
_EDGE_BYTES = 1 << 20
_OURS = re.compile(
    r"\.?journal\.json(\.partial)?|segment-[0-9]{6}\.(packets|partial)|frame(-[0-9]{8}\.npy|\.partial)"
    r"|rows\.log|rows-[0-9]{6}\.log|rows-[0-9a-f]{32}\.partial|picture\.part"
)
"""Every name that is given in the hidden folder beside `lock`: nothing else is deleted in it."""


def hidden_beside(path: Path, suffix: str) -> Path:
    """Return the name of unfinished work beside a file, however long the file's own name is."""
    name = f".{path.name}{suffix}"
    if len(os.fsencode(name)) > _LONGEST_NAME_BYTES:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}{suffix}"
    return path.with_name(name)


def fingerprint(path: Path) -> dict[str, Any]:
    """Return what tells a source file from another or from its changed self: size, time, and a hash of both ends."""
    facts = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_EDGE_BYTES))
        file.seek(max(0, facts.st_size - _EDGE_BYTES))
        digest.update(file.read(_EDGE_BYTES))
    return {"size": facts.st_size, "mtime_ns": facts.st_mtime_ns, "sha256_of_ends": digest.hexdigest()}


class Workroom:
    """The hidden folder of one piece of work; entered by one process at a time, and left behind by a kill.

    `identity` is everything that decides the result. What an earlier process left is used when its identity is the
    same (and `resume` is on), and thrown away otherwise; `started_anew` then says why.

    Raises:
        UserError: the folder cannot be made, or another process works in it.
    """

    def __init__(self, target: Path, identity: Mapping[str, Any], resume: bool = True) -> None:
        self.folder = hidden_beside(target, ".ganvas")
        self.started_anew = ""
        self._identity = json.loads(json.dumps(identity))
        try:
            if self.folder.is_symlink():
                raise UserError(f"{self.folder} is a link", "Unfinished work lies in a folder of its own", "Remove it")
            self.folder.mkdir(exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            self._lock = os.fdopen(os.open(self.folder / "lock", flags, 0o666), "wb")
        except OSError as error:
            raise UserError(f"Cannot write beside {target}", error.strerror or str(error)) from error
        _lock(self._lock, target)
        self.journal: dict[str, Any] = {"identity": self._identity}
        earlier = self._earlier()
        if earlier is not None:
            self.started_anew = _difference(earlier.get("identity", {}), self._identity)
            if not resume:
                self.started_anew = "resuming is switched off"
        if earlier is not None and not self.started_anew:
            self.journal = earlier
        else:
            self._clear()
            self.note()

    def _earlier(self) -> dict[str, Any] | None:
        path = self.folder / "journal.json"
        if not path.exists():
            return None
        try:
            return read_json(path)
        except UserError:
            return {}

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if _OURS.fullmatch(path.name):
                path.unlink()

    def note(self, **facts: Any) -> None:
        """Write facts into the journal, so that they outlive this process."""
        self.journal.update(facts)
        write_json(self.folder / "journal.json", self.journal)

    def leave(self, finished: bool) -> None:
        """Leave the folder, and remove it when the work is finished or nothing was done."""
        names = {path.name for path in self.folder.iterdir()}
        nothing_done = names <= {"lock", "journal.json"} and self.journal.keys() <= {"identity"}
        if finished or nothing_done:
            with contextlib.suppress(OSError):
                self._clear()
                (self.folder / "lock").unlink()
                self.folder.rmdir()
        self._lock.close()


def _lock(file: IO[bytes], target: Path) -> None:
    # The system lifts this lock however the process ends. Windows has none of this kind, and goes without.
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{target} is being written by another process", do="Wait for it, or stop it") from error


def _difference(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    changed = [key for key in {**earlier, **now} if earlier.get(key) != now.get(key)]
    return f"changed since: {', '.join(changed)}" if changed else ""
