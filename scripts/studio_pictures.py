"""Take the pictures of the studio: python scripts/studio_pictures.py [--all FOLDER].

It starts a studio with nothing. Without --all it writes the screenshots of docs/studio.md and the animated picture of
the README; with it, every page wide, dark and narrow, to be looked at. It needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from studio_timings import started

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("upscale", "paint", "explore", "fly", "clips", "watch", "curate", "runs")
FORMS = {"wide": (1280, 860, "light"), "dark": (1280, 860, "dark"), "narrow": (390, 844, "light")}
FILM_PX = (960, 600)


def settle(page: Page) -> None:
    """Wait until a page has all that it asked for."""
    page.wait_for_timeout(60)  # in which it asks
    page.wait_for_selector("main[aria-busy=false]", timeout=180_000)


def go(page: Page, address: str, name: str) -> None:
    """Open a page with something to see on it."""
    page.goto(f"{address}/#/{name}")
    page.wait_for_selector(f"nav a[href='#/{name}'][aria-current=page]")
    settle(page)


def stroke(page: Page, label: str, begin: tuple[float, float], end: tuple[float, float]) -> Iterator[None]:
    """Draw with a class across the label map, a step at a time; places are shares of its sides."""
    page.get_by_role("button", name=label, exact=True).click()
    box = page.locator("#labels").bounding_box()
    assert box is not None
    for number in range(7):
        x, y = (first + (last - first) * number / 6 for first, last in zip(begin, end))
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if not number:
            page.mouse.down()
        yield
    page.mouse.up()
    settle(page)
    yield


def film(page: Page, address: str) -> Iterator[int]:
    """Use the studio, and yield for how many milliseconds what is seen now is to stay."""
    go(page, address, "upscale")
    for number in range(13):
        page.locator("#divider").fill(str(0.85 - 0.055 * number))
        yield 90
    yield 900
    go(page, address, "paint")
    yield 900
    for _ in stroke(page, "tree", (0.26, 0.25), (0.3, 0.62)):
        yield 90
    yield 900
    for _ in stroke(page, "car", (0.6, 0.72), (0.7, 0.74)):
        yield 90
    yield 1200
    go(page, address, "explore")
    yield 900
    for number in (3, 10):
        page.locator(".grid button").nth(number).click()
    settle(page)
    for number in range(9):
        page.get_by_label("Way").fill(str(number / 8))
        settle(page)
        yield 120
    yield 600
    go(page, address, "fly")
    for number in range(12):
        page.get_by_role("slider", name="Frame").fill(str(8 * number))
        settle(page)
        yield 120
    yield 900


def write_film(page: Page, address: str, path: Path) -> None:
    """Write the animated picture of the README."""
    frames, times = [], []
    for milliseconds in film(page, address):
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        frames.append(shot.resize((FILM_PX[0] * 3 // 4, FILM_PX[1] * 3 // 4), Image.Resampling.LANCZOS))
        times.append(milliseconds)
    path.parent.mkdir(parents=True, exist_ok=True)
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=times, loop=0, quality=72, method=6)
    print(f"{path}: {len(frames)} frames, {path.stat().st_size / 1e6:.2f} MB")


def new_page(browser: Browser, width: int, height: int, scheme: str) -> Page:
    """Return a page of a size, light or dark."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)  # pyright: ignore
    page.set_default_timeout(180_000)
    return page


def main() -> None:
    """Write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="every page, wide, dark and narrow")
    everything = parser.parse_args().all
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        process, address, _ = started(folder)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        try:
            if everything:
                everything.mkdir(parents=True, exist_ok=True)
                for form, size in FORMS.items():
                    page = new_page(browser, *size)
                    for name in PAGES:
                        go(page, address, name)
                        page.screenshot(path=everything / f"{name}-{form}.png")
                    page.close()
            else:
                page = new_page(browser, 1280, 800, "light")
                for name in ("paint", "explore", "fly"):
                    go(page, address, name)
                    if name == "paint":
                        list(stroke(page, "tree", (0.26, 0.25), (0.3, 0.62)))
                    page.screenshot(path=DOCS / f"pictures/studio-{name}.png")
                page.close()
                write_film(new_page(browser, *FILM_PX, "light"), address, DOCS / "pictures/studio.webp")
        finally:
            browser.close()
            process.terminate()
            process.wait(30)


if __name__ == "__main__":
    main()
