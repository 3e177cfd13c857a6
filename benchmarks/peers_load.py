"""The same load of votes on Palate, Label Studio and feedloop, each in its own environment, as a table.

python benchmarks/peers_load.py --votes 2000 --write benchmarks/results/peers_load.md

Every product is installed from its package into a virtual environment of its own (kept in ``--folder``),
started on loopback with fresh data and asked by the same client: as many comparisons as votes, 32 requests
in flight, one vote each. Then every tenth request is sent once more, as a browser does that got no answer,
and one comparison gets the opposite vote. Afterwards the product's own data say how many votes there are.
Last, a request with a foreign ``Host`` and ``Origin`` and no credentials asks for the collected data.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from vote_round_trip import let_in, prepare

from palate.store import EventKind, open_store

IN_FLIGHT = 32
REPEATS = 10
STARTED_WITHIN = 1200.0
LABEL_STUDIO, FEEDLOOP = "label-studio==1.23.2", "feedloop==1.5.3"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONFIG = (
    '<View><Text name="prompt" value="$prompt"/><Text name="a" value="$a"/><Text name="b" value="$b"/>'
    '<Pairwise name="choice" toName="a,b"/></View>'
)
FEEDLOOP_SERVER = """
import sys, time, feedloop
feedloop.start(port=int(sys.argv[1]), db_path=sys.argv[2], open_browser=False)
print(feedloop._server.url, flush=True)
for line in sys.stdin:
    for k in range(int(line)):
        feedloop.compare(f"Question {k}?", ["It is on its way.", "Sorry! It is on its way."])
    import sqlite3
    rows = sqlite3.connect(sys.argv[2]).execute("SELECT id FROM comparisons").fetchall()
    print(*[row[0] for row in rows], flush=True)
