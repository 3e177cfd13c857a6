"""Hostile texts in every field of a study, in a real browser: nothing runs, nothing is fetched elsewhere."""

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browser_kit import Reader, needs_browser, requested
from payloads import FAMILIES, PAYLOADS
from selenium import webdriver
from starlette.testclient import TestClient
from study_kit import ORIGIN, PORT, TOKEN, StudyKit
from study_of import fill
from test_page_server import served

from palate.command._say import clean
from palate.report import html_card, markdown_report
from palate.store import Store, StudyState, open_store
from palate.web import create_app
from palate.web._replies import HEADERS

CONTROLS = "".join(map(chr, (*range(9), *range(11, 32), 0x7F, 0x9B, 0x202E, 0x2066)))
POLICY = dict(HEADERS)[b"content-security-policy"].decode()
CHUNK = 55
PAGES = ("/", "/results", "/statistics", "/owner")
# What the browser itself made of a page: whatever could run, fetch, cover or pose, wherever it stands.
AUDIT = """
const bad = [];
const own = (url) => url.startsWith('#') || /^[/](?![/])/.test(url);
for (const e of document.querySelectorAll('*')) {
  const inside = e.closest('#left, #right, #guidelines-text, .makes');
  for (const a of e.attributes) {
    const name = a.name.toLowerCase();
    if (name.startsWith('on') || name === 'style' || name === 'srcdoc') bad.push(name);
    if (/^(src|href|action|formaction|data|poster|ping|srcset|background|xlink:href)$/.test(name)) {
      const link = e.tagName === 'A' && /^(https?:[/][/]|mailto:)/.test(a.value)
        && e.rel === 'noopener noreferrer nofollow' && e.target === '_blank';
      if (!link && !own(a.value)) bad.push(e.tagName + ' ' + a.value.slice(0, 80));
    }
    if (inside && inside !== e && /^(id|name|for|form|accesskey|data-do)$/.test(name)) bad.push(name);
  }
  if (inside && inside !== e && /^(SCRIPT|STYLE|IFRAME|OBJECT|EMBED|FORM|INPUT|BUTTON|SELECT|TEXTAREA|TEMPLATE|VIDEO|AUDIO|IMG|SVG|MATH|DIALOG|DETAILS|META|LINK|BASE|PORTAL|SLOT)$/.test(e.tagName.toUpperCase()))
    bad.push(e.tagName);
}
for (const e of document.querySelectorAll('body script, body iframe, body object, body embed, body base'))
  bad.push(e.tagName);
if (window.ran !== undefined) bad.push('it ran');
return bad;
"""  # noqa: E501


def test_the_corpus_is_large_and_of_many_kinds() -> None:
    assert len(PAYLOADS) >= 400
    assert min(map(len, FAMILIES.values())) >= 12
    assert len(FAMILIES) >= 10
    for family in set(FAMILIES) - {"long", "poses"}:
        assert len(set(FAMILIES[family])) == len(FAMILIES[family])


class Trap(HTMLParser):
    """Finds whether a text, put into a page that guards against nothing, would do anything."""

    def __init__(self) -> None:
        super().__init__()
        self.armed = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.armed = True


def test_most_of_the_corpus_would_do_something_to_an_unguarded_page() -> None:
    armed = 0
    for payload in PAYLOADS:
        trap = Trap()
        trap.feed(payload)
        armed += trap.armed
    assert armed > 250


def quiet(driver: webdriver.Chrome, origin: str) -> int:
    """Check what was asked for and refused since the last time; returns the number of requests."""
    urls, policies = [], []
    for entry in driver.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            urls.append(message["params"]["request"]["url"])
        if message["method"] == "Network.responseReceived" and message["params"]["type"] == "Document":
            headers = {k.lower(): v for k, v in message["params"]["response"]["headers"].items()}
            policies.append(headers.get("content-security-policy"))
    own = "chrome://resources/images/"  # icons of the browser's own controls, which no page can ask for
    assert [url for url in urls if not url.startswith((origin, "about:", "data:text/html,", own))] == []
    assert [policy for policy in policies if policy not in (POLICY, None)] == []
    # The policy is the last line, and nothing got as far as to need it.
    assert driver.get_log("browser") == []
    return len(urls)


