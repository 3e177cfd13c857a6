"""A user's own function as a proposer.

The function gets how many candidates are wanted, what the study knows, and a generator of random numbers, and
returns texts or candidates. It may be asynchronous; one that is not runs in a thread, so that people who vote
do not wait for it.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast, final

import numpy as np

from palate.errors import InputError
from palate.proposers._draw import identity, seed_of
from palate.types import Candidate, Known, Lineage

__all__ = ["FunctionProposer", "Made", "MakesCandidates"]

Made: TypeAlias = Sequence[str | Candidate]
MakesCandidates: TypeAlias = Callable[[int, Known, np.random.Generator], Made | Awaitable[Made]]


@final
@dataclass(frozen=True, slots=True, eq=False)
class FunctionProposer:
    """Makes candidates by a function ``(n, known, rng) → texts or candidates``.

    Args:
        function: Returns at most as many as it likes; those beyond ``n``, empty ones and those that exist
            already are passed over. It should draw all randomness from ``rng``: a study that was interrupted
            calls it again with an equal one.
        name: Stands as the origin of what it makes.

    Example:
        >>> import asyncio
        >>> from palate.types import Known
        >>> polite = FunctionProposer(lambda n, known, rng: [c.text + " Be kind." for c in known.ranked()])
        >>> known = Known([Candidate.make("Be brief.")])
        >>> made = asyncio.run(polite.propose(1, known=known, rng=np.random.default_rng(0)))
        >>> made[0].text
        'Be brief. Be kind.'
    """

    function: MakesCandidates
    name: str = "function"

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        Raises:
            InputError: The function returned something else than texts and candidates.
        """
        if n <= 0:
            return []
        if inspect.iscoroutinefunction(self.function):
            returned = await self.function(n, known, rng)
        else:
            returned = await asyncio.to_thread(self.function, n, known, rng)
            if inspect.isawaitable(returned):
                returned = await returned
        return self._new(cast("object", returned), n, known)

    def _new(self, returned: object, n: int, known: Known) -> list[Candidate]:
        if isinstance(returned, str) or not isinstance(returned, Sequence):
            raise InputError(
                f"the proposer {self.name!r} returned {returned!r:.80}; it must return a list of texts or "
                "candidates"
            )
        seen = {identity(candidate) for candidate in known.existing}
        made: list[Candidate] = []
        for entry in cast("Sequence[object]", returned):
            candidate = self._candidate(entry, known)
            if candidate.text.strip() and identity(candidate) not in seen and len(made) < n:
                seen.add(identity(candidate))
                made.append(candidate)
        return made

    def _candidate(self, entry: object, known: Known) -> Candidate:
        if isinstance(entry, Candidate):
            return entry
        if isinstance(entry, str):
            seed = seed_of(known.existing)
            return Candidate.make(entry, parts=seed.parts if seed else {}, lineage=Lineage(self.name))
        raise InputError(
            f"the proposer {self.name!r} returned {entry!r:.80} among its candidates; give texts or "
            "candidates"
        )
