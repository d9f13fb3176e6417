"""Which recipes there are, and how a recipe, its presets and a user's own file become one object."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganvas.errors import UsageError, UserError, did_you_mean
from ganvas.settings import Training

if TYPE_CHECKING:
    from ganvas.protocol import Recipe

RECIPES = {
    "esrgan": "ganvas.recipes.esrgan:ESRGAN",
    "relativistic": "ganvas.recipes.relativistic:Relativistic",
    "biggan": "ganvas.recipes.biggan:BigGAN",
    "pix2pixhd": "ganvas.recipes.pix2pixhd.recipe:Pix2PixHD",
    "superres_unet": "ganvas.recipes.superres_unet.recipe:SuperResolvingUNets",
    "tiled_upres": "ganvas.recipes.tiled_upres:TiledUpres",
    "vid2vid": "ganvas.recipes.vid2vid.recipe:Vid2VidRecipe",
    "reverse_matchmove": "ganvas.recipes.reverse_matchmove.recipe:ReverseMatchmove",
}
"""Every recipe: name -> `module:Class`."""

SUMMARIES = {
    "esrgan": "Sharp super-resolution x1 to x8 (Wang et al. 2018); presets for SRGAN, too",
    "biggan": "Pictures of classes from noise at scale (Brock et al. 2019); SAGAN and BigGAN-deep are presets",
    "relativistic": "Pictures from noise with any adversarial loss (Jolicoeur-Martineau 2018); DCGAN is a preset",
    "pix2pixhd": "Pictures from label maps or pictures, up to 2048 x 1024, with styles (Wang et al. 2018)",
    "superres_unet": "From low to high by a U-Net, x2 at a time, with any style loss (SuperResGANUnet)",
    "tiled_upres": "From low to high in tiles under a semantic guide, for 768 px and more (Tyka 2017)",
    "vid2vid": "Video from label maps, steady from frame to frame (Wang et al. 2018)",
    "reverse_matchmove": "New views of a real place from camera matrices (NeuralVFX 2018)",
}
"""One line each, so that `ganvas recipes` need not import them."""


GUIDE = 'Write PRESETS = {"preview": Settings()}'


def find(name: str) -> type[Recipe]:
    """Return the recipe class of a name, or of a user's own Python file.

    Raises:
        UserError: no such recipe, or the file holds none.
    """
    if name in RECIPES:
        module, _, attribute = RECIPES[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
    if name.endswith(".py"):
        return _from_file(Path(name))
    raise UsageError(
        f"No recipe is called {name!r}",
        do=did_you_mean(name, RECIPES) + " Or give the path of your own recipe, ending in .py",
    )


def _from_file(path: Path) -> type[Recipe]:
    if not path.is_file():
        raise UserError(f"{path} does not exist", do="Give the path of a Python file that holds a recipe")
    if b"\0" in path.read_bytes():  # which is a SyntaxError or a ValueError, by the version of Python
        raise UserError(f"{path}: source code string cannot contain null bytes")
    # Named by its full path, so that two users' files of one name do not collide in sys.modules.
    module_name = (
        f"ganvas_recipe_{path.stem}_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()}"
    )
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        # A file of bytes has no lines.
        place = f"{path}, line {error.lineno}" if error.lineno else str(path)
        raise UserError(f"{place}: {error.msg}") from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module_name and _is_recipe(value)
    ]
    if len(found) != 1:
        raise UserError(
            f"{path} holds {len(found)} recipes",
            "One class that extends ganvas.protocol.Recipe is needed",
            "See CONTRIBUTING.md",
        )
    return complete(found[0], str(path))


def _is_recipe(cls: type) -> bool:
    """Tell whether a class is meant as a recipe: it extends `Recipe`, or has settings and stages like one."""
    from ganvas.protocol import Recipe

    return issubclass(cls, Recipe) or hasattr(cls, "PRESETS") or (hasattr(cls, "Settings") and hasattr(cls, "stages"))


def complete(cls: type, where: str) -> type[Recipe]:
    """Return a recipe class, with the default parts if it does not extend `Recipe` itself.

    Raises:
        UserError: parts are missing; all of them are named.
    """
    from ganvas.protocol import Recipe  # with torch, which lists of recipes do without

    # A class that merely looks like a recipe is given the defaults of the parts that it leaves out.
    recipe: Any = cls if issubclass(cls, Recipe) else type(cls.__name__, (cls, Recipe), {"__module__": cls.__module__})
    missing = [part for part in ("Settings", "PRESETS") if getattr(recipe, part, None) is None]
    missing += sorted(recipe.__abstractmethods__)
    if missing:
        raise UserError(f"The recipe {cls.__name__} in {where} lacks {', '.join(missing)}", do="See CONTRIBUTING.md")
    if not (isinstance(recipe.Settings, type) and issubclass(recipe.Settings, Training)):
        why = f"Its Settings are {recipe.Settings!r}"
        raise UserError(f"The recipe {cls.__name__} in {where} has no settings", why, "Extend ganvas.settings.Training")
    presets: Any = recipe.PRESETS
    if not isinstance(presets, Mapping) or not presets:
        raise UserError(f"The recipe {cls.__name__} in {where} has no presets", f"Its PRESETS are {presets!r}", GUIDE)
    for name, settings in presets.items():
        if not isinstance(settings, recipe.Settings):
            why = f"Its preset {name!r} is a {type(settings).__name__}"
            raise UserError(f"The recipe {cls.__name__} in {where} has no settings", why, GUIDE)
    return recipe


@dataclass(frozen=True)
class Preset:
    """A preset that was chosen, and why."""

    name: str
    settings: Any
    reason: str


def preset(recipe: type[Recipe], name: str = "", gpu: bool = False) -> Preset:
    """Return a recipe's preset by name; an empty name is `laptop`, or `preview` where there is none.

    The paper's values take days of a large machine: they are used only when they are asked for, with a GPU (`gpu`) or
    without.

    Raises:
        UserError: the recipe has no such preset.
    """
    del gpu
    known = recipe.PRESETS
    if not name:
        name = next(key for key in ("laptop", "preview", *known) if key in known)
        return Preset(name, known[name], f"the default; there are {', '.join(known)}")
    if name not in known:
        raise UsageError(f"This recipe has no preset {name!r}", do=did_you_mean(name, known))
    return Preset(name, known[name], "as asked")
