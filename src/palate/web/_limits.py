"""How much of anything the page takes, in one place; ``docs/ideas/security.md`` has the same table."""

from dataclasses import dataclass

__all__ = ["LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one person, one connection or one request may use.

    Args:
        head_bytes: Request line and headers together.
        head_seconds: Until they have all arrived, from the connection's or the last reply's end.
        body_bytes: Of a request; a vote with the longest comment is well below.
        body_seconds: Until it has all arrived.
        reply_seconds: Until a reply has been made and taken; a reader slower than that is cut off.
        idle_seconds: That a connection may stay open without a request.
        connections: At once, over all addresses.
        connections_each: At once, from one address; this computer and a stated proxy are not counted.
        votes_waiting: For the disk at once; further ones are told to come again.
        pages_waiting: For a duel at once; further ones ask again by themselves.
        wait_seconds: That one page waits for a duel.
        comment: Characters of a comment.
        answer: Characters of an answer that are shown.
        wrong_secrets: Of links, from one address, within ``wrong_seconds``; then it has to wait.
        wrong_seconds: See ``wrong_secrets``.
        wrong_pause: Seconds that a wrong secret is held up, doubled with each further one.
        addresses: That are remembered for wrong secrets.
    """

    head_bytes: int = 16_384
    head_seconds: float = 10.0
    body_bytes: int = 16_384
    body_seconds: float = 10.0
    reply_seconds: float = 60.0
    idle_seconds: int = 75
    connections: int = 512
    connections_each: int = 64
    votes_waiting: int = 1_024
    pages_waiting: int = 128
    wait_seconds: float = 25.0
    comment: int = 2_000
    answer: int = 300_000
    wrong_secrets: int = 10
    wrong_seconds: float = 60.0
    wrong_pause: float = 0.25
    addresses: int = 1_024


LIMITS = Limits()
