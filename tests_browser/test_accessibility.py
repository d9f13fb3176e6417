"""No page has what axe-core calls a violation: light and dark, wide and narrow, and with its dialogue open."""

from __future__ import annotations

from pathlib import Path

import pytest

from pages import PAGES, go, settle

AXE = (Path(__file__).parent / "vendor/axe.min.js").read_text()
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(page) -> list[str]:
    """Return what axe finds on a page, a line for each element."""
    page.evaluate(AXE + ";undefined")
    found = page.evaluate("tags => axe.run(document, {runOnly: tags, resultTypes: ['violations']})", TAGS)["violations"]
    return [f"{each['id']}: {node['html'][:160]} {node['failureSummary']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_violation(page, server, name, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    go(page, server, name)
    settle(page)
    assert not violations(page)
    page.set_viewport_size({"width": 390, "height": 800})
    settle(page)
    assert not violations(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_help_and_an_error_have_none(page, server, scheme):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    go(page, server, "upscale")
    settle(page)
    page.locator("input[type=file]").set_input_files(
        {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture at all"}
    )
    page.wait_for_selector(".error")
    settle(page)
    assert not violations(page)
    page.keyboard.press("?")
    page.wait_for_selector("dialog#help[open]")
    assert not violations(page)
