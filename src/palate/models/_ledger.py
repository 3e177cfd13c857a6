"""Spending: a budget, and a ledger that is asked before a call is sent.

A call reserves its estimate, is sent, and settles what it really used. With ``n`` calls in flight the
budget can be exceeded only by what those ``n`` used beyond their estimates. A call that does not fit beside
the reservations of others waits for them to settle; a call that does not fit at all is refused.
"""

import asyncio
import math
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from palate.errors import BudgetError, ConfigError
from palate.models._answer_cache import read_completion
from palate.types import Usage

__all__ = ["Budget", "Estimate", "Ledger", "Reservation", "Spent"]

# Sums of prices in binary fractions must not refuse the call that fits exactly.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Budget:
    """The most that a study may spend; ``None`` is no limit.

    Args:
        calls: Requests that are sent, failed ones included, retried ones once; answers from the cache not.
        tokens: Tokens going in and coming out, together.
        cost: US dollars. Every model must then have a known price.
    """

    calls: int | None = None
    tokens: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        """Refuse limits that are negative or not numbers."""
        for name in ("calls", "tokens", "cost"):
            limit = getattr(self, name)
            if limit is None:
                continue
            if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 <= limit < math.inf:
                raise ConfigError(f"budget.{name} is {limit!r}; it must be a number of at least 0, or absent")


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent so far.

    Args:
        calls: Requests that were sent.
        tokens_in: Tokens that went in.
        tokens_out: Tokens that came out.
        priced: US dollars of the calls whose price is known.
        unpriced_calls: Calls whose price is unknown.
        cache_hits: Answers that were not paid for again.
        saved: US dollars that those would have cost, as far as known.
    """

    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    priced: float = 0.0
    unpriced_calls: int = 0
    cache_hits: int = 0
    saved: float = 0.0

    @property
    def tokens(self) -> int:
        """Tokens in and out together."""
        return self.tokens_in + self.tokens_out

    @property
    def cost(self) -> float | None:
        """US dollars; ``None`` when the price of any call is unknown."""
        return None if self.unpriced_calls else self.priced

    @classmethod
    def on(cls, rows: Iterable[Mapping[str, Any]]) -> "Spent":
        """What kept answers have cost, so that a budget outlasts the process that spent it.

        Calls that failed, and embeddings, were not kept with a price and are not counted again.

        Args:
            rows: The rows of a :class:`~palate.types.CompletionCache`; other rows than answers are skipped.
        """
        answers = [answer for answer in map(read_completion, rows) if answer is not None]
        return cls(
            calls=len(answers),
            tokens_in=sum(answer.usage.input_tokens for answer in answers),
            tokens_out=sum(answer.usage.output_tokens for answer in answers),
            priced=math.fsum(answer.cost or 0.0 for answer in answers),
            unpriced_calls=sum(answer.cost is None for answer in answers),
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may use at most, guessed before it is sent; ``cost=None`` when the price is unknown."""

    tokens: int
    cost: float | None


@dataclass(slots=True)
class Reservation:
    """A call's share of the budget between being admitted and being settled; settle it exactly once."""

    _ledger: "Ledger"
    _estimate: Estimate
    _open: bool = True

    def settle(self, usage: Usage, cost: float | None) -> None:
        """Replace the estimate by what the call used; ``cost=None`` when the price is unknown."""
        self._close(Spent(1, usage.input_tokens, usage.output_tokens, cost or 0.0, int(cost is None)))

    def fail(self) -> None:
        """The call was sent and failed without an answer: it counts as a call that used nothing."""
        self._close(Spent(calls=1))

    def forfeit(self) -> None:
        """The call was abandoned under way, so it may still be billed: count the whole estimate."""
        cost = self._estimate.cost
        self._close(Spent(1, self._estimate.tokens, 0, cost or 0.0, int(cost is None)))

    def _close(self, spent: Spent) -> None:
        assert self._open, "a reservation is settled once"
        self._open = False
        self._ledger._settle(self._estimate, spent)  # pyright: ignore[reportPrivateUsage]  # two halves of one thing


@dataclass(slots=True)
class Ledger:
    """Keeps the budget of one study for all its models; safe to share between threads and event loops.

    Args:
        budget: The limits.
        spent: What earlier sessions of the study spent.
    """

    budget: Budget = field(default_factory=Budget)
    spent: Spent = field(default_factory=Spent)
    _reserved: list[Estimate] = field(default_factory=list[Estimate], repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _waiters: list["asyncio.Future[None]"] = field(default_factory=list["asyncio.Future[None]"], repr=False)

    async def reserve(self, estimate: Estimate) -> Reservation:
        """Admit a call, waiting for calls in flight when only their reservations are in the way.

        Raises:
            BudgetError: The call could exceed the budget even after all calls in flight have settled.
            ConfigError: There is a cost budget and the price of the call is unknown.
        """
        if self.budget.cost is not None and estimate.cost is None:
            raise ConfigError(unknown_price_text("the model"))
        while True:
            with self._lock:
                obstacle = self._obstacle(estimate, [])
                if obstacle is not None:
                    raise BudgetError(obstacle)
                if self._obstacle(estimate, self._reserved) is None:
                    self._reserved.append(estimate)
                    return Reservation(self, estimate)
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiters.append(waiter)
            await waiter

    def hit(self, cost: float | None) -> None:
        """Count an answer that came from the cache; ``cost`` is what it once cost."""
        with self._lock:
            self.spent = replace(
                self.spent, cache_hits=self.spent.cache_hits + 1, saved=self.spent.saved + (cost or 0.0)
            )

    def _obstacle(self, estimate: Estimate, reserved: list[Estimate]) -> str | None:
        """Say which limit the call could exceed beside ``reserved``, or ``None``."""
        budget, spent = self.budget, self.spent
        if budget.calls is not None and spent.calls + len(reserved) + 1 > budget.calls:
            return f"the budget of {budget.calls} calls is used up; raise budget.calls to go on"
        if budget.tokens is not None:
            tokens = spent.tokens + sum(other.tokens for other in reserved) + estimate.tokens
            if tokens > budget.tokens:
                return (
                    f"{spent.tokens} of the budget's {budget.tokens} tokens are used, and the next call "
                    f"may need {estimate.tokens}; raise budget.tokens to go on"
                )
        if budget.cost is not None:
            wanted = estimate.cost or 0.0
            cost = spent.priced + sum(other.cost or 0.0 for other in reserved) + wanted
            if cost > budget.cost + _ROUNDING:
                return (
                    f"${spent.priced:.4f} of the budget's ${budget.cost:.4f} are spent, and the next call "
                    f"may cost ${wanted:.4f}; raise budget.cost to go on"
                )
        return None

    def _settle(self, estimate: Estimate, added: Spent) -> None:
        with self._lock:
            self._reserved.remove(estimate)
            now = self.spent
            self.spent = Spent(
                now.calls + added.calls,
                now.tokens_in + added.tokens_in,
                now.tokens_out + added.tokens_out,
                now.priced + added.priced,
                now.unpriced_calls + added.unpriced_calls,
                now.cache_hits,
                now.saved,
            )
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            loop = waiter.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, waiter)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def unknown_price_text(model: str) -> str:
    """Say that a cost budget needs a price, and how to give one."""
    return (
        f"there is a budget of money, but the price of {model} is unknown; give it in US dollars per "
        "million tokens, as prices = {input = 0.15, output = 0.6} in the table of the model, or limit "
        "budget.tokens instead"
    )
