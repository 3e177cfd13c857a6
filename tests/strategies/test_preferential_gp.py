"""The plain preferential GP: equations against finite differences and simulation, numbers against BoTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from palate.choice import Gaussian, difference_variance, eubo, fit_differences, vote_information
from palate.errors import ConfigError
from palate.strategies import History, PreferentialGp, duel_bandit, preferential_gp
from palate.strategies._preferential_choice import PROBIT, RULES
from palate.strategies._preferential_gp import (
    condition,
    gather_votes,
    log_posterior,
    maximise,
    prior_kernel,
    scale_inputs,
    square_distances,
)
from palate.strategies._preferential_laplace import Link, evidence_slope, find_mode, link_terms
from palate.testing._strategies import noisy_judge, play, toy_problem

STEP = 1e-4  # of finite differences; their error is about its square
DIFFERENCE = 1e-6
ROUNDING = 1e-9
PEER = 1e-9  # two ways to the same float64 numbers; what was seen is below 1e-10

LINKS: list[Link] = ["probit", "logit"]


def votes_on(feature: np.ndarray, utility: np.ndarray, count: int, seed: int = 0) -> History:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(feature), count)
    second = (first + rng.integers(1, len(feature), count)) % len(feature)
    judge = noisy_judge(utility, rng)
    won = [float(judge(i, j) == "left") for i, j in zip(first.tolist(), second.tolist(), strict=True)]
    return History(first, second, np.array(won))


def problem(size: int = 20, dimension: int = 3, count: int = 25) -> tuple[np.ndarray, History]:
    feature, utility = toy_problem(size, dimension, seed=7)
    return scale_inputs(feature), votes_on(feature, utility, count)


@pytest.mark.parametrize("link", LINKS)
def test_link_terms_are_derivatives_of_one_another(link: Link) -> None:
    at = np.array([-7.0, -1.3, 0.0, 0.4, 6.0])
    wins, count = np.array([1.0, 0.5, 2.0, 0.0, 1.5]), np.array([1.0, 1.0, 3.0, 2.0, 2.0])
    here, up, down = (link_terms(link, at + step, wins, count) for step in (0.0, STEP, -STEP))
    assert here.slope_M == pytest.approx((up.value_M - down.value_M) / (2 * STEP), abs=DIFFERENCE)
    assert -here.weight_M == pytest.approx((up.slope_M - down.slope_M) / (2 * STEP), abs=DIFFERENCE)
    assert -here.third_M == pytest.approx((up.weight_M - down.weight_M) / (2 * STEP), abs=DIFFERENCE)


def test_link_by_hand() -> None:
    # one win at a difference of sqrt(2): log Phi(1); the slope is phi(1) / Phi(1) / sqrt(2)
    terms = link_terms("probit", np.array([np.sqrt(2.0)]), np.ones(1), np.ones(1))
    assert terms.value_M[0] == pytest.approx(np.log(0.8413447460685429), abs=ROUNDING)
    assert terms.slope_M[0] == pytest.approx(0.24197072451914337 / 0.8413447460685429 / 2**0.5, abs=ROUNDING)
    # far out the slope of a lost vote grows linearly, and nothing overflows
    assert link_terms("probit", np.array([-1e4]), np.ones(1), np.ones(1)).slope_M[0] == pytest.approx(
        1e4 / 2, rel=1e-6
    )


def test_one_pair_by_hand() -> None:
    # One win under prior variance v: the mode solves d = v slope(d); here by bisection.
    variance = 2.0
    low, high = 0.0, 5.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        z = middle / np.sqrt(2.0)
        low, high = (
            (middle, high) if middle < variance * norm.pdf(z) / norm.cdf(z) / np.sqrt(2.0) else (low, middle)
        )
    fit = find_mode(np.array([[variance]]), np.ones(1), np.ones(1), "probit")
    hazard = norm.pdf(low / np.sqrt(2.0)) / norm.cdf(low / np.sqrt(2.0))
    weight = hazard * (hazard + low / np.sqrt(2.0)) / 2.0
    evidence = norm.logcdf(low / np.sqrt(2.0)) - low**2 / (2 * variance) - 0.5 * np.log1p(weight * variance)
    assert fit.difference_M[0] == pytest.approx(low, abs=ROUNDING)
    assert fit.weight_M[0] == pytest.approx(weight, abs=ROUNDING)
    assert fit.log_evidence == pytest.approx(evidence, abs=ROUNDING)


def random_kernel(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    root, other = rng.standard_normal((2, size, size))
    count = rng.integers(1, 4, size).astype(np.float64)
    return root @ root.T / 4, other @ other.T, np.minimum(count, rng.integers(0, 7, size) / 2), count


@pytest.mark.parametrize("link", LINKS)
def test_the_slope_of_the_evidence(link: Link) -> None:
    kernel, change, wins, count = random_kernel(12)
    slope = evidence_slope(kernel, wins, count, link, find_mode(kernel, wins, count, link))
    ends = [
        find_mode(kernel + sign * 1e-5 * change, wins, count, link, tolerance=1e-12).log_evidence
        for sign in (1, -1)
    ]
    assert float((slope * change).sum()) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=DIFFERENCE)


def test_the_logit_link_is_the_model_of_the_other_strategies() -> None:
    kernel, _, wins, count = random_kernel(12)
    ours, theirs = find_mode(kernel, wins, count, "logit"), fit_differences(kernel, wins, count)
    assert ours.dual_M == pytest.approx(theirs.dual_M, abs=ROUNDING)
    assert ours.log_evidence == pytest.approx(theirs.log_evidence, abs=ROUNDING)


def test_where_the_search_for_the_mode_starts_does_not_matter() -> None:
    kernel, _, wins, count = random_kernel(12)
    far = find_mode(kernel, wins, count, "probit", start_M=np.full(12, 30.0))
    near = find_mode(kernel, wins, count, "probit")
    assert far.difference_M == pytest.approx(near.difference_M, abs=ROUNDING)
    assert far.log_evidence == pytest.approx(near.log_evidence, abs=ROUNDING)


def test_the_evidence_is_close_to_the_integral_it_stands_for() -> None:
    # Laplace's error for a probit pair under these priors is below a twentieth of a nat.
    kernel = np.array([[1.5, 0.6], [0.6, 1.0]])
    draws = np.random.default_rng(0).multivariate_normal(np.zeros(2), kernel, size=200_000)
    chance = norm.cdf(draws / np.sqrt(2.0))
    wins, count = np.array([2.0, 0.0]), np.array([2.0, 1.0])
    exact = np.log((chance[:, 0] ** 2 * (1 - chance[:, 1])).mean())
    assert find_mode(kernel, wins, count, "probit").log_evidence == pytest.approx(exact, abs=0.05)


@pytest.mark.parametrize("ard", [False, True])
def test_the_gradient_of_the_hyper_parameters(ard: bool) -> None:
    x, history = problem()
    votes = gather_votes(x, square_distances(x), history)
    # An output scale beyond the box, so that the prior's tail takes part.
    theta = np.log([0.3, 0.5, 0.9, 100.02] if ard else [0.4, 100.02])
    _, slope, _ = log_posterior(votes, theta, "probit")
    for k in range(len(theta)):
        step = 1e-6 * np.eye(len(theta))[k]
        ends = [log_posterior(votes, theta + sign * step, "probit")[0] for sign in (1, -1)]
        assert slope[k] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("ard", [False, True])
def test_the_hyper_parameters_are_a_maximum(ard: bool) -> None:
    x, history = problem()
    votes = gather_votes(x, square_distances(x), history)
    theta = maximise(votes, "probit", ard=ard)
    best = log_posterior(votes, theta, "probit")[0]
    rng = np.random.default_rng(0)
    for _ in range(200):
        other = theta + rng.choice([0.03, 0.3, 1.0]) * rng.standard_normal(len(theta))
        other[-1] = np.clip(other[-1], np.log(0.005), np.log(200.0))
        assert log_posterior(votes, other, "probit")[0] <= best + 0.01


def test_a_judge_with_sharp_taste_is_believed_to_have_one() -> None:
    feature, utility = toy_problem(12, 3, seed=3)
    strategy = preferential_gp()
    prepared = strategy.prepare(feature)
    fits = [strategy.fit(prepared, votes_on(feature, slope * utility, 80)) for slope in (0.0, 3.0)]
    assert fits[0].output < 1.0 < fits[1].output


def test_scaling_to_the_cube_and_its_diagonal() -> None:
    feature = np.random.default_rng(0).standard_normal((9, 4)) * [1.0, 100.0, 1e-3, 0.0] + 5.0
    cube = scale_inputs(feature)
    assert cube.min(axis=0).tolist() == [0.0] * 4
    assert cube.max(axis=0) == pytest.approx([1.0, 1.0, 1.0, 0.0])
    assert scale_inputs(feature, "diagonal") == pytest.approx(cube / 2.0)
    assert scale_inputs(feature * 7.0 - 3.0) == pytest.approx(cube, abs=1e-12)


def test_log_odds_stand_for_the_probit_chance() -> None:
    # sigmoid(1.702 z) and Phi(z) never differ by 0.01: a posterior that is certain says the same either way
    z = np.linspace(-6, 6, 1001)
    assert np.abs(1 / (1 + np.exp(-PROBIT * z)) - norm.cdf(z)).max() < 0.01
    feature, history = problem(8, 3, 40)
    strategy = preferential_gp()
    fitted = strategy.fit(strategy.prepare(feature), history)
    theta = np.log([*fitted.length, fitted.output])
    votes = gather_votes(feature, square_distances(feature), history)
    everything = votes._replace(x_UD=feature, square_UU=square_distances(feature))
    raw = condition(prior_kernel(everything, theta), votes, "probit")
    gap = raw.mean_N[:, None] - raw.mean_N[None, :]
    mean = fitted.belief.mean_N
    assert mean[:, None] - mean[None, :] == pytest.approx(PROBIT / np.sqrt(2.0) * gap, abs=1e-8)
    assert difference_variance(fitted.belief.covariance_NN) == pytest.approx(
        PROBIT**2 / 2.0 * difference_variance(raw.covariance_NN), abs=1e-8
    )
    assert abs(mean.mean()) < ROUNDING


def test_without_votes_the_belief_is_the_prior() -> None:
    feature, _ = toy_problem(6, 2, seed=0)
    belief = duel_bandit("preferential-gp", feature, 0, link="logit").posterior()
    x = scale_inputs(feature)
    kernel = np.exp(-0.5 * square_distances(x) / (1.4 / 2.7) ** 2)
    centre = np.eye(6) - 1 / 6
    assert belief.mean_N.tolist() == [0.0] * 6
    assert belief.std_N**2 == pytest.approx(np.diag(centre @ kernel @ centre), abs=ROUNDING)


def beliefs() -> Gaussian:
    rng = np.random.default_rng(3)
    root = rng.standard_normal((7, 7))
    return Gaussian(rng.standard_normal(7), root @ root.T)


EVERY = np.triu(np.ones((7, 7), dtype=np.bool_), 1)


def test_rules_take_the_maximum_over_all_pairs() -> None:
    belief, rng = beliefs(), np.random.default_rng(0)
    value = eubo(*belief)
    pairs = [(i, j) for i in range(7) for j in range(i + 1, 7)]
    assert RULES["eubo"](belief, EVERY, rng) == max(pairs, key=lambda pair: value[pair])
    # 512 draws order the best few pairs up to their standard error
    chosen = RULES["qeubo"](belief, EVERY, rng)
    error = max(np.sqrt(belief.covariance_NN.diagonal())) / np.sqrt(512)
    assert value[chosen] >= max(value[pair] for pair in pairs) - 4 * error
    spread = difference_variance(belief.covariance_NN) / PROBIT**2
    gap = (belief.mean_N[:, None] - belief.mean_N[None, :]) / PROBIT
    told = vote_information(gap, spread)
    assert RULES["bald"](belief, EVERY, rng) == max(pairs, key=lambda pair: told[pair])


def test_thompson_pairs_follow_the_chance_to_be_best() -> None:
    belief, rng = beliefs(), np.random.default_rng(0)
    first = [RULES["thompson"](belief, EVERY, rng)[0] for _ in range(4000)]
    draws = np.random.default_rng(1).multivariate_normal(*belief, size=40_000)
    chance = np.bincount(draws.argmax(axis=1), minlength=7) / 40_000
    seen = np.bincount(first, minlength=7) / 4000
    assert seen == pytest.approx(chance, abs=4 * 0.5 / np.sqrt(4000))


@pytest.mark.parametrize("rule", sorted(RULES))
def test_rules_ask_allowed_pairs_only(rule: str) -> None:
    allowed = np.zeros((7, 7), dtype=np.bool_)
    allowed[2, 5] = allowed[1, 4] = True
    rng = np.random.default_rng(0)
    for _ in range(20):
        pair = RULES[rule](beliefs(), allowed, rng)
        assert tuple(sorted(pair)) in {(2, 5), (1, 4)}


@pytest.mark.parametrize(
    "name",
    ["preferential-gp", "preferential-gp-qeubo", "preferential-gp-thompson", "preferential-gp-bald"],
)
def test_withdrawn_candidates_and_open_pairs(name: str) -> None:
    feature, utility = toy_problem(6, 3, seed=5)
    bandit = duel_bandit(name, feature, seed=0)
    play(bandit, noisy_judge(utility, np.random.default_rng(0)), 5)
    bandit.withdraw(bandit.best())
    live = bandit.live
    asked = bandit.ask(10)
    assert {row for pair in asked for row in pair} <= set(live)
    assert len({frozenset(pair) for pair in asked}) == 10  # all pairs of five
    assert bandit.best() in live


def test_the_rules_are_registered_under_their_names() -> None:
    feature, _ = toy_problem(4, 2, seed=0)
    for rule in RULES:
        name = "preferential-gp" if rule == "eubo" else f"preferential-gp-{rule}"
        bandit = duel_bandit(name, feature, 0, link="logit", scaling="diagonal", ard=True)
        expected = PreferentialGp(rule, "logit", ard=True, scaling="diagonal")
        assert bandit._strategy == expected


@pytest.mark.parametrize(
    ("option", "value"),
    [("choice", "ucb"), ("link", "cloglog"), ("scaling", "none"), ("ard", "yes")],
)
def test_wrong_options_are_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigError, match=option):
        preferential_gp(**{option: value})  # pyright: ignore[reportArgumentType]


# ------------------------------------------------------------------------------ against BoTorch


Peer = tuple[Any, Any, Any]


@pytest.fixture
def peer() -> Callable[..., Peer]:
    """PairwiseGP on the same points and votes, with given length scales and output scale."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("botorch")
    from botorch.models.likelihoods.pairwise import PairwiseLogitLikelihood, PairwiseProbitLikelihood
    from botorch.models.pairwise_gp import PairwiseGP, PairwiseLaplaceMarginalLogLikelihood

    def make(x: np.ndarray, history: History, length: list[float], output: float, link: Link) -> Peer:
        won = history.outcome_M == 1.0
        pairs = np.where(
            won[:, None],
            np.stack([history.first_M, history.second_M], axis=1),
            np.stack([history.second_M, history.first_M], axis=1),
        )
        likelihood = PairwiseProbitLikelihood() if link == "probit" else PairwiseLogitLikelihood()
        model = PairwiseGP(torch.tensor(x), torch.tensor(pairs), likelihood=likelihood, xtol=1e-12)
        model.covar_module.base_kernel.lengthscale = torch.tensor(length, dtype=torch.float64)
        model.covar_module.outputscale = torch.tensor(output, dtype=torch.float64)
        model.set_train_data(torch.tensor(x), torch.tensor(pairs), update_model=True)
        return torch, model, PairwiseLaplaceMarginalLogLikelihood(model.likelihood, model)

    return make


