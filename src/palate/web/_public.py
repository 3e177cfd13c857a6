"""The address at which other computers reach the page, and what must be true before it is opened."""

import ipaddress
import re
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

from palate.errors import ConfigError

__all__ = ["Public", "listen", "public_address"]

PROXY_PORT, TLS_PORT = 8000, 443
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")


class Public(NamedTuple):
    """A listener for other computers.

    Args:
        host: The address that is listened to.
        port: Its port.
        origin: The one origin under which browsers may use the page, always https.
        proxied: Whether a proxy ends TLS.
        certificate: File with the certificate and its chain; ``None`` behind a proxy.
        key: File with the private key; ``None`` behind a proxy.
    """

    host: str
    port: int
    origin: str
    proxied: bool
    certificate: Path | None = None
    key: Path | None = None


def public_address(
    where: str, *, certificate: Path | None = None, key: Path | None = None, proxy: str | None = None
) -> Public:
    """Read ``--public HOST[:PORT]`` and what belongs to it.

    Args:
        where: With a certificate, the name that people type, with its port unless that is 443; behind a proxy
            the address that the proxy connects to, with its port unless that is 8000.
        certificate: File with the certificate and its chain.
        key: File with its private key.
        proxy: The origin that a proxy serves by https, such as ``https://rate.example.org``.

    Raises:
        ConfigError: Neither a certificate nor a proxy was stated, or both were, or one cannot be used.
    """
    host, port = _split(where)
    if (certificate is None) != (key is None):
        raise ConfigError("--tls-cert and --tls-key belong together; give both files")
    if proxy is not None and certificate is not None:
        raise ConfigError(
            "give --tls-cert and --tls-key, or --behind-proxy; not both, since one of them ends TLS"
        )
    if proxy is not None:
        return Public(host, port or PROXY_PORT, _origin(proxy), proxied=True)
    if certificate is None or key is None:
        raise ConfigError(
            "--public serves other computers, whose votes and cookies must not travel in the clear; add "
            "--tls-cert FILE and --tls-key FILE, or --behind-proxy https://NAME if a proxy there ends TLS"
        )
    _check_certificate(certificate, key)
    if _is_anywhere(host):
        raise ConfigError(
            f"--public {where} names no computer; give the name that people type, such as rate.example.org"
        )
    shown = f"[{host}]" if ":" in host else host
    origin = f"https://{shown}" + ("" if port in (0, TLS_PORT) else f":{port}")
    return Public(host if _is_address(host) else "", port or TLS_PORT, origin, False, certificate, key)


def _split(where: str) -> tuple[str, int]:
    text = where.strip().lower()
    bracketed = re.fullmatch(r"\[([0-9a-f:.]+)\](?::(\d{1,5}))?", text)
    plain = re.fullmatch(r"([^:/@\[\]]+)(?::(\d{1,5}))?", text)
    found = bracketed or plain
    if found is None or not (_is_address(found[1]) or _NAME.fullmatch(found[1])):
        raise ConfigError(f"--public is {where!r}; write HOST or HOST:PORT, such as rate.example.org:8443")
    port = int(found[2] or 0)
    if port > 65535:
        raise ConfigError(f"--public names port {port}; ports end at 65535")
    return found[1], port


def _origin(proxy: str) -> str:
    found = re.fullmatch(r"https://([^/:@\[\]]+)(?::(\d{1,5}))?/?", proxy.strip().lower())
    if found is None or not _NAME.fullmatch(found[1]) or int(found[2] or 1) > 65535:
        raise ConfigError(
            f"--behind-proxy is {proxy!r}; write the https origin that people type and nothing more, "
            "such as https://rate.example.org"
        )
    return f"https://{found[1]}" + (f":{int(found[2])}" if found[2] and int(found[2]) != TLS_PORT else "")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_anywhere(host: str) -> bool:
    return _is_address(host) and ipaddress.ip_address(host).is_unspecified


def _check_certificate(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the certificate {str(certificate)!r} with the key {str(key)!r} cannot be used: {error}; "
            "both are PEM files, the key without a password"
        ) from error


def listen(host: str, port: int, option: str) -> socket.socket:
    """Bind an address.

    Args:
        host: An address or a name; empty for every address of this computer.
        port: 0 for any free one.
        option: What to change if it cannot be used.

    Raises:
        ConfigError: It is taken or not allowed.
    """
    if not 0 <= port <= 65535:
        raise ConfigError(f"port {port} cannot be used (ports end at 65535); choose another with {option}")
    try:
        if not host:
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            return socket.create_server(("", port), family=family, dualstack_ipv6=both)
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        raise ConfigError(f"port {port} cannot be used ({error}); choose another with {option}") from error
