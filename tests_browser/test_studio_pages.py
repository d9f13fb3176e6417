"""Each page as a person uses it: by mouse, by keyboard, by touch, and after the server was killed."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from pages import PAGES, go, settle, still_box


def pixels(page: Page, selector: str) -> np.ndarray:
    """Return what a canvas shows: (H, W, 4)."""
    script = """canvas => ({width: canvas.width, height: canvas.height,
        data: [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]})"""
    found = page.locator(selector).evaluate(script)
    return np.array(found["data"], np.uint8).reshape(found["height"], found["width"], 4)


@pytest.mark.parametrize("name", PAGES)
def test_every_page_opens_and_says_what_it_is(page, server, name):
    go(page, server, name)
    settle(page)
    assert page.locator("nav a[aria-current=page]").count() == 1
    assert page.locator(".error").count() == 0
    for control in page.locator("main button, main select, main input").all():
        label = control.evaluate(
            "each => (each.labels?.[0]?.textContent ?? '') + (each.getAttribute('aria-label') ?? '') + each.textContent"
        )
        assert label.strip(), control


def test_keys_change_the_page_and_show_themselves(page, server):
    go(page, server, "upscale")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page).to_have_title(re.compile("Runs and models"))
    page.keyboard.press("?")
    expect(page.locator("dialog#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog#help")).to_be_hidden()


def test_a_picture_is_sent_compared_and_saved(page, server, tmp_path):
    path = tmp_path / "mine.png"
    Image.effect_noise((80, 60), 50).convert("RGB").save(path)
    go(page, server, "upscale")
    page.locator("input[type=file]").set_input_files(path)
    expect(page.get_by_role("button", name="mine.png")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_text(re.compile(r"[Uu]pscaled live in \d+ ms"))).to_be_visible()
    divider = page.locator("#divider")
    divider.focus()
    before = float(divider.input_value())
    page.keyboard.press("ArrowRight")
    assert float(divider.input_value()) > before
    page.locator("h1").click()
    page.get_by_label("Model").select_option(label=page.get_by_label("Model").locator("option").all_inner_texts()[0])
    page.get_by_role("button", name="Save", exact=True).click()
    link = page.get_by_role("link", name=re.compile(r"^mine-.*\.png"))
    expect(link).to_be_visible(timeout=60_000)
    with page.expect_download() as download:
        link.click()
    made = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert made.size[0] in (160, 320)
    expect(page.get_by_text("the saved result, whole")).to_be_visible()


def test_a_broken_file_is_told_in_its_place(page, server, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture at all")
    go(page, server, "upscale")
    page.locator("input[type=file]").set_input_files(tmp_path / "broken.png")
    expect(page.locator(".error")).to_contain_text("broken.png cannot be read")


def test_a_blend_follows_its_slider(page, server):
    go(page, server, "upscale")
    page.get_by_label("Model").select_option(label=re_option(page, "compact-x4"))
    page.get_by_label("Blend with").select_option(label="compact-x4-gan")
    expect(page.locator(".command code")).to_contain_text("--blend compact-x4 compact-x4-gan --mix 0.5")
    page.get_by_label("Mix").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".command code")).to_contain_text("--mix 0.55")


def test_a_mask_says_where_the_second_model_counts(page, server):
    go(page, server, "upscale")
    page.get_by_label("Model").select_option(label=re_option(page, "compact-x4"))
    page.get_by_label("Blend with").select_option(label="compact-x4-gan")
    settle(page)
    page.get_by_role("button", name="Mask", exact=True).click()
    box = still_box(page, "#mask")
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.4 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=4)
    page.mouse.up()
    expect(page.locator(".command code")).to_contain_text(re.compile("--mix-mask .*/masks/"))
    settle(page)
    expect(page.locator(".error")).to_have_count(0)
    assert page.locator("#mask").bounding_box() == box  # brushing does not move the picture
    page.get_by_role("button", name="No mask").click()
    expect(page.locator(".command code")).not_to_contain_text("--mix-mask")


def re_option(page: Page, name: str) -> str:
    texts = page.get_by_label("Model").locator("option").all_inner_texts()
    return next(text for text in texts if text.endswith(f" {name}") or text == name)


def test_a_street_is_painted_restyled_undone_and_survives_a_killed_server(page, server):
    go(page, server, "paint")
    page.get_by_label("Painter").select_option(label="street")
    page.wait_for_selector("#labels")
    page.get_by_role("button", name="New street").click()
    page.wait_for_selector("#labels")
    expect(page.get_by_role("button", name="undo")).to_be_disabled()
    drawn = "() => document.querySelector('#picture').getContext('2d').getImageData(9, 9, 1, 1).data[3] === 255"
    page.wait_for_function(drawn)
    before = pixels(page, "#picture")
    page.get_by_role("button", name="person", exact=True).click()
    box = page.locator("#labels").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.move(box["x"] - 40, box["y"] + box["height"] * 0.5, steps=5)  # leaving the canvas loses no stroke
    page.mouse.up()
    expect(page.get_by_role("button", name="undo")).to_be_enabled()
    painted = pixels(page, "#picture")
    assert not np.array_equal(painted, before)
    page.keyboard.press("v")
    page.mouse.click(box["x"] + box["width"] * 0.45, box["y"] + box["height"] * 0.475)
    expect(page.locator(".thing strong")).to_contain_text("person")
    page.keyboard.press("r")
    page.wait_for_function("() => !document.querySelector('main').textContent.includes('painting')")
    server.kill()
    server.start()
    page.keyboard.press("Control+z")  # what was painted is kept; the steps before the restart are not undone any more
    scene = page.evaluate("() => fetch('/api/scenes').then(answer => answer.json())")[-1]["id"]
    labels = page.evaluate("id => fetch(`/api/scenes/${id}/at?x=20&y=14`).then(answer => answer.json())", scene)
    assert labels["name"] == "person"


def test_samples_are_shown_by_class_and_walked_between(page, server):
    go(page, server, "explore")
    page.get_by_label("Generator").select_option(label="shapes")
    page.wait_for_selector(".grid canvas")
    assert page.locator(".grid canvas").count() == 24
    page.locator(".grid button").nth(0).click()
    page.locator(".grid button").nth(5).click()
    way = page.get_by_label("Way")
    expect(way).to_be_visible()
    page.wait_for_function("() => document.querySelector('#between')?.width === 32")
    first = pixels(page, ".grid button:nth-child(1) canvas")
    way.fill("0")
    settle(page)
    assert np.abs(pixels(page, "#between").astype(int) - first).max() <= 1
    page.get_by_label("Class").select_option(index=1)
    expect(page.locator(".command code")).to_contain_text("--classes 0")


def test_a_place_is_flown_through(page, server):
    go(page, server, "fly")
    page.get_by_label("Place").select_option(label="place")
    expect(page.get_by_text("training cameras", exact=False).first).to_be_visible()
    page.wait_for_function("() => document.querySelector('#view')?.width === 32")
    settle(page)
    first = pixels(page, "#view")
    page.get_by_role("slider", name=re.compile("^Frame")).fill("50")
    settle(page)
    assert not np.array_equal(pixels(page, "#view"), first)
    expect(page.get_by_text(re.compile("Trust: (near|between|guess)"))).to_be_visible()
    page.get_by_role("textbox", name="Through").fill("0,3")
    page.get_by_role("textbox", name="Through").press("Tab")
    expect(page.locator(".command code")).to_contain_text("--through index:0,3")


def test_a_camera_is_led_by_hand(page, server):
    go(page, server, "fly")
    page.get_by_label("Place").select_option(label="place")
    expect(page.locator(".command code")).to_contain_text("--through")
    settle(page)
    page.get_by_role("button", name="clear").click()
    settle(page)
    first = pixels(page, "#view")
    page.locator("h1").click()
    for key in ("ArrowLeft", "w", "ArrowUp"):
        page.keyboard.press(key)
    settle(page)
    assert not np.array_equal(pixels(page, "#view"), first)
    page.get_by_role("button", name="Add this view").click()
    expect(page.get_by_role("textbox", name="Through")).to_have_value("own")
    page.locator("h1").click()
    page.keyboard.press("d")
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="Through")).to_have_value("own, own")
    expect(page.locator(".command code")).to_contain_text(re.compile("--camera .*/flights/"))
    # A line drawn with the mouse is a path, too.
    page.get_by_role("button", name="clear").click()
    page.get_by_role("button", name="Draw", exact=True).click()
    box = page.locator("#space canvas").bounding_box()
    page.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.55 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"], steps=6)
    page.mouse.up()
    expect(page.get_by_role("textbox", name="Through")).to_have_value(re.compile("own, own"))
    settle(page)
    expect(page.get_by_role("slider", name=re.compile("^Frame"))).to_be_visible()
    expect(page.locator(".error")).to_have_count(0)


def test_a_run_is_watched(page, server):
    go(page, server, "watch")
    page.get_by_label("Run").select_option(label="street")
    page.wait_for_selector("#plot canvas")
    expect(page.get_by_role("img", name=re.compile("^Preview"))).to_be_visible()
    expect(page.locator(".command code")).to_contain_text("ganvas train --resume")


def test_pictures_are_kept_and_dropped_by_keys_and_swipes(page, server):
    go(page, server, "upscale")
    for name in ("one", "two", "three"):
        file = io.BytesIO()
        Image.effect_noise((40, 40), 50).convert("RGB").save(file, "PNG")
        page.locator("input[type=file]").set_input_files(
            {"name": f"{name}.png", "mimeType": "image/png", "buffer": file.getvalue()}
        )
        expect(page.get_by_role("button", name=f"{name}.png")).to_be_visible()
    go(page, server, "curate")
    page.wait_for_selector(".card img")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text(re.compile("1 kept, 0 dropped"))).to_be_visible()
    box = page.locator(".card").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(page.get_by_text(re.compile("1 kept, 1 dropped"))).to_be_visible()
    page.keyboard.press("u")
    expect(page.get_by_text(re.compile("1 kept, 0 dropped"))).to_be_visible()
    settle(page)  # it is written
    page.reload()
    expect(page.get_by_text(re.compile("1 kept, 0 dropped"))).to_be_visible()


@pytest.mark.parametrize("name", PAGES)
def test_narrow_screens_need_no_sideways_scrolling(page, server, name):
    page.set_viewport_size({"width": 390, "height": 800})
    go(page, server, name)
    settle(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
