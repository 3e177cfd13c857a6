import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.choice import (
    PeopleOptions,
    VerdictModel,
    Votes,
    count_duels,
    fit_people,
    fit_utilities,
    fit_verdicts,
    gather_votes,
    sigmoid,
)
from palate.choice._people import Place, climb
from palate.errors import ConfigError, InputError

NEWTON = 1e-7  # steps end below 1e-9 prior standard deviations, and convergence is quadratic
PLAIN = PeopleOptions(ties="half", side=False, strength=False)


def centred(size: int, scale: float = 1.5) -> np.ndarray:
    return scale**2 * (np.eye(size) - 1 / size)


def simulate(seed: int, size: int, votes: int, model: VerdictModel) -> tuple[np.ndarray, np.ndarray, Votes]:
    """Prior, true utilities, and votes drawn from the model one stage after the other."""
    rng = np.random.default_rng(seed)
    utility = 1.5 * rng.standard_normal(size)
    utility -= utility.mean()
    first = rng.integers(size, size=votes)
    second = (first + rng.integers(1, size, size=votes)) % size
    gap, level = utility[first] - utility[second], (utility[first] + utility[second]) / 2
    drawn = (rng.random(votes)[:, None] > model.probabilities(gap).cumsum(axis=1)).sum(axis=1)
    outcome = np.array([1.0, 0.0, 0.5])[drawn]
    bad = np.zeros(votes, dtype=bool)
    if model.bad is not None:
        bad = rng.random(votes) < sigmoid(2 * (model.bad - level))
        outcome[bad] = 0.5
    strength = np.zeros(votes, dtype=int)
    if model.cuts is not None:
        along = (2 * outcome - 1) * (gap + model.side)
        clearly, much = (rng.random(votes) < sigmoid(along - cut) for cut in model.cuts)
        strength = np.where(outcome == 0.5, 0, 1 + clearly * (1 + much))
    return centred(size), utility, Votes(first, second, outcome, bad, strength)


def log_posterior(kernel: np.ndarray, votes: Votes, options: PeopleOptions, x: np.ndarray) -> float:
    """Slow and obvious, in utilities: every vote on its own, priors from their textbook densities."""
    from scipy.stats import gamma, norm

    size = len(kernel)
    utility, habit = x[:size], list(x[size:])
    total = -0.5 * float(utility @ np.linalg.solve(kernel, utility))
    side, tie, cuts, bad = 0.0, None, None, None
    if options.side:
        side = habit.pop(0)
        total += norm.logpdf(side, 0, 0.5)
    if options.ties == "davidson":
        total += norm.logpdf(habit[0], -0.7, 1.5)
        tie = np.exp(habit.pop(0))
    elif options.ties == "rao-kupper":
        if habit[0] <= 0:
            return -np.inf
        total += gamma.logpdf(habit[0], 1.5, scale=0.8)
        tie = np.exp(habit.pop(0))
    if options.strength:
        cuts = (habit.pop(0), habit.pop(0))
        total += norm.logpdf(cuts[0], 0.5, 1.5) + norm.logpdf(cuts[1], 1.0, 1.5)
    if options.bad:
        bad = habit.pop(0)
        total += norm.logpdf(bad, -1, 1)
    for m in range(len(votes)):
        left, right = utility[votes.first_M[m]], utility[votes.second_M[m]]
        d, level = left - right + side, (left + right) / 2
        if bad is not None:
            chance = 1 / (1 + np.exp(-2 * (bad - level)))
            total += votes.weight_M[m] * np.log(chance if votes.bad_M[m] else 1 - chance)
            if votes.bad_M[m]:
                continue
        total += votes.weight_M[m] * log_chance(votes, m, d, tie, options.ties, cuts)
    return float(total)


