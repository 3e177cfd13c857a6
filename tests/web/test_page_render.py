"""Nothing that a model writes can run, fetch, navigate by itself, or pose as a part of the page."""

from html.parser import HTMLParser

import pytest
from hostile import PAYLOADS
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from study_kit import StudyKit

from palate.web._render import FORMATTED, KEPT, SHOWN, Renderer
from palate.web._words import read_words

TEXT = {"p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "del", "a", "span"}
BLOCKS = {"code", "pre", "blockquote", "ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"href", "title", "data-host", "rel", "target", "class", "start", "align"}


class Inert(HTMLParser):
    """Fails on whatever is not on the list."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[dict[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TEXT | BLOCKS, tag
        found = dict(attrs)
        assert set(found) <= ATTRIBUTES, found
        assert found.get("class") in (None, "picture", "plain", "note")
        if tag == "a":
            self.links.append(found)
            href = found.get("href")
            assert href is None or href.startswith(("http://", "https://", "mailto:")), href
            assert found["rel"] == "noopener noreferrer nofollow"
            assert found["target"] == "_blank"

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment got through")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration got through")

    def handle_pi(self, data: str) -> None:
        raise AssertionError("a processing instruction got through")

    def handle_data(self, data: str) -> None:
        self.text += data


def read(html: str) -> Inert:
    parser = Inert()
    parser.feed(html)
    parser.close()
    return parser


@pytest.fixture
def renderer() -> Renderer:
    return Renderer(read_words())


def test_the_corpus_is_large() -> None:
    assert len(set(PAYLOADS)) >= 200


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_answers_come_out_inert(renderer: Renderer, payload: str) -> None:
    read(renderer.html(payload))
    read(renderer.html(f"Before\n\n{payload}\n\nafter"))
    read(renderer.html(f"**{payload}**"))


@given(st.text(max_size=300))
def test_any_text_comes_out_inert(text: str) -> None:
    read(Renderer(read_words()).html(text))


@given(
    st.lists(st.sampled_from([*PAYLOADS[::7], "`", "*", "[", "](", "<", ">", "\n", "|", "    "]), max_size=6)
)
def test_joined_fragments_come_out_inert(parts: list[str]) -> None:
    read(Renderer(read_words()).html("".join(parts)))


def test_the_fields_of_a_study_come_out_inert_too(page: TestClient, make_kit) -> None:
    evil = "<img src=x onerror=window.ran=1>"
    settings = {"study": {"name": evil}}
    kit: StudyKit = make_kit(guidelines=evil, settings=settings)
    kit.pair()
    assert "<img src=x" not in page.get("/").text
    assert "<img src=x" not in page.get("/results").text
    read(page.get("/api/duels").json()["guidelines"]["html"])


def test_markdown_is_rendered(renderer: Renderer) -> None:
    html = renderer.html("# Title\n\n**bold** *em* ~~gone~~\nnew line\n\n1. one\n2. two\n\n```py\nx = 1\n```")
    for part in ("<h1>Title</h1>", "<strong>bold</strong>", "<em>em</em>", "<s>gone</s><br>", "<ol>"):
        assert part in html
    assert "<pre><code>x = 1\n</code></pre>" in html


def test_tables_keep_their_alignment_without_a_style(renderer: Renderer) -> None:
    html = renderer.html("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert '<td align="right">2</td>' in html
    assert "style" not in html


def test_links_show_their_host(renderer: Renderer) -> None:
    (link,) = read(renderer.html("[your bank](https://evil.example/bank)")).links
    assert link["data-host"] == "evil.example"
    assert link["href"] == "https://evil.example/bank"
    (mail,) = read(renderer.html("<mailto:anna@example.org>")).links
    assert mail["data-host"] == "example.org"


def test_pictures_become_placeholders(renderer: Renderer) -> None:
    html = renderer.html("![a chart](https://evil.example/x.png)")
    assert html == '<p><span class="picture">Image not loaded · a chart · evil.example</span></p>\n'


def test_long_answers_are_plain_and_very_long_ones_are_cut_with_a_note(renderer: Renderer) -> None:
    long = "**x** " * (FORMATTED // 6 + 1)
    parsed = read(renderer.html(long))
    assert "too long to format" in parsed.text
    assert long in parsed.text
    very = "y" * (SHOWN + 5)
    parsed = read(renderer.html(very))
    assert f"{SHOWN:,} of {SHOWN + 5:,}" in parsed.text
    assert parsed.text.count("y") < SHOWN + 40


def test_deep_nesting_is_survived(renderer: Renderer) -> None:
    for text in (">" * 5_000 + "x", "[" * 5_000, "*" * 20_000, "- " * 2_000 + "x", "`" * 9_999, "![" * 3_000):
        read(renderer.html(text))


def test_memory_is_bounded_and_answers_are_remembered(renderer: Renderer) -> None:
    first = renderer.html("answer 0")
    assert renderer.html("answer 0") is first
    for number in range(2 * KEPT):
        renderer.html(f"answer {number}")
    assert len(renderer._kept) == KEPT
    assert renderer.html("answer 0") == first


def test_right_to_left_text_survives(renderer: Renderer) -> None:
    assert "מה נשמע" in renderer.html("מה נשמע")
