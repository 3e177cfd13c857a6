"""The seam of strategies: pure functions on frozen values, randomness passed in.

    prepare(features) → prepared        once a study
    fit(prepared, history) → fitted     after votes; a pure function, so a belief can always be rebuilt
    choose(fitted, history, pool, rng)  the next pair
    report(history, fitted, pool)       the candidate to use now
    belief(fitted)                      a Gaussian over utilities

A strategy is a small frozen dataclass of options. It holds no votes: :class:`palate.strategies.DuelBandit`
keeps the state and calls it. Array names: ``N`` candidates, ``D`` feature size, ``M`` votes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from palate.choice import Shown, Utilities
from palate.strategies._answers import Answers
from palate.types import Array

__all__ = ["History", "Pair", "Pool", "Strategy", "allowed_pairs", "random_pair"]

Pair: TypeAlias = tuple[int, int]
Rows: TypeAlias = NDArray[np.int64]


def _unsaid() -> Rows:
    return np.zeros(0, dtype=np.int64)


def _nothing() -> NDArray[np.object_]:
    return np.zeros(0, dtype=np.object_)


_UNKNOWN = -1
_MAY_BE_UNSAID = (
    "bad_M",
    "strength_M",
    "judge_M",
    "input_M",
    "first_answer_M",
    "second_answer_M",
    "machine_M",
)


PreparedT = TypeVar("PreparedT")
FittedT = TypeVar("FittedT")


@dataclass(frozen=True)
class History:
    """The votes that teach, in the order in which they came.

    Args:
        first_M: Row numbers of the candidates shown on the left.
        second_M: Row numbers of those on the right.
        outcome_M: 1 where left won, 0 where right won, one half for ties and both bad.
        bad_M: Where a half means that both were bad; nowhere when left out.
        strength_M: How clearly the winner was better: 0 not said, 1 slightly, 2 clearly, 3 much.
        judge_M: Who voted, as numbers in order of first appearance; one and the same when left out.
        input_M: On which input, as numbers in order of first appearance; one and the same when left out.
        first_answer_M: Place of the left response among the known ones, -1 where it is not known.
        second_answer_M: Place of the right one.
        machine_M: Where the judge is a machine; nowhere when left out.
        passed_M: The pairs that its judge passed on since its vote before this one, as tuples of pairs; none
            when left out.
    """

    first_M: Rows
    second_M: Rows
    outcome_M: Array
    bad_M: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    strength_M: Rows = field(default_factory=_unsaid)
    judge_M: Rows = field(default_factory=_unsaid)
    input_M: Rows = field(default_factory=_unsaid)
    first_answer_M: Rows = field(default_factory=_unsaid)
    second_answer_M: Rows = field(default_factory=_unsaid)
    machine_M: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    passed_M: NDArray[np.object_] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        if len(self.passed_M) == 0 and len(self):
            object.__setattr__(self, "passed_M", np.fromiter(((),) * len(self), dtype=np.object_))
        for name in _MAY_BE_UNSAID:
            said_M = getattr(self, name)
            if len(said_M) == 0:
                blank = _UNKNOWN if "answer" in name else 0
                object.__setattr__(self, name, np.full(len(self), blank, dtype=said_M.dtype))

    def __len__(self) -> int:
        return len(self.outcome_M)

    def until(self, votes: int) -> "History":
        """The first ``votes`` votes."""
        return self.part(slice(votes))

    def part(self, which: slice) -> "History":
        """Some of the votes."""
        return History(*(getattr(self, column.name)[which] for column in fields(self)))

    def same_as(self, other: "History") -> bool:
        """Whether every column of both is equal."""
        return all(
            np.array_equal(getattr(self, column.name), getattr(other, column.name)) for column in fields(self)
        )

    @property
    def lower_first(self) -> tuple[Rows, Rows, Array]:
        """Lower row, higher row, and 1 where the lower one won: who stood left leaves no trace, not a bit."""
        turned_M = self.first_M > self.second_M
        return (
            np.minimum(self.first_M, self.second_M),
            np.maximum(self.first_M, self.second_M),
            np.where(turned_M, 1.0 - self.outcome_M, self.outcome_M),
        )

    @property
    def shown(self) -> Shown:
        """Everything that was shown to those who voted, up to their last votes: answered or passed on."""
        passed = [
            (first, second, judge)
            for pairs, judge in zip(self.passed_M.tolist(), self.judge_M.tolist(), strict=True)
            for first, second in pairs
        ]
        passed_P3 = np.array(passed, dtype=np.int64).reshape(-1, 3)
        answered_M3 = np.stack([self.first_M, self.second_M, self.judge_M], axis=1)
        first_K, second_K, judge_K = np.concatenate([answered_M3, passed_P3]).T
        return Shown(first_K, second_K, judge_K, np.arange(len(first_K)) < len(self))

    @property
    def pairs(self) -> list[Pair]:
        """What was asked, as ``(left, right)``."""
        return list(zip(self.first_M.tolist(), self.second_M.tolist(), strict=True))


@dataclass(frozen=True)
class Pool:
    """What may be asked, and what already is.

    Args:
        live_N: Which candidates still take part; the withdrawn are neither asked about nor reported.
        open_pairs: Pairs that wait for an answer.
    """

    live_N: NDArray[np.bool_]
    open_pairs: tuple[Pair, ...] = ()

    def __len__(self) -> int:
        return len(self.live_N)

    def best(self, value_N: Array) -> int:
        """The live candidate of the largest value, the first one of equals."""
        return int(np.where(self.live_N, value_N, -np.inf).argmax())


class Strategy(Protocol[PreparedT, FittedT]):
    """Decides which two to compare next and what to believe of the candidates."""

    @property
    def calibrated(self) -> bool:
        """Whether the belief's uncertainty may be acted upon; without it there is no advice to stop."""
        ...

    def prepare(self, feature_ND: Array) -> PreparedT:
        """Work that needs the features only; ``(N, D)``, finite, N ≥ 2."""
        ...

    def fit(self, prepared: PreparedT, history: History) -> FittedT:
        """Learn from all votes. Pure and deterministic: equal votes give equal bits."""
        ...

    def choose(self, fitted: FittedT, history: History, pool: Pool, rng: np.random.Generator) -> Pair:
        """Pick two different live candidates, avoiding open pairs while others are left."""
        ...

    def report(self, history: History, fitted: Callable[[History], FittedT], pool: Pool) -> int:
        """The live candidate to use now; ``fitted`` gives the model after any prefix of the history."""
        ...

    def belief(self, fitted: FittedT) -> Utilities:
        """Utilities in log-odds, zero mean over the candidates."""
        ...


