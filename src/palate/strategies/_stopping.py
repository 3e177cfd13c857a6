"""When to stop asking: how sure the report is, what it may still lose, and what more votes are worth.

    sure   = P(no other candidate would beat the report in more than 55 % of duels)
    regret = E[ P(the best candidate beats the report) ] - 1/2
    gain   = E[ P(the candidate reported after 20 more votes beats the one reported now) ] - 1/2

all under the belief as it is. Asking ends when ``sure`` reaches 95 %, or when more votes are hardly worth a
person's time: ``gain`` below 0.5 % and ``regret``, which is what endless voting would gain, below 3 %. The
first is a statement with an error level: of studies that end by it, 95 in 100 are right, if the world is as
the prior says (benchmarks/stop_rule.py counts).

The gain's expectation is over what those votes could say. The twenty pairs are chosen ahead by EUBO, the
covariance S shrinks to S' as is expected, and the mean after the votes is taken as m + (S - S')^(1/2) z.
This is the knowledge gradient (Frazier, Powell and Dayanik, 2009) for a batch of duels, measured in win
probability. What is approximate: later questions do not adapt to earlier answers, so the gain is rather too
small than too large; that is why regret has a say.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.choice import Gaussian, Utilities, difference_variance, eubo, observe_pair, sigmoid, square_root
from palate.strategies._protocol import Pool, allowed_pairs
from palate.types import Array

__all__ = ["HeldOut", "Outlook", "contenders", "expected_gain", "held_out_loss", "outlook", "stop_advice"]

HORIZON = 20
MINIMUM_VOTES = 10
THRESHOLD = 0.005
REGRET = 0.03
CONFIDENCE = 0.95
CLOSE_WIN_RATE = 0.55
_CLOSE = float(np.log(CLOSE_WIN_RATE / (1.0 - CLOSE_WIN_RATE)))
_CONTENDERS = 96  # candidates among which the gain is looked for
_ENOUGH_TO_WARN = 40  # with fewer, on questions chosen to be hard, real judges look like coins too often
_DRAWS = 2048  # even: worlds come in mirrored pairs
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


class HeldOut(NamedTuple):
    """How well votes are foretold by the others, in nats a vote that named a winner; a coin's loss is ln 2.

    Args:
        loss: Mean over the votes.
        error: Its standard error.
        votes: How many.
    """

    loss: float
    error: float
    votes: int

    @property
    def carries_signal(self) -> bool:
        """Whether the loss is below a coin's by more than half its own error.

        In simulated studies of 55 votes on questions of the default strategy's choice, which are hard ones,
        29 of 30 real raters of slope 2 pass and 23 of 30 coins do not.
        """
        return self.loss + 0.5 * self.error < float(np.log(2.0))


def held_out_loss(loss_M: Array) -> HeldOut:
    """Sum up the losses of at least one vote."""
    spread = float(loss_M.std(ddof=1)) if len(loss_M) > 1 else float(np.log(2.0))
    return HeldOut(float(loss_M.mean()), spread / float(np.sqrt(len(loss_M))), len(loss_M))


class Outlook(NamedTuple):
    """What is known of the report, and what more votes would bring.

    Args:
        sure: Probability that no other candidate would beat it in more than 55 % of duels.
        regret: Expected win probability of the best candidate against it, minus one half; in [0, 0.5].
        gain: What 20 more votes are expected to add to its win rate, in [0, 0.5].
    """

    sure: float
    regret: float
    gain: float


def contenders(belief: Utilities, best: int, live_N: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    """Those that take part, at most ``most`` of the largest mean plus three deviations, and ``best``."""
    upper_N = np.where(live_N, belief.mean_N + 3.0 * np.sqrt(belief.variance_N), -np.inf)
    upper_N[best] = np.inf
    return np.sort(np.argsort(-upper_N, kind="stable")[: min(most, int(live_N.sum()))])


def outlook(belief: Gaussian, best: int, rng: np.random.Generator) -> Outlook:
    """Look ahead from a belief.

    Args:
        belief: About the utilities of the candidates that take part, in log-odds.
        best: The one that is reported, as a row of the belief.
        rng: Draws worlds and possible answers.
    """
    half_DN = rng.standard_normal((_DRAWS // 2, len(belief.mean_N))) @ square_root(belief.covariance_NN).T
    world_DN = np.concatenate([belief.mean_N + half_DN, belief.mean_N - half_DN])
    behind_D = world_DN.max(axis=1) - world_DN[:, best]
    sure = float((behind_D <= _CLOSE).mean())
    rows_S = contenders(belief, best, np.ones(len(belief.mean_N), dtype=np.bool_), _CONTENDERS)
    gain = expected_gain(belief.among(rows_S), int(np.searchsorted(rows_S, best)), rng)
    return Outlook(sure, float(sigmoid(behind_D).mean()) - 0.5, gain)


def stop_advice(
    belief: Gaussian, best: int, votes: int, rng: np.random.Generator, held_out: HeldOut | None = None
) -> tuple[bool, str]:
    """Whether asking on is worth a person's time, and why, in plain words.

    Args:
        belief: About the utilities, in log-odds.
        best: The candidate that is reported now.
        votes: How many votes the belief rests on.
        rng: Draws worlds and possible answers.
        held_out: How well votes are foretold, if the strategy knows.
    """
    if votes < MINIMUM_VOTES:
        return (
            False,
            f"{votes} of at least {MINIMUM_VOTES} votes so far: too few to say that it is time to stop.",
        )
    sure, regret, gain = outlook(belief, best, rng)
    warning = ""
    if held_out is not None and held_out.votes >= _ENOUGH_TO_WARN and not held_out.carries_signal:
        warning = (
            " Beware: so far each vote is foretold by the others no better than by tossing a coin, so they "
            "may carry no preference at all."
        )
    hardly = float(sigmoid(belief.mean_N[best] - belief.mean_N.mean())) < _HARDLY_BETTER
    remark = (
        " It is hardly better than an average one: the candidates may be equally good, or the answers too "
        "mixed to learn from."
    )
    if sure >= CONFIDENCE and not warning:
        return True, (
            f"You can stop now: with {100 * CONFIDENCE:.0f} % certainty no other prompt would beat this one "
            f"in more than {100 * CLOSE_WIN_RATE:.0f} % of duels.{remark if hardly else ''}"
        )
    figure = (
        f"{HORIZON} more votes are expected to improve the win rate of the best prompt by {100 * gain:.1f} %"
    )
    if gain >= THRESHOLD or regret >= REGRET:
        return False, f"Worth going on: {figure}, endless voting by {100 * regret:.1f} %.{warning}"
    return True, (
        f"You can stop now: {figure}, and endless voting by no more than {100 * regret:.1f} %."
        f"{remark if hardly else ''}{warning}"
    )
