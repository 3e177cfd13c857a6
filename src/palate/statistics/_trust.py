"""How far each judge's word can be taken in a study, what it is worth in human votes, and who is odd and why.

The model is that of :func:`palate.choice.fit_trust`, with utilities that know nothing of the prompts'
wording. Flags are for people to look at. They never delete a vote; what a judge's votes count for follows
from the model alone, and from the cap on one rater's influence.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from palate.choice import (
    PICKED,
    JudgeFit,
    Shown,
    TrustFit,
    Votes,
    decisive_raters,
    fit_trust,
    is_machine,
    outcome,
    picked_weights,
    picking,
)
from palate.errors import NotFoundError
from palate.statistics._values import Figure, plain
from palate.store import StudyState
from palate.types import Array, Json, Response, Verdict, Vote

__all__ = ["JudgeTrust", "Oddity", "Trust", "study_trust"]

MOST_CANDIDATES = 200
MOST_JUDGES = 200
_MOST_LENGTHS = 20_000  # votes for whose answers the lengths are looked up
_SURE = 0.8  # probability of a hypothesis about a judge from which on it is called odd
_ENOUGH = 10  # votes; nobody is called odd after fewer
_SIDE = 0.5  # log-odds: a habit of one side that costs a good part of what votes say
_Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something about a judge that its owner should look at.

    Args:
        kind: ``coin``, ``one side``, ``side``, ``contrary``, ``other aim``, ``picks``, ``in concert`` or
            ``decides``.
        why: In one sentence.
    """

    kind: str
    why: str


@dataclass(frozen=True, slots=True)
class JudgeTrust:
    """One judge.

    Args:
        judge: Its name.
        machine: Whether it is a machine, by its name.
        votes: Votes that say something.
        counted: What they count for after the cap on one rater's influence.
        slope: How sharp its votes are; people are at 1 on average.
        alignment: How far its taste is people's, from -1 to 1.
        side: Log-odds by which it prefers the left.
        length: Log-odds for an answer longer by a usual difference; ``None`` where lengths are not known.
        worth: Human votes that one vote of it is worth; ``None`` where nothing can be claimed.
        ceiling: Human votes that endlessly many of its votes would be worth; ``None`` without a bound.
        influence: Share of what is known of people's utilities that comes from it.
        winner_without: The candidate that leads without its votes.
        odd: What is odd; empty for most.
    """

    judge: str
    machine: bool
    votes: int
    counted: float
    slope: Figure
    alignment: Figure
    side: Figure
    length: Figure | None
    worth: Figure | None
    ceiling: float | None
    influence: float
    winner_without: str
    odd: tuple[Oddity, ...]


@dataclass(frozen=True, slots=True)
class Trust:
    """All judges of a study.

    Args:
        winner: The candidate that leads by everybody's votes, each counted for what it is worth.
        judges: The most votes first.
        deciding: The fewest raters whose votes together decide the winner, if they are no more than a tenth
            of all, or one; else empty.
        left_out: Why nothing was worked out; empty when it was.
    """

    winner: str | None
    judges: tuple[JudgeTrust, ...]
    deciding: tuple[str, ...]
    left_out: str = ""

    @property
    def machines(self) -> tuple[JudgeTrust, ...]:
        """The machines among the judges."""
        return tuple(judge for judge in self.judges if judge.machine)

    def to_json(self) -> dict[str, Json]:
        """Everything as JSON; what is not known is ``null``."""
        return {field: plain(getattr(self, field)) for field in self.__dataclass_fields__}


