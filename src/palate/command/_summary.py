"""What was learnt, in words: the end of a run, and the reading verbs."""

from typing import TYPE_CHECKING

from palate.command._say import clean, one_line, percent

if TYPE_CHECKING:
    from palate.models import Spent
    from palate.statistics import Promotion
    from palate.store import StudyState
    from palate.types import Belief, Json

__all__ = [
    "answers_text",
    "belief_json",
    "cost_words",
    "promotion_json",
    "promotion_words",
    "summary",
]


def cost_words(spent: "Spent") -> str:
    """What was spent, in words; a price that is unknown stays unknown."""
    calls = f"{spent.calls} {'call' if spent.calls == 1 else 'calls'}, {spent.tokens:,} tokens"
    known_before = f"{spent.cache_hits} {'answer' if spent.cache_hits == 1 else 'answers'} from the store"
    hits = f"; {known_before}" if spent.cache_hits else ""
    if spent.cost is None:
        known = f", at least ${spent.priced:.4f}" if spent.priced else ""
        return f"unknown{known} ({calls}; {spent.unpriced_calls} of them without a known price{hits})"
    return f"{f'${spent.cost:.4f}' if spent.cost else '$0'} ({calls}{hits})"


def summary(state: "StudyState", belief: "Belief | None", *, cost: str | None = None) -> str:
    """The best prompt, how sure that is, how it compares with the seed prompt, and what it cost.

    Texts come out without control characters, so the result may be printed as it is.
    """
    lines: list[str] = []
    if belief is None or not belief.standings or belief.best not in state.candidates:
        lines.append(f"No votes yet, so nothing is known of the {len(state.candidates)} prompts.")
    elif belief.contexts:
        lines.extend(_answers(state, belief))
    else:
        lines.extend(_verdict(state, belief))
    if cost is not None:
        lines.append(f"Cost of the study so far: {cost}")
    return "\n".join(lines)


def _verdict(state: "StudyState", belief: "Belief") -> list[str]:
    from palate.store import seed_of

    first, seed = belief.standings[0], seed_of(state.candidates)
    sure = f"{percent(first.p_best)} sure that it is the best of {len(state.candidates)}"
    lines = [f"Best prompt ({sure}):", ""]
    lines += [f"    {line}" for line in clean(state.candidates[belief.best].text).split("\n")]
    lines.append("")
    if belief.best == seed:
        lines.append("It is the seed prompt itself: nothing better was found.")
    else:
        lines.append(
            f"It beats the seed prompt in {percent(first.mean)} of duels "
            f"(95 % interval {percent(first.low)} to {percent(first.high)})."
        )
        lines.append(f"Seed prompt: {one_line(state.candidates[seed].text)}")
    lines.append(f"Votes used: {belief.votes}. {clean(belief.reason)}".rstrip())
    return lines


def _answers(state: "StudyState", belief: "Belief") -> list[str]:
    """The best answer to each input."""
    lines: list[str] = []
    for told in belief.contexts:
        place, first = state.inputs[told.input_id], told.standings[0]
        if first.candidate_id not in state.candidates:
            continue  # withdrawn since
        lines += [f"{one_line(place.text)}", ""]
        lines += [f"    {line}" for line in clean(state.candidates[first.candidate_id].text).split("\n")]
        beats = (
            "it is the first answer itself"
            if state.candidates[first.candidate_id].lineage.origin == "seed"
            else f"it beats the first answer in {percent(first.mean)} of duels "
            f"(95 % interval {percent(first.low)} to {percent(first.high)})"
        )
        lines += ["", f"    {percent(first.p_best)} sure that it is the best; {beats}.", ""]
    lines.append(f"Votes used: {belief.votes}. {clean(belief.reason)}".rstrip())
    return lines


def answers_text(state: "StudyState", belief: "Belief") -> str:
    """The best answer to each input, under the input as a heading."""
    known = {**state.withdrawn, **state.candidates}  # a belief may be older than a withdrawal
    return "\n\n".join(
        f"# {one_line(state.inputs[told.input_id].text)}\n\n{known[told.best].text}"
        for told in belief.contexts
    )


def _contexts_json(state: "StudyState", belief: "Belief") -> "list[Json]":
    from palate.store import seed_of

    told: list[Json] = []
    for context in belief.contexts:
        first = context.standings[0]
        candidate = state.candidates.get(first.candidate_id)
        group = {c.id: c for c in state.candidates.values() if c.context == context.input_id}
        seed = seed_of(group) if group else None
        told.append(
            {
                "input": context.input_id,
                "input_text": state.inputs[context.input_id].text,
                "candidate": first.candidate_id,
                "answer": None if candidate is None else candidate.text,
                "probability_best": first.p_best,
                "beats_seed": first.mean,
                "interval": [first.low, first.high],
                "votes": context.votes,
                "seed_answer": None if seed is None else group[seed].text,
            }
        )
    return told


def _promotion(state: "StudyState", belief: "Belief | None") -> "Promotion | None":
    """What held-out votes say of the winner; nothing for answers to single inputs, or before a vote."""
    if belief is None or belief.contexts or belief.best not in state.candidates:
        return None
    from palate.statistics import promotion
    from palate.store import seed_of

    return promotion(state.votes, belief.best, seed_of(state.candidates))


def promotion_words(state: "StudyState", belief: "Belief | None") -> str:
    """Whether people confirm the winner; empty where people alone have voted, and nothing is checked."""
    found = _promotion(state, belief)
    return "" if found is None or found.status == "people only" else found.sentence


def promotion_json(state: "StudyState", belief: "Belief | None") -> "Json":
    """The same as data; ``null`` where there is no winner yet."""
    found = _promotion(state, belief)
    if found is None:
        return None
    from palate.statistics import plain

    told = plain(found)
    assert isinstance(told, dict)
    return {**told, "promoted": found.promoted, "sentence": found.sentence}


def belief_json(state: "StudyState", belief: "Belief | None") -> "dict[str, Json]":
    """The same as data; every key is always there, ``null`` before the first vote."""
    from palate.store import seed_of

    seed = state.candidates[seed_of(state.candidates)].text if state.candidates else None
    given: dict[str, Json] = {
        "candidate": None,
        "prompt": None,
        "parts": None,
        "probability_best": None,
        "beats_seed": None,
        "interval": None,
        "votes": 0,
        "stop": False,
        "reason": None,
        "contexts": [],
        "seed_prompt": seed,
    }
    if belief is None or not belief.standings or belief.best not in state.candidates:
        return given
    first, best = belief.standings[0], state.candidates[belief.best]
    return {
        **given,
        "candidate": best.id,
        "prompt": best.text,
        "parts": dict(best.parts),
        "probability_best": first.p_best,
        "beats_seed": first.mean,
        "interval": [first.low, first.high],
        "votes": belief.votes,
        "stop": belief.stop,
        "reason": belief.reason,
        "contexts": _contexts_json(state, belief),
    }
