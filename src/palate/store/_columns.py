"""The votes that say something of candidates, as columns of numbers: what a million votes take to count.

A vote is 34 bytes here instead of some hundred in :class:`palate.store.StudyState`. Columns are read from the
projections, follow the store vote by vote, and are a function of the events alone:

    columns(follow(events)) = columns(StudyState.replay(events))

So that a start need not read every vote, they are written down beside the study now and then
(``FILE-votes``). That file is derived and may be deleted at any time. It names the event up to which it
goes and that event's
link of the chain of hashes; if the study has another link there, or the file is damaged in any way, it is
thrown away and the votes are read again.
"""

import json
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, bindparam, or_, select

from palate.store import _schema as tables
from palate.store._batch import last_link
from palate.store._events import EventKind, decode
from palate.store._state import StudyState
from palate.types import Verdict, is_held_out

__all__ = ["VERDICTS", "ColumnReader", "VoteColumns"]

VERDICTS = tuple(Verdict)
"""What the numbers of :attr:`VoteColumns.verdict_M` stand for."""

_ROW = np.dtype(
    [
        ("seq", "<i8"),
        ("left", "<i4"),
        ("right", "<i4"),
        ("left_answer", "<i4"),
        ("right_answer", "<i4"),
        ("input", "<i4"),
        ("judge", "<i4"),
        ("verdict", "<i1"),
        ("held_out", "<i1"),
    ]
)
_NAMES = ("candidates", "answers", "inputs", "judges")
_CODE = {verdict.value: code for code, verdict in enumerate(VERDICTS)}
_FORMAT = 3
_SLICE = 2000
# Reading so many votes from the tables takes a quarter of a second: the longest that a start waits for it.
_WRITTEN_EVERY = 10_000
_ROOM = 1.25

_VOTES = (
    select(
        tables.vote.c.seq,
        tables.pairing.c.first,
        tables.pairing.c.second,
        tables.pairing.c.first_response,
        tables.pairing.c.second_response,
        tables.duel.c.swapped,
        tables.pairing.c.input_id,
        tables.vote.c.judge,
        tables.vote.c.verdict,
        tables.duel.c.planted,
        tables.pairing.c.id,
    )
    .join(tables.duel, tables.duel.c.id == tables.vote.c.duel_id)
    .join(tables.pairing, tables.pairing.c.id == tables.duel.c.pairing_id)
    .where(tables.vote.c.seq > bindparam("after"), tables.vote.c.seq <= bindparam("upto"))
    .where(or_(tables.vote.c.undone == 0, tables.vote.c.undone > bindparam("upto")))
    .order_by(tables.vote.c.seq)
    .limit(bindparam("limit"))
)
_UNDONE = (
    select(tables.event.c.payload)
    .where(tables.event.c.seq > bindparam("after"), tables.event.c.seq <= bindparam("upto"))
    .where(tables.event.c.kind == EventKind.UNDONE.value)
)
_DROPPED = select(tables.rater.c.id).where(
    tables.rater.c.removed == "drop",
    tables.rater.c.seq > bindparam("after"),
    tables.rater.c.seq <= bindparam("upto"),
)
_LINK = select(tables.event.c.hash).where(tables.event.c.seq == bindparam("seq"))


@dataclass(frozen=True, slots=True, eq=False)
class VoteColumns:
    """The votes that count, in order; M of them.

    Args:
        table_M: One record a vote: its ``seq``, places in the lists below, and whether its question is one of
            those that are kept out of learning once a machine has voted.
        candidates: Identifiers, by first appearance.
        answers: Hashes of responses.
        inputs: Identifiers of inputs.
        judges: Names.
    """

    table_M: NDArray[np.void]
    candidates: Sequence[str]
    answers: Sequence[str]
    inputs: Sequence[str]
    judges: Sequence[str]

    def __len__(self) -> int:
        return len(self.table_M)

    def column(self, name: str) -> NDArray[np.int64]:
        """A field: ``seq, left, right, left_answer, right_answer, input, judge, verdict, held_out``."""
        return self.table_M[name].astype(np.int64)

    def where(self, kept_M: NDArray[np.bool_]) -> "VoteColumns":
        """Some of the votes."""
        if kept_M.all():
            return self
        return VoteColumns(self.table_M[kept_M], self.candidates, self.answers, self.inputs, self.judges)

    def upto(self, seq: int) -> "VoteColumns":
        """The votes up to an event."""
        return self._some(slice(int(np.searchsorted(self.table_M["seq"], seq, "right"))))

    def first(self, count: int) -> "VoteColumns":
        """So many votes from the first on."""
        return self._some(slice(count))

    def after(self, count: int) -> "VoteColumns":
        """All but the first votes."""
        return self._some(slice(count, None))

    def begin_with(self, earlier: "VoteColumns") -> bool:
        """Whether the first votes are just those, so that none of them was undone since."""
        return np.array_equal(self.table_M["seq"][: len(earlier)], earlier.table_M["seq"])

    def _some(self, rows: slice) -> "VoteColumns":
        return VoteColumns(self.table_M[rows], self.candidates, self.answers, self.inputs, self.judges)

    @property
    def shown(self) -> dict[str, int]:
        """In how many of the votes each candidate was."""
        left_N, right_N = (
            np.bincount(self.table_M[side], minlength=len(self.candidates)) for side in ("left", "right")
        )
        return dict(zip(self.candidates, (left_N + right_N).tolist(), strict=True))

    @property
    def teaches_M(self) -> NDArray[np.bool_]:
        """Which votes say something of two different candidates."""
        teaching = np.array([verdict.teaches for verdict in VERDICTS])
        return teaching[self.table_M["verdict"]] & (self.table_M["left"] != self.table_M["right"])

    @property
    def raw(self) -> memoryview:
        """The records as they lie in memory."""
        return np.ascontiguousarray(self.table_M).view(np.uint8).data

    @classmethod
    def read(
        cls, raw: bytes, candidates: Sequence[str], inputs: Sequence[str], judges: Sequence[str]
    ) -> "VoteColumns":
        """The records of :attr:`raw`, with the lists; answers have no names."""
        return cls(np.frombuffer(raw, _ROW), candidates, (), inputs, judges)

    @classmethod
    def of(cls, state: StudyState) -> "VoteColumns":
        """The same from a state that holds every vote."""
        coded = _Coded()
        coded.add(_rows_of(state))
        return coded.columns()


