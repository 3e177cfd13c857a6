"""The factored function as published: a small network a clique, trained on their sum.

    f(x) = sum over maximal cliques C of  w_C · tanh(W_C x_C + b_C)
    minimise  loss of f on the log  +  decay / 2 · (squares of all weights)

The loss is the mean squared error of scores, or minus the mean log-likelihood of votes under Bradley and
Terry's model. Options enter as one column each, numbers as one column from -1 to 1. The Gaussian process of
:mod:`palate.structure._model` also says how sure it is; networks take longer logs.

Source: Kuba et al., "Functional graphical models", arXiv 2401.05442 (a network for each clique, fitted to the
sum, gradient ascent within the data). Changed: one hidden layer, and all rows at once by L-BFGS, whose
gradients are written out.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np

from palate.choice import log_sigmoid, sigmoid
from palate.errors import ConfigError
from palate.structure._elimination import Factor
from palate.structure._graph import Clique
from palate.structure._kernel import Form
from palate.structure._model import LARGEST_TABLE, Log, ScoreLog, check_log
from palate.types import Array

__all__ = ["NetworkModel", "fit_networks", "network_loss"]


class _Net(NamedTuple):
    """Weights of one clique: inputs to hidden, hidden offsets, hidden to output."""

    into_IH: Array
    offset_H: Array
    out_H: Array


@final
@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A function that is a sum of small networks, one a clique.

    Args:
        form: The graph.
        weights: All weights in one row, clique by clique.
        width: Hidden units of each network.
        offset: Mean of the scores; 0 for votes.
        unit: Standard deviation of the scores; 1 for votes.
    """

    form: Form
    weights: Array
    width: int
    offset: float = 0.0
    unit: float = 1.0

    def mean(self, x_PV: Array) -> Array:
        """The value at each row, ``(P,)``: a score, or a utility in log-odds up to a constant."""
        nets = _unpacked(self.weights, self.form, self.width)
        parts = [
            _hidden(_inputs(self.form, clique, x_PV), net) @ net.out_H
            for clique, net in zip(self.form.cliques, nets, strict=True)
        ]
        return self.offset + self.unit * np.sum(parts, axis=0)

    def factors(self, grids: list[Array]) -> list[Factor] | None:
        """The function, less ``offset``, as a table a clique; None where one has more than 2^18 entries."""
        made: list[Factor] = []
        nets = _unpacked(self.weights, self.form, self.width)
        for clique, net in zip(self.form.cliques, nets, strict=True):
            shape = [len(grids[v]) for v in clique]
            if math.prod(shape) > LARGEST_TABLE:
                return None
            x_PV = np.zeros((math.prod(shape), self.form.size))
            mesh = np.meshgrid(*(grids[v] for v in clique), indexing="ij")
            x_PV[:, list(clique)] = np.stack([axis.ravel() for axis in mesh], axis=1)
            value_P = _hidden(_inputs(self.form, clique, x_PV), net) @ net.out_H
            made.append(Factor(clique, self.unit * value_P.reshape(shape)))
        return made

    def gradient(self, x_V: Array) -> tuple[float, Array]:
        """The value at one point, and its derivative by each number; zero for options."""
        gradient_V = np.zeros(self.form.size)
        nets = _unpacked(self.weights, self.form, self.width)
        for clique, net in zip(self.form.cliques, nets, strict=True):
            hidden_H = _hidden(_inputs(self.form, clique, x_V[None, :]), net)[0]
            slope_I = net.into_IH @ ((1.0 - hidden_H**2) * net.out_H)
            start = 0
            for variable in clique:
                levels = self.form.levels_V[variable]
                if not levels:
                    gradient_V[variable] += 2.0 * slope_I[start]  # a number u enters as 2 u - 1
                start += levels or 1
        return float(self.mean(x_V[None, :])[0]), self.unit * gradient_V


