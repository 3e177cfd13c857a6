import numpy as np
import pytest

from palate.choice import (
    RaterOptions,
    VerdictModel,
    Votes,
    fit_raters,
    fit_verdicts,
    gather_votes,
    log_sigmoid,
    sigmoid,
)
from palate.errors import ConfigError, InputError

FORMS = ["slope", "flip"]


def centred(size: int, scale: float = 1.5) -> np.ndarray:
    return scale**2 * (np.eye(size) - 1 / size)


def crowd(seed: int, slopes: tuple[float, ...], size: int, each: int) -> tuple[np.ndarray, Votes]:
    """True utilities, and ``each`` votes of raters with these slopes; a negative one means the opposite."""
    rng = np.random.default_rng(seed)
    utility = rng.standard_normal(size)
    utility -= utility.mean()
    judge = np.repeat(np.arange(len(slopes)), each)
    first = rng.integers(size, size=len(judge))
    second = (first + rng.integers(1, size, size=len(judge))) % size
    chance = sigmoid(np.array(slopes)[judge] * (utility[first] - utility[second]))
    return utility, Votes(first, second, (rng.random(len(judge)) < chance).astype(float), judge_M=judge)


def agreement(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.corrcoef(one, two)[0, 1])


def test_slopes_are_recovered() -> None:
    # True slopes 3, 1, 0 over their mean 4/3: 2.25, 0.75, 0. The order holds in every study.
    found, covered = [], []
    truth = np.array([2.25, 0.75])
    for seed in range(10):
        _, votes = crowd(seed, (3, 1, 0), 12, 200)
        fit = fit_raters(centred(12), votes)
        assert fit.reliability_J[0] > fit.reliability_J[1] > fit.reliability_J[2]
        assert fit.reliability_J.mean() == pytest.approx(1.0)
        covered.append((fit.low_J[:2] <= truth) & (truth <= fit.high_J[:2]))
        assert fit.weight_J[2] < 0.15
        found.append(fit.reliability_J)
    assert np.mean(found, axis=0) == pytest.approx([2.25, 0.75, 0.0], abs=0.2)
    assert np.mean(covered) >= 0.8  # 20 intervals; 95 % less three standard errors


@pytest.mark.parametrize("form", FORMS)
def test_weighing_raters_brings_the_truth_nearer(form: str) -> None:
    weighed, plain = [], []
    for seed in range(10):
        utility, votes = crowd(seed, (3, 1, 0, 0), 12, 60)
        belief = fit_raters(centred(12), votes, RaterOptions(form=form)).belief  # type: ignore[arg-type]
        weighed.append(agreement(belief.mean_N, utility))
        plain.append(agreement(fit_verdicts(centred(12), votes, VerdictModel())[0].mean_N, utility))
    assert np.mean(weighed) > np.mean(plain) + 0.03


def test_a_guesser_gets_no_weight() -> None:
    for seed in range(5):
        _, votes = crowd(seed, (2, 2, 2, 0), 10, 200)
        slope, flip = (fit_raters(centred(10), votes, RaterOptions(form=form)) for form in ("slope", "flip"))
        assert slope.weight_J[3] < 0.05 < 0.5 < slope.weight_J[:3].min()
        assert flip.weight_J[3] < 0.1 < 0.7 < flip.weight_J[:3].min()
        assert flip.low_J[3] < 0.5 + 0.15
        assert flip.high_J[3] > 0.5 - 0.15


def test_a_contrary_rater_is_ignored_or_turned_round() -> None:
    inverse = []
    for seed in range(5):
        utility, votes = crowd(seed, (2, 2, -2), 12, 100)
        slope, flip = (fit_raters(centred(12), votes, RaterOptions(form=form)) for form in ("slope", "flip"))
        assert slope.reliability_J[2] < 0.15
        assert flip.reliability_J[2] < 0.25 < 0.8 < flip.reliability_J[:2].min()
        assert flip.high_J[2] < 0.5
        honest = Votes(*(column[votes.judge_M < 2] for column in vars(votes).values()))
        alone = fit_raters(centred(12), honest, RaterOptions(form="flip"))
        one, two = agreement(flip.belief.mean_N, utility), agreement(alone.belief.mean_N, utility)
        assert min(one, two) > 0.85
        inverse.append(one - two)
        assert agreement(slope.belief.mean_N, alone.belief.mean_N) > 0.98
    assert np.mean(inverse) > 0.0  # what is said the wrong way round is still worth hearing


