"""Waiting in the server's loop for what the writer's thread has brought to the disk.

One commit lands many votes. The loop is woken once for all that have landed since it last looked, and not
once for each: waking it is a call to the system, and a thread that makes it holds up the other meanwhile.
``asyncio.wrap_future`` does the same for one future at three times the price.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["Landings"]

Outcome = TypeVar("Outcome")


class _Bell:
    """Wakes those of one loop who wait. ``landed`` is called from other threads, the rest from the loop's.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._landed: deque[asyncio.Future[None]] = deque()
        self._rung = False

    def landed(self, waiting: "asyncio.Future[None]") -> None:
        """Wake somebody, soon."""
        self._landed.append(waiting)
        if not self._rung and not self.loop.is_closed():
            self._rung = True
            self.loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        # Before it looks: who comes after that and finds the bell rung is then still seen.
        self._rung = False
        while self._landed:
            waiting = self._landed.popleft()
            if not waiting.done():  # it is when its request was given up
                waiting.set_result(None)


class Landings:
    """Waits for futures of another thread, from one loop at a time."""

    def __init__(self) -> None:
        self._bell: _Bell | None = None

    async def of(self, stored: "Future[Outcome]") -> Outcome:
        """What a future of another thread holds, once it is done.

        Raises:
            Exception: What the future raises.
        """
        loop = asyncio.get_running_loop()
        bell = self._bell
        if bell is None or bell.loop is not loop:
            bell = self._bell = _Bell(loop)
        waiting = loop.create_future()
        stored.add_done_callback(lambda _: bell.landed(waiting))
        await waiting
        return stored.result()
