"""Several judges on one duel: a majority, or a cheap one first and a dear one only where it is unsure."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from palate.errors import ConfigError
from palate.types import Duel, Judge, Judgement, Verdict

__all__ = ["Cascade", "Majority"]


@final
@dataclass(frozen=True, slots=True)
class Majority:
    """The verdict that more than half of those who can judge agree on; without one it is a tie.

    Judges that skip or fail have no voice; when all do, so does the panel.

    Args:
        judges: At least two, with different names.
        name: Stored with each vote.

    Raises:
        ConfigError: Fewer than two judges, or one name twice.
    """

    judges: Sequence[Judge]
    name: str = "majority"

    def __post_init__(self) -> None:
        _check_panel(self.judges)

    async def judge(self, duel: Duel) -> Judgement:
        """Ask all, and count."""
        said = await asyncio.gather(*(judge.judge(duel) for judge in self.judges))
        voices = Counter(judgement.verdict for judgement in said if judgement.verdict.teaches)
        told = "; ".join(f"{judge.name}: {one.verdict}" for judge, one in zip(self.judges, said, strict=True))
        if not voices:
            return Judgement(said[0].verdict, reason=said[0].reason, comment=told)
        verdict, count = voices.most_common(1)[0]
        agreed = 2 * count > voices.total()
        return Judgement(verdict if agreed else Verdict.TIE, comment=told)


@final
@dataclass(frozen=True, slots=True)
class Cascade:
    """Asks judges in order, the cheap ones first, until one decides.

    A tie, a skip and a failure are passed on to the next judge. What the last one says stands; when it
    skips, so does the cascade, and the duel stays open for people.

    Args:
        judges: At least two, with different names.
        name: Stored with each vote.

    Raises:
        ConfigError: Fewer than two judges, or one name twice.
    """

    judges: Sequence[Judge]
    name: str = "cascade"

    def __post_init__(self) -> None:
        _check_panel(self.judges)

    async def judge(self, duel: Duel) -> Judgement:
        """Ask one after the other."""
        said = Judgement(Verdict.SKIP)
        for judge in self.judges:
            said = await judge.judge(duel)
            if said.verdict in (Verdict.LEFT, Verdict.RIGHT, Verdict.BOTH_BAD):
                break
        return said


def _check_panel(judges: Sequence[Judge]) -> None:
    names = [judge.name for judge in judges]
    if len(names) < 2:
        raise ConfigError(f"a panel needs at least two judges, and has {len(names)}")
    if len(set(names)) < len(names):
        raise ConfigError(f"judges of one panel need different names, and these are {', '.join(names)}")
