"""The rules for many raters, as a study's settings state them, and how far a pairing has come by them.

    free places of a pairing = wanted - given - held

``wanted`` votes were asked for, ``given`` have come, ``held`` are awaited from raters whose lease stands.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

__all__ = [
    "APART",
    "GOLD",
    "LEASE_SECONDS",
    "REPEAT",
    "Progress",
    "RaterRules",
    "Stage",
    "lease_end",
    "rater_rules",
    "stage_of",
]

Stage = Literal["ready", "shown", "voted", "withdrawn"]

LEASE_SECONDS = 900.0
GOLD, REPEAT = "gold", "repeat"
# Duels between a duel and its repeat, so that nobody simply remembers what he said.
APART = 10


class Progress(NamedTuple):
    """How far a pairing has come.

    Args:
        wanted: Votes that it wants, each of another judge.
        given: Votes that count towards them.
        held: Votes that are awaited from judges whose lease stands.
        judges: Everybody who was shown it.
    """

    wanted: int
    given: int = 0
    held: int = 0
    judges: tuple[str, ...] = ()

    @property
    def stage(self) -> Stage:
        """That in a word."""
        return stage_of(self.wanted, self.given, self.held)


class RaterRules(NamedTuple):
    """How many raters see a pairing, for how long, and what is planted among their duels.

    Args:
        overlap: Votes that a pairing wants when it is opened, each of another rater.
        most: Votes that a pairing may come to want while its winner is not clear; ``overlap`` if it may not.
        lease: Seconds after which somebody else may have the place of a rater who has not voted.
        gold: Share of duels with a known answer, in [0, 1).
        repeats: Share of the rater's own earlier duels shown again with sides exchanged, in [0, 1).
        groups: Pairings are dealt to these groups of raters in turn; empty when all are for everybody.
    """

    overlap: int = 1
    most: int = 1
    lease: float = LEASE_SECONDS
    gold: float = 0.0
    repeats: float = 0.0
    groups: tuple[str, ...] = ()

    @property
    def until_decided(self) -> bool:
        """Whether further raters are asked while the winner of a pairing is not clear."""
        return self.most > self.overlap


def rater_rules(settings: Mapping[str, Any]) -> RaterRules:
    """The rules in a study's settings; those for one person where there is no ``[raters]`` table."""
    table = settings.get("raters")
    if not isinstance(table, Mapping):
        return RaterRules()
    overlap = table.get("overlap", 1)
    fixed = isinstance(overlap, int)
    return RaterRules(
        overlap if fixed else 1,
        overlap if fixed else max(1, int(table.get("most", 5))),
        float(table.get("lease", LEASE_SECONDS)),
        float(table.get("gold", 0.0)),
        float(table.get("repeats", 0.0)),
        tuple(table.get("groups", ())),
    )


def stage_of(wanted: int, given: int, held: int) -> Stage:
    """How far a pairing has come.

    Example:
        >>> stage_of(1, 0, 0), stage_of(3, 1, 2), stage_of(3, 1, 1), stage_of(1, 1, 0), stage_of(0, 0, 0)
        ('ready', 'shown', 'ready', 'voted', 'withdrawn')
    """
    if not wanted:
        return "withdrawn"
    if given >= wanted:
        return "voted"
    return "shown" if given + held >= wanted else "ready"


def lease_end(now: str, seconds: float) -> str:
    """The moment at which a lease ends, written so that moments compare as texts.

    Args:
        now: ISO 8601; without a zone it is taken for UTC.
        seconds: From now; 0 gives the moment itself.
    """
    moment = datetime.fromisoformat(now)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return (moment + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
