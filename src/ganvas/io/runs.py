"""Run folders: checkpoints written aside and renamed, logs that survive a kill, and the newest whole weights of a run.

A run is a folder: `settings.json`, `log.jsonl`, `previews/`, `latest.png`, `losses.svg` and `checkpoints/NNNNNNNN/`,
each of which holds safetensors files and a `state.json` with their checksums and its own. A checkpoint exists when its
folder has its final name; what else lies there is a leftover of an interruption and is cleared away at the next start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ganvas.errors import UserError
from ganvas.io import leftovers, noted, run_lock
from ganvas.io.weights.tensors import sha256, write

STATE = "state.json"
SETTINGS = "settings.json"
LOG = "log.jsonl"
PARTIAL = ".partial"


def _pass(_point: str, _path: Path) -> None: ...


reached: Callable[[str, Path], None] = _pass
"""Called at each point where a kill would hurt most; tests put a killer here."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint: plain state, and tensors in groups: `networks`, `averages`, `optimizers`, `carry-0`."""

    step: int
    state: dict[str, Any]
    groups: dict[str, dict[str, Tensor]]
    folder: Path


def create(folder: str | Path, settings: Mapping[str, Any]) -> Path:
    """Make a new run folder with its settings.

    Raises:
        UserError: something is there already, or the folder cannot be written.
    """
    run = Path(folder)
    if run.exists() and not run.is_dir():
        raise UserError(f"{run} is a file", "A run is a folder", "Choose another --out")
    if is_run(run):
        raise UserError(f"{run} holds a run already", do=f"Resume it by --resume {run}, or choose another --out")
    # What an interruption of this very function leaves behind is no obstacle.
    if run.is_dir() and any(not path.name.endswith((PARTIAL, run_lock.NAME)) for path in run.iterdir()):
        raise UserError(f"{run} is not empty and is no run", do="Choose another --out")
    with _writing(run):
        run.mkdir(parents=True, exist_ok=True)
    # The settings make it a run: whatever comes later can be resumed.
    write_json(run / SETTINGS, settings)
    with _writing(run):
        (run / "checkpoints").mkdir()
        (run / "previews").mkdir()
    return run


def renote(run: Path, settings: Mapping[str, Any], step: int) -> Path:
    """Replace what a run notes of its settings, which now hold from a step on; return where the former ones are kept.

    Raises:
        UserError: the run cannot be written.
    """
    kept = run / f"settings-until-{step:08d}.json"
    # Changed twice at one step: the first note is the one that the earlier steps were made with.
    if not kept.exists():
        write_json(kept, read_json(run / SETTINGS))
    write_json(run / SETTINGS, settings)
    return kept


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write {path}",
            error.strerror or str(error),
            "Make room or choose another --out; a run that has begun is resumed by `ganvas train --resume RUN`",
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that the name always holds a whole file.

    Raises:
        UserError: the file cannot be written; nothing is left of it then.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    with _writing(path):
        try:
            with _create(partial) as file:
                file.write(content)
                _flush(file)
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise


def _create(path: Path) -> IO[bytes]:
    # Never through a link that lies there under the name.
    path.unlink(missing_ok=True)
    return path.open("xb")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write plain values as JSON, atomically."""
    write_atomically(path, (json.dumps(value, indent=2) + "\n").encode())


MOST_JSON_BYTES = 1 << 26
"""A file of plain values that is larger is none of ours."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing, no plain file, too large, or no JSON object.
    """
    try:
        if not path.is_file() and path.exists():
            raise UserError(f"{path} cannot be read", "It is no plain file")
        if (size := path.stat().st_size) > MOST_JSON_BYTES:
            raise UserError(f"{path} cannot be read", f"It has {size} bytes; at most {MOST_JSON_BYTES} are read")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read", str(error)) from error
    if not isinstance(value, dict):
        raise UserError(f"{path} cannot be read", "It holds no JSON object")
    return value


def is_run(folder: str | Path) -> bool:
    """Tell whether a path is a run folder."""
    return (Path(folder) / SETTINGS).is_file()


def read_noted(run: Path) -> noted.Noted:
    """Return what a run notes of itself.

    Raises:
        UserError: its settings are missing or damaged.
    """
    return noted.of(read_json(run / SETTINGS), run / SETTINGS)


# Checkpoints


def checkpoint_name(step: int) -> str:
    """Return the folder name of a step's checkpoint, which sorts by step."""
    return f"{step:08d}"


