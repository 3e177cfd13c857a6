import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.choice import (
    Gaussian,
    Terms,
    VerdictModel,
    Votes,
    discounted,
    filter_drift,
    fit_drift,
    fit_verdicts,
    gather_votes,
    sigmoid,
)
from palate.choice._drift import _mode
from palate.errors import ConfigError, InputError

NEWTON = 1e-7  # steps end below 1e-9 log-odds, and convergence is quadratic
MODELS = [
    VerdictModel(),
    VerdictModel(side=0.3, tie=0.5, bad=-1.0),
    VerdictModel(tie=1.5, tie_kind="rao-kupper"),
]


def centred(size: int, scale: float = 1.5) -> np.ndarray:
    return scale**2 * (np.eye(size) - 1 / size)


def some_votes(seed: int, size: int, votes: int) -> Votes:
    rng = np.random.default_rng(seed)
    first = rng.integers(size, size=votes)
    second = (first + rng.integers(1, size, size=votes)) % size
    outcome = rng.choice([0.0, 0.5, 1.0], size=votes)
    return Votes(first, second, outcome, (outcome == 0.5) & (rng.random(votes) < 0.4))


def change_of_taste(seed: int, size: int = 8, before: int = 60, after: int = 40) -> tuple[np.ndarray, Votes]:
    """Utilities after a change that makes another candidate the best, and votes before and after it."""
    rng = np.random.default_rng(seed)
    old = 1.5 * rng.standard_normal(size)
    new = rng.permutation(old)
    while new.argmax() == old.argmax():
        new = rng.permutation(old)
    votes = before + after
    first = rng.integers(size, size=votes)
    second = (first + rng.integers(1, size, size=votes)) % size
    utility = np.where(np.arange(votes)[:, None] < before, old, new)
    gap = utility[np.arange(votes), first] - utility[np.arange(votes), second]
    return new, Votes(first, second, (rng.random(votes) < sigmoid(gap)).astype(float))


def start(votes: Votes, count: int) -> Votes:
    return Votes(*(column[:count] for column in vars(votes).values()))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(1, 25), st.sampled_from(MODELS))
def test_without_drift_it_is_the_static_fit(seed: int, size: int, count: int, model: VerdictModel) -> None:
    votes = some_votes(seed, size, count)
    belief, evidence = fit_verdicts(centred(size), votes, model)
    path = fit_drift(centred(size), votes, 0.0, model)
    faded, faded_evidence = fit_verdicts(centred(size), discounted(votes, 1.0), model)
    for found, value in ((path.belief, path.log_evidence), (faded, faded_evidence)):
        assert found.mean_N == pytest.approx(belief.mean_N, abs=NEWTON)
        assert found.covariance_NN == pytest.approx(belief.covariance_NN, abs=NEWTON)
        assert value == pytest.approx(evidence, abs=NEWTON)


def exactly(kernel: np.ndarray, votes: Votes, model: VerdictModel) -> tuple[np.ndarray, np.ndarray, float]:
    """Moments and evidence of three candidates of mean zero, by the sum over a grid of two coordinates."""
    basis = np.array([[1, -1, 0], [1, 1, -2]]) / np.sqrt([[2.0], [6.0]])
    one, two = np.meshgrid(np.linspace(-9, 9, 181), np.linspace(-9, 9, 181), indexing="ij")
    place = np.stack([one.ravel(), two.ravel()], axis=1)
    log_mass = -0.5 * np.einsum("xi,ij,xj->x", place, np.linalg.inv(basis @ kernel @ basis.T), place)
    prior = np.exp(log_mass).sum()
    utility = place @ basis
    for m in range(len(votes)):
        left, right = utility[:, votes.first_M[m]], utility[:, votes.second_M[m]]
        same = Votes(*(np.full(len(place), column[m]) for column in vars(votes).values()))
        log_mass += model.terms(left - right, same).log_likelihood_M
        log_mass += model.level_terms((left + right) / 2, same).log_likelihood_M
    mass = np.exp(log_mass)
    share = mass / mass.sum()
    mean = share @ utility
    return mean, (utility - mean).T @ ((utility - mean) * share[:, None]), float(np.log(mass.sum() / prior))


