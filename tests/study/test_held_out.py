"""Votes that are kept out of learning, from the store to the learner and to the verdict on the winner."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from palate.choice import held_out_votes, is_held_out
from palate.learner import Learner
from palate.statistics import promotion
from palate.store import (
    EventKind,
    Store,
    StudyState,
    candidates_payload,
    inputs_payload,
    open_store,
    pairing_payload,
)
from palate.types import Ballot, Candidate, Input, Lineage, Pairing, Response, Verdict


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "study.db") as opened:
        opened.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
        opened.append(EventKind.INPUTS_ADDED, inputs_payload([Input(f"i{k}", f"Q{k}") for k in range(40)]))
        yield opened


CANDIDATES = [
    Candidate.make(text, lineage=Lineage("seed" if k == 0 else "user"))
    for k, text in enumerate(("Reply.", "Reply!!!", "Reply kindly."))
]


def give(store: Store, judge: str, first: int, second: int, count: int, prefer: str, start: int) -> None:
    """Votes on one pair, for whichever candidate's prompt is ``prefer``."""
    events = []
    for k in range(start, start + count):
        hashes = [store.put_response(f"k{c}-{k}", Response("text", f"{c} says {k}")) for c in (first, second)]
        ids = [CANDIDATES[c].id for c in (first, second)]
        events.append(
            (EventKind.PAIRING_OPENED, pairing_payload(Pairing(f"p{k}", f"i{k % 40}", *ids, *hashes)))
        )
    store.append_many(events)
    wanted = next(c.id for c in CANDIDATES if c.text == prefer)
    for duel in store.open_duels(judge, count, random.Random(start)):
        said = Verdict.LEFT if duel.left_candidate == wanted else Verdict.RIGHT
        store.submit(Ballot(duel.id, said, judge, f"key-{duel.id}", 1.0)).result()


def test_a_judge_that_likes_exclamation_marks_is_blocked(store: Store) -> None:
    store.append(EventKind.CANDIDATES_ADDED, candidates_payload(CANDIDATES))
    give(store, "judge:m", 1, 0, 120, "Reply!!!", 0)
    state = StudyState.replay(store.events())
    features = {c.id: row for c, row in zip(CANDIDATES, np.eye(3), strict=True)}
    learner = Learner("default", {}, seed=0)
    learner.follow(state, features)
    best = learner.belief(state).best
    assert best == CANDIDATES[1].id  # the machine has its way with the learner
    assert promotion(state.votes, best, CANDIDATES[0].id).status == "machines only"
    give(store, "anna", 1, 0, 150, "Reply.", 200)
    state = StudyState.replay(store.events())
    told = Learner("default", {}, seed=0)
    told.follow(state, features)
    kept = held_out_votes(state.votes)
    assert len(kept) == sum(is_held_out(f"p{k}") for k in range(200, 350)) > 10
    assert told.votes == 270 - len(kept)
    found = promotion(state.votes, CANDIDATES[1].id, CANDIDATES[0].id)
    assert found.status == "refused"
    assert found.votes == found.direct == len(kept)


def test_a_learner_that_followed_and_one_that_replayed_agree(store: Store) -> None:
    store.append(EventKind.CANDIDATES_ADDED, candidates_payload(CANDIDATES))
    features = {c.id: row for c, row in zip(CANDIDATES, np.eye(3), strict=True)}
    live = Learner("default", {}, seed=0)
    for judge, start, prefer in (("anna", 0, "Reply."), ("rules:x", 20, "Reply!!!"), ("anna", 40, "Reply.")):
        give(store, judge, 1, 0, 20, prefer, start)
        live.follow(StudyState.replay(store.events()), features)
    state = StudyState.replay(store.events())
    again = Learner("default", {}, seed=0)
    again.follow(state, features)
    assert live.votes == again.votes == 60 - len(held_out_votes(state.votes)) < 60
    assert live.belief(state) == again.belief(state)


def test_people_alone_lose_no_vote(store: Store) -> None:
    store.append(EventKind.CANDIDATES_ADDED, candidates_payload(CANDIDATES))
    give(store, "anna", 1, 0, 30, "Reply.", 0)
    give(store, "ben", 2, 0, 30, "Reply.", 30)
    state = StudyState.replay(store.events())
    learner = Learner("default", {}, seed=0)
    learner.follow(state, {c.id: row for c, row in zip(CANDIDATES, np.eye(3), strict=True)})
    assert learner.votes == 60
