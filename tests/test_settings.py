"""Settings: numbers that mean nothing are refused by name, before anything is written; the recipes' own are not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from ganvas import cli
from ganvas.cli.names import shown_of
from ganvas.errors import UserError
from ganvas.recipes import base
from ganvas.settings import Training, bounded, check, from_json, replace, to_json

MEANINGLESS = {
    **dict.fromkeys(("batch_size", "micro_batches", "checkpoint_every", "log_every", "keep_last"), (0, -1)),
    **dict.fromkeys(("seed", "threads", "workers", "clip_gradient", "preview_every", "score_every"), (-1,)),
    **dict.fromkeys(("average_half_life",), (-5.0, math.nan, math.inf)),
    **dict.fromkeys(("crop_px", "pixel_crop_px", "width", "growth"), (0, -32)),
    **dict.fromkeys(("pixel_rate", "gan_rate"), (0.0, -0.0001, math.nan, math.inf)),
    **dict.fromkeys(("pixel_steps", "gan_steps", "pixel_weight", "perceptual_weight", "blocks"), (-1,)),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in MEANINGLESS.items() for value in values])
def test_a_number_that_means_nothing_is_refused_by_name_before_a_folder_is_made(name, value, tmp_path, capsys):
    option = f"--{name.replace('_', '-')}"
    out = tmp_path / "run"
    assert cli.main(["train", "esrgan", "--data", str(tmp_path), "--out", str(out), option, str(value)]) == cli.USAGE
    said = capsys.readouterr().err
    # A line before it may tell that an option has another name now.
    plain = name.replace("_", "-")
    written = shown_of("train esrgan").get(plain, plain)
    assert f"--{written} is" in said.splitlines()[-1] and said.count("\n") <= 2
    assert not out.exists()


@pytest.mark.parametrize("recipe", base.RECIPES)
def test_every_preset_is_within_its_own_bounds(recipe):
    kind = base.find(recipe)
    for preset in kind.PRESETS.values():
        check(preset, kind.PRESETS.values())


@pytest.mark.parametrize("recipe", base.RECIPES)
def test_no_recipe_takes_a_rate_or_size_below_zero(recipe):
    kind = base.find(recipe)
    preset = next(iter(kind.PRESETS.values()))
    names = [name for name in vars(preset) if name.endswith(("_rate", "_px", "width", "_every", "_steps", "_weight"))]
    assert len(names) > 5
    for name in names:
        if not isinstance(getattr(preset, name), (int, float)):
            continue
        with pytest.raises(UserError, match=name):
            check(type(preset)(**{**vars(preset), name: -1}), kind.PRESETS.values())


MAY_BE_NEGATIVE = {
    "feature_matching_layer", "ignore", "input_range", "detail", "mask_slope", "foreground", "first_frame", "exposure",
    "roll_degrees",
}  # fmt: skip
"""Settings that count from the end, are ids, or measure something; `detail` is checked by its network."""


def numbers_of(values, above=""):
    """Yield the dotted name and value of every number, list of numbers and missing number among plain settings."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from numbers_of(value, f"{above}{name}.")
        elif all(type(each) in (int, float, type(None)) for each in (value if isinstance(value, list) else [value])):
            yield above + name, value


def accepts(kind, preset, name, value, number):
    """Tell whether a recipe takes a number in a setting; where it does not, the setting is named."""
    try:
        changed = replace(preset, {name: [number] * max(1, len(value)) if isinstance(value, list) else number})
        check(changed, kind.PRESETS.values())
    except UserError as error:
        assert name.rpartition(".")[2] in str(error), error
        return False
    return True


@pytest.mark.parametrize("recipe", base.RECIPES)
def test_every_number_of_every_recipe_refuses_what_means_nothing(recipe):
    kind = base.find(recipe)
    preset = next(iter(kind.PRESETS.values()))
    found = dict(numbers_of(to_json(preset)))
    assert len(found) > 20
    for name, value in found.items():
        for number in (math.nan, math.inf, -math.inf):
            assert not accepts(kind, preset, name, value, number), (name, number)
        for number in (-1, -0.5, -(10**12)):
            assert not accepts(kind, preset, name, value, number) or name in MAY_BE_NEGATIVE, (name, number)


@pytest.mark.parametrize("recipe", base.RECIPES)
def test_no_number_of_layers_or_turns_is_without_end(recipe):
    kind = base.find(recipe)
    preset = next(iter(kind.PRESETS.values()))
    costly = (
        "blocks", "layers", "downs", "scales", "enhancers", "iterations", "discriminator_steps", "micro_batches",
        "features", "fourier", "latent", "growth", "multipliers", "width",
    )  # fmt: skip
    for name, value in numbers_of(to_json(preset)):
        if name.endswith(costly):
            assert not accepts(kind, preset, name, value, 10**12), name


@dataclass(frozen=True, kw_only=True)
class Own(Training):
    shift: float = 0.0
    turn: int = bounded(3, 1, 8)
    feature_layer: int = -2
    sizes_px: tuple[int, ...] = (4, 8)


@pytest.mark.parametrize("changes", [{"shift": -3.0}, {"feature_layer": -1}, {"turn": 8}, {"preview_every": 0}])
def test_a_users_own_numbers_may_be_negative_where_their_names_do_not_say_otherwise(changes):
    check(Own(**changes), [Own()])


@pytest.mark.parametrize("changes", [{"turn": 0}, {"turn": 9}, {"sizes_px": (4, 0)}, {"shift": math.nan}])
def test_a_users_own_bounds_and_units_hold(changes):
    with pytest.raises(UserError, match=next(iter(changes))):
        check(Own(**changes), [Own()])


@pytest.mark.parametrize("value", [None, [], "x", True, math.nan, 10**400])
def test_a_value_of_another_type_is_named(value):
    with pytest.raises(UserError, match="'shift'"):
        from_json(Own, {"shift": value})


def test_the_preset_of_a_name_that_is_missing_is_named():
    @dataclass(frozen=True)
    class Needs:
        name: str

    globals()["Needs"] = Needs
    with pytest.raises(UserError, match="'name' is missing"):
        from_json(Needs, {})
