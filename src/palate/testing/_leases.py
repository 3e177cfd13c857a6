"""Many raters at one study who abandon duels, come back late, or do not: does every pairing get its votes?

Nothing waits: the raters' clocks are simulated, and every step is a call of a store.
"""

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from palate.store import EventKind, Store, StudyState
from palate.testing._rater_contract import SimulatedClock, with_rules
from palate.types import Ballot, Duel, Verdict

__all__ = ["LeaseReport", "simulate_leases"]

_POLL = 30.0  # seconds after which a rater who got nothing asks again
_LONGEST = 200  # leases after which a run that does not end has failed


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """What came of it.

    Args:
        pairings: How many there were.
        raters: How many took part.
        complete: Pairings with exactly the votes that they wanted, each of another rater.
        votes: Votes in all.
        surplus: Votes beyond what was wanted; none is lost, none counts as one of the wanted.
        expired: Leases that ended because somebody else wanted the place.
        abandoned: Duels that their raters left without a vote.
        late: Votes that came after their lease had ended.
        seen_twice: Pairings shown twice to one rater.
        refused: Votes that were refused.
        denied: How often a rater got nothing although a pairing that he had not seen had a free place, or one
            whose lease had ended.
        longest_wait: Seconds for which a rater got nothing because others held every place he could have had.
        problems: What ``verify`` found.
    """

    pairings: int
    raters: int
    complete: int
    votes: int
    surplus: int
    expired: int
    abandoned: int
    late: int
    seen_twice: int
    refused: int
    denied: int
    longest_wait: float
    problems: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether it kept the promise."""
        return (
            self.complete == self.pairings
            and self.surplus <= self.expired
            and not self.seen_twice
            and not self.refused
            and not self.denied
            and not self.problems
        )


def simulate_leases(
    open_at: Callable[[Callable[[], str]], Store],
    *,
    raters: int = 50,
    pairings: int = 100,
    overlap: int = 3,
    abandon: float = 0.2,
    lease: float = 900.0,
    skew: float = 0.0,
    seed: int = 0,
) -> LeaseReport:
    """Let raters vote until every pairing has its votes.

    Args:
        open_at: Opens the same empty study, with a clock; called twice, as by two server processes.
        raters: At least ``overlap + 1``, so that somebody else can take over.
        pairings: How many there are.
        overlap: Votes wanted on each.
        abandon: Probability that a rater leaves a duel, for one to three leases;
            half of those vote on it then.
        lease: Seconds.
        skew: Seconds by which the second server's clock is ahead.
        seed: Of every draw.
    """
    clock = SimulatedClock()
    ahead = SimulatedClock()
    ahead.go_on(skew)
    with open_at(clock) as one, open_at(ahead) as other:
        with_rules(one, {"overlap": overlap, "lease": lease}, pairings)
        crowd = _Crowd((one, other), (clock, ahead), Random(seed), abandon=abandon, lease=lease)
        crowd.run([f"rater-{k}" for k in range(raters)])
        problems = tuple(one.verify())
        state = StudyState.replay(one.events())
        expired = sum(event.kind is EventKind.LEASE_EXPIRED for event in one.events())
    by_pairing: dict[str, Counter[str]] = {each: Counter() for each in state.pairings}
    for vote in state.votes:
        by_pairing[vote.pairing_id][vote.judge] += not vote.surplus
    shown = Counter((duel.pairing_id, duel.judge) for duel in state.duels.values())
    return LeaseReport(
        pairings=pairings,
        raters=raters,
        complete=sum(
            sum(judges.values()) == overlap and max(judges.values()) == 1 for judges in by_pairing.values()
        ),
        votes=len(state.votes),
        surplus=sum(vote.surplus for vote in state.votes),
        expired=expired,
        abandoned=crowd.abandoned,
        late=crowd.late,
        seen_twice=sum(count > 1 for count in shown.values()),
        refused=crowd.refused,
        denied=crowd.denied,
        longest_wait=crowd.longest_wait,
        problems=problems,
    )


class _Crowd:
    """Raters in simulated time: a heap of who does what next."""

    def __init__(
        self,
        servers: tuple[Store, Store],
        clocks: tuple[SimulatedClock, SimulatedClock],
        rng: Random,
        *,
        abandon: float,
        lease: float,
    ) -> None:
        self.abandoned = self.late = self.refused = self.denied = 0
        self.longest_wait = 0.0
        self._servers = servers
        self._clocks = clocks
        self._rng = rng
        self._abandon = abandon
        self._lease = lease
        self._now = 0.0
        self._queue: list[tuple[float, int, str, Duel | None]] = []
        self._number = 0
        self._waiting_since: dict[str, float] = {}
        self._state = StudyState()

    def run(self, names: list[str]) -> None:
        """Go on until nothing is wanted and nobody is about to vote."""
        for name in names:
            self._soon(self._rng.uniform(0, 60), name, None)
        while self._queue and self._now < _LONGEST * self._lease:
            at, _, name, duel = heapq.heappop(self._queue)
            for clock in self._clocks:
                clock.go_on(at - self._now)
            self._now = at
            store = self._rng.choice(self._servers)
            if duel is None:
                self._ask(store, name)
            else:
                self._vote(store, name, duel)

    def _has_place(self, name: str, now: str) -> bool:
        """Whether some pairing has a place for somebody, by a slow reading of the rules."""
        state = self._state
        wanting = {pairing.id for pairing in state.pending if name not in state.progress(pairing.id).judges}
        if any(state.stage(pairing_id) == "ready" for pairing_id in wanting):
            return True
        held = (duel for duel in state.duels.values() if duel.pairing_id in wanting and duel.until < now)
        return any(state.vote_on(duel.id) is None and not state.expired(duel.id) for duel in held)

    def _soon(self, seconds: float, name: str, duel: Duel | None) -> None:
        self._number += 1
        heapq.heappush(self._queue, (self._now + seconds, self._number, name, duel))

    def _ask(self, store: Store, name: str) -> None:
        self._state.follow(store)
        if not self._state.pending:
            return
        duels = store.open_duels(name, 1, self._rng)
        if not duels:
            now = self._clocks[self._servers.index(store)]()
            self.denied += self._has_place(name, now)
            if any(name not in self._state.progress(p.id).judges for p in self._state.pending):
                since = self._waiting_since.setdefault(name, self._now)
                self.longest_wait = max(self.longest_wait, self._now - since)
            else:
                self._waiting_since.pop(name, None)
            self._soon(_POLL, name, None)
            return
        self._waiting_since.pop(name, None)
        thinking = self._rng.uniform(5, 120)
        if self._rng.random() >= self._abandon:
            self._soon(thinking, name, duels[0])
            return
        self.abandoned += 1
        away = self._lease * self._rng.uniform(1.0, 3.0)
        # Either the page stayed open and is voted on after all, or it is loaded again.
        self._soon(away, name, duels[0] if self._rng.random() < 0.5 else None)

    def _vote(self, store: Store, name: str, duel: Duel) -> None:
        self._state.follow(store)
        self.late += self._state.expired(duel.id)
        verdict = self._rng.choice((Verdict.LEFT, Verdict.RIGHT, Verdict.TIE))
        future = store.submit(Ballot(duel.id, verdict, name, f"key-{duel.id}", 30.0))
        self.refused += future.exception() is not None
        self._soon(self._rng.uniform(0, 10), name, None)
