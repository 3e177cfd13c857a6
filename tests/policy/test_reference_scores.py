"""The kept log-probabilities of a reference answer for that reference only."""

from dataclasses import replace

import pytest
import torch

from palate.errors import InputError
from palate.policy.updates import ReferenceKey, ReferenceScores

KEY = ReferenceKey("weights-a", "tokeniser-a")


def some_scores() -> ReferenceScores:
    return ReferenceScores(KEY).plus(["a", "b", "c"], torch.tensor([-1.0, -2.5, 0.0]))


def test_groups_are_filled_from_what_is_kept() -> None:
    scores = some_scores()
    assert scores.take(KEY, [["b", "a"], ["c", "b"]]).tolist() == [[-2.5, -1.0], [0.0, -2.5]]
    assert scores.missing(["a", "x", "b", "x", "y"]) == ["x", "y"]
    with pytest.raises(InputError, match="1 completions have no"):
        scores.take(KEY, [["a", "x"]])


def test_growing_makes_another_value() -> None:
    scores = some_scores()
    more = scores.plus(["d"], torch.tensor([-4.0], requires_grad=True))
    assert scores.missing(["d"]) == ["d"]
    taken = more.take(KEY, [["a", "d"]])
    assert taken.tolist() == [[-1.0, -4.0]]
    assert not taken.requires_grad


@pytest.mark.parametrize(
    "change",
    [{"reference": "weights-b"}, {"tokeniser": "tokeniser-b"}, {"dtype": "bfloat16"}, {"temperature": 0.7}],
)
def test_any_other_circumstance_is_refused(change: dict[str, object]) -> None:
    other = replace(KEY, **change)  # pyright: ignore[reportArgumentType]
    assert other.digest != KEY.digest
    with pytest.raises(InputError, match="compute them anew"):
        some_scores().take(other, [["a", "b"]])


def test_a_key_has_one_digest() -> None:
    assert KEY.digest == ReferenceKey("weights-a", "tokeniser-a", temperature=1).digest
    assert len(KEY.digest) == 16


@pytest.mark.parametrize("bad", [float("nan"), float("-inf"), 0.1])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match=r"1 of 2 .* first that of 'b'"):
        ReferenceScores(KEY).plus(["a", "b"], torch.tensor([-1.0, bad]))
    with pytest.raises(InputError, match="do not fit"):
        ReferenceScores(KEY).plus(["a"], torch.tensor([-1.0, -2.0]))
