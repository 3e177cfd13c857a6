"""Looking for damage.

Four independent questions: does the database find itself sound, is the chain of hashes whole, do the
tables say what the events say, and is every text and comment still what was written.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, Select, Table, select

from palate.errors import PalateError, StoreError
from palate.store import _schema as tables
from palate.store._append import gold_row
from palate.store._events import EventKind, StoredEvent, chained, decode
from palate.store._state import StudyState
from palate.types import Response

__all__ = ["find_problems"]

Reader = Callable[[], AbstractContextManager[Connection]]
Row = tuple[Any, ...]

_SLICE = 1000
# A damaged file can have a problem on every row; the first few tell the story.
_MOST_PROBLEMS = 20


def find_problems(reader: Reader, find_damage: Callable[[Connection], list[str]]) -> list[str]:
    """Every kind of damage that was found, in words; empty when all is well.

    Args:
        reader: Opens a read transaction; several short ones are used, so voting goes on meanwhile. Only
            events that were there at the start are looked at.
        find_damage: The database's own checks, asked first.
    """
    try:
        with reader() as connection:
            damage = find_damage(connection)
        if damage:
            return damage
        expected = _Expected()
        problems = expected.read(reader)
        if not problems:
            problems = [*_compare(reader, expected), *_check_texts(reader)]
    except StoreError as error:
        problems = [str(error)]
    return problems[:_MOST_PROBLEMS]


class _Expected:
    """The rows that the projections ought to hold, folded from the events alone."""

    def __init__(self) -> None:
        self.state = StudyState()
        self.votes: dict[int, list[Any]] = {}
        self.reopened: dict[str, int] = {}
        self.pairing_seq: dict[str, int] = {}
        self.gold_seq: dict[str, int] = {}
        self.raters: dict[str, Row] = {}
        self.expired: dict[str, int] = {}
        self.apart: dict[int, tuple[str, str]] = {}
        self.reasons: dict[int, str | None] = {}

    def read(self, reader: Reader) -> list[str]:
        """Fold every event; returns what is wrong with the chain."""
        link = ""
        for row in _rows(reader, tables.event, 0):
            if row.seq != self.state.seq + 1:
                return [f"event {self.state.seq + 1} is missing: the chain goes on with {row.seq}"]
            link = chained(link, row.seq, row.at, row.kind, row.actor, row.payload)
            if link != row.hash:
                return [f"event {row.seq} was changed after it was written: its hash does not fit"]
            try:
                event = StoredEvent(
                    row.seq, EventKind(row.kind), decode(row.payload), row.actor, row.at, row.hash
                )
                self.fold(event)
            except (PalateError, ValueError, KeyError) as error:
                return [f"event {row.seq} makes no sense: {error}"]
        return []

    def fold(self, event: StoredEvent) -> None:
        """Move on by one event."""
        self.state.apply(event)
        record = event.payload
        if event.kind is EventKind.PAIRING_OPENED:
            self.pairing_seq[record["id"]] = event.seq
        elif event.kind is EventKind.VOTED:
            said = [record["duel_id"], event.actor, record["key"], record["fingerprint"], record["verdict"]]
            vote = self.state.vote_on(record["duel_id"])
            self.votes[event.seq] = [event.seq, *said, 0, int(vote is not None and vote.surplus)]
            self.reopened.pop(record["duel_id"], None)
            self.expired.pop(record["duel_id"], None)
            if record.get("apart"):
                self.apart[event.seq] = event.actor, record["fingerprint"]
                self.reasons[event.seq] = record["reason"]
        elif event.kind is EventKind.UNDONE:
            self.votes[record["vote_seq"]][-2] = event.seq
            self.reopened[record["duel_id"]] = event.seq
        elif event.kind is EventKind.LEASE_EXPIRED:
            self.expired[record["duel_id"]] = event.seq
            self.reopened.pop(record["duel_id"], None)
        elif event.kind is EventKind.LEASE_RENEWED:
            self.expired.pop(record["duel_id"])
        elif event.kind is EventKind.GOLD_ADDED:
            self.gold_seq.update((gold["id"], event.seq) for gold in record["gold"])
        elif event.kind is EventKind.RATER_JOINED:
            self.raters[record["rater"]] = (record["rater"], event.seq, record["group"], "")
        elif event.kind is EventKind.RATER_REMOVED:
            group = self.raters.get(record["rater"], ("", 0, "", ""))[2]
            self.raters[record["rater"]] = (record["rater"], event.seq, group, record["votes"])

    def vote_rows(self) -> Iterator[Row]:
        """What ``vote`` ought to hold, by seq."""
        yield from map(tuple, self.votes.values())

    def duel_rows(self) -> Iterator[Row]:
        """What ``duel`` ought to hold, by seq."""
        for duel in self.state.duels.values():
            is_open = self.state.vote_on(duel.id) is None and not self.state.expired(duel.id)
            yield (
                duel.id,
                duel.seq,
                duel.pairing_id,
                duel.judge,
                int(duel.swapped),
                duel.guideline_version,
                int(is_open),
                self.reopened.get(duel.id, 0),
                duel.until,
                self.expired.get(duel.id, 0),
                duel.planted,
            )

    def pairing_rows(self) -> Iterator[Row]:
        """What ``pairing`` ought to hold, by seq."""
        for pairing in self.state.pairings.values():
            yield (
                pairing.id,
                self.pairing_seq[pairing.id],
                pairing.input_id,
                pairing.first,
                pairing.second,
                pairing.first_response,
                pairing.second_response,
                self.state.stage(pairing.id),
                *self.state.progress(pairing.id)[:3],
                pairing.group,
            )
        for gold in self.state.gold.values():
            row = {"seq": self.gold_seq[gold.id], **gold_row(gold)}
            yield tuple(row[column.name] for column in tables.pairing.columns)

    def rater_rows(self) -> Iterator[Row]:
        """What ``rater`` ought to hold."""
        yield from self.raters.values()


def _compare(reader: Reader, expected: _Expected) -> list[str]:
    # One snapshot for the three tables, and the events that came in since the fold began.
    with reader() as connection:
        newest = connection.execute(select(tables.event.c.seq).order_by(tables.event.c.seq.desc()).limit(1))
        if (newest.scalar() or 0) != expected.state.seq:
            for row in connection.execute(
                select(tables.event).where(tables.event.c.seq > expected.state.seq).order_by("seq")
            ):
                kind, payload = EventKind(row.kind), decode(row.payload)
                expected.fold(StoredEvent(row.seq, kind, payload, row.actor, row.at, row.hash))
        pairs: list[tuple[str, Any, Iterator[Row]]] = [
            ("vote", tables.vote, expected.vote_rows()),
            ("duel", tables.duel, expected.duel_rows()),
            ("pairing", tables.pairing, expected.pairing_rows()),
            ("rater", tables.rater, expected.rater_rows()),
        ]
        problems: list[str] = []
        for name, table, wanted in pairs:
            stored: set[Row] = {tuple(row) for row in connection.execute(select(table))}
            due = set(wanted)
            problems += [f"table {name} lacks {row}" for row in sorted(due - stored)]
            problems += [f"table {name} holds {row}, which no event explains" for row in sorted(stored - due)]
    return problems


def _check_texts(reader: Reader) -> list[str]:
    problems: list[str] = []
    known: set[str] = set()
    for row in _rows(reader, tables.text, ""):
        known.add(row.hash)
        try:
            content = row.content.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            problems.append(f"the text {row.hash} is damaged")
            continue
        if Response(row.kind, content).hash != row.hash:
            problems.append(f"the text {row.hash} was changed after it was written")
    table = tables.pairing
    with reader() as connection:
        for row in connection.execute(select(table.c.id, table.c.first_response, table.c.second_response)):
            lost = {row.first_response, row.second_response} - known
            # Texts that came in after they were listed are no loss.
            if lost and connection.execute(_texts(lost)).first() is None:
                problems.append(f"pairing {row.id} shows the text {sorted(lost)[0]}, which is missing")
    return problems


def _texts(hashes: set[str]) -> Select[Any]:
    return select(tables.text.c.hash).where(tables.text.c.hash.in_(hashes))


def _rows(reader: Reader, table: Table, after: int | str) -> Iterator[Any]:
    key = next(iter(table.primary_key.columns))
    while True:
        with reader() as connection:
            rows = connection.execute(select(table).where(key > after).order_by(key).limit(_SLICE)).all()
        yield from rows
        if len(rows) < _SLICE:
            return
        after = getattr(rows[-1], key.name)
