"""From a file on disk to a checked :class:`StudyConfig`, or one line that says what is wrong."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from palate.config._check import check
from palate.config._explain import explain, line_of
from palate.config._file import MAX_STUDY_BYTES, read_text
from palate.config._tables import StudyConfig
from palate.errors import ConfigError

__all__ = ["first_problem", "parse_config", "read_config"]


def read_config(path: str | Path) -> StudyConfig:
    """Read and check a study file.

    Args:
        path: A TOML file of at most 5 MB. Relative paths inside it start at its folder. Nothing in it is
            expanded or executed; a key is named by the environment variable that holds it, never written.

    Returns:
        The settings, with defaults filled in.

    Raises:
        InputError: The file is missing, too large, or not UTF-8.
        ConfigError: It is not TOML, or a table, key, type or value is wrong. The text names the place,
            what was written, what is allowed, and the nearest name.
    """
    file = Path(path)
    return parse_config(read_text(file, what="study file", limit=MAX_STUDY_BYTES), path=file)


def parse_config(source: str, *, path: str | Path = "study.toml") -> StudyConfig:
    """Check the text of a study file that would stand at ``path``.

    Raises:
        ConfigError: As for :func:`read_config`.
    """
    file = Path(path)
    tables = _tables(source, file)
    try:
        config = StudyConfig.model_validate(tables, context={"path": file, "source": source})
    except ValidationError as error:
        raise ConfigError(_one_line(error.errors(include_url=False), source, file)) from None
    try:
        check(config)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    return config


def _tables(source: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(source)
    except RecursionError as error:
        raise ConfigError(f"{file}: nested too deeply; a study file has tables of plain keys") from error
    except ValueError as error:
        raise ConfigError(
            f"{file}: not TOML: {error}; texts stand in quotes, tables in [brackets]"
        ) from error


def first_problem(errors: list[ErrorDetails]) -> str:
    """The first of some problems in words, and how many more there are."""
    lines = list(dict.fromkeys(explain(error) for error in _causes_first(errors)))
    more = len(lines) - 1
    return lines[0] + (f" (and {more} more {'problem' if more == 1 else 'problems'})" if more else "")


def _one_line(errors: list[ErrorDetails], source: str, file: Path) -> str:
    number = line_of(source, _causes_first(errors)[0]["loc"])
    at = f"{file}:{number}" if number else str(file)
    return f"{at}: {first_problem(errors)}"


def _causes_first(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """A misspelt name also makes the right one missing: the misspelling is the cause, so it goes first."""
    return sorted(errors, key=lambda error: error["type"] != "extra_forbidden")
