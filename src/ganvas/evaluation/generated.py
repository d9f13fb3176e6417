"""Pictures that a model generates to be scored: from seeds, label maps, sequences, or small copies of a truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ganvas.data.degrade import bicubic
from ganvas.data.sequences import find_clips
from ganvas.errors import UserError
from ganvas.inference.open import known_models, open_model
from ganvas.inference.result import Event, Moved, Progress, Result
from ganvas.io import runs
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import from_tensor, to_tensor
from ganvas.protocol import Card


@dataclass(frozen=True)
class Generated:
    """A folder of generated pictures, and what is to be told about them."""

    folder: Path
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    """Of a generator of classes; `labels.json` in the folder tells which picture is of which."""
    shares: Mapping[str, float] = field(default_factory=dict)
    """Part of the training data that each class had, where the card tells it."""


def is_model(path: Path) -> bool:
    """Return whether a path or name means a model: a run, a file that is no picture or video, or a known name."""
    if path.is_dir():
        return runs.is_run(path)
    if path.is_file():
        return path.suffix.lower() in (".safetensors", ".pth", ".pt", ".ckpt", ".bin", ".param", ".onnx")
    return str(path) == "default" or str(path) in {model.name for model in known_models()}


def card_of(model: Path) -> Card:
    """Return the card of a model by path or name.

    Raises:
        UserError: it cannot be read.
    """
    return open_model(str(model)).card


def partial_extractors(model: Path, scored_by: Sequence[str]) -> list[str]:
    """Return a note on each network that scores what a model makes and also stood in the model's loss."""
    in_loss = [part.partition(":")[0] for part in str(card_of(model).extra.get("features_in_loss", "")).split("+")]
    names = [name for name in dict.fromkeys(in_loss) if name and any(name in score for score in scored_by)]
    return [f"{name} scores here, and stood in this model's loss: it is not independent" for name in names]


def training_folder(model: Path) -> Path | None:
    """Return where a run says that its training data lay, if it is there still."""
    if not runs.is_run(model):
        return None
    data = runs.read_json(model / runs.SETTINGS).get("settings", {}).get("data", "")
    return Path(data) if isinstance(data, str) and data and Path(data).is_dir() else None


def seen_in_training(model: Path, truth: Path) -> list[str]:
    """Return a note where a run was trained on the pictures that it is scored by."""
    trained = training_folder(model)
    if trained is None:
        return []
    data, scored = trained.resolve(), truth.resolve()
    if not (scored.is_relative_to(data) or data.is_relative_to(scored)):
        return []
    val = runs.read_json(model / runs.SETTINGS).get("settings", {}).get("val", "")
    held_out = f", but for what --val {val} held out" if val else ""
    return [
        f"{truth} is part of the training data of {model}{held_out}: these scores say little of pictures that it has "
        "not seen"
    ]


def from_seeds(model: Path, folder: Path, num: int, seed: int, device: str, progress: Progress) -> Generated:
    """Generate pictures of consecutive seeds; classes, where the generator knows some, take turns.

    Raises:
        UserError: the model makes no pictures from seeds.
    """
    from ganvas.inference.seeds.sampler import BATCH, SeedSampler

    # Not by the suite, whose files are named by class: scores that draw subsets depend on the order of the names.
    sampler = SeedSampler(open_model(model), device)
    folder.mkdir(parents=True, exist_ok=True)
    labels: dict[str, int] = {}
    report = progress.of("pictures generated")
    for start in range(0, num, BATCH):
        seeds = range(seed + start, seed + min(start + BATCH, num))
        for number, picture in zip(seeds, sampler.sample(seeds)):
            name = f"{number:08d}.png"
            images.write(folder / name, from_tensor(picture))
            labels[name] = sampler.class_of(number)
        report(min(start + BATCH, num), num)
    if not sampler.num_classes:
        return Generated(folder)
    runs.write_json(folder / "labels.json", {"labels": labels, "classes": sampler.class_names})
    counts = [float(count) for count in sampler.card.extra.get("class_counts", ())]
    shares = {name: count / sum(counts) for name, count in zip(sampler.class_names, counts)} if sum(counts) else {}
    return Generated(folder, class_names=tuple(sampler.class_names), shares=shares)


def from_labels(
    model: Path, labels: Path, folder: Path, num: int, seed: int, device: str, progress: Progress
) -> Generated:  # fmt: skip
    """Paint the label maps of a data set, evenly spread ones where there are more than `num`; styles are the seed's.

    Raises:
        UserError: the model paints no label maps, or none of them can be painted.
    """
    opened = open_model(model)
    options = opened.suite.Options(
        labels=labels, out=folder, num=num, seed=seed, device=device, precision="float32"
    )  # fmt: skip
    results = opened.suite.run(opened, options, _counted(progress.of("pictures painted"), num))
    failed = [result for result in results if result.error]
    if len(failed) == len(results):
        raise UserError(f"{model} painted none of the label maps of {labels}", failed[0].error if failed else "")
    return Generated(folder, tuple(f"{result.input} was not painted: {result.error}" for result in failed))


def _counted(progress: Progress, num: int) -> Progress:
    """Return the reports of a suite's work that tell only how many of its inputs are done."""
    done: list[Result] = []

    def tell(event: Event) -> None:
        if isinstance(event, Result):
            done.append(event)
            progress(min(len(done), num), num)

    return Progress(tell, token=progress.token)


