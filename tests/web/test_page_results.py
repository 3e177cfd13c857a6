"""What was learnt, as people see it."""

import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from study_kit import ORIGIN, PORT, PROMPTS, TOKEN, StudyKit

from palate.models import Spent
from palate.store import EventKind, Store
from palate.types import Belief, Candidate, Lineage, Standing
from palate.web import create_app
from palate.web._diff import LONGEST, word_diff

BALLOT = {"verdict": "left", "key": "key-0123456789abcdef"}


def test_before_the_first_vote_nothing_is_claimed(kit: StudyKit, page: TestClient) -> None:
    reply = page.get("/results")
    assert reply.status_code == 200
    assert "Nothing is known yet" in reply.text
    assert " %" not in reply.text
    assert page.get("/results/best.txt").status_code == 404


def test_the_best_prompt_and_how_sure_that_is(kit: StudyKit, page: TestClient) -> None:
    kit.believe(5, stop=True)
    text = page.get("/results").text
    assert (
        '<blockquote id="best" dir="auto">Answer the customer kindly and in two sentences.</blockquote>'
        in text
    )
    assert "<dd>70 %</dd>" in text
    assert "<dd>72 %</dd>" in text
    assert "55 – 86 %" in text
    assert "You can stop now." in text
    assert "Twenty more votes would change little." in text
    assert "<ins> kindly and in two sentences</ins>" in text


def test_votes_are_counted_by_verdict(kit: StudyKit, page: TestClient) -> None:
    kit.pair(1)
    duel = page.get("/api/duels").json()["duels"][0]
    page.post("/api/votes", json={**BALLOT, "duel_id": duel["id"]})
    kit.believe(1)
    text = page.get("/results").text
    assert "<dd>1</dd><dt>vote</dt>" in text
    counts = re.findall(
        r'<th scope="row">([^<]+)</th>.*?<td class="number">(\d+)</td>', text.split("verdicts-head")[2]
    )
    assert counts == [("A better", "1"), ("B better", "0"), ("tie", "0"), ("both bad", "0"), ("skipped", "0")]


def test_the_curve_goes_over_the_votes_and_forgets_undone_ones(kit: StudyKit, page: TestClient) -> None:
    kit.believe(1)
    assert "after a few votes" in page.get("/results").text
    for votes, p_best in [(2, 0.4), (3, 0.9), (2, 0.5), (4, 0.6)]:
        kit.store.append(EventKind.STUDY_REOPENED, {"reason": "another event"})
        kit.believe(votes, p_best=p_best)
    text = page.get("/results").text
    # x = 100 · votes / 4, y = 100 − 100 · p; the point at 3 votes was undone
    assert '<polyline class="sure" points="25.00,30.00 50.00,50.00 100.00,40.00"/>' in text
    assert "4 votes" in text


@pytest.mark.parametrize(
    ("spent", "shown"),
    [
        (None, ["–", "not recorded here"]),
        (Spent(), ["$0", "no paid calls"]),
        (
            Spent(calls=1200, tokens_in=1000, tokens_out=500, priced=1.239),
            ["$1.24", "1,200 calls, 1,500 tokens"],
        ),
        (Spent(calls=3, priced=0.004), ["&lt; $0.01", "3 calls"]),
        (Spent(calls=5, priced=1.0, unpriced_calls=2), ["unknown", "for 2 calls without a known price"]),
    ],
)
def test_cost_is_shown_and_unknown_is_never_zero(
    store: Store, kit: StudyKit, spent: Spent | None, shown: list[str]
) -> None:
    app = create_app(store, launch_token=TOKEN, port=PORT, spent=None if spent is None else lambda: spent)
    client = TestClient(app, base_url=ORIGIN)
    client.get(f"/start/{TOKEN}")
    kit.believe()
    text = client.get("/results").text
    card = re.search(r"<dd>([^<]*)</dd><dt>cost<br><span class=\"note\">([^<]*)</span>", text)
    assert card is not None
    assert card[1] == shown[0]
    assert shown[1] in card[2]


def test_the_seed_prompt_ahead_is_said_so(kit: StudyKit, page: TestClient) -> None:
    seed = kit.candidates[0]
    standing = Standing(seed.id, 0.5, 0.5, 0.5, 0.8, 3)
    kit.store.put_belief(Belief(kit.store.last_seq(), 3, seed.id, (standing,), False, "Go on."))
    text = page.get("/results").text
    assert "The prompt that you started with is still ahead" in text
    assert "this is the prompt that you started with" in text
    assert "duels won against the first prompt" not in text


