"""What happened, in order, each link hashed onto the one before it.

    hash_n = SHA-256(JSON([hash_{n-1}, n, at, kind, actor, payload]))        hash_0 = ""

so nobody can change, drop or insert an event without every later hash being wrong (``palate verify``).
The order is the sequence number; the wall clock is information only and may jump.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple, cast

from palate.errors import InputError, StoreError, nearest
from palate.types import Candidate, Input, Json, Lineage, Pairing

__all__ = [
    "EventKind",
    "GoldDuel",
    "StoredEvent",
    "candidate_json",
    "candidate_of",
    "candidates_payload",
    "chained",
    "check_payload",
    "decode",
    "encode",
    "gold_of",
    "gold_payload",
    "input_json",
    "input_of",
    "inputs_payload",
    "pairing_of",
    "pairing_payload",
    "utc_now",
]


class EventKind(StrEnum):
    """Everything that can happen to a study."""

    STUDY_CREATED = "study_created"
    CONFIG_CHANGED = "config_changed"
    INPUTS_ADDED = "inputs_added"
    CANDIDATES_ADDED = "candidates_added"
    CANDIDATE_WITHDRAWN = "candidate_withdrawn"
    PAIRING_OPENED = "pairing_opened"
    DUEL_SHOWN = "duel_shown"
    VOTED = "voted"
    UNDONE = "undone"
    RESPONSE_FAILED = "response_failed"
    STUDY_CLOSED = "study_closed"
    STUDY_REOPENED = "study_reopened"
    GROWTH_STARTED = "growth_started"
    GROWTH_ENDED = "growth_ended"
    LEASE_EXPIRED = "lease_expired"
    LEASE_RENEWED = "lease_renewed"
    PAIRING_EXTENDED = "pairing_extended"
    GOLD_ADDED = "gold_added"
    RATER_JOINED = "rater_joined"
    RATER_REMOVED = "rater_removed"
    INVITED = "invited"
    INVITATION_USED = "invitation_used"
    INVITATION_REVOKED = "invitation_revoked"
    PAGE_OPENED = "page_opened"


_REQUIRED: Mapping[EventKind, tuple[str, ...]] = {
    EventKind.STUDY_CREATED: ("config", "settings", "guidelines"),
    EventKind.CONFIG_CHANGED: ("config", "settings", "guidelines"),
    EventKind.INPUTS_ADDED: ("inputs",),
    EventKind.CANDIDATES_ADDED: ("candidates",),
    EventKind.CANDIDATE_WITHDRAWN: ("id", "reason"),
    EventKind.PAIRING_OPENED: ("id", "input_id", "first", "second", "first_response", "second_response"),
    EventKind.DUEL_SHOWN: ("id", "pairing_id", "judge", "swapped", "guideline_version"),
    EventKind.VOTED: ("duel_id", "verdict", "key", "fingerprint", "seconds", "reason", "comment"),
    EventKind.UNDONE: ("vote_seq", "duel_id"),
    EventKind.RESPONSE_FAILED: ("candidate_id", "input_id", "reason"),
    EventKind.STUDY_CLOSED: ("reason",),
    EventKind.STUDY_REOPENED: ("reason",),
    EventKind.GROWTH_STARTED: ("round", "proposer", "wanted", "asking", "exploring"),
    EventKind.GROWTH_ENDED: ("round", "made", "refused", "remark"),
    EventKind.LEASE_EXPIRED: ("duel_id",),
    EventKind.LEASE_RENEWED: ("duel_id", "until"),
    EventKind.PAIRING_EXTENDED: ("id",),
    EventKind.GOLD_ADDED: ("gold",),
    EventKind.RATER_JOINED: ("rater", "group"),
    EventKind.RATER_REMOVED: ("rater", "votes"),
    EventKind.INVITED: ("id", "role", "rater", "group", "secret", "expires", "uses"),
    EventKind.INVITATION_USED: ("id", "session"),
    EventKind.INVITATION_REVOKED: ("id",),
    EventKind.PAGE_OPENED: ("origin",),
}

# Made once: a vote's two JSON texts are a good part of what it costs.
_DECODER = json.JSONDecoder()
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event that is on disk.

    Args:
        seq: Its place; 1 is the first, and there are no gaps.
        kind: What happened.
        payload: The particulars, as JSON.
        actor: Who did it: a judge's name, or ``"palate"``.
        at: Wall-clock time, ISO 8601 in UTC; never used for ordering.
        hash: Link of the chain, 64 hexadecimal digits.
        comment: The words of a vote's comment, which lie beside the chain so that they can be erased.
    """

    seq: int
    kind: EventKind
    payload: Mapping[str, Any]
    actor: str
    at: str
    hash: str
    comment: str | None = None


