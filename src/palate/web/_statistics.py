"""What the page of statistics shows: plain values and plain sentences for the template."""

import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from palate.engine import take_turns
from palate.errors import NotFoundError, StoreError
from palate.report import label
from palate.statistics import (
    Agreement,
    Figure,
    RatedCandidate,
    Repeats,
    SideBias,
    Statistics,
    StyleBook,
    StyleControl,
    study_statistics,
)
from palate.store import StudyOutline
from palate.types import Response
from palate.web._view import StudyView
from palate.web._words import Words

__all__ = ["StatisticsPage", "StatisticsView", "statistics_view"]

FEW = 30  # votes below which everything on the page is called a first hint
SHOWN = 12  # candidates in the table of wins: as many columns as a screen has room for
PAIRS = 10  # pairs of judges listed
LONG = 0.5  # seconds that a reader of the page is kept waiting for the newest votes
MANY = 20_000  # votes from which on even the first count is not waited for any longer
ROOM = 18  # percent of the width that a number above the bars needs


class Bar(NamedTuple):
    """An interval and its middle in percent of the width, and in words for those who do not see it."""

    low: float
    middle: float
    high: float
    words: str


class Tick(NamedTuple):
    """A number above the bars, at a percentage of the width."""

    at: float
    text: str


class RatingRow(NamedTuple):
    """One candidate of the table of ratings."""

    text: str
    bar: Bar
    controlled: float | None
    rating: str
    interval: str
    behind: str
    record: str
    tag: str


class ShareRow(NamedTuple):
    """A named share with its interval and a remark."""

    name: str
    bar: Bar | None
    value: str
    remark: str


class WinRow(NamedTuple):
    """One line of the table of wins; cells are empty where two never met."""

    number: int
    text: str
    cells: Sequence[str]


class KindRow(NamedTuple):
    """A column of the inputs: what votes say of it, and the best prompt of each kind if that differs."""

    lead: str
    kinds: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class StatisticsView:
    """Everything on the page."""

    name: str
    lead: str
    hint: str
    leading: Sequence[RatingRow]
    behind: Sequence[RatingRow]
    unrated: Sequence[str]
    scale: Sequence[Tick]
    middle: float
    notes: Sequence[str]
    controlled: bool
    style_lead: str
    style: Sequence[ShareRow]
    side_lead: str
    side: Sequence[ShareRow]
    agreement_lead: str
    agreement: Sequence[ShareRow]
    chance: bool
    wins: Sequence[WinRow]
    wins_note: str
    kinds: Sequence[KindRow]
    file: str


class StatisticsPage:
    """The statistics of a study, worked out again only when votes or candidates have changed.

    Where that takes long, the page shows what was worked out last, and a thread works it out anew. Before the
    first time is over, there is nothing to show yet.
    """

    def __init__(self, view: StudyView, words: Words) -> None:
        self._view = view
        self._words = words
        # Its own, which stands still while it is counted.
        self._outline = StudyOutline(view.store)
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._key: tuple[object, ...] | None = None
        self._found: Statistics | None = None
        self._styles = StyleBook(self._responses)
        self._seconds = 0.0
        self._working: threading.Thread | None = None
        self._failure: StoreError | None = None

    def __call__(self) -> StatisticsView | None:
        """The page as of now, or as of a few seconds ago in a study of very many votes.

        ``None`` while those are counted for the first time.
        """
        with self._lock:
            first = self._found is None
            if len(self._view.store.columns()) < MANY if first else self._seconds < LONG:
                self._bring_up_to_date()
            elif self._working is None or not self._working.is_alive():
                self._working = threading.Thread(target=self._follow, name="palate-statistics", daemon=True)
                self._working.start()
                if first:
                    self._working.join(LONG)
            found = self._found
        if found is None:
            if self._failure is not None:
                raise self._failure
            return None
        file = shlex.quote(self._view.store.place)
        return statistics_view(found, self._words["statistics"], name=self._view.title, file=file)

    def _bring_up_to_date(self) -> Statistics:
        with self._counting:
            return self._count()

    def _count(self) -> Statistics:
        began = time.monotonic()
        state, store = self._outline, self._view.store
        state.follow()
        votes = store.columns()
        last = int(votes.table_M["seq"][-1]) if len(votes) else 0
        # Votes are only added at the end and taken out, so their number and the last one tell them all.
        key = (len(votes), last, *state.candidates, *state.withdrawn)
        if self._found is None or key != self._key:
            # The page shows the sandwich's intervals; those by resampling come from the command line.
            self._found = study_statistics(
                state, store.get_response, votes=votes, styles=self._styles, rounds=0
            )
            self._key, self._seconds = key, time.monotonic() - began
        return self._found

    def _follow(self) -> None:
        take_turns()
        try:
            self._bring_up_to_date()
            self._failure = None
        except StoreError as error:
            self._failure = error

    def _responses(self, addresses: Sequence[str]) -> Mapping[str, Response]:
        try:
            return self._view.store.get_responses(addresses)
        except NotFoundError:
            found: dict[str, Response] = {}
            for address in addresses:
                with suppress(NotFoundError):
                    found[address] = self._view.store.get_response(address)
            return found


