"""Answers to several inputs: they share one belief, meet only their like, and each input has its report."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from palate.errors import InputError, NotFoundError
from palate.judges import SimulatedJudge
from palate.learner import Learner, by_context
from palate.models import ScriptedModel
from palate.proposers import Sample
from palate.store import StudyState, open_store
from palate.study import Study
from palate.targets import ResponseTarget
from palate.types import Candidate, Input, Known, Lineage, Verdict

INPUTS = [Input("a", "What barks?"), Input("b", "What purrs?"), Input("c", "What sings?")]
WORTH = {"plain": 0.0, "kind": 1.5, "kind and clear": 3.0, "rude": -2.0}
TARGET = ResponseTarget()


def answers(*words: str, inputs: list[Input] = INPUTS) -> list[Candidate]:
    return [
        TARGET.answer(place, word, Lineage("sample" if n else "seed"))
        for n, word in enumerate(words)
        for place in inputs
    ]


def worth(_input: object, answer: str) -> float:
    return WORTH[answer]


Maker = Callable[..., Study]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    opened: list[Study] = []

    def maker(candidates: list[Candidate], name: str = "study.db") -> Study:
        study = Study.create(
            target=TARGET, inputs=INPUTS, candidates=candidates, path=tmp_path / name, repeatable=True
        )
        opened.append(study)
        return study

    yield maker
    for study in opened:
        study.close()


def test_answers_meet_only_answers_to_the_same_input(make: Maker) -> None:
    study = make(answers(*WORTH))
    study.run_judge(SimulatedJudge(worth, scale=2.0, seed=1), 24)
    study.state.follow(study.store)
    for vote in study.state.votes:
        contexts = {study.state.candidates[c].context for c in (vote.left_candidate, vote.right_candidate)}
        assert contexts == {vote.input_id}
    assert Counter(vote.input_id for vote in study.state.votes) == {"a": 8, "b": 8, "c": 8}


def test_each_input_has_its_best_answer_against_its_own_seed(make: Maker) -> None:
    study = make(answers(*WORTH))
    study.run_judge(SimulatedJudge(worth, scale=2.0, seed=1), 45)
    belief = study.belief()
    assert [context.input_id for context in belief.contexts] == ["a", "b", "c"]
    assert [context.votes for context in belief.contexts] == [15, 15, 15]
    for context in belief.contexts:
        best = study.best_of(context.input_id)
        assert best.candidate.context == context.input_id
        assert best.candidate.text == "kind and clear"
        assert best.candidate.id == context.best == context.standings[0].candidate_id
        assert best.probability > 0.5
        assert best.interval[0] < best.win_rate < best.interval[1]
        assert best.win_rate > 0.7
        of_input = {c.id for c in study.state.candidates.values() if c.context == context.input_id}
        assert {standing.candidate_id for standing in context.standings} <= of_input
        seeds = [s for s in context.standings if study.state.candidates[s.candidate_id].text == "plain"]
        assert [(s.mean, s.low, s.high) for s in seeds] == [(0.5, 0.5, 0.5)]
    assert study.best() == study.best_of("a")._replace(votes=45)
    with pytest.raises(NotFoundError, match="'a', 'b', 'c'"):
        study.best_of("d")


def test_the_chances_of_each_input_add_up_to_one(make: Maker) -> None:
    study = make(answers(*WORTH))
    study.run_judge(SimulatedJudge(worth, scale=2.0, seed=1), 12)
    standings = study._learner.standings(study.state)
    assert len(standings) == 12
    for group in by_context(study.state.candidates.values()).values():
        assert sum(standings[c.id].p_best for c in group) == pytest.approx(1.0)


def test_what_one_input_teaches_helps_another(make: Maker) -> None:
    study = make(answers(*WORTH))
    for _ in range(30):
        duel = study.ask()
        better = WORTH[duel.left.content] > WORTH[duel.right.content]
        said = (Verdict.LEFT if better else Verdict.RIGHT) if duel.input.id != "c" else Verdict.SKIP
        study.tell(duel, said)
    belief = {context.input_id: context for context in study.belief().contexts}
    assert belief["c"].votes == 0
    assert study.best_of("c").candidate.text == "kind and clear"
    assert study.best_of("c").win_rate > 0.6


def test_a_stored_belief_keeps_every_input(make: Maker, tmp_path: Path) -> None:
    study = make(answers(*WORTH))
    study.run_judge(SimulatedJudge(worth, scale=2.0, seed=1), 9)
    live = study.belief()
    with open_store(tmp_path / "study.db", create=False) as store:
        stored = store.belief()
        points = list(store.belief_curve())
    assert stored is not None
    assert stored.contexts == live.contexts
    first = [context.standings[0] for context in live.contexts]
    assert points[-1].p_best == pytest.approx(sum(s.p_best for s in first) / 3)
    assert points[-1].win_rate == pytest.approx(sum(s.mean for s in first) / 3)
    study.close()
    assert make(answers(*WORTH)).belief() == live


def test_an_input_with_one_answer_is_left_out_of_questions_and_in_the_report(make: Maker) -> None:
    study = make([*answers("plain", "kind", inputs=INPUTS[:2]), *answers("plain", inputs=INPUTS[2:])])
    study.run_judge(SimulatedJudge(worth, scale=2.0, seed=1), 8)
    assert {vote.input_id for vote in study.state.votes} == {"a", "b"}
    lonely = study.best_of("c")
    assert (lonely.candidate.text, lonely.probability, lonely.win_rate) == ("plain", 1.0, 0.5)


def test_nothing_can_be_compared_when_each_input_has_one_answer(make: Maker) -> None:
    study = make(answers("plain"))
    with pytest.raises(InputError, match="each for another input"):
        study.ask()


def test_stopping_waits_for_every_input() -> None:
    candidates = answers("plain", "kind", inputs=INPUTS[:2])
    state = StudyState()
    state.candidates.update({c.id: c for c in candidates})
    state.inputs.update({item.id: item for item in INPUTS[:2]})
    learner = Learner("default", {}, seed=0)
    learner.follow(state, {c.id: row for c, row in zip(candidates, np.eye(4), strict=True)})
    rows = {c.id: n for n, c in enumerate(candidates)}
    one, other = ([rows[c.id] for c in candidates if c.context == place] for place in "ab")
    for _ in range(60):  # features share nothing, so input b stays open
        learner.bandit.tell(*one, "left")
    assert learner.bandit.should_stop(among=one)[0]
    assert not learner.bandit.should_stop(among=other)[0]
    assert not learner.should_stop()[0]
    for _ in range(60):
        learner.bandit.tell(*other, "right")
    stop, reason = learner.should_stop()
    assert stop
    assert "each of the 2 inputs" in reason


def test_sampled_answers_take_turns_over_the_inputs() -> None:
    model = ScriptedModel([f"answer {n}" for n in range(20)])
    proposer = Sample(model, TARGET)
    known = Known(inputs=INPUTS)
    made = asyncio.run(proposer.propose(8, known=known, rng=np.random.default_rng(0)))
    assert Counter(c.context for c in made) == {"a": 3, "b": 3, "c": 2}
    assert [c.lineage.origin for c in made] == ["seed"] * 3 + ["sample"] * 5
