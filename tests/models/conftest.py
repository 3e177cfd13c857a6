"""A real HTTP endpoint on the loopback interface that answers as a test scripts it."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Reply:
    """What the endpoint does with one request."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    cut: bool = False  # promise the whole body, send half of it, and hang up
    drop: bool = False  # hang up without a word


@dataclass
class Seen:
    path: str
    headers: dict[str, str]
    body: Any


class Endpoint:
    """Scripted by assigning ``script``: a function of the request's number and content."""

    def __init__(self) -> None:
        self.script: Callable[[int, Seen], Reply] = lambda n, seen: self.chat("ok")
        self.seen: list[Seen] = []
        self.active = 0
        self.most_active = 0
        self.released = threading.Event()
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length", 0)))
                seen = Seen(self.path, {k.lower(): v for k, v in self.headers.items()}, json.loads(raw))
                endpoint.handle(self, seen)

            def do_GET(self) -> None:
                headers = {k.lower(): v for k, v in self.headers.items()}
                endpoint.handle(self, Seen(self.path, headers, None))

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @staticmethod
    def reply(content: Any, status: int = 200, **headers: str) -> Reply:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status, json.dumps(content).encode(), names)

    @classmethod
    def chat(cls, text: Any, finish: str = "stop", **message: Any) -> Reply:
        choice = {
            "index": 0,
            "finish_reason": finish,
            "message": {"role": "assistant", "content": text, **message},
        }
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        return cls.reply({"model": "served-model", "choices": [choice], "usage": usage})

    @classmethod
    def error(cls, status: int, message: str = "no", **headers: str) -> Reply:
        return cls.reply({"error": {"message": message}}, status, **headers)

    @classmethod
    def hang(cls) -> Reply:
        return Reply(hang=True)

    def play(self, *replies: Reply) -> None:
        """Answer with these in order; the last one stays."""
        self.script = lambda n, seen: replies[min(n, len(replies) - 1)]

    def handle(self, handler: BaseHTTPRequestHandler, seen: Seen) -> None:
        with self._lock:
            number = len(self.seen)
            self.seen.append(seen)
            self.active += 1
            self.most_active = max(self.active, self.most_active)
        reply = self.script(number, seen)
        with self._lock:
            self.active -= 1
        if reply.hang:
            self.released.wait(30)
        if reply.hang or reply.drop:
            handler.close_connection = True
            return
        handler.send_response(reply.status)
        handler.send_header("content-length", str(len(reply.body)))
        for name, value in {"content-type": "application/json", **reply.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(reply.body[: len(reply.body) // 2] if reply.cut else reply.body)
        if reply.cut:
            handler.close_connection = True

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    made = Endpoint()
    yield made
    made.close()


class MemoryCache:
    """A completion cache that can be damaged and counted."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.writes = 0

    def get_completion(self, key: str) -> Any:
        return self.rows.get(key)

    def put_completion(self, key: str, value: Any) -> None:
        self.writes += 1
        self.rows[key] = json.loads(json.dumps(value))


@pytest.fixture
def cache() -> MemoryCache:
    return MemoryCache()
