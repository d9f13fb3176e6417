"""One process a run: a lock that the system lifts when its holder ends, with a word about who holds it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ganvas.errors import UserError

NAME = ".lock"


@contextlib.contextmanager
def held(run: Path) -> Iterator[str]:
    """Hold a run's lock; give a note about a process that left it behind, or an empty string.

    Raises:
        UserError: another process holds it, or the folder cannot be written.
    """
    path = run / NAME
    descriptor, before = _take(run, path)
    try:
        yield _told(before)
    finally:
        # Removed while it is still held: whoever waits for it looks whether it is still the file of that name.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)
        # A run that never began leaves nothing.
        with contextlib.suppress(OSError):
            run.rmdir()


def _take(run: Path, path: Path) -> tuple[int, dict[str, Any]]:
    while True:
        try:
            run.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o644)
        except FileExistsError as error:
            raise UserError(f"{run} is a file", "A run is a folder", "Choose another --out") from error
        except OSError as error:
            raise UserError(f"Cannot write {path}", error.strerror or str(error), "Choose another --out") from error
        before = _read(descriptor)
        if not _lock(descriptor, before):
            os.close(descriptor)
            since = before.get("since", "a moment ago")
            raise UserError(
                f"{run} is being trained already",
                f"By {_name(before)}, since {since}",
                f"Wait for it or stop it. Where that process is gone, delete {path}",
            )
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                break
        os.close(descriptor)
    now = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "started": _started(os.getpid()),
    }
    with contextlib.suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(now) + "\n").encode(), 0)
    return descriptor, before


def _read(descriptor: int) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        value = json.loads(os.pread(descriptor, 4096, 0))
        if isinstance(value, dict):
            return value
    return {}


def _lock(descriptor: int, before: dict[str, Any]) -> bool:
    """Lock the file, which lasts as long as this process; return whether that was possible."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        # No locks on this system or disk: what is written of the holder decides.
        return not _may_live(before)
    return True


def _may_live(holder: dict[str, Any]) -> bool:
    if not holder:
        return False
    return holder.get("host") != socket.gethostname() or _started(holder.get("pid", 0)) == holder.get("started")


def _started(pid: object) -> str:
    """Return when a process began, in the system's own count; empty when there is none or it cannot be told."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return Path(f"/proc/{int(str(pid))}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _name(holder: dict[str, Any]) -> str:
    return f"process {holder.get('pid', '?')} on {holder.get('host', '?')}"


def _told(before: dict[str, Any]) -> str:
    return f"The run was left by {_name(before)}, which has ended without a word." if before else ""
