"""What a token costs: a dated table that ships with the package and that the user can edit.

An unknown price is ``None`` all the way to the report. It is never 0.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from palate.errors import ConfigError
from palate.types import Usage

__all__ = ["FREE", "Price", "PriceTable", "price_table", "read_prices"]

_MILLION = 1_000_000


class Price(NamedTuple):
    """US dollars for a million tokens, going in and coming out."""

    input: float
    output: float

    def of(self, usage: Usage) -> float:
        """Cost of a call in US dollars: tokens in × price in + tokens out × price out."""
        return (usage.input_tokens * self.input + usage.output_tokens * self.output) / _MILLION


FREE = Price(0.0, 0.0)
"""The price of a model that runs on the user's own machine: known, and nothing."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by model name, with the day on which they were copied from the vendors' pages.

    Args:
        dated: ISO date; ``""`` for prices that the user gave.
        prices: Model name → price.
    """

    dated: str
    prices: Mapping[str, Price]

    def price(self, model: str) -> Price | None:
        """The price of exactly this model name; ``None`` when it is unknown."""
        return self.prices.get(model)

    def updated(self, prices: Mapping[str, Any]) -> "PriceTable":
        """The table with the user's own prices on top.

        Args:
            prices: Model name → ``{"input": dollars, "output": dollars}`` per million tokens.

        Raises:
            ConfigError: An entry is not such a table.
        """
        own = {name: _price(name, entry) for name, entry in prices.items()}
        return PriceTable(self.dated, {**self.prices, **own})


def _price(name: str, entry: object) -> Price:
    if isinstance(entry, Price):
        entry = entry._asdict()
    wanted = (
        f"the price of {name!r} must be a table like {{input = 0.15, output = 0.6}}, in US dollars "
        f"per million tokens, both at least 0"
    )
    if not isinstance(entry, Mapping) or set(entry) - {"input", "output"} or "input" not in entry:
        raise ConfigError(f"{wanted}; it is {entry!r}")
    numbers = (entry["input"], entry.get("output", 0.0))
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise ConfigError(f"{wanted}; it is {dict(entry)!r}")
        if not 0 <= number < math.inf:
            raise ConfigError(f"{wanted}; it is {dict(entry)!r}")
    return Price(float(numbers[0]), float(numbers[1]))


def read_prices(path: Path | str | None = None) -> PriceTable:
    """Read a price table.

    Args:
        path: The user's own TOML file of the same form; ``None`` for the table that ships with Palate.

    Raises:
        ConfigError: The file is missing or is not a price table.
    """
    try:
        text = (
            files("palate.models").joinpath("prices.toml").read_text("utf-8")
            if path is None
            else Path(path).read_text("utf-8")
        )
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the price table {str(path)!r} cannot be read: {error}") from error
    models = content.get("models")
    if not isinstance(models, dict) or set(content) - {"dated", "models"}:
        raise ConfigError(
            f'the price table {str(path)!r} must hold dated = "YYYY-MM-DD" and a table [models]; '
            f"it holds {sorted(content)}"
        )
    return PriceTable(str(content.get("dated", "")), {}).updated(models)


def price_table(model: str, prices: Mapping[str, Any] | str | None) -> PriceTable:
    """The table that ships with Palate, with what a user gave on top.

    Args:
        model: The model that a single price is for.
        prices: A price, a table of such by model name, or the path of a price file.

    Raises:
        ConfigError: It is none of these.
    """
    table = read_prices()
    if prices is None:
        return table
    if isinstance(prices, str):
        return table.updated(read_prices(prices).prices)
    return table.updated({model: prices} if "input" in prices else prices)