def log_chance(
    votes: Votes, m: int, d: float, tie: float | None, kind: str, cuts: tuple[float, float] | None
) -> float:
    y = votes.outcome_M[m]
    if kind == "half":
        value = y * -np.log(1 + np.exp(-d)) + (1 - y) * -np.log(1 + np.exp(d))
    elif kind == "davidson":
        parts = {1.0: np.exp(d / 2), 0.0: np.exp(-d / 2), 0.5: tie}
        value = np.log(parts[y] / sum(parts.values()))
    else:
        left, right = 1 / (1 + tie * np.exp(-d)), 1 / (1 + tie * np.exp(d))
        value = np.log({1.0: left, 0.0: right, 0.5: 1 - left - right}[y])
    if cuts is not None and votes.strength_M[m] > 0:
        won = d if y == 1.0 else -d
        clearly, much = (1 / (1 + np.exp(cut - won)) for cut in cuts)
        value += np.log([1 - clearly, clearly * (1 - much), clearly * much][votes.strength_M[m] - 1])
    return float(value)


def numeric_hessian(function: object, x: np.ndarray, step: float = 1e-4) -> np.ndarray:
    size = len(x)
    eye = step * np.eye(size)
    table = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            ends = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
            table[i, j] = sum(a * b * function(x + a * eye[i] + b * eye[j]) for a, b in ends) / (4 * step**2)
    return table


OPTIONS = [
    PLAIN,
    PeopleOptions(),
    PeopleOptions(ties="rao-kupper"),
    PeopleOptions(bad=True),
    PeopleOptions(ties="rao-kupper", side=False, bad=True),
    PeopleOptions(ties="half", bad=True),
    PeopleOptions(ties="davidson", strength=False),
]


@pytest.mark.parametrize("options", OPTIONS)
def test_against_a_general_optimiser(options: PeopleOptions) -> None:
    _, _, votes = simulate(1, 4, 25, VerdictModel(side=0.3, tie=0.6, cuts=(0.5, 1.5), bad=-1.0))
    votes = Votes(
        *(getattr(votes, name) for name in ("first_M", "second_M", "outcome_M", "bad_M", "strength_M"))
    )
    kernel = np.array([[2.0, 0.5, 0, 0], [0.5, 1.0, 0, 0], [0, 0, 1.5, -0.3], [0, 0, -0.3, 1.0]])
    fit = fit_people(kernel, votes, options)
    cuts = fit.cuts or ()
    habits = [p for p in (fit.side, fit.tie, *cuts, fit.bad) if p is not None]
    here = np.concatenate([fit.belief.mean_N, [p.value for p in habits]])

    def objective(x: np.ndarray) -> float:
        return log_posterior(kernel, votes, options, x)

    # The mode: the gradient vanishes, by central differences; unique, for the objective is concave.
    step = 1e-5 * np.eye(len(here))
    slope = [(objective(here + row) - objective(here - row)) / 2e-5 for row in step]
    assert slope == pytest.approx(np.zeros(len(here)), abs=1e-6)
    covariance = np.linalg.inv(-numeric_hessian(objective, here))
    assert fit.belief.covariance_NN == pytest.approx(covariance[:4, :4], abs=1e-4)
    assert [p.std for p in habits] == pytest.approx(np.sqrt(np.diag(covariance)[4:]), abs=1e-4)
    # Laplace: height + dimension/2 ln 2 pi + ln det(covariance)/2, and the prior's own normaliser
    _, log_det = np.linalg.slogdet(covariance)
    _, log_det_prior = np.linalg.slogdet(kernel)
    evidence = objective(here) + 0.5 * (log_det - log_det_prior) + 0.5 * len(habits) * np.log(2 * np.pi)
    assert fit.log_evidence == pytest.approx(evidence, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 8), st.integers(1, 20))
