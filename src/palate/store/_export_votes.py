"""The votes that count, with the texts that were shown, in order and in small slices.

A slice is read in one short transaction and holds nothing afterwards, so people go on voting while a
hundred thousand votes are exported. What happened after the export began is left out: an export is the
study as it was at one event.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, or_, select

from palate.errors import InputError
from palate.kinds import readable
from palate.store import _schema as tables
from palate.store._append import read_inputs
from palate.store._content import load_responses
from palate.store._events import decode
from palate.store._store import Store
from palate.types import Input, Response, Verdict

__all__ = ["ShownVote", "Votes"]

# Small enough that the interpreter is handed back to the voters every couple of milliseconds.
_SLICE = 50
_BREATH_SECONDS = 0.001
_TEXTS_KEPT = 512

_SLICE_OF_VOTES = (
    select(
        tables.vote.c.seq,
        tables.vote.c.verdict,
        tables.vote.c.duel_id,
        tables.vote.c.judge,
        tables.vote.c.surplus,
        tables.duel.c.planted,
        tables.comment.c.words,
        tables.event.c.at,
        tables.event.c.payload,
        tables.duel.c.swapped,
        tables.duel.c.guideline_version,
        tables.pairing.c.input_id,
        tables.pairing.c.first,
        tables.pairing.c.second,
        tables.pairing.c.first_response,
        tables.pairing.c.second_response,
    )
    .join(tables.event, tables.event.c.seq == tables.vote.c.seq)
    .join(tables.duel, tables.duel.c.id == tables.vote.c.duel_id)
    .join(tables.pairing, tables.pairing.c.id == tables.duel.c.pairing_id)
    .outerjoin(tables.comment, tables.comment.c.seq == tables.vote.c.seq)
    .where(tables.vote.c.seq > bindparam("after"), tables.vote.c.seq <= bindparam("upto"))
    .where(or_(tables.vote.c.undone == 0, tables.vote.c.undone > bindparam("upto")))
    .order_by(tables.vote.c.seq)
    .limit(bindparam("limit"))
)


_DROPPED = select(tables.rater.c.id).where(
    tables.rater.c.removed == "drop", tables.rater.c.seq <= bindparam("upto")
)


class ShownVote(NamedTuple):
    """A vote with everything that was on the screen.

    ``planted`` is ``"gold"`` or ``"repeat"`` for a vote that says something of its judge alone; ``surplus``
    that its pairing had all the votes it wanted.
    """

    seq: int
    at: str
    judge: str
    duel_id: str
    input: Input
    left_candidate: str
    right_candidate: str
    left: str
    right: str
    verdict: Verdict
    seconds: float | None
    guideline_version: str
    reason: str | None
    comment: str | None
    planted: str = ""
    surplus: bool = False


class Votes:
    """Reads the votes of a study up to one event, and counts what it saw.

    Args:
        store: The study.
        upto: The last event that belongs to the export.
        names: Keep the judges' names; they become ``judge-1``, ``judge-2``, … by first vote otherwise.
        pictures: Whether a picture may be told by its size; a study of pictures is refused otherwise.

    Attributes:
        counts: How many votes of each verdict went by, those on planted duels left out.
        planted: How many votes on planted duels went by.
    """

    def __init__(self, store: Store, upto: int, *, names: bool, pictures: bool = False) -> None:
        self.counts: Counter[Verdict] = Counter()
        self.planted = 0
        self._store = store
        self._upto = upto
        self._names = names
        self._pictures = pictures
        self._pseudonyms: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        with store.reading() as connection:
            self._inputs, _ = read_inputs(connection, 0)
            self._dropped = set(connection.execute(_DROPPED, {"upto": upto}).scalars())

    def __iter__(self) -> Iterator[ShownVote]:
        after = 0
        while True:
            with self._store.reading() as connection:
                rows: Sequence[Any] = connection.execute(
                    _SLICE_OF_VOTES, {"after": after, "upto": self._upto, "limit": _SLICE}
                ).all()
                wanted = {row.first_response for row in rows} | {row.second_response for row in rows}
                self._remember(connection, wanted - self._texts.keys())
            for row in rows:
                if row.judge in self._dropped:
                    continue
                vote = self._vote(row)
                if vote.planted:
                    self.planted += 1
                else:
                    self.counts[vote.verdict] += 1
                yield vote
            if len(rows) < _SLICE:
                return
            after = rows[-1].seq
            time.sleep(_BREATH_SECONDS)

    def _remember(self, connection: Connection, hashes: set[str]) -> None:
        if hashes:
            if len(self._texts) > _TEXTS_KEPT:
                self._texts = {}
                # What the slice needs besides has just been forgotten, and is read again by _text.
            found = load_responses(connection, hashes)
            self._texts.update({address: self._plain(response) for address, response in found.items()})

    def _text(self, address: str) -> str:
        if address not in self._texts:
            self._texts[address] = self._plain(self._store.get_response(address))
        return self._texts[address]

    def _plain(self, response: Response) -> str:
        if response.kind in ("image", "plot") and not self._pictures:
            raise InputError(
                "this study compares pictures, and this format holds texts only; export it as jsonl, which "
                "has the pictures, or as csv, which tells their sizes"
            )
        return readable(response)

    def _vote(self, row: Row[Any]) -> ShownVote:
        first = row.first, self._text(row.first_response)
        second = row.second, self._text(row.second_response)
        left, right = (second, first) if row.swapped else (first, second)
        said = decode(row.payload)
        judge = row.judge
        if not self._names:
            judge = self._pseudonyms.setdefault(judge, f"judge-{len(self._pseudonyms) + 1}")
        return ShownVote(
            seq=row.seq,
            at=row.at,
            judge=judge,
            duel_id=row.duel_id,
            input=self._inputs[row.input_id],
            left_candidate=left[0],
            right_candidate=right[0],
            left=left[1],
            right=right[1],
            verdict=Verdict(row.verdict),
            seconds=said["seconds"],
            guideline_version=row.guideline_version,
            reason=said["reason"],
            comment=said["comment"] if row.words is None else row.words.decode("utf-8", "surrogatepass"),
            planted=row.planted,
            surplus=bool(row.surplus),
        )
