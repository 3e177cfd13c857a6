"""Waiting in a loop for what another thread brings to the disk."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from palate.errors import ConflictError
from palate.web._landing import Landings


async def waiting(landings: Landings, stored: "Future[int]") -> "asyncio.Task[int]":
    """A task that has begun to wait."""
    task = asyncio.create_task(landings.of(stored))
    await asyncio.sleep(0)
    return task


async def elsewhere(*steps: "tuple[Future[int], int]") -> None:
    """Settle futures from another thread, one after the other, while the loop stands still."""

    def settle() -> None:
        for future, value in steps:
            future.set_result(value)

    thread = threading.Thread(target=settle)
    thread.start()
    thread.join()


async def test_everybody_gets_the_outcome_of_their_own_future() -> None:
    landings = Landings()
    futures = [Future[int]() for _ in range(50)]
    tasks = [await waiting(landings, future) for future in futures]
    await elsewhere(*((future, n) for n, future in reversed(list(enumerate(futures)))))
    assert await asyncio.gather(*tasks) == list(range(50))


async def test_what_lands_together_wakes_the_loop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    landings = Landings()
    futures = [Future[int]() for _ in range(20)]
    tasks = [await waiting(landings, future) for future in futures]
    loop = asyncio.get_running_loop()
    rung: list[object] = []
    wake = loop.call_soon_threadsafe

    def counted(call: Callable[[], object]) -> asyncio.Handle:
        rung.append(call)
        return wake(call)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    await elsewhere(*((future, 0) for future in futures))
    assert len(rung) == 1
    await asyncio.gather(*tasks)
    # And once more for what comes later.
    late = Future[int]()
    task = await waiting(landings, late)
    await elsewhere((late, 7))
    assert await task == 7
    assert len(rung) == 2


async def test_a_future_that_is_done_already_is_not_waited_for_in_vain() -> None:
    stored = Future[int]()
    stored.set_result(3)
    assert await Landings().of(stored) == 3


async def test_a_refusal_is_raised() -> None:
    stored = Future[int]()
    stored.set_exception(ConflictError("already voted"))
    with pytest.raises(ConflictError, match="already voted"):
        await Landings().of(stored)


async def test_a_request_that_was_given_up_holds_up_nobody() -> None:
    landings = Landings()
    gone, there = Future[int](), Future[int]()
    task, other = await waiting(landings, gone), await waiting(landings, there)
    task.cancel()
    await asyncio.sleep(0)
    await elsewhere((gone, 1), (there, 2))
    assert await other == 2
    assert task.cancelled()


def test_a_loop_that_ended_while_it_was_being_woken_leaves_the_next_one_alone() -> None:
    landings = Landings()
    late = Future[int]()

    async def give_up() -> None:
        task = await waiting(landings, late)
        task.cancel()

    asyncio.run(give_up())
    late.set_result(1)  # nobody is there any more
    stored = Future[int]()
    threading.Timer(0.05, stored.set_result, (5,)).start()
    assert asyncio.run(asyncio.wait_for(landings.of(stored), 5)) == 5
