"""Health and figures: what they say, to whom, and that they hold nothing of anybody."""

import re
from typing import Any

import pytest
from people_kit import PUBLIC, People
from study_kit import ORIGIN, PROMPTS, StudyKit

from palate.errors import ConfigError, StoreError
from palate.learner import Learnt
from palate.models import Spent
from palate.operations import FIT_SECONDS, VOTE_SECONDS, Histogram
from palate.store import Store
from palate.types import Ballot, Verdict
from palate.web import Learning
from palate.web._access import Access
from palate.web._meter import Meter

LINE = re.compile(r'[a-z_]+(\{[a-z]+="[^"\\\n]*"\})? -?[0-9.e+-]+')


def figures(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in lines), lines
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_health_needs_no_cookie_here_and_one_elsewhere(store: Store, kit: StudyKit) -> None:
    people = People(store)
    reply = people.at(ORIGIN).get("/health")
    assert reply.status_code == 200
    expected = {"status": "ok", "store": "writable", "learner": "unknown", "seconds_since_fit": None}
    assert reply.json() == expected
    assert people.at(PUBLIC).get("/health").status_code == 403
    assert people.guest(PUBLIC)[0].get("/health").json() == expected
    for learning, learner, since in (
        (Learning(True, 3.14), "running", 3.1),
        (Learning(False), "stopped", None),
    ):
        told = People(store, learning=lambda now=learning: now).at(ORIGIN).get("/health").json()
        assert (told["learner"], told["seconds_since_fit"]) == (learner, since)


def test_health_is_503_while_nothing_can_be_written(
    store: Store, kit: StudyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> None:
        raise StoreError(f"{store.place!r} cannot be written: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "check_writable", full)
        reply = People(store).at(ORIGIN).get("/health")
    assert reply.status_code == 503
    assert (reply.json()["status"], reply.json()["store"]) == ("failing", "read-only")
    assert "cannot be written" in reply.json()["reason"]
    assert str(store.path) not in reply.text
    assert People(store).at(ORIGIN).get("/health").status_code == 200


def test_figures_count_what_happened(store: Store, kit: StudyKit) -> None:
    kit.pair(8)
    people = People(
        store, spent=lambda: Spent(calls=3, priced=0.25, unpriced_calls=1), learning=lambda: LEARNING
    )
    client, anna = people.guest(PUBLIC)
    duels = client.get("/api/duels").json()["duels"]
    body = {"duel_id": duels[0]["id"], "verdict": "left", "key": "key-0123456789abcdef"}
    for _ in range(3):
        assert client.post("/api/votes", json=body).status_code == 200
    assert client.post("/api/votes", json={**body, "key": "another-0123456789"}).status_code == 409
    assert client.get("/results").status_code == 403
    assert people.at(PUBLIC).get("/").status_code == 403
    (duel,) = store.open_duels("robot", 1)
    store.vote(Ballot(duel.id, Verdict.SKIP, "robot", "key-of-the-robot-1", reason="cannot_judge"))
    reply = people.monitor().get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = figures(reply.text)
    assert found['palate_votes_total{outcome="taken"}'] == 1
    assert found['palate_votes_total{outcome="replayed"}'] == 2
    assert found['palate_votes_total{outcome="refused"}'] == 1
    assert found["palate_vote_seconds_count"] == found['palate_vote_seconds_bucket{le="+Inf"}'] == 4
    assert found['palate_refused_total{reason="role"}'] == 1
    assert found['palate_refused_total{reason="token"}'] == 1
    assert found["palate_study_votes"] == 2
    # Of eight pairings two have their vote, two are still on Anna's screen.
    assert found["palate_ready_duels"] == 4
    assert found["palate_open_leases"] == 2
    assert found["palate_judge_failures"] == 1
    assert (found["palate_cost_dollars"], found["palate_unpriced_calls"]) == (0.25, 1)
    assert found["palate_learner_running"] == 1
    assert found["palate_votes_behind"] == 2  # of which the learner has taken note of none
    assert found['palate_fit_seconds_bucket{le="0.25"}'] == 1
    assert found['palate_fit_seconds_bucket{le="0.5"}'] == found["palate_fit_seconds_count"] == 2
    assert found["palate_fit_seconds_sum"] == 0.75
    assert (found["palate_seconds_since_fit"], found["palate_store_writable"]) == (12, 1)
    for secret in (*PROMPTS, anna.rater, anna.id, "Anna", "robot", "parcel", "rate.example.org"):
        assert secret not in reply.text


FITS = Histogram(FIT_SECONDS)
FITS.add(0.25)
FITS.add(0.5)
LEARNING = Learning(True, 12.0, Learnt(0, FITS.counted()))


def test_what_is_not_known_has_no_line(store: Store, kit: StudyKit) -> None:
    found = figures(People(store).monitor().get("/metrics").text)
    assert not {name for name in found if "cost" in name or "fit" in name or "learner" in name}


def test_the_histogram_adds_up() -> None:
    meter = Meter()
    for seconds in (0.0005, 0.001, 0.02, 0.05, 0.06, 20.0):
        meter.vote("taken", seconds)
    found = figures("\n".join(meter.lines()))
    counts = [found[f'palate_vote_seconds_bucket{{le="{bound}"}}'] for bound in VOTE_SECONDS]
    # By hand: a bucket holds what is at most its bound, and every bucket before it.
    assert counts == [2, 2, 2, 2, 3, 4, 5, 5, 5, 5, 5, 5, 5]
    assert found['palate_vote_seconds_bucket{le="+Inf"}'] == found["palate_vote_seconds_count"] == 6
    assert found["palate_vote_seconds_sum"] == pytest.approx(20.1315)


def test_a_short_metrics_token_is_refused(store: Store) -> None:
    with pytest.raises(ConfigError, match="metrics token has 5 characters"):
        Access(store, "x" * 43, judge="me", monitor="short")


def test_no_token_no_figures(store: Store, kit: StudyKit) -> None:
    from study_kit import PORT, TOKEN

    from palate.web._app import create_apps

    people = People(store)
    people.apps = create_apps(store, launch_token=TOKEN, port=PORT)
    client = people.at(ORIGIN)
    for bearer in ("Bearer ", "Bearer None", "Bearer"):
        headers: dict[str, Any] = {"authorization": bearer}
        assert client.get("/metrics", headers=headers).status_code == 403
    assert people.owner().get("/metrics").status_code == 200
