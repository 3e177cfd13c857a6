"""Who may come in besides the owner: links for one person each, and the browsers that used them.

A link and a browser's cookie are 256 random bits each, and only their SHA-256 is written down: whoever reads
the database cannot come in with what is found there. Hashing once is enough, since nobody can try 2^256
secrets. What is in the events outlasts a restart, reaches every server of the study, and needs no key file.

    open_t = not revoked and t < expires                    usable_t = open_t and browsers < uses
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select

from palate.errors import ConflictError, InputError, NotFoundError
from palate.store import _schema as tables
from palate.store._events import EventKind, StoredEvent, decode
from palate.store._people import new_pseudonym
from palate.types import Json

__all__ = [
    "ACCESS",
    "CHECKS",
    "Invitation",
    "Invitations",
    "access_events",
    "invitation_payload",
    "secret_hash",
]

ACCESS = frozenset(
    (EventKind.INVITED, EventKind.INVITATION_USED, EventKind.INVITATION_REVOKED, EventKind.PAGE_OPENED)
)
GUEST_ROLES = ("rater", "viewer")
MOST_USES = 100
_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")
_HASH = re.compile(r"[0-9a-f]{64}")
_EVENTS = (
    select(tables.event)
    .where(
        tables.SETUP,
        tables.event.c.kind.in_(sorted(kind.value for kind in (*ACCESS, EventKind.RATER_REMOVED))),
        tables.event.c.seq > bindparam("after"),
    )
    .order_by(tables.event.c.seq)
)


def secret_hash(secret: str) -> str:
    """What is kept of a secret: 64 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


class Invitation(NamedTuple):
    """One person's way in.

    Args:
        id: Names it, in lists and when it is revoked; gives no access.
        role: ``"rater"`` or ``"viewer"``.
        rater: The person's pseudonym, under which a rater votes.
        group: The group of raters that the person belongs to; empty for none.
        secret: Hash of the link's secret.
        expires: ISO 8601 in UTC, when link and browsers stop working; ``None`` is never.
        uses: How many browsers the link lets in.
        at: When it was written.
        sessions: Hashes of the secrets of the browsers that used it, in order.
        revoked: When it was revoked, or ``None``.
    """

    id: str
    role: str
    rater: str
    group: str
    secret: str
    expires: str | None
    uses: int
    at: str
    sessions: tuple[str, ...] = ()
    revoked: str | None = None

    def is_open(self, now: str) -> bool:
        """Whether those who used it may come in at a time, ISO 8601 in UTC."""
        return self.revoked is None and (self.expires is None or _moment(now) < _moment(self.expires))

    def is_usable(self, now: str) -> bool:
        """Whether the link would let one more browser in."""
        return self.is_open(now) and len(self.sessions) < self.uses


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Invitations:
    """All invitations of a study: a fold over its events."""

    def __init__(self) -> None:
        self.by_id: dict[str, Invitation] = {}
        self.origin: str | None = None
        self._by_secret: dict[str, str] = {}
        self._by_session: dict[str, str] = {}

    def __eq__(self, other: object) -> bool:
        """Whether both hold the same."""
        return isinstance(other, Invitations) and vars(self) == vars(other)

    __hash__ = None  # pyright: ignore[reportAssignmentType] - mutable

    @classmethod
    def of(cls, events: Iterable[StoredEvent]) -> "Invitations":
        """Those that events of :data:`ACCESS` tell of, from the first."""
        found = cls()
        for event in events:
            found.apply(event)
        return found

    def apply(self, event: StoredEvent) -> None:
        """Move on by one event of :data:`ACCESS`, or by the removal of a rater, which ends his invitation."""
        record = event.payload
        if event.kind is EventKind.PAGE_OPENED:
            self.origin = record["origin"]
        elif event.kind is EventKind.RATER_REMOVED:
            gone = [each for each in self.by_id.values() if each.rater == record["rater"]]
            self.by_id |= {each.id: each._replace(revoked=each.revoked or event.at) for each in gone}
        elif event.kind is EventKind.INVITED:
            made = Invitation(**{name: record[name] for name in _FIELDS}, at=event.at)
            self.by_id[made.id] = made
            self._by_secret[made.secret] = made.id
        else:
            known = self.by_id[record["id"]]
            if event.kind is EventKind.INVITATION_USED:
                known = known._replace(sessions=(*known.sessions, record["session"]))
                self._by_session[record["session"]] = known.id
            elif known.revoked is None:
                known = known._replace(revoked=event.at)
            self.by_id[known.id] = known

    def by_secret(self, hashed: str) -> Invitation | None:
        """The invitation whose link has this hash."""
        found = self._by_secret.get(hashed)
        return None if found is None else self.by_id[found]

    def by_session(self, hashed: str) -> Invitation | None:
        """The invitation that let the browser in whose cookie has this hash."""
        found = self._by_session.get(hashed)
        return None if found is None else self.by_id[found]


