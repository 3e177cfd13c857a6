r"""A simulated rater: Bradley–Terry over a score, with ties, a side it favours, and mistakes.

With scores ``s`` of the left (l) and right (r) answer,

.. math::

    p &= \sigma(\text{scale}\,(s_l - s_r) + \text{side\_bias}), \quad q = 1 - p \\
    P(\text{left}) &= \frac{p}{1 + \nu\sqrt{pq}}, \quad
    P(\text{right}) = \frac{q}{1 + \nu\sqrt{pq}}, \quad
    P(\text{tie}) = \frac{\nu\sqrt{pq}}{1 + \nu\sqrt{pq}}, \quad
    \nu = \frac{2\,\text{tie\_rate}}{1 - \text{tie\_rate}}

so ``tie_rate`` is the share of ties between equally good answers. With probability ``error_rate`` none of
this counts and the verdict is left or right with equal odds.

Sources: Bradley and Terry, Biometrika 39 (1952); Davidson, "On extending the Bradley–Terry model to
accommodate ties", JASA 65 (1970), equation 2.4; a rater of this kind over a score is how Lin et al.,
arXiv 2405.17346, simulate people.
"""

import math
import random
from collections.abc import Callable
from typing import NamedTuple, final

from palate.errors import ConfigError, InputError
from palate.judges._metrics import metric as find_metric
from palate.types import Duel, Input, Judgement, Response, Verdict, digest

__all__ = ["Odds", "Score", "SimulatedJudge", "sigmoid", "simulated_judge"]

Score = Callable[[Input, str], float]
"""``score(input, answer)``: larger is better."""


class Odds(NamedTuple):
    """Probabilities of the three verdicts; they sum to 1."""

    left: float
    tie: float
    right: float


@final
class SimulatedJudge:
    """Decides duels as the module's text says.

    The verdict is a function of ``seed`` and the duel's id alone, so it does not depend on which duels
    were judged before, and asking twice gives the same answer.

    Args:
        score: How good an answer is; may raise :class:`palate.errors.InputError` for an input that it
            cannot score, which the judge then skips.
        scale: Log-odds for each unit of score, ≥ 0; 0 is a coin.
        tie_rate: Share of ties between equally good answers, in [0, 1).
        side_bias: Log-odds by which the left side is favoured; negative favours the right.
        error_rate: Share of verdicts that are a coin's, in [0, 1].
        seed: Of the judge's randomness.
        name: Stored with each vote.

    Raises:
        ConfigError: A number is out of its range.
    """

    def __init__(
        self,
        score: Score,
        scale: float = 1.0,
        tie_rate: float = 0.0,
        side_bias: float = 0.0,
        error_rate: float = 0.0,
        seed: int = 0,
        *,
        name: str = "simulated",
    ) -> None:
        if not (math.isfinite(scale) and scale >= 0.0):
            raise ConfigError(f"scale is {scale!r}; it is a finite number of at least 0")
        if not 0.0 <= tie_rate < 1.0:
            raise ConfigError(f"tie_rate is {tie_rate!r}; it is at least 0 and below 1")
        if not math.isfinite(side_bias):
            raise ConfigError(f"side_bias is {side_bias!r}; it is a finite number")
        if not 0.0 <= error_rate <= 1.0:
            raise ConfigError(f"error_rate is {error_rate!r}; it lies between 0 and 1")
        self._score, self._scale, self._bias = score, scale, side_bias
        self._nu = 2.0 * tie_rate / (1.0 - tie_rate)
        self._error_rate, self._seed, self._name = error_rate, seed, name

    def __repr__(self) -> str:
        return f"<SimulatedJudge {self._name!r}: scale {self._scale:g}, seed {self._seed}>"

    @property
    def name(self) -> str:
        """Stored with each vote."""
        return self._name

    def odds(self, left: float, right: float) -> Odds:
        """Probabilities of the verdicts on answers with these scores.

        Example:
            >>> SimulatedJudge(lambda input, answer: 0.0, tie_rate=0.5).odds(0.2, 0.2)
            Odds(left=0.25, tie=0.5, right=0.25)
        """
        p = sigmoid(self._scale * (left - right) + self._bias)
        tie = self._nu * math.sqrt(p * (1.0 - p))
        total = 1.0 + tie
        left_odds, tie_odds, right_odds = p / total, tie / total, (1.0 - p) / total
        e = self._error_rate
        return Odds((1.0 - e) * left_odds + e / 2.0, (1.0 - e) * tie_odds, (1.0 - e) * right_odds + e / 2.0)

    async def judge(self, duel: Duel) -> Judgement:
        """Decide one duel.

        Returns:
            ``left``, ``right`` or ``tie``; ``failed`` if a response failed or the score is not a number;
            ``skip`` if the score cannot say anything about this input.
        """
        for side in (duel.left, duel.right):
            if side.failed is not None:
                return Judgement(Verdict.FAILED, comment=side.failed)
        try:
            left, right = self._scored(duel.input, duel.left), self._scored(duel.input, duel.right)
        except InputError as error:
            return Judgement(Verdict.SKIP, reason="cannot_judge", comment=str(error))
        if not (math.isfinite(left) and math.isfinite(right)):
            return Judgement(Verdict.FAILED, comment=f"the scores are {left!r} and {right!r}")
        odds = self.odds(left, right)
        drawn = random.Random(digest([self._seed, duel.id])).random()
        if drawn < odds.left:
            return Judgement(Verdict.LEFT)
        return Judgement(Verdict.TIE if drawn < odds.left + odds.tie else Verdict.RIGHT)

    def _scored(self, asked: Input, response: Response) -> float:
        return float(self._score(asked, response.content))


def sigmoid(x: float) -> float:
    """Logistic function of one number, without overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    grown = math.exp(x)
    return grown / (1.0 + grown)


def simulated_judge(
    metric: str = "similarity",
    scale: float = 8.0,
    tie_rate: float = 0.0,
    side_bias: float = 0.0,
    error_rate: float = 0.0,
    seed: int = 0,
) -> SimulatedJudge:
    """A simulated rater who knows the references of the inputs.

    Args:
        metric: Name of the score against the references; see :data:`palate.judges.METRICS`.
        scale: Log-odds for each unit of score. Scores lie in [0, 1]: with 8, an answer that is better by
            0.1 wins 69 % of its duels and one that is better by 0.3 wins 92 %; with 1, as in the published
            simulation of instruction tasks, a rater is nearly a coin.
        tie_rate: Share of ties between equally good answers, in [0, 1).
        side_bias: Log-odds by which the left side is favoured.
        error_rate: Share of verdicts that are a coin's, in [0, 1].
        seed: Of the judge's randomness.

    Raises:
        NotFoundError: No such metric.
        ConfigError: A number is out of its range.
    """
    compare = find_metric(metric)

    def score(asked: Input, answer: str) -> float:
        if not asked.references:
            raise InputError(
                f"input {asked.id!r} has no reference, so a simulated judge cannot score its answers; "
                "name a reference_column under [inputs]"
            )
        return compare(answer, asked.references)

    return SimulatedJudge(score, scale, tie_rate, side_bias, error_rate, seed)
