"""An OpenAI-style endpoint, against a real HTTP server that misbehaves on purpose."""

import asyncio
import gzip
import logging
import random
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.models import Budget, Ledger, LimitPool, MeteredModel, OpenAIModel, openai_model
from palate.types import Completion, Message, Request

KEY = "sk-canary-5f1d9c3b7a2e4068"
REQUEST = Request((Message("system", "Be brief."), Message("user", "Hello?")), max_tokens=32)
QUICK = {"base": 0.001, "cap": 0.002, "deadline": 10.0, "attempt_timeout": 5.0}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def make(endpoint: Any, **options: Any) -> OpenAIModel:
    given: dict[str, Any] = {"base_url": endpoint.url, "api_key_env": "CANARY_KEY", "retry": QUICK, **options}
    return openai_model("m", **given)


def closing(model: OpenAIModel, call: Callable[[OpenAIModel], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        try:
            return await call(model)
        finally:
            await model.close()

    return asyncio.run(run())


def ask(model: OpenAIModel, request: Request = REQUEST) -> Completion:
    return closing(model, lambda model: model.generate(request))


def test_sends_the_request_and_reads_the_answer(endpoint: Any) -> None:
    endpoint.play(endpoint.chat("Hi."))
    request = Request(REQUEST.messages, 0.7, 32, 0.9, seed=5, stop=("END",), sample=1, extra={"top_k": 3})
    answer = ask(make(endpoint, prices={"input": 1.0, "output": 2.0}), request)
    assert (answer.text, answer.finish, answer.model, answer.retries) == ("Hi.", "stop", "served-model", 0)
    assert answer.usage == (10, 5)
    assert answer.cost == pytest.approx((10 * 1.0 + 5 * 2.0) / 1e6)
    seen = endpoint.seen[0]
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    seed = seen.body.pop("seed")
    assert seed != 5
    assert 0 <= seed < 2**31
    assert seen.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        "temperature": 0.7,
        "max_tokens": 32,
        "top_p": 0.9,
        "stop": ["END"],
        "top_k": 3,
    }


def test_an_unknown_price_stays_unknown(endpoint: Any) -> None:
    assert ask(make(endpoint)).cost is None


def test_a_price_without_reported_tokens_is_unknown(endpoint: Any) -> None:
    choice = {"message": {"content": "ok"}, "finish_reason": "stop"}
    endpoint.play(endpoint.reply({"choices": [choice]}))
    assert ask(make(endpoint, prices={"input": 1.0, "output": 2.0})).cost is None


def test_omitted_and_extra_parameters(endpoint: Any) -> None:
    ask(make(endpoint, omit=["temperature"], extra={"reasoning_effort": "low"}))
    assert "temperature" not in endpoint.seen[0].body
    assert endpoint.seen[0].body["reasoning_effort"] == "low"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503])
def test_tries_again_after_what_may_pass(endpoint: Any, status: int) -> None:
    endpoint.play(endpoint.error(status), endpoint.error(status), endpoint.chat("ok"))
    assert ask(make(endpoint)).retries == 2
    assert len(endpoint.seen) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_fails_at_once_after_what_will_not_pass(endpoint: Any, status: int) -> None:
    endpoint.play(endpoint.error(status, "that is wrong"))
    with pytest.raises(ModelError, match=rf"status {status}: that is wrong"):
        ask(make(endpoint))
    assert len(endpoint.seen) == 1


def test_a_refused_key_names_its_variable(endpoint: Any) -> None:
    endpoint.play(endpoint.error(401))
    with pytest.raises(ModelError, match="environment variable CANARY_KEY"):
        ask(make(endpoint))


@pytest.mark.parametrize("broken", ["drop", "cut"])
def test_tries_again_after_a_broken_connection(endpoint: Any, broken: str) -> None:
    first = endpoint.chat("never seen")
    setattr(first, broken, True)
    endpoint.play(first, endpoint.chat("ok"))
    answer = ask(make(endpoint))
    assert (answer.text, answer.retries) == ("ok", 1)


def test_waits_as_long_as_it_is_told(endpoint: Any) -> None:
    endpoint.play(endpoint.error(429, retry_after_ms="300"), endpoint.chat("ok"))
    began = time.monotonic()
    assert ask(make(endpoint)).retries == 1
    assert time.monotonic() - began >= 0.3


