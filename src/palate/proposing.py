"""Where a study's candidates come from: the first ones, and those that it grows while votes come in.

Growth goes in rounds. A round begins when children of the present candidates are worth more than further
questions about them (:mod:`palate.strategies._growing`), and with an event; what its proposer knows is the
study up to that event, so a round that was interrupted is taken up with the same requests, and the answers
that were paid for come from the store. It ends with an event too, which says what was made and what the gate
refused, and why.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import numpy as np

from palate.assembly import Parts
from palate.engine import LocalEngine
from palate.learner import Learns, learner_for
from palate.store import (
    EventKind,
    GrowthRound,
    Store,
    StudyOutline,
    StudyState,
    candidates_payload,
    comparisons,
)
from palate.strategies import Exploring
from palate.types import Array, Candidate, Json, Known, Standing

__all__ = ["Proposing"]

CHUNK = 4  # proposals are stored every so many: small enough that duels can start, large enough to batch
COMPARISONS = 200  # the latest votes that proposers read
EARLIEST = 10  # votes before a study grows, as for advice to stop
UNLIMITED = 20  # clicks that are counted on where a study has no limit of votes
EVEN_VOTES = 100  # over which a study without limit spreads its growth if its strategy cannot weigh it


class Proposing:
    """Asks a study's proposers and records what they made.

    Args:
        store: Where candidates and rounds are recorded.
        parts: Gives the parts of the study.
        standings: What is believed now; called in a thread of its own, because it may wait.
        features: Rows by candidate identifier, as far as candidates are embedded.
    """

    def __init__(
        self,
        store: Store,
        parts: Callable[[], Parts],
        standings: Callable[[], Mapping[str, Standing]],
        features: Mapping[str, Array],
    ) -> None:
        self._store = store
        self._parts = parts
        self._standings = standings
        self._features = features
        self._looked = -1  # votes when growth was last thought about
        self._stopped = False
        self._growing: Future[list[Candidate]] | None = None

    # -- the first candidates --------------------------------------------------------------------

    async def fill(self, on_progress: Callable[[str, int, int], None]) -> None:
        """Propose until the study has as many candidates as it wants, or no proposer has another."""
        state, empty = StudyOutline(self._store), 0
        proposers, wanted = self._parts().proposers, self._parts().wanted
        while proposers:
            state.follow()
            existing = _everybody(state)
            on_progress("candidates", min(len(existing), wanted), wanted)
            n = min(CHUNK, wanted - len(existing))
            if n <= 0 or empty == len(proposers):
                return
            proposer = proposers[(len(existing) // CHUNK + empty) % len(proposers)]
            rng = np.random.default_rng([self._parts().seed, len(existing), empty])
            known = _known(self._parts(), self._store, state, await asyncio.to_thread(self._standings))
            made = await proposer.propose(n, known=known, rng=rng)
            empty = 0 if made else empty + 1
            if made:
                self._store.append(EventKind.CANDIDATES_ADDED, candidates_payload(made))

    # -- growth ----------------------------------------------------------------------------------

    def keep_growing(
        self, engine: LocalEngine, state: StudyState, learner: Learns, on_notice: Callable[[str], None]
    ) -> None:
        """Keep one round under way in the background while there is one that should run."""
        if self._growing is not None:
            if not self._growing.done():
                return
            if error := self._growing.exception():
                on_notice(f"no further growth until the study is opened again: {error}")
        begun = self.due(state, learner)
        self._growing = None if begun is None else engine.submit(self.grow(begun))

    def due(self, state: StudyState, learner: Learns, *, anyway: bool = False) -> GrowthRound | None:
        """The round of growth that should run now, if any: an interrupted one, or one that begins here.

        Args:
            state: The study now.
            learner: In step with it.
            anyway: Begin a round whatever it is worth, as long as there is one left.
        """
        parts = self._parts()
        if not parts.growers or self._stopped or (state.closed is not None and not anyway):
            return None
        broken = next((each for each in state.growth.values() if each.made is None), None)
        if broken is not None:
            return broken
        left = parts.most - state.grown
        if left <= 0 or (not anyway and (_stuck(state, len(parts.growers)) or learner.votes == self._looked)):
            return None
        self._looked = learner.votes
        worth = self._worth(state, learner, min(CHUNK, left))
        if not (anyway or worth.grow):
            return None
        number = len(state.growth)
        begun: dict[str, Json] = {
            "round": number,
            "proposer": parts.growers[number % len(parts.growers)][0],
            "wanted": min(CHUNK, left),
            "asking": worth.asking,
            "exploring": worth.exploring,
        }
        self._store.append(EventKind.GROWTH_STARTED, begun)
        state.follow(self._store)
        return state.growth[number]

    def _worth(self, state: StudyState, learner: Learns, children: int) -> Exploring:
        """What growing is worth; where the belief cannot say, 0.5 when it is time by even pacing, else 0."""
        limit = self._parts().max_votes
        if learner.votes < EARLIEST:
            return Exploring(0.0, 0.0)
        clicks = UNLIMITED if limit is None else limit - learner.votes
        worth = learner.worth_of_growing(state, children, clicks)
        if worth is not None:
            return worth
        span = max(1, (EVEN_VOTES if limit is None else limit) - 2 * EARLIEST)
        share = (learner.votes - EARLIEST + 1) / span
        return Exploring(0.0, 0.5 if state.grown < self._parts().most * share and clicks > 0 else 0.0)

    async def grow(self, begun: GrowthRound) -> list[Candidate]:
        """Run a round and record its end.

        Raises:
            PalateError: The proposer or the gate failed. The round stays open and is taken up again when the
                study is opened the next time; until then nothing is grown.
        """
        try:
            made, refused, remark = await self._round(begun)
        except Exception:
            self._stopped = True
            raise
        ended: dict[str, Json] = {
            "round": begun.number,
            "made": [candidate.id for candidate in made],
            "refused": refused,
            "remark": remark,
        }
        added = [(EventKind.CANDIDATES_ADDED, candidates_payload(made))] if made else []
        self._store.append_many([*added, (EventKind.GROWTH_ENDED, ended)])
        return made

    async def _round(self, begun: GrowthRound) -> tuple[list[Candidate], list[Json], str]:
        proposer = dict(self._parts().growers).get(begun.proposer)
        if proposer is None:
            return [], [], f"the proposer {begun.proposer!r} is no longer in use"
        known = await asyncio.to_thread(self._known_at, begun.seq)
        rng = np.random.default_rng([self._parts().seed, 1 + begun.number, begun.wanted])
        made = await proposer.propose(begun.wanted, known=known, rng=rng)
        sorted_ = await self._parts().gate.sort(made, known.existing)
        refused: list[Json] = [
            {"text": each.text, "why": str(each.why), "origin": each.origin} for each in sorted_.refused
        ]
        return sorted_.passed, refused, sorted_.remark

    def _known_at(self, seq: int) -> Known:
        """What was known at an event: the same before and after an interruption."""
        parts = self._parts()
        state = StudyState.replay(self._store.events(limit=seq))
        learner = learner_for(parts)
        learner.follow(state, self._features)
        return _known(parts, self._store, state, learner.standings(state))


def _known(parts: Parts, store: Store, state: StudyState, standings: Mapping[str, Standing]) -> Known:
    """What proposers may build on, given what is believed."""
    return Known(
        existing=_everybody(state),
        examples=parts.examples,
        inputs=list(state.inputs.values()),
        standings=standings,
        comparisons=comparisons(store, state, COMPARISONS),
    )


def _stuck(state: StudyState, growers: int) -> bool:
    """Whether every proposer came back with nothing twice in a row."""
    latest = list(state.growth.values())[-2 * growers :]
    return len(latest) == 2 * growers and not any(each.made for each in latest)


def _everybody(state: StudyState) -> Sequence[Candidate]:
    return [*state.candidates.values(), *state.withdrawn.values()]
