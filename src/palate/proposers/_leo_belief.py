"""LEO's two pools where nothing is measured: they are read off what a study believes.

The loss of a candidate is the probability of losing to the seed prompt, 1 − mean. Candidates that LEO did not
make belong to both pools, those that it made to the one that they were made for. The explore pool is the N
best of its own. The exploit pool is shown as its leader alone, and the leader changes on evidence only:

- a candidate leads only with at least ``evidence`` votes, and of these the one with the highest mean leads;
  so the incumbent is never dropped for one that nobody has seen;
- the ``port`` best of the explore pool with as many votes are ported, but only those whose probability of
  being the best of the study is at least the leader's.

With losses that do not change, and a vote on every candidate, this shows the model exactly what the published
rounds show it: keeping the N best of a growing pool each round is keeping the N best that ever were in it.

Source: Brahmachary et al., arXiv 2403.02054, section 2.2, algorithm 1. The belief for a loss is ours.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from palate.proposers._draw import seed_of
from palate.types import Candidate, Known, Standing

__all__ = ["ORIGIN", "PARTS", "BelievedPools", "Part", "believed_pools", "part_of", "shares"]

ORIGIN = "leo"

Part = Literal["explore", "exploit"]
PARTS: tuple[Part, Part] = ("explore", "exploit")


class BelievedPools(NamedTuple):
    """The explore pool, the likeliest to be liked first, the exploit pool's leader, and the losses of both.

    Losses are probabilities of losing to the seed, in [0, 1]; ``None`` before any vote.
    """

    explore: tuple[Candidate, ...]
    leader: Candidate
    loss_N: tuple[float, ...] | None
    leader_loss: float | None


def part_of(candidate: Candidate) -> Part | None:
    """The pool that LEO made a candidate for; ``None`` if it belongs to both."""
    made = candidate.lineage.detail.get("pool") if candidate.lineage.origin == ORIGIN else None
    return next((part for part in PARTS if part == made), None)


def believed_pools(known: Known, *, population: int, port: int, evidence: int) -> BelievedPools | None:
    """Sort what is known into the two pools; ``None`` if there is no candidate."""
    ranked = known.ranked()
    first = seed_of(known.existing)
    if not ranked or first is None:
        return None
    explore = tuple(c for c in ranked if part_of(c) != "exploit")[:population] or tuple(ranked[:population])
    if not known.standings:
        return BelievedPools(explore, first, None, None)
    seen = [c for c in ranked if known.standings[c.id].votes >= evidence]
    leader = _leader([c for c in seen if part_of(c) != "explore"], first, known)
    leader = _leader([leader, *_ported(seen, leader, known, port)], first, known)
    losses = tuple(1.0 - known.standings[c.id].mean for c in explore)
    return BelievedPools(explore, leader, losses, 1.0 - _standing(leader, known)[0])


def shares(n: int, existing: Sequence[Candidate]) -> dict[Part, int]:
    """How many of ``n`` each pool gets, so that in all both pools get as many, explore first."""
    born = [part_of(candidate) for candidate in existing]
    owed = n + born.count("exploit") - born.count("explore")
    explore = min(max(-(-owed // 2), 0), n)
    return {"explore": explore, "exploit": n - explore}


def _leader(among: Sequence[Candidate], first: Candidate, known: Known) -> Candidate:
    # max keeps the earlier of equals, so an incumbent stays.
    return max(among, key=lambda candidate: _standing(candidate, known)[0], default=first)


def _ported(seen: Sequence[Candidate], leader: Candidate, known: Known, port: int) -> list[Candidate]:
    bar = _standing(leader, known)[1]
    best = [candidate for candidate in seen if part_of(candidate) == "explore"][:port]
    return [candidate for candidate in best if _standing(candidate, known)[1] >= bar]


def _standing(candidate: Candidate, known: Known) -> tuple[float, float]:
    found: Standing | None = known.standings.get(candidate.id)
    # Only the seed can lead without a standing, and it beats itself half the time.
    return (0.5, 0.0) if found is None else (found.mean, found.p_best)