# Length scales short enough for the kernel of twenty points to be regular: BoTorch inverts it, we do not.
LENGTH = [0.2, 0.3, 0.25]


@pytest.mark.parametrize("link", LINKS)
def test_mean_and_covariance_are_those_of_botorch(peer: Callable[..., Peer], link: Link) -> None:
    # An output scale of 2 keeps differences within the three standard deviations where BoTorch cuts off.
    x, history = problem()
    torch, model, _ = peer(x, history, LENGTH, 2.0, link)
    with torch.no_grad():
        posterior = model.posterior(torch.tensor(x))
    votes = gather_votes(x, square_distances(x), history)
    everything = votes._replace(x_UD=x, square_UU=square_distances(x))
    belief = condition(prior_kernel(everything, np.log([*LENGTH, 2.0])), votes, link)
    assert belief.mean_N == pytest.approx(posterior.mean.numpy()[:, 0], abs=PEER)
    assert belief.covariance_NN == pytest.approx(posterior.covariance_matrix.numpy(), abs=PEER)


def test_evidence_prior_and_gradient_are_those_of_botorch(peer: Callable[..., Peer]) -> None:
    x, history = problem()
    votes = gather_votes(x, square_distances(x), history)
    seen: list[tuple[float, float]] = []
    for output in (2.0, 1.0):
        _, model, objective = peer(x, history, LENGTH, output, "probit")
        model.train()
        theirs = objective(model(*model.train_inputs), model.train_targets)
        theirs.backward()
        value, slope, _ = log_posterior(votes, np.log([*LENGTH, output]), "probit")
        seen.append((float(theirs.detach()), value))
        kernel = model.covar_module.base_kernel
        # their length scales are free and not transformed: d/d log l = l d/dl
        gradient = kernel.raw_lengthscale.grad.numpy()[0] * LENGTH
        assert slope[:-1] == pytest.approx(gradient, rel=1e-4, abs=1e-4)
    # priors are normalised there and not here: a constant, which the difference of two places removes
    assert seen[0][0] - seen[1][0] == pytest.approx(seen[0][1] - seen[1][1], abs=1e-5)


