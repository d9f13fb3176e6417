"""The verb `demo`: every method's first command, with the models that come with Ganvas and data that Ganvas draws."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tyro.conf import Positional

from ganvas import cli
from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Bar, print_json
from ganvas.errors import UsageError, UserError, did_you_mean

GAP_PX, ROWS = 4, 4
SEED = "7"
"""Of all that is drawn: no model has seen it."""
STREET = ["--seed", SEED, "--quiet", "--size"]
Commands = list[list[str]]


class Method(NamedTuple):
    """The commands that show a method in a folder, and the folders whose pictures are then laid beside each other."""

    commands: Callable[[Path], Commands]
    next: str
    """The command that does it with the user's own input."""
    shown: tuple[str, ...] = ()


def demo(
    printing: Printing, method: Positional[str] = "esrgan", out: Path = Path("demo"), model: str = "default"
) -> int:
    """Show what a method does, with no data and no network: its commands, and where the pictures are.

    Args:
        method: what is shown: esrgan (a bundled photograph upscaled, beside bicubic and truth), relativistic, biggan,
            pix2pixhd, vid2vid, superres_unet, tiled_upres or reverse_matchmove.
        out: folder. The pictures of an earlier demo of esrgan are replaced; the other methods take a new folder in it.
        model: upscaler of the method esrgan: name or file.
    """
    if method != "esrgan" and method not in METHODS:
        raise UsageError(f"There is no method {method!r}", do=did_you_mean(method, ["esrgan", *METHODS]))
    start = time.perf_counter()
    is_told = not (printing.quiet or printing.json)
    if method == "esrgan":
        written = _upscale(out, model, is_told)
    else:
        written = _show(METHODS[method], _new_folder(out / method), is_told)
    if printing.json:
        print_json({"method": method, "written": written})
    if is_told:
        for path in written:
            print(f"Written  {path}")
        print(f"Seconds  {time.perf_counter() - start:.1f}")
        following = "upscale YOUR_PHOTO.jpg" if method == "esrgan" else METHODS[method].next
        print(f"Next     {_command()} {following}, or: {_command()} help")
    return DONE


def _command() -> str:
    """Return how this program is called from a shell: by its path, where the environment is not activated."""
    if shutil.which("ganvas"):
        return "ganvas"
    program = Path(sys.executable).parent / "ganvas"
    return os.path.relpath(program) if program.is_file() else "python -m ganvas"


def gallery(printing: Printing, out: Path = Path("gallery")) -> int:
    """Make the pictures and clips of every method with the bundled models, each in a folder of its own.

    Args:
        out: a folder that does not exist yet, or is empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} is not empty", do="Choose another --out")
    is_told = not (printing.quiet or printing.json)
    for method in ("esrgan", *METHODS):
        if method == "esrgan":
            written = _upscale(out / method, "default", False)
        else:
            written = _show(METHODS[method], out / method, is_told)
        if printing.json:
            print(json.dumps({"method": method, "written": list(map(str, written))}), flush=True)
        elif is_told:
            print("\n".join(map(str, written)), flush=True)
    return DONE


def _upscale(out: Path, model: str, is_told: bool) -> list[Path]:
    with Bar(not is_told) as bar:
        bar.move("photograph", 0, None)
        from ganvas.inference.demo import show  # imports torch, which takes seconds

        shown = show(out, model, lambda done, total: bar.move("photograph", done, total))
    if is_told:
        print(f"PSNR-Y against the truth: {shown.bicubic_db:.2f} dB bicubic, {shown.ours_db:.2f} dB the model")
    return [shown.result, shown.comparison]


def _show(method: Method, folder: Path, is_told: bool) -> list[Path]:
    """Run a method's commands, each of which is told, and return the pictures and videos in the folder itself."""
    folder.mkdir(parents=True, exist_ok=True)
    for command in method.commands(folder):
        if is_told:
            print("$ ganvas", shlex.join(command), flush=True)
        quiet = [] if is_told or "--quiet" in command else ["--quiet"]
        if cli.run(command[0], [*command[1:], *quiet]):
            raise UserError(f"`ganvas {command[0]}` did not finish", "Its message stands above")
    if method.shown:
        first, *others = method.shown
        name = "comparison" if others else f"{first}-frames"
        _lay_out([folder / part for part in method.shown], folder / f"{name}.png")
    return sorted(path for path in folder.iterdir() if path.suffix in (".png", ".mp4"))


