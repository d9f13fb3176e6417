"""What tests of several files do with a page."""

from __future__ import annotations

from playwright.sync_api import Page

PAGES = ("upscale", "paint", "explore", "fly", "clips", "watch", "curate", "runs")


def go(page: Page, server, name: str) -> None:
    """Open a page, and wait until it is there."""
    page.goto(f"{server.address}#/{name}")
    page.wait_for_selector(f"nav a[href='#/{name}'][aria-current=page]")
    page.wait_for_selector("main h1")
    page.wait_for_selector(".opening", state="detached")


def settle(page: Page) -> None:
    """Wait until a page has all that it asked for: the first frame of a clip takes a street, which is drawn first."""
    page.wait_for_selector("main[aria-busy=false]", timeout=240_000)


def still_box(page: Page, selector: str) -> dict[str, float]:
    """Return where an element is, once it has been there for two frames."""
    frames = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
    box = page.locator(selector).bounding_box()
    while True:
        page.evaluate(frames)
        again = page.locator(selector).bounding_box()
        if box == again and again and again["width"] > 1:
            return dict(again)
        box = again
