"""The verb `generate` for models that make video from a sequence of label maps."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from ganvas.cli import DONE, USER_ERROR
from ganvas.cli.console import print_json
from ganvas.cli.upscale import Screen
from ganvas.errors import UserError

if TYPE_CHECKING:
    from ganvas.inference.clips.sampler import ClipReport


def generate(
    model: Positional[str],
    labels: Path,
    out: Path,
    first: str = "",
    painter: str = "",
    seed: int = 0,
    style: Literal["gaussian", "clusters"] = "gaussian",
    restyle: tuple[str, ...] = (),
    anchor: float = 0.0,
    repaint: float = 0.0,
    instances: str = "",
    fps: str = "24",
    bits: int = 8,
    quality: int | None = None,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32",
    overwrite: bool = False,
    resume: bool = True,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Make a video from a sequence of label maps, frame after frame, at any length in the same memory.

    Args:
        model: run or weight file.
        labels: folder of a sequence: labels/000000.png or what it was trained on, such as poses/ or edges/, and
            instances/ or flow/ where the model was trained so; a folder of such folders; or a video of the maps.
        out: video (.mp4, .mov, .mkv), folder, or numbered frames such as clip.####.png; for several sequences a folder,
            or clips/{name}.mp4.
        first: first frame: a picture, a video, or a run of pix2pixhd that makes one from the first label map.
        painter: a run of pix2pixhd that paints the frames; the model then only tells what stays of the last frame, and
            where to: steadier than the painter, and softer.
        seed: of the styles, where the model takes such (--instance-features); there is no other chance in it.
        style: any style of each class's spread, or one of its common ones.
        restyle: changes of style, CLASS@FRAME=SEED: car@24=7 gives cars from frame 24 on the styles of seed 7.
        anchor: share of the hallucinated picture in what is fed back, against drift in long clips: 0 to 1.
        repaint: above 0 more is painted anew, which is sharper and less steady; below 0 less. 1.6 is much.
        instances: folder or video of instance maps, where they do not lie beside the labels.
        fps: frames a second of a video: 24, or 30000/1001.
        bits: 8; in a video also 10, in frames 16.
        quality: constant rate factor of the video's codec, 0 (best) to 51.
        device: auto, cpu, cuda or cuda:1.
        precision: arithmetic of the network.
        overwrite: replace existing files.
        resume: go on with frames that an interrupted run has left; only numbered frames can be gone on with.
        json: print one JSON object.
        quiet: print only errors.
    """
    from ganvas.inference.clips.sampler import ClipOptions, generate_clips

    options = ClipOptions(
        first=first, painter=painter, seed=seed, style=style, restyle=restyle, anchor=anchor, repaint=repaint,
        instances=instances, fps=_rate(fps), bits=bits, quality=quality, device=device, precision=precision,
        overwrite=overwrite, resume=resume,
    )  # fmt: skip
    failed = False
    with Screen(json, quiet) as screen:
        for report in generate_clips(
            model, labels, out, options, lambda done, total: screen.progress(str(out), done, total)
        ):
            failed |= bool(report.error)
            if json:
                print_json({**vars(report), "notes": list(report.notes), "drift": list(report.drift)})
            elif report.error:
                screen.say(f"ganvas: {report.error}")
            elif not quiet:
                _tell(report)
    return USER_ERROR if failed else DONE


def _tell(report: ClipReport) -> None:
    made = report.frames - report.resumed
    resumed = f", {report.resumed} of them from before" if report.resumed else ""
    per_frame = report.seconds / max(1, made)
    size = f"{report.width} x {report.height}"
    print(f"{report.output}  {report.frames} frames{resumed}  {size}  {per_frame:.3f} s a frame", flush=True)
    for note in (*report.notes, *_drift(report.drift)):
        print(f"  {note}")


def _rate(text: str) -> Fraction:
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError) as error:
        raise UserError(f"--fps is {text!r}", do="Give a number such as 24, 12.5 or 30000/1001") from error
    if rate <= 0:
        raise UserError(f"--fps is {text!r}", "A video needs frames", "Give a number such as 24")
    return rate


def _drift(drift: tuple[float, ...]) -> list[str]:
    # Four parts of the clip show whether it runs away.
    if len(drift) < 8:
        return []
    quarter = len(drift) // 4
    means = [sum(drift[at : at + quarter]) / quarter for at in range(0, 4 * quarter, quarter)]
    return [f"drift from the hallucinated picture, by quarters: {', '.join(f'{mean:.4f}' for mean in means)}"]
