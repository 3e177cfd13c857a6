"""Combinations as arrays and back."""

import numpy as np
import pytest

from palate.errors import ConfigError, InputError
from palate.structure import Domain, Options, Range, domain_of, variable_of

DOMAIN = Domain(
    (
        Options("tone", ("warm", "plain", None)),
        Range("temperature", 0.0, 2.0),
        Range("tokens", 16, 1600, integer=True, log=True),
    )
)


def test_there_and_back() -> None:
    rows = [
        {"tone": None, "temperature": 0.5, "tokens": 16},
        {"tone": "plain", "temperature": 2.0, "tokens": 160},
        {"tone": "warm", "temperature": 0.0, "tokens": 1600},
    ]
    coded = DOMAIN.encode(rows)
    assert coded == pytest.approx(np.array([[2, 0.25, 0], [1, 1, 0.5], [0, 0, 1]]))
    assert [DOMAIN.decode(row) for row in coded] == rows
    assert DOMAIN.levels_V == (3, 0, 0)
    assert DOMAIN.encode([]).shape == (0, 3)


def test_numbers_come_back_rounded_and_within_their_range() -> None:
    assert Range("t", 0.0, 1.0).decode(1 / 3) == 0.333
    assert Range("t", 0.0, 1000.0).decode(1 / 3) == 333.0
    assert Range("t", 0.12345, 1.0).decode(-0.2) == 0.12345
    assert Range("t", 1e-5, 1.0, log=True).decode(0.5) == pytest.approx(0.00316)
    assert Range("n", 1, 4, integer=True).decode(0.4) == 2


def test_grids() -> None:
    tone, temperature, _ = DOMAIN.grids(5)
    assert tone.tolist() == [0, 1, 2]
    assert temperature.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert Range("n", 1, 3, integer=True).grid(11).tolist() == [0, 0.5, 1]


def test_yes_and_one_are_different() -> None:
    options = Options("flag", (True, 1, "1"))
    assert [options.encode(value) for value in (True, 1, "1")] == [0, 1, 2]


def test_the_domain_of_what_was_tried() -> None:
    rows = [
        {"tone": "warm", "t": 0.5, "n": 1, "rate": 0.001, "same": 3, "mixed": 1, "on": True},
        {"tone": "plain", "t": 0, "n": 7, "rate": 1.0, "same": 3, "mixed": "all", "on": False},
    ]
    assert domain_of(rows).variables == (
        Options("tone", ("warm", "plain")),
        Range("t", 0, 0.5),
        Range("n", 1, 7, integer=True),
        Range("rate", 0.001, 1.0, log=True),
        Options("same", (3,)),
        Options("mixed", (1, "all")),
        Options("on", (True, False)),
    )
    with pytest.raises(InputError, match="no combination was tried"):
        domain_of([])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tone": "worm", "temperature": 1, "tokens": 20}, "no option 'worm'.*did you mean 'warm'"),
        ({"tone": "warm", "temperature": 3, "tokens": 20}, "lies between 0.0 and 2.0"),
        ({"tone": "warm", "temperature": True, "tokens": 20}, "is a number"),
        ({"tone": "warm", "temperature": 1}, "every row has"),
    ],
)
def test_rows_that_do_not_fit_are_named(row: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        DOMAIN.encode([row])  # pyright: ignore[reportArgumentType]


def test_variables_as_users_write_them() -> None:
    assert variable_of("tone", ["warm", "plain"]) == Options("tone", ("warm", "plain"))
    assert variable_of("n", {"low": 1, "high": 9, "integer": True}) == Range("n", 1, 9, integer=True)
    assert variable_of("lr", {"low": 0.1, "high": 9, "log": True}) == Range("lr", 0.1, 9, log=True)


@pytest.mark.parametrize(
    "wanted", ["warm", 3, {"low": 1}, {"low": 1, "high": 2, "hi": 3}, {"low": 1, "high": "2"}]
)
def test_other_writings_are_refused(wanted: object) -> None:
    with pytest.raises(ConfigError, match="write a list of options"):
        variable_of("tone", wanted)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Range("t", 1.0, 1.0), "low must be below high"),
        (lambda: Range("t", 0.0, 1.0, log=True), "start above 0"),
        (lambda: Options("tone", ()), "at least one"),
        (lambda: Options("tone", ("a", "a")), "each once"),
        (lambda: Domain((Options("a", (1,)), Options("a", (2,)))), "one name"),
    ],
)
def test_impossible_variables_are_refused(make: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make()  # pyright: ignore[reportCallIssue]
