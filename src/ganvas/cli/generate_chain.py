"""`ganvas generate A --then B --then C`: a generator, or pictures, and what enlarges them, in one command.

Of the options, those of the chain are taken here and the others handed to the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Suppress, UseAppendAction

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing, parse_known
from ganvas.cli.console import Console
from ganvas.cli.generate import generate
from ganvas.errors import UsageError, need
from ganvas.inference import chain
from ganvas.inference.open import open_model
from ganvas.inference.options import Common, part
from ganvas.inference.picture.options import Options, PlanesOptions, TileOptions
from ganvas.inference.picture.steady import Blend
from ganvas.inference.picture.suite import takes_guide
from ganvas.io import runs
from ganvas.io.pictures.formats import READABLE
from ganvas.io.video.codecs import VIDEO_SUFFIXES

WALKS = ("latents", "classes")


@dataclass(frozen=True, kw_only=True)
class Chain(TileOptions, PlanesOptions, Printing):
    """What stands behind the first model, or the pictures, of a chain."""

    inputs: Suppress[tuple[str, ...]] = ()
    out: Path | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    """Folder of the steps, or a video."""
    then: Annotated[tuple[str, ...], UseAppendAction] = ()
    """A model that enlarges what was generated; may be given several times."""
    class_name: Annotated[str, tyro.conf.arg(name="class")] = ""
    """Nets trained with classes: class of all pictures, by name or number."""
    precision: Any = "auto"
    """Arithmetic of the networks; auto takes the machine's fastest."""
    walk: bool = False
    """Walk from seed to seed, as a clip; --walk classes: from class to class."""
    seeds: str = ""
    """Of the generator: 0-15."""
    classes: str = ""
    """Of the generator: boot,bag or all."""
    steps: int = 8
    """Pictures of a walk from one seed to the next."""
    steady: float = 0.0
    """Share of the last frame that is kept along the flow; 0 leaves frames as they are."""
    times: int = 1
    """How many times the frames; those between two are made along the flow."""
    fps: Fraction = Fraction(24)
    """Frames a second of a video."""
    fixed_choices: bool = False
    """Keep for every picture the variants that were best for the first one, as for frames of a clip."""


def generate_then(arguments: Sequence[str]) -> int:
    """Generate with the first model, unless pictures are given, and run each further model over what was made."""
    words, kind = _without_kind_of_walk(arguments[1:])
    asked, rest = parse_known(Chain, words, "ganvas generate", "generate chain")
    if asked.out is None:
        raise UsageError("A chain needs a folder for its steps", do="Add --out DIR")
    out, video = _places(asked.out, asked.overwrite)
    options = replace(_options(asked, out), fixed_choices=asked.fixed_choices)
    opened = chain.open_chain(asked.then, options)
    if asked.walk and any(takes_guide(one.card) for one in opened):
        options = replace(options, fixed_choices=True)
    is_pictures = _is_pictures(arguments[0])
    given = [*rest, *(f"--{name}" for name in ("seeds", "classes", "walk") if getattr(asked, name))]
    if is_pictures and given:
        raise UsageError(f"{' '.join(given)} means nothing for pictures", do="Leave it out")
    if video and not is_pictures and not asked.walk:
        raise UsageError(f"{video} is a video", "Pictures of seeds are no clip", "Add --walk, or name a folder")
    pictures, first = arguments[0], 1
    with Console(part(asked, Printing)) as console:
        if not is_pictures:
            pictures, first = str(out / chain.folder_name(1, arguments[0])), 2
            code = _generated(arguments[0], rest, Path(pictures), asked, kind)
            if code != DONE:
                return code
        chain.enlarge(asked.then, replace(options, inputs=(pictures,)), console.progress, first)
        if console.code != DONE:
            return console.code
        last = out / chain.folder_name(first + len(asked.then) - 1, asked.then[-1])
        if asked.steady or asked.times > 1:
            last = _steady(last, out / f"{first + len(asked.then)}-steady", asked, console)
        if video:
            number = chain.write_video(last, video, asked.fps, asked.overwrite)
            console.say(f"{video}: {number} frames, {asked.fps} a second")
    return DONE


def _without_kind_of_walk(words: Sequence[str]) -> tuple[list[str], str]:
    """Return words with a plain `--walk`, and its kind: from seed to seed where none is said."""
    kept, kind = list[str](), "latents"
    for word in words:
        said = word.removeprefix("--walk=") if word.startswith("--walk=") else word
        if said in WALKS and (said != word or kept[-1:] == ["--walk"]):
            kind = said
            kept += ["--walk"] if said != word else []
        else:
            kept.append(word)
    return kept, kind


def _options(asked: Chain, out: Path) -> Options:
    shared = {**vars(part(asked, TileOptions)), **vars(part(replace(asked, out=out), PlanesOptions))}
    return Options(**shared)


def _places(out: Path, overwrite: bool) -> tuple[Path, Path | None]:
    """Return the folder of the steps, and the video that is asked for, whose name without its ending the folder has."""
    if out.suffix.lower() not in VIDEO_SUFFIXES:
        return out, None
    from ganvas.io.video.writer import check_target

    need("av", extra="video")
    check_target(out, overwrite)
    return out.with_suffix(""), out


def _is_pictures(name: str) -> bool:
    """Tell whether the first argument names pictures rather than a model."""
    path = Path(name)
    return (path.is_dir() and not runs.is_run(path)) or (path.is_file() and path.suffix.lower() in READABLE)


def _generated(model: str, rest: Sequence[str], made: Path, asked: Chain, kind: str) -> int:
    common, words = part(asked, Common), list(rest)
    seeds = asked.seeds
    if asked.walk:
        if any(word in ("--grid", "--bank", "--curve") for word in rest):
            raise UsageError(f"{' '.join(rest)} means nothing for a walk", do="Leave it out")
        opened = open_model(model)
        opened.require("seeds", "pictures from seeds")
        seeds = seeds or "0-3"
        words += ["--walk", kind, "--steps", str(asked.steps)]
        if kind == "latents" and not asked.classes and opened.card.settings.get("num_classes"):
            words += ["--classes", "0"]
    words += ["--seeds", seeds] if seeds else []
    words += ["--classes", asked.classes] if asked.classes else []
    words += ["--overwrite"] if common.overwrite else []
    words += ["--device", common.device] if common.device != "auto" else []
    words += [f"--{name}" for name in ("quiet", "json") if getattr(asked, name)]
    return generate([model, *words, "--out", str(made)])


def _steady(source: Path, target: Path, asked: Chain, console: Console) -> Path:
    blend = Blend(strength=asked.steady)
    flicker = chain.steady_frames(source, target, blend=blend, times=asked.times, overwrite=asked.overwrite)
    console.say(
        f"{target}: the warping error went from {255 * flicker.before:.2f} to {255 * flicker.after:.2f} of 255 levels."
    )
    return target
