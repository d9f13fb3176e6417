"""The verbs `convert`, `pack` and `blend`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import FlagCreatePairsOff, Positional

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Console, report
from ganvas.errors import UserError


def resolved(name: str | Path) -> Path:
    """Return the file that a name means: its own, or that of a model that `ganvas models` lists."""
    if Path(name).exists():
        return Path(name)
    from ganvas.inference.open import resolve

    return resolve(str(name))


def convert(
    source: Positional[Path],
    out: Path,
    printing: Printing,
    layout: Literal["ganvas", "basicsr", "xinntao", "old"] = "ganvas",
    num_labels: int = 0,
    no_boundaries: FlagCreatePairsOff[bool] = False,
    int8: FlagCreatePairsOff[bool] = False,
    calibrate: Path | None = None,
    least_db: float = 40.0,
    overwrite: bool = False,
) -> int:
    """Turn another project's checkpoint into ours, or ours into theirs, or add its network in 8 bits.

    Args:
        source: a weight file that `ganvas inspect` recognises, or a run.
        out: the file to write: .safetensors for ours, .pth for theirs.
        layout: ours, or that of BasicSR and Real-ESRGAN, of ESRGAN, or of ESRGAN before June 2019.
        num_labels: of a pix2pixHD generator: the classes that it was trained on, where its channels do not tell.
        no_boundaries: of a pix2pixHD generator: it was trained without instance maps.
        int8: keep the upscaler also in 8 bits for OpenVINO; `ganvas upscale` then runs these for 8-bit pictures.
        calibrate: folder of photographs on which the value ranges of its layers are measured.
        least_db: with --int8: PSNR against float32 on photographs that must be kept; harmed layers stay in bfloat16.
        overwrite: replace an existing file.
    """
    from ganvas.io.weights import files as weights

    if int8:
        if layout != "ganvas" or num_labels or no_boundaries:
            raise UserError("--int8 goes with no other layout", do="Convert the file first, then give --int8")
        return _convert_int8(source, calibrate, out, least_db, overwrite, printing)
    if calibrate is not None:
        raise UserError("--calibrate means nothing without --int8", do="Give --int8, too")
    source, card = resolved(source), None
    if num_labels or no_boundaries:
        from ganvas.networks.pix2pixhd.card import assume

        card = assume(weights.read_card(source), num_labels, no_boundaries)
    path = weights.convert(source, out, layout, overwrite, card)
    report(str(path), {"out": path}, printing)
    return DONE


def _convert_int8(
    source: Path, photographs: Path | None, out: Path, least_db: float, overwrite: bool, printing: Printing
) -> int:
    from ganvas.inference import int8
    from ganvas.inference.open import open_model

    if photographs is None:
        raise UserError("--int8 needs photographs", "They tell which values its layers take", "Give --calibrate FOLDER")
    console = Console(printing)
    made = int8.convert(open_model(str(source)), photographs, out, least_db, overwrite, console.say)
    done, total = made.layers
    line = f"{out}: {done} of {total} convolutions in 8 bits, {made.psnr:.1f} dB from float32 on the photographs"
    report(line, {"out": out, "psnr_db": made.psnr, "layers": made.layers, "left_higher": made.left}, printing)
    return DONE


def pack(run: Positional[Path], out: Path, printing: Printing, best: bool = False, overwrite: bool = False) -> int:
    """Make one weight file, with its card, of a run.

    Args:
        run: the run's folder.
        out: the .safetensors file to write.
        best: take the checkpoint that scored best instead of the newest.
        overwrite: replace an existing file.
    """
    from ganvas.io import runs
    from ganvas.io.weights import files as weights

    if not runs.is_run(run):
        raise UserError(f"{run} is no run", do="Give the folder that `ganvas train --out` made")
    packed = weights.read_run(run, best=best)
    path = weights.save(out, packed.tensors, packed.card, packed.attachments, overwrite)
    report(str(path), {"out": path}, printing)
    return DONE


def blend(
    first: Positional[str],
    second: Positional[str],
    out: Path,
    printing: Printing,
    mix: float = 0.5,
    overwrite: bool = False,
) -> int:
    """Interpolate between two models of one network: (1 - mix) first + mix second.

    Args:
        first: name or file of the model at mix 0, usually the one trained on pixels.
        second: name or file of the model at mix 1, usually the GAN that was trained from it.
        out: the .safetensors file to write.
        mix: share of the second model, 0 to 1.
        overwrite: replace an existing file.
    """
    from ganvas.inference.open import resolve
    from ganvas.io.weights import files as weights

    mixed = weights.blend(weights.read(resolve(first)), weights.read(resolve(second)), mix)
    path = weights.save(out, mixed.tensors, mixed.card, mixed.attachments, overwrite)
    report(str(path), {"out": path}, printing)
    return DONE
