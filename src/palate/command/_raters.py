"""``palate raters``: who votes, how far each can be relied on, and being forgotten."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from palate.command._say import clean, one_line, print_json, say
from palate.command._session import STUDY, AsJson, StudyPath, open_existing
from palate.errors import ConfigError, NotFoundError, nearest

if TYPE_CHECKING:
    from palate.statistics import Figure, RaterQuality
    from palate.types import Json

__all__ = ["quality_lines", "register"]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    raters = typer.Typer(no_args_is_help=True, help="Who votes, and how far each can be relied on.")
    raters.command("list")(raters_list)
    raters.command("remove")(raters_remove)
    app.add_typer(raters, name="raters")


def raters_list(study: StudyPath = STUDY, as_json: AsJson = False) -> None:
    """List the raters with their figures, and those that need a look with the reason.

    A flag deletes nothing: who is flagged goes on voting, and the votes count.
    """
    from palate.statistics import rater_quality
    from palate.store import StudyState

    with open_existing(study) as store:
        state = StudyState.replay(store.events())
        found = rater_quality(state, store.belief())
        names = store.rater_names()
    if as_json:
        print_json({"raters": _rows(found, names), "removed": dict(state.removed)})
        return
    for line in quality_lines(found, names):
        say(line)
    waiting = [rater for rater in state.raters if rater not in {each.rater for each in found}]
    for rater in waiting:
        say(f"{_who(rater, names)}: no vote yet")
    for rater, votes in state.removed.items():
        say(f"{clean(rater)}: removed; votes {'kept' if votes == 'keep' else 'dropped'}")
    if not found and not waiting and not state.removed:
        say("No raters yet; vote with: palate run")


def raters_remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The rater's name or pseudonym.")],
    study: StudyPath = STUDY,
    votes: Annotated[
        str,
        typer.Option(
            "--votes", help="keep: the votes stay under the pseudonym; drop: they count for nothing."
        ),
    ] = "keep",
) -> None:
    """Erase a rater's name and the words of the comments; this cannot be undone.

    What was open to the rater goes to others. Backups made before hold the name still.
    """
    if votes not in ("keep", "drop"):
        raise ConfigError(f"--votes is {votes!r}; {nearest(votes, ('keep', 'drop'))}")
    from palate.store import StudyState

    with open_existing(study) as store:
        state = StudyState.replay(store.events())
        names = store.rater_names()
        known = {*state.raters, *(vote.judge for vote in state.all_votes)} - state.removed.keys()
        rater = _pseudonym(name, known, names)
        store.remove_rater(rater, votes=votes, actor="owner")
    kept = "kept under the pseudonym" if votes == "keep" else "dropped"
    say(f"Removed {clean(rater)}: the name and the words of comments are erased, the votes are {kept}.")
    if rater == name and rater not in names:
        say("The votes were stored under that very name, so it stays in the log.")


def _pseudonym(name: str, known: set[str], names: Mapping[str, str]) -> str:
    """The one rater that is meant.

    Raises:
        NotFoundError: Nobody.
        ConfigError: Several have that name.
    """
    meant = [rater for rater in sorted(known) if name == rater or names.get(rater) == name]
    if not meant:
        raise NotFoundError(f"no rater {name!r}; {nearest(name, [*sorted(known), *names.values()])}")
    if len(meant) > 1:
        raise ConfigError(f"{len(meant)} raters are called {name!r}; give the pseudonym: {', '.join(meant)}")
    return meant[0]


def quality_lines(found: "Sequence[RaterQuality]", names: Mapping[str, str]) -> Iterator[str]:
    """The figures of each rater, a line each, and below it why the rater needs a look."""
    for each in found:
        told = [f"{each.votes} {'vote' if each.votes == 1 else 'votes'}"]
        for figure, words in (
            (each.with_others, "with most others"),
            (each.with_belief, "with the belief"),
            (each.gold, "of known answers"),
            (each.repeats, "of swapped repeats the same"),
            (each.left, "left"),
        ):
            if figure is not None:
                told.append(f"{_share(figure)} {words}")
        if each.seconds is not None:
            told.append(f"{each.seconds:.1f} s a vote")
        group = f" ({clean(each.group)})" if each.group else ""
        yield f"{_who(each.rater, names)}{group}: {', '.join(told)}"
        for flag in each.flags:
            yield f"    look: {flag.reason}"


def _who(rater: str, names: Mapping[str, str]) -> str:
    return one_line(f"{names[rater]} [{rater}]" if rater in names else rater, 60)


def _share(figure: "Figure") -> str:
    if figure.low is None or figure.high is None:
        return f"{100 * figure.value:.0f} %"
    return f"{100 * figure.value:.0f} % ({100 * figure.low:.0f} – {100 * figure.high:.0f})"


def _rows(found: "Sequence[RaterQuality]", names: Mapping[str, str]) -> "list[Json]":
    from palate.statistics import plain

    rows: list[Json] = []
    for each in found:
        row = plain(each)
        assert isinstance(row, Mapping)
        rows.append({**row, "name": names.get(each.rater)})
    return rows