def test_botorch_finds_no_better_hyper_parameters(peer: Callable[..., Peer]) -> None:
    pytest.importorskip("botorch")
    from botorch.fit import fit_gpytorch_mll

    x, history = problem()
    _, model, objective = peer(x, history, [1.4 / 2.7] * 3, 1.0, "probit")
    fit_gpytorch_mll(objective)
    kernel = model.covar_module
    theirs = np.log(
        [*kernel.base_kernel.lengthscale.detach().numpy()[0].tolist(), float(kernel.outputscale.detach())]
    )
    votes = gather_votes(x, square_distances(x), history)
    ours = maximise(votes, "probit", ard=True)
    gap = log_posterior(votes, ours, "probit")[0] - log_posterior(votes, theirs, "probit")[0]
    assert gap >= -0.01  # nats, ten times what the search leaves


def test_acquisitions_are_those_of_botorch(peer: Callable[..., Peer]) -> None:
    from palate.choice import expected_best

    x, history = problem()
    torch, model, _ = peer(x, history, LENGTH, 2.0, "probit")
    from botorch.acquisition.preference import (
        AnalyticExpectedUtilityOfBestOption,
        PairwiseBayesianActiveLearningByDisagreement,
        qExpectedUtilityOfBestOption,
    )
    from botorch.sampling.normal import SobolQMCNormalSampler

    with torch.no_grad():
        posterior = model.posterior(torch.tensor(x))
        mean = posterior.mean.numpy()[:, 0]
        covariance = posterior.covariance_matrix.numpy()
        pairs = np.argwhere(np.triu(np.ones((20, 20)), 1))
        points = torch.tensor(x)[torch.tensor(pairs)]
        analytic = AnalyticExpectedUtilityOfBestOption(model)(points).numpy()
        assert eubo(mean, covariance)[pairs[:, 0], pairs[:, 1]] == pytest.approx(analytic, abs=PEER)

        torch.manual_seed(0)
        draws = 4096
        groups = np.random.default_rng(0).integers(0, 20, (5, 3))
        sampler = SobolQMCNormalSampler(torch.Size([draws]), seed=0)
        theirs = qExpectedUtilityOfBestOption(model, sampler=sampler)(torch.tensor(x)[torch.tensor(groups)])
        root = np.linalg.cholesky(covariance + 1e-10 * np.eye(20))
        normal = np.random.default_rng(1).standard_normal((20, draws))
        ours = expected_best(mean[:, None] + root @ normal, groups)
        error = np.sqrt(covariance.diagonal().max() / draws)
        assert ours == pytest.approx(theirs.numpy(), abs=4 * error)

        # BoTorch's BALD takes Phi of the difference itself, although its likelihood divides by sqrt(2):
        # the function is compared on that, not the rule.
        some = pairs[::20]
        bald = PairwiseBayesianActiveLearningByDisagreement(model, num_samples=draws)
        value = bald(torch.tensor(x)[torch.tensor(some)]).numpy()
        told = vote_information(
            mean[some[:, 0]] - mean[some[:, 1]], difference_variance(covariance)[some[:, 0], some[:, 1]]
        )
        # entropies lie in [0, ln 2], so that their standard deviation is at most half of that
        assert told == pytest.approx(value, abs=4 * 0.5 * np.log(2) / np.sqrt(draws))
