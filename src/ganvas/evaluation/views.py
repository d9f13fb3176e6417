"""Views for cameras that a network was not trained on, made beside their truth and the nearest training frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ganvas.data.shots import Views, read_footage, vector
from ganvas.errors import UserError
from ganvas.evaluation import view_scores
from ganvas.evaluation.generated import training_folder
from ganvas.evaluation.results import Results
from ganvas.evaluation.view_scores import HeldView
from ganvas.inference.cameras.flyer import Flyer
from ganvas.inference.result import Progress
from ganvas.io.pictures import images
from ganvas.io.pictures.tensors import from_tensor

SAME = 1e-4
"""Standard deviations up to which two cameras are one: the card's are rounded."""
SHOWN = 8


class HeldOut:
    """The views of some footage that a network was not trained on.

    Args:
        flyer: the network.
        footage: folder of pictures with a camera file.
        trained_on: folder of the training footage; None looks at where the run says that it lay.

    Raises:
        UserError: the footage cannot be read, or all of it was trained on.
    """

    def __init__(self, flyer: Flyer, footage: Path, trained_on: Path | None = None) -> None:
        self.flyer = flyer
        found = read_footage(footage, given=flyer.given)
        self.views = self._squares(footage)
        self.vectors = self._vectors(self.views)
        known = self._is_known(self.vectors)
        self.places = [place for place, is_known in enumerate(known) if not is_known]
        if not self.places:
            why = f"The run was trained on all {len(known)} views"
            raise UserError(f"{footage} holds no view to score by", why, "Name footage that was held out")
        self.notes = list(found.notes)
        if len(self.places) < len(known):
            self.notes.append(f"{len(known) - len(self.places)} views of the footage were trained on and are left out")
        self.training = None if trained_on is None else self._squares(trained_on)
        self.known = np.empty((0, 13))
        if self.training is not None:
            told = self._vectors(self.training)
            used = [place for place, is_known in enumerate(self._is_known(told)) if is_known]
            if not used:
                why = "None of its cameras is one of those in the run's card"
                raise UserError(f"{trained_on} is not what the run was trained on", why, "Name its folder: --footage")
            self.training, self.known = self.training.subset(used), told[used]

    def _squares(self, folder: Path) -> Views:
        extra = self.flyer.card.extra
        zoom = tuple(map(float, extra.get("zoom", (1.0, 1.0))))
        crop = "whole" if self.flyer.geometry.crop == "whole" else "square"
        return Views(
            read_footage(folder, given=self.flyer.given).views, self.flyer.size_px, 0.0, (zoom[0], zoom[1]), crop
        )

    def _vectors(self, views: Views) -> np.ndarray:
        film = self.flyer.geometry.film_back_mm[0]
        return np.array([vector(square.zoomed(views.zoom[0]), film) for square in views.squares])

    def _is_known(self, vectors: np.ndarray) -> np.ndarray:
        if not len(self.flyer.training):
            return np.zeros(len(vectors), bool)
        return self._distances(vectors, self.flyer.training).min(1) < SAME

    def _distances(self, vectors: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return how far cameras lie from known ones: (N, M), in standard deviations."""
        deviation = self.flyer.deviation
        return np.stack([np.linalg.norm((known - one) / deviation, axis=1) for one in vectors])

    def pictures(self, places: Sequence[int]) -> Iterator[HeldView]:
        """Yield some of the held-out views, made and true, as 8 bits would hold them."""
        apart = self._distances(self.vectors[list(places)], self.known if len(self.known) else self.flyer.training)
        for place, far in zip(places, apart):
            truth = self.views.plain(place)
            nearest = self.training.plain(int(far.argmin()))["picture"] if self.training is not None else None
            yield HeldView(
                f"{self.views.views[place].camera.frame:06d}", _rounded(self._made(self.vectors[place])),
                truth["picture"], nearest, float(far.min()) if far.size else float("nan"),
            )  # fmt: skip

    @torch.no_grad()
    def _made(self, told: np.ndarray) -> Tensor:
        flyer = self.flyer
        given = told if flyer.card.settings.get("mean") is not None else (told - flyer.mean) / flyer.deviation
        made = flyer.network(torch.from_numpy(given).float()[None, :, None, None].to(flyer.device))
        return (made[0].float().cpu() * 0.5 + 0.5).clamp(0, 1)


def score_flyer(
    model: Path,
    footage: Path,
    trained_on: Path | None = None,
    asked: Sequence[str] = (),
    *,
    num: int = 1000,
    seed: int = 0,
    resamples: int = 100,
    device: str = "cpu",
    room: Path | None = None,
    progress: Progress | None = None,
) -> Results:
    """Score a run on the views of some footage that it was not trained on; evenly spread ones where there are many.

    Args:
        model: run or weight file.
        footage: folder of pictures with a camera file.
        trained_on: the training footage; default where the run says that it lay, if it is there still.
        asked: names of scores; default all that can be taken.
        num: views at most.
        seed: of the bootstrap.
        resamples: bootstrap samples.
        device: where the network runs.
        room: folder for the pictures of a report page.
        progress: told how far the work is.

    Raises:
        UserError: the model makes no views, the footage cannot be read or was trained on, or a score cannot be taken.
    """
    flyer = Flyer(str(model), device=device)
    trained_on = trained_on or training_folder(model)
    names = view_scores.names_for(asked, trained_on is not None)
    held = HeldOut(flyer, footage, trained_on)
    places = held.places
    if len(places) > num:
        places = [places[place * len(places) // num] for place in range(num)]
    rows: dict[str, dict[str, float]] = {}
    lines: list[HeldView] = []
    every = -(-len(places) // SHOWN)
    for done, view in enumerate(held.pictures(places)):
        rows[view.name] = view_scores.score_view(view)
        if done % every == 0:
            lines.append(view)
        if progress:
            progress.of("views")(done + 1, len(places))
    conditions = {
        "fake": str(model), "cameras": str(footage), "views": len(rows), "size_px": flyer.size_px,
        "trained_on": str(trained_on or "unknown"), "seed": seed, "bootstrap_samples": resamples,
    }  # fmt: skip
    how = f"squares of {flyer.size_px} px, zoom {held.views.zoom[0]:g}, 8 bits"
    results = view_scores.results_of(
        rows, names, conditions, how=how, resamples=resamples, notes=held.notes
    )  # fmt: skip
    return replace(results, shown=_written(lines, room)) if room else results


def _rounded(picture: Tensor) -> Tensor:
    return (picture * 255).round() / 255


def _written(views: Sequence[HeldView], room: Path) -> list[tuple[str, Sequence[Path]]]:
    """Write the pictures of views, and return them in lines for a report page."""
    captions = {"made": "made", "truth": "truth", "nearest": "nearest training frame"}
    shown: list[tuple[str, Sequence[Path]]] = []
    for kind, caption in captions.items():
        paths = []
        for view in views:
            picture = getattr(view, kind)
            if picture is None:
                continue
            path = room / kind / f"{view.name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            images.write(path, from_tensor(picture))
            paths.append(path)
        if paths:
            shown.append((caption, paths))
    return shown
