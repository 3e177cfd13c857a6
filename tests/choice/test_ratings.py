"""Ratings against hand-worked values, a slow reference, arena-rank, and the truth in simulations."""

import numpy as np
import pytest

from palate.choice import (
    ELO,
    Comparisons,
    bootstrap_scores,
    bradley_terry,
    count_comparisons,
    fit_ratings,
    rank_ratings,
)
from palate.errors import InputError
from palate.types import Array

Z = 1.959963984540054


def tournament(
    rng: np.random.Generator, n: int, m: int, *, ties: bool = True, coefficient_F: Array | None = None
) -> tuple[Array, Comparisons, Array]:
    """Random pairs whose outcome is on average what the model says; with ties as the mean of two looks."""
    score_N = rng.normal(size=n)
    score_N -= score_N.mean()
    first_M = rng.integers(0, n, m)
    second_M = (first_M + rng.integers(1, n, m)) % n
    width = 0 if coefficient_F is None else len(coefficient_F)
    covariate_MF = rng.normal(size=(m, width))
    gap_M = score_N[first_M] - score_N[second_M]
    if coefficient_F is not None:
        gap_M = gap_M + covariate_MF @ coefficient_F
    prob_M = 1 / (1 + np.exp(-gap_M))
    outcome_M = (rng.random(m) < prob_M).astype(float)
    if ties:
        outcome_M = (outcome_M + (rng.random(m) < prob_M)) / 2
    return score_N, Comparisons(first_M, second_M, outcome_M, np.ones(m)), covariate_MF


def counted(rows: Comparisons) -> Comparisons:
    return count_comparisons(rows.first_R, rows.second_R, rows.outcome_R)


def votes(*listed: tuple[int, int, float, int]) -> Comparisons:
    first, second, outcome, count = zip(*listed, strict=True)
    return Comparisons(np.array(first), np.array(second), np.array(outcome, float), np.array(count, float))


def gap_std(covariance_NN: Array) -> Array:
    spread_N = np.diag(covariance_NN)
    return np.sqrt(np.maximum(spread_N[:, None] + spread_N[None, :] - 2 * covariance_NN, 0))


def test_two_candidates_by_hand() -> None:
    """30 wins to 10: the gap is log 3, and H = G = 40 · ¾ · ¼ = 7.5, so its variance is 1 / 7.5."""
    found = fit_ratings(votes((0, 1, 1, 30), (0, 1, 0, 10)), 2)
    assert found.method == "sandwich"
    assert found.score_N == pytest.approx([np.log(3) / 2, -np.log(3) / 2], abs=1e-9)
    assert gap_std(found.covariance_NN)[0, 1] == pytest.approx((1 / 7.5) ** 0.5, abs=1e-9)
    # The score is half the gap, so its standard error is half as large.
    assert found.std_N == pytest.approx([0.5 / 7.5**0.5] * 2, abs=1e-9)
    assert pytest.approx(400 * np.log10(3)) == ELO * np.log(3)


def test_ties_make_the_sandwich_narrower_than_the_model() -> None:
    """20 wins each way and 40 ties: p = ½, H = 80/4 = 20, G = 40/4 = 10, so the variance is 10 / 20²."""
    found = fit_ratings(votes((0, 1, 1, 20), (0, 1, 0, 20), (0, 1, 0.5, 40)), 2)
    assert gap_std(found.covariance_NN)[0, 1] == pytest.approx((10 / 400) ** 0.5, abs=1e-9)
    few = fit_ratings(votes((0, 1, 1, 2), (0, 1, 0, 2), (0, 1, 0.5, 4)), 2)
    assert few.method == "model"
    assert gap_std(few.covariance_NN)[0, 1] == pytest.approx((1 / 2) ** 0.5, abs=1e-9)


def test_nothing_but_ties_does_not_make_certain() -> None:
    found = fit_ratings(votes((0, 1, 0.5, 3)), 2)
    assert found.score_N == pytest.approx([0, 0])
    assert found.method == "model"
    assert gap_std(found.covariance_NN)[0, 1] == pytest.approx((4 / 3) ** 0.5)


def test_the_scores_are_those_of_the_table_of_wins() -> None:
    _, rows, _ = tournament(np.random.default_rng(3), 7, 400)
    wins_NN = np.zeros((7, 7))
    np.add.at(wins_NN, (rows.first_R, rows.second_R), rows.outcome_R)
    np.add.at(wins_NN, (rows.second_R, rows.first_R), 1 - rows.outcome_R)
    assert fit_ratings(rows, 7).score_N == pytest.approx(bradley_terry(wins_NN, ridge=1e-9), abs=1e-6)


