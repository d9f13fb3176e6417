"""The verbs `upscale`, `models` and `demo`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from tyro.conf import Positional

from ganvas.cli import DONE, USER_ERROR
from ganvas.cli.console import Bar, print_json
from ganvas.errors import UserError


def upscale(
    inputs: Positional[tuple[str, ...]],
    out: Path,
    model: tuple[str, ...] = ("default",),
    blend: tuple[str, str] | None = None,
    alpha: float = 0.5,
    factor: float | None = None,
    size: str = "",
    long_side: int | None = None,
    crop: str = "",
    tile: str = "auto",
    halo_px: int | None = None,
    overlap_px: int | None = None,
    border: Literal["net", "reflect", "wrap"] = "net",
    seamless: bool = False,
    ensemble: bool = False,
    faithful: float = 0.0,
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    backend: Literal["torch", "openvino", "onnx"] = "torch",
    device: str = "auto",
    scene_linear: bool | None = None,
    overwrite: bool = False,
    quality: int = 95,
    allow_loss: bool = False,
    pattern: str = "{name}",
    report_seams: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Upscale pictures, folders and video: same bit depth, channels, profile and metadata out.

    Args:
        inputs: pictures, folders, globs or videos.
        out: file for a single input, otherwise a folder, in which names and sub-folders are kept.
        model: name (`ganvas models`), weight file, or run; several are compared with --crop.
        blend: two models of one network instead of --model, interpolated at --alpha.
        alpha: 0 is the first of --blend, 1 the second.
        factor: sides of the output over sides of the input; default the model's scale.
        size: output size as WxH in pixels; 0 keeps the proportions (3840x0).
        long_side: longer side of the output in pixels.
        crop: X,Y,W,H in pixels of the input: write this part by bicubic and every model side by side.
        tile: side of a tile in pixels, or auto by free memory.
        halo_px: context around each tile; default what the model's card says.
        overlap_px: width of the cross-fade between tiles.
        border: what the network sees beyond the picture.
        seamless: a texture whose opposite sides meet.
        ensemble: mean over the eight flips and turns: eight times as slow.
        faithful: 0 to 1, correct the result so that, shrunk again, it is the input.
        precision: auto takes the machine's fastest for 8-bit pictures and float32 for deeper ones.
        backend: what runs the network.
        device: auto, cpu, cuda or cuda:1.
        scene_linear: treat floats as light (or not), whatever the file says.
        overwrite: replace existing files.
        quality: 1 to 100, for formats that lose.
        allow_loss: permit fewer bits or no alpha where the output's format demands that.
        pattern: names of the outputs without extension; {name}, {model} and {scale} are filled in.
        report_seams: measure on crops of the first picture how far tiles are from the untiled network.
        json: print one JSON line for each input.
        quiet: print only errors.
    """
    from ganvas.cli import generate_chain as chaining
    from ganvas.cli.upscale_videos import is_video, upscale_videos
    from ganvas.inference.picture import files
    from ganvas.inference.picture.upscale import Upscaler

    if not inputs:
        raise UserError("There is nothing to upscale", do="ganvas upscale photo.jpg --out photo-x4.png")
    if len(model) > 1 and not crop:
        raise UserError(
            f"{len(model)} models are named", "One makes the output", "Name one, or compare them with --crop"
        )
    screen = Screen(json, quiet)
    guided = [name for name in model if chaining.is_guided(name)] if blend is None and not crop else []
    if guided:
        _refuse_plain(
            guided[0], factor=factor, size=size, tile=tile != "auto", halo_px=halo_px, overlap_px=overlap_px,
            border=border != "net", seamless=seamless, ensemble=ensemble, faithful=faithful,
            backend=backend != "torch", report_seams=report_seams,
        )  # fmt: skip
        return chaining.upscale_guided(
            inputs, out, guided[0], long_side=long_side, precision=precision, device=device, overwrite=overwrite,
            screen=screen,
        )  # fmt: skip
    ups = [
        Upscaler(
            source, precision=precision, tile=_tile(tile), overlap_px=overlap_px, halo_px=halo_px, border=border,
            seamless=seamless, ensemble=ensemble, faithful=faithful, backend=backend, device=device,
        )
        for source in ([_blended(blend, alpha)] if blend else model)
    ]  # fmt: skip
    for up in ups:
        screen.say(f"{up.name}: {up.engine_for(np.dtype(np.uint8))}")
    if crop:
        return _preview(inputs, out, ups, crop, factor, overwrite, screen)
    output = files.Output(
        factor=factor, size=_size(size), long_side=long_side, overwrite=overwrite, quality=quality,
        allow_loss=allow_loss, scene_linear=scene_linear,
    )  # fmt: skip
    if report_seams:
        _report_seams(inputs, ups[0], screen)
    films = [name for name in inputs if is_video(name)]
    pictures = [name for name in inputs if name not in films]
    with screen:
        results = upscale_videos(ups[0], films, out, output, screen) if films else []
        if pictures:
            results += files.upscale_files(
                ups[0], pictures, out, output, pattern=pattern, progress=screen.progress, on_result=screen.result
            )
    return USER_ERROR if any(result.error for result in results) else DONE


