"""What the server does with connections that are slow, large or many; and that the table tells the truth."""

import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn
from study_kit import StudyKit
from test_page_server import PATIENCE, served

from palate.errors import ConfigError
from palate.store import Store
from palate.web import Public, check_public, public_address
from palate.web._limits import LIMITS, Limits
from palate.web._protocol import _Joined, bounded
from palate.web._replies import Receive, Scope, Send

SMALL = Limits(head_bytes=2_000, head_seconds=0.4, body_seconds=0.2, connections_each=3)


@contextmanager
def listening(*, shared: bool = True) -> Iterator[tuple[str, int]]:
    """A server that answers anything, within small limits, and reads no body."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        protocol = bounded(shared=shared, limits=SMALL)
        config = uvicorn.Config(answer, http=protocol, ws="none", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


def heard(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    connection.settimeout(PATIENCE)
    pieces = b""
    try:
        while piece := connection.recv(65_536):
            pieces += piece
    except ConnectionResetError:
        pass
    return pieces


def test_a_whole_request_is_answered_and_the_connection_stays() -> None:
    with listening() as place, socket.create_connection(place) as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
            reply = b""
            while not reply.endswith(b"\r\n\r\nok"):
                reply += (piece := connection.recv(1000))
                assert piece, reply
            assert reply.startswith(b"HTTP/1.1 200")
            time.sleep(SMALL.head_seconds / 4)


class Written:
    """A transport that remembers what was written, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def test_head_and_body_of_a_reply_go_out_in_one_piece() -> None:
    written = Written()
    joined = _Joined(written)  # pyright: ignore[reportArgumentType]
    for data in (
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 is a text",
        b"more",
    ):
        joined.write(data)
    assert written.pieces == [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 is a text",
        b"more",
    ]
    joined.write(b"HTTP/1.1 500 Internal Server Error\r\n\r\n")
    assert not joined.is_closing()
    joined.close()
    assert written.pieces[-1].startswith(b"HTTP/1.1 500")
    assert joined.is_closing()


@pytest.mark.parametrize(
    ("sent", "ended"),
    [
        (b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"\r\n\r\n"),
        (b"GET / HTTP/1.0\r\n\r\n", b"\r\n\r\nok"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"ok"),
    ],
)
def test_a_reply_of_any_kind_comes_whole(sent: bytes, ended: bytes) -> None:
    with listening() as place, socket.create_connection(place) as connection:
        connection.sendall(sent)
        reply = heard(connection)
    assert reply.startswith(b"HTTP/1.1 200")
    assert reply.endswith(ended)
    assert reply.count(b"HTTP/1.1 200") == sent.count(b"GET") + sent.count(b"HEAD")


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", b"GET / HTTP/1.1\r\nhost: x\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx: y"],
)
def test_a_head_that_does_not_come_to_its_end_is_cut_off(sent: bytes) -> None:
    with listening() as place, socket.create_connection(place) as connection:
        began = time.monotonic()
        connection.sendall(sent)
        assert heard(connection) == b""
        assert time.monotonic() - began < PATIENCE / 2


