"""Opens what scores see with: feature extractors for set metrics, LPIPS, DISTS and the models of NIQE.

`metrics/` computes with tensors and networks that it is handed; here they come from. Nothing is fetched that was not
asked for by name.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ganvas import networks
from ganvas.errors import UserError, did_you_mean
from ganvas.io.weights import containers, published
from ganvas.io.weights import files as weights
from ganvas.io.weights.arrays import read_arrays
from ganvas.metrics.features import SMALL_SIDE_PX, Extractor, Preprocessing, random_extractor
from ganvas.metrics.niqe import NUMBERS, Niqe
from ganvas.metrics.perceptual import DISTS, DISTS_CHANNELS, LPIPS
from ganvas.networks.backbones import VGG16, AlexNet
from ganvas.networks.efficientnet import EfficientNetLite
from ganvas.networks.inception.net import SIDE_PX, Inception2015

SMALL = Path(__file__).parents[1] / "weights" / "small-features.safetensors"
INCEPTION_NAME = "pt_inception-2015-12-05-6726825d.pth"
INCEPTION_HASH = "6726825d"
INCEPTION_URL = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{INCEPTION_NAME}"
LITE = "efficientnet-lite2"
EXTRACTORS = ("clean", "legacy", LITE, "small", "random")
PRISTINE = Path(__file__).parents[1] / "weights" / "niqe-pristine.safetensors"
"""Our own model of NIQE, which scripts/fit_niqe.py makes."""
BACKBONES = {
    "alex": ("alexnet-owt-7be5be79.pth", "7be5be79", AlexNet.CHANNELS),
    "vgg": ("vgg16-397923af.pth", "397923af", (64, 128, 256, 512, 512)),
}
"""By LPIPS' name: the published file, the beginning of its SHA-256, and the channels of the five layers."""
TORCH_URL = "https://download.pytorch.org/models/"
HEADS_URL = "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/v0.1/"
HEADS = "lpips-vgg16-heads"
"""LPIPS' published weights of VGG16's channels, by the name that `ganvas features` lists."""
NIQE_NAMES = {
    "mean": ("mean", "mu_prisparam", "mu_pris_param"),
    "covariance": ("covariance", "cov_prisparam", "cov_pris_param"),
}
"""Ours, then what the published file and its copies call them."""
CONVERT = (
    "import numpy, scipy.io; m = scipy.io.loadmat('modelparameters.mat'); "
    "numpy.savez('niqe.npz', mean=m['mu_prisparam'], covariance=m['cov_prisparam'])"
)


# Sets


def open_extractor(name: str, inception: str | Path | None = None, device: str | torch.device = "cpu") -> Extractor:
    """Return an extractor by name.

    Args:
        name: `clean`, `legacy`, `efficientnet-lite2`, `small` or `random`.
        inception: weight file for the first two; without it the published one is taken from the cache or fetched.
        device: where it looks at pictures.

    Raises:
        UserError: no such extractor, or its weights are not at hand and cannot be fetched.
    """
    if name in ("clean", "legacy"):
        return _inception(name, inception, device)
    if name == LITE:
        return _lite(device)
    if name == "small":
        return _small(device)
    if name == "random":
        return random_extractor(device)
    raise UserError(f"There is no extractor {name!r}", do=did_you_mean(name, EXTRACTORS))


def _inception(resize: str, path: str | Path | None, device: str | torch.device) -> Extractor:
    if path is None:
        try:
            path = weights.fetch(INCEPTION_URL, INCEPTION_NAME, INCEPTION_HASH)
        except UserError as error:
            do = f"{error.do}: --inception FILE; or ask for frechet_small, which needs no download"
            raise UserError("FID needs the weights of Inception", f"{error.what}: {error.why}", do) from error
    file = weights.read(path)
    if file.card.network != "inception2015":
        why = f"It holds the network {file.card.network}"
        raise UserError(f"{path} is not FID's Inception", why, f"Fetch {INCEPTION_URL}")
    network = Inception2015()
    network.load_state_dict(dict(file.tensors))
    preprocessing = Preprocessing("inception2015", file.sha256, SIDE_PX, resize)
    published = file.sha256.startswith(INCEPTION_HASH)
    trust = f"Features of {'the published' if published else 'an unknown'} Inception, {resize} resize to {SIDE_PX} px"
    return Extractor(resize, network.to(device), preprocessing, trust)


def default_extractor() -> tuple[str, str]:
    """Return the extractor that is used unless another is named, and a note on it; nothing is fetched unasked."""
    if published.kept_at(LITE).is_file():
        return LITE, ""
    return "small", f"Better features are had by `ganvas features fetch {LITE}`, once; `small` stood in for it"


def _lite(device: str | torch.device) -> Extractor:
    file = weights.read(published.features_file(LITE))
    network = networks.build(replace(file.card, settings={**file.card.settings, "layers": ["head"]}))
    network.load_state_dict(dict(file.tensors))
    assert isinstance(network, EfficientNetLite)
    preprocessing = Preprocessing(LITE, published.PUBLISHED[LITE].sha256, network.side_px, "clean")
    trust = "Features of EfficientNet-Lite2, a classifier of ImageNet. Not FID"
    return Extractor(LITE, network.eval().to(device), preprocessing, trust)


