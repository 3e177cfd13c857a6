"""Write the reference pages that come from the code: ``python docs/reference/generate.py``.

A test compares the pages with what this writes, so they cannot go stale.
"""

import inspect
import json
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from typer.main import get_command

from palate.command._app import app
from palate.config import json_schema

FOLDER = Path(__file__).parent
NOTE = "<!-- Written by docs/reference/generate.py; change the code, not this page. -->\n"

STUDY_FILE = """\
# The study file

A study file is TOML. `palate init` writes one with comments; `palate run study.toml` runs it.

```toml
[model]
kind = "openai"
model = "gpt-4o-mini"
api_key_env = "OPENAI_API_KEY"   # the name of the variable, never the key

[inputs]
path = "mails.csv"
column = "text"

[prompts]
seed = "Answer the customer in two friendly sentences."
```

Rules that hold everywhere:

- An unknown table or key is an error that names the nearest one. A number in quotes is a text, not a number.
- Relative paths start at the study file's folder. The database stands beside the study file unless
  `[study] database` says otherwise.
- Nothing is expanded and nothing is executed: `$NAME` and `${NAME}` stay as they are. Only keys that end in
  `_env` name environment variables, and the values of those never enter a file.
- A study file may have 5 MB, a file of inputs, examples or prompts 50 MB; all are UTF-8.
- `.txt` has one entry a line, `.csv` a header, `.jsonl` one object a line. A folder is a Hugging Face data
  set (`pip install 'palate[hf]'`). When a column is not named, the usual one is taken, or the only one.
- Inputs are known by their content: rows may be moved and added. Rows that are equal count once.
- When a study is continued with a changed file, the differences are shown and have to be accepted.

Editors that know JSON Schema complete and check the file: `palate schema > study.schema.json`, and
`#:schema study.schema.json` as the first line. `palate init` does both.

Options of a part (a model, a strategy, a proposer) are further keys of its table. An option `path` that
exists beside the study file is taken from there.
"""

COMMAND_LINE = """\
# The command line

Results go to standard output; progress, notices and errors to standard error. `NO_COLOR` is obeyed, and
there is no colour in a pipe. Reading verbs take `--json`, whose keys are stable. `PATH` is a study file
or its database.

| exit code | means |
|--:|---|
| 0 | done; for the page also: stopped by ctrl-C |
| 1 | `doctor` or `verify` found a problem, or Palate itself has a mistake |
| 2 | a mistake that is explained in one line: a wrong option, study file, input, model answer or database |
| 130 | stopped by ctrl-C; nothing is lost |

`--debug` before or after the verb shows the traceback of an error.

In `--terminal` the keys are those of the page: `1` or `a` or `←` for A, `2` or `b` or `→` for B, `3` or `e`
tie, `4` both bad, `s` or space skip, `S` skip and say why, `u` or backspace undo, `c` comment,
`g` guidelines, `?` help, `q` quit. When the input is not a terminal, the first character of each line counts.
"""


def _kind(value: Mapping[str, Any]) -> str:
    """What a key may hold, in words."""
    options = [_kind(entry) for entry in value.get("anyOf", ()) if entry.get("type") != "null"]
    if options:
        return " or ".join(dict.fromkeys(options))
    if "enum" in value:
        return " or ".join(f'`"{name}"`' for name in value["enum"])
    if value.get("type") == "array":
        return f"list of {_kind(value['items']).replace('text', 'texts').replace('table', 'tables')}"
    names = {"string": "text", "integer": "whole number", "number": "number", "object": "table"}
    limits = [
        f"{words} {value[name]}"
        for name, words in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "more than"),
            ("maximum", "at most"),
        )
        if name in value
    ]
    return ", ".join([names.get(value.get("type", ""), "value"), *limits])


def _default(name: str, table: Mapping[str, Any]) -> str:
    if name in table.get("required", ()):
        return "needed"
    value = table["properties"][name].get("default")
    return "–" if value is None or value == "" else f"`{json.dumps(value, ensure_ascii=False)}`"


def _tables(schema: Mapping[str, Any]) -> Iterator[str]:
    for name, value in schema["properties"].items():
        several = value.get("additionalProperties", {})  # tables that the user names
        either = [value, several, *value.get("anyOf", ())]
        reference = next(entry["$ref"] for entry in either if "$ref" in entry)
        table = schema["$defs"][reference.rpartition("/")[2]]
        need = "needed" if name in schema["required"] else "optional"
        yield f"\n## `[{name}{'.NAME' if several else ''}]` ({need})\n"
        yield value.get("description") or table["description"]
        yield "\n| key | holds | default | meaning |\n|---|---|---|---|"
        for key, held in table["properties"].items():
            meaning = " ".join(held["description"].split())
            yield f"| `{key}` | {_kind(held)} | {_default(key, table)} | {meaning} |"