def test_counting_changes_nothing() -> None:
    _, rows, _ = tournament(np.random.default_rng(4), 5, 300)
    one, other = fit_ratings(rows, 5), fit_ratings(counted(rows), 5)
    assert counted(rows).count_R.sum() == 300
    assert len(counted(rows).count_R) <= 30
    assert one.score_N == pytest.approx(other.score_N, abs=1e-9)
    assert one.covariance_NN == pytest.approx(other.covariance_NN, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "ties"), [(5, 600, True), (20, 3000, False)])
def test_ratings_and_interval_ends_are_those_of_arena_rank(n: int, m: int, ties: bool) -> None:
    pytest.importorskip("arena_rank")
    import pandas as pd
    from arena_rank.models.bradley_terry import BradleyTerry
    from arena_rank.utils.data_utils import PairDataset

    _, rows, _ = tournament(np.random.default_rng(n), n, m, ties=ties)
    names = np.array([f"m{i:02d}" for i in range(n)])
    frame = pd.DataFrame(
        {
            "model_a": names[rows.first_R],
            "model_b": names[rows.second_R],
            "winner": np.select([rows.outcome_R == 1, rows.outcome_R == 0], ["model_a", "model_b"], "tie"),
        }
    )
    data = PairDataset.from_pandas(frame)
    theirs = BradleyTerry(len(data.competitors)).compute_ratings_and_cis(data)
    assert theirs["competitors"] == sorted(names)
    ours = fit_ratings(counted(rows), n)
    assert ours.method == "sandwich"
    rating_N = 1000 + ELO * ours.score_N
    assert np.abs(rating_N - np.asarray(theirs["ratings"])).max() <= 0.5
    assert np.abs(rating_N - Z * ELO * ours.std_N - np.asarray(theirs["rating_lower"])).max() <= 2
    assert np.abs(rating_N + Z * ELO * ours.std_N - np.asarray(theirs["rating_upper"])).max() <= 2


def test_style_coefficients_are_those_of_arena_rank() -> None:
    pytest.importorskip("arena_rank")
    import jax.numpy as jnp
    from arena_rank.models.contextual_bradley_terry import ContextualBradleyTerry
    from arena_rank.utils.data_utils import ContextualPairDataset

    truth_F = np.array([0.6, -0.3])
    score_N, rows, covariate_MF = tournament(np.random.default_rng(8), 6, 4000, coefficient_F=truth_F)
    data = ContextualPairDataset(
        competitors=[str(i) for i in range(6)],
        pairs=jnp.stack([jnp.asarray(rows.first_R), jnp.asarray(rows.second_R)], axis=1),
        outcomes=jnp.asarray(rows.outcome_R),
        features=jnp.asarray(covariate_MF),
        weights=jnp.ones(4000),
    )
    # Their ridge multiplies the mean, ours the sum: 0.1 / 4000 is the same one.
    theirs = ContextualBradleyTerry(6, 2, reg=0.1 / 4000).compute_ratings_and_cis(data)
    ours = fit_ratings(rows, 6, covariate_RF=covariate_MF)
    assert ours.coefficient_F == pytest.approx(np.asarray(theirs["coeffs"]), abs=2e-3)
    assert np.abs(1000 + ELO * ours.score_N - np.asarray(theirs["ratings"])).max() <= 0.5
    high_N = 1000 + ELO * (ours.score_N + Z * ours.std_N)
    assert np.abs(high_N - np.asarray(theirs["rating_upper"])).max() <= 2
    std_F = np.sqrt(np.diag(ours.coefficient_covariance_FF))
    assert (np.abs(ours.coefficient_F - truth_F) < 3 * std_F).all()
    assert np.abs(ours.score_N - score_N).max() < 0.3


def test_the_order_is_that_of_crowd_kit() -> None:
    aggregation = pytest.importorskip("crowdkit.aggregation")
    import pandas as pd

    _, rows, _ = tournament(np.random.default_rng(11), 6, 800, ties=False)
    won_M = rows.outcome_R == 1
    frame = pd.DataFrame(
        {
            "worker": "w",
            "left": rows.first_R,
            "right": rows.second_R,
            "label": np.where(won_M, rows.first_R, rows.second_R),
        }
    )
    score_N = fit_ratings(counted(rows), 6).score_N
    # With a tolerance above 0 version 1.4.2 stops at once: it compares the scores with themselves.
    theirs = aggregation.BradleyTerry(n_iter=500, tol=0).fit_predict(frame)
    assert list(theirs.sort_values().index) == list(np.argsort(score_N))
    gap_N = np.log(theirs.loc[list(range(6))].to_numpy())
    assert score_N == pytest.approx(gap_N - gap_N.mean(), abs=1e-6)


