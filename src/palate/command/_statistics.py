"""The statistics of a study as lines for a terminal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from palate.command._say import clean, one_line

if TYPE_CHECKING:
    from palate.statistics import Figure, Statistics

__all__ = ["table"]

_METHODS = {
    "sandwich": "95 % intervals by the sandwich estimator; those by resampling are in --json.",
    "model": "Few votes for each prompt: the 95 % intervals lean on the model and are rather wide.",
    "prior": (
        "? only won or only lost against the rest: no vote limits its rating.\n"
        "    A weak assumption holds it, and all intervals are wide."
    ),
}
_WORTH = {
    "length": "an answer twice as long",
    "headings": "headings against none",
    "lists": "a list against none",
    "bold": "bold words against none",
    "code": "code against none",
}


def table(found: "Statistics") -> Iterator[str]:
    """Everything that people read at once, a line at a time; texts come out safe to print."""
    if found.method is None:
        yield "No votes yet that compare two prompts, so there is nothing to count; vote with: palate run"
        return
    judges = f"{len(found.judges)} {'judge' if len(found.judges) == 1 else 'judges'}"
    few = "; too few to settle anything" if found.counted < 30 else ""
    votes = f"{found.counted} {'vote' if found.counted == 1 else 'votes'}"
    yield f"{votes} counted, by {judges}{few}."
    yield ""
    yield from _ratings(found)
    yield ""
    yield from _style(found)
    yield from _side(found)
    yield from _agreement(found)
    yield from _segments(found)


def _segments(found: "Statistics") -> Iterator[str]:
    text = {row.candidate_id: row.text for row in found.candidates}
    for column in found.segments:
        name = clean(column.column)
        if column.p_value is None:
            yield f"by {name}: too few inputs or votes to tell whether the best prompt depends on it"
        elif not column.differ:
            yield f"by {name}: no sign that the best prompt depends on it (p = {column.p_value:.2f})"
        else:
            yield f"by {name}: the best prompt depends on it (p = {column.p_value:.3f})"
            for kind in column.segments:
                beats = "" if kind.beats is None else f"; beats the overall best in {_share(kind.beats)}"
                yield f"    {clean(kind.value) or '(empty)'}: {one_line(text[kind.best], 48)}{beats}"


def _share(figure: "Figure") -> str:
    ends = (
        ""
        if figure.low is None or figure.high is None
        else f" ({100 * figure.low:.0f} – {100 * figure.high:.0f} %)"
    )
    return f"{100 * figure.value:.0f} %{ends}"


def _index(figure: "Figure") -> str:
    ends = "" if figure.low is None or figure.high is None else f" ({figure.low:.2f} – {figure.high:.2f})"
    return f"{figure.value:.2f}{ends}"


def _ratings(found: "Statistics") -> Iterator[str]:
    yield f"    {'Elo':>5}  {'95 % interval':>13}  {'won':>5} {'tied':>5} {'lost':>5}  prompt"
    for row in found.rated:
        rating = row.rating
        if rating is None or rating.low is None or rating.high is None:
            continue
        ends = f"{rating.low:.0f} – {rating.high:.0f}"
        marks = f"{'*' if row.with_leader else ' '}{' ' if row.bounded else '?'}"
        record = f"{row.wins:>5} {row.ties:>5} {row.losses:>5}"
        yield f"  {marks}{rating.value:>5.0f}  {ends:>13}  {record}  {one_line(row.text, 56)}"
    apart = len(found.candidates) - len(found.rated)
    if apart:
        yield f"    {apart} more without a rating: no vote connects them with these."
    yield "  * not separable from the best: the interval of the difference holds 0 (Bonferroni)."
    if found.method is not None:
        yield f"  {_METHODS[found.method]}"


def _style(found: "Statistics") -> Iterator[str]:
    if found.style.needed is not None:
        yield f"style      too few votes; about {found.style.needed} that are no tie would do"
    for effect in found.style.effects:
        yield f"style      {_WORTH[effect.feature]} wins {_share(effect.wins)} between equal prompts"


def _side(found: "Statistics") -> Iterator[str]:
    for row in found.side:
        who = "all judges" if row.judge is None else clean(row.judge)
        worth = row.coefficient
        points = (
            f"; worth {worth.value:+.0f} Elo ({worth.low:+.0f} – {worth.high:+.0f})"
            if worth is not None and worth.low is not None and worth.high is not None
            else ""
        )
        yield f"left side  {who}: {_share(row.share)} of {row.decided} decided votes{points}"


def _agreement(found: "Statistics") -> Iterator[str]:
    measured = found.agreement
    if measured.raw is None and not measured.repeats:
        yield "agreement  cannot be measured: no two judgements of the same two answers"
    if measured.raw_decided is not None:
        yield (
            f"agreement  {_share(measured.raw_decided)} where both see a winner; "
            "people reach about 80 % on clear pairs"
        )
    if measured.raw is not None:
        yield f"agreement  {_share(measured.raw)} with ties counted, over {measured.shared} shared duels"
    if measured.alpha is not None:
        yield f"agreement  Krippendorff's alpha {_index(measured.alpha)}"
    for pair in measured.pairs:
        if pair.kappa is not None:
            yield (
                f"agreement  Cohen's kappa {_index(pair.kappa)}: {clean(pair.first)} and "
                f"{clean(pair.second)}, {pair.duels} duels"
            )
    for row in measured.repeats:
        who = "all judges" if row.judge is None else clean(row.judge)
        yield f"repeats    {who}: {_share(row.share)} of {row.repeats} said the same again"
