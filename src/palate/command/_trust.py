"""Whose word counts for how much, as lines for a terminal."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from palate.command._say import clean, one_line

if TYPE_CHECKING:
    from palate.statistics import Figure, Groups, JudgeTrust, Trust

__all__ = ["group_lines", "trust_lines"]

_LISTED = 12  # judges; the others are in the JSON


def _share(figure: "Figure") -> str:
    if figure.low is None or figure.high is None:
        return f"{100 * figure.value:.0f} %"
    return f"{100 * figure.value:.0f} % ({100 * figure.low:.0f} – {100 * figure.high:.0f} %)"


def trust_lines(found: "Trust", texts: "Mapping[str, str]") -> Iterator[str]:
    """How far each judge's word can be taken, and who is odd; texts come out safe to print.

    Args:
        found: What was found.
        texts: The prompts, by identifier.
    """
    if found.left_out:
        yield f"judges     not compared: {found.left_out}"
        return
    if len(found.judges) < 2:
        return
    for row in found.judges[:_LISTED]:
        yield f"judge      {clean(row.judge)}{' (machine)' if row.machine else ''}: {_worth(row)}"
    more = len(found.judges) - _LISTED
    if more > 0:
        yield f"judge      {more} more in --json"
    for row in found.judges:
        for odd in row.odd:
            why = odd.why
            for identifier, text in texts.items():
                why = why.replace(identifier, f"“{one_line(text, 40)}”")
            yield f"odd        {clean(row.judge)} {clean(why)}"
        if row.winner_without != found.winner:
            other = one_line(texts.get(row.winner_without, ""), 48)
            yield f"odd        without {clean(row.judge)} the winner is another one: {other}"
    if found.machines and not any(not row.machine for row in found.judges):
        yield "judges     no person has voted, so nothing can be said of what a machine's vote is worth"


def _worth(row: "JudgeTrust") -> str:
    parts = [f"{row.votes} votes"]
    if row.counted < row.votes - 0.5:
        parts.append(f"counting for {row.counted:.0f} (cap)")
    if row.worth is not None and row.worth.low is not None and row.worth.high is not None:
        parts.append(
            f"each worth {row.worth.value:.2f} human votes ({row.worth.low:.2f} – {row.worth.high:.2f})"
        )
    if row.machine:
        if row.worth is not None and row.ceiling is not None:
            parts.append(f"all it could ever say, {row.ceiling:.0f}")
        parts.append(f"alike to people's taste {row.alignment.value:.2f}")
    if row.length is not None and row.length.low is not None and row.length.low > 0:
        parts.append("likes longer answers")
    return ", ".join(parts)


def group_lines(found: "Groups", texts: "Mapping[str, str]") -> Iterator[str]:
    """What groups of raters like, and the best prompt as fairness rises.

    Args:
        found: What was found.
        texts: The prompts, by identifier.
    """
    yield found.verdict
    if found.left_out:
        return
    yield ""
    for group in found.groups:
        raters = f"{group.raters} {'rater' if group.raters == 1 else 'raters'}"
        yield (
            f"  {clean(group.group)}: {raters}, {group.votes} votes; likes best, winning "
            f"{100 * group.wins:.0f} %: {one_line(texts[group.best], 56)}"
        )
    yield ""
    yield "  fairness  average over groups   worst-off group       prompt"
    last = None
    for point in found.curve:
        if point.best != last or point is found.curve[-1]:
            cells = f"{point.fairness:>8.1f}  {_share(point.average):<20}  {_share(point.worst):<20}"
            yield f"  {cells}  {one_line(texts[point.best], 44)}"
        last = point.best
    yield "  fairness 0 is the average over groups, 1 the worst-off group alone; every group counts once."
