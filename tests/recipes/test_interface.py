"""What every recipe has in common: parts, cards of all networks, and how a user's own file is told what it lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ganvas.errors import UserError
from ganvas.networks import build
from ganvas.protocol import Card, Recipe
from ganvas.recipes.base import RECIPES, find
from ganvas.settings import from_json, to_json
from ganvas.training import networks

NEEDED = {
    "pix2pixhd": {"num_labels": 3, "perceptual": "none"},
    "vid2vid": {"num_labels": 3, "perceptual": "none"},
    "biggan": {"num_classes": 4},
    "tiled_upres": {"guide": "none"},
    "reverse_matchmove": {"perceptual": "none", "rays_px": 0, "rays_table": 0, "rays_planes": 0},
}
"""What a recipe must be told where no data tell it."""
WHOLE = {
    "stages": "return []",
    "source": "return None",
    "batch": "return None",
    "forward": "return {}, carry",
    "generator_losses": "return {}",
    "sample": "return None",
    "card": "return None",
}
ARGUMENTS = {"source": "path", "batch": "raw, context", "forward": "nets, batch, carry, context",
             "generator_losses": "nets, batch, outputs, carry, context", "sample": "nets, batch, context"}  # fmt: skip


@pytest.mark.parametrize("pairing", ["plain", "average"])
@pytest.mark.parametrize("name", RECIPES)
def test_every_network_fits_the_one_that_its_card_describes(name, pairing):
    settings = find(name).PRESETS["preview"]
    adversarial = replace(settings.adversarial, base="standard", pairing=pairing)
    recipe = find(name)(replace(settings, **NEEDED.get(name, {}), adversarial=adversarial))
    nets = networks.fresh(recipe)
    assert len(nets) > 1
    for network, net in nets.items():
        # As a run's settings.json keeps it.
        card = from_json(Card, json.loads(json.dumps(to_json(recipe.cards()[network]))))
        build(card).load_state_dict(net.state_dict())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_extends_the_base_class_and_has_presets(name):
    recipe = find(name)
    assert issubclass(recipe, Recipe) and not recipe.__abstractmethods__
    assert {"preview", "paper"} <= set(recipe.PRESETS)


PRESETS = "PRESETS = {'preview': Settings()}"


def written(path, base="(Recipe)", without=(), settings="Settings", presets=PRESETS):
    """Write a user's recipe without some of its parts, and return its path."""
    parts = [
        f"    def {part}(self{', ' + ARGUMENTS[part] if part in ARGUMENTS else ''}):\n        {body}"
        for part, body in WHOLE.items()
        if part not in without
    ]
    imports = "from ganvas.protocol import Recipe\nfrom ganvas.settings import Training as Settings"
    head = [imports, f"class Mine{base}:", f"    Settings = {settings}", f"    {presets}"]
    path.write_text("\n".join([*head, *parts]))
    return str(path)


@pytest.mark.parametrize("base", ["(Recipe)", ""])
@pytest.mark.parametrize("part", WHOLE)
def test_a_part_that_a_user_s_file_lacks_is_named_at_once(tmp_path, base, part):
    with pytest.raises(UserError, match=rf"Mine in .*mine\.py lacks {part}\. See"):
        find(written(tmp_path / "mine.py", base, without=[part]))


@pytest.mark.parametrize("base", ["(Recipe)", ""])
def test_all_missing_parts_are_named_together(tmp_path, base):
    with pytest.raises(UserError, match="lacks PRESETS, batch, sample"):
        find(written(tmp_path / "mine.py", base, without=["sample", "batch"], presets=""))


@pytest.mark.parametrize("base", ["(Recipe)", ""])
def test_settings_must_be_training_s(tmp_path, base):
    with pytest.raises(UserError, match="has no settings"):
        find(written(tmp_path / "mine.py", base, settings="dict"))


@pytest.mark.parametrize("base", ["(Recipe)", ""])
def test_parts_that_are_left_out_have_defaults(tmp_path, base):
    kind = find(written(tmp_path / "mine.py", base))
    recipe = kind(kind.PRESETS["preview"])
    assert recipe.settings == kind.PRESETS["preview"]
    assert recipe.prepare(None) is None and not recipe.notices() and not recipe.fixed() and not recipe.networks()
    assert recipe.score(None, None, None) == {} and list(recipe.cards()) == ["generator"]
    assert recipe.held_out("x", None) is recipe.source("x")


def test_a_file_with_two_recipes_or_none_is_refused(tmp_path):
    path = Path(written(tmp_path / "mine.py"))
    path.write_text(path.read_text() + "\nclass Other(Mine):\n    pass\n")
    with pytest.raises(UserError, match="holds 2 recipes"):
        find(str(path))
    path.write_text("x = 1")
    with pytest.raises(UserError, match="holds 0 recipes"):
        find(str(path))