def test_without_habits_it_is_the_plain_fit(seed: int, size: int, votes: int) -> None:
    kernel, _, told = simulate(seed, size, votes, VerdictModel(tie=0.5))
    factor = np.linalg.eigh(kernel)[1] * np.sqrt(np.maximum(np.linalg.eigh(kernel)[0], 0))
    counts = count_duels(told.first_M, told.second_M, told.outcome_M)
    plain, evidence = fit_utilities(factor, counts)
    fit = fit_people(kernel, told, PLAIN)
    known, known_evidence = fit_verdicts(kernel, told, VerdictModel())
    for belief, found in ((fit.belief, fit.log_evidence), (known, known_evidence)):
        assert belief.mean_N == pytest.approx(plain.mean_N, abs=NEWTON)
        assert belief.covariance_NN == pytest.approx(plain.covariance_NN, abs=NEWTON)
        assert found == pytest.approx(evidence, abs=NEWTON)
    assert (fit.side, fit.tie, fit.cuts, fit.bad, fit.lapse) == (None, None, None, None, None)


def test_one_vote_by_hand() -> None:
    # Davidson with known nu = 1: prior variance of the difference 2, mode d = 2 (p_right + p_tie / 2)
    belief, evidence = fit_verdicts(np.eye(2), gather_votes([0], [1], ["left"]), VerdictModel(tie=1.0))
    d = float(belief.mean_N[0] - belief.mean_N[1])
    total = np.exp(d / 2) + np.exp(-d / 2) + 1
    assert d == pytest.approx(2 * (np.exp(-d / 2) + 0.5) / total, abs=1e-9)
    decided, gap = (total - 1) / total, (np.exp(d / 2) - np.exp(-d / 2)) / total
    weight = (decided - gap**2) / 4
    by_hand = d / 2 - np.log(total) - d * d / 4 - 0.5 * np.log(1 + 2 * weight)
    assert evidence == pytest.approx(by_hand, abs=1e-9)
    # the difference's variance: 1 / (1/2 + weight)
    c = belief.covariance_NN
    assert c[0, 0] + c[1, 1] - 2 * c[0, 1] == pytest.approx(1 / (0.5 + weight), abs=1e-9)


def test_evidence_against_quadrature() -> None:
    # Two candidates and ln nu: the integral over both on a grid. Laplace is good, not exact, for 12 votes.
    votes = gather_votes([0] * 12, [1] * 12, ["left"] * 6 + ["tie"] * 4 + ["right"] * 2)
    fit = fit_people(np.eye(2), votes, PeopleOptions(side=False, strength=False))
    d, eta = np.meshgrid(np.linspace(-9, 9, 801), np.linspace(-8, 7, 601), indexing="ij")
    total = np.log(np.exp(d / 2) + np.exp(-d / 2) + np.exp(eta))
    log_like = 6 * (d / 2) - 2 * (d / 2) + 4 * eta - 12 * total
    log_prior = -(d**2) / 4 - (eta + 0.7) ** 2 / (2 * 1.5**2) - np.log(2 * np.pi * np.sqrt(2) * 1.5)
    exact = np.log(np.exp(log_like + log_prior).sum() * (18 / 800) * (15 / 600))
    assert fit.log_evidence == pytest.approx(exact, abs=0.05)


TRUTH = VerdictModel(side=0.3, tie=0.6, cuts=(0.5, 1.5), bad=-1.0)
RAO = VerdictModel(side=-0.4, tie=1.8, tie_kind="rao-kupper")


def test_habits_are_recovered() -> None:
    # 40 studies: the standardised errors must be about standard normal, and 95 % intervals hold the truth.
    truth = [0.3, np.log(0.6), 0.5, 1.5, -1.0]
    errors, gaps = [], []
    for seed in range(40):
        kernel, utility, votes = simulate(seed, 12, 200, TRUTH)
        fit = fit_people(kernel, votes, PeopleOptions(bad=True))
        assert fit.cuts is not None
        found = [fit.side, fit.tie, *fit.cuts, fit.bad]
        errors.append([(p.value - t) / p.std for p, t in zip(found, truth, strict=True)])
        gaps.append((fit.belief.mean_N - utility) / np.sqrt(fit.belief.variance_N))
    table = np.array(errors)
    # 200 intervals: at a true 95 %, 90 % or fewer would be three standard errors away
    assert (np.abs(table) < 1.96).mean() >= 0.90
    assert np.abs(table.mean(axis=0)).max() < 0.6  # 40 draws: 3.8 standard errors; priors pull a little
    assert 0.7 < table.std() < 1.3
    assert 0.85 < np.std(gaps) < 1.15


