"""The verb `label`: label and instance maps for pictures and clips that have none, and maps made usable."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from ganvas.cli import DONE, USER_ERROR
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Bar, Complaints, complain, report
from ganvas.errors import UsageError, UserError
from ganvas.inference.options import Size

PARTS = ("remap", "split", "import", "legend")


def label(arguments: Sequence[str]) -> int:
    """Run one of the parts named first, or else a segmenter over pictures."""
    from ganvas.cli.arguments import parse

    part = arguments[0] if arguments else ""
    # A picture or folder of such a name is given as ./remap.
    if part not in PARTS:
        return parse(segment, arguments, "ganvas label")
    function = {"remap": remap, "split": split, "import": import_, "legend": legend}[part]
    return parse(function, arguments[1:], f"ganvas label {part}")


def remap(
    printing: Printing,
    maps: Positional[Path],
    out: Path,
    legend: str = "",
    map: tuple[str, ...] = (),
    ids: tuple[int, ...] = (),
    ignore: tuple[int, ...] = (255,),
    overwrite: bool = False,
) -> int:
    """Write label maps anew as ids in PNGs: gaps of ids closed, smoothed edges and JPEG's noise snapped to the classes.

    Args:
        maps: data set or folder of label maps, as ids or as colours.
        out: folder; labels/ and legend.json are written into it.
        legend: legend of maps in colours, a file or a ready one (`ganvas label legend`); default the one beside them.
        map: changes of ids, as in 40=0 7=1; only these are changed then.
        ids: the ids that are classes, where they are known, as in 0 7 24; default those that have regions of their own.
        ignore: ids that stay what they are.
        overwrite: replace existing maps.
    """
    from ganvas.data import remap as remapping
    from ganvas.io.labels.legends import READY, read_legend, ready

    changes = {}
    for text in map:
        old, _, new = text.partition("=")
        if not (old.isdecimal() and new.isdecimal()):
            raise UsageError(f"--map is {text!r}", do="Write OLD=NEW, such as 40=0")
        changes[int(old)] = int(new)
    labels = () if not legend else ready(legend) if legend in READY else read_legend(legend)
    found = remapping.remap(maps, out, labels, changes, ids, ignore, overwrite)
    complain(found.errors.values())
    listed = ", ".join(f"{each.id} {each.name}" for each in found.labels[:12])
    told = [f"{len(found.written)} maps in {out / 'labels'}, {len(found.labels)} classes: {listed}"]
    if found.snapped:
        told.append(f"{found.snapped:,} pixels were of no class and took that beside them")
    told.append(f"Train on them with --data labels={out / 'labels'},picture=PICTURES")
    classes = {each.id: each.name for each in found.labels}
    facts = {"out": out, "maps": len(found.written), "classes": classes, "snapped_pixels": found.snapped}
    report("\n".join(told), {**facts, "errors": len(found.errors)}, printing)
    return USER_ERROR if found.errors else DONE


def split(printing: Printing, pictures: Positional[Path], out: Path, overwrite: bool = False) -> int:
    """Split pictures that show a pair side by side (A|B, as pix2pix has them) into the folders A and B.

    Args:
        pictures: folder of them.
        out: folder; A/ gets the left halves and B/ the right ones, as PNGs.
        overwrite: replace existing files.
    """
    from ganvas.data.side_by_side import split_pairs

    failed = done = 0
    complaints = Complaints()
    with Bar(printing.quiet) as bar:
        for name, error in split_pairs(pictures, out, overwrite):
            failed, done = failed + bool(error), done + (not error)
            bar.count(f"{done + failed} pairs")
            if error:
                complaints.add(f"{name}: {error}")
    complaints.close()
    text = f"{done} pairs in {out}" + (f", {failed} failed" if failed else "")
    if done:
        text += f"\nTrain A -> B with --preset picture --data {out}, B -> A with --data input={out}/B,picture={out}/A"
    report(text, {"out": out, "pairs": done, "errors": failed}, printing)
    return USER_ERROR if failed else DONE


def import_(
    printing: Printing,
    annotations: Positional[Path],
    out: Path,
    pictures: Path | None = None,
    legend: str = "",
    overwrite: bool = False,
) -> int:
    """Write label and instance maps of annotations: labelme, COCO, CVAT and VOC files, Cryptomattes, CelebAMask-HQ.

    Args:
        annotations: file or folder of them.
        out: folder; labels/, instances/ and legend.json are written into it.
        pictures: folder of the pictures, where the annotations do not tell their sizes.
        legend: legend whose ids are used, a file or a ready one; default: the classes in the order of their names.
        overwrite: replace existing maps.
    """
    from ganvas.data.annotations import write_maps
    from ganvas.io.labels.legends import READY, read_legend, ready

    labels = () if not legend else ready(legend) if legend in READY else read_legend(legend)
    done = write_maps(annotations, out, pictures, labels, overwrite)
    complain(done.errors)
    told = [*done.notes, f"{done.count} pairs of maps in {out}, {len(done.labels)} classes"]
    if done.count:
        told.append(f"Train on them with --data labels={out / 'labels'},instances={out / 'instances'},picture=PICTURES")
    facts = {"out": out, "maps": done.count, "classes": {each.id: each.name for each in done.labels}}
    report("\n".join(told), {**facts, "notes": list(done.notes), "errors": len(done.errors)}, printing)
    return USER_ERROR if done.errors else DONE


def legend(printing: Printing, name: Positional[str] = "", out: Path | None = None) -> int:
    """List the legends of known data sets, or write one.

    Args:
        name: such as cityscapes; empty lists all.
        out: the file to write, legend.json beside the label maps; default prints it.
    """
    from ganvas.io import runs
    from ganvas.io.labels.legends import READY, ready

    if not name:
        known = {each: runs.read_json(path)["about"] for each, path in READY.items()}
        report("\n".join(f"{each.ljust(18)} {about}" for each, about in known.items()), known, printing)
        return DONE
    ready(name)
    text = READY[name].read_bytes()
    if out is None:
        print(text.decode())
        return DONE
    if out.exists():
        raise UserError(f"{out} exists already", do="Choose another name")
    runs.write_atomically(out, text)
    report(str(out), {"out": out}, printing)
    return DONE


def segment(
    printing: Printing,
    inputs: Positional[tuple[str, ...]],
    segmenter: Annotated[Path, tyro.conf.arg(name="with")],
    out: Path,
    size: Size | None = None,
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
    from ganvas.inference.labels.segmenter import Segmenter, label_files
    from ganvas.io import runs
    from ganvas.io.labels.legends import read_legend

    if not inputs:
        raise UsageError("There is nothing to label", do="ganvas label PICTURES --with SEGMENTER.onnx --out DIR")
    names = read_legend(legend) if legend else ()
    counted = things or tuple(one.id for one in names if one.thing) or None
    width, height = size or (0, 0)
    net = Segmenter(segmenter, (height, width) if size else None, values, device)
    failed = done = 0
    complaints = Complaints()
    with Bar(printing.quiet) as bar:
        for result in label_files(net, inputs, out, counted, smallest_px, overwrite):
            failed, done = failed + bool(result.error), done + result.frames
            bar.count(f"{done + failed} pictures")
            if result.error:
                complaints.add(f"{result.input}: {result.error}")
            elif not (printing.quiet or printing.json):
                frames = f" ({result.frames} frames)" if result.frames > 1 else ""
                print(f"{result.input} -> {result.output}{frames}")
    complaints.close()
    if legend and done:
        runs.write_json(out / "legend.json", runs.read_json(legend))
    text = f"{done} pictures labelled{f', {failed} inputs failed' if failed else ''}"
    if done and not (out / "frames").is_dir() and Path(inputs[0]).is_dir():
        text += f"\nTrain on them with --data labels={out / 'labels'},picture={inputs[0]},instances={out / 'instances'}"
    report(text, {"out": out, "pictures": done, "errors": failed}, printing)
    return USER_ERROR if failed else DONE
