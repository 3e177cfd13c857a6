"""From a pair that a strategy chose to a question: on which input, and how many to keep ready."""

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from palate.store import StudyState
from palate.types import Pairing, digest

__all__ = ["group_of", "lacking", "pairing_for", "queue_depth", "unsure_pairings"]

NOTHING: Mapping[tuple[str, str], str] = MappingProxyType({})
ALIKE = 10**6  # uses of an input on which a pair answers alike
AGAIN = 1000  # uses of an input on which a pair met before
FIRST_DEPTH = 6  # questions to prepare before it is known how long a response takes
DEEPEST = 24
PACED = 20  # votes that tell how fast people are
RECENT = 20  # votes whose pairings may be asked about once more


def pairing_for(
    state: StudyState,
    pair: tuple[str, str],
    pending: Sequence[Pairing],
    seed: int,
    answers: Mapping[tuple[str, str], str] = NOTHING,
) -> Pairing:
    """Put a pair on its own input, or on the one used the least, by this pair first, ties by the seed.

    An input on which the two are known to answer alike comes last: there is nothing to choose there.

    Args:
        state: The study as stored.
        pair: Identifiers of two candidates for the same input.
        pending: Pairings that are not stored yet.
        seed: Of the study.
        answers: Hashes of answers that are known ahead, by candidate and input.
    """
    first, second = pair
    context = state.candidates[first].context
    met = state.meetings(pair, state.inputs if context is None else [context]).add(pending)
    uses = {place: count + AGAIN * met.together[place] for place, count in met.uses.items()}
    for place, told in met.said.items():
        known = {candidate: answers.get((candidate, place)) for candidate in pair} | told
        uses[place] += ALIKE * (None not in known.values() and len(set(known.values())) == 1)
    ordinal = state.opened + len(pending)
    identity = digest([seed, ordinal, first, second, state.seq])[:16]
    fewest = min(uses.values())
    usable = [identifier for identifier, count in uses.items() if count == fewest]
    return Pairing(identity, random.Random(identity).choice(usable), first, second, "", "")


def queue_depth(state: StudyState, seconds: float) -> int:
    """How many questions to keep ready, so that a vote never waits for a model (Little's law).

    Args:
        state: The study as stored; a closed one needs none.
        seconds: What a response takes, 0 while that is unknown.
    """
    if state.closed is not None:
        return 0
    if not seconds:
        return FIRST_DEPTH
    paces = [vote.seconds for vote in state.latest(PACED) if vote.seconds]
    pace = max(0.5, statistics.median(paces)) if paces else 2.0
    return min(DEEPEST, 3 + math.ceil(2 * seconds / pace))


def group_of(state: StudyState, judge: str) -> str:
    """The group that questions for a judge are dealt to."""
    group = state.raters.get(judge, "")
    return group if group in state.rules.groups else ""


def lacking(state: StudyState, depth: int, under_way: Sequence[Pairing]) -> list[str]:
    """Which groups need more questions, so that no rater runs out of them.

    Args:
        state: The study as stored.
        depth: How many questions each rater should have ahead.
        under_way: Pairings that are not stored yet.

    Returns:
        A group for each question to prepare; the empty one where the study deals to no groups.
    """
    wanted: list[str] = []
    for group in state.rules.groups or ("",):
        ahead = _fewest_ahead(state, group) + sum(pairing.group == group for pairing in under_way)
        wanted += [group] * max(0, depth - ahead)
    return wanted


def _fewest_ahead(state: StudyState, group: str) -> int:
    """Questions that the worst-off rater of a group can be shown, or holds."""
    waiting = [(pairing, state.progress(pairing.id)) for pairing in state.pending]
    free = [set(so_far.judges) for p, so_far in waiting if p.group in ("", group) and so_far.stage == "ready"]
    known = {judge for p, so_far in waiting if p.group in ("", group) for judge in so_far.judges}
    known |= {rater for rater, of in state.raters.items() if of == group or not group}
    known -= state.removed.keys()
    ahead = [sum(judge not in seen for seen in free) + state.held_by(judge) for judge in known]
    # Somebody new has seen nothing; where one person votes alone, nobody new is waited for.
    return min([*ahead, *([len(free)] if len(known) != 1 else [])])


def unsure_pairings(state: StudyState, decided: Callable[[str, str], bool]) -> list[str]:
    """Pairings about which one more rater is to be asked, where a study asks until they are decided.

    Args:
        state: The study as stored.
        decided: Whether it is clear which of two candidates is better.

    Returns:
        Identifiers of pairings of the latest votes, whose raters have all voted and could be more.
    """
    rules = state.rules
    if not rules.until_decided or state.closed is not None:
        return []
    unsure: list[str] = []
    for pairing_id in dict.fromkeys(vote.pairing_id for vote in state.latest(RECENT)):
        so_far, pairing = state.progress(pairing_id), state.pairing(pairing_id)
        stands = pairing.first in state.candidates and pairing.second in state.candidates
        full = so_far.stage == "voted" and so_far.wanted < rules.most
        if stands and full and not decided(pairing.first, pairing.second):
            unsure.append(pairing_id)
    return unsure
