"""The page of statistics: what it says of no vote, few and many, and that it stays harmless and small."""

import gzip
import random
import re
import threading
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest
from starlette.testclient import TestClient
from study_kit import StudyKit
from test_page_results import Strict

from palate.errors import StoreError
from palate.statistics import (
    Agreement,
    Figure,
    JudgePair,
    RatedCandidate,
    Repeats,
    SideBias,
    Statistics,
    StyleControl,
    StyleEffect,
)
from palate.store import EventKind, candidates_payload
from palate.types import Ballot, Candidate, Duel, Lineage, Verdict
from palate.web import _statistics
from palate.web._assets import read_assets
from palate.web._statistics import StatisticsView, statistics_view
from palate.web._view import StudyView
from palate.web._words import read_words

TEXTS = read_words()["statistics"]


def vote(kit: StudyKit, count: int, says: Callable[[Duel], str], judge: str = "me") -> None:
    kit.pair(count)
    for duel in kit.store.open_duels(judge, count, random.Random(count)):
        kit.store.vote(Ballot(duel.id, Verdict(says(duel)), judge, f"key-{duel.id}"))


def for_second(kit: StudyKit) -> Callable[[Duel], str]:
    return lambda duel: "left" if duel.left_candidate == kit.candidates[1].id else "right"


