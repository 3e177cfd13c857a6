"""What the owner sees of a study under way: what is amiss first, then raters, judges, the queue and links.

What cannot be known is called unknown and never bad: a judge that could not be reached has not been found
wanting, and a share without votes is no share.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from palate.models import Spent
from palate.operations import heard
from palate.statistics import Figure, Oddity, RaterQuality, Trust, rater_quality, study_trust
from palate.store import Invitation, StudyState
from palate.types import Verdict, Vote
from palate.web._access import Access
from palate.web._figures import Figures
from palate.web._meter import Meter
from palate.web._results import cost_words
from palate.web._view import StudyView
from palate.web._words import Words

__all__ = [
    "Card",
    "InvitationRow",
    "JudgeRow",
    "OwnerPage",
    "OwnerView",
    "RaterRow",
    "Share",
    "share_changed",
]

LATELY = 50  # votes that are compared with the earlier ones
NEARLY = 0.9  # of a budget, from where on it is worth a word
CLEAR = 3.29  # standard errors: one false alarm in a thousand looks
ENOUGH, MANY = 30, 20_000  # votes between which judges are compared while somebody waits for the page
SHARES = ("with_others", "gold", "repeats", "left")  # of RaterQuality, a column each


class Card(NamedTuple):
    """A figure, what it is, and a remark."""

    figure: str
    name: str
    remark: str = ""


class Share(NamedTuple):
    """A share under the head of its column, and its likely range; a dash where it is unknown."""

    head: str
    share: str
    likely: str


class RaterRow(NamedTuple):
    """One person who votes."""

    name: str
    rater: str
    group: str
    votes: int
    skipped: int
    shares: Sequence[Share]
    seconds: str
    seen: str
    flags: Sequence[str]


class JudgeRow(NamedTuple):
    """One judge that is no person, as far as the votes tell."""

    name: str
    state: str
    is_unknown: bool
    votes: int
    undecided: str
    unparsable: str
    seen: str


class InvitationRow(NamedTuple):
    """One link; its secret is not known to anybody but who holds it."""

    id: str
    name: str
    role: str
    group: str
    used: str
    until: str
    state: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class OwnerView:
    """Everything on the page."""

    name: str
    alarms: Sequence[str]
    cards: Sequence[Card]
    raters: Sequence[RaterRow]
    judges: Sequence[JudgeRow]
    invitations: Sequence[InvitationRow]
    refusals: Sequence[tuple[str, int]]
    file: str


class OwnerPage:
    """Collects what the owner sees.

    Args:
        view: The study.
        access: Who was seen when.
        figures: Whether everything works.
        meter: What was refused.
        words: Texts of the pages.
        judge: The name under which the owner votes.
        spent: What the study has cost, or ``None`` when nobody says.
    """

    def __init__(
        self,
        view: StudyView,
        access: Access,
        figures: Figures,
        meter: Meter,
        words: Words,
        *,
        judge: str,
        spent: Callable[[], Spent] | None,
    ) -> None:
        self._view = view
        self._access = access
        self._figures = figures
        self._meter = meter
        self._texts: dict[str, Any] = words["owner"]
        self._cost_texts: dict[str, str] = words["results"]
        self._judge = judge
        self._spent = spent
        self._trust: tuple[object, Trust | None] = ((), None)

    def __call__(self) -> OwnerView:
        """The page as of now."""
        import shlex

        state = self._view.state()
        trust, judges = self._trusted(state), self._judges(state)
        return OwnerView(
            name=self._view.title,
            alarms=self._alarms(state, judges, trust),
            cards=self._cards(state),
            raters=self._raters(state, trust),
            judges=judges,
            invitations=[self._invitation_row(each) for each in state.invitations.by_id.values()],
            refusals=list(self._meter.refusals.items()),
            file=shlex.quote(self._view.store.place),
        )

    def look(self) -> None:
        """Work out what is amiss for those who listen, though nobody has the page open.

        Of very many votes this takes too long to do unasked.
        """
        if heard() and sum(self._view.store.tally().values()) <= MANY:
            state = self._view.state()
            self._alarms(state, self._judges(state), self._trusted(state))

    # -- what is amiss ---------------------------------------------------------------------------

    def _alarms(self, state: StudyState, judges: Iterable[JudgeRow], trust: Trust | None) -> list[str]:
        """What is amiss, in words; the names of what became so are told to those who listen."""
        texts: dict[str, str] = self._texts["alarm"]
        found: list[tuple[str, str]] = []
        fault = self._figures.fault()
        if fault is not None:
            found.append(("store", texts["store"].format(reason=fault)))
        learning = self._figures.learning()
        if learning is not None and not learning.running:
            found.append(("learner", texts["learner"]))
        found += [("judge", texts["judge"].format(judge=row.name)) for row in judges if row.is_unknown]
        changed = share_changed([vote.verdict.teaches for vote in state.votes])
        if changed is not None:
            before, now = map(_percent, changed)
            found.append(("share", texts["share"].format(before=before, now=now, n=LATELY)))
        for name, used, limit in self._budgets(state):
            if used >= NEARLY * limit:
                words = texts["budget"].format(name=self._texts[name], share=_percent(used / limit))
                found.append(("budget", words))
        if trust is not None and trust.deciding:
            found.append(("deciding", self._deciding(trust.deciding)))
        self._figures.alarm(texts, {name for name, _ in found})
        return [words for _, words in found]

    def _deciding(self, judges: Sequence[str]) -> str:
        """That the winner rests on one of these people, or on whoever reads this."""
        if list(judges) == [self._judge]:
            return self._texts["deciding_you"]
        names = [self._texts["you_among"] if j == self._judge else self._view.name_of(j) or j for j in judges]
        return self._texts["alarm"]["deciding"].format(rater=", ".join(names))

    def _budgets(self, state: StudyState) -> list[tuple[str, float, float]]:
        """What is limited: its name, how much of it is used, and the limit."""
        table = state.settings.get("budget")
        limits: dict[str, Any] = table if isinstance(table, dict) else {"votes": state.settings.get("votes")}
        spent = self._spent() if self._spent else None
        used = {"votes": float(state.taught)}
        if spent is not None:
            used |= {"calls": spent.calls, "tokens": spent.tokens, "cost": spent.priced}
        return [
            (name, value, float(limits[name]))
            for name, value in used.items()
            if isinstance(limits.get(name), int | float) and limits[name] > 0
        ]

    def _trusted(self, state: StudyState) -> Trust | None:
        """How far each judge can be taken at its word; worked out again only when votes have changed."""
        votes = state.votes
        if not ENOUGH <= len(votes) <= MANY:
            return None
        key = (len(votes), votes[-1].seq, len(state.withdrawn))
        if self._trust[0] != key:
            self._trust = (key, study_trust(state))
        return self._trust[1]

    # -- figures ---------------------------------------------------------------------------------

    def _cards(self, state: StudyState) -> list[Card]:
        texts = self._texts
        stages = state.stages
        limit = next((limit for name, _, limit in self._budgets(state) if name == "votes"), None)
        cost, remark = cost_words(self._spent() if self._spent else None, self._cost_texts)
        learning = self._figures.learning()
        if learning is None or not learning.running:
            fit, told = "–", texts["fit_unknown" if learning is None else "fit_stopped"]
        elif learning.since is None:
            fit, told = "–", texts["fit_none"]
        else:
            fit, told = _ago(learning.since, texts), ""
        return [
            Card(
                f"{len(state.votes):,}",
                texts["votes"],
                texts["of"].format(n=f"{limit:,.0f}") if limit else "",
            ),
            Card(f"{stages['ready']:,}", texts["ready"]),
            Card(f"{stages['shown']:,}", texts["shown"]),
            Card(f"{stages['voted']:,}", texts["voted"]),
            Card(cost, texts["cost"], remark),
            Card(fit, texts["fit"], told),
        ]

    # -- people ----------------------------------------------------------------------------------

    def _raters(self, state: StudyState, trust: Trust | None) -> list[RaterRow]:
        invited = _invited(state)
        quality = {each.rater: each for each in rater_quality(state)}
        by_rater: dict[str, list[Vote]] = {}
        for vote in state.all_votes:
            by_rater.setdefault(vote.judge, []).append(vote)
        columns = [column for column in SHARES if any(getattr(each, column) for each in quality.values())]
        odd = {each.judge: each.odd for each in trust.judges} if trust else {}
        rows: list[RaterRow] = []
        for name in (self._judge, *invited):
            if name in invited or name in by_rater:
                found, votes = quality.get(name), by_rater.get(name, [])
                rows.append(
                    RaterRow(
                        **self._person(name, invited.get(name), votes[-1].at if votes else None),
                        votes=len(votes),
                        skipped=sum(not vote.verdict.teaches for vote in votes),
                        shares=[self._share(column, found) for column in columns],
                        seconds=f"{found.seconds:.1f} s" if found and found.seconds is not None else "–",
                        flags=self._flags(odd.get(name, ()), found),
                    )
                )
        return rows

    def _flags(self, odd: Sequence[Oddity], quality: RaterQuality | None) -> list[str]:
        """Why somebody deserves a look; a habit of one side is named once."""
        named = any(each.kind == "one side" for each in odd)
        kinds = [flag.kind for flag in quality.flags] if quality else []
        texts = self._texts["flag"]
        return [*(o.why for o in odd), *(texts[kind] for kind in kinds if not (named and kind == "side"))]

    def _person(self, judge: str, invitation: Invitation | None, last: str | None) -> dict[str, str]:
        return {
            "name": self._texts["you"] if invitation is None else self._view.name_of(judge),
            "rater": judge,
            "group": invitation.group if invitation else "",
            "seen": self._last(self._access.seen.get(invitation.id) if invitation else None, last),
        }

    def _share(self, column: str, quality: RaterQuality | None) -> Share:
        found: Figure | None = getattr(quality, column, None)
        head = self._texts["shares"][column]
        if found is None:
            return Share(head, "–", "")
        if found.low is None or found.high is None:
            return Share(head, _percent(found.value), "")
        likely = self._texts["likely"].format(low=_percent(found.low), high=_percent(found.high))
        return Share(head, _percent(found.value), likely)

    def _judges(self, state: StudyState) -> list[JudgeRow]:
        """Those that are no people and have voted, by name."""
        people = {self._judge, *_invited(state), *state.raters, *state.removed}
        by_judge: dict[str, list[Vote]] = {}
        for vote in state.votes:
            if vote.judge not in people:
                by_judge.setdefault(vote.judge, []).append(vote)
        return [self._judge_row(name, given) for name, given in sorted(by_judge.items())]

    def _judge_row(self, judge: str, votes: Sequence[Vote]) -> JudgeRow:
        texts = self._texts
        undecided = [vote for vote in votes if _failed(vote)]
        unparsable = sum((vote.comment or "").startswith("no verdict in") for vote in undecided)
        last = votes[-1]
        unreachable = last.verdict is Verdict.FAILED or (last.comment or "").startswith("the judge failed:")
        return JudgeRow(
            name=judge,
            state=texts["unknown"] if unreachable else texts["answers"],
            is_unknown=unreachable,
            votes=len(votes),
            undecided=_percent(len(undecided) / len(votes)),
            unparsable=_percent(unparsable / len(votes)),
            seen=self._last(None, last.at),
        )

    def _invitation_row(self, each: Invitation) -> InvitationRow:
        texts = self._texts
        is_open = self._access.is_open(each)
        if each.revoked:
            state = texts["revoked"]
        elif not is_open:
            state = texts["expired"]
        else:
            state = texts["in_use" if each.sessions else "not_used"]
        return InvitationRow(
            id=each.id,
            name=(self._view.name_of(each.rater) if each.rater else "") or each.rater or each.id,
            role=texts["role_" + each.role],
            group=each.group,
            used=texts["uses"].format(n=len(each.sessions), uses=each.uses),
            until=texts["no_end"] if each.expires is None else each.expires[:16].replace("T", " ") + " UTC",
            state=state,
            is_open=is_open,
        )

    def _last(self, seen: float | None, at: str | None) -> str:
        moments = [seen] if seen is not None else []
        if at is not None:
            moments.append(datetime.fromisoformat(at).timestamp())
        if not moments:
            return self._texts["never"]
        return _ago(max(0.0, datetime.now(UTC).timestamp() - max(moments)), self._texts)


def _invited(state: StudyState) -> dict[str, Invitation]:
    """Invitations to vote, by the rater they are for."""
    return {each.rater: each for each in state.invitations.by_id.values() if each.role == "rater"}


def share_changed(teaching: Sequence[bool]) -> tuple[float, float] | None:
    r"""Whether the share of votes that say something is another now than before.

    Two shares of ``n`` and ``m`` votes are told apart when

    .. math:: |p_n - p_m| > 3.29 \sqrt{p (1 - p) (1/n + 1/m)},\quad p = (n p_n + m p_m) / (n + m)

    which happens by chance once in a thousand looks.

    Args:
        teaching: For each vote, in order, whether it says something.

    Returns:
        The share before the last 50 votes and of them; ``None`` when they are level or votes are too few.
    """
    before, now = teaching[:-LATELY], teaching[-LATELY:]
    if len(before) < LATELY:
        return None
    first, second = sum(before) / len(before), sum(now) / len(now)
    pooled = sum(teaching) / len(teaching)
    error = math.sqrt(pooled * (1.0 - pooled) * (1.0 / len(before) + 1.0 / len(now)))
    return (first, second) if abs(first - second) > CLEAR * error else None


def _failed(vote: Vote) -> bool:
    return vote.verdict is Verdict.FAILED or (vote.verdict is Verdict.SKIP and vote.reason == "cannot_judge")


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _ago(seconds: float, texts: dict[str, Any]) -> str:
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= size:
            return texts[name].format(n=int(seconds // size))
    return texts["just_now"]
