"""Tuning real DSPy programs by duels: with its own dummy model, and with one that obeys its instruction."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import httpx2
import numpy as np
import pytest
from dspy.utils import DummyLM

from palate.errors import ConfigError, InputError, ModelError
from palate.integrations import winner_text
from palate.integrations.dspy import DuelTuner, Page, ProgramTarget
from palate.integrations.dspy._instructions import pool_of, written_instructions
from palate.integrations.dspy._judges import _printable
from palate.integrations.dspy._program import instructions_of, program_inputs, shown_output
from palate.judges import SimulatedJudge
from palate.store import EventKind, Store, StudyState, open_store
from palate.types import Ballot, Candidate, Duel, Lineage, Verdict

KIND = "Answer kindly."
SHORT = "Answer in a word."
LOUD = "Shout."


class Obedient(DummyLM):
    """DSPy's dummy model, which answers with the instruction that it got."""

    def __init__(self) -> None:
        super().__init__([], follow_examples=True)
        self.calls: list[str] = []

    def _use_example(self, messages: Any) -> str:
        told = str(messages[0]["content"])
        self.calls.append(told)
        return self._format_answer_fields(
            {"answer": next((text for text in (KIND, SHORT, LOUD) if text in told), "plain")}
        )


class Broken(DummyLM):
    """A dummy model that cannot be reached."""

    def __init__(self) -> None:
        super().__init__([], follow_examples=True)

    def _use_example(self, messages: Any) -> str:
        raise RuntimeError("no such model")


def trainset(*questions: str) -> list[dspy.Example]:
    return [dspy.Example(question=text).with_inputs("question") for text in questions or ("Where?", "When?")]


def likes(wanted: str) -> Any:
    def judge(example: dspy.Example, left: str, right: str) -> str:
        assert example.question in ("Where?", "When?")
        if (left == wanted) == (right == wanted):
            return "tie"
        return "left" if left == wanted else "right"

    return judge


@pytest.fixture(autouse=True)
def no_cache() -> Iterator[None]:
    with dspy.context(lm=None):
        yield


def test_the_best_instruction_wins(tmp_path: Path) -> None:
    program = dspy.Predict("question -> answer")
    before = program.signature.instructions
    tuner = DuelTuner(tmp_path / "s.db", judge=likes(SHORT), votes=14, instructions=[KIND, SHORT, LOUD])
    with dspy.context(lm=Obedient()):
        better = tuner.compile(program, trainset=trainset())
        assert better(question="Where?").answer == SHORT
    assert better.signature.instructions == SHORT
    assert program.signature.instructions == before
    assert better._compiled
    assert better.palate["votes"] == 14
    assert better.palate["probability"] > 0.5
    assert 0 <= better.palate["interval"][0] <= better.palate["win_rate"] <= better.palate["interval"][1] <= 1


def test_the_winner_is_saved_and_loaded_by_dspy(tmp_path: Path) -> None:
    tuner = DuelTuner(tmp_path / "s.db", judge=likes(KIND), votes=10, instructions=[KIND, LOUD])
    with dspy.context(lm=Obedient()):
        better = tuner.compile(dspy.Predict("question -> answer"), trainset=trainset())
    better.save(tmp_path / "saved.json")
    loaded = dspy.Predict("question -> answer")
    loaded.load(tmp_path / "saved.json")
    assert loaded.signature.instructions == KIND