_FIELDS = ("id", "role", "rater", "group", "secret", "expires", "uses")


def invitation_payload(
    secret: str, *, role: str = "rater", group: str = "", expires: str | None = None, uses: int = 1
) -> dict[str, Json]:
    """Payload of :attr:`EventKind.INVITED`, with a new pseudonym.

    Args:
        secret: What the link carries, at least 256 random bits; only its hash is in the payload.
        role: ``"rater"`` or ``"viewer"``.
        group: Of raters; empty for none.
        expires: ISO 8601 in UTC; ``None`` for never.
        uses: How many browsers the link lets in, 1 to 100.
    """
    return {
        "id": secrets.token_hex(4),
        "role": role,
        "rater": new_pseudonym() if role == "rater" else f"viewer-{secrets.token_hex(5)}",
        "group": group,
        "secret": secret_hash(secret),
        "expires": expires,
        "uses": uses,
    }


def access_events(connection: Connection, after: int) -> list[StoredEvent]:
    """The events of :data:`ACCESS` after a sequence number, without reading any other."""
    return [
        StoredEvent(row.seq, EventKind(row.kind), decode(row.payload), row.actor, row.at, row.hash)
        for row in connection.execute(_EVENTS, {"after": after})
    ]


def _check_invited(connection: Connection, payloads: Iterable[Mapping[str, Any]]) -> None:
    """Refuse an invitation that nobody could use, or whose names are taken."""
    known = Invitations.of(access_events(connection, 0))
    taken = {name for each in known.by_id.values() for name in (each.id, each.rater)}
    secrets_taken = {each.secret for each in known.by_id.values()}
    for payload in payloads:
        for wrong, why in _faults(payload):
            if wrong:
                raise InputError(f"an invitation's {why}")
        names = {payload["id"], payload["rater"]}
        if names & taken or payload["secret"] in secrets_taken:
            raise ConflictError(f"invitation {payload['id']!r} repeats an earlier one; make a new one")
        taken |= names
        secrets_taken.add(payload["secret"])


def _faults(payload: Mapping[str, Any]) -> Sequence[tuple[bool, str]]:
    role, rater, group, uses = (payload[name] for name in ("role", "rater", "group", "uses"))
    whole = isinstance(uses, int) and not isinstance(uses, bool)
    return (
        (
            not _matches(_NAME, payload["id"]),
            f"id is 1 to 80 letters, digits, - and _; not {payload['id']!r:.90}",
        ),
        (role not in GUEST_ROLES, f"role is one of {', '.join(GUEST_ROLES)}; not {role!r:.80}"),
        (
            not _matches(_NAME, rater) or rater == "palate",
            f"rater is a pseudonym of 1 to 80 letters, digits, - and _; not {rater!r:.90}",
        ),
        (
            not isinstance(group, str) or len(group) > 80 or (group != "" and not group.isprintable()),
            f"group is a printable name of at most 80 characters, or empty; not {group!r:.90}",
        ),
        (
            not _matches(_HASH, payload["secret"]),
            "secret is a SHA-256 in hexadecimal, never the secret itself",
        ),
        (not whole or not 1 <= uses <= MOST_USES, f"uses are 1 to {MOST_USES} browsers; not {uses!r:.80}"),
        (
            not _is_moment(payload["expires"]),
            f"expires is ISO 8601 in UTC or None; not {payload['expires']!r:.80}",
        ),
    )


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_moment(value: object) -> bool:
    if value is None:
        return True
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def _check_used(connection: Connection, payloads: Iterable[Mapping[str, Any]]) -> None:
    """Refuse a browser too many. Whoever has a clock looks at the expiry: events are judged without one."""
    known = Invitations.of(access_events(connection, 0))
    left = {each.id: each.uses - len(each.sessions) for each in known.by_id.values() if not each.revoked}
    for payload in payloads:
        if payload["id"] not in known.by_id:
            raise NotFoundError(f"no invitation {payload['id']!r:.90} in this study")
        if not _matches(_HASH, payload["session"]) or known.by_session(payload["session"]):
            raise InputError("a browser's secret is kept as its own SHA-256 in hexadecimal")
        if left.get(payload["id"], 0) < 1:
            raise ConflictError(f"invitation {payload['id']!r} was revoked or has let in all its browsers")
        left[payload["id"]] -= 1


def _check_revoked(connection: Connection, payloads: Iterable[Mapping[str, Any]]) -> None:
    """Refuse to revoke what never was."""
    known = Invitations.of(access_events(connection, 0))
    for payload in payloads:
        if payload["id"] not in known.by_id:
            raise NotFoundError(
                f"no invitation {payload['id']!r:.90} in this study; `palate invitations` lists them"
            )


CHECKS: Mapping[EventKind, Callable[[Connection, Sequence[Mapping[str, Any]]], None]] = {
    EventKind.INVITED: _check_invited,
    EventKind.INVITATION_USED: _check_used,
    EventKind.INVITATION_REVOKED: _check_revoked,
}
