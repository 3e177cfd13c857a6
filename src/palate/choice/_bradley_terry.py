"""Bradley–Terry scores from a table of wins.

    maximise  sum_ij wins_ij log sigmoid(u_i - u_j)  -  ridge/2 sum_i u_i^2

Source: Bradley and Terry 1952; the ridge is the logarithm of a Gaussian prior and keeps the scores finite
when somebody wins everything. Solved by Newton's method: the objective is strictly concave.
"""

import numpy as np

from palate.choice._numeric import log_sigmoid, sigmoid
from palate.errors import InputError
from palate.types import Array

__all__ = ["bradley_terry"]

_GRADIENT_TOLERANCE = 1e-10  # in votes; far below the smallest thing that a vote can change
_ROUNDING = 1e-12
_STEPS = 200


def bradley_terry(wins_NN: Array, *, ridge: float = 0.1) -> Array:
    """Fit one score a candidate to counts of wins.

    Args:
        wins_NN: ``(N, N)``; entry ``[i, j]`` counts how often i beat j, ≥ 0; a tie is half a win for each.
        ridge: Precision of the prior of each score, > 0, in 1 / log-odds squared.

    Returns:
        Scores ``(N,)`` in log-odds, zero on average; ``u_i - u_j > 0`` says that i usually wins.

    Raises:
        InputError: Not square, negative or not finite; or ``ridge`` is not positive.

    Example:
        >>> import numpy as np
        >>> score = bradley_terry(np.array([[0.0, 3.0], [1.0, 0.0]]), ridge=1e-9)
        >>> round(float(score[0] - score[1]), 6) == round(float(np.log(3)), 6)
        True
    """
    wins_NN = np.asarray(wins_NN, dtype=np.float64)
    if wins_NN.ndim != 2 or wins_NN.shape[0] != wins_NN.shape[1]:
        raise InputError(f"wins must be a square table, not of shape {wins_NN.shape}")
    if not np.isfinite(wins_NN).all() or (wins_NN < 0).any():
        raise InputError("wins must be finite counts that are not negative")
    if not ridge > 0:
        raise InputError(f"ridge must be positive, not {ridge!r}")
    wins_NN = wins_NN * (1.0 - np.eye(len(wins_NN)))
    count_NN = wins_NN + wins_NN.T
    score_N = np.zeros(len(wins_NN))
    for _ in range(_STEPS):
        gap_NN = score_N[:, None] - score_N[None, :]
        prob_NN = sigmoid(gap_NN)
        gradient_N = (wins_NN - count_NN * prob_NN).sum(axis=1) - ridge * score_N
        if np.abs(gradient_N).max(initial=0.0) < _GRADIENT_TOLERANCE:
            break
        weight_NN = count_NN * prob_NN * (1.0 - prob_NN)
        hessian_NN = np.diag(weight_NN.sum(axis=1) + ridge) - weight_NN
        step_N = np.linalg.solve(hessian_NN, gradient_N)
        score_N = _uphill(wins_NN, ridge, score_N, step_N)
    return score_N - score_N.mean() if len(score_N) else score_N


def _objective(wins_NN: Array, ridge: float, score_N: Array) -> float:
    gap_NN = score_N[:, None] - score_N[None, :]
    return float((wins_NN * log_sigmoid(gap_NN)).sum() - 0.5 * ridge * score_N @ score_N)


def _uphill(wins_NN: Array, ridge: float, score_N: Array, step_N: Array) -> Array:
    """Take the longest of 1, 1/2, 1/4, … steps that does not go down; the full one near the top."""
    before = _objective(wins_NN, ridge, score_N)
    # At the top the objective is flat to the last digit; rounding must not refuse the last step.
    before -= _ROUNDING * (1.0 + abs(before))
    for halving in range(40):
        moved_N = score_N + step_N * 0.5**halving
        if _objective(wins_NN, ridge, moved_N) >= before:
            return moved_N
    return score_N
