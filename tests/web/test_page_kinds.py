"""Pictures, tables and chats on the page: what is shown, what is cut, and what can do nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from browser_kit import Reader, needs_browser, requested
from hostile import PAYLOADS
from selenium import webdriver
from starlette.testclient import TestClient
from study_kit import StudyKit
from test_page_render import read
from test_page_server import served

from palate.kinds import Picture, chat_content, picture_content, table_content
from palate.store import EventKind, Store, pairing_payload
from palate.types import Message, Pairing, Response
from palate.web._answers import CELL, COLUMNS, ROWS, TURNS, AnswerRenderer
from palate.web._render import Renderer
from palate.web._words import read_words

PNG = b"\x89PNG\r\n\x1a\n" + bytes(30)
PICTURE = Response("image", picture_content(Picture("image/png", 640, 480, PNG)))


@pytest.fixture
def renderer() -> AnswerRenderer:
    words = read_words()
    return AnswerRenderer(Renderer(words), words)


def html(renderer: AnswerRenderer, response: Response) -> str:
    return str(renderer.answer(response)["html"])


def pair(kit: StudyKit, first: Response, second: Response) -> list[str]:
    number = kit.pairings
    kit.pairings += 1
    hashes = [kit.store.put_response(f"kinds-{number}-{n}", r) for n, r in enumerate((first, second))]
    one, two = kit.candidates[:2]
    pairing = Pairing(f"pairing-{number}", "i1", one.id, two.id, *hashes)
    kit.store.append(EventKind.PAIRING_OPENED, pairing_payload(pairing))
    return hashes


def test_a_picture_is_served_by_palate_under_its_hash_and_nothing_else_is(
    page: TestClient, outsider: TestClient, kit: StudyKit
) -> None:
    text = Response("text", "words")
    hashes = pair(kit, PICTURE, text)
    duel = page.get("/api/duels").json()["duels"][0]
    side = "left" if duel["left"]["kind"] == "image" else "right"
    shown = duel[side]
    assert shown == {
        "kind": "image",
        "raw": "[picture, 640 × 480 pixels]",
        "picture": f"/pictures/{hashes[0]}",
        "html": f'<img class="shown" src="/pictures/{hashes[0]}" width="640" height="480" '
        'alt="Picture, 640 × 480 pixels">',
    }
    reply = page.get(shown["picture"])
    assert (reply.status_code, reply.content) == (200, PNG)
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    assert reply.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
    assert reply.headers["cache-control"] == "private, max-age=31536000, immutable"
    for address in (hashes[1], "0" * 64, "0" * 63, hashes[0].upper(), "..%2Fstatic%2Fvote.js", ""):
        assert page.get(f"/pictures/{address}").status_code == 404
    assert page.post(shown["picture"], json={}).status_code == 405
    page.cookies.clear()
    assert page.get(shown["picture"]).status_code == 403


@pytest.mark.parametrize(
    "content",
    [
        "garbage",
        json.dumps({"media_type": "image/svg+xml", "width": 1, "height": 1, "base64": "PHN2Zz4="}),
        json.dumps({"media_type": "text/html", "width": 1, "height": 1, "base64": "PHN2Zz4="}),
        json.dumps({"media_type": "image/png", "width": 1, "height": 1, "base64": "PHN2Zz4="}),
        json.dumps({"media_type": 'image/png" onerror="x', "width": 1, "height": 1, "base64": ""}),
    ],
)
def test_what_is_no_picture_is_neither_shown_nor_served(
    page: TestClient, kit: StudyKit, content: str
) -> None:
    hashes = pair(kit, Response("image", content), PICTURE)
    duel = page.get("/api/duels").json()["duels"][0]
    shown = next(duel[side] for side in ("left", "right") if duel[side]["kind"] != "image")
    assert shown["kind"] == "text"
    assert "cannot be shown" in read(shown["html"]).text
    assert page.get(f"/pictures/{hashes[0]}").status_code == 404


def test_a_table_is_escaped_and_numbers_stand_to_the_right(renderer: AnswerRenderer) -> None:
    content = table_content(
        ["<b>x</b>", "n"], [["<script>window.ran=1</script>", 3], [None, True], ["a\nb", -0.5]]
    )
    shown = html(renderer, Response("table", content))
    assert shown == (
        "<table><thead><tr><th>&lt;b&gt;x&lt;/b&gt;</th><th>n</th></tr></thead><tbody>"
        '<tr><td>&lt;script&gt;window.ran=1&lt;/script&gt;</td><td align="right">3</td></tr>'
        '<tr><td></td><td>True</td></tr><tr><td>a\nb</td><td align="right">-0.5</td></tr></tbody></table>'
    )


def test_large_tables_are_cut_and_say_what_is_missing(renderer: AnswerRenderer) -> None:
    columns = [f"c{n}" for n in range(COLUMNS + 5)]
    shown = html(renderer, Response("table", table_content(columns, [list(columns)] * (ROWS + 300))))
    assert f"{ROWS} of {ROWS + 300} rows are shown. {COLUMNS} of {COLUMNS + 5} columns are shown." in shown
    assert shown.count("<td") == ROWS * COLUMNS
    long = html(renderer, Response("table", table_content(["a"], [["q" * 5000]] * 3)))
    assert long.count("q") == 3 * CELL
    assert f"3 long cells are cut at {CELL} characters." in long
    heavy = html(renderer, Response("table", table_content([*"abcdefghij"], [["z" * 300] * 10] * 190)))
    assert "66 of 190 rows are shown." in heavy  # 200,000 / 3,000


def test_a_chat_is_turns_and_keeps_the_prompt_to_itself(renderer: AnswerRenderer) -> None:
    turns = [Message("system", "The secret."), Message("user", "**Hello**"), Message("assistant", "# Hi")]
    shown = html(renderer, Response("chat", chat_content(turns)))
    assert shown == (
        '<div class="chat"><section class="turn user"><p class="who">Person</p>'
        '<div dir="auto"><p><strong>Hello</strong></p>\n</div></section>'
        '<section class="turn assistant"><p class="who">Assistant</p>'
        '<div dir="auto"><h1>Hi</h1>\n</div></section></div>'
    )
    assert "secret" not in str(renderer.answer(Response("chat", chat_content(turns))))


def test_long_chats_are_cut_and_say_so(renderer: AnswerRenderer) -> None:
    many = html(renderer, Response("chat", chat_content([Message("user", "hm")] * (TURNS + 7))))
    assert many.count("<section") == TURNS
    assert f"{TURNS} of {TURNS + 7} turns are shown." in many
    heavy = html(renderer, Response("chat", chat_content([Message("user", "w" * 250_000)] * 5)))
    assert heavy.count("<section") == 2
    assert "2 of 5 turns are shown." in heavy


def inert(shown: str) -> None:
    """The blocks of a chat are ours; what stands in them must be inert."""
    for tag in ("section", "div"):
        shown = shown.replace(f"</{tag}>", "")
    for block in ('<div class="chat">', '<div dir="auto">', '<p class="who">'):
        shown = shown.replace(block, "<p>")
    for role in ("user", "assistant"):
        shown = shown.replace(f'<section class="turn {role}">', "")
    read(shown)


@pytest.mark.parametrize("payload", PAYLOADS[::2])
def test_hostile_tables_and_chats_come_out_inert(renderer: AnswerRenderer, payload: str) -> None:
    read(html(renderer, Response("table", table_content([payload, "b"], [[payload, 1], ["x", payload]]))))
    inert(
        html(
            renderer,
            Response("chat", chat_content([Message("user", payload), Message("assistant", payload)])),
        )
    )
    for kind in ("table", "chat", "image", "plot"):
        read(html(renderer, Response(kind, payload)))


def test_answers_are_remembered_and_memory_is_bounded(renderer: AnswerRenderer) -> None:
    first = renderer.answer(PICTURE)
    assert renderer.answer(PICTURE) is first
    for number in range(100):
        renderer.answer(Response("table", table_content(["n"], [[number]])))
    assert len(renderer._kept) == 64
    assert renderer.answer(PICTURE) == first


def test_the_results_show_what_the_best_prompt_makes_and_what_failed(page: TestClient, kit: StudyKit) -> None:
    other = Response("image", picture_content(Picture("image/png", 64, 48, PNG + b"x")))
    hashes = pair(kit, PICTURE, other)
    evil = "<img src=x onerror=window.ran=1>"
    failed = {
        "candidate_id": kit.candidates[2].id,
        "input_id": "i1",
        "reason": f"painter answered with {evil}",
    }
    kit.store.append(EventKind.RESPONSE_FAILED, failed)
    kit.believe()
    text = page.get("/results").text
    assert text.index(f"/pictures/{hashes[1]}") < text.index(
        f"/pictures/{hashes[0]}"
    )  # the best, then the first
    assert "painter answered with &lt;img src=x onerror=window.ran=1&gt;" in text
    assert evil not in text
    assert "#2 · rephrase · cost unknown · no votes yet" in text
    kit.store.append(EventKind.CANDIDATE_WITHDRAWN, {"id": kit.candidates[2].id, "reason": "failed"})
    assert '<span class="tag">withdrawn</span>' in page.get("/results").text


def test_text_studies_show_no_album(page: TestClient, kit: StudyKit) -> None:
    kit.pair(2)
    kit.believe()
    assert "What it makes" not in page.get("/results").text


class TestInABrowser:
    pytestmark = needs_browser

    def test_hostile_tables_and_chats_do_nothing(
        self, driver: webdriver.Chrome, store: Store, kit: StudyKit, tmp_path: Path
    ) -> None:
        payloads = PAYLOADS[1::5]
        for number, payload in enumerate(payloads):
            if number % 2:
                cells = [[payload, payload * 40], ["x" * 3000, None]]
                pair(kit, Response("table", table_content([payload, "b"], cells)), Response("table", payload))
            else:
                turns = [Message("user", payload), Message("assistant", f"**{payload}**")]
                pair(kit, Response("chat", chat_content(turns)), Response("image", payload))
        with served(store) as link:
            origin = link.rpartition("/start/")[0]
            driver.get_log("performance")
            driver.get_log("browser")
            reader = Reader(driver, link, store)
            for number in range(len(payloads)):
                reader.until(lambda number=number: reader.shown() and len(reader.votes()) == number)
                assert reader.js("return document.documentElement.scrollWidth") <= 1280
                if number % 5 == 0:
                    reader.press("d")
                if number % 7 == 0:
                    reader.press("r")
                reader.press("4")
            reader.stored(len(payloads))
            assert reader.js("return window.ran === undefined")
            assert (
                reader.js("return document.querySelectorAll('body iframe, #duel img, #duel form').length")
                == 0
            )
            assert [url for url in requested(driver) if not url.startswith(origin)] == []
            assert driver.get_log("browser") == []
            driver.get("about:blank")

    def test_a_picture_that_is_lost_cannot_be_voted_on_but_skipped(
        self, driver: webdriver.Chrome, store: Store, make_kit: Callable[..., StudyKit]
    ) -> None:
        kit = make_kit(guidelines="")
        pair(kit, PICTURE, Response("image", picture_content(Picture("image/png", 3, 2, PNG + b"y"))))
        pair(kit, Response("text", "a"), Response("text", "b"))
        with served(store) as link:  # the files are no pictures, so no browser can decode them
            reader = Reader.__new__(Reader)
            reader.driver, reader.link, reader.store = driver, link, store
            driver.get(link)
            reader.until(lambda: "could not be loaded" in reader.text("alert"))
            reader.press("1")
            reader.press("s")
            assert [str(vote.verdict) for vote in reader.stored(1)] == ["skip"]
            reader.until(lambda: reader.shown() in (("a", "b"), ("b", "a")))
            reader.press("1")
            reader.stored(2)
            driver.get("about:blank")
