"""What a page may order: for each kind a verb of the command line, and the arguments that it becomes.

Values are checked by their types before anything starts; the verb itself checks the rest. Paths never come from a page.
The command that a page shows and the words of the job that it starts are made here, by the same function.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ganvas.errors import UserError
from ganvas.studio import streets
from ganvas.studio.workspace import Workspace

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Seeds = Annotated[str, Field(pattern=r"^[0-9][0-9,\-]{0,200}$")]


class Order(BaseModel):
    """What all orders have in common."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words after `ganvas` that do it, its results going to a folder.

        Raises:
            UserError: a picture or model is not here any more.
        """
        raise TypeError(f"{type(self).__name__} does not say what its command is")

    def job(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of the job that does it, after what the job reads was put beside its results.

        Raises:
            UserError: as `arguments`.
        """
        return [*self.arguments(workspace, out), "--json"]


class Upscale(Order):
    """Upscale a picture by a model, or by a blend of two."""

    verb: Literal["upscale"]
    picture: Id
    model: Id
    blend: Id | None = None
    alpha: float = Field(0.5, ge=0, le=1)
    mask: Id | None = None
    """Where the blend counts; the first model elsewhere."""
    factor: float | None = Field(None, gt=0, le=16)
    ensemble: bool = False

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas upscale`."""
        picture, model = workspace.picture(self.picture), workspace.model(self.model)
        words = ["upscale", str(picture.path), "--out", str(out / f"{Path(picture.name).stem}-{model.name}.png")]
        if self.blend is None:
            words += ["--model", model.source]
        else:
            words += ["--blend", model.source, workspace.model(self.blend).source, "--mix", f"{self.alpha:g}"]
            words += [] if self.mask is None else ["--mix-mask", str(workspace.mask(self.mask))]
        words += [] if self.factor is None else ["--factor", f"{self.factor:g}"]
        # Pages show 8 bits, and what a deeper file loses by that is told.
        return words + (["--ensemble"] if self.ensemble else []) + ["--allow-loss"]


class Sample(Order):
    """Write pictures of seeds and classes."""

    verb: Literal["sample"]
    model: Id
    seeds: Seeds = "0-15"
    classes: str | None = Field(None, max_length=200, pattern=r"^[\w ,\-]+$")
    truncation: float | None = Field(None, gt=0, le=10)

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas generate` for a generator from seeds."""
        words = ["generate", workspace.model(self.model).source, "--out", str(out), "--seeds", self.seeds]
        words += [] if self.classes is None else ["--classes", self.classes]
        return words + ([] if self.truncation is None else ["--truncation", f"{self.truncation:g}"])


class Neighbours(Order):
    """Write samples beside the training pictures nearest to them, and whether they are nearer than new pictures."""

    verb: Literal["neighbours"]
    model: Id
    folder: Id
    seeds: Seeds = "0-15"
    classes: str | None = Field(None, max_length=200, pattern=r"^[\w ,\-]+$")
    truncation: float | None = Field(None, gt=0, le=10)

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas neighbours`."""
        model = workspace.model(self.model)
        words = ["neighbours", model.source, "--data", str(workspace.training_set(model, self.folder))]
        words += ["--out", str(out / "neighbours.png"), "--seeds", self.seeds]
        words += [] if self.classes is None else ["--classes", self.classes]
        return words + ([] if self.truncation is None else ["--truncation", f"{self.truncation:g}"])


class Paint(Order):
    """Paint the picture of a saved scene."""

    verb: Literal["paint"]
    model: Id
    scene: str = Field(pattern=r"^[0-9]{4,8}$")

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas generate` for a generator from label maps."""
        return self._words(workspace, workspace.scenes / self.scene, out)

    def job(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words for a copy of the scene: what is painted while the job waits is not in its picture."""
        kept = out.parent / "scene"
        words = self._words(workspace, kept, out)
        if not (workspace.scenes / self.scene).is_dir():
            raise UserError("This scene is not here any more", do="Begin a new one")
        shutil.copytree(workspace.scenes / self.scene, kept)
        return [*words, "--json"]

    def _words(self, workspace: Workspace, folder: Path, out: Path) -> list[str]:
        model = workspace.model(self.model)
        return ["generate", model.source, "--labels", str(folder), "--out", str(out / f"{self.scene}.png")]


class Fly(Order):
    """Write the film of a camera path."""

    verb: Literal["fly"]
    model: Id
    through: list[Annotated[int, Field(ge=0)]] = Field(default_factory=list, max_length=100)
    frames: int = Field(120, ge=2, le=10_000)
    flight: Id | None = None
    """Instead of training cameras, a path with views of one's own, which the page had planned."""

    @model_validator(mode="after")
    def _has_a_way(self) -> Fly:
        if (self.flight is None) == (len(self.through) < 2):
            raise ValueError("name two training cameras or more, or a flight")
        return self

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas generate` for a generator from cameras."""
        words = ["generate", workspace.model(self.model).source]
        if self.flight is None:
            words += ["--through", f"index:{','.join(map(str, self.through))}", "--frames", str(self.frames)]
        else:
            words += ["--camera", str(workspace.flight(self.flight))]
        return [*words, "--out", str(_film(out, "flight"))]


class Street(BaseModel):
    """A stretch of the drawn street."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    frames: int = Field(24, ge=2, le=240)
    width: int = Field(256, ge=64, le=1024)
    height: int = Field(128, ge=32, le=1024)
    seed: int = Field(0, ge=0, lt=2**31)


class Stretch(Street):
    """Such a stretch by a generator of clips, and the styles that change in it."""

    model: Id
    restyle: list[Annotated[str, Field(pattern=r"^[\w -]{1,40}@\d{1,5}=\d{1,5}$")]] = Field(default_factory=list)


class Clip(Stretch, Order):
    """Write a stretch of the drawn street as video."""

    verb: Literal["clip"]

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas generate` for a generator of clips."""
        street = streets.folder_of(workspace.work, self.frames, (self.width, self.height), self.seed)
        words = ["generate", workspace.model(self.model).source, "--labels", str(street), "--seed", str(self.seed)]
        for change in self.restyle:
            words += ["--restyle", change]
        return [*words, "--out", str(_film(out, "clip"))]

    def job(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words, the street being written."""
        streets.write(workspace.work, self.frames, (self.width, self.height), self.seed)
        return super().job(workspace, out)


class Resume(Order):
    """Resume the training of a run."""

    verb: Literal["resume"]
    run: Id

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas train --resume`."""
        return ["train", "--resume", str(workspace.run(self.run))]

    def job(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words; how far it is stands in the run's log."""
        return self.arguments(workspace, out)


def _film(out: Path, name: str) -> Path:
    """Return a video's path, or where nothing here writes video, a folder of frames."""
    return out / (f"{name}.mp4" if find_spec("av") else name)


AnyOrder = Annotated[Upscale | Sample | Neighbours | Paint | Fly | Clip | Resume, Field(discriminator="verb")]
