"""A judge from a file of rules, so that a domain expert can write one without programming.

::

    name = "house style"
    margin = 0.5                     # rewards closer than this are a tie

    [[rule]]
    kind = "length"
    most = 120

    [[rule]]
    kind = "pattern"
    pattern = "(?i)as an ai"
    must = false

    [reward]                         # decides between two answers that keep all rules
    kind = "reading-level"
"""

import inspect
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from palate.errors import ConfigError, InputError, nearest
from palate.judges._graded import GradedJudge
from palate.judges._instructions import Instruction
from palate.judges._mixture import Mixture
from palate.judges._rules import JsonSchema, Language, Length, Pattern, ReadingLevel
from palate.types import Grader

__all__ = ["RULES", "rules_judge"]

RULES: Mapping[str, Callable[..., Grader]] = {
    "instruction": Instruction,
    "json": JsonSchema,
    "language": Language,
    "length": Length,
    "pattern": Pattern,
    "reading-level": ReadingLevel,
}
"""Kinds of rules by name."""

_MOST_BYTES = 1_000_000


def rules_judge(path: str) -> GradedJudge:
    """Read a judge from a file of rules; the module's text shows one.

    Args:
        path: A TOML file of at most 1 MB.

    Raises:
        InputError: The file cannot be read.
        ConfigError: It is not TOML, or a rule is wrong; the text says which.
        MissingExtraError: A rule needs the extra ``rules``.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the rules in {file}: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{file} is larger than {_MOST_BYTES:,} bytes; a file of rules is a few lines")
    try:
        tables = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    try:
        return _judge(tables, file.stem)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error


def _judge(tables: Mapping[str, Any], stem: str) -> GradedJudge:
    for key in tables:
        if key not in ("name", "margin", "rule", "reward"):
            raise ConfigError(f"unknown key {key!r}; {nearest(key, ('name', 'margin', 'rule', 'reward'))}")
    rules, reward = tables.get("rule", []), tables.get("reward")
    if not isinstance(rules, list) or not (rules or reward):
        raise ConfigError("no rule; add at least one [[rule]] or a [reward]")
    name, margin = tables.get("name", stem), tables.get("margin", 0.0)
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"name is {name!r}; it is a text")
    if not isinstance(margin, int | float) or isinstance(margin, bool):
        raise ConfigError(f"margin is {margin!r}; it is a number")
    constraints = [_grader(table, f"[[rule]] {number}") for number, table in enumerate(rules, 1)]
    rewards = [] if reward is None else [_grader(reward, "[reward]")]
    return GradedJudge(Mixture(constraints, rewards, name=f"rules:{name}"), float(margin))


def _grader(table: object, where: str) -> Grader:
    if not isinstance(table, Mapping) or not isinstance(table.get("kind"), str):
        raise ConfigError(f"{where} needs kind = …; {nearest('', RULES)}")
    kind = table["kind"]
    if kind not in RULES:
        raise ConfigError(f"{where} kind is {kind!r}; {nearest(kind, RULES)}")
    options = {key: value for key, value in table.items() if key != "kind"}
    known = set(inspect.signature(RULES[kind]).parameters) - {"cost"}
    for key in options:
        if key not in known:
            raise ConfigError(f"{where} {key}: {kind!r} has no such key; {nearest(key, known)}")
    try:
        return RULES[kind](**options)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
