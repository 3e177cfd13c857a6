"""The verbs that begin: ``palate init`` writes a study file, ``palate demo`` runs one that comes along."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palate.command._run import ME, JudgeName, Options, Terminal, run_study
from palate.command._say import note, one_line, say
from palate.command._serving import Browser, PageOptions, Port
from palate.command._session import session_of
from palate.command._write import write_text
from palate.errors import ConfigError, InputError

if TYPE_CHECKING:
    from palate.command._study_file import Answers

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
    page = PageOptions(browser, port)
    run_study(study, Options(judge, None if on_page else votes, terminal, page), session_of(ctx))


def init(
    path: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file to write.")] = Path(
        "study.toml"
    ),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; take the defaults.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a study file that exists.")] = False,
    from_promptfoo: Annotated[
        Path | None,
        typer.Option(
            "--from-promptfoo",
            metavar="promptfooconfig.yaml",
            help="Take prompts, provider and tests from a promptfoo configuration; ask nothing.",
        ),
    ] = None,
) -> None:
    """Ask a few questions and write a study file with comments.

    With --from-promptfoo nothing is asked. No program that the configuration names is run.
    """
    from palate.config import json_schema, parse_config

    if path.suffix != ".toml":
        raise ConfigError(f"{str(path)!r} does not end in .toml; give a name such as study.toml")
    if path.exists() and not force:
        if yes or not typer.confirm(f"{path} exists. Overwrite it?", default=False):
            raise ConfigError(f"{str(path)!r} exists and was left alone; give another name, or --force")
        force = True
    if from_promptfoo is not None:
        variable = _take_over(from_promptfoo, path, overwrite=force)
    else:
        from palate.command._study_file import Answers, study_file

        answers = Answers() if yes else _ask(path.parent)
        source = study_file(answers, schema=SCHEMA)
        parse_config(source, path=path)
        write_text(path, source, overwrite=force)
        variable = answers.api_key_env if answers.kind == "openai" else ""
    schema = path.with_name(SCHEMA)
    if not schema.exists():
        write_text(schema, json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
    say(f"Wrote {path}. Look through it, then: palate run {path}")
    if variable and not os.environ.get(variable):
        note(f"The environment variable {variable} is not set yet.")


def _take_over(source: Path, path: Path, *, overwrite: bool) -> str:
    """Write the study file that a promptfoo configuration amounts to, and say what was left out.

    Returns:
        The variable that holds the key of the model; empty for none.
    """
    from palate.config import check_data, parse_config
    from palate.integrations.promptfoo import read_promptfoo

    beside = path.with_name(f"{path.stem}.inputs.jsonl")
    made = read_promptfoo(source, schema=SCHEMA, inputs_file=beside.name)
    config = parse_config(made.text, path=path)
    if made.inputs is not None:
        write_text(beside, made.inputs, overwrite=overwrite)
    check_data(config)
    write_text(path, made.text, overwrite=overwrite)
    for line in made.told:
        note(f"  {one_line(line, 400)}")
    prompts = f"{made.prompts} {'prompt' if made.prompts == 1 else 'prompts'}"
    inputs = f"{made.rows} {'input' if made.rows == 1 else 'inputs'}"
    say(f"Took over {prompts} and {inputs}; the model is {one_line(made.model or 'yours to name')}.")
    variable = config.model.options.get("api_key_env") if config.model else ""
    return variable if isinstance(variable, str) else ""


def _ask(folder: Path) -> "Answers":
    from palate.command._study_file import Answers

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
