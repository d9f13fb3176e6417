"""Do pictures show what their label maps ask for? A small segmenter, trained on the real pictures, reads them off.

Its word counts as far as it reads real pictures rightly that it was not trained on: that is measured at once, under
the names `miou_real` and `pixel_accuracy_real`, and printed beside. A result may score higher than real pictures: then
it is easier to read, not better.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ganvas.data.labels import LabelledPictures
from ganvas.errors import UserError, did_you_mean
from ganvas.evaluation.results import Results, Score
from ganvas.evaluation.sets import read_picture
from ganvas.inference.result import Progress
from ganvas.io.pictures import images
from ganvas.io.score_cache import ScoreCache
from ganvas.metrics import distribution
from ganvas.metrics.labels import confusion, score_confusion
from ganvas.metrics.probe import Probe, train_segmenter

NAMES = {"miou": "higher", "pixel_accuracy": "higher", "miou_real": "", "pixel_accuracy_real": ""}
STEPS = 600
LONGEST_PX = 512
"""Larger pictures are shrunk before they are read."""
HELD_OUT = 0.2


def score_labelled(
    fake: Path,
    data: Path,
    asked: Sequence[str] = tuple(NAMES),
    *,
    steps: int = STEPS,
    seed: int = 0,
    resamples: int = distribution.RESAMPLES,
    device: str | torch.device = "cpu",
    cache: ScoreCache | None = None,
    progress: Progress | None = None,
) -> Results:
    """Score pictures that were made from label maps by what a segmenter sees in them.

    Args:
        fake: folder of results, named as the real pictures are (their folders may be left out where that is clear).
        data: real pictures with label maps, in any layout that training reads.
        asked: names of scores.
        steps: on which the segmenter is trained.
        seed: of the segmenter, and of the bootstrap over pictures.
        resamples: bootstrap samples.
        device: where the segmenter runs.
        cache: where the trained segmenter is kept for the next time; None keeps none.
        progress: told how far the work is.

    Raises:
        UserError: unknown names, no result that pairs with a label map, or too few real pictures to train on.
    """
    for name in asked:
        if name not in NAMES:
            raise UserError(f"There is no score {name!r} of labelled pictures", do=did_you_mean(name, NAMES))
    source = LabelledPictures(data, mirror=False, fit="whole")
    if not source.has_labels:
        raise UserError(f"{data} has no label maps", do="Give the data that the generator was trained on")
    partners, problems = match(fake, source.names())
    scenes = [_shrunk(source.whole(number)) for number in range(len(source))]
    held_out = _held_out(source.groups())
    probe = train_segmenter(
        [picture for picture, _ in scenes], [labels for _, labels in scenes], source.num_labels,
        steps=steps, seed=seed, held_out=held_out, device=device, cache=cache,
    )  # fmt: skip
    ours: list[Tensor] = []
    rows: dict[str, dict[str, float]] = {}
    for done, (number, path) in enumerate(partners.items()):
        try:
            counts = _read_off(probe, read_picture(path)[0], scenes[number][1], source.num_labels)
            scored = score_confusion(counts)
        except UserError as error:
            problems[str(path)] = str(error)
            continue
        ours.append(counts)
        rows[source.names()[number]] = {"miou": scored.mean_iou, "pixel_accuracy": scored.pixel_accuracy}
        if progress:
            progress.of("pictures read by the segmenter")(done + 1, len(partners))
    if not ours:
        raise UserError("None of the pictures can be used", next(iter(problems.values()), ""))
    real = [_read_off(probe, *scenes[number], source.num_labels) for number in held_out]
    # One segmenter, one digest: numbers of two cannot be compared.
    scores = [
        _score(name, real if name.endswith("_real") else ours, resamples, seed, probe.digest[:8]) for name in asked
    ]
    return Results(
        kind="label maps",
        scores=tuple(scores),
        conditions={
            "fake": str(fake),
            "labels": str(data),
            "pictures": len(ours),
            "segmenter_steps": steps,
            "seed": seed,
            "bootstrap_samples": resamples,
        },
        rows=rows,
        notes=[probe.trust],
        problems=problems,
        shown=[("results", list(partners.values())[:8])],
    )


def match(folder: Path, names: Sequence[str]) -> tuple[dict[int, Path], dict[str, str]]:
    """Return for the numbers of scenes the result of that name, and results without a scene.

    Raises:
        UserError: there is no folder, or nothing pairs.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder", "Results are looked for by the names of the real pictures")
    whole = {name: number for number, name in enumerate(names)}
    tails = [Path(name).name for name in names]
    found: dict[int, Path] = {}
    problems: dict[str, str] = {}
    for path in images.find_pictures([folder])[0]:
        name = path.relative_to(folder).with_suffix("").as_posix()
        tail = Path(name).name
        number = whole.get(name, tails.index(tail) if tails.count(tail) == 1 else -1)
        if number >= 0:
            found[number] = path
        else:
            problems[str(path)] = "no label map has its name"
    if not found:
        why = f"For instance {next(iter(problems), 'nothing')} and {names[0]}"
        raise UserError(f"No picture of {folder} has the name of a label map", why, "Name results as the real pictures")
    return dict(sorted(found.items())), problems


def _held_out(groups: Sequence[str]) -> list[int]:
    """Return the numbers of the last clips, or of the last pictures: frames beside each other would tell too much."""
    wanted = max(1, round(HELD_OUT * len(groups)))
    kept: list[int] = []
    for group in reversed(dict.fromkeys(groups)):
        if len(kept) >= wanted:
            break
        kept += [number for number, name in enumerate(groups) if name == group]
    return sorted(kept) if len(kept) < len(groups) else list(range(len(groups)))[-wanted:]


def _shrunk(scene: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    picture, label_map = scene["picture"], scene["label_map"][0]
    factor = LONGEST_PX / max(picture.shape[-2:])
    if factor >= 1:
        return picture, label_map
    size = [max(16, round(side * factor)) for side in picture.shape[-2:]]
    small = F.interpolate(label_map[None, None].double(), size=size, mode="nearest-exact")[0, 0].long()
    return _resized(picture, size), small


def _resized(picture: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(picture[None], size=list(size), mode="bicubic", antialias=True).clamp(0, 1)[0]


def _read_off(probe: Probe, picture: Tensor, label_map: Tensor, num_labels: int) -> Tensor:
    if picture.shape[-2:] != label_map.shape:
        picture = _resized(picture, label_map.shape)
    return confusion(probe.predict(picture[None])[0], label_map, num_labels)


def _score(name: str, counts: Sequence[Tensor], resamples: int, seed: int, digits: str) -> Score:
    stacked = torch.stack(list(counts)).double()

    def of(rows: Tensor) -> float:
        found = score_confusion(stacked[rows].sum(0))
        return found.mean_iou if name.startswith("miou") else found.pixel_accuracy

    several = resamples if len(counts) > 1 else 0
    return Score(
        name=name,
        better=NAMES[name],
        preprocessing=digits,
        **distribution.estimate(of, len(counts), several, seed)._asdict(),
    )
