"""What the studio may touch: its own folder, and the pictures, runs and models that it was started with.

Files are known by ids, never by paths, so that no request can name a file outside.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganvas.errors import UserError
from ganvas.inference.open import known_models
from ganvas.io import runs
from ganvas.io.pictures import formats, headers, images
from ganvas.io.weights import files as weights
from ganvas.protocol import Card

LARGEST_PX = 400_000_000
"""Pixels of the largest picture that is decoded; read from the header before anything is."""
LARGEST_FILE = 4 << 30
"""Bytes of the largest file that is taken in."""
PAGES = {"picture": "upscale", "labels": "paint", "seeds": "explore", "camera": "fly", "clip": "clips"}
"""Kind of input -> the page whose models take it."""
NAME = re.compile(r"[^\w.\- ()+@]+")


@dataclass(frozen=True)
class Picture:
    """A picture that pages can ask for."""

    id: str
    name: str
    path: Path
    width: int = 0
    height: int = 0
    channels: int = 0
    dtype: str = ""
    error: str = ""
    """Why it cannot be used; empty for most."""

    def row(self) -> dict[str, Any]:
        """Return what a page is told."""
        return {key: value for key, value in vars(self).items() if key != "path"}


@dataclass(frozen=True)
class Model:
    """A trained model that pages can ask for: one with a name, a weight file, or a run."""

    id: str
    name: str
    source: str
    """What commands are given: the name, or the path."""
    card: Card
    is_run: bool = False
    is_bundled: bool = False
    size: int = 0
    """Bytes."""

    @property
    def page(self) -> str:
        """Return the page that the model opens in; empty for what only commands can use."""
        card = self.card
        if card.input == "picture" and (card.channels_in, card.channels_out) != (3, 3):
            return ""  # it takes a guide beside the picture
        return PAGES.get(card.input, "")

    def row(self) -> dict[str, Any]:
        """Return what a page is told."""
        card = self.card
        return {
            "id": self.id, "name": self.name, "source": self.source, "takes": card.input, "network": card.network,
            "scale": card.scale, "recipe": card.recipe, "purpose": card.purpose, "licence": card.licence,
            "data": card.data, "data_licence": card.data_licence, "scores": dict(card.scores), "is_run": self.is_run,
            "is_bundled": self.is_bundled, "size": self.size, "page": self.page,
            "has_styles": bool(card.extra.get("features")),
        }  # fmt: skip


def id_of(path: str | Path) -> str:
    """Return the id of a file: the same in every session."""
    return hashlib.blake2b(str(path).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


class Workspace:
    """The studio's folder, and what it was started with.

    Args:
        work: holds uploads, jobs, scenes and decisions; made where it does not exist.
        given: runs, weight files, names of models, pictures and folders of pictures.
        runs_folder: where new runs lie.

    Raises:
        UserError: something given is nothing that the studio can show, or the folder cannot be made.
    """

    def __init__(self, work: Path, given: Sequence[str] = (), runs_folder: Path = Path("runs")) -> None:
        self.work, self.runs_folder = work.resolve(), runs_folder.resolve()
        for folder in (self.uploads, self.scenes, self.jobs, self.curations, self.pyramids, self.flights, self.masks):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = error.strerror or str(error)
                raise UserError(f"{folder} cannot be made", why, "Name another folder by --work") from error
        self._pictures: dict[str, Picture] = {}
        self._models: dict[str, str] = {}
        self._folders: list[Path] = []
        for item in given:
            self._take(item)

    @property
    def uploads(self) -> Path:
        """Return where pictures lie that pages sent."""
        return self.work / "files"

    @property
    def scenes(self) -> Path:
        """Return where painted scenes are saved."""
        return self.work / "scenes"

    @property
    def flights(self) -> Path:
        """Return where camera paths are kept that pages drew."""
        return self.work / "flights"

    def flight(self, id: str) -> Path:
        """Return the file of a camera path.

        Raises:
            UserError: there is none.
        """
        path = self.flights / f"{id}.json"
        if not path.is_file():
            raise UserError("This path is not here any more", do="Draw it again")
        return path

    @property
    def masks(self) -> Path:
        """Return where masks are kept that pages brushed."""
        return self.work / "masks"

    def mask(self, id: str) -> Path:
        """Return the file of a mask.

        Raises:
            UserError: there is none.
        """
        path = self.masks / f"{id}.png"
        if not path.is_file():
            raise UserError("This mask is not here any more", do="Brush it again")
        return path

    @property
    def jobs(self) -> Path:
        """Return where jobs and their results lie."""
        return self.work / "jobs"

    @property
    def curations(self) -> Path:
        """Return where decisions about pictures are kept."""
        return self.work / "curations"

    @property
    def pyramids(self) -> Path:
        """Return where tiles of large pictures are cached."""
        return self.work / "pyramids"

    def _take(self, item: str) -> None:
        path = Path(item).expanduser()
        if any(model.name == item for model in known_models()):
            return
        if not path.exists():
            raise UserError(f"{item} does not exist", do="Give runs, weight files, pictures or folders of pictures")
        path = path.resolve()
        if path.is_dir() and not runs.is_run(path):
            found = sorted(folder for folder in path.iterdir() if folder.is_dir() and runs.is_run(folder))
            for folder in found:
                self._models[id_of(folder)] = str(folder)
            if not found:
                self._folders.append(path)
        elif path.suffix.lower() in formats.READABLE:
            self.add(path)
        else:
            weights.read_card(path)  # says what is wrong with it now, not when a page asks
            self._models[id_of(path)] = str(path)

    # Pictures

    def add(self, path: Path, name: str = "") -> Picture:
        """Take a picture up and return it; one that cannot be used says so in its `error`."""
        name = name or path.name
        try:
            header = headers.read_header(path)
            if header.width * header.height > LARGEST_PX:
                size = f"{header.width} x {header.height}"
                raise UserError(f"{name} is too large", f"It has {size} pixels; {LARGEST_PX:,} are the limit here")
            picture = Picture(id_of(path), name, path, header.width, header.height, header.channels, str(header.dtype))
        except UserError as error:
            picture = Picture(id_of(path), name, path, error=str(error).replace(str(path), name))
        self._pictures[picture.id] = picture
        return picture

    def receive(self, name: str) -> Path:
        """Return a new path for a picture that a page sends; of its name only what is harmless is kept."""
        safe = NAME.sub("_", Path(name.replace("\\", "/")).name).lstrip(".")[-120:] or "picture"
        if Path(safe).suffix.lower() not in formats.READABLE:
            known = ", ".join(sorted(suffix.lstrip(".") for suffix in formats.READABLE))
            raise UserError(f"{name} is no picture that can be read here", "Its ending says so", f"Known: {known}")
        number = 0
        while (folder := self.uploads / f"{number:04d}").exists():
            number += 1
        folder.mkdir()
        return folder / safe

    def pictures(self) -> list[Picture]:
        """Return all pictures: those given, those in folders, those sent, at last those that jobs made."""
        for folder in [*self._folders, self.uploads]:
            for path in images.find_pictures([folder])[0] if any(folder.iterdir()) else []:
                if id_of(path.resolve()) not in self._pictures:
                    self.add(path.resolve())
        found = [picture for picture in self._pictures.values() if picture.path.is_file()]
        return sorted(found, key=lambda picture: picture.path.is_relative_to(self.jobs))

    def picture(self, id: str) -> Picture:
        """Return a picture by id.

        Raises:
            UserError: there is none, or it cannot be used.
        """
        if id not in self._pictures:
            self.pictures()
        picture = self._pictures.get(id)
        if picture is None or not picture.path.is_file():
            raise UserError("This picture is not here any more", do="Reload the page")
        if picture.error:
            raise UserError(picture.error)
        return picture

    def forget(self, picture: Picture) -> None:
        """Show a picture no more."""
        self._pictures.pop(picture.id, None)

    @property
    def folders(self) -> list[Path]:
        """Return the folders of pictures that the studio was started with."""
        return list(self._folders)

    # Models

    def models(self) -> list[Model]:
        """Return all models: those given, those of the folder of runs, those with names."""
        found = []
        for path in dict.fromkeys([*self._models.values(), *map(str, self._own_runs())]):
            try:
                found.append(self._model(path, Path(path).name))
            except UserError:  # a run that has no checkpoint yet is shown among the runs
                continue
        for model in known_models():
            if model.path is not None:
                try:
                    found.append(self._model(model.name, model.name, model.path))
                except UserError:
                    continue
        return found

    def _model(self, source: str, name: str, path: Path | None = None) -> Model:
        where = path or Path(source)
        is_run = runs.is_run(where)
        size = runs.size_on_disk(where) if is_run else where.stat().st_size
        return Model(id_of(source), name, source, weights.read_card(where), is_run, path is not None, size)

    def model(self, id: str) -> Model:
        """Return a model by id.

        Raises:
            UserError: there is none.
        """
        found = next((model for model in self.models() if model.id == id), None)
        if found is None:
            raise UserError("This model is not here any more", do="Reload the page")
        return found

    def training_sets(self, model: Model) -> list[Path]:
        """Return what a model may have been trained on: the data that its run names, then the folders at hand."""
        own = Path(model.card.data).resolve() if model.is_run and model.card.data else None
        named = [own] if own is not None and own.exists() else []
        return list(dict.fromkeys([*named, *self._folders, self.uploads]))

    def training_set(self, model: Model, id: str) -> Path:
        """Return one of them by id.

        Raises:
            UserError: there is none.
        """
        found = next((path for path in self.training_sets(model) if id_of(path) == id), None)
        if found is None:
            raise UserError("These pictures are not here any more", do="Reload the page")
        return found

    # Runs

    def _own_runs(self) -> Iterator[Path]:
        if self.runs_folder.is_dir():
            yield from (path for path in sorted(self.runs_folder.iterdir()) if runs.is_run(path))

    def runs(self) -> dict[str, Path]:
        """Return the runs by id: those given, and those in the folder of runs."""
        given = [Path(path) for path in self._models.values() if runs.is_run(Path(path))]
        return {id_of(path): path for path in [*given, *self._own_runs()]}

    def run(self, id: str) -> Path:
        """Return a run's folder by id.

        Raises:
            UserError: there is none.
        """
        found = self.runs().get(id)
        if found is None:
            raise UserError("This run is not here any more", do="Reload the page")
        return found
