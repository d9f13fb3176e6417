"""How long presets take: minutes on two cores, as `ganvas train RECIPE --preset NAME --dry-run` tells them."""

MINUTES: dict[tuple[str, str], float] = {}
