"""The command line: `ganvas VERB ...`. What each verb does stands in verbs/, imported when one runs."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence

from ganvas import __version__
from ganvas.errors import UserError, did_you_mean

DONE, USER_ERROR, USAGE, STOPPED = 0, 1, 2, 130

VERBS = {
    "upscale": "Upscale pictures, folders and video: same bit depth, channels, profile and metadata out",
    "train": "Train a recipe on your own data, or go on with a run",
    "generate": "Make pictures or video with a trained generator: from seeds, label maps, clips or cameras",
    "styles": "Gather the styles of every class from a run's data, to choose from when generating",
    "compare": "Train variants of a recipe with equal budgets, and tell which differ beyond chance",
    "label": "Make label and instance maps of pictures or clips by a segmenter of your own",
    "world": "Write the embedded sample world: a street with labels, instances, depth, flow and cameras",
    "recipes": "List the methods that can be trained",
    "neighbours": "Show samples beside the training pictures nearest to them: is it memory?",
    "shapes": "Draw a data set with classes: six shapes and six textures",
    "models": "List the trained models at hand",
    "evaluate": "Score pairs, sets, classes, clips, label maps and camera views; say exactly what was computed",
    "curate": "Rank a folder of pictures by quality: a report page, and a list of those to keep",
    "faces": "Write the embedded face-like sample set, with exact landmarks",
    "inspect": "Say what a weight file, a run or a folder of pictures is",
    "convert": "Turn other projects' checkpoints into ours, or ours into theirs",
    "pack": "Make one weight file, with its card, of a run",
    "blend": "Interpolate between two models of one network",
    "demo": "Upscale a bundled photograph and show it beside bicubic and truth",
}
"""Every verb with its one line of help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 1 user's error, 2 usage, 130 stopped."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return DONE if arguments else USAGE
    if arguments[0] in ("-V", "--version"):
        print(f"ganvas {__version__}")
        return DONE
    verb, rest = arguments[0], arguments[1:]
    if verb not in VERBS:
        print(f"ganvas: there is no verb {verb!r}. {did_you_mean(verb, VERBS)}", file=sys.stderr)
        return USAGE
    try:
        return importlib.import_module("ganvas.verbs").run(verb, rest)
    except UserError as error:
        if debug:
            traceback.print_exc()
        print("ganvas:", " ".join(str(error).split()), file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        print("ganvas: stopped", file=sys.stderr)
        return STOPPED
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else USAGE
    except Exception as error:
        if debug:
            raise
        print(
            f"ganvas: unexpected {type(error).__name__}: {error}. This is a defect; --debug prints where it happened.",
            file=sys.stderr,
        )
        return USER_ERROR


def _help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name.ljust(width)}  {summary}" for name, summary in VERBS.items()]
    examples = [
        "  ganvas upscale photo.jpg --out photo-x4.png",
        "  ganvas train esrgan --data ~/photos --preset laptop",
        "  ganvas train --resume runs/00001-esrgan",
    ]
    return "\n".join([
        "Ganvas: high-resolution picture and video synthesis with GANs.", "",
        "Examples:", *examples, "", "Verbs:", *lines, "",
        "`ganvas VERB --help` tells all about one. Exit codes: 0 done, 1 user's error, 2 usage, 130 stopped.",
    ])  # fmt: skip
