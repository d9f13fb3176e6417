"""Measure how quickly the studio answers: python scripts/studio_timings.py [--strokes 15].

It starts `ganvas studio` with nothing, as a newcomer would, and prints each time beside the goal, with the load.
It needs Playwright and Chromium (`make test-studio` brings both).
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

GOALS = {
    "the server is up": 3.0, "the first page can be used": 1.5, "a stroke at 512 x 256": 0.5,
    "a crop of 256 px at another mix": 0.2,
}  # fmt: skip
SIDE_PX = 4096
"""Of the compared pictures of 16 megapixels."""
WATCH = """() => {
    const canvas = document.querySelector('#viewer canvas'), box = document.createElement('canvas');
    const context = Object.assign(box, {width: 64, height: 64}).getContext('2d', {willReadFrequently: true});
    window.seen = {times: [], blank: [], coarse: []};
    const look = time => {
        context.clearRect(0, 0, 64, 64);
        context.drawImage(canvas, 0, 0, 64, 64);
        const pixels = context.getImageData(0, 0, 64, 64).data;
        let blank = 0;
        for (let place = 3; place < pixels.length; place += 4) blank += pixels[place] < 255;
        window.seen.times.push(time);
        window.seen.blank.push(blank / 4096);
        window.seen.coarse.push(Number(document.querySelector('#viewer').dataset.sharp !== 'true'));
        window.watching = requestAnimationFrame(look);
    };
    window.watching = requestAnimationFrame(look);
}"""
"""Notes for each frame of the page its time, the share of the view in which nothing is drawn, and missing tiles."""


def started(folder: str) -> tuple[subprocess.Popen[bytes], str, float]:
    """Start a studio in an empty folder, and return it, its address, and the seconds until it answered."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "ganvas", "studio", "--port", str(port)], cwd=folder)
    address = f"http://127.0.0.1:{port}"
    while True:
        try:
            httpx.get(f"{address}/health", timeout=2)
            return process, address, time.perf_counter() - began
        except httpx.TransportError:
            if process.poll() is not None:
                raise SystemExit("the studio did not start") from None
            time.sleep(0.02)


def timed(ask) -> float:
    """Return the seconds that a request takes."""
    began = time.perf_counter()
    ask().raise_for_status()
    return time.perf_counter() - began


def strokes(client: httpx.Client, count: int) -> list[float]:
    """Return the seconds of each stroke on a street of 512 x 256, the picture of it included."""
    model = next(each["id"] for each in client.get("/api/models").json() if each["takes"] == "labels")
    scene = client.post("/api/scenes", json={"model": model, "width": 512, "height": 256}).json()["id"]
    seconds = []
    for number in range(count + 1):
        points = [[40 + 20 * number, 120], [60 + 20 * number, 150]]
        stroke = {"kind": "stroke", "points": points, "width_px": 12, "label": 8, "revision": number}
        seconds.append(timed(lambda stroke=stroke: client.post(f"/api/scenes/{scene}/edits", json=stroke)))
    return seconds[1:]  # at the first the network warms up


def crops(client: httpx.Client, count: int) -> list[float]:
    """Return the seconds of crops of 256 px while the mix of two models moves."""
    models = {each["name"]: each["id"] for each in client.get("/api/models").json()}
    picture = client.get("/api/pictures").json()[0]
    wanted = {"picture": picture["id"], "left": 32, "top": 32, "width": 64, "height": 64}
    wanted |= {"model": models["compact-x4"], "blend": models["compact-x4-gan"]}
    asked = [{**wanted, "alpha": 0.1 + 0.8 * number / count} for number in range(count + 1)]
    return [timed(lambda crop=crop: client.post("/api/crops", json=crop)) for crop in asked][1:]


def first_page(address: str) -> float:
    """Return the seconds until the first page can be used."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        began = time.perf_counter()
        page.goto(address)
        page.wait_for_selector("#viewer canvas")
        page.wait_for_selector("button.primary:not([disabled])")
        usable = time.perf_counter() - began
        browser.close()
    return usable


def panning(address: str) -> dict[str, list[float]]:
    """Drag and zoom a comparison of 16 megapixels, and return what was seen frame by frame.

    Seconds since the frame before; the share of the view that is blank though the picture reaches there; whether a
    tile of the finest level that the view wants was still missing, so that a coarser one stood for it.
    """
    noise = np.random.default_rng(0).integers(0, 256, (SIDE_PX // 16, SIDE_PX // 16, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).resize((SIDE_PX // 4, SIDE_PX // 4), Image.Resampling.BICUBIC).save(file, "PNG")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(300_000)
        page.goto(address)
        page.locator("input[type=file]").set_input_files(
            {"name": "large.png", "mimeType": "image/png", "buffer": file.getvalue()}
        )
        page.get_by_role("button", name="large.png").wait_for()
        page.get_by_label("Model").select_option(label="compact-x4")
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_text("The saved result, whole.").wait_for()
        page.wait_for_selector("#viewer[data-sharp=true]")
        box = page.locator("#viewer").bounding_box()
        assert box is not None
        middle = box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2  # beside the divider's grip
        page.mouse.move(*middle)
        for _ in range(10):  # to about a pixel of the result on one of the screen, so that its border stays out of view
            page.mouse.wheel(0, -300)
            page.wait_for_timeout(100)  # wheels that come within 50 ms of each other count as one
        page.wait_for_timeout(1500)
        page.evaluate(WATCH)
        for turn in range(8):
            across, down = ((300, 200), (-300, 150), (-300, -200), (300, -150))[turn % 4]
            page.mouse.move(*middle)
            page.mouse.down()
            page.mouse.move(middle[0] + across, middle[1] + down, steps=20)
            page.mouse.up()
            page.mouse.wheel(0, 300 if turn % 2 else -300)
            page.wait_for_timeout(400)
        seen = page.evaluate("() => { cancelAnimationFrame(window.watching); return window.seen; }")
        browser.close()
    times = [time / 1000 for time in seen.pop("times")]
    return {**seen, "seconds": [later - sooner for sooner, later in pairwise(times)]}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strokes", type=int, default=15)
    count = parser.parse_args().strokes
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        process, address, up = started(folder)
        try:
            with httpx.Client(base_url=address, timeout=120) as client:
                measured = [[up], [first_page(address)], strokes(client, count), crops(client, count)]
            seen = panning(address)
        finally:
            process.terminate()
            process.wait(30)
    print(f"Load {load:.1f} on {os.cpu_count()} cores, {Path(sys.executable).resolve().name}")
    print("what                                    median   worst    goal")
    for (name, goal), seconds in zip(GOALS.items(), measured):
        print(f"{name:38} {statistics.median(seconds):6.2f} s {max(seconds):6.2f} s {goal:6.1f} s")
    frames, blank = len(seen["blank"]), sum(share > 0 for share in seen["blank"])
    median, worst = statistics.median(seen["seconds"]), max(seen["seconds"])
    print(
        f"16 megapixels, dragged and zoomed: {frames} frames, {median:.3f} s each at the median, {worst:.3f} s at worst"
    )
    print(f"  something blank in {blank} frames, {max(seen['blank']):.1%} of the view at most")
    print(f"  a coarser tile stood for a finer one in {statistics.mean(seen['coarse']):.0%} of the frames")


if __name__ == "__main__":
    main()
