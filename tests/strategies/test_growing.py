"""What children are worth: hand-worked beliefs, extremes, and a simulation of what a round really gains."""

import numpy as np
import pytest

from palate.choice import Gaussian
from palate.strategies import duel_bandit, exploring, with_children, worth_of_growing
from palate.strategies._growing import likeness_of_kin

BELIEF = Gaussian(np.array([1.0, 0.0, -1.0]), np.array([[0.5, 0.1, 0.0], [0.1, 0.4, 0.0], [0.0, 0.0, 0.3]]))


def test_children_are_believed_what_the_prior_says_given_their_parents() -> None:
    mean_N, covariance_NN = with_children(BELIEF, [0, 0, 1], 0.6, 2.0, drift=0.25)
    assert mean_N.tolist() == pytest.approx([1.0, 0.0, -1.0, 0.85, 0.85, 0.25])
    assert covariance_NN[3, 0] == pytest.approx(0.6 * 0.5)
    assert covariance_NN[3, 1] == pytest.approx(0.6 * 0.1)
    assert covariance_NN[3, 4] == pytest.approx(0.36 * 0.5)  # two children of one parent
    assert covariance_NN[3, 5] == pytest.approx(0.36 * 0.1)
    assert covariance_NN[3, 3] == pytest.approx(0.36 * 0.5 + 0.64 * 2.0)
    assert np.linalg.eigvalsh(covariance_NN).min() > 0


def test_the_formula_is_the_conditional_of_a_joint_prior() -> None:
    # Parent and child have prior variance 2 and correlation 0.6; the parent was then learnt to be N(1, 0.5).
    prior = 2.0 * np.array([[1.0, 0.6], [0.6, 1.0]])
    weight = prior[1, 0] / prior[0, 0]
    mean, variance = weight * 1.0, prior[1, 1] - weight * prior[0, 1] + weight**2 * 0.5
    mean_N, covariance_NN = with_children(Gaussian(np.array([1.0]), np.array([[0.5]])), [0], 0.6, 2.0)
    assert (mean_N[1], covariance_NN[1, 1]) == pytest.approx((mean, variance))


def weigh(**changes: float) -> float:
    given = {"likeness": 0.6, "variance": 4.0, "clicks": 20, "drift": 0.0}
    return exploring(BELIEF, 0, [0, 1], **{**given, **changes}).exploring  # type: ignore[arg-type]


def test_the_extremes() -> None:
    assert exploring(BELIEF, 0, [0], likeness=0.5, variance=4.0, clicks=0) == (0.0, 0.0)
    assert not exploring(BELIEF, 0, [0], likeness=0.5, variance=4.0, clicks=0).grow
    assert weigh(drift=-20.0) == pytest.approx(0.0, abs=1e-3)  # children that are surely bad
    assert weigh(likeness=1.0, variance=1e-6) == pytest.approx(0.0, abs=2e-3)  # copies of their parents
    assert weigh(clicks=1000) == weigh(clicks=20)  # no further ahead than the stop rule looks


def test_it_is_worth_more_with_clicks_variance_and_better_children() -> None:
    assert weigh(clicks=2) < weigh(clicks=5) < weigh(clicks=20)
    assert weigh(variance=0.5) < weigh(variance=2.0) < weigh(variance=8.0)
    assert weigh(drift=-1.0) < weigh() < weigh(drift=1.0)
    sure = Gaussian(BELIEF.mean_N, 0.01 * BELIEF.covariance_NN)
    unsure = Gaussian(0.1 * BELIEF.mean_N, 20.0 * BELIEF.covariance_NN)
    told, untold = (exploring(each, 0, [0], likeness=0.6, variance=4.0, clicks=10) for each in (sure, unsure))
    # Where the present ones are told apart nothing is left to ask, and nearly all the worth is in children.
    assert told.asking < 0.001 < told.exploring
    assert untold.exploring < untold.asking


def test_likeness_is_the_priors_correlation_of_kin() -> None:
    rng = np.random.default_rng(0)
    far = rng.standard_normal((20, 6))
    near = far[:5] + 0.01 * rng.standard_normal((5, 6))
    apart = rng.standard_normal((5, 6))
    kin = [(k, 20 + k) for k in range(5)]
    close, loose = (likeness_of_kin(np.concatenate([far, more]), kin) for more in (near, apart))
    # The own part, 0.15 of a variance of one, is what even a copy does not share.
    assert close == pytest.approx(0.8, abs=0.1)
    assert loose < 0.3
    assert 0.0 <= likeness_of_kin(far, []) < 1.0


def test_a_bandit_weighs_its_own_belief_and_learns_what_its_children_are_like() -> None:
    rng = np.random.default_rng(1)
    feature_ND = rng.standard_normal((12, 4))
    utility_N = feature_ND @ np.array([1.5, -1.0, 0.5, 0.0])
    utility_N[8:] -= 6.0  # children of 0 to 3, all spoilt
    feature_ND[8:] = feature_ND[:4] + 0.3 * rng.standard_normal((4, 4))
    bandit = duel_bandit("default", feature_ND, seed=0)
    for _ in range(40):
        i, j = (int(k) for k in rng.choice(12, 2, replace=False))
        bandit.tell(i, j, "left" if rng.random() < 1 / (1 + np.exp(utility_N[j] - utility_N[i])) else "right")
    kin = [(k, 8 + k) for k in range(4)]
    spoilt = worth_of_growing(bandit, children=4, kin=kin, clicks=20)
    hopeful = worth_of_growing(bandit, children=4, kin=[(8 + k, k) for k in range(4)], clicks=20)
    assert spoilt.exploring < hopeful.exploring
    assert spoilt.asking == hopeful.asking


def test_what_is_promised_is_about_what_a_round_gains() -> None:
    """Simulated worlds of the prior itself: a round's real gain, after as many votes, against the promise."""
    rng = np.random.default_rng(3)
    feature = np.eye(4)
    promised, gained = [], []
    for world in range(150):
        scale, rho = 2.0, 0.5
        u = scale * rng.standard_normal(4)
        bandit = duel_bandit("gp-eubo", feature, seed=world)
        for _ in range(8):
            i, j = bandit.ask()
            bandit.tell(i, j, "left" if rng.random() < 1 / (1 + np.exp(u[j] - u[i])) else "right")
        belief, best = bandit.joint(range(4)), bandit.best()
        grown = with_children(belief, [best], rho, scale**2)
        promised.append(exploring(belief, best, [best], likeness=rho, variance=scale**2, clicks=20))
        child = rho * u[best] + scale * np.sqrt(1 - rho**2) * rng.standard_normal()
        # With many votes on it, the child is taken if it is better, and kept out otherwise.
        gained.append(max(1 / (1 + np.exp(u[best] - child)) - 0.5, 0.0))
        assert len(grown.mean_N) == 5
    worth = np.mean([each.exploring for each in promised])
    assert 0.3 * np.mean(gained) < worth < 1.2 * np.mean(gained)
