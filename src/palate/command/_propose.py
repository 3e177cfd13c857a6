"""``palate propose``: what the votes of a study say of its slots and settings, and what to try next."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palate.command._say import clean, one_line, percent, print_json, say
from palate.command._session import AsJson, StudyPlace, open_existing, place_of
from palate.errors import InputError, NotFoundError, nearest

if TYPE_CHECKING:
    from palate.proposers import Learnt, Proposal
    from palate.store import StudyState
    from palate.types import Candidate, Json

__all__ = ["register"]

_OPEN = 0.25  # above this weight of the function without structure, that much is said to be open
_SURE = 0.9
_MAYBE = 0.2  # pairs less likely than this are not worth a line


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("propose")(propose)


def propose(
    from_: Annotated[
        StudyPlace,
        typer.Option(
            "--from",
            metavar="PATH",
            parser=place_of,
            help="The study to learn from: its .db, its .toml, or its address on a server.",
        ),
    ],
    n: Annotated[int, typer.Option("--n", "-n", min=1, max=100, help="How many combinations.")] = 5,
    scores: Annotated[
        Path | None,
        typer.Option(
            "--scores",
            help="Learn from scores instead of votes: a .csv or .jsonl with the column 'score' and either "
            "'candidate' (its identifier) or one column a slot or setting.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print which slots and settings act together, and the best combinations that nobody tried."""
    import numpy as np

    from palate.proposers import learn_combinations, propose_combinations

    state = _state(from_)
    candidates = [*state.candidates.values(), *state.withdrawn.values()]
    if scores is None:
        votes = [(vote.left_candidate, vote.right_candidate, vote.verdict) for vote in state.votes]
        learnt = learn_combinations(candidates, votes=votes)
    else:
        candidates, scored = _scored(scores, candidates)
        learnt = learn_combinations(candidates, scores=scored)
    among = None if scores is not None else set(state.candidates)
    # Only the search of very large cliques draws at random; the same study gives the same answer.
    rng = np.random.default_rng(0)
    made = propose_combinations(learnt, n, rng, existing=candidates, among=among)
    if as_json:
        print_json(_told(learnt, made, "votes" if scores is None else "scores", among))
        return
    for line in _lines(learnt, made, "votes" if scores is None else "scores", among):
        say(line)


def _state(path: StudyPlace) -> "StudyState":
    with open_existing(path) as store:
        from palate.store import StudyState

        state = StudyState()
        state.follow(store)
        return state


def _scored(path: Path, known: "Sequence[Candidate]") -> "tuple[list[Candidate], list[tuple[str, float]]]":
    """Candidates and scores of a file; rows of slots become candidates where the study has none such."""
    from palate.config import read_rows

    rows = read_rows(path, what="--scores")
    if "score" not in rows.columns:
        raise InputError(f"{rows.source} has no column 'score'; {nearest('score', rows.columns)}")
    by_id = {candidate.id: candidate for candidate in known}
    scored: list[tuple[str, float]] = []
    for number, row in rows.numbered:
        score = _number(row.get("score"))
        if score is None:
            raise InputError(f"{rows.source}, row {number}: score is {row.get('score')!r}; it is a number")
        if "candidate" in rows.columns:
            identifier = str(row.get("candidate"))
            if identifier not in by_id:
                hint = nearest(identifier, by_id)
                raise NotFoundError(f"{rows.source}, row {number}: no candidate {identifier!r}; {hint}")
        else:
            values = {name: value for name, value in row.items() if name != "score"}
            candidate = _candidate(values, list(by_id.values()))
            by_id.setdefault(candidate.id, candidate)
            identifier = candidate.id
        scored.append((identifier, score))
    return list(by_id.values()), scored


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _candidate(values: "Mapping[str, Json]", known: "Sequence[Candidate]") -> "Candidate":
    """The candidate with these values: one of the study's, or a new one with parts like theirs."""
    from palate.proposers import combination_of
    from palate.types import Candidate

    tables = [(candidate, combination_of(candidate)) for candidate in known]
    options = {
        name: {str(table[name]): table[name] for _, table in tables if name in table} for name in values
    }
    read = {name: options[name].get(str(value), _literal(value)) for name, value in values.items()}
    for candidate, table in tables:
        if table == read:
            return candidate
    like = next((candidate for candidate, table in tables if set(table) == set(read)), None)
    parts: dict[str, Json] = {"slots": read}
    if like is not None:
        parts = dict(like.parts)
        for group in ("slots", "settings"):
            part = like.parts.get(group)
            if isinstance(part, Mapping):
                parts[group] = {name: read[name] for name in part}
    return Candidate.make("\n".join(f"{name}: {value}" for name, value in read.items()), parts=parts)


def _literal(value: "Json") -> "Json":
    """A cell of a table as the number, yes or no that it writes; any other text as it is."""
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, bool | int | float) else value


