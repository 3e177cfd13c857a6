"""What every strategy must do: one shared set of tests, one row a strategy.

A plug-in's author writes, in a test file of their own::

    class TestMine(StrategyContract):
        @pytest.fixture
        def row(self) -> StrategyRow:
            return StrategyRow("mine", {"option": 3})

The toy problem has a known answer: candidates on a sphere, utilities linear in their features.
"""

import copy
import json
import pickle  # noqa: TID251 - only to show that a learner can cross a process boundary; nothing is stored
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from palate.strategies import DuelBandit, duel_bandit
from palate.types import Array, Json, Verdict

__all__ = ["StrategyContract", "StrategyRow", "noisy_judge", "sure_judge", "toy_problem"]

Judge = Callable[[int, int], Verdict]


@dataclass(frozen=True)
class StrategyRow:
    """A strategy and what it promises.

    Args:
        name: As registered.
        options: Its options.
        finds_best: Votes of a judge who never errs after which it must report the best of eight; ``None`` for
            a known exception.
        margin: By how much its report must beat that of memoryless random choice, in standard deviations of
            the true utilities, averaged over ``seeds`` noisy studies; ``None`` for a known exception.
        learns: Whether its belief moves with the votes.
        seeds: At least 20.
        votes: Votes in each noisy study.
        reason: Why there are exceptions; required if there are.
    """

    name: str
    options: Mapping[str, Json] = field(default_factory=dict[str, Json])
    finds_best: int | None = 30
    margin: float | None = 0.5
    learns: bool = True
    seeds: int = 20
    votes: int = 25
    reason: str = ""

    def make(self, feature_ND: Array, seed: int = 0) -> DuelBandit:
        """A fresh learner."""
        return duel_bandit(self.name, feature_ND, seed, **self.options)


def toy_problem(size: int, dimension: int, seed: int) -> tuple[Array, Array]:
    """Unit-norm features ``(N, D)`` and utilities ``(N,)``, linear in them, mean 0, standard deviation 1."""
    rng = np.random.default_rng(seed)
    feature_ND = rng.standard_normal((size, dimension))
    feature_ND /= np.linalg.norm(feature_ND, axis=1, keepdims=True)
    utility_N = feature_ND @ rng.standard_normal(dimension)
    return feature_ND, (utility_N - utility_N.mean()) / utility_N.std()


def sure_judge(utility_N: Array) -> Judge:
    """A judge who always prefers the better one."""
    return lambda i, j: Verdict.LEFT if utility_N[i] >= utility_N[j] else Verdict.RIGHT


def noisy_judge(utility_N: Array, rng: np.random.Generator, slope: float = 2.0) -> Judge:
    """A Bradley–Terry judge: ``P(left) = sigmoid(slope (u_i - u_j))``."""

    def judge(i: int, j: int) -> Verdict:
        prob = 1.0 / (1.0 + np.exp(slope * (utility_N[j] - utility_N[i])))
        return Verdict.LEFT if rng.random() < prob else Verdict.RIGHT

    return judge


def play(bandit: DuelBandit, judge: Judge, votes: int) -> list[tuple[int, int]]:
    """Run a study; returns what was asked."""
    asked: list[tuple[int, int]] = []
    for _ in range(votes):
        i, j = bandit.ask()
        bandit.tell(i, j, judge(i, j))
        asked.append((i, j))
    return asked