def from_sequences(
    model: Path, sequences: Path, folder: Path, seed: int, device: str, progress: Progress
) -> Generated:  # fmt: skip
    """Generate a clip of every sequence of label maps in a folder, each in a folder of its name.

    A model that always was given the first frame is given the true one, and a note says so.

    Raises:
        UserError: the model makes no clips, or a sequence is not what it was trained on.
    """
    from ganvas.inference.clips.sampler import ClipOptions, generate_clip

    found = find_clips(sequences)
    sources = [sequences] if len(found) == 1 else [sequences / clip.name for clip in found]
    if not all(source.is_dir() for source in sources):
        why = "Several sequences are generated one after the other, each from its own folder"
        raise UserError(f"{sequences} holds its sequences in another layout", why, "Lay them out as NAME/labels/...")
    opened = open_model(model)
    needs_first = opened.card.extra.get("first_frame", "needed") == "needed"
    report = progress.of("frames generated")
    for done, (clip, source) in enumerate(zip(found, sources)):
        true = clip.files["frames"][0].path if needs_first and "frames" in clip.files else ""
        options = ClipOptions(first=str(true), seed=seed, device=device, resume=False)
        part = Progress(_frames_of(report, done, len(found)), token=progress.token)
        generate_clip(opened, source, folder / clip.name, options, part)
    note = "Each clip was begun with the true first frame, which this model always is given"
    return Generated(folder, (note,) if needs_first else ())


def _frames_of(report: Progress, place: int, places: int) -> Callable[[Event], None]:
    """Return what tells the frames of one of several clips as a part of them all."""

    def tell(event: Event) -> None:
        if isinstance(event, Moved) and event.total:
            report(place * event.total + event.done, places * event.total)

    return tell


@dataclass(frozen=True)
class Enlarged:
    """Two folders of equal names, and by how much one was enlarged."""

    results: Path
    truth: Path
    scale: int
    problems: Mapping[str, str] = field(default_factory=dict)
    """Pictures that were left out, and why."""


def from_small_copies(
    model: Path, truth: Sequence[Path], root: Path, folder: Path, scale: int, device: str, progress: Progress
) -> Enlarged:
    """Shrink true pictures by MATLAB's bicubic, round them to 8 bits, and enlarge them again.

    Sides that are no multiple of the scale lose their last pixels, in the truth as well. A picture that cannot be read
    or enlarged is left out. Enlarged is by what `ganvas
    upscale` runs: networks in tiles, or upres nets with their guide.

    Args:
        model: an enlarger by name, path or run.
        truth: the true pictures.
        root: folder below which names are kept, with _ in the place of /.
        folder: gets `truth`, `low` and `results`.
        scale: of the copies; 0 takes the model's.
        device: where the model runs.
        progress: told how far the work is.

    Raises:
        UserError: the model enlarges nothing, or by another factor, or none of the pictures can be read or enlarged.
    """
    opened = open_model(str(model))
    factor = _factor_of(opened.card)
    if factor < 2 or factor % 1 or (scale and scale != factor):
        what = f"{model} enlarges by {factor:g}" if factor > 1 else f"{model} enlarges nothing"
        why = f"--scale is {scale}" if scale else "Small copies are made by whole factors from 2"
        raise UserError(what, why, "Name a model of that factor, or score a folder of results")
    scale = int(factor)
    options = opened.suite.Options(
        inputs=(str(folder / "low"),), out=folder / "results", precision="float32", device=device
    )  # fmt: skip
    problems: dict[str, str] = {}
    paths: dict[str, Path] = {}
    for path in truth:
        name = "_".join(path.relative_to(root).with_suffix(".png").parts)
        try:
            picture = _eight_bits(path, scale)
        except UserError as error:
            problems[str(path)] = " ".join(str(error).split())
            continue
        paths[str(folder / "low" / name)] = path
        low = from_tensor(bicubic(to_tensor(picture)[None], scale).clamp(0, 1)[0])
        for side, pixels in (("truth", picture), ("low", low)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            images.write(folder / side / name, pixels)
    if not paths:
        raise UserError("None of the pictures could be read", next(iter(problems.values()), ""))
    results = opened.suite.run(opened, options, _counted(progress.of("pictures enlarged"), len(paths)))
    failed = {result.input: result.error for result in results if result.error}
    if len(failed) == len(results):
        raise UserError(f"{model} enlarged none of the pictures", next(iter(failed.values()), ""))
    for name, why in failed.items():
        problems[str(paths.get(name, name))] = f"it was not enlarged: {why}"
        (folder / "truth" / Path(name).name).unlink(missing_ok=True)
    return Enlarged(folder / "results", folder / "truth", scale, problems)


def _factor_of(card: Card) -> float:
    """Return by how much a model enlarges; upres nets first bring the low picture to their grid."""
    facts = card.extra.get("upres")
    return card.scale * (facts["grid_px"] / facts["low_px"] if isinstance(facts, Mapping) else 1)


def _eight_bits(path: Path, scale: int) -> np.ndarray:
    """Return a picture as (H, W, 3) uint8 whose sides are multiples of the scale."""
    stored, header = images.read(path)
    if header.channels > 4:
        raise UserError(f"{path} is no colour picture", f"It has {header.channels} channels")
    colours = images.to_float(stored[..., : header.channels - (header.channels in (2, 4))])
    height, width = (side // scale * scale for side in colours.shape[:2])
    if not height or not width:
        raise UserError(f"{path} is too small to be shrunk to 1/{scale}")
    return images.from_float(np.broadcast_to(colours, (*colours.shape[:2], 3))[:height, :width], "uint8")