def test_rao_kupper_is_recovered_and_preferred_where_it_is_true() -> None:
    errors, preferred = [], 0.0
    for seed in range(20):
        kernel, _, votes = simulate(seed, 8, 400, RAO)
        fit = fit_people(kernel, votes, PeopleOptions(ties="rao-kupper"))
        assert fit.tie is not None
        assert fit.side is not None
        errors += [(fit.tie.value - np.log(1.8)) / fit.tie.std, (fit.side.value + 0.4) / fit.side.std]
        preferred += fit.log_evidence - fit_people(kernel, votes).log_evidence
    assert (np.abs(errors) < 1.96).mean() >= 0.85  # 40 intervals; 95 % less three standard errors
    assert preferred > 0


def test_strength_teaches_more() -> None:
    # The same votes with and without their strengths: nearer to the truth on average over 20 studies.
    with_it, without = [], []
    for seed in range(20):
        kernel, utility, votes = simulate(seed, 10, 60, VerdictModel(cuts=(0.5, 1.5)))
        for found, strength in ((with_it, True), (without, False)):
            belief = fit_people(kernel, votes, PeopleOptions(ties="half", strength=strength)).belief
            found.append(float(np.sqrt(((belief.mean_N - utility) ** 2).mean())))
    assert np.mean(with_it) < 0.95 * np.mean(without)


def test_both_bad_moves_both_down() -> None:
    votes = gather_votes([0, 0, 2, 2], [1, 1, 3, 3], ["both_bad", "both_bad", "tie", "tie"])
    on = fit_people(centred(4), votes, PeopleOptions(bad=True))
    off = fit_people(centred(4), votes)
    assert on.belief.mean_N[:2].max() < -0.1 < 0.1 < on.belief.mean_N[2:].min()
    assert off.belief.mean_N == pytest.approx(np.zeros(4), abs=1e-9)
    assert on.belief.mean_N.sum() == pytest.approx(0, abs=1e-9)  # the pool's mean is the zero


def test_a_judge_who_always_says_left_says_little() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(6, size=80)
    votes = gather_votes(first.tolist(), ((first + rng.integers(1, 6, 80)) % 6).tolist(), ["left"] * 80)
    biased, fooled = fit_people(centred(6), votes), fit_people(centred(6), votes, PeopleOptions(side=False))
    assert biased.side is not None
    assert biased.side.value > 5 * biased.side.std
    assert np.ptp(biased.belief.mean_N) < 0.6 * np.ptp(fooled.belief.mean_N)


def test_a_weight_counts_a_vote_that_many_times() -> None:
    kernel, _, votes = simulate(3, 5, 12, TRUTH)
    names = ("first_M", "second_M", "outcome_M", "bad_M", "strength_M")
    weight = np.array([1, 2, 3, 0] * 3)
    weighted = Votes(**{n: getattr(votes, n) for n in names}, weight_M=weight.astype(float))
    repeated = Votes(**{n: np.repeat(getattr(votes, n), weight) for n in names})
    one, two = (fit_people(kernel, v, PeopleOptions(bad=True)) for v in (weighted, repeated))
    assert one.belief.mean_N == pytest.approx(two.belief.mean_N, abs=NEWTON)
    assert one.belief.covariance_NN == pytest.approx(two.belief.covariance_NN, abs=NEWTON)
    assert one.log_evidence == pytest.approx(two.log_evidence, abs=NEWTON)


