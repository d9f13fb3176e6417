"""Each loss has a panel of its own, in which it fills the height whatever the others are."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

from ganvas.io.panels import BOTTOM, HEIGHT, TOP, panels

SVG = "{http://www.w3.org/2000/svg}"


def test_a_small_loss_fills_its_panel_beside_a_large_one():
    steps = list(range(0, 1000, 10))
    small = [0.001 + 0.0005 * math.sin(step / 50) for step in steps]
    large = [1000 + step for step in steps]
    root = ElementTree.fromstring(panels({"G.content": (steps, small), "D & gan": (steps, large)}, "Losses", "step"))
    drawn = root.findall(f"{SVG}g")
    assert len(drawn) == 2 and len({panel.get("transform") for panel in drawn}) == 2
    for panel, name in zip(drawn, ("G.content", "D & gan")):
        title = panel.find(f"{SVG}text")
        line = panel.find(f"{SVG}polyline")
        assert title is not None and title.text is not None and title.text.startswith(name)
        assert line is not None
        heights = [float(point.split(",")[1]) for point in line.get("points", "").split()]
        assert max(heights) - min(heights) > 0.5 * (HEIGHT - TOP - BOTTOM)


def test_what_is_no_number_is_left_out_and_decades_are_logarithmic():
    curves = {"a": ([1, 2, 3], [1e-6, math.nan, 1.0]), "none": ([1], [math.inf]), "one": ([5], [2.0])}
    root = ElementTree.fromstring(panels(curves, "Losses", "step"))
    assert len(root.findall(f"{SVG}g")) == 2
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "1e-06" in texts
    assert ElementTree.fromstring(panels({}, "Nothing", "step")).tag == f"{SVG}svg"
