"""The one retry loop. The SDK's own is switched off, so that attempts never multiply.

Wait before attempt ``n + 1`` (counted from 0): ``floor + uniform(0, min(cap, base · 2ⁿ))``; ``floor`` is
what the endpoint asked for in ``Retry-After`` (0 without it). Full jitter follows M. Brooker, "Exponential
Backoff And Jitter" (AWS Architecture Blog, 2015); adding it to the floor instead of taking the larger of the
two keeps clients that were told the same time from coming back in the same instant.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Generic, NamedTuple, TypeVar

from palate.errors import ConfigError, ModelError

__all__ = [
    "Retried",
    "Retrier",
    "RetryPolicy",
    "TransientError",
    "is_transient",
    "retry_after",
    "retry_policy",
]

T = TypeVar("T")


class TransientError(Exception):
    """An attempt failed in a way that may pass. Never leaves the retry loop.

    Args:
        reason: What happened, in a few words without secrets.
        floor: Seconds that the endpoint asked to wait, or ``None``.
        throttled: Whether the endpoint said that it is asked too often.
    """

    def __init__(self, reason: str, *, floor: float | None = None, throttled: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.floor = floor
        self.throttled = throttled


class Retried(NamedTuple, Generic[T]):
    """A result, how many attempts failed before it, and why each did."""

    value: T
    retries: int
    reasons: tuple[str, ...]


def is_transient(status: int) -> bool:
    """Whether an HTTP status may pass by itself: 408, 409, 429 and 5xx; every other error fails at once."""
    return status in (408, 409, 429) or status >= 500


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """How long an endpoint asks to wait.

    Args:
        headers: With lower-case names, or a mapping that ignores case.
        now: The time against which an HTTP date is read, with its zone.

    Returns:
        Seconds, at least 0; ``None`` when nothing readable was said. ``retry-after-ms`` comes first.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is not None or said is None:
        return seconds
    try:
        date = parsedate_to_datetime(said)
    except ValueError:
        return None
    zoned = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (zoned - now).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return max(0.0, number) if number < float("inf") else None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How hard to try.

    Args:
        attempts: Most attempts at one call, at least 1.
        base: Seconds of the first wait's range.
        cap: Seconds that no wait's range exceeds.
        attempt_timeout: Seconds after which one attempt counts as failed.
        deadline: Seconds for the whole call, waits included.
    """

    attempts: int = 6
    base: float = 0.5
    cap: float = 30.0
    attempt_timeout: float = 120.0
    deadline: float = 300.0

    def __post_init__(self) -> None:
        """Refuse a policy that could never succeed."""
        if self.attempts < 1:
            raise ConfigError(f"retry attempts is {self.attempts!r}; it must be at least 1")
        for name in ("base", "cap"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"retry {name} is {getattr(self, name)!r}; it must be at least 0 seconds")
        for name in ("attempt_timeout", "deadline"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"retry {name} is {getattr(self, name)!r}; it must be more than 0 seconds")


def retry_policy(options: Mapping[str, float] | None) -> RetryPolicy:
    """A policy from the options that a user wrote.

    Raises:
        ConfigError: An unknown option, or a value that could never succeed.
    """
    try:
        return RetryPolicy(**dict(options or {}))  # pyright: ignore[reportArgumentType]  # the policy checks
    except TypeError as error:
        raise ConfigError(f"retry allows attempts, base, cap, attempt_timeout, deadline: {error}") from None


@dataclass(frozen=True, slots=True)
class Retrier:
    """Runs calls under a policy; clock, sleep and randomness can be replaced in tests.

    Args:
        policy: How hard to try.
        now: Monotonic seconds.
        sleep: Waits for seconds; cancelling it stops the wait at once.
        uniform: Draws from [low, high].
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    uniform: Callable[[float, float], float] = field(default_factory=lambda: random.Random().uniform)

    async def run(self, attempt: Callable[[], Awaitable[T]], *, who: str) -> Retried[T]:
        """Attempt until it works, the failure is final, or attempts or time run out.

        Args:
            attempt: One attempt; raises :class:`TransientError` for what may pass.
            who: What is called, for the error text.

        Raises:
            ModelError: Attempts or time ran out; the text says how many there were and why the last failed.
        """
        end = self.now() + self.policy.deadline
        reasons: list[str] = []
        while True:
            failure = TransientError("no answer in time")
            try:
                async with asyncio.timeout(max(0.0, min(self.policy.attempt_timeout, end - self.now()))):
                    return Retried(await attempt(), len(reasons), tuple(reasons))
            except TransientError as error:
                failure = error
            except TimeoutError:
                pass
            reasons.append(failure.reason)
            wait = self._wait(len(reasons) - 1, failure.floor)
            given_up = self._given_up(len(reasons), wait, end - self.now())
            if given_up:
                # Raised outside the handlers: no chain to objects that hold the request's headers.
                break
            await self.sleep(wait)
        tried = "once" if len(reasons) == 1 else f"{len(reasons)} times"
        raise ModelError(f"{who} was tried {tried} and failed: {reasons[-1]}; {given_up}")

    def _wait(self, failures: int, floor: float | None) -> float:
        span = min(self.policy.cap, self.policy.base * 2.0 ** min(failures, 64))
        return (floor or 0.0) + self.uniform(0.0, span)

    def _given_up(self, attempts: int, wait: float, left: float) -> str:
        if attempts >= self.policy.attempts:
            return "the limit of attempts is reached; try again later, or raise 'attempts'"
        if left <= 0:
            return (
                f"the deadline of {self.policy.deadline:g} s has passed; try again later, or raise 'deadline'"
            )
        if wait >= left:
            return (
                f"the next attempt would come after {wait:.1f} s, later than the deadline of "
                f"{self.policy.deadline:g} s allows; try again later, or raise 'deadline'"
            )
        return ""
