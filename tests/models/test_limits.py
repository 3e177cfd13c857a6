"""Concurrency that adapts."""

import asyncio

import pytest

from palate.errors import ConfigError
from palate.models import AdaptiveLimit, LimitPool


async def hold(limit: AdaptiveLimit, until: asyncio.Event) -> None:
    async with limit.slot():
        await until.wait()


def test_grows_by_about_one_in_a_round_of_successes() -> None:
    async def scenario() -> float:
        limit = AdaptiveLimit(start=4, most=64)
        for _ in range(4):
            async with limit.slot():
                pass
        return limit.limit

    # 4 + 1/4 = 4.25, + 1/4.25 = 4.485, + 1/4.485 = 4.708, + 1/4.708 = 4.921.
    assert asyncio.run(scenario()) == pytest.approx(4.921, abs=1e-3)


def test_halves_once_for_the_calls_of_one_round() -> None:
    async def scenario() -> tuple[float, float, float]:
        limit = AdaptiveLimit(start=8, most=64)
        told = asyncio.Event()

        async def call() -> None:
            async with limit.slot() as slot:
                await told.wait()
                slot.throttled()
                once.append(limit.limit)

        once: list[float] = []
        calls = [asyncio.ensure_future(call()) for _ in range(8)]
        await asyncio.sleep(0)
        told.set()
        await asyncio.gather(*calls)
        before = limit.limit
        async with limit.slot() as slot:
            slot.throttled()
            return once[0], before, limit.limit

    once, before, after = asyncio.run(scenario())
    # Halved once, although eight calls were told to slow down; each then succeeded and added at most 1/4.
    assert once == 4.0
    assert 5.0 < before <= 6.0
    assert after == before / 2


def test_never_leaves_its_range() -> None:
    async def scenario() -> tuple[float, float]:
        limit = AdaptiveLimit(start=2, most=3)
        for _ in range(20):
            async with limit.slot():
                pass
        highest = limit.limit
        for _ in range(10):
            async with limit.slot() as slot:
                slot.throttled()
        return highest, limit.limit

    highest, lowest = asyncio.run(scenario())
    assert highest == 3.0
    assert 1.0 <= lowest <= 2.0


def test_holds_the_limit_and_serves_in_order() -> None:
    async def scenario() -> tuple[int, list[int]]:
        limit = AdaptiveLimit(start=2, most=2)
        order: list[int] = []
        most = 0

        async def call(number: int) -> None:
            nonlocal most
            async with limit.slot():
                order.append(number)
                most = max(most, limit.active)
                await asyncio.sleep(0)

        await asyncio.gather(*(call(number) for number in range(9)))
        assert limit.active == 0
        return most, order

    assert asyncio.run(scenario()) == (2, list(range(9)))


def test_a_cancelled_or_failed_call_gives_its_place_back() -> None:
    async def scenario() -> int:
        limit = AdaptiveLimit(start=1, most=1)
        never = asyncio.Event()
        first = asyncio.ensure_future(hold(limit, never))
        waiting = [asyncio.ensure_future(hold(limit, never)) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.cancel()  # hands its place to a waiter that is already cancelled, which must pass it on
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert limit.active == 1
        for call in waiting[1:]:
            call.cancel()
        await asyncio.gather(first, *waiting, return_exceptions=True)
        with pytest.raises(RuntimeError):
            async with limit.slot():
                raise RuntimeError
        async with limit.slot():
            return limit.active

    assert asyncio.run(scenario()) == 1


def test_the_pool_shares_by_address_model_and_key() -> None:
    pool = LimitPool(most=5)
    one = pool.limit("http://a/v1", "m", "KEY")
    assert pool.limit("http://a/v1", "m", "KEY") is one
    others = [
        pool.limit("http://b/v1", "m", "KEY"),
        pool.limit("http://a/v1", "n", "KEY"),
        pool.limit("http://a/v1", "m", "K"),
    ]
    assert all(other is not one for other in others)
    assert (one.start, one.most) == (5, 5)


def test_refuses_an_empty_range() -> None:
    with pytest.raises(ConfigError, match="least ≤ start ≤ most"):
        AdaptiveLimit(start=9, most=4)
