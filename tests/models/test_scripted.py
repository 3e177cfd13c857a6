"""The scripted model, and embeddings on this machine."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import numpy as np
import pytest

from palate.errors import ConfigError, MissingExtraError, ModelError, UnsupportedError
from palate.extras import require
from palate.models import EmbeddingModel, Price, ScriptedModel, scripted_model, wordllama_model
from palate.models._embeddings import unit_rows
from palate.models._redaction import redact
from palate.models._requests import sample_seed
from palate.types import Completion, Message, Request

ASKED = Request((Message("user", "Hi"),))


def run(call: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(call)


def test_a_script_is_used_up_in_order() -> None:
    whole = Completion("three", "other", finish="refused")
    model = ScriptedModel(["one", ModelError("two"), whole])
    assert run(model.generate(ASKED)).text == "one"
    with pytest.raises(ModelError, match=r"^two$"):
        run(model.generate(ASKED))
    assert run(model.generate(ASKED)) is whole
    with pytest.raises(ModelError, match="3 answers and this is request 4"):
        run(model.generate(ASKED))
    assert [call.request for call in model.calls] == [ASKED] * 4


def test_a_script_may_repeat_or_be_a_function() -> None:
    model = scripted_model(["a", "b"])
    assert [run(model.generate(ASKED)).text for _ in range(3)] == ["a", "b", "a"]
    echo = scripted_model(lambda request: request.messages[-1].content.upper())
    assert run(echo.generate(ASKED)).text == "HI"


@pytest.mark.parametrize("delay", [0.25, [0.25], lambda request: 0.25])
def test_delays(delay: Any) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    model = ScriptedModel("x", delay=delay, sleep=sleep)
    assert [run(model.generate(ASKED)).seconds for _ in range(2)] == [0.25, 0.25]
    assert slept == [0.25, 0.25]


def test_costs_what_it_was_told() -> None:
    # "Hi" is 1 token and 4 for the turn, "word" is 2: 5 · $1 + 2 · $3 a million.
    answer = run(ScriptedModel("word", cost=Price(1.0, 3.0)).generate(ASKED))
    assert answer.cost == pytest.approx(11e-6)
    assert run(ScriptedModel("word", cost=None).generate(ASKED)).cost is None


def test_counts_calls_under_way() -> None:
    model = ScriptedModel("x")

    async def many() -> None:
        await asyncio.gather(*(model.generate(ASKED) for _ in range(5)))

    run(many())
    assert (model.active, model.most_active) == (0, 5)


@pytest.mark.parametrize("wrong", [{"answers": 3}, {"answers": b"bytes"}, {"dimension": 0}])
def test_refuses_a_wrong_script(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        scripted_model(**wrong)


def test_wordllama_knows_what_is_alike() -> None:
    texts = [
        "The cat sleeps on the sofa.",
        "A kitten naps on the couch.",
        "Quarterly revenue rose by four per cent.",
    ]
    rows_ND = run(wordllama_model().embed(texts))
    assert rows_ND.shape == (3, 256)
    assert rows_ND[0] @ rows_ND[1] > rows_ND[0] @ rows_ND[2] + 0.2


def test_embeddings_do_not_depend_on_their_company() -> None:
    model = wordllama_model()
    alone_ND = run(model.embed(["short"]))
    together_ND = run(model.embed(["short", "a much longer text " * 20]))
    np.testing.assert_allclose(alone_ND[0], together_ND[0], atol=1e-6)


def test_an_embedding_model_only_embeds() -> None:
    model = wordllama_model()
    with pytest.raises(UnsupportedError, match="only embeds"):
        run(model.generate(ASKED))


def test_an_embedding_model_loads_once_and_again_after_closing() -> None:
    loads: list[int] = []

    def load() -> Any:
        loads.append(1)
        return lambda texts: np.ones((len(texts), 2))

    model = EmbeddingModel("two", 2, load)

    async def scenario() -> None:
        await asyncio.gather(*(model.embed(["a"]) for _ in range(5)))
        await model.close()
        await model.embed(["", "a"])

    run(scenario())
    assert len(loads) == 2


def test_unit_rows() -> None:
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]])
    with pytest.raises(ModelError, match="NaN"):
        unit_rows(np.array([[np.nan, 1.0]]))


def test_a_missing_package_names_its_command() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'palate\[local\]'"):
        require("no_such_package", "local", "This")
    with pytest.raises(MissingExtraError, match="pip install --upgrade palate"):
        require("no_such_package", "", "This")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key abcdefgh!", "key [key]!"),
        ("abcdef and cdefgh", "[key] and [key]"),
        ("abcde", "abcde"),
        ("xabcdefghabcdefghx", "x[key]x"),
        ("", ""),
    ],
)
def test_six_characters_of_a_key_are_too_many(text: str, clean: str) -> None:
    assert redact(text, "abcdefgh") == clean
    assert redact(text, "") == text


def test_samples_have_seeds_of_their_own() -> None:
    def seeds(seed: int | None) -> list[int | None]:
        return [sample_seed(Request(ASKED.messages, seed=seed, sample=k)) for k in range(1000)]

    assert seeds(None) == [None] * 1000
    assert seeds(7)[0] == 7
    assert len(set(seeds(7))) == 1000
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in seeds(2**31 - 1))
