"""The memory of a study, in one SQLite file or on a PostgreSQL server.

The contract, which ``palate.testing.StoreContract`` checks on any implementation:

1. An acknowledged vote is there after any crash, once. One that was not acknowledged is there at most once.
2. A judge's key never yields two votes, in any process, for ever.
3. The stored verdict is the one the judge saw: the side is drawn and stored before a duel is shown.
4. Undo is an event; nothing is deleted but what people ask to have erased, and that is in no event.
5. Readers see a prefix of the order of events.
6. :class:`palate.store.StudyState` is a pure function of that prefix.
"""

import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType
from typing import Any

from sqlalchemy import Connection

from palate.errors import ConflictError, InputError, NotFoundError, StoreError
from palate.operations import watch_vote
from palate.store._append import append_events, read_inputs
from palate.store._asked import held_places, latest_votes, one_pairing, waiting_pairings
from palate.store._assign import assign
from palate.store._backend import Backend, StoreInfo
from palate.store._batch import Batch, last_link
from palate.store._beliefs import BeliefPoint, belief_points, newest_belief, save_belief
from palate.store._columns import ColumnReader, VoteColumns
from palate.store._content import (
    check_response,
    completions_after,
    find_completion,
    find_response,
    load_responses,
    response_costs,
    save_completion,
    save_response,
)
from palate.store._copy import copy_rows
from palate.store._duels import count_ready, count_stages, load_duels, one_row, open_rows
from palate.store._events import EventKind, StoredEvent, check_payload, decode, encode, utc_now
from palate.store._invitations import ACCESS, Invitation, Invitations, access_events, invitation_payload
from palate.store._outline import last_setup, read_setup
from palate.store._people import new_pseudonym, put_name, rater_names, remove
from palate.store._postgres_url import is_postgres, read_address
from palate.store._raters import Progress
from palate.store._reading import SLICE, read_slice
from palate.store._sqlite import SqliteBackend
from palate.store._verify import find_problems
from palate.store._votes import check_ballot, last_duel, undo_last
from palate.store._writer import Writer
from palate.types import Ballot, Belief, Duel, Input, Json, Pairing, Receipt, Response, Verdict, Vote

__all__ = ["Store", "check_server", "open_store"]

# How soon wait() sees what another process wrote.
_POLL_SECONDS = 0.1
# Votes that are read in a millisecond or two, and how many times as long a patient reader rests then.
_BITE, _REST = 200, 3.0


def open_store(
    path: str | Path,
    *,
    create: bool = True,
    exclusive: bool = False,
    clock: Callable[[], str] = utc_now,
) -> "Store":
    """Open a study, or make it.

    Args:
        path: The file, on a local disk; or ``"postgresql://USER@HOST/DATABASE?study=NAME"``, which several
            server processes can open at once.
        create: Make it if it is missing.
        exclusive: Become the one process that serves it; others may still open it without.
        clock: Gives the wall-clock time of events, ISO 8601 in UTC.

    Raises:
        StoreError: The file is missing, of another kind, newer, damaged, not writable, on a network file
            system, or being served already; or the server cannot be reached.
        ConfigError: The address of a server cannot be read.
        MissingExtraError: A server without the extra ``postgres``.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, open_store(f"{folder}/study.db") as store:
        ...     store.last_seq()
        0
    """
    backend = _backend_for(path, create=create, exclusive=exclusive)
    try:
        return Store(backend, clock=clock)
    except BaseException:
        backend.close()
        raise


def check_server(address: str) -> StoreInfo:
    """Look whether a study could be kept on a server, and make nothing there.

    Args:
        address: As for :func:`open_store`.

    Raises:
        StoreError: The server cannot be reached, does not let us in, or would forget votes.
        ConfigError: The address cannot be read.
        MissingExtraError: The extra ``postgres`` is not installed.
    """
    from palate.store._postgres import PostgresBackend

    backend = PostgresBackend(read_address(address), create=False, exclusive=False)
    try:
        return backend.check()
    finally:
        backend.close()


