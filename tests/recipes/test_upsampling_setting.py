"""The setting `upsampling` reaches the networks and their cards, and the papers' presets keep theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ganvas.networks import build
from ganvas.networks.doubling import ResizeConv2d, SmoothConv2d
from ganvas.recipes.base import find

WITHOUT_RAYS = {"rays_px": 0, "rays_table": 0, "rays_planes": 0, "rays_layers": 0}
CHANGES = {
    "pix2pixhd": {"num_labels": 3}, "vid2vid": {"num_labels": 3}, "relativistic": {}, "superres_unet": {},
    "tiled_upres": {"guide": "none"}, "reverse_matchmove": WITHOUT_RAYS,
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_smooth_doubling_reaches_the_network(name: str) -> None:
    recipe = find(name)
    card = recipe(replace(recipe.PRESETS["preview"], upsampling="smooth", **CHANGES[name])).card()
    assert any(isinstance(module, SmoothConv2d) for module in build(card).modules())


@pytest.mark.parametrize("name", CHANGES)
def test_the_setting_reaches_the_card(name: str) -> None:
    recipe = find(name)
    assert recipe.PRESETS["paper"].upsampling == "transposed"
    for kind in ("transposed", "resize"):
        settings = replace(recipe.PRESETS["preview"], upsampling=kind, **CHANGES[name])
        card = recipe(settings).card()
        assert card.settings["upsampling"] == kind
        # An old card lacks the field.
        older = replace(card, settings={k: v for k, v in card.settings.items() if k != "upsampling"})
        for read, expected in ((card, kind == "resize"), (older, False)):
            resizes = any(isinstance(module, ResizeConv2d) for module in build(read).modules())
            assert resizes is expected
