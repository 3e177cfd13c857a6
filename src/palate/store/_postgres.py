"""A study on a PostgreSQL server, for several server processes at once.

*Order.* Every write transaction first takes the study's advisory lock, which the server lets go of after the
commit has become visible. So writers follow one another, sequence numbers have no gaps, and whoever sees an
event sees all before it. Writers run at READ COMMITTED, where each statement sees what was committed before
it began: a snapshot from before the lock was granted would be too old. Readers run at REPEATABLE READ, read
only: one moment of the study, holding up nobody.

*Once.* The constraints are those of the file: one vote per judge and key, one vote that counts per duel. The
lock makes a repeat in another process find the first; the constraints would refuse it even without.
"""

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from palate.errors import StoreError
from palate.extras import Foreign, require
from palate.store._backend import StoreInfo
from palate.store._migrate import is_current, migrate
from palate.store._postgres_copy import back_up
from palate.store._postgres_lead import Lead
from palate.store._postgres_url import Address

__all__ = ["PostgresBackend"]

OLDEST_SERVER = 130000
READERS = 8
# Longer than any one transaction of ours takes.
LOCK_SECONDS = 15
# A process that stopped in the middle of a transaction is thrown out before those who wait for it give up.
IDLE_SECONDS = 10
# How long a fresh server waits for the last one's connection to be noticed as gone.
TAKEOVER_SECONDS = 5

_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_CONFIGURE = (
    "SELECT set_config('search_path', %(path)s, false), set_config('lock_timeout', %(lock)s, false), "
    "set_config('idle_in_transaction_session_timeout', %(idle)s, false), "
    "set_config('client_encoding', 'UTF8', false), set_config('synchronous_commit', "
    "CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' "
    "ELSE current_setting('synchronous_commit') END, false)"
)
_SERVER = (
    "SELECT current_setting('server_version_num')::int, current_setting('server_version'), "
    "current_setting('fsync'), current_setting('server_encoding'), current_setting('synchronous_commit')"
)
_HOLDER = (
    "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (l.classid::bigint << 32) | l.objid::bigint = %(key)s"
)
_TABLES = (
    "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
    "WHERE relkind = 'r' AND nspname = %(schema)s"
)
_INDEXES = (
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = %(schema)s AND indisvalid AND indisready"
)
# What keeps a vote from counting twice, whatever a program does.
_GUARDS = ("event_pkey", "vote_pkey", "vote_once", "vote_one_per_duel", "duel_pkey", "pairing_pkey")


