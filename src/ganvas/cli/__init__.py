"""The command line: `ganvas VERB ...`. Each verb stands in a file of this room, imported when it runs.

Verbs are typed functions whose parameters are the options and whose docstrings are the help. They import torch inside
the functions that need it, so that help and lists answer at once.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from ganvas import __version__
from ganvas.cli.cores import share_cores
from ganvas.errors import UsageError, UserError, did_you_mean, harmless

DONE, USER_ERROR, USAGE, STOPPED = 0, 1, 2, 130

VERBS = {
    "upscale": ("upscale", "Upscale pictures, folders and video: same bit depth, channels, profile and metadata out"),
    "train": ("train", "Train a recipe on your own data, or resume a run"),
    "generate": (
        "generate",
        "Make pictures or video with a trained generator: from seeds, label maps, clips or cameras",
    ),
    "styles": ("styles", "Gather the styles of every class from a run's data, to choose from when generating"),
    "compare": ("compare", "Train variants of a recipe with equal budgets, and tell which differ beyond chance"),
    "label": (
        "label",
        "Make label maps by a segmenter or of annotations; remap them, split A|B pictures, list legends",
    ),
    "world": ("world", "Write the embedded sample world: a street with labels, instances, depth, flow and cameras"),
    "recipes": ("train", "List the methods that can be trained"),
    "neighbours": ("neighbours", "Show samples beside the training pictures nearest to them: is it memory?"),
    "shapes": ("shapes", "Draw a data set with classes: six shapes and six textures"),
    "models": ("upscale", "List the trained models at hand"),
    "evaluate": (
        "evaluate",
        "Score pairs, sets, classes, clips, label maps and camera views; say exactly what was computed",
    ),
    "curate": ("curate", "Rank a folder of pictures by quality: a report page, and a list of those to keep"),
    "faces": ("curate", "Write the embedded face-like sample set, with exact landmarks"),
    "inspect": ("inspect", "Say what a model, a run, a picture, a video or a data set is, and what is wrong with it"),
    "features": ("features", "List or fetch the pretrained networks of perceptual losses and scores"),
    "doctor": ("doctor", "Say what this machine can do: device, precisions, engines, memory, speed of each model"),
    "convert": ("weights", "Turn other projects' checkpoints into ours, or ours into theirs; 8 bits for OpenVINO"),
    "pack": ("weights", "Make one weight file, with its card, of a run"),
    "export": ("export", "Write a model for ONNX Runtime, OpenVINO, TorchScript or ncnn, compared there with torch"),
    "blend": ("weights", "Interpolate between two models of one network"),
    "demo": (
        "demo",
        "Show what a method does, with no data: esrgan, pix2pixhd, vid2vid, biggan, reverse_matchmove ...",
    ),
    "gallery": ("demo", "Make the pictures and clips of every method with the bundled models"),
    "studio": ("studio", "Open the studio: every method by hand, in the browser"),
    "completion": ("completion", "Print a script that completes commands in bash, zsh or fish"),
}
"""Every verb: the file of this room that holds it, and its one line of help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 1 user's error, 2 usage, 130 stopped."""
    if arguments is None:  # the program, not a caller that has torch already
        share_cores()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    # Names of files need be no text.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape")
    if arguments[:1] == ["help"] and len(arguments) > 1:
        arguments = [*arguments[1:], "--help"]
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # a reader who has gone is noticed here, not after the last line of Python
        return code
    except UserError as error:
        if debug:
            traceback.print_exc()
        print("ganvas:", harmless(" ".join(str(error).split())), file=sys.stderr)
        return USAGE if isinstance(error, UsageError) else USER_ERROR
    except KeyboardInterrupt:
        print("ganvas: stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        # What is still buffered goes nowhere, so that Python's own flush at the end has nothing to complain of.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    except Exception as error:
        if debug:
            raise
        if place := _place_in_recipe(error):
            print(f"ganvas: {place}: {type(error).__name__}: {harmless(' '.join(str(error).split()))}", file=sys.stderr)
            return USER_ERROR
        print(
            f"ganvas: unexpected {type(error).__name__}: {error}. This is a defect; --debug prints where it happened.",
            file=sys.stderr,
        )
        return USER_ERROR


def _dispatch(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return DONE if arguments else USAGE
    if arguments[0] in ("-V", "--version"):
        print(f"ganvas {__version__}")
        return DONE
    verb, rest = arguments[0], arguments[1:]
    if verb in VERBS:
        return run(verb, rest)
    if Path(verb).exists() or Path(verb).suffix:
        advice = f"To upscale {verb}: ganvas upscale {shlex.join(arguments)}"
    else:
        advice = did_you_mean(verb, VERBS)
    print(f"ganvas: there is no verb {verb!r}. {advice}", file=sys.stderr)
    return USAGE


def run(verb: str, arguments: Sequence[str]) -> int:
    """Run a verb by name with its command line arguments and return the exit code."""
    function = getattr(importlib.import_module(f"ganvas.cli.{VERBS[verb][0]}"), verb)
    if verb in ("train", "generate", "label"):  # their options depend on the recipe, on the model, on what is wanted
        return function(arguments)
    from ganvas.cli.arguments import parse

    if verb == "upscale":
        # As other upscalers name them: -i FILE is a plain FILE here.
        arguments = [word for word in arguments if word not in ("-i", "--input")]
    return parse(function, arguments, f"ganvas {verb}")


def _place_in_recipe(error: BaseException) -> str:
    """Return file and line in a user's own recipe where an error came from; empty where none was at work."""
    place, frames = "", error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_globals.get("__name__", "").startswith("ganvas_recipe_"):
            place = f"{frames.tb_frame.f_code.co_filename}, line {frames.tb_lineno}"
        frames = frames.tb_next
    return place


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name.ljust(width)}  {summary}" for name, (_, summary) in VERBS.items()]
    examples = [
        "  ganvas upscale photo.jpg --out photo-x4.png",
        "  ganvas train esrgan --data ~/photos --preset laptop",
        "  ganvas train --resume runs/00001-esrgan",
    ]
    return "\n".join([
        "Ganvas: high-resolution picture and video synthesis with GANs.", "",
        "Examples:", *examples, "", "Verbs:", *lines, "",
        "`ganvas help VERB` tells all about one. Exit codes: 0 done, 1 user's error, 2 usage, 130 stopped.",
    ])  # fmt: skip
