"""Answers produced before anybody is asked about them.

On a few inputs, drawn by the study's seed, every candidate answers. Strategies that learn from responses (the
default does) are told those answers, and a vote then teaches about every candidate that answers alike; what
that is worth is in docs/ideas/strategies.md. It costs as many calls as there are candidates times inputs, so
a study must ask for it.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future

import numpy as np

from palate.assembly import Parts
from palate.engine import LocalEngine
from palate.kinds import readable
from palate.responder import Responder
from palate.store import StudyState
from palate.types import Array, Candidate, Input, Response, digest
from palate.wording import beside_embedding

__all__ = ["Ahead", "ahead_inputs"]

AT_ONCE = 2  # questions that people wait for go through the same model

Progress = Callable[[str, int, int], None]
Place = tuple[str, str]


def ahead_inputs(state: StudyState, count: int, seed: int) -> list[Input]:
    """The inputs that are answered ahead: a draw that stays the same when further inputs are added.

    Args:
        state: The study as stored.
        count: How many; all if there are fewer.
        seed: Of the study.
    """
    order = sorted(state.inputs, key=lambda identifier: digest([seed, identifier]))
    return [state.inputs[identifier] for identifier in order[:count]]


class Ahead:
    """Produces the answers of every candidate to a few inputs, and says what they are.

    Args:
        parts: Gives the parts of the study; its ``answers_ahead`` says on how many inputs.
        responder: Produces and stores answers.

    Attributes:
        features: A row by candidate and input, of everything that is known. It is replaced, never changed,
            and only after a whole round of answers.
        said: Hash of the answer by candidate and input.
    """

    def __init__(self, parts: Callable[[], Parts], responder: Responder) -> None:
        self.features: Mapping[Place, Array] = {}
        self.said: Mapping[Place, str] = {}
        self._parts = parts
        self._responder = responder
        self._inputs: list[Input] = []
        self._drawn_from = 0  # how many inputs there were then
        self._looked: set[Place] = set()  # for an answer that was stored before
        self._tried: set[Place] = set()
        self._round: Future[None] | None = None

    def keep_answering(
        self, engine: LocalEngine, state: StudyState, on_notice: Callable[[str], None]
    ) -> None:
        """Keep one round under way in the background while a candidate has not been asked."""
        if self._round is not None:
            if not self._round.done():
                return
            error, self._round = self._round.exception(), None
            if error is not None:
                on_notice(f"no further answers ahead until the study is opened again: {error}")
                self._tried |= {(candidate.id, place.id) for candidate, place in self._missing(state)}
        if self._missing(state):
            self._round = engine.submit(self.fill(state))

    def is_behind(self, state: StudyState) -> bool:
        """Whether :meth:`load` has something to look for."""
        return bool(self._unlooked(state))

    async def load(self, state: StudyState) -> None:
        """Take up what was answered before the study was opened.

        Args:
            state: The study as stored.
        """
        new = self._unlooked(state)
        self._looked |= {(candidate.id, place.id) for candidate, place in new}
        found = [
            ((candidate.id, place.id), response)
            for candidate, place in new
            if (response := self._responder.stored(candidate, place)) is not None
        ]
        self._tried |= {place for place, _ in found}
        await self._learn(found)

    async def fill(self, state: StudyState, on_progress: Progress = lambda stage, done, total: None) -> None:
        """Have every candidate answer; one that fails is asked again when the study is opened again.

        Args:
            state: The study as stored.
            on_progress: Told ``("answers", done, total)``.

        Raises:
            PalateError: The model cannot be asked any more: the budget is used up, or there is no model. What
                was answered until then is known.
        """
        missing = self._missing(state)
        gate = asyncio.Semaphore(AT_ONCE)
        done: list[tuple[Place, Response]] = []

        async def ask(candidate: Candidate, place: Input) -> None:
            async with gate:
                response = await self._responder.respond(candidate, place)
            self._tried.add((candidate.id, place.id))
            done.append(((candidate.id, place.id), response))
            on_progress("answers", len(done), len(missing))

        ended = await asyncio.gather(*(ask(*each) for each in missing), return_exceptions=True)
        await self._learn([(place, response) for place, response in done if response.failed is None])
        for error in filter(None, ended):
            raise error

    def _missing(self, state: StudyState) -> list[tuple[Candidate, Input]]:
        """Who has not been asked what; nobody where nobody can be asked."""
        if self._parts().target is None:
            return []
        return [each for each in self._wanted(state) if (each[0].id, each[1].id) not in self._tried]

    def _unlooked(self, state: StudyState) -> list[tuple[Candidate, Input]]:
        return [each for each in self._wanted(state) if (each[0].id, each[1].id) not in self._looked]

    def _wanted(self, state: StudyState) -> list[tuple[Candidate, Input]]:
        """Input by input, so that all candidates soon have one answer."""
        parts = self._parts()
        if parts.answers_ahead and len(state.inputs) != self._drawn_from:  # inputs join, and never leave
            self._inputs = ahead_inputs(state, parts.answers_ahead, parts.seed)
            self._drawn_from = len(state.inputs)
        return [
            (candidate, place)
            for place in self._inputs
            for candidate in state.candidates.values()
            if candidate.context in (None, place.id)
        ]

    async def _learn(self, answered: list[tuple[Place, Response]]) -> None:
        """Embed answers, equal ones once."""
        if not answered:
            return
        texts = [readable(response) or "(empty)" for _, response in answered]
        different = list(dict.fromkeys(texts))
        embedding_KD = await self._parts().embedder.embed(different)
        row_of = dict(zip(different, np.asarray(beside_embedding(embedding_KD, different)), strict=True))
        places = [place for place, _ in answered]
        self.features = {**self.features, **dict(zip(places, (row_of[text] for text in texts), strict=True))}
        self.said = {**self.said, **{place: response.hash for place, response in answered}}
