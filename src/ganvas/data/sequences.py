"""Sequences on disk: folders, video files and key points, one *still* a frame for each role, checked before any use.

A *sequence* is a folder with one folder a role, `labels/`, `frames/`, `instances/`, `flow/`, `occlusion/`,
`conditions/`, each with one numbered file a frame; the folder may also hold many such folders, or the roles may come
first (`labels/NAME/000000.png`). A role may be a video instead (`frames.mp4`, or one video in `frames/`, or the only
video beside `labels/`), and conditions may be drawn: from key points (`poses/`, `points.json`) or from the edges of
pictures (`edges/`). The originals' names (`train_A`, `test_A`, `train_openpose` ...) and imaginaire's (`images`,
`seg_maps`) are known, too. Of shards the same folders are read, or WebDataset's keys (see `sharded`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ganvas.data import drawings, films, label_layouts, sharded
from ganvas.data.numbering import listed, numbered, runs_of, step_of
from ganvas.data.stills import Still, StillFile
from ganvas.errors import UserError
from ganvas.io.pictures import images

ROLES = {
    "labels": ("labels", "label", "label_maps", "seg_maps", "A"),
    "conditions": ("conditions", "condition", "inputs"),
    "instances": ("instances", "inst", "instance_maps"),
    "frames": ("frames", "images", "img", "B"),
    "flow": ("flow",),
    "flow_back": ("flow_back",),
    "occlusion": ("occlusion",),
    "poses": ("poses", "keypoints", "openpose", "poses-openpose"),
    "points": ("points",),
    "edges": ("edges",),
}
"""What a folder or a file may be called that holds one role of a sequence, alone or after `train_` or `test_`."""
PHASES = ("train", "test")
LEADING = ("labels", "conditions", "poses", "points", "edges")
"""Roles that say how many frames a sequence has: what pictures are made from."""
DRAWN = ("poses", "points", "edges")
"""Roles that conditions are drawn from."""
MOVES = ("flow", "flow_back", "occlusion")
"""Roles that lead from one frame to another."""
SHOWN = ("labels", "conditions", "instances", "frames", "occlusion")
"""Roles whose pictures have the size of the set."""
FILMED = ("labels", "conditions", "instances", "frames", "edges")
"""Roles that may be videos."""


@dataclass(frozen=True)
class Clip:
    """The stills of one sequence by role, each in order of its frames."""

    name: str
    files: Mapping[str, Sequence[Still]]
    notes: tuple[str, ...] = ()
    """What is to be told of files that are not quite as they should be."""
    lengths: tuple[int, ...] = ()
    """Frames of each part between which some are missing."""

    def __len__(self) -> int:
        return len(self.files.get("labels") or self.files["conditions"])


def find_clips(
    folder: str | Path,
    needs: Sequence[str] = (),
    size_px: tuple[int, int] | None = None,
    cut_at_gaps: bool = False,
    named: Mapping[str, Path] | None = None,
    inputs: str = "",
) -> list[Clip]:
    """Return the sequences of a folder, in order of their names.

    Args:
        folder: a sequence, a folder of sequences, or a folder of roles with a folder or video for each sequence.
        needs: roles that every sequence must have beside its labels or conditions: a set to train on, not to test.
        size_px: (height, width) of key points' pictures where no frame and no file tells it.
        cut_at_gaps: make of a sequence that lacks frames one for each part, so that no two frames are taken for
            neighbours that are none.
        named: folders or videos of roles of the only sequence, in place of those in the folder.
        inputs: what the folder or video of the conditions is called in each sequence, such as depth.

    Raises:
        UserError: there is none, or one lacks a role or frames (which are named); a video has a variable rate or
            another number of frames.
    """
    root, named = Path(folder), dict(named or {})
    found = (
        [(root.stem, named)] if named.keys() & set(LEADING) else _found(root, PHASES if needs else PHASES[::-1], inputs)
    )
    if not found:
        why = "There is no folder `labels` with numbered pictures in it or in the folders below"
        raise UserError(f"{root} holds no sequences", why, "Lay them out as NAME/labels/000000.png, NAME/frames/...")
    if named and len(found) > 1:
        raise UserError(f"{root} holds {len(found)} sequences", f"The {' and '.join(named)} given are of one")
    clips = [_clip(name, {**roles, **named}, size_px) for name, roles in found]
    for clip in clips:
        missing = [role for role in needs if role not in clip.files]
        if missing:
            raise UserError(f"The sequence {clip.name} in {root} has no {' and no '.join(missing)}")
    return [part for clip in clips for part in (_parts_between_gaps(clip) if cut_at_gaps else [clip])]


def holds_sequences(folder: Path) -> bool:
    """Tell whether a folder is laid out as sequences of key points or of conditions, whatever is wrong with them."""
    try:
        found = _found(folder, PHASES)
    except UserError:
        return False
    return any({"poses", "points"} & roles.keys() or {"conditions", "frames"} <= roles.keys() for _, roles in found)


Place = Path | list[Path]
"""Where a role of a sequence is: a folder or a video, or its files in shards."""


def _in_shards(packed: sharded.ShardSet, root: Path) -> list[tuple[str, dict[str, list[Path]]]]:
    """Return the name and the files by role of each sequence in shards."""
    sharded.require(packed, root, LEADING)
    found: dict[str, dict[str, list[Path]]] = {}
    for role, parts in packed.parts.items():
        wanted = set(label_layouts.preferred(role, [part.path for part in parts]))
        for part in parts:
            if part.path in wanted:
                folders = [part.before, *part.below.parts[:-1]]
                name = "/".join(filter(None, folders)) or root.name.partition(".")[0]
                found.setdefault(name, {}).setdefault(role, []).append(part.path)
    return sorted((name, roles) for name, roles in found.items() if not roles.keys().isdisjoint(LEADING))


def _found(root: Path, phases: Sequence[str], inputs: str = "") -> Sequence[tuple[str, Mapping[str, Place]]]:
    """Return the name and the roles of each sequence below a folder, or in shards."""
    named = {role: (inputs,) if role == "conditions" else () for role in ("conditions", *DRAWN)} if inputs else {}
    if packed := sharded.open_set(root, {**ROLES, **named}):
        return _in_shards(packed, root)
    if not root.is_dir():
        raise UserError(f"{root} is no folder", do="Give a folder of sequences, such as `ganvas world` makes")
    found = [
        (path.name, roles) for path in [root, *_folders(root)] if _is_sequence(roles := _roles(path, phases, inputs))
    ]
    if found:
        return found
    roles = _roles(root, phases, inputs)
    leading = next((roles[role] for role in LEADING if role in roles), None)
    names = [path.name for path in _folders(leading)] if leading and leading.is_dir() else []
    return [(name, {role: _part(path, name) for role, path in roles.items()}) for name in names]


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _roles(folder: Path, phases: Sequence[str], inputs: str = "") -> dict[str, Path]:
    """Return the folder, video or JSON file of each role of a sequence, of the first phase that has one that leads."""
    found = [_roles_of(folder, prefix, inputs) for prefix in ("", *(f"{phase}_" for phase in phases))]
    return next((roles for roles in found if not roles.keys().isdisjoint(LEADING)), found[0])


def _roles_of(folder: Path, prefix: str, inputs: str = "") -> dict[str, Path]:
    there = {path.name: path for path in _folders(folder)}
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    videos = {path.stem: path for path in files if path.suffix.lower() in films.VIDEOS}
    told = {path.stem: path for path in files if path.suffix.lower() == ".json"}
    found: dict[str, Path] = {}
    for role, bases in ROLES.items():
        if inputs and role in ("conditions", *DRAWN):
            bases = (inputs,) if role == "conditions" else ()
        names = [f"{prefix}{base}" for base in bases]
        for place in (there, videos if role in FILMED else {}, told if role == "points" else {}):
            here = next((place[name] for name in names if name in place), None)
            if here is not None and role in found:
                why = f"Both {found[role].name} and {here.name} hold them"
                raise UserError(f"The {role} of {folder} are there twice", why, "Take one away")
            found.update({role: here} if here is not None else {})
    others = [video for name, video in videos.items() if video not in found.values()]
    if "frames" not in found and len(others) == 1 and not found.keys().isdisjoint(LEADING):
        found["frames"] = others[0]
    return found


def _part(role: Path, name: str) -> Path:
    """Return one sequence's part of a role that comes first: a folder, or a video of that name."""
    beside = [path for path in sorted(role.glob(f"{name}.*")) if path.suffix.lower() in (*films.VIDEOS, ".json")]
    return beside[0] if beside and not (role / name).is_dir() else role / name


