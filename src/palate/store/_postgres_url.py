"""Where on a PostgreSQL server a study lies, said so that no password is ever repeated.

    postgresql://USER@HOST:PORT/DATABASE?study=NAME

Everything but ``study`` is libpq's own and goes to it as it is: several hosts, ``sslmode``, a socket's folder
as ``host``, ``passfile``, ``service``. Each study has a schema of its own, ``palate_NAME``.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

from palate.errors import ConfigError
from palate.extras import require

__all__ = ["DEFAULT_STUDY", "Address", "check_address", "is_postgres", "read_address"]

DEFAULT_STUDY = "study"

_SECRETS = ("password", "sslpassword")
_SCHEME = re.compile(r"postgres(ql)?(\+psycopg)?://")
# With "palate_" before it, within PostgreSQL's 63 bytes for a name.
_STUDY = re.compile(r"[a-z0-9][a-z0-9_-]{0,49}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a study is.

    Args:
        study: Its name.
        name: The whole address without any secret.
        parameters: What libpq is given; may hold a password, so it is never shown.
    """

    study: str
    name: str
    parameters: Mapping[str, str] = field(repr=False)

    @property
    def schema(self) -> str:
        """The schema that holds its tables."""
        return f"palate_{self.study}"

    def lock_key(self, purpose: str) -> int:
        """A number for an advisory lock: 64 bits of a hash of the schema and the purpose, signed."""
        hashed = hashlib.sha256(f"palate:{purpose}:{self.schema}".encode()).digest()
        return int.from_bytes(hashed[:8], "big", signed=True)

    def redacted(self, text: str) -> str:
        """A text of the server's or the driver's without the secrets of this address."""
        for key in _SECRETS:
            secret = self.parameters.get(key)
            if secret:
                text = text.replace(secret, "***").replace(quote(secret, safe=""), "***")
        return text


def is_postgres(place: str | Path) -> bool:
    """Whether a place is an address of a PostgreSQL server rather than a file."""
    return isinstance(place, str) and _SCHEME.match(place) is not None


def check_address(url: str, where: str) -> None:
    """Refuse an address that holds a password, where other people can read it.

    Args:
        url: The address.
        where: What it stands in, for the error.

    Raises:
        ConfigError: It holds one; the text does not repeat it.
    """
    base, _, query = url.partition("?")
    before, _, _ = base.partition("://")[2].rpartition("@")
    if ":" in before or any(key in _SECRETS for key, _ in parse_qsl(query, keep_blank_values=True)):
        raise ConfigError(
            f"{where} holds a password, which others can read there; take it out: libpq finds it in "
            "PGPASSWORD, in ~/.pgpass or in a service (docs/how-to/postgres.md)"
        )


def read_address(url: str) -> Address:
    """Take an address apart.

    Raises:
        ConfigError: It cannot be read; the text does not repeat it, since it may hold a password.
        MissingExtraError: The driver is not installed.
    """
    base, _, query = url.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [value for key, value in pairs if key == "study"]
    study = names[0] if names else DEFAULT_STUDY
    if len(names) > 1 or not _STUDY.fullmatch(study):
        raise ConfigError(
            f"a study on a server is named once, as in ?study=tone, with 1 to 50 of a-z, 0-9, - and _, "
            f"beginning with a letter or digit; not {', '.join(map(repr, names))}"
        )
    rest = urlencode([pair for pair in pairs if pair[0] != "study"], quote_via=quote)
    conninfo = require("psycopg.conninfo", "postgres", "A study on a PostgreSQL server")
    plain = _SCHEME.sub("postgresql://", base, count=1) + (f"?{rest}" if rest else "")
    try:
        parameters = {key: str(value) for key, value in conninfo.conninfo_to_dict(plain).items()}
    except conninfo.e.Error:
        # libpq repeats the part that it could not read, which may be the password.
        raise ConfigError(
            "the address of the PostgreSQL server cannot be read; it looks like "
            "postgresql://USER@HOST:PORT/DATABASE?study=NAME, with %40 for an @ in a password and so on"
        ) from None
    return Address(study, _shown(parameters, study), parameters)


def _shown(parameters: Mapping[str, str], study: str) -> str:
    user, host, port = (parameters.get(key, "") for key in ("user", "host", "port"))
    folder = host.startswith("/")
    server = f"{quote(user, safe='')}@" if user else ""
    if not folder:
        server += f"[{host}]" if ":" in host else host
        server += f":{port}" if port and "," not in port else ""
    query = {"host": host, **({"port": port} if port else {})} if folder else {}
    database = quote(parameters.get("dbname", ""), safe="")
    return f"postgresql://{server}/{database}?{urlencode({**query, 'study': study}, safe='/')}"