def _small(device: str | torch.device) -> Extractor:
    file = weights.read(SMALL)
    stages = int(file.card.settings["stages"])
    settings = {**file.card.settings, "layers": [f"relu{stage}_2" for stage in range(1, stages + 1)]}
    network = networks.build(replace(file.card, settings=settings))
    network.load_state_dict(dict(file.tensors))
    network = network.eval().requires_grad_(False).to(device)
    accuracy = file.card.scores.get("photograph_accuracy", float("nan"))
    classes = int(file.card.settings["classes"])
    trust = (
        f"Features of a small classifier of photographs and their damages; of {classes} classes it was right in "
        f"{accuracy:.3f} (photograph) of held-out crops. Not FID"
    )
    preprocessing = Preprocessing("small_features", file.sha256, SMALL_SIDE_PX, "clean")
    return Extractor("small", network, preprocessing, trust)


# Pairs


def open_lpips(backbone: str = "alex", heads: Path | None = None, network: Path | None = None) -> LPIPS:
    """Return LPIPS with its published weights.

    Args:
        backbone: `alex` or `vgg`.
        heads: the file `alex.pth` or `vgg.pth` of the authors' v0.1, about 10 kB.
        network: torchvision's file of the backbone; fetched where it is not given.

    Raises:
        UserError: an unknown backbone, or weights that are missing or of something else.
    """
    if backbone not in BACKBONES:
        raise UserError(f"LPIPS has no backbone {backbone!r}", do="Use alex or vgg")
    if heads is None:
        do = f"Fetch {HEADS_URL}{backbone}.pth and give its path: --lpips-heads FILE"
        raise UserError("LPIPS needs the weights of its heads", "They are not part of Ganvas", do)
    stored = containers.open_stored(heads)
    found = [stored.get(f"lin{number}.model.1.weight") for number in range(5)]
    shapes = [tuple(value.shape) if isinstance(value, Tensor) else None for value in found]
    if shapes != [(1, channels, 1, 1) for channels in BACKBONES[backbone][2]]:
        raise UserError(f"{heads} is not LPIPS' heads for {backbone}", "lin0.model.1.weight ... are expected in it")
    return LPIPS(_backbone(backbone, network), [value.float() for value in found if isinstance(value, Tensor)]).eval()


def open_lpips_vgg16() -> LPIPS:
    """Return LPIPS' heads over Oxford's VGG16, both out of packages: it orders pictures, and is no published LPIPS.

    The heads were fitted to torchvision's VGG16, which was trained anew.

    Raises:
        UserError: one of the two is not in the cache and cannot be fetched.
    """
    heads = weights.read(published.features_file(HEADS)).tensors
    file = weights.read(published.features_file("vgg16"))
    # Its own statistics stand in the place of the authors' shift and scale.
    backbone = networks.build(file.card)
    backbone.load_state_dict(dict(file.tensors))
    return LPIPS(backbone, [heads[f"lin{number}"] for number in range(5)]).eval()


def _backbone(name: str, path: Path | None) -> nn.Module:
    file, digits, _ = BACKBONES[name]
    if path is None:
        path = weights.fetch(TORCH_URL + file, file, digits)
    network = AlexNet() if name == "alex" else VGG16(normalize=False)
    try:
        network.load_state_dict(containers.open_stored(path))
    except RuntimeError as error:
        raise UserError(
            f"{path} is not torchvision's {type(network).__name__}", do=f"Fetch {TORCH_URL}{file}"
        ) from error
    return network.eval()


def open_dists(path: Path | None = None, network: Path | None = None) -> DISTS:
    """Return DISTS with its published weights.

    Args:
        path: the authors' `weights.pt`, which holds alpha and beta.
        network: torchvision's file of VGG16; fetched where it is not given.

    Raises:
        UserError: weights that are missing or of something else.
    """
    if path is None:
        do = "Fetch weights.pt of github.com/dingkeyan93/DISTS and give its path: --dists-weights FILE"
        raise UserError("DISTS needs the weights of its channels", "They are not part of Ganvas", do)
    stored = containers.open_stored(path)
    sides = [stored.get(name) for name in ("alpha", "beta")]
    for side in sides:
        if not isinstance(side, Tensor) or side.numel() != sum(DISTS_CHANNELS):
            why = f"alpha and beta of {sum(DISTS_CHANNELS)} numbers each are expected in it"
            raise UserError(f"{path} is not DISTS' weights", why)
    alpha, beta = (side.float() for side in sides if isinstance(side, Tensor))
    backbone = _backbone("vgg", network)
    assert isinstance(backbone, VGG16)
    return DISTS(backbone, alpha, beta).eval()


# Single pictures


def open_niqe(path: Path | None = None) -> Niqe:
    """Return a model of NIQE: .safetensors, or an .npz of the published MATLAB file; without a path, ours.

    Raises:
        UserError: the file is missing or of something else.
    """
    path = path or PRISTINE
    if path.suffix == ".mat":
        raise UserError(f"{path} is a MATLAB file", "Ganvas does not read them", f'Convert it: python -c "{CONVERT}"')
    npz = path.suffix == ".npz"
    stored = {k: torch.from_numpy(v) for k, v in read_arrays(path).items()} if npz else containers.open_stored(path)
    found = {ours: next((stored[n] for n in theirs if n in stored), None) for ours, theirs in NIQE_NAMES.items()}
    mean, covariance = found["mean"], found["covariance"]
    if mean is None or covariance is None or mean.numel() != NUMBERS or covariance.numel() != NUMBERS**2:
        why = f"`mean` of {NUMBERS} numbers and `covariance` of {NUMBERS} x {NUMBERS} are expected in it"
        raise UserError(f"{path} is no NIQE model", why)
    return Niqe(mean.double().reshape(NUMBERS), covariance.double().reshape(NUMBERS, NUMBERS))