def _rows_of(state: StudyState) -> Iterable[tuple[Any, ...]]:
    for vote in state.votes:
        pairing = state.pairings[vote.pairing_id]
        answers = pairing.first_response, pairing.second_response
        swapped = state.duels[vote.duel_id].swapped
        about = pairing.input_id, vote.judge, vote.verdict.value
        yield (vote.seq, pairing.first, pairing.second, *answers, swapped, *about, "", pairing.id)


class _Coded:
    """Votes with every name replaced by its place in a list; grows at the end, and undone votes leave."""

    def __init__(self) -> None:
        self.names: dict[str, dict[str, int]] = {name: {} for name in _NAMES}
        self.counts: Counter[tuple[str, Verdict]] = Counter()
        self.planted: dict[int, str] = {}
        self.checks: Counter[str] = Counter()
        self._buffer_M: NDArray[np.void] = np.zeros(0, _ROW)
        self._used = 0

    @property
    def table_M(self) -> NDArray[np.void]:
        return self._buffer_M[: self._used]

    def columns(self) -> VoteColumns:
        """What there is now; what is added later does not change it."""
        found = self.table_M
        # Rows that are there are never written to again, so what was handed out stays as it is.
        found.flags.writeable = False
        return VoteColumns(found, *(list(self.names[name]) for name in _NAMES))

    def add(self, rows: Iterable[tuple[Any, ...]]) -> None:
        candidates, answers, inputs, judges = (self.names[name] for name in _NAMES)
        coded: list[tuple[int, ...]] = []
        for row in rows:
            seq, first, second, first_answer, second_answer, swapped, about, judge, verdict, planted, key = (
                row
            )
            if planted:
                self.planted[seq] = judge
                self.checks[judge] += 1
                continue
            one = (
                candidates.setdefault(first, len(candidates)),
                answers.setdefault(first_answer, len(answers)),
            )
            two = (
                candidates.setdefault(second, len(candidates)),
                answers.setdefault(second_answer, len(answers)),
            )
            (left, left_answer), (right, right_answer) = (two, one) if swapped else (one, two)
            place, who = inputs.setdefault(about, len(inputs)), judges.setdefault(judge, len(judges))
            told = place, who, _CODE[verdict], is_held_out(key)
            coded.append((seq, left, right, left_answer, right_answer, *told))
        rows_M = np.array(coded, _ROW)
        self.extend(rows_M)
        self._count(rows_M)

    def extend(self, rows_M: NDArray[np.void]) -> None:
        """Add rows whose names are known."""
        used = self._used + len(rows_M)
        if used > len(self._buffer_M):
            buffer_M = np.zeros(int(_ROOM * used), _ROW)
            buffer_M[: self._used] = self.table_M
            self._buffer_M = buffer_M
        self._buffer_M[self._used : used] = rows_M
        self._used = used

    def recount(self) -> None:
        """Count judges and verdicts anew."""
        self.checks = Counter(self.planted.values())
        self.counts.clear()
        self._count(self.table_M)

    def _count(self, rows_M: NDArray[np.void]) -> None:
        judges = list(self.names["judges"])
        key_M = rows_M["judge"].astype(np.int64) * len(VERDICTS) + rows_M["verdict"]
        for key, count in enumerate(np.bincount(key_M, minlength=1).tolist()):
            if count:
                self.counts[judges[key // len(VERDICTS)], VERDICTS[key % len(VERDICTS)]] += count

    def take_out(self, seqs: Sequence[int]) -> None:
        """Let votes go that were undone."""
        for seq in seqs:
            if seq in self.planted:
                self.checks[self.planted.pop(seq)] -= 1
        self._keep(~np.isin(self.table_M["seq"], np.array(seqs, np.int64)))

    def take_out_judge(self, judge: str) -> None:
        """Let the votes of somebody go whose votes were dropped."""
        self.planted = {seq: who for seq, who in self.planted.items() if who != judge}
        del self.checks[judge]
        place = self.names["judges"].get(judge, -1)
        self._keep(self.table_M["judge"] != place)

    def _keep(self, kept_M: NDArray[np.bool_]) -> None:
        judges = list(self.names["judges"])
        for row in self.table_M[~kept_M]:
            self.counts[judges[row["judge"]], VERDICTS[row["verdict"]]] -= 1
        self._buffer_M = self.table_M[kept_M]
        self._used = len(self._buffer_M)


class ColumnReader:
    """Columns that follow a study. Not safe to use from several threads at once.

    Args:
        reading: Opens a read transaction.
        path: Where they are written down; ``None`` for nowhere.
        every: After how many further votes.
        part: How many votes are read at once.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[Connection]],
        path: Path | None,
        *,
        every: int = _WRITTEN_EVERY,
        part: int = _SLICE,
    ) -> None:
        self.seq = 0
        self._reading = reading
        self._path = path
        self._every = every
        self._part = part
        self._coded = _Coded()
        self._written = 0
        self._started = False

    @property
    def counts(self) -> Mapping[tuple[str, Verdict], int]:
        """How many votes count, by judge and verdict."""
        return self._coded.counts

    def given(self, judge: str) -> int:
        """How many votes of a judge count, those on planted duels too."""
        return self._coded.checks[judge] + sum(self._coded.counts[judge, verdict] for verdict in VERDICTS)

    def columns(self) -> VoteColumns:
        """The votes up to the last :meth:`follow`."""
        return self._coded.columns()

    def follow(self, *, bite: int | None = None) -> bool:
        """Take in what has happened since; returns whether there is more.

        Args:
            bite: At most so many votes; all when left out.
        """
        if not self._started:
            self._started = True
            self._load()
        if bite is not None:
            return self._advance(bite)
        while self._advance(self._part):
            pass
        if self._path is not None and len(self._coded.table_M) - self._written >= self._every:
            self._save()
        return False

    def _advance(self, most: int) -> bool:
        """Read one slice; returns whether there is more."""
        with self._reading() as connection:
            last = last_link(connection)[0]
            if last == self.seq:
                return False
            span = {"after": self.seq, "upto": last}
            rows = connection.execute(_VOTES, {**span, "limit": most}).all()
            # A vote that is undone by now was never read, and taking it out later does no harm.
            whole = len(rows) < most
            span["upto"] = last if whole else rows[-1].seq
            undone = [decode(text)["vote_seq"] for text in connection.execute(_UNDONE, span).scalars()]
            dropped = connection.execute(_DROPPED, span).scalars().all()
        before = [seq for seq in undone if seq <= self.seq]
        if before:
            self._coded.take_out(before)
        self._coded.add(tuple(row) for row in rows)
        for judge in dropped:
            self._coded.take_out_judge(judge)
        self.seq = span["upto"]
        return not whole

    def _load(self) -> None:
        found = None if self._path is None else _read(self._path)
        if found is None:
            return
        seq, link, coded = found
        with self._reading() as connection:
            if connection.execute(_LINK, {"seq": seq}).scalar() == link:
                self.seq, self._coded, self._written = seq, coded, len(coded.table_M)

    def _save(self) -> None:
        path = self._path
        assert path is not None
        with self._reading() as connection:
            link = connection.execute(_LINK, {"seq": self.seq}).scalar()
        # Written again when it is needed: a full disk or a read-only folder must not stop anybody.
        with suppress(OSError):
            _write(path, self.seq, str(link), self._coded)
        self._written = len(self._coded.table_M)


def _write(path: Path, seq: int, link: str, coded: _Coded) -> None:
    body = coded.table_M.tobytes()
    head = {
        "format": _FORMAT,
        "seq": seq,
        "hash": link,
        "check": zlib.crc32(body),
        "planted": list(coded.planted.items()),
        "names": {name: list(coded.names[name]) for name in _NAMES},
    }
    line = json.dumps(head).encode()
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        draft.touch(0o600)  # as the study itself: it says who voted what
        with draft.open("wb") as file:
            file.write(b"%d\n%d\n%s" % (len(line), zlib.crc32(line), line))
            file.write(body)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _read(path: Path) -> tuple[int, str, _Coded] | None:
    """What was written down: the event, its link and the votes; ``None`` unless all of it is whole."""
    try:
        with path.open("rb") as file:
            size, check = int(file.readline(20)), int(file.readline(20))
            line = file.read(size)
            if zlib.crc32(line) != check:
                return None
            head = json.loads(line)
            body = file.read()
    except (OSError, ValueError):
        return None
    if head["format"] != _FORMAT or zlib.crc32(body) != head["check"]:
        return None
    coded = _Coded()
    coded.names = {name: {text: place for place, text in enumerate(head["names"][name])} for name in _NAMES}
    coded.planted = dict(map(tuple, head["planted"]))
    coded.extend(np.frombuffer(body, _ROW))
    coded.recount()
    return head["seq"], head["hash"], coded