def statistics_view(found: Statistics, texts: Words, *, name: str, file: str) -> StatisticsView:
    """Put statistics into words.

    Args:
        found: What the votes say.
        texts: Texts of this page.
        name: Of the study.
        file: Of the study, as a shell takes it.
    """
    place, middle, scale = _scale(found.rated)
    clear = [effect.feature for effect in found.style.effects if not _holds(effect.coefficient, 0.0)]
    rows = [_rating_row(row, place, texts, controlled=bool(clear)) for row in found.rated]
    group = sum(row.with_leader for row in found.rated)
    parted = sorted(zip(found.rated, rows, strict=True), key=lambda pair: not pair[0].with_leader)
    ordered = [row for _, row in parted]
    return StatisticsView(
        name=name,
        lead=_lead(found, texts),
        hint=texts["few"].format(n=found.counted) if found.rated and found.counted < FEW else "",
        leading=ordered[:group],
        behind=ordered[group:],
        unrated=[_unrated(row, texts) for row in found.candidates if row.rating is None],
        scale=scale,
        middle=middle,
        notes=_notes(found, texts, controlled=bool(clear)),
        controlled=bool(clear),
        style_lead=_style_lead(found.style, clear, texts),
        style=[
            _share_row(texts["feature_" + effect.feature], effect.wins, "") for effect in found.style.effects
        ],
        side_lead=_side_lead(found.side, texts),
        side=[_side_row(row, texts) for row in found.side],
        agreement_lead=_agreement_lead(found, texts),
        agreement=_agreement_rows(found.agreement, texts),
        chance=found.agreement.raw is not None,
        wins=_wins(found),
        wins_note=texts["wins_cut"].format(n=SHOWN) if len(found.rated) > SHOWN else "",
        kinds=_kinds(found, texts),
        file=file,
    )


def _kinds(found: Statistics, texts: Words) -> list[KindRow]:
    """Whether the best prompt depends on a column of the inputs, in words."""
    text = {row.candidate_id: row.text for row in found.candidates}
    rows: list[KindRow] = []
    for column in found.segments:
        if column.p_value is None:
            rows.append(KindRow(texts["kinds_few"].format(column=column.column), ()))
            continue
        lead = texts["kinds_differ" if column.differ else "kinds_same"]
        kinds = [
            (
                kind.value or texts["kinds_empty"],
                text[kind.best],
                "" if kind.beats is None else texts["kinds_beats"].format(share=f"{kind.beats.value:.0%}"),
            )
            for kind in column.segments
        ]
        told = lead.format(column=column.column, p=f"{column.p_value:.3f}")
        rows.append(KindRow(told, kinds if column.differ else ()))
    return rows


def _number(value: float) -> str:
    """A whole number with a real minus sign."""
    return f"{value:.0f}".replace("-", "−") if round(value) else "0"


def _points(value: float) -> str:
    return f"+{_number(value)}" if round(value) > 0 else _number(value)


