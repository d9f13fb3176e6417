"""The verb `styles`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import Console, print_json


@dataclass(frozen=True, kw_only=True)
class Gathering:
    """Which styles are gathered, and from what."""

    run: Positional[Path]
    """Run folder, trained with an encoder (--instance-features 3)."""
    data: str = ""
    """Encode these scenes instead of those that the run was trained on."""
    centers: int = 10
    """Styles of a class at most."""
    share: float = 1 / 64
    """Use instances of at least this share of their picture, where a class has such."""
    seed: int = 0
    """Of the clustering."""
    table: Path | None = None
    """Write the features of every instance to this CSV file, too."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1."""


def styles(options: Gathering, printing: Printing) -> int:
    """Gather the styles of every class from a run's training data, for `ganvas generate` to choose from."""
    from ganvas.inference.open import open_model
    from ganvas.inference.styles import gather
    from ganvas.io import runs

    run, table = options.run, options.table
    with Console(printing) as console:
        found, encoded = gather(
            run, options.data, options.centers, options.share, options.seed, options.device,
            console.progress.of("instances"),
        )  # fmt: skip
    if table:
        runs.write_atomically(table, encoded.csv().encode())
    names = {int(entry["id"]): entry["name"] for entry in open_model(run).card.extra.get("legend", ())}
    counts = {label: int((encoded.observed.labels == label).sum()) for label in found.labels.unique().tolist()}
    rows = [
        {"class": names.get(label, f"class {label}"), "id": label, "styles": len(found.of(label)), "instances": count}
        for label, count in counts.items()
    ]
    if printing.json:
        print_json(rows)
    elif not printing.quiet:
        for row in rows:
            print(f"{row['class']:<16} {row['styles']:>3} styles of {row['instances']} instances")
        print(f"Stored in {run / 'attachments'}. Next: ganvas generate {run} --labels DIR --out DIR")
    return DONE
