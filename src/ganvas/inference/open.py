"""The door to trained models: from a name, a file or a run to what it is and what runs it.

    open_model("default" | FILE | RUN | nn.Module) -> Opened: card, networks, attachments, suite

Every verb, score and chain, and the Python API get at a model through `open_model`.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganvas import networks
from ganvas.errors import UsageError, UserError, did_you_mean
from ganvas.inference import brought_models
from ganvas.inference.kinds import KINDS
from ganvas.inference.result import Progress, Result
from ganvas.io import runs
from ganvas.io.weights import files as weights
from ganvas.io.weights.files import Weights
from ganvas.io.weights.foreign import UnknownNetwork
from ganvas.networks import others
from ganvas.protocol import Card

DEFAULT = "photo-x4"
BUNDLED = Path(__file__).parents[1] / "weights"
"""Folder of the weights that come with Ganvas."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that has a name."""

    name: str
    about: str
    path: Path | None
    """Where its file is; None when the package that brings it is not installed."""
    licence: str = ""
    data: str = ""
    """What it was trained on; empty where the file's own card says it."""
    package: str = ""
    """The package that brings it; empty where it comes with Ganvas."""
    install: str = ""
    """How that is installed."""


class ResizedOutput(nn.Module):
    """A network whose output is resized: how Real-ESRGAN makes x2 and x3 of an x4 net.

    (B, 3, H, W) -> (B, 3, factor scale H, factor scale W)

    The resize is bicubic without antialiasing, as in the ncnn graph that asks for it.
    """

    def __init__(self, network: nn.Module, factor: float) -> None:
        super().__init__()
        self.network, self.factor = network, factor

    def forward(self, low: Tensor) -> Tensor:
        high = self.network(low)
        size = [round(side * self.factor) for side in high.shape[-2:]]
        return F.interpolate(high, size=size, mode="bicubic", align_corners=False)


class Suite(Protocol):
    """What runs one kind of model: the module `suite.py` of a package of this room."""

    Options: type[Any]
    """Dataclass of all that can be asked of it, with `out` for what it writes."""

    def run(self, opened: Opened, options: Any, progress: Progress) -> list[Result]:
        """Make what the options ask for, and return what became of each input.

        Raises:
            UserError: something is wrong that concerns all of the work; nothing was written then.
        """
        ...


def suite_of(takes: str) -> Suite:
    """Return what runs the models of an input kind.

    Raises:
        UserError: nothing runs them.
    """
    if takes not in KINDS:
        raise UserError(f"Nothing here runs models that take {takes}", do=did_you_mean(takes, KINDS))
    return cast(Suite, importlib.import_module(f"ganvas.inference.{KINDS[takes].package}.suite"))


