"""What a page may order: for each kind a verb of the command line, and the arguments that it becomes.

Values are checked by their types before anything starts; the verb itself checks the rest. Paths never come from a page.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ganvas.errors import UserError
from ganvas.studio.workspace import Workspace

Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
Seeds = Annotated[str, Field(pattern=r"^[0-9][0-9,\-]{0,200}$")]


class Order(BaseModel):
    """What all orders have in common."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words after `ganvas` that do it, its results going to a new folder.

        Raises:
            UserError: a picture or model is not here any more.
        """
        raise TypeError(f"{type(self).__name__} does not say what its command is")


class Upscale(Order):
    """Upscale a picture by a model, or by a blend of two."""

    verb: Literal["upscale"]
    picture: Id
    model: Id
    blend: Id | None = None
    alpha: float = Field(0.5, ge=0, le=1)
    factor: float | None = Field(None, gt=0, le=16)
    ensemble: bool = False

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas upscale`."""
        picture, model = workspace.picture(self.picture), workspace.model(self.model)
        words = ["upscale", str(picture.path), "--out", str(out / f"{Path(picture.name).stem}-{model.name}.png")]
        if self.blend is None:
            words += ["--model", model.source]
        else:
            words += ["--blend", model.source, workspace.model(self.blend).source, "--alpha", f"{self.alpha:g}"]
        words += [] if self.factor is None else ["--factor", f"{self.factor:g}"]
        # Pages show 8 bits, and what a deeper file loses by that is told.
        return words + (["--ensemble"] if self.ensemble else []) + ["--allow-loss", "--json"]


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


class Paint(Order):
    """Paint the picture of a saved scene."""

    verb: Literal["paint"]
    model: Id
    scene: str = Field(pattern=r"^[0-9]{4,8}$")

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas generate` for a generator from label maps."""
        model, painted, kept = workspace.model(self.model), workspace.scenes / self.scene, out.parent / "scene"
        if not painted.is_dir():
            raise UserError("This scene is not here any more", do="Begin a new one")
        shutil.copytree(painted, kept)  # what is painted while the job waits is not in its picture
        return ["generate", model.source, "--labels", str(kept), "--out", str(out / f"{self.scene}.png")]


class Fly(Order):
    """Write the film of a camera path through training cameras."""

    verb: Literal["fly"]
    model: Id
    through: list[Annotated[int, Field(ge=0)]] = Field(min_length=2, max_length=100)
    frames: int = Field(120, ge=2, le=10_000)

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas generate` for a generator from cameras."""
        words = ["generate", workspace.model(self.model).source, "--through", ",".join(map(str, self.through))]
        return [*words, "--frames", str(self.frames), "--out", str(out / "flight.mp4")]


class Resume(Order):
    """Train a run on."""

    verb: Literal["resume"]
    run: Id

    def arguments(self, workspace: Workspace, out: Path) -> list[str]:
        """Return the words of `ganvas train --resume`."""
        return ["train", "--resume", str(workspace.run(self.run))]


AnyOrder = Annotated[Upscale | Sample | Paint | Fly | Resume, Field(discriminator="verb")]
