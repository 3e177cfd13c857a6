"""The verbs that begin: ``palate init`` writes a study file, ``palate demo`` runs one that comes along."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from palate.command._run import ME, Browser, JudgeName, Options, Port, Terminal, run_study
from palate.command._say import note, one_line, say
from palate.command._session import session_of
from palate.command._study_file import Answers, study_file
from palate.command._write import write_text
from palate.errors import ConfigError, InputError

__all__ = ["register"]

SCHEMA = "study.schema.json"


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("demo")(demo)
    app.command("init")(init)


def demo(
    ctx: typer.Context,
    judge: JudgeName = ME,
    votes: Annotated[int | None, typer.Option("--votes", min=1, help="Stop after so many votes.")] = None,
    terminal: Terminal = False,
    browser: Browser = True,
    port: Port = None,
    path: Annotated[Path, typer.Option("--path", help="Folder of the demo; made if missing.")] = Path(
        "palate-demo"
    ),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of every random draw.")] = 0,
) -> None:
    """Try Palate: a small model on this machine, a sample task, no key, no account.

    You see two answers to an email and say which is better. The first run fetches the model (93 MB).
    """
    from palate.command._demo import lay_out

    on_page = judge == ME and not terminal  # there, the study itself knows its end
    study = lay_out(path, seed=seed, votes=votes if on_page else None)
    note(f"The demo is an ordinary study file: {study}")
    run_study(study, Options(judge, None if on_page else votes, terminal, browser, port), session_of(ctx))


def init(
    path: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file to write.")] = Path(
        "study.toml"
    ),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a study file that exists.")] = False,
) -> None:
    """Ask a few questions and write a study file with comments."""
    from palate.config import json_schema, parse_config

    if path.suffix != ".toml":
        raise ConfigError(f"{str(path)!r} does not end in .toml; give a name such as study.toml")
    if path.exists() and not force:
        if yes or not typer.confirm(f"{path} exists. Overwrite it?", default=False):
            raise ConfigError(f"{str(path)!r} exists and was left alone; give another name, or --force")
        force = True
    answers = Answers() if yes else _ask(path.parent)
    source = study_file(answers, schema=SCHEMA)
    parse_config(source, path=path)
    write_text(path, source, overwrite=force)
    schema = path.with_name(SCHEMA)
    if not schema.exists():
        write_text(schema, json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    say(f"Wrote {path}. Look through it, then: palate run {path}")
    if answers.kind == "openai" and answers.api_key_env and not os.environ.get(answers.api_key_env):
        note(f"The environment variable {answers.api_key_env} is not set yet.")


def _ask(folder: Path) -> Answers:
    default = Answers()
    answers = Answers(
        name=typer.prompt("What is the study called?", default=default.name),
        kind=_choice("Which model answers: embedded (small, on this machine) or openai (any such endpoint)?"),
    )
    if answers.kind == "openai":
        answers = replace(
            answers,
            model=typer.prompt("Name of the model?"),
            base_url=typer.prompt(
                "Address of the endpoint (empty for OpenAI's)?", default="", show_default=False
            ),
        )
        answers = replace(answers, api_key_env=_ask_variable("" if answers.base_url else default.api_key_env))
    inputs, column = _ask_inputs(folder)
    return replace(
        answers,
        prompt=typer.prompt("The prompt that you use today?", default=default.prompt),
        inputs=inputs,
        column=column,
        guidelines=typer.prompt("What should raters look for?", default=default.guidelines),
        candidates=typer.prompt("How many prompts shall compete?", default=default.candidates, type=int),
    )


def _ask_variable(default: str) -> str:
    """Ask for the name of the variable; an answer that looks like a key itself is never written anywhere."""
    while True:
        said: str = typer.prompt(
            "Environment variable that holds the key (empty for none)?",
            default=default,
            show_default=bool(default),
        )
        if not said or said.isidentifier():
            return said
        note("That is no name of a variable. Never give the key itself here.")


def _choice(question: str) -> str:
    while True:
        said: str = typer.prompt(question, default="embedded")
        if said in ("embedded", "openai"):
            return said
        note("Please answer embedded or openai; other kinds can be written into the file.")


def _ask_inputs(folder: Path) -> tuple[str, str]:
    """Ask for the file of inputs until one can be read, and for its column where there are several."""
    from palate.config import columns_of

    while True:
        said: str = typer.prompt(
            "File of inputs (.txt, .csv, .jsonl; empty for a sample)?", default="", show_default=False
        )
        if not said:
            return "", ""
        try:
            columns = columns_of(folder / said)
        except InputError as error:
            note(one_line(str(error), 400))
            continue
        if len(columns) == 1:
            return said, columns[0]
        column: str = typer.prompt(f"Which column ({', '.join(columns)})?", default=columns[0])
        if column in columns:
            return said, column
        note(f"There is no column {column!r}.")