def test_a_best_prompt_that_was_withdrawn_is_still_shown(kit: StudyKit, page: TestClient) -> None:
    kit.believe()
    withdrawn = {"id": kit.candidates[1].id, "reason": "no usable response"}
    kit.store.append(EventKind.CANDIDATE_WITHDRAWN, withdrawn)
    assert PROMPTS[1] in page.get("/results").text
    assert page.get("/results/best.txt").text == PROMPTS[1]


def test_demonstrations_are_shown_with_the_prompt(kit: StudyKit, page: TestClient) -> None:
    examples = [{"input": "a < b", "output": "c"}]
    candidate = Candidate.make("Do it.", parts={"demonstrations": examples}, lineage=Lineage("induction"))
    row = {
        "id": candidate.id,
        "text": candidate.text,
        "parts": dict(candidate.parts),
        "lineage": {"origin": "x"},
    }
    kit.store.append(EventKind.CANDIDATES_ADDED, {"candidates": [row]})
    standing = Standing(candidate.id, 0.6, 0.4, 0.7, 0.8, 3)
    kit.store.put_belief(Belief(kit.store.last_seq(), 3, candidate.id, (standing,), False, "Go on."))
    text = page.get("/results").text
    assert "with 1 worked examples" in text
    assert "a &lt; b" in text


def test_a_hostile_prompt_is_text(store: Store, kit: StudyKit, page: TestClient) -> None:
    evil = Candidate.make("</blockquote><script>window.ran=1</script>", lineage=Lineage("rephrase"))
    row = {"id": evil.id, "text": evil.text, "parts": {}, "lineage": {"origin": "rephrase"}}
    store.append(EventKind.CANDIDATES_ADDED, {"candidates": [row]})
    standing = Standing(evil.id, 0.6, 0.4, 0.7, 0.8, 3)
    store.put_belief(Belief(store.last_seq(), 3, evil.id, (standing,), False, "<b>Go on.</b>"))
    text = page.get("/results").text
    assert "<script>window" not in text
    assert "<b>Go on" not in text
    download = page.get("/results/best.txt")
    assert download.text == evil.text
    assert download.headers["content-type"].startswith("text/plain")
    assert download.headers["content-disposition"].startswith("attachment")


class Strict(HTMLParser):
    """A page under our content policy: no style or script of its own, no handlers, nothing from elsewhere."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in ("style", "iframe", "object", "embed", "base")
        for name, value in attrs:
            assert name != "style"
            assert not name.startswith("on")
            if name in ("src", "href", "action"):
                assert str(value).startswith(("/static/", "/results", "/", "#"))
                assert not str(value).startswith("//")
        if tag == "script":
            assert dict(attrs).get("src")


@pytest.mark.parametrize("path", ["/", "/results"])
def test_the_pages_keep_their_own_content_policy(kit: StudyKit, page: TestClient, path: str) -> None:
    kit.believe(2)
    kit.store.append(EventKind.STUDY_REOPENED, {"reason": "another event"})
    kit.believe(3)
    Strict().feed(page.get(path).text)


words = st.lists(st.sampled_from(["a", "b", "c", " ", "  ", "\n", ".", "é", "be"]), max_size=30).map("".join)


@given(words, words)
def test_word_differences_join_to_both_texts(before: str, after: str) -> None:
    pieces = word_diff(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after
    kinds = [piece.kind for piece in pieces]
    assert all(first != second for first, second in itertools.pairwise(kinds))


def test_changes_with_only_a_space_between_them_are_one() -> None:
    found = [tuple(piece) for piece in word_diff("one two three", "one deux trois")]
    assert found == [("same", "one "), ("removed", "two three"), ("added", "deux trois")]


def test_huge_prompts_are_replaced_as_a_whole() -> None:
    before, after = "a " * LONGEST, "b " * LONGEST
    assert [piece.kind for piece in word_diff(before, after)] == ["removed", "added"]


def test_the_study_is_named(make_kit: Callable[..., StudyKit], page: TestClient) -> None:
    make_kit(settings={"study": {"name": "Parcel replies"}})
    assert '<p class="study" dir="auto">Parcel replies</p>' in page.get("/").text