def _is_sequence(roles: Mapping[str, Path]) -> bool:
    leading = next((role for role in LEADING if role in roles), None)
    if leading is None:
        return False
    place = roles[leading]
    return place.is_file() or bool(_stills_in(place, leading) or _video_in(place))


def _stills_in(folder: Path, role: str) -> list[Path]:
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    wanted = {".json"} if role == "poses" else images.READABLE
    # Cityscapes keeps several maps of a frame side by side.
    return label_layouts.preferred(role, [path for path in files if path.suffix.lower() in wanted])


def _video_in(folder: Path) -> Path | None:
    videos = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in films.VIDEOS]
    if len(videos) > 1:
        names = ", ".join(path.name for path in videos[:4])
        raise UserError(f"{folder} holds {len(videos)} videos", names, "A sequence has one: give each its own folder")
    return videos[0] if videos else None


def _clip(name: str, places: Mapping[str, Place], size_px: tuple[int, int] | None) -> Clip:
    by_role = {role: stills for role, place in places.items() if (stills := _parts(role, place))}
    leading = next((role for role in LEADING if role in by_role), None)
    if leading is None:
        raise UserError(f"The sequence {name} has no labels")
    numbers = sorted(by_role[leading])
    for role, stills in by_role.items():
        if isinstance(stills[min(stills)], films.FilmFrame):
            by_role[role] = _film_numbered(name, role, stills, leading, numbers)
        _require_all(name, role, by_role[role], leading, numbers)
    notes = _gaps(name, numbers, [role for role in MOVES if role in by_role])
    files = {role: tuple(stills[n] for n in numbers if n in stills) for role, stills in by_role.items()}
    drawn = next((role for role in DRAWN if role in files), None)
    if drawn is not None and "conditions" not in files:
        files["conditions"], told = _drawn(drawn, files[drawn], files.get("frames"), size_px)
        notes += told
    files = {role: stills for role, stills in files.items() if role not in DRAWN}
    return Clip(name, files, tuple(notes), tuple(map(len, runs_of(numbers))))


