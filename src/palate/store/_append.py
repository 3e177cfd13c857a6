"""Events that are not votes: what they must fit to, and what they change in the projections."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain, groupby
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, and_, bindparam, case, delete, insert, or_, select, update

from palate.errors import ConflictError, InputError, NotFoundError
from palate.store import _schema as tables
from palate.store._assign import current_setup
from palate.store._batch import Batch
from palate.store._content import missing_texts
from palate.store._events import (
    EventKind,
    GoldDuel,
    StoredEvent,
    candidate_of,
    decode,
    gold_of,
    input_of,
    pairing_of,
)
from palate.store._invitations import CHECKS as INVITATION_CHECKS
from palate.store._raters import GOLD, stage_of
from palate.types import Input, Json

__all__ = ["append_events", "gold_row", "read_inputs"]

# These three carry promises (once, the side, the order) that only the store's own methods keep.
_RESERVED: Mapping[EventKind, str] = {
    EventKind.DUEL_SHOWN: "open_duels()",
    EventKind.VOTED: "vote()",
    EventKind.UNDONE: "undo()",
    EventKind.LEASE_EXPIRED: "open_duels()",
    EventKind.LEASE_RENEWED: "open_duels()",
    EventKind.RATER_REMOVED: "remove_rater()",
}
_INPUT_EVENTS = (
    select(tables.event.c.seq, tables.event.c.kind, tables.event.c.payload)
    .where(
        tables.SETUP,
        tables.event.c.kind.in_([EventKind.INPUTS_ADDED.value, EventKind.GOLD_ADDED.value]),
        tables.event.c.seq > bindparam("after"),
    )
    .order_by(tables.event.c.seq)
)
_ONE_PAIRING = select(tables.pairing).where(tables.pairing.c.id == bindparam("id"))

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
    """The inputs of the events after one, those of gold duels too, and the number of the last event."""
    found: dict[str, Input] = {}
    for row in connection.execute(_INPUT_EVENTS, {"after": after}):
        after = row.seq
        payload = decode(row.payload)
        if row.kind == EventKind.GOLD_ADDED.value:
            added = [gold_of(record).input for record in payload["gold"]]
        else:
            added = [input_of(record) for record in payload["inputs"]]
        for item in added:
            found.setdefault(item.id, item)
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
    _check_shown(connection, shown, "a pairing")


def _check_shown(connection: Connection, shown: set[str], noun: str) -> None:
    missing = missing_texts(connection, shown)
    if missing:
        raise NotFoundError(
            f"{noun} names the response {missing[0]!r}, which is not in the study; "
            "put it there with put_response first"
        )


def _check_extensions(connection: Connection, payloads: Payloads) -> None:
    for payload in payloads:
        row = connection.execute(_ONE_PAIRING, {"id": payload["id"]}).first()
        if row is None or row.state != "voted":
            raise NotFoundError(
                f"no pairing {payload['id']!r:.90} that has its votes, so it cannot be asked once more"
            )


def _check_gold(connection: Connection, payloads: Payloads) -> None:
    gold: dict[str, GoldDuel] = {}
    for record in chain.from_iterable(_listed(payload, "gold") for payload in payloads):
        duel = _readable(gold_of, record, "gold duel")
        if duel.better == duel.worse:
            raise InputError(f"gold duel {duel.id!r} has the same answer twice, so neither can be better")
        if duel.id in gold or connection.execute(_ONE_PAIRING, {"id": duel.id}).first() is not None:
            raise ConflictError(f"gold duel {duel.id!r} is already in the study")
        gold[duel.id] = duel
    shown = {address for duel in gold.values() for address in (duel.better, duel.worse)}
    _check_shown(connection, shown, "a gold duel")


def _check_joined(connection: Connection, payloads: Payloads) -> None:
    del connection
    for payload in payloads:
        rater, group = payload["rater"], payload["group"]
        if not isinstance(rater, str) or not rater or not rater.isprintable():
            raise InputError(f"a rater is a non-empty printable pseudonym, not {rater!r:.80}")
        if not isinstance(group, str) or (group and not group.isprintable()):
            raise InputError(f"a rater's group is a printable name or empty, not {group!r:.80}")


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
    start = {"state": "ready", "wanted": current_setup(connection).rules.overlap, "given": 0, "held": 0}
    connection.execute(
        insert(tables.pairing),
        [
            {
                **{name: event.payload[name] for name in names},
                **start,
                "seq": event.seq,
                "assigned": event.payload.get("group", ""),
            }
            for event in events
        ],
    )


def _extend(connection: Connection, events: Sequence[StoredEvent]) -> None:
    pairing = tables.pairing
    for event in events:
        row = connection.execute(_ONE_PAIRING, {"id": event.payload["id"]}).one()
        state = stage_of(row.wanted + 1, row.given, row.held)
        connection.execute(
            update(pairing).where(pairing.c.id == row.id).values(wanted=row.wanted + 1, state=state)
        )


def _add_gold(connection: Connection, events: Sequence[StoredEvent]) -> None:
    """A gold duel lies among the pairings, where nobody is given it as one."""
    rows = [
        {"seq": event.seq, **gold_row(gold_of(record))}
        for event in events
        for record in event.payload["gold"]
    ]
    if rows:
        connection.execute(insert(tables.pairing), rows)


def gold_row(duel: GoldDuel) -> dict[str, Any]:
    """A gold duel as a row of ``pairing``, but for its ``seq``."""
    shown = {"first_response": duel.better, "second_response": duel.worse}
    named = {"id": duel.id, "input_id": duel.input.id, "first": "better", "second": "worse"}
    return {**named, **shown, "state": GOLD, "wanted": 0, "given": 0, "held": 0, "assigned": ""}


def _join(connection: Connection, events: Sequence[StoredEvent]) -> None:
    rater = tables.rater
    for event in events:
        named = event.payload["rater"]
        connection.execute(delete(rater).where(rater.c.id == named))
        row = {"id": named, "seq": event.seq, "assigned": event.payload["group"], "removed": ""}
        connection.execute(insert(rater), row)


def _withdraw(connection: Connection, events: Sequence[StoredEvent]) -> None:
    pairing = tables.pairing
    for event in events:
        gone = event.payload["id"]
        met = and_(pairing.c.state == "ready", or_(pairing.c.first == gone, pairing.c.second == gone))
        # Nobody new is asked; those who were asked already may still answer.
        stage = case(
            (pairing.c.given + pairing.c.held == 0, "withdrawn"),
            (pairing.c.held == 0, "voted"),
            else_="shown",
        )
        connection.execute(
            update(pairing).where(met).values(wanted=pairing.c.given + pairing.c.held, state=stage)
        )


_CHECKS: Mapping[EventKind, Callable[[Connection, Payloads], None]] = {
    EventKind.INPUTS_ADDED: _check_inputs,
    EventKind.CANDIDATES_ADDED: _check_candidates,
    EventKind.CANDIDATE_WITHDRAWN: _check_withdrawals,
    EventKind.PAIRING_OPENED: _check_pairings,
    EventKind.PAIRING_EXTENDED: _check_extensions,
    EventKind.GOLD_ADDED: _check_gold,
    EventKind.RATER_JOINED: _check_joined,
    **INVITATION_CHECKS,
}
_PROJECTIONS: Mapping[EventKind, Callable[[Connection, Sequence[StoredEvent]], None]] = {
    EventKind.PAIRING_OPENED: _open_pairings,
    EventKind.PAIRING_EXTENDED: _extend,
    EventKind.GOLD_ADDED: _add_gold,
    EventKind.RATER_JOINED: _join,
    EventKind.CANDIDATE_WITHDRAWN: _withdraw,
}
