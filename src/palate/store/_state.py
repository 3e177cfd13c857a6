"""What a study is now: a pure fold over its events.

    state_n = apply(state_{n-1}, event_n)

so a crash, a restart and a copy on another machine all end in the same state. Nothing else is consulted:
no clock, no table, no file.
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

from palate.errors import StoreError
from palate.store._events import (
    EventKind,
    GoldDuel,
    StoredEvent,
    candidate_of,
    gold_of,
    input_of,
    pairing_of,
)
from palate.store._invitations import ACCESS, Invitations
from palate.store._meetings import Meetings
from palate.store._raters import GOLD, Progress, RaterRules, Stage, rater_rules
from palate.types import Candidate, Input, Pairing, Verdict, Vote, digest

__all__ = [
    "EventSource",
    "GrowthRound",
    "Progress",
    "ShownDuel",
    "Stage",
    "StudyState",
    "guideline_version",
    "seed_of",
]


class EventSource(Protocol):
    """Whatever can list events; the store is one."""

    def events(self, after: int = 0, limit: int | None = None) -> Iterator[StoredEvent]:
        """The events after a sequence number, in order."""
        ...


class GrowthRound(NamedTuple):
    """One time that a proposer was asked for candidates while votes came in.

    Args:
        number: Counted from 0.
        seq: The event that began it; what the proposer knew is the study up to there.
        proposer: Who was asked.
        wanted: For how many candidates.
        asking: What more questions about the present candidates were worth then, in win probability.
        exploring: What children would have added to that.
        made: The candidates that came of it; ``None`` while it is under way or was interrupted.
        refused: What the gate kept out: text, reason and origin.
        remark: What the owner should know of the round; empty when nothing.
    """

    number: int
    seq: int
    proposer: str
    wanted: int
    asking: float
    exploring: float
    made: tuple[str, ...] | None = None
    refused: tuple[tuple[str, str, str], ...] = ()
    remark: str = ""


class ShownDuel(NamedTuple):
    """An assignment of a pairing to a judge, without the texts.

    ``until`` is the end of its lease. ``planted`` is ``"gold"``, ``"repeat"`` or empty; ``pairing_id`` of a
    gold duel names one of :attr:`StudyState.gold`.
    """

    id: str
    seq: int
    pairing_id: str
    judge: str
    swapped: bool
    guideline_version: str
    until: str = ""
    planted: str = ""


def guideline_version(guidelines: str) -> str:
    """The name of a wording of the guidelines: 16 hexadecimal digits of its hash."""
    return digest(guidelines)[:16]


def seed_of(candidates: Mapping[str, Candidate]) -> str:
    """Identifier of the prompt that the study started from: origin ``seed``, else the first candidate."""
    return next((c.id for c in candidates.values() if c.lineage.origin == "seed"), next(iter(candidates)))


class StudyState:
    """The study after the events up to ``seq``.

    Attributes:
        seq: The last event that was applied; 0 before the first.
        config: The study file's text as it was last read.
        settings: The resolved settings.
        guidelines: What raters are told.
        guideline_version: Names the wording; a duel remembers the one under which it was shown.
        inputs: By id, in the order they were added.
        candidates: By id, in the order they were added; the withdrawn ones left out.
        withdrawn: The withdrawn ones, by id.
        made: All of them, the withdrawn too, by id in the order they were added.
        pairings: Everything a strategy ever asked for, by id.
        duels: Everything that was ever shown, by id.
        gold: Duels with a known answer, by id.
        rules: The rules for many raters.
        raters: Who joined by invitation: their groups by pseudonym.
        removed: Raters that were removed: ``"keep"`` or ``"drop"``, what became of their votes.
        failures: ``(candidate, input)`` → why there is no response.
        growth: The rounds of growth, by number.
        closed: Why the person stopped the study, or ``None`` while it runs.
        invitations: Who may come in besides the owner.
        taught: How many votes that count say something about the candidates.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.config = ""
        self.settings: Mapping[str, Any] = {}
        self.guidelines = ""
        self.guideline_version = guideline_version("")
        self.inputs: dict[str, Input] = {}
        self.candidates: dict[str, Candidate] = {}
        self.withdrawn: dict[str, Candidate] = {}
        self.made: dict[str, Candidate] = {}
        self.pairings: dict[str, Pairing] = {}
        self.duels: dict[str, ShownDuel] = {}
        self.failures: dict[tuple[str, str], str] = {}
        self.growth: dict[int, GrowthRound] = {}
        self.closed: str | None = None
        self.invitations = Invitations()
        self.gold: dict[str, GoldDuel] = {}
        self.rules = RaterRules()
        self.raters: dict[str, str] = {}
        self.removed: dict[str, str] = {}
        self._progress: dict[str, Progress] = {}
        self._waiting: dict[str, Pairing] = {}
        self._expired: set[str] = set()
        self._votes: dict[int, Vote] = {}
        self._checks: dict[int, Vote] = {}
        self._dropped: dict[int, Vote] = {}
        self._vote_of: dict[str, int] = {}
        self._given: dict[str, list[int]] = {}
        self._held: Counter[str] = Counter()
        self.taught = 0

    @classmethod
    def replay(cls, events: Iterable[StoredEvent]) -> "StudyState":
        """The state that a list of events leads to."""
        state = cls()
        for event in events:
            state.apply(event)
        return state

    @property
    def votes(self) -> list[Vote]:
        """The votes that say something of candidates (not undone, not planted, not dropped), in order."""
        return list(self._votes.values())

    def latest(self, count: int, *, teaching: bool = False) -> list[Vote]:
        """The last of :attr:`votes`, in order; or the last of those that teach."""
        newest = (vote for vote in reversed(self._votes.values()) if vote.verdict.teaches or not teaching)
        return list(itertools.islice(newest, count))[::-1]

    @property
    def opened(self) -> int:
        """How many pairings were opened."""
        return len(self.pairings)

    def pairing(self, pairing_id: str) -> Pairing:
        """One of them."""
        return self.pairings[pairing_id]

    def meetings(self, pair: tuple[str, str], places: Iterable[str]) -> Meetings:
        """What was asked about some inputs before."""
        return Meetings(pair, places).add(self.pairings.values())

    @property
    def checks(self) -> list[Vote]:
        """The votes on planted duels, in order: they say something of judges alone."""
        return list(self._checks.values())

    @property
    def all_votes(self) -> list[Vote]:
        """Both, in order: what a judge has given, as the judge knows it."""
        if not self._checks:
            return self.votes
        return [vote for _, vote in sorted({**self._votes, **self._checks}.items())]

    @property
    def pending(self) -> list[Pairing]:
        """Pairings that wait for votes, in order: what a strategy should not ask again."""
        return list(self._waiting.values())

    @property
    def votes_wanted(self) -> int | None:
        """The votes that the study asks for: ``[budget] votes`` of its file, or ``max_votes`` in Python."""
        budget = self.settings.get("budget")
        votes = budget.get("votes") if isinstance(budget, dict) else self.settings.get("votes")
        return votes if isinstance(votes, int) else None

    @property
    def grown(self) -> int:
        """How many candidates came of growth."""
        return sum(len(each.made or ()) for each in self.growth.values())

    @property
    def refused(self) -> dict[str, int]:
        """How many proposals the gate kept out, by reason, the commonest first."""
        counted = Counter(why for each in self.growth.values() for _, why, _ in each.refused)
        return dict(counted.most_common())

    @property
    def stages(self) -> Counter[Stage]:
        """How many pairings have come how far."""
        return Counter(each.stage for each in self._progress.values())

    def given_by(self, judge: str) -> tuple[int, str | None]:
        """How many votes a judge has given, on planted duels too, and the duel of the last one."""
        given = self._given.get(judge, ())
        last = (self._votes.get(given[-1]) or self._checks[given[-1]]) if given else None
        return len(given), None if last is None else last.duel_id

    def held_by(self, judge: str) -> int:
        """How many pairings await a judge's vote under a lease that stands."""
        return self._held[judge]

    def stage(self, pairing_id: str) -> Stage:
        """How far a pairing has come."""
        return self._progress[pairing_id].stage

    def progress(self, pairing_id: str) -> Progress:
        """The votes that a pairing wants, has and awaits."""
        return self._progress[pairing_id]

    def expired(self, duel_id: str) -> bool:
        """Whether somebody else may have the place of a duel that has no vote."""
        return duel_id in self._expired

    def vote_on(self, duel_id: str) -> Vote | None:
        """The vote that counts on a duel, or ``None`` while it is open."""
        seq = self._vote_of.get(duel_id)
        if seq is None:
            return None
        return self._votes.get(seq) or self._checks.get(seq) or self._dropped[seq]

    def apply(self, event: StoredEvent) -> None:
        """Move on by one event.

        Raises:
            StoreError: It is not the next one, or it speaks of something that never happened.
        """
        if event.seq != self.seq + 1:
            raise StoreError(f"event {event.seq} cannot follow event {self.seq}: one is missing or repeated")
        self._step(event)
        self.seq = event.seq

    def _step(self, event: StoredEvent) -> None:
        """Take one event in, wherever it stands among the others."""
        try:
            self._STEPS[event.kind](self, event)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"event {event.seq} ({event.kind}) does not fit what came before it: {error!r}; "
                "run `palate verify`"
            ) from error

    def follow(self, store: EventSource) -> int:
        """Apply what has happened since; returns how many events that were."""
        before = self.seq
        for event in store.events(after=self.seq):
            self.apply(event)
        return self.seq - before

    def __eq__(self, other: object) -> bool:
        """Whether every part of two states is equal."""
        return isinstance(other, StudyState) and vars(self) == vars(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType] - mutable

    def __repr__(self) -> str:
        """A line for people."""
        return (
            f"StudyState(seq={self.seq}, inputs={len(self.inputs)}, candidates={len(self.candidates)}, "
            f"votes={len(self._votes)}, waiting={len(self._waiting)})"
        )

    def _configure(self, event: StoredEvent) -> None:
        self.config = event.payload["config"]
        self.settings = event.payload["settings"]
        self.guidelines = event.payload["guidelines"]
        self.guideline_version = guideline_version(self.guidelines)
        self.rules = rater_rules(self.settings)

    def _add_inputs(self, event: StoredEvent) -> None:
        for record in event.payload["inputs"]:
            self.inputs.setdefault(record["id"], input_of(record))

    def _add_candidates(self, event: StoredEvent) -> None:
        for record in event.payload["candidates"]:
            self.withdrawn.pop(record["id"], None)
            added = self.candidates.setdefault(record["id"], candidate_of(record))
            self.made.setdefault(record["id"], added)

    def _withdraw(self, event: StoredEvent) -> None:
        gone = event.payload["id"]
        self.withdrawn[gone] = self.candidates.pop(gone)
        for pairing in self.pending:
            so_far = self._progress[pairing.id]
            if gone in (pairing.first, pairing.second) and so_far.stage == "ready":
                self._move(pairing.id, so_far._replace(wanted=so_far.given + so_far.held))

    def _open_pairing(self, event: StoredEvent) -> None:
        pairing = pairing_of(event.payload)
        self.pairings[pairing.id] = pairing
        self._move(pairing.id, Progress(self.rules.overlap))

    def _extend(self, event: StoredEvent) -> None:
        so_far = self._progress[event.payload["id"]]
        self._move(event.payload["id"], so_far._replace(wanted=so_far.wanted + 1))

    def _move(self, pairing_id: str, now: Progress) -> None:
        self._progress[pairing_id] = now
        if now.given < now.wanted:
            self._waiting.setdefault(pairing_id, self.pairings[pairing_id])
        else:
            self._waiting.pop(pairing_id, None)

    def _hold(self, duel: ShownDuel, by: int) -> None:
        if not duel.planted:
            self._held[duel.judge] += by
            so_far = self._progress[duel.pairing_id]
            self._move(duel.pairing_id, so_far._replace(held=so_far.held + by))

    def _show(self, event: StoredEvent) -> None:
        record = event.payload
        duel = ShownDuel(
            record["id"],
            event.seq,
            record["pairing_id"],
            record["judge"],
            bool(record["swapped"]),
            record["guideline_version"],
            record.get("until", ""),
            record.get("planted", ""),
        )
        self.duels[duel.id] = duel
        if not duel.planted:
            so_far = self._progress[duel.pairing_id]
            now = so_far._replace(held=so_far.held + 1, judges=(*so_far.judges, duel.judge))
            self._held[duel.judge] += 1
            self._move(duel.pairing_id, now)
        elif duel.planted == GOLD:
            self.gold[duel.pairing_id]

    def _let_go(self, event: StoredEvent) -> None:
        duel = self.duels[event.payload["duel_id"]]
        self._expired.add(duel.id)
        self._hold(duel, -1)

    def _renew(self, event: StoredEvent) -> None:
        duel = self.duels[event.payload["duel_id"]]._replace(until=event.payload["until"])
        self.duels[duel.id] = duel
        self._expired.remove(duel.id)
        self._hold(duel, 1)

    def _count(self, duel: ShownDuel) -> bool:
        """Enter a vote into the progress of its pairing; returns whether it was more than was wanted."""
        late = duel.id in self._expired
        self._expired.discard(duel.id)
        if duel.planted:
            return False
        self._held[duel.judge] -= not late
        so_far = self._progress[duel.pairing_id]
        surplus = so_far.given >= so_far.wanted
        self._move(
            duel.pairing_id,
            so_far._replace(given=so_far.given + (not surplus), held=so_far.held - (not late)),
        )
        return surplus

    def _vote(self, event: StoredEvent) -> None:
        record = event.payload
        duel = self.duels[record["duel_id"]]
        if duel.planted == GOLD:
            input_id, first, second = self.gold[duel.pairing_id].input.id, "better", "worse"
        else:
            pairing = self.pairings[duel.pairing_id]
            input_id, first, second = pairing.input_id, pairing.first, pairing.second
        left, right = (second, first) if duel.swapped else (first, second)
        votes = self._checks if duel.planted else self._votes
        votes[event.seq] = Vote(
            seq=event.seq,
            duel_id=duel.id,
            pairing_id=duel.pairing_id,
            input_id=input_id,
            left_candidate=left,
            right_candidate=right,
            verdict=Verdict(record["verdict"]),
            judge=duel.judge,
            at=event.at,
            seconds=record["seconds"],
            guideline_version=duel.guideline_version,
            reason=record["reason"],
            comment=event.comment if event.comment is not None else record["comment"],
            surplus=self._count(duel),
            planted=duel.planted,
        )
        self._vote_of[duel.id] = event.seq
        self._given.setdefault(duel.judge, []).append(event.seq)
        self.taught += votes[event.seq].verdict.teaches and not duel.planted

    def _undo(self, event: StoredEvent) -> None:
        seq = event.payload["vote_seq"]
        vote = self._checks.pop(seq) if seq in self._checks else self._votes.pop(seq)
        del self._vote_of[vote.duel_id]
        self._given[vote.judge].remove(seq)
        self.taught -= vote.verdict.teaches and not vote.planted
        duel = self.duels[vote.duel_id]
        self.duels[duel.id] = duel._replace(until=event.payload.get("until", duel.until))
        if not vote.planted:
            so_far = self._progress[vote.pairing_id]
            now = so_far._replace(given=so_far.given - (not vote.surplus), held=so_far.held + 1)
            self._held[vote.judge] += 1
            self._move(vote.pairing_id, now)

    def _add_gold(self, event: StoredEvent) -> None:
        for record in event.payload["gold"]:
            duel = gold_of(record)
            self.gold.setdefault(duel.id, duel)

    def _join(self, event: StoredEvent) -> None:
        self.raters[event.payload["rater"]] = event.payload["group"]

    def _remove(self, event: StoredEvent) -> None:
        gone, what = event.payload["rater"], event.payload["votes"]
        self.invitations.apply(event)
        self.raters.pop(gone, None)
        self.removed[gone] = what
        for votes in (self._votes, self._checks):
            for seq, vote in [(seq, vote) for seq, vote in votes.items() if vote.judge == gone]:
                silent = replace(vote, comment=None)
                if what == "drop":
                    del votes[seq]
                    self._given[gone].remove(seq)
                    self.taught -= vote.verdict.teaches and not vote.planted
                    self._dropped[seq] = silent
                else:
                    votes[seq] = silent

    def _fail(self, event: StoredEvent) -> None:
        record = event.payload
        self.failures[record["candidate_id"], record["input_id"]] = record["reason"]

    def _close(self, event: StoredEvent) -> None:
        self.closed = event.payload["reason"]

    def _reopen(self, event: StoredEvent) -> None:
        self.closed = None

    def _start_growth(self, event: StoredEvent) -> None:
        record = event.payload
        number = int(record["round"])
        begun = GrowthRound(
            number,
            event.seq,
            record["proposer"],
            int(record["wanted"]),
            float(record["asking"]),
            float(record["exploring"]),
        )
        self.growth.setdefault(number, begun)

    def _end_growth(self, event: StoredEvent) -> None:
        record = event.payload
        begun = self.growth[int(record["round"])]
        if begun.made is None:
            refused = tuple((item["text"], item["why"], item["origin"]) for item in record["refused"])
            ended = begun._replace(made=tuple(record["made"]), refused=refused, remark=record["remark"])
            self.growth[begun.number] = ended

    # Made once, not for every event; by way of the instance, so that a subclass may have its own methods.
    _STEPS: ClassVar[Mapping[EventKind, Callable[["StudyState", StoredEvent], None]]] = MappingProxyType(
        {
            EventKind.STUDY_CREATED: lambda state, event: state._configure(event),
            EventKind.CONFIG_CHANGED: lambda state, event: state._configure(event),
            EventKind.INPUTS_ADDED: lambda state, event: state._add_inputs(event),
            EventKind.CANDIDATES_ADDED: lambda state, event: state._add_candidates(event),
            EventKind.CANDIDATE_WITHDRAWN: lambda state, event: state._withdraw(event),
            EventKind.PAIRING_OPENED: lambda state, event: state._open_pairing(event),
            EventKind.DUEL_SHOWN: lambda state, event: state._show(event),
            EventKind.VOTED: lambda state, event: state._vote(event),
            EventKind.UNDONE: lambda state, event: state._undo(event),
            EventKind.RESPONSE_FAILED: lambda state, event: state._fail(event),
            EventKind.STUDY_CLOSED: lambda state, event: state._close(event),
            EventKind.STUDY_REOPENED: lambda state, event: state._reopen(event),
            EventKind.GROWTH_STARTED: lambda state, event: state._start_growth(event),
            EventKind.GROWTH_ENDED: lambda state, event: state._end_growth(event),
            EventKind.LEASE_EXPIRED: lambda state, event: state._let_go(event),
            EventKind.LEASE_RENEWED: lambda state, event: state._renew(event),
            EventKind.PAIRING_EXTENDED: lambda state, event: state._extend(event),
            EventKind.GOLD_ADDED: lambda state, event: state._add_gold(event),
            EventKind.RATER_JOINED: lambda state, event: state._join(event),
            EventKind.RATER_REMOVED: lambda state, event: state._remove(event),
            **dict.fromkeys(ACCESS, lambda state, event: state.invitations.apply(event)),
        }
    )
