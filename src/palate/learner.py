"""A strategy kept in step with the store: candidates and votes in, the next pairs and a belief out.

The belief is a function of the candidates and of the votes that stand, in their order. New votes are told
one by one; whenever history itself changes (an undone vote, a new or withdrawn candidate) the strategy is
rebuilt from nothing and the votes are replayed, so that a live study and a reopened one cannot differ. Votes
on a candidate that was withdrawn keep teaching about those that it met.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palate.errors import InputError
from palate.store import StudyState
from palate.strategies import DuelBandit, duel_bandit
from palate.types import Array, Belief, Candidate, Pairing, Standing, Vote

__all__ = ["Learner", "seed_of"]

TOP = 10  # as many rows as people read


def seed_of(candidates: Mapping[str, Candidate]) -> str:
    """Identifier of the prompt that the study started from: origin ``seed``, else the first candidate."""
    return next((c.id for c in candidates.values() if c.lineage.origin == "seed"), next(iter(candidates)))


class Learner:
    """One strategy and the history that it has been told.

    Args:
        strategy: A registered name, or ``"default"``.
        options: The strategy's own options.
        seed: Of every random draw that the strategy makes.
        max_votes: The study stops at so many votes; ``None`` for no limit.
    """

    def __init__(
        self, strategy: str, options: Mapping[str, Any], *, seed: int, max_votes: int | None = None
    ) -> None:
        self._strategy = strategy
        self._options = dict(options)
        self._seed = seed
        self._max_votes = max_votes
        self._ids: list[str] = []  # those that take part, then the withdrawn that were voted on
        self._live = 0
        self._index: dict[str, int] = {}
        self._told: list[int] = []
        self._bandit: DuelBandit | None = None

    @property
    def bandit(self) -> DuelBandit:
        """The strategy itself.

        Raises:
            InputError: There are fewer than two candidates, so nothing can be compared.
        """
        if self._bandit is None:
            raise InputError(
                f"a study needs at least two candidates to compare, and has {self._live}; "
                "add prompts to [prompts] list or let [proposers] make some"
            )
        return self._bandit

    @property
    def votes(self) -> int:
        """Votes told so far, those that do not teach left out."""
        return 0 if self._bandit is None else self._bandit.votes

    def follow(self, state: StudyState, features: Mapping[str, Array]) -> bool:
        """Catch up with the store.

        Args:
            state: The study as stored.
            features: A unit-norm row of size ``D`` by candidate identifier; a candidate without one waits.

        Returns:
            Whether anything was learnt or forgotten.
        """
        voted = {c for vote in state.votes for c in (vote.left_candidate, vote.right_candidate)}
        live = [identifier for identifier in state.candidates if identifier in features]
        gone = [c for c in state.withdrawn if c in features and c in voted]
        ids = [*live, *gone]
        stand = [vote.seq for vote in state.votes]
        grown = stand[: len(self._told)] == self._told
        same = ids == self._ids and len(live) == self._live
        if same and grown and len(stand) == len(self._told):
            return False
        if not (same and grown):
            self._ids, self._live = ids, len(live)
            self._index = {identifier: row for row, identifier in enumerate(ids)}
            self._told = []
            self._bandit = None
            if len(live) > 1:
                feature_ND = np.stack([features[identifier] for identifier in ids])
                self._bandit = duel_bandit(self._strategy, feature_ND, self._seed, **self._options)
                for row in range(len(live), len(ids)):
                    self._bandit.withdraw(row)
        for vote in state.votes[len(self._told) :]:
            self._tell(vote)
            self._told.append(vote.seq)
        return True

    def choose(self, n: int, pending: Sequence[Pairing]) -> list[tuple[str, str]]:
        """Choose ``n`` pairs of candidates worth asking at once, given pairings not yet voted on."""
        rows = [
            (self._index[pairing.first], self._index[pairing.second])
            for pairing in pending
            if pairing.first in self._index and pairing.second in self._index
        ]
        return [(self._ids[i], self._ids[j]) for i, j in self.bandit.ask(n, pending=rows)]

    def belief(self, state: StudyState) -> Belief:
        """What is believed now, in units that a person can read."""
        bandit = self.bandit
        prob_N = bandit.p_best()
        mean_N = bandit.posterior().mean_N
        best, seed = bandit.best(), self._index.get(seed_of(state.candidates), 0)
        ranked = np.argsort(-mean_N[: self._live], kind="stable").tolist()
        order = [best, *(row for row in ranked if row != best)][:TOP]
        if seed not in order:
            order.append(seed)
        shown = _shown(state)
        standings = [self._standing(row, seed, prob_N, shown) for row in order]
        stop, reason = self.should_stop()
        return Belief(state.seq, bandit.votes, self._ids[best], tuple(standings), stop, reason)

    def standings(self, state: StudyState) -> dict[str, Standing]:
        """What is believed of every candidate that takes part; nothing before the first vote."""
        if not self.votes:
            return {}
        prob_N, seed = self.bandit.p_best(), self._index.get(seed_of(state.candidates), 0)
        shown = _shown(state)
        return {self._ids[row]: self._standing(row, seed, prob_N, shown) for row in range(self._live)}

    def _standing(self, row: int, seed: int, prob_N: Array, shown: Mapping[str, int]) -> Standing:
        mean, low, high = (0.5, 0.5, 0.5) if row == seed else self.bandit.win_rate(row, seed)
        identifier = self._ids[row]
        return Standing(identifier, mean, low, high, float(prob_N[row]), shown[identifier])

    def should_stop(self) -> tuple[bool, str]:
        """Whether more votes are worth a person's time, and why, in plain words."""
        if self._max_votes is not None and self.votes >= self._max_votes:
            return True, f"The study's budget of {self._max_votes} votes is used."
        return self.bandit.should_stop()

    def _tell(self, vote: Vote) -> None:
        left, right = self._index.get(vote.left_candidate), self._index.get(vote.right_candidate)
        if self._bandit is not None and left is not None and right is not None:
            self._bandit.tell(left, right, vote.verdict, input_id=vote.input_id, judge=vote.judge)


def _shown(state: StudyState) -> Counter[str]:
    """How often each candidate was voted on."""
    return Counter(c for vote in state.votes for c in (vote.left_candidate, vote.right_candidate))