@pytest.mark.parametrize("model", MODELS)
def test_without_drift_the_filter_comes_near_the_exact_posterior(model: VerdictModel) -> None:
    gaps, evidence_gaps = [], []
    for seed in range(4):
        votes = some_votes(seed, 3, 30)
        found = filter_drift(centred(3), votes, 0.0, model)
        mean, covariance, evidence = exactly(centred(3), votes, model)
        std = np.sqrt(np.diag(covariance))
        gaps.append((found.belief.mean_N - mean) / std)
        assert np.sqrt(found.belief.variance_N) / std == pytest.approx(np.ones(3), abs=0.1)
        evidence_gaps.append(found.log_evidence - evidence)
    assert np.sqrt(np.mean(np.square(gaps))) < 0.15
    assert np.abs(evidence_gaps).max() < 0.25


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rate", [0.0, 0.4])
def test_one_vote(rate: float, model: VerdictModel) -> None:
    vote = Votes(np.array([2]), np.array([0]), np.array([1.0]), time_M=np.array([5.0]))
    belief, evidence = fit_verdicts(centred(3), vote, model)
    path = fit_drift(centred(3), vote, rate, model)
    assert path.belief.mean_N == pytest.approx(belief.mean_N, abs=NEWTON)
    assert path.belief.covariance_NN == pytest.approx(belief.covariance_NN, abs=NEWTON)
    assert path.log_evidence == pytest.approx(evidence, abs=NEWTON)
    # One vote with one row is what the filter treats exactly; the sum over the grid is good to 1e-6. With a
    # level, what the two rows share is lost only where they depend on each other, which they do not here.
    mean, covariance, exact = exactly(centred(3), vote, model)
    found = filter_drift(centred(3), vote, rate, model)
    assert found.belief.mean_N == pytest.approx(mean, abs=1e-5)
    assert found.belief.covariance_NN == pytest.approx(covariance, abs=1e-5)
    assert found.log_evidence == pytest.approx(exact, abs=1e-5)


def test_the_filter_by_hand() -> None:
    # Two candidates, K = I: the difference has variance 2. By symmetry a first vote has chance 1/2; then two
    # units of time go by at rate 1/4. E[d | left] = 2 E[d sigmoid(d)] for a normal d, and E[d^2 | left] = 2.
    vote = Votes(np.array([0]), np.array([1]), np.array([1.0]), time_M=np.array([3.0]))
    found = filter_drift(np.eye(2), vote, 0.25, VerdictModel(), now=5.0)
    d = np.linspace(-15, 15, 30_001)
    normal = np.exp(-(d**2) / 4) / np.exp(-(d**2) / 4).sum()
    moved = float(2 * normal @ (d / (1 + np.exp(-d))))
    assert found.log_evidence == pytest.approx(np.log(0.5))
    assert found.belief.mean_N == pytest.approx([moved / 2, -moved / 2])
    # the sum keeps variance 2; the difference has 2 - moved^2: each alone a quarter of both, plus 1/2
    own, shared = (2 + 2 - moved**2) / 4 + 0.5, (2 - (2 - moved**2)) / 4
    assert found.belief.covariance_NN == pytest.approx(np.array([[own, shared], [shared, own]]))


def test_the_path_against_the_stacked_problem() -> None:
    # The slow way: utilities of every time stacked into one prior of 4 x 3, and a general optimiser.
    from scipy.optimize import minimize

    rate, model = 0.3, VerdictModel(side=0.2, tie=0.6)
    votes = Votes(
        np.array([0, 1, 2, 0]),
        np.array([1, 2, 0, 2]),
        np.array([1.0, 0.5, 0.0, 1.0]),
        time_M=np.array([2.0, 2.5, 4.0, 7.0]),
    )
    base = np.array([[2.0, 0.3, 0.0], [0.3, 1.0, -0.2], [0.0, -0.2, 1.5]])
    clock = np.append(votes.time_M, 8.0) - 2.0
    prior = np.kron(1 + rate * np.minimum(clock[:, None], clock[None, :]), base)
    precision = np.linalg.inv(prior + 1e-9 * np.eye(15))

    def cost(x: np.ndarray) -> float:
        u = x.reshape(5, 3)
        rows = np.arange(4)
        value = model.terms(u[rows, votes.first_M] - u[rows, votes.second_M], votes).log_likelihood_M.sum()
        return float(0.5 * x @ precision @ x - value)

    best = minimize(cost, np.zeros(15), method="BFGS", options={"gtol": 1e-8}).x
    u = best.reshape(5, 3)
    terms = model.terms(u[np.arange(4), votes.first_M] - u[np.arange(4), votes.second_M], votes)
    hessian = precision.copy()
    for m, weight in enumerate(terms.curvature_M):
        row = np.zeros((5, 3))
        row[m, votes.first_M[m]], row[m, votes.second_M[m]] = 1, -1
        hessian += weight * np.outer(row, row)
    found = fit_drift(base, votes, rate, model, now=8.0)
    assert found.belief.mean_N == pytest.approx(u[4], abs=1e-4)
    assert found.belief.covariance_NN == pytest.approx(np.linalg.inv(hessian)[12:, 12:], abs=1e-4)


