"""Take the screenshots of docs/studio.md: python scripts/studio_pictures.py ADDRESS, of a studio that runs there.

It needs Playwright and Chromium (`make test-studio` brings both).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

OUT = Path(__file__).parents[1] / "docs/pictures"


def paint(page: Page) -> None:
    """Draw a tree into the street."""
    page.wait_for_selector("#labels")
    page.get_by_role("button", name="tree", exact=True).click()
    box = page.locator("#labels").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"], steps=6)
    page.mouse.up()
    page.wait_for_timeout(2500)
    page.keyboard.press("v")
    page.mouse.click(box["x"] + 0.28 * box["width"], box["y"] + 0.45 * box["height"])


def main() -> None:
    """Open each page and write its picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    address = parser.parse_args().address.rstrip("/")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--use-angle=swiftshader"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        for name in ("upscale", "paint", "explore", "fly"):
            page.goto(f"{address}/#/{name}")
            page.wait_for_selector("main h1")
            if name == "paint":
                paint(page)
            page.wait_for_timeout(4000)
            page.screenshot(path=OUT / f"studio-{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
