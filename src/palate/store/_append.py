"""Events that are not votes: what they must fit to, and what they change in the projections."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, groupby
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, and_, bindparam, insert, or_, select, update

from palate.errors import ConflictError, InputError, NotFoundError
from palate.store import _schema as tables
from palate.store._batch import Batch
from palate.store._content import missing_texts
from palate.store._events import EventKind, StoredEvent, candidate_of, decode, input_of, pairing_of
from palate.store._invitations import CHECKS as INVITATION_CHECKS
from palate.types import Input, Json

__all__ = ["append_events", "read_inputs"]

# These three carry promises (once, the side, the order) that only the store's own methods keep.
_RESERVED: Mapping[EventKind, str] = {
    EventKind.DUEL_SHOWN: "open_duels()",
    EventKind.VOTED: "vote()",
    EventKind.UNDONE: "undo()",
}
_INPUT_EVENTS = (
    select(tables.event.c.seq, tables.event.c.payload)
    .where(
        tables.SETUP,
        tables.event.c.kind == EventKind.INPUTS_ADDED.value,
        tables.event.c.seq > bindparam("after"),
    )
    .order_by(tables.event.c.seq)
)
_ONE_PAIRING = select(tables.pairing.c.id).where(tables.pairing.c.id == bindparam("id"))

_CANDIDATE_EVENTS = (
    select(tables.event.c.kind, tables.event.c.payload)
    .where(
        tables.SETUP,
        tables.event.c.kind.in_([EventKind.CANDIDATES_ADDED.value, EventKind.CANDIDATE_WITHDRAWN.value]),
    )
    .order_by(tables.event.c.seq)
)

Content = TypeVar("Content")
Payloads = Sequence[Mapping[str, Any]]


def append_events(
    batch: Batch, events: Sequence[tuple[EventKind, Mapping[str, Json]]], actor: str
) -> list[StoredEvent]:
    """Add events and bring the projections along.

    Raises:
        InputError: An event is not for the caller to write, or does not fit the study.
    """
    stored: list[StoredEvent] = []
    for kind, group in groupby(events, key=lambda event: event[0]):
        if kind in _RESERVED:
            raise InputError(f"{kind.value!r} events are written by Store.{_RESERVED[kind]}, not appended")
        payloads = [payload for _, payload in group]
        if kind in _CHECKS:
            # Earlier events of this call count too.
            batch.flush()
            _CHECKS[kind](batch.connection, payloads)
        added = [batch.add(kind, payload, actor) for payload in payloads]
        if kind in _PROJECTIONS:
            _PROJECTIONS[kind](batch.connection, added)
        stored += added
    return stored


def read_inputs(connection: Connection, after: int) -> tuple[dict[str, Input], int]:
    """The inputs of the events after one, and the number of the last such event."""
    found: dict[str, Input] = {}
    for row in connection.execute(_INPUT_EVENTS, {"after": after}):
        after = row.seq
        for record in decode(row.payload)["inputs"]:
            found.setdefault(record["id"], input_of(record))
    return found, after


def _check_inputs(connection: Connection, payloads: Payloads) -> None:
    known, _ = read_inputs(connection, 0)
    for record in chain.from_iterable(_listed(payload, "inputs") for payload in payloads):
        item = _readable(input_of, record, "input")
        if known.setdefault(item.id, item) != item:
            raise ConflictError(
                f"input {item.id!r} is already in the study with another content; give the new one its own id"
            )


def _check_candidates(connection: Connection, payloads: Payloads) -> None:
    for record in chain.from_iterable(_listed(payload, "candidates") for payload in payloads):
        _readable(candidate_of, record, "candidate")


def _check_withdrawals(connection: Connection, payloads: Payloads) -> None:
    standing: set[str] = set()
    for row in connection.execute(_CANDIDATE_EVENTS):
        record = decode(row.payload)
        if row.kind == EventKind.CANDIDATES_ADDED.value:
            standing.update(candidate["id"] for candidate in record["candidates"])
        else:
            standing.discard(record["id"])
    for payload in payloads:
        if payload["id"] not in standing:
            raise NotFoundError(
                f"no candidate {payload['id']!r} stands in this study, so it cannot be withdrawn"
            )
        standing.discard(payload["id"])


def _check_pairings(connection: Connection, payloads: Payloads) -> None:
    pairings = [_readable(pairing_of, payload, "pairing") for payload in payloads]
    ids: set[str] = set()
    for pairing in pairings:
        if pairing.first == pairing.second:
            raise InputError(f"pairing {pairing.id!r} sets candidate {pairing.first!r} against itself")
        if pairing.id in ids or connection.execute(_ONE_PAIRING, {"id": pairing.id}).first() is not None:
            raise ConflictError(f"pairing {pairing.id!r} is already open; give the new one its own id")
        ids.add(pairing.id)
    shown = {pairing.first_response for pairing in pairings} | {p.second_response for p in pairings}
    missing = missing_texts(connection, shown)
    if missing:
        raise NotFoundError(
            f"a pairing names the response {missing[0]!r}, which is not in the study; "
            "put it there with put_response first"
        )


def _listed(payload: Mapping[str, Any], name: str) -> Sequence[Any]:
    records = payload[name]
    if not isinstance(records, list):
        raise InputError(f"{name!r} is a list in an event, not {records!r:.80}")
    return cast("list[Any]", records)


def _readable(read: Callable[[Any], Content], record: object, noun: str) -> Content:
    try:
        return read(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{record!r:.200} is not an {noun} as this study writes them: {error!r}") from error


def _open_pairings(connection: Connection, events: Sequence[StoredEvent]) -> None:
    names = ("id", "input_id", "first", "second", "first_response", "second_response")
    connection.execute(
        insert(tables.pairing),
        [
            {**{name: event.payload[name] for name in names}, "seq": event.seq, "state": "ready"}
            for event in events
        ],
    )


def _withdraw(connection: Connection, events: Sequence[StoredEvent]) -> None:
    pairing = tables.pairing
    for event in events:
        gone = event.payload["id"]
        connection.execute(
            update(pairing)
            .where(and_(pairing.c.state == "ready", or_(pairing.c.first == gone, pairing.c.second == gone)))
            .values(state="withdrawn")
        )


_CHECKS: Mapping[EventKind, Callable[[Connection, Payloads], None]] = {
    EventKind.INPUTS_ADDED: _check_inputs,
    EventKind.CANDIDATES_ADDED: _check_candidates,
    EventKind.CANDIDATE_WITHDRAWN: _check_withdrawals,
    EventKind.PAIRING_OPENED: _check_pairings,
    **INVITATION_CHECKS,
}
_PROJECTIONS: Mapping[EventKind, Callable[[Connection, Sequence[StoredEvent]], None]] = {
    EventKind.PAIRING_OPENED: _open_pairings,
    EventKind.CANDIDATE_WITHDRAWN: _withdraw,
}
