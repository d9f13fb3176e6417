"""What a screen reader is told: the browser's own accessibility tree, and the regions that speak by themselves."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from pages import PAGES, go, settle

CONTROLS = {"button", "link", "slider", "combobox", "textbox", "spinbutton", "checkbox", "radio", "switch", "tab"}
VALUED = {"slider", "combobox", "spinbutton"}


def tree(page: Page) -> list[dict]:
    """Return the nodes of the accessibility tree that are not passed over, each with role, name and states."""
    session = page.context.new_cdp_session(page)
    nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    session.detach()
    return [
        {
            "role": node.get("role", {}).get("value", ""),
            "name": node.get("name", {}).get("value", "").strip(),
            "value": node.get("value", {}).get("value"),
            **{each["name"]: each["value"].get("value") for each in node.get("properties", [])},
        }
        for node in nodes
        if not node.get("ignored")
    ]


@pytest.mark.parametrize("name", PAGES)
def test_every_control_has_a_name_and_a_state(page, server, name):
    go(page, server, name)
    settle(page)
    nodes = tree(page)
    controls = [node for node in nodes if node["role"] in CONTROLS]
    assert len(controls) > 8  # the pages, at least
    assert not [node for node in controls if not node["name"]]
    assert not [node for node in controls if node["role"] in VALUED and node["value"] in (None, "")]
    assert not [node for node in nodes if node["role"] in ("image", "img", "Canvas") and not node["name"]]
    # Of the pages exactly one is the present one, and each page has one first heading, which says what it is.
    present = page.locator("nav a[aria-current=page]")
    assert [node["name"] for node in nodes if node["role"] == "heading" and node.get("level") == 1] == [
        present.inner_text()
    ]
    # What is one of several says whether it is the one; the visible text is part of the name that is spoken.
    for button in page.locator("main button[aria-label]").all():
        text = button.inner_text().strip()
        assert not re.search(r"\w", text) or text in button.get_attribute("aria-label")


def test_what_is_pressed_is_told(page, server):
    go(page, server, "upscale")
    settle(page)
    views = page.get_by_role("group", name="View")
    expect(views.get_by_role("button", pressed=True)).to_have_text("Slider")
    views.get_by_role("button", name="Lens").click()
    expect(views.get_by_role("button", pressed=True)).to_have_text("Lens")
    (slider,) = [node for node in tree(page) if node["role"] == "slider"]
    assert slider["name"] == "Lens size"


def test_errors_and_results_are_spoken(page, server):
    go(page, server, "upscale")
    settle(page)
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture at all"}
    page.locator("input[type=file]").set_input_files(broken)
    expect(page.get_by_role("alert")).to_contain_text("broken.png cannot be read")
    page.get_by_role("button", name="astronaut.png", exact=False).first.click()
    expect(page.get_by_role("status").filter(has_text=re.compile("[Uu]pscaled live|saved result"))).to_be_visible()
    said = page.locator("#said[aria-live=polite]")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(said).to_have_text(re.compile(r"^Saved: astronaut-.*\.png"), timeout=120_000)


def test_strokes_and_choices_are_spoken(page, server):
    go(page, server, "paint")
    page.get_by_label("Painter").select_option(label="street")
    page.get_by_role("button", name="New street").click()
    page.wait_for_selector("#labels")
    settle(page)
    page.keyboard.press("v")
    expect(page.get_by_role("group", name="Tool").get_by_role("button", pressed=True)).to_have_text("Select")
    box = page.locator("#labels").bounding_box()
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.95 * box["height"])
    expect(page.locator("#said")).to_have_text(re.compile("^Selected: "))
    page.keyboard.press("f")
    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.95 * box["height"])
    expect(page.get_by_role("status").filter(has_text=re.compile(r"made in \d+ ms"))).to_be_visible()


def test_a_lost_connection_is_told_and_ends(page, server):
    go(page, server, "explore")
    settle(page)
    banner = page.locator("#banner[role=status]")
    expect(banner).to_be_hidden()
    server.kill()
    try:
        expect(banner).to_be_visible()
        expect(banner).to_contain_text("connection is lost")
    finally:
        server.start()
    expect(banner).to_be_hidden()


def test_the_skip_link_goes_to_the_page_that_is_open(page, server):
    go(page, server, "clips")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    expect(page.locator("nav a[aria-current=page]")).to_have_text("Clips")
