"""What was paid for and what was shown: texts under their hash, each stored once."""

import math
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, insert, select

from palate.errors import InputError, NotFoundError, StoreError
from palate.store import _schema as tables
from palate.store._batch import Batch
from palate.store._events import decode, encode
from palate.types import Json, Response

__all__ = [
    "check_response",
    "completions_after",
    "find_completion",
    "find_response",
    "load_responses",
    "missing_texts",
    "response_costs",
    "save_completion",
    "save_response",
]

_TEXTS = select(tables.text).where(tables.text.c.hash.in_(bindparam("hashes", expanding=True)))
_PAID = (
    select(tables.response.c.hash, tables.response.c.seconds, tables.response.c.cost)
    .where(tables.response.c.hash.in_(bindparam("hashes", expanding=True)))
    .order_by(tables.response.c.request_key.desc())
)
_COSTS = select(tables.response.c.hash, tables.response.c.cost).order_by(tables.response.c.request_key.desc())
_COMPLETION = select(tables.completion.c.value).where(tables.completion.c.key == bindparam("key"))
_COMPLETIONS_AFTER = (
    select(tables.completion)
    .where(tables.completion.c.key > bindparam("key"))
    .order_by(tables.completion.c.key)
    .limit(1000)
)
_BY_KEY = select(tables.response).where(tables.response.c.request_key == bindparam("request_key"))


def save_response(batch: Batch, request_key: str, response: Response) -> str:
    """Keep a response under the key of its request; the first one under a key stays.

    Returns:
        The hash of the response that stands under the key.
    """
    connection = batch.connection
    before = connection.execute(_BY_KEY, {"request_key": request_key}).first()
    if before is not None:
        return before.hash
    address = response.hash
    if missing_texts(connection, {address}):
        content = response.content.encode("utf-8", "surrogatepass")
        connection.execute(insert(tables.text), {"hash": address, "kind": response.kind, "content": content})
    connection.execute(
        insert(tables.response),
        {
            "request_key": request_key,
            "hash": address,
            "seconds": response.seconds,
            "cost": response.cost,
        },
    )
    return address


def check_response(request_key: str, response: Response) -> None:
    """Refuse what must not be kept.

    Raises:
        InputError: The response failed, or one of its numbers is not finite.
    """
    if response.failed is not None:
        raise InputError(
            f"a response that failed ({response.failed}) is not kept; append a 'response_failed' event"
        )
    if not request_key or not request_key.isprintable():
        raise InputError(f"a request key is a non-empty printable text, not {request_key!r:.80}")
    if not math.isfinite(response.seconds) or not math.isfinite(response.cost or 0.0):
        raise InputError(
            f"a response's seconds and cost are finite, not {response.seconds!r} and {response.cost!r}"
        )


def find_response(connection: Connection, request_key: str) -> Response | None:
    """The response to a request that was paid for before."""
    row = connection.execute(_BY_KEY, {"request_key": request_key}).first()
    if row is None:
        return None
    shown = load_responses(connection, {row.hash})[row.hash]
    return Response(shown.kind, shown.content, row.seconds, row.cost)


def load_responses(connection: Connection, hashes: Collection[str]) -> dict[str, Response]:
    """The responses under some hashes; time and cost are those of the first request that led there.

    Raises:
        NotFoundError: One is not there.
    """
    wanted = {"hashes": sorted(hashes)}
    paid = {row.hash: row for row in connection.execute(_PAID, wanted)}
    found: dict[str, Response] = {}
    for row in connection.execute(_TEXTS, wanted):
        bill = paid.get(row.hash)
        seconds, cost = (bill.seconds, bill.cost) if bill else (0.0, None)
        found[row.hash] = Response(row.kind, _text(row.hash, row.content), seconds, cost)
    for address in wanted["hashes"]:
        if address not in found:
            raise NotFoundError(
                f"no response {address!r} in this study; put it there with put_response first"
            )
    return found


def response_costs(connection: Connection) -> dict[str, float | None]:
    """What each response cost, by hash; of several requests that led there the first counts."""
    rows = connection.execute(_COSTS)
    return {row.hash: row.cost for row in rows}


def missing_texts(connection: Connection, hashes: Collection[str]) -> list[str]:
    """Which of some hashes have no text."""
    query = select(tables.text.c.hash).where(tables.text.c.hash.in_(bindparam("hashes", expanding=True)))
    known = set(connection.execute(query, {"hashes": sorted(hashes)}).scalars())
    return sorted(set(hashes) - known)


def _text(address: str, content: bytes) -> str:
    try:
        return content.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise StoreError(f"the text {address} is damaged; run `palate verify`, restore a backup") from error


def find_completion(connection: Connection, key: str) -> Mapping[str, Json] | None:
    """A model's answer under the key of its request, or ``None``."""
    value = connection.execute(_COMPLETION, {"key": key}).scalar()
    return None if value is None else decode(value)


def save_completion(batch: Batch, key: str, value: Mapping[str, Json]) -> None:
    """Keep a model's answer; the first one under a key stays."""
    if batch.connection.execute(_COMPLETION, {"key": key}).first() is None:
        batch.connection.execute(insert(tables.completion), {"key": key, "value": encode(value)})


def completions_after(connection: Connection, key: str) -> dict[str, Mapping[str, Json]]:
    """The next answers of models after a key, by key, in order; none at the end."""
    rows = connection.execute(_COMPLETIONS_AFTER, {"key": key})
    return {row.key: decode(row.value) for row in rows}
