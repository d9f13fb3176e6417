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
