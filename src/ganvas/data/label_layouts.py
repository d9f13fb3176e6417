"""Where pictures, label maps and instance maps lie on the disk, and which belong together: by name, never by order.

Known are the sample world's folders (one sequence, or clip_000, clip_001 ...), Cityscapes (leftImg8bit and gtFine), the
pix2pixHD original's train_label, train_inst and train_img (or train_A and train_B), BDD100K, CamVid, iSAID, Pascal VOC,
ADE-style images and annotations, imaginaire's images and seg_maps, CMP's pictures and maps in one folder, any folders
of these names, and folders named one by one: "labels=DIR,picture=DIR,instances=DIR" or "input=DIR,picture=DIR". Where a
set has phases, the training phase is meant; FOLDER/val, whether it is there or not, asks for another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from ganvas.data import sharded
from ganvas.errors import UserError, did_you_mean
from ganvas.io.labels import legends
from ganvas.io.pictures import images

ROLES = {
    "picture": ("frames", "pictures", "images", "image", "img", "imgs", "photos", "leftImg8bit", "JPEGImages", "B",
                "701_StillsRaw_full"),
    "labels": ("labels", "label", "label_maps", "annotations", "masks", "semantic", "gtFine", "gtCoarse", "seg_maps",
               "SegmentationClass", "SegmentationClassPNG", "Semantic_masks", "LabeledApproved_full"),
    "instances": ("instances", "instance", "inst", "instance_maps", "gtFine", "gtCoarse", "SegmentationObject",
                  "Instance_masks"),
    "input": ("inputs", "input", "edges", "sketches", "renders", "A"),
}  # fmt: skip
"""What a file can be in a scene -> the names that folders of such files go by."""

PHASES = ("train", "training", "val", "valid", "validation", "test", "testing")
"""What the parts of a set are called that are trained on, watched and tested; the first two are trained on."""
_PREFIXED = {"picture": ("img", "B"), "labels": ("label",), "instances": ("inst",), "input": ("A",)}
_SUFFIXED = ("_labels", "_label", "annot", "_masks")
_BDD100K = {
    "picture": "images/10k", "labels": "labels/sem_seg/masks", "instances": "labels/ins_seg/bitmasks",
}  # fmt: skip
# Of the many maps that Cityscapes and others keep side by side, these are the ones that hold every id.
_PREFERRED = {
    "labels": ("_labelIds", "_labelTrainIds", "_instance_color_RGB"), "instances": ("_instanceIds", "_instance_id_RGB"),
}  # fmt: skip
_ENDING = re.compile(
    r"(_leftImg8bit|_gt(Fine|Coarse)_\w+|_(label|instance|labelTrain)Ids|_instance_(color|id)_RGB|_train_id"
    r"|[_\-.](labels?|inst|instances?|img|image|seg|semantic|mask|rgb|photo|A|B|L))$",
    re.IGNORECASE,
)

_KNOWN = {role: (*names, *_PREFIXED[role]) for role, names in ROLES.items()}

_OF_ONE_FOLDER = {"picture": (".jpg", ".jpeg"), "labels": (".png",)}
_MADE_FROM = ("instances", "input")

Folders = Mapping[str, Path]
"""Folders of one set or clip by role."""


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
    notes: list[str] = field(default_factory=list)
    """What was left out on purpose."""

    def has(self, role: str) -> bool:
        """Tell whether any folder of this role was found."""
        return any(role in folders for folders in self.folders)


def find_scenes(inputs: str | Path | Mapping[str, str | Path]) -> Scenes:
    """Return the scenes of a data set: a folder, folders by role, or such a list as text (see the file's beginning).

    Raises:
        UserError: there is no such folder, or nothing in it is known as pictures beside labels or inputs.
    """
    if isinstance(inputs, (str, Path)) and (packed := sharded.open_set(inputs, _KNOWN)):
        return _in_shards(packed, inputs)
    layout, root, clips = _locate(inputs, _is_paired)
    found = Scenes(layout, [], list(clips.values()), legend=_legend(root, clips))
    for clip, folders in clips.items():
        _pair(clip, folders, found, by_clip=len(clips) > 1, by_city=layout == "cityscapes")
    _choose_phase(found)
    if layout == "phase":
        found.notes.append(f"Of the phases in {root}, {next(iter(clips.values()))['picture'].parent.name} is used")
    if found.legend is None and any("_instance_color_RGB" in str(s.files.get("labels", "")) for s in found.scenes[:1]):
        found.legend = legends.READY["isaid"]
    return found


def _in_shards(packed: sharded.ShardSet, inputs: str | Path) -> Scenes:
    sharded.require(packed, inputs, ("labels", "input"))
    clips: dict[str, dict[str, dict[str, Path]]] = {}
    for role, parts in packed.parts.items():
        wanted = set(preferred(role, [part.path for part in parts]))
        for part in parts:
            if part.path in wanted:
                clips.setdefault(part.before, {}).setdefault(role, {}).setdefault(key_of(part.below), part.path)
    clips = {clip: files for clip, files in clips.items() if _is_paired(files)} or clips
    named_so = [clip for phase in PHASES for clip in clips if clip.casefold() == phase]
    clips = {"": clips[named_so[0]]} if named_so else clips
    folders = [{role: Path(inputs, role) for role in files} for files in clips.values()]
    found = Scenes("shards", [], folders, legend=sharded.legend_of(packed, inputs), notes=list(packed.notes))
    for (clip, files), places in zip(clips.items(), folders):
        by_city = any("leftImg8bit" in str(path) for path in list(files.get("picture", {}).values())[:1])
        _join(clip, {"picture": {}, **files}, places, found, by_clip=len(clips) > 1, by_city=by_city)
    _choose_phase(found)
    return found


def find_maps(inputs: str | Path) -> Mapping[str, Folders]:
    """Return the folders of label maps by clip, each with those of its instance maps and inputs, where there are such.

    Raises:
        UserError: it is neither a data set with label maps nor a folder of them.
    """
    root = Path(inputs)
    try:
        # What is tested comes last in PHASES, and is what the originals generate from.
        clips = _locate(inputs, lambda folders: "labels" in folders, PHASES[::-1])[2]
    except UserError:
        if not root.is_dir():
            raise
        clips = {}
    return clips or {"": {"labels": root, **beside_maps(root)}}


def is_data_set(inputs: str | Path) -> bool:
    """Tell whether a folder, or what is in shards, is laid out as pictures beside label maps or inputs."""
    try:
        if packed := sharded.open_set(inputs, _KNOWN):
            return _is_paired(packed.parts)
        _locate(inputs, _is_paired)
    except UserError:
        return False
    return True


Useful = Callable[[Mapping[str, Any]], bool]
"""Tells whether folders by role are what was looked for."""


def _is_paired(folders: Mapping[str, Any]) -> bool:
    return "picture" in folders and ("labels" in folders or "input" in folders)


def _locate(
    inputs: str | Path | Mapping[str, str | Path], is_useful: Useful, phases: Sequence[str] = PHASES
) -> tuple[str, Path, dict[str, dict[str, Path]]]:
    named = _named(inputs)
    if named:
        return "folders", next(iter(named.values())).parent, {"": named}
    root = Path(str(inputs))
    layouts: dict[str, Iterator[dict[str, Path]]] = {
        "cityscapes": _cityscapes(root), "bdd100k": _bdd100k(root), "prefixed": _prefixed(root, phases),
        "folders": iter([_plain(root)]), "suffixed": _suffixed(root, phases), "one folder": _side_by_side(root),
    }  # fmt: skip
    for layout, candidates in layouts.items():
        if (found := next(filter(is_useful, candidates), None)) is not None:
            return layout, root, {"": found}
    clips = {child.name: found for child in _children(root) if is_useful(found := _plain(child))}
    named_so = [name for phase in phases for name in clips if name.casefold() == phase]
    if named_so:
        return "phase", root, {"": clips[named_so[0]]}
    if clips:
        return "clips", root, clips
    if _asked_phase(root) and root.parent.is_dir():
        layout, _, clips = _locate(root.parent, is_useful, phases)
        clips = {name: _narrowed(folders, root.name) for name, folders in clips.items()}
        if clips and all(map(is_useful, clips.values())):
            return layout, root, clips
    if not root.is_dir():
        raise UserError(f"{root} does not exist", do="Give a folder, or labels=DIR,picture=DIR,instances=DIR")
    raise UserError(
        f"{root} is no data set of labels",
        f"It has no folder of pictures ({', '.join(ROLES['picture'][:4])} ...) beside one of labels "
        f"({', '.join(ROLES['labels'][:4])} ...) or inputs ({', '.join(ROLES['input'][:3])} ...)",
        _advice(root),
    )


def _asked_phase(root: Path) -> str:
    """Return the phase that a path which is no folder asks for."""
    return root.name if root.name.casefold() in PHASES and not root.is_dir() else ""


def _narrowed(folders: Folders, phase: str) -> dict[str, Path]:
    """Return the folders of a phase below those of the roles; val and validation are the same."""
    below = {}
    for role, path in folders.items():
        named = [child for child in _children(path) if child.name.casefold() in PHASES]
        alike = [child for child in named if child.name.casefold()[:3] == phase.casefold()[:3]]
        below.update({role: alike[0]} if alike else {})
    return below


def _advice(root: Path) -> str:
    if any((root / name).is_dir() for name in ("CelebAMask-HQ-mask-anno", "CelebA-HQ-img")):
        return f"Its masks are one file a part; make label maps of them: ganvas label import {root} --out DIR"
    folder = next((place for place in (root, *(root / name for name in PHASES)) if are_side_by_side(place)), None)
    if folder is not None:
        return (
            "Its pictures are twice as wide as high: if each shows a pair side by side (A|B), split them by "
            f"`ganvas label split {folder} --out DIR` and train on DIR (A in, B out) or input=DIR/B,picture=DIR/A"
        )
    if any(root.glob("*.json")) or any(root.glob("*.xml")) or any(root.glob("*/*.json")) or any(root.glob("*/*.xml")):
        return f"If it holds annotations, make maps of them: ganvas label import {root} --out DIR"
    return "Name the folders: labels=DIR,picture=DIR,instances=DIR"


def are_side_by_side(folder: Path, looked_at: int = 8) -> bool:
    """Tell whether the pictures that lie in a folder are all twice as wide as high, as A|B pictures are."""
    paths = images.find_pictures([folder], recursive=False)[0][:looked_at] if folder.is_dir() else []
    try:
        headers = [images.read_header(path) for path in paths]
    except UserError:
        return False
    return bool(headers) and all(header.width == 2 * header.height for header in headers)


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
    if not _is_paired(named):
        raise UserError(
            "Folders of a data set are missing",
            "Named are " + ", ".join(named),
            "Name picture and labels, or picture and input",
        )
    return named


def _children(root: Path) -> list[Path]:
    return sorted(child for child in root.iterdir() if child.is_dir()) if root.is_dir() else []


def _plain(root: Path) -> dict[str, Path]:
    present = {child.name.casefold(): child for child in _children(root)}
    found = {}
    for role, names in ROLES.items():
        match = next((present[name.casefold()] for name in names if name.casefold() in present), None)
        if match is not None:
            found[role] = match
    return found


def _cityscapes(root: Path) -> Iterator[dict[str, Path]]:
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
            yield {**found, "instances": maps} if any(maps.rglob("*_instanceIds.*")) else found


def _prefixed(root: Path, phases: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Find train_label and its like in `root`; a root of ROOT/test that is no folder asks for that phase."""
    asked = _asked_phase(root)
    for phase in [asked] if asked else phases:
        yield _of_phase(root.parent if asked else root, phase)


def _of_phase(top: Path, phase: str) -> dict[str, Path]:
    return {
        role: top / f"{phase}_{name}"
        for role, names in _PREFIXED.items()
        for name in names
        if (top / f"{phase}_{name}").is_dir()
    }


def _bdd100k(root: Path) -> Iterator[dict[str, Path]]:
    yield {role: root / below for role, below in _BDD100K.items() if (root / below).is_dir()}


def _suffixed(root: Path, phases: Sequence[str]) -> Iterator[dict[str, Path]]:
    """Find train and train_labels, or trainannot, in `root`, as copies of CamVid lie; ROOT/val asks for that phase."""
    for phase in phases:
        # The pictures of ROOT/val are a folder, and their maps lie beside it.
        top = root.parent if root.name == phase else root
        for ending in _SUFFIXED:
            if (top / phase).is_dir() and (top / f"{phase}{ending}").is_dir():
                yield {"picture": top / phase, "labels": top / f"{phase}{ending}"}


def _side_by_side(root: Path) -> Iterator[dict[str, Path]]:
    """Find a folder of JPEGs with a PNG of the same name for each, which is its label map, as CMP's facades lie."""
    files = [path for path in root.iterdir() if path.is_file()] if root.is_dir() else []
    stems = [{path.stem for path in files if path.suffix.lower() in ends} for ends in _OF_ONE_FOLDER.values()]
    if stems[0] & stems[1]:
        yield dict.fromkeys(_OF_ONE_FOLDER, root)


def beside_maps(folder: Path) -> dict[str, Path]:
    """Return the folders of instance maps and inputs that belong to a folder of label maps, by what it is called."""
    if any(folder.rglob("*_instanceIds.*")):
        return {"instances": folder}
    for phase in PHASES:
        if any(folder.name == f"{phase}_{name}" for name in _PREFIXED["labels"]):
            return {role: path for role, path in _of_phase(folder.parent, phase).items() if role in _MADE_FROM}
    found = {role: path for role, path in _plain(folder.parent).items() if role in _MADE_FROM}
    if folder.name.casefold() not in map(str.casefold, ROLES["labels"]):
        found.pop("input", None)  # A beside maps of any name is hardly what goes in with them
    return {role: path for role, path in found.items() if path != folder and path.name not in ("gtFine", "gtCoarse")}


def _legend(root: Path, clips: Mapping[str, Mapping[str, Path]]) -> Path | None:
    places = [root, root.parent, *(folder for folders in clips.values() for folder in _beside(folders))]
    return legends.find_legend(places)


def _beside(folders: Mapping[str, Path]) -> Iterator[Path]:
    labels = folders.get("labels")
    if labels is not None:
        yield labels
        yield labels.parent


def _pair(clip: str, folders: dict[str, Path], found: Scenes, by_clip: bool, by_city: bool) -> None:
    ends = _OF_ONE_FOLDER if found.layout == "one folder" else {}
    files = {
        role: by_name(listed(role, folder, ends.get(role)), folder, found.unpaired) for role, folder in folders.items()
    }
    _join(clip, files, folders, found, by_clip, by_city)


def _join(
    clip: str, files: dict[str, dict[str, Path]], folders: dict[str, Path], found: Scenes, by_clip: bool, by_city: bool
) -> None:
    """Add the scenes whose files have one name in all roles."""
    wanted = [role for role in files if role != "picture"]
    if not any(key in files["picture"] for role in wanted for key in files[role]):
        # Some sets sort the pictures into folders but not the maps, or the other way round.
        files = {role: _by_stem(named) for role, named in files.items()}
    for role in wanted[1:]:
        if not files[role].keys() & files[wanted[0]].keys():
            found.notes.append(f"{folders[role]} is left aside: no file there has the name of one of the {wanted[0]}")
            del files[role]
            folders.pop(role)
    for key in sorted({key for named in files.values() for key in named}):
        missing = [role for role, named in files.items() if key not in named]
        if missing:
            present = next(named[key] for named in files.values() if key in named)
            found.unpaired[str(present)] = f"has no {' and no '.join(missing)} of the name {key}"
            continue
        name = f"{clip}/{key}" if clip else key
        group = clip if by_clip else key.rpartition("/")[0] if by_city and "/" in key else name
        found.scenes.append(Scene(name, group, {role: named[key] for role, named in files.items()}))


def _choose_phase(found: Scenes) -> None:
    """Keep the scenes of the training phase where the folders of the roles hold one folder a phase."""
    phases = {scene.name: scene.name.partition("/")[0].casefold() for scene in found.scenes}
    there = [phase for phase in PHASES if phase in phases.values()]
    if len(there) < 2 or there[0] not in PHASES[:2]:
        return
    found.scenes = [scene for scene in found.scenes if phases[scene.name] == there[0]]
    others = [f"/{phase}/" for phase in there[1:]]
    found.unpaired = {
        path: why for path, why in found.unpaired.items() if not any(part in Path(path).as_posix() for part in others)
    }
    what = f"Of its phases {there[0]} is used, not {', '.join(there[1:])}; DIR/{there[1]} means that one"
    found.notes.append(what)


def listed(role: str, folder: Path, ends: tuple[str, ...] | None = None) -> list[Path]:
    """Return the pictures of a folder that can play a role: of several maps of one picture those that hold every id."""
    paths, _ = images.find_pictures([folder], recursive=ends is None)
    return preferred(role, [path for path in paths if ends is None or path.suffix.lower() in ends])


def preferred(role: str, paths: Sequence[Path]) -> list[Path]:
    """Return of several maps of one picture, told by their endings, those that hold every id."""
    kinds = ([path for path in paths if path.stem.endswith(ending)] for ending in _PREFERRED.get(role, ()))
    return next(filter(None, kinds), list(paths))


def by_name(paths: Sequence[Path], folder: Path, unpaired: dict[str, str] | None = None) -> dict[str, Path]:
    """Return files by their path below a folder, without suffix and the ending that tells their role.

    Files of one name are told to `unpaired`, the first being kept.
    """
    files: dict[str, Path] = {}
    for path in paths:
        key = key_of(path.relative_to(folder))
        if key not in files:
            files[key] = path
        elif unpaired is not None:
            unpaired[str(path)] = f"has the same name as {files[key].name} but for its ending"
    return files


def _by_stem(files: Mapping[str, Path]) -> dict[str, Path]:
    stems = [key.rpartition("/")[2] for key in files]
    return dict(zip(stems, files.values())) if len(set(stems)) == len(stems) else dict(files)


def key_of(path: PurePath) -> str:
    """Return a path without its suffix and the ending that tells its role: a/0_leftImg8bit.png -> a/0."""
    stem = path.with_suffix("").as_posix()
    return _ENDING.sub("", stem) or stem
