"""The verbs that read: they change nothing, and each can print JSON."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palate.command._say import clean, note, one_line, percent, print_json, say
from palate.command._session import STUDY, AsJson, StudyPath, StudyPlace, open_existing
from palate.command._write import write_text
from palate.errors import ConfigError, NotFoundError, nearest

if TYPE_CHECKING:
    from palate.store import StudyState
    from palate.types import Belief, Json

__all__ = ["register"]

MANY_VOTES = 20_000
WINNER_FORMATS = ("text", "json", "openai", "promptfoo", "dspy")
FORMATS = ("trl", "trl-conversational", "openai-dpo", "arena", "jsonl", "csv", "hf")
_ENDINGS = {"csv": ".csv", "hf": ""}


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("status")(status)
    app.command("best")(best)
    app.command("report")(report)
    app.command("statistics")(statistics)
    app.command("export")(export)
    app.command("list")(list_parts)
    app.command("schema")(schema)


def _study(path: StudyPlace) -> "tuple[StudyState, Belief | None]":
    with open_existing(path) as store:
        from palate.store import StudyState

        state = StudyState()
        state.follow(store)
        return state, store.belief()


def _name(state: "StudyState", path: StudyPlace) -> str:
    study = state.settings.get("study")
    return str(study["name"]) if isinstance(study, dict) and study.get("name") else path.title


def status(study: StudyPath = STUDY, as_json: AsJson = False) -> None:
    """Print how far a study has come."""
    from collections import Counter

    from palate.choice import held_out_votes

    state, belief = _study(study)
    verdicts = Counter(str(vote.verdict) for vote in state.votes)
    judges = Counter(vote.judge for vote in state.votes)
    taught = sum(vote.verdict.teaches for vote in state.votes)
    kept = held_out_votes(state.votes)
    held_out = sum(vote.verdict.teaches for vote in state.votes if vote.seq in kept)
    learnt = belief.votes if belief else 0
    if as_json:
        from palate.command._summary import belief_json

        told: dict[str, Json] = {
            "name": _name(state, study),
            "candidates": len(state.candidates),
            "withdrawn": len(state.withdrawn),
            "grown": state.grown,
            "refused": state.refused,
            "inputs": len(state.inputs),
            "votes": len(state.votes),
            "votes_that_teach": taught,
            "votes_learnt_from": learnt,
            "votes_held_out": held_out,
            "verdicts": dict(sorted(verdicts.items())),
            "judges": dict(sorted(judges.items())),
            "closed": state.closed,
            "best": belief_json(state, belief),
        }
        print_json(told)
        return
    say(clean(_name(state, study)))
    withdrawn = f" ({len(state.withdrawn)} withdrawn)" if state.withdrawn else ""
    say(f"  prompts    {len(state.candidates)}{withdrawn}")
    if state.growth:
        kept_out = ", ".join(f"{count} {clean(why)}" for why, count in state.refused.items())
        refused = f"{sum(state.refused.values())}{kept_out and f' ({kept_out})'}"
        say(f"  grown      {state.grown}; refused {refused}")
        for remark in dict.fromkeys(each.remark for each in state.growth.values() if each.remark):
            say(f"             {clean(remark)}")
    say(f"  inputs     {len(state.inputs)}")
    said = ", ".join(
        f"{count} {clean(verdict).replace('_', ' ')}" for verdict, count in verdicts.most_common()
    )
    say(f"  votes      {len(state.votes)}{f' ({said})' if said else ''}")
    if held_out:
        say(f"  held out   {held_out} votes of people that confirm the winner, or not")
    if learnt < taught - held_out:
        say(f"  learnt     from {learnt} of {taught}; palate run learns from the rest")
    if belief is not None and belief.standings and belief.best in state.candidates:
        if belief.contexts:
            say(f"  best       {len(belief.contexts)} answers, one for each input; see palate best")
            sure = sum(told.standings[0].p_best for told in belief.contexts) / len(belief.contexts)
            say(f"  sure       {percent(sure)} on average")
        else:
            say(f"  best       {one_line(state.candidates[belief.best].text)}")
            say(f"  sure       {percent(belief.standings[0].p_best)}")
        say(f"  advice     {clean(belief.reason)}")
    say(f"  state      {'closed: ' + clean(state.closed) if state.closed is not None else 'open'}")


def best(
    study: StudyPath = STUDY,
    format_: Annotated[
        str, typer.Option("--format", "-f", help=f"For another tool: {', '.join(WINNER_FORMATS)}.")
    ] = "text",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write, instead of printing.")
    ] = None,
    predictor: Annotated[
        str, typer.Option("--predictor", help="For dspy: the predictor of the program that gets the prompt.")
    ] = "self",
    as_json: AsJson = False,
) -> None:
    """Print the best prompt, and nothing else unless --json asks for it.

    --format openai is a list of messages, promptfoo a prompt file, dspy a state for program.load.
    """
    if format_ not in WINNER_FORMATS:
        raise ConfigError(f"--format is {format_!r}; {nearest(format_, WINNER_FORMATS)}")
    state, belief = _study(study)
    if as_json:
        from palate.command._summary import belief_json, promotion_json

        print_json({**belief_json(state, belief), "promotion": promotion_json(state, belief)})
        return
    if belief is None or belief.best not in state.candidates:
        raise NotFoundError(
            f"no votes yet, so no prompt of {str(study)!r} is known to be better; vote with: palate run"
        )
    if belief.contexts:
        if format_ != "text":
            raise ConfigError(f"--format {format_} takes a prompt, and these are answers; use --json")
        from palate.command._summary import answers_text

        text = answers_text(state, belief)
    else:
        from palate.integrations import winner_text

        text = winner_text(state.candidates[belief.best], state, format_, predictor=predictor)
    if output is not None:
        write_text(output, text)
        say(f"Wrote {output}.")
    elif format_ == "text":
        say(clean(text).removesuffix("\n"))
    else:
        print_json(json.loads(text))
    from palate.command._summary import promotion_words

    confirmed = promotion_words(state, belief)
    if confirmed:
        note(confirmed)


def report(study: StudyPath = STUDY, as_json: AsJson = False) -> None:
    """Print what was learnt, as Markdown."""
    from palate.command._summary import cost_words
    from palate.provenance import markdown_family, members_json, members_of
    from palate.report import markdown_report

    with open_existing(study) as store:
        from palate.models import Spent
        from palate.store import StudyState

        state = StudyState()
        state.follow(store)
        belief, curve = store.belief(), list(store.belief_curve())
        spent = Spent.on(store.completions())
        costs = store.response_costs()
    members = members_of(state, costs)
    if as_json:
        from palate.command._summary import belief_json, promotion_json

        standings: list[Json] = [
            {
                "candidate": row.candidate_id,
                "prompt": state.candidates[row.candidate_id].text,
                "origin": state.candidates[row.candidate_id].lineage.origin,
                "beats_seed": row.mean,
                "interval": [row.low, row.high],
                "probability_best": row.p_best,
                "duels": row.votes,
            }
            for row in (belief.standings if belief else ())
            if row.candidate_id in state.candidates
        ]
        told: dict[str, Json] = {
            **belief_json(state, belief),
            "name": _name(state, study),
            "cost": {
                "dollars": spent.cost,
                "calls": spent.calls,
                "calls_of_unknown_price": spent.unpriced_calls,
                "tokens": spent.tokens,
            },
            "standings": standings,
            "promotion": promotion_json(state, belief),
            "family": members_json(members),
            "curve": [
                {"votes": votes, "probability_best": p_best, "candidate": best_id, "beats_seed": win_rate}
                for votes, p_best, best_id, win_rate in curve
            ],
        }
        print_json(told)
        return
    say(clean(f"# {_name(state, study)}\n"))
    known = {**state.withdrawn, **state.candidates}  # a belief may be older than a withdrawal
    say(clean(markdown_report(belief, known, cost=cost_words(spent))).rstrip())
    from palate.command._summary import promotion_words

    confirmed = promotion_words(state, belief)
    if confirmed:
        say(f"\n## Do people confirm it?\n\n{confirmed}")
    if members:
        say(clean(f"\n{markdown_family(members)}").rstrip())


def statistics(
    study: StudyPath = STUDY,
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, max=10_000, help="Resamples for the second kind of interval.")
    ] = 1000,
    groups: Annotated[
        bool, typer.Option("--groups", help="What groups of raters like, and the prompt that is fair to all.")
    ] = False,
    judges: Annotated[
        bool | None,
        typer.Option(
            "--judges/--no-judges",
            help="Whether to look at each judge, too, and at what confirms the winner. That takes every "
            f"single vote, so it is done by default up to {MANY_VOTES:,} of them.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print ratings with intervals, the pull of style and side, agreement, and what each judge is worth."""
    if groups:
        _groups(study, as_json)
        return
    from palate.command._judged import NOT_JUDGED, judged
    from palate.command._statistics import table
    from palate.statistics import study_statistics
    from palate.store import StudyOutline, StudyState

    with open_existing(study) as store:
        votes = store.columns()
        looked = len(votes) <= MANY_VOTES if judges is None else judges
        state = StudyState() if looked else StudyOutline(store)
        state.follow(store)
        found = study_statistics(state, store.get_response, votes=votes, rounds=rounds)
        seen = judged(state, store) if looked else None
    if as_json:
        told: dict[str, Json] = {"name": _name(state, study), **found.to_json()}
        print_json({**told, **(NOT_JUDGED if seen is None else seen.to_json())})
        return
    say(clean(f"{_name(state, study)}\n"))
    texts = {row.candidate_id: row.text for row in found.candidates}
    for line in (*table(found), *(() if seen is None else seen.lines(texts))):
        say(line)
    if judges is None and not looked:
        note(
            f"With more than {MANY_VOTES:,} votes judges are looked at only with --judges, which takes long."
        )