def _percent(figure: Figure) -> str:
    ends = "" if figure.low is None or figure.high is None else f" ({_ends(figure)})"
    return f"{100 * figure.value:.0f} %{ends}"


def _ends(figure: Figure) -> str:
    return f"{100 * (figure.low or 0.0):.0f} – {100 * (figure.high or 0.0):.0f} %"


def _lead(found: Statistics, texts: Words) -> str:
    group = found.with_leader
    if not group:
        return ""
    given = {"n": len(group), "all": len(found.rated), "prompt": label(group[0].text, 80)}
    if len(group) == 1:
        return texts["one"].format(**given)
    return texts["all_level" if len(group) == len(found.rated) else "group"].format(**given)


def _scale(rated: Sequence[RatedCandidate]) -> tuple[Callable[[float], float], float, list[Tick]]:
    """From Elo points to percent of the width, where 1000 falls, and the numbers above the bars."""
    figures = [row.rating for row in rated if row.rating] + [
        row.controlled for row in rated if row.controlled
    ]
    ends = [end for figure in figures for end in (figure.low, figure.high) if end is not None]
    low, high = min([990.0, *ends]), max([1010.0, *ends])

    def place(points: float) -> float:
        return 100.0 * (points - low) / (high - low)

    middle = place(1000.0)
    near = [Tick(at, _number(end)) for at, end in ((0.0, low), (100.0, high)) if abs(at - middle) > ROOM]
    return place, middle, [*near, Tick(middle, "1000")]


def _rating_row(
    row: RatedCandidate, place: Callable[[float], float], texts: Words, *, controlled: bool
) -> RatingRow:
    rating = row.rating or Figure(1000.0)
    low = rating.value if rating.low is None else rating.low
    high = rating.value if rating.high is None else rating.high
    interval = f"{_number(low)} – {_number(high)}"
    words = texts["bar"].format(rating=_number(rating.value), interval=interval)
    behind = row.behind
    return RatingRow(
        text=row.text,
        bar=Bar(place(low), place(rating.value), place(high), words),
        controlled=place(row.controlled.value) if controlled and row.controlled else None,
        rating=_number(rating.value),
        interval=interval,
        behind=texts["leader"] if behind is None else _number(behind.value),
        record=f"{row.wins} · {row.ties} · {row.losses}",
        tag=_tag(row, texts),
    )


def _tag(row: RatedCandidate, texts: Words) -> str:
    if row.withdrawn:
        return texts["withdrawn"]
    if row.bounded:
        return ""
    if not row.losses and not row.ties:
        return texts["only_won"]
    return texts["only_lost"] if not row.wins and not row.ties else texts["unbounded"]


def _unrated(row: RatedCandidate, texts: Words) -> str:
    said = texts["apart"].format(n=row.votes) if row.votes else texts["never"]
    return f"{label(row.text, 100)} – {said}"


def _notes(found: Statistics, texts: Words, *, controlled: bool) -> list[str]:
    """How the intervals came about, and what the marks mean."""
    kinds = {
        "sandwich": texts["method_sandwich"],
        "model": texts["method_model"],
        "prior": texts["method_prior"],
    }
    said = [kinds[found.method]] if found.method else []
    return [*said, texts["controlled"]] if controlled else said


def _share_row(name: str, figure: Figure, remark: str) -> ShareRow:
    if figure.low is None or figure.high is None:
        return ShareRow(name, None, f"{100 * figure.value:.0f} %", remark)
    bar = Bar(100 * figure.low, 100 * figure.value, 100 * figure.high, _percent(figure))
    return ShareRow(name, bar, f"{100 * figure.value:.0f} %", remark or _ends(figure))


def _style_lead(style: StyleControl, clear: Sequence[str], texts: Words) -> str:
    if style.needed is not None:
        return texts["style_few"].format(n=style.needed)
    if not style.effects:
        return texts["style_none"]
    if not clear:
        return texts["style_unclear"]
    return texts["style_clear"].format(features=", ".join(texts["name_" + feature] for feature in clear))


