"""A study that grows: when, from what, what it keeps out, and what an interruption costs (nothing)."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palate.errors import ConfigError, ModelError
from palate.judges import SimulatedJudge
from palate.proposing import EARLIEST
from palate.store import EventKind, StudyState
from palate.study import Study
from palate.types import Candidate, Known, Lineage

WORDS = ["plain", "kind", "short", "clear", "warm", "calm"]
PROMPTS = ["Reply.", *(f"Reply in a {word} way." for word in WORDS[:3])]


def respond(prompt: str, text: str) -> str:
    return f"{sum(word in prompt for word in WORDS)} good things about {text}"


def judge(**changes: Any) -> SimulatedJudge:
    def worth(_input: object, answer: str) -> float:
        return float(answer.split()[0])

    return SimulatedJudge(worth, **{"scale": 2.0, "seed": 1, **changes})


def add_words(n: int, known: Known, rng: np.random.Generator) -> list[str | Candidate]:
    """Children of the likeliest winners, with one more good word each."""
    made: list[str | Candidate] = []
    for parent in known.ranked()[:n]:
        fresh = [word for word in WORDS if word not in parent.text]
        text = f"{parent.text} Be {fresh[int(rng.integers(len(fresh)))]}." if fresh else parent.text
        made.append(Candidate.make(text, lineage=Lineage("words", (parent.id,))))
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def create(folder: Path, *proposers: Any, **changes: Any) -> Study:
    given: dict[str, Any] = {
        "target": respond,
        "inputs": ["a late parcel", "a broken lamp"],
        "candidates": PROMPTS,
        "path": folder / "study.db",
        "proposers": proposers,
        "max_votes": 40,
        "repeatable": True,
    }
    return Study.create(**{**given, **changes})


def kinds(study: Study) -> list[str]:
    return [event.kind.value for event in study.store.events() if event.kind.value.startswith("growth")]


def test_a_study_grows_towards_the_taste_of_its_judge(folder: Path) -> None:
    with create(folder, add_words) as study:
        study.run_judge(judge(), 40)
        assert study.state.grown > 0
        best = study.best().candidate
        assert best.lineage.origin == "words"  # no first candidate has more than one good word
        assert sum(word in best.text for word in WORDS) > 1
        first = next(iter(study.state.growth.values()))
        assert first.exploring > 0.002
        votes_before = sum(vote.seq < first.seq for vote in study.state.votes)
        assert votes_before >= EARLIEST


def test_without_proposers_the_pool_stays_as_it_is(folder: Path) -> None:
    with create(folder) as study:
        study.run_judge(judge(), 15)
        assert len(study.state.candidates) == len(PROMPTS)
        assert kinds(study) == []
        assert study.grow(anyway=True) == []


def test_rounds_are_events_and_a_reopened_study_has_them(folder: Path) -> None:
    with create(folder, add_words) as study:
        study.run_judge(judge(), 14)
        study.grow(anyway=True)
        assert kinds(study)[-2:] == ["growth_started", "growth_ended"]
        before = dict(study.state.growth)
    with Study.open(folder / "study.db") as again:
        assert again.state.growth == before
        assert StudyState.replay(again.store.events()) == again.state
        assert again.store.verify() == []


def test_what_the_gate_refuses_is_counted_and_never_takes_part(folder: Path) -> None:
    def junk(n: int, known: Known, rng: np.random.Generator) -> list[str]:
        return ["Here is the improved prompt: reply.", "<prompt>Reply</prompt>", "reply to them " * 90]

    with create(folder, junk) as study:
        study.run_judge(judge(), 12)
        assert study.grow(anyway=True) == []
        assert len(study.state.candidates) == len(PROMPTS)
        counted = study.state.refused
        assert counted["speaks of its own making"] >= 2
        assert counted["too long"] >= 1


def test_a_proposer_with_nothing_to_say_is_asked_twice_and_no_more(folder: Path) -> None:
    asked: list[int] = []

    def silent(n: int, known: Known, rng: np.random.Generator) -> list[str]:
        asked.append(n)
        return []

    with create(folder, silent) as study:
        study.run_judge(judge(error_rate=0.5), 40)
        assert len(asked) <= 2
        study.grow(anyway=True)  # the owner may ask all the same
        assert len(asked) <= 3


def test_growth_ends_at_the_most_that_may_join(folder: Path) -> None:
    def endless(n: int, known: Known, rng: np.random.Generator) -> list[str]:
        return [f"Reply in way {rng.integers(10**9)}." for _ in range(n)]

    with create(folder, endless) as study:
        study.parts = study.parts._replace(most=6)
        study.run_judge(judge(), 12)
        for _ in range(4):
            study.grow(anyway=True)
        assert study.state.grown == 6
        assert len(study.state.candidates) == len(PROMPTS) + 6


def test_proposers_take_turns(folder: Path) -> None:
    def other(n: int, known: Known, rng: np.random.Generator) -> list[str]:
        return [f"Reply in way {rng.integers(10**9)}."]

    with create(folder, add_words, other) as study:
        study.run_judge(judge(), 11)
        for _ in range(4):
            study.grow(anyway=True)
        names = [each.proposer for each in study.state.growth.values()]
        assert names[:4] == ["1-add_words", "2-other", "1-add_words", "2-other"]


def test_an_interrupted_round_is_taken_up_with_the_same_knowledge(folder: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    def breaks(n: int, known: Known, rng: np.random.Generator) -> list[str]:
        what = [(c.id, round(known.standings[c.id].mean, 12)) for c in known.ranked()]
        seen.append((n, what, len(known.comparisons), int(rng.integers(10**9))))
        if len(seen) == 1:
            raise ModelError("the line is dead")
        return ["Reply as a friend would."]

    with create(folder, breaks) as study:
        with pytest.raises(ModelError, match="line is dead"):
            study.run_judge(judge(), 40)
        assert study.grow(anyway=True) == []  # nothing more until the study is opened again
        for _ in range(3):  # votes go on
            study.tell(study.ask(), "left")
        assert study.best().votes >= EARLIEST + 3
    with create(folder, breaks) as again:
        (made,) = again.grow()
        assert made.text == "Reply as a friend would."
        assert seen[1] == seen[0]
        assert kinds(again) == ["growth_started", "growth_ended"]


def test_growth_runs_beside_the_page_and_never_holds_it_up(folder: Path) -> None:
    may_answer, asked = threading.Event(), threading.Event()

    def slow(n: int, known: Known, rng: np.random.Generator) -> list[str]:
        asked.set()
        may_answer.wait(60)
        return ["Reply as a friend would."]

    # A strategy that cannot weigh grows evenly, however far the learner has got when it asks itself.
    with create(folder, slow, max_votes=200, strategy="random-memoryless") as study:
        stop = threading.Event()
        worker = threading.Thread(target=study.learn_forever, args=(stop,))
        worker.start()
        rater = judge()
        try:
            seq = study.store.last_seq()
            for _ in range(60):
                while not (duels := study.store.open_duels("me", 1)):
                    seq = study.store.wait(seq, 5)
                verdict = study._engine.run(rater.judge(duels[0])).verdict
                study.tell(duels[0], verdict)
                if asked.is_set():
                    break
            assert asked.wait(60)
            for _ in range(5):  # the proposer thinks, and questions keep coming
                while not (duels := study.store.open_duels("me", 1)):
                    seq = study.store.wait(seq, 5)
                study.tell(duels[0], "left")
            assert "growth_ended" not in kinds(study)
            may_answer.set()
            state = StudyState()
            state.follow(study.store)
            while not any(each.made for each in state.growth.values()):
                study.store.wait(state.seq, 5)
                state.follow(study.store)
            assert "Reply as a friend would." in [c.text for c in state.candidates.values()]
        finally:
            may_answer.set()
            stop.set()
            worker.join()


def test_a_strategy_that_cannot_weigh_grows_evenly(folder: Path) -> None:
    def endless(n: int, known: Known, rng: np.random.Generator) -> list[str]:
        return [f"Reply in way {rng.integers(10**9)}." for _ in range(n)]

    with create(folder, endless, strategy="random-memoryless") as study:
        study.parts = study.parts._replace(most=20)
        sizes: list[int] = []
        study.run_judge(judge(), 40, lambda done: sizes.append(study.state.grown))
        assert sizes[EARLIEST - 2] == 0
        assert 0 < sizes[19] < 20
        assert sizes[-1] == 20
        assert sizes == sorted(sizes)


@pytest.mark.parametrize("wrong", [3, "opro", None])
def test_what_is_no_proposer_is_refused(folder: Path, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="proposers has"):
        create(folder, wrong)


FILE = """
[study]
candidates = 3
[model]
kind = "scripted"
answers = ["<prompt>Say sorry to the customer.</prompt>", "<prompt>Thank the customer.</prompt>", "No."]
[inputs]
inline = ["My parcel is late.", "The lamp is broken."]
[prompts]
seed = "Answer the customer."
list = ["Answer politely.", "Answer briefly."]
[proposers]
use = []
[growth]
{growth}
"""


def opened(folder: Path, growth: Sequence[str]) -> Study:
    path = folder / "study.toml"
    path.write_text(FILE.format(growth="\n".join(growth)), encoding="utf-8")
    return Study.open(path, repeatable=True)


def test_a_study_file_names_who_grows(folder: Path) -> None:
    with opened(folder, ['use = ["opro", "critique"]', "most = 5", "[growth.opro]", "shown = 3"]) as study:
        assert [name for name, _ in study.parts.growers] == ["opro", "critique"]
        assert study.parts.most == 5
        study.run_judge(SimulatedJudge(lambda _, text: float(len(text)), scale=1.0, seed=0), 12)
        study.grow(anyway=True)
        assert study.state.growth[0].proposer == "opro"
        assert "Say sorry to the customer." in [c.text for c in study.state.candidates.values()]


def generated(study: Study) -> int:
    """Answers that the proposers' model was really asked for."""
    metered: Any = dict(study.parts.growers)["opro"]
    return sum(call.operation == "generate" for call in metered.model._model.calls)


