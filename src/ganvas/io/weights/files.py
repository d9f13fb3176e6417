"""Weight files that say what they hold: safetensors with a card in the metadata; blended, converted, fetched.

`read` takes our files and other projects' alike. A file of ours holds the card as JSON under the metadata key `ganvas`,
and tensors that belong to the network without being in it (style centres, camera statistics) under `attachment/NAME`.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ganvas.errors import UserError
from ganvas.io import runs
from ganvas.io.weights import cards, containers, foreign, packing
from ganvas.io.weights.tensors import sha256, write
from ganvas.networks.rrdb import layouts as rrdb
from ganvas.networks.span import layouts as span
from ganvas.protocol import Card

ATTACHMENT = "attachment/"

VGG19_NAME = "vgg19-dcbb9e9d.pth"
VGG19_HASH = "dcbb9e9d"
VGG19_URL = f"https://download.pytorch.org/models/{VGG19_NAME}"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The tensors of a network and the card that says which network it is."""

    card: Card
    tensors: Mapping[str, Tensor]
    attachments: Mapping[str, Tensor] = field(default_factory=dict)
    path: Path | None = None
    sha256: str = ""
    """Of the file that they were read from; empty when they were made in memory."""


def read(path: str | Path) -> Weights:
    """Read a weight file, ours or another project's, or the newest healthy averaged generator of a run folder.

    Raises:
        UserError: the file is missing, damaged, unsafe, of a newer version, or holds no network that Ganvas knows.
    """
    path = Path(path)
    if runs.is_run(path):
        return read_run(path)
    header = _our_header(path)
    if header is None:
        card, tensors = foreign.recognise(path)
        containers.require_finite(tensors, path)
        return Weights(card=card, tensors=tensors, path=path, sha256=sha256(_tensor_file(path)))
    card = cards.read(header, str(path))
    stored = packing.unpacked(containers.open_stored(path), path)
    containers.require_finite(stored, path)
    attachments = {key.removeprefix(ATTACHMENT): value for key, value in stored.items() if key.startswith(ATTACHMENT)}
    tensors = {key: value for key, value in stored.items() if not key.startswith(ATTACHMENT)}
    return Weights(card=card, tensors=tensors, attachments=attachments, path=path, sha256=sha256(path))


def read_card(path: str | Path) -> Card:
    """Read only the card of a weight file; nearly free where the file is ours.

    Raises:
        UserError: as `read`.
    """
    path = Path(path)
    if runs.is_run(path):
        return _card_of_run(path)
    header = _our_header(path)
    return foreign.recognise(path).card if header is None else cards.read(header, str(path))


def read_run(run: Path, network: str = "generator", best: bool = False) -> Weights:
    """Read a network of a run, averaged where it was: of the newest healthy checkpoint, or of the one that scored best.

    Raises:
        UserError: the run has no healthy checkpoint, or no such network.
    """
    if best and runs.best_name(run):
        saved = runs.read_checkpoint(run / "checkpoints" / runs.best_name(run))
    else:
        saved, problems = runs.newest_checkpoint(run)
        if saved is None:
            why = "; ".join(problems) or "Training stopped before the first one"
            raise UserError(f"{run} has no checkpoint that can be used", why, f"Train on: ganvas train --resume {run}")
    prefix = f"{network}/"
    for group in ("averages", "networks"):
        found = {
            key.removeprefix(prefix): value
            for key, value in saved.groups.get(group, {}).items()
            if key.startswith(prefix)
        }
        if found:
            containers.require_finite(found, saved.folder)
            scores = runs.best_scores(run) if saved.folder.name == runs.best_name(run) else {}
            card = replace(_card_of_run(run, network), origin=f"{run.name}, step {saved.step}", scores=scores)
            if card.network == "span" and card.settings.get("branches"):
                card, found = span.fused(card, found)
            return Weights(card=card, tensors=found, attachments=runs.read_attachments(run), path=run)
    raise UserError(f"{run} has no network {network!r}")


def _card_of_run(run: Path, network: str = "generator") -> Card:
    noted = runs.read_noted(run)
    card = cards.from_values(noted.card_of(network), str(run))
    looked_at = noted.settings.get("perceptual", "none")
    if looked_at in ("", "none"):
        return card
    # A score by the same features is no independent word on what these weights make.
    return replace(card, extra={**card.extra, "features_in_loss": looked_at})


def _tensor_file(path: Path) -> Path:
    return path.with_suffix(".bin") if path.suffix == ".param" else path


def _our_header(path: Path) -> str | None:
    if containers.sniff(path) != "safetensors":
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("ganvas")
    except (SafetensorError, OSError) as error:
        raise containers.damaged(path, error) from error


# Writing


