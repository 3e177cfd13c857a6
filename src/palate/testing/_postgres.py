"""A PostgreSQL server of its own for tests and benchmarks: made in a temporary folder, gone afterwards."""

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

from palate.errors import PalateError

__all__ = ["PostgresServer", "find_postgres", "postgres_server"]

_USER = "palate"
_DATABASE = "studies"
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


def find_postgres() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl`` of the newest PostgreSQL here, or ``None``."""
    if sys.platform == "win32":
        return None
    on_path = shutil.which("pg_ctl")
    if on_path and shutil.which("initdb"):
        return Path(on_path).resolve().parent
    found = [
        folder for place in _PLACES for folder in Path("/").glob(place[1:]) if (folder / "initdb").exists()
    ]
    return max(found, key=lambda folder: int((re.findall(r"\d+", str(folder)) or ["0"])[0]), default=None)


class PostgresServer:
    """A server that listens on a socket in its folder and on nothing else.

    Args:
        programs: What :func:`find_postgres` found.
        folder: Empty; belongs to whoever runs the server.
        locale: Default order of texts of its databases, as ICU knows it. Not that of code points, so that a
            store which relies on the default is found out.
    """

    def __init__(self, programs: Path, folder: Path, locale: str = "en-US") -> None:
        self.folder = folder
        self.password = secrets.token_hex(12)
        self._programs = programs
        self._data = folder / "data"
        secret = folder / "password"
        secret.write_text(self.password, encoding="ascii")
        _give_away(secret)
        self._run(
            *("initdb", "--no-sync", f"--pgdata={self._data}", f"--username={_USER}", "--auth=scram-sha-256"),
            *(f"--pwfile={secret}", "--encoding=UTF8", "--locale=C.UTF-8"),
            *("--locale-provider=icu", f"--icu-locale={locale}"),
        )
        settings = f"listen_addresses = ''\nunix_socket_directories = '{folder}'\nmax_connections = 100\n"
        with (self._data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(settings)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = self.folder / "log"
        self._run("pg_ctl", f"--pgdata={self._data}", f"--log={log}", "--wait", "--timeout=60", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``"fast"``, or ``"immediate"`` as a crash would, with nothing written down."""
        self._run("pg_ctl", f"--pgdata={self._data}", "--wait", "--timeout=60", f"--mode={mode}", "stop")

    def make_database(self) -> None:
        """Make the database for the studies; once."""
        self.execute(f"CREATE DATABASE {_DATABASE}", database="postgres")

    def url(self, study: str = "study", *, database: str = _DATABASE) -> str:
        """What ``open_store`` is given for a study."""
        query = urlencode({"host": str(self.folder), "study": study})
        return f"postgresql://{_USER}:{quote(self.password)}@/{database}?{query}"

    def execute(self, statement: str, *, database: str = _DATABASE) -> str:
        """Run a statement as the owner of everything; returns what ``psql`` printed, bare."""
        command = [
            str(self._programs / "psql"),
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            str(self.folder),
        ]
        command += ["-U", _USER, "-d", database, "-c", statement]
        environment = {**os.environ, "PGPASSWORD": self.password}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PalateError(f"psql failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            command = ["runuser", "-u", _unprivileged(), "--", *command]
        done = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip()
            raise PalateError(f"{program} failed: {said}")


@contextmanager
def postgres_server() -> Generator[PostgresServer]:
    """A running server with a database for studies; stopped and removed at the end.

    Raises:
        PalateError: There is no PostgreSQL on this machine, or it does not start.
    """
    programs = find_postgres()
    if programs is None:
        raise PalateError("there is no PostgreSQL here; install it, as with: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="palate-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        _give_away(folder)
        server = PostgresServer(programs, folder)
        server.start()
        try:
            server.make_database()
            yield server
        finally:
            server.stop("immediate")


def _give_away(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, _unprivileged())


def _unprivileged() -> str:
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
