"""Wrong secrets are slowed down, and after a few of them an address has to wait.

Nobody can guess 256 bits; this is so that nobody makes the server work by trying, and so that a try leaves
a trace in the figures.
"""

import ipaddress
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from palate.web._limits import Limits

__all__ = ["Throttle", "address_of"]


def address_of(client: str, forwarded: bytes, *, proxied: bool) -> str:
    """Whose tries are counted together: an IPv4 address, or an IPv6 network of 64 bits.

    Args:
        client: The other end of the connection.
        forwarded: The X-Forwarded-For header, which is believed only if a proxy was stated; its last entry is
            the one that the proxy itself wrote.
        proxied: Whether a proxy was stated.
    """
    named = forwarded.rpartition(b",")[2].strip().decode("latin-1") if proxied else ""
    for text in (named, client):
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            continue
        if isinstance(found, ipaddress.IPv6Address):
            if found.ipv4_mapped is not None:
                return str(found.ipv4_mapped)
            return str(ipaddress.ip_network((found, 64), strict=False))
        return str(found)
    return client[:64]


class Throttle:
    """Counts wrong secrets by address, for the addresses that tried last.

    Args:
        limits: How many, within how long.
        clock: Seconds that never run backwards.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._tries: OrderedDict[str, deque[float]] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds until an address may try again; 0 when it may now."""
        recent = self._recent(address)
        if len(recent) < self._limits.wrong_secrets:
            return 0.0
        return max(0.0, recent[0] + self._limits.wrong_seconds - self._clock())

    def wrong(self, address: str) -> float:
        """Count a wrong secret; returns for how many seconds its answer is held up."""
        recent = self._recent(address)
        recent.append(self._clock())
        while len(recent) > self._limits.wrong_secrets:
            recent.popleft()
        self._tries[address] = recent
        self._tries.move_to_end(address)
        while len(self._tries) > self._limits.addresses:
            self._tries.popitem(last=False)
        return min(self._limits.wrong_pause * 2 ** (len(recent) - 1), 4.0)

    def _recent(self, address: str) -> deque[float]:
        recent = self._tries.get(address, deque())
        horizon = self._clock() - self._limits.wrong_seconds
        while recent and recent[0] <= horizon:
            recent.popleft()
        return recent