def test_reads_a_date_to_wait_for(endpoint: Any) -> None:
    endpoint.play(endpoint.error(503, retry_after="Thu, 01 Jan 2026 12:10:00 GMT"))
    model = make(endpoint)
    model._transport._clock = lambda: datetime(2026, 1, 1, 12, 0, tzinfo=UTC)  # pyright: ignore[reportPrivateUsage]
    with pytest.raises(ModelError, match=r"after 600\.0 s, later than the deadline"):
        ask(model)
    assert len(endpoint.seen) == 1


def test_a_model_that_never_answers_ends_at_the_deadline(endpoint: Any) -> None:
    endpoint.script = lambda n, seen: type(endpoint.chat(""))(hang=True)
    retry = {"base": 0.001, "cap": 0.002, "deadline": 3.0, "attempt_timeout": 1.2}
    began = time.monotonic()
    with pytest.raises(ModelError, match=r"deadline of 3 s|later than the deadline"):
        ask(make(endpoint, retry=retry))
    assert 2.3 <= time.monotonic() - began < 15.0
    assert len(endpoint.seen) >= 2


def test_nobody_there(endpoint: Any) -> None:
    with pytest.raises(ModelError, match="tried 2 times and failed: no connection"):
        ask(make(endpoint, base_url="http://127.0.0.1:1/v1", retry={**QUICK, "attempts": 2}))


def test_cancelling_stops_a_call_at_once(endpoint: Any) -> None:
    endpoint.script = lambda n, seen: type(endpoint.chat(""))(hang=True)

    async def scenario() -> float:
        model = make(endpoint)
        task = asyncio.ensure_future(model.generate(REQUEST))
        while not endpoint.seen:
            await asyncio.sleep(0.01)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await model.close()
        return time.monotonic() - began

    assert asyncio.run(scenario()) < 1.0


def test_few_requests_are_needed_when_one_in_ten_fails(endpoint: Any) -> None:
    draws = random.Random(7)
    fates = [draws.random() < 0.1 for _ in range(1000)]
    endpoint.script = lambda n, seen: endpoint.error(500) if fates[n] else endpoint.chat("ok")

    async def run() -> int:
        model = make(endpoint, retry={**QUICK, "base": 0.0})
        answers = await asyncio.gather(*(model.generate(REQUEST) for _ in range(200)))
        await model.close()
        return sum(answer.text == "ok" for answer in answers)

    assert asyncio.run(run()) == 200
    # Expected: 1 / 0.9 = 1.11 requests for one success.
    assert len(endpoint.seen) / 200 <= 1.2


def test_429s_make_it_ask_less_at_once(endpoint: Any) -> None:
    # An endpoint that holds three calls at once and refuses the fourth.
    pool = LimitPool(most=32)
    seen_limits: list[float] = []

    def script(n: int, seen: Any) -> Any:
        # Noted at each call: by the end successes may have raised it again.
        seen_limits.append(pool.limit(endpoint.url, "m", "CANARY_KEY").limit)
        if endpoint.active > 3:
            return endpoint.error(429)
        time.sleep(0.005)
        return endpoint.chat("ok")

    endpoint.script = script

    async def run() -> None:
        model = make(endpoint, limits=pool, retry={**QUICK, "attempts": 50})
        await asyncio.gather(*(model.generate(REQUEST) for _ in range(60)))
        await model.close()

    asyncio.run(run())
    assert min(seen_limits) < 8
    assert endpoint.most_active <= 8


