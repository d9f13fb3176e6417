"""How long presets take, as their pages tell with the commands: CPU minutes of one core, on drawn data."""

MINUTES: dict[tuple[str, str], float] = {
    ("relativistic", "preview"): 1.0,
    ("biggan", "preview"): 370 / 60,
    ("pix2pixhd", "preview"): 285 / 60,
    ("superres_unet", "preview"): 101 / 60,
    ("tiled_upres", "preview"): 132 / 60,
    ("vid2vid", "preview"): 338 / 60,
    ("reverse_matchmove", "preview"): 170 / 60,
}
"""Whole runs by recipe and preset; the commands stand in docs/measured/."""

STEPS_ALONE: dict[tuple[str, str], float] = {
    ("esrgan", "preview"): 0.5,
    ("esrgan", "laptop"): 4.6,
    ("relativistic", "laptop"): 31.2,
    ("relativistic", "show"): 2.0,
    ("biggan", "laptop"): 480.0,
    ("biggan", "show"): 2.8,
    ("pix2pixhd", "laptop"): 126.0,
    ("pix2pixhd", "show"): 9.6,
    ("superres_unet", "laptop"): 16.8,
    ("superres_unet", "show"): 0.5,
    ("tiled_upres", "laptop"): 19.2,
    ("tiled_upres", "show"): 1.6,
    ("reverse_matchmove", "laptop"): 7.8,
    ("reverse_matchmove", "show"): 5.1,
}
"""Their steps without validation, previews and checkpoints, as `scripts/preset_costs.py` measured them."""