def _gaps(name: str, numbers: Sequence[int], moves: Sequence[str]) -> list[str]:
    """Return what is to be told of steps and holes in the numbers; flow across them is of no use."""
    step, parts = step_of(numbers), runs_of(numbers)
    if len(parts) == 1 and step == 1:
        return []
    there = set(numbers)
    absent = [number for number in range(numbers[0], numbers[-1], 1 if moves else step) if number not in there]
    if moves:
        why = f"Its {', '.join(moves)} lead to frames that are not there"
        do = f"Add them, or take {', '.join(moves)} away and use --flow-from dis"
        raise UserError(f"The sequence {name} lacks the frames {listed(absent)}", why, do)
    told = [f"{name} is numbered in steps of {step}"] if step > 1 else []
    return told + ([f"{name} lacks the frames {listed(absent)}"] if len(parts) > 1 else [])


def _parts_between_gaps(clip: Clip) -> list[Clip]:
    """Return a sequence, or one for each of its parts where frames are missing between them."""
    if len(clip.lengths) < 2:
        return [clip]
    parts, start = [], 0
    for number, length in enumerate(clip.lengths, 1):
        files = {role: stills[start : start + length] for role, stills in clip.files.items()}
        notes = clip.notes if number == 1 else ()
        parts.append(replace(clip, name=f"{clip.name} part {number}", files=files, notes=notes, lengths=(length,)))
        start += length
    return parts


def _parts(role: str, place: Place) -> dict[int, Any]:
    """Return what one role holds by number of frame: stills, or sketches of points."""
    if isinstance(place, list):
        return {number: StillFile(path) for number, path in numbered(place).items()}
    if role == "points":
        return dict(enumerate(drawings.read_point_frames(place)))
    if place.is_file():
        return dict(enumerate(films.Film(place).frames()))
    if not place.is_dir():
        return {}
    stills = _stills_in(place, role)
    if role == "poses":
        return {number: drawings.read_pose(path) for number, path in numbered(stills).items()}
    video = _video_in(place) if role in FILMED and not stills else None
    if video is not None:
        return dict(enumerate(films.Film(video).frames()))
    return {number: StillFile(path) for number, path in numbered(stills).items()}


def _drawn(
    role: str, parts: Sequence[Any], frames: Sequence[Still] | None, size_px: tuple[int, int] | None
) -> tuple[tuple[Still, ...], list[str]]:
    """Return the conditions that points or pictures stand for, and what is to be told of them."""
    if role == "edges":
        return tuple(drawings.Edges(still) for still in parts), []
    size_px = drawings.size_of_drawings(parts, frames, size_px)
    sketches, notes = drawings.examined(parts, size_px)
    return tuple(drawings.Drawing(sketch, size_px) for sketch in sketches), notes


def _film_numbered(
    name: str, role: str, stills: Mapping[int, Any], leading: str, numbers: Sequence[int]
) -> dict[int, Any]:
    """Return a video's frames by the numbers of the sequence: its first belongs to the first of them."""
    if len(stills) != len(numbers):
        film = stills[0].path.name
        why = f"{film} has {len(stills)} frames, and there are {len(numbers)} {leading}"
        raise UserError(f"The {role} of the sequence {name} do not fit", why, "Cut both to the same frames")
    return dict(zip(numbers, stills.values()))


def _require_all(name: str, role: str, found: Mapping[int, Any], leading: str, numbers: Sequence[int]) -> None:
    last = role in ("flow", "occlusion") and numbers[-1:]  # the last frame moves nowhere
    first = role == "flow_back" and numbers[:1]
    absent = [number for number in numbers if number not in found and number not in (last or first or ())]
    if absent:
        why = f"{len(numbers)} {leading}, {len(found)} {role}"
        raise UserError(f"The sequence {name} lacks {role} of the frames {listed(absent)}", why)


def require_one_size(clips: Sequence[Clip]) -> tuple[int, int]:
    """Return the (height, width) that all label maps, conditions and frames have.

    Raises:
        UserError: one has another size (it is named), or cannot be read.
    """
    stills = [still for clip in clips for role in SHOWN for still in clip.files.get(role, ())]
    with ThreadPoolExecutor(4) as pool:
        sizes = list(pool.map(lambda still: still.size_px, stills))
    for still, size in zip(stills, sizes):
        if size != sizes[0]:
            why = f"It is {size[1]}x{size[0]}, {stills[0].name} is {sizes[0][1]}x{sizes[0][0]}"
            raise UserError(f"{still} has another size", why, "All frames of a set have one size")
    return sizes[0]
