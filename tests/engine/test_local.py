import asyncio

import pytest

from palate.engine import LocalEngine


async def _double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_runs_from_any_thread_and_returns_the_result() -> None:
    engine = LocalEngine()
    futures = [engine.submit(_double(n)) for n in range(5)]
    assert [f.result(5) for f in futures] == [0, 2, 4, 6, 8]
    assert engine.run(_double(21)) == 42
    engine.close()


def test_an_error_reaches_the_caller() -> None:
    async def fail() -> None:
        raise ValueError("no")

    engine = LocalEngine()
    with pytest.raises(ValueError, match="no"):
        engine.run(fail())
    engine.close()


def test_close_cancels_what_still_runs_and_may_be_repeated() -> None:
    engine = LocalEngine()
    seen: list[str] = []

    async def wait_for_ever(started: asyncio.Event) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def begin() -> None:
        started = asyncio.Event()
        task = asyncio.ensure_future(wait_for_ever(started))
        await started.wait()
        del task

    engine.run(begin())
    engine.close()
    engine.close()
    assert seen == ["cancelled"]