"""


class Ask(NamedTuple):
    """One HTTP request."""

    path: str
    body: bytes
    headers: tuple[tuple[str, str], ...]
    method: str = "POST"


class Row(NamedTuple):
    """What one product did. Latencies in milliseconds."""

    name: str
    votes: int
    failed: int
    per_second: float
    p50: float
    p99: float
    stored: int
    opposite: str
    foreign: str


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def environment(folder: Path, package: str) -> Path:
    """A virtual environment with a package; returns its folder of programs."""
    place = folder / package.partition("=")[0]
    programs = place / ("Scripts" if os.name == "nt" else "bin")
    if not (place / "installed").is_file():
        venv.create(place, with_pip=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "-q", package], check=True)
        (place / "installed").write_text(package)
    return programs


class Palate:
    """This work tree, its page's server on loopback."""

    name = "Palate"

    def __init__(self, folder: Path) -> None:
        self._path = folder / "palate.db"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self._cookie = ""

    def start(self, votes: int) -> list[str]:
        """Make the comparisons, start the server; returns their identifiers."""
        found = prepare(self._path, 0, votes)
        script = Path(__file__).with_name("vote_round_trip.py")
        self._process = subprocess.Popen(
            [sys.executable, script, "--serve", self._path], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        link = self._process.stdout.readline().strip()
        self.port = int(link.split(":")[2].split("/")[0])
        self._cookie = asyncio.run(let_in(self.port, "/" + link.split("/", 3)[3]))
        return found

    def vote(self, item: str, side: str) -> Ask:
        """The request that the page sends."""
        body = {"duel_id": item, "verdict": side, "key": f"{item}-{side}", "seconds": 2.5}
        origin = f"http://127.0.0.1:{self.port}"
        headers = (("Cookie", self._cookie), ("Origin", origin), ("Content-Type", "application/json"))
        return Ask("/api/votes", json.dumps(body).encode(), headers)

    def stored(self) -> int:
        """Votes in the events."""
        with open_store(self._path, create=False) as store:
            return sum(event.kind is EventKind.VOTED for event in store.events())

    def sides(self, item: str) -> str:
        """What is stored of one comparison."""
        with open_store(self._path, create=False) as store:
            return "+".join(
                str(event.payload["verdict"])
                for event in store.events()
                if event.kind is EventKind.VOTED and event.payload["duel_id"] == item
            )

    data_path = "/api/duels"

    def stop(self) -> None:
        """End the server."""
        if self._process:
            self._process.terminate()
            self._process.wait()


class LabelStudio:
    """Its default server and database, a project of pairwise tasks."""

    name = LABEL_STUDIO.replace("==", " ")

    def __init__(self, folder: Path) -> None:
        self._program = environment(folder, LABEL_STUDIO) / "label-studio"
        # Making its database takes minutes, so it is kept; every run has a project of its own.
        self._data = folder / "label-studio-data"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._headers = (("Authorization", f"Token {TOKEN}"), ("Content-Type", "application/json"))
        self._project = 0

    def start(self, votes: int) -> list[str]:
        """Start the server, make a project and its tasks."""
        if not (self._data / "made").is_file():
            shutil.rmtree(self._data, ignore_errors=True)  # a start that was broken off leaves half of it
        self._data.mkdir(parents=True, exist_ok=True)
        quiet = {"COLLECT_ANALYTICS": "0", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "", "DEBUG": "0"}
        places = {"HOME": str(self._data), "LABEL_STUDIO_BASE_DATA_DIR": str(self._data)}
        user = ("--username", "rater@example.com", "--password", "only-on-loopback-1", "--user-token", TOKEN)
        self._process = subprocess.Popen(
            [
                *(self._program, "start", "--no-browser", "--port", str(self.port)),
                *("--internal-host", "127.0.0.1", *user, "--enable-legacy-api-token"),
            ],
            env={**os.environ, **quiet, **places, "LATEST_VERSION_CHECK": "0"},
            stdout=(self._data / "log").open("wb"),
            stderr=subprocess.STDOUT,
        )
        wait_for(self.port, Ask("/api/version", b"", (), "GET"), self._process)
        (self._data / "made").touch()
        made = self._call("/api/projects/", {"title": "pairs", "label_config": CONFIG})
        self._project = made["id"]
        tasks = [
            {"data": {"prompt": f"Question {k}?", "a": "It is on its way.", "b": "Sorry! It is on its way."}}
            for k in range(votes)
        ]
        for start in range(0, votes, 1000):
            self._call(f"/api/projects/{self._project}/import", tasks[start : start + 1000])
        listed: list[str] = []
        page = 1
        while len(listed) < votes:
            query = f"/api/tasks/?project={self._project}&page={page}&page_size=500&fields=task_only"
            listed += [str(task["id"]) for task in self._call(query)["tasks"]]
            page += 1
        return listed

    def vote(self, item: str, side: str) -> Ask:
        """The request that its page sends."""
        chosen = {"from_name": "choice", "to_name": "a", "type": "pairwise", "value": {"selected": side}}
        body = {"result": [chosen], "lead_time": 2.5, "project": self._project}
        return Ask(f"/api/tasks/{item}/annotations/", json.dumps(body).encode(), self._headers)

    def stored(self) -> int:
        """Annotations by its own count."""
        return int(self._call(f"/api/projects/{self._project}/")["total_annotations_number"])

    def sides(self, item: str) -> str:
        """What is stored of one comparison."""
        found = self._call(f"/api/tasks/{item}/annotations/")
        return "+".join(sorted(str(each["result"][0]["value"]["selected"]) for each in found))

    @property
    def data_path(self) -> str:
        """Where its export is."""
        return f"/api/projects/{self._project}/export?exportType=JSON"

    def stop(self) -> None:
        """End the server."""
        if self._process:
            self._process.terminate()
            self._process.wait()

    def _call(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", data, dict(self._headers), method="POST" if data else "GET"
        )
        with urllib.request.urlopen(request, timeout=STARTED_WITHIN) as reply:
            return json.loads(reply.read())


class Feedloop:
    """Its own server in a process."""

    name = FEEDLOOP.replace("==", " ")

    def __init__(self, folder: Path) -> None:
        self._python = environment(folder, FEEDLOOP) / "python"
        self._path = folder / f"feedloop-{time.time_ns()}.db"
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    def start(self, votes: int) -> list[str]:
        """Start the server and submit the comparisons."""
        self._process = subprocess.Popen(
            [self._python, "-c", FEEDLOOP_SERVER, str(self.port), self._path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin
        assert self._process.stdout
        while not (line := self._process.stdout.readline()).startswith("http"):
            pass
        self.port = int(line.rsplit(":", 1)[1])
        self._process.stdin.write(f"{votes}\n")
        self._process.stdin.flush()
        while len(found := self._process.stdout.readline().split()) < votes:
            pass
        wait_for(self.port, Ask("/api/stats", b"", (), "GET"), self._process)
        return found

    def vote(self, item: str, side: str) -> Ask:
        """The request that its page sends."""
        body = {"comparison_id": item, "chosen_side": side}
        return Ask("/api/feedback", json.dumps(body).encode(), (("Content-Type", "application/json"),))

    def stored(self) -> int:
        """Completed comparisons."""
        return int(self._query("SELECT count(*) FROM comparisons WHERE status = 'completed'"))

    def sides(self, item: str) -> str:
        """What is stored of one comparison."""
        chosen = self._query("SELECT chosen FROM comparisons WHERE id = ?", item)
        order = self._query("SELECT display_order FROM comparisons WHERE id = ?", item)
        return "left" if str(order).startswith(str(chosen)) else "right"

    data_path = "/api/export"

    def stop(self) -> None:
        """End the server."""
        if self._process:
            self._process.terminate()
            self._process.wait()

    def _query(self, sql: str, *parameters: str) -> Any:
        import sqlite3

        with sqlite3.connect(self._path) as connection:
            return connection.execute(sql, parameters).fetchone()[0]


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, ask: Ask, host: str = ""
) -> tuple[int, dict[str, str], bytes]:
    """One request and its whole reply, on a connection that may be used again."""
    fixed = (("Host", host or f"127.0.0.1:{port}"), ("Content-Length", str(len(ask.body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in (*fixed, *ask.headers))
    writer.write(f"{ask.method} {ask.path} HTTP/1.1\r\n{head}\r\n".encode() + ask.body)
    status = (await reader.readline()).split()
    if len(status) < 2:
        raise ConnectionResetError("no answer")
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).strip() or b"0", 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    elif "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read()
    return int(status[1]), headers, body


async def load(port: int, asks: Sequence[Ask]) -> tuple[list[float], int, float]:
    """Send requests, 32 at a time; returns the latencies of those that succeeded, the failures, the time."""
    todo = list(reversed(asks))
    taken: list[float] = []
    failed = 0

    async def client() -> None:
        nonlocal failed
        streams = None
        while todo:
            ask = todo.pop()
            began = time.perf_counter()
            try:
                streams = streams or await asyncio.open_connection("127.0.0.1", port)
                status, headers, _ = await exchange(*streams, port, ask)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                status, headers = 0, {"connection": "close"}
            if 200 <= status < 300:
                taken.append(1000 * (time.perf_counter() - began))
            else:
                failed += 1
            if streams and headers.get("connection", "").lower() == "close":
                streams[1].close()
                streams = None
        if streams:
            streams[1].close()

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
    return taken, failed, time.perf_counter() - began


async def one(port: int, ask: Ask, host: str = "") -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await exchange(reader, writer, port, ask, host)
    finally:
        writer.close()


def wait_for(port: int, ask: Ask, process: "subprocess.Popen[Any]") -> None:
    """Until a server answers."""
    until = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it answered")
        with suppress(OSError, ValueError, asyncio.IncompleteReadError):
            if asyncio.run(one(port, ask))[0] < 500:
                return
        time.sleep(0.5)
    raise RuntimeError(f"no answer within {STARTED_WITHIN:.0f} s")


def foreign(port: int, path: str) -> str:
    """What somebody on another site's page gets who has no credentials."""
    headers = (("Origin", "https://evil.example"),)
    status, told, body = asyncio.run(one(port, Ask(path, b"", headers, "GET"), "evil.example"))
    if status >= 300:
        return f"refused ({status})"
    allowed = told.get("access-control-allow-origin", "none")
    return f"{len(body):,} bytes read, allowed origin {allowed}"


def measure(product: "Palate | LabelStudio | Feedloop", votes: int) -> Row:
    """Put one product through everything."""
    try:
        items = product.start(votes)[:votes]
        asks = [product.vote(item, "left") for item in items]
        taken, failed, seconds = asyncio.run(load(product.port, asks))
        asyncio.run(load(product.port, asks[::REPEATS]))
        status, _, _ = asyncio.run(one(product.port, product.vote(items[1], "right")))
        opposite = f"{status}; stored: {product.sides(items[1])}"
        stored = product.stored()
        read = foreign(product.port, product.data_path)
    finally:
        product.stop()
    ordered = sorted(taken) or [float("nan")]
    n = len(ordered)
    figures = n / seconds, ordered[n // 2], ordered[int(0.99 * n)]
    return Row(product.name, len(taken), failed, *figures, stored, opposite, read)


def table(rows: Sequence[Row | tuple[str, str]], arguments: argparse.Namespace) -> str:
    """All products beside each other."""
    lines = [
        "# The same load on peers",
        "",
        f"`python benchmarks/peers_load.py --votes {arguments.votes}`",
        "",
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; load average "
        f"before: {arguments.load:.1f}. {arguments.votes:,} comparisons with one vote each, {IN_FLIGHT} "
        "requests in flight over loopback, each product's default server and database. Then "
        f"{arguments.votes // REPEATS:,} of the requests once more, as after an answer that was lost, and "
        "the opposite vote on one comparison. *Stored* should be the number of votes. *Foreign page*: a "
        "request for the collected data with another site's Host and Origin and no credentials.",
        "",
        "| product | acknowledged | failed | acknowledged/s | p50, ms | p99, ms | stored | opposite vote | "
        "foreign page |",
        "|---|--:|--:|--:|--:|--:|--:|---|---|",
    ]
    for row in rows:
        if isinstance(row, Row):
            lines.append(
                f"| {row.name} | {row.votes:,} | {row.failed:,} | {row.per_second:,.0f} | {row.p50:.1f} | "
                f"{row.p99:.1f} | {row.stored:,} | {row.opposite} | {row.foreign} |"
            )
        else:
            lines.append(f"| {row[0]} | could not be run: {row[1]} | | | | | | | |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Measure the products one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--votes", type=int, default=2000)
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp/palate-peers"), help="environments and data"
    )
    parser.add_argument("--only", nargs="*", default=["palate", "feedloop", "label-studio"])
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    arguments.load = os.getloadavg()[0]
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "palate.db").unlink(missing_ok=True)
    makers = {"palate": Palate, "feedloop": Feedloop, "label-studio": LabelStudio}
    rows: list[Row | tuple[str, str]] = []
    for name in arguments.only:
        try:
            rows.append(measure(makers[name](arguments.folder), arguments.votes))
        except (OSError, RuntimeError, subprocess.CalledProcessError, urllib.error.URLError) as error:
            rows.append((name, " ".join(str(error).split())[:120]))
        print(rows[-1], flush=True)
    text = table(rows, arguments)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
