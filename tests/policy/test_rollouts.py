"""Answers are drawn once each, kept, cut at another speaker, and counted when they are left out."""

import asyncio
from pathlib import Path

import pytest

from palate.errors import ConfigError, ModelError, StoreError
from palate.models import Budget, Ledger, LoadedModel, MeteredModel, ScriptedModel, TransformersModel
from palate.policy.data import Prompt
from palate.policy.rollouts import TURN, KeptAnswers, RolloutOptions, Rollouts, cut_turn, sample
from palate.testing import save_tiny_model, tiny_model, tiny_tokeniser
from palate.types import Message, Request

PROMPTS: list[Prompt] = [(Message("user", "one"),), (Message("user", "two"),)]


def drawn(
    model: object, prompts: list[Prompt], options: RolloutOptions, cache: KeptAnswers | None = None
) -> Rollouts:
    async def go() -> Rollouts:
        metered = MeteredModel(model, cache=cache, ledger=Ledger(Budget()))  # pyright: ignore
        found = await sample(metered, prompts, options)
        await metered.close()
        return found

    return asyncio.run(go())


def test_k_answers_to_each_prompt_of_the_loaded_weights() -> None:
    tokeniser = tiny_tokeniser()
    options = RolloutOptions(samples=4, max_tokens=6, seed=3)
    mine = drawn(LoadedModel(tiny_model(tokeniser), tokeniser, name="a"), PROMPTS, options)
    assert [rollout.prompt for rollout in mine.each] == PROMPTS
    assert sum(len(rollout.answers) for rollout in mine.each) + sum(mine.dropped.values()) == 8
    assert len({answer for rollout in mine.each for answer in rollout.answers}) > 4
    assert mine == drawn(LoadedModel(tiny_model(tokeniser), tokeniser, name="a", batch=3), PROMPTS, options)
    assert (
        mine.each
        != drawn(LoadedModel(tiny_model(tokeniser, seed=1), tokeniser, name="a"), PROMPTS, options).each
    )


def test_loaded_weights_answer_as_the_same_weights_from_disk(tmp_path: Path) -> None:
    options = RolloutOptions(samples=2, max_tokens=6)
    tokeniser = tiny_tokeniser()
    loaded = LoadedModel(tiny_model(tokeniser, seed=5), tokeniser, name="x")
    read = TransformersModel(save_tiny_model(tmp_path / "m", seed=5), name="y", dtype="float32")
    assert drawn(loaded, PROMPTS, options).each == drawn(read, PROMPTS, options).each


def test_the_prompt_is_the_tokens_that_the_caller_writes() -> None:
    tokeniser = tiny_tokeniser(chat=False)
    seen: list[tuple[Message, ...]] = []

    def encode(turns: object) -> list[int]:
        seen.append(tuple(turns))  # pyright: ignore
        return tokeniser.encode("plain:", add_special_tokens=False)

    model = LoadedModel(tiny_model(tokeniser), tokeniser, name="a", encode=encode)
    both = drawn(model, ["one", "two"], RolloutOptions(samples=1, max_tokens=4))
    assert both.each[0].answers != both.each[1].answers  # the same tokens, but luck of their own
    assert sorted(turns[0].content for turns in seen) == ["one", "two"]


def test_a_run_that_goes_on_draws_nothing_again(tmp_path: Path) -> None:
    options = RolloutOptions(samples=3, seed=1)
    file = tmp_path / "answers.jsonl"
    first = ScriptedModel([f"answer {i}" for i in range(100)])
    found = drawn(first, PROMPTS[:1], options, KeptAnswers(file))
    with file.open("a", encoding="utf-8") as sink:
        sink.write('{"key": "cut of')
    kept = KeptAnswers(file)
    assert len(kept) == 3
    again = ScriptedModel([f"answer {i}" for i in range(100)])
    more = drawn(again, PROMPTS, options, kept)
    assert more.each[0] == found.each[0]
    assert len(again.calls) == 3
    assert len(KeptAnswers(file)) == 6
    with pytest.raises(StoreError, match="cannot write"):
        KeptAnswers(tmp_path / "no" / "such.jsonl").put_completion("a", {})


def test_answers_that_say_nothing_are_counted() -> None:
    def answer(request: Request) -> str:
        if request.sample == 0:
            raise ModelError("the line is dead")
        return "\n\nHuman: I answer myself" if request.sample == 1 else "Good.\n\nAssistant: Again."

    found = drawn(ScriptedModel(answer), PROMPTS, RolloutOptions(samples=3))
    assert [rollout.answers for rollout in found.each] == [("Good.",), ("Good.",)]
    assert found.dropped == {"failed": 2, "empty": 2}


def test_when_nothing_answers_the_first_failure_is_told() -> None:
    def dead(_: Request) -> str:
        raise ModelError("the line is dead")

    with pytest.raises(ModelError, match="the line is dead"):
        drawn(ScriptedModel(dead), PROMPTS, RolloutOptions(samples=2))
    assert drawn(ScriptedModel(dead), [], RolloutOptions()).each == ()


def test_a_policy_that_says_nothing_at_all_is_no_failure() -> None:
    def nothing(_: Request) -> str:
        raise ModelError("policy-1 answered with empty text")

    found = drawn(ScriptedModel(nothing), PROMPTS, RolloutOptions(samples=2))
    assert [rollout.answers for rollout in found.each] == [(), ()]
    assert found.dropped == {"empty": 4}


def test_unfinished_answers_can_be_left_out() -> None:
    tokeniser = tiny_tokeniser()
    options = RolloutOptions(samples=2, max_tokens=3, turn="", keep_unfinished=False)
    found = drawn(LoadedModel(tiny_model(tokeniser), tokeniser, name="a"), PROMPTS, options)
    assert found.dropped.get("unfinished", 0) + found.dropped.get("empty", 0) == 4
    assert all(rollout.answers == () for rollout in found.each)


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("A.\n\nQuestion: B", "A."),
        ("A.\nNote: B", "A.\nNote: B"),
        ("\n\nHuman : x", ""),
        ("A: B", "A: B"),
    ],
)
def test_where_another_speaker_begins(text: str, cut: str) -> None:
    assert cut_turn(text, TURN) == cut
    assert cut_turn(text, "") == text


@pytest.mark.parametrize(
    "wrong",
    [
        {"samples": 0},
        {"max_tokens": 0},
        {"temperature": -1.0},
        {"top_p": 0.0},
        {"temperature": 0.0},
        {"turn": "("},
    ],
)
def test_options_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        RolloutOptions(**wrong)  # pyright: ignore