BODIES = {
    "page": (b"<!DOCTYPE html><html>Sign in</html>", "web page .* base_url"),
    "nothing": (b"", "not JSON"),
    "half": (b'{"choices": [{"mess', "not JSON"),
    "list": (b"[1, 2]", "not an object"),
    "no choices": (b'{"choices": []}', "without choices"),
    "error inside": (b'{"error": {"message": "overloaded"}}', "without choices: overloaded"),
    "odd choice": (b'{"choices": [7]}', "without choices"),
    "no message": (b'{"choices": [{}]}', "no message"),
    "number": (b'{"choices": [{"message": {"content": 7}}]}', "not text but int"),
    "null": (b'{"choices": [{"message": {"content": null}}]}', "empty text"),
    "blank": (b'{"choices": [{"message": {"content": " \\n"}}]}', "empty text"),
    "thinking": (
        b'{"choices": [{"finish_reason": "length", "message": {"content": ""}}]}',
        "raise max_tokens",
    ),
    "nested": (b"[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize(("body", "said"), BODIES.values(), ids=BODIES)
def test_an_unusable_answer_is_a_clear_error(endpoint: Any, body: bytes, said: str) -> None:
    reply = endpoint.chat("")
    reply.body = body
    if body.startswith(b"<"):
        reply.headers["content-type"] = "text/html"
    endpoint.play(reply)
    with pytest.raises(ModelError, match=said):
        ask(make(endpoint))
    assert len(endpoint.seen) == 1


def test_a_refusal_is_an_answer(endpoint: Any) -> None:
    endpoint.play(endpoint.chat(None, refusal="I cannot help."), endpoint.chat("", finish="content_filter"))
    first = ask(make(endpoint))
    assert (first.text, first.finish) == ("I cannot help.", "refused")
    assert ask(make(endpoint)).finish == "refused"


def test_a_cut_answer_says_so(endpoint: Any) -> None:
    endpoint.play(endpoint.chat("The beginning", finish="length"))
    assert ask(make(endpoint)).finish == "length"


def test_200_kilobytes_are_cut(endpoint: Any) -> None:
    endpoint.play(endpoint.chat("x" * 200_000))
    answer = ask(make(endpoint))
    assert (len(answer.text), answer.finish) == (100_000, "length")


def test_nine_megabytes_are_refused(endpoint: Any) -> None:
    endpoint.play(endpoint.chat("x" * 9_000_000))
    with pytest.raises(ModelError, match="over 8000000 bytes, which is refused"):
        ask(make(endpoint))


def test_a_huge_error_is_refused_too(endpoint: Any) -> None:
    endpoint.play(endpoint.error(500, "x" * 9_000_000))
    with pytest.raises(ModelError, match="over 8000000 bytes, which is refused"):
        ask(make(endpoint))


def test_a_compressed_body_is_refused(endpoint: Any) -> None:
    reply = endpoint.chat("x" * 1000)
    reply.body = gzip.compress(reply.body)
    reply.headers["content-encoding"] = "gzip"
    endpoint.play(reply)
    with pytest.raises(ModelError, match="compressed body, which is refused"):
        ask(make(endpoint))
    assert endpoint.seen[0].headers["accept-encoding"] == "identity"


def test_a_redirect_is_not_followed(endpoint: Any) -> None:
    other = type(endpoint)()
    try:
        endpoint.play(endpoint.reply({}, 307, location=f"{other.url}/chat/completions"))
        with pytest.raises(ModelError, match="redirect is not followed"):
            ask(make(endpoint))
        assert other.seen == []
    finally:
        other.close()


def test_a_redirect_that_echoes_the_key(endpoint: Any) -> None:
    endpoint.play(endpoint.reply({}, 302, location=f"http://{KEY}.example/"))
    with pytest.raises(ModelError, match=r"redirects to \[key\].example") as caught:
        ask(make(endpoint))
    assert KEY[:6] not in repr(caught.value)


def test_embeds_in_blocks_and_in_order(endpoint: Any) -> None:
    def script(n: int, seen: Any) -> Any:
        data = [
            {"index": i, "embedding": [float(text.strip() or 0), 1.0]}
            for i, text in enumerate(seen.body["input"])
        ]
        return endpoint.reply({"data": data[::-1], "usage": {"prompt_tokens": len(data)}})

    endpoint.script = script
    texts = [*map(str, range(199)), ""]

    async def run() -> Any:
        model = make(endpoint, embedding_model="e")
        rows = await model.embed_counted(texts)
        await model.close()
        return rows

    rows_ND, usage = asyncio.run(run())
    assert [len(seen.body["input"]) for seen in endpoint.seen] == [128, 72]
    assert usage == (200, 0)
    wanted = np.array([[float(text or 0), 1.0] for text in texts])
    np.testing.assert_allclose(rows_ND, wanted / np.linalg.norm(wanted, axis=1, keepdims=True))


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}],
        [{"index": 0, "embedding": "x"}],
        "no",
    ],
    ids=["none", "sizes", "text", "type"],
)
def test_unusable_embeddings(endpoint: Any, data: Any) -> None:
    endpoint.play(endpoint.reply({"data": data}))
    with pytest.raises(ModelError, match="embed"):
        closing(make(endpoint, embedding_model="e"), lambda model: model.embed(["a", "b"]))


