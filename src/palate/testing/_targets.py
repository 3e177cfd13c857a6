"""What every target and every proposer must do."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from palate.types import Candidate, Example, Input, Known, Lineage, Proposer, Response, Target

__all__ = ["ProposerContract", "TargetContract"]


class TargetContract:
    """Subclass it and give the fixtures ``target`` and ``failing_target``.

    ``failing_target`` is one whose model, renderer or whatever it calls raises an ordinary exception.
    """

    @pytest.fixture
    def candidate(self) -> Candidate:
        """A candidate that the target can use."""
        return Candidate.make("Answer in one word.")

    @pytest.fixture
    def asked(self) -> Input:
        """An input that the target can use."""
        return Input("1", "What barks?")

    def test_responds(self, target: Target, candidate: Candidate, asked: Input) -> None:
        """There is something to show, and its address is its content."""
        response = asyncio.run(target.respond(candidate, asked))
        assert response.failed is None
        assert response.content
        assert response.seconds >= 0.0
        assert response.hash == Response(response.kind, response.content).hash

    def test_a_failure_is_a_response(
        self, failing_target: Target, candidate: Candidate, asked: Input
    ) -> None:
        """What goes wrong is told in one line and shows nothing."""
        response = asyncio.run(failing_target.respond(candidate, asked))
        assert response.failed
        assert "\n" not in response.failed
        assert response.content == ""

    def test_cancelling_is_not_a_failure(self, target: Target, candidate: Candidate, asked: Input) -> None:
        """Ctrl-C reaches the caller."""

        async def cancel() -> None:
            task = asyncio.ensure_future(target.respond(candidate, asked))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(cancel())

    def test_many_at_once(self, target: Target, candidate: Candidate, asked: Input) -> None:
        """Responses may be asked for at the same time."""

        async def ask() -> list[Response]:
            return list(await asyncio.gather(*(target.respond(candidate, asked) for _ in range(8))))

        assert all(response.failed is None for response in asyncio.run(ask()))

    def test_features_text(self, target: Target, candidate: Candidate) -> None:
        """The text to embed is there and does not change."""
        assert target.features_text(candidate).strip()
        assert target.features_text(candidate) == target.features_text(candidate)


class ProposerContract:
    """Subclass it and give the fixtures ``proposer`` and ``stuck_proposer``.

    ``stuck_proposer`` is one whose model always answers with the same good prompt.
    """

    @pytest.fixture
    def existing(self) -> Sequence[Candidate]:
        """Candidates that a study has already."""
        return [Candidate.make("Name the opposite.", lineage=Lineage("seed"))]

    @pytest.fixture
    def examples(self) -> Sequence[Example]:
        """Examples of the task."""
        pairs = [
            ("hot", "cold"),
            ("big", "small"),
            ("up", "down"),
            ("wet", "dry"),
            ("on", "off"),
            ("in", "out"),
        ]
        return [Example(given, wanted) for given, wanted in pairs]

    def test_new_and_distinct(
        self, proposer: Proposer, existing: Sequence[Candidate], examples: Sequence[Example]
    ) -> None:
        """Candidates are as many as asked for, differ, and say where they come from."""
        made = _propose(proposer, 5, existing, examples)
        assert len(made) == 5
        assert len({c.id for c in [*made, *existing]}) == 5 + len(existing)
        for candidate in made:
            assert candidate == Candidate.make(candidate.text, parts=candidate.parts)
            assert candidate.lineage.origin not in ("", "user", "seed")
            assert set(candidate.lineage.parents) <= {c.id for c in existing}

    def test_the_same_generator_makes_the_same_candidates(
        self, proposer: Proposer, existing: Sequence[Candidate], examples: Sequence[Example]
    ) -> None:
        """A study that was killed finds its own draws again."""
        once, again = (_propose(proposer, 4, existing, examples) for _ in range(2))
        assert once == again

    def test_none_wanted(
        self, proposer: Proposer, existing: Sequence[Candidate], examples: Sequence[Example]
    ) -> None:
        """Nothing is made if nothing is asked for."""
        assert _propose(proposer, 0, existing, examples) == []

    def test_a_model_that_repeats_itself_ends(
        self, stuck_proposer: Proposer, existing: Sequence[Candidate], examples: Sequence[Example]
    ) -> None:
        """Fewer candidates come back, and the call returns."""
        assert len(_propose(stuck_proposer, 5, existing, examples)) == 1


def _propose(
    proposer: Proposer, n: int, existing: Sequence[Candidate], examples: Sequence[Example]
) -> list[Candidate]:
    rng = np.random.default_rng(7)
    return asyncio.run(proposer.propose(n, known=Known(existing, examples), rng=rng))
