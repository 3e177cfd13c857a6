"""Too much of anything: each limit of the table that a request meets, at it and beyond it."""

import asyncio
import json
import time
from concurrent.futures import Future
from dataclasses import replace

import pytest
from people_kit import People
from starlette.testclient import TestClient
from study_kit import StudyKit

from palate.errors import BudgetError
from palate.models import Budget, Ledger, MeteredModel, ScriptedModel
from palate.models._pricing import Price
from palate.store import Store
from palate.types import Ballot, Message, Receipt, Request
from palate.web import _ballots, _pages, _render
from palate.web._limits import LIMITS


@pytest.fixture
def page(store: Store) -> TestClient:
    StudyKit(store).pair(4)
    return People(store).owner()


def vote(page: TestClient, **fields: object) -> dict[str, object]:
    duel = page.get("/api/duels").json()["duels"][0]
    return {"duel_id": duel["id"], "verdict": "left", "key": "k" * 20, **fields}


def test_a_body(page: TestClient) -> None:
    headers = {"content-type": "application/json"}
    sent = json.dumps(vote(page))
    padded = sent[:-1] + " " * (LIMITS.body_bytes - len(sent)) + "}"
    assert page.post("/api/votes", content=padded + " ", headers=headers).status_code == 413
    assert page.post("/api/votes", content=padded, headers=headers).status_code == 200


def test_a_body_with_a_name_twice(page: TestClient) -> None:
    headers = {"content-type": "application/json"}
    doubled = json.dumps(vote(page)).replace('"verdict": "left"', '"verdict": "left", "verdict": "right"')
    reply = page.post("/api/votes", content=doubled, headers=headers)
    assert (reply.status_code, reply.json()) == (
        400,
        {"error": "the body has a name twice; send each field once"},
    )


def test_a_body_that_is_deep(page: TestClient) -> None:
    depth = LIMITS.body_bytes // 2 - 10
    deep = '{"a":' + "[" * depth + "]" * depth + "}"
    reply = page.post("/api/votes", content=deep, headers={"content-type": "application/json"})
    assert reply.status_code == 400


def test_a_comment(page: TestClient) -> None:
    fields = vote(page)
    assert page.post("/api/votes", json={**fields, "comment": "c" * (LIMITS.comment + 1)}).status_code == 400
    assert page.post("/api/votes", json={**fields, "comment": "c" * LIMITS.comment}).status_code == 200


def test_an_answer_is_shown_up_to_a_length(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LIMITS.answer == _render.SHOWN
    monkeypatch.setattr(_render, "SHOWN", 1_000)
    monkeypatch.setattr(_render, "FORMATTED", 999)
    StudyKit(store).pair(1, first="ж" * 5_000, second="ю" * 1_000)
    shown = People(store).owner().get("/api/duels").json()["duels"][0]
    lengths = sorted(shown[side]["html"].count(letter) for side in ("left", "right") for letter in "жю")
    assert lengths[-2:] == [1_000, 1_000]


def test_votes_that_wait_for_the_disk(
    page: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_ballots, "LIMITS", replace(LIMITS, votes_waiting=0))
    asked: list[Ballot] = []

    def submit(ballot: Ballot) -> "Future[Receipt]":
        asked.append(ballot)
        return Future()

    fields = vote(page)
    monkeypatch.setattr(store, "submit", submit)
    reply = page.post("/api/votes", json=fields)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    assert not asked


def test_pages_that_wait_for_a_duel(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    StudyKit(store)
    page = People(store).owner()
    monkeypatch.setattr(_pages, "LIMITS", replace(LIMITS, pages_waiting=0))
    began = time.monotonic()
    assert page.get("/api/duels?wait=20").json()["state"] == "waiting"
    assert time.monotonic() - began < 15  # answered at once, and not after the wait


def test_a_budget_of_calls_tokens_and_money() -> None:
    request = Request((Message("user", "one two three"),), max_tokens=10)
    for budget in (Budget(calls=2), Budget(tokens=30), Budget(cost=30e-6)):
        model = ScriptedModel(["x"], repeat=True, cost=Price(1.0, 1.0))
        metered = MeteredModel(model, cache=None, ledger=Ledger(budget))
        assert {ask(metered, replace(request, sample=sample)) for sample in range(50)} == {True, False}
        assert 0 < len(model.calls) < 50
        before = len(model.calls)
        assert not ask(metered, replace(request, sample=99))
        assert len(model.calls) == before  # it was not sent


def ask(model: MeteredModel, request: Request) -> bool:
    """Whether the budget allowed it."""
    try:
        asyncio.run(model.generate(request))
    except BudgetError:
        return False
    return True