_CHECKPOINT = re.compile(r"[0-9]{8,12}")


def write_group(run: Path, step: int, name: str, tensors: Mapping[str, Tensor]) -> None:
    """Write one group of tensors into the step's unfinished checkpoint; every rank may write its own groups.

    Raises:
        UserError: the disk is full or cannot be written; the unfinished checkpoint is removed then.
    """
    folder = run / "checkpoints" / f".{checkpoint_name(step)}{PARTIAL}"
    path = folder / f"{name}.safetensors"
    with _writing(path):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write_tensors(path, tensors)
        except OSError:
            leftovers.remove(folder)
            raise


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with _create(path) as file:
        write(file, tensors)
        file.flush()
        reached("half a tensor file", path)
        _flush(file)


def finish_checkpoint(run: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Seal the step's unfinished checkpoint: checksums and state, then the rename, then the pointer `latest`.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    partial = run / "checkpoints" / f".{checkpoint_name(step)}{PARTIAL}"
    final = run / "checkpoints" / checkpoint_name(step)
    checksums = {file.name: sha256(file) for file in sorted(partial.glob("*.safetensors"))}
    # As it will be read: a tuple comes back as a list, and the checksum must be that of what comes back.
    whole = json.loads(json.dumps({"step": step, "checksums": checksums, **state}))
    write_json(partial / STATE, {**whole, "checksum": _checksum(whole)})
    reached("before the rename", partial)
    with _writing(final):
        if final.exists():
            _remove(final)
        _sync_folder(partial)
        partial.replace(final)
        _sync_folder(final.parent)
    reached("between rename and latest", final)
    write_atomically(run / "checkpoints" / "latest", final.name.encode())
    return final


def _checksum(state: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def checkpoints(run: Path) -> list[Path]:
    """Return the finished checkpoints of a run, oldest first."""
    folder = run / "checkpoints"
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _CHECKPOINT.fullmatch(path.name) and leftovers.is_own_folder(path)]
    return sorted(found, key=lambda path: int(path.name))


def read_state(folder: Path) -> dict[str, Any]:
    """Read the plain state of a checkpoint and check it against its checksum.

    Raises:
        UserError: it is missing or damaged.
    """
    _require_own_file(folder / STATE, folder.parent.parent)
    state = read_json(folder / STATE)
    checksum = state.pop("checksum", None)
    if checksum != _checksum(state):
        raise UserError(f"{folder / STATE} is damaged", "Its checksum is not the one it was written with")
    noted.check_state(state, folder / STATE)
    return state


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read a checkpoint and check every file of it against its checksum.

    Raises:
        UserError: a file is missing or damaged.
    """
    state = read_state(folder)
    groups: dict[str, dict[str, Tensor]] = {}
    for name, checksum in state["checksums"].items():
        path = folder / name
        _require_own_file(path, folder.parent.parent)
        try:
            if sha256(path) != checksum:
                raise UserError(f"{path} is damaged", "Its checksum is not the one it was written with")
            groups[path.stem] = load_file(path)
        except OSError as error:
            raise UserError(f"The checkpoint {folder} lacks {name}", error.strerror or str(error)) from error
        except SafetensorError as error:
            raise UserError(f"{path} is damaged", str(error)) from error
    return Checkpoint(int(state["step"]), state, groups, folder)


def _require_own_file(path: Path, run: Path) -> None:
    """Refuse what is no plain file of the run: a link may lead anywhere, and a device has no end."""
    if not path.resolve().is_relative_to(run.resolve()):
        raise UserError(f"{path} leads out of the run", f"It is {path.resolve()}", "Put the file itself there")
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no plain file", "Tensors are read from plain files only")


def newest_checkpoint(run: Path) -> tuple[Checkpoint | None, list[str]]:
    """Return the newest whole checkpoint, and what is wrong with newer ones."""
    problems: list[str] = []
    for folder in reversed(checkpoints(run)):
        try:
            return read_checkpoint(folder), problems
        except UserError as error:
            problems.append(str(error))
    return None, problems


def set_aside(run: Path, after: int) -> list[Path]:
    """Rename checkpoints of steps after the one that training goes on from: damaged, they must not count as newest."""
    moved: list[Path] = []
    for folder in checkpoints(run):
        if int(folder.name) > after:
            aside = folder.with_name(f"{folder.name}.damaged")
            leftovers.remove(aside)
            moved.append(folder.replace(aside))
    return moved


def write_attachment(run: Path, name: str, tensors: Mapping[str, Tensor]) -> Path:
    """Write tensors that belong to a run's weights without being in a network: style centres, a bank of statistics.

    They replace those of the same name, and are read with the run's weights as `NAME.TENSOR`.

    Raises:
        UserError: the file cannot be written.
    """
    path = run / "attachments" / f"{name}.safetensors"
    leftovers.require_own(run)
    with _writing(path):
        path.parent.mkdir(exist_ok=True)
        partial = path.with_name(f".{path.name}{PARTIAL}")
        _write_tensors(partial, tensors)
        partial.replace(path)
    return path


def read_attachments(run: Path) -> dict[str, Tensor]:
    """Return all tensors that were attached to a run, as `NAME.TENSOR`."""
    found: dict[str, Tensor] = {}
    for file in sorted((run / "attachments").glob("[!.]*.safetensors")):
        _require_own_file(file, run)
        try:
            found |= {f"{file.stem}.{key}": value for key, value in load_file(file).items()}
        except (SafetensorError, OSError) as error:
            raise UserError(f"{file} is damaged", str(error)) from error
    return found


def prune(run: Path, keep: Collection[str]) -> None:
    """Delete all checkpoints but those of these names and the best one."""
    best = best_name(run)
    for folder in checkpoints(run):
        if folder.name not in keep and folder.name != best:
            _remove(folder)


def _remove(folder: Path) -> None:
    # Renamed first: a half-deleted folder must never look like a checkpoint.
    doomed = folder.with_name(f".{folder.name}.deleted")
    leftovers.remove(doomed)
    folder.replace(doomed)
    reached("during pruning", doomed)
    leftovers.remove(doomed)


def mark_best(run: Path, name: str, scores: Mapping[str, float]) -> None:
    """Remember the folder name of the checkpoint that scored best; pruning spares it."""
    write_json(run / "checkpoints" / "best.json", {"checkpoint": name, "scores": dict(scores)})


def best_name(run: Path) -> str:
    """Return the folder name of the best checkpoint, or an empty string."""
    path = run / "checkpoints" / "best.json"
    if not path.is_file():
        return ""
    with contextlib.suppress(UserError, KeyError):
        name = read_json(path)["checkpoint"]
        if isinstance(name, str) and _CHECKPOINT.fullmatch(name):
            return name
    return ""


def best_scores(run: Path) -> dict[str, float]:
    """Return the scores of the best checkpoint, empty when there is none."""
    with contextlib.suppress(UserError, KeyError):
        scores = read_json(run / "checkpoints" / "best.json")["scores"]
        if isinstance(scores, dict):
            return {name: float(value) for name, value in scores.items() if isinstance(value, (int, float))}
    return {}


def size_on_disk(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    # Without this the rename itself may be lost in a power failure; not every system allows it.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# The log


MOST_LINE_BYTES = 1 << 22
"""A longer line of a log is none of ours."""


def append_log(run: Path, entry: Mapping[str, Any]) -> None:
    """Append one JSON line to the run's log.

    Raises:
        UserError: the disk is full or cannot be written.
    """
    line = (json.dumps(entry) + "\n").encode()
    with _writing(run / LOG), (run / LOG).open("ab") as file:
        reached("during the log's append", run / LOG)
        file.write(line)


def read_log(run: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a run's log; a line cut short by a kill is passed over."""
    path = run / LOG
    if not path.is_file():
        return
    with path.open("rb") as file:
        while line := file.readline(MOST_LINE_BYTES):
            with contextlib.suppress(ValueError, RecursionError):
                entry = json.loads(line)
                if isinstance(entry, dict) and isinstance(entry.get("step", 0), int):
                    yield entry


def rewind_log(run: Path, step: int) -> None:
    """Drop the log's lines of steps after the one that training goes on from: they are about to be written anew."""
    kept = [json.dumps(entry) for entry in read_log(run) if entry.get("step", 0) <= step]
    write_atomically(run / LOG, "".join(line + "\n" for line in kept).encode())
