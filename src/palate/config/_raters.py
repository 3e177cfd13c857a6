"""The tables ``[raters]`` and ``[gold]`` of a study made in Python, with the checks of a study file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from palate.config._check import check_raters
from palate.config._data import GoldTexts, read_gold
from palate.config._read import first_problem
from palate.config._tables import GoldTable, RatersTable
from palate.errors import ConfigError

__all__ = ["raters_from_python"]


class _Tables(BaseModel):
    raters: RatersTable
    gold: GoldTable | None = None


def raters_from_python(
    raters: Mapping[str, object], pairs: Sequence[Mapping[str, str]]
) -> tuple[RatersTable, list[GoldTexts]]:
    """Check what stands in ``[raters]`` and ``[gold] inline`` of a study file.

    Args:
        raters: Keys of ``[raters]`` and their values.
        pairs: Entries of ``[gold] inline``, each with ``input``, ``better`` and ``worse``.

    Raises:
        ConfigError: A value is wrong; the text is that for a study file.
        InputError: A pair lacks a text, or has the same answer twice.
    """
    given = {"raters": dict(raters), **({"gold": {"inline": list(pairs)}} if pairs else {})}
    try:
        tables = _Tables.model_validate(given)
    except ValidationError as error:
        raise ConfigError(first_problem(error.errors(include_url=False))) from None
    check_raters(tables.raters, tables.gold)
    return tables.raters, read_gold(tables.gold, Path())
