"""APOHF as its released code behaves, where that differs from the paper; see :mod:`palate.strategies._apohf`.

    second = argmax_x h(x) + sqrt(sum_p nu psi_p(x)^2 / V_pp), the runner-up if that is the first
    report = argmax over the candidates shown so far of h before the latest vote was learnt

Kept for comparisons with published figures. With only the diagonal of V it asks nearly the same pair again
and again; prefer ``apohf``, or the default.
"""

from collections.abc import Sequence

from palate.strategies._apohf import Apohf, apohf

__all__ = ["apohf_released"]


def apohf_released(
    *,
    decay: float = 0.1,
    nu: float = 1.0,
    steps: int = 1000,
    warm_start: int = 5,
    hidden: Sequence[int] = (32, 32),
    network_seed: int = 0,
) -> Apohf:
    """Make APOHF as released.

    Args:
        decay: Lambda, > 0.
        nu: Inside the root, ≥ 0.
        steps: Adam steps a refit, ≥ 1.
        warm_start: Random distinct pairs before the model chooses, ≥ 0.
        hidden: Widths of the hidden layers, each ≥ 1.
        network_seed: Draws the initial weights.

    Raises:
        ConfigError: An option is out of its range.
    """
    return apohf(
        decay=decay,
        nu=nu,
        steps=steps,
        warm_start=warm_start,
        hidden=hidden,
        variance="diagonal",
        report="shown",
        network_seed=network_seed,
    )
