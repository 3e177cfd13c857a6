"""The logistic function and what a verdict is worth, without overflow.

    sigmoid(x) = 1 / (1 + exp(-x))        P(i beats j) = sigmoid(u_i - u_j)

Source: R. A. Bradley and M. E. Terry, "Rank analysis of incomplete block designs", 1952; the same model is
called Bradley–Terry–Luce in arXiv 2405.17346, section 2. Ties have no likelihood of their own here: they
enter as the soft label one half, which is the cross entropy of a judge who would toss a coin.
"""

import numpy as np

from palate.types import Array, Verdict

__all__ = ["log_sigmoid", "outcome", "sigmoid"]


def sigmoid(x: Array) -> Array:
    """Logistic function of each entry.

    Args:
        x: Log-odds, any shape, any finite or infinite value.

    Returns:
        Probabilities of the same shape in [0, 1]; tiny ones keep their relative precision.

    Example:
        >>> import numpy as np
        >>> sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)


def log_sigmoid(x: Array) -> Array:
    """Logarithm of the logistic function of each entry, in nats; linear, not ``-inf``, far below zero.

    Args:
        x: Log-odds, any shape.

    Returns:
        Values ≤ 0 of the same shape.
    """
    return np.minimum(x, 0.0) - np.log1p(np.exp(-np.abs(x)))


def outcome(verdict: Verdict | str) -> float | None:
    """What a verdict says about the left one, as a soft label.

    Args:
        verdict: As seen on the screen.

    Returns:
        1 for left, 0 for right, one half for a tie and for both bad (neither answer was better, and that is
        all that a pair says), ``None`` for skip and failed, which never teach.

    Raises:
        ValueError: Not a verdict.

    Example:
        >>> [outcome(v) for v in ("left", "right", "tie", "both_bad", "skip", "failed")]
        [1.0, 0.0, 0.5, 0.5, None, None]
    """
    match Verdict(verdict):
        case Verdict.LEFT:
            return 1.0
        case Verdict.RIGHT:
            return 0.0
        case Verdict.TIE | Verdict.BOTH_BAD:
            return 0.5
        case Verdict.SKIP | Verdict.FAILED:
            return None
