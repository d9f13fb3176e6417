"""Several feature networks as one, their layers balanced: what a perceptual loss compares."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class FeatureSet(nn.Module):
    """Feature networks side by side, frozen: (B, 3, H, W) in [0, 1] to a dict of activations by `network/layer`.

    Every activation is divided by its mean on photographs, so that no layer drowns the others; `weights` gives each
    network the same share and each of its layers the same part of that, 1 in all.
    """

    def __init__(self, networks: Mapping[str, nn.Module], means: Mapping[str, Mapping[str, float]]) -> None:
        """`means` holds for each network the mean absolute activation of the layers that it gives."""
        super().__init__()
        # A module's name holds no dots.
        self.networks = nn.ModuleList(networks.values())
        self.means = {f"{name}/{layer}": mean for name, layers in means.items() for layer, mean in layers.items()}
        self.names = tuple(networks)
        self.weights = {
            f"{name}/{layer}": 1 / (len(networks) * len(layers)) for name, layers in means.items() for layer in layers
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the activations."""
        return tuple(self.weights)

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        seen: dict[str, Tensor] = {}
        for name, network in zip(self.names, self.networks):
            for layer, activation in network(picture).items():
                key = f"{name}/{layer}"
                seen[key] = activation / self.means[key]
        return seen