@runtime_checkable
class Answering(Protocol):
    """What a strategy offers beside :class:`Strategy` if it learns from the candidates' responses."""

    def prepare_answers(self, feature_ND: Array, answers: Answers) -> Any:  # noqa: ANN401 - the strategy's own
        """As ``prepare``, with the known responses."""
        ...

    def answers_since(self, votes: int) -> int:
        """The number of votes, up to ``votes``, after which new responses were last taken in."""
        ...

    def told_by(self, fitted: Any, i: int, j: int, answer_2X: Rows) -> Array:  # noqa: ANN401
        """What votes between known responses are expected to tell, ``(X,)``; NaN where one is unknown."""
        ...


def allowed_pairs(pool: Pool) -> NDArray[np.bool_]:
    """Which pairs ``i < j`` may be asked, as an ``(N, N)`` table.

    Open pairs are left out, whichever side stood where, unless nothing else is left: asking the same pair on
    another input still teaches, asking nothing does not.
    """
    everything_NN = np.triu(pool.live_N[:, None] & pool.live_N[None, :], k=1)
    free_NN = everything_NN.copy()
    for i, j in pool.open_pairs:
        free_NN[min(i, j), max(i, j)] = False
    return free_NN if free_NN.any() else everything_NN


def random_pair(pool: Pool, rng: np.random.Generator) -> Pair:
    """Draw a pair uniformly among the allowed ones, and its order with a fair coin."""
    choice = rng.choice(np.flatnonzero(allowed_pairs(pool)))
    i, j = int(choice) // len(pool), int(choice) % len(pool)
    return (i, j) if rng.random() < 0.5 else (j, i)
