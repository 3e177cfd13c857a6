"""The examples that come along run, with a model that needs no network in the place of the real one."""

import importlib.util
from pathlib import Path
from types import ModuleType

import dspy
import pytest
from dspy.utils import DummyLM
from langchain_core.language_models import FakeListChatModel

from palate.config import load_inputs, load_prompts, parse_config
from palate.integrations.dspy import DuelTuner
from palate.integrations.promptfoo import read_promptfoo
from palate.judges import SimulatedJudge

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_looked_at() -> None:
    assert [path.name for path in FILES] == ["dspy_replies.py", "langchain_replies.py", "plain_python.py"]


def test_plain_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = load(EXAMPLES / "plain_python.py")

    def ask(shown: str) -> str:
        """Like what says what happens next; stop after six votes."""
        if len(study.state.votes) == 6:
            return ""
        first, second = ("hear from us" in line for line in shown.splitlines() if line[1:3] == ": ")
        return "=" if first == second else "1" if first else "2"

    monkeypatch.setattr("builtins.input", ask)
    with example.open_study(tmp_path / "replies.db") as study:
        example.vote(study)
        assert len(study.state.votes) == 6
        assert study.best().candidate.text == example.PROMPTS[2]


def test_langchain(tmp_path: Path) -> None:
    """A real chain of LangChain: the instruction of each candidate reaches the model as system message."""
    example = load(EXAMPLES / "langchain_replies.py")

    class Loyal(FakeListChatModel):
        """Answers with its instruction."""

        def _call(self, messages: list, *rest: object, **more: object) -> str:  # type: ignore[override]
            return f"{messages[0].type}: {messages[0].content} / {messages[1].content}"

    judge = SimulatedJudge(lambda item, text: float("two friendly" in text), scale=10, seed=0)
    with example.open_study(Loyal(responses=["-"]), tmp_path / "replies.db") as study:
        duel = study.ask()
        assert duel.left.content.startswith("system: You answer the customers of a lamp shop")
        assert duel.left.content.endswith(f" / {duel.input.text}")
        study.run_judge(judge, votes=12)
        assert study.best().candidate.text == example.PROMPTS[1]


def test_braces_in_a_prompt_are_text_to_the_chain(tmp_path: Path) -> None:
    example = load(EXAMPLES / "langchain_replies.py")
    chain = example.chain_of(FakeListChatModel(responses=["fine"]))
    assert chain.invoke({"instruction": "Use {braces} and {{more}}", "question": "{x}"}) == "fine"


def test_dspy(tmp_path: Path) -> None:
    example = load(EXAMPLES / "dspy_replies.py")
    lm = DummyLM([{"reasoning": "r", "reply": "Sorry."}] * 20)
    tuner = DuelTuner(tmp_path / "s.db", judge=lambda *_: "tie", votes=2, instructions=["Reply in one line."])
    with dspy.context(lm=lm):
        better = example.tune(tuner)
    assert better.palate["votes"] == 2
    better.save(tmp_path / "reply.json")


def test_promptfoo() -> None:
    made = read_promptfoo(EXAMPLES / "promptfooconfig.yaml")
    config = parse_config(made.text)
    assert len(load_prompts(config)) == 2
    assert len(load_inputs(config)) == 6
    assert made.told == ("assertions are left out, because people decide: contains (1)",)
    assert config.prompts.temperature == 0.3
