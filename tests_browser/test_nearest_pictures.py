"""The training pictures nearest to a sample, on the page Explore."""

from __future__ import annotations

import io
import json
import re

import numpy as np
from PIL import Image
from playwright.sync_api import Page, expect

from pages import Held, go

NEAR, OPEN = "canvas.near", re.compile("^Training pictures nearest to")
READINGS, LOOKS = re.compile(r"/api/neighbours/readings$"), re.compile(r"/api/neighbours$")


def press_sample(page: Page, number: int) -> None:
    page.locator(".grid button").nth(number).click()


def open_shapes(page: Page, server) -> None:
    go(page, server, "explore")
    page.get_by_label("Generator").select_option(label="shapes")
    expect(page.locator(".grid button").nth(23)).to_be_visible()


def test_the_nearest_pictures_of_a_sample_are_shown_with_their_command_and_saved(page, server):
    open_shapes(page, server)
    expect(page.get_by_role("button", name=OPEN)).to_have_count(0)
    press_sample(page, 3)
    page.get_by_role("button", name=OPEN).click()
    expect(page.locator(NEAR)).to_have_count(6)
    expect(page.get_by_label("Among").locator("option:checked")).to_have_text("shapes (trained on)")
    expect(page.get_by_text(re.compile("of the training pictures lie nearer to another one"))).to_have_count(2)
    expect(page.locator("#said")).to_have_text("The nearest training pictures are shown")
    command = page.locator(".work .work .command code")
    expect(command).to_have_text(re.compile("^ganvas neighbours .* --data .*shapes .* --seeds 3 --classes"))
    first = page.locator(NEAR).evaluate_all("all => all.map(each => each.title)")
    assert all(name.endswith(".png") for name in first)
    # Another sample has others; the command follows.
    with page.expect_response(LOOKS) as answered:
        press_sample(page, 7)
    names = json.loads(answered.value.headers["x-found"])["pixels"]["names"]
    expect(page.locator(NEAR).first).to_have_attribute("title", names[0])
    expect(command).to_contain_text("--seeds 7")
    page.get_by_role("button", name="Save as a sheet").click()
    link = page.get_by_role("link", name="neighbours.png")
    with page.expect_download() as download:
        link.click()
    assert Image.open(download.value.path()).size == (7 * 34 - 2, 32)


def test_a_generator_without_its_data_says_what_to_do_and_takes_pictures_that_are_sent(page, server):
    page.route(re.compile(r"/sets$"), lambda route: route.fulfill(json=[]))
    go(page, server, "explore")
    page.get_by_label("Generator").select_option(label="fashion")
    expect(page.locator(".grid button").nth(23)).to_be_visible()
    press_sample(page, 0)
    page.get_by_role("button", name=OPEN).click()
    expect(page.locator(".empty")).to_contain_text("Eight or more are needed")
    expect(page.locator(".empty .command code")).to_have_text("ganvas studio pictures")
    page.unroute_all()
    for number in range(8):
        file = io.BytesIO()
        noise = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(noise).save(file, "PNG")
        sent = page.request.put(f"{server.address}api/pictures?name=near-{number}.png", data=file.getvalue())
        assert sent.status == 201
    page.reload()
    page.get_by_label("Generator").select_option(label="fashion")
    expect(page.locator(".grid button").nth(23)).to_be_visible()
    press_sample(page, 0)
    page.get_by_role("button", name=OPEN).click()
    page.get_by_label("Among").select_option(label="sent to the studio")
    expect(page.locator(NEAR)).to_have_count(6)
    expect(page.locator(".error")).to_have_count(0)


def test_answers_for_a_sample_that_is_not_pressed_any_more_are_dropped(page, server):
    open_shapes(page, server)
    held = Held(page, LOOKS)
    press_sample(page, 2)
    page.get_by_role("button", name=OPEN).click()
    held.wait()
    press_sample(page, 2)  # nothing is pressed any more
    expect(page.locator(NEAR)).to_have_count(0)
    press_sample(page, 5)
    press_sample(page, 9)
    held.release()
    expect(page.locator(".work .work .command code")).to_contain_text("--seeds 9")
    expect(page.locator(".figure:not(.old) canvas.near")).to_have_count(6)
    folder = page.get_by_label("Among").input_value()
    wanted = {"model": page.get_by_label("Generator").input_value(), "folder": folder, "seed": 9}
    told = page.request.post(f"{server.address}api/neighbours", data=wanted).headers["x-found"]
    names = page.locator(NEAR).evaluate_all("all => all.map(each => each.title)")
    assert names == [name for space in ("pixels", "features") for name in json.loads(told)[space]["names"]]


def test_the_reading_says_how_far_it_is_and_an_error_stays_in_its_place(page, server):
    open_shapes(page, server)
    page.route(READINGS, lambda route: route.fulfill(json={"done": 64, "total": 500, "is_ready": False}))
    press_sample(page, 1)
    page.get_by_role("button", name=OPEN).click()
    expect(page.get_by_text("Reading 64 of 500 pictures")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Pictures that are read")).to_be_visible()
    told = {"what": "The disk is gone", "why": "", "do": "Plug it in"}
    page.route(
        READINGS,  # before the other, without a moment in which the server itself is asked
        lambda route: route.fulfill(status=400, json=told),
    )
    expect(page.locator(".work .work .error")).to_contain_text("The disk is gone. Plug it in.")
    page.unroute_all()
    press_sample(page, 4)
    expect(page.locator(NEAR)).to_have_count(6)
    expect(page.locator(".error")).to_have_count(0)