class Opened:
    """A trained model: what it is, its networks, and what runs it. Weights are read when they are first needed.

    Args:
        card: what the model says of itself.
        name: for files and messages.
        path: of the weight file or run; None for a network made in memory.
        module: that network.
    """

    def __init__(self, card: Card, name: str, path: Path | None = None, module: nn.Module | None = None) -> None:
        self.card, self.name, self.path = card, name, path
        self._module = module
        self._read: Weights | None = None

    def __str__(self) -> str:
        return str(self.path or self.name)

    @property
    def takes(self) -> str:
        """The kind of input: picture, seeds, labels, clip, camera or other."""
        return self.card.input

    @property
    def run(self) -> Path | None:
        """The run's folder, where the model is a run; it holds further networks."""
        return self.path if self.path is not None and runs.is_run(self.path) else None

    @property
    def licence(self) -> str:
        """Licence of the weights."""
        return self.card.licence

    @property
    def suite(self) -> Suite:
        """What runs it.

        Raises:
            UserError: nothing does.
        """
        return suite_of(self.takes)

    @cached_property
    def attachments(self) -> dict[str, Tensor]:
        """Tensors that belong to the model without being in a network: style centres, statistics, banks."""
        if self.path is None or self._module is not None:
            return {}
        self._read = self._weights()
        return dict(self._read.attachments)

    def network(self, name: str = "generator", device: str | torch.device = "cpu") -> nn.Module:
        """Build one of its networks anew, in eval mode, with its card as `.card`.

        Raises:
            UserError: the tensors do not fit the card, or only a run would hold this network.
        """
        if self._module is not None:
            return self._module.to(device)
        if name != "generator":
            if self.run is None:
                raise UserError(f"{self} holds no {name}", "A weight file is one network", "Give the run folder")
            return build(weights.read_run(self.run, name), device)
        # The tensors are let go of: the network holds them from here on.
        read, self._read = self._weights(), None
        return build(replace(read, card=self.card), device)

    def _weights(self) -> Weights:
        """Read the generator; its card then tells, of a run, also the step and the scores of the checkpoint."""
        if self._read is not None:
            return self._read
        assert self.path is not None
        read = weights.read(self.path)
        # The settings, too: what a run hands out may be another form of what it trains (SPAN's branches are fused).
        told = read.card
        self.card = replace(self.card, settings=told.settings, origin=told.origin, scores=told.scores)
        return read

    def with_card(self, card: Card) -> Opened:
        """Return the same model under a card that says more of it, as the user knows it."""
        return Opened(card, self.name, self.path, self._module)

    def require(self, takes: str, makes: str) -> None:
        """Refuse a model of another kind.

        Raises:
            UserError: it takes something else.
        """
        if self.takes != takes:
            do = "`ganvas inspect FILE` tells what a model is"
            raise UsageError(f"{self} makes no {makes}", f"It takes {_with_article(self.takes)}", do)


def _with_article(takes: str) -> str:
    return takes if takes in ("seeds", "labels") else f"a {takes}"


def open_model(model: str | Path | nn.Module | Opened) -> Opened:
    """Return a trained model by name, weight file or run folder; a network in memory is taken as it is.

    Raises:
        UserError: no such file or model, or a file that cannot be used.
    """
    if isinstance(model, Opened):
        return model
    if isinstance(model, nn.Module):
        card = getattr(model, "card", None)
        return Opened(card if isinstance(card, Card) else Card(network=""), type(model).__name__, module=model)
    path, module = resolve(model), None
    try:
        card = weights.read_card(path)
    except UnknownNetwork as unknown:
        module, card = _by_spandrel(unknown)
    known = _find(model)
    if known is not None:
        card = replace(card, licence=known.licence or card.licence, data=known.data or card.data)
    if module is not None:
        module.card = card  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    return Opened(card, Path(model).stem, path, module)


def _by_spandrel(unknown: UnknownNetwork) -> tuple[nn.Module, Card]:
    """Return the network of a file that none of Ganvas' layouts fits, and its card.

    Raises:
        UserError: it is unknown to spandrel, too, or spandrel is not there.
    """
    if not others.is_installed():
        do = f"{unknown.do}. More than forty further networks open with the extra spandrel: {others.EXTRA}"
        raise UserError(unknown.what, unknown.why, do) from unknown
    try:
        return others.by_spandrel(unknown.tensors)
    except others.Unsupported as error:
        why = f"{unknown.why}, and spandrel knows no such network"
        raise UserError(unknown.what, why, unknown.do) from error


def open_blend(first: str | Path, second: str | Path, alpha: float) -> Opened:
    """Return two models of one network as one, interpolated: (1 - alpha) first + alpha second.

    Raises:
        UserError: they are not of one network, or one cannot be used.
    """
    return open_model(build(weights.blend(weights.read(resolve(first)), weights.read(resolve(second)), alpha)))


def load(path_or_name: str | Path, device: str | torch.device = "cpu", network: str = "generator") -> nn.Module:
    """Return the network of a weight file or of a model's name, in eval mode, with its card as `.card`.

    (B, 3, H, W) -> (B, 3, scale H, scale W)

    Pictures are float32 RGB in the range that the card names, [0, 1] for all upscalers; the output is not clamped.
    Of a run folder, `network` names which of its networks is meant.

    Raises:
        UserError: no such file or model, or a file that cannot be used.
    """
    opened = open_model(path_or_name)
    return opened.network(network if opened.run else "generator", device)