def study_trust(state: StudyState, response: Callable[[str], Response] | None = None) -> Trust:
    """Find out how far each judge of a study can be taken at its word.

    Args:
        state: The study.
        response: Finds a response by its hash, for the pull of length; without it length is left alone.
    """
    said = [v for v in state.votes if v.verdict.teaches and v.left_candidate != v.right_candidate]
    names = list(dict.fromkeys(vote.judge for vote in said))
    ids = list(dict.fromkeys(c for v in said for c in (v.left_candidate, v.right_candidate)))
    if not said:
        return Trust(None, (), (), "no votes yet")
    if len(ids) > MOST_CANDIDATES or len(names) > MOST_JUDGES:
        return Trust(
            None,
            (),
            (),
            f"{len(ids)} candidates and {len(names)} judges are too many: at most {MOST_CANDIDATES} and "
            f"{MOST_JUDGES} are compared",
        )
    machine_J = np.array([is_machine(name) for name in names])
    row = {identifier: place for place, identifier in enumerate(ids)}
    who = {name: place for place, name in enumerate(names)}
    picking_JN = picking(_shown(state, who, row), len(names), len(ids)) * ~machine_J[:, None]
    votes = _votes(said, who, row)
    weight_M = picked_weights(picking_JN, votes.judge_M, votes.first_M, votes.second_M)
    votes = replace(votes, weight_M=weight_M)
    length_MF = _lengths(state, said, response)
    fit = fit_trust(np.eye(len(ids)), votes, machine_J, feature_MF=length_MF)
    prior_NN, few = fit.scale**2 * np.eye(len(ids)), max(1, len(names) // 10)
    deciding = decisive_raters(fit.pull_JN, fit.precision_JNN, prior_NN, few) if len(names) > 2 else ()
    rows = [
        _row(
            names,
            ids,
            fit,
            place,
            (*_picks(ids, picking_JN[place]), *_oddities(names, ids, fit, place, deciding)),
        )
        for place in range(len(names))
    ]
    rows.sort(key=lambda row: -row.votes)
    return Trust(ids[fit.winner], tuple(rows), tuple(names[place] for place in deciding))


def _votes(said: Sequence[Vote], who: Mapping[str, int], row: Mapping[str, int]) -> Votes:
    return Votes(
        np.array([row[vote.left_candidate] for vote in said]),
        np.array([row[vote.right_candidate] for vote in said]),
        np.array([outcome(vote.verdict) for vote in said]),
        judge_M=np.array([who[vote.judge] for vote in said]),
    )


def _shown(state: StudyState, who: Mapping[str, int], row: Mapping[str, int]) -> Shown:
    """What those who voted were shown and answered or passed on."""
    seen = [
        (row[v.left_candidate], row[v.right_candidate], who[v.judge], v.verdict.teaches)
        for v in state.votes
        if v.verdict is not Verdict.FAILED
        and v.judge in who
        and v.left_candidate in row
        and v.right_candidate in row
    ]
    first_K, second_K, judge_K, answered_K = np.array(seen, dtype=np.int64).reshape(-1, 4).T
    return Shown(first_K, second_K, judge_K, answered_K.astype(np.bool_))


def _picks(ids: Sequence[str], chance_N: Array) -> tuple[Oddity, ...]:
    """Candidates because of which somebody answers."""
    return tuple(
        Oddity(
            "picks",
            f"passes on most duels, but not where {ids[row]} takes part; those votes count nothing",
        )
        for row in np.flatnonzero(chance_N > PICKED)
    )


def _lengths(
    state: StudyState, said: Sequence[Vote], response: Callable[[str], Response] | None
) -> Array | None:
    """How much longer the left answer is, one being a usual difference; 0 where it is not known."""
    if response is None or len(said) > _MOST_LENGTHS:
        return None
    known: dict[str, int | None] = {}
    longer_M = np.zeros(len(said))
    for m, vote in enumerate(said):
        pairing = state.pairings[vote.pairing_id]
        ends = pairing.first_response, pairing.second_response
        if state.duels[vote.duel_id].swapped:
            ends = ends[1], ends[0]
        left, right = (_length(response, address, known) for address in ends)
        if left is not None and right is not None and left + right:
            longer_M[m] = (left - right) / (left + right)
    usual = float(np.sqrt((longer_M**2).mean()))
    return longer_M[:, None] / usual if usual > 0.0 else None


def _length(response: Callable[[str], Response], address: str, known: dict[str, int | None]) -> int | None:
    if address not in known:
        try:
            found = response(address)
        except NotFoundError:
            known[address] = None
        else:
            known[address] = len(found.content) if found.kind == "text" else None
    return known[address]


def _row(
    names: Sequence[str], ids: Sequence[str], fit: TrustFit, place: int, odd: tuple[Oddity, ...]
) -> JudgeTrust:
    judge = fit.judges[place]
    worth = judge.worth
    length = None
    if len(judge.bias_F):
        value, reach = float(judge.bias_F[0]), _Z * float(judge.bias_std_F[0])
        length = Figure(value, value - reach, value + reach)
    return JudgeTrust(
        judge=names[place],
        machine=is_machine(names[place]),
        votes=judge.votes,
        counted=judge.counted,
        slope=Figure(*judge.slope),
        alignment=Figure(*judge.alignment),
        side=Figure(judge.side[0], judge.side[0] - _Z * judge.side[1], judge.side[0] + _Z * judge.side[1]),
        length=length,
        worth=None if np.isnan(worth.value) else Figure(worth.value, worth.low, worth.high),
        ceiling=worth.ceiling if np.isfinite(worth.ceiling) else None,
        influence=judge.influence,
        winner_without=ids[judge.winner_without],
        odd=odd,
    )


def _oddities(
    names: Sequence[str],
    ids: Sequence[str],
    fit: TrustFit,
    place: int,
    deciding: Sequence[int],
) -> tuple[Oddity, ...]:
    judge = fit.judges[place]
    found = [*_habits(judge)] if judge.votes >= _ENOUGH and len(names) > 1 else []
    for group in fit.concerts:
        if place in group.raters:
            others = ", ".join(names[other] for other in group.raters if other != place)
            found.append(
                Oddity(
                    "in concert",
                    f"casts the same unusual votes as {others}: for {ids[group.favours]}, against "
                    f"{ids[group.against]}; a common taste, or an arrangement",
                )
            )
    if place in deciding:
        beside = len(deciding) - 1
        whom = "alone" if not beside else f"with {beside} other{'s' if beside > 1 else ''}"
        found.append(Oddity("decides", f"decides the winner {whom}: without those votes another one leads"))
    return tuple(found)


def _habits(judge: JudgeFit) -> list[Oddity]:
    found: list[Oddity] = []
    left, spread = judge.side
    if judge.coin >= _SURE and abs(left) > 2.0 * spread and abs(left) > 1.0:
        side = "left" if left > 0 else "right"
        found.append(Oddity("one side", f"nearly always takes the {side} one, whatever it is"))
    elif judge.coin >= _SURE:
        found.append(Oddity("coin", "votes as a coin would: nothing in them agrees with the others"))
    elif abs(left) - _Z * spread > _SIDE:
        side = "left" if left > 0 else "right"
        found.append(Oddity("side", f"has a strong habit of taking the {side} one"))
    if judge.contrary >= _SURE:
        found.append(Oddity("contrary", "votes the other way round; taken at face value it would mislead"))
    if judge.other >= _SURE:
        found.append(Oddity("other aim", "is consistent, but votes for something else than the others do"))
    return found