class Store:
    """A study's memory; see :func:`open_store`. Every method may be called from any thread.

    What a method wrote is on the disk when it returns.

    Attributes:
        place: What opens it again: the file, or the server's address without its password.
        title: A short name: the file's without its ending, or the study's on the server.
        path: The file; for a study on a server a name that is no file.
        info: What it runs on.
        admissions: How often this process changed who may come in; a server compares it on every request.
        learnt: When this process last kept a belief, by ``time.monotonic``; ``None`` before the first.
    """

    def __init__(self, backend: Backend, *, clock: Callable[[], str]) -> None:
        self.place = backend.name
        self.title = backend.title
        self.path = backend.path
        self._backend = backend
        self._changed = threading.Condition()
        self.admissions = 0
        self.learnt: float | None = None
        self._seen = 0
        self._closed = False
        self._inputs: dict[str, Input] = {}
        self._inputs_seq = 0
        beside = None if is_postgres(self.place) else self.path.with_name(f"{self.path.name}-votes")
        self._columns = ColumnReader(self.reading, beside)
        self._columns_lock = threading.Lock()
        try:
            self.info: StoreInfo = backend.prepare()
        except backend.failures as error:
            raise backend.explain(error) from error
        self._writer = Writer(backend, clock, self._announce)
        self._seen = self.last_seq()

    def __repr__(self) -> str:
        return f"Store({self.place!r})"

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish what is being written and let go of the file. Idempotent."""
        self._writer.close()
        self._backend.close()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written just now, in one line; ``None`` when the last write went well.

        Reading goes on meanwhile. Each further write tries again, so the first that succeeds ends it.
        """
        found = self._writer.trouble
        return None if found is None else str(found)

    # Events

    def append(
        self, kind: EventKind | str, payload: Mapping[str, Json], actor: str = "palate"
    ) -> StoredEvent:
        """Add one event.

        Args:
            kind: Any but ``duel_shown``, ``voted`` and ``undone``, which have methods of their own.
            payload: Its particulars.
            actor: Who did it.

        Raises:
            InputError: The event cannot be read back, or is reserved.
            ConflictError: It contradicts the study (an input of the same id with another content).
            NotFoundError: It names a response, an input or a candidate that is not there.
        """
        return self.append_many([(kind, payload)], actor)[0]

    def append_many(
        self,
        events: Sequence[tuple[EventKind | str, Mapping[str, Json]]],
        actor: str = "palate",
        *,
        basis: int | None = None,
    ) -> list[StoredEvent]:
        """Add several events in one transaction: all of them or none. See :meth:`append`.

        Args:
            events: Kinds and payloads.
            actor: Who did it.
            basis: The last event that the caller knew of. If the study was set up otherwise since, nothing is
                added; what people were shown and voted does not matter.

        Raises:
            ConflictError: As for :meth:`append`, or somebody changed the set-up after ``basis``.
        """
        if not actor or not actor.isprintable():
            raise InputError(f"an actor is a non-empty printable name, not {actor!r:.80}")
        # Through JSON and back, so that the caller gets what a reader will get.
        checked = [(check_payload(kind, payload), decode(encode(payload))) for kind, payload in events]
        self._check_inputs_exist(checked)

        def work(batch: Batch) -> list[StoredEvent]:
            if basis is not None and (last := last_setup(batch.connection, basis)) > basis:
                raise ConflictError(
                    f"event {last} has changed the set-up of the study; read it and try again"
                )
            return append_events(batch, checked, actor)

        stored = self._writer.run(work)
        if any(event.kind in ACCESS for event in stored):
            self.admissions += 1
        return stored

    def events(self, after: int = 0, limit: int | None = None) -> Iterator[StoredEvent]:
        """The events after a sequence number, in order; at most ``limit`` of them.

        They are read in slices, so that a slow consumer holds up nobody.
        """
        left = limit
        while left is None or left > 0:
            size = SLICE if left is None else min(left, SLICE)
            with self.reading() as connection:
                found = read_slice(connection, after, size)
            yield from found
            if len(found) < size:
                return
            after = found[-1].seq
            left = None if left is None else left - size

    def invitations(self) -> Invitations:
        """All invitations as of now."""
        return Invitations.of(self.access_events())

    def access_events(self, after: int = 0) -> list[StoredEvent]:
        """Invitations, their uses and revocations after a sequence number; no other event is read."""
        with self.reading() as connection:
            return access_events(connection, after)

    def last_seq(self) -> int:
        """Number of the last event, in this or any other process; 0 for an empty study."""
        with self.reading() as connection:
            return last_link(connection)[0]

    def wait(self, after: int, timeout: float) -> int:
        """Block until something happens after an event.

        Args:
            after: The last event the caller knows.
            timeout: Give up after so many seconds.

        Returns:
            The number of the last event; not above ``after`` if time ran out or the store was closed.
        """
        deadline = time.monotonic() + timeout
        while True:
            if self._closed:
                return self._seen
            latest = self.last_seq()
            left = deadline - time.monotonic()
            if latest > after or left <= 0:
                return latest
            with self._changed:
                if self._seen <= after and not self._closed:
                    self._changed.wait(min(left, _POLL_SECONDS))

    # What was paid for

    def put_response(self, request_key: str, response: Response) -> str:
        """Keep a response under the key of its request, its text once under its hash.

        The first response under a key stays; a later one is dropped.

        Returns:
            The hash under which :meth:`get_response` finds it.

        Raises:
            InputError: The response failed.
        """
        check_response(request_key, response)
        return self._writer.run(lambda batch: save_response(batch, request_key, response))

    def get_response_by_key(self, request_key: str) -> Response | None:
        """The response that was paid for under a key, or ``None``."""
        with self.reading() as connection:
            return find_response(connection, request_key)

    def get_response(self, hash: str) -> Response:
        """The response under a hash.

        Raises:
            NotFoundError: There is none.
        """
        with self.reading() as connection:
            return load_responses(connection, {hash})[hash]

    def get_responses(self, hashes: Collection[str]) -> dict[str, Response]:
        """The responses under some hashes, in one read.

        Raises:
            NotFoundError: One of them is not there.
        """
        with self.reading() as connection:
            return load_responses(connection, hashes)

    def response_costs(self) -> dict[str, float | None]:
        """What each response cost in US dollars, by hash, without the responses; ``None`` is unknown."""
        with self.reading() as connection:
            return response_costs(connection)

    def get_completion(self, key: str) -> Mapping[str, Json] | None:
        """A model's answer that was paid for before, or ``None``."""
        with self.reading() as connection:
            return find_completion(connection, key)

    def put_completion(self, key: str, value: Mapping[str, Json]) -> None:
        """Keep a model's answer; the first one under a key stays."""
        self._writer.run(lambda batch: save_completion(batch, key, value))

    def completions(self) -> Iterator[Mapping[str, Json]]:
        """Every answer of a model that was kept, in slices, so that nobody waits for the reader."""
        key = ""
        while True:
            with self.reading() as connection:
                found = completions_after(connection, key)
            if not found:
                return
            yield from found.values()
            key = next(reversed(found))

    # Duels and votes

    def open_duels(
        self, judge: str, limit: int = 3, rng: Random | None = None, *, least: int | None = None
    ) -> list[Duel]:
        """The duels that a judge should see now and next.

        Open ones first (the one undone last, then the oldest), then fresh assignments of pairings that have
        a free place and that the judge has not seen. Repeated calls return the same until the judge votes,
        or until somebody else has taken the place of one whose lease had ended.

        Args:
            judge: Who asks.
            limit: How many at most, 1 or more.
            rng: Draws sides and ids; the system's generator when ``None``. Give a seeded one for a run that
                can be repeated: the same events and the same draws give the same duels.
            least: With so many open ones no further ones are assigned yet, which saves a write; ``limit``
                when left out.
        """
        if not judge or not judge.isprintable() or limit < 1:
            raise InputError(f"open_duels needs a printable judge and a limit >= 1, not {judge!r}, {limit!r}")
        with self.reading() as connection:
            rows = open_rows(connection, judge, limit)
            if len(rows) >= (least or limit):
                return load_duels(connection, rows, self._input)
        draws = rng if rng is not None else SystemRandom()
        fresh = self._writer.run(lambda batch: assign(batch, judge, limit, draws))
        with self.reading() as connection:
            return load_duels(connection, fresh, self._input)

    # Raters

    def add_rater(self, name: str, group: str = "") -> str:
        """Let a person take part; returns the pseudonym under which the person votes.

        Args:
            name: Who it is, kept where :meth:`remove_rater` can erase it.
            group: Of raters; empty for none.

        Raises:
            InputError: The name is empty or too long, or the group is not printable.
        """
        rater = new_pseudonym()

        def work(batch: Batch) -> None:
            put_name(batch, rater, name)
            append_events(batch, [(EventKind.RATER_JOINED, {"rater": rater, "group": group})], "palate")

        self._writer.run(work)
        return rater

    def invite(
        self,
        name: str,
        secret: str,
        *,
        role: str = "rater",
        group: str = "",
        expires: str | None = None,
        uses: int = 1,
    ) -> Invitation:
        """Invite a person: a rater takes part from now on, and comes in by a link with the secret.

        Args:
            name: Who it is, kept where :meth:`remove_rater` can erase it.
            secret: At least 256 random bits; only its hash is kept.
            role: ``"rater"``, or ``"viewer"``, who sees results and does not vote.
            group: Of raters; empty for none.
            expires: ISO 8601 in UTC, when link and browsers stop working; ``None`` is never.
            uses: How many browsers the link lets in, 1 to 100.

        Raises:
            InputError: One of these is not as said.
        """
        payload = invitation_payload(secret, role=role, group=group, expires=expires, uses=uses)
        rater = str(payload["rater"])
        joined = (EventKind.RATER_JOINED, {"rater": rater, "group": group})
        events = [(EventKind.INVITED, payload), *([joined] if role == "rater" else [])]

        def work(batch: Batch) -> Invitation:
            put_name(batch, rater, name)
            stored = append_events(batch, events, "palate")
            return Invitations.of(stored[:1]).by_id[str(payload["id"])]

        made = self._writer.run(work)
        self.admissions += 1
        return made

    def name_rater(self, rater: str, name: str) -> None:
        """Keep the name that belongs to a pseudonym, where :meth:`remove_rater` can erase it."""
        self._writer.run(lambda batch: put_name(batch, rater, name))

    def rater_names(self) -> Mapping[str, str]:
        """The names that are known, by pseudonym."""
        with self.reading() as connection:
            return rater_names(connection)

    def remove_rater(self, rater: str, *, votes: str = "keep", actor: str = "palate") -> None:
        """Erase a rater's name and the words of his comments; what was open to him goes to others.

        Args:
            rater: Pseudonym.
            votes: ``"keep"`` them under the pseudonym, or ``"drop"`` them: they stay in the events and count
                for nothing.
            actor: Who wants it.

        Raises:
            NotFoundError: No such rater, or removed already.
        """
        self._writer.run(lambda batch: remove(batch, rater, votes, actor))
        self.admissions += 1

    def ready(self) -> int:
        """How many opened pairings wait for votes."""
        with self.reading() as connection:
            return count_ready(connection)

    def submit(self, ballot: Ballot) -> "Future[Receipt]":
        """Queue a vote; the future is done when it is on the disk, or refused.

        Raises:
            InputError: The ballot is malformed. What :meth:`vote` raises otherwise comes from the future.
        """
        check_ballot(ballot)
        landing = self._writer.cast(ballot)
        watch_vote(ballot, landing)
        return landing

    def vote(self, ballot: Ballot) -> Receipt:
        """Store a vote and wait until it is on the disk.

        Returns:
            The receipt; for a repeat of a key the first one, with ``replayed`` set.

        Raises:
            InputError: The ballot is malformed.
            NotFoundError: The duel was never shown to this judge.
            ConflictError: The key already stands for something else, or the duel has a vote.
            StoreError: It could not be written; it was not acknowledged, so send it again with the same key.
        """
        return self.submit(ballot).result()

    def undo(self, judge: str) -> Duel | None:
        """Take back a judge's last vote that still counts.

        The duel is open again and comes first in :meth:`open_duels`; a new vote on it needs a new key.

        Returns:
            That duel, or ``None`` if there is nothing left to take back.
        """
        duel_id = self._writer.run(lambda batch: undo_last(batch, judge))
        if duel_id is None:
            return None
        with self.reading() as connection:
            return load_duels(connection, [one_row(connection, duel_id)], self._input)[0]

    # What was voted, without reading every vote

    def columns(self, *, patient: bool = False) -> VoteColumns:
        """The votes that count, as columns of numbers.

        Args:
            patient: Read new ones in bites with rests between, for the sake of this process's other threads.
                The first time there are none yet who would wait.
        """
        more = patient and self._columns.seq > 0
        while more:
            began = time.perf_counter()
            with self._columns_lock:
                more = self._columns.follow(bite=_BITE)
            time.sleep(_REST * (time.perf_counter() - began))
        with self._columns_lock:
            self._columns.follow()
            return self._columns.columns()

    def tally(self) -> Mapping[tuple[str, Verdict], int]:
        """How many votes count, by judge and verdict."""
        with self._columns_lock:
            self._columns.follow()
            return dict(self._columns.counts)

    def given(self, judge: str, *, upto: int | None = None) -> int:
        """How many votes of a judge count, those on planted duels too.

        Args:
            judge: Whose.
            upto: What came after this event may be left out, which saves a look at the file.
        """
        with self._columns_lock:
            if upto is None or self._columns.seq < upto:
                self._columns.follow()
            return self._columns.given(judge)

    def last_voted(self, judge: str) -> str | None:
        """The duel of a judge's last vote that counts: what :meth:`undo` would take back."""
        with self.reading() as connection:
            return last_duel(connection, judge)

    def count_pairings(self) -> Mapping[str, int]:
        """How many pairings have come how far: ``ready``, ``shown``, ``voted``, ``withdrawn``."""
        with self.reading() as connection:
            return count_stages(connection)

    # What is asked just now, and what was said last

    def waiting(self) -> Mapping[str, tuple[Pairing, Progress]]:
        """Pairings that wait for votes and how far each has come, in the order in which they were opened."""
        with self.reading() as connection:
            return waiting_pairings(connection)

    def pairing(self, pairing_id: str) -> tuple[Pairing, Progress]:
        """One pairing and how far it has come.

        Raises:
            NotFoundError: There is none.
        """
        with self.reading() as connection:
            return one_pairing(connection, pairing_id)

    def held(self) -> Mapping[str, int]:
        """How many votes are awaited under leases that stand, by judge."""
        with self.reading() as connection:
            return held_places(connection)

    def latest_votes(self, count: int, *, teaching: bool = False) -> list[Vote]:
        """The last votes that count, planted ones left out, in order; or the last of those that teach."""
        with self.reading() as connection:
            return latest_votes(connection, count, teaching=teaching)

    def setup_events(self, after: int = 0) -> tuple[list[StoredEvent], int]:
        """The events that neither ask, show, vote nor undo, and the number of the last event of any kind."""
        with self.reading() as connection:
            return read_setup(connection, after)

    # What was learnt

    def put_belief(self, belief: Belief) -> None:
        """Keep what was learnt; not an event, since it follows from the votes."""
        self._writer.run(lambda batch: save_belief(batch, belief))
        self.learnt = time.monotonic()

    def belief(self) -> Belief | None:
        """The newest belief, or ``None``."""
        with self.reading() as connection:
            return newest_belief(connection)

    def belief_curve(self) -> list[BeliefPoint]:
        """How the belief has grown: ``(votes, p_best, best, win_rate)`` for each that was kept, in order."""
        with self.reading() as connection:
            return belief_points(connection)

    # Care

    def backup(self, path: str | Path) -> Path:
        """Copy the study while it is being used.

        The copy is checked before it takes its name; a file that was there is replaced at once.

        Raises:
            StoreError: It cannot be written, or the copy does not verify.
        """
        target = Path(path).expanduser().absolute()
        with self.reading() as connection:
            self._backend.back_up(connection, target)
        return target

    def lead(self) -> bool:
        """Whether this process is the one that proposes, asks the model and learns; ask now and then.

        On a server it becomes that one if no other process is, and stays it until it closes or its connection
        is lost. A file knows no such question: its lead is always here.
        """
        return self._backend.lead()

    def give_way(self) -> None:
        """Let another process lead, if this one does."""
        self._backend.give_way()

    def check_writable(self) -> None:
        """Begin and end a transaction that writes nothing.

        Raises:
            StoreError: The study cannot be written to, and why.
        """
        self._writer.run(lambda batch: None)

    def fill_from(self, source: "Store") -> int:
        """Copy everything that another study holds into this empty one: onto a server, or back into a file.

        Returns:
            How many events were copied.

        Raises:
            ConflictError: This study is not empty.
            StoreError: It could not be written; nothing of it was kept.
        """
        with source.reading() as connection:
            return self._writer.run(lambda batch: copy_rows(connection, batch.connection))

    def verify(self) -> list[str]:
        """Look for damage: the file, the chain of hashes, the projections, the texts. Empty is good."""
        return find_problems(self.reading, self._backend.find_damage)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A read transaction, for exports and the like. Keep it short: it can hold up the writer."""
        if self._closed:
            raise StoreError(f"{self.place!r} was closed; open the study again")
        try:
            with self._backend.reading.connect() as connection:
                yield connection
        except self._backend.failures as error:
            raise self._backend.explain(error) from error

    def _announce(self, seq: int) -> None:
        with self._changed:
            self._seen = max(self._seen, seq)
            self._changed.notify_all()

    def _input(self, connection: Connection, input_id: str) -> Input:
        # Inputs are only ever added, so what was read once stays true.
        if input_id not in self._inputs:
            found, self._inputs_seq = read_inputs(connection, self._inputs_seq)
            self._inputs = {**found, **self._inputs}
        if input_id not in self._inputs:
            raise NotFoundError(f"no input {input_id!r} in this study; add it with an 'inputs_added' event")
        return self._inputs[input_id]

    def _check_inputs_exist(self, events: Sequence[tuple[EventKind, Mapping[str, Any]]]) -> None:
        wanted = {payload["input_id"] for kind, payload in events if kind is EventKind.PAIRING_OPENED}
        for kind, payload in events:
            if kind is EventKind.INPUTS_ADDED:
                wanted -= {record["id"] for record in payload["inputs"] if "id" in record}
        if wanted:
            with self.reading() as connection:
                for input_id in sorted(wanted):
                    self._input(connection, input_id)


def _backend_for(place: str | Path, *, create: bool, exclusive: bool) -> Backend:
    if isinstance(place, str) and is_postgres(place):
        from palate.store._postgres import PostgresBackend

        return PostgresBackend(read_address(place), create=create, exclusive=exclusive)
    return SqliteBackend(Path(place).expanduser().absolute(), create=create, exclusive=exclusive)