def _new_folder(folder: Path) -> Path:
    """Make a folder that was not there: what an earlier demo made stays."""
    number = 1
    while (fresh := folder if number == 1 else folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    fresh.mkdir(parents=True)
    return fresh


def _lay_out(folders: list[Path], target: Path) -> None:
    """Write a sheet: a column for each folder, a row for each of four of its pictures, all as large as the last."""
    from ganvas.io.pictures import images
    from ganvas.io.pictures.captioned import captioned

    found = [sorted(path for path in folder.glob("*.png") if ".trust" not in path.name) for folder in folders]
    count = min(ROWS, *map(len, found))
    columns = [[images.read(paths[len(paths) * row // count])[0] for row in range(count)] for paths in found]
    height = columns[-1][0].shape[0]
    lines = []
    for pictures in zip(*columns):
        scaled = [
            _enlarged(images.from_float(images.to_float(one), "uint8"), height // one.shape[0]) for one in pictures
        ]
        lines.append(
            np.concatenate([np.pad(one, ((0, GAP_PX), (0, GAP_PX), (0, 0)), constant_values=255) for one in scaled], 1)
        )
    sheet = images.from_float(images.to_float(np.concatenate(lines)), "uint8")
    # What stands alone is a sequence: its rows are told apart by their frames.
    stems = [found[0][len(found[0]) * row // count].stem for row in range(count)] if len(folders) == 1 else []
    names = [f"frame {stem.lstrip('0') or '0'}" for stem in stems]
    images.write(target, captioned(sheet, [folder.name.replace("-", " ") for folder in folders], names))


def _enlarged(picture: np.ndarray, times: int) -> np.ndarray:
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def _faces(folder: Path) -> Commands:
    return [["generate", "faces-relativistic", "--seeds", "0-35", "--grid", "--out", f"{folder}/faces.png"]]


def _classes(folder: Path) -> Commands:
    sheet = ["--classes", "all", "--seeds", "0-9", "--grid", "--out"]
    return [
        ["generate", "materials", *sheet, f"{folder}/materials.png"],
        ["generate", "fashion", *sheet, f"{folder}/classes.png"],
    ]


def _street(folder: Path) -> Commands:
    paint = ["generate", "street-painter", "--labels", f"{folder}/street", "--quiet", "--out"]
    return [
        ["world", "--out", f"{folder}/street", "--frames", "4", "--details", *STREET, "512x256"],
        [*paint, f"{folder}/painted"],
        [*paint, f"{folder}/other-styles", "--seed", "5"],
    ]


def _clip(folder: Path) -> Commands:
    painter = ["--painter", "street-painter", "--repaint", "1.6"]  # sharper, and still steady
    film = ["generate", "street-clip", *painter, "--labels", f"{folder}/street", "--quiet"]
    return [
        ["world", "--out", f"{folder}/street", "--frames", "16", "--details", *STREET, "512x256"],
        [*film, "--out", f"{folder}/generated"],
    ]


def _unet(folder: Path) -> Commands:
    thrice = ["--then", "unet"] * 3
    return [
        ["faces", "--out", f"{folder}/drawn", "--num", "2", "--size", "64", "--seed", SEED],
        ["generate", f"{folder}/drawn", *thrice, "--out", f"{folder}/generated"],
    ]


def _cascade(folder: Path) -> Commands:
    noise = ["generate", "faces-relativistic", "--seeds", "0-1", "--then", "faces-768"]
    single = ["--choose", "first", "--quiet"]  # a weight file holds no discriminator to choose by
    return [
        ["faces", "--out", f"{folder}/drawn", "--num", "2", "--size", "128", "--seed", SEED],
        ["generate", f"{folder}/drawn", "--then", "faces-768", *single, "--out", f"{folder}/generated"],
        [*noise, *single, "--out", f"{folder}/from-noise"],
    ]


def _flight(folder: Path) -> Commands:
    path = ["--through", "108,186,40", "--frames", "48", "--quiet"]
    return [["generate", "panorama", *path, "--out", f"{folder}/flight"]]


METHODS = {
    "relativistic": Method(_faces, "generate faces-relativistic --seeds 36-51 --out faces"),
    "biggan": Method(_classes, "generate fashion --classes boot,bag --seeds 10-25 --out fashion"),
    "pix2pixhd": Method(
        _street, "generate street-painter --labels YOUR_MAPS --out painted",
        ("street/frames", "painted", "other-styles"),
    ),
    "vid2vid": Method(
        _clip, "generate street-clip --painter street-painter --labels YOUR_MAPS --out clip.mp4",
        ("street/frames", "generated"),
    ),
    "superres_unet": Method(
        _unet, "generate YOUR_PICTURES --then unet --out enlarged", ("drawn", "generated/3-unet")
    ),
    "tiled_upres": Method(
        _cascade, "generate YOUR_PICTURES --then faces-768 --choose first --out enlarged",
        ("drawn", "generated/1-faces-768"),
    ),
    "reverse_matchmove": Method(
        _flight, "generate panorama --cameras YOUR_PATH.ma --out flight.mp4", ("flight",)
    ),
}  # fmt: skip
