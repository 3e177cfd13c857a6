import numpy as np
import pytest

from palate.choice import VerdictModel, Votes, fit_trust, fit_verdicts, is_machine, sigmoid
from palate.choice._hypotheses import hypotheses_of
from palate.choice._trust import _judge, _messages, _modes
from palate.errors import InputError


def crowd(
    seed: int,
    people: tuple[float, ...],
    machines: tuple[tuple[float, float], ...] = (),
    *,
    size: int = 12,
    each: int = 60,
    machine_each: int = 200,
    scale: float = 1.5,
    side: float = 0.0,
) -> tuple[np.ndarray, Votes, np.ndarray]:
    """True utilities; people with these slopes, machines with slopes and alignments; sides of machines."""
    rng = np.random.default_rng(seed)
    utility = scale * rng.standard_normal(size)
    values = [a * utility for a in people]
    values += [
        a * (rho * utility + np.sqrt(1 - rho**2) * scale * rng.standard_normal(size)) for a, rho in machines
    ]
    judge = np.repeat(np.arange(len(values)), [each] * len(people) + [machine_each] * len(machines))
    first = rng.integers(size, size=len(judge))
    second = (first + rng.integers(1, size, size=len(judge))) % size
    table = np.array(values)
    gap = table[judge, first] - table[judge, second] + np.where(judge >= len(people), side, 0.0)
    said = (rng.random(len(judge)) < sigmoid(gap)).astype(float)
    machine = np.array([False] * len(people) + [True] * len(machines))
    return utility, Votes(first, second, said, judge_M=judge), machine


def centred_error(one: np.ndarray, two: np.ndarray) -> float:
    gap = (one - one.mean()) - (two - two.mean())
    return float(np.sqrt((gap**2).mean()))


@pytest.mark.parametrize("machine", [False, True])
def test_the_prior_of_judges_is_a_distribution(machine: bool) -> None:
    sorts = hypotheses_of(machine)
    assert np.exp(sorts.log_prior_H).sum() == pytest.approx(1.0)
    assert (np.abs(sorts.alignment_H) < 1).all()
    assert (sorts.slope_H >= 0).all()
    through = np.exp(sorts.log_prior_H) @ (sorts.slope_H * sorts.alignment_H)
    assert through == pytest.approx(0.85, abs=0.1) if not machine else through < 0.6


def test_a_message_is_what_bayes_says_of_one_vote() -> None:
    # One vote, hypothesis by hypothesis, against what is worked out by hand.
    votes = Votes(np.array([0]), np.array([1]), np.array([1.0]))
    judge = _judge(votes, 0, np.zeros((1, 0)), 1.0, machine=True)
    without = fit_verdicts(np.eye(2), Votes(np.zeros(0, int), np.zeros(0, int), np.zeros(0)), VerdictModel())[
        0
    ]
    modes = _modes(judge, without, np.eye(2))
    for h in (0, 20, 40, len(judge.sorts) - 1):
        a, rho = judge.sorts.slope_H[h], judge.sorts.alignment_H[h]
        # Before any vote either side is as likely, whatever the hypothesis.
        assert modes.log_evidence_H[h] == pytest.approx(np.log(0.5), abs=0.12)  # Laplace's error for one vote
        message = _messages(judge, modes, np.eye(2))
        # Information on u_0 - u_1 of a noisy sight of a rho d: (a rho)^2 / (1 / w + own variance + side).
        w = sigmoid(modes.at_HP[h] @ judge.design_MP[0]) * sigmoid(-modes.at_HP[h] @ judge.design_MP[0])
        told = (a * rho) ** 2 / (1 / w + 2 * a**2 * (1 - rho**2) + judge.sorts.side_std_H[h] ** 2)
        assert message.precision_HTT[h] == pytest.approx(told * np.array([[1, -1], [-1, 1]]), abs=1e-9)


def test_people_alone_are_believed_nearly_as_by_the_plain_fit() -> None:
    utility, votes, machine = crowd(0, (1, 1, 1, 1))
    fit = fit_trust(np.eye(12), votes, machine)
    plain = fit_verdicts(fit.scale**2 * np.eye(12), votes, VerdictModel())[0]
    assert np.corrcoef(fit.belief.mean_N, plain.mean_N)[0, 1] > 0.99
    assert np.corrcoef(fit.belief.mean_N, utility)[0, 1] > 0.9
    for judge in fit.judges:
        assert judge.coin < 0.05
        assert judge.contrary < 0.05
        assert judge.influence == pytest.approx(0.25, abs=0.12)


def test_coins_one_siders_and_contraries_are_told_apart() -> None:
    right = 0
    for seed in range(4):
        _, votes, machine = crowd(seed, (1, 1, 1, 1, 0, -1, 0), each=80)
        said = votes.outcome_M.copy()
        said[votes.judge_M == 6] = 1.0  # always the left
        votes = Votes(votes.first_M, votes.second_M, said, judge_M=votes.judge_M)
        judges = fit_trust(np.eye(12), votes, machine).judges
        right += judges[4].coin > 0.5
        right += judges[5].contrary > 0.5
        right += judges[6].coin > 0.9 and judges[6].side[0] > 2
        right += max(j.coin + j.contrary for j in judges[:4]) < 0.2
        assert judges[4].influence < 0.05 > judges[6].influence
    assert right >= 15


