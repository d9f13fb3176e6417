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
"""By recipe and preset; the commands stand in docs/measured/."""
