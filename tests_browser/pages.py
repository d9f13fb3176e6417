"""What tests of several files do with a page."""

from __future__ import annotations

import io
import re
import time

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

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


class Held:
    """Requests that are answered only when a test says so."""

    def __init__(self, page, pattern) -> None:
        self.page, self.holds = page, True
        self.routes: list = []
        page.route(pattern, self._hold)

    def wait(self, count: int = 1) -> None:
        """Wait until so many requests are held."""
        until = time.monotonic() + 60
        while len(self.routes) < count:
            assert time.monotonic() < until, f"{len(self.routes)} of {count} requests came"
            self.page.wait_for_timeout(20)  # in which Playwright hands on what it has heard

    def release(self) -> None:
        """Answer all that are held, and hold no more."""
        self.holds = False
        for route in self.routes:
            route.continue_()
        self.routes.clear()

    def _hold(self, route) -> None:
        if self.holds:
            self.routes.append(route)
        else:
            route.continue_()


def add_picture(page: Page, name: str, size: tuple[int, int] = (40, 30)) -> None:
    """Send a picture of noise to the page Upscale, of a height and width."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(file, "PNG")
    page.locator("input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": file.getvalue()})
    expect(page.get_by_role("button", name=name)).to_have_attribute("aria-pressed", "true")


def is_live(page: Page) -> None:
    """Wait until the middle of the view is upscaled."""
    expect(page.get_by_text(re.compile(r"[Uu]pscaled live in \d+ ms"))).to_be_visible()
    expect(page.locator(".error")).to_have_count(0)
