"""Other projects' weight files, recognised by the grammar of their tensor names: each network's `layouts.py` is tried.

To teach Ganvas another layout, add a `Layout` to the `LAYOUTS` beside its network.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ganvas.errors import UserError
from ganvas.io.weights import ncnn
from ganvas.io.weights.containers import candidates, open_stored, sniff
from ganvas.networks.biggan import layouts as biggan
from ganvas.networks.inception import layouts as inception
from ganvas.networks.layouts import Layout, Recognised, Tensors
from ganvas.networks.matchmove import layouts as matchmove
from ganvas.networks.pix2pixhd import layouts as pix2pixhd
from ganvas.networks.rrdb import layouts as rrdb
from ganvas.networks.span import layouts as span
from ganvas.networks.vid2vid import layouts as vid2vid


def recognise(path: str | Path) -> Recognised:
    """Read another project's weight file and tell what it is.

    Raises:
        UserError: the file is missing, damaged, would run code on loading, or holds no network that Ganvas knows.
    """
    path = Path(path)
    if sniff(path) == "ncnn":
        return _recognise_ncnn(path)
    stored = open_stored(path)
    for tensors in candidates(stored):
        for layout in LAYOUTS:
            if layout.matches(tensors.keys()):
                return _convert(layout, tensors, path)
    raise _unrecognised(path, next(candidates(stored), {}))


def _convert(layout: Layout, tensors: Tensors, path: Path) -> Recognised:
    try:
        card, renamed = layout.convert(tensors)
    except UserError as error:
        raise UserError(f"{path} looks like {layout.name}, but {error.what}", error.why, error.do) from error
    return Recognised(replace(card, origin=layout.name), renamed)


class UnknownNetwork(UserError):
    """A file holds tensors of a network that Ganvas does not know; another package may."""

    def __init__(self, what: str, why: str = "", do: str = "", tensors: Tensors | None = None) -> None:
        super().__init__(what, why, do)
        self.tensors = tensors or {}


def _unrecognised(path: Path, tensors: Tensors) -> UserError:
    if not tensors:
        return UserError(
            f"{path} holds no tensors", "It looks like settings or the state of a program, not like weights"
        )
    first = ", ".join(f"{key} {list(value.shape)}" for key, value in list(tensors.items())[:4])
    why = f"Its {len(tensors)} tensors begin with {first}"
    do = f"Known layouts: {_layout_names()}"
    return UnknownNetwork(f"{path} holds a network that Ganvas does not know", why, do, tensors)


def _layout_names() -> str:
    return ", ".join([*dict.fromkeys(layout.name for layout in LAYOUTS), "ncnn .param with .bin"])


# ncnn


def _recognise_ncnn(path: Path) -> Recognised:
    param, weights = path.with_suffix(".param"), path.with_suffix(".bin")
    for part in (param, weights):
        if not part.is_file():
            raise UserError(f"{path} lacks its other half", f"{part.name} is not beside it")
    tensors, factor, mean, gain = ncnn.read(param, weights)
    if "conv_merge.weight" in tensors:
        card, tensors = span.recognised(tensors, mean, gain)
        return Recognised(replace(card, origin="ncnn file of SPAN"), tensors)
    layout = next(layout for layout in LAYOUTS if layout.matches(tensors.keys()))
    card, tensors = _convert(layout, tensors, path)
    if factor == 1:
        return Recognised(replace(card, origin=f"ncnn file of {layout.name}"), tensors)
    scale = card.scale * factor
    if scale != int(scale) or scale < 1:
        raise UserError(f"{path} enlarges {scale} times", "Only whole enlargements are supported")
    # The resize belongs to the file, not to the network: ganvas.load puts it behind the net.
    resized = replace(card, scale=int(scale), extra={**card.extra, "resize_output": factor})
    return Recognised(replace(resized, origin=f"ncnn file of {layout.name}"), tensors)


LAYOUTS: tuple[Layout, ...] = (
    *rrdb.LAYOUTS,
    *span.LAYOUTS,
    *biggan.LAYOUTS,
    *inception.LAYOUTS,
    *matchmove.LAYOUTS,
    *vid2vid.LAYOUTS,
    *pix2pixhd.LAYOUTS,
)
"""Every layout that is recognised; the first that matches is taken."""
