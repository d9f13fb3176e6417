"""Run folders: checkpoints written aside and renamed, logs that survive a kill, and the newest healthy weights of a run.

A run is a folder: `settings.json`, `log.jsonl`, `previews/`, `latest.png`, `losses.svg` and `checkpoints/NNNNNNN/`, each of
which holds safetensors files and a `state.json` with their checksums. A checkpoint exists when its folder has its final
name; whatever else lies there is a leftover of an interruption and is cleared away at the next start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from ganvas.errors import UserError

STATE = "state.json"
SETTINGS = "settings.json"
LOG = "log.jsonl"

reached: Callable[[str, Path], None] = lambda point, path: None  # noqa: E731
"""Called at each point where a kill would hurt most; tests put a killer here."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: plain state, and tensors in named groups (`networks`, `averages`, `optimizers`, `carry-0`)."""

    step: int
    state: dict[str, Any]
    groups: dict[str, dict[str, Tensor]]
    folder: Path


def create(folder: str | Path, overwrite: bool = False) -> Path:
    """Make an empty run folder.

    Raises:
        UserError: something is there already, or the folder cannot be written.
    """
    run = Path(folder)
    if run.exists() and not run.is_dir():
        raise UserError(f"{run} is a file", "A run is a folder", "Choose another --out")
    if run.is_dir() and any(run.iterdir()):
        if not (run / SETTINGS).exists():
            raise UserError(f"{run} is not empty and is no run", do="Choose another --out")
        if not overwrite:
            raise UserError(
                f"{run} holds a run already", do=f"Go on with it by --resume {run}, or choose another --out"
            )
        shutil.rmtree(run)
    try:
        (run / "checkpoints").mkdir(parents=True, exist_ok=True)
        (run / "previews").mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"Cannot write to {run}", error.strerror or str(error), "Choose another --out") from error
    return run


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that the name always holds a whole file."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain values as JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error


def is_run(folder: str | Path) -> bool:
    """Tell whether a path is a run folder."""
    return (Path(folder) / SETTINGS).is_file()


# Checkpoints


def checkpoint_name(step: int) -> str:
    """Return the folder name of a step's checkpoint, which sorts by step."""
    return f"{step:08d}"


def write_group(run: Path, step: int, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Write one group of tensors into the step's unfinished checkpoint; every rank may write its own groups."""
    folder = run / "checkpoints" / f".{checkpoint_name(step)}.partial"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file({key: value.detach().contiguous().cpu() for key, value in tensors.items()}, path)
    reached("half a tensor file", path)
    with path.open("rb") as file:
        os.fsync(file.fileno())


def finish_checkpoint(run: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Seal the step's unfinished checkpoint: checksums and state, then the rename, then the pointer `latest`."""
    partial = run / "checkpoints" / f".{checkpoint_name(step)}.partial"
    final = run / "checkpoints" / checkpoint_name(step)
    checksums = {file.name: sha256(file) for file in sorted(partial.glob("*.safetensors"))}
    write_json(partial / STATE, {"step": step, "checksums": checksums, **state})
    reached("before the rename", partial)
    if final.exists():
        _remove(final)
    partial.replace(final)
    _sync_folder(final.parent)
    reached("between rename and latest", final)
    write_atomically(run / "checkpoints" / "latest", final.name.encode())
    return final


def checkpoints(run: Path) -> list[Path]:
    """Return the finished checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint and check every file of it against its checksum.

    Raises:
        UserError: a file is missing or damaged.
    """
    state = read_json(folder / STATE)
    groups: dict[str, dict[str, Tensor]] = {}
    for name, checksum in state["checksums"].items():
        path = folder / name
        if not path.is_file():
            raise UserError(f"The checkpoint {folder} lacks {name}")
        if sha256(path) != checksum:
            raise UserError(f"{path} is damaged", "Its checksum is not the one it was written with")
        groups[path.stem] = load_file(path)
    return Checkpoint(int(state["step"]), state, groups, folder)


def newest_checkpoint(run: Path, before: int | None = None) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest healthy checkpoint (not later than a step), and what was wrong with newer ones."""
    problems: list[str] = []
    for folder in reversed(checkpoints(run)):
        if before is not None and int(folder.name) > before:
            continue
        try:
            return read_checkpoint(folder), problems
        except UserError as error:
            problems.append(str(error))
    return None, problems


def prune(run: Path, keep_last: int) -> None:
    """Delete all but the newest checkpoints and the best one."""
    keep = {path.name for path in checkpoints(run)[-max(1, keep_last) :]} | {best_name(run)}
    for folder in checkpoints(run):
        if folder.name not in keep:
            _remove(folder)


def _remove(folder: Path) -> None:
    # Renamed first: a half-deleted folder must never look like a checkpoint.
    doomed = folder.with_name(f".{folder.name}.deleted")
    shutil.rmtree(doomed, ignore_errors=True)
    folder.replace(doomed)
    reached("during pruning", doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def mark_best(run: Path, folder: Path, scores: Mapping[str, float]) -> None:
    """Remember which checkpoint scored best; pruning spares it."""
    write_json(run / "checkpoints" / "best.json", {"checkpoint": folder.name, "scores": dict(scores)})


def best_name(run: Path) -> str:
    """Return the folder name of the best checkpoint, or an empty string."""
    path = run / "checkpoints" / "best.json"
    if not path.is_file():
        return ""
    with contextlib.suppress(UserError, KeyError):
        return str(read_json(path)["checkpoint"])
    return ""


def best_scores(run: Path) -> dict[str, float]:
    """Return the scores of the best checkpoint, empty when there is none."""
    with contextlib.suppress(UserError, KeyError):
        return dict(read_json(run / "checkpoints" / "best.json")["scores"])
    return {}


def clear_leftovers(run: Path) -> None:
    """Delete what an interruption left half-written or half-deleted."""
    for path in (run / "checkpoints").glob(".*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def size_on_disk(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost in a power failure; not every system allows it.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# The log


def append_log(run: Path, entry: Mapping[str, Any]) -> None:
    """Append one JSON line to the run's log."""
    line = (json.dumps(entry) + "\n").encode()
    with (run / LOG).open("ab") as file:
        reached("during the log's append", run / LOG)
        file.write(line)


def read_log(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a run's log; a line cut short by a kill is passed over."""
    path = run / LOG
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):
                yield json.loads(line)


def rewind_log(run: Path, step: int) -> None:
    """Drop the log's lines of steps after the one that training goes on from: they are about to be written anew."""
    kept = [json.dumps(entry) for entry in read_log(run) if entry.get("step", 0) <= step]
    write_atomically(run / LOG, "".join(line + "\n" for line in kept).encode())