class Words(HTMLParser):
    """The text of a page, without tags."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def words_of(page: str) -> str:
    reader = Words()
    reader.feed(page)
    return " ".join(" ".join(reader.found).split())


def test_before_the_first_vote_nothing_is_claimed(kit: StudyKit, page: TestClient) -> None:
    reply = page.get("/statistics")
    assert reply.status_code == 200
    assert TEXTS["nothing"] in reply.text
    assert "%" not in words_of(reply.text)
    assert "<table" not in reply.text


def test_few_votes_are_called_few(kit: StudyKit, page: TestClient) -> None:
    vote(kit, 3, for_second(kit))
    said = words_of(page.get("/statistics").text)
    assert TEXTS["few"].format(n=3) in said
    assert TEXTS["method_prior"] in said
    assert TEXTS["only_won"] in said
    assert TEXTS["only_lost"] in said
    assert "1 not rated" in said
    assert "Reply. – not compared yet" in said
    assert TEXTS["side_few"].format(n=3) in said
    assert TEXTS["agree_one"] in said
    # characters are all that differs here, so length is the one feature beside the side
    assert "Too few votes to tell" in said or TEXTS["style_none"] in said


def test_many_votes_name_the_one_that_is_ahead(kit: StudyKit, page: TestClient) -> None:
    vote(kit, 32, for_second(kit))
    vote(kit, 8, lambda duel: "right" if duel.left_candidate == kit.candidates[1].id else "left")
    text = page.get("/statistics").text
    said = words_of(text)
    assert "“Answer the customer kindly and in two sentences.” is ahead of every other prompt" in said
    assert "first hint" not in said
    # 32 to 8: 400 log10(4) = 240.8 points apart, ± 1.96 · ELO / 2 / sqrt(6.4) = 67.3 each.
    assert "1120 1053 – 1188" in said
    assert "880 812 – 947" in said
    assert 'aria-label="rating 1120, 95 % interval 1053 – 1188"' in text
    assert "241" in said
    assert "32 · 0 · 8" in said
    assert "32 / 40" in said
    assert TEXTS["method_sandwich"] in said
    assert said.index(TEXTS["leading"]) < said.index(TEXTS["trailing"])


def test_a_new_vote_and_an_undone_one_change_the_page(kit: StudyKit, page: TestClient) -> None:
    vote(kit, 4, for_second(kit))
    before = page.get("/statistics").text
    assert page.get("/statistics").text == before
    vote(kit, 1, for_second(kit))
    after = page.get("/statistics").text
    assert "5 · 0 · 0" in after
    kit.store.undo("me")
    assert page.get("/statistics").text == before
    withdrawn = {"id": kit.candidates[1].id, "reason": "no usable response"}
    kit.store.append(EventKind.CANDIDATE_WITHDRAWN, withdrawn)
    assert f'<span class="tag">{TEXTS["withdrawn"]}</span>' in page.get("/statistics").text


def test_where_counting_takes_long_nobody_waits_for_the_newest_vote(
    kit: StudyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_statistics, "LONG", 0.0)
    words = read_words()
    page = _statistics.StatisticsPage(StudyView(kit.store, words), words)
    vote(kit, 12, for_second(kit))
    assert record_of(page) == "12 · 0 · 0"
    vote(kit, 3, for_second(kit))
    assert record_of(page) == "12 · 0 · 0"
    until_counted()
    assert record_of(page) == "15 · 0 · 0"


def record_of(page: _statistics.StatisticsPage) -> str:
    shown = page()
    assert shown is not None
    return shown.leading[0].record


def until_counted() -> None:
    for thread in threading.enumerate():
        if thread.name == "palate-statistics":
            thread.join()


def test_very_many_votes_are_counted_while_the_page_says_so(
    kit: StudyKit, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_statistics, "LONG", 0.0)
    monkeypatch.setattr(_statistics, "MANY", 12)
    go_on, count = threading.Event(), _statistics.study_statistics

    def slow(*arguments: Any, **named: Any) -> Statistics:
        assert go_on.wait(60)
        return count(*arguments, **named)

    monkeypatch.setattr(_statistics, "study_statistics", slow)
    vote(kit, 12, for_second(kit))
    for _ in range(2):
        text = page.get("/statistics").text
        Strict().feed(text)
        assert TEXTS["counting"] in text
        assert '<meta http-equiv="refresh"' in text
    go_on.set()
    until_counted()
    assert "12 · 0 · 0" in page.get("/statistics").text


def test_a_first_count_that_fails_is_told(
    kit: StudyKit, page: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_statistics, "MANY", 0)

    def failing(*arguments: Any, **named: Any) -> Statistics:
        raise StoreError("the disk failed")

    monkeypatch.setattr(_statistics, "study_statistics", failing)
    reply = page.get("/statistics")
    assert (reply.status_code, "the disk failed" in reply.text) == (503, True)


def test_a_hostile_prompt_and_judge_are_text(kit: StudyKit, page: TestClient) -> None:
    evil = Candidate.make("</summary><script>window.ran=1</script>{0}{{ 7*7 }}", lineage=Lineage("rephrase"))
    kit.store.append(EventKind.CANDIDATES_ADDED, candidates_payload([evil]))
    kit.candidates[1] = evil
    for judge in ("<b>anna</b>", "bert"):
        vote(kit, 12, lambda _: "left", judge)
    vote(kit, 12, for_second(kit))
    text = page.get("/statistics").text
    Strict().feed(text)
    assert "<script>window" not in text
    assert "<b>anna" not in text
    assert "&lt;b&gt;anna" in text
    assert "{{ 7*7 }}" in text


def test_the_page_is_guarded_like_the_others(outsider: TestClient) -> None:
    assert outsider.get("/statistics").status_code == 403
    outsider.get("/start/launch-token-of-the-tests-0123456789")
    reply = outsider.get("/statistics")
    assert reply.status_code == 200
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert outsider.post("/statistics", headers={"origin": "http://127.0.0.1:8765"}).status_code == 405


def test_it_can_be_reached_and_left(kit: StudyKit, page: TestClient) -> None:
    assert 'href="/statistics"' in page.get("/results").text
    text = page.get("/statistics").text
    assert 'href="/results"' in text
    assert 'href="/"' in text
    assert "<script" not in text  # it works without one


def test_every_table_and_drawing_has_a_name(kit: StudyKit, page: TestClient) -> None:
    vote(kit, 40, for_second(kit))
    text = page.get("/statistics").text
    for drawing in re.findall(r"<svg[^>]*>", text):
        assert 'aria-label="' in drawing or 'aria-hidden="true"' in drawing
    for table in re.findall(r"<table.*?</table>", text, re.DOTALL):
        assert "<caption" in table or '<th scope="col"' in table
    identifiers = re.findall(r'id="([^"]+)"', text)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'aria-labelledby="([^"]+)"', text)) <= set(identifiers)


def test_all_four_pages_are_small(kit: StudyKit, page: TestClient) -> None:
    vote(kit, 40, for_second(kit))
    kit.believe()
    total = sum(len(asset.packed) for asset in read_assets().values())
    total += sum(
        len(gzip.compress(page.get(path).content))
        for path in ("/", "/results", "/statistics", "/owner", "/api/duels")
    )
    assert total <= 30_000  # what it was, with room; more needs a reason


def test_every_text_is_used_and_none_is_missing() -> None:
    templates = files("palate.web") / "templates"
    pages = ("statistics.html", "counting.html", "_statistics_head.html")
    template = "".join((templates / name).read_text() for name in pages)
    code = (files("palate.web") / "_statistics.py").read_text()
    named = set(re.findall(r"\bt\.(\w+)", template))
    named |= set(re.findall(r'"(\w+)"', "".join(re.findall(r"texts\[[^\]]*\]", code))))
    built = {f"{kind}_{name}" for kind in ("name", "feature") for name in FEATURES}
    assert (named - {"name_", "feature_"}) | built == set(TEXTS)


# -- the sentences, from figures given by hand ----------------------------------------------------

FEATURES = ("length", "headings", "lists", "bold", "code")
NOTHING = Agreement(0, None, None, 0, None, (), ())
ROW = RatedCandidate(
    candidate_id="a",
    text="Reply.",
    withdrawn=False,
    wins=9,
    losses=5,
    ties=1,
    rating=Figure(1050.4, 1000.2, 1100.6),
    bootstrap=None,
    controlled=Figure(1040.0, 990.0, 1090.0),
    rank=1,
    behind=None,
    with_leader=True,
    bounded=True,
)
FOUND = Statistics(
    votes=60,
    counted=60,
    verdicts={},
    judges={"anna": 30, "bert": 30},
    method="sandwich",
    candidates=(ROW, replace(ROW, text="Other.", behind=Figure(80.0, -5.0, 165.0))),
    side=(),
    style=StyleControl(60, (), None),
    agreement=NOTHING,
    wins=((0, 1), (2, 0)),
    ties=((0, 3), (3, 0)),
    rounds=0,
    seed=0,
)


def shown(**changes: object) -> StatisticsView:
    return statistics_view(replace(FOUND, **changes), TEXTS, name="Study", file="study.db")  # pyright: ignore[reportArgumentType]


def test_the_lead_counts_the_group() -> None:
    assert shown().lead == TEXTS["all_level"].format(all=2)
    behind = replace(ROW, text="Third.", with_leader=False, rank=3)
    three = shown(candidates=(*FOUND.candidates, behind), wins=((0,) * 3,) * 3, ties=((0,) * 3,) * 3)
    assert three.lead == TEXTS["group"].format(n=2, all=3)
    assert [row.text for row in three.leading] == ["Reply.", "Other."]
    assert [row.text for row in three.behind] == ["Third."]


def test_bars_are_drawn_to_scale() -> None:
    """From 1000.2 to 1100.6, and always past 990 and 1010: 990 is 0 %, 1100.6 is 100 %."""
    row = shown().leading[0]
    assert (row.bar.low, row.bar.middle, row.bar.high) == pytest.approx(
        (100 * 10.2 / 110.6, 100 * 60.4 / 110.6, 100.0)
    )
    assert shown().middle == pytest.approx(100 * 10 / 110.6)
    assert [tick.text for tick in shown().scale] == ["1101", "1000"]


def effect(low: float, value: float, high: float, feature: str = "length") -> StyleEffect:
    return StyleEffect(feature, Figure(value, low, high), Figure(0.6, 0.4, 0.7))


def test_style_is_shown_as_clear_or_not() -> None:
    unclear = shown(style=StyleControl(60, (effect(-0.1, 0.4, 0.9),), None))
    assert unclear.style_lead == TEXTS["style_unclear"]
    assert not unclear.controlled
    assert unclear.leading[0].controlled is None
    clear = shown(style=StyleControl(60, (effect(0.1, 0.5, 0.9), effect(-1, -0.5, -0.1, "bold")), None))
    assert clear.style_lead.endswith(
        "length, bold words. The hollow marks above show the ratings without that."
    )
    assert clear.controlled
    assert clear.leading[0].controlled == pytest.approx(100 * 50 / 110.6)
    assert TEXTS["controlled"] in clear.notes
    assert [(row.name, row.value, row.remark) for row in clear.style] == [
        ("twice as long", "60 %", "40 – 70 %"),
        ("bold words against none", "60 %", "40 – 70 %"),
    ]
    assert shown().style_lead == TEXTS["style_none"]
    assert shown(style=StyleControl(3, (), 20)).style_lead == TEXTS["style_few"].format(n=20)


@pytest.mark.parametrize(
    ("share", "coefficient", "text"),
    [
        (Figure(0.52, 0.4, 0.6), Figure(5.0, -20.0, 30.0), "side_level"),
        (Figure(0.62, 0.52, 0.7), Figure(5.0, -20.0, 30.0), "side_maybe"),
        (Figure(0.62, 0.52, 0.7), Figure(80.0, 20.0, 130.0), "side_left"),
        (Figure(0.32, 0.22, 0.4), Figure(-80.0, -130.0, -20.0), "side_right"),
    ],
)
def test_a_habit_is_named_when_both_signs_agree(share: Figure, coefficient: Figure, text: str) -> None:
    view = shown(side=(SideBias(None, 31, 60, share, coefficient),))
    assert view.side_lead == TEXTS[text]
    [row] = view.side
    assert row.name == TEXTS["everyone"]
    if text == "side_right":
        assert row.remark == "31 of 60; the left is worth −80 points (−130 to −20)"
    assert shown().side_lead == TEXTS["side_none"]


def test_agreement_in_words() -> None:
    share, kappa = Figure(0.78, 0.7, 0.85), Figure(0.1, -0.05, 0.3)
    pairs = (JudgePair("anna", "bert", 20, kappa), JudgePair("anna", "carl", 2, None))
    repeats = (Repeats(None, 8, 6, Figure(0.75, 0.4, 0.93), 4, 3), Repeats("anna", 8, 6, share, 4, 3))
    view = shown(agreement=Agreement(30, share, share, 24, Figure(0.4), pairs, repeats))
    assert view.agreement_lead == TEXTS["agree_shared"].format(share="78 %", n=24)
    assert view.chance
    rows = {row.name: row for row in view.agreement}
    assert rows[TEXTS["raw"]].remark == "70 – 85 %"
    assert rows[TEXTS["alpha"]].bar is None  # too few for an interval
    assert rows[TEXTS["alpha"]].value == "0.40"
    chance = rows["Cohen’s kappa, anna and bert"]
    assert (chance.value, chance.remark) == ("0.10", "−0.05 – 0.30; 20 duels")
    assert chance.bar is not None
    assert chance.bar[:3] == pytest.approx((0, 10, 30))
    assert "Cohen’s kappa, anna and carl" not in rows
    assert rows["The same pair again"].remark == "6 of 8 the same; 3 of 4 with sides exchanged"
    assert "The same pair again, anna" in rows


@pytest.mark.parametrize(
    ("measured", "judges", "text"),
    [
        (NOTHING, {"anna": 3}, "agree_one"),
        (NOTHING, {"anna": 3, "bert": 2}, "agree_apart"),
        (replace(NOTHING, repeats=(Repeats(None, 1, 1, Figure(1.0), 0, 0),)), {"anna": 3}, "agree_self_one"),
        (replace(NOTHING, repeats=(Repeats(None, 1, 1, Figure(1.0), 0, 0),)), {"a": 1, "b": 1}, "agree_self"),
        (replace(NOTHING, shared=4, raw=Figure(0.5)), {"a": 1, "b": 1}, "agree_ties"),
    ],
)
def test_what_cannot_be_measured_is_said(measured: Agreement, judges: dict[str, int], text: str) -> None:
    assert shown(agreement=measured, judges=judges).agreement_lead == TEXTS[text].format(n=4)


def test_many_prompts_do_not_make_a_table_as_wide_as_a_street() -> None:
    many = tuple(replace(ROW, candidate_id=str(k), text=f"Prompt {k}") for k in range(20))
    view = shown(candidates=many, wins=((0,) * 20,) * 20, ties=((0,) * 20,) * 20)
    assert len(view.wins) == 12
    assert len(view.wins[0].cells) == 12
    assert view.wins_note == TEXTS["wins_cut"].format(n=12)
    assert shown().wins[0].cells == ["", "1 / 6"]