def study_file() -> str:
    """The page about the study file."""
    return NOTE + STUDY_FILE + "\n".join(_tables(json_schema())) + "\n"


def _parameter(parameter: Any) -> str:  # noqa: ANN401 - typer does not publish the class
    """A row of the table of options, from the parts: help texts differ between versions of typer."""
    if parameter.param_type_name == "argument":
        name = f"`{parameter.metavar or parameter.name.upper()}`"
    else:
        name = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
    default = parameter.default
    if parameter.required:
        shown = "needed"
    elif default is None or default is False:
        shown = "–"
    else:
        shown = "`--" + parameter.name + "`" if default is True else f"`{default}`"
    return f"| {name} | {shown} | {parameter.help} |"


def _verbs(command: Any, words: tuple[str, ...] = ("palate",)) -> Iterator[str]:  # noqa: ANN401 - as above
    for name, verb in command.commands.items():
        if hasattr(verb, "commands"):
            yield from _verbs(verb, (*words, name))
            continue
        rows = [_parameter(parameter) for parameter in verb.params if parameter.name != "help"]
        table = ["", "| option | default | meaning |", "|---|---|---|", *rows] if rows else []
        help_text = "\n".join(line.strip() for line in verb.help.strip().splitlines())
        yield "\n".join([f"\n## {' '.join((*words, name))}\n", help_text, *table])


def command_line() -> str:
    """The page about the command line."""
    return "\n".join([NOTE + COMMAND_LINE.rstrip(), *_verbs(get_command(app))]) + "\n"


PYTHON = """\
# Python

What is public, from the docstrings. Everything else may change without notice.
"""

TRAINING = """\
# Training from Python

What is public of `palate.policy` and `palate.recipes` (`pip install 'palate[train]'`), from the docstrings;
how to use it stands in [train weights from votes](../how-to/train.md). It may still change.
"""

TRAINING_MODULES = (
    "palate.recipes",
    "palate.policy",
    "palate.policy.data",
    "palate.policy.objectives",
    "palate.policy.updates",
    "palate.policy.trainer",
    "palate.policy.rewards",
    "palate.policy.rollouts",
)

MODULES = (
    "palate.study",
    "palate.strategies",
    "palate.choice",
    "palate.types",
    "palate.models",
    "palate.proposers",
    "palate.targets",
    "palate.judges",
    "palate.store",
    "palate.config",
    "palate.report",
    "palate.statistics",
    "palate.registry",
    "palate.errors",
    "palate.operations",
    "palate.web",
    "palate.testing",
)


def _default_value(value: Any) -> str:  # noqa: ANN401 - whatever a function defaults to
    if value is inspect.Parameter.empty:
        return ""
    return f"={value!r}" if isinstance(value, str | int | float | bool | tuple | None) else "=…"


def _signature(value: Any) -> str:  # noqa: ANN401 - whatever a module exports
    """Names of the parameters and their defaults; types are in the docstring's words."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return ""
    shown: list[str] = []
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        if parameter.name not in ("self", "cls"):
            mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
            shown.append(f"{mark}{parameter.name}{_default_value(parameter.default)}")
    return f"({', '.join(shown)})"


def _entry(name: str, value: Any, depth: str) -> Iterator[str]:  # noqa: ANN401 - as above
    text = inspect.getdoc(value) or ""
    yield f"\n{depth} `{name}{_signature(value)}`\n\n```text\n{text}\n```"
    if inspect.isclass(value) and not issubclass(value, Exception):
        for inner, member in vars(value).items():
            function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            if not inner.startswith("_") and (inspect.isfunction(function) or isinstance(member, property)):
                call = "" if isinstance(member, property) else _signature(function)
                line = (inspect.getdoc(member) or "").partition("\n")[0]
                yield f"- `.{inner}{call}`: {line}"


def python() -> str:
    """The page about the Python interface."""
    return _modules(PYTHON, MODULES)


def training() -> str:
    """The page about training from Python; writing it loads torch."""
    return _modules(TRAINING, TRAINING_MODULES)


def _modules(head: str, names: Iterable[str]) -> str:
    lines = [NOTE + head.rstrip()]
    for name in names:
        module = import_module(name)
        lines.append(f"\n## {name}\n\n{(module.__doc__ or '').strip().partition(chr(10))[0]}")
        for public in module.__all__:
            value = getattr(module, public)
            if (inspect.isclass(value) or inspect.isroutine(value)) and inspect.getdoc(value):
                lines += _entry(public, value, "###")
    return "\n".join(lines) + "\n"


def schema() -> str:
    """The JSON Schema."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


PAGES = {
    "study-file.md": study_file,
    "command-line.md": command_line,
    "python.md": python,
    "training.md": training,
    "study.schema.json": schema,
}

if __name__ == "__main__":
    for page, write in PAGES.items():
        (FOLDER / page).write_text(write(), encoding="utf-8", newline="\n")