def test_a_state_from_the_database_keeps_demonstrations_and_fields(tmp_path: Path) -> None:
    """What ``palate best --format dspy`` writes equals what the tuned program saves, but for versions."""

    class Two(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.draft = dspy.ChainOfThought("question -> draft")
            self.polish = dspy.Predict("draft -> answer")
            self.polish.demos = [dspy.Example(draft="a", answer="A").with_inputs("draft")]

        def forward(self, question: str) -> dspy.Prediction:
            return self.polish(draft=self.draft(question=question).draft)

    lm = DummyLM([{"reasoning": "r", "draft": "d", "answer": "a"}] * 200)
    options = {"draft.predict": [KIND], "polish": [SHORT, LOUD]}
    tuner = DuelTuner(tmp_path / "s.db", judge=lambda *_: "left", votes=4, instructions=options)
    with dspy.context(lm=lm):
        better = tuner.compile(Two(), trainset=trainset())
    with open_store(tmp_path / "s.db", create=False) as store:
        state = StudyState()
        state.follow(store)
        chosen = {name: p.signature.instructions for name, p in better.named_predictors()}
        [winner] = [c for c in state.candidates.values() if c.parts["instructions"] == chosen]
        written = json.loads(winner_text(winner, state, "dspy"))
    better.save(tmp_path / "saved.json")
    saved = json.loads((tmp_path / "saved.json").read_text(encoding="utf-8"))
    assert {**written, "metadata": None} == {**saved, "metadata": None}
    (tmp_path / "winner.json").write_text(json.dumps(written), encoding="utf-8")
    loaded = Two()
    loaded.load(tmp_path / "winner.json")
    assert loaded.polish.demos[0]["answer"] == "A"
    assert loaded.draft.predict.signature.instructions == better.draft.predict.signature.instructions


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    lm = Obedient()
    path = tmp_path / "s.db"

    def tuned(votes: int) -> Any:
        tuner = DuelTuner(path, judge=likes(SHORT), votes=votes, instructions=[KIND, SHORT])
        with dspy.context(lm=lm):
            return tuner.compile(dspy.Predict("question -> answer"), trainset=trainset())

    assert tuned(3).palate["votes"] == 3
    assert tuned(8).palate["votes"] == 8
    calls = len(lm.calls)
    assert calls <= 6  # three programs on two examples, each run once and for all
    assert tuned(8).signature.instructions == SHORT
    assert len(lm.calls) == calls


def test_a_model_writes_instructions_once(tmp_path: Path) -> None:
    written = ["Here is the new instruction:\n\nBe exact.", "Be exact.", "", "Be warm and exact."]
    writer = DummyLM([{"new_instruction": text} for text in written])
    path = tmp_path / "s.db"
    for _ in range(2):
        tuner = DuelTuner(path, judge=likes(SHORT), votes=2, prompt_model=writer, candidates=5)
        with dspy.context(lm=Obedient()):
            tuner.compile(dspy.Predict("question -> answer"), trainset=trainset())
    with open_store(path, create=False) as store:
        state = StudyState()
        state.follow(store)
    found = [(c.text, c.lineage.origin, c.lineage.model) for c in state.candidates.values()]
    original = "Given the fields `question`, produce the fields `answer`."
    assert found == [
        (original, "seed", None),
        ("Be exact.", "written", "dummy"),
        ("Be warm and exact.", "written", "dummy"),
    ]
    assert len(writer.history) == 4
    asked = writer.history[0]["messages"][-1]["content"]
    assert original in asked
    assert "Where?" in asked


def test_a_model_that_fails_is_an_error_and_leaves_nothing_half_done(tmp_path: Path) -> None:
    tuner = DuelTuner(tmp_path / "s.db", judge=likes(SHORT), prompt_model=Broken())
    with dspy.context(lm=Obedient()), pytest.raises(ModelError, match="no such model"):
        tuner.compile(dspy.Predict("question -> answer"), trainset=trainset())
    with dspy.context(lm=Broken()), pytest.raises(ModelError, match="failed in a row"):
        DuelTuner(tmp_path / "t.db", judge=likes(SHORT), instructions=[KIND]).compile(
            dspy.Predict("question -> answer"), trainset=trainset()
        )


def test_judges_of_palate_decide_too(tmp_path: Path) -> None:
    judge = SimulatedJudge(lambda item, text: float(text == LOUD), scale=10, seed=0)
    tuner = DuelTuner(tmp_path / "s.db", judge=judge, votes=12, instructions=[KIND, SHORT, LOUD])
    with dspy.context(lm=Obedient()):
        better = tuner.compile(dspy.Predict("question -> answer"), trainset=trainset())
    assert better.signature.instructions == LOUD


def test_the_person_at_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["x", "1", "3", "s", "q"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    tuner = DuelTuner(tmp_path / "s.db", judge="terminal", votes=9, instructions=[KIND])
    with dspy.context(lm=Obedient()):
        better = tuner.compile(dspy.Predict("question -> answer"), trainset=trainset())
    assert better.palate["votes"] == 2
    assert list(typed) == []
    shown = capsys.readouterr().out
    assert shown.count("── A ──") == 4
    assert KIND in shown


def test_a_terminal_gets_no_control_characters() -> None:
    assert _printable("a\x1b[31mb\u202ec\n\td\x9b") == "a[31mbc\n\td"


def opened(store: Store) -> list[Duel]:
    """The duel that is open, waiting a little for one."""
    store.wait(store.last_seq(), 0.1)
    return store.open_duels("me", 1)


@pytest.mark.parametrize("end", ["votes", "done"])
def test_the_page(tmp_path: Path, end: str) -> None:
    """The tuning ends with the last vote that was asked for, or when the person is done."""
    link: list[str] = []
    ready = threading.Event()

    def on_ready(found: str) -> None:
        link.append(found)
        ready.set()

    votes = 2 if end == "votes" else 99
    judge = Page(on_ready=on_ready)
    tuner = DuelTuner(tmp_path / "s.db", judge=judge, votes=votes, instructions=[KIND, SHORT])
    made: list[Any] = []

    def compile_() -> None:
        with dspy.context(lm=Obedient()):
            made.append(tuner.compile(dspy.Predict("question -> answer"), trainset=trainset()))

    tuning = threading.Thread(target=compile_)
    tuning.start()
    assert ready.wait(60)
    with httpx2.Client(follow_redirects=True) as browser:
        page = browser.get(link[0])
        assert page.status_code == 200
    with open_store(tmp_path / "s.db", create=False) as store:
        for number in range(2):
            [duel] = next(found for _ in range(600) if (found := opened(store)))
            store.vote(Ballot(duel.id, Verdict.LEFT, "me", f"key-{number}"))
        if end == "done":
            store.append(EventKind.STUDY_CLOSED, {"reason": "done"}, actor="me")
    tuning.join(60)
    assert not tuning.is_alive()
    assert made[0].palate["votes"] == 2


def test_no_votes_leave_the_program_as_it_was(tmp_path: Path) -> None:
    program = dspy.Predict("question -> answer")
    tuner = DuelTuner(tmp_path / "s.db", judge=lambda *_: "skip", votes=3, instructions=[KIND])
    with dspy.context(lm=Obedient()):
        better = tuner.compile(program, trainset=trainset())
    assert better.palate == {"votes": 0, "path": str(tmp_path / "s.db")}
    assert better.signature.instructions == program.signature.instructions
    assert better is not program


# -- what competes --------------------------------------------------------------------------------


class Pair(dspy.Module):
    """Two predictors, one behind the other."""

    def __init__(self) -> None:
        super().__init__()
        self.one = dspy.Predict(dspy.Signature("question -> middle", "One."))
        self.two = dspy.Predict(dspy.Signature("middle -> answer", "Two."))

    def forward(self, question: str) -> dspy.Prediction:
        return self.two(middle=self.one(question=question).middle)


def test_a_pool_holds_single_changes_first() -> None:
    program = Pair()
    assert instructions_of(program) == {"one": "One.", "two": "Two."}
    options = {"one": ["One A.", "ONE a", "One B."], "two": ["Two A.", "two"]}
    pool = pool_of(program, options, 20, origin="user", rng=np.random.default_rng(0))
    chosen = [tuple(c.parts["instructions"].values()) for c in pool]  # type: ignore[union-attr]
    assert chosen[:3] == [("One A.", "Two."), ("One.", "Two A."), ("One B.", "Two.")]
    # All other pairs of {One, A, B} and {Two, A}, each once; the program as it is may be drawn too.
    assert set(chosen) == {(a, b) for a in ("One.", "One A.", "One B.") for b in ("Two.", "Two A.")}
    assert len(chosen) == len(set(chosen))
    assert pool_of(program, options, 20, origin="user", rng=np.random.default_rng(0)) == pool
    assert len(pool_of(program, options, 2, origin="user", rng=np.random.default_rng(0))) == 2


def test_frozen_parts_are_left_alone() -> None:
    program = Pair()
    program.one._compiled = True
    outer = dspy.Module()
    outer.inner = Pair()
    outer.inner._compiled = True
    with pytest.raises(ConfigError, match="no predictor to tune"):
        instructions_of(outer)


def test_instructions_are_asked_for_each_predictor() -> None:
    lm = DummyLM([{"new_instruction": f"Do {n}."} for n in range(4)])
    found = written_instructions(Pair(), trainset("Why?"), 2, lm=lm)
    assert found == {"one": ["Do 0.", "Do 1."], "two": ["Do 2.", "Do 3."]}


@pytest.mark.parametrize(
    ("instructions", "told"),
    [
        ("Be brief.", "is one text"),
        (["Be brief."], "several predictors"),
        ({"three": ["x"]}, "no predictor 'three'"),
    ],
)
def test_instructions_that_do_not_fit(tmp_path: Path, instructions: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        DuelTuner(tmp_path / "s.db", instructions=instructions).compile(Pair(), trainset=trainset())
    assert not (tmp_path / "s.db").exists()


def test_instructions_that_change_nothing(tmp_path: Path) -> None:
    program = dspy.Predict(dspy.Signature("question -> answer", "Be brief."))
    with pytest.raises(InputError, match="no instruction differs"):
        DuelTuner(tmp_path / "s.db", instructions=["be  BRIEF", ""]).compile(program, trainset=trainset())
    writer = DummyLM([{"new_instruction": "Be brief!"}] * 11)
    with pytest.raises(InputError, match="another prompt_model"):
        DuelTuner(tmp_path / "t.db", prompt_model=writer).compile(program, trainset=trainset())


def test_a_database_belongs_to_one_program(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with dspy.context(lm=Obedient()):
        DuelTuner(path, judge=likes(KIND), votes=1, instructions=[KIND]).compile(
            dspy.Predict("question -> answer"), trainset=trainset()
        )
        with pytest.raises(ConfigError, match="with other instructions"):
            DuelTuner(path, judge=likes(KIND), votes=1, instructions=[KIND]).compile(
                dspy.Predict(dspy.Signature("question -> answer", "Changed since.")), trainset=trainset()
            )
        with pytest.raises(ConfigError, match="predictors are 'one', 'two'"):
            DuelTuner(path, judge=likes(KIND), votes=1, instructions={"one": [KIND]}).compile(
                Pair(), trainset=trainset()
            )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"votes": 0}, "votes"),
        ({"candidates": 1}, "candidates"),
        ({"judge": "pages"}, "'page'"),
        ({"judge": 3}, "cannot judge"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        DuelTuner(tmp_path / "s.db", **options)


def test_a_function_that_gives_no_verdict(tmp_path: Path) -> None:
    tuner = DuelTuner(tmp_path / "s.db", judge=lambda *_: "the first", instructions=[KIND])  # type: ignore[arg-type]
    with dspy.context(lm=Obedient()), pytest.raises(ConfigError, match="allowed: left, right"):
        tuner.compile(dspy.Predict("question -> answer"), trainset=trainset())
    with pytest.raises(ConfigError, match="no option 'metric'"):
        tuner.compile(dspy.Predict("question -> answer"), trainset=trainset(), metric=len)


# -- examples and outputs -------------------------------------------------------------------------


def test_examples_become_inputs() -> None:
    both = dspy.Example(question="Q", context=["a", "b"], answer="A").with_inputs("question", "context")
    inputs, examples = program_inputs([both, both])
    assert [item.text for item in inputs] == ['**question**: Q\n\n**context**: ["a", "b"]']
    assert examples == {inputs[0].id: both}
    with pytest.raises(InputError, match="with_inputs"):
        program_inputs([dspy.Example(question="Q")])
    with pytest.raises(InputError, match="empty"):
        program_inputs([])
    with pytest.raises(InputError, match="no text"):
        program_inputs(trainset(" "))


def test_raters_see_outputs_without_the_reasoning() -> None:
    example = dspy.Example()
    assert shown_output(example, dspy.Prediction(reasoning="because", answer="yes")) == "yes"
    assert shown_output(example, dspy.Prediction(reasoning="because")) == "because"
    assert shown_output(example, dspy.Prediction(a="x", b=[1])) == "**a**: x\n\n**b**: [1]"
    assert shown_output(example, "text") == "text"


async def test_a_run_that_fails_is_a_failed_response() -> None:
    class Fails(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = dspy.Predict("question -> answer")

        def forward(self, question: str) -> str:
            if question == "empty":
                return " "
            raise ValueError("no\nluck")

    inputs, examples = program_inputs(trainset("fails", "empty"))
    target = ProgramTarget(Fails(), examples)
    candidate = Candidate.make("x", parts={"instructions": {"step": "x"}}, lineage=Lineage("user"))
    failed = [(await target.respond(candidate, item)).failed for item in inputs]
    assert failed == ["ValueError: no luck", "the program gave no output"]
    gone = ProgramTarget(Fails(), {})
    assert "not in trainset" in str((await gone.respond(candidate, inputs[0])).failed)


async def test_a_program_runs_in_the_settings_of_its_caller() -> None:
    """``dspy.context`` holds for threads that are started inside it; so it does for ours."""
    inputs, examples = program_inputs(trainset("Where?"))
    with dspy.context(lm=Obedient()):
        target = ProgramTarget(dspy.Predict("question -> answer"), examples)
    candidate = Candidate.make(KIND, parts={"instructions": {"self": KIND}})
    assert (await target.respond(candidate, inputs[0])).content == KIND
