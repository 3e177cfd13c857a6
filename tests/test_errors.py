"""One family of errors, catchable by their standard names, able to cross a process boundary."""

import pickle  # noqa: TID251 - only to cross a process boundary; nothing is stored
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from palate import errors
from palate.errors import ConflictError, PalateError, StoreError, nearest

TWINS = {
    "ConfigError": ValueError,
    "InputError": ValueError,
    "NotFoundError": LookupError,
    "MissingExtraError": ImportError,
    "UnsupportedError": TypeError,
    "ModelError": RuntimeError,
    "BudgetError": RuntimeError,
    "StoreError": OSError,
    "ConflictError": OSError,
}


def test_the_table_of_twins_is_complete() -> None:
    classes = {name for name in errors.__all__ if name[0].isupper()}
    assert classes == {*TWINS, "PalateError"}


@pytest.mark.parametrize("name", TWINS)
def test_an_error_is_its_standard_twin_too(name: str) -> None:
    error = getattr(errors, name)
    with pytest.raises(TWINS[name], match=r"^what, allowed, do$"):
        raise error("what, allowed, do")
    with pytest.raises(PalateError):
        raise error("what, allowed, do")


@pytest.mark.parametrize("name", TWINS)
def test_an_error_survives_pickling(name: str) -> None:
    error = getattr(errors, name)("the file 'a' is gone")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.args) == (type(error), str(error), error.args)


def raise_conflict() -> None:
    raise ConflictError("a second vote on the duel")


def test_an_error_crosses_a_process_boundary() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        raised = pool.submit(raise_conflict).exception()
    assert type(raised) is ConflictError
    assert str(raised) == "a second vote on the duel"


def test_a_conflict_is_a_store_error() -> None:
    assert issubclass(ConflictError, StoreError)


@pytest.mark.parametrize(
    ("name", "known", "told"),
    [
        ("aphof", ["random", "apohf"], "known: 'apohf', 'random'; did you mean 'apohf'?"),
        ("zzz", ["random", "apohf"], "known: 'apohf', 'random'"),
        ("x", [], "known: nothing"),
        ("", ["a"], "known: 'a'"),
        ("left", {"left": 1, "right": 2}, "known: 'left', 'right'; did you mean 'left'?"),
    ],
)
def test_nearest(name: str, known: list[str], told: str) -> None:
    assert nearest(name, known) == told


def test_nearest_takes_what_can_be_read_only_once() -> None:
    assert nearest("tabel", (word for word in ["table", "plot"])).endswith("did you mean 'table'?")
