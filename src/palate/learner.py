"""A strategy kept in step with the store: candidates and votes in, the next pairs and a belief out.

The belief is a function of the candidates and of the votes that stand, in their order. New votes are told
one by one; whenever history itself changes (an undone vote, a new or withdrawn candidate, an answer that
became known ahead of the questions) the strategy is
rebuilt from nothing and the votes are replayed, so that a live study and a reopened one cannot differ. Votes
on a candidate that was withdrawn keep teaching about those that it met. Once a machine has voted, every fifth
question to people teaches nothing: those votes confirm the winner, see palate.choice.held_out_votes.

Candidates that are answers to inputs share one belief, but only answers to the same input meet. The next
question goes to the input with the fewest, each input has a report of its own, and asking ends when it would
end for every one of them.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from palate.choice import HeldOut
from palate.errors import InputError
from palate.operations import FIT_SECONDS, Counted, Histogram, fitted
from palate.store import StudyState, seed_of
from palate.strategies import DuelBandit, Exploring, duel_bandit, worth_of_growing
from palate.types import Array, Belief, Candidate, ContextBelief, Pairing, Standing, Vote

__all__ = ["Learner", "Learnt", "by_context"]

TOP = 10  # as many rows as people read
TOP_EACH = 3  # the same, for each of several inputs
NOTHING: Mapping[tuple[str, str], Array] = MappingProxyType({})
KIN = 200  # children and parents that tell how near new children may be


def by_context(candidates: Iterable[Candidate]) -> dict[str | None, list[Candidate]]:
    """Those that may meet each other: candidates by the input that they are for, ``None`` for any input."""
    found: dict[str | None, list[Candidate]] = {}
    for candidate in candidates:
        found.setdefault(candidate.context, []).append(candidate)
    return found


class Learnt(NamedTuple):
    """What the learner has done since it was made.

    Args:
        votes: Votes that it has taken note of, those that do not teach among them.
        seconds: How long it took each time that something was learnt and the belief was worked out anew.
    """

    votes: int
    seconds: Counted


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
        self._answers = 0  # that were known ahead of the questions
        self._index: dict[str, int] = {}
        self._groups: dict[str | None, list[int]] = {}  # rows that may meet, by the input that they are for
        self._votes: Counter[str | None] = Counter()  # that teach, by group
        self._told: list[int] = []
        self._shown: Counter[str] = Counter()  # how often each candidate was in a vote that was told
        self._held_out = HeldOut()
        self._state: StudyState | None = None  # that was looked at last,
        self._reach: tuple[int, ...] = ()  # up to this event, with so many features and answers
        self._forgotten = 0  # and so many votes that do not count any more
        self._bandit: DuelBandit | None = None
        self._fits = Histogram(FIT_SECONDS)
        self._telling: float | None = None  # seconds that it took to be told what the belief does not say yet

    @property
    def bandit(self) -> DuelBandit:
        """The strategy itself.

        Raises:
            InputError: There are fewer than two candidates, so nothing can be compared.
        """
        if self._bandit is None:
            raise InputError(
                f"a study needs at least two candidates to compare, and has {self._live}"
                f"{'' if None in self._groups or not self._groups else ', each for another input'}; "
                "add prompts to [prompts] list or let [proposers] make some"
            )
        return self._bandit

    @property
    def votes(self) -> int:
        """Votes told so far, those that do not teach left out."""
        return 0 if self._bandit is None else self._bandit.votes

    @property
    def learnt(self) -> Learnt:
        """How far it has come, and how long that took."""
        return Learnt(len(self._told), self._fits.counted())

    def follow(
        self,
        state: StudyState,
        features: Mapping[str, Array],
        answers: Mapping[tuple[str, str], Array] = NOTHING,
    ) -> bool:
        """Catch up with the store.

        Args:
            state: The study as stored.
            features: A unit-norm row of size ``D`` by candidate identifier; a candidate without one waits.
            answers: A row of size ``F`` by candidate and input, of answers that are known without a vote.

        Returns:
            Whether anything was learnt or forgotten.
        """
        reach = state.seq, len(features), len(answers)
        if state is self._state and reach == self._reach:
            return False
        new = self._news(state)
        grown = new is not None
        news = state.votes if new is None else new
        voted = {c for vote in news for c in _two(vote)}.union(self._shown if grown else ())
        live = [identifier for identifier in state.candidates if identifier in features]
        gone = [c for c in state.withdrawn if c in features and c in voted]
        ids = [*live, *gone]
        same = ids == self._ids and len(live) == self._live and len(answers) == self._answers
        if same and grown and not news:
            self._state, self._reach, self._forgotten = state, reach, state.forgotten
            return False
        began = time.perf_counter()
        if not (same and grown):
            self._ids, self._live, self._answers = ids, len(live), len(answers)
            self._index = {identifier: row for row, identifier in enumerate(ids)}
            groups = by_context(state.candidates[identifier] for identifier in live)
            self._groups = {
                context: [self._index[candidate.id] for candidate in groups[context]]
                for context in (None, *state.inputs)
                if context in groups
            }
            self._votes = Counter()
            self._told, news = [], state.votes
            self._shown.clear()
            self._held_out = HeldOut()
            self._bandit = None
            if any(len(rows) > 1 for rows in self._groups.values()):
                feature_ND = np.stack([features[identifier] for identifier in ids])
                self._bandit = duel_bandit(self._strategy, feature_ND, self._seed, **self._options)
                for row in range(len(live), len(ids)):
                    self._bandit.withdraw(row)
                for (identifier, place), answer_F in answers.items():
                    if identifier in self._index:
                        self._bandit.responded(self._index[identifier], place, answer_F)
        for vote in news:
            self._tell(vote, state)
            self._told.append(vote.seq)
            self._shown.update(_two(vote))
        self._telling = (self._telling or 0.0) + time.perf_counter() - began
        self._state, self._reach, self._forgotten = state, reach, state.forgotten
        return True

    def _news(self, state: StudyState) -> list[Vote] | None:
        """The votes that were not told yet; ``None`` where some that were told do not count any more."""
        told = self._told
        if state is self._state and state.forgotten == self._forgotten:
            return state.votes_after(told[-1] if told else 0)
        stand = state.votes
        return stand[len(told) :] if [vote.seq for vote in stand[: len(told)]] == told else None

    def choose(self, n: int, pending: Sequence[Pairing]) -> list[tuple[str, str]]:
        """Choose ``n`` pairs of candidates worth asking at once, given pairings not yet voted on."""
        bandit = self.bandit
        open_ = [p for p in pending if p.first in self._index and p.second in self._index]
        taken = [(self._index[p.first], self._index[p.second]) for p in open_]
        chosen: list[tuple[int, int]] = []
        for context, count in self._turns(n, open_).items():
            chosen += bandit.ask(count, pending=[*taken, *chosen], among=self._among(context))
        return [(self._ids[i], self._ids[j]) for i, j in chosen]

    def _turns(self, n: int, pending: Sequence[Pairing]) -> Counter[str | None]:
        """How many of the next ``n`` questions go to each group: always to the one with the fewest so far."""
        askable = self._askable
        if len(askable) == 1:
            return Counter({askable[0]: n})
        asked = self._votes + Counter[str | None](pairing.input_id for pairing in pending)
        turns: Counter[str | None] = Counter()
        for _ in range(n):
            turns[min(askable, key=lambda context: asked[context] + turns[context])] += 1
        return turns

    def belief(self, state: StudyState) -> Belief:
        """What is believed now, in units that a person can read."""
        began = time.perf_counter()
        found = self._believed(state)
        if self._telling is not None:
            seconds = self._telling + time.perf_counter() - began
            fitted(len(self._told), seconds, self._fits)
            self._telling = None
        return found

    def _believed(self, state: StudyState) -> Belief:
        stop, reason = self.should_stop()
        if None in self._groups:
            standings = self._ranked(state, None, TOP)
            return Belief(state.seq, self.votes, standings[0].candidate_id, standings, stop, reason)
        contexts: list[ContextBelief] = []
        for context in filter(None, self._groups):
            found = self._ranked(state, context, TOP_EACH)
            contexts.append(ContextBelief(context, found[0].candidate_id, self._votes[context], found))
        best = tuple(context.standings[0] for context in contexts)
        return Belief(state.seq, self.votes, best[0].candidate_id, best, stop, reason, tuple(contexts))

    def _ranked(self, state: StudyState, context: str | None, top: int) -> tuple[Standing, ...]:
        """The leaders of one group and its seed, the report first."""
        among, rows = self._among(context), self._groups[context]
        best, mean_N = self.bandit.best(among=among), self.bandit.posterior().mean_N
        ranked = sorted(rows, key=lambda row: -mean_N[row])
        order = [best, *(row for row in ranked if row != best)][:top]
        seed, prob_N = self._seed_row(state, context), self.bandit.p_best(among=among)
        if seed not in order:
            order.append(seed)
        return tuple(self._standing(row, seed, prob_N) for row in order)

    def _seed_row(self, state: StudyState, context: str | None) -> int:
        """Row of the candidate that a group is measured against."""
        group = {self._ids[row]: state.candidates[self._ids[row]] for row in self._groups[context]}
        return self._index[seed_of(group)]

    def standings(self, state: StudyState) -> dict[str, Standing]:
        """What is believed of every candidate that takes part; nothing before the first vote."""
        found: dict[str, Standing] = {}
        for context, rows in self._groups.items() if self.votes else ():
            prob_N, seed = self.bandit.p_best(among=self._among(context)), self._seed_row(state, context)
            found.update((self._ids[row], self._standing(row, seed, prob_N)) for row in rows)
        return found

    def _standing(self, row: int, seed: int, prob_N: Array) -> Standing:
        mean, low, high = (0.5, 0.5, 0.5) if row == seed else self.bandit.win_rate(row, seed)
        identifier = self._ids[row]
        return Standing(identifier, mean, low, high, float(prob_N[row]), self._shown[identifier])

    def should_stop(self) -> tuple[bool, str]:
        """Whether more votes are worth a person's time, and why, in plain words."""
        if self._max_votes is not None and self.votes >= self._max_votes:
            return True, f"The study's budget of {self._max_votes} votes is used."
        askable = self._askable
        if len(askable) <= 1:
            return self.bandit.should_stop(among=self._among(askable[0]) if askable else None)
        for context in sorted(askable, key=lambda context: self._votes[context]):
            stop, reason = self.bandit.should_stop(among=self._groups[context])
            if not stop:
                return False, reason
        return True, (
            f"You can stop now: for each of the {len(askable)} inputs the best answer is as good as certain, "
            "or more votes are hardly worth it."
        )

    def decided(self, first: str, second: str) -> bool:
        """Whether the 95 % interval of the probability that one beats the other lies on one side of ½."""
        row, other = self._index.get(first), self._index.get(second)
        if self._bandit is None or row is None or other is None:
            return True
        _, low, high = self._bandit.win_rate(row, other)
        return low > 0.5 or high < 0.5

    def worth_of_growing(self, state: StudyState, children: int, clicks: int) -> Exploring | None:
        """What new candidates are worth against further questions about the present ones.

        Args:
            state: What was followed last.
            children: How many are thought of.
            clicks: Votes that are left.

        Returns:
            ``None`` where the belief cannot say: the strategy's uncertainty is not calibrated, or candidates
            are answers to several inputs.
        """
        if self._bandit is None or not self._bandit.calibrated or list(self._groups) != [None]:
            return None
        index = self._index
        kin = [
            (index[parent], index[child.id])
            for child in state.candidates.values()
            for parent in child.lineage.parents[:1]
            if parent in index and child.id in index
        ]
        return worth_of_growing(
            self._bandit, children=children, kin=kin[-KIN:], clicks=clicks, among=self._groups[None]
        )

    def _tell(self, vote: Vote, state: StudyState) -> None:
        if self._held_out.takes(vote):
            return
        left, right = self._index.get(vote.left_candidate), self._index.get(vote.right_candidate)
        if self._bandit is not None and left is not None and right is not None:
            known = state.candidates.get(vote.left_candidate) or state.withdrawn[vote.left_candidate]
            self._bandit.tell(left, right, vote.verdict, input_id=vote.input_id, judge=vote.judge)
            self._votes[known.context] += vote.verdict.teaches

    def _among(self, context: str | None) -> list[int] | None:
        """What the strategy is told to look at: the rows of one group, or all where there is one group."""
        return None if len(self._groups) == 1 else self._groups[context]

    @property
    def _askable(self) -> list[str | None]:
        """The groups in which there is something to compare."""
        return [context for context, rows in self._groups.items() if len(rows) > 1]


def _two(vote: Vote) -> tuple[str, str]:
    return vote.left_candidate, vote.right_candidate
