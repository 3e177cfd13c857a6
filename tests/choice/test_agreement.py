"""Agreement against hand-worked values, the published example, and three packages."""

import math

import numpy as np
import pytest
from scipy.stats import binom

from palate.choice import cohen_kappa, krippendorff_alpha, raw_agreement, share_interval
from palate.errors import InputError

# Krippendorff 2011, section C: four observers, twelve units, missing data; nominal alpha = 0.743.
PUBLISHED = (
    np.array(
        [
            [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
            [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
            [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
            [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
        ]
    ).T
    - 1
)


def random_labels(seed: int, units: int = 60, judges: int = 4) -> np.ndarray:
    """Judges who see the truth two times in three, with holes."""
    rng = np.random.default_rng(seed)
    truth_U = rng.integers(0, 3, units)
    labels = np.where(
        rng.random((units, judges)) < 0.67, truth_U[:, None], rng.integers(0, 3, (units, judges))
    )
    return np.where(rng.random((units, judges)) < 0.2, -1, labels)


def test_the_published_example() -> None:
    found = krippendorff_alpha(PUBLISHED)
    assert found.value == pytest.approx(0.743, abs=5e-4)
    assert found.units == 11  # the twelfth has one judgement


@pytest.mark.parametrize("seed", range(4))
def test_alpha_is_that_of_two_packages(seed: int) -> None:
    package = pytest.importorskip("krippendorff")
    metrics = pytest.importorskip("crowdkit.metrics.data")
    import pandas as pd

    labels = random_labels(seed)
    ours = krippendorff_alpha(labels).value
    data = np.where(labels < 0, np.nan, labels.astype(float)).T
    assert ours == pytest.approx(package.alpha(data, level_of_measurement="nominal"), abs=1e-12)
    rows = [(u, j, labels[u, j]) for u, j in zip(*np.nonzero(labels >= 0), strict=True)]
    frame = pd.DataFrame(rows, columns=["task", "worker", "label"])
    # Theirs does not leave out units with one judgement, so they get a table without such.
    kept = frame[frame.groupby("task")["label"].transform("size") > 1]
    assert ours == pytest.approx(metrics.alpha_krippendorff(kept), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_kappa_is_that_of_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    labels = random_labels(seed, judges=2)
    both = labels[(labels >= 0).all(axis=1)]
    ours = cohen_kappa(labels[:, 0], labels[:, 1])
    assert ours.units == len(both)
    assert ours.value == pytest.approx(metrics.cohen_kappa_score(both[:, 0], both[:, 1]), abs=1e-12)


def test_kappa_by_hand() -> None:
    """20 and 15 on the diagonal, 5 and 10 off it: p_o = 0.7, p_e = 0.5 · 0.6 + 0.5 · 0.4 = 0.5."""
    first = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    second = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    assert cohen_kappa(first, second).value == pytest.approx(0.4)


def test_raw_agreement_with_and_without_ties() -> None:
    """Unit 1: of three pairs one agrees; 2: a tie (label 2) with a win; 3: two ties; 4: one judge."""
    labels = np.array([[0, 0, 1], [0, 2, -1], [2, 2, -1], [1, -1, -1]])
    found = raw_agreement(labels)
    assert found.value == pytest.approx(2 / 5)
    assert found.units == 3
    assert raw_agreement(labels, without=2).value == pytest.approx(1 / 3)
    assert raw_agreement(labels, without=2).units == 1
    assert raw_agreement(labels, without=7).value == pytest.approx(2 / 5)


def test_what_is_not_defined_is_nan() -> None:
    alone = np.array([[0, -1], [-1, 1]])
    for found in (raw_agreement(alone), krippendorff_alpha(alone), cohen_kappa(alone[:, 0], alone[:, 1])):
        assert math.isnan(found.value)
        assert found.units == 0
    same = np.zeros((5, 2), dtype=int)
    found = krippendorff_alpha(same, np.random.default_rng(0))
    assert math.isnan(found.value)
    assert math.isnan(found.low)
    assert math.isnan(cohen_kappa(same[:, 0], same[:, 1]).value)
    assert raw_agreement(same).value == 1.0
    assert math.isnan(raw_agreement(np.zeros((0, 2), dtype=int)).value)


def test_the_interval_is_that_of_a_slow_bootstrap() -> None:
    labels = random_labels(5, units=80, judges=3)
    labels = labels[(labels >= 0).sum(axis=1) > 1]
    fast = krippendorff_alpha(labels, np.random.default_rng(1), rounds=5000)
    drawn_BU = np.random.default_rng(2).multinomial(
        len(labels), np.full(len(labels), 1 / len(labels)), size=1500
    )
    slow = [krippendorff_alpha(np.repeat(labels, drawn_U, axis=0)).value for drawn_U in drawn_BU]
    assert (fast.low, fast.high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=0.02)
    assert fast.low < fast.value < fast.high


def test_intervals_of_raw_agreement_cover() -> None:
    """Two judges who agree with probability 0.7 on 100 units, 400 times."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(400):
        labels = np.stack([np.zeros(100, int), (rng.random(100) >= 0.7).astype(int)], axis=1)
        found = raw_agreement(labels, rng, rounds=400)
        held += found.low <= 0.7 <= found.high
    assert 0.91 <= held / 400 <= 0.98


def test_wilson_by_hand_and_at_the_ends() -> None:
    """8 of 10: (8 + 1.9207 ± 1.96 · sqrt(1.6 + 0.9604)) / (10 + 3.8415)."""
    assert share_interval(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-6)
    assert share_interval(0, 0) == (0.0, 1.0)
    assert share_interval(0, 20)[0] == 0.0
    assert share_interval(20, 20)[1] == 1.0
    low, high = share_interval(3, 20)
    assert share_interval(17, 20) == pytest.approx((1 - high, 1 - low))
    with pytest.raises(InputError, match="is not a share"):
        share_interval(3, 2)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_wilson_covers(share: float) -> None:
    """Exactly, by summing the binomial over the outcomes whose interval holds the truth."""
    total = 60
    inside = [
        s for s in range(total + 1) if share_interval(s, total)[0] <= share <= share_interval(s, total)[1]
    ]
    assert 0.93 <= binom.pmf(inside, total, share).sum() <= 0.97


def test_what_is_no_table_of_labels_is_said() -> None:
    with pytest.raises(InputError, match="whole numbers"):
        raw_agreement(np.array([[0.5, 1.0]]))  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="whole numbers"):
        krippendorff_alpha(np.array([[-2, 1]]))
    with pytest.raises(InputError, match="one label a unit each"):
        cohen_kappa(np.zeros(3, int), np.zeros(2, int))
