"""Where pictures, label maps and instance maps lie on the disk, and which belong together: by name, never by order.

Known are the sample world's folders (one sequence, or clip_000, clip_001 ...), Cityscapes (leftImg8bit and gtFine), the
pix2pixHD original's train_label, train_inst and train_img (or train_A and train_B), ADE-style images and annotations,
any folders of these names, and folders named one by one: "labels=DIR,picture=DIR,instances=DIR" or
"input=DIR,picture=DIR".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ganvas.errors import UserError, did_you_mean
from ganvas.io.pictures import images

ROLES = {
    "picture": ("frames", "pictures", "images", "image", "img", "imgs", "photos", "leftImg8bit", "JPEGImages", "B"),
    "labels": ("labels", "label", "label_maps", "annotations", "masks", "semantic", "gtFine", "gtCoarse"),
    "instances": ("instances", "instance", "inst", "instance_maps", "gtFine", "gtCoarse"),
    "input": ("inputs", "input", "edges", "sketches", "renders", "A"),
}  # fmt: skip
"""What a file can be in a scene -> the names that folders of such files go by."""

_PREFIXED = {"picture": ("img", "B"), "labels": ("label",), "instances": ("inst",), "input": ("A",)}
_PHASES = ("train", "training", "val", "test")
# Of the many maps that Cityscapes keeps side by side, these are the ones that hold every id.
_PREFERRED = {"labels": ("_labelIds", "_labelTrainIds"), "instances": ("_instanceIds",)}
_ENDING = re.compile(
    r"(_leftImg8bit|_gt(Fine|Coarse)_\w+|_(label|instance|labelTrain)Ids"
    r"|[_\-.](labels?|inst|instances?|img|image|seg|semantic|mask|rgb|photo|A|B))$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Scene:
    """Files of one picture by role: "picture", and "labels" with or without "instances", or "input"."""

    name: str
    group: str
    """What must not be split between training and validation: its clip or city, else the scene itself."""
    files: Mapping[str, Path]


@dataclass
class Scenes:
    """All scenes of a data set, and what could not be paired."""

    layout: str
    scenes: list[Scene]
    folders: list[dict[str, Path]]
    """By role, one entry for each clip."""
    unpaired: dict[str, str] = field(default_factory=dict)
    """File -> what it lacks."""
    legend: Path | None = None

    def has(self, role: str) -> bool:
        """Tell whether any folder of this role was found."""
        return any(role in folders for folders in self.folders)


def find_scenes(inputs: str | Path | Mapping[str, str | Path]) -> Scenes:
    """Return the scenes of a data set: a folder, folders by role, or such a list as text (see the file's beginning).

    Raises:
        UserError: there is no such folder, or nothing in it is known as pictures beside labels or inputs.
    """
    layout, root, clips = _locate(inputs)
    found = Scenes(layout, [], list(clips.values()), legend=_legend(root, clips))
    for clip, folders in clips.items():
        _pair(clip, folders, found, by_clip=len(clips) > 1, by_city=layout == "cityscapes")
    return found


def is_data_set(inputs: str | Path) -> bool:
    """Tell whether a folder is laid out as pictures beside label maps or inputs."""
    try:
        _locate(inputs)
    except UserError:
        return False
    return True


def _locate(inputs: str | Path | Mapping[str, str | Path]) -> tuple[str, Path, dict[str, dict[str, Path]]]:
    named = _named(inputs)
    if named:
        return "folders", next(iter(named.values())).parent, {"": named}
    root = Path(str(inputs))
    for layout, find in (("cityscapes", _cityscapes), ("prefixed", _prefixed), ("folders", _plain)):
        if found := find(root):
            return layout, root, {"": found}
    clips = {child.name: found for child in _children(root) if _useful(found := _plain(child))}
    if clips:
        return "clips", root, clips
    if not root.is_dir():
        raise UserError(f"{root} does not exist", do="Give a folder, or labels=DIR,picture=DIR,instances=DIR")
    raise UserError(
        f"{root} is no data set of labels",
        f"It has no folder of pictures ({', '.join(ROLES['picture'][:4])} ...) beside one of labels "
        f"({', '.join(ROLES['labels'][:4])} ...) or inputs ({', '.join(ROLES['input'][:3])} ...)",
        "Name the folders: labels=DIR,picture=DIR,instances=DIR",
    )


def _named(inputs: str | Path | Mapping[str, str | Path]) -> dict[str, Path]:
    if isinstance(inputs, Mapping):
        named = {str(role): Path(folder) for role, folder in inputs.items()}
    elif isinstance(inputs, str) and "=" in inputs and not Path(inputs).exists():
        named = {
            role.strip(): Path(path.strip()) for role, _, path in (part.partition("=") for part in inputs.split(","))
        }
    else:
        return {}
    for role, folder in named.items():
        if role not in ROLES:
            raise UserError(f"There is no role {role!r} of a folder", do=did_you_mean(role, ROLES))
        if not folder.is_dir():
            raise UserError(f"The folder of the {role}, {folder}, does not exist")
    if not _useful(named):
        raise UserError(
            "Folders of a data set are missing",
            "Named are " + ", ".join(named),
            "Name picture and labels, or picture and input",
        )
    return named


def _useful(folders: Mapping[str, Path]) -> bool:
    return "picture" in folders and ("labels" in folders or "input" in folders)


def _children(root: Path) -> list[Path]:
    return sorted(child for child in root.iterdir() if child.is_dir()) if root.is_dir() else []


def _plain(root: Path) -> dict[str, Path]:
    present = {child.name.casefold(): child for child in _children(root)}
    found = {}
    for role, names in ROLES.items():
        match = next((present[name.casefold()] for name in names if name.casefold() in present), None)
        if match is not None:
            found[role] = match
    return found if _useful(found) else {}


def _cityscapes(root: Path) -> dict[str, Path]:
    """Find leftImg8bit and gtFine in `root`, or the counterpart of a folder inside leftImg8bit."""
    parts = root.absolute().parts
    if "leftImg8bit" in parts and not (root / "leftImg8bit").is_dir():
        place = len(parts) - 1 - parts[::-1].index("leftImg8bit")
        top, rest = Path(*parts[:place]), parts[place + 1 :]
    else:
        top, rest = root, ()
    pictures = top.joinpath("leftImg8bit", *rest)
    for kind in ("gtFine", "gtCoarse"):
        maps = top.joinpath(kind, *rest)
        if pictures.is_dir() and maps.is_dir():
            found = {"picture": pictures, "labels": maps}
            return {**found, "instances": maps} if any(maps.rglob("*_instanceIds.*")) else found
    return {}


def _prefixed(root: Path) -> dict[str, Path]:
    """Find train_label and its like in `root`; a root of ROOT/test that is no folder asks for that phase."""
    tries = [(root, phase) for phase in _PHASES] if root.is_dir() else [(root.parent, root.name)]
    for top, phase in tries:
        found = {
            role: top / f"{phase}_{name}"
            for role, names in _PREFIXED.items()
            for name in names
            if (top / f"{phase}_{name}").is_dir()
        }
        if _useful(found):
            return found
    return {}


def _legend(root: Path, clips: Mapping[str, Mapping[str, Path]]) -> Path | None:
    places = [root, root.parent, *(folder for folders in clips.values() for folder in _beside(folders))]
    return next((place / "legend.json" for place in places if (place / "legend.json").is_file()), None)


def _beside(folders: Mapping[str, Path]) -> Iterator[Path]:
    labels = folders.get("labels")
    if labels is not None:
        yield labels
        yield labels.parent


def _pair(clip: str, folders: Mapping[str, Path], found: Scenes, by_clip: bool, by_city: bool) -> None:
    listed = {role: _files(role, folder, found) for role, folder in folders.items()}
    wanted = [role for role in listed if role != "picture"]
    if not any(key in listed["picture"] for role in wanted for key in listed[role]):
        # Some sets sort the pictures into folders but not the maps, or the other way round.
        listed = {role: _by_stem(files) for role, files in listed.items()}
    keys = sorted({key for files in listed.values() for key in files})
    for key in keys:
        missing = [role for role in listed if key not in listed[role]]
        if missing:
            present = next(files[key] for files in listed.values() if key in files)
            found.unpaired[str(present)] = f"has no {' and no '.join(missing)} of the name {key}"
            continue
        name = f"{clip}/{key}" if clip else key
        group = clip if by_clip else key.rpartition("/")[0] if by_city and "/" in key else name
        found.scenes.append(Scene(name, group, {role: files[key] for role, files in listed.items()}))


def _files(role: str, folder: Path, found: Scenes) -> dict[str, Path]:
    """Return the pictures of a folder by their path below it, without suffix and the ending that tells their role."""
    paths, _ = images.find_pictures([folder])
    kinds = ([path for path in paths if path.stem.endswith(ending)] for ending in _PREFERRED.get(role, ()))
    files: dict[str, Path] = {}
    for path in next(filter(None, kinds), paths):
        key = _key(path.relative_to(folder))
        if key in files:
            found.unpaired[str(path)] = f"has the same name as {files[key].name} but for its ending"
        else:
            files[key] = path
    return files


def _by_stem(files: Mapping[str, Path]) -> dict[str, Path]:
    stems = [key.rpartition("/")[2] for key in files]
    return dict(zip(stems, files.values())) if len(set(stems)) == len(stems) else dict(files)


def _key(path: Path) -> str:
    stem = path.with_suffix("").as_posix()
    return _ENDING.sub("", stem) or stem
