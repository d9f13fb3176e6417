"""Scores of folders of clips against the real ones: which clips pair, where their flow comes from, one row for each.

A clip is a video file, a folder of frames, or a sequence folder with `frames/` and, of the real one, `flow/` (OpenEXR,
pixels, to the next frame) and `occlusion/`; or a folder holds several of these, paired by name.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.data.films import VIDEOS
from ganvas.errors import UserError, did_you_mean
from ganvas.evaluation.results import Results, Score
from ganvas.evaluation.sets import read_picture
from ganvas.inference.result import Progress
from ganvas.io.flow_teachers import teacher
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import to_tensor
from ganvas.io.video.reader import VideoReader
from ganvas.metrics import distribution, temporal
from ganvas.metrics.paired import psnr

NAMES = {"warping_error": "lower", "warping_error_real": "", "flicker": "nearer 1", "drift": "nearer 0",
         "psnr": "higher"}  # fmt: skip
DEFAULT = tuple(NAMES)
LIMIT_BYTES = 4 << 30


@dataclass(frozen=True)
class Footage:
    """Where the frames of one clip are, and its flow where there is one."""

    name: str
    frames: Sequence[Path]
    """Pictures in order, or one video file."""
    flow: Sequence[Path] = ()
    occlusion: Sequence[Path] = ()


def score_clips(
    fake: Path,
    real: Path,
    asked: Sequence[str] = DEFAULT,
    *,
    flow: str = "given",
    seed: int = 0,
    resamples: int = distribution.RESAMPLES,
    progress: Progress | None = None,
) -> Results:
    """Score clips against the real ones, frame by frame and in time.

    Args:
        fake: results: a clip or a folder of clips.
        real: the true clips, likewise.
        asked: names of scores: warping_error, warping_error_real, flicker, drift, psnr.
        flow: `given` (files beside the real frames), `dis`, or a file of a flow teacher, asked with the real frames.
        seed: of the bootstrap over clips.
        resamples: bootstrap samples.
        progress: told how far the work is.

    Raises:
        UserError: unknown names, clips that do not pair, or none that can be scored.
    """
    for name in asked:
        if name not in NAMES:
            raise UserError(f"There is no score {name!r} of clips", do=did_you_mean(name, NAMES))
    pairs, problems = match(find_footage(fake), find_footage(real))
    _check_flow(asked, flow, [real_one for _, real_one in pairs])
    rows: dict[str, dict[str, float]] = {}
    for done, (ours, true) in enumerate(pairs):
        try:
            rows[true.name] = _row(ours, true, asked, flow)
        except UserError as error:
            problems[true.name] = str(error)
        if progress:
            progress.of("clips")(done + 1, len(pairs))
    if not rows:
        raise UserError(
            "None of the clips could be scored", "; ".join(f"{k}: {v}" for k, v in list(problems.items())[:3])
        )
    digits = hashlib.sha256(f"whole frames, flow {flow}".encode()).hexdigest()[:8]
    scores = [_mean(name, [row[name] for row in rows.values()], digits, resamples) for name in asked]
    conditions: dict[str, str | int | float] = {
        "fake": str(fake), "real": str(real), "clips": len(rows), "flow": flow, "seed": seed,
        "bootstrap_samples": resamples,
    }  # fmt: skip
    shown = [(side, _shown(clips)) for side, clips in zip(("fake", "real"), zip(*pairs))]
    return Results(
        kind="clips", scores=tuple(scores), conditions=conditions, rows=rows, problems=problems, shown=shown,
        notes=_notes(asked),
    )  # fmt: skip


def _notes(asked: Sequence[str]) -> list[str]:
    if "warping_error" not in asked:
        return []
    return ["A still picture has no warping error of its own: read it beside that of the real clip"]


def _mean(name: str, values: Sequence[float], digits: str, resamples: int) -> Score:
    resamples = resamples if len(values) > 1 else 0
    found = distribution.mean_estimate(torch.tensor(values), resamples)
    return Score(name=name, better=NAMES[name], preprocessing=digits, **found._asdict())


def _shown(clips: Sequence[Footage]) -> list[Path]:
    frames = [path for clip in clips for path in clip.frames if path.suffix.lower() in images.READABLE]
    return frames[:: max(1, len(frames) // 8)][:8]


# Clips


def find_footage(path: Path) -> list[Footage]:
    """Return the clips of a video file, a folder of frames, a sequence folder, or a folder of these.

    Raises:
        UserError: nothing is there.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist")
    single = _footage(path)
    if single:
        return [single]
    inner = [] if path.is_file() else sorted(child for child in path.iterdir() if not child.name.startswith("."))
    found = [clip for child in inner if (clip := _footage(child))]
    if not found:
        raise UserError(
            f"{path} holds no clips", "Clips are videos, folders of frames, or folders with frames/ in them"
        )
    return found


def _footage(path: Path) -> Footage | None:
    if path.is_file():
        return Footage(path.stem, (path,)) if path.suffix.lower() in VIDEOS else None
    if (path / "frames").is_dir():
        inside = {role: _pictures(path / role) for role in ("frames", "flow", "occlusion")}
        return Footage(path.name, **inside) if inside["frames"] else None
    frames = _pictures(path)
    return Footage(path.name, frames) if frames else None