def test_a_thousand_votes_of_a_machine_do_not_outvote_people() -> None:
    # It is sharp, and its taste is its own: votes beyond count say nothing more of people's utilities.
    alone, trusted, naive = [], [], []
    for seed in range(3):
        utility, votes, machine = crowd(seed, (1,) * 4, ((2.0, 0.0),), machine_each=1000)
        fit = fit_trust(np.eye(12), votes, machine)
        mine = votes.judge_M < 4
        people = Votes(
            votes.first_M[mine], votes.second_M[mine], votes.outcome_M[mine], judge_M=votes.judge_M[mine]
        )
        alone.append(centred_error(fit_trust(np.eye(12), people, machine[:4]).belief.mean_N, utility))
        trusted.append(centred_error(fit.belief.mean_N, utility))
        naive.append(centred_error(fit_verdicts(2.25 * np.eye(12), votes, VerdictModel())[0].mean_N, utility))
        assert fit.judges[4].worth.value < 0.1
        assert fit.judges[4].influence < 0.2
    assert np.mean(trusted) < 1.15 * np.mean(alone)
    assert np.mean(naive) > 2 * np.mean(alone)


def test_a_machine_that_agrees_helps() -> None:
    alone, together = [], []
    for seed in range(3):
        utility, votes, machine = crowd(seed, (1,) * 4, ((1.0, 0.97),), each=30, machine_each=400)
        mine = votes.judge_M < 4
        people = Votes(
            votes.first_M[mine], votes.second_M[mine], votes.outcome_M[mine], judge_M=votes.judge_M[mine]
        )
        alone.append(centred_error(fit_trust(np.eye(12), people, machine[:4]).belief.mean_N, utility))
        fit = fit_trust(np.eye(12), votes, machine)
        together.append(centred_error(fit.belief.mean_N, utility))
        assert fit.judges[4].worth.low < 1.0 < fit.judges[4].worth.ceiling
    assert np.mean(together) < 0.8 * np.mean(alone)


def test_a_machines_side_and_length_are_found_against_people() -> None:
    utility, votes, machine = crowd(3, (1,) * 4, ((1.0, 0.95),), machine_each=600, side=0.8)
    rng = np.random.default_rng(3)
    longer = rng.standard_normal(len(votes))
    gap = (
        utility[votes.first_M]
        - utility[votes.second_M]
        + np.where(votes.judge_M == 4, 0.8 + 0.9 * longer, 0.0)
    )
    said = (rng.random(len(votes)) < sigmoid(gap)).astype(float)
    votes = Votes(votes.first_M, votes.second_M, said, judge_M=votes.judge_M)
    fit = fit_trust(np.eye(12), votes, machine, feature_MF=longer[:, None])
    judge = fit.judges[4]
    assert abs(judge.side[0] - 0.8) < 3 * judge.side[1] < 0.6
    assert abs(judge.bias_F[0] - 0.9) < 3 * judge.bias_std_F[0] < 0.6
    assert abs(fit.judges[0].bias_F[0]) < 3 * fit.judges[0].bias_std_F[0]


def test_no_people_no_claim() -> None:
    _, votes, machine = crowd(0, (), ((1.0, 0.9), (1.0, 0.9)))
    fit = fit_trust(np.eye(12), votes, machine)
    assert all(np.isnan(judge.worth).all() for judge in fit.judges)
    _, votes, machine = crowd(0, (1,))
    assert np.isnan(fit_trust(np.eye(12), votes, machine).judges[0].worth.value)


def test_agreement_by_chance_is_worth_nothing_in_the_end() -> None:
    worth = []
    for cast in (50, 400, 3000):
        _, votes, machine = crowd(1, (1,) * 5, ((0.0, 0.0),), machine_each=cast)
        worth.append(fit_trust(np.eye(12), votes, machine).judges[5].worth)
    assert worth[2].value < 0.01
    assert worth[0].value > worth[2].value
    assert worth[2].low == pytest.approx(0.0, abs=1e-3)


def test_equal_numbers_of_judges_and_order_change_nothing() -> None:
    _, votes, machine = crowd(2, (1, 1, 1), ((1.0, 0.6),))
    fit = fit_trust(np.eye(12), votes, machine)
    back = np.arange(len(votes))[::-1]
    turned = Votes(
        votes.second_M[back], votes.first_M[back], 1 - votes.outcome_M[back], judge_M=votes.judge_M[back]
    )
    again = fit_trust(np.eye(12), turned, machine)
    assert again.belief.mean_N == pytest.approx(
        fit.belief.mean_N, abs=1e-4
    )  # sides change sign, tastes do not
    assert again.judges[3].side[0] == pytest.approx(-fit.judges[3].side[0], abs=1e-4)
    assert again.judges[3].worth == pytest.approx(fit.judges[3].worth, abs=1e-3)


def test_nobody_and_nothing() -> None:
    none = Votes(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    fit = fit_trust(np.eye(3), none, np.array([False, True]))
    assert fit.belief.mean_N.tolist() == [0, 0, 0]
    assert [judge.votes for judge in fit.judges] == [0, 0]
    assert fit.judges[0].coin == pytest.approx(0.08)
    assert np.isnan(fit.judges[1].worth.value)


def test_bad_arguments() -> None:
    votes = Votes(np.array([0]), np.array([3]), np.array([1.0]))
    with pytest.raises(InputError, match="candidate 3"):
        fit_trust(np.eye(3), votes, np.array([False]))
    with pytest.raises(InputError, match="machine_J"):
        fit_trust(np.eye(4), votes, np.zeros(0, bool))
    with pytest.raises(InputError, match="covariance"):
        fit_trust(-np.eye(4), votes, np.array([False]))
    with pytest.raises(InputError, match="square"):
        fit_trust(np.ones((4, 3)), votes, np.array([False]))
    with pytest.raises(InputError, match="features"):
        fit_trust(np.eye(4), votes, np.array([False]), feature_MF=np.ones((2, 1)))


def test_names_of_machines() -> None:
    assert not any(map(is_machine, ("me", "anna", "", None, "rater 3")))
    assert all(map(is_machine, ("judge:model", "rules:x", "simulated", "cascade")))
