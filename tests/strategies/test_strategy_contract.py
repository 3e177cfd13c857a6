"""Every built-in strategy earns a row."""

import pytest

from palate.registry import parts
from palate.testing import StrategyContract, StrategyRow

# The published network, smaller and shorter, so that a refit takes hundredths of a second.
QUICK = {"hidden": (8, 8), "steps": 300}

# Margins are about one standard error (0.2) below what was measured: 1.01, 0.94, 0.84 and 0.65.
ROWS = [
    StrategyRow("palate", margin=0.8),
    StrategyRow("gp-eubo", margin=0.8),
    StrategyRow("random", margin=0.7),
    StrategyRow("preferential-gp", margin=0.65),
    StrategyRow("linear-ucb", margin=0.6),
    StrategyRow("linear-ucb", {"choice": "max-inp"}, margin=0.75),
    StrategyRow("linear-ucb", {"choice": "colstim", "matrix": "hessian"}, margin=0.6),
    # Without features, few duels a candidate say no more than the last one does: 0.0 at 25 votes, 0.95 here.
    StrategyRow("double-ts", margin=0.7, votes=100),
    StrategyRow("pdo", margin=0.5),
    StrategyRow(
        "random-memoryless",
        finds_best=None,
        margin=None,
        learns=False,
        reason="the baseline itself: it keeps no memory and reports the winner of the last duel",
    ),
]
NEURAL_ROWS = [
    StrategyRow("apohf", QUICK, margin=0.6),
    StrategyRow("apohf-released", QUICK, margin=0.4),
    StrategyRow("ndb-ucb", {"width": 16, "steps": 100}, margin=0.65),
    StrategyRow("ndb-ts", {"width": 16, "steps": 100}, margin=0.7),
    StrategyRow("ensemble-ts", {"steps": 200}, margin=0.35),
    # Not neural, but as slow: a thousand steps a refit.
    StrategyRow("linear-released", margin=0.5),
    # Not neural, but as slow: every refit searches for hyper-parameters.
    StrategyRow("preferential-gp-bald", margin=0.7),
    StrategyRow("preferential-gp-qeubo", margin=0.7),
    StrategyRow("preferential-gp-thompson", margin=0.6),
]


class TestStrategies(StrategyContract):
    @pytest.fixture(params=ROWS, ids=lambda row: row.name)
    def row(self, request: pytest.FixtureRequest) -> StrategyRow:
        return request.param


class TestNeuralStrategies(StrategyContract):
    @pytest.fixture(params=NEURAL_ROWS, ids=lambda row: row.name)
    def row(self, request: pytest.FixtureRequest) -> StrategyRow:
        return request.param

    @pytest.mark.slow
    def test_beats_memoryless_random_choice(self, row: StrategyRow) -> None:
        super().test_beats_memoryless_random_choice(row)


def test_no_built_in_is_left_out() -> None:
    ours = {part.name for part in parts("strategies") if part.package == "palate"}
    assert {row.name for row in (*ROWS, *NEURAL_ROWS)} == ours
