"""The loop on a target whose truth is known: prompts are numbers, the larger the better."""

import itertools
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from palate.errors import BudgetError, ConfigError, ConflictError, InputError, ModelError
from palate.judges import SimulatedJudge
from palate.questions import pairing_for
from palate.store import StudyState, open_store
from palate.study import Study
from palate.types import Ballot, Pairing, Verdict

PROMPTS = [
    "Reply.",
    "Reply politely.",
    "Reply politely and say sorry.",
    "Reply politely, say sorry and give the next step.",
    "Shout.",
    "Say nothing of use.",
]
WORTH = dict(zip(PROMPTS, (0.0, 1.0, 2.0, 4.0, -2.0, -3.0), strict=True))


def respond(prompt: str, text: str) -> str:
    return f"{WORTH[prompt]:+.1f} for {text}"


def worth(_input: object, answer: str) -> float:
    return float(answer.split()[0])


Maker = Callable[..., Study]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Maker]:
    opened: list[Study] = []

    def maker(name: str = "study.db", **changes: object) -> Study:
        given: dict[str, object] = {
            "target": respond,
            "inputs": ["a late parcel", "a broken lamp", "a double charge"],
            "candidates": PROMPTS,
            "path": tmp_path / name,
            "repeatable": True,
        }
        study = Study.create(**{**given, **changes})  # type: ignore[arg-type]
        opened.append(study)
        return study

    yield maker
    for study in opened:
        study.close()


def judge(**changes: float) -> SimulatedJudge:
    return SimulatedJudge(worth, **{"scale": 2.0, "seed": 1, **changes})  # type: ignore[arg-type]


def test_forty_votes_find_the_best_prompt_and_say_so(make: Maker) -> None:
    study = make()
    assert study.run_judge(judge(), 40) == 40
    best = study.best()
    assert best.candidate.text == PROMPTS[3]
    assert best.votes == 40
    assert best.interval[0] <= best.win_rate <= best.interval[1]
    assert best.win_rate > 0.6
    assert best.probability > 0.5


def test_a_judge_with_the_opposite_taste_gets_the_opposite_prompt(make: Maker) -> None:
    study = make()
    study.run_judge(SimulatedJudge(lambda i, t: -worth(i, t), scale=2.0, seed=1), 40)
    assert WORTH[study.best().candidate.text] <= -2.0


def test_what_was_shown_is_what_is_stored(make: Maker) -> None:
    study = make()
    for verdict in (Verdict.LEFT, Verdict.RIGHT, Verdict.TIE, Verdict.BOTH_BAD, Verdict.SKIP):
        duel = study.ask()
        assert duel.left.content == respond(study.state.candidates[duel.left_candidate].text, duel.input.text)
        assert duel.right.content == respond(
            study.state.candidates[duel.right_candidate].text, duel.input.text
        )
        study.tell(duel, verdict)
        study.state.follow(study.store)
        vote = study.state.votes[-1]
        assert (vote.verdict, vote.left_candidate, vote.right_candidate) == (
            verdict,
            duel.left_candidate,
            duel.right_candidate,
        )
    assert study.belief().votes == 4  # the skip does not teach


def test_asking_twice_without_an_answer_shows_the_same_duel(make: Maker) -> None:
    study = make()
    assert study.ask().id == study.ask().id


def test_the_same_seed_gives_the_same_study(make: Maker) -> None:
    first, second = make("one.db"), make("two.db")
    for study in (first, second):
        study.run_judge(judge(), 12)
    shown = [
        [(v.left_candidate, v.right_candidate, v.verdict) for v in s.state.votes] for s in (first, second)
    ]
    assert shown[0] == shown[1]
    assert first.best() == second.best()


def test_a_reopened_study_believes_what_the_live_one_did(make: Maker, tmp_path: Path) -> None:
    study = make()
    study.run_judge(judge(), 15)
    before = study.belief()
    study.close()
    again = make()
    assert again.belief().standings == before.standings
    again.close()
    reading = Study.open(tmp_path / "study.db")
    assert reading.best().candidate.id == before.best
    with pytest.raises(ConfigError, match="target"):
        reading.ask("somebody else")
    reading.close()


def test_undo_takes_the_vote_out_of_the_belief(make: Maker) -> None:
    study = make()
    study.run_judge(judge(), 5)
    before = study.belief()
    duel = study.ask()
    study.tell(duel, "left")
    assert study.belief().votes == 6
    reopened = study.store.undo(duel.judge)
    assert reopened is not None
    assert reopened.id == duel.id
    assert study.belief().standings == before.standings
    study.tell(reopened, "right")
    assert study.belief().votes == 6


def test_a_repeated_key_returns_the_first_answer_and_a_second_vote_is_refused(make: Maker) -> None:
    study = make()
    duel = study.ask()
    first = study.tell(duel, "left", key="k")
    assert study.tell(duel, "left", key="k") == first._replace(replayed=True)
    with pytest.raises(ConflictError):
        study.tell(duel, "right", key="k")
    with pytest.raises(ConflictError):
        study.tell(duel, "right", key="another")


