"""The views of a comparison, paths that are moved and loaded, scenes that are opened again, and the token."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from urllib.parse import urlsplit

from playwright.sync_api import Page, expect

from pages import Held, add_picture, go, is_live, settle, still_box

CROP = "#viewer canvas[role=img]"


PRESS_MASK = """() => {
    const box = part => { const {x, y, width, height} = document.querySelector(part).getBoundingClientRect();
        return {x, y, width, height}; };
    const viewer = box('#viewer');
    [...document.querySelectorAll('button')].find(each => each.textContent === 'Mask').click();
    return {viewer, mask: box('#mask'), after: box('#viewer')};
}"""
"""Where the view and the mask are in the moment in which the button is pressed, before another frame is drawn."""

LIES_LIVE = "([x, y]) => document.elementsFromPoint(x, y).some(each => each.classList.contains('live'))"


def style(page: Page, name: str) -> str:
    return str(page.locator(CROP).first.evaluate("(canvas, name) => getComputedStyle(canvas)[name]", name))


def test_a_comparison_is_seen_under_a_lens_side_by_side_and_in_turn(page, server):
    go(page, server, "upscale")
    add_picture(page, "compared.png", (60, 90))
    is_live(page)
    box = still_box(page, "#viewer")
    assert "inset" in style(page, "clipPath")
    page.get_by_role("button", name="Lens", exact=True).click()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    lens = still_box(page, ".loupe")
    assert abs(lens["x"] + lens["width"] / 2 - box["x"] - 0.4 * box["width"]) < 2
    assert style(page, "clipPath").startswith("circle(")
    page.get_by_label("Lens size").fill("0.2")
    assert still_box(page, ".loupe")["width"] < lens["width"]
    # Side by side: two views of the same part, the second with what the model makes of it.
    page.get_by_role("button", name="Side", exact=True).click()
    expect(page.locator("#viewer .half")).to_have_count(2)
    second = page.locator("#viewer .half").nth(1)
    expect(second.locator("canvas[role=img]")).to_be_visible()
    settle(page)
    before = still_box(page, CROP)
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"] + 60, box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_function(
        "([part, x]) => document.querySelector(part).getBoundingClientRect().x > x + 30", arg=[CROP, before["x"]]
    )
    # In turn: one is shown, then the other, until one is chosen.
    page.get_by_role("button", name="Blink", exact=True).click()
    expect(page.locator("#viewer .half")).to_have_count(1)
    shown = "wanted => getComputedStyle(document.querySelector('#viewer canvas[role=img]')).visibility === wanted"
    for wanted in ("hidden", "visible", "hidden"):
        page.wait_for_function(shown, arg=wanted)
    page.get_by_role("button", name="Before", exact=True).click()
    expect(page.locator(".tag")).to_have_text("Before")
    assert style(page, "visibility") == "hidden"
    page.locator("h1").click()
    page.keyboard.press("x")
    expect(page.locator(".tag")).to_have_text("photo-x4")
    assert style(page, "visibility") == "visible"
    expect(page.locator(".error")).to_have_count(0)


def test_two_models_are_compared_and_the_divider_is_dragged_in_the_picture(page, server):
    go(page, server, "upscale")
    add_picture(page, "models.png", (60, 90))
    is_live(page)
    page.get_by_label("Compare with").select_option(label="compact-x4")
    expect(page.locator("#viewer canvas[aria-label='The middle of the view, for comparison']")).to_be_visible()
    expect(page.locator(".tag.before")).to_have_text("compact-x4")
    box, handle = still_box(page, "#viewer"), still_box(page, ".handle")
    page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], handle["y"] + 60, steps=3)
    page.mouse.up()
    expect(page.locator("#divider")).to_have_value("0.75")
    expect(page.locator(".error")).to_have_count(0)


def test_a_mask_that_is_asked_for_before_its_picture_is_open_is_brushed(page, server):
    held = Held(page, re.compile(r"/api/pictures/[0-9a-f]{16}$"))
    go(page, server, "upscale")
    held.wait()
    page.get_by_label("Model").select_option(label="compact-x4")
    page.get_by_label("Blend with").select_option(label="compact-x4-gan")
    page.get_by_role("button", name="Mask", exact=True).click()
    expect(page.get_by_role("button", name="Mask", exact=True)).to_have_attribute("aria-pressed", "true")
    held.release()
    box = still_box(page, "#mask")
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    expect(page.locator(".command code")).to_contain_text("--mix-mask")


def test_a_mask_is_brushed_where_a_part_is_upscaled_live(page, server):
    go(page, server, "upscale")
    page.get_by_label("Model").select_option(label="compact-x4")
    page.get_by_label("Blend with").select_option(label="compact-x4-gan")
    page.get_by_role("button", name="Mask", exact=True).click()
    box, command = still_box(page, "#mask"), page.locator(".command code")
    for height in (0.4, 0.6):
        left, right, y = (
            box["x"] + 0.3 * box["width"],
            box["x"] + 0.6 * box["width"],
            box["y"] + height * box["height"],
        )
        page.wait_for_function(LIES_LIVE, arg=[right, y])
        before = command.inner_text()
        page.mouse.move(left, y)
        page.mouse.down()
        page.mouse.move(right, y, steps=4)
        page.mouse.up()
        expect(command).not_to_have_text(before)
        expect(command).to_contain_text("--mix-mask")


def test_a_mask_lies_over_its_picture_from_its_first_moment(page, server):
    go(page, server, "upscale")
    page.get_by_label("Model").select_option(label="compact-x4")
    page.get_by_label("Blend with").select_option(label="compact-x4-gan")
    is_live(page)
    settle(page)
    boxes = page.evaluate(PRESS_MASK)
    assert boxes["viewer"] == boxes["after"]  # the controls that come with it move nothing
    assert boxes["mask"] == still_box(page, "#mask")


def test_a_whole_path_is_moved_and_another_is_loaded(page, server):
    go(page, server, "fly")
    page.get_by_label("Place").select_option(label="place")
    expect(page.locator(".command code")).to_contain_text("--through")
    settle(page)
    model = page.get_by_label("Place").input_value()
    ask = "model => fetch(`/api/models/${model}/cameras`).then(answer => answer.json())"
    cameras = page.evaluate(ask, model)["cameras"]
    through = page.get_by_role("textbox", name="Through")
    through.fill("0, 3, 5")
    with page.expect_request("**/api/paths") as asked:
        through.press("Tab")
    assert json.loads(asked.value.post_data)["through"] == [0, 3, 5]
    settle(page)
    with page.expect_request("**/api/paths") as asked:
        page.get_by_role("button", name="Path right").click()
    moved = json.loads(asked.value.post_data)["through"]
    ways = [[after[axis] - cameras[number][axis] for axis in (3, 7, 11)] for after, number in zip(moved, (0, 3, 5))]
    for way in ways:  # each went the same way, and looks where it looked
        assert max(abs(one - other) for one, other in zip(way, ways[0])) < 1e-9 and any(abs(one) > 1e-3 for one in way)
    for after, number in zip(moved, (0, 3, 5)):
        assert all(after[place] == cameras[number][place] for place in (0, 1, 2, 4, 5, 6, 8, 9, 10, 12))
    expect(through).to_have_value("own, own, own")
    expect(page.locator(".command code")).to_contain_text(re.compile("--camera .*/flights/"))
    settle(page)
    # And by the mouse, in space.
    page.get_by_role("button", name="Move path").click()
    box = still_box(page, "#space canvas")
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.55 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.6 * box["height"], steps=4)
    with page.expect_request("**/api/paths") as asked:
        page.mouse.up()
    dragged = json.loads(asked.value.post_data)["through"]
    ways = [[after[axis] - before[axis] for axis in (3, 7, 11)] for after, before in zip(dragged, moved)]
    assert any(abs(one) > 1e-3 for one in ways[0])
    assert all(max(abs(one - other) for one, other in zip(way, ways[0])) < 1e-6 for way in ways)
    settle(page)
    flight = re.search(r"flights/\w+\.json", page.locator(".command code").inner_text())
    assert flight
    page.locator("main input[type=file]").set_input_files(server.folder / "work" / flight.group())
    expect(page.get_by_text(re.compile(r"\.json, \d+ frames"))).to_be_visible()
    expect(page.locator(".error")).to_have_count(0)
    broken = {"name": "broken.json", "mimeType": "application/json", "buffer": b"{"}
    page.locator("main input[type=file]").set_input_files(broken)
    expect(page.locator(".error")).to_contain_text("broken.json")


def test_a_scene_is_opened_again_and_a_thing_is_dragged(page, server):
    go(page, server, "paint")
    page.get_by_label("Painter").select_option(label="street")
    page.get_by_role("button", name="Blank").click()
    settle(page)
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_disabled()
    page.get_by_role("button", name="car", exact=True).click()
    page.keyboard.press("l")  # a line, however crooked the way
    box = still_box(page, "#labels")
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])  # noqa: E731
    page.mouse.move(*at(0.2, 0.5))
    page.mouse.down()
    page.mouse.move(*at(0.3, 0.9), steps=3)
    with page.expect_request("**/edits") as asked:
        page.mouse.move(*at(0.4, 0.5), steps=3)
        page.mouse.up()
    assert len(json.loads(asked.value.post_data)["points"]) == 2
    expect(undo).to_be_enabled()
    page.keyboard.press("v")
    page.mouse.move(*at(0.3, 0.5))
    page.mouse.down()
    with page.expect_request("**/edits") as asked:
        page.mouse.move(*at(0.6, 0.5), steps=3)
        page.mouse.up()
    edit = json.loads(asked.value.post_data)
    assert edit["kind"] == "move" and edit["x"] == round(0.3 * 64) and edit["y"] == 0
    expect(page.locator(".thing strong")).to_have_text("car")  # it stays selected where it went
    scene = page.get_by_label("Scene").input_value()
    go(page, server, "runs")
    go(page, server, "paint")
    page.get_by_label("Painter").select_option(label="street")
    expect(page.get_by_label("Scene")).to_have_value(scene)
    expect(undo).to_be_enabled()  # with all its steps


def test_the_token_leaves_the_address_and_nobody_enters_without(browser, server, tmp_path):
    words = [sys.executable, "-m", "ganvas", "studio", "--host", "0.0.0.0", "--port", "0"]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        address = process.stdout.readline().split()[-1]
        assert "#token=" in address
        mine, other = browser.new_context(), browser.new_context()
        page = mine.new_page()
        page.goto(address)
        page.wait_for_selector("#viewer canvas", timeout=120_000)
        assert page.evaluate("() => location.hash") == "#/upscale"
        (cookie,) = mine.cookies()
        assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        assert page.evaluate("() => document.cookie") == ""
        page.reload()
        page.wait_for_selector("#viewer canvas", timeout=120_000)
        parts = urlsplit(address)
        page = other.new_page()
        page.goto(f"{parts.scheme}://{parts.netloc}/")
        expect(page.get_by_role("alert")).to_contain_text("This server asks for its token")
        mine.close()
        other.close()
    finally:
        process.terminate()
        process.wait(60)
