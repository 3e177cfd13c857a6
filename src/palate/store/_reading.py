"""Events as they are read back, some hundred at a time."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, bindparam, select

from palate.errors import StoreError
from palate.store import _schema as tables
from palate.store._events import EventKind, StoredEvent, decode

__all__ = ["SLICE", "read_slice"]

# Read in a few milliseconds, so that no reader holds the file for longer.
SLICE = 500

_KINDS: Mapping[str, EventKind] = MappingProxyType({kind.value: kind for kind in EventKind})
_AFTER = (
    select(
        *(tables.event.c[name] for name in ("seq", "kind", "payload", "actor", "at", "hash")),
        tables.comment.c.words,
    )
    .outerjoin(tables.comment, tables.comment.c.seq == tables.event.c.seq)
    .where(tables.event.c.seq > bindparam("after"))
    .order_by(tables.event.c.seq)
    .limit(bindparam("limit"))
)


def read_slice(connection: Connection, after: int, size: int) -> list[StoredEvent]:
    """The events after a sequence number, in order; at most ``size`` of them.

    Raises:
        StoreError: One is damaged, or of a newer Palate.
    """
    rows: Iterable[Any] = connection.execute(_AFTER, {"after": after, "limit": size})
    return [
        StoredEvent(
            seq,
            _KINDS.get(kind) or _unknown(kind),
            decode(payload),
            actor,
            at,
            link,
            None if words is None else words.decode("utf-8", "surrogatepass"),
        )
        for seq, kind, payload, actor, at, link, words in rows
    ]


def _unknown(kind: str) -> EventKind:
    raise StoreError(f"an event of kind {kind!r} is from a newer Palate; upgrade Palate")