class StrategyContract:
    """Subclass it and give the fixture ``row``."""

    @pytest.fixture
    def row(self) -> StrategyRow:
        """The strategy under test."""
        raise NotImplementedError("give a fixture called row that returns a StrategyRow")

    @pytest.fixture
    def toy(self) -> tuple[Array, Array]:
        """Eight candidates in three dimensions."""
        return toy_problem(8, 3, seed=1)

    def test_exceptions_have_a_reason(self, row: StrategyRow) -> None:
        """A promise that is not made is explained on the row."""
        exempt = row.finds_best is None or row.margin is None or not row.learns
        assert bool(row.reason) or not exempt
        assert row.seeds >= 20

    def test_finds_the_best(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """A judge who never errs leads it to the known answer."""
        feature_ND, utility_N = toy
        if row.finds_best is None:
            pytest.skip(row.reason)
        bandit = row.make(feature_ND)
        play(bandit, sure_judge(utility_N), row.finds_best)
        assert bandit.best() == int(utility_N.argmax())

    def test_beats_memoryless_random_choice(self, row: StrategyRow) -> None:
        """Over many noisy studies, by the margin on the row."""
        if row.margin is None:
            pytest.skip(row.reason)
        gains: list[float] = []
        for seed in range(row.seeds):
            feature_ND, utility_N = toy_problem(30, 5, seed=seed)
            found: list[float] = []
            for bandit in (row.make(feature_ND, seed), duel_bandit("random-memoryless", feature_ND, seed)):
                play(bandit, noisy_judge(utility_N, np.random.default_rng(seed)), row.votes)
                found.append(float(utility_N[bandit.best()]))
            gains.append(found[0] - found[1])
        assert float(np.mean(gains)) >= row.margin

    def test_swapping_sides_is_harmless(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """The same votes with left and right exchanged give the same belief and the same report."""
        feature_ND, utility_N = toy
        here, there = row.make(feature_ND), row.make(feature_ND)
        asked = play(here, noisy_judge(utility_N, np.random.default_rng(0)), 12)
        for (i, j), won in zip(asked, here.history.outcome_M.tolist(), strict=True):
            there.tell(j, i, Verdict.RIGHT if won == 1.0 else Verdict.LEFT)
        # Sums run in another order, and training amplifies the last bit.
        np.testing.assert_allclose(here.posterior().mean_N, there.posterior().mean_N, atol=1e-6)
        assert here.best() == there.best()

    def test_same_seed_same_run(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """Two runs of one seed are equal bit for bit."""
        feature_ND, utility_N = toy
        runs: list[tuple[object, ...]] = []
        for _ in range(2):
            bandit = row.make(feature_ND, seed=5)
            asked = play(bandit, noisy_judge(utility_N, np.random.default_rng(0)), 8)
            mean_N, std_N = bandit.posterior()
            runs.append((asked, bandit.best(), mean_N.tolist(), std_N.tolist(), bandit.p_best().tolist()))
        assert runs[0] == runs[1]

    @pytest.mark.parametrize("way", ["text", "pickle", "copy"])
    def test_a_saved_run_continues_as_if_nothing_happened(
        self, row: StrategyRow, toy: tuple[Array, Array], way: str
    ) -> None:
        """JSON text, pickle and deep copy, in the middle of a run and of a question."""
        feature_ND, utility_N = toy
        bandit = row.make(feature_ND, seed=2)
        play(bandit, noisy_judge(utility_N, np.random.default_rng(0)), 7)
        bandit.ask()
        if way == "text":
            other = DuelBandit.from_json(json.loads(json.dumps(bandit.to_json(), allow_nan=False)))
        elif way == "pickle":
            other = pickle.loads(pickle.dumps(bandit))  # noqa: S301 - our own bytes
        else:
            other = copy.deepcopy(bandit)
        runs = [play(b, noisy_judge(utility_N, np.random.default_rng(9)), 5) for b in (bandit, other)]
        assert runs[0] == runs[1]
        assert bandit.posterior().mean_N.tolist() == other.posterior().mean_N.tolist()
        assert bandit.to_json() == other.to_json()

    def test_skips_and_failures_teach_nothing(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """They are recorded, and neither belief nor report moves."""
        feature_ND, utility_N = toy
        bandit = row.make(feature_ND)
        play(bandit, sure_judge(utility_N), 6)
        before = (bandit.posterior().mean_N.tolist(), bandit.best(), bandit.votes)
        for verdict in ("skip", "failed") * 3:
            bandit.tell(*bandit.ask(), verdict)
        assert (bandit.posterior().mean_N.tolist(), bandit.best(), bandit.votes) == before
        told = bandit.to_json()["told"]
        assert isinstance(told, list)
        assert len(told) == 12

    def test_welcomes_responses(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """Known responses are taken or left alone; a question names an input on which they differ."""
        feature_ND, utility_N = toy
        bandit, judge = row.make(feature_ND), sure_judge(utility_N)
        for k in range(len(feature_ND)):
            bandit.responded(k, "same", [1.0, 0.0])
            bandit.responded(k, "differs", [float(k), 1.0])
        for _ in range(6):
            i, j, name = bandit.ask_where(["same", "differs"], pending=[(0, 1, "same")])
            assert i != j
            met = {(i, j), (j, i)} & set(bandit.history.pairs)
            assert name == "differs" or met
            bandit.tell(i, j, judge(i, j), input_id=name)
        assert np.isfinite(bandit.posterior().mean_N).all()
        again = DuelBandit.from_json(json.loads(json.dumps(bandit.to_json(), allow_nan=False)))
        assert again.ask_where(["same", "differs"]) == bandit.ask_where(["same", "differs"])

    def test_accepts_ties(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """A study of nothing but ties and ``both_bad`` stays finite and counts them."""
        bandit = row.make(toy[0])
        for verdict in ("tie", "both_bad") * 4:
            bandit.tell(*bandit.ask(), verdict)
        assert bandit.votes == 8
        assert np.isfinite(bandit.posterior().mean_N).all()
        assert np.isfinite(bandit.posterior().std_N).all()

    def test_a_vote_moves_the_belief_the_right_way(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """After one candidate beat another again and again, it is believed to be better."""
        if not row.learns:
            pytest.skip(row.reason)
        bandit = row.make(toy[0])
        for _ in range(8):
            bandit.tell(2, 5, "left")
        assert bandit.posterior().mean_N[2] > bandit.posterior().mean_N[5]
        assert bandit.win_rate(2, 5).mean > 0.5 > bandit.win_rate(5, 2).mean

    def test_asks_pairs_of_different_candidates(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """Eight at once are eight different pairs that avoid the open ones; never a self-duel."""
        bandit = row.make(toy[0])
        for _ in range(6):
            bandit.tell(*bandit.ask(), "left")
        waiting = bandit.ask(4)
        pairs = [*waiting, *bandit.ask(8, pending=waiting)]
        assert len({frozenset(pair) for pair in pairs}) == 12
        assert all(i != j and min(i, j) >= 0 and max(i, j) < 8 for i, j in pairs)
        assert bandit.ask(0) == []

    def test_two_candidates_are_enough(self, row: StrategyRow) -> None:
        """With one pair only, it is asked again rather than not at all, and duplicates do no harm."""
        bandit = row.make(np.array([[1.0, 0.0], [1.0, 0.0]]))
        assert {frozenset(pair) for pair in bandit.ask(3)} == {frozenset((0, 1))}
        bandit.tell(0, 1, "left")
        mean, low, high = bandit.win_rate(0, 1)
        rounding = 1e-12
        assert low - rounding <= mean <= high + rounding
        assert low >= 0
        assert high <= 1

    def test_says_what_it_believes(self, row: StrategyRow, toy: tuple[Array, Array]) -> None:
        """Shapes, units and sums of what it reports, before any vote and after some."""
        bandit = row.make(toy[0])
        for _ in range(2):
            mean_N, std_N = bandit.posterior()
            assert mean_N.shape == std_N.shape == (8,)
            assert abs(float(mean_N.mean())) < 1e-6 * (1.0 + float(np.abs(mean_N).max()))
            assert (std_N >= 0).all()
            assert float(bandit.p_best().sum()) == pytest.approx(1.0)
            assert 0 <= bandit.best() < 8
            stop, reason = bandit.should_stop()
            assert not stop
            assert reason.endswith(".")
            bandit.tell(0, 1, "left")
