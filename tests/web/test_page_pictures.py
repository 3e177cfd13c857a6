"""A picture study from end to end: an endpoint that draws, a learner, a person in a browser, the results."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from browser_kit import Reader, needs_browser, requested
from painter import GREENS, Painter, painting
from selenium import webdriver
from selenium.webdriver.support.wait import WebDriverWait
from test_page_server import served

from palate.study import Study

pytestmark = needs_browser

STUDY = """
[study]
name = "Meadows"
candidates = {candidates}
[target]
kind = "image"
size = "240x180"
[model]
kind = "openai-images"
model = "painter"
base_url = "{url}"
picture_price = 0.02
retry = {{attempts = 1, attempt_timeout = {patience}}}
[proposer_model]
kind = "scripted"
answers = ["An emerald meadow with a sun.", "A mossy meadow with a sun.", "A grassy meadow in spring."]
[prompts]
seed = "A grey meadow. It has no sun."
template = "{{{{prompt}}}}"
list = {prompts}
[proposers]
use = {proposers}
[strategy]
name = "{strategy}"
[inputs]
inline = ["Which is nearer to the meadow that you have in mind?"]
"""

# How green the picture of a side is in its lower half, read from the pixels that the person sees.
GREEN = """
    const done = arguments[1];
    const image = document.querySelector(`#${arguments[0]} img.shown`);
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth;
    canvas.height = image.naturalHeight;
    const pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    done(pen.getImageData(120, 70, 1, 1).data[1]);
