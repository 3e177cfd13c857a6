"""Votes with everything that was on the screen, for proposers that learn from what was said."""

from palate.store._state import StudyState
from palate.store._store import Store
from palate.types import Comparison

__all__ = ["comparisons"]


def comparisons(store: Store, state: StudyState, last: int) -> list[Comparison]:
    """Put the latest votes that teach together with their candidates and responses.

    Args:
        store: Where the responses are.
        state: The study that was voted on.
        last: How many votes at most.

    Returns:
        In the order of the votes, the latest last.
    """
    everybody = {**state.candidates, **state.withdrawn}
    votes = state.latest(last, teaching=True)
    pairings = [state.pairing(vote.pairing_id) for vote in votes]
    hashes = {
        address for pairing in pairings for address in (pairing.first_response, pairing.second_response)
    }
    shown = store.get_responses(hashes)
    found: list[Comparison] = []
    for vote, pairing in zip(votes, pairings, strict=True):
        answers = {
            pairing.first: shown[pairing.first_response],
            pairing.second: shown[pairing.second_response],
        }
        left, right = everybody[vote.left_candidate], everybody[vote.right_candidate]
        found.append(
            Comparison(
                state.inputs[vote.input_id],
                left,
                right,
                answers[left.id],
                answers[right.id],
                vote.verdict,
                vote.judge,
                vote.comment,
            )
        )
    return found
