"""Waiting for the study to go on: one thread for all the pages that wait, however many there are."""

import asyncio

from starlette.concurrency import run_in_threadpool

from palate.store import Store

__all__ = ["Watch"]

SLICE = 1.0  # seconds that the thread is held before it is looked whether anybody still waits


class Watch:
    """Wakes everybody who waits when an event is stored, by this or another process.

    Args:
        store: The study.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._task: asyncio.Task[int] | None = None
        self._from = 0

    async def after(self, seq: int, seconds: float) -> int:
        """Wait until something happened after an event.

        Args:
            seq: The last event that the caller knows.
            seconds: Give up after so long.

        Returns:
            The number of the last event; not above ``seq`` when nothing happened.
        """
        task = self._task
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            self._from = seq
            task = self._task = asyncio.create_task(run_in_threadpool(self._store.wait, seq, SLICE))
        elif seq < self._from:
            return self._from
        await asyncio.wait({task}, timeout=seconds)
        return task.result() if task.done() else seq