def test_answers_paid_for_are_not_paid_twice(folder: Path) -> None:
    with opened(folder, ['use = ["opro"]']) as study:
        study.run_judge(SimulatedJudge(lambda _, text: float(len(text)), scale=1.0, seed=0), 11)
        study._refresh()
        begun = study._proposing.due(study.state, study._learner, anyway=True)
        assert begun is not None
        before = generated(study)
        study._engine.run(study._proposing._round(begun))  # every answer arrives, and then the power goes
        assert generated(study) > before
    with Study.open(folder / "study.toml") as again:
        again.grow()
        assert generated(again) == 0
        assert again.state.growth[begun.number].made is not None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['use = ["oprro"]'], r"\[growth\] use is 'oprro'.*did you mean 'opro'"),
        (['use = ["opro", "opro"]'], "twice"),
        (['use = ["opro"]', "shwon = 3"], r"\[growth\] shwon.*did you mean 'shown'"),
        (['use = ["opro"]', "[growth.critique]", "beam = 2"], "no such proposer in use"),
        (['use = ["opro"]', "[growth.opro]", "beam = 2"], r"\[growth.opro\] beam"),
        (['use = ["induction"]'], r"\[growth\] use has 'induction', which needs the table \[examples\]"),
        (["most = -1"], "most"),
        (["[growth.gate]", 'kind = "opnai"'], "did you mean 'openai'"),
    ],
)
def test_a_wrong_table_is_named(folder: Path, lines: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(folder, lines)
    assert not (folder / "study.db").exists()


def test_events_of_growth_need_their_fields(folder: Path) -> None:
    from palate.errors import InputError

    with create(folder) as study, pytest.raises(InputError, match="'asking'"):
        study.store.append(EventKind.GROWTH_STARTED, {"round": 0, "proposer": "x", "wanted": 1})


def test_the_owner_reads_what_grew_and_what_was_refused(folder: Path) -> None:
    from typer.testing import CliRunner

    from palate.command._app import app

    def mixed(n: int, known: Known, rng: np.random.Generator) -> list[str]:
        return ["Reply as a friend would.", "Here is the improved prompt: reply.", "reply to them " * 90]

    with create(folder, mixed) as study:
        study.run_judge(judge(), 9)
        study.grow(anyway=True)
    shown = CliRunner().invoke(app, ["status", str(folder / "study.db")]).stdout
    assert "grown      1; refused 2 (1 speaks of its own making, 1 too long)" in shown
    said = CliRunner().invoke(app, ["status", str(folder / "study.db"), "--json"]).stdout
    assert '"grown": 1' in said
