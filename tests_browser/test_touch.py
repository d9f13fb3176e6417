"""A phone: pages are swiped, pinched, dragged and drawn on by fingers, as the browser hands touches on."""

from __future__ import annotations

import io
import re

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pages import go, settle, still_box

Point = tuple[float, float]


@pytest.fixture
def phone(browser, server):
    """A page on a screen that is touched, on which no script may fail."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, device_scale_factor=2
    )
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    failures: list[str] = []
    opened.on("pageerror", lambda error: failures.append(str(error)))
    yield opened
    context.close()
    assert not failures


def touch(page: Page, *fingers: tuple[Point, Point], steps: int = 6) -> None:
    """Move fingers at once, each from a point of the screen to another, and lift them."""
    session = page.context.new_cdp_session(page)

    def send(kind: str, share: float) -> None:
        points = [
            {"x": begin[0] + share * (end[0] - begin[0]), "y": begin[1] + share * (end[1] - begin[1]), "id": number}
            for number, (begin, end) in enumerate(fingers)
        ]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points if kind != "touchEnd" else []})

    send("touchStart", 0)
    for step in range(1, steps + 1):
        send("touchMove", step / steps)
    send("touchEnd", 1)
    session.detach()


def inside(box: dict[str, float], x: float, y: float) -> Point:
    """Return a point of a box, given as shares of its sides."""
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def send_pictures(page: Page, *names: str, size: tuple[int, int] = (90, 60)) -> None:
    for name in names:
        file = io.BytesIO()
        Image.effect_noise(size, 50).convert("RGB").save(file, "PNG")
        given = {"name": f"{name}.png", "mimeType": "image/png", "buffer": file.getvalue()}
        page.locator("input[type=file]").set_input_files(given)
        expect(page.get_by_role("button", name=f"{name}.png")).to_have_attribute("aria-pressed", "true")


def test_pictures_are_kept_and_dropped_by_a_finger(phone, server):
    go(phone, server, "upscale")
    send_pictures(phone, "left", "right", "up")
    go(phone, server, "curate")
    counts = phone.get_by_role("status").filter(has_text="kept")
    kept, dropped, open_ = map(int, re.findall(r"\d+", counts.inner_text()))
    card = still_box(phone, ".card")
    touch(phone, (inside(card, 0.3, 0.5), inside(card, 0.8, 0.5)))
    expect(counts).to_have_text(f"{kept + 1} kept, {dropped} dropped, {open_ - 1} to go")
    touch(phone, (inside(card, 0.8, 0.5), inside(card, 0.3, 0.5)))
    expect(counts).to_have_text(f"{kept + 1} kept, {dropped + 1} dropped, {open_ - 2} to go")
    # A finger that goes up scrolls, one that hardly moves does nothing.
    touch(phone, (inside(card, 0.5, 0.8), inside(card, 0.52, 0.2)))
    card = still_box(phone, ".card")
    touch(phone, (inside(card, 0.5, 0.5), inside(card, 0.55, 0.5)))
    settle(phone)
    expect(counts).to_have_text(f"{kept + 1} kept, {dropped + 1} dropped, {open_ - 2} to go")
    phone.get_by_role("button", name="Undo").tap()
    expect(counts).to_have_text(f"{kept + 1} kept, {dropped} dropped, {open_ - 1} to go")


def test_a_comparison_is_panned_pinched_and_divided_by_fingers(phone, server):
    go(phone, server, "upscale")
    send_pictures(phone, "pinched")
    expect(phone.get_by_text(re.compile(r"[Uu]pscaled live in \d+ ms"))).to_be_visible()
    settle(phone)
    viewer, part = still_box(phone, "#viewer"), "#viewer canvas[role=img]"
    before = still_box(phone, part)
    middle, out = inside(viewer, 0.3, 0.3), 0.35  # beside the divider
    touch(
        phone,
        (inside(viewer, 0.45, 0.3), inside(viewer, 0.5 - out, 0.3)),
        (inside(viewer, 0.55, 0.3), inside(viewer, 0.5 + out, 0.3)),
        steps=10,
    )
    settle(phone)
    phone.wait_for_function(
        "([part, width]) => document.querySelector(part).getBoundingClientRect().width > 1.5 * width",
        arg=[part, before["width"]],
    )
    zoomed = still_box(phone, part)
    touch(phone, (middle, (middle[0] - 60, middle[1] + 40)))
    phone.wait_for_function(
        "([part, x]) => document.querySelector(part).getBoundingClientRect().x < x - 30", arg=[part, zoomed["x"]]
    )
    handle = still_box(phone, ".handle")
    touch(phone, (inside(handle, 0.5, 0.5), inside(viewer, 0.2, 0.5)))
    expect(phone.get_by_role("slider", name="Divider")).to_have_js_property("value", "0.2")
    expect(phone.locator(".error")).to_have_count(0)


def test_the_lens_follows_a_finger(phone, server):
    go(phone, server, "upscale")
    send_pictures(phone, "lens")
    phone.get_by_role("button", name="Lens", exact=True).tap()
    viewer, lens = still_box(phone, "#viewer"), still_box(phone, ".loupe")
    assert abs(lens["x"] + lens["width"] / 2 - viewer["x"] - viewer["width"] / 2) < 2
    phone.touchscreen.tap(*inside(viewer, 0.25, 0.6))
    phone.wait_for_function(
        "x => { const box = document.querySelector('.loupe').getBoundingClientRect();"
        " return Math.abs(box.x + box.width / 2 - x) < 2; }",
        arg=inside(viewer, 0.25, 0.6)[0],
    )


def test_a_finger_draws_and_does_not_scroll(phone, server):
    go(phone, server, "paint")
    phone.get_by_label("Painter").select_option(label="street")
    phone.get_by_role("button", name="New street").tap()
    phone.wait_for_selector("#labels")
    settle(phone)
    undo = phone.get_by_role("button", name="Undo")
    expect(undo).to_be_disabled()
    phone.locator("#labels").scroll_into_view_if_needed()
    before = phone.evaluate("() => document.querySelector('main').scrollTop")
    labels = still_box(phone, "#labels")
    touch(phone, (inside(labels, 0.4, 0.2), inside(labels, 0.5, 0.9)))
    expect(undo).to_be_enabled()
    assert phone.evaluate("() => document.querySelector('main').scrollTop") == before
    # By the mouse: of Chromium's emulated taps, one that follows a drag at once is often no click.
    undo.click()
    expect(undo).to_be_disabled()


def test_a_view_is_turned_by_a_finger(phone, server):
    go(phone, server, "fly")
    phone.get_by_label("Place").select_option(label="place")
    settle(phone)
    add = phone.get_by_role("button", name="Add this view")
    expect(add).to_be_disabled()
    phone.locator("#view").scroll_into_view_if_needed()
    view = still_box(phone, "#view")
    touch(phone, (inside(view, 0.5, 0.5), inside(view, 0.7, 0.5)))
    expect(add).to_be_enabled()
