"""The score network of APOHF in plain numpy, with gradients by hand.

    h(x) = w_L . relu(W_(L-1) … relu(W_1 x + b_1) …) + b_L
    loss = mean_s BCE(h(x_s1) - h(x_s2), y_s)
    Adam on the gradient of the loss plus r theta (coupled weight decay)

Source: arXiv 2405.17346, section 3 and its released training script: two hidden layers of 32, all weights and
biases drawn from N(0, 1) once, Adam at 1e-3, 1000 full-batch steps, from the same initial weights every time.
Everything is in float64, so that a run repeats bit for bit on one machine; only the distinct candidates of
the history are passed through the network. The draws come from numpy's generator, not from torch's, so the
initial weights are of the published distribution but not the published numbers.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from palate.choice import sigmoid
from palate.strategies._protocol import History
from palate.types import Array

__all__ = ["Layers", "Tangent", "forward", "initial_weights", "layers", "loss_gradient", "tangent", "train"]

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8  # Adam's published constants, which the script keeps
Layers: TypeAlias = list[tuple[Array, Array]]
Rows: TypeAlias = NDArray[np.int64]


class Tangent(NamedTuple):
    """Scores and, layer by layer, the two factors of each candidate's gradient.

    The gradient of ``h`` for the weights of a layer is the outer product of what comes in (``inward_NK``)
    and of the sensitivity of ``h`` to what goes out (``outward_NH``); for its biases it is the latter.
    """

    score_N: Array
    inward: tuple[Array, ...]
    outward: tuple[Array, ...]


def shapes(dimension: int, hidden: tuple[int, ...]) -> list[tuple[int, int]]:
    """``(out, in)`` of each layer."""
    sizes = (dimension, *hidden, 1)
    return [(sizes[k + 1], sizes[k]) for k in range(len(sizes) - 1)]


def initial_weights(dimension: int, hidden: tuple[int, ...], seed: int) -> Array:
    """All weights and biases from N(0, 1), as one vector of P entries."""
    size = sum(out * (into + 1) for out, into in shapes(dimension, hidden))
    return np.random.default_rng(seed).standard_normal(size)


def layers(theta_P: Array, dimension: int, hidden: tuple[int, ...]) -> Layers:
    """Views of one vector as ``(weight, bias)`` of each layer, in that order."""
    views: Layers = []
    start = 0
    for out, into in shapes(dimension, hidden):
        middle, end = start + out * into, start + out * (into + 1)
        views.append((theta_P[start:middle].reshape(out, into), theta_P[middle:end]))
        start = end
    return views


def forward(network: Layers, input_ND: Array) -> list[Array]:
    """What comes into each layer, and last the scores ``(N, 1)``."""
    states = [input_ND]
    for depth, (weight, bias) in enumerate(network):
        value = states[-1] @ weight.T + bias
        states.append(np.maximum(value, 0.0) if depth < len(network) - 1 else value)
    return states


def tangent(network: Layers, input_ND: Array) -> Tangent:
    """Scores and per-candidate gradients, in factors."""
    states = forward(network, input_ND)
    outward: list[Array] = [np.ones((len(input_ND), 1))]
    for depth in range(len(network) - 1, 0, -1):
        outward.insert(0, (outward[0] @ network[depth][0]) * (states[depth] > 0.0))
    return Tangent(states[-1][:, 0], tuple(states[:-1]), tuple(outward))


def loss_gradient(
    network: Layers, gradient: Layers, input_UD: Array, sides: tuple[Rows, Rows], outcome_M: Array
) -> None:
    """Write the gradient of the mean cross entropy into ``gradient``.

    Args:
        network: The weights.
        gradient: Arrays of the same shapes, overwritten.
        input_UD: Features of the distinct candidates of the history.
        sides: Rows of ``input_UD`` that stood left and right, ``(M,)`` each.
        outcome_M: Soft labels.
    """
    first_M, second_M = sides
    states = forward(network, input_UD)
    score_U = states[-1][:, 0]
    error_M = (sigmoid(score_U[first_M] - score_U[second_M]) - outcome_M) / len(outcome_M)
    size = len(input_UD)
    pull_U = np.bincount(first_M, error_M, size) - np.bincount(second_M, error_M, size)
    back = pull_U[:, None]
    for depth in range(len(network) - 1, -1, -1):
        weight, bias = gradient[depth]
        np.matmul(back.T, states[depth], out=weight)
        back.sum(axis=0, out=bias)
        if depth:
            back = (back @ network[depth][0]) * (states[depth] > 0.0)


def train(
    start_P: Array,
    feature_ND: Array,
    history: History,
    *,
    hidden: tuple[int, ...],
    steps: int,
    decay: float,
    rate: float = 1e-3,
) -> Array:
    """Refit from the initial weights on the whole history.

    Args:
        start_P: Initial weights; left as they are.
        feature_ND: Features of all candidates.
        history: The votes; with none, the initial weights are returned.
        hidden: Widths of the hidden layers.
        steps: Full-batch steps of Adam.
        decay: Coupled weight decay, ≥ 0.
        rate: Step size.

    Returns:
        The trained weights, ``(P,)``.
    """
    theta_P = start_P.copy()
    if len(history) == 0:
        return theta_P
    unique_U, place = np.unique(np.concatenate([history.first_M, history.second_M]), return_inverse=True)
    place = place.reshape(2, -1)
    input_UD = np.ascontiguousarray(feature_ND[unique_U])
    gradient_P, work_P = np.empty_like(theta_P), np.empty_like(theta_P)
    first_P, second_P = np.zeros_like(theta_P), np.zeros_like(theta_P)
    network = layers(theta_P, feature_ND.shape[1], hidden)
    gradient = layers(gradient_P, feature_ND.shape[1], hidden)
    for step in range(1, steps + 1):
        loss_gradient(network, gradient, input_UD, (place[0], place[1]), history.outcome_M)
        np.multiply(theta_P, decay, out=work_P)
        gradient_P += work_P
        # m <- m + (1 - b1)(g - m) and v <- v + (1 - b2)(g^2 - v), in place: this is the inner loop.
        np.subtract(gradient_P, first_P, out=work_P)
        work_P *= 1.0 - _BETA_1
        first_P += work_P
        np.square(gradient_P, out=work_P)
        work_P -= second_P
        work_P *= 1.0 - _BETA_2
        second_P += work_P
        np.sqrt(second_P, out=work_P)
        work_P /= np.sqrt(1.0 - _BETA_2**step)
        work_P += _EPSILON
        np.divide(first_P, work_P, out=work_P)
        work_P *= rate / (1.0 - _BETA_1**step)
        theta_P -= work_P
    return theta_P
