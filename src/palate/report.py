"""What was learnt, for people: a Markdown report, an HTML card for notebooks, and two figures.

Everything here is a pure function of a belief and the study's candidates; nothing is computed anew.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from palate.extras import require
from palate.types import Belief, Candidate, Standing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "CurvePoint",
    "FairPoint",
    "html_card",
    "label",
    "markdown_report",
    "plot_belief",
    "plot_standings",
    "plot_trade_off",
]


class CurvePoint(NamedTuple):
    """The belief after so many votes."""

    votes: int
    p_best: float
    best_id: str
    win_rate: float


def label(text: str, width: int = 60) -> str:
    """Shorten a prompt to one line of at most ``width`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


class FairPoint(Protocol):
    """The best candidate for one degree of fairness; figures are value, low and high end."""

    @property
    def fairness(self) -> float:
        """0 for the average over groups, 1 for the worst-off alone."""
        ...

    @property
    def best(self) -> str:
        """Identifier of the candidate."""
        ...

    @property
    def average(self) -> tuple[float, float | None, float | None]:
        """What it wins on average over the groups."""
        ...

    @property
    def worst(self) -> tuple[float, float | None, float | None]:
        """What it wins in the group that likes it least."""
        ...


def markdown_report(belief: Belief | None, candidates: Mapping[str, Candidate], *, cost: str) -> str:
    """Write the study's standing as Markdown.

    Args:
        belief: The newest snapshot, or ``None`` before the first vote.
        candidates: By identifier.
        cost: What was spent, in words; "unknown" stays unknown.
    """
    if belief is None:
        return f"No votes yet, so nothing is known.\n\nCost so far: {cost}\n"
    best = candidates[belief.best]
    used = [f"Votes: {belief.votes}. {belief.reason}", "", f"Cost so far: {cost}", ""]
    if belief.contexts:
        lines = ["## Best answers now", "", *used]
        for told in belief.contexts:
            question, answer = _question(candidates[told.best]), candidates[told.best].text
            lines += [f"### {label(question or told.input_id)}", "", *_quoted(answer), ""]
            lines += [*_table(told.standings, candidates, "answer"), ""]
        return "\n".join(lines).rstrip() + "\n"
    lines = ["## Best prompt now", "", *_quoted(best.text), "", *used]
    return "\n".join([*lines, *_table(belief.standings, candidates, "prompt")]) + "\n"


def _quoted(text: str) -> list[str]:
    return [f"> {line}" for line in text.splitlines() or [""]]


def _question(answer: Candidate) -> str:
    """What an answer is to; empty for other candidates."""
    question = answer.parts.get("question")
    return question.removeprefix("User: ") if isinstance(question, str) else ""


def _table(standings: Sequence[Standing], candidates: Mapping[str, Candidate], word: str) -> list[str]:
    lines = [f"| {word} | beats the seed | 95 % interval | P(best) | duels |", "|---|--:|--:|--:|--:|"]
    for standing in standings:
        text = label(candidates[standing.candidate_id].text).replace("|", "\\|")
        lines.append(
            f"| {text} | {standing.mean:.0%} | {standing.low:.0%} – {standing.high:.0%} "
            f"| {standing.p_best:.0%} | {standing.votes} |"
        )
    return lines


def html_card(name: str, belief: Belief | None, candidates: Mapping[str, Candidate]) -> str:
    """A small HTML card for notebooks: escaped text only, no script, no remote resource."""
    if belief is None:
        return f"<div><b>{escape(name)}</b>: {len(candidates)} candidates, no votes yet.</div>"
    rows = "".join(
        f"<tr><td style='text-align:left'>{escape(label(candidates[s.candidate_id].text))}</td>"
        f"<td>{s.mean:.0%}</td><td>{s.low:.0%} – {s.high:.0%}</td>"
        f"<td>{s.p_best:.0%}</td><td>{s.votes}</td></tr>"
        for s in belief.standings
    )
    best = (
        ""  # the table has the best answer to each input
        if belief.contexts
        else f"<pre style='white-space:pre-wrap'>{escape(candidates[belief.best].text)}</pre>"
    )
    return (
        f"<div><b>{escape(name)}</b>: {belief.votes} votes, {len(candidates)} candidates. "
        f"{escape(belief.reason)}"
        f"{best}<table><thead><tr>"
        f"<th style='text-align:left'>{'answer' if belief.contexts else 'prompt'}</th>"
        "<th>beats the seed</th><th>95 % interval</th>"
        f"<th>P(best)</th><th>duels</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _axes(width: float, height: float) -> "tuple[Figure, Any]":
    library = require("matplotlib.figure", "plot", "a figure")
    figure = library.Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def plot_belief(curve: Sequence[CurvePoint]) -> "Figure":
    """Draw, over the votes, how sure the report is and how often it is believed to beat the seed prompt."""
    figure, axes = _axes(6.4, 3.6)
    votes = [point.votes for point in curve]
    axes.plot(votes, [point.p_best for point in curve], label="probability that it is the best")
    axes.plot(votes, [point.win_rate for point in curve], label="share of duels won against the seed prompt")
    axes.set(xlabel="votes", ylabel="probability", ylim=(0, 1))
    axes.legend(frameon=False)
    return figure


def plot_standings(belief: Belief, candidates: Mapping[str, Candidate]) -> "Figure":
    """Draw the top candidates' 95 % credible intervals of beating the seed prompt."""
    figure, axes = _axes(7.2, 0.6 + 0.4 * len(belief.standings))
    for row, standing in enumerate(reversed(belief.standings)):
        axes.plot([standing.low, standing.high], [row, row], color="C0")
        axes.plot([standing.mean], [row], marker="o", color="C0")
    names = [label(candidates[s.candidate_id].text, 44) for s in reversed(belief.standings)]
    axes.set_yticks(range(len(names)), names)
    axes.axvline(0.5, color="0.6", linestyle=":")
    axes.set(xlabel="probability of beating the seed prompt", xlim=(0, 1))
    return figure


def plot_trade_off(curve: Sequence[FairPoint], verdict: str = "") -> "Figure":
    """Draw what the best prompts win on average over groups against what they win in the worst-off one.

    Args:
        curve: Best choices as fairness rises; equal ones in a row are one point.
        verdict: What the votes say of a difference between the groups; the figure's title.
    """
    figure, axes = _axes(6.4, 4.2)
    points = [point for n, point in enumerate(curve) if n == 0 or point.best != curve[n - 1].best]
    average, worst = [point.average for point in points], [point.worst for point in points]
    axes.errorbar(
        [value for value, _, _ in average],
        [value for value, _, _ in worst],
        xerr=_reaches(average),
        yerr=_reaches(worst),
        marker="o",
        capsize=2,
    )
    for point, (across, _, _), (up, _, _) in zip(points, average, worst, strict=True):
        axes.annotate(f"fairness {point.fairness:g}", (across, up), (6, 6), textcoords="offset points")
    axes.set(xlabel="share of duels won, average over groups", ylabel="share of duels won, worst-off group")
    axes.set_title(verdict, fontsize="small", wrap=True)
    return figure


def _reaches(figures: Sequence[tuple[float, float | None, float | None]]) -> list[list[float]]:
    """How far the intervals reach below and above; nowhere where an end is not known."""
    return [
        [0.0 if low is None else value - low for value, low, _ in figures],
        [0.0 if high is None else high - value for value, _, high in figures],
    ]
