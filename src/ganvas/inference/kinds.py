"""The kinds of trained models, by what they take: one package of this room runs each. To add a kind, add its line."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of models."""

    package: str
    """Package of this room whose `suite.py` runs them; imported when it is first used."""
    makes: str
    """What they make, in a few words."""


KINDS = {
    "picture": Kind("picture", "larger pictures and videos"),
    "seeds": Kind("seeds", "pictures from noise, by class where the generator knows classes"),
    "labels": Kind("labels", "pictures from label maps, with a style for each instance"),
    "clip": Kind("clips", "video from a sequence of label maps"),
    "camera": Kind("cameras", "video from a camera path"),
}
"""`Card.input` -> the kind."""