FOLLOWERS = {
    "fading": lambda votes: fit_verdicts(centred(8), discounted(votes, 0.95), VerdictModel())[0],
    "filter": lambda votes: filter_drift(centred(8), votes, 0.03, VerdictModel()).belief,
    "path": lambda votes: fit_drift(centred(8), votes, 0.03, VerdictModel()).belief,
}


@pytest.mark.parametrize("name", FOLLOWERS)
def test_after_a_change_of_taste_the_new_best_is_found_sooner(name: str) -> None:
    # Utility lost by the report, over 24 studies, 20 and 40 votes after the change.
    lost: dict[str, list[float]] = {"static": [], name: []}
    for seed in range(24):
        new, votes = change_of_taste(seed)
        for after in (20, 40):
            seen = start(votes, 60 + after)
            beliefs: dict[str, Gaussian] = {
                "static": fit_verdicts(centred(8), seen, VerdictModel())[0],
                name: FOLLOWERS[name](seen),
            }
            for who, belief in beliefs.items():
                lost[who].append(float(new.max() - new[belief.mean_N.argmax()]))
    assert np.mean(lost[name]) < 0.6 * np.mean(lost["static"])


@pytest.mark.parametrize("follow", [filter_drift, fit_drift])
def test_the_evidence_tells_drift_from_rest(follow: object) -> None:
    moved, still = 0.0, 0.0
    for seed in range(8):
        _, drifting = change_of_taste(seed, before=60, after=60)
        _, resting = change_of_taste(seed, before=120, after=0)
        for votes in (drifting, resting):
            walks, rests = (follow(centred(8), votes, q, VerdictModel()) for q in (0.02, 0.0))  # type: ignore[operator]
            gain = walks.log_evidence - rests.log_evidence
            if votes is drifting:
                moved += gain
            else:
                still += gain
    assert still < 0.0 < moved


@pytest.mark.parametrize("follow", [filter_drift, fit_drift])
def test_time_goes_by(follow: object) -> None:
    votes = some_votes(0, 4, 20)
    here, later = (follow(centred(4), votes, 0.1, VerdictModel(), now=now).belief for now in (19.0, 24.0))  # type: ignore[operator]
    assert later.mean_N == pytest.approx(here.mean_N)
    assert later.covariance_NN == pytest.approx(here.covariance_NN + 0.5 * centred(4))
    # the order in which votes are listed does not matter, their times do
    order = np.random.default_rng(1).permutation(20)
    shuffled = Votes(*(column[order] for column in vars(votes).values()))
    again = follow(centred(4), shuffled, 0.1, VerdictModel()).belief  # type: ignore[operator]
    assert again.mean_N == pytest.approx(here.mean_N, abs=NEWTON)
    # slower clock, faster walk
    slow = Votes(
        *(getattr(votes, n) for n in ("first_M", "second_M", "outcome_M", "bad_M")), time_M=votes.time_M / 10
    )
    assert follow(centred(4), slow, 1.0, VerdictModel()).belief.mean_N == pytest.approx(
        here.mean_N, abs=NEWTON
    )  # type: ignore[operator]


def test_fading_by_hand() -> None:
    votes = gather_votes([0, 0], [1, 1], ["left", "right"], time=[0.0, 3.0])
    faded = discounted(votes, 0.5, now=4.0)
    assert faded.weight_M.tolist() == [1 / 16, 1 / 2]
    assert discounted(faded, 0.5).weight_M.tolist() == [1 / 128, 1 / 2]  # weights multiply
    belief, _ = fit_verdicts(np.eye(2), faded, VerdictModel())
    d = float(belief.mean_N[0] - belief.mean_N[1])
    p = 1 / (1 + np.exp(-d))
    assert d == pytest.approx(2 * ((1 - p) / 16 - p / 2), abs=1e-9)