@pytest.mark.parametrize("form", FORMS)
def test_a_single_rater_gives_the_plain_fit(form: str) -> None:
    _, votes = crowd(0, (1.5,), 6, 40)
    model = VerdictModel(side=0.2, tie=0.3)
    fit = fit_raters(centred(6), votes, RaterOptions(form=form, model=model))  # type: ignore[arg-type]
    plain, _ = fit_verdicts(centred(6), votes, model)
    assert fit.belief.mean_N == pytest.approx(plain.mean_N, abs=1e-9)
    assert fit.belief.covariance_NN == pytest.approx(plain.covariance_NN, abs=1e-9)
    assert fit.reliability_J.tolist() == fit.low_J.tolist() == fit.high_J.tolist() == [1.0]
    assert fit.rounds == 0


def test_equal_raters_give_nearly_the_plain_fit() -> None:
    # The same votes from two people: both have slope one, so the belief is the plain one.
    _, votes = crowd(1, (2.0,), 6, 60)
    names = ("first_M", "second_M", "outcome_M")
    twice = Votes(*(np.tile(getattr(votes, n), 2) for n in names), judge_M=np.repeat([0, 1], 60))
    fit = fit_raters(centred(6), twice)
    assert fit.reliability_J == pytest.approx([1.0, 1.0], abs=1e-6)
    plain, _ = fit_verdicts(centred(6), twice, VerdictModel())
    assert fit.belief.mean_N == pytest.approx(plain.mean_N, abs=1e-5)


