"""The verb `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Bar, report


def export(
    model: Positional[str],
    out: Path,
    printing: Printing,
    to: Literal["onnx", "torchscript", "openvino", "coreml-ready-onnx", "ncnn"] = "onnx",
    overwrite: bool = False,
) -> int:
    """Write a model for another engine, and compare it there with torch at two sizes.

    One tensor goes in and one comes out, with values in [0, 1]; sizes stay free where the format allows.

    Args:
        model: name (`ganvas models`), weight file, or run.
        out: file; its ending is added where it is missing. OpenVINO and ncnn write a .bin beside it.
        to: format; coreml-ready-onnx has fixed sizes and only what Core ML runs itself.
        overwrite: replace existing files.
    """
    from ganvas.inference.export import export as write
    from ganvas.inference.open import open_model

    with Bar(printing.quiet or printing.json) as bar:
        made = write(open_model(model), out, to, overwrite, lambda done, total: bar.move("export", done, total))
    sizes = " and ".join(" x ".join(map(str, size)) for size in made.sizes)
    text = f"{', '.join(map(str, made.files))}: differs from torch by at most {made.error:.2g} (inputs {sizes})"
    facts = {"files": [str(path) for path in made.files], "error": made.error, "sizes": made.sizes}
    report("\n".join(filter(None, (text, made.note))), facts, printing)
    return DONE
