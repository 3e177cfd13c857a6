"""Combine: combinations of slots or settings that have not been tried, spread over all that are possible.

Where the combinations can be counted and are few, all that are new are looked at, and the one that is the
farthest from everything tried so far comes first (Kennard and Stone, "Computer aided design of experiments",
1969). Otherwise each draw is the farthest of a handful of points of a scrambled Sobol sequence (Owen 1995, by
``scipy.stats.qmc``); a handful and not many, because the farthest of many always lies on the edge (best
candidate sampling: Mitchell 1991). Distance is between the target's own features.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, final, runtime_checkable

import numpy as np

from palate.errors import ConfigError, InputError
from palate.proposers._draw import check_options, demonstrations_part
from palate.types import Array, Candidate, Known, Lineage, canonical_json

__all__ = ["Combinations", "Combine"]

_COUNTED = 4096  # combinations up to which all are looked at
_POINTS = 1024  # of a Sobol sequence, a power of two


@runtime_checkable
class Combinations(Protocol):
    """A target whose candidates are combinations of values."""

    @property
    def sizes(self) -> tuple[int | None, ...]:
        """How many values each of the D dimensions has; ``None`` for too many to count."""
        ...

    def at(self, point_D: Sequence[float]) -> Candidate:
        """The candidate at a point of the unit cube; every value of a counted dimension is equally wide."""
        ...

    def features(self, candidate: Candidate) -> Array:
        """Features whose distance says how different two candidates are.

        Raises:
            InputError: The candidate is no combination of this target.
        """
        ...


@final
@dataclass(frozen=True, slots=True, eq=False)
class Combine:
    """Makes combinations of what the target can vary; no model is asked.

    Args:
        target: What can be varied; supplied by the study.
        demonstrations: Distinct examples attached to each candidate.
        handful: Points that are compared for each draw where combinations cannot be counted.

    Raises:
        ConfigError: An option is out of its range, or the target has nothing to combine.
    """

    target: object
    demonstrations: int = 0
    handful: int = 16

    def __post_init__(self) -> None:
        check_options(demonstrations=self.demonstrations, handful=self.handful)
        if not isinstance(self.target, Combinations):
            raise ConfigError(
                "combine varies slots or settings, and the target of this study has none; "
                "set kind = 'slots' or 'settings' under [target], or take it out of [proposers] use"
            )

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` combinations, fewer when all have been tried; see :class:`palate.types.Proposer`.

        Raises:
            ConfigError: Too few examples for the demonstrations.
        """
        assert isinstance(self.target, Combinations)
        tried = {_identity(candidate) for candidate in known.existing}
        pool = _unseen(self.target, tried, rng)
        if not n or not pool:
            return []
        feature_PF = np.stack([self.target.features(candidate) for candidate in pool])
        counted = _count(self.target.sizes) is not None
        chosen = _farthest(
            feature_PF, self._features(known.existing), n, len(pool) if counted else self.handful
        )
        return [self._made(pool[row], known, rng) for row in chosen]

    def _features(self, existing: Iterable[Candidate]) -> list[Array]:
        assert isinstance(self.target, Combinations)
        found: list[Array] = []
        for candidate in existing:
            try:
                found.append(self.target.features(candidate))
            except InputError:
                continue  # one that was written by hand, or under other options
        return found

    def _made(self, candidate: Candidate, known: Known, rng: np.random.Generator) -> Candidate:
        shown = demonstrations_part(known.examples, self.demonstrations, rng) if self.demonstrations else {}
        parts = {**candidate.parts, **shown}
        return Candidate.make(candidate.text, parts=parts, lineage=Lineage("combine"))


def _count(sizes: Sequence[int | None]) -> int | None:
    """How many combinations there are, if they are few enough to look at each."""
    known = [size for size in sizes if size is not None]
    total = math.prod(known)
    return total if len(known) == len(sizes) and total <= _COUNTED else None


def _unseen(target: Combinations, tried: set[str], rng: np.random.Generator) -> list[Candidate]:
    """Combinations that were not tried, each once, in random order."""
    sizes = target.sizes
    if _count(sizes) is not None:
        middles = [[(k + 0.5) / size for k in range(size)] for size in sizes if size is not None]
        points = [list(point) for point in itertools.product(*middles)]
        rng.shuffle(points)
    else:
        from scipy.stats import qmc

        points = qmc.Sobol(len(sizes), rng=rng).random(_POINTS).tolist()
    found: dict[str, Candidate] = {}
    for point in points:
        candidate = target.at(point)
        found.setdefault(_identity(candidate), candidate)
    return [candidate for identity, candidate in found.items() if identity not in tried]


def _farthest(feature_PF: Array, tried: Sequence[Array], n: int, handful: int) -> list[int]:
    """Rows that are far from what was tried and from each other, each the farthest of the next handful.

    Far is the distance to the nearest; where that is equal, as it often is between options, the sum over all
    decides, which evens out how often each option occurs.
    """
    nearest_P, sum_P = np.full(len(feature_PF), np.inf), np.zeros(len(feature_PF))

    def meet(row_F: Array) -> None:
        distance_P = np.linalg.norm(feature_PF - row_F, axis=1)
        np.minimum(nearest_P, distance_P, out=nearest_P)
        np.add(sum_P, distance_P, out=sum_P)

    for row_F in tried:
        meet(row_F)
    left = list(range(len(feature_PF)))
    chosen: list[int] = []
    while left and len(chosen) < n:
        looked = left[:handful]
        best = max(looked, key=lambda row: (round(float(nearest_P[row]), 9), sum_P[row]))
        chosen.append(best)
        # Those that were looked at and not taken wait at the end: with few left they come round again.
        left = [*left[handful:], *(row for row in looked if row != best)]
        meet(feature_PF[best])
    return chosen


def _identity(candidate: Candidate) -> str:
    """What was combined, whatever examples go with it."""
    return canonical_json({key: part for key, part in candidate.parts.items() if key != "demonstrations"})
