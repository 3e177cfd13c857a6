"""The learner in another process believes what the one in this process believes, whatever happens to it."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from palate.apart import LOSSES, LearnerApart
from palate.assembly import Parts, parts_from_python
from palate.errors import InputError
from palate.learner import Learner, learner_for
from palate.models import ScriptedModel
from palate.store import (
    EventKind,
    Store,
    StudyState,
    candidates_payload,
    inputs_payload,
    open_store,
    pairing_payload,
)
from palate.study import Study
from palate.types import Array, Ballot, Candidate, Input, Json, Lineage, Pairing, Response, Verdict

JUDGES = ["anna", "ben", "rules:x"]
PLACES = [f"i{k}" for k in range(6)]


def candidate(k: int) -> Candidate:
    parents = (candidate(k - 3).id,) if k > 3 else ()
    return Candidate.make(f"Prompt {k}.", lineage=Lineage("seed" if k == 0 else "user", parents))


def features(count: int) -> Mapping[str, Array]:
    rows = np.random.default_rng(1).standard_normal((count, 5))
    return {candidate(k).id: row / np.linalg.norm(row) for k, row in enumerate(rows)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "study.db") as opened:
        opened.append(EventKind.STUDY_CREATED, {"config": "", "settings": {}, "guidelines": ""})
        opened.append(EventKind.INPUTS_ADDED, inputs_payload([Input(place, place) for place in PLACES]))
        opened.append(EventKind.CANDIDATES_ADDED, candidates_payload([candidate(k) for k in range(4)]))
        yield opened


@pytest.fixture
def apart() -> Iterator[Callable[..., LearnerApart]]:
    made: list[LearnerApart] = []

    def make(strategy: str = "default", *, many: int = 0, notices: list[str] | None = None) -> LearnerApart:
        said = [] if notices is None else notices
        made.append(LearnerApart(Learner(strategy, {}, seed=3, max_votes=500), said.append, many=many))
        return made[-1]

    yield make
    for each in made:
        each.close()


def vote(store: Store, draws: random.Random, count: int, among: int = 4) -> None:
    """Votes of people and of a machine, some taken back."""
    opened: list[Pairing] = []
    for _ in range(count):
        pair, place = draws.sample(range(among), 2), draws.choice(PLACES)
        hashes = [store.put_response(f"{k}-{place}", Response("text", f"{k} on {place}")) for k in pair]
        opened.append(
            Pairing(f"{draws.random()}", place, *(candidate(k).id for k in pair), *hashes)  # pyright: ignore[reportArgumentType]
        )
    store.append_many([(EventKind.PAIRING_OPENED, pairing_payload(pairing)) for pairing in opened])
    judge = draws.choice(JUDGES)
    for duel in store.open_duels(judge, count, draws):
        store.vote(Ballot(duel.id, draws.choice(list(Verdict)), judge, f"{draws.random()}"))
    if draws.random() < 0.3:
        store.undo(judge)


def history(
    store: Store, draws: random.Random
) -> Iterator[tuple[Mapping[str, Array], dict[tuple[str, str], Array]]]:
    """A study that goes on in every way that a learner can notice; what is known beside it, step by step."""
    answers: dict[tuple[str, str], Array] = {}
    for _ in range(4):
        vote(store, draws, 5)
        yield features(4), answers
    store.append(EventKind.CANDIDATES_ADDED, candidates_payload([candidate(4), candidate(5)]))
    yield features(4), answers  # the new ones are not embedded yet
    vote(store, draws, 8, among=6)
    yield features(6), answers
    answers = {(candidate(k).id, place): np.eye(3)[k % 3] for k in range(6) for place in PLACES[:2]}
    yield features(6), answers
    store.append(EventKind.CANDIDATE_WITHDRAWN, {"id": candidate(1).id, "reason": "rude"})
    vote(store, draws, 5)
    yield features(6), answers
    store.undo("anna")
    store.undo("rules:x")
    yield features(6), answers


def alike(one: LearnerApart, other: Learner, state: StudyState) -> None:
    """Both say the same, to the last bit."""
    assert one.votes == other.votes
    assert one.learnt.votes == other.learnt.votes
    assert one.belief(state) == other.belief(state)
    assert one.standings(state) == other.standings(state)
    assert one.should_stop() == other.should_stop()
    assert one.worth_of_growing(state, 3, 40) == other.worth_of_growing(state, 3, 40)
    pairs = [(a, b) for a in state.candidates for b in state.candidates if a < b]
    assert [one.decided(*pair) for pair in pairs] == [other.decided(*pair) for pair in pairs]
    pending = state.pending[-3:]
    assert one.choose(2, pending) == other.choose(2, pending)
    one.check()


@pytest.mark.parametrize("strategy", ["default", "linear-ucb"])
def test_the_belief_is_the_same_wherever_it_is_worked_out(
    store: Store, apart: Callable[..., LearnerApart], strategy: str
) -> None:
    there, here = apart(strategy), Learner(strategy, {}, seed=3, max_votes=500)
    for feature, answers in history(store, random.Random(5)):
        state = StudyState.replay(store.events())
        changed = there.follow(state, feature, answers, votes=store.columns())
        assert changed == here.follow(state, feature, answers)
        assert not there.follow(state, feature, answers, votes=store.columns())
        alike(there, here, state)
    assert there.pid not in (None, os.getpid())


def test_few_votes_are_learnt_here(store: Store, apart: Callable[..., LearnerApart]) -> None:
    learner, here = apart(many=20), Learner("default", {}, seed=3, max_votes=500)
    draws, where = random.Random(0), list[bool]()
    for _ in range(8):
        vote(store, draws, 4)
        state = StudyState.replay(store.events())
        learner.follow(state, features(4), votes=store.columns())
        here = Learner("default", {}, seed=3, max_votes=500)
        here.follow(state, features(4))
        assert learner.belief(state) == here.belief(state)
        assert learner.learnt.votes == len(state.votes)
        where.append(learner.pid is not None)
    assert where == sorted(where)
    assert where[0] is False
    assert where[-1] is True


def test_a_process_that_is_killed_is_started_again(store: Store, apart: Callable[..., LearnerApart]) -> None:
    notices: list[str] = []
    there, here = apart(notices=notices), Learner("default", {}, seed=3, max_votes=500)
    draws = random.Random(1)
    for killed in range(LOSSES):
        vote(store, draws, 10)
        state = StudyState.replay(store.events())
        assert there.follow(state, features(4), votes=store.columns())
        before = there.pid
        assert before is not None
        if killed < LOSSES - 1:
            os.kill(before, signal.SIGKILL)
        here = Learner("default", {}, seed=3, max_votes=500)
        here.follow(state, features(4))
        alike(there, here, state)
        assert (there.pid != before) == (killed < LOSSES - 1)
    assert notices == []


def test_one_that_keeps_dying_is_given_up(store: Store, apart: Callable[..., LearnerApart]) -> None:
    notices: list[str] = []
    there, here = apart(notices=notices), Learner("default", {}, seed=3, max_votes=500)
    vote(store, random.Random(1), 10)
    state = StudyState.replay(store.events())
    here.follow(state, features(4))
    for _ in range(LOSSES):
        there.follow(state, features(4), votes=store.columns())
        assert there.pid is not None
        os.kill(there.pid, signal.SIGKILL)
        assert there.belief(state) == here.belief(state)
    assert there.pid is None
    alike(there, here, state)
    assert len(notices) == 1
    assert notices[0].startswith("learning goes on beside the page")


def test_where_no_process_can_be_started_learning_goes_on_here(
    store: Store, apart: Callable[..., LearnerApart], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")
    notices: list[str] = []
    there, here = apart(notices=notices), Learner("default", {}, seed=3, max_votes=500)
    vote(store, random.Random(1), 10)
    state = StudyState.replay(store.events())
    assert there.follow(state, features(4), votes=store.columns())
    here.follow(state, features(4))
    alike(there, here, state)
    assert "no process can be started" in notices[0]


SORE = '''
from palate.errors import ConfigError

def sore(*, how):
    """A strategy that cannot be made."""
    raise ConfigError("it hurts") if how == "ours" else KeyError("it hurts")
'''


@pytest.mark.parametrize(("how", "kind"), [("ours", "ConfigError"), ("other", "RuntimeError")])
def test_a_plug_in_that_raises_there_raises_here(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, kind: str
) -> None:
    info = tmp_path / "sore-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sore\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[palate.strategies]\nsore = sore:sore\n", encoding="utf-8")
    (tmp_path / "sore.py").write_text(SORE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    vote(store, random.Random(1), 10)
    state = StudyState.replay(store.events())
    there = LearnerApart(Learner("sore", {"how": how}, seed=0), print, many=0)
    try:
        for _ in range(LOSSES + 1):  # it is no loss of the process, and happens again
            with pytest.raises((ValueError, RuntimeError), match="it hurts") as caught:
                there.follow(state, features(4), votes=store.columns())
            assert type(caught.value).__name__ == kind
            assert "sore.py" in "".join(caught.value.__notes__)
            assert there.pid is not None
    finally:
        there.close()


def test_nothing_to_compare_is_told(store: Store, apart: Callable[..., LearnerApart]) -> None:
    there = apart()
    state = StudyState.replay(store.events())
    there.follow(state, features(1), votes=store.columns())
    assert there.pid is not None
    with pytest.raises(InputError, match="at least two candidates"):
        there.check()


@pytest.mark.parametrize("many", [0, 12, 1000])
def test_a_served_study_learns_what_any_other_learns(tmp_path: Path, many: int) -> None:
    settings: dict[str, Json] = {"python": True, "strategy": "default", "seed": 0, "votes": 40}
    texts = [candidate(k) for k in range(5)]

    def parts_for(store: Store) -> Parts:
        return parts_from_python(
            store,
            settings,
            target=lambda prompt, text: f"{prompt} {text}",
            inputs=[Input(place, place) for place in PLACES],
            candidates=texts,
        )._replace(embedder=ScriptedModel())

    with open_store(tmp_path / "study.db") as store:
        parts = parts_for(store)
        study = Study(store, parts, served=True)._registered()
        study._learner = LearnerApart(learner_for(parts), print, many=many)
        stop, draws = threading.Event(), random.Random(0)
        learning = threading.Thread(target=study.learn_forever, args=(stop,))
        learning.start()
        given, until = 0, time.monotonic() + 300
        while given < 30 and time.monotonic() < until:
            for duel in store.open_duels("anna", 1, draws):
                store.vote(Ballot(duel.id, draws.choice(list(Verdict)), "anna", duel.id, 1.0))
                given += 1
        stop.set()
        learning.join()
        assert given == 30
        believed, stopping = study.belief(), study.should_stop()
        other = Study(store, parts_for(store))
        # An answer that was under way when the loop ended may land in between; votes cannot.
        assert replace(other.belief(), seq=believed.seq) == believed
        assert other.should_stop() == stopping
        kept = store.belief()
        assert kept is not None
        assert (kept.votes, kept.best) == (believed.votes, believed.best)
        met = {(vote.input_id, vote.left_candidate, vote.right_candidate) for vote in other.state.votes}
        assert len(met) > 20  # it does not ask the same over and over
        study.close()
        other.close()
