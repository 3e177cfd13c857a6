"""What every model must do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
import pytest

from palate.errors import ConfigError, UnsupportedError
from palate.types import Array, Message, Model, Request

__all__ = ["ModelContract"]

T = TypeVar("T")

# A log-probability is at most 0; float32 sums may end this much above it.
_ROUNDING = 1e-4
# Unit norm in double precision, or in single precision for models that store no more.
_NORM_TOLERANCE = 1e-5


def _closing(model: Model, call: Callable[[], Awaitable[T]]) -> T:
    """Make a call and close the model in the loop that it was used in; closing twice is allowed."""

    async def scenario() -> T:
        try:
            return await call()
        finally:
            await model.close()
            await model.close()

    return asyncio.run(scenario())


class ModelContract:
    """Subclass it and give the fixture ``model``, a new one for each test, which closes it.

    What the model's capabilities leave out is tested too: it must be refused as unsupported.
    """

    @pytest.fixture
    def asked(self) -> Request:
        """A request that the model can answer."""
        return Request((Message("user", "Say hello."),), max_tokens=8)

    def test_is_a_model(self, model: Model) -> None:
        """It has the seam's shape, a stable name, and can do something."""
        assert isinstance(model, Model)
        assert model.name
        assert model.name == model.name
        able = model.capabilities
        assert able.generate or able.embed or able.score
        assert able.max_concurrency >= 1

    def test_generates(self, model: Model, asked: Request) -> None:
        """An answer says what it is, what it used, and what it cost; ``None`` when that is unknown."""
        if not model.capabilities.generate:
            with pytest.raises(UnsupportedError):
                _closing(model, lambda: model.generate(asked))
            return
        answer = _closing(model, lambda: model.generate(asked))
        assert answer.text.strip()
        assert answer.model
        assert answer.finish in ("stop", "length", "refused")
        assert answer.usage.input_tokens >= 0
        assert answer.usage.output_tokens >= 0
        assert answer.cost is None or answer.cost >= 0
        assert answer.seconds >= 0
        assert not answer.cached

    def test_generates_many_at_once(self, model: Model, asked: Request) -> None:
        """Calls may run at the same time, more of them than the model runs at once."""
        if not model.capabilities.generate:
            pytest.skip("does not generate")

        async def ask() -> list[str]:
            answers = await asyncio.gather(*(model.generate(asked) for _ in range(6)))
            return [answer.text for answer in answers]

        assert all(text.strip() for text in _closing(model, ask))

    def test_greedy_answers_repeat(self, model: Model, asked: Request) -> None:
        """At temperature 0 the same request gets the same answer."""
        if not model.capabilities.generate:
            pytest.skip("does not generate")

        async def twice() -> tuple[str, str]:
            first = await model.generate(asked)
            return first.text, (await model.generate(asked)).text

        first, second = _closing(model, twice)
        assert first == second

    @pytest.mark.parametrize(
        "wrong",
        [
            Request(()),
            Request((Message("user", "x"),), temperature=-1.0),
            Request((Message("user", "x"),), max_tokens=0),
            Request((Message("user", "x"),), top_p=0.0),
        ],
        ids=["no messages", "temperature", "max_tokens", "top_p"],
    )
    def test_refuses_an_impossible_request(self, model: Model, wrong: Request) -> None:
        """Bad input is told before work starts."""
        with pytest.raises((ConfigError, UnsupportedError)):
            _closing(model, lambda: model.generate(wrong))

    def test_cancelling_reaches_the_caller(self, model: Model, asked: Request) -> None:
        """Ctrl-C is not an answer and not a failure; the model still works afterwards."""
        if not model.capabilities.generate:
            pytest.skip("does not generate")

        async def cancel() -> str:
            task = asyncio.ensure_future(model.generate(asked))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return (await model.generate(asked)).text

        assert _closing(model, cancel).strip()

    def test_embeds(self, model: Model) -> None:
        """Rows are finite unit vectors in the order of the texts; equal texts have equal rows."""
        texts = ["A dog barks.", "The moon is far away.", "A dog barks."]
        if not model.capabilities.embed:
            with pytest.raises(UnsupportedError):
                _closing(model, lambda: model.embed(texts))
            return
        rows_ND = _closing(model, lambda: model.embed(texts))
        assert rows_ND.dtype == np.float64
        assert rows_ND.shape[0] == 3
        assert model.capabilities.dimension in (None, rows_ND.shape[1])
        np.testing.assert_allclose(np.linalg.norm(rows_ND, axis=1), 1.0, atol=_NORM_TOLERANCE)
        np.testing.assert_allclose(rows_ND[0], rows_ND[2], atol=_NORM_TOLERANCE)
        assert not np.allclose(rows_ND[0], rows_ND[1], atol=1e-3)

    def test_embeds_odd_texts(self, model: Model) -> None:
        """Nothing to embed is no row; an empty text is a finite row no longer than 1."""
        if not model.capabilities.embed:
            pytest.skip("does not embed")

        async def embed() -> tuple[Array, Array]:
            return await model.embed([]), await model.embed(["", "  \n", "🦔 naïve\u0000 text"])

        none_ND, rows_ND = _closing(model, embed)
        assert len(none_ND) == 0
        assert len(rows_ND) == 3
        assert np.isfinite(rows_ND).all()
        assert (np.linalg.norm(rows_ND, axis=1) <= 1.0 + _NORM_TOLERANCE).all()

    def test_scores(self, model: Model, asked: Request) -> None:
        """Log-probabilities are finite, at most 0, and the same when asked again."""
        if not model.capabilities.score:
            with pytest.raises(UnsupportedError):
                _closing(model, lambda: model.score(asked, "Hello there."))
            return

        async def twice() -> tuple[Array, Array]:
            first_T = await model.score(asked, "Hello there.")
            return first_T, await model.score(asked, "Hello there.")

        first_T, second_T = _closing(model, twice)
        assert first_T.ndim == 1
        assert len(first_T) >= 1
        assert np.isfinite(first_T).all()
        assert (first_T <= _ROUNDING).all()
        np.testing.assert_allclose(first_T, second_T, atol=1e-2)
