"""Answers that come late: for a picture, a model or a page that is not shown any more, or before anything is."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from pages import PAGES, Held, add_picture, go, is_live

PAGE_API = re.compile(r"/api/(?!events)")


def press_everything(page) -> None:
    """Press what stands beside the picture, whether there is a picture or not."""
    for name in ("Lens", "Side", "Blink", "Before", "After", "Slider", "Fit", "1:1"):
        page.get_by_role("button", name=name, exact=True).click()
    page.locator("#divider").fill("0.25")


def test_a_view_is_used_before_its_picture_is_open(page, server):
    held = Held(page, re.compile(r"/api/pictures/[0-9a-f]{16}$"))
    go(page, server, "upscale")
    held.wait()
    press_everything(page)
    page.get_by_label("Model").select_option(index=1)
    page.set_viewport_size({"width": 800, "height": 700})
    expect(page.locator(".error")).to_have_count(0)
    held.release()
    is_live(page)


def test_a_crop_that_comes_after_its_picture_was_closed_is_dropped(page, server):
    go(page, server, "upscale")
    add_picture(page, "first.png")
    add_picture(page, "second.png")
    is_live(page)
    held = Held(page, "**/api/crops")
    page.get_by_label("Model").select_option(index=1)
    held.wait()
    page.get_by_role("button", name="first.png").click()
    press_everything(page)
    expect(page.locator(".error")).to_have_count(0)
    held.release()
    is_live(page)


def test_pictures_that_open_in_another_order_show_the_last_one_chosen(page, server):
    go(page, server, "upscale")
    add_picture(page, "wide.png", (20, 80))
    add_picture(page, "high.png", (80, 20))
    is_live(page)
    held = Held(page, re.compile(r"/api/pictures/[0-9a-f]{16}$"))
    page.get_by_role("button", name="wide.png").click()
    page.get_by_role("button", name="high.png").click()
    held.wait(2)
    held.routes.reverse()
    held.release()
    is_live(page)
    expect(page.locator("#viewer canvas[role=img]")).to_have_count(1)
    size = page.locator("#viewer canvas[role=img]").evaluate("canvas => [canvas.width, canvas.height]")
    assert size[0] < size[1]


def test_a_broken_file_sent_before_anything_is_open_is_told_and_stays_told(page, server):
    held = Held(page, re.compile(r"/api/pictures/[0-9a-f]{16}$"))
    go(page, server, "upscale")
    held.wait()
    page.locator("input[type=file]").set_input_files(
        {"name": "broken.png", "mimeType": "image/png", "buffer": b"no picture at all"}
    )
    expect(page.locator(".error")).to_contain_text("broken.png cannot be read")
    held.release()
    expect(page.get_by_text(re.compile(r"[Uu]pscaled live in \d+ ms"))).to_be_visible()
    expect(page.locator(".error")).to_have_count(1)
    expect(page.locator(".error")).to_contain_text("broken.png cannot be read")


def test_a_street_begun_anew_while_the_first_is_made_is_the_one_painted_in(page, server):
    held = Held(page, "**/api/scenes")
    go(page, server, "paint")
    held.wait()
    page.get_by_role("button", name="blank").click()
    held.wait(2)
    page.keyboard.press("Control+z")
    page.keyboard.press("r")
    page.keyboard.press("s")
    held.routes.reverse()
    held.release()
    expect(page.locator("#labels")).to_be_visible()
    page.wait_for_function(
        "() => document.querySelector('#labels').getContext('2d').getImageData(9, 9, 1, 1).data[3] === 255"
    )
    expect(page.locator(".error")).to_have_count(0)
    top, bottom = page.locator("#labels").evaluate(
        """canvas => [0, canvas.height - 1].map(
            y => [...canvas.getContext('2d').getImageData(9, y, 1, 1).data].join())"""
    )
    assert top == bottom  # blank, not the street


@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_is_left_before_its_answers_come_disturbs_no_other(page, server, name):
    other = "runs" if name != "runs" else "curate"
    go(page, server, other)
    held = Held(page, PAGE_API)
    page.evaluate("name => { location.hash = `#/${name}`; }", name)
    held.wait()
    page.evaluate("name => { location.hash = `#/${name}`; }", other)
    held.release()
    page.wait_for_selector("main h1")
    expect(page.locator("nav a[aria-current=page]")).to_have_attribute("href", f"#/{other}")
    expect(page.locator("main > section")).to_have_count(1)
    expect(page.locator(".error")).to_have_count(0)
    go(page, server, name)  # and it opens as ever
    expect(page.locator(".error")).to_have_count(0)


def test_pages_turned_quickly_on_a_slow_machine_fail_nowhere(page, server):
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 6})
    go(page, server, "upscale")
    for _ in range(2):
        for name in PAGES:
            page.evaluate("name => { location.hash = `#/${name}`; }", name)
            page.wait_for_selector(f"nav a[href='#/{name}'][aria-current=page]")
    go(page, server, "upscale")
    is_live(page)