def _holds(figure: Figure, value: float) -> bool:
    return figure.low is not None and figure.high is not None and figure.low <= value <= figure.high


def _side_lead(side: Sequence[SideBias], texts: Words) -> str:
    if not side:
        return texts["side_none"]
    overall = side[0]
    if overall.coefficient is None:
        return texts["side_few"].format(n=overall.decided)
    signs = [not _holds(overall.share, 0.5), not _holds(overall.coefficient, 0.0)]
    if not any(signs):
        return texts["side_level"]
    if not all(signs):
        return texts["side_maybe"]
    return texts["side_left" if overall.coefficient.value > 0 else "side_right"]


def _side_row(row: SideBias, texts: Words) -> ShareRow:
    name = texts["everyone"] if row.judge is None else row.judge
    worth = row.coefficient
    remark = texts["side_count"].format(left=row.left, n=row.decided)
    if worth is not None and worth.low is not None and worth.high is not None:
        given = {"value": _points(worth.value), "low": _points(worth.low), "high": _points(worth.high)}
        remark += "; " + texts["side_worth"].format(**given)
    return _share_row(name, row.share, remark)


def _agreement_lead(found: Statistics, texts: Words) -> str:
    measured = found.agreement
    if measured.raw is None:
        if not measured.repeats:
            return texts["agree_one" if len(found.judges) < 2 else "agree_apart"]
        return texts["agree_self_one" if len(found.judges) < 2 else "agree_self"]
    if measured.raw_decided is None:
        return texts["agree_ties"].format(n=measured.shared)
    share = f"{100 * measured.raw_decided.value:.0f} %"
    return texts["agree_shared"].format(share=share, n=measured.decided)


def _agreement_rows(measured: Agreement, texts: Words) -> list[ShareRow]:
    rows: list[ShareRow] = []
    if measured.raw_decided is not None:
        rows.append(_share_row(texts["raw_decided"], measured.raw_decided, ""))
    if measured.raw is not None:
        rows.append(_share_row(texts["raw"], measured.raw, ""))
    if measured.alpha is not None:
        rows.append(_chance_row(texts["alpha"], measured.alpha, ""))
    for pair in measured.pairs[:PAIRS]:
        name = texts["kappa"].format(first=pair.first, second=pair.second)
        if pair.kappa is not None:
            rows.append(_chance_row(name, pair.kappa, texts["duels"].format(n=pair.duels)))
    rows.extend(_repeat_row(row, texts) for row in measured.repeats)
    return rows


def _chance_row(name: str, figure: Figure, remark: str) -> ShareRow:
    """A measure in which 0 is chance and 1 is full agreement; the bar shows what lies between."""
    value = f"{figure.value:.2f}".replace("-", "−")
    if figure.low is None or figure.high is None:
        return ShareRow(name, None, value, remark)
    ends = f"{figure.low:.2f} – {figure.high:.2f}".replace("-", "−")
    low, middle, high = (100 * min(max(end, 0.0), 1.0) for end in (figure.low, figure.value, figure.high))
    bar = Bar(low, middle, high, f"{value} ({ends})")
    return ShareRow(name, bar, value, f"{ends}; {remark}" if remark else ends)


def _repeat_row(row: Repeats, texts: Words) -> ShareRow:
    name = texts["repeat"] if row.judge is None else texts["repeat_judge"].format(judge=row.judge)
    remark = texts["repeat_count"].format(
        same=row.same, n=row.repeats, swapped=row.swapped, swapped_same=row.swapped_same
    )
    return _share_row(name, row.share, remark)


def _wins(found: Statistics) -> list[WinRow]:
    """How often the one of the line won against the one of the column, of how many duels."""
    size = min(len(found.rated), SHOWN)
    rows: list[WinRow] = []
    for i, row in enumerate(found.rated[:size]):
        met = [found.wins[i][j] + found.wins[j][i] + found.ties[i][j] for j in range(size)]
        cells = [f"{found.wins[i][j]} / {met[j]}" if met[j] else "" for j in range(size)]
        rows.append(WinRow(i + 1, row.text, cells))
    return rows
