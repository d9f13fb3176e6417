"""The verb `doctor`."""

from __future__ import annotations

from typing import Any

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Console, print_columns, print_facts, print_json


def doctor(printing: Printing, quick: bool = False) -> int:
    """Say what this machine can do: device, precisions, engines, memory, and how fast each bundled model is on it.

    Args:
        quick: leave out the models, which are run for it.
    """
    facts = _facts()
    rows: list[dict[str, Any]] = []
    if not quick:
        from ganvas.inference.open import known_models
        from ganvas.inference.pace import bundled_paces

        with Console(printing) as console:
            total = sum(not model.package for model in known_models())
            progress = console.progress.of("models")
            progress(0, total)
            for pace in bundled_paces():
                rows.append(vars(pace))
                progress(len(rows), total)
    if printing.json:
        print_json({**facts, "models": rows})
    elif not printing.quiet:
        print_facts(facts)
        if rows:
            print()
            print_columns([("model", "takes", "s/MP", "how"), *map(_cells, rows)])
    return DONE


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    seconds = row["seconds_per_megapixel"]
    return row["model"], row["takes"], "-" if seconds is None else f"{seconds:.2f}", row["how"]


def _facts() -> dict[str, Any]:
    """Return what the machine is and has, in plain values."""
    import platform

    import torch

    from ganvas import __version__
    from ganvas import device as devices
    from ganvas.inference.backends import BACKENDS, PACKAGES
    from ganvas.inference.fastest import installed

    place = devices.pick()
    machine = devices.facts(place, torch.float32)
    engines = installed()
    missing = {name: f"pip install 'ganvas[{name}]'" for name in BACKENDS if name in PACKAGES and name not in engines}
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    fast = devices.has_fast_bfloat16(place)
    return {
        "ganvas": __version__,
        "python": platform.python_version(),
        "device": str(place),
        "processor": machine["processor"],
        "gpus": gpus or "none that this torch sees",
        "threads": machine["threads"],
        "free_memory_gb": round(devices.free_memory(place) / 2**30, 1),
        "precisions": {
            "float32": "exact",
            "bfloat16": "fast here, taken for 8-bit pictures" if fast else "slower than float32 here",
            "float16": "fast here" if place.type == "cuda" else "slower than float32 on a processor",
        },
        "engines": engines,
        "engines_missing": missing,
    }