def test_candidates_without_votes_follow_the_kernel() -> None:
    # 30 candidates, votes on 4 of them: as if the kernel's regression had been applied to those four.
    rng = np.random.default_rng(2)
    feature = rng.standard_normal((30, 6))
    kernel = feature @ feature.T / 6
    _, _, votes = simulate(5, 4, 15, TRUTH)
    whole, part = fit_people(kernel, votes), fit_people(kernel[:4, :4], votes)
    gain = kernel[:, :4] @ np.linalg.inv(kernel[:4, :4])
    assert whole.belief.mean_N == pytest.approx(gain @ part.belief.mean_N, abs=1e-7)
    expected = kernel - gain @ (kernel[:4, :4] - part.belief.covariance_NN) @ gain.T
    assert whole.belief.covariance_NN == pytest.approx(expected, abs=1e-7)
    assert whole.log_evidence == pytest.approx(part.log_evidence, abs=1e-7)


def test_exchanging_the_sides_turns_the_offset_round() -> None:
    kernel, _, votes = simulate(7, 6, 40, TRUTH)
    swapped = Votes(votes.second_M, votes.first_M, 1 - votes.outcome_M, votes.bad_M, votes.strength_M)
    one, two = (fit_people(kernel, v, PeopleOptions(bad=True)) for v in (votes, swapped))
    assert one.belief.mean_N == pytest.approx(two.belief.mean_N, abs=NEWTON)
    assert one.side is not None
    assert two.side is not None
    assert one.side.value == pytest.approx(-two.side.value, abs=NEWTON)


CORNERS = {
    "nothing": gather_votes([], [], []),
    "skips": gather_votes([0, 1], [1, 2], ["skip", "failed"]),
    "one": gather_votes([0], [1], ["left"]),
    "one tie": gather_votes([0], [1], ["tie"]),
    "one both bad": gather_votes([0], [1], ["both_bad"]),
    "all ties": gather_votes([0, 1, 2] * 40, [1, 2, 0] * 40, ["tie"] * 120),
    "all both bad": gather_votes([0, 1, 2] * 40, [1, 2, 0] * 40, ["both_bad"] * 120),
    "contradictory": gather_votes([0, 1] * 50, [1, 0] * 50, ["left", "left"] * 50),
    "one pair, one winner": gather_votes([0] * 500, [1] * 500, ["left"] * 500, strength=[3] * 500),
    "only slightly": gather_votes([0] * 500, [1] * 500, ["left"] * 500, strength=[1] * 500),
    "circle": gather_votes([0, 1, 2] * 30, [1, 2, 0] * 30, ["left"] * 90),
}


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e2])
@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("ties", ["half", "davidson", "rao-kupper"])
def test_corners_stay_finite(ties: str, name: str, scale: float) -> None:
    for lapse in (0.0, 0.05):
        options = PeopleOptions(ties=ties, bad=True, lapse=lapse)  # type: ignore[arg-type]
        fit = fit_people(scale**2 * np.eye(3), CORNERS[name], options)
        assert np.isfinite(fit.belief.mean_N).all()
        assert np.isfinite(fit.log_evidence)
        assert (np.diag(fit.belief.covariance_NN) > 0).all()
        assert (np.diag(fit.belief.covariance_NN) <= scale**2 * (1 + 1e-9)).all()
        cuts = fit.cuts or ()
        for parameter in (fit.side, fit.tie, *cuts, fit.bad):
            if parameter is not None:
                assert np.isfinite(parameter.value)
                assert 0 < parameter.std < 5
        names = {"contradictory": (0, 1), "all ties": (0, 1), "circle": (1, 2)}
        if name in names and scale == 1.0:
            i, j = names[name]
            assert fit.belief.mean_N[i] == pytest.approx(fit.belief.mean_N[j], abs=1e-6)


def test_skipped_duels_never_teach() -> None:
    plain, silent = fit_people(np.eye(3), CORNERS["nothing"]), fit_people(np.eye(3), CORNERS["skips"])
    assert silent.belief.mean_N.tolist() == [0, 0, 0]
    assert silent.belief.covariance_NN.tolist() == np.eye(3).tolist()
    assert silent.log_evidence == plain.log_evidence == pytest.approx(0.0, abs=1e-12)


