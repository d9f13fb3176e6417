"""All that can be asked of scores; each kind of scores takes the dataclass of what it can honour.

Pairs   results against their truth        Clips   results against true clips
Sets    fakes against real pictures        Maps    pictures against their label maps
Classes the same, class by class           Views   pictures of cameras against footage
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Common:
    """What all kinds of scores honour."""

    scores: str = ""
    """Names, separated by commas; `list` prints all that there are."""
    num: int = 1000
    """How many pictures a run or weight file generates."""
    seed: int = 0
    """Of subsets and bootstrap, and of what a model generates; the same seed gives the same numbers."""
    resamples: int = 100
    """Bootstrap samples for the intervals; 0 leaves them out."""
    cache: bool = True
    """Keep what was seen in the real set for the next time, in $GANVAS_HOME or ~/.cache/ganvas."""
    device: str = "auto"
    """Where networks run: auto, cpu, cuda, cuda:1."""

    @property
    def names(self) -> tuple[str, ...]:
        """The scores that are asked for; none for the usual ones."""
        return tuple(name.strip() for name in self.scores.split(",") if name.strip())


@dataclass(frozen=True, kw_only=True)
class Faked(Common):
    """Scores of pictures beside something else."""

    fake: Path | None = None
    """Folder of generated pictures, or the run or weight file that generates them."""


@dataclass(frozen=True, kw_only=True)
class Pairs(Common):
    """Scores of results against their truth, picture by picture."""

    pairs: tuple[Path, Path] | None = None
    """Results and truth: two pictures, or two folders whose pictures have the same names; or a model and truth, which
    is shrunk and enlarged again."""
    crop_px: int = 4
    """Pairs: pixels left out at each border; the custom is the scale factor."""
    scale: int = 0
    """Pairs: how many times the results were enlarged, for consistency, detail and gain; a model tells its own."""
    lpips_backbone: Literal["alex", "vgg"] = "alex"
    """Pairs: the classifier under LPIPS."""
    lpips_heads: Path | None = None
    """Pairs: the published alex.pth or vgg.pth of LPIPS 0.1."""
    dists_weights: Path | None = None
    """Pairs: the published weights.pt of DISTS."""
    backbone: Path | None = None
    """Pairs: torchvision's file of AlexNet or VGG16, for LPIPS and DISTS; fetched where it is not given."""
    niqe_model: Path | None = None
    """Pairs: NIQE's published model as .npz; without it ours is used, whose numbers are not those of papers."""


@dataclass(frozen=True, kw_only=True)
class Sets(Faked):
    """Scores of a set of pictures against a set of real ones."""

    real: Path | None = None
    """Folder of real pictures; a run of a generator from seeds is by default compared with its training data."""
    inception: Path | None = None
    """Sets: weight file of FID's Inception; without it the published one is fetched when fid is asked for."""


@dataclass(frozen=True, kw_only=True)
class Classes(Faked):
    """Scores of generated classes against real ones."""

    real: Path | None = None
    """Folder of real pictures; a run of a generator from seeds is by default compared with its training data."""
    per_class: bool = False
    """With --real and --fake by class: accuracy, diversity, distance and confusion of each class."""
    probe_steps: int = 0
    """Classes and labels: steps on which a small network is trained; 0 takes the usual number, and for classes a linear
    classifier over efficientnet-lite2 where that has been fetched."""


@dataclass(frozen=True, kw_only=True)
class Maps(Faked):
    """Scores of pictures against the label maps that they were generated from."""

    labels: Path | None = None
    """Labelled data from whose label maps the --fake pictures were generated; a segmenter trained on it reads them."""
    probe_steps: int = 0
    """Classes and labels: steps on which a small network is trained; 0 takes the usual number, and for classes a linear
    classifier over efficientnet-lite2 where that has been fetched."""


@dataclass(frozen=True, kw_only=True)
class Clips(Common):
    """Scores of clips against the true ones."""

    clips: tuple[Path, Path] | None = None
    """Results and truth: video files, folders of frames, or folders of these; or a model and truth, whose label maps it
    is given."""
    flow: str = "given"
    """Clips: where motion comes from: given (files beside the real frames), dis, or a flow network's file."""


@dataclass(frozen=True, kw_only=True)
class Views(Faked):
    """Scores of pictures of cameras against footage."""

    cameras: Path | None = None
    """Footage (pictures with a camera file) whose views the --fake run generates; those it was trained on are left
    out."""
    footage: Path | None = None
    """Cameras: the footage that the --fake run was trained on, where it lies elsewhere now: for the gain over the
    nearest training frame."""


@dataclass(frozen=True, kw_only=True)
class Options(Pairs, Sets, Classes, Clips, Maps, Views):
    """All that can be asked of scores."""