def _refuse_plain(model: str, **given: object) -> None:
    named = ", ".join("--" + name.replace("_", "-") for name, value in given.items() if value)
    if named:
        why = "It is run by its guide, tile by tile, or with labels or a class, and has options of its own"
        do = f"Leave them out, or see those of `ganvas generate PICTURES --then {model} --out DIR`"
        raise UserError(f"{named} means nothing for {model}", why, do)


class Screen:
    """A progress bar and a line for each result; JSON lines instead when asked for."""

    def __init__(self, as_json: bool, quiet: bool) -> None:
        self.as_json, self.quiet = as_json, quiet
        self._bar = Bar(quiet)

    def __enter__(self) -> Screen:
        self._bar.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._bar.__exit__(*details)

    def say(self, text: str) -> None:
        """Print a sentence that is no result."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def progress(self, name: str, done: int, rows: int) -> None:
        """Move the bar of one input."""
        self._bar.move(name, done, rows)

    def result(self, result: Any) -> None:
        """Print what became of one input."""
        if self.as_json:
            print(json_line(vars(result)), flush=True)
        elif result.error:
            print(f"ganvas: {result.error}", file=sys.stderr, flush=True)
        elif not self.quiet:
            rate = result.seconds / max(result.megapixels, 1e-9)
            note = f"  ({result.note})" if result.note else ""
            print(
                f"{result.output}  {result.width} x {result.height}  {result.seconds:.2f} s  {rate:.2f} s/MP  "
                f"{result.precision}, tiles {result.tile}{note}",
                flush=True,
            )


def json_line(value: Any) -> str:
    """Return plain values as one line of JSON."""
    import json

    return json.dumps(value, default=str)


def _tile(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdigit():
        raise UserError(f"--tile is {text!r}", do="Use auto, or a number of pixels such as 256")
    return int(text)


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UserError(f"--size is {text!r}", do="Give it as 3840x2160, or as 3840x0 to keep the proportions")
    return int(width), int(height)


def _blended(models: tuple[str, str], alpha: float) -> Any:
    from ganvas.inference.open import build, resolve
    from ganvas.io.weights import files as weights

    first, second = (weights.read(resolve(name)) for name in models)
    return build(weights.blend(first, second, alpha))


def _preview(
    inputs: Sequence[str],
    out: Path,
    ups: Sequence[Any],
    crop: str,
    factor: float | None,
    overwrite: bool,
    screen: Screen,
) -> int:
    from ganvas.inference.picture import files
    from ganvas.io.pictures import images

    parts = crop.replace("x", ",").split(",")
    if len(parts) != 4 or not all(part.strip().isdigit() for part in parts):
        raise UserError(f"--crop is {crop!r}", do="Give it as X,Y,WIDTH,HEIGHT in pixels of the input: 100,50,128,128")
    if len(inputs) != 1:
        raise UserError(f"{len(inputs)} inputs are named beside --crop", do="Preview one picture at a time")
    picture, names = files.preview(inputs[0], ups, files.Region(*map(int, parts)), factor)
    path = images.write(out, picture, overwrite=overwrite)
    screen.say(" | ".join(names))
    print(path)
    return DONE


def _report_seams(inputs: Sequence[str], up: Any, screen: Screen) -> None:
    from ganvas.io.pictures import images

    found, _ = images.find_pictures(list(inputs))
    if found:
        picture, _ = images.read(found[0])
        error = up.seam_error(picture)
        screen.say(
            f"Seams on {found[0]}, {error.crops} crops: at most {255 * error.maximum:.3f} and in the mean square "
            f"{255 * error.rms:.4f} gray levels of 255 from the untiled network"
        )


def models(json: bool = False) -> int:
    """List the trained models at hand, with their licences.

    Args:
        json: print JSON.
    """
    from ganvas.inference.brought_models import weight_bytes
    from ganvas.inference.open import DEFAULT, known_models
    from ganvas.io.weights import files as weights

    rows = []
    for model in known_models():
        card = weights.read_card(model.path) if model.path and not model.licence else None
        rows.append({
            "name": model.name,
            "about": model.about,
            "licence": card.licence if card else model.licence,
            "data": card.data if card else model.data,
            "scores": dict(card.scores) if card else {},
            "at_hand": model.path is not None,
            "bytes": weight_bytes(model.path) if model.path else 0,
            "package": model.package,
            "install": model.install,
        })  # fmt: skip
    if json:
        print_json(rows)
        return DONE
    for row in rows:
        size = f"{row['bytes'] / 1e6:.1f} MB"
        note = f"{size}, from {row['package']}" if row["package"] else size
        if not row["at_hand"]:
            note = f"not installed: {row['install']}"
        mark = " (default)" if row["name"] == DEFAULT else ""
        print(f"{(row['name'] + mark).ljust(26)} {row['about']}. {row['licence']} ({note})")
    return DONE