def test_more_ties_mean_a_larger_tie_parameter() -> None:
    for ties, centre in (("davidson", -0.7), ("rao-kupper", 0.4)):
        few, many = (
            fit_people(np.eye(2), gather_votes([0] * 20, [1] * 20, said), PeopleOptions(ties=ties))  # type: ignore[arg-type]
            for said in (["left", "right"] * 10, ["tie"] * 20)
        )
        assert few.tie is not None
        assert many.tie is not None
        assert few.tie.value < centre < many.tie.value


def test_a_lapse_is_learnt() -> None:
    # One judge tosses a coin in a fifth of the votes, the other never does.
    for lapse, low, high in ((0.2, 0.1, 0.3), (0.0, 0.0, 0.04)):
        found = []
        for seed in range(6):
            rng = np.random.default_rng(seed)
            utility = np.linspace(-4, 4, 8)
            first = rng.integers(8, size=300)
            second = (first + rng.integers(1, 8, size=300)) % 8
            won = rng.random(300) < sigmoid(utility[first] - utility[second])
            won = np.where(rng.random(300) < lapse, rng.random(300) < 0.5, won)
            votes = Votes(first, second, won.astype(float))
            fit = fit_people(centred(8, 3.0), votes, PeopleOptions(ties="half", lapse=None))
            assert fit.lapse is not None
            assert fit.model.lapse == fit.lapse.value
            assert fit.lapse.std > 0
            found.append(fit.lapse.value)
        assert low <= np.mean(found) <= high


def test_newton_reaches_a_mode_under_a_lapse() -> None:
    # Curvature is clipped, so steps are not Newton's own; the gradient must vanish all the same.
    kernel, _, votes = simulate(11, 6, 200, VerdictModel(side=0.5, tie=0.4))
    model = VerdictModel(side=0.2, tie=0.5, lapse=0.15)
    belief, _ = fit_verdicts(9 * kernel + np.eye(6), votes, model)
    terms = model.terms(belief.mean_N[votes.first_M] - belief.mean_N[votes.second_M], votes)
    slope = np.bincount(votes.first_M, terms.slope_M, 6) - np.bincount(votes.second_M, terms.slope_M, 6)
    assert slope == pytest.approx(np.linalg.solve(9 * kernel + np.eye(6), belief.mean_N), abs=1e-5)


def test_a_lapse_blunts_one_absurd_vote() -> None:
    votes = gather_votes([0] * 31, [1] * 31, ["left"] * 30 + ["right"])
    sober, _ = fit_verdicts(9 * np.eye(2), votes, VerdictModel())
    wary, _ = fit_verdicts(9 * np.eye(2), votes, VerdictModel(lapse=0.1))
    assert wary.mean_N[0] > 1.2 * sober.mean_N[0]


def test_bad_input() -> None:
    one = CORNERS["one"]
    for kernel in (np.eye(1), np.ones((2, 3)), np.full((2, 2), np.nan), np.array([[1.0, 2.0], [2.0, 1.0]])):
        with pytest.raises(InputError):
            fit_people(kernel, one)
    with pytest.raises(InputError, match="rules out"):
        fit_verdicts(np.eye(2), CORNERS["one tie"], VerdictModel(tie=0.0))
    with pytest.raises(ConfigError, match="ties"):
        PeopleOptions(ties="thirds")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lapse"):
        PeopleOptions(lapse=1.0)


def test_newton_stops_where_no_step_goes_up() -> None:
    # An objective whose gradient points the wrong way: the search ends where it began.
    at, place = climb(lambda x: Place(-1e6 * float(np.abs(x).sum()), np.ones(1), np.eye(1)), np.zeros(1))
    assert at.tolist() == [0.0]
    assert place.height == 0.0
