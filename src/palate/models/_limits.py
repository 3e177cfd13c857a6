"""How many calls to one endpoint may be under way: grows while it goes well, halves when told to slow down.

Additive increase, multiplicative decrease (Chiu & Jain, 1989, "Analysis of the increase and decrease
algorithms for congestion avoidance"): after each success ``limit += 1 / limit``, so by one in a full round;
at a 429 ``limit *= 1/2``, once for all the calls that were sent before the last decrease.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from palate.errors import ConfigError

__all__ = ["AdaptiveLimit", "LimitPool", "Slot"]


@dataclass(slots=True)
class Slot:
    """One call under way."""

    _limit: "AdaptiveLimit"
    _started: int

    def throttled(self) -> None:
        """The endpoint said that it is asked too often."""
        self._limit.shrink(self._started)


@dataclass(slots=True)
class AdaptiveLimit:
    """Concurrency that adapts to an endpoint; belongs to one event loop at a time.

    Args:
        start: Calls at once in the beginning.
        most: Never more than this.
        least: Never fewer than this.
    """

    start: int = 8
    most: int = 64
    least: int = 1
    limit: float = field(init=False)
    active: int = field(default=0, init=False)
    _era: int = field(default=0, init=False)
    _queue: deque["asyncio.Future[None]"] = field(default_factory=deque["asyncio.Future[None]"], init=False)

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if not 1 <= self.least <= self.start <= self.most:
            raise ConfigError(
                "concurrency must satisfy 1 ≤ least ≤ start ≤ most; it is "
                f"{self.least}, {self.start}, {self.most}"
            )
        self.limit = float(self.start)

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[Slot]:
        """Wait for a turn, first come first served, and hold it for the length of a call with its retries."""
        await self._enter()
        slot = Slot(self, self._era)
        try:
            yield slot
        except BaseException:
            self._leave()
            raise
        else:
            self.limit = min(float(self.most), self.limit + 1.0 / self.limit)
            self._leave()

    def shrink(self, started: int) -> None:
        """Halve the limit, unless it was already halved since a call of that era began."""
        if started == self._era:
            self.limit = max(float(self.least), self.limit / 2)
            self._era += 1

    async def _enter(self) -> None:
        if self.active < int(self.limit) and not self._queue:
            self.active += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()
            else:
                with suppress(ValueError):  # its turn was passed over already
                    self._queue.remove(turn)
            raise

    def _leave(self) -> None:
        self.active -= 1
        while self._queue and self.active < int(self.limit):
            turn = self._queue.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(None)


@dataclass(slots=True)
class LimitPool:
    """One limit for each endpoint, model and key, shared by all the models of a study.

    Args:
        most: Upper bound of each limit.
    """

    most: int = 64
    _limits: dict[tuple[str, str, str], AdaptiveLimit] = field(
        default_factory=dict[tuple[str, str, str], AdaptiveLimit]
    )

    def limit(self, base_url: str, model: str, key: str) -> AdaptiveLimit:
        """The limit of an endpoint's model under one key.

        Args:
            base_url: Address of the endpoint.
            model: Name of the model.
            key: What tells keys apart without being one: the variable's name.
        """
        place = (base_url, model, key)
        if place not in self._limits:
            self._limits[place] = AdaptiveLimit(start=min(8, self.most), most=self.most)
        return self._limits[place]
