"""``palate train``: weights from votes, by one of the recipes."""

import shlex
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palate.command._progress import progress
from palate.command._run import fetch_if_missing
from palate.command._say import note, one_line, say
from palate.command._session import StudyPlace, open_existing, place_of, session_of
from palate.errors import ConfigError, InputError, nearest
from palate.registry import make

if TYPE_CHECKING:
    from palate.policy.data import Loaded
    from palate.policy.trainer import TrainOptions
    from palate.recipes import Job, Outcome

__all__ = ["register"]

HELD = "held-out "  # before the names of what was measured on data that was not trained on
# Of the last update alone, and in metrics.jsonl for every one.
ASIDE = frozenset({"groups", "tokens", "seconds", "tokens_per_second", "grad_norm", "learning_rate"})


@dataclass(frozen=True, slots=True)
class _Data:
    """What a job is made of besides: what becomes of the data, and what answers are drawn with."""

    held_out: float = 0.1
    ties: str = "drop"
    weights: str = "votes"
    both_bad: str = "drop"
    template: str = "auto"
    engine: str = "transformers"
    engine_memory: float = 0.4


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("train")(train)


def train(
    ctx: typer.Context,
    recipe: Annotated[
        str,
        typer.Argument(
            help="sft, reward, dpo, exo, kto, orpo, superhf, online-dpo, aipo, apo, or a plug-in's."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(help="What to learn from: .jsonl, .json, .csv, .parquet or a data set's folder."),
    ] = None,
    study: Annotated[
        StudyPlace | None,
        typer.Option(metavar="STUDY", parser=place_of, help="Learn from its votes: .db, .toml or address."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model to train; the embedded one if left out.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; runs/RECIPE if left out.")] = None,
    reward: Annotated[
        str | None,
        typer.Option(help="Who judges the policy's answers: reading-level, rules:FILE, or a folder."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the recipe (beta=0.2), the trainer (steps=100, lora.r=16) or the data "
            "(held_out=0.1, ties=drop|both|half, weights=votes|confidence, both_bad=drop|unwanted, "
            "template=auto|chat|plain).",
        ),
    ] = None,
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Whether to write duels between before and after.")
    ] = True,
) -> None:
    """Train weights on pairs or votes, and let people compare the model before and after.

    The same command goes on with a run that was stopped. Under torchrun it trains in several processes.
    """
    from palate.policy.trainer import join, leave
    from palate.recipes import reward_named
    from palate.registry import look_up

    look_up("recipes", recipe)
    own, given, options = _settings(setting or [])
    session = session_of(ctx)
    session.again = shlex.join(["palate", *sys.argv[1:]])
    processes = join()
    try:
        loaded = processes.in_turn(partial(_loaded, data, study, given))
        if processes.first:
            note(f"data: {one_line(loaded.describe(), 500)}")
        folder = out or Path("runs") / recipe
        job = _job(loaded, given, model or processes.in_turn(_embedded), folder, options)
        job = replace(job, judge=None if reward is None else reward_named(reward))
        if processes.first:
            _told(job, recipe, own, page=page)
        else:
            make("recipes", recipe, own, job=job)
    finally:
        leave()


def _told(job: "Job", recipe: str, own: dict[str, Any], *, page: bool) -> None:
    """Run a recipe, and say how it goes and how it ended."""
    with progress() as shown:
        job = replace(job, tell=shown)
        outcome: Outcome = make("recipes", recipe, own, job=job)
        duels = _duels(job, outcome, recipe) if page and outcome.model is not None else None
    _report(outcome, job.out, duels)


def _loaded(data: Path | None, study: StudyPlace | None, given: "_Data") -> "Loaded":
    if (data is None) == (study is None):
        raise ConfigError("give exactly one of --data FILE and --study STUDY, what to learn from")
    from palate.policy.data import groups_from_votes, read_groups, read_rows

    if data is not None:
        return read_groups(read_rows(data), source=str(data)).require(str(data))
    assert study is not None
    from palate.store import StudyState, comparisons
    from palate.targets import earlier_turns

    with open_existing(study) as store:
        state = StudyState()
        state.follow(store)
        votes = comparisons(store, state, len(state.votes))
    ties: Any = given.ties
    weights: Any = given.weights
    bad: Any = given.both_bad
    found = groups_from_votes(votes, ties=ties, weights=weights, both_bad=bad, earlier=earlier_turns)
    return found.require(str(study))


def _job(loaded: "Loaded", given: "_Data", model: Path, folder: Path, options: "TrainOptions") -> "Job":
    from palate.policy.data import split_by_prompt
    from palate.recipes import Job

    template: Any = given.template
    engine: Any = given.engine
    train_, held = split_by_prompt(loaded.groups, given.held_out, options.seed)
    if held and not train_:
        raise ConfigError(
            f"all {len(held)} groups would be held out, as a prompt is on one side only and there are few; "
            "give --set held_out=0, or data with more prompts"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return Job(
        model,
        folder,
        replace(loaded, groups=tuple(train_)).require("the part that is trained on"),
        replace(loaded, groups=tuple(held)),
        options,
        template,
        engine=engine,
        engine_memory=given.engine_memory,
    )


def _embedded() -> Path:
    """The embedded model as a folder that can be trained."""
    from palate.models import convert_gguf, fetch_weights

    fetch_if_missing()
    return convert_gguf(fetch_weights())


def _settings(texts: list[str]) -> "tuple[dict[str, Any], _Data, TrainOptions]":
    """Divide ``--set`` into options of the recipe, of the data and of the trainer."""
    from palate.policy.trainer import Lora, Speed, TrainOptions, Watch

    tables: dict[str, Any] = {"lora": Lora(), "speed": Speed(), "watch": Watch()}
    known = {field.name for field in fields(TrainOptions)}
    own: dict[str, Any] = {}
    data = _Data()
    given: dict[str, Any] = {}
    for text in texts:
        key, value = _option(text)
        table, dot, name = key.partition(".")
        if dot:
            if table not in tables:
                raise ConfigError(f"--set {key}: no table {table!r}; {nearest(table, tables)}")
            inside = {field.name for field in fields(tables[table])}
            if name not in inside:
                raise ConfigError(f"--set {key}: {table} has no {name!r}; {nearest(name, inside)}")
            tables[table] = replace(tables[table], **{name: tuple(value) if name == "targets" else value})
        elif key == "lora" and value in (False, "none"):
            given["lora"] = None
        elif key in known:
            given[key] = value
        elif hasattr(data, key):
            data = replace(data, **{key: value})
        else:
            own[key] = value
    try:
        return own, data, TrainOptions(**{**tables, **given})
    except TypeError as error:
        raise ConfigError(f"--set: {error}") from error


def _option(text: str) -> tuple[str, Any]:
    """Values are TOML, or else plain words."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set is {text!r}; write KEY=VALUE, such as beta=0.2")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return key, value


def _duels(job: "Job", outcome: "Outcome", recipe: str) -> Path | None:
    from palate.recipes import open_policy, write_duels

    assert outcome.model is not None
    try:
        return write_duels(job, open_policy(job.model), outcome.model, recipe)
    except InputError as error:
        note(f"No page: {error}")
    return None


def _report(outcome: "Outcome", folder: Path, duels: Path | None) -> None:
    for line in outcome.notes:
        note(one_line(line, 500))
    for number, row in enumerate(outcome.rounds, start=1):
        note(f"{number:4d}  {_numbers(row)}")
    for line in _figures(outcome.numbers):
        say(line)
    say(f"The run is in {folder}.")
    if outcome.model is not None:
        say(f"The trained model is in {outcome.model}.")
    if duels is not None:
        say(f"Is it better? Vote with: palate run {duels}")


def _figures(numbers: Mapping[str, float]) -> list[str]:
    """All numbers in a line, or a line each where they are of two kinds, of the last update and held out."""
    held = {name.removeprefix(HELD): value for name, value in numbers.items() if name.startswith(HELD)}
    if not held:
        return [_numbers(numbers)] if numbers else []
    own = {n: v for n, v in numbers.items() if not n.startswith(HELD) and n not in ASIDE}
    names = dict.fromkeys((*own, *held))
    width = max(map(len, names))

    def cell(value: float | None) -> str:
        return f"{'' if value is None else format(value, '.4g'):>12}"

    rows = [f"{name:{width}}{cell(own.get(name))}{cell(held.get(name))}" for name in names]
    return [f"{'':{width}}{'last update':>12}{'held out':>12}", *rows]


def _numbers(row: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in row.items())
