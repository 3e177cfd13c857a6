"""The hot route: one vote in, one acknowledgement out, nothing in between but the store."""

import asyncio
import json
import logging
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from palate.errors import ConflictError, InputError, NotFoundError, PalateError
from palate.operations import Failed, place_of, tell
from palate.store import Store
from palate.types import Ballot, Receipt, Verdict
from palate.web._guard import PERSON
from palate.web._landing import Landings
from palate.web._limits import LIMITS
from palate.web._meter import Meter
from palate.web._replies import WHOLE, Receive, Scope, Send, send_data, send_reply

__all__ = ["RefusedError", "VoteRoute", "failure", "read_body"]

REASONS = ("unclear", "off_topic", "harmful", "cannot_judge")
_VERDICTS = {str(v): v for v in Verdict if v is not Verdict.FAILED}
_KEY = re.compile(r"[A-Za-z0-9_-]{16,128}")
_FIELDS = {"duel_id", "verdict", "key", "seconds", "reason", "comment"}
_REPLAYED = ((b"idempotent-replayed", b"true"),)
_LARGE = f"the body is too large; at most {LIMITS.body_bytes} bytes are read"
_log = logging.getLogger(__name__)


class RefusedError(PalateError):
    """A request that is not taken, with its HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text

    def __str__(self) -> str:
        return self.text


async def read_body(scope: Scope, receive: Receive) -> dict[str, Any]:
    """Read a small JSON object.

    Raises:
        RefusedError: It is too large (413), too slow (408), or not a JSON object (400, 415).
    """
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    if not headers.get(b"content-type", b"").startswith(b"application/json"):
        raise RefusedError(415, "the body must be JSON; send content-type: application/json")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 9 or int(length) > LIMITS.body_bytes:
        raise RefusedError(413, _LARGE)
    if scope.get(WHOLE):  # nothing to wait for, and so no clock to be set
        body = await _whole(receive)
    else:
        try:
            async with asyncio.timeout(LIMITS.body_seconds):
                body = await _whole(receive)
        except TimeoutError:
            late = f"the body did not arrive within {LIMITS.body_seconds:.0f} seconds"
            raise RefusedError(408, late) from None
    try:
        value = _BODY.decode(body.decode())
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is not JSON") from None
    if not isinstance(value, dict):
        raise RefusedError(400, "the body must be a JSON object")
    return value


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the connection was closed")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > LIMITS.body_bytes:
            raise RefusedError(413, _LARGE)
    return body


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose names differ: of two values under one name two readers could take different ones."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise RefusedError(400, "the body has a name twice; send each field once")
    return found


# Made once, since a reader with a hook of its own would be made for every vote.
_BODY = json.JSONDecoder(object_pairs_hook=_once_each)


def failure(error: Exception) -> tuple[int, str]:
    """The HTTP status and the one clear line for an error."""
    if isinstance(error, RefusedError):
        return error.status, error.text
    if isinstance(error, ConflictError):
        return 409, str(error)
    if isinstance(error, NotFoundError):
        return 404, str(error)
    if isinstance(error, InputError):
        return 400, str(error)
    if isinstance(error, PalateError):
        return 503, str(error)
    _log.error("the page failed", exc_info=error)
    tell(Failed("page", type(error).__name__, place_of(error)))
    return 500, "Palate made a mistake here; the terminal shows it. Nothing that was acknowledged is lost"


def _text(body: Mapping[str, Any], name: str, limit: int) -> str | None:
    value = body.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > limit:
        raise RefusedError(400, f"{name} must be a text of at most {limit} characters")
    return value


def _ballot(body: Mapping[str, Any], judge: str) -> Ballot:
    """Check a vote against its schema."""
    unknown = sorted(set(body) - _FIELDS)
    if unknown:
        raise RefusedError(400, f"unknown field {unknown[0]!r}; a vote has {', '.join(sorted(_FIELDS))}")
    duel_id, key = body.get("duel_id"), body.get("key")
    if not isinstance(duel_id, str) or not 0 < len(duel_id) <= 128:
        raise RefusedError(400, "duel_id must name the duel that was voted on")
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise RefusedError(400, "key must be an idempotency key of 16 to 128 letters, digits, - and _")
    verdict = body.get("verdict")
    if not isinstance(verdict, str) or verdict not in _VERDICTS:
        raise RefusedError(400, f"verdict must be one of {', '.join(_VERDICTS)}")
    seconds = body.get("seconds")
    number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (number and 0 <= seconds < math.inf):
        raise RefusedError(400, "seconds must be a number of at least 0, or absent")
    reason = _text(body, "reason", 32)
    if reason is not None and reason not in REASONS:
        raise RefusedError(400, f"reason must be one of {', '.join(REASONS)}")
    comment = _text(body, "comment", LIMITS.comment)
    return Ballot(duel_id, _VERDICTS[verdict], judge, key, seconds, reason, comment)


class VoteRoute:
    """``POST /api/votes``: answered once the vote is on disk.

    A repeat of a key returns the first answer, byte for byte, with ``Idempotent-Replayed: true``; the same
    key with another content is 422, a second vote on one duel is 409. Whose vote it is says the cookie,
    never the body; a duel that was shown to somebody else is 404, as one that does not exist.
    """

    def __init__(self, store: Store, meter: Meter) -> None:
        self._store = store
        self._meter = meter
        self._landings = Landings()
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one vote."""
        began = time.perf_counter()
        try:
            ballot = _ballot(await read_body(scope, receive), scope[PERSON].judge)
            began = time.perf_counter()
            receipt = await self._stored(ballot)
        except Exception as error:  # whatever went wrong, the page gets one clear line
            self._meter.vote("refused", time.perf_counter() - began)
            status, text = failure(error)
            extra = ((b"retry-after", b"1"),) if status == 503 else ()
            await send_reply(send, status, json.dumps({"error": text}).encode(), extra=extra)
            return
        self._meter.vote("replayed" if receipt.replayed else "taken", time.perf_counter() - began)
        body = b'{"seq":%d,"duel_id":%s,"verdict":"%s"}' % (
            receipt.seq,
            json.dumps(receipt.duel_id).encode(),
            receipt.verdict.encode(),
        )
        await send_data(send, body, _REPLAYED if receipt.replayed else ())

    async def _stored(self, ballot: Ballot) -> Receipt:
        if self._waiting >= LIMITS.votes_waiting:
            raise RefusedError(
                503, "too many votes wait for the disk; send this one again, with the same key"
            )
        self._waiting += 1
        try:
            return await self._landings.of(self._store.submit(ballot))
        except ConflictError as error:
            # The store names the key exactly when the key is what contradicts.
            if ballot.key in str(error):
                raise RefusedError(422, str(error)) from error
            raise
        finally:
            self._waiting -= 1
