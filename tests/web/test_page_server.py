"""The server: one machine, one link, one port, a clean end."""

import http.client
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from study_kit import StudyKit

from palate.errors import ConfigError
from palate.store import Store
from palate.web import serve

PATIENCE = 20  # seconds


@contextmanager
def served(store: Store, **options: Any) -> Iterator[str]:
    links: queue.Queue[str] = queue.Queue()
    stop = threading.Event()
    thread = threading.Thread(target=lambda: serve(store, on_ready=links.put, stop=stop, **options))
    thread.start()
    try:
        yield links.get(timeout=PATIENCE)
    finally:
        stop.set()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def ask(link: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=PATIENCE)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    reply.read()
    connection.close()
    return reply


def test_the_printed_link_opens_the_page(store: Store, kit: StudyKit) -> None:
    with served(store) as link:
        assert link.startswith("http://127.0.0.1:")
        assert len(link.rpartition("/")[2]) == 43  # 256 bits
        assert ask(link, "/").status == 403
        let_in = ask(link, urlsplit(link).path)
        assert let_in.status == 303
        cookie = str(let_in.getheader("set-cookie")).partition(";")[0]
        page = ask(link, "/", cookie=cookie)
        assert page.status == 200
        assert page.getheader("server") is None


def test_only_this_machine_is_listened_to(store: Store, kit: StudyKit) -> None:
    with served(store) as link:
        port = int(urlsplit(link).port or 0)
        table = "".join(lines_of(f"/proc/net/{name}") for name in ("tcp", "tcp6"))
        listening = [line.split()[1] for line in table.splitlines() if f":{port:04X} 00000000" in line]
        assert listening == [f"0100007F:{port:04X}"]


def lines_of(path: str) -> str:
    if not Path(path).exists():
        pytest.skip("this system does not list its sockets in /proc")
    return Path(path).read_text(encoding="ascii")


def test_a_taken_port_is_one_clear_error(store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} cannot be used .* --port"):
            serve(store, port=port, on_ready=lambda link: None, stop=threading.Event())


def test_an_impossible_port_is_one_clear_error(store: Store) -> None:
    with pytest.raises(ConfigError, match="port 70000 cannot be used"):
        serve(store, port=70_000, on_ready=lambda link: None, stop=threading.Event())


def test_a_page_that_waits_does_not_hold_up_the_end(store: Store, kit: StudyKit) -> None:
    with served(store) as link:
        cookie = str(ask(link, urlsplit(link).path).getheader("set-cookie")).partition(";")[0]
        connection = http.client.HTTPConnection(urlsplit(link).netloc, timeout=PATIENCE)
        connection.request("GET", "/api/duels?wait=25&have=0", headers={"cookie": cookie})
    connection.close()