def _groups(study: StudyPlace, as_json: bool) -> None:
    import numpy as np

    from palate.command._trust import group_lines
    from palate.statistics import study_groups

    state, _ = _study(study)
    found = study_groups(state, np.random.default_rng(0))
    if as_json:
        print_json({"name": _name(state, study), "groups": found.to_json()})
        return
    say(clean(f"{_name(state, study)}\n"))
    for line in group_lines(found, {c.id: c.text for c in state.made.values()}):
        say(line)


def export(
    study: StudyPath = STUDY,
    format_: Annotated[str, typer.Option("--format", "-f", help=f"One of: {', '.join(FORMATS)}.")] = "jsonl",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file (or, for hf, the folder) to write.")
    ] = None,
    ties: Annotated[
        str, typer.Option("--ties", help="Ties in formats that know only winners: drop them, or both ways.")
    ] = "drop",
    names: Annotated[bool, typer.Option("--names", help="Keep the judges' names.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the votes in a format that training tools read. What is left out is counted and said."""
    if format_ not in FORMATS:
        hint = f"; the best prompt itself: palate best --format {format_}" * (format_ in WINNER_FORMATS)
        raise ConfigError(f"--format is {format_!r}; {nearest(format_, FORMATS)}{hint}")
    if output is None:
        example = f"votes{_ENDINGS.get(format_, '.jsonl')}"
        raise ConfigError(f"--output is missing; name what to write, for example: --output {example}")
    if hasattr(os, "nice"):
        os.nice(19)  # people may be voting on this study; their votes go first
    with open_existing(study) as store:
        from palate.store import export as write

        told = write(store, format_, output, ties=ties, names=names)
    if as_json:
        from dataclasses import asdict

        print_json({**asdict(told), "path": str(told.path)})
        return
    say(f"Wrote {output}: {told.rows} rows from {told.votes} votes.")
    say(f"  ties           {told.ties} ({told.ties_as})")
    say(f"  both bad       {told.both_bad}")
    say(f"  skipped        {told.skipped}")
    say(f"  same answers   {told.identical} left out")
    say(f"  sha256         {told.sha256}")


def list_parts(
    group: Annotated[str | None, typer.Argument(help="Only this kind of part.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the parts that are installed, ours and others', with where they come from."""
    from palate.registry import GROUPS, parts

    groups = GROUPS if group is None else (group,)
    found = {name: parts(name) for name in groups}
    if as_json:
        print_json(
            {
                name: [{"name": p.name, "package": p.package, "location": p.location} for p in listed]
                for name, listed in found.items()
            }
        )
        return
    for name, listed in found.items():
        if not listed:
            continue
        say(name)
        for part in listed:
            say(f"  {clean(part.name):<22}{clean(part.package):<14}{clean(part.location)}")


def schema() -> None:
    """Print the JSON Schema of a study file, for editors."""
    from palate.config import json_schema

    print_json(json_schema())
