"""`ganvas train RECIPE --help`: what the recipe is, its presets with what they cost, and its settings in groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ganvas.cli.help import entry, named_list, plain, two_columns
from ganvas.settings import Training

if TYPE_CHECKING:
    from ganvas.cli.options import Option
    from ganvas.launch import Order

FIRST = {
    "esrgan": ("scale", "degradation", "low", "network", "width", "blocks", "pixel-steps", "gan-steps", "perceptual"),
    "relativistic": ("size-px", "adversarial.base", "adversarial.pairing", "width", "mirror", "steps", "penalty"),
    "biggan": ("size-px", "width", "mirror", "steps", "discriminator-steps", "deep", "augmentation"),
    "pix2pixhd": ("size", "num-labels", "instance-features", "global-width", "enhancers", "perceptual",
                  "global-steps", "enhancer-steps", "joint-steps"),
    "superres_unet": ("scale", "iterations", "low-px", "width", "judged", "style", "content-steps", "steps"),
    "tiled_upres": ("high-px", "low-px", "guide", "width", "pixel-steps", "steps"),
    "vid2vid": ("num-labels", "shrink", "scales", "width", "flow-from", "picture-rounds", "rounds", "longest"),
    "reverse_matchmove": ("cameras", "size-px", "crop", "zoom", "width", "rays-px", "pixel-steps", "steps"),
}  # fmt: skip
"""Settings of each recipe that decide what comes out and how long it takes; a user's own recipe shows all it has."""
BASE = ("data", "val", "batch-size", "seed", "device")
GROUPS = ("data", "networks", "losses", "schedule", "engine")

_DATA = ("mirror", "fit", "ignore", "input", "num-", "low", "degradation", "crop", "size", "high-px", "tile-px",
         "framing", "cameras", "film-back", "rotation-order", "metres-per", "focal", "camera-name", "first-frame",
         "exposure", "stmap", "photograph", "run", "roll", "zoom", "guide", "labels", "clip-", "image-frames", "shrink",
         "pixel-crop", "scale", "fresh-batch", "data", "val", "flow-from", "mask-from")  # fmt: skip
_LOSSES = ("adversarial", "gan-weight", "perceptual", "style", "judged", "teacher", "penalty", "history", "replay",
           "consistency", "feature-matching", "orthogonal", "r1-", "weight-clip", "imagenet", "learned", "l1-",
           "matching", "pixel-loss", "content-off", "content-fade", "augmentation", "repaint", "minibatch")  # fmt: skip
_SCHEDULE = ("betas", "momentum", "halvings", "lengths", "longest", "first-length", "batch-size", "micro-batches",
             "average-half-life", "clip-gradient", "warmup", "rounds", "backpropagated", "frames-a-step",
             "discriminator-decay")  # fmt: skip


def group_of(field: str, is_base: bool) -> str:
    """Return the group that a setting is shown in."""
    last = field.rpartition("-")[2]
    if field.startswith(_SCHEDULE) or last in ("steps", "rate", "rates", "schedule", "rounds", "hold"):
        return "schedule"
    if field.startswith(_LOSSES) or last == "weight":
        return "losses"
    if field == "up" or field.startswith(_DATA):
        return "data"
    return "engine" if is_base else "networks"


def page(order: Order, starting: Sequence[Option], settings: Sequence[Option], everything: bool) -> str:
    """Return the help of a recipe; all settings are explained where everything is asked for, else those that matter."""
    from ganvas.recipes.base import SUMMARIES, find

    kind = find(order.recipe)
    base = {f.name.replace("_", "-") for f in dataclasses.fields(Training)}
    about = SUMMARIES.get(order.recipe) or (kind.__doc__ or "").strip().split("\n")[0]
    lines = [f"usage: ganvas train {order.recipe} --data DIR [--out RUN] [options]", "", about, ""]
    lines += ["presets (--preset NAME; --dry-run measures what they cost here):"]
    for name, preset in kind.PRESETS.items():
        mark = " (default)" if order.preset and name == order.preset.name else ""
        lines += two_columns(f"  {name}{mark}", cost(order.recipe, name, preset))
    own = FIRST.get(order.recipe) or tuple(option.field for option in settings if option.field not in base)
    first = [option for name in (*own, *BASE) for option in settings if option.field == name]
    shown = f"preset {order.preset.name}" if order.preset else "the run's values"
    lines += ["", f"settings that matter most [{shown}]:", *(line for option in first for line in entry(option))]
    lines += ["", "the run:", *(line for option in starting for line in entry(option))]
    rest = [option for option in settings if option not in first]
    for group in GROUPS:
        members = [option for option in rest if group_of(option.field, option.field in base) == group]
        if members and everything:
            lines += ["", f"{group}:", *(line for option in members for line in entry(option))]
        elif members:
            names = named_list(f"{option.names[0]} {option.default}".rstrip() for option in members)
            lines += ["", f"{group}:", *names]
    if not everything:
        lines += ["", f"`ganvas train {order.recipe} --help-all` explains these, too."]
    return plain(lines)


def cost(recipe: str, name: str, settings: Any) -> str:
    """Return what a preset costs: size, batch, steps, and the measured time of those that were timed."""
    from ganvas.cli.train_costs import MINUTES, STEPS_ALONE

    parts = [size_of(settings)]
    steps = steps_of(settings)
    if steps:
        parts.append(f"{steps:,} steps of {settings.batch_size * settings.micro_batches}")
    elif hasattr(settings, "rounds"):
        parts.append(f"{settings.picture_rounds} + {settings.rounds} rounds of {settings.batch_size}")
    if minutes := MINUTES.get((recipe, name)):
        parts.append(f"about {duration(minutes)} of one core")
    elif minutes := STEPS_ALONE.get((recipe, name)):
        parts.append(f"{duration(minutes)} of one core for the steps alone")
    elif name not in ("laptop", "preview", "show"):
        parts.append("for a GPU")
    return ", ".join(part for part in parts if part)


def duration(minutes: float) -> str:
    """Return minutes as they are said: 12 min, 3.5 h, 9 days."""
    if minutes < 90:
        return f"{max(1, round(minutes)):g} min"
    return f"{minutes / 60:.2g} h" if minutes < 2880 else f"{minutes / 1440:.2g} days"


def steps_of(settings: Any) -> int:
    """Return the steps of all stages, as far as settings tell them."""
    names = ("pixel_steps", "gan_steps", "content_steps", "coarse_steps", "global_steps", "joint_steps", "steps")
    enhancers = getattr(settings, "enhancer_steps", 0) * getattr(settings, "enhancers", 1)
    return sum(getattr(settings, name, 0) for name in names) + enhancers


def size_of(settings: Any) -> str:
    """Return the size of the pictures that a preset trains on."""
    if hasattr(settings, "width_px"):
        return f"{settings.width_px}x{settings.height_px}"
    for name in ("crop_px", "size_px", "high_px"):
        if value := getattr(settings, name, 0):
            return f"{value}x{value}"
    if low := getattr(settings, "low_px", 0):
        return f"{low}x{low} to {low * getattr(settings, 'scale', 2)}x{low * getattr(settings, 'scale', 2)}"
    return ""