def test_the_density_of_a_slope_by_brute_force() -> None:
    # At the fixed point, each slope's mean is that of its density, here on a fine grid of slopes and d.
    _, votes = crowd(2, (3, 0.5), 5, 50)
    fit = fit_raters(centred(5), votes)
    mean, covariance = fit.belief
    log_a = np.linspace(-6, 4, 801)
    draws = np.linspace(-6, 6, 401)
    share = np.exp(-0.5 * draws**2) / np.exp(-0.5 * draws**2).sum()
    raw = []
    for judge in range(2):
        log_density = -0.5 * log_a**2
        for m in np.flatnonzero(votes.judge_M == judge):
            i, j = votes.first_M[m], votes.second_M[m]
            std = np.sqrt(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
            sign = 2 * votes.outcome_M[m] - 1
            d = mean[i] - mean[j] + std * draws
            log_density = log_density + log_sigmoid(sign * np.exp(log_a)[:, None] * d) @ share
        mass = np.exp(log_density - log_density.max())
        raw.append(float((mass * np.exp(log_a)).sum() / mass.sum()))
    assert fit.reliability_J == pytest.approx(np.array(raw) / np.mean(raw), abs=5e-3)


def test_the_flip_form_is_a_mixture() -> None:
    # One shared pair, known honest majority: the gradient of the log-posterior in u vanishes at the fit.
    _, votes = crowd(3, (2, 2, -2), 6, 60)
    fit = fit_raters(centred(6) + 0.1, votes, RaterOptions(form="flip"))

    def objective(u: np.ndarray) -> float:
        d, q = u[votes.first_M] - u[votes.second_M], fit.reliability_J[votes.judge_M]
        p = np.where(votes.outcome_M == 1, sigmoid(d), sigmoid(-d))
        chance = np.log(q * p + (1 - q) * (1 - p)).sum()
        return float(chance - 0.5 * u @ np.linalg.solve(centred(6) + 0.1, u))

    step = 1e-5 * np.eye(6)
    here = fit.belief.mean_N
    slope = [(objective(here + row) - objective(here - row)) / 2e-5 for row in step]
    assert slope == pytest.approx(np.zeros(6), abs=0.05)  # reliabilities move by 1e-3 after the last fit


def test_against_crowd_kit() -> None:
    # Its model mixes Bradley-Terry with a biased coin. Its own optimiser is handed a wrong gradient (entries
    # of a rater are overwritten by each vote, and they sit one place off), so that its likelihood is
    # maximised here by differences.
    pairwise = pytest.importorskip("crowdkit.aggregation.pairwise.noisy_bt")
    from scipy.optimize import minimize

    utility, votes = crowd(4, (4, 1.5, 0), 6, 150)
    size, raters = 6, 3
    chosen = np.where(votes.outcome_M == 1, votes.first_M, votes.second_M)
    data = np.stack([votes.first_M, votes.second_M, chosen], axis=1) + 1
    peer = pairwise.NoisyBradleyTerry._compute_log_likelihood
    start = np.concatenate([np.zeros(1 + size), 0.1 * np.ones(raters), np.ones(raters)])

    def cost(x: np.ndarray) -> float:
        # a little more pull to zero than its own, which leaves scores unbounded without noise
        return peer(x, data, votes.judge_M, size, raters, 0.0) + 0.05 * float(x @ x)

    best = minimize(cost, start, method="L-BFGS-B").x
    skill = best[1 + size + raters :]
    for form in ("slope", "flip"):
        fit = fit_raters(centred(size), votes, RaterOptions(form=form))
        assert np.argsort(fit.reliability_J).tolist() == np.argsort(skill).tolist() == [2, 1, 0]
        assert agreement(fit.belief.mean_N, best[1 : 1 + size]) > 0.98
        assert agreement(fit.belief.mean_N, utility) > 0.95


@pytest.mark.parametrize("form", FORMS)
def test_ties_and_strength_are_heard(form: str) -> None:
    votes = gather_votes(
        [0, 1, 2] * 10,
        [1, 2, 0] * 10,
        ["left", "tie", "right"] * 10,
        strength=[3, 0, 1] * 10,
        judge=[0, 0, 0, 1, 1, 1] * 5,
    )
    model = VerdictModel(tie=0.5, cuts=(0.5, 1.5))
    fit = fit_raters(centred(3), votes, RaterOptions(form=form, model=model))  # type: ignore[arg-type]
    mean = fit.belief.mean_N
    assert mean[0] > mean[2] > mean[1]  # 0 beat 1 by much and 2 slightly
    assert fit.reliability_J[0] == pytest.approx(fit.reliability_J[1], abs=2e-3)


CORNERS = {
    "nothing": gather_votes([], [], []),
    "one": gather_votes([0], [1], ["left"], judge=[4]),
    "two who differ": gather_votes([0, 0], [1, 1], ["left", "right"], judge=[0, 1]),
    "all ties": gather_votes([0, 1, 2] * 20, [1, 2, 0] * 20, ["tie"] * 60, judge=[0, 1, 2] * 20),
    "both bad": gather_votes([0, 1] * 20, [1, 2] * 20, ["both_bad"] * 40, judge=[0, 1] * 20),
    "one winner": gather_votes([0] * 300, [1] * 300, ["left"] * 300, judge=[0, 1, 2] * 100),
    "a gap in the numbers": gather_votes([0, 0] * 9, [1, 2] * 9, ["left", "right"] * 9, judge=[0, 5] * 9),
}


@pytest.mark.parametrize("name", CORNERS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", [VerdictModel(), VerdictModel(tie=0.5, bad=-1.0, lapse=0.05)])
def test_corners_stay_finite(model: VerdictModel, form: str, name: str) -> None:
    fit = fit_raters(np.eye(3), CORNERS[name], RaterOptions(form=form, model=model))  # type: ignore[arg-type]
    assert np.isfinite(fit.belief.mean_N).all()
    assert (np.diag(fit.belief.covariance_NN) > 0).all()
    assert (fit.low_J <= fit.reliability_J).all()
    assert (fit.reliability_J <= fit.high_J).all()
    assert (fit.reliability_J >= 0).all()
    assert np.isfinite(fit.high_J).all()
    assert fit.rounds < 200
    if form == "flip":
        assert (fit.high_J <= 1).all()


def test_a_rater_without_votes_has_the_prior() -> None:
    fit = fit_raters(np.eye(3), CORNERS["a gap in the numbers"], RaterOptions(form="flip"))
    assert fit.votes_J.tolist() == [9, 0, 0, 0, 0, 9]
    assert fit.reliability_J[1:5] == pytest.approx([0.8] * 4, abs=1e-3)  # the mean of Beta(4, 1)
    assert fit.low_J[1] == pytest.approx(0.025 ** (1 / 4), abs=0.02)  # its distribution function is q^4
    assert fit.high_J[1] == pytest.approx(0.975 ** (1 / 4), abs=0.02)


def test_bad_options() -> None:
    with pytest.raises(ConfigError, match="form"):
        RaterOptions(form="vote")  # type: ignore[arg-type]
    for spread in (0.0, -1.0, np.inf):
        with pytest.raises(ConfigError, match="spread"):
            RaterOptions(spread=spread)
    with pytest.raises(InputError):
        fit_raters(np.eye(1), CORNERS["one"])


def test_the_alternation_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    _, votes = crowd(0, (3, 1, 0), 6, 30)
    monkeypatch.setattr("palate.choice._raters._ROUNDS", 2)
    fit = fit_raters(centred(6), votes)
    assert fit.rounds == 2
    assert np.isfinite(fit.belief.mean_N).all()
