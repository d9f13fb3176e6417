"""Parts that many networks are made of: norms, spectral norm, attention, batch statistics, resizing, initialisers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from ganvas.errors import UserError
from ganvas.networks.norms import InstanceNorm2d, is_channels_last
from ganvas.ranks import gather_over_ranks, mean_over_ranks, rank, sum_over_ranks, world_size

Norm = Literal["batch", "instance", "none"]
Activation = Literal["relu", "tanh"]


def pad_to_multiple(picture: Tensor, multiple: int) -> Tensor:
    """Extend a picture at its right and bottom to sides that are a multiple of some pixels, for any size from 1 x 1.

    It is reflected as far as it reaches and its last row or column repeated beyond that.
    """
    for axis in (-1, -2):
        side = picture.shape[axis]
        missing = -side % multiple
        for mode, amount in (("reflect", min(missing, side - 1)), ("replicate", max(0, missing - side + 1))):
            if amount:
                picture = F.pad(picture, (0, amount, 0, 0) if axis == -1 else (0, 0, 0, amount), mode=mode)
    return picture


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics are those of the batches of all ranks together, on any device.

    (B, C, H, W) -> (B, C, H, W)

    In one process, and in eval mode, it is `nn.BatchNorm2d` to the bit. torch's own `SyncBatchNorm` refuses the CPU.
    """

    def forward(self, input: Tensor) -> Tensor:  # torch's name for the argument
        uses_batch = self.training or self.running_mean is None
        if world_size() == 1 or not uses_batch:
            return super().forward(input)
        x = _full_precision(input)
        sums = torch.cat([x.sum(dim=(0, 2, 3)), x.new_tensor([x.numel() // x.shape[1]])])
        sums = sum_over_ranks(sums)
        count = sums[-1].detach()
        mean = sums[:-1] / count
        # A second collective, because E[x^2] - E[x]^2 loses the digits of a small variance on a large mean.
        centred = x - mean[:, None, None]
        variance = sum_over_ranks(centred.square().sum(dim=(0, 2, 3))) / count
        self._track(mean, variance * count / (count - 1).clamp_min(1))
        out = centred * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            out = out * self.weight[:, None, None] + self.bias[:, None, None]
        return out.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        if not self.training or self.running_mean is None or self.running_var is None:
            return
        momentum = self.momentum
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:
                momentum = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum or 0.0)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum or 0.0)


def _full_precision(x: Tensor) -> Tensor:
    # Half precision cannot hold sums over a batch, nor small distances in it.
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def norm_layer(kind: Norm, channels: int) -> nn.Module:
    """Return a norm over pictures by name; `batch` is synced over ranks, `instance` has neither weights nor statistics.

    Raises:
        UserError: no such norm.
    """
    if kind == "batch":
        return SyncedBatchNorm2d(channels)
    if kind == "instance":
        return InstanceNorm2d(channels)
    if kind == "none":
        return nn.Identity()
    raise UserError(f"There is no norm {kind!r}", do="Use batch, instance or none")


def spectral(module: nn.Module, steps: int = 1, epsilon: float = 1e-12) -> nn.Module:
    """Divide a layer's weight by its largest singular value, followed by `steps` power iterations a training forward.

    Source: Miyato et al., "Spectral Normalization for Generative Adversarial Networks", algorithm 1.
    """
    # The axis of the outputs, as torch's own function chooses it.
    axis = 1 if isinstance(module, (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)) else 0
    norm = _SpectralNorm(cast(Tensor, module.weight), steps, axis, epsilon)
    parametrize.register_parametrization(module, "weight", norm)
    return module


def remove_spectral(network: nn.Module) -> None:
    """Leave the raw weights of all layers that were divided by their largest singular values."""
    for layer in list(network.modules()):
        if parametrize.is_parametrized(layer, "weight"):
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


class _SpectralNorm(parametrizations._SpectralNorm):
    """Torch's spectral norm, which wastes seconds on power iterations of tensors that have shapes only."""

    def _power_method(self, weight_mat: Tensor, n_power_iterations: int) -> None:
        if not weight_mat.is_meta:
            super()._power_method(weight_mat, n_power_iterations)


@torch.no_grad()
def spectral_sigmas(module: nn.Module) -> dict[str, float]:
    """Return for each spectrally normalised layer the largest singular value of its raw weight, as currently estimated.

    Two small products a layer and one transfer in all, so that a collapse watch can afford it at every step.
    """
    names, sigmas = [], []
    for name, layer in module.named_modules():
        for norm, raw in _spectral_norms(layer):
            u, v = norm._u, norm._v
            rows = raw.movedim(norm.dim, 0).flatten(1)
            names.append(name)
            sigmas.append(torch.dot(u.float(), torch.mv(rows.float(), v.float())))
    return dict(zip(names, torch.stack(sigmas).tolist())) if names else {}


def _spectral_norms(layer: nn.Module) -> Iterator[tuple[Any, Tensor]]:
    if not parametrize.is_parametrized(layer, "weight"):
        return
    parametrizations_by_name: Any = layer.parametrizations
    weight = parametrizations_by_name["weight"]
    for part in weight:
        if isinstance(getattr(part, "_u", None), Tensor) and isinstance(getattr(part, "_v", None), Tensor):
            yield part, weight.original


class SelfAttention(nn.Module):
    """Attention of every place of a feature map to all others; at initialisation it changes nothing.

    (B, C, H, W) -> (B, C, H, W)

    Keys and values are max-pooled by two. Source: Zhang et al., "Self-Attention Generative Adversarial Networks",
    section 3, in the form of Brock et al., "Large Scale GAN Training", appendix B.
    """

    def __init__(self, channels: int, spectral_norm: bool = False) -> None:
        super().__init__()
        if channels < 8:
            raise UserError(
                f"Self-attention over {channels} channels", "Its queries have an eighth of them", "Use 8 or more"
            )
        wrap: Callable[[nn.Module], nn.Module] = spectral if spectral_norm else _same
        self.theta = wrap(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.phi = wrap(nn.Conv2d(channels, channels // 8, 1, bias=False))
        self.g = wrap(nn.Conv2d(channels, channels // 2, 1, bias=False))
        self.o = wrap(nn.Conv2d(channels // 2, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = self.theta(x).flatten(2)
        key = F.max_pool2d(self.phi(x), 2, ceil_mode=True).flatten(2)
        value = F.max_pool2d(self.g(x), 2, ceil_mode=True).flatten(2)
        # Not the fused attention of torch: its backward has no derivative, which gradient penalties need.
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        seen = (value @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])
        return x + self.gamma * self.o(seen)


def _same(module: nn.Module) -> nn.Module:
    return module


class MinibatchDiscrimination(nn.Module):
    """Append to each sample's features how near it lies to the other samples of the batch, over all ranks.

    (B, F) -> (B, F + kernels)

    On the first training batch the scales are set so that the nearest neighbour lies at a mean distance of 2, and the
    offsets so that the new features have mean 0, as the authors' code does.
    Source: Salimans et al., "Improved Techniques for Training GANs", section 3.2.

    Raises:
        UserError: a training batch of one sample.
    """

    initialised: Tensor

    def __init__(self, features: int, kernels: int = 100, dims: int = 5) -> None:
        super().__init__()
        self.theta = nn.Parameter(0.05 * torch.randn(features, kernels, dims))
        self.log_scale = nn.Parameter(torch.zeros(kernels, dims))
        self.offset = nn.Parameter(torch.full((kernels,), -1.0))
        self.register_buffer("initialised", torch.tensor(False))
        # The buffer is the truth; this spares reading it back from the device at each step.
        self._ready = False
        self.register_load_state_dict_post_hook(_read_flag_again)

    def forward(self, features: Tensor) -> Tensor:
        if self.training:
            _refuse_single(features.shape[0] * world_size(), "Minibatch discrimination")
            if not self._ready and not bool(self.initialised):
                self._fit(features)
            self._ready = True
        nearness = torch.exp(-self._distances(features)).masked_fill(self._own(features), 0.0)
        return torch.cat([_full_precision(features), nearness.sum(dim=1) + self.offset], dim=1)

    def _distances(self, features: Tensor) -> Tensor:
        """Return the L1 distances of the projected samples to those of all ranks: (B, N, kernels)."""
        weight = self.theta * (self.log_scale.exp() / torch.linalg.vector_norm(self.theta, dim=0))
        with torch.autocast(features.device.type, enabled=False):
            projected = torch.einsum("ba,akd->bkd", _full_precision(features), weight)
        return (projected[:, None] - gather_over_ranks(projected)[None]).abs().sum(dim=-1)

    def _own(self, features: Tensor) -> Tensor:
        """Return where a sample meets itself: (B, N, 1)."""
        count = features.shape[0]
        place = torch.arange(count, device=features.device) + rank() * count
        return (place[:, None] == torch.arange(count * world_size(), device=features.device))[..., None]

    @torch.no_grad()
    def _fit(self, features: Tensor) -> None:
        own = self._own(features)
        distances = self._distances(features)
        nearest = mean_over_ranks(distances.masked_fill(own, float("inf")).amin(dim=1).mean(dim=0))
        nearest = 0.5 * nearest.clamp_min(1e-6)
        self.log_scale.sub_(nearest.log()[:, None])
        nearness = torch.exp(-distances / nearest).masked_fill(own, 0.0).sum(dim=1)
        self.offset.copy_(-mean_over_ranks(nearness.mean(dim=0)))
        self.initialised.fill_(True)


def _read_flag_again(module: Any, _: object) -> None:
    module._ready = False


def _refuse_single(batch: int, what: str) -> None:
    if batch < 2:
        raise UserError(
            f"{what} got a batch of one", "It compares the samples of a batch", "Use a batch of two or more"
        )


class MinibatchStandardDeviation(nn.Module):
    """Append one map that holds how much the samples of a group differ, averaged over features and places.

    (B, C, H, W) -> (B, C + 1, H, W)

    Groups are neighbouring samples of this rank, as even as the batch allows and none larger than `group`.
    Source: Karras et al., "Progressive Growing of GANs", section 3.

    Raises:
        UserError: a training batch of one sample.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        if group < 2:
            raise UserError(f"A group of {group} has no standard deviation", do="Use a group of 2 or more")
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            _refuse_single(x.shape[0], "Minibatch standard deviation")
        maps = []
        for group in x.tensor_split(-(-x.shape[0] // self.group)):
            spread = (_full_precision(group).var(dim=0, correction=0) + 1e-8).sqrt().mean()
            maps.append(spread.to(x.dtype).expand(group.shape[0], 1, *x.shape[2:]))
        return torch.cat([x, torch.cat(maps)], dim=1)


def _runs_plainly(x: Tensor) -> bool:
    """Tell whether a tensor is only computed, on a processor: neither differentiated nor traced for another engine."""
    return x.device.type == "cpu" and not (
        torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling()
    )


def pixel_shuffle(x: Tensor, factor: int) -> Tensor:
    """Rearrange channels into pixels as torch's own `pixel_shuffle`, which takes twice the time on a processor.

    (B, C factor factor, H, W) -> (B, C, factor H, factor W)
    """
    if not _runs_plainly(x):
        return F.pixel_shuffle(x, factor)
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels // factor**2, factor, factor, height, width).permute(0, 1, 4, 2, 5, 3)
    return parts.reshape(batch, channels // factor**2, height * factor, width * factor)


def in_planes(x: Tensor) -> Tensor:
    """Return a tensor in torch's default layout where it is only computed: (B, C, H, W) -> (B, C, H, W).

    Sums of two layouts take up to ten times as long, and torch's own change of layout thrice.
    """
    if not _runs_plainly(x) or x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return x
    return torch.stack([picture.permute(1, 2, 0).flatten(0, 1).t().contiguous() for picture in x]).view(x.shape)


def as_weights_lie(x: Tensor, net: nn.Module) -> Tensor:
    """Return pictures in the channels-last layout where a network's weights have it: (B, C, H, W) -> (B, C, H, W).

    Its first convolution, what comes before that and every pass back would otherwise change the layout one by one.
    """
    weight = next((parameter for parameter in net.parameters() if parameter.ndim == 4), x)
    return x.contiguous(memory_format=torch.channels_last) if is_channels_last(weight) else x


class PixelShuffleUpsample(nn.Module):
    """Convolve and rearrange channels into pixels; initialised so that it begins without a checkerboard (ICNR).

    (B, C, H, W) -> (B, channels_out, factor H, factor W)

    Source: Shi et al., "Real-Time Single Image and Video Super-Resolution"; Aitken et al., "Checkerboard artifact free
    sub-pixel convolution", section 3.
    """

    def __init__(self, channels_in: int, channels_out: int, factor: int = 2, kernel: int = 3) -> None:
        super().__init__()
        self.factor = factor
        self.conv = nn.Conv2d(channels_in, channels_out * factor**2, kernel, padding=kernel // 2)
        init_icnr(self.conv, factor)

    def forward(self, x: Tensor) -> Tensor:
        return pixel_shuffle(self.conv(x), self.factor)


@torch.no_grad()
def init_icnr(conv: nn.Conv2d, factor: int) -> None:
    """Make all pixels of one shuffled cell start from the same kernel, so that the result equals nearest upsampling."""
    kernels = torch.empty_like(conv.weight[:: factor**2])
    nn.init.kaiming_normal_(kernels)
    conv.weight.copy_(kernels.repeat_interleave(factor**2, dim=0))
    if conv.bias is not None:
        conv.bias.zero_()


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Draw all convolution and linear weights from N(0, std) and batch-norm gains from N(1, std); biases are 0.

    Source: Radford et al., "Unsupervised Representation Learning with DCGANs", section 4.
    """
    for layer, weight in _weights(module):
        nn.init.normal_(weight, 0.0, std)
        _finish(layer)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, std)
            nn.init.zeros_(layer.bias)


def init_orthogonal(module: nn.Module, gain: float = 1.0) -> None:
    """Make all convolution and linear weights orthogonal, biases 0."""
    for layer, weight in _weights(module):
        nn.init.orthogonal_(weight, gain)
        _finish(layer)


def init_kaiming(module: nn.Module, scale: float = 1.0) -> None:
    """Draw all convolution and linear weights as He et al. do, times a scale; biases are 0.

    A scale of 0.1 lets deep residual nets without norms start near the identity (ESRGAN, section 3.1).
    """
    for layer, weight in _weights(module):
        nn.init.kaiming_normal_(weight)
        with torch.no_grad():
            weight.mul_(scale)
        _finish(layer)


def _weights(module: nn.Module) -> Iterator[tuple[nn.Module, Tensor]]:
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            raw = next((raw for _, raw in _spectral_norms(layer)), None)
            weight = layer.weight if raw is None else raw
            # On the device `meta` there is nothing to draw, and trying to loads torch's compiler, which takes a second.
            if not weight.is_meta:
                yield layer, weight


@torch.no_grad()
def _finish(layer: nn.Module) -> None:
    if isinstance(layer.bias, Tensor):
        layer.bias.zero_()
    if any(_spectral_norms(layer)):
        # The singular vectors belong to the old weight; each training access is one power iteration.
        before = layer.training
        layer.train()
        for _ in range(15):
            _ = layer.weight
        layer.train(before)
