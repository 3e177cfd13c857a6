"""Whether a winner may be relied upon: what people said of it on questions that taught nobody.

A learner that listens to machines finds what machines like. Whether people like it too is asked of their
votes on held-out questions (see :func:`palate.choice.held_out_votes`), which no machine had a part in:

    d = u_winner - u_incumbent from Bradley-Terry on the held-out votes alone
    promoted  if  P(winner wins) = sigmoid(d) > 1/2 at the one-sided level of 97.5 %
    refused   if  sigmoid(d) < 1/2 at that level;  otherwise people have not yet said

Duels of the two against each other count, and chains by way of others. Scores carry the weak prior of
precision 0.1 throughout, so that one lucky duel confirms nothing. The level holds for one look at the
votes; who looks after every vote will see it passed by chance more often.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from palate.choice import bradley_terry, held_out_votes, is_machine, outcome, sigmoid
from palate.statistics._values import Figure
from palate.types import Vote

__all__ = ["Promotion", "promotion"]

_Z = 1.959963984540054
_PRECISION = 0.1
_TYPICAL = 0.65  # share of duels that a winner worth having wins; sets how many more are asked for
_LEAST = 10  # votes; the normal interval of fewer is not to be trusted

Status = Literal["promoted", "refused", "open", "machines only", "people only", "incumbent"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """Whether the winner is confirmed.

    Args:
        status: ``promoted``, ``refused``, ``open`` (too few held-out votes, or too close), ``machines only``
            (no person has voted), ``people only`` (no machine has, so nothing is kept back), ``incumbent``
            (the winner is what the study started from).
        winner: Identifier of the candidate in question.
        incumbent: Of the one that it would replace.
        votes: Held-out votes of people that say something.
        direct: Those on the two themselves.
        wins: How often the winner is believed to beat the incumbent, from these votes alone, with the 95 %
            interval; ``None`` without any that bear on it.
        needed: About how many more held-out votes on the two would settle it, if it deserves it.
    """

    status: Status
    winner: str
    incumbent: str
    votes: int
    direct: int
    wins: Figure | None
    needed: int

    @property
    def promoted(self) -> bool:
        """Whether the winner may replace the incumbent, as far as people's votes say."""
        return self.status in ("promoted", "people only", "incumbent")

    @property
    def sentence(self) -> str:
        """All of it in plain words."""
        share = ""
        if self.wins is not None and self.wins.low is not None and self.wins.high is not None:
            share = (
                f"{100 * self.wins.value:.0f} % of duels with the seed prompt "
                f"(95 % interval {100 * self.wins.low:.0f} to {100 * self.wins.high:.0f} %; "
                f"{self.votes} votes of people that were kept out of learning)"
            )
        match self.status:
            case "people only":
                return "People alone have voted, so there is no machine to check."
            case "incumbent":
                return "The winner is the seed prompt itself; there is nothing to promote."
            case "machines only":
                return (
                    "Not promoted: machines alone have voted, and people may like something else. Let "
                    "people vote on this study: palate run, without --judge. One question in five "
                    f"is then kept out of learning; about {self.needed} such votes are needed."
                )
            case "promoted":
                return f"Promoted: people confirm it. It wins {share}."
            case "refused":
                return f"Not promoted: people disagree; keep the seed prompt. The winner wins {share}."
            case "open":
                told = f"It wins {share}. " if share else "No person has yet said anything that bears on it. "
                return (
                    f"Not promoted yet. {told}About {self.needed} more votes of people on held-out questions "
                    "would settle it: palate run, without --judge."
                )


def promotion(
    votes: Sequence[Vote], winner: str, incumbent: str, *, held_out: Collection[int] | None = None
) -> Promotion:
    """Decide whether held-out votes of people confirm a winner.

    Args:
        votes: Those of the study that stand, in order.
        winner: Identifier of the candidate that was learnt to be the best.
        incumbent: Of the one that it would replace, usually what the study started from.
        held_out: Places of the votes that were kept out of learning; found by the rule when left out.
    """
    said = [v for v in votes if v.verdict.teaches and v.left_candidate != v.right_candidate]
    machines = any(is_machine(vote.judge) for vote in said)
    people = any(not is_machine(vote.judge) for vote in said)
    kept = held_out_votes(votes) if held_out is None else held_out
    used = [v for v in said if v.seq in kept and not is_machine(v.judge)]
    direct = sum({v.left_candidate, v.right_candidate} == {winner, incumbent} for v in used)
    if winner == incumbent:
        return Promotion("incumbent", winner, incumbent, len(used), direct, None, 0)
    if not machines and held_out is None:
        return Promotion("people only", winner, incumbent, 0, 0, None, 0)
    wins, variance = _wins(used, winner, incumbent)
    needed = _needed(variance)
    status: Status = "open"
    if not people:
        status = "machines only"
    elif wins is not None and len(used) >= _LEAST:
        low, high = wins.low or 0.0, 1.0 if wins.high is None else wins.high
        status = "promoted" if low > 0.5 else "refused" if high < 0.5 else "open"
    return Promotion(status, winner, incumbent, len(used), direct, wins, needed)


def _needed(variance: float) -> int:
    """Direct duels that bring a typical winner's interval above one half; each tells p (1 - p)."""
    gap = float(np.log(_TYPICAL / (1.0 - _TYPICAL)))
    told = (_Z / gap) ** 2 - 1.0 / variance
    return max(1, int(np.ceil(told / (_TYPICAL * (1.0 - _TYPICAL)))))


def _wins(votes: Sequence[Vote], winner: str, incumbent: str) -> tuple[Figure | None, float]:
    """How often one beats the other, and the variance of the difference; nothing if no chain joins them."""
    ids = list(dict.fromkeys([winner, incumbent, *(c for v in votes for c in _pair(v))]))
    row = {identifier: place for place, identifier in enumerate(ids)}
    wins_NN = np.zeros((len(ids), len(ids)))
    for vote in votes:
        left, right, said = row[vote.left_candidate], row[vote.right_candidate], outcome(vote.verdict)
        assert said is not None, "only votes that teach are counted"
        wins_NN[left, right] += said
        wins_NN[right, left] += 1.0 - said
    score_N = bradley_terry(wins_NN, ridge=_PRECISION)
    prob_NN = sigmoid(score_N[:, None] - score_N[None, :])
    told_NN = (wins_NN + wins_NN.T) * prob_NN * (1.0 - prob_NN)
    covariance_NN = np.linalg.inv(np.diag(told_NN.sum(axis=1) + _PRECISION) - told_NN)
    apart_N = np.zeros(len(ids))
    apart_N[:2] = 1.0, -1.0
    gap, variance = float(score_N @ apart_N), float(apart_N @ covariance_NN @ apart_N)
    reach = _Z * float(np.sqrt(variance))
    if not _joined(wins_NN + wins_NN.T > 0):
        return None, variance
    value, low, high = sigmoid(np.array([gap, gap - reach, gap + reach])).tolist()
    return Figure(value, low, high), variance


def _pair(vote: Vote) -> tuple[str, str]:
    return vote.left_candidate, vote.right_candidate


def _joined(met_NN: NDArray[np.bool_]) -> bool:
    """Whether a chain of duels joins the first two candidates."""
    near_N = np.zeros(len(met_NN), dtype=np.bool_)
    near_N[0] = True
    for _ in range(len(met_NN)):
        near_N = near_N | met_NN[near_N].any(axis=0)
    return bool(near_N[1])
