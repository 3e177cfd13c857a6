"""Which variables act together, from a log of a function of Gaussian variables: Stein's identity.

    E[∂² f / ∂z_i ∂z_j] = E[ f(z) (u_i u_j - P_ij) ],    z ~ N(0, Σ),  P = Σ⁻¹,  u = P z

For a twice differentiable function an edge ij of its graph is missing exactly when ∂² f / ∂z_i ∂z_j is zero
everywhere; the average of that derivative is what data can estimate without a model. With Σ = I this is the
mean of f z_i z_j. Whitening, w = L⁻¹ z with Σ = L Lᵀ, makes any Gaussian variables standard, but the whitened
ones have another graph; the identity above is that of w carried back, ∂²/∂z = L⁻ᵀ ∂²/∂w L⁻¹.

The control variate is a least-squares fit of f on 1, z and z² of each variable. By the identity its products
with u_i u_j - P_ij, i ≠ j, are zero on average where Σ = I, and taking it off leaves less noise in the mean.
Being fitted on the same rows it takes a share of the order of V / N of the estimate with it.

Source: Kuba, Uehara, Abbeel and Levine, "Functional graphical models: structure enables offline data-driven
optimization", arXiv 2401.05442 (discovery by the second-order identity on Gaussian latent variables); Stein
1981. Added: the covariance, the control variate and standard errors. The latent variables are the caller's:
normal scores (:func:`normal_scores`) of the settings themselves, where the paper also trains an autoencoder.
"""

from typing import NamedTuple

import numpy as np

from palate.errors import InputError
from palate.types import Array

__all__ = ["MeanHessian", "mean_hessian", "normal_scores"]


class MeanHessian(NamedTuple):
    """Estimated average second derivatives, and their standard errors, both ``(V, V)`` and symmetric."""

    value_VV: Array
    error_VV: Array


def normal_scores(x_NV: Array) -> Array:
    """Replace each number by the standard normal quantile of its rank in its column.

        z = Φ⁻¹((rank - 1/2) / N),    equal numbers share their average rank

    Args:
        x_NV: Numbers, ``(N, V)``.

    Returns:
        The same shape; each column is close to standard normal when its numbers differ.

    Example:
        >>> import numpy as np
        >>> normal_scores(np.array([[10.0], [30.0], [20.0]]))[1:].round(3).tolist()
        [[0.967], [0.0]]
    """
    from scipy.special import ndtri
    from scipy.stats import rankdata

    return np.asarray(ndtri((rankdata(x_NV, axis=0) - 0.5) / max(len(x_NV), 1)), dtype=np.float64)


def mean_hessian(
    z_NV: Array, y_N: Array, *, control: bool = True, covariance_VV: Array | None = None
) -> MeanHessian:
    """Estimate the average second derivatives of a function from a log of its values.

    Args:
        z_NV: Gaussian variables with mean zero, ``(N, V)``.
        y_N: Values of the function.
        control: Take the control variate off first. Diagonal entries are then about zero: its z² hold them.
        covariance_VV: Of the variables; standard ones when not given.

    Returns:
        Estimates in units of ``y`` by units of ``z`` squared. An edge is worth drawing where the estimate is
        large, in its own size or in standard errors.

    Raises:
        InputError: Shapes that do not fit, numbers that are not finite, or a covariance that is singular.

    Example:
        >>> import numpy as np
        >>> z = np.random.default_rng(0).standard_normal((4000, 3))
        >>> found = mean_hessian(z, z[:, 0] * z[:, 1] + z[:, 2] ** 2)
        >>> [round(float(found.value_VV[pair])) for pair in ((0, 1), (0, 2), (1, 2))]
        [1, 0, 0]
    """
    if z_NV.ndim != 2 or y_N.shape != (len(z_NV),) or not len(z_NV):
        raise InputError(f"variables of shape {z_NV.shape} and values of shape {y_N.shape} do not fit")
    if not (np.isfinite(z_NV).all() and np.isfinite(y_N).all()):
        raise InputError("variables and values must be finite; leave out the rows that are not")
    size = z_NV.shape[1]
    try:
        covariance_VV = np.eye(size) if covariance_VV is None else covariance_VV
        precision_VV = np.asarray(np.linalg.inv(covariance_VV), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise InputError(
            "the covariance is singular: some variables follow from the others; leave those out"
        ) from None
    rest_N = _without_control(z_NV, y_N) if control else y_N
    u_NV = z_NV @ precision_VV
    value_VV = u_NV.T @ (rest_N[:, None] * u_NV) / len(y_N) - precision_VV * rest_N.mean()
    square_VV = _mean_squares(u_NV, rest_N, precision_VV)
    error_VV = np.sqrt(np.maximum(square_VV - value_VV**2, 0.0) / len(y_N))
    return MeanHessian(np.asarray(value_VV, dtype=np.float64), np.asarray(error_VV, dtype=np.float64))


def _without_control(z_NV: Array, y_N: Array) -> Array:
    design_NB = np.concatenate([np.ones((len(z_NV), 1)), z_NV, z_NV**2], axis=1)
    fitted_B = np.linalg.lstsq(design_NB, y_N, rcond=None)[0]
    return np.asarray(y_N - design_NB @ fitted_B, dtype=np.float64)


def _mean_squares(u_NV: Array, rest_N: Array, precision_VV: Array) -> Array:
    """Mean of ``(r (u_i u_j - P_ij))²``, multiplied out so that no ``(N, V, V)`` array is made."""
    weight_N = rest_N**2 / len(rest_N)
    fourth_VV = (u_NV**2).T @ (weight_N[:, None] * u_NV**2)
    second_VV = u_NV.T @ (weight_N[:, None] * u_NV)
    return fourth_VV - 2.0 * precision_VV * second_VV + precision_VV**2 * weight_N.sum()
