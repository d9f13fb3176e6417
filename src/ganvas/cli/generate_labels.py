"""The verb `generate` for a generator of pictures from label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from ganvas.cli import DONE, USER_ERROR
from ganvas.errors import UserError


def generate(
    model: Positional[str],
    labels: Path,
    out: Path,
    instances: str = "",
    seed: int = 0,
    style: tuple[str, ...] = (),
    style_from: Path | None = None,
    style_labels: Path | None = None,
    style_instances: Path | None = None,
    styles: str = "",
    num_labels: int = 0,
    no_boundaries: FlagCreatePairsOff[bool] = False,
    ignore: tuple[int, ...] = (),
    encoder: str = "",
    strips: Literal["auto", "always", "never"] = "auto",
    bits: Literal[8, 16] = 8,
    extension: str = "png",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    device: str = "auto",
    overwrite: bool = False,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Make a picture of every label map: at its own size, with a style for each instance.

    Args:
        model: run or weight file.
        labels: folder of label maps (or a data set that has one), a glob, or one label map.
        out: folder for the pictures, which keep the maps' names; for one label map also a file.
        instances: folder of instance maps; default the one beside the label maps.
        seed: draws a style for each instance: the same seed, class and instance, the same style.
        style: style of a class, as in car=3; others stay drawn.
        style_from: take the styles of this picture; it is laid under each label map, or has maps of its own.
        style_labels: label map of that picture.
        style_instances: instance map of that picture.
        styles: instead of pictures, write each map with every style of this class side by side; all for every class.
        num_labels: classes that another project's checkpoint was trained on, where its channels do not tell.
        no_boundaries: it was trained without instance maps.
        ignore: more ids that stand for no class.
        encoder: file of the encoder that was trained with another project's generator; default the one beside it.
        strips: layer by layer in little memory, the same picture to the last digits; auto does so for large ones.
        bits: of each channel.
        extension: of the pictures: png, tif, jpg ...
        precision: auto takes the machine's fastest; strips are always float32.
        device: auto, cpu, cuda or cuda:1.
        overwrite: replace existing files.
        json: print one JSON line for each label map.
        quiet: print only errors.
    """
    from ganvas.cli.upscale import Screen, json_line
    from ganvas.inference.labels.files import Order, Result, find_maps, make_pictures
    from ganvas.inference.labels.painter import Known, LabelPainter
    from ganvas.io.pictures.images import WRITABLE

    if seed < 0:
        raise UserError(f"--seed is {seed}", do="Use 0 or more")
    known = Known(num_labels=num_labels, no_boundaries=no_boundaries, ignore=ignore, encoder=encoder)
    painter = LabelPainter(model, device, precision, strips, known)
    files = find_maps(labels, instances)
    is_file = out.suffix.lower() in WRITABLE and not out.is_dir()
    if is_file and (len(files) > 1 or styles):
        raise UserError(f"{out} is one picture", f"{len(files)} label maps make more", "Give a folder by --out")
    order = Order(
        seed=seed, wanted=_wanted(painter, style), style_from=style_from, style_labels=style_labels,
        style_instances=style_instances, bits=bits, suffix=f".{extension.removeprefix('.')}", overwrite=overwrite,
        target=out if is_file else None,
    )  # fmt: skip
    if styles:
        return _write_sheets(painter, files, out, styles, order, quiet)

    def tell(result: Result) -> None:
        if json:
            print(json_line(vars(result)), flush=True)
        elif result.error:
            screen.say(f"ganvas: {result.error}")
        elif not quiet:
            note = f"  ({result.note})" if result.note else ""
            print(f"{result.output}  {result.width} x {result.height}  {result.seconds:.2f} s{note}", flush=True)

    with Screen(json, False) as screen:
        results = make_pictures(painter, files, out, order, tell, None if quiet else screen.progress)
    return USER_ERROR if any(result.error for result in results) else DONE


def _wanted(painter: Any, style: Sequence[str]) -> dict[int, int]:
    wanted = {}
    for text in style:
        name, _, number = text.rpartition("=")
        if not name or not number.isdigit():
            raise UserError(f"--style is {text!r}", do="Give a class and a number, as in --style car=3")
        wanted[painter.class_named(name)] = int(number)
    return wanted


def _write_sheets(painter: Any, files: Sequence[Any], out: Path, styles: str, order: Any, quiet: bool) -> int:
    from ganvas.inference.labels.files import write_style_sheet

    chosen = None if styles == "all" else painter.class_named(styles)
    for file in files:
        regions = painter.read(file)
        present = [label for label in sorted(set(regions.labels)) if painter.num_styles(label)]
        if chosen is not None and chosen not in regions.labels:
            raise UserError(f"{file.labels} shows no {painter.name_of(chosen)}")
        for label in present if chosen is None else [chosen]:
            target = out / f"{file.name}_{painter.name_of(label).replace(' ', '_')}{order.suffix}"
            width = write_style_sheet(painter, regions, label, target, order)
            if not quiet:
                print(f"{target}  {painter.num_styles(label)} styles  {width} px wide", flush=True)
    return DONE
