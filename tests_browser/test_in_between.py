"""What is done while something else is under way: before a stroke is painted, an answer has come, a server is back."""

from __future__ import annotations

import json
import re

from playwright.sync_api import Page, expect

from pages import Held, go, settle, still_box

LABELS = """() => { const canvas = document.querySelector('#labels');
    return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.join(); }"""


def open_blank(page: Page, server) -> dict[str, float]:
    go(page, server, "paint")
    page.get_by_label("Painter").select_option(label="street")
    page.get_by_role("button", name="Blank").click()
    settle(page)
    return still_box(page, "#labels")


def stroke(page: Page, box: dict[str, float], *places: tuple[float, float]) -> None:
    for number, (x, y) in enumerate(places):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
        if not number:
            page.mouse.down()
    page.mouse.up()


def test_a_stroke_is_undone_by_a_key_before_it_is_painted(page, server):
    box = open_blank(page, server)
    before = page.evaluate(LABELS)
    held = Held(page, "**/edits")
    page.get_by_role("button", name="car", exact=True).click()
    stroke(page, box, (0.3, 0.5), (0.5, 0.6))
    held.wait()
    page.keyboard.press("Control+z")
    held.release()
    expect(page.get_by_role("button", name="Redo")).to_be_enabled()
    settle(page)
    assert page.evaluate(LABELS) == before
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()


def test_a_thing_that_is_moved_again_before_it_arrived_is_still_the_one_that_moves(page, server):
    box = open_blank(page, server)
    page.get_by_label("Size").fill("4")
    page.get_by_role("button", name="car", exact=True).click()
    stroke(page, box, (0.2, 0.5), (0.22, 0.5))
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    page.keyboard.press("v")
    stroke(page, box, (0.21, 0.5))
    expect(page.locator(".thing strong")).to_have_text("car")
    edits: list[dict] = []
    page.on("request", lambda request: edits.append(json.loads(request.post_data)) if "/edits" in request.url else None)
    held = Held(page, "**/edits")
    move = page.get_by_role("button", name="Move right")
    move.click()
    held.wait()
    move.click()
    move.click()
    held.release()
    page.wait_for_function("() => document.querySelector('main').ariaBusy !== 'true'")
    settle(page)
    assert [each["kind"] for each in edits] == ["move"] * 3
    expect(page.locator(".thing strong")).to_have_text("car")
    shown = still_box(page, ".chosen")  # three times 8 of 64 px to the right
    assert abs((shown["x"] - box["x"]) / box["width"] - 0.2 - 24 / 64) < 0.06


def test_an_answer_that_comes_after_the_event_of_what_followed_does_not_turn_back_a_job(page, server):
    go(page, server, "explore")
    page.get_by_label("Generator").select_option(label="shapes")
    expect(page.locator(".grid button").nth(23)).to_be_visible()
    settle(page)
    answers: list = []

    def late(route):
        if route.request.method == "POST":
            answers.append((route, route.fetch()))  # the server has begun; the page is not told so yet
        else:
            route.continue_()

    page.route(re.compile(r"/api/jobs$"), late)
    page.get_by_role("button", name="Save these").click()
    job = page.locator(".note").first
    expect(job).to_contain_text("done", timeout=120_000)
    (route, answer), *others = answers
    assert not others and answer.json()["state"] in ("queued", "running")
    with page.expect_response(re.compile(r"/api/jobs$")):
        route.fulfill(response=answer)
    expect(page.locator("#said")).to_have_text("The job is queued")  # the answer was taken up
    expect(job).to_contain_text("done")
    expect(job.get_by_role("button", name="Stop")).to_have_count(0)


def test_a_button_that_is_pressed_twice_saves_once(page, server):
    go(page, server, "explore")
    page.get_by_label("Generator").select_option(label="shapes")
    page.get_by_role("button", name="Next seeds").click()
    expect(page.locator(".command code").first).to_contain_text("--seeds 24-47")
    numbers = "() => fetch('/api/jobs').then(answer => answer.json()).then(all => all.length)"
    before = page.evaluate(numbers)
    held = Held(page, re.compile(r"/api/jobs$"))
    page.get_by_role("button", name="Save these").dblclick()
    held.wait(2)
    held.release()
    settle(page)
    assert page.evaluate(numbers) == before + 1


def test_a_page_hears_of_jobs_again_after_the_server_was_restarted(page, server):
    go(page, server, "explore")
    page.get_by_label("Generator").select_option(label="shapes")
    expect(page.locator(".grid button").nth(23)).to_be_visible()
    for number in range(2):
        page.get_by_role("button", name="Next seeds").click()
        expect(page.locator(".command code").first).to_contain_text(f"--seeds {24 * (number + 1)}-")
        page.get_by_label("Truncation").fill(str(0.5 + 0.1 * number))
        expect(page.locator(".command code").first).to_contain_text("--truncation")
        settle(page)
        seen = page.locator(".note strong").count()
        page.get_by_role("button", name="Save these").click()
        if seen < 6:
            expect(page.locator(".note strong")).to_have_count(seen + 1)
        expect(page.locator("#said")).to_have_text(re.compile("^Saved: "), timeout=120_000)
        expect(page.locator(".note strong").first).to_have_text("done")
        if not number:
            page.evaluate("() => { document.getElementById('said').textContent = ''; }")
            server.kill()
            server.start()
            expect(page.locator("#banner")).to_be_hidden()
            page.wait_for_function("() => fetch('/health').then(answer => answer.ok).catch(() => false)")


def test_a_decision_that_is_taken_back_before_it_is_written_stays_taken_back(page, server):
    go(page, server, "curate")
    page.wait_for_selector(".card img")
    settle(page)
    held = Held(page, re.compile(r"/api/curations/[0-9a-f]{16}$"))
    page.keyboard.press("ArrowLeft")
    held.wait()
    page.keyboard.press("u")
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    for _ in range(3):
        page.evaluate("() => new Promise(done => requestAnimationFrame(done))")
    assert len(held.routes) == 1  # two at once might be written in any order
    held.release()
    settle(page)
    page.reload()
    page.wait_for_selector(".card img")
    expect(page.get_by_role("button", name=re.compile(", drop$"))).to_have_count(0)
