"""The verb `label`: label and instance maps for pictures and clips that have none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from ganvas.cli import DONE, USER_ERROR
from ganvas.errors import UserError


def label(
    inputs: Positional[tuple[str, ...]],
    segmenter: Annotated[Path, tyro.conf.arg(name="with")],
    out: Path,
    size: str = "",
    values: Literal["imagenet", "unit", "signed"] = "imagenet",
    things: tuple[int, ...] = (),
    smallest_px: int = 64,
    legend: Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> int:
    """Write label and instance maps of pictures or clips by a segmenter of your own.

    Args:
        inputs: pictures, folders, globs or videos.
        segmenter: TorchScript (.pt, .ts) or ONNX file: (1, 3, H, W) -> scores (1, N, h, w) or ids (1, h, w).
        out: folder; labels/ and instances/ are made in it, and frames/ for a video.
        size: WxH that pictures are resized to for the segmenter; its maps come back at the pictures' own size.
        values: range that the segmenter was trained with: ImageNet's means and deviations, 0 to 1, or -1 to 1.
        things: classes that come as countable things; default those of the legend, or else all.
        smallest_px: a region of fewer pixels is no instance of its own.
        legend: legend.json that names the classes; it is copied into the output.
        device: auto, cpu, cuda or cuda:1.
        overwrite: replace existing maps.
    """
    from ganvas.cli.world import parse_size
    from ganvas.inference.labels.segmenter import Segmenter, label_files
    from ganvas.io import runs
    from ganvas.io.labels.legends import read_legend

    if not inputs:
        raise UserError("There is nothing to label", do="ganvas label PICTURES --with SEGMENTER.onnx --out DIR")
    names = read_legend(legend) if legend else ()
    counted = things or tuple(one.id for one in names if one.thing) or None
    width, height = parse_size(size) if size else (0, 0)
    net = Segmenter(segmenter, (height, width) if size else None, values, device)
    failed = done = 0
    for result in label_files(net, inputs, out, counted, smallest_px, overwrite):
        failed, done = failed + bool(result.error), done + result.frames
        if result.error:
            print(f"ganvas: {result.input}: {result.error}", file=sys.stderr)
        else:
            print(f"{result.input} -> {result.output}" + (f" ({result.frames} frames)" if result.frames > 1 else ""))
    if legend and done:
        runs.write_json(out / "legend.json", runs.read_json(legend))
    print(f"{done} pictures labelled{f', {failed} inputs failed' if failed else ''}")
    if done and not (out / "frames").is_dir() and Path(inputs[0]).is_dir():
        print(f"Train on them with --data labels={out / 'labels'},picture={inputs[0]},instances={out / 'instances'}")
    return USER_ERROR if failed else DONE
