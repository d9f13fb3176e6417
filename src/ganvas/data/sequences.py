"""Sequences on disk: folders, video files and key points, one *still* a frame for each role, checked before any use.

A *sequence* is a folder with one folder a role, `labels/`, `frames/`, `instances/`, `flow/`, `occlusion/`,
`conditions/`, each with one numbered file a frame; the folder may also hold many such folders, or the roles may come
first (`labels/NAME/000000.png`). A role may be a video instead (`frames.mp4`, or one video in `frames/`, or the only
video beside `labels/`), and conditions may be drawn: from key points (`poses/`, `points.json`) or from the edges of
pictures (`edges/`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from ganvas.data import drawings, films
from ganvas.data.stills import Still, StillFile
from ganvas.errors import UserError
from ganvas.io.pictures import images

ROLES = {
    "labels": ("labels", "label", "train_A", "A"),
    "conditions": ("conditions", "condition", "inputs"),
    "instances": ("instances", "inst", "train_inst"),
    "frames": ("frames", "images", "img", "train_B", "B"),
    "flow": ("flow",),
    "flow_back": ("flow_back",),
    "occlusion": ("occlusion",),
    "poses": ("poses", "keypoints"),
    "points": ("points",),
    "edges": ("edges",),
}
"""What a folder or a file may be called that holds one role of a sequence."""
LEADING = ("labels", "conditions", "poses", "points", "edges")
"""Roles that say how many frames a sequence has: what pictures are made from."""
DRAWN = ("poses", "points", "edges")
"""Roles that conditions are drawn from."""
SHOWN = ("labels", "conditions", "instances", "frames", "occlusion")
"""Roles whose pictures have the size of the set."""
FILMED = ("labels", "conditions", "instances", "frames", "edges")
"""Roles that may be videos."""


@dataclass(frozen=True)
class Clip:
    """The stills of one sequence by role, each in order of its frames."""

    name: str
    files: Mapping[str, Sequence[Still]]

    def __len__(self) -> int:
        return len(self.files.get("labels") or self.files["conditions"])


def find_clips(folder: str | Path, needs: Sequence[str] = (), size_px: tuple[int, int] | None = None) -> list[Clip]:
    """Return the sequences of a folder, in order of their names.

    Args:
        folder: a sequence, a folder of sequences, or a folder of roles with a folder or video for each sequence.
        needs: roles that every sequence must have beside its labels or conditions.
        size_px: (height, width) of key points' pictures where no frame and no file tells it.

    Raises:
        UserError: there is none, or one lacks a role or frames (which are named), or has gaps; a video has a variable
            rate or another number of frames.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{root} is no folder", do="Give a folder of sequences, such as `ganvas world` makes")
    found = [(path.name, _roles(path)) for path in [root, *_folders(root)] if _is_sequence(path)]
    if not found:
        roles = _roles(root)
        leading = next((roles[role] for role in LEADING if role in roles), None)
        names = [path.name for path in _folders(leading)] if leading and leading.is_dir() else []
        found = [(name, {role: _part(path, name) for role, path in roles.items()}) for name in names]
    if not found:
        why = "There is no folder `labels` with numbered pictures in it or in the folders below"
        raise UserError(f"{root} holds no sequences", why, "Lay them out as NAME/labels/000000.png, NAME/frames/...")
    clips = [_clip(name, roles, size_px) for name, roles in found]
    for clip in clips:
        missing = [role for role in needs if role not in clip.files]
        if missing:
            raise UserError(f"The sequence {clip.name} in {root} has no {' and no '.join(missing)}")
    return clips


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _roles(folder: Path) -> dict[str, Path]:
    """Return the folder, video or JSON file of each role of a sequence."""
    there = {path.name: path for path in _folders(folder)}
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    videos = {path.stem: path for path in files if path.suffix.lower() in films.VIDEOS}
    told = {path.stem: path for path in files if path.suffix.lower() == ".json"}
    found: dict[str, Path] = {}
    for role, names in ROLES.items():
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


def _is_sequence(folder: Path) -> bool:
    roles = _roles(folder)
    leading = next((roles[role] for role in LEADING if role in roles), None)
    return leading is not None and (leading.is_file() or bool(_stills_in(leading) or _video_in(leading)))


def _stills_in(folder: Path) -> list[Path]:
    wanted = {".json"} if folder.name in ROLES["poses"] else images.READABLE
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in wanted]


def _video_in(folder: Path) -> Path | None:
    videos = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in films.VIDEOS]
    if len(videos) > 1:
        listed = ", ".join(path.name for path in videos[:4])
        raise UserError(f"{folder} holds {len(videos)} videos", listed, "A sequence has one: give each its own folder")
    return videos[0] if videos else None


def _clip(name: str, places: Mapping[str, Path], size_px: tuple[int, int] | None) -> Clip:
    numbered = {role: stills for role, place in places.items() if (stills := _parts(role, place))}
    leading = next((role for role in LEADING if role in numbered), None)
    if leading is None:
        raise UserError(f"The sequence {name} has no labels")
    numbers = sorted(numbered[leading])
    for role, stills in numbered.items():
        if isinstance(stills[min(stills)], films.FilmFrame):
            numbered[role] = _film_numbered(name, role, stills, leading, numbers)
        _require_all(name, role, numbered[role], leading, numbers)
    gaps = [number for earlier, later in pairwise(numbers) for number in range(earlier + 1, later)]
    if gaps:
        raise UserError(f"The sequence {name} lacks the frames {_listed(gaps)}", "The numbers of its files have gaps")
    files = {role: tuple(stills[n] for n in numbers if n in stills) for role, stills in numbered.items()}
    if leading in DRAWN:
        files["conditions"] = _drawn(leading, files[leading], files.get("frames"), size_px)
    return Clip(name, {role: stills for role, stills in files.items() if role not in DRAWN})


def _parts(role: str, place: Path) -> dict[int, Any]:
    """Return what one role holds by number of frame: stills, or sketches of points."""
    if role == "points":
        return dict(enumerate(drawings.read_point_frames(place)))
    if role == "poses":
        return {number: drawings.read_pose(path) for number, path in _numbered(place).items()}
    if place.is_file():
        return dict(enumerate(films.Film(place).frames()))
    if not place.is_dir():
        return {}
    video = _video_in(place) if role in FILMED and not _stills_in(place) else None
    if video is not None:
        return dict(enumerate(films.Film(video).frames()))
    return {number: StillFile(path) for number, path in _numbered(place).items()}


def _drawn(
    role: str, parts: Sequence[Any], frames: Sequence[Still] | None, size_px: tuple[int, int] | None
) -> tuple[Still, ...]:
    """Return the conditions that points or pictures stand for."""
    if role == "edges":
        return tuple(drawings.Edges(still) for still in parts)
    size_px = drawings.size_of_drawings(parts, frames, size_px)
    return tuple(drawings.Drawing(sketch, size_px) for sketch in parts)


def _numbered(folder: Path) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for path in _stills_in(folder):
        digits = re.findall(r"\d+", path.stem)
        if not digits:
            raise UserError(
                f"{path} has no number", "The frames of a sequence are numbered", "Name them 000000.png ..."
            )
        # Of several numbers (city_000012_000019_gtFine) the last is the frame's, unless it is the same in all files.
        found[int(digits[-1])] = path
    return found


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
        raise UserError(f"The sequence {name} lacks {role} of the frames {_listed(absent)}", why)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (" ..." if len(numbers) > 8 else "")


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
