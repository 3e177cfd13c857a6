"""When to stop asking: the value of twenty more votes.

    gain = E[ P(the candidate reported after 20 more votes beats the one reported now) ] - 1/2

The expectation is over what those votes could say. Under a Gaussian belief their effect on the covariance
does not depend on the answers, so the twenty pairs are chosen ahead by EUBO, the covariance S shrinks to S',
and the mean after the votes is distributed as m + (S - S')^(1/2) z. This is the knowledge gradient (Frazier,
Powell and Dayanik, 2009) for a batch of duels, measured in win probability. What is approximate: the
information of a vote is taken at the present mean, where it is largest, so the rule asks rather too long
than too short.
"""

import numpy as np

from palate.choice import Gaussian, difference_variance, eubo, observe_pair, sigmoid
from palate.strategies._protocol import Pool, allowed_pairs
from palate.types import Array

__all__ = ["expected_gain", "stop_advice"]

HORIZON = 20
MINIMUM_VOTES = 10
THRESHOLD = 0.005
_DRAWS = 2048
_HARDLY_BETTER = 0.55


def _planned_directions(belief: Gaussian, votes: int) -> tuple[Array, Array]:
    """Columns ``v`` with ``S - S' = V V^T`` for the votes that EUBO would ask, and ``S'``."""
    covariance_NN = belief.covariance_NN
    free_NN = allowed_pairs(Pool(np.ones(len(belief.mean_N), dtype=np.bool_)))
    columns: list[Array] = []
    for _ in range(votes):
        value_NN = np.where(free_NN, eubo(belief.mean_N, covariance_NN), -np.inf)
        i, j = divmod(int(value_NN.argmax()), len(belief.mean_N))
        after_NN = observe_pair(belief.mean_N, covariance_NN, i, j)
        along_N = covariance_NN[:, i] - covariance_NN[:, j]
        removed = float(along_N[i] - along_N[j])
        left = float(after_NN[i, i] + after_NN[j, j] - 2.0 * after_NN[i, j])
        share = max(removed - left, 0.0) / removed**2 if removed > 0 else 0.0
        columns.append(along_N * np.sqrt(share))
        covariance_NN = after_NN
    return np.stack(columns, axis=1), covariance_NN


def expected_gain(belief: Gaussian, best: int, rng: np.random.Generator, *, votes: int = HORIZON) -> float:
    """What more votes are expected to be worth.

    Args:
        belief: About the utilities, in log-odds.
        best: The candidate that is reported now.
        rng: Draws the possible answers.
        votes: How many more votes.

    Returns:
        Expected win probability of the later report against the present one, minus one half; in [0, 0.5].
    """
    column_NV, after_NN = _planned_directions(belief, votes)
    mean_SN = belief.mean_N + rng.standard_normal((_DRAWS, votes)) @ column_NV.T
    winner_S = mean_SN.argmax(axis=1)
    rows_S = np.arange(_DRAWS)
    lead_S = mean_SN[rows_S, winner_S] - mean_SN[:, best]
    variance_S = difference_variance(after_NN)[winner_S, best]
    # sigmoid averaged over a Gaussian, by the probit approximation (MacKay 1992): accurate to 0.02.
    prob_S = sigmoid(lead_S / np.sqrt(1.0 + np.pi * variance_S / 8.0))
    return max(float(prob_S.mean()) - 0.5, 0.0)


def stop_advice(belief: Gaussian, best: int, votes: int, rng: np.random.Generator) -> tuple[bool, str]:
    """Whether asking on is worth a person's time, and why, in one sentence.

    Args:
        belief: About the utilities, in log-odds.
        best: The candidate that is reported now.
        votes: How many votes the belief rests on.
        rng: Draws the possible answers.
    """
    if votes < MINIMUM_VOTES:
        return (
            False,
            f"{votes} of at least {MINIMUM_VOTES} votes so far: too few to say that it is time to stop.",
        )
    gain = expected_gain(belief, best, rng)
    figure = (
        f"{HORIZON} more votes are expected to improve the win rate of the best prompt by {100 * gain:.1f} %"
    )
    if gain >= THRESHOLD:
        return False, f"Worth going on: {figure}."
    if float(sigmoid(belief.mean_N[best] - belief.mean_N.mean())) < _HARDLY_BETTER:
        return True, (
            f"You can stop now: the votes hardly tell the candidates apart, and {figure}. "
            "They may be equally good, or the answers may be too mixed to learn from."
        )
    return True, f"You can stop now: {figure}, less than {100 * THRESHOLD:.1f} %."
