"""The meter: what is remembered, what is paid for, and when a call is not sent."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.errors import BudgetError, ConfigError, ModelError, UnsupportedError
from palate.models import Budget, Ledger, MeteredModel, Price, ScriptedModel
from palate.models._answer_cache import (
    completion_key,
    completion_row,
    embedding_key,
    read_completion,
    read_vector,
    score_key,
)
from palate.models._answers import UnusableAnswerError
from palate.types import Completion, Message, Request, Usage

ASKED = Request((Message("user", "Hi"),), temperature=0.7, max_tokens=50)


def metered(model: Any, cache: Any = None, budget: Budget | None = None) -> MeteredModel:
    return MeteredModel(model, cache=cache, ledger=Ledger(budget or Budget()))


def run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


def test_an_answer_is_paid_for_once(cache: Any) -> None:
    paid = Completion("Hello.", "m", usage=Usage(3, 4), cost=0.5, seconds=2.0, retries=1)
    scripted = ScriptedModel([paid])
    model = metered(scripted, cache)
    first, second = run(model.generate(ASKED)), run(model.generate(ASKED))
    assert first == paid
    assert second == replace(paid, cached=True)
    assert len(scripted.calls) == 1
    spent = model.ledger.spent
    assert (spent.calls, spent.tokens, spent.cost, spent.cache_hits, spent.saved) == (1, 7, 0.5, 1, 0.5)


def test_another_process_finds_it_in_the_cache(cache: Any) -> None:
    run(metered(ScriptedModel(["Hello."]), cache).generate(ASKED))
    again = metered(ScriptedModel([]), cache, Budget(calls=0))
    assert run(again.generate(ASKED)).text == "Hello."


VARIANTS = [
    Request((Message("system", "Hi"),), temperature=0.7, max_tokens=50),
    Request((Message("user", "Hi"), Message("assistant", "")), temperature=0.7, max_tokens=50),
    replace(ASKED, messages=(Message("user", "Hi "),)),
    replace(ASKED, temperature=0.8),
    replace(ASKED, max_tokens=51),
    replace(ASKED, top_p=0.9),
    replace(ASKED, seed=0),
    replace(ASKED, stop=("\n",)),
    replace(ASKED, sample=1),
    replace(ASKED, extra={"top_k": 1}),
]


def test_everything_that_shapes_an_answer_is_in_its_key() -> None:
    keys = [completion_key("m", request) for request in [ASKED, *VARIANTS]]
    keys += [completion_key({"base_url": "a", "model": "m"}, ASKED), completion_key("n", ASKED)]
    keys += [score_key("m", ASKED, "Hi"), embedding_key("m", "Hi")]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 for key in keys)


def test_a_key_does_not_change_between_releases() -> None:
    # Written down by hand from the canonical JSON; a change here means that users pay for every answer again.
    assert completion_key("m", Request((Message("user", "Hi"),))) == (
        "22d655b1e7261d065e460d7c7e4e3bb313ec272ceea9694d4cd2b3e5f1897ea1"
    )


def test_samples_of_one_prompt_stay_apart(cache: Any) -> None:
    scripted = ScriptedModel(["one", "two", "three"])
    model = metered(scripted, cache)

    async def sample() -> list[str]:
        answers = await asyncio.gather(*(model.generate(replace(ASKED, sample=k)) for k in range(3)))
        return [answer.text for answer in answers]

    assert run(sample()) == ["one", "two", "three"]
    assert run(sample()) == ["one", "two", "three"]
    assert len(scripted.calls) == 3


def test_identical_calls_under_way_are_one_call(cache: Any) -> None:
    scripted = ScriptedModel(["only"])

    async def scenario() -> list[Completion]:
        gate = asyncio.Event()
        scripted.sleep = lambda seconds: gate.wait()  # pyright: ignore[reportAttributeAccessIssue]
        model = metered(scripted, cache)
        calls = [asyncio.ensure_future(model.generate(ASKED)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        answers = await asyncio.gather(*calls)
        assert model.ledger.spent.calls == 1
        assert model.ledger.spent.cache_hits == 4
        return answers

    answers = run(scenario())
    assert {answer.text for answer in answers} == {"only"}
    assert [answer.cached for answer in answers] == [False, True, True, True, True]
    assert cache.writes == 1


def test_cancelling_one_of_several_callers_leaves_the_others_their_answer(cache: Any) -> None:
    async def scenario() -> str:
        gate = asyncio.Event()
        model = metered(ScriptedModel(["kept"], sleep=lambda seconds: gate.wait()), cache)  # pyright: ignore
        first, second = (asyncio.ensure_future(model.generate(ASKED)) for _ in range(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        gate.set()
        return (await second).text

    assert run(scenario()) == "kept"


def test_cancelling_every_caller_cancels_the_call_and_counts_it(cache: Any) -> None:
    async def scenario() -> tuple[Any, int]:
        scripted = ScriptedModel(["never"], sleep=lambda seconds: asyncio.Event().wait())  # pyright: ignore
        model = metered(scripted, cache)
        calls = [asyncio.ensure_future(model.generate(ASKED)) for _ in range(2)]
        while not scripted.calls:
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        while scripted.active:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        return model.ledger.spent, len(cache.rows)

    spent, rows = run(scenario())
    # It may still be billed: the estimate counts, 50 tokens out and ⌈2/3⌉ + 4 in.
    assert (spent.calls, spent.tokens, rows) == (1, 55, 0)


def test_errors_are_not_kept(cache: Any) -> None:
    scripted = ScriptedModel([ModelError("down"), "up"])
    model = metered(scripted, cache)
    with pytest.raises(ModelError, match="down"):
        run(model.generate(ASKED))
    assert cache.rows == {}
    assert run(model.generate(ASKED)).text == "up"
    assert model.ledger.spent.calls == 2


def test_an_unusable_answer_is_paid_for_and_not_kept(cache: Any) -> None:
    model = metered(ScriptedModel([UnusableAnswerError("empty", Usage(9, 1), 0.25)]), cache)
    with pytest.raises(ModelError, match=r"^empty$"):
        run(model.generate(ASKED))
    assert (model.ledger.spent.tokens, model.ledger.spent.cost, cache.rows) == (10, 0.25, {})


def test_a_failing_disk_is_told_and_not_hidden(cache: Any) -> None:
    def full(key: str, value: Any) -> None:
        raise OSError("disk full")

    cache.put_completion = full
    with pytest.raises(OSError, match="disk full"):
        run(metered(ScriptedModel(["x"]), cache).generate(ASKED))


def test_the_answer_is_on_disk_before_it_is_returned(cache: Any) -> None:
    order: list[str] = []
    write = cache.put_completion
    cache.put_completion = lambda key, value: (write(key, value), order.append("written"))

    async def scenario() -> None:
        await metered(ScriptedModel(["x"]), cache).generate(ASKED)
        order.append("returned")

    run(scenario())
    assert order == ["written", "returned"]


DAMAGE = [
    {},
    {"text": "x"},
    {"text": 3, "model": "m", "finish": "stop", "usage": [1, 2], "cost": None, "seconds": 0, "retries": 0},
    {"text": "x", "model": "m", "finish": "odd", "usage": [1, 2], "cost": None, "seconds": 0, "retries": 0},
    {"text": "x", "model": "m", "finish": "stop", "usage": [1], "cost": None, "seconds": 0, "retries": 0},
    {
        "text": "x",
        "model": "m",
        "finish": "stop",
        "usage": ["1", 2],
        "cost": None,
        "seconds": 0,
        "retries": 0,
    },
    {"text": "x", "model": "m", "finish": "stop", "usage": None, "cost": "much", "seconds": 0, "retries": 0},
]


@pytest.mark.parametrize("row", DAMAGE)
def test_a_damaged_row_is_a_miss_and_is_replaced(cache: Any, row: Any) -> None:
    cache.rows[completion_key("scripted", ASKED)] = row
    model = metered(ScriptedModel(["fresh"]), cache)
    assert run(model.generate(ASKED)).text == "fresh"
    assert run(model.generate(ASKED)).cached


@given(
    st.builds(
        Completion,
        text=st.text(),
        model=st.text(),
        finish=st.sampled_from(["stop", "length", "refused"]),
        usage=st.builds(Usage, st.integers(0), st.integers(0)),
        cost=st.none() | st.floats(0, 1e6),
        seconds=st.floats(0, 1e6),
        retries=st.integers(0),
    )
)
def test_a_completion_comes_back_as_it_was_written(completion: Completion) -> None:
    assert read_completion(completion_row(completion)) == replace(completion, cached=True)


def test_nothing_is_sent_beyond_the_budget(cache: Any) -> None:
    scripted = ScriptedModel("x", cost=Price(1.0, 1.0))
    model = metered(scripted, cache, Budget(calls=2))

    async def scenario() -> list[Any]:
        calls = [model.generate(replace(ASKED, sample=k)) for k in range(10)]
        return await asyncio.gather(*calls, return_exceptions=True)

    kinds = [type(outcome) for outcome in run(scenario())]
    assert kinds.count(Completion) == 2
    assert kinds.count(BudgetError) == 8
    assert len(scripted.calls) == 2


def test_the_estimate_counts_tokens_in_and_out() -> None:
    # "Hi" is ⌈2/3⌉ = 1 token and 4 for the turn; 50 may come out: 55 in all.
    with pytest.raises(BudgetError, match="may need 55"):
        run(metered(ScriptedModel("x"), None, Budget(tokens=54)).generate(ASKED))
    # At $2 in and $4 out a million: 5 · 2e-6 + 50 · 4e-6 = 0.00021.
    with pytest.raises(BudgetError, match=r"cost \$0\.0002"):
        run(metered(ScriptedModel("x", cost=Price(2.0, 4.0)), None, Budget(cost=0.0002)).generate(ASKED))


def test_a_budget_of_money_refuses_a_model_of_unknown_price_before_work_starts() -> None:
    with pytest.raises(ConfigError, match="price of scripted is unknown"):
        metered(ScriptedModel("x", cost=None), None, Budget(cost=1.0))


def test_an_unknown_price_is_counted_as_unknown() -> None:
    model = metered(ScriptedModel("x", cost=None))
    run(model.generate(ASKED))
    assert (model.ledger.spent.unpriced_calls, model.ledger.spent.cost) == (1, None)


def test_embeddings_are_kept_text_by_text(cache: Any) -> None:
    scripted = ScriptedModel("x")
    model = metered(scripted, cache)
    first_ND = run(model.embed(["a", "b", "a"]))
    second_ND = run(model.embed(["c", "b"]))
    assert [call.texts for call in scripted.calls] == [("a", "b"), ("c",)]
    np.testing.assert_array_equal(first_ND[0], first_ND[2])
    np.testing.assert_array_equal(first_ND[1], second_ND[1])
    np.testing.assert_array_equal(first_ND[:2], run(ScriptedModel("x").embed(["a", "b"])))
    assert run(model.embed([])).shape == (0, 16)
    for row in cache.rows.values():
        row["vector"] = ["damaged"]
    np.testing.assert_array_equal(run(model.embed(["a"])), first_ND[:1])


def test_scores_are_kept(cache: Any) -> None:
    scripted = ScriptedModel("x", scores=lambda request, text: [-1.0, -0.5])
    model = metered(scripted, cache)
    for _ in range(2):
        np.testing.assert_array_equal(run(model.score(ASKED, "yes")), [-1.0, -0.5])
    assert len(scripted.calls) == 1
    assert run(model.score(ASKED, "no")).shape == (2,)
    assert len(scripted.calls) == 2


def test_what_the_model_cannot_do() -> None:
    model = metered(ScriptedModel("x", dimension=None))
    with pytest.raises(UnsupportedError, match="cannot embed"):
        run(model.embed(["a"]))
    with pytest.raises(UnsupportedError, match="cannot score"):
        run(model.score(ASKED, "a"))


@pytest.mark.parametrize(
    "row", [None, {}, {"vector": "x"}, {"vector": [[1.0]]}, {"vector": [float("nan")]}, {"vector": 3}]
)
def test_a_damaged_vector_is_a_miss(row: Any) -> None:
    assert read_vector(row) is None


def test_a_plug_in_model_is_known_by_its_name(cache: Any) -> None:
    class Plain:
        """A model with the seam's methods and nothing else."""

        name = "plain"
        capabilities = ScriptedModel().capabilities

        async def generate(self, request: Request) -> Completion:
            return Completion("hi", "plain", usage=Usage(1, 1), cost=0.5)

        async def embed(self, texts: Any) -> Any:
            return np.eye(len(texts))

        async def score(self, request: Request, continuation: str) -> Any:
            return np.zeros(1)

        async def close(self) -> None:
            pass

    model = metered(Plain(), cache)
    assert model.identity("generate") == "plain"
    assert run(model.generate(ASKED)).text == "hi"
    assert model.ledger.spent.cost == 0.5
    with pytest.raises(ConfigError, match="price of plain is unknown"):
        metered(Plain(), cache, Budget(cost=1.0))