def test_a_head_that_drips_is_cut_off_however_lively_it_is() -> None:
    with listening() as place, socket.create_connection(place) as connection:
        began = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with suppress(OSError):
            while time.monotonic() - began < PATIENCE:
                connection.sendall(b"x: y\r\n")
                time.sleep(0.02)
        assert time.monotonic() - began < PATIENCE / 2


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 3_000 + b"\r\n\r\n",
        b"GET /" + b"y" * 3_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: y\r\n" * 500 + b"\r\n",
    ],
)
@pytest.mark.parametrize("pieces", [1, 4])
def test_a_head_that_is_too_large_is_431(sent: bytes, pieces: int) -> None:
    with listening() as place, socket.create_connection(place) as connection:
        size = -(-len(sent) // pieces)
        try:
            for start in range(0, len(sent), size):
                connection.sendall(sent[start : start + size])
                time.sleep(0.02)
        except OSError:
            pass  # it was refused before its end
        assert heard(connection).startswith(b"HTTP/1.1 431 ")


def test_a_body_that_nobody_reads_and_that_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palate.web._protocol.GRACE", 0.1)
    with listening() as place, socket.create_connection(place) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{")
        assert heard(connection).startswith(b"HTTP/1.1 200")


def test_one_address_has_its_share_of_connections() -> None:
    with listening(shared=False) as place:
        held = [socket.create_connection(place) for _ in range(SMALL.connections_each)]
        try:
            with socket.create_connection(place) as further:
                assert heard(further).startswith(b"HTTP/1.1 503 ")
        finally:
            for connection in held:
                connection.close()
    with listening(shared=True) as place:
        held = [socket.create_connection(place) for _ in range(SMALL.connections_each + 1)]
        held[-1].sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert heard(held[-1]).startswith(b"HTTP/1.1 200")
        for connection in held:
            connection.close()


def test_the_table_in_the_documentation_has_every_limit() -> None:
    page = Path(__file__).parents[2] / "docs" / "ideas" / "security.md"
    told = dict(re.findall(r"^\| `(\w+)` \| ([0-9,.]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert {name: float(value.replace(",", "")) for name, value in told.items()} == {
        name: float(value) for name, value in asdict(LIMITS).items()
    }


# -- the public address ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost, made by OpenSSL."""
    import shutil
    import subprocess

    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs the openssl program")
    files = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *(program, "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-out", str(files[0]), "-keyout", str(files[1])),
        ],
        check=True,
        capture_output=True,
    )
    return files


@pytest.mark.parametrize(
    ("where", "proxy", "expected"),
    [
        ("127.0.0.1:8000", "https://rate.example.org", ("127.0.0.1", 8000, "https://rate.example.org")),
        ("0.0.0.0", "https://Rate.example.org/", ("0.0.0.0", 8000, "https://rate.example.org")),
        ("[::1]:9000", "https://rate.example.org:8443", ("::1", 9000, "https://rate.example.org:8443")),
        ("inside", "https://rate.example.org:443", ("inside", 8000, "https://rate.example.org")),
    ],
)
def test_behind_a_proxy_its_name_is_the_origin(
    where: str, proxy: str, expected: tuple[str, int, str]
) -> None:
    found = public_address(where, proxy=proxy)
    assert (found.host, found.port, found.origin) == expected
    assert found.proxied
    assert found.certificate is None


def test_with_a_certificate_the_name_is_the_origin(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    for where, host, port, origin in [
        ("Rate.example.org", "", 443, "https://rate.example.org"),
        ("rate.example.org:8443", "", 8443, "https://rate.example.org:8443"),
        ("192.0.2.7:8443", "192.0.2.7", 8443, "https://192.0.2.7:8443"),
        ("[2001:db8::1]:8443", "2001:db8::1", 8443, "https://[2001:db8::1]:8443"),
    ]:
        assert public_address(where, certificate=cert, key=key) == Public(
            host, port, origin, False, cert, key
        )


@pytest.mark.parametrize(
    ("where", "options", "named"),
    [
        ("rate.example.org", {}, "--tls-cert"),
        ("rate.example.org", {"certificate": Path("c")}, "belong together"),
        ("rate.example.org", {"key": Path("k")}, "belong together"),
        ("rate.example.org", {"certificate": Path("c"), "key": Path("k")}, "cannot be used"),
        ("h", {"certificate": Path("c"), "key": Path("k"), "proxy": "https://x"}, "not both"),
        ("h", {"proxy": "http://rate.example.org"}, "https origin"),
        ("h", {"proxy": "https://rate.example.org/path"}, "https origin"),
        ("h", {"proxy": "https://user@rate.example.org"}, "https origin"),
        ("h", {"proxy": "https://*.example.org"}, "https origin"),
        ("http://h", {"proxy": "https://x.org"}, "HOST:PORT"),
        ("a b", {"proxy": "https://x.org"}, "HOST:PORT"),
        ("", {"proxy": "https://x.org"}, "HOST:PORT"),
        ("h:99999", {"proxy": "https://x.org"}, "65535"),
    ],
)
def test_a_public_address_without_protection_is_refused(
    where: str, options: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(named)):
        public_address(where, **options)  # pyright: ignore[reportArgumentType]


def test_an_address_that_is_everywhere_needs_a_name(certificate: tuple[Path, Path]) -> None:
    for where in ("0.0.0.0", "[::]:8443"):
        with pytest.raises(ConfigError, match="names no computer"):
            public_address(where, certificate=certificate[0], key=certificate[1])


def test_nobody_invited_means_no_public_page(store: Store, kit: StudyKit) -> None:
    public = public_address("127.0.0.1:0", proxy="https://rate.example.org")
    with pytest.raises(ConfigError, match=r"palate invite STUDY --name NAME --at https://rate\.example\.org"):
        check_public(store, public)
    store.invite("Anna", "a" * 43, expires="2000-01-01T00:00:00+00:00")
    with pytest.raises(ConfigError, match="nobody is, or no more"):
        check_public(store, public)
    store.invite("Ben", "b" * 43)
    check_public(store, public)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def asked(connection: socket.socket, path: str, host: str, method: str = "GET", **more: str) -> bytes:
    named = "".join(f"{name}: {value}\r\n" for name, value in more.items())
    connection.sendall(
        f"{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{named}\r\n".encode()
    )
    return heard(connection)


def test_others_come_by_tls_and_the_owner_by_loopback(
    store: Store, kit: StudyKit, certificate: tuple[Path, Path]
) -> None:
    kit.pair(3)
    store.invite("Anna", "a" * 43)
    port = free_port()
    public = public_address(f"127.0.0.1:{port}", certificate=certificate[0], key=certificate[1])
    trusting = ssl.create_default_context(cafile=str(certificate[0]))

    def call(path: str, method: str = "GET", **more: str) -> bytes:
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            trusting.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            return asked(connection, path, f"127.0.0.1:{port}", method, **more)

    with served(store, public=public) as link:
        launch = urlsplit(link)
        assert call(launch.path).startswith(b"HTTP/1.1 404")
        assert call("/health").startswith(b"HTTP/1.1 403")
        let_in = call(f"/join/{'a' * 43}", "POST", origin=public.origin)
        assert let_in.startswith(b"HTTP/1.1 303")
        cookie = let_in.partition(b"set-cookie: ")[2].partition(b";")[0].decode()
        assert cookie.startswith("__Host-palate=")
        assert call("/api/duels", cookie=cookie).startswith(b"HTTP/1.1 200")
        with socket.create_connection((launch.hostname or "", launch.port or 0)) as connection:
            assert asked(connection, launch.path, launch.netloc).startswith(b"HTTP/1.1 303")
        with socket.create_connection(("127.0.0.1", port)) as plain:  # nothing is answered in the clear
            assert not asked(plain, "/", f"127.0.0.1:{port}").startswith(b"HTTP")
    assert [event.payload for event in store.access_events() if event.kind.value == "page_opened"] == [
        {"origin": public.origin}
    ]
