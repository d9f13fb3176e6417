"""What to keep of a folder of pictures: garbage in, garbage out.

A small clean set teaches a GAN more than a large spoiled one (M. Tyka, seed 001). Every picture is measured, compared
with the others of its folder and given reasons to be left out; the rest is ranked. Nothing is moved unless told to.
"""

from __future__ import annotations

import html
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ganvas.data.decoding import decode
from ganvas.data.degrade import resize_bicubic
from ganvas.data.landmarks import Detector
from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.metrics.sharpness import laplacian_variance
from ganvas.values import LUMA

WORKING_PX = 768
"""Longer side at which pictures are measured; larger ones are averaged down by a whole factor."""
THUMBNAIL_PX = 160
FLAT = 1.5 / 255
SCREEN_SHARE = 2e-3
"""A printer's screen is visible: its wave alone holds at least this share of a picture's variance."""
LIKELY_FACE = 0.3
"""Score of dlib's detector below which a face is turned away, covered, or none."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What was measured of one picture."""

    width: int
    height: int
    sharpness: float
    """log10 of the variance of the Laplacian of its gray values: -4 is soft, -2 crisp."""
    contrast: float
    """Standard deviation of its gray values."""
    color: float
    """Mean difference between the largest and the smallest of red, green and blue."""
    halftone: float
    """log10 of the strongest visible wave of a few pixels over the others of its frequency; 0 where none is."""
    flatness: float
    """Share of pixels whose neighbours are the same: drawings, borders."""
    blocks: float
    """How much larger steps are at every eighth column and row than elsewhere: JPEG's blocks; 0 is none."""
    hash: int
    """64 bits of which neighbour is brighter (difference hash)."""
    face: float | None = None
    """Score of the face detector; None where none was found or looked for."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a picture is left out."""

    least_px: int = 0
    """Shorter side; 0 for any."""
    sharpness: float = -3.6
    """Below this a picture is soft whatever the others are."""
    softer_than_most: float = 1.0
    """So much below the median sharpness of the folder is soft, too; a factor of ten in variance is 1."""
    contrast: float = 0.06
    color: float = 0.02
    halftone: float = 2.0
    flatness: float = 0.6
    blocks: float = 0.5
    duplicate_bits: int = 5
    """Pictures whose hashes differ in no more bits are the same; the better one stays."""
    keep_gray: bool = False
    """Leave gray pictures in."""


@dataclass
class Entry:
    """A picture with its measures, its place in the ranking and the reasons against it."""

    path: Path
    name: str
    measures: Measures | None = None
    score: float = 0.0
    """0 to 1, higher is better, among the pictures of this folder."""
    reasons: list[str] = field(default_factory=list)

    @property
    def is_kept(self) -> bool:
        """Tell whether nothing speaks against it."""
        return not self.reasons