def save(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    card: Card,
    attachments: Mapping[str, Tensor] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a weight file; the name holds a whole file or none, and equal contents give equal bytes.

    Raises:
        UserError: the file exists, or cannot be written.
    """
    attachments = attachments or {}
    if any(key.startswith(ATTACHMENT) for key in tensors):
        raise ValueError(f"names of tensors must not begin with {ATTACHMENT}")
    card = replace(card, attachments=tuple(sorted(attachments)))
    header = cards.write(card)
    stored = {**tensors, **{ATTACHMENT + name: value for name, value in attachments.items()}}
    path = Path(path)
    with _written_aside(path, overwrite) as file:
        write(file, stored, {"format": "pt", "ganvas": header})
    return path


@contextlib.contextmanager
def _written_aside(path: Path, overwrite: bool) -> Iterator[IO[bytes]]:
    if path.is_dir():
        raise UserError(f"{path} is a folder", do="Name a file")
    if path.exists() and not overwrite:
        raise UserError(f"{path} exists already", do="Choose another name, or give --overwrite")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise UserError(f"Cannot write {path}", error.strerror or str(error), "Choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


Spelling = Literal["ganvas", "basicsr", "xinntao", "old"]


def convert(
    source: str | Path,
    target: str | Path,
    layout: Spelling = "ganvas",
    overwrite: bool = False,
    card: Card | None = None,
) -> Path:
    """Write a weight file anew: as ours, or as another project's `.pth`.

    `basicsr` stores the tensors under the key `params_ema`, where Real-ESRGAN's tools look; `xinntao` and `old` are
    ESRGAN's bare state dicts of after and before June 2019. Values are not changed. A card given takes the place of the
    file's own.

    Raises:
        UserError: the source cannot be read, the target not written, or the layout cannot hold this network.
    """
    weights, target = read(source), Path(target)
    suffix = ".safetensors" if layout == "ganvas" else ".pth"
    if target.suffix != suffix:
        raise UserError(f"{target} has the wrong ending", f"The layout {layout} is written as {suffix}")
    if layout == "ganvas":
        return save(target, weights.tensors, card or weights.card, weights.attachments, overwrite)
    if "resize_output" in weights.card.extra:
        why = "It resizes the network's output, which this layout cannot say"
        raise UserError(f"{source} cannot be written as {layout}", why, "Convert the x4 file of this model")
    writers = {"basicsr": rrdb.to_basicsr, "xinntao": rrdb.to_xinntao, "old": rrdb.to_old_esrgan}
    tensors = {key: value.clone() for key, value in writers[layout](weights.card, weights.tensors).items()}
    with _written_aside(target, overwrite) as file:
        torch.save({"params_ema": tensors} if layout == "basicsr" else tensors, file)
    return target


# Blending


def blend(first: Weights, second: Weights, alpha: float) -> Weights:
    """Return (1 - alpha) first + alpha second, tensor by tensor; at 0 and 1 the one or the other to the bit.

    Settings that only one of the two cards names are not compared. Source: network interpolation, ESRGAN, section 3.4.

    Raises:
        UserError: alpha is outside 0 to 1, or the two are not the same network.
    """
    if not 0.0 <= alpha <= 1.0:
        raise UserError(f"alpha is {alpha}", "It goes from 0 (the first) to 1 (the second)")
    _check_same_network(first, second)
    nearer = second if alpha >= 0.5 else first
    if alpha in (0.0, 1.0):
        tensors = {key: value.clone() for key, value in nearer.tensors.items()}
    else:
        tensors = {key: _mix(value, second.tensors[key], alpha) for key, value in first.tensors.items()}
    return Weights(card=_blended_card(first, second, alpha), tensors=tensors, attachments=dict(nearer.attachments))


def _mix(first: Tensor, second: Tensor, alpha: float) -> Tensor:
    if not first.is_floating_point():
        return (second if alpha >= 0.5 else first).clone()
    mixed = (1.0 - alpha) * first.double() + alpha * second.double()
    return mixed.to(torch.promote_types(first.dtype, second.dtype))


def _check_same_network(first: Weights, second: Weights) -> None:
    names = f"{_label(first)} and {_label(second)} cannot be blended"
    ours, theirs = first.card, second.card
    for what in ("network", "scale", "input", "range", "curve"):
        if getattr(ours, what) != getattr(theirs, what):
            raise UserError(names, f"Their {what} is {getattr(ours, what)} and {getattr(theirs, what)}")
    for key in sorted(ours.settings.keys() & theirs.settings.keys()):
        if _plain(ours.settings[key]) != _plain(theirs.settings[key]):
            raise UserError(names, f"Their {key} is {ours.settings[key]} and {theirs.settings[key]}")
    for key in [*first.tensors, *second.tensors]:
        shapes = [list(side.tensors[key].shape) if key in side.tensors else "missing" for side in (first, second)]
        if shapes[0] != shapes[1]:
            raise UserError(names, f"The tensor {key} is {shapes[0]} in the first and {shapes[1]} in the second")
    for key in sorted({*first.attachments, *second.attachments}):
        mine, other = first.attachments.get(key), second.attachments.get(key)
        if mine is None or other is None or not torch.equal(mine, other):
            raise UserError(names, f"Their attachment {key} differs, and attachments cannot be mixed")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _label(weights: Weights) -> str:
    return str(weights.path) if weights.path else weights.card.network


def _blended_card(first: Weights, second: Weights, alpha: float) -> Card:
    return replace(
        first.card,
        settings={**second.card.settings, **first.card.settings},
        licence=_joined(first.card.licence, second.card.licence),
        data=_joined(first.card.data, second.card.data),
        data_licence=_joined(first.card.data_licence, second.card.data_licence),
        origin=f"blend: {1 - alpha:g} of {_label(first)}, {alpha:g} of {_label(second)}",
        scores={},
    )


def _joined(first: str, second: str) -> str:
    return first if first == second else f"{first} and {second}"


# Describing


def describe(path: str | Path) -> dict[str, Any]:
    """Return in plain values what a weight file is: for `ganvas inspect`.

    Raises:
        UserError: as `read`.
    """
    weights = read(path)
    card, tensors = weights.card, weights.tensors
    is_run = runs.is_run(path)
    return {
        "file": str(path),
        "bytes": runs.size_on_disk(Path(path)) if is_run else _tensor_file(Path(path)).stat().st_size,
        "sha256": weights.sha256,
        "layout": "Ganvas" if is_run or _our_header(Path(path)) is not None else card.origin,
        "network": card.network,
        "settings": dict(card.settings),
        "parameters": sum(tensor.numel() for tensor in tensors.values() if tensor.is_floating_point()),
        "tensors": len(tensors),
        "types": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in tensors.values()}),
        **{key: getattr(card, key) for key in ("input", "scale", "range", "multiple_of", "halo_px", "exact_halo_px")},
        **{key: getattr(card, key) for key in ("recipe", "purpose", "licence", "data", "data_licence", "origin")},
        "scores": dict(card.scores),
        "attachments": {name: list(tensor.shape) for name, tensor in weights.attachments.items()},
        **({"extra": dict(card.extra)} if card.extra else {}),
    }


# Fetching


def fetch(
    url: str,
    name: str,
    hash8: str,
    cache: str | Path | None = None,
    offline: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Return a published file from the cache, downloading it first where it is not there yet.

    The first eight digits of its SHA-256 must be `hash8`, which such files carry in their names. The cache is
    $GANVAS_HOME or ~/.cache/ganvas; $GANVAS_OFFLINE forbids the download. `progress` is given the bytes done and all
    bytes (0: unknown).

    Raises:
        UserError: no network, no such address, an interrupted download, or another file than the published one.
    """
    folder = Path(cache or os.environ.get("GANVAS_HOME") or Path.home() / ".cache" / "ganvas")
    path = folder / name
    if path.is_file() and sha256(path).startswith(hash8):
        return path
    instead = f"Download {url} yourself and give its path instead, or put it at {path}"
    if offline if offline is not None else os.environ.get("GANVAS_OFFLINE", "").lower() not in ("", "0", "false", "no"):
        raise UserError(f"{name} is not in the cache", "Downloads are forbidden (GANVAS_OFFLINE)", instead)
    with _written_aside(path, overwrite=True) as file:
        found = _download(url, name, file, progress, instead)
        if not found.startswith(hash8):
            why = f"Its SHA-256 begins with {found[:8]}, not {hash8}"
            raise UserError(f"{url} gave another file than the published one", why, instead)
    return path


def _download(url: str, name: str, file: IO[bytes], progress: Callable[[int, int], None] | None, instead: str) -> str:
    """Write what an address gives into a file and return its SHA-256."""
    digest, done = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            total = int(response.headers.get("Content-Length") or 0)
            while block := response.read(1 << 20):
                file.write(block)
                digest.update(block)
                done += len(block)
                if progress:
                    progress(done, total)
    except urllib.error.HTTPError as error:
        raise UserError(f"Cannot download {name}", f"{url} answers {error.code} {error.reason}", instead) from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        why = str(getattr(error, "reason", "") or error)
        raise UserError(f"Cannot download {name}", f"{url}: {why}", instead) from error
    if done < total:
        raise UserError(f"The download of {name} broke off", f"{done} of {total} bytes came", f"Try again. {instead}")
    return digest.hexdigest()