"""
READY = (
    "return !document.getElementById('duel').hidden && !document.getElementById('duel').matches('.blank')"
    " && document.querySelectorAll('#duel img.shown').length === 2"
)


@contextmanager
def running(tmp_path: Path, painter: Painter, **options: Any) -> Iterator[tuple[Study, str]]:
    """A study with its learner and its page, as ``palate run`` has them."""
    file = tmp_path / "meadows.toml"
    settings = {
        "candidates": 5,
        "prompts": '["A brown meadow."]',
        "proposers": '["scenes"]',
        "patience": 60,
        "strategy": "default",
        **options,
    }
    file.write_text(STUDY.format(url=painter.url, **settings))
    stop = threading.Event()
    notices: list[str] = []
    with Study.open(file) as study, served(study.store) as link:
        learner = threading.Thread(
            target=study.learn_forever, args=(stop,), kwargs={"on_notice": notices.append}
        )
        learner.start()
        try:
            yield study, link
        finally:
            stop.set()
            painter.released.set()
            learner.join(30)
            assert not learner.is_alive()


@pytest.fixture
def painter() -> Iterator[Painter]:
    with painting() as made:
        yield made


def enter(driver: webdriver.Chrome, link: str, study: Study) -> Reader:
    reader = Reader.__new__(Reader)
    reader.driver, reader.link, reader.store = driver, link, study.store
    driver.get(link)
    return reader


def until(reader: Reader, condition: Callable[[], Any]) -> None:
    """Wait longer than a page may take: pictures are drawn, and a bad endpoint is left alone for a while."""
    WebDriverWait(reader.driver, 90, 0.02).until(lambda _: condition())


def seen(reader: Reader) -> dict[str, int]:
    """How green both sides are, once they are on the screen."""
    until(reader, lambda: reader.js(READY))
    return {side: reader.driver.execute_async_script(GREEN, side) for side in ("left", "right")}


def test_a_person_who_likes_green_gets_a_greener_prompt(
    driver: webdriver.Chrome, tmp_path: Path, painter: Painter
) -> None:
    votes = 14
    with running(tmp_path, painter) as (study, link):
        origin = link.rpartition("/start/")[0]
        driver.get_log("performance")
        driver.get_log("browser")
        reader = enter(driver, link, study)
        for number in range(votes):
            green = seen(reader)
            reader.press("1" if green["left"] > green["right"] else "2")
            reader.until(lambda number=number: len(reader.votes()) > number)
        reader.until(lambda: (study.store.belief() or study.belief()).votes == votes)
        driver.get(f"{origin}/results")
        shown = reader.until(
            lambda: reader.js(
                "const all = [...document.querySelectorAll('.makes img.shown')];"
                "return all.length && all.every((i) => i.complete) && all.map((i) => i.naturalWidth)"
            )
        )
        assert shown == [240, 240]  # the winner's picture, and the first prompt's beside it
        best = reader.text("best")
        assert any(word in best for word in ("emerald", "grassy"))
        page = driver.page_source
        assert "scenes, by scripted, from #1" in page
        assert study.state.failures == {}
        assert "Answers that failed" not in page
        # nothing came from anywhere but Palate, and nothing in the browser complained
        assert [url for url in requested(driver) if not url.startswith(origin)] == []
        assert driver.get_log("browser") == []
        driver.get("about:blank")
    assert len(painter.prompts) == len(set(painter.prompts)) == 5  # each picture was drawn and paid once
    assert study.spent.cost == pytest.approx(5 * 0.02)


MISCHIEF = {
    "A forbidden meadow.": "would not draw this",
    "An enormous meadow.": "answered with over 26866666 bytes",
    "A scripted meadow.": "an SVG or a web page, which can carry scripts",
    "A tiny meadow.": "32 × 32 pixels, not 240 × 180 as asked",
    "A garbled meadow.": "are not a PNG, JPEG, WebP or GIF",
    "A hanging meadow.": "no answer in time",
}


def test_bad_pictures_are_told_to_the_owner_and_shown_to_nobody(
    driver: webdriver.Chrome, tmp_path: Path, painter: Painter
) -> None:
    good = ["A brown meadow.", "A mossy meadow.", "A grassy meadow.", "An emerald meadow."]
    listed = json.dumps([*good, *MISCHIEF])
    options = {"candidates": 11, "prompts": listed, "proposers": "[]", "patience": 8}
    options["strategy"] = "random"  # which tries everybody
    with running(tmp_path, painter, **options) as (study, link):
        origin = link.rpartition("/start/")[0]
        reader = enter(driver, link, study)
        votes = 0
        while {study.state.made[c].text for c, _ in dict(study.state.failures)} != set(MISCHIEF):
            green = seen(reader)
            assert set(green.values()) <= set(GREENS.values())  # only what good prompts draw
            reader.press("1" if green["left"] > green["right"] else "2")
            votes += 1
            reader.until(lambda votes=votes: len(reader.votes()) >= votes)
            assert votes < 60
        voted = {c for vote in reader.votes() for c in (vote.left_candidate, vote.right_candidate)}
        assert {study.state.made[c].text for c in voted}.isdisjoint(MISCHIEF)
        assert reader.js("return window.ran === undefined")
        driver.get(f"{origin}/results")
        rows = reader.js(
            "return [...document.querySelectorAll('.failures tbody tr')].map((row) =>"
            " [row.querySelector('.clip').textContent, row.lastElementChild.textContent])"
        )
        reasons = dict(rows)
        for prompt, reason in MISCHIEF.items():
            assert reason in reasons[prompt]
        driver.get("about:blank")


@pytest.fixture
def looking(driver: webdriver.Chrome, tmp_path: Path, painter: Painter) -> Iterator[Reader]:
    with running(tmp_path, painter, proposers="[]", candidates=2) as (study, link):
        reader = enter(driver, link, study)
        seen(reader)
        yield reader
        driver.get("about:blank")


def views(reader: Reader) -> list[str]:
    return reader.js(
        "return [...document.querySelectorAll('#duel img.shown')].map((image) => image.style.transform)"
    )


def test_both_pictures_stand_in_boxes_of_one_size_and_say_nothing_of_their_makers(looking: Reader) -> None:
    boxes = looking.js(
        "return [...document.querySelectorAll('#duel img.shown')].map((i) => {"
        "const b = i.getBoundingClientRect(); return [Math.round(b.width), Math.round(b.height)]; })"
    )
    assert boxes[0] == boxes[1]
    names = looking.js("return [...document.querySelectorAll('#duel img.shown')].map((i) => i.alt)")
    assert names == ["Picture, 240 × 180 pixels"] * 2
    for hidden in ("diff", "raw"):
        assert not looking.driver.find_element("css selector", f"[data-do={hidden}]").is_displayed()


def test_keys_buttons_and_the_wheel_zoom_and_move_both_as_one(looking: Reader) -> None:
    fit = "translate(0%, 0%) scale(1)"
    assert views(looking) == [fit, fit]
    looking.press("+")
    assert views(looking) == ["translate(0%, 0%) scale(1.5)"] * 2
    assert looking.text("status") == "Zoom 150 %"
    press_with_shift(looking, "\ue014")  # the right arrow shows what lies to the right, and does not vote
    assert views(looking) == ["translate(-15%, 0%) scale(1.5)"] * 2
    for _ in range(4):
        press_with_shift(looking, "\ue014")
    assert views(looking) == ["translate(-25%, 0%) scale(1.5)"] * 2  # the edge stays at the edge
    looking.press("-")
    assert views(looking) == [fit, fit]
    looking.click("zoom_in")
    looking.click("zoom_reset")
    assert views(looking) == [fit, fit]
    wheel(looking, "left", -200)
    zoomed = views(looking)
    assert zoomed[0] == zoomed[1] != fit
    looking.press("0")
    assert views(looking) == [fit, fit]
    assert looking.votes() == []


def test_a_pinch_and_a_finger_do_the_same(phone: None, looking: Reader) -> None:
    box = looking.js("return document.getElementById('right').getBoundingClientRect().toJSON()")
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        listed = [{"x": middle[0] + x, "y": middle[1] + y, "id": n} for n, (x, y) in enumerate(points)]
        looking.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": listed})

    touch("touchStart", (-20, 0), (20, 0))
    touch("touchMove", (-40, 0), (40, 0))
    touch("touchEnd")
    pinched = looking.until(lambda: views(looking)[0] != "translate(0%, 0%) scale(1)" and views(looking))
    assert pinched[0] == pinched[1]
    assert float(pinched[0].split("scale(")[1][:-1]) == pytest.approx(2.0, rel=0.05)
    touch("touchStart", (0, 0))
    touch("touchMove", (box["width"] / 10, 0))
    touch("touchEnd")
    moved = looking.until(lambda: views(looking) != pinched and views(looking))
    assert moved[0] == moved[1]
    assert looking.votes() == []


def press_with_shift(reader: Reader, key: str) -> None:
    keys = webdriver.ActionChains(reader.driver, duration=0)
    keys.key_down("\ue008").send_keys(key).key_up("\ue008").perform()


def wheel(reader: Reader, side: str, amount: int) -> None:
    box = reader.js(f"return document.getElementById('{side}').getBoundingClientRect().toJSON()")
    place = {"x": box["x"] + box["width"] / 3, "y": box["y"] + box["height"] / 3}
    event = {"type": "mouseWheel", "deltaX": 0, "deltaY": amount, **place}
    reader.driver.execute_cdp_cmd("Input.dispatchMouseEvent", event)
    reader.until(lambda: "scale(1)" not in views(reader)[0])
