"""A strategy kept in step with the store: candidates and votes in, the next pairs and a belief out.

The belief is a function of the candidates and of the votes that stand, in their order. Votes come as columns
of numbers, because a million of them take little room so. New ones are told one by one; whenever history
itself changes (an undone vote, a new or withdrawn candidate, an answer that became known ahead of the
questions) the strategy is rebuilt from nothing and the votes are replayed, so that a live study and a
reopened one cannot differ. Votes on a candidate that was withdrawn keep teaching about those that it met.
Once a machine has voted, every fifth question to people teaches nothing: those votes confirm the winner, see
palate.choice.held_out_votes.

Candidates that are answers to inputs share one belief, but only answers to the same input meet. The next
question goes to the input with the fewest, each input has a report of its own, and asking ends when it would
end for every one of them.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from palate.choice import HeldOut
from palate.errors import InputError
from palate.operations import FIT_SECONDS, Counted, Histogram, fitted
from palate.store import VERDICTS, StudyState, VoteColumns, seed_of
from palate.strategies import DuelBandit, Exploring, duel_bandit, worth_of_growing
from palate.types import Array, Belief, Candidate, ContextBelief, Pairing, Standing

if TYPE_CHECKING:
    from palate.assembly import Parts

__all__ = ["NOTHING", "Learner", "Learns", "Learnt", "by_context", "comparable", "learner_for"]

TOP = 10  # as many rows as people read
TOP_EACH = 3  # the same, for each of several inputs
NOTHING: Mapping[tuple[str, str], Array] = MappingProxyType({})
PART = 10_000  # votes that are taken from their columns at once
KIN = 200  # children and parents that tell how near new children may be


def learner_for(parts: "Parts") -> "Learner":
    """A learner that knows nothing yet, for a study of such parts."""
    return Learner(parts.strategy, parts.strategy_options, seed=parts.seed, max_votes=parts.max_votes)


def by_context(candidates: Iterable[Candidate]) -> dict[str | None, list[Candidate]]:
    """Those that may meet each other: candidates by the input that they are for, ``None`` for any input."""
    found: dict[str | None, list[Candidate]] = {}
    for candidate in candidates:
        found.setdefault(candidate.context, []).append(candidate)
    return found


def comparable(state: StudyState, features: Mapping[str, Array]) -> bool:
    """Whether two candidates that may meet have features."""
    embedded = (candidate for candidate in state.candidates.values() if candidate.id in features)
    return any(len(group) > 1 for group in by_context(embedded).values())


class Learnt(NamedTuple):
    """What the learner has done since it was made.

    Args:
        votes: Votes that it has taken note of, those that do not teach among them.
        seconds: How long it took each time that something was learnt and the belief was worked out anew.
    """

    votes: int
    seconds: Counted


class Learns(Protocol):
    """What a study asks of its learner, wherever that runs. :class:`Learner` says more of each."""

    @property
    def votes(self) -> int:
        """Votes told so far that teach."""
        ...

    @property
    def learnt(self) -> Learnt:
        """How far it has come, and how long that took."""
        ...

    def check(self) -> None:
        """Make sure that there is something to compare."""
        ...

    def follow(
        self,
        state: StudyState,
        features: Mapping[str, Array],
        answers: Mapping[tuple[str, str], Array] = ...,
        *,
        votes: VoteColumns | None = None,
    ) -> bool:
        """Catch up with the store."""
        ...

    def choose(self, n: int, pending: Sequence[Pairing]) -> list[tuple[str, str]]:
        """Choose pairs of candidates worth asking about at once."""
        ...

    def belief(self, state: StudyState) -> Belief:
        """What is believed now."""
        ...

    def standings(self, state: StudyState) -> dict[str, Standing]:
        """What is believed of every candidate that takes part."""
        ...

    def should_stop(self) -> tuple[bool, str]:
        """Whether more votes are worth a person's time, and why."""
        ...

    def decided(self, first: str, second: str) -> bool:
        """Whether it is clear which of two is better."""
        ...

    def worth_of_growing(self, state: StudyState, children: int, clicks: int) -> Exploring | None:
        """What new candidates are worth against further questions about the present ones."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


class Learner:
    """One strategy and the history that it has been told.

    Args:
        strategy: A registered name, or ``"default"``.
        options: The strategy's own options.
        seed: Of every random draw that the strategy makes.
        max_votes: The study stops at so many votes; ``None`` for no limit.

    Attributes:
        made_with: All these by name.
    """

    def __init__(
        self, strategy: str, options: Mapping[str, Any], *, seed: int, max_votes: int | None = None
    ) -> None:
        self.made_with: Mapping[str, Any] = {
            "strategy": strategy,
            "options": dict(options),
            "seed": seed,
            "max_votes": max_votes,
        }
        self._make = partial(duel_bandit, strategy, seed=seed, **options)
        self._max_votes = max_votes
        self._ids: list[str] = []  # those that take part, then the withdrawn that were voted on
        self._live = 0
        self._answers = 0  # that were known ahead of the questions
        self._index: dict[str, int] = {}
        self._groups: dict[str | None, list[int]] = {}  # rows that may meet, by the input that they are for
        self._votes: Counter[str | None] = Counter()  # that teach, by group
        self._told: VoteColumns | None = None
        self._shown: Mapping[str, int] = {}  # how often each candidate was in a vote that was told
        self._held_out = HeldOut()
        self._bandit: DuelBandit | None = None
        self._fits = Histogram(FIT_SECONDS)
        self._telling: float | None = None  # seconds that it took to be told what the belief does not say yet

    def check(self) -> None:
        """Make sure that there is something to compare; raises as :attr:`bandit` does."""
        assert self.bandit is self._bandit

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
        return Learnt(len(self._told or ()), self._fits.counted())

    def follow(
        self,
        state: StudyState,
        features: Mapping[str, Array],
        answers: Mapping[tuple[str, str], Array] = NOTHING,
        *,
        votes: VoteColumns | None = None,
    ) -> bool:
        """Catch up with the store.

        Args:
            state: The study as stored.
            features: A unit-norm row of size ``D`` by candidate identifier; a candidate without one waits.
            answers: A row of size ``F`` by candidate and input, of answers that are known without a vote.
            votes: Those of the study, if they are at hand; only what is not after the state is looked at.

        Returns:
            Whether anything was learnt or forgotten.
        """
        votes = (VoteColumns.of(state) if votes is None else votes).upto(state.seq)
        told = self._told
        grown = told is not None and votes.begin_with(told)
        shown = votes.shown
        live = [identifier for identifier in state.candidates if identifier in features]
        gone = [c for c in state.withdrawn if c in features and shown.get(c)]
        ids = [*live, *gone]
        same = grown and ids == self._ids and len(live) == self._live and len(answers) == self._answers
        if same and told is not None and len(votes) == len(told):
            return False
        began = time.perf_counter()
        if not same:
            told = None
            self._ids, self._live, self._answers = ids, len(live), len(answers)
            self._index = {identifier: row for row, identifier in enumerate(ids)}
            groups = by_context(state.candidates[identifier] for identifier in live)
            self._groups = {
                context: [self._index[candidate.id] for candidate in groups[context]]
                for context in (None, *state.inputs)
                if context in groups
            }
            self._votes = Counter()
            self._held_out = HeldOut()
            self._bandit = None
            if any(len(rows) > 1 for rows in self._groups.values()):
                feature_ND = np.stack([features[identifier] for identifier in ids])
                self._bandit = self._make(feature_ND)
                for row in range(len(live), len(ids)):
                    self._bandit.withdraw(row)
                for (identifier, place), answer_F in answers.items():
                    if identifier in self._index:
                        self._bandit.responded(self._index[identifier], place, answer_F)
        self._tell(votes.after(len(told or ())), state)
        self._told, self._shown = votes, shown
        self._telling = (self._telling or 0.0) + time.perf_counter() - began
        return True

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
            fitted(len(self._told or ()), seconds, self._fits)
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
        return Standing(identifier, mean, low, high, float(prob_N[row]), self._shown.get(identifier, 0))

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

    def close(self) -> None:
        """There is nothing to end."""

    def _tell(self, news: VoteColumns, state: StudyState) -> None:
        bandit, everybody = self._bandit, {**state.withdrawn, **state.candidates}
        row_C = [self._index.get(identifier) for identifier in news.candidates]
        for start in range(0, len(news), PART):
            part: list[tuple[int, ...]] = news.table_M[start : start + PART].tolist()
            for told in part:
                _, first, second, _, _, place, who, said, held_out = told
                left, right, verdict, judge = row_C[first], row_C[second], VERDICTS[said], news.judges[who]
                if self._held_out.applies(judge, verdict) and held_out:
                    continue
                if bandit is not None and left is not None and right is not None:
                    bandit.tell(left, right, verdict, input_id=news.inputs[place], judge=judge)
                    self._votes[everybody[news.candidates[first]].context] += verdict.teaches

    def _among(self, context: str | None) -> list[int] | None:
        """What the strategy is told to look at: the rows of one group, or all where there is one group."""
        return None if len(self._groups) == 1 else self._groups[context]

    @property
    def _askable(self) -> list[str | None]:
        """The groups in which there is something to compare."""
        return [context for context, rows in self._groups.items() if len(rows) > 1]
