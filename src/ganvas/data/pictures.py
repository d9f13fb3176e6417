"""Crops of pictures: folders of any pictures, and pairs of a low and a high folder, as samples addressed by number.

Headers are read when a source is made, pixels when a sample first needs them. A picture that cannot be used is named
once in the source's `report` and never stops a run. Samples are float32 RGB in [0, 1]: gray is repeated in three
channels, and what is transparent is laid over mid-gray.
"""

from __future__ import annotations

import copy
import hashlib
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from torch import Tensor

from ganvas.data.cache import CACHE_BYTES
from ganvas.data.decoding import CHECKED_BYTES, PictureCache, check_cost, in_threads
from ganvas.data.doctor import Examination
from ganvas.errors import UserError
from ganvas.io.pictures import images, shards
from ganvas.io.pictures.tensors import to_tensor
from ganvas.protocol import Source

Inputs = str | Path | Sequence[str | Path]
A = TypeVar("A")
T = TypeVar("T")


@dataclass
class Report:
    """Which pictures a source uses, and which it does not and why; each is named once."""

    num_used: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    """Name -> reason."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def skip(self, name: str, why: str, was_used: bool = False) -> None:
        """Note a picture that is not used, or that turns out to be unusable although it was counted as used."""
        with self._lock:
            if name not in self.skipped:
                self.skipped[name] = " ".join(why.split())
                self.num_used -= was_used

    @property
    def text(self) -> str:
        """A summary, with the first ten of the skipped pictures."""
        with self._lock:
            lines = [f"  {name}: {why}" for name, why in self.skipped.items()]
        more = [f"  and {len(lines) - 10} more"] if len(lines) > 10 else []
        return "\n".join([f"{self.num_used} pictures, {len(lines)} skipped", *lines[:10], *more])


@dataclass(frozen=True)
class Entry:
    """One picture of a source: what it is called, and its files by the name they have in a sample."""

    group: str
    files: Mapping[str, Path]
    area: int
    """Pixels of the high picture."""


class Crops:
    """Random crops of pictures that may have several aligned versions; `Pictures` and `PairedPictures` say which."""

    takes_all_below = True
    """Every picture below the folder is trained on."""

    def __init__(
        self,
        entries: Sequence[Entry],
        factors: Mapping[str, int],
        crop_px: int,
        scale: int,
        augment: bool,
        crops_per_picture: int | None,
        cache_bytes: int,
        report: Report,
    ) -> None:
        self.crop_px, self.scale, self.augment, self.report = crop_px, scale, augment, report
        self._entries, self._factors = entries, dict(factors)
        self._cache = PictureCache(cache_bytes)
        report.num_used = len(entries)
        repeats = [crops_per_picture or max(1, round(entry.area / crop_px**2)) for entry in entries]
        self._samples = np.repeat(np.arange(len(entries)), repeats)

    def __len__(self) -> int:
        return len(self._samples)

    def groups(self) -> list[str]:
        """Return for each sample the picture that it is a crop of."""
        return [self._entries[number].group for number in self._samples.tolist()]

    def subset(self, indices: Sequence[int]) -> Self:
        """Return the source of only these samples; it shares the cache and the report."""
        chosen = copy.copy(self)
        chosen._samples = self._samples[np.asarray(indices, dtype=np.int64)]
        return chosen

    def one_each(self) -> Self:
        """Return the source with one sample for each picture, for scoring whole pictures by `whole`."""
        return self.subset(np.unique(self._samples, return_index=True)[1].tolist())

    def sample(self, index: int, random: np.random.Generator) -> dict[str, Tensor]:
        """Return a random crop, mirrored and turned at random where `augment` is on: name -> (3, h, w) in [0, 1].

        A picture that turns out to be broken is replaced by the next one of this source.

        Raises:
            UserError: no picture of this source can be read.
        """
        versions = self._versions(index)
        # Drawn in pixels of the coarsest version, so that the crops of all versions cover the same area.
        coarsest = max(self._factors.values())
        crop = self.crop_px // coarsest
        height, width = (min(picture.shape[axis] for picture in versions.values()) for axis in (0, 1))
        top, left = int(random.integers(height - crop + 1)), int(random.integers(width - crop + 1))
        turn = int(random.integers(8)) if self.augment else 0
        result = {}
        for name, picture in versions.items():
            zoom = coarsest // self._factors[name]
            cut = picture[top * zoom : (top + crop) * zoom, left * zoom : (left + crop) * zoom]
            result[name] = to_tensor(turned(cut, turn))
        return result

    def whole(self, index: int) -> dict[str, Tensor]:
        """Return the whole picture of a sample, cut at the right and bottom to a multiple of the scale."""
        versions = self._versions(index)
        result = {}
        for name, picture in versions.items():
            unit = self.scale // self._factors[name]
            height, width = (side // unit * unit for side in picture.shape[:2])
            result[name] = to_tensor(picture[:height, :width])
        return result

    def examine(self) -> Examination:
        """Decode all pictures where they are few enough to be kept, and name those that are broken in the report."""
        wanted = np.unique(self._samples).tolist()
        paths = [path for number in wanted for path in self._entries[number].files.values()]
        if sum(map(shards.num_bytes, paths)) <= CHECKED_BYTES:
            for number, error in zip(wanted, in_threads(self._fault, wanted)):
                if error:
                    self.report.skip(self._entries[number].group, error, was_used=True)
        return Examination()

    def _fault(self, number: int) -> str:
        try:
            self._decoded(self._entries[number])
        except UserError as error:
            return str(error)
        return ""

    def _versions(self, index: int) -> dict[str, np.ndarray]:
        """Return the decoded versions of a sample's picture, or of the next usable picture of this source."""
        for entry in (self._entries[number] for number in self._candidates(int(self._samples[index]))):
            try:
                return self._decoded(entry)
            except UserError as error:
                self.report.skip(entry.group, str(error), was_used=True)
        raise UserError("No picture of this source can be read", self.report.text)

    def _candidates(self, wanted: int) -> Iterator[int]:
        yield wanted
        # Only pictures of this source: a broken picture held out must not be replaced by one trained on.
        mine = np.unique(self._samples)
        yield from np.roll(mine, -int(np.searchsorted(mine, wanted)))[1:].tolist()

    def _decoded(self, entry: Entry) -> dict[str, np.ndarray]:
        versions = {name: self._cache.get(path) for name, path in entry.files.items()}
        heights, widths = (
            {picture.shape[axis] * self._factors[name] for name, picture in versions.items()} for axis in (0, 1)
        )
        if min(heights | widths) < self.crop_px or len(heights) > 1 or len(widths) > 1:
            raise UserError("Its pixels do not have the size that its header says")
        return versions


