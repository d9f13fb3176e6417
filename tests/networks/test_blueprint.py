"""Cards are compared with their tensors by shape, before memory or time is spent on what they claim."""

from __future__ import annotations

import resource
import time

import pytest
import torch

from ganvas import networks
from ganvas.errors import UserError
from ganvas.networks import blueprint
from ganvas.networks.rrdb import net as rrdb
from ganvas.protocol import Card

SMALL = Card(network="rrdbnet", settings={"width": 8, "blocks": 2, "growth": 4})


def shapes(card):
    return {key: tuple(value.shape) for key, value in networks.build(card).state_dict().items()}


def test_the_shapes_are_those_of_the_network_itself_for_norms_that_reparametrise_too():
    for card in (
        SMALL,
        Card(network="dcgan_discriminator", settings={"size_px": 32, "width": 4}),
        Card(network="dcgan_generator", settings={"size_px": 32, "width": 4}),
    ):
        networks.require_fit(card, shapes(card), "FILE")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("width", 10**n) for n in (3, 6, 9, 30)],
        *[("blocks", 10**n) for n in (2, 5, 7)],
        *[("growth", 10**6), ("scale", 3), ("scale", 10**6), ("channels_in", 10**6)],
        *[("width", value) for value in (0, -1, 1.5, "x", None, [1], {}, True)],
    ],
)
def test_claims_that_the_tensors_do_not_fill_are_refused_at_once(name, value):
    found = shapes(SMALL)
    card = Card(network="rrdbnet", settings={**SMALL.settings, name: value})
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(UserError) as caught:
        networks.require_fit(card, found, "FILE")
    assert "\n" not in str(caught.value)
    assert time.process_time() - began < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_a_tensor_that_belongs_nowhere_or_is_missing_is_named():
    found = shapes(SMALL)
    with pytest.raises(UserError, match=r"more is .* in the file and missing in the network"):
        networks.require_fit(SMALL, {**found, "more": (1,)}, "FILE")
    first = next(iter(found))
    with pytest.raises(UserError, match=f"{first} is missing in the file"):
        networks.require_fit(SMALL, {key: value for key, value in found.items() if key != first}, "FILE")


def test_looking_at_shapes_leaves_chance_and_building_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    networks.require_fit(SMALL, shapes(SMALL), "FILE")
    torch.manual_seed(3)
    blueprint.shapes_of(lambda: {"": networks.build(SMALL)}, 100)
    assert torch.rand(3).equal(expected)
    assert next(networks.build(SMALL).parameters()).device.type == "cpu"


def test_what_networks_cache_while_only_shapes_are_asked_for_is_real(monkeypatch):
    rrdb.base_kernel.cache_clear()
    for card in (SMALL, Card(network="compact", settings={"width": 4, "convs": 1, "scale": 3, "base": "bilinear"})):
        found = shapes_of_meta(card)
        network = networks.build(card)
        assert {key: tuple(value.shape) for key, value in network.state_dict().items()} == found
        assert all(tensor.device.type == "cpu" for tensor in (*network.parameters(), *network.buffers()))
        assert torch.isfinite(network(torch.zeros(1, 3, 8, 8))).all()


def shapes_of_meta(card):
    return blueprint.shapes_of(lambda: {"": networks.build(card)}, 1000)[""]
