"""The retry loop, on a clock that the test holds."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import pytest

from palate.errors import ConfigError, ModelError
from palate.models._retry import Retrier, RetryPolicy, TransientError, is_transient, retry_after

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.time = 100.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds


def failing(times: int, error: Callable[[], Exception]) -> tuple[Callable[[], Awaitable[str]], list[int]]:
    tried: list[int] = []

    async def attempt() -> str:
        tried.append(1)
        if len(tried) <= times:
            raise error()
        return "done"

    return attempt, tried


def retrier(
    clock: Clock, draw: Callable[[float, float], float] = lambda low, high: high, **policy: float
) -> Retrier:
    return Retrier(RetryPolicy(**policy), clock.now, clock.sleep, draw)


def test_waits_double_up_to_the_cap_and_count() -> None:
    clock = Clock()
    attempt, tried = failing(4, lambda: TransientError("status 503"))
    done = asyncio.run(retrier(clock, base=0.5, cap=3.0).run(attempt, who="m"))
    # uniform(0, min(3, 0.5·2ⁿ)) drawn at its upper end: 0.5, 1, 2, then 4 cut to 3.
    assert clock.waits == [0.5, 1.0, 2.0, 3.0]
    assert (done.value, done.retries, len(tried)) == ("done", 4, 5)
    assert done.reasons == ("status 503",) * 4


def test_the_jitter_is_full() -> None:
    spans: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        spans.append((low, high))
        return low

    clock = Clock()
    attempt, _ = failing(3, lambda: TransientError("x"))
    asyncio.run(retrier(clock, draw, base=1.0).run(attempt, who="m"))
    assert spans == [(0.0, 1.0), (0.0, 2.0), (0.0, 4.0)]
    assert clock.waits == [0.0, 0.0, 0.0]


def test_what_the_endpoint_asks_is_a_floor() -> None:
    generator = random.Random(0)
    for _ in range(50):
        clock = Clock()
        attempt, _ = failing(1, lambda: TransientError("status 429", floor=7.0, throttled=True))
        asyncio.run(retrier(clock, generator.uniform, base=0.5).run(attempt, who="m"))
        assert 7.0 <= clock.waits[0] <= 7.5


def test_attempts_are_limited() -> None:
    clock = Clock()
    attempt, tried = failing(99, lambda: TransientError("status 500: oops"))
    with pytest.raises(ModelError, match=r"'m' was tried 3 times and failed: status 500: oops; .*attempts"):
        asyncio.run(retrier(clock, attempts=3).run(attempt, who="'m'"))
    assert len(tried) == 3
    assert len(clock.waits) == 2


def test_a_wait_beyond_the_deadline_is_not_begun() -> None:
    clock = Clock()
    attempt, tried = failing(99, lambda: TransientError("status 429", floor=3600.0))
    with pytest.raises(ModelError, match=r"after 3600\.\d s, later than the deadline of 300 s"):
        asyncio.run(retrier(clock).run(attempt, who="m"))
    assert (len(tried), clock.waits) == (1, [])


def test_the_total_deadline_holds_over_many_attempts() -> None:
    clock = Clock()

    async def attempt() -> str:
        clock.time += 4.0
        raise TransientError("slow failure")

    with pytest.raises(ModelError, match="deadline of 20 s"):
        asyncio.run(retrier(clock, attempts=100, deadline=20.0).run(attempt, who="m"))
    assert clock.time - 100.0 <= 20.0 + 4.0


def test_an_attempt_that_never_ends_is_ended() -> None:
    clock = Clock()

    async def attempt() -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(ModelError, match="tried 2 times and failed: no answer in time"):
        asyncio.run(retrier(clock, attempts=2, attempt_timeout=0.02).run(attempt, who="m"))


def test_other_errors_pass_at_once_and_without_a_wait() -> None:
    clock = Clock()
    attempt, tried = failing(1, lambda: ModelError("status 401"))
    with pytest.raises(ModelError, match=r"^status 401$"):
        asyncio.run(retrier(clock).run(attempt, who="m"))
    assert (len(tried), clock.waits) == (1, [])


def test_cancelling_stops_a_wait_at_once() -> None:
    async def scenario() -> float:
        waiting = asyncio.Event()

        async def attempt() -> str:
            waiting.set()
            raise TransientError("status 503", floor=60.0)

        task = asyncio.ensure_future(Retrier().run(attempt, who="m"))
        await waiting.wait()
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return loop.time() - began

    assert asyncio.run(scenario()) < 1.0


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_may_pass(status: int) -> None:
    assert is_transient(status)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_will_not_pass(status: int) -> None:
    assert not is_transient(status)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "-4"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
)
def test_reads_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"base": -1.0}, {"deadline": 0.0}, {"attempt_timeout": -1.0}]
)
def test_refuses_a_policy_that_cannot_work(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        RetryPolicy(**wrong)
