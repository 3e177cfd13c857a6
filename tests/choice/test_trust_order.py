"""Who comes first among the raters has no say in what the others are taken for."""

import numpy as np

from palate.choice import TrustFit, Votes, fit_trust, sigmoid

CANDIDATES, RATERS, COINS, EACH = 24, 10, 3, 40


def fitted(seed: int, order: list[int]) -> tuple[TrustFit, float]:
    """Three of ten raters toss a coin; ``order`` gives their numbers. Also the correlation with the truth."""
    rng = np.random.default_rng(seed)
    utility_N = rng.standard_normal(CANDIDATES)
    who_M = np.repeat(np.arange(RATERS), EACH)
    first_M = rng.integers(CANDIDATES, size=len(who_M))
    second_M = (first_M + rng.integers(1, CANDIDATES, size=len(who_M))) % CANDIDATES
    gap_M = np.where(who_M < COINS, 0.0, 2.5 * (utility_N[first_M] - utility_N[second_M]))
    said_M = (rng.random(len(who_M)) < sigmoid(gap_M)).astype(float)
    votes = Votes(first_M, second_M, said_M, judge_M=np.array(order)[who_M])
    fit = fit_trust(np.eye(CANDIDATES), votes, np.zeros(RATERS, dtype=bool))
    return fit, float(np.corrcoef(fit.belief.mean_N, utility_N)[0, 1])


def test_a_coin_that_comes_first_does_not_turn_the_others_into_contraries() -> None:
    # Of these 20 studies three came out upside down when the first judge was believed before all were heard.
    for seed in range(20):
        _, alike = fitted(seed, list(range(RATERS)))
        assert alike > 0.7


def test_the_order_of_raters_changes_next_to_nothing() -> None:
    for seed in range(5):
        one, _ = fitted(seed, list(range(RATERS)))
        other, _ = fitted(seed, list(reversed(range(RATERS))))
        coin_J = np.array([judge.coin + judge.contrary for judge in one.judges])
        turned_J = np.array([judge.coin + judge.contrary for judge in reversed(other.judges)])
        # The sweeps end when nobody's probability moves by more than 0.005, which leaves a little room.
        np.testing.assert_allclose(coin_J, turned_J, atol=0.05)
        assert one.winner == other.winner
