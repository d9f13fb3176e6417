"""All that can be asked of a generator of pictures from label maps."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, TypeAlias

from tyro.conf import FlagCreatePairsOff, Suppress

from ganvas.errors import UserError
from ganvas.inference.options import CommonOptions

Strips: TypeAlias = Literal["auto", "always", "never"]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What the user knows of a generator and its label maps, and their files do not tell."""

    num_labels: int = 0
    """Classes that another project's checkpoint was trained on, where its channels do not tell."""
    no_boundaries: FlagCreatePairsOff[bool] = False
    """It was trained without instance maps."""
    ignore: tuple[int, ...] = ()
    """More ids that stand for no class."""
    encoder: str = ""
    """File of the encoder that was trained with another project's generator; default the one beside it."""


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions, Known):
    """Which label maps become pictures, with which styles.

    Raises:
        UserError: the seed is negative.
    """

    labels: Path
    """Folder of label maps (or a data set that has one), a glob, one label map, or a scene painted in the studio (or a
    folder of scenes), whose instances keep their styles."""
    out: Path
    """Folder for the pictures, which keep the maps' names; for one label map also a file. For a sequence also a video
    (.mp4, .mov) or numbered frames, f.####.png, which keep the maps' numbers."""
    instances: str = ""
    """Folder of instance maps; default the one beside the label maps."""
    inputs: str = ""
    """Folder of the pictures that go in beside the label maps, where the model takes such; default the one there."""
    num: int = 0
    """Label maps at most, evenly spread; 0 for all."""
    seed: int = 0
    """Draws a style for each instance: the same seed, class and instance, the same style."""
    style: tuple[str, ...] = ()
    """Style of a class, as in car=3, of one instance, car@26003=3, or of an instance of another picture,
    car@26003=a.png:car@26012; others stay drawn."""
    style_from: Path | None = None
    """Take the styles of this picture; it is laid under each label map, or has maps of its own."""
    style_labels: Path | None = None
    """Label map of that picture."""
    style_instances: Path | None = None
    """Instance map of that picture."""
    styles: str = ""
    """Instead of pictures, write each map with every style of this class side by side, numbered; all: every class."""
    fps: Fraction | None = None
    """Frames a second of a video: 24, or 24000/1001; default what lies beside the maps, or 24."""
    strips: Strips = "auto"
    """Layer by layer in little memory, the same picture to the last digits; auto does so for large ones."""
    bits: Literal[8, 16] = 8
    """Of each channel."""
    is_piece: Suppress[bool] = False
    """The maps are a part of those that were asked for: an instance with a style of its own may be in another."""
    extension: str = "png"
    """Of the pictures: png, tif, jpg ..."""

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UserError(f"--seed is {self.seed}", do="Use 0 or more")