def test_an_unknown_verdict_names_the_allowed_ones(make: Maker) -> None:
    study = make()
    with pytest.raises(ConfigError, match="'lefty' is not a verdict; allowed: left, right, tie"):
        study.tell(study.ask(), "lefty")


def test_the_vote_budget_ends_the_study(make: Maker) -> None:
    study = make(max_votes=6)
    assert study.run_judge(judge(), 100) == 6
    with pytest.raises(BudgetError, match="6 votes"):
        study.ask()
    assert study.should_stop() == (True, "The study's budget of 6 votes is used.")


def test_one_candidate_cannot_be_compared(make: Maker) -> None:
    with pytest.raises(InputError, match="at least two candidates"):
        make(candidates=["Reply."]).ask()


def test_a_candidate_that_keeps_failing_is_withdrawn_and_the_study_goes_on(make: Maker) -> None:
    def sometimes(prompt: str, text: str) -> str:
        if prompt == "Shout.":
            raise RuntimeError("content filter")
        return respond(prompt, text)

    study = make(target=sometimes)
    study.run_judge(judge(), 40)
    study.state.follow(study.store)
    assert [c.text for c in study.state.withdrawn.values()] == ["Shout."]
    assert study.best().candidate.text == PROMPTS[3]


def test_a_model_that_always_fails_is_reported_and_nobody_is_blamed(make: Maker) -> None:
    def never(prompt: str, text: str) -> str:
        raise RuntimeError("connection refused")

    study = make(target=never)
    with pytest.raises(ModelError, match="connection refused"):
        study.ask()
    study.state.follow(study.store)
    assert not study.state.withdrawn


def test_a_response_is_produced_once(make: Maker) -> None:
    calls: list[tuple[str, str]] = []

    def counted(prompt: str, text: str) -> str:
        calls.append((prompt, text))
        return respond(prompt, text)

    study = make(target=counted)
    study.run_judge(judge(), 40)
    study.close()
    again = make(target=counted)
    again.run_judge(judge(), 20)
    assert len(calls) == len(set(calls)) <= 18


def test_the_background_learner_keeps_two_duels_ready_and_writes_the_belief(make: Maker) -> None:
    study = make()
    stop = threading.Event()
    thread = threading.Thread(target=study.learn_forever, args=(stop,))
    thread.start()
    draw = random.Random(0)
    try:
        for number in itertools.count():
            seq = study.store.last_seq()
            duels = study.store.open_duels("anna", 3)
            if not duels:
                study.store.wait(seq, 1.0)
                continue
            verdict = draw.choice([Verdict.LEFT, Verdict.RIGHT])
            study.store.vote(Ballot(duels[0].id, verdict, "anna", f"key-{number}", 0.5))
            belief = study.store.belief()
            if belief is not None and belief.votes >= 10:
                break
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()
    assert len(study.store.belief_curve()) >= 5


def test_replay_equals_the_live_state(make: Maker, tmp_path: Path) -> None:
    study = make()
    study.run_judge(judge(tie_rate=0.3), 10)
    study.store.undo("simulated")
    study.close()
    with open_store(tmp_path / "study.db", create=False) as store:
        state = StudyState()
        state.follow(store)
        assert state == StudyState.replay(store.events())
        assert store.verify() == []


def test_the_notebook_card_escapes_prompts_and_figures_are_returned(make: Maker) -> None:
    study = make(candidates=["<script>alert(1)</script>", "b"], target=lambda p, t: f"{len(p)} {t}")
    assert "no votes yet" in study._repr_html_()
    study.run_judge(SimulatedJudge(lambda i, t: float(t.split()[0]), scale=1.0, seed=0), 6)
    assert "<script>" not in study._repr_html_()
    assert study.plot_belief().axes[0].lines[0].get_xdata()[-1] == 6
    assert len(study.plot_standings().axes[0].get_yticklabels()) == 2


def test_an_input_on_which_two_answer_alike_comes_last(tmp_path: Path) -> None:
    with Study.create(
        target=lambda prompt, text: f"{prompt} {text}",
        inputs=["dull", "bright"],
        candidates=["a", "b", "c"],
        path=tmp_path / "study.db",
    ) as study:
        a, b, c = study.state.candidates
        dull, bright = study.state.inputs
        opened = [(dull, a, b, "1", "1"), (dull, a, c, "1", "1"), (bright, a, b, "2", "3")]
        opened += [(bright, a, c, "2", "4"), (bright, b, a, "3", "2")]
        for number, (place, *rest) in enumerate(opened):
            study.state.pairings[str(number)] = Pairing(str(number), place, *rest)
        assert pairing_for(study.state, (b, c), [], 0).input_id == bright
        study.state.pairings["1"] = Pairing("1", dull, a, c, "1", "5")
        assert pairing_for(study.state, (b, c), [], 0).input_id == dull
