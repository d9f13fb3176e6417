"""Two films of one street side by side: they are played together and never part."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, Request, expect

from pages import Held, go, settle

OTHER = re.compile(r"/api/clips/(drawn|frame)$")
SUM = """id => { const canvas = document.querySelector(id);
    return [canvas.width, [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]
        .reduce((sum, value, at) => (sum * 31 + value * (at % 251)) % 1000000007, 0)]; }"""


def frame_of(request: Request) -> tuple[str, int]:
    wanted = json.loads(request.post_data or "")
    return wanted.get("side", "drawn"), wanted["frame"]


def open_beside(page: Page, server, label: str) -> None:
    go(page, server, "clips")
    settle(page)
    page.get_by_label("Beside it").select_option(label=label)
    expect(page.locator("#other")).to_be_visible()
    settle(page)


def test_a_clip_is_played_beside_the_street_it_follows(page, server):
    open_beside(page, server, "the street as it is drawn")
    one, other = page.locator("#frame").bounding_box(), page.locator("#other").bounding_box()
    assert one["y"] == other["y"] and one["width"] == other["width"] and other["x"] >= one["x"] + one["width"]
    first = [page.evaluate(SUM, name) for name in ("#frame", "#other")]
    assert first[0][0] == first[1][0] == 256 and first[0] != first[1]
    asked: list[tuple[str, int]] = []
    page.on("request", lambda request: asked.append(frame_of(request)) if OTHER.search(request.url) else None)
    page.get_by_role("button", name="Play").click()
    expect(page.locator("output").filter(has_text="/ 23")).to_have_text(re.compile(r"^([3-9]|[12]\d) / 23"))
    page.get_by_role("button", name="Pause").click()
    settle(page)
    turns = [(number + 1) % 24 for number in range(len(asked) // 2)]
    assert asked[0::2] == [("one", number) for number in turns]
    assert asked[1::2] == [("drawn", number) for number in turns]
    expect(page.get_by_role("button", name="Save video", exact=True)).to_be_visible()  # only one is generated
    expect(page.locator(".command code")).to_have_count(1)
    page.get_by_label("Beside it").select_option(label="nothing")
    expect(page.locator("#other")).to_have_count(0)
    settle(page)
    expect(page.locator(".error")).to_have_count(0)


def test_a_frame_is_shown_only_when_both_have_come(page, server):
    open_beside(page, server, "the street as it is drawn")
    held = Held(page, re.compile(r"/api/clips/drawn$"))
    before = page.evaluate(SUM, "#frame")
    with page.expect_response(re.compile(r"/api/clips/frame$")) as answered:
        page.get_by_label("Frame", exact=True).fill("5")
    answered.value.finished()
    held.wait()
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate(SUM, "#frame") == before
    held.release()
    page.wait_for_function(f"before => ({SUM})('#frame').join() !== before.join()", arg=before)
    settle(page)
    expect(page.locator(".error")).to_have_count(0)
