"""Sets of several files a picture in shards: which member plays which role, by its folder or by its key.

    train.tar/street/labels/0001.png     the folder says it: so lie sets that were packed as they are
    train-003.tar/0001.labels.png        the name says it: keys and extensions of WebDataset
    train-003.tar/0001.jpg               a picture beside such names is what they describe

Shards of one set are one tree; a picture and its maps may lie in different ones. Only headers of shards are read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ganvas.errors import UserError
from ganvas.io.labels import legends
from ganvas.io.pictures import shards

PICTURES = "frames"
"""The folder that pictures without a role in their names are thought to lie in."""
PHASES = ("", "train_", "training_")

Names = Mapping[str, Sequence[str]]
"""What folders are called that hold a role, by role."""


class Part(NamedTuple):
    """A file in a shard, and where it stands in the set."""

    before: str
    """The folders above that of its role."""
    below: PurePosixPath
    """Its path in that folder."""
    path: Path
    """Where it is read."""


class ShardSet(NamedTuple):
    """The files of some shards by role."""

    parts: dict[str, list[Part]]
    others: list[Path]
    """Files at the top that are no pictures: legends, say."""
    notes: list[str]


def open_set(inputs: str | Path, names: Names) -> ShardSet | None:
    """Return what a shard, a folder of shards or a glob of them holds by role; None where the input is none of these.

    Raises:
        UserError: a shard cannot be read.
    """
    if not (found := shards.find_shards(inputs)):
        return None
    roles: dict[str, list[str]] = defaultdict(list)
    for role, known in names.items():
        for name in known:
            for phase in PHASES:
                roles[f"{phase}{name}".casefold()].append(role)
    parts: dict[str, list[Part]] = defaultdict(list)
    others: list[Path] = []
    notes: list[str] = []
    listed = {shard: [name for name in shards.open_shard(shard).names() if shards.is_plain(name)] for shard in found}
    keyed = {key for names in listed.values() for name in names if (key := _key(name, roles))}
    for shard, pictures in listed.items():
        shelf = shards.open_shard(shard)
        for name in pictures:
            placed = _placed(name, roles, keyed)
            for role, before, below in placed:
                parts[role].append(Part(before, below, shard / name))
        known = set(pictures)
        others += [shard / name for name in shelf.files() if name not in known and shards.is_plain(name)]
        if damage := getattr(shelf, "damage", ""):
            notes.append(f"{shard}: {damage}")
    # As in one folder, however they are spread over shards.
    return ShardSet({role: sorted(of) for role, of in parts.items()}, others, notes)


def _key(name: str, roles: Mapping[str, Sequence[str]]) -> str:
    """Return the key of 0001.labels.png with its folders, nothing where the name says no role."""
    path = PurePosixPath(name)
    key, _, extension = path.name.partition(".")
    return str(path.with_name(key)) if "." in extension and extension.partition(".")[0].casefold() in roles else ""


def _placed(name: str, roles: Mapping[str, Sequence[str]], keyed: set[str]) -> list[tuple[str, str, PurePosixPath]]:
    """Return (role, folders above, path below) of a member, for each role that it can play."""
    path = PurePosixPath(name)
    key, _, extension = path.name.partition(".")
    if str(path.with_name(key)) in keyed:
        told, _, suffix = extension.rpartition(".")
        named = roles.get((told or PICTURES).casefold(), ())
        return [(role, str(path.parent).strip("."), PurePosixPath(f"{key}.{suffix}")) for role in named]
    for place, folder in enumerate(path.parts[:-1]):
        if named := roles.get(folder.casefold()):
            below = PurePosixPath(*path.parts[place + 1 :])
            return [(role, "/".join(path.parts[:place]), below) for role in named]
    return []


def legend_of(found: ShardSet, inputs: str | Path) -> Path | None:
    """Return the legend in the shards, else the one beside them, or None."""
    inside = (path for name in legends.FILES for path in found.others if path.name == name)
    return next(inside, None) or legends.find_legend([Path(inputs), Path(inputs).parent])


def require(found: ShardSet, inputs: str | Path, leading: Sequence[str]) -> None:
    """Refuse shards without any file that plays one of some roles.

    Raises:
        UserError: there is none.
    """
    if not found.parts.keys() & set(leading):
        why = f"They hold no folder of {', '.join(leading[:3])}, and no names such as 0001.{leading[0]}.png"
        raise UserError(f"The shards of {inputs} are no such data set", why, "Pack the folders as they are: tar -cf")
