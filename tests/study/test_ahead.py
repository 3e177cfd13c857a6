"""Answers that are known before anybody is asked about them."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from palate.ahead import ahead_inputs
from palate.assembly import parts_from_python
from palate.errors import BudgetError
from palate.store import open_store
from palate.study import Study
from palate.types import Belief, Candidate, Input, Response

INPUTS = [f"question {n}" for n in range(6)]
# Two groups that answer alike; of each, only the first is ever shown.
SAYS = {
    "Shout.": "WHAT A DAY!!!",
    "Be loud.": "WHAT A DAY!!!",
    "Be kind.": "a fine day",
    "Be warm.": "a fine day",
}


def says(prompt: str, text: str) -> str:
    return f"{SAYS[prompt]} {text}"


@contextmanager
def study(path: Path, ahead: int, answer: Callable[[str, str], str] = says) -> Iterator[Study]:
    given = {"target": answer, "inputs": INPUTS, "candidates": list(SAYS)}
    if not path.exists():
        Study.create(path=path, **given, repeatable=True).close()
    store = open_store(path)
    settings = {"python": True, "strategy": "default", "seed": 0, "votes": None}
    parts = parts_from_python(store, settings, **given)
    with Study(store, parts._replace(answers_ahead=ahead, repeatable=True)) as made:
        yield made


def vote_kind_over_loud(made: Study, votes: int) -> None:
    """Votes on two of the candidates only."""
    shown = {c.text: c.id for c in made.state.candidates.values()}
    for number in range(votes):
        bandit = made._learner.bandit
        rows = [made._learner._index[shown[text]] for text in ("Be kind.", "Shout.")]
        bandit.tell(*rows, "left", input_id=f"input-{number % 6 + 1}")


def test_every_candidate_answers_the_same_few_inputs_once(tmp_path: Path) -> None:
    asked: Counter[tuple[str, str]] = Counter()

    def answer(prompt: str, text: str) -> str:
        asked[prompt, text] += 1
        return says(prompt, text)

    with study(tmp_path / "s.db", 2, answer) as made:
        made.prepare()
        assert len(asked) == 8
        assert {text for _, text in asked} == {each.text for each in ahead_inputs(made.state, 2, 0)}
        made.prepare()
    with study(tmp_path / "s.db", 2, answer) as made:
        made.prepare()
    assert set(asked.values()) == {1}


def test_nothing_is_asked_ahead_unless_the_study_says_so(tmp_path: Path) -> None:
    asked: list[str] = []
    with study(
        tmp_path / "s.db", 0, lambda prompt, text: (asked.append(text), says(prompt, text))[1]
    ) as made:
        made.prepare()
    assert not asked


def test_more_inputs_than_there_are_means_all(tmp_path: Path) -> None:
    with study(tmp_path / "s.db", 50) as made:
        made.state.follow(made.store)
        assert len(ahead_inputs(made.state, 50, 0)) == 6


def test_the_inputs_stay_when_others_join(tmp_path: Path) -> None:
    with study(tmp_path / "s.db", 2) as made:
        made.state.follow(made.store)
        before = [place.id for place in ahead_inputs(made.state, 6, 5)]
        made.state.inputs["late"] = Input("late", "a late question")
        after = [place.id for place in ahead_inputs(made.state, 7, 5)]
        assert [place for place in after if place != "late"] == before


def test_a_vote_teaches_about_those_that_answer_alike(tmp_path: Path) -> None:
    def carried_over(ahead: int) -> float:
        """How much of what is said of two candidates goes to the two that were never shown."""
        with study(tmp_path / f"{ahead}.db", ahead) as made:
            made.prepare()
            vote_kind_over_loud(made, 12)
            mean = dict(zip(made._learner._ids, made._learner.bandit.posterior().mean_N, strict=True))
            worth = {c.text: float(mean[c.id]) for c in made.state.candidates.values()}
            return (worth["Be warm."] - worth["Be loud."]) / (worth["Be kind."] - worth["Shout."])

    from_prompts, from_answers = carried_over(0), carried_over(3)
    assert abs(from_prompts) < 0.25
    assert from_answers > 0.4


def test_a_reopened_study_believes_what_the_live_one_did(tmp_path: Path) -> None:
    def beliefs() -> Iterator[Belief]:
        with study(tmp_path / "s.db", 3) as made:
            made.prepare()
            for _ in range(8):
                duel = made.ask()
                louder = made.state.candidates[duel.left_candidate].text in ("Shout.", "Be loud.")
                made.tell(duel, "right" if louder else "left")
            yield made.belief()
        with study(tmp_path / "s.db", 3) as made:  # nothing is asked: the answers are in the store
            yield made.belief()

    live, reopened = beliefs()
    assert live.standings == reopened.standings


def test_one_that_fails_is_left_out_and_asked_again_when_reopened(tmp_path: Path) -> None:
    broken = {"Shout."}

    def answer(prompt: str, text: str) -> str:
        if prompt in broken:
            raise ValueError("no")
        return says(prompt, text)

    with study(tmp_path / "s.db", 2, answer) as made:
        made.prepare()
        assert len(made._ahead.features) == 6
    broken.clear()
    with study(tmp_path / "s.db", 2, answer) as made:
        made.prepare()
        assert len(made._ahead.features) == 8


def test_a_spent_budget_ends_it_and_keeps_what_was_answered(tmp_path: Path) -> None:
    class Dear:
        left = 5

        async def respond(self, candidate: Candidate, place: Input) -> Response:
            if self.left == 0:
                raise BudgetError("all calls are used")
            self.left -= 1
            return Response("text", says(candidate.text, place.text))

    with study(tmp_path / "s.db", 2) as made:
        pass
    with study(tmp_path / "s.db", 2) as made:
        made._responder._target = Dear()
        with pytest.raises(BudgetError, match="all calls are used"):
            made.prepare()
        assert len(made._ahead.features) == 5