def curate(
    folder: str | Path,
    limits: Limits = Limits(),
    faces: bool = False,
    landmark_file: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> list[Entry]:
    """Return the pictures of a folder, the best first, each with what speaks against it.

    Args:
        faces: look for a face in each (extra `faces`); one that is missing or doubtful speaks against a picture.
        landmark_file: dlib's predictor; empty for the one that is found.
        progress: called with the pictures done and all pictures.

    Raises:
        UserError: the folder holds no pictures, or dlib is missing.
    """
    paths, problems = images.find_pictures([folder])
    if not paths:
        raise UserError(f"{folder} cannot be curated", problems[0][1] if problems else "It holds no pictures")
    detector = Detector(landmark_file) if faces else None
    root = Path(folder) if Path(folder).is_dir() else Path(folder).parent
    entries = []
    with ThreadPoolExecutor(max_workers=4) as pool:
        for done, (path, found) in enumerate(zip(paths, pool.map(lambda path: _measured(path, detector), paths)), 1):
            name = path.relative_to(root).as_posix()
            entry = Entry(path, name, found if isinstance(found, Measures) else None)
            if isinstance(found, UserError):
                entry.reasons.append(f"cannot be read: {found}")
            entries.append(entry)
            if progress:
                progress(done, len(paths))
    _sort_out(entries, limits, faces)
    return sorted(entries, key=lambda entry: (bool(entry.reasons), -entry.score, entry.name))


def _measured(path: Path, detector: Detector | None) -> Measures | UserError:
    try:
        return measure(images.to_float(decode(path)), detector)
    except UserError as error:
        return error


def measure(picture: np.ndarray, detector: Detector | None = None) -> Measures:
    """Return the measures of a picture: (H, W, 1 or 3) in [0, 1]."""
    height, width = picture.shape[:2]
    colored = np.broadcast_to(picture, (height, width, 3))
    gray = colored @ np.array(LUMA, np.float32)
    factor = -(-max(height, width) // WORKING_PX)
    small = _averaged(gray, factor)
    return Measures(
        width=width, height=height,
        sharpness=_sharpness(small),
        contrast=float(small.std()),
        color=float((colored.max(-1) - colored.min(-1)).mean()),
        halftone=_halftone(small), flatness=_flatness(gray), blocks=_blocks(gray), hash=_hash(gray),
        face=None if detector is None else detector.score(_bytes(_averaged(colored, factor))),
    )  # fmt: skip


def _sharpness(gray: np.ndarray) -> float:
    if min(gray.shape) < 16:
        return _log10(0.0)
    return _log10(float(laplacian_variance(torch.from_numpy(gray.copy()).double())))


def _averaged(picture: np.ndarray, factor: int) -> np.ndarray:
    if factor == 1:
        return picture
    height, width = (side // factor * factor for side in picture.shape[:2])
    cells = picture[:height, :width].reshape(height // factor, factor, width // factor, factor, -1).mean((1, 3))
    return cells if picture.ndim == 3 else cells[..., 0]


def _bytes(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(images.from_float(picture, "uint8"))


def _log10(value: float) -> float:
    return float(np.log10(max(value, 1e-9)))


def _halftone(gray: np.ndarray) -> float:
    """Return how far the strongest wave of 2 to 10 px stands out of its ring of equal frequency."""
    side = min(*gray.shape, 512)
    top, left = ((length - side) // 2 for length in gray.shape)
    window = np.hanning(side)
    part = gray[top : top + side, left : left + side]
    power = np.abs(np.fft.fft2((part - part.mean()) * window[:, None] * window)) ** 2
    total = float(power.sum())
    waves = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side))
    # Rows and columns through the middle hold straight borders and the picture's frame, which are no dots.
    power[:2], power[-1:], power[:, :2], power[:, -1:] = 0, 0, 0, 0
    rings = np.digitize(waves, np.linspace(0.1, 0.5, 21))
    strongest = 0.0
    for ring in range(1, 21):
        inside = power[(rings == ring) & (power > 0)]
        if inside.size > 64 and inside.max() > SCREEN_SHARE * total:
            strongest = max(strongest, float(inside.max() / max(inside.mean(), 1e-12)))
    return _log10(max(strongest, 1.0))


def _flatness(gray: np.ndarray) -> float:
    right, down = np.abs(np.diff(gray, axis=1))[:-1], np.abs(np.diff(gray, axis=0))[:, :-1]
    return float(((right < FLAT / 3) & (down < FLAT / 3)).mean()) if right.size else 0.0


def _blocks(gray: np.ndarray) -> float:
    excess = []
    for steps in (np.abs(np.diff(gray, axis=1)).mean(0), np.abs(np.diff(gray, axis=0)).mean(1)):
        if len(steps) < 24:
            return 0.0
        means = np.array([steps[place::8].mean() for place in range(8)])
        # The grid of a cut picture may lie anywhere, so the strongest of eight is held against the others.
        others = np.sort(means)[:-1]
        excess.append(means.max() / max(float(others.mean()), 1e-6) - 1)
    return float(min(excess))


def _hash(gray: np.ndarray) -> int:
    picture = torch.from_numpy(np.ascontiguousarray(gray, np.float32))[None, None]
    small = resize_bicubic(picture.expand(1, 3, -1, -1), size=(8, 9))[0, 0].numpy()
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def _sort_out(entries: Sequence[Entry], limits: Limits, faces: bool) -> None:
    known = [(entry, entry.measures) for entry in entries if entry.measures is not None]
    if not known:
        return
    median = float(np.median([found.sharpness for _, found in known]))
    for entry, found in known:
        entry.reasons += _reasons(found, limits, median, faces)
    for name, weight in (("sharpness", 0.5), ("contrast", 0.3), ("pixels", 0.2)):
        values = np.array([m.width * m.height if name == "pixels" else getattr(m, name) for _, m in known])
        for (entry, _), value in zip(known, values):
            entry.score += weight * float((values <= value).mean())
    _drop_duplicates([entry for entry, _ in known], limits.duplicate_bits)


def _reasons(found: Measures, limits: Limits, median: float, faces: bool) -> list[str]:
    checks = [
        (min(found.width, found.height) < limits.least_px, f"small: {found.width} x {found.height} px"),
        (found.sharpness < limits.sharpness, "blurred"),
        (limits.sharpness <= found.sharpness < median - limits.softer_than_most, "softer than the others"),
        (found.contrast < limits.contrast, "little contrast"),
        (found.color < limits.color and not limits.keep_gray, "gray"),
        (found.halftone > limits.halftone, "half-tone"),
        (found.flatness > limits.flatness, "flat areas, as in drawings"),
        (found.blocks > limits.blocks, "blocks of JPEG"),
        (faces and found.face is None, "no face"),
        (found.face is not None and found.face < LIKELY_FACE, "doubtful face: turned away or covered"),
    ]
    return [reason for holds, reason in checks if holds]


def _drop_duplicates(entries: Sequence[Entry], bits: int) -> None:
    """Speak against pictures that equal a better one. Compares all with all: fine up to some ten thousands."""
    ranked = sorted(entries, key=lambda entry: (bool(entry.reasons), -entry.score, entry.name))
    hashes = np.array([entry.measures.hash if entry.measures else 0 for entry in ranked], np.uint64)
    for place, entry in enumerate(ranked[1:], 1):
        distances = np.bitwise_count(hashes[:place] ^ hashes[place])
        near = [other for other in np.nonzero(distances <= bits)[0] if not _is_duplicate(ranked[other])]
        if near:
            entry.reasons.append(f"the same as {ranked[near[0]].name}")


def _is_duplicate(entry: Entry) -> bool:
    return any(reason.startswith("the same as") for reason in entry.reasons)


def report(entries: Sequence[Entry], out: str | Path) -> Path:
    """Write OUT/index.html with thumbnails, keep.txt, rejected.txt and curate.json; return the page.

    Raises:
        UserError: the folder holds a report already, or cannot be written.
    """
    out = Path(out)
    if (out / "index.html").exists():
        raise UserError(f"{out} holds a report already", do="Choose another folder")
    (out / "thumbnails").mkdir(parents=True, exist_ok=True)
    cells = {True: list[str](), False: list[str]()}
    for number, entry in enumerate(entries):
        cells[entry.is_kept].append(_cell(entry, _thumbnail(entry, out, number)))
    page = _page(cells[True], cells[False])
    runs.write_atomically(out / "index.html", page.encode())
    kept = [str(entry.path) for entry in entries if entry.is_kept]
    rejected = [f"{entry.path}\t{'; '.join(entry.reasons)}" for entry in entries if not entry.is_kept]
    runs.write_atomically(out / "keep.txt", "".join(line + "\n" for line in kept).encode())
    runs.write_atomically(out / "rejected.txt", "".join(line + "\n" for line in rejected).encode())
    runs.write_json(out / "curate.json", {"pictures": [as_row(entry) for entry in entries]})
    return out / "index.html"


def as_row(entry: Entry) -> dict[str, Any]:
    """Return an entry as plain values, for JSON."""
    measures = asdict(entry.measures) if entry.measures else {}
    return {"path": str(entry.path), "keep": entry.is_kept, "score": round(entry.score, 4),
            "reasons": entry.reasons, **measures}  # fmt: skip


def _thumbnail(entry: Entry, out: Path, number: int) -> str:
    if entry.measures is None:
        return ""
    picture = images.to_float(decode(entry.path))
    factor = max(1, max(picture.shape[:2]) // THUMBNAIL_PX)
    averaged = _averaged(picture, factor)
    small = np.broadcast_to(averaged, (*averaged.shape[:2], 3))
    name = f"thumbnails/{number:06d}.jpg"
    images.write(out / name, _bytes(small), overwrite=True, quality=85)
    return name


def _cell(entry: Entry, thumbnail: str) -> str:
    found = entry.measures
    picture = f'<img loading="lazy" src="{thumbnail}" alt="">' if thumbnail else "<p>unreadable</p>"
    facts = f"log sharpness {found.sharpness:.1f}, contrast {found.contrast:.2f}" if found else ""
    reasons = "".join(f"<b>{html.escape(reason)}</b> " for reason in entry.reasons)
    name = html.escape(entry.name)
    return f'<figure title="{name}">{picture}<figcaption>{name}<br>{facts} {reasons}</figcaption></figure>'


def _page(kept: Sequence[str], rejected: Sequence[str]) -> str:
    style = (
        "body{font:14px sans-serif;margin:1.5em}section{display:flex;flex-wrap:wrap;gap:12px}"
        "figure{width:180px;margin:0}"
        "img{max-width:180px;max-height:180px}figcaption{overflow-wrap:anywhere}b{color:#b00;font-weight:600}"
    )
    parts = [
        f"<h2>{title}: {len(cells)}</h2><section>{''.join(cells)}</section>"
        for title, cells in (("Kept, the best first", kept), ("Left out", rejected))
    ]
    head = f'<!doctype html><meta charset="utf-8"><title>Curated pictures</title><style>{style}</style>'
    return head + "<h1>Curated pictures</h1>" + "".join(parts)


def move_rejected(entries: Sequence[Entry], folder: str | Path) -> list[Path]:
    """Move what is left out below another folder, under the same names; return the new paths.

    Raises:
        UserError: one of the names is taken there; nothing was moved then.
    """
    targets = [(entry.path, Path(folder) / entry.name) for entry in entries if not entry.is_kept]
    for _, target in targets:
        if target.exists():
            raise UserError(f"{target} exists already", "Nothing was moved", "Choose another folder")
    for path, target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, target)
    return [target for _, target in targets]
