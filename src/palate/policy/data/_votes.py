"""Pairs from the votes of a study.

    p ~ Beta(1, 1) before any vote      E[p | votes] = (n_w + 1) / (n_w + n_l + 2)
    weight = 2 E[p | votes] - 1 = (n_w - n_l) / (n_w + n_l + 2)

p is the probability that a rater prefers the first of two answers, and the votes on the same two answers to
the same input are counted together. One vote weighs 1/3, three that agree 3/5, two against one 1/5, and one
against one nothing. With ``weights = "votes"`` every vote is a pair of its own with weight 1 instead, as in
an export.

"Both bad" gives no pair: there is nothing in it that a model should say more often. With ``both_bad =
"unwanted"`` it gives two single answers that are not wanted, for recipes that learn from those, such as KTO:
each of weight 1, or n / (n + 2) for the n votes on one answer.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

from palate.errors import ConfigError, InputError, nearest
from palate.kinds import read_chat, readable
from palate.policy.data._groups import Loaded, Prompt, Skips, TextGroup, prompt_key
from palate.types import Comparison, Input, Message, Response, Verdict

__all__ = ["BothBad", "Ties", "Weights", "groups_from_votes"]

Ties = Literal["drop", "both", "half"]
"""Ties are left out; or are one vote each way; or are half a vote each way."""
Weights = Literal["votes", "confidence"]
"""Every vote a pair of weight 1; or the votes on two answers together one pair, as the module says."""

BothBad = Literal["drop", "unwanted"]
"""Votes for neither are left out; or say of both answers that they are not wanted."""


class _Shown(NamedTuple):
    prompt: Prompt
    left: str
    right: str


def groups_from_votes(
    comparisons: Iterable[Comparison],
    *,
    ties: Ties = "drop",
    weights: Weights = "votes",
    both_bad: BothBad = "drop",
    earlier: Callable[[Input], Sequence[Message]] = lambda _: (),
) -> Loaded:
    """Turn votes into pairs.

    Args:
        comparisons: The votes that teach; see :func:`palate.store.comparisons`.
        ties: What becomes of ties.
        weights: What a pair weighs.
        both_bad: What becomes of votes for neither.
        earlier: Reads the turns that were said before an input.

    Returns:
        Pairs with a conversation as prompt: earlier turns and the input, without the instruction that was
        compared; then single unwanted answers, where they are asked for. And what was left out: ``tie``,
        ``both bad``, ``equal`` texts, ``empty`` answers, ``picture`` and, for ``confidence``, ``undecided``
        pairs.

    Raises:
        ConfigError: ``ties``, ``weights`` or ``both_bad`` is unknown.
    """
    for name, value, allowed in (
        ("ties", ties, get_args(Ties)),
        ("weights", weights, get_args(Weights)),
        ("both_bad", both_bad, get_args(BothBad)),
    ):
        if value not in allowed:
            raise ConfigError(f"{name} is {value!r}; {nearest(str(value), allowed)}")
    skips = Skips()
    each: list[tuple[_Shown, float, float, str]] = []
    bad: list[tuple[_Shown, str]] = []
    for number, vote in enumerate(comparisons, start=1):
        place = f"vote {number}"
        shares = _shares(vote.verdict, ties)
        if isinstance(shares, str) and (shares != "both bad" or both_bad == "drop"):
            skips.add(shares, place)
            continue
        shown = _shown(vote, earlier)
        if isinstance(shown, str):
            skips.add(shown, place)
        elif isinstance(shares, str):
            bad.append((shown, place))
        else:
            each.append((shown, *shares, place))
    if weights == "votes":
        return Loaded.of([*_one_by_one(each), *_unwanted(bad)], skips)
    return Loaded.of([*_together(each, skips), *_unwanted_together(bad)], skips)


def _shares(verdict: Verdict, ties: Ties) -> tuple[float, float] | str:
    if verdict is Verdict.LEFT:
        return 1.0, 0.0
    if verdict is Verdict.RIGHT:
        return 0.0, 1.0
    if verdict is Verdict.TIE:
        return {"drop": "tie", "both": (1.0, 1.0), "half": (0.5, 0.5)}[ties]
    return "both bad" if verdict is Verdict.BOTH_BAD else "no verdict"


def _shown(vote: Comparison, earlier: Callable[[Input], Sequence[Message]]) -> _Shown | str:
    try:
        left, right = _said(vote.left_response), _said(vote.right_response)
    except InputError:
        return "picture"
    if not left.strip() or not right.strip():
        return "empty"
    if left.strip() == right.strip():
        return "equal"
    return _Shown((*earlier(vote.input), Message("user", vote.input.text)), left, right)


def _said(response: Response) -> str:
    """What the model said: of a chat its last answer, as long as the chat has no further turns."""
    if response.kind == "text":
        return response.content
    if response.kind == "chat":
        answers = [turn.content for turn in read_chat(response.content) if turn.role == "assistant"]
        if len(answers) == 1:
            return answers[0]
        raise InputError("a chat of several answers is no single completion")
    if response.kind == "table":
        return readable(response)
    raise InputError("a picture is no text")


def _one_by_one(each: Iterable[tuple[_Shown, float, float, str]]) -> list[TextGroup]:
    groups: list[TextGroup] = []
    for shown, left, right, place in each:
        for share, texts in ((left, (shown.left, shown.right)), (right, (shown.right, shown.left))):
            if share > 0:
                groups.append(TextGroup(shown.prompt, texts, weight=share, place=place))
    return groups


def _together(each: Iterable[tuple[_Shown, float, float, str]], skips: Skips) -> list[TextGroup]:
    counts: dict[tuple[str, str, str], tuple[_Shown, list[float], str]] = {}
    for shown, left, right, place in each:
        turned = shown.left > shown.right
        low, high = (shown.right, shown.left) if turned else (shown.left, shown.right)
        entry = counts.setdefault(
            (prompt_key(shown.prompt), low, high), (_Shown(shown.prompt, low, high), [0.0, 0.0], place)
        )
        entry[1][turned] += left
        entry[1][not turned] += right
    groups: list[TextGroup] = []
    for shown, (low, high), place in counts.values():
        weight = abs(low - high) / (low + high + 2)
        if weight == 0:
            skips.add("undecided", place)
            continue
        texts = (shown.left, shown.right) if low > high else (shown.right, shown.left)
        groups.append(TextGroup(shown.prompt, texts, weight=weight, place=place))
    return groups


def _unwanted(bad: Iterable[tuple[_Shown, str]]) -> list[TextGroup]:
    return [
        TextGroup(shown.prompt, (text,), label=False, place=place)
        for shown, place in bad
        for text in (shown.left, shown.right)
    ]


def _unwanted_together(bad: Iterable[tuple[_Shown, str]]) -> list[TextGroup]:
    found: dict[tuple[str, str], list[TextGroup]] = {}
    for group in _unwanted(bad):
        found.setdefault((prompt_key(group.prompt), group.completions[0]), []).append(group)
    return [replace(said[0], weight=len(said) / (len(said) + 2)) for said in found.values()]