@pytest.mark.browser
class TestInABrowser:
    pytestmark = needs_browser

    def test_answers(self, driver: webdriver.Chrome, store: Store) -> None:
        """Each text once on each side, as it is and rendered."""
        kit = StudyKit(store)
        shown = list(zip(PAYLOADS, PAYLOADS[::-1], strict=True))[: (len(PAYLOADS) + 1) // 2]
        assert {text for pair in shown for text in pair} == set(PAYLOADS)
        for left, right in shown:
            kit.pair(1, first=left, second=right)
        with served(store) as link:
            origin = link.rpartition("/start/")[0]
            driver.get("about:blank")
            requested(driver)
            driver.get_log("browser")
            reader = Reader(driver, link, store)
            for number in range(len(shown)):
                reader.until(reader.shown)
                assert reader.js(AUDIT) == []
                if number % 9 == 0:
                    reader.press("r")
                    assert reader.js(AUDIT) == []
                reader.press("4")
                reader.until(lambda number=number: len(reader.votes()) > number)
            assert quiet(driver, origin) > len(shown)
            driver.get("about:blank")

    @pytest.mark.parametrize("kind", ["table", "chat", *range((len(PAYLOADS) + CHUNK - 1) // CHUNK)])
    def test_every_other_field(self, driver: webdriver.Chrome, store: Store, kind: str | int) -> None:
        """Prompts, lineage, inputs, guidelines, comments, judges' names, titles, reasons: on every page."""
        if isinstance(kind, int):
            fill(store, PAYLOADS[kind * CHUNK : (kind + 1) * CHUNK])
        else:
            fill(store, PAYLOADS[::17], kind)
        with served(store) as link:
            origin = link.rpartition("/start/")[0]
            driver.get("about:blank")
            requested(driver)
            driver.get_log("browser")
            driver.get(link)
            for page in PAGES:
                driver.get(origin + page)
                assert driver.current_url == origin + page
                assert driver.execute_script(AUDIT) == [], page
            assert quiet(driver, origin) >= len(PAGES)
            driver.get("about:blank")


class Shape(HTMLParser):
    """The elements of a page and the names of their attributes, without what they say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: Counter[Any] = Counter()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found[tag, tuple(name for name, _ in attrs)] += 1

    def handle_comment(self, data: str) -> None:
        self.found["comment"] += 1

    def handle_decl(self, decl: str) -> None:
        self.found["declaration"] += 1


def page_of(store: Store, path: str) -> str:
    client = TestClient(create_app(store, launch_token=TOKEN, port=PORT), base_url=ORIGIN)
    client.get(f"/start/{TOKEN}")
    reply = client.get(path)
    assert reply.status_code == 200, (path, reply.text[:300])
    assert reply.headers["content-security-policy"] == POLICY
    return reply.text


def reported(store: Store) -> tuple[Counter[Any], str]:
    """What a notebook shows, as a shape, and the report as text."""
    state = StudyState.replay(store.events())
    candidates = {**state.candidates, **state.withdrawn}
    card = html_card(str(state.settings["study"]), store.belief(), candidates)
    return Shape(card).found, markdown_report(store.belief(), candidates, cost="$0")


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hostile_study_has_the_shape_of_a_harmless_one(memory: Path, family: str) -> None:
    shapes: list[dict[str, Counter[Any]]] = []
    taken = FAMILIES[family][:CHUNK]
    harmless = [f"{'- **long**' * (n % 5)} text {n}" for n in range(len(taken))]
    for name, texts in (("evil", taken), ("good", harmless)):
        with open_store(memory / f"{name}.db") as store:
            fill(store, texts)
            shapes.append({path: Shape(page_of(store, path)).found for path in PAGES})
            shapes[-1]["card"], text = reported(store)
            assert not set(clean(text)) & set(CONTROLS)
    evil, good = shapes
    # How many words differ, and which measures of style there are to show, depends on the words.
    for words in ("ins", "del"):
        evil["/results"].pop((words, ()), None)
        good["/results"].pop((words, ()), None)
    assert set(evil.pop("/statistics")) <= set(good.pop("/statistics"))
    assert evil == good