def _pictures(folder: Path) -> list[Path]:
    return images.find_pictures([folder], recursive=False)[0] if folder.is_dir() else []


def match(fakes: Sequence[Footage], reals: Sequence[Footage]) -> tuple[list[tuple[Footage, Footage]], dict[str, str]]:
    """Pair clips by name, or one with one; return pairs, and what has no partner.

    Raises:
        UserError: no names are equal.
    """
    if len(fakes) == len(reals) == 1:
        return [(fakes[0], reals[0])], {}
    ours, true = ({clip.name: clip for clip in side} for side in (fakes, reals))
    common = sorted(ours.keys() & true.keys())
    if not common:
        why = f"For instance {next(iter(ours))} and {next(iter(true))}"
        raise UserError("No clip of the results has the name of a real one", why, "Name them alike")
    alone = dict.fromkeys(sorted(ours.keys() - true.keys()), "only among the results")
    return [(ours[name], true[name]) for name in common], alone | dict.fromkeys(
        sorted(true.keys() - ours.keys()), "only among the real ones"
    )


def _check_flow(asked: Sequence[str], flow: str, reals: Sequence[Footage]) -> None:
    if not any(name.startswith("warping") for name in asked):
        return
    if flow != "given":
        teacher(flow)
        return
    for clip in reals:
        if len(clip.flow) < len(clip.frames) - 1 or not clip.flow:
            why = f"{clip.name} has {len(clip.flow)} flow files for {len(clip.frames)} frames"
            do = "Use --flow dis, or leave the warping error out: --scores flicker,drift,psnr"
            raise UserError("The warping error needs the flow of the real clips", why, do)


# One clip


def _row(fake: Footage, real: Footage, asked: Sequence[str], flow: str) -> dict[str, float]:
    ours, true = read_frames(fake), read_frames(real)
    if ours.shape != true.shape:
        why = f"{_described(ours)} and {_described(true)}"
        raise UserError(
            f"The clips called {real.name} do not fit together", why, "Give equally many frames of one size"
        )
    row: dict[str, float] = {}
    if any(name.startswith("warping") for name in asked):
        motion, visible = _motion(real, true, flow)
        for name, frames in (("warping_error", ours), ("warping_error_real", true)):
            if name in asked:
                row[name] = float(temporal.warping_error(frames, motion, visible).mean())
    if "flicker" in asked:
        row["flicker"] = temporal.flicker(ours, true)
    if "drift" in asked:
        row["drift"] = temporal.drift(ours, true)
    if "psnr" in asked:
        values = torch.cat([psnr(a[None], b[None]) for a, b in zip(ours, true)])
        # A frame may be equal to the bit; 100 dB stand for it, so that a mean remains.
        row["psnr"] = float(values.clamp(max=100).mean())
    return {name: row[name] for name in asked}


def read_frames(clip: Footage) -> Tensor:
    """Return the frames of a clip, (T, 3, H, W) in [0, 1].

    Raises:
        UserError: one cannot be read or differs in size, or the clip does not fit into 4 GiB.
    """
    frames: list[Tensor] = []
    for frame in _frames(clip):
        if frames and frame.shape != frames[0].shape:
            sizes = [f"{x.shape[-1]} x {x.shape[-2]}" for x in (frames[0], frame)]
            raise UserError(
                f"The frames of {clip.name} differ in size", f"Frame {len(frames)} is {sizes[1]}, not {sizes[0]}"
            )
        frames.append(frame)
        if len(frames) * frame.numel() * 4 > LIMIT_BYTES:
            raise UserError(f"The clip {clip.name} is too long", "Clips are scored in memory, up to 4 GiB", "Cut it up")
    return torch.cat(frames)


def _frames(clip: Footage) -> Iterator[Tensor]:
    if len(clip.frames) == 1 and clip.frames[0].suffix.lower() in VIDEOS:
        with VideoReader(clip.frames[0]) as reader:
            for frame in reader:
                yield to_tensor(frame.picture)[None]
    else:
        yield from map(read_picture, clip.frames)


def _motion(real: Footage, frames: Tensor, flow: str) -> tuple[Tensor, Tensor | None]:
    if flow == "given":
        read = [images.read(path)[0] for path in real.flow[: len(frames) - 1]]
        motion = torch.stack([torch.from_numpy(images.to_float(field[..., :2])).permute(2, 0, 1) for field in read])
        hidden = [images.to_float(images.read(path)[0])[..., 0] for path in real.occlusion[: len(frames) - 1]]
        visible = 1 - torch.from_numpy(np.stack(hidden))[:, None] if len(hidden) == len(frames) - 1 else None
        return motion, visible
    ask = teacher(flow)
    if ask is None:
        raise UserError(f"There is no flow teacher {flow!r}", do="Use given, dis or a file")
    return torch.cat([ask(a[None], b[None]) for a, b in itertools.pairwise(frames)]), None


def _described(frames: Tensor) -> str:
    return f"{len(frames)} frames of {frames.shape[-1]} x {frames.shape[-2]}"
