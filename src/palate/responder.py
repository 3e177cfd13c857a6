"""Responses for pairings: produced once, stored before anybody sees them, and blamed fairly when they fail.

A failed response is an event; it is shown to nobody and never learnt from. A candidate that fails three
times while others succeed is withdrawn, because then the candidate is at fault. When everything fails the
model is at fault, nobody is withdrawn, and ``outage`` counts how long that has lasted.

Where every other response is there already, nothing is left that could succeed, and a prompt that the model
always refuses or never finishes would be asked for again for ever. So a candidate that never answered is
withdrawn after six failures too, once others have answered.
"""

import asyncio
import statistics
import time
from collections import deque
from dataclasses import replace

from palate.errors import ConfigError
from palate.operations import AlarmChanged, preparing, tell
from palate.store import EventKind, Store, pairing_payload
from palate.types import Candidate, Input, Pairing, Response, Target, digest

__all__ = ["OUTAGE", "Responder"]

OUTAGE = 6  # failures in a row, of several candidates, after which the model is to blame
TRIES = 3
LAST_TRIES = 6  # for a candidate that never answered, when nobody else is asked any more


class Responder:
    """Turns pairings into pairs of stored responses.

    Args:
        store: Where responses are kept.
        target: What produces them; ``None`` for a study that is only read.
        missing: Why there is no target.
        target_key: Hash of everything but candidate and input that shapes a response.

    Attributes:
        outage: Failures since the last response.
        last_failure: Why the last one failed.
    """

    def __init__(self, store: Store, target: Target | None, missing: str, target_key: str) -> None:
        self.outage = 0
        self.last_failure = ""
        self._down = False  # whether an outage was told of
        self._store = store
        self._target = target
        self._missing = missing
        self._target_key = target_key
        self._under_way: dict[str, asyncio.Task[Response]] = {}
        self._failures: dict[str, int] = {}
        self._unanswered: set[str] = set()  # who failed since the last response
        self._answered: set[str] = set()
        self._seconds: deque[float] = deque(maxlen=20)

    @property
    def seconds(self) -> float:
        """Median time that a new response took lately; 0 before the first."""
        return statistics.median(self._seconds) if self._seconds else 0.0

    async def open(self, pairing: Pairing, first: Candidate, second: Candidate, place: Input) -> bool:
        """Produce both responses; the pairing is ready once they are stored.

        Returns:
            Whether it is; otherwise at least one response failed.

        Raises:
            ConfigError: The study was opened only to be read.
        """
        with preparing(pairing.id) as duel:
            one, other = await asyncio.gather(self.respond(first, place), self.respond(second, place))
            if one.failed is None and other.failed is None:
                opened = replace(pairing, first_response=one.hash, second_response=other.hash)
                self._store.append(EventKind.PAIRING_OPENED, pairing_payload(opened))
                duel.ready = True
        return duel.ready

    async def respond(self, candidate: Candidate, place: Input) -> Response:
        """The stored response, or a new one; the same response is never produced twice at once.

        Raises:
            ConfigError: The study was opened only to be read.
        """
        if self._target is None:
            raise ConfigError(self._missing)
        key, stored = self._key(candidate, place), self.stored(candidate, place)
        if stored is not None:
            self._answered.add(candidate.id)
            return stored
        task = self._under_way.get(key)
        if task is None:
            task = asyncio.ensure_future(self._produce(self._target, key, candidate, place))
            self._under_way[key] = task
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)

    def stored(self, candidate: Candidate, place: Input) -> Response | None:
        """The response if there is one already."""
        return self._store.get_response_by_key(self._key(candidate, place))

    def _key(self, candidate: Candidate, place: Input) -> str:
        return digest([self._target_key, candidate.id, place.id, place.text])

    async def _produce(self, target: Target, key: str, candidate: Candidate, place: Input) -> Response:
        started = time.monotonic()
        response = await target.respond(candidate, place)
        if response.failed is None:
            self._store.put_response(key, response)
            self._seconds.append(time.monotonic() - started)
            if self.outage >= OUTAGE and len(self._unanswered) > 1:
                for identifier in self._unanswered:  # the model was at fault, not they
                    self._failures.pop(identifier, None)
            if self._down:
                tell(AlarmChanged("model", False))
                self._down = False
            self.outage = 0
            self._unanswered.clear()
            self._answered.add(candidate.id)
            self._failures.pop(candidate.id, None)
            for identifier, times in list(self._failures.items()):
                if times >= TRIES:
                    self._withdraw(identifier)
        else:
            failure = {"candidate_id": candidate.id, "input_id": place.id, "reason": response.failed}
            self._store.append(EventKind.RESPONSE_FAILED, failure)
            self.outage += 1
            if self.outage == OUTAGE and not self._down:
                tell(AlarmChanged("model", True))
                self._down = True
            self._unanswered.add(candidate.id)
            self.last_failure = response.failed
            self._failures[candidate.id] = self._failures.get(candidate.id, 0) + 1
            if self._failures[candidate.id] >= LAST_TRIES and self._never_answered(candidate.id):
                self._withdraw(candidate.id)
        return response

    def _never_answered(self, identifier: str) -> bool:
        """Whether this candidate never answered anything although others did."""
        if not self._answered:
            return False
        for event in self._store.events():  # what was answered before this run began
            if event.kind is EventKind.PAIRING_OPENED:
                self._answered |= {event.payload["first"], event.payload["second"]}
        return identifier not in self._answered

    def _withdraw(self, identifier: str) -> None:
        times = self._failures.pop(identifier)
        reason = f"no usable response in {times} tries; the last: {self.last_failure}"
        self._store.append(EventKind.CANDIDATE_WITHDRAWN, {"id": identifier, "reason": reason})
