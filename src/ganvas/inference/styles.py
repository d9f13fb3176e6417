"""The styles of a run: every instance of its data encoded, each class's clustered, the centres stored with the run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ganvas import device as machine
from ganvas.data.conditions import class_of_segment, instance_of_segment, segments, shrink
from ganvas.data.labels import LabelledPictures, resize
from ganvas.data.styles import CENTERS, SHARE, Observed, Styles, cluster
from ganvas.errors import UserError
from ganvas.inference.open import open_model
from ganvas.inference.result import Reports
from ganvas.io import runs
from ganvas.networks.pix2pixhd.net import tabulate
from ganvas.protocol import Card
from ganvas.values import to_range

ATTACHMENT = "styles"
TABLE = "instances"


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of every instance of a data set, row by row."""

    scenes: list[str]
    """Names of the scenes."""
    scene: Tensor
    """(N,) place in `scenes`."""
    instance: Tensor
    """(N,) id in the instance map."""
    observed: Observed

    def tensors(self) -> dict[str, Tensor]:
        """Return what is stored in a run."""
        seen = self.observed
        return {
            "scene": self.scene, "instance": self.instance, "label": seen.labels, "share": seen.shares,
            "features": seen.features,
        }  # fmt: skip

    def csv(self) -> str:
        """Return the table as text, a line for each instance."""
        seen = self.observed
        lines = ["scene,instance,label,share," + ",".join(f"feature_{n}" for n in range(seen.features.shape[1]))]
        rows = zip(self.scene.tolist(), self.instance.tolist(), seen.labels.tolist(), seen.shares.tolist(), strict=True)
        for (scene, instance, label, share), features in zip(rows, seen.features.tolist(), strict=True):
            values = ",".join(f"{value:.6g}" for value in features)
            lines.append(f"{self.scenes[scene]},{instance},{label},{share:.6g},{values}")
        return "\n".join(lines) + "\n"


def gather(
    run: str | Path,
    data: str = "",
    centers: int = CENTERS,
    share: float = SHARE,
    seed: int = 0,
    device: str = "auto",
    progress: Reports | None = None,
) -> tuple[Styles, Encoded]:
    """Encode every instance of a run's data, cluster each class's, and store both in the run.

    Args:
        run: a run that trained an encoder.
        data: other data than the run's own.
        centers: styles of a class at most.
        share: instances of at least this share of their picture count, where a class has such.
        seed: of the clustering.
        device: where the encoder runs.
        progress: is told the scenes done and all of them.

    Raises:
        UserError: the folder is no run, has no encoder, or the data cannot be read.
    """
    run = Path(run)
    if not runs.is_run(run):
        raise UserError(f"{run} is no run", f"It holds no {runs.SETTINGS}", "Give the folder that `ganvas train` made")
    if centers < 1:
        raise UserError(f"A class cannot have {centers} styles", do="Use 1 or more; the paper's number is 10")
    opened = open_model(run)
    card = opened.card
    if not card.extra.get("features"):
        why = "Its generator takes no instance features"
        raise UserError(f"{run} has no encoder", why, "Train with --instance-features 3")
    where = machine.pick(device)
    encoder = opened.network("encoder", where)
    encoded = _encode(encoder, _source(card, data), card.extra, where, progress)
    styles = cluster(encoded.observed, centers, share, seed)
    runs.write_attachment(run, TABLE, encoded.tensors())
    runs.write_attachment(run, ATTACHMENT, styles.tensors())
    return styles, encoded


def _source(card: Card, data: str) -> LabelledPictures:
    extra = card.extra
    return LabelledPictures(
        data or card.data, num_labels=extra["num_labels"], fit="whole", mirror=False, ignore=extra["ignore"]
    )


@torch.no_grad()
def _encode(
    encoder: nn.Module,
    source: LabelledPictures,
    extra: Mapping[str, Any],
    device: torch.device,
    progress: Reports | None,
) -> Encoded:
    rows: list[tuple[Tensor, ...]] = []
    for index in range(len(source)):
        scene = _at_trained_size(source.whole(index), extra)
        region_map = segments(scene["label_map"][None], scene["instance_map"][None])
        features = encoder(shrink(to_range(scene["picture"][None]), extra["encoder_shrinks"]).to(device)).cpu()
        table = tabulate(features, region_map)[0]
        labels = class_of_segment(table.instance)
        known = labels >= 0
        found = (
            torch.full_like(labels, index), instance_of_segment(table.instance), labels,
            table.area / region_map.numel(), table.features,
        )  # fmt: skip
        rows.append(tuple(column[known] for column in found))
        if progress:
            progress(index + 1, len(source))
    scene, instance, labels, shares, features = (torch.cat(column) for column in zip(*rows, strict=True))
    return Encoded(source.names(), scene, instance, Observed(labels, shares, features))


def _at_trained_size(scene: dict[str, Tensor], extra: Mapping[str, Any]) -> dict[str, Tensor]:
    """Resize a whole scene as training did, but keep all of it where training showed a part."""
    width, height = extra["size_px"]
    present = scene["picture"].shape[-2:]
    if extra["fit"] == "resize":
        size = (height, width)
    else:
        factor = 1.0 if extra["fit"] == "crop" else max(height / present[0], width / present[1])
        # The encoder shrinks by a whole factor.
        unit = extra["encoder_shrinks"]
        size = tuple(max(unit, round(side * factor / unit) * unit) for side in present)
    return {name: resize(plane, (size[0], size[1])) for name, plane in scene.items()}
