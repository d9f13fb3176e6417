"""`ganvas generate A --then B --then C`: a generator, or pictures, and what enlarges them, in one command.

Of the options, those of the chain are taken here and the others handed to the generator.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from ganvas.cli import DONE, USER_ERROR
from ganvas.cli.upscale import Screen
from ganvas.errors import UserError, need


def generate_then(arguments: Sequence[str]) -> int:
    """Generate with the first model, unless pictures are given, and run each further model over what was made."""
    options, rest = _parser().parse_known_args(arguments[1:])
    if not options.out:
        raise UserError("A chain needs a folder for its steps", do="Add --out DIR")
    from ganvas.inference import chain
    from ganvas.inference.picture.conditioned import Given
    from ganvas.inference.picture.tiled import Options

    chain.check(options.then)
    screen = Screen(options.json, options.quiet)
    out, video = _places(Path(options.out), options.overwrite)
    fps = _rate(options.fps)
    pictures = _pictures(arguments[0])
    if pictures is not None and (rest or options.seeds or options.walk):
        given = [*rest, *(["--seeds"] if options.seeds else []), *(["--walk"] if options.walk else [])]
        raise UserError(f"{' '.join(given)} means nothing for pictures", do="Leave it out")
    if video and pictures is None and not options.walk:
        raise UserError(f"{video} is a video", "Pictures of seeds are no clip", "Add --walk, or name a folder")
    first = 1
    if pictures is None:
        made = out / chain.folder_name(1, arguments[0])
        code = _generated(arguments[0], rest, made, options)
        if code != DONE:
            return code
        pictures, first = [str(made)], 2
    tried = Options(
        variants=tuple(name for name in options.variants.split(",") if name),
        choose=options.choose, batch=options.tile_batch, size_px=options.size_px, layout=options.layout,
        guide=options.guide, guide_file=options.guide_file, precision=options.precision, device=options.device,
    )  # fmt: skip
    results = chain.enlarge(
        options.then, pictures, out, first=first, options=tried, fixed_choices=options.fixed_choices or options.walk,
        overwrite=options.overwrite, on_result=screen.result,
        given=Given(labels=options.labels, class_name=options.class_name),
    )  # fmt: skip
    # Plain upscalers and nets with labels take no guide, so that they miss none.
    steps = {chain.folder_name(number, name): name for number, name in enumerate(options.then, first)}
    guided = [folder for folder, name in steps.items() if chain.has_guide(name)]
    asked = [result for result in results if Path(result.output).parent.name in guided]
    unguided = sum("no guide" in result.note for result in asked)
    if unguided:
        screen.say(f"For {unguided} of {len(asked)} pictures no guide was found; theirs was empty.")
    if any(result.error for result in results):
        return USER_ERROR
    last = out / chain.folder_name(first + len(options.then) - 1, options.then[-1])
    if options.steady or options.times > 1:
        last = _steady(out, first + len(options.then), options, screen)
    if video:
        number = chain.write_video(last, video, fps, options.overwrite)
        screen.say(f"{video}: {number} frames, {fps} a second")
    return DONE


def _places(out: Path, overwrite: bool) -> tuple[Path, Path | None]:
    """Return the folder of the steps, and the video that is asked for, whose name without its ending the folder has."""
    from ganvas.inference.clips.sampler import VIDEOS

    if out.suffix.lower() not in VIDEOS:
        return out, None
    from ganvas.io.video.writer import check_target

    need("av", extra="video")
    check_target(out, overwrite)
    return out.with_suffix(""), out


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise UserError(f"--fps is {text}", do="Use a number or a fraction: 24, 30000/1001")
    return rate


def _steady(out: Path, number: int, options: argparse.Namespace, screen: Screen) -> Path:
    from ganvas.inference import chain
    from ganvas.inference.picture.steady import Blend

    source = out / chain.folder_name(number - 1, options.then[-1])
    target = out / f"{number}-steady"
    blend = Blend(strength=options.steady)
    flicker = chain.steady_frames(source, target, blend=blend, times=options.times, overwrite=options.overwrite)
    screen.say(
        f"{target}: the warping error went from {255 * flicker.before:.2f} to {255 * flicker.after:.2f} of 255 levels."
    )
    return target


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("ganvas generate", add_help=False, allow_abbrev=False)
    parser.add_argument("--then", action="append", default=[], metavar="MODEL")
    parser.add_argument("--out", default="", metavar="DIR")
    parser.add_argument("--choose", default="discriminator")
    parser.add_argument("--variants", default="flip")
    parser.add_argument("--layout", default="seed")
    parser.add_argument("--guide", default="")
    parser.add_argument("--guide-file", default="")
    parser.add_argument("--tile-batch", type=int, default=0)
    parser.add_argument("--size-px", type=int, default=0)
    parser.add_argument("--walk", action="store_true")
    parser.add_argument("--seeds", default="")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--steady", type=float, default=0.0)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--fps", default="24")
    parser.add_argument("--labels", default="")
    parser.add_argument("--class", dest="class_name", default="")
    parser.add_argument("--fixed-choices", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    return parser


def _pictures(name: str) -> list[Any] | None:
    """Return pictures where the first argument names some, None where it names a model."""
    from ganvas.io import runs
    from ganvas.io.pictures.formats import READABLE

    path = Path(name)
    if (path.is_dir() and not runs.is_run(path)) or (path.is_file() and path.suffix.lower() in READABLE):
        return [name]
    return None


def _generated(model: str, rest: Sequence[str], made: Path, options: argparse.Namespace) -> int:
    from ganvas.cli.generate import generate

    if options.walk:
        from ganvas.inference.chain import write_walk
        from ganvas.inference.seeds.latents import parse_numbers

        if rest:
            raise UserError(f"{' '.join(rest)} means nothing for a walk", do="Leave it out")
        write_walk(model, parse_numbers(options.seeds or "0-3"), options.steps, made, options.device)
        return DONE
    passed = ["--seeds", options.seeds] if options.seeds else []
    passed += ["--overwrite"] if options.overwrite else []
    passed += ["--device", options.device] if options.device != "auto" else []
    return generate([model, *rest, *passed, "--out", str(made)])


def is_guided(model: str) -> bool:
    """Tell whether `upscale_guided` runs a model: it has a guide, or wants labels or a class."""
    from ganvas.inference.open import resolve
    from ganvas.inference.picture.conditioned import is_conditioned
    from ganvas.inference.picture.tiled import is_upres
    from ganvas.io.weights import files as weights

    card = weights.read_card(resolve(model))
    return is_upres(card) or is_conditioned(card)


def upscale_guided(
    inputs: Sequence[str], out: Path, model: str, *, long_side: int | None, precision: str, device: str,
    overwrite: bool, screen: Screen,
) -> int:  # fmt: skip
    """Upscale pictures as `ganvas upscale` does, by a net with the guide of its training.

    Raises:
        UserError: the model's guide lacks something, or it wants labels or a class.
    """
    from ganvas.inference import chain
    from ganvas.inference.picture.tiled import Options

    step = chain.step_with(model, Options(size_px=long_side or 0, precision=precision, device=device), False, overwrite)
    results = step(list(inputs), out, screen.result)
    return USER_ERROR if any(result.error for result in results) else DONE
