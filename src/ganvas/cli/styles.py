"""The verb `styles`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from ganvas.cli import DONE


def styles(
    run: Positional[Path],
    data: str = "",
    centers: int = 10,
    share: float = 1 / 64,
    seed: int = 0,
    table: Path | None = None,
    device: str = "auto",
    json: bool = False,
    quiet: bool = False,
) -> int:
    """Gather the styles of every class from a run's training data, for `ganvas generate` to choose from.

    Args:
        run: run folder, trained with an encoder (--instance-features 3).
        data: encode these scenes instead of those that the run was trained on.
        centers: styles of a class at most.
        share: use instances of at least this share of their picture, where a class has such.
        seed: of the clustering.
        table: write the features of every instance to this CSV file, too.
        device: auto, cpu, cuda or cuda:1.
        json: print JSON.
        quiet: print only errors.
    """
    from ganvas.cli.console import print_json
    from ganvas.cli.upscale import Screen
    from ganvas.inference.styles import gather
    from ganvas.io import runs
    from ganvas.io.weights import files as weights

    with Screen(json, quiet) as screen:
        report = lambda done, of: screen.progress("instances", done, of)  # noqa: E731
        found, encoded = gather(run, data, centers, share, seed, device, report)
    if table:
        runs.write_atomically(table, encoded.csv().encode())
    names = {int(entry["id"]): entry["name"] for entry in weights.read_card(run).extra.get("legend", ())}
    counts = {label: int((encoded.observed.labels == label).sum()) for label in found.labels.unique().tolist()}
    rows = [
        {"class": names.get(label, f"class {label}"), "id": label, "styles": len(found.of(label)), "instances": count}
        for label, count in counts.items()
    ]
    if json:
        print_json(rows)
    elif not quiet:
        for row in rows:
            print(f"{row['class']:<16} {row['styles']:>3} styles of {row['instances']} instances")
        print(f"Stored in {run / 'attachments'}. Next: ganvas generate {run} --labels DIR --out DIR")
    return DONE