CORNERS = {
    "nothing": gather_votes([], [], []),
    "skip": gather_votes([0], [1], ["skip"]),
    "one tie": gather_votes([0], [1], ["tie"]),
    "all ties": gather_votes([0, 1, 2] * 30, [1, 2, 0] * 30, ["tie"] * 90),
    "one winner": gather_votes([0] * 300, [1] * 300, ["left"] * 300),
    "contradictory, at once": gather_votes(
        [0, 0] * 50, [1, 1] * 50, ["left", "right"] * 50, time=[1.0] * 100
    ),
    "both bad": gather_votes([0, 1] * 30, [1, 2] * 30, ["both_bad"] * 60),
    "a long silence": gather_votes([0, 0], [1, 1], ["left", "right"], time=[0.0, 1e6]),
}


@pytest.mark.parametrize("model", [*MODELS, VerdictModel(tie=0.5, lapse=0.1)])
@pytest.mark.parametrize("rate", [0.0, 0.05, 10.0])
@pytest.mark.parametrize("name", CORNERS)
def test_corners_stay_finite(name: str, rate: float, model: VerdictModel) -> None:
    for follow in (filter_drift, fit_drift):
        belief, evidence = follow(np.eye(3), CORNERS[name], rate, model)
        assert np.isfinite(belief.mean_N).all()
        assert np.isfinite(evidence)
        assert (np.diag(belief.covariance_NN) > 0).all()
        if name in ("nothing", "skip"):
            assert belief.mean_N.tolist() == [0, 0, 0]
            assert belief.covariance_NN.tolist() == np.eye(3).tolist()
            assert evidence == 0.0
    assert np.isfinite(discounted(CORNERS[name], 0.9).weight_M).all()


def test_the_prior_is_left_as_it_was() -> None:
    kernel = centred(3)
    filter_drift(kernel, CORNERS["one winner"], 0.1, VerdictModel())
    assert kernel.tolist() == centred(3).tolist()


def test_bad_input() -> None:
    votes = CORNERS["one winner"]
    for keep in (0.0, 1.1, np.nan):
        with pytest.raises(ConfigError, match="keep"):
            discounted(votes, keep)
    with pytest.raises(ConfigError, match="before the last vote"):
        discounted(votes, 0.9, now=5.0)
    for follow in (filter_drift, fit_drift):
        for rate in (-0.1, np.inf, np.nan):
            with pytest.raises(ConfigError, match="rate"):
                follow(np.eye(2), votes, rate, VerdictModel())
        with pytest.raises(ConfigError, match="before the last vote"):
            follow(np.eye(2), votes, 0.1, VerdictModel(), now=np.nan)
        with pytest.raises(InputError):
            follow(np.eye(1), votes, 0.1, VerdictModel())


def test_what_is_known_already_is_not_learnt_again() -> None:
    # Two candidates that the prior holds to be equal: votes on them say nothing, and nothing divides by zero.
    found = filter_drift(np.ones((2, 2)), CORNERS["one winner"], 0.1, VerdictModel())
    assert found.belief.mean_N.tolist() == [0.0, 0.0]
    assert found.log_evidence == pytest.approx(300 * np.log(0.5))
    path = fit_drift(np.ones((2, 2)), CORNERS["one winner"], 0.1, VerdictModel())
    assert path.belief.mean_N.tolist() == [0.0, 0.0]


def test_newton_stops_where_no_step_goes_up() -> None:
    # A likelihood whose slope points the wrong way: the latents stay where they are, and the search ends.
    def lying(latent: np.ndarray) -> Terms:
        return Terms(-1e6 * np.abs(latent), np.ones(1), np.ones(1))

    fit = _mode(np.eye(1), lying)
    assert abs(fit.difference_M[0]) < 1e-6


def test_newton_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palate.choice._drift._STEPS", 1)
    near = fit_drift(centred(3), CORNERS["one winner"], 0.1, VerdictModel()).belief
    monkeypatch.undo()
    exact = fit_drift(centred(3), CORNERS["one winner"], 0.1, VerdictModel()).belief
    assert np.isfinite(near.mean_N).all()
    assert near.mean_N != pytest.approx(exact.mean_N, abs=1e-3)