def coverage(runs: int, n: int, m: int, *, ties: bool) -> tuple[float, float]:
    """The shares of differences and of scores whose 95 % interval holds the truth."""
    rng = np.random.default_rng([n, m, ties])
    pair = np.triu_indices(n, 1)
    gaps: list[float] = []
    scores: list[float] = []
    for _ in range(runs):
        truth_N, rows, _ = tournament(rng, n, m, ties=ties)
        found = fit_ratings(counted(rows), n)
        miss_N = found.score_N - truth_N
        gaps.append(
            float((np.abs(miss_N[:, None] - miss_N) <= Z * gap_std(found.covariance_NN) + 1e-12)[pair].mean())
        )
        scores.append(float((np.abs(miss_N) <= Z * found.std_N).mean()))
    return float(np.mean(gaps)), float(np.mean(scores))


@pytest.mark.parametrize(("n", "m", "ties"), [(6, 300, True), (10, 400, False)])
def test_intervals_cover_the_truth_in_a_thousand_tournaments(n: int, m: int, ties: bool) -> None:
    gaps, scores = coverage(1000, n, m, ties=ties)
    assert 0.93 <= gaps <= 0.97
    assert 0.93 <= scores <= 0.97


def test_the_bootstrap_agrees_with_the_sandwich() -> None:
    _, rows, _ = tournament(np.random.default_rng(5), 6, 1200)
    rows = counted(rows)
    found = fit_ratings(rows, 6)
    score_BN = bootstrap_scores(rows, found, np.random.default_rng(0), rounds=600)
    assert score_BN.sum(axis=1) == pytest.approx(np.zeros(600), abs=1e-6)
    assert score_BN.mean(axis=0) == pytest.approx(found.score_N, abs=0.03)
    assert score_BN.std(axis=0) == pytest.approx(found.std_N, rel=0.12)
    again = bootstrap_scores(rows, found, np.random.default_rng(0), rounds=600)
    assert (score_BN == again).all()


def test_a_round_of_the_bootstrap_is_a_fit_of_its_draw() -> None:
    """The draws are repeated here with the same generator and fitted one by one."""
    _, rows, _ = tournament(np.random.default_rng(6), 5, 200)
    rows = counted(rows)
    found = fit_ratings(rows, 5)
    score_BN = bootstrap_scores(rows, found, np.random.default_rng(2), rounds=3)
    drawn_BR = np.random.default_rng(2).multinomial(200, rows.count_R / rows.count_R.sum(), size=3)
    for score_N, drawn_R in zip(score_BN, drawn_BR, strict=True):
        wins_NN = np.zeros((5, 5))
        np.add.at(wins_NN, (rows.first_R, rows.second_R), drawn_R * rows.outcome_R)
        np.add.at(wins_NN, (rows.second_R, rows.first_R), drawn_R * (1 - rows.outcome_R))
        assert score_N == pytest.approx(bradley_terry(wins_NN, ridge=0.01), abs=1e-6)


def test_who_won_everything_has_a_finite_rating_a_wide_interval_and_a_mark() -> None:
    found = fit_ratings(votes((0, 1, 1, 9), (1, 2, 1, 6), (1, 2, 0, 5)), 3)
    assert found.method == "prior"
    assert found.rated_N.tolist() == [True, True, True]
    assert found.bounded_N.tolist() == [False, True, True]
    assert 1.5 < found.score_N[0] - found.score_N[1] < 4
    # The score is held by the prior, so its interval is about as wide as the prior allows.
    assert gap_std(found.covariance_NN)[0, 1] > 1
    assert np.isfinite(found.covariance_NN).all()


def test_two_groups_that_never_met_are_not_compared() -> None:
    found = fit_ratings(votes((0, 1, 1, 3), (0, 1, 0, 2), (2, 3, 1, 1)), 5)
    assert found.rated_N.tolist() == [True, True, False, False, False]
    assert np.isnan(found.score_N[2:]).all()
    assert np.isnan(found.covariance_NN[2:]).all()
    ranking = rank_ratings(found)
    assert ranking.rank_N.tolist() == [1, 1, 0, 0, 0]
    assert ranking.with_leader_N.tolist() == [True, True, False, False, False]
    assert np.isnan(bootstrap_scores(votes((0, 1, 1, 3)), found, np.random.default_rng(0))[:, 2:]).all()


@pytest.mark.parametrize("count", [0, 1])
def test_a_single_vote_and_none_are_no_ground_for_a_rating(count: int) -> None:
    found = fit_ratings(votes((0, 1, 1, count)), 3, covariate_RF=np.ones((1, 1)))
    ranking = rank_ratings(found)
    if count:
        assert not found.bounded_N.any()
        assert ranking.rank_N.tolist() == [1, 1, 0]
        assert np.isfinite(found.coefficient_F).all()
    else:
        assert not found.rated_N.any()
        assert (ranking.leader, ranking.rank_N.tolist()) == (-1, [0, 0, 0])
        assert np.isnan(found.coefficient_F).all()
        assert np.isnan(bootstrap_scores(votes((0, 1, 1, 0)), found, np.random.default_rng(0))).all()