def test_what_it_cannot_do(endpoint: Any) -> None:
    model = make(endpoint)
    assert not model.capabilities.embed
    with pytest.raises(UnsupportedError, match="embedding_model"):
        asyncio.run(model.embed(["a"]))
    with pytest.raises(UnsupportedError, match="cannot score"):
        asyncio.run(model.score(REQUEST, "a"))


def test_the_key_goes_only_where_it_was_meant_to(endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    ask(make(endpoint, api_key_env=None))
    headers = endpoint.seen[0].headers
    assert KEY not in str(headers)
    assert "org-secret" not in str(headers)
    assert "authorization" not in headers


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds no key"):
        openai_model("gpt-4o-mini")
    with pytest.raises(ConfigError, match="MY_KEY holds no key"):
        openai_model("m", base_url="http://127.0.0.1:1/v1", api_key_env="MY_KEY")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:80",
        "ftp://host/v1",
        "http://user:secret@host/v1",
        "http://host/v1?k=secret",
        "http://host:x/v1",
        "http://",
    ],
)
def test_refuses_a_wrong_address(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url") as caught:
        openai_model("m", base_url=url)
    assert "secret" not in str(caught.value)


def test_refuses_wrong_options(endpoint: Any) -> None:
    with pytest.raises(ConfigError, match="retry allows attempts"):
        make(endpoint, retry={"tries": 3})
    with pytest.raises(ConfigError, match="input"):
        make(endpoint, prices={"m": 3})
    with pytest.raises(ConfigError, match="model is empty"):
        openai_model("", base_url=endpoint.url)


def test_the_key_never_appears(endpoint: Any, caplog: pytest.LogCaptureFixture, cache: Any) -> None:
    """An endpoint that echoes the key into everything it says: no text of ours holds six characters of it."""
    caplog.set_level(logging.DEBUG)
    endpoint.play(
        endpoint.error(401, f"wrong key {KEY}, or {KEY[3:14]}***"),
        endpoint.error(500, f"crashed with {KEY}"),
        endpoint.error(400, KEY),
        endpoint.reply({"error": {"message": f"bad {KEY}"}}),
        endpoint.reply(f"<p>{KEY}"),
        type(endpoint.chat(""))(drop=True),
        endpoint.chat("fine"),
    )
    model = make(endpoint, retry={**QUICK, "attempts": 1})
    metered = MeteredModel(model, cache=cache, ledger=Ledger(Budget()))
    said = [
        repr(model),
        repr(metered),
        model.name,
        str(model.capabilities),
        repr(metered.identity("generate")),
    ]

    async def all_of_them(model: OpenAIModel) -> None:
        for _ in range(7):
            try:
                said.append(repr(await metered.generate(REQUEST)))
            except ModelError as error:
                said.append("".join(traceback.format_exception(error)))
                chained: BaseException | None = error
                while chained is not None:
                    said.append(repr(chained) + repr(chained.args))
                    assert not hasattr(chained, "request")
                    chained = chained.__context__

    closing(model, all_of_them)
    said += [record.getMessage() for record in caplog.records]
    said.append(repr(cache.rows))
    text = "\n".join(said)
    assert len(endpoint.seen) == 7
    traces = [KEY[k : k + 6] for k in range(len(KEY) - 5)]
    assert [trace for trace in traces if trace in text] == []


def test_works_from_one_event_loop_after_another(endpoint: Any) -> None:
    model = make(endpoint)

    async def once() -> str:
        answer = await model.generate(REQUEST)
        await model.close()
        return answer.text

    assert [asyncio.run(once()) for _ in range(3)] == ["ok"] * 3


def test_identity_holds_what_shapes_answers(endpoint: Any) -> None:
    base = make(endpoint).identity("generate")
    assert base != make(endpoint, extra={"a": 1}).identity("generate")
    assert base != make(endpoint, omit=["temperature"]).identity("generate")
    assert base != make(endpoint, base_url="http://127.0.0.1:9/v1").identity("generate")
    assert base == make(endpoint, embedding_model="e", prices={"input": 1}).identity("generate")
    assert make(endpoint, embedding_model="e").identity("embed") != make(
        endpoint, embedding_model="f"
    ).identity("embed")
