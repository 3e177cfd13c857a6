"""Style sheets and scripts, read once from the wheel and compressed once. Nothing comes from elsewhere."""

import gzip
from importlib.resources import files
from typing import NamedTuple

__all__ = ["Asset", "read_assets"]

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """One file as it is sent."""

    kind: str
    plain: bytes
    packed: bytes


def read_assets() -> dict[str, Asset]:
    """Read every asset, by file name. A request can name one of these and nothing else."""
    found: dict[str, Asset] = {}
    for entry in (files("palate.web") / "assets").iterdir():
        suffix = entry.name[entry.name.rfind(".") :]
        if suffix in KINDS:
            plain = entry.read_bytes()
            found[entry.name] = Asset(KINDS[suffix], plain, gzip.compress(plain, 9, mtime=0))
    return found
