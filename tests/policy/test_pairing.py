"""Pairs from scored groups: the published rules, and the published mistakes."""

import numpy as np
import pytest

from palate.errors import ConfigError, InputError
from palate.policy.updates import Pairing, best_and_worst, pair_up, usable_pairs

SCORES = np.array(
    [[0.2, 0.9, 0.5, 0.1], [3.0, 3.0, 1.0, 2.0], [1.0, 1.0, 1.0, 1.0], [0.0, np.nan, np.nan, np.nan]]
)


def rows(pairing: Pairing) -> list[tuple[int, int, int]]:
    return list(zip(*(column.tolist() for column in pairing[:3]), strict=True))


def test_best_against_worst_and_next() -> None:
    found = best_and_worst(SCORES)
    assert rows(found) == [(0, 1, 3), (1, 0, 2)]
    assert found.dropped == {"few": 1, "tie": 1}
    second = pair_up(SCORES, "best_second")
    assert rows(second) == [(0, 1, 2)]
    assert second.dropped == {"few": 1, "tie": 2}  # the two best of the second group are equal


@pytest.mark.parametrize(("rival", "wanted"), [("best_random", {(1, 0), (1, 2), (1, 3)}), ("random", None)])
def test_random_rivals_are_random(rival: str, wanted: set[tuple[int, int]] | None) -> None:
    """A published script's random rival was the same each time."""
    rng = np.random.default_rng(0)
    one = SCORES[:1].repeat(600, axis=0)
    counts: dict[tuple[int, int], int] = {}
    for _, chosen, rejected in rows(pair_up(one, rival, rng=rng)):  # pyright: ignore[reportArgumentType]
        assert one[0, chosen] > one[0, rejected]
        counts[chosen, rejected] = counts.get((chosen, rejected), 0) + 1
    kinds = 3 if wanted else 6
    assert len(counts) == kinds
    assert wanted is None or set(counts) == wanted
    expected = 600 / kinds
    assert (
        sum((n - expected) ** 2 / expected for n in counts.values()) < 25
    )  # chi-squared, 5 degrees, p < 2e-4


def test_a_penalty_chooses_and_orders() -> None:
    """Chosen with the penalty but ordered without it, the long answer would win."""
    score, length = np.array([[1.0, 0.8, 0.0]]), np.array([[900, 100, 100]])
    assert rows(pair_up(score, length_GK=length, length_penalty=0.002)) == [(0, 1, 0)]


def test_a_forbidden_answer_never_beats_a_bad_one() -> None:
    """Rewards times a mask would make the forbidden one, at 0, better than all that are negative."""
    score, allowed = np.array([[-3.0, -1.0, -2.0]]), np.array([[True, False, True]])
    assert rows(best_and_worst(score, allowed)) == [(0, 2, 0)]
    assert best_and_worst(score, np.zeros((1, 3), dtype=bool)).dropped["few"] == 1


def test_no_groups_are_no_pairs() -> None:
    assert rows(best_and_worst(np.zeros((0, 4)))) == []


def test_filters_count_what_they_leave_out() -> None:
    chosen = ["good", " ", "same", "see https://x.example", "long", "fine", "fits", "WWW.x.example"]
    rejected = ["bad", "b", "same ", "b", "b", "long too", "b", "b"]
    kept, dropped = usable_pairs(
        chosen,
        rejected,
        chosen_tokens=[5, 1, 5, 5, 9, 5, 8, 5],
        rejected_tokens=[5, 5, 5, 5, 5, 9, 5, 5],
        prompt_tokens=[10, 10, 10, 10, 10, 10, 12, 10],
        most_answer_tokens=8,
        most_tokens=20,
    )
    assert kept == [0, 6]
    assert dropped == {"empty": 1, "equal": 1, "long": 2, "link": 2}
    assert usable_pairs(
        ["a"], ["b"], chosen_tokens=[5], rejected_tokens=[5], prompt_tokens=[16], most_tokens=20
    ) == ([], {"empty": 0, "equal": 0, "long": 1, "link": 0})


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ConfigError, match="rival must be"):
        pair_up(SCORES, "worst")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="rng"):
        pair_up(SCORES, "random")
    with pytest.raises(ConfigError, match="length_GK"):
        pair_up(SCORES, length_penalty=0.1)
    with pytest.raises(ConfigError, match="must be finite"):
        pair_up(SCORES, length_penalty=np.nan, length_GK=SCORES)
    for bad in (
        lambda: pair_up(SCORES[0]),
        lambda: pair_up(SCORES, valid_GK=np.ones((1, 4), dtype=bool)),
        lambda: pair_up(SCORES, length_GK=SCORES[:1], length_penalty=0.1),
    ):
        with pytest.raises(InputError, match="shape"):
            bad()
    with pytest.raises(InputError, match="equally many"):
        usable_pairs(["a"], [], chosen_tokens=[], rejected_tokens=[], prompt_tokens=[])
