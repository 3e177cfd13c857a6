"""What a study is now: a pure fold over its events.

    state_n = apply(state_{n-1}, event_n)

so a crash, a restart and a copy on another machine all end in the same state. Nothing else is consulted:
no clock, no table, no file.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from palate.errors import StoreError
from palate.store._events import EventKind, StoredEvent, candidate_of, input_of, pairing_of
from palate.store._invitations import ACCESS, Invitations
from palate.types import Candidate, Input, Pairing, Verdict, Vote, digest

__all__ = ["EventSource", "GrowthRound", "ShownDuel", "Stage", "StudyState", "guideline_version"]

Stage = Literal["ready", "shown", "voted", "withdrawn"]


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
    """An assignment of a pairing to a judge, without the texts."""

    id: str
    seq: int
    pairing_id: str
    judge: str
    swapped: bool
    guideline_version: str


def guideline_version(guidelines: str) -> str:
    """The name of a wording of the guidelines: 16 hexadecimal digits of its hash."""
    return digest(guidelines)[:16]


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
        self._stages: dict[str, Stage] = {}
        self._waiting: dict[str, Pairing] = {}
        self._votes: dict[int, Vote] = {}
        self._vote_of: dict[str, int] = {}
        self._given: dict[str, list[int]] = {}
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
        """The votes that count (not undone), in order."""
        return list(self._votes.values())

    @property
    def pending(self) -> list[Pairing]:
        """Pairings that wait for a vote, in order: what a strategy should not ask again."""
        return list(self._waiting.values())

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
        return Counter(self._stages.values())

    def given_by(self, judge: str) -> tuple[int, str | None]:
        """How many votes of a judge count, and the duel of the last one."""
        given = self._given.get(judge, ())
        return len(given), self._votes[given[-1]].duel_id if given else None

    def stage(self, pairing_id: str) -> Stage:
        """How far a pairing has come."""
        return self._stages[pairing_id]

    def vote_on(self, duel_id: str) -> Vote | None:
        """The vote that counts on a duel, or ``None`` while it is open."""
        seq = self._vote_of.get(duel_id)
        return None if seq is None else self._votes[seq]

    def apply(self, event: StoredEvent) -> None:
        """Move on by one event.

        Raises:
            StoreError: It is not the next one, or it speaks of something that never happened.
        """
        if event.seq != self.seq + 1:
            raise StoreError(f"event {event.seq} cannot follow event {self.seq}: one is missing or repeated")
        try:
            self._steps()[event.kind](event)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                f"event {event.seq} ({event.kind}) does not fit what came before it: {error!r}; "
                "run `palate verify`"
            ) from error
        self.seq = event.seq

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
            if gone in (pairing.first, pairing.second) and self._stages[pairing.id] == "ready":
                self._stages[pairing.id] = "withdrawn"
                del self._waiting[pairing.id]

    def _open_pairing(self, event: StoredEvent) -> None:
        pairing = pairing_of(event.payload)
        self.pairings[pairing.id] = self._waiting[pairing.id] = pairing
        self._stages[pairing.id] = "ready"

    def _show(self, event: StoredEvent) -> None:
        record = event.payload
        duel = ShownDuel(
            record["id"],
            event.seq,
            record["pairing_id"],
            record["judge"],
            bool(record["swapped"]),
            record["guideline_version"],
        )
        self._stages[self.pairings[duel.pairing_id].id] = "shown"
        self.duels[duel.id] = duel

    def _vote(self, event: StoredEvent) -> None:
        record = event.payload
        duel = self.duels[record["duel_id"]]
        pairing = self.pairings[duel.pairing_id]
        left, right = (pairing.second, pairing.first) if duel.swapped else (pairing.first, pairing.second)
        self._votes[event.seq] = Vote(
            seq=event.seq,
            duel_id=duel.id,
            pairing_id=pairing.id,
            input_id=pairing.input_id,
            left_candidate=left,
            right_candidate=right,
            verdict=Verdict(record["verdict"]),
            judge=duel.judge,
            at=event.at,
            seconds=record["seconds"],
            guideline_version=duel.guideline_version,
            reason=record["reason"],
            comment=record["comment"],
        )
        self._vote_of[duel.id] = event.seq
        self._given.setdefault(duel.judge, []).append(event.seq)
        self.taught += self._votes[event.seq].verdict.teaches
        self._stages[pairing.id] = "voted"
        del self._waiting[pairing.id]

    def _undo(self, event: StoredEvent) -> None:
        vote = self._votes.pop(event.payload["vote_seq"])
        del self._vote_of[vote.duel_id]
        self._given[vote.judge].remove(vote.seq)
        self.taught -= vote.verdict.teaches
        self._stages[vote.pairing_id] = "shown"
        self._waiting[vote.pairing_id] = self.pairings[vote.pairing_id]

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

    def _steps(self) -> Mapping[EventKind, Callable[[StoredEvent], None]]:
        return {
            EventKind.STUDY_CREATED: self._configure,
            EventKind.CONFIG_CHANGED: self._configure,
            EventKind.INPUTS_ADDED: self._add_inputs,
            EventKind.CANDIDATES_ADDED: self._add_candidates,
            EventKind.CANDIDATE_WITHDRAWN: self._withdraw,
            EventKind.PAIRING_OPENED: self._open_pairing,
            EventKind.DUEL_SHOWN: self._show,
            EventKind.VOTED: self._vote,
            EventKind.UNDONE: self._undo,
            EventKind.RESPONSE_FAILED: self._fail,
            EventKind.STUDY_CLOSED: self._close,
            EventKind.STUDY_REOPENED: self._reopen,
            EventKind.GROWTH_STARTED: self._start_growth,
            EventKind.GROWTH_ENDED: self._end_growth,
            **dict.fromkeys(ACCESS, self.invitations.apply),
        }