def _lines(learnt: "Learnt", made: "Sequence[Proposal]", kind: str, among: set[str] | None) -> Iterator[str]:
    """The whole report in plain words, safe to print."""
    left_out = f"; {learnt.left_out} with other variables left out" if learnt.left_out else ""
    yield (
        f"{learnt.outcomes} {kind} on {len(learnt.candidates)} combinations of "
        f"{_listed(learnt.domain.names)}{left_out}."
    )
    yield ""
    yield from _structure(learnt, kind)
    yield ""
    yield "Best so far:"
    yield from _values(learnt.domain.decode(learnt.domain.encode([_combination(learnt, among)])[0]))
    yield ""
    if not made:
        yield "Every combination was tried already; add options to propose more."
        return
    searched = "all were compared" if made[0].exact else "too many to compare all; the best that a search met"
    yield f"Not tried yet, the most promising first ({searched}):"
    if made[0].win.mean < 0.5:
        yield "(None of them is expected to beat the best so far.)"
    for rank, one in enumerate(made, start=1):
        yield ""
        yield f"{rank}. {_promise(one, kind)}"
        yield from _values(one.values)
        tried = (f"{_listed(names)} in {count}" for names, count in one.tried.items())
        yield f"   tried among the candidates: {'; '.join(tried)}"


def _structure(learnt: "Learnt", kind: str) -> Iterator[str]:
    belief, names = learnt.belief, learnt.domain.names
    sure = sorted(belief.edges, key=lambda edge: -belief.probability[edge])
    for i, j in sure:
        share = belief.probability[i, j]
        adverb = "" if share > _SURE else "probably "
        yield f"{_listed((names[i], names[j]))} {adverb}act together ({percent(share)} sure)."
    for (i, j), share in sorted(belief.probability.items(), key=lambda pair: -pair[1]):
        if (i, j) not in belief.edges and share > _MAYBE:
            yield f"{_listed((names[i], names[j]))} may act together ({percent(share)})."
    alone = [names[clique[0]] for clique in belief.cliques if len(clique) == 1]
    if alone and sure:
        yield f"By itself, as far as the {kind} tell: {_listed(alone)}."
    if not sure:
        yield f"No two of them are known to act together, from {learnt.outcomes} {kind}."
    if belief.unstructured > _OPEN:
        yield (
            f"These {kind} do not settle it: with a probability of {percent(belief.unstructured)} everything "
            "depends on everything. The proposals allow for that."
        )


def _promise(one: "Proposal", kind: str) -> str:
    if kind == "scores":
        sure = f"{percent(one.win.mean)} sure that it is better"
        return f"expected to score {one.utility:+.3g} against the best so far; {sure}"
    ends = f"95 % interval {percent(one.win.low)} to {percent(one.win.high)}"
    return f"expected to win {percent(one.win.mean)} of duels against the best so far ({ends})"


def _combination(learnt: "Learnt", among: set[str] | None) -> "dict[str, Json]":
    from palate.proposers import combination_of

    return combination_of(learnt.best(among))


def _values(values: "Mapping[str, Json]") -> Iterator[str]:
    for name, value in values.items():
        yield f"   {clean(name)}: {one_line(str(value))}"


def _listed(names: Sequence[str]) -> str:
    shown = [one_line(name, 40) for name in names]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _told(
    learnt: "Learnt", made: "Sequence[Proposal]", kind: str, among: set[str] | None
) -> "dict[str, Json]":
    """The same as data."""
    from palate.structure import Range

    belief, names = learnt.belief, learnt.domain.names
    best = learnt.best(among)
    variables: list[Json] = [
        {"name": one.name, "low": one.low, "high": one.high, "integer": one.integer, "log": one.log}
        if isinstance(one, Range)
        else {"name": one.name, "options": list(one.values)}
        for one in learnt.domain.variables
    ]
    pairs: list[Json] = [
        {
            "variables": [names[i] for i in test.edge],
            "probability": belief.probability.get(test.edge, 0.0),
            "p": test.p,
            "strength": test.strength,
        }
        for test in belief.tests
    ]
    proposals: list[Json] = [
        {
            "values": dict(one.values),
            "utility": one.utility,
            "win_rate": one.win.mean,
            "interval": [one.win.low, one.win.high],
            "tried": [{"variables": list(who), "candidates": count} for who, count in one.tried.items()],
            "parents": list(one.candidate.lineage.parents),
        }
        for one in made
    ]
    return {
        "kind": kind,
        "outcomes": learnt.outcomes,
        "combinations": len(learnt.candidates),
        "left_out": learnt.left_out,
        "variables": variables,
        "pairs": pairs,
        "cliques": [list(clique) for clique in learnt.cliques],
        "unstructured": belief.unstructured,
        "best": {"candidate": best.id, "values": _combination(learnt, among)},
        "exact": all(one.exact for one in made),
        "proposals": proposals,
    }
