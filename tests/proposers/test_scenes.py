"""Scenes: which sentences stay, what is asked, and that the published shares come out."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from palate.errors import ConfigError
from palate.models import ScriptedModel
from palate.proposers import Scenes
from palate.proposers._scenes import sentences
from palate.registry import make
from palate.testing import ProposerContract
from palate.types import Candidate, Known, Lineage, Request

TEXT = "A quiet garden at dawn. Roses climb a wall. A cat sleeps on a bench. Mist rises. A gate stands open."
SEED = Candidate.make(TEXT, lineage=Lineage("seed"))


def writer() -> ScriptedModel:
    """Answers with what it was asked about and a word of its own."""

    def answer(request: Request) -> str:
        asked = request.messages[-1].content
        body = asked.split("Description: ")[-1].split("Instruction: ")[-1].split("\n\nNew ")[0]
        return f"{body.rstrip('.')}, version {request.sample}."

    return ScriptedModel(answer)


class TestContract(ProposerContract):
    @pytest.fixture
    def proposer(self) -> Scenes:
        return Scenes(writer())

    @pytest.fixture
    def stuck_proposer(self) -> Scenes:
        return Scenes(ScriptedModel("A garden in the evening."))

    @pytest.fixture
    def existing(self) -> Sequence[Candidate]:
        return [SEED]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (TEXT, 5),
        ("One line without an end", 1),
        ("By J. Smith, oil on canvas. Signed.", 2),
        ('He says "Go." Then it rains.', 2),
        ("Version 2.5 of it. A pond!", 2),
        ("First line\nsecond line\n\nthird", 3),
        ("Un étang. Élan? Yes", 3),
        ("Draw {{input}}. {{place}} is near. Soft light.", 3),
        ("Why not... A tree.", 2),
    ],
)
def test_descriptions_are_split_at_their_sentences(text: str, parts: int) -> None:
    found = sentences(text)
    assert len(found) == parts
    assert "".join("".join(found).split()) == "".join(text.split())  # nothing is lost


def test_the_published_shares_come_out() -> None:
    proposer = Scenes(writer())
    rng = np.random.default_rng(3)
    parts = sentences(TEXT)
    draws = [proposer.keep(parts, rng) for _ in range(20_000)]
    assert all(rows and rows == sorted(set(rows)) for rows in draws)
    # one of five for certain, each other one with 0.3: E = 1 + 4 · 0.3 = 2.2 sentences; each stays with
    # 1/5 + 4/5 · 0.3 = 0.44; alone with 0.7^4 = 0.2401
    assert np.mean([len(rows) for rows in draws]) == pytest.approx(2.2, abs=0.03)
    for row in range(5):
        assert np.mean([row in rows for rows in draws]) == pytest.approx(0.44, abs=0.015)
    assert np.mean([len(rows) == 1 for rows in draws]) == pytest.approx(0.2401, abs=0.013)


def propose(proposer: Scenes, n: int, seed: Candidate = SEED) -> list[Candidate]:
    return asyncio.run(proposer.propose(n, known=Known([seed]), rng=np.random.default_rng(5)))


def test_the_model_is_asked_about_the_sentences_that_stay() -> None:
    made = propose(Scenes(writer()), 12)
    parts = sentences(TEXT)
    assert len(made) == 12
    for candidate in made:
        rows = candidate.lineage.detail["sentences"]
        assert isinstance(rows, list)
        kept = " ".join(parts[int(str(row)) - 1] for row in rows)
        assert candidate.text.startswith(kept.rstrip("."))
        assert candidate.lineage.parents == (SEED.id,)
        assert candidate.lineage.origin == "scenes"
    assert len({str(candidate.lineage.detail["sentences"]) for candidate in made}) > 3


def test_all_plain_draws_put_the_whole_into_other_words() -> None:
    for candidate in propose(Scenes(writer(), plain=1.0), 3):
        assert candidate.lineage.detail["plain"] is True
        assert candidate.lineage.detail["sentences"] == [1, 2, 3, 4, 5]


def test_a_sentence_with_a_placeholder_always_stays() -> None:
    seed = Candidate.make("Soft light. A road leads to {{input}}. Mist rises.", lineage=Lineage("seed"))
    made = propose(Scenes(writer(), share=0.0), 10, seed)
    assert len(made) == 10
    for candidate in made:
        assert "{{input}}" in candidate.text
        assert 2 in candidate.lineage.detail["sentences"]  # pyright: ignore[reportOperatorIssue]


def test_an_answer_that_lost_the_placeholder_is_no_description() -> None:
    seed = Candidate.make("A road leads to {{input}}.", lineage=Lineage("seed"))
    assert propose(Scenes(ScriptedModel("A road leads to nowhere.")), 2, seed) == []


@pytest.mark.parametrize(
    "options", [{"share": 1.5}, {"plain": -0.1}, {"parents": "none"}, {"temperature": 3.0}, {"attempts": 0}]
)
def test_options_out_of_range_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        make("proposers", "scenes", options, model=writer())


def test_a_study_without_a_prompt_is_told_what_to_do() -> None:
    with pytest.raises(ConfigError, match="set seed under"):
        asyncio.run(Scenes(writer()).propose(1, known=Known(), rng=np.random.default_rng(0)))