def test_the_group_of_the_best_looks_at_differences_not_at_overlaps() -> None:
    """Two candidates that met 400 times: the intervals of the scores touch, the difference is clear."""
    found = fit_ratings(votes((0, 1, 1, 236), (0, 1, 0, 164)), 2)
    ranking = rank_ratings(found)
    assert ranking.rank_N.tolist() == [1, 2]
    assert ranking.with_leader_N.tolist() == [True, False]
    assert ranking.leader == 0
    # log(236 / 164) = 0.36397; 1.95996 / sqrt(400 · 0.59 · 0.41) = 0.19925
    assert ranking.behind_N == pytest.approx([0, 0.36397], abs=1e-5)
    assert ranking.reach_N == pytest.approx([0, 0.19925], abs=1e-5)
    level = fit_ratings(votes((0, 1, 1, 210), (0, 1, 0, 190)), 2)
    assert rank_ratings(level).rank_N.tolist() == [1, 1]


def test_the_correction_makes_it_harder_to_be_better() -> None:
    """With 3 candidates Bonferroni asks for z = 2.2414, without correction it is 1.96."""
    rows = votes((0, 1, 1, 117), (0, 1, 0, 83), (1, 2, 1, 100), (1, 2, 0, 100))
    found = fit_ratings(rows, 3)
    z = (found.score_N[0] - found.score_N[1]) / gap_std(found.covariance_NN)[0, 1]
    # log(117/83) · sqrt(200 · 0.585 · 0.415)
    assert z == pytest.approx(np.log(117 / 83) * (117 * 83 / 200) ** 0.5, abs=1e-6)
    assert z > 2.2414
    rows = votes((0, 1, 1, 115), (0, 1, 0, 85), (1, 2, 1, 100), (1, 2, 0, 100))
    found = fit_ratings(rows, 3)
    assert rank_ratings(found).rank_N.tolist() == [1, 1, 1]
    assert rank_ratings(found, correction="none").rank_N[1] == 2
    with pytest.raises(InputError, match="level must lie between 0 and 1"):
        rank_ratings(found, level=1.0)


def test_nobody_is_wrongly_called_worse_than_the_best_too_often() -> None:
    """Six equal candidates: the leader is picked by the votes, which the correction half makes up for."""
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(300):
        first_M = rng.integers(0, 6, 300)
        second_M = (first_M + rng.integers(1, 6, 300)) % 6
        found = fit_ratings(count_comparisons(first_M, second_M, (rng.random(300) < 0.5).astype(float)), 6)
        wrong += not rank_ratings(found).with_leader_N.all()
    assert wrong / 300 <= 0.15  # 0.11 here; without the correction it is 0.36


def test_a_side_bias_is_found_and_does_not_move_the_ratings() -> None:
    rng = np.random.default_rng(9)
    truth_N, rows, _ = tournament(rng, 4, 1)
    first_M = rng.integers(0, 4, 3000)
    second_M = (first_M + rng.integers(1, 4, 3000)) % 4
    prob_M = 1 / (1 + np.exp(-(truth_N[first_M] - truth_N[second_M] + 0.5)))
    rows = Comparisons(first_M, second_M, (rng.random(3000) < prob_M).astype(float), np.ones(3000))
    found = fit_ratings(rows, 4, covariate_RF=np.ones((3000, 1)))
    std = float(np.sqrt(found.coefficient_covariance_FF[0, 0]))
    assert abs(found.coefficient_F[0] - 0.5) < 3 * std
    assert 0.02 < std < 0.06
    assert np.abs(found.score_N - truth_N).max() < 0.25


@pytest.mark.parametrize(
    ("rows", "covariate", "text"),
    [
        (votes((0, 3, 1, 1)), None, "outside 0 … 2"),
        (votes((1, 1, 1, 1)), None, "with itself"),
        (votes((0, 1, 2, 1)), None, "outcomes must lie"),
        (votes((0, 1, 1, -1)), None, "counts must be"),
        (votes((0, 1, 1, 1)), np.ones((2, 1)), "one row for each of 1"),
        (votes((0, 1, 1, 1)), np.full((1, 1), np.nan), "must be finite"),
    ],
)
def test_what_cannot_be_fitted_is_said(rows: Comparisons, covariate: Array | None, text: str) -> None:
    with pytest.raises(InputError, match=text):
        fit_ratings(rows, 3, covariate_RF=covariate)


def test_small_whole_numbers_of_many_candidates_are_told_apart() -> None:
    low, high = np.array([49_998, 3], np.int32), np.array([49_999, 49_999], np.int32)
    rows = count_comparisons(high, low, np.array([1.0, 0.0]))
    assert (rows.first_R.tolist(), rows.second_R.tolist()) == ([3, 49_998], [49_999, 49_999])
    assert rows.outcome_R.tolist() == [1.0, 0.0]