class PostgresBackend:
    """One study in a schema of its own; see :class:`palate.store._backend.Backend`.

    Args:
        address: Where.
        create: Make it if it is missing.
        exclusive: Hold the study's serving lock with the connection that writes, so that who lost the one
            has lost the other.
    """

    def __init__(self, address: Address, *, create: bool, exclusive: bool) -> None:
        self.name = address.name
        self.title = address.study
        self.path = Path(address.schema)
        self._address = address
        self._create = create
        self._exclusive = exclusive
        self._psycopg: Foreign = require("psycopg", "postgres", "A study on a PostgreSQL server")
        self.failures: tuple[type[Exception], ...] = (SQLAlchemyError, self._psycopg.Error)
        self.writing = self._engine(writes=True)
        self.reading = self._engine(writes=False)
        self._lead = Lead(self._plain_connection, address.lock_key("lead"), self.failures)

    def prepare(self) -> StoreInfo:
        """Check the server, and make or upgrade the tables, in one transaction."""
        with self.writing.connect() as connection, connection.begin():
            info = self._check_server(connection)
            if not self._is_current(connection):
                connection.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{self._address.schema}"')
                migrate(connection)
        return info

    def check(self) -> StoreInfo:
        """Check the server alone, whether or not the study is there.

        Raises:
            StoreError: It cannot be reached, or no study can be kept there.
        """
        try:
            with self.reading.connect() as connection:
                return self._check_server(connection)
        except self.failures as error:
            raise self.explain(error) from error

    def lead(self) -> bool:
        """Take the lead, or keep it, on a connection of its own."""
        return self._lead.take()

    def give_way(self) -> None:
        """Let go of the lead."""
        self._lead.give()

    def explain(self, error: Exception) -> StoreError:
        """Say what an error of the server means and what to do about it."""
        if isinstance(error, StoreError):
            return error
        original = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(original, "sqlstate", None) or ""
        # The first line is the message; what follows may repeat values.
        said = self._address.redacted(str(original).strip().partition("\n")[0])
        return StoreError(f"{self.name!r} {_meaning(state, said, self._address.schema)}")

    def passing(self, error: Exception) -> bool:
        """Whether the connection was lost, or the server ended one of two that stood in each other's way."""
        original: Foreign = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(original, self._psycopg.Error):
            return False
        state = original.sqlstate or ""
        lost = isinstance(original, self._psycopg.OperationalError) and state[:3] in ("", "57P", "080")
        return lost or state in ("40001", "40P01", "25P03")

    def together(self, connection: Connection) -> AbstractContextManager[object]:
        """The driver's pipeline: one journey to the server instead of one a statement."""
        handle: Foreign = connection.connection.dbapi_connection
        return handle.pipeline()

    def find_damage(self, connection: Connection) -> list[str]:
        """The constraints that must be there and are not. The server looks after its own files."""
        found = connection.exec_driver_sql(_INDEXES, {"schema": self._address.schema})
        whole = set(found.scalars())
        return [f"the index {name} is missing or not valid" for name in _GUARDS if name not in whole]

    def back_up(self, connection: Connection, target: Path) -> None:
        """Copy the study into an SQLite file, which is a study by itself."""
        back_up(connection, target)

    def close(self) -> None:
        """Close every connection."""
        self._lead.close()
        self.reading.dispose()
        self.writing.dispose()

    def _engine(self, *, writes: bool) -> Engine:
        size: dict[str, Any] = (
            {"pool_size": 1, "max_overflow": 0} if writes else {"pool_size": READERS, "max_overflow": READERS}
        )
        engine = create_engine(
            "postgresql+psycopg://",
            creator=lambda: self._connect(writes=writes),
            poolclass=QueuePool,
            # A reader cannot be repeated from here, so its connection is tried first; the writer repeats.
            pool_pre_ping=not writes,
            # What people wrote stays out of tracebacks.
            hide_parameters=True,
            **size,
        )
        if writes:
            event.listen(engine, "begin", self._lock)
        return engine

    def _lock(self, connection: Connection) -> None:
        # With the driver itself, so that BEGIN travels along.
        handle: Foreign = connection.connection.dbapi_connection
        with handle.pipeline():
            handle.execute("SELECT pg_advisory_xact_lock(%s)", (self._address.lock_key("write"),))

    def _plain_connection(self) -> Foreign:
        psycopg = self._psycopg
        parameters = {**_DEFAULTS, "application_name": _own_name(), **self._address.parameters}
        try:
            return psycopg.connect(**parameters, autocommit=True)
        except psycopg.Error as error:
            # The frames below hold the parameters, so the trace ends here.
            raise psycopg.OperationalError(self._address.redacted(str(error))) from None

    def _connect(self, *, writes: bool) -> Foreign:
        connection = self._plain_connection()
        try:
            self._configure(connection, writes=writes)
        except BaseException:
            connection.close()
            raise
        return connection

    def _configure(self, connection: Foreign, *, writes: bool) -> None:
        level = self._psycopg.IsolationLevel
        settings = {
            "path": f'"{self._address.schema}"',
            "lock": f"{LOCK_SECONDS}s",
            "idle": f"{IDLE_SECONDS}s" if writes else "0",
        }
        connection.execute(_CONFIGURE, settings)
        if writes and self._exclusive:
            self._take_over(connection)
        connection.autocommit = False
        connection.isolation_level = level.READ_COMMITTED if writes else level.REPEATABLE_READ
        connection.read_only = not writes

    def _take_over(self, connection: Foreign) -> None:
        key = {"key": self._address.lock_key("serve")}
        connection.execute(f"SET lock_timeout = '{TAKEOVER_SECONDS}s'")
        try:
            connection.execute("SELECT pg_advisory_lock(%(key)s)", key)
        except self._psycopg.errors.LockNotAvailable:
            row = connection.execute(_HOLDER, key).fetchone()
            holder = f" by {row[0]}" if row and row[0] else " by another process"
            raise StoreError(
                f"{self.name!r} is already being served{holder}; use that page, stop it first, or open "
                "the study without exclusive"
            ) from None
        connection.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")

    def _check_server(self, connection: Connection) -> StoreInfo:
        number, version, fsync, encoding, commit = connection.exec_driver_sql(_SERVER).one()
        if number < OLDEST_SERVER:
            raise StoreError(f"{self.name!r} is on PostgreSQL {version}; Palate needs 13 or newer")
        if encoding != "UTF8":
            raise StoreError(
                f"{self.name!r} is a database in {encoding}, which cannot hold every text; make one with "
                "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
            )
        if fsync != "on":
            raise StoreError(
                f"{self.name!r} is on a server with fsync = off, which forgets votes in a power cut; "
                "switch it on"
            )
        return StoreInfo("", "wal", f"PostgreSQL {version}, synchronous_commit {commit}", version)

    def _is_current(self, connection: Connection) -> bool:
        found = connection.exec_driver_sql(_TABLES, {"schema": self._address.schema})
        there = set(found.scalars())
        if not there:
            if not self._create:
                raise StoreError(
                    f"there is no study at {self.name!r}; check the name, or start it with palate run (in "
                    "Python: create=True)"
                )
            return False
        if "alembic_version" not in there or "event" not in there:
            raise StoreError(
                f"the schema {self._address.schema!r} of {self.name!r} holds other tables, but no Palate "
                "study; choose another name for the study"
            )
        return is_current(connection, self.name)


def _own_name() -> str:
    return f"palate {os.getpid()} on {socket.gethostname()}"[:63]


def _meaning(state: str, said: str, schema: str) -> str:
    known = {
        "53100": "cannot take anything more: the server's disk is full; free some space and try again, what "
        "was acknowledged is safe",
        "53300": "has no connection left for us; raise max_connections or run fewer processes",
        "55P03": f"is busy: another process has been writing for {LOCK_SECONDS} s; stop it and try again",
        "25006": "cannot be written: the server is a standby or read-only; give the address of the primary",
        "42501": f"does not let this user in ({said}); let the owner of the database run: "
        f'CREATE SCHEMA "{schema}" AUTHORIZATION the user, or grant it',
        "25P03": f"ended our transaction, which had stood still for {IDLE_SECONDS} s; nothing of it was "
        "kept, try again",
        "22021": "cannot hold a NUL or a lone surrogate in an identifier; take it out and try again",
        "57P03": "is starting up or shutting down; try again in a moment",
    }
    if state in known:
        return known[state]
    if "password" in said:
        return (
            f"does not let this user in ({said}); give the password in PGPASSWORD, ~/.pgpass or a service, "
            "and the user in the address or in PGUSER"
        )
    if state.startswith(("08", "57P")) or not state:
        return f"cannot be reached ({said}); check the address and the server, then try again"
    return f"cannot be used: {said}"