def utc_now() -> str:
    """The wall clock as ISO 8601 with milliseconds, in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def encode(payload: Mapping[str, Json]) -> str:
    """Write a payload as one JSON text.

    Only ASCII comes out: a lone surrogate or a NUL in a rater's comment then survives every database.
    """
    try:
        return _ENCODER.encode(payload)
    except (TypeError, ValueError) as error:
        raise InputError(f"an event's payload must be JSON without NaN or infinity: {error}") from error


def decode(text: str) -> dict[str, Any]:
    """Read what :func:`encode` wrote."""
    try:
        value, end = _DECODER.raw_decode(text)
        if end < len(text):
            raise ValueError(f"more after its end at character {end}")
    except ValueError as error:
        raise StoreError(f"an event's payload is not JSON ({error}); run `palate verify`") from error
    if not isinstance(value, dict):
        raise StoreError("an event's payload is not a JSON object; run `palate verify`")
    return cast("dict[str, Any]", value)


def chained(before: str, seq: int, at: str, kind: str, actor: str, payload: str) -> str:
    """The hash of an event, given the hash of the one before it and the payload as stored."""
    return hashlib.sha256(json.dumps([before, seq, at, kind, actor, payload]).encode()).hexdigest()


def check_payload(kind: EventKind | str, payload: Mapping[str, Json]) -> EventKind:
    """Refuse an event that nobody could read back.

    Returns:
        The kind, as one of :class:`EventKind`.

    Raises:
        InputError: The kind is unknown, or a field is missing.
    """
    try:
        known = EventKind(kind)
    except ValueError:
        raise InputError(
            f"no kind of event called {kind!r}; {nearest(str(kind), [k.value for k in EventKind])}"
        ) from None
    missing = [name for name in _REQUIRED[known] if name not in payload]
    if missing:
        raise InputError(
            f"an event {known.value!r} needs {', '.join(map(repr, missing))} in its payload; "
            f"it holds {', '.join(map(repr, sorted(payload))) or 'nothing'}"
        )
    return known


def input_json(item: Input) -> dict[str, Json]:
    """An input as it stands in an event."""
    return {
        "id": item.id,
        "text": item.text,
        "references": list(item.references),
        "fields": dict(item.fields),
    }


def input_of(record: Mapping[str, Any]) -> Input:
    """The input that :func:`input_json` wrote."""
    return Input(
        record["id"], record["text"], tuple(record.get("references", ())), dict(record.get("fields", {}))
    )


def inputs_payload(inputs: Sequence[Input]) -> dict[str, Json]:
    """Payload of :attr:`EventKind.INPUTS_ADDED`."""
    return {"inputs": [input_json(item) for item in inputs]}


def candidate_json(candidate: Candidate) -> dict[str, Json]:
    """A candidate as it stands in an event."""
    lineage = candidate.lineage
    return {
        "id": candidate.id,
        "text": candidate.text,
        "parts": dict(candidate.parts),
        "lineage": {
            "origin": lineage.origin,
            "parents": list(lineage.parents),
            "model": lineage.model,
            "detail": dict(lineage.detail),
        },
    }


def candidate_of(record: Mapping[str, Any]) -> Candidate:
    """The candidate that :func:`candidate_json` wrote."""
    line: Mapping[str, Any] = record.get("lineage") or {"origin": "user"}
    lineage = Lineage(
        line["origin"], tuple(line.get("parents", ())), line.get("model"), dict(line.get("detail", {}))
    )
    return Candidate(record["id"], record["text"], dict(record.get("parts", {})), lineage)


def candidates_payload(candidates: Sequence[Candidate]) -> dict[str, Json]:
    """Payload of :attr:`EventKind.CANDIDATES_ADDED`."""
    return {"candidates": [candidate_json(candidate) for candidate in candidates]}


def pairing_payload(pairing: Pairing) -> dict[str, Json]:
    """Payload of :attr:`EventKind.PAIRING_OPENED`."""
    payload: dict[str, Json] = {name: getattr(pairing, name) for name in _REQUIRED[EventKind.PAIRING_OPENED]}
    return {**payload, "group": pairing.group} if pairing.group else payload


def pairing_of(record: Mapping[str, Any]) -> Pairing:
    """The pairing that :func:`pairing_payload` wrote."""
    names = _REQUIRED[EventKind.PAIRING_OPENED]
    return Pairing(*(record[name] for name in names), group=record.get("group", ""))


class GoldDuel(NamedTuple):
    """Two answers of which one is known to be better, planted to see how attentive a rater is.

    Args:
        id: Stable within a study.
        input: What both reply to.
        better: Hash of the better response.
        worse: Hash of the other.
    """

    id: str
    input: Input
    better: str
    worse: str


def gold_payload(duels: Sequence[GoldDuel]) -> dict[str, Json]:
    """Payload of :attr:`EventKind.GOLD_ADDED`."""
    return {
        "gold": [
            {"id": duel.id, "input": duel.input.text, "better": duel.better, "worse": duel.worse}
            for duel in duels
        ]
    }


def gold_of(record: Mapping[str, Any]) -> GoldDuel:
    """One of the duels that :func:`gold_payload` wrote."""
    return GoldDuel(record["id"], Input(record["id"], record["input"]), record["better"], record["worse"])
