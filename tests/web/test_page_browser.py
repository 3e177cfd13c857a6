"""The page in a real browser: what was shown is what is stored, by key, click and touch."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_kit import Reader, needs_browser, requested
from hostile import PAYLOADS
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from study_kit import StudyKit
from test_page_server import served

from palate.store import Store, StudyState
from palate.types import Ballot, Verdict

pytestmark = needs_browser


@pytest.fixture
def reader(driver: webdriver.Chrome, store: Store, kit: StudyKit) -> Iterator[Reader]:
    kit.pair(20)
    with served(store) as link:
        yield Reader(driver, link, store)
        driver.get("about:blank")


def chosen_text(kit: StudyKit, vote: Any) -> str:
    winner = vote.left_candidate if vote.verdict is Verdict.LEFT else vote.right_candidate
    rank = [candidate.id for candidate in kit.candidates].index(winner)
    return kit.text(rank, int(vote.pairing_id.split("-")[1]))


KEYS = [
    ("1", "left"), (Keys.ARROW_LEFT, "left"), ("a", "left"), ("2", "right"), (Keys.ARROW_RIGHT, "right"),
    ("b", "right"), ("3", "tie"), ("e", "tie"), ("4", "both_bad"), ("s", "skip"), (" ", "skip"),
]  # fmt: skip


def test_every_key_stores_what_it_says_about_the_text_that_was_shown(kit: StudyKit, reader: Reader) -> None:
    seen = []
    for key, verdict in KEYS:
        left, right = reader.until(reader.shown)
        seen.append((verdict, {"left": left, "right": right}.get(verdict)))
        reader.press(key)
    for vote, (verdict, text) in zip(reader.stored(len(KEYS)), seen, strict=True):
        assert vote.verdict == verdict
        assert vote.seconds >= 0
        if text:
            assert chosen_text(kit, vote) == text


@pytest.mark.parametrize("verdict", ["left", "right", "tie", "both_bad", "skip"])
def test_every_button_stores_what_it_says(kit: StudyKit, reader: Reader, verdict: str) -> None:
    left, right = reader.until(reader.shown)
    reader.click(verdict)
    (vote,) = reader.stored(1)
    assert vote.verdict == verdict
    if verdict in ("left", "right"):
        assert chosen_text(kit, vote) == {"left": left, "right": right}[verdict]
    assert reader.until(reader.shown) != (left, right)


def test_space_after_a_click_skips_and_does_not_press_the_button_again(reader: Reader) -> None:
    pair = reader.until(reader.shown)
    reader.click("left")
    reader.until(lambda: reader.shown() not in (None, pair))
    reader.press(" ")
    assert [vote.verdict for vote in reader.stored(2)] == [Verdict.LEFT, Verdict.SKIP]


def test_touch_on_a_phone_in_one_column(phone: None, kit: StudyKit, reader: Reader) -> None:
    left, right = reader.until(reader.shown)
    box = "return document.getElementById(arguments[0]).getBoundingClientRect().toJSON()"
    first, second = reader.js(box, "left"), reader.js(box, "right")
    assert first["left"] == second["left"]
    assert first["bottom"] <= second["top"]
    assert reader.js("return document.documentElement.scrollWidth") <= 390
    for action in ("left", "right", "tie", "both_bad"):
        button = reader.driver.find_element(By.CSS_SELECTOR, f"[data-do={action}]").rect
        assert button["height"] >= 44
        assert button["width"] >= 150
    reader.touch("right")
    (vote,) = reader.stored(1)
    assert (vote.verdict, chosen_text(kit, vote)) == (Verdict.RIGHT, right)
    assert reader.until(reader.shown) != (left, right)


def test_reloading_returns_to_the_same_pair_and_draft(reader: Reader) -> None:
    reader.press("1")
    reader.stored(1)
    pair = reader.until(reader.shown)
    reader.press("c")
    reader.press("half a thought")
    reader.driver.refresh()
    assert reader.until(reader.shown) == pair
    assert reader.js("return document.getElementById('comment').value") == "half a thought"
    assert reader.open_dialog() == ""  # the guidelines were read before
    reader.press("2")
    assert [vote.comment for vote in reader.stored(2)] == [None, "half a thought"]


def test_undo_goes_back_ten_pairs_also_after_a_reload(reader: Reader) -> None:
    pairs = []
    for _ in range(12):
        pairs.append(reader.until(reader.shown))
        reader.press("1")
    reader.stored(12)
    reader.driver.refresh()
    reader.until(reader.shown)
    for number, key in zip(range(11, 1, -1), ["u", Keys.BACKSPACE] * 5, strict=True):
        reader.press(key)
        reader.until(lambda wanted=pairs[number]: reader.shown() == wanted)
    assert len(reader.votes()) == 2
    webdriver.ActionChains(reader.driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
    reader.until(lambda: reader.shown() == pairs[1])
    reader.press("3")
    assert [vote.verdict for vote in reader.stored(2)] == [Verdict.LEFT, Verdict.TIE]


def test_a_held_key_votes_once_and_keys_rest_while_typing(reader: Reader) -> None:
    reader.until(reader.shown)
    for repeat in (False, True, True):
        event = {"type": "keyDown", "key": "1", "code": "Digit1", "text": "1", "autoRepeat": repeat}
        reader.driver.execute_cdp_cmd("Input.dispatchKeyEvent", event)
    reader.stored(1)
    reader.press("c")
    reader.press("12 be sure?")
    reader.press(Keys.ESCAPE)
    reader.press("?")
    assert reader.open_dialog() == "help"
    reader.press("1")
    reader.press(Keys.ESCAPE)
    reader.until(lambda: not reader.open_dialog())
    reader.press("4")
    votes = reader.stored(2)
    assert (votes[1].verdict, votes[1].comment) == (Verdict.BOTH_BAD, "12 be sure?")


def test_skipping_with_a_reason(reader: Reader) -> None:
    reader.until(reader.shown)
    reader.press("S")
    assert reader.open_dialog() == "reasons"
    reader.driver.find_element(By.CSS_SELECTOR, "[data-reason=off_topic]").click()
    (vote,) = reader.stored(1)
    assert (vote.verdict, vote.reason) == (Verdict.SKIP, "off_topic")


def test_the_tab_key_reaches_every_control_and_enter_votes(reader: Reader) -> None:
    reader.until(reader.shown)
    reached = []
    for _ in range(40):
        reader.press(Keys.TAB)
        name = reader.js(
            "const e = document.activeElement;"
            "return [e.dataset.do || e.id || e.getAttribute('href') || '', getComputedStyle(e).outlineStyle]"
        )
        if name[0] and name[0] not in [other for other, _ in reached]:
            reached.append(name)
    names = [name for name, _ in reached]
    for wanted in (
        "guidelines",
        "/results",
        "help",
        "diff",
        "raw",
        "question",
        "left",
        "tie",
        "both_bad",
        "undo",
        "skip",
        "reasons",
        "comment",
    ):
        assert wanted in names
    assert {outline for _, outline in reached} == {"solid"}
    reader.js("document.querySelector('[data-do=tie]').focus()")
    reader.press(Keys.ENTER)
    assert reader.stored(1)[0].verdict is Verdict.TIE
    reader.press(" ")  # on a button, Space presses it and skips nothing
    assert [vote.verdict for vote in reader.stored(2)] == [Verdict.TIE, Verdict.TIE]


def test_a_screen_reader_hears_names_and_news(reader: Reader) -> None:
    reader.until(reader.shown)
    tree = reader.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {
        (node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if "role" in node
    }
    headings = {name for role, name in named if role == "heading"}
    assert {"Which answer is better?", "Question", "Answer A", "Answer B"} <= headings
    buttons = {name for role, name in named if role == "button"}
    assert all(name.strip() for name in buttons)
    for start in ("A is better", "B is better", "Tie", "Both bad", "Undo", "Skip", "Skip, and say why"):
        assert any(name.startswith(start) for name in buttons)
    reader.press("1")
    reader.until(lambda: reader.text("status") == "Saved")


def test_differences_and_raw_text(reader: Reader) -> None:
    reader.until(reader.shown)
    assert reader.js("return document.querySelectorAll('mark').length") == 0
    reader.press("d")
    marks = reader.js("return [...document.querySelectorAll('mark')].map((mark) => mark.textContent)")
    assert sorted(marks) == ["a", "b"]
    reader.press("r")
    assert reader.js("return document.getElementById('left').classList.contains('raw')")
    assert sorted(reader.js("return [...document.querySelectorAll('mark')].map((m) => m.textContent)")) == [
        "a",
        "b",
    ]
    reader.press("d")
    reader.press("r")
    assert reader.js("return document.querySelectorAll('mark').length") == 0


def test_votes_survive_a_server_that_is_away(driver: webdriver.Chrome, store: Store, kit: StudyKit) -> None:
    kit.pair(5)
    with served(store) as link:
        reader = Reader(driver, link, store)
        reader.until(reader.shown)
        driver.execute_cdp_cmd("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        reader.press("1")
        reader.press("2")
        reader.until(lambda: "cannot be reached" in reader.text("alert"))
        assert reader.text("unsent") == "2 not sent yet"
        assert reader.votes() == []
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
        assert [vote.verdict for vote in reader.stored(2)] == [Verdict.LEFT, Verdict.RIGHT]
        reader.until(lambda: reader.text("alert") == "")
        reader.until(reader.shown)
        driver.get("about:blank")


def test_a_refusal_is_shown(driver: webdriver.Chrome, reader: Reader) -> None:
    reader.until(reader.shown)
    driver.delete_all_cookies()
    reader.press("1")
    reader.until(lambda: "Open the newest link" in reader.text("alert"))
    assert reader.votes() == []


def test_waiting_then_done_then_more(driver: webdriver.Chrome, store: Store, kit: StudyKit) -> None:
    with served(store) as link:
        driver.get(link)
        reader = Reader.__new__(Reader)
        reader.driver, reader.link, reader.store = driver, link, store
        reader.until(lambda: reader.open_dialog() == "guidelines")
        reader.press(Keys.ESCAPE)
        reader.until(lambda: "on its way" in reader.text("state-title"))
        kit.pair()
        reader.until(reader.shown)
        reader.press("1")
        reader.until(lambda: "on its way" in reader.text("state-title") and not reader.shown())
        reader.press("?")
        driver.find_element(By.CSS_SELECTOR, "#help [data-do=finish]").click()
        reader.until(lambda: "Thank you" in reader.text("state-title"))
        kit.pair()
        driver.find_element(By.CSS_SELECTOR, "[data-do=reopen]").click()
        reader.until(reader.shown)
        driver.get("about:blank")


def test_the_advice_to_stop_is_shown(driver: webdriver.Chrome, store: Store, kit: StudyKit) -> None:
    kit.pair(2)
    kit.believe(stop=True)
    with served(store) as link:
        reader = Reader(driver, link, store)
        advice = reader.until(lambda: driver.find_element(By.ID, "advice").text)
        assert "You can stop now. Twenty more votes would change little." in advice
        driver.get("about:blank")


def test_hostile_answers_do_nothing_in_a_browser(
    driver: webdriver.Chrome, store: Store, kit: StudyKit
) -> None:
    payloads = PAYLOADS[::3]
    for payload in payloads:
        kit.pair(1, first=payload, second=f"Harmless. {payload}")
    with served(store) as link:
        origin = link.rpartition("/start/")[0]
        driver.get_log("performance")
        driver.get_log("browser")
        reader = Reader(driver, link, store)
        for number in range(len(payloads)):
            reader.until(lambda number=number: number == len(reader_ids(reader)))
            reader.press("r" if number % 7 == 0 else "d")
            reader.press("4")
        reader.stored(len(payloads))
        assert reader.js("return window.ran === undefined")
        assert reader.js("return document.querySelectorAll('body iframe, #duel img, #duel form').length") == 0
        requests = requested(driver)
        assert [url for url in requests if not url.startswith(origin)] == []
        assert len(requests) > len(payloads)
        assert driver.get_log("browser") == []
        driver.get("about:blank")


def reader_ids(reader: Reader) -> list[Any]:
    """Votes so far, once the next pair is on the screen."""
    return reader.votes() if reader.shown() else [None] * 10_000


def test_another_site_can_neither_read_nor_vote(
    driver: webdriver.Chrome, store: Store, kit: StudyKit, tmp_path: Path
) -> None:
    kit.pair(2)
    with served(store) as link:
        reader = Reader(driver, link, store)
        reader.until(reader.shown)
        origin = link.rpartition("/start/")[0]
        attack = tmp_path / "attack.html"
        attack.write_text("<!doctype html><title>elsewhere</title>")
        driver.get(attack.as_uri())
        script = """
          const [origin, done] = [arguments[0], arguments[1]];
          const post = {method: "POST", credentials: "include", body: "{}"};
          const tries = [
            fetch(origin + "/api/duels", {credentials: "include"}),
            fetch(origin + "/api/close", {...post, mode: "no-cors"}),
            fetch(origin + "/api/close", {...post, headers: {"content-type": "application/json"}}),
          ];
          Promise.allSettled(tries).then((all) => done(all.map((one) => one.status)));
        """
        outcome = driver.execute_async_script(script, origin)
        assert outcome == ["rejected"] * 3
        assert StudyState.replay(store.events()).closed is None
        driver.get("about:blank")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (640, 400), (390, 844), (320, 640), (1920, 1080)])
@pytest.mark.parametrize("path", ["/", "/results", "/statistics"])
def test_nothing_is_cut_off_at_any_size_or_zoom(
    driver: webdriver.Chrome, store: Store, kit: StudyKit, width: int, height: int, path: str
) -> None:
    if path == "/statistics":
        kit.pair(30)
        for duel in store.open_duels("somebody with a rather long name", 30):
            store.vote(Ballot(duel.id, Verdict.LEFT, duel.judge, f"key-{duel.id}"))
    kit.pair(3)
    kit.believe(stop=True)
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    with served(store) as link:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        reader = Reader(driver, link, store)
        reader.until(reader.shown)
        if path != "/":
            driver.get(link.rpartition("/start/")[0] + path)
        assert reader.js("return document.documentElement.scrollWidth") <= width
        if path == "/":
            reader.js("document.querySelector('[data-do=right]').scrollIntoView()")
            button = driver.find_element(By.CSS_SELECTOR, "[data-do=right]")
            assert button.is_displayed()
            button.click()
            reader.stored(1)
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.get("about:blank")


def test_two_tabs_and_one_vote(reader: Reader) -> None:
    pair = reader.until(reader.shown)
    first = reader.driver.current_window_handle
    reader.driver.switch_to.new_window("tab")
    reader.driver.get(reader.link)
    assert reader.until(reader.shown) == pair
    reader.press("1")
    reader.stored(1)
    reader.driver.close()
    reader.driver.switch_to.window(first)
    reader.press("2")
    reader.until(lambda: "had a vote already" in reader.text("alert"))
    assert [vote.verdict for vote in reader.votes()] == [Verdict.LEFT]
    reader.until(lambda: reader.shown() not in (None, pair))


def test_scrolling_one_answer_scrolls_the_other(
    driver: webdriver.Chrome, store: Store, kit: StudyKit
) -> None:
    kit.pair(1, first="line\n\n" * 200, second="line\n\n" * 100)
    with served(store) as link:
        reader = Reader(driver, link, store)
        reader.until(reader.shown)
        reader.js(
            "const left = document.getElementById('left'); left.focus();"
            "left.scrollTop = (left.scrollHeight - left.clientHeight) / 2;"
        )
        share = (
            "const right = document.getElementById('right');"
            "return right.scrollTop / (right.scrollHeight - right.clientHeight)"
        )
        reader.until(lambda: abs(reader.js(share) - 0.5) < 0.02)
        driver.get("about:blank")