def turned(picture: np.ndarray, which: int) -> np.ndarray:
    """Return one of the eight mirrored and turned versions of a square picture (H, W, C), numbered 0 to 7."""
    return np.rot90(picture[:, ::-1] if which >= 4 else picture, which % 4)


class Pictures(Crops):
    """Crops of all pictures of a folder, with its subfolders, or of a list of files: {"high": (3, h, w)}."""

    def __init__(
        self,
        inputs: Inputs,
        crop_px: int,
        scale: int = 1,
        augment: bool = True,
        crops_per_picture: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Read the headers and choose the usable pictures.

        Files of equal bytes count once. Equal pictures in different files are not noticed, because that would mean
        decoding everything first.

        Args:
            crop_px: side of the square crops, a multiple of `scale`.
            scale: what the sides of crops and of whole pictures are a multiple of.
            augment: mirror and turn the crops at random.
            crops_per_picture: samples of each picture in an epoch; None takes as many as crops fit into its area.
            cache_bytes: decoded pictures that are kept in memory.

        Raises:
            UserError: the crop does not fit the scale, or no picture can be used.
        """
        _check_crop(crop_px, scale)
        report, entries = Report(), []
        for name, (path, header) in _unique(_indexed(inputs, report), report).items():
            if min(header.width, header.height) < crop_px:
                report.skip(name, f"too small: {header.width} x {header.height} px, a crop needs {crop_px}")
            else:
                entries.append(Entry(name, {"high": path}, header.width * header.height))
        _check_any(entries, _listed(inputs), report, f"pictures of at least {crop_px} x {crop_px} px")
        super().__init__(entries, {"high": 1}, crop_px, scale, augment, crops_per_picture, cache_bytes, report)


class PairedPictures(Crops):
    """Aligned crops of pairs from two folders: {"low": (3, h, w), "high": (3, h * scale, w * scale)}.

    Partners have the same path and stem, apart from an ending that tells the two apart, such as x4, _LR or _high.
    """

    def __init__(
        self,
        low: Inputs,
        high: Inputs,
        crop_px: int,
        scale: int,
        augment: bool = True,
        crops_per_picture: int | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Read the headers, match the names and check the sizes.

        Args:
            crop_px: side of the crops of the high pictures, a multiple of `scale`.
            scale: side of a high picture divided by that of its low one.

        Raises:
            UserError: the crop does not fit the scale, or no pair can be used.
        """
        _check_crop(crop_px, scale)
        report, entries = Report(), []
        lows = _by_stem(_indexed(low, report), report)
        highs = _by_stem(_indexed(high, report), report)
        for stem in sorted(lows.keys() ^ highs.keys()):
            report.skip(stem, "has no high picture" if stem in lows else "has no low picture")
        matched = {stem: highs[stem] for stem in sorted(lows.keys() & highs.keys())}
        for stem, (high_path, large) in _unique(matched, report).items():
            low_path, small = lows[stem]
            if (large.width, large.height) != (small.width * scale, small.height * scale):
                sizes = f"{small.width} x {small.height} and {large.width} x {large.height} px"
                report.skip(stem, f"low and high of {sizes} are no pair at x{scale}")
            elif min(large.width, large.height) < crop_px:
                report.skip(stem, f"too small: {large.width} x {large.height} px, a crop needs {crop_px}")
            else:
                entries.append(Entry(stem, {"low": low_path, "high": high_path}, large.width * large.height))
        _check_any(entries, [*_listed(low), *_listed(high)], report, f"pairs at x{scale} of at least {crop_px} px")
        factors = {"low": scale, "high": 1}
        super().__init__(entries, factors, crop_px, scale, augment, crops_per_picture, cache_bytes, report)


Indexed = dict[str, tuple[Path, images.Header]]
"""Name below the input -> file and header, sorted by name."""

_ENDING = re.compile(r"((?<=\d)x\d+m?|[_\-. ](x\d+m?|lr|hr|lq|hq|gt|low|high))$", re.IGNORECASE)


def _listed(inputs: Inputs) -> list[str | Path]:
    return [inputs] if isinstance(inputs, (str, Path)) else list(inputs)


def _indexed(inputs: Inputs, report: Report) -> Indexed:
    """Find all pictures and read their headers; what cannot be read goes to the report."""
    given = [Path(one) for one in _listed(inputs)]
    sharded = {one: found for one in given if (found := shards.find_shards(one))}
    paths, problems = images.find_pictures([one for one in given if one not in sharded])
    for shard in dict.fromkeys(shard for found in sharded.values() for shard in found):
        try:
            paths += shards.members(shard)
            problems += [(str(shard), damage)] if (damage := getattr(shards.open_shard(shard), "damage", "")) else []
        except UserError as error:
            problems.append((str(shard), str(error)))
    for what, why in problems:
        report.skip(str(what), str(why))
    names = _names(given, paths)
    result: Indexed = {}
    for name, path, header in zip(names, paths, in_threads(_header, paths)):
        if isinstance(header, UserError):
            report.skip(name, str(header))
        else:
            result[name] = (path, header)
    return dict(sorted(result.items()))


def _names(inputs: Sequence[Path], paths: Sequence[Path]) -> list[str]:
    """Name pictures by their path below the folder they were found in, so that a moved folder keeps its split."""
    folders = [folder for folder in inputs if folder.is_dir()]
    names = []
    for path in paths:
        root = next((folder for folder in folders if path.is_relative_to(folder)), None)
        if root is None:
            found = shards.shard_of(path)
            root = path.parent if found is None else found[0].parent
        names.append(path.relative_to(root).as_posix())
    # Several inputs can hold files of one name; only then is the whole path needed to tell them apart.
    counts = Counter(names)
    return [name if counts[name] == 1 else path.as_posix() for name, path in zip(names, paths)]


def _header(path: Path) -> images.Header | UserError:
    try:
        with shards.as_file(path) as file:
            header = images.read_header(file)
        check_cost(path, header)
    except UserError as error:
        return error
    return header


def _unique(indexed: Indexed, report: Report) -> Indexed:
    """Leave out files whose bytes equal those of an earlier one; only files of equal length need to be read."""
    lengths = Counter(shards.num_bytes(path) for path, _ in indexed.values())
    suspects = {path for path, _ in indexed.values() if lengths[shards.num_bytes(path)] > 1}
    digests = dict(zip(suspects, in_threads(shards.digest, suspects)))
    first: dict[str, str] = {}
    result: Indexed = {}
    for name, (path, header) in indexed.items():
        twin = first.setdefault(digests[path], name) if path in suspects else name
        if twin == name:
            result[name] = (path, header)
        else:
            report.skip(name, f"the same file as {twin}")
    return result


def _by_stem(indexed: Indexed, report: Report) -> Indexed:
    result: Indexed = {}
    for name, found in indexed.items():
        stem = stem_of(name)
        if stem in result:
            report.skip(name, f"has the same name as {result[stem][0].name} but for its ending")
        else:
            result[stem] = found
    return result


def stem_of(name: str) -> str:
    """Return a path without its suffix and the ending that tells low from high: a/0001x4.png -> a/0001."""
    stem = Path(name).with_suffix("").as_posix()
    return _ENDING.sub("", stem) or stem


def _check_crop(crop_px: int, scale: int) -> None:
    if crop_px < 1 or scale < 1 or crop_px % scale:
        raise UserError(f"Crops of {crop_px} px do not fit a scale of {scale}", do=f"Use a multiple of {scale} px")


def _check_any(entries: Sequence[Entry], inputs: Sequence[str | Path], report: Report, needed: str) -> None:
    if not entries:
        where = ", ".join(map(str, inputs))
        found = report.text if report.skipped else "It holds no pictures at all"
        raise UserError(f"No picture in {where} can be used", found, f"Needed are {needed}")


S = TypeVar("S", bound=Source)


def _last_of_their_class(source: Any, groups: Sequence[str], held: set[str]) -> set[str]:
    """Return what must be trained on after all: one group of each class of which everything would be held out."""
    classes = source.classes() if hasattr(source, "classes") else []
    members: dict[int, set[str]] = {}
    for group, label in zip(groups, classes):
        members.setdefault(label, set()).add(group)
    return {min(names) for names in members.values() if names <= held}


def split(source: S, fraction: float, seed: int = 0) -> tuple[S, S]:
    """Return the samples to train on and those held out, split by group: no picture has crops in both.

    Only the groups' names and the seed decide; each side gets one at least, and new pictures move few others across.

    Args:
        fraction: share of the groups to hold out, above 0 and below 1.

    Raises:
        UserError: the fraction is out of range, or there are fewer than two groups.
    """
    groups = source.groups()
    names = sorted(set(groups), key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    if not 0 < fraction < 1:
        raise UserError(f"A share of {fraction} cannot be held out", "It must lie between 0 and 1", "Try 0.1")
    if len(names) < 2:
        raise UserError("Nothing can be held out for validation", f"There is only {len(names)} picture, clip or scene")
    held = set(names[: min(max(1, round(fraction * len(names))), len(names) - 1)])
    held -= _last_of_their_class(source, groups, held)
    if not held:
        raise UserError("Nothing can be held out for validation", "Each class would lose its only picture")
    train = [index for index, group in enumerate(groups) if group not in held]
    val = [index for index, group in enumerate(groups) if group in held]
    return source.subset(train), source.subset(val)  # pyright: ignore[reportReturnType]