def fit_networks(
    log: Log,
    form: Form,
    *,
    rng: np.random.Generator,
    width: int = 16,
    decay: float = 1e-3,
    steps: int = 500,
) -> NetworkModel:
    """Train a network for each clique of a graph, together, on a log.

    Args:
        log: Scores or votes; time grows linearly with the number of rows.
        form: The graph.
        rng: Of the initial weights.
        width: Hidden units of each network, ≥ 1.
        decay: Of the squared weights, ≥ 0, in units of the loss; scores are brought to variance 1 first.
        steps: L-BFGS steps at most, ≥ 1.

    Returns:
        The trained function.

    Raises:
        ConfigError: An option out of range.
        InputError: As :func:`palate.structure.fit_model`.
    """
    from scipy.optimize import minimize

    if width < 1 or steps < 1 or not decay >= 0.0:
        raise ConfigError(f"width = {width!r}, steps = {steps!r}, decay = {decay!r}; at least 1, 1 and 0")
    check_log(log, form)
    offset, unit = (float(log.y_N.mean()), float(log.y_N.std())) if isinstance(log, ScoreLog) else (0.0, 1.0)

    def loss(weights: Array) -> tuple[float, Array]:
        return network_loss(weights, log, form, width, decay)

    start = _drawn(form, width, rng)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return NetworkModel(form, np.asarray(found.x, dtype=np.float64), width, offset, unit)


def network_loss(weights: Array, log: Log, form: Form, width: int, decay: float) -> tuple[float, Array]:
    """What training minimises, and its derivative by every weight.

    Args:
        weights: All weights in one row, clique by clique: inputs to hidden, hidden offsets, hidden to output.
        log: Scores or votes.
        form: The graph.
        width: Hidden units of each network.
        decay: Of the squared weights.
    """
    nets = _unpacked(weights, form, width)
    inputs = [_inputs(form, clique, log.x_NV) for clique in form.cliques]
    hidden = [_hidden(input_NI, net) for input_NI, net in zip(inputs, nets, strict=True)]
    value_N = np.sum([h_NH @ net.out_H for h_NH, net in zip(hidden, nets, strict=True)], axis=0)
    loss, slope_N = _loss_of(value_N, log)
    slopes: list[Array] = []
    for input_NI, hidden_NH, net in zip(inputs, hidden, nets, strict=True):
        back_NH = slope_N[:, None] * net.out_H * (1.0 - hidden_NH**2)
        slopes += [(input_NI.T @ back_NH).ravel(), back_NH.sum(axis=0), hidden_NH.T @ slope_N]
    return loss + 0.5 * decay * float(weights @ weights), np.concatenate(slopes) + decay * weights


def _loss_of(value_N: Array, log: Log) -> tuple[float, Array]:
    if isinstance(log, ScoreLog):
        gap_N = value_N - (log.y_N - log.y_N.mean()) / log.y_N.std()
        return 0.5 * float(gap_N @ gap_N) / len(gap_N), gap_N / len(gap_N)
    counts, size = log.counts, len(value_N)
    gap_M, total = value_N[counts.low_M] - value_N[counts.high_M], float(counts.count_M.sum())
    lost_M = counts.count_M - counts.wins_M
    loss = -float(counts.wins_M @ log_sigmoid(gap_M) + lost_M @ log_sigmoid(-gap_M)) / total
    slope_M = (counts.count_M * sigmoid(gap_M) - counts.wins_M) / total
    slope_N = np.bincount(counts.low_M, slope_M, size) - np.bincount(counts.high_M, slope_M, size)
    return loss, np.asarray(slope_N, dtype=np.float64)


def _width_of(form: Form, clique: Clique) -> int:
    return sum(form.levels_V[v] or 1 for v in clique)


def _inputs(form: Form, clique: Clique, x_NV: Array) -> Array:
    """The columns that a clique's network reads, ``(N, I)``."""
    columns = [
        (x_NV[:, v, None] == np.arange(form.levels_V[v])).astype(np.float64)
        if form.levels_V[v]
        else 2.0 * x_NV[:, v, None] - 1.0
        for v in clique
    ]
    return np.concatenate(columns, axis=1)


def _hidden(input_NI: Array, net: _Net) -> Array:
    return np.tanh(input_NI @ net.into_IH + net.offset_H)


def _drawn(form: Form, width: int, rng: np.random.Generator) -> Array:
    """Initial weights whose hidden units and outputs have variance about one."""
    made: list[Array] = []
    for clique in form.cliques:
        made.append(rng.standard_normal(_width_of(form, clique) * width) / math.sqrt(len(clique)))
        made.append(rng.standard_normal(width))
        made.append(rng.standard_normal(width) / math.sqrt(width * len(form.cliques)))
    return np.concatenate(made)


def _unpacked(weights: Array, form: Form, width: int) -> list[_Net]:
    nets: list[_Net] = []
    start = 0
    for clique in form.cliques:
        inputs = _width_of(form, clique)
        middle, end = start + inputs * width, start + (inputs + 2) * width
        nets.append(
            _Net(
                weights[start:middle].reshape(inputs, width),
                weights[middle : middle + width],
                weights[middle + width : end],
            )
        )
        start = end
    return nets