def build(read: Weights, device: str | torch.device = "cpu") -> nn.Module:
    """Return the network that weights belong to, with them in it, in eval mode and with its card as `.card`.

    Raises:
        UserError: the tensors are not those of the network that the card names.
    """
    shapes = {key: tuple(value.shape) for key, value in read.tensors.items()}
    networks.require_fit(read.card, shapes, str(read.path or "These weights"))
    # Building draws random numbers that are overwritten at once; a caller's seed must not feel it.
    with torch.random.fork_rng(devices=[]):
        network = networks.build(read.card)
    network.load_state_dict(dict(read.tensors))
    factor = read.card.extra.get("resize_output", 1)
    whole = network if factor == 1 else ResizedOutput(network, factor)
    whole.card = read.card  # pyright: ignore[reportArgumentType, reportAttributeAccessIssue]
    return whole.eval().to(device)


def resolve(name: str | Path) -> Path:
    """Return the weight file that a model's name or a path means; a known name goes before a file of that name.

    Raises:
        UserError: there is no such model or file, or the package that brings the model is not installed.
    """
    model = _find(name)
    if model is None:
        path = Path(name).expanduser()
        if path.exists():
            return path
        raise _unknown(str(name))
    if model.path is None:
        why = f"It comes with the package {model.package}, which is not installed"
        raise UserError(f"The model {model.name} is not here", why, model.install)
    return model.path


def _find(name: str | Path) -> Model | None:
    if isinstance(name, Path) and (len(name.parts) != 1 or name.exists()):
        return None  # a path of the user's, not a name that came through a function of paths
    plain = _plain(str(name))
    return next((model for model in known_models() if model.name == plain), None)


def _plain(name: str) -> str:
    # The published files are called RealESRGAN_x4plus and RealESRGAN_x4plus_anime_6B.
    plain = name.lower().replace("_", "-").removesuffix("-6b")
    return DEFAULT if plain == "default" else plain


def _unknown(name: str) -> UserError:
    if _plain(name) == DEFAULT:
        what = f"The model {DEFAULT} is not in this installation"
        return UserError(
            what, f"{BUNDLED} does not hold it", "Install Ganvas again, or name another model or a weight file"
        )
    is_path = "/" in name or "\\" in name or bool(Path(name).suffix)
    if is_path:
        return UserError(
            f"{name} does not exist", do="Give the path of a weight file or the name of a model (ganvas models)"
        )
    near = did_you_mean(_plain(name), ["default", *(model.name for model in known_models())])
    why = f"Neither a model nor a file {name!r} exists"
    return UserError(f"No model is called {name!r}", why, f"{near} A file is named with its path: ./{name}.safetensors")


def known_models() -> list[Model]:
    """Return all models that have names: first those that come with Ganvas, then those that other packages bring."""
    files = {path.stem: path for path in sorted(BUNDLED.glob("*.safetensors"))}
    bundled = [Model(name=name, about=_purpose(path), path=path) for name, path in files.items() if _is_model(path)]
    brought = [
        Model(
            name=name, about=about, path=brought_models.file_of(package, name), licence=package.licence,
            data=data, package=package.name, install=package.install,
        )
        for package in brought_models.PACKAGES
        for name, (about, data) in package.models.items()
    ]  # fmt: skip
    return bundled + brought


def _is_model(path: Path) -> bool:
    try:
        return weights.read_card(path).input != "other"  # feature networks lie there, too; they make no pictures
    except UserError:
        return True


def _purpose(path: Path) -> str:
    try:
        card = weights.read_card(path)
    except UserError as error:  # a damaged file must not hide the others
        return str(error)
    return card.purpose or f"x{card.scale}, {card.network}"
