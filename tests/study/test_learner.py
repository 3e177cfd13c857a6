"""The belief is a function of the candidates and of the votes that stand."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palate.errors import InputError
from palate.learner import Learner
from palate.store import (
    EventKind,
    StoredEvent,
    StudyState,
    candidates_payload,
    inputs_payload,
    open_store,
    pairing_payload,
    seed_of,
)
from palate.testing import fill_study
from palate.types import Ballot, Candidate, Input, Lineage, Pairing, Response, Verdict, Vote

WORDS = ["plain", "kind", "kind and clear", "rude", "wordy"]
CANDIDATES = [Candidate.make(word, lineage=Lineage("user" if n else "seed")) for n, word in enumerate(WORDS)]
FEATURES = {
    candidate.id: row / np.linalg.norm(row)
    for candidate, row in zip(CANDIDATES, np.random.default_rng(0).standard_normal((5, 8)), strict=True)
}


def vote(seq: int, left: int, right: int, verdict: Verdict = Verdict.LEFT) -> Vote:
    a, b = CANDIDATES[left].id, CANDIDATES[right].id
    return Vote(seq, f"d{seq}", f"p{seq}", "i", a, b, verdict, "anna", "2026-01-01T00:00:00Z")


def state(*votes: Vote, candidates: list[Candidate] = CANDIDATES) -> StudyState:
    """A study in which just these votes were cast, each at its own place in the log."""
    made = StudyState()

    def happen(kind: EventKind, payload: Mapping[str, Any]) -> None:
        made.apply(StoredEvent(made.seq + 1, kind, payload, "palate", "2026-01-01T00:00:00Z", ""))

    happen(EventKind.CANDIDATES_ADDED, candidates_payload(candidates))
    happen(EventKind.INPUTS_ADDED, inputs_payload([Input("i", "an input")]))
    for item in votes:
        pairing = Pairing(item.pairing_id, "i", item.left_candidate, item.right_candidate, "", "")
        shown = {"id": item.duel_id, "pairing_id": pairing.id, "judge": "anna", "swapped": False}
        cast = {"duel_id": item.duel_id, "verdict": item.verdict, "seconds": None, "reason": None}
        while made.seq < 10 * item.seq:  # the same vote has the same number whatever else was undone
            happen(EventKind.STUDY_REOPENED, {})
        happen(EventKind.PAIRING_OPENED, pairing_payload(pairing))
        happen(EventKind.DUEL_SHOWN, {**shown, "guideline_version": ""})
        happen(EventKind.VOTED, {**cast, "comment": None})
    return made


VOTES = [vote(1, 2, 0), vote(2, 1, 3), vote(3, 2, 4), vote(4, 3, 2, Verdict.RIGHT), vote(5, 0, 3)]


def learner(**changes: int) -> Learner:
    return Learner("default", {}, seed=0, **changes)


def test_one_vote_at_a_time_and_all_at_once_give_one_belief() -> None:
    slow, fast = learner(), learner()
    for count in range(1, 6):
        assert slow.follow(state(*VOTES[:count]), FEATURES)
    fast.follow(state(*VOTES), FEATURES)
    assert slow.belief(state(*VOTES)) == fast.belief(state(*VOTES))


def test_an_undone_vote_leaves_no_trace() -> None:
    one, other = learner(), learner()
    one.follow(state(*VOTES), FEATURES)
    one.follow(state(*VOTES[:2], *VOTES[3:]), FEATURES)
    other.follow(state(*VOTES[:2], *VOTES[3:]), FEATURES)
    assert one.belief(state(*VOTES)) == other.belief(state(*VOTES))


def test_a_new_candidate_keeps_what_was_learnt() -> None:
    grown = learner()
    grown.follow(state(*VOTES, candidates=CANDIDATES[:4]), FEATURES)
    grown.follow(state(*VOTES), FEATURES)
    fresh = learner()
    fresh.follow(state(*VOTES), FEATURES)
    assert grown.belief(state(*VOTES)) == fresh.belief(state(*VOTES))


def test_nothing_new_is_nothing_learnt() -> None:
    once = learner()
    assert once.follow(state(*VOTES), FEATURES)
    assert not once.follow(state(*VOTES), FEATURES)


def test_skips_and_failures_do_not_count() -> None:
    once = learner()
    once.follow(state(vote(1, 0, 1, Verdict.SKIP), vote(2, 0, 1, Verdict.FAILED), vote(3, 0, 1)), FEATURES)
    assert once.votes == 1


def test_the_belief_reads_as_probabilities_against_the_seed() -> None:
    once = learner()
    once.follow(state(*VOTES), FEATURES)
    belief = once.belief(state(*VOTES))
    assert belief.best == CANDIDATES[2].id
    assert belief.standings[0].candidate_id == belief.best
    assert sum(s.p_best for s in belief.standings) == pytest.approx(1.0)
    seed = next(s for s in belief.standings if s.candidate_id == CANDIDATES[0].id)
    assert (seed.mean, seed.low, seed.high) == (0.5, 0.5, 0.5)
    assert all(s.low <= s.mean <= s.high for s in belief.standings)
    assert {s.candidate_id: s.votes for s in belief.standings}[CANDIDATES[2].id] == 3


def test_a_pending_question_is_not_asked_again() -> None:
    once = learner()
    once.follow(state(), FEATURES)
    pending: list[Pairing] = []
    for number in range(8):
        [(first, second)] = once.choose(1, pending)
        assert {first, second} not in [{p.first, p.second} for p in pending]
        pending.append(Pairing(str(number), "i", first, second, "", ""))


def test_too_few_candidates_say_what_to_do() -> None:
    once = learner()
    once.follow(state(candidates=CANDIDATES[:1]), FEATURES)
    with pytest.raises(InputError, match=r"has 1; add prompts to \[prompts\] list"):
        once.choose(1, [])


def test_the_vote_budget_is_a_reason_to_stop() -> None:
    once = learner(max_votes=5)
    once.follow(state(*VOTES), FEATURES)
    assert once.should_stop() == (True, "The study's budget of 5 votes is used.")


def test_the_seed_prompt_is_the_one_marked_so() -> None:
    assert seed_of({c.id: c for c in reversed(CANDIDATES)}) == CANDIDATES[0].id
    unmarked = [Candidate.make("x"), Candidate.make("y")]
    assert seed_of({c.id: c for c in unmarked}) == unmarked[0].id


@pytest.mark.parametrize("seed", range(3))
def test_following_one_study_event_by_event_and_its_replay_give_one_belief(tmp_path: Path, seed: int) -> None:
    """Votes that come, are taken back, come again and are dropped, while a candidate goes and returns."""
    draws, live, followed = random.Random(seed), StudyState(), learner()
    with open_store(tmp_path / "study.db") as store:
        one, other = fill_study(store, 30)
        shown = [store.put_response(f"more-{k}", Response("text", f"answer {k}")) for k in range(2)]
        third = Pairing("more", "in-0", one.id, CANDIDATES[3].id, *shown)
        store.append(EventKind.CANDIDATES_ADDED, candidates_payload([CANDIDATES[3]]))
        store.append(EventKind.PAIRING_OPENED, pairing_payload(third))
        live.follow(store)
        features = dict(zip(live.candidates, np.eye(len(live.candidates)), strict=True))
        for step in range(25):
            judge = draws.choice(["anna", "ben"][: 2 - (step > 22)])
            if draws.random() < 0.3:
                store.undo(judge)
            elif duels := store.open_duels(judge, 1, draws):
                store.vote(Ballot(duels[0].id, draws.choice(list(Verdict)), judge, f"{step}"))
            if step == 10:
                store.append(EventKind.CANDIDATE_WITHDRAWN, {"id": other.id, "reason": "x"})
            if step == 18:
                store.append(EventKind.CANDIDATES_ADDED, candidates_payload([other]))
            if step == 22:
                store.remove_rater("ben", votes="drop")
            live.follow(store)
            followed.follow(live, features, votes=store.columns())
            again, fresh = StudyState.replay(store.events()), learner()
            fresh.follow(again, features)
            assert live == again
            assert live.latest(5) == live.votes[-5:]
            assert followed.learnt.votes == len(live.votes)
            assert followed.belief(live) == fresh.belief(again)
            assert {v.candidate_id: v.votes for v in followed.standings(live).values()} == {
                v.candidate_id: v.votes for v in fresh.standings(again).values()
            }
