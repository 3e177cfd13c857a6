"""Rules over iterations against closed forms on tabular policies, and the ways in which they go wrong."""

import math

import numpy as np
import pytest
import torch
from policy_kit import minimise
from torch import Tensor

from palate.errors import ConfigError, InputError, NotFoundError
from palate.policy.objectives import Completions, Loss, agreement_aware, dpo, reward_aware
from palate.policy.updates import (
    RULES,
    Iterates,
    LowRank,
    UpdateRule,
    accelerated_preference,
    advance,
    begin,
    best_and_worst,
    choose_momentum,
    extrapolate,
    extrapolate_low_rank,
    iterative_fixed,
    iterative_moving,
    moving_average,
    offline,
    rule,
    training_window,
)
from palate.policy.updates import agreement_aware as agreement_aware_rule

EXACT = 1e-10
SEARCH = 1e-5
ANSWERS, BETA = 20, 10.0


def task(seed: int = 0, answers: int = ANSWERS) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    base = torch.randn(answers, generator=draw, dtype=torch.float64)
    return base, torch.randn(answers, generator=draw, dtype=torch.float64)


def logp(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits, dim=-1)


def run(update: UpdateRule, base: Tensor, reward: Tensor, rounds: int, beta: float = BETA) -> list[Iterates]:
    """Iterations whose training is exact: pi_ref exp(r / beta)."""
    states = [begin({"logits": base})]
    for _ in range(rounds):
        states.append(advance(update, states[-1], {"logits": states[-1].reference["logits"] + reward / beta}))
    return states


def closed_form(base: Tensor, reward: Tensor, rounds: int, momentum: float, beta: float = BETA) -> Tensor:
    steps = rounds - momentum * (1 - momentum**rounds) / (1 - momentum)
    return base + reward / (beta * (1 - momentum)) * steps


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.5, 0.8])
def test_acceleration_has_its_closed_form(momentum: float) -> None:
    base, reward = task()
    states = run(accelerated_preference(momentum), base, reward, 40)
    for rounds in (1, 2, 5, 10, 40):
        wanted = closed_form(base, reward, rounds, momentum)
        assert torch.allclose(states[rounds].trained["logits"], wanted, atol=EXACT)
        # What samples next is ahead by alpha times the last change, alpha^t r / beta summed.
        ahead = momentum * (1 - momentum**rounds) / (1 - momentum) * reward / BETA
        assert torch.allclose(states[rounds].current["logits"], wanted + ahead, atol=EXACT)


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_the_closed_form_is_reached_by_training(momentum: float) -> None:
    """The same with a real objective, minimised each time, instead of its known minimum."""
    base, reward = task(1, 5)
    objective = reward_aware("target_policy", beta=2.0)
    state = begin({"logits": base})
    update = accelerated_preference(momentum)
    for rounds in range(1, 5):
        reference = logp(state.reference["logits"])

        def loss(logits: Tensor, reference: Tensor = reference) -> Loss:
            return objective(Completions(logp(logits)[None], reference[None], reward_GK=reward[None]))

        state = advance(update, state, {"logits": minimise(loss, state.start["logits"])})
        wanted = closed_form(base, reward, rounds, momentum, beta=2.0)
        assert torch.allclose(logp(state.trained["logits"]), logp(wanted), atol=SEARCH)


def shortfall(reward: Tensor, logits: Tensor) -> float:
    return float(reward.max() - (logp(logits).exp() * reward).sum())


@pytest.mark.parametrize("momentum", [0.5, 0.8])
def test_acceleration_is_faster_than_its_beta_and_slower_than_a_tuned_one(momentum: float) -> None:
    base, reward = task(3)
    fast = run(accelerated_preference(momentum), base, reward, 40)
    plain = run(iterative_moving(), base, reward, 40)
    tuned = run(iterative_moving(), base, reward, 40, beta=BETA * (1 - momentum))
    for rounds in (5, 10, 20, 40):
        values = [shortfall(reward, states[rounds].trained["logits"]) for states in (tuned, fast, plain)]
        assert values[0] < values[1] < values[2]


def test_a_fixed_reference_is_an_anchor_and_a_moving_one_is_not() -> None:
    base, reward = task(4)
    fixed, moving = run(iterative_fixed(), base, reward, 30), run(iterative_moving(), base, reward, 30)
    for rounds in (1, 10, 30):
        assert torch.allclose(fixed[rounds].current["logits"], base + reward / BETA)
        assert torch.allclose(moving[rounds].current["logits"], base + rounds * reward / BETA)
    assert fixed[-1].reference["logits"] is base
    assert moving[-1].reference is moving[-1].current


def test_where_training_starts() -> None:
    base, reward = task(5)
    assert run(offline(), base, reward, 3)[-1].start["logits"] is base
    warm = run(iterative_fixed(), base, reward, 3)[-1]
    assert warm.start is warm.current


def test_a_reference_that_moves_now_and_then() -> None:
    update = UpdateRule("", "previous", every=3)
    state = begin({"w": torch.tensor([0.0])})
    seen = []
    for value in range(1, 8):
        state = advance(update, state, {"w": torch.tensor([float(value)])})
        seen.append(state.reference["w"].item())
    assert seen == [0.0, 0.0, 3.0, 3.0, 3.0, 6.0, 6.0]


def test_a_reference_that_follows() -> None:
    state = begin({"w": torch.tensor([0.0])})
    seen = []
    for value in (1.0, 1.0, 3.0):
        state = advance(moving_average(0.75), state, {"w": torch.tensor([value])})
        seen.append(state.reference["w"].item())
    assert seen == [0.25, 0.4375, 1.078125]  # 3/4 of the old and 1/4 of the new


def test_windows() -> None:
    rounds = ["a", "b", "c"]
    assert training_window(iterative_fixed(), rounds) == ["a", "b", "c"]
    assert training_window(iterative_moving(), rounds) == ["c"]
    assert training_window(iterative_moving(window=2), rounds) == ["b", "c"]
    assert training_window(agreement_aware_rule(), rounds) == ["c"]


def tabular_rounds(objective: object, update: UpdateRule, rounds: int = 4) -> Iterates:
    """Sample five answers from the policy, take best and worst, train by plain gradient steps, move on."""
    rng = np.random.default_rng(7)
    base, reward = task(6, 8)
    length = torch.arange(1, 9)
    state = begin({"logits": base})
    data: list[Tensor] = []
    for _ in range(rounds):
        prob = logp(state.current["logits"]).exp().numpy()
        drawn = torch.from_numpy(rng.choice(8, size=(40, 5), p=prob / prob.sum()))
        pairing = best_and_worst(reward[drawn].numpy())
        group = torch.from_numpy(pairing.group_M)
        columns = [drawn[group, torch.from_numpy(side)] for side in (pairing.chosen_M, pairing.rejected_M)]
        data.append(torch.stack(columns, dim=1))
        pairs = torch.cat(list(training_window(update, data)))
        logits = state.start["logits"].clone().requires_grad_()
        for _ in range(20):
            loss = objective(  # pyright: ignore[reportCallIssue]
                Completions(logp(logits)[pairs], logp(state.reference["logits"])[pairs], length[pairs])
            ).mean
            (gradient,) = torch.autograd.grad(loss, logits)
            logits = (logits - 2.0 * gradient).detach().requires_grad_()
        state = advance(update, state, {"logits": logits.detach()})
    return state


def test_agreement_aware_iterations_without_its_terms_are_iterative_dpo_bit_for_bit() -> None:
    plain = agreement_aware(alpha=0.0, nll_weight=0.0, gamma=0.0, beta=0.1)
    ours = tabular_rounds(plain, agreement_aware_rule())
    dpo_rounds = tabular_rounds(dpo(0.1), iterative_moving())
    assert torch.equal(ours.current["logits"], dpo_rounds.current["logits"])
    with_terms = tabular_rounds(agreement_aware(alpha=0.3, nll_weight=0.1), agreement_aware_rule())
    assert not torch.allclose(ours.current["logits"], with_terms.current["logits"], atol=1e-3)
    base, reward = task(6, 8)
    for state in (ours, with_terms):
        assert shortfall(reward, state.current["logits"]) < 0.8 * shortfall(reward, base)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: UpdateRule("", "initial", momentum=0.3), "needs the reference 'previous'"),
        (lambda: UpdateRule("", "previous", every=2, momentum=0.3), "needs the reference 'previous'"),
        (lambda: UpdateRule("", "previous", start="initial", momentum=0.3), "needs the reference 'previous'"),
        (lambda: accelerated_preference(1.0), r"momentum must lie in \[0, 1\)"),
        (lambda: accelerated_preference(math.nan), r"momentum must lie in \[0, 1\)"),
        (lambda: UpdateRule("", "newest"), "reference must be"),  # pyright: ignore[reportArgumentType]
        (lambda: UpdateRule("", start="never"), "start must be"),  # pyright: ignore[reportArgumentType]
        (lambda: UpdateRule("", every=2), "every must be 1 or more"),
        (lambda: UpdateRule("", keep=0.5), "keep must lie in"),
        (lambda: iterative_moving(window=0), "window must be 1 or more"),
        (lambda: rule("accelerated_preference", alpha=0.3), "alpha"),
    ],
)
def test_what_does_not_go_together_is_refused(make: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()  # pyright: ignore[reportCallIssue]


def test_rules_by_name() -> None:
    assert {name: rule(name).name for name in RULES} == {name: name for name in RULES}
    assert [rule(name).moves for name in ("offline", "iterative_fixed", "agreement_aware")] == [
        False,
        False,
        True,
    ]
    with pytest.raises(NotFoundError, match="accelerated_preference"):
        rule("apo")
    with pytest.raises(NotFoundError, match="did you mean 'offline'"):
        rule("ofline")


def test_a_momentum_is_chosen_on_what_is_held_out() -> None:
    """Without an anchor to lose, the largest wins; where the last step went too far, none does."""
    state = begin({"w": torch.tensor([0.0])})
    update = iterative_moving()
    trained = {"w": torch.tensor([1.0])}

    def near(goal: float) -> UpdateRule:
        return choose_momentum(update, state, trained, (0.0, 0.25, 0.5), lambda p: -abs(p["w"].item() - goal))

    assert [near(goal).momentum for goal in (9.0, 1.3, 0.5)] == [0.5, 0.25, 0.0]
    flat = choose_momentum(update, state, trained, (0.5, 0.25), lambda p: 0.0)
    assert flat.momentum == 0.25
    with pytest.raises(ConfigError, match="none of the momenta"):
        choose_momentum(update, state, trained, (0.5,), lambda p: math.nan)


def test_sixteen_bits_lose_small_steps() -> None:
    """A step of 2^-10 on a weight of 1 is below the spacing of bfloat16, 2^-7."""
    old = {"w": torch.ones(100, dtype=torch.float32)}
    new = {"w": torch.full((100,), 1 + 2**-10, dtype=torch.float32)}
    kept = extrapolate(new, old, 0.5)
    assert kept.parameters["w"][0].item() == 1 + 1.5 * 2**-10
    assert (kept.lost, kept.step) == (0.0, pytest.approx(10 * 0.5 * 2**-10))
    lost = extrapolate(new, old, 0.5, dtype=torch.bfloat16)
    assert lost.parameters["w"][0].item() == 1.0
    assert lost.lost == pytest.approx(3.0)  # the step before it is gone as well
    narrow = {"w": old["w"].bfloat16()}
    assert extrapolate(narrow, narrow, 0.5).parameters["w"].dtype == torch.bfloat16
    state = advance(accelerated_preference(0.5), begin(old), new, dtype=torch.bfloat16)
    assert state.lost == pytest.approx(3.0)


def test_extrapolation_leaves_counters_and_its_inputs_alone() -> None:
    old = {"w": torch.tensor([1.0]), "steps": torch.tensor([3])}
    new = {"w": torch.tensor([2.0], requires_grad=True), "steps": torch.tensor([5])}
    result = extrapolate(new, old, 1.0).parameters
    assert (result["w"].item(), result["steps"].item()) == (3.0, 5)
    assert not result["w"].requires_grad
    assert (old["w"].item(), new["w"].item()) == (1.0, 2.0)
    still = extrapolate(new, old, 0.0).parameters["w"]
    still += 1.0
    assert new["w"].item() == 2.0


def test_models_that_differ_are_refused() -> None:
    one = {"w": torch.zeros(2)}
    with pytest.raises(InputError, match="only one of both has the parameters v"):
        extrapolate(one, {"v": torch.zeros(2)}, 0.5)
    with pytest.raises(InputError, match="has the shapes"):
        extrapolate(one, {"w": torch.zeros(3)}, 0.5)
    with pytest.raises(ConfigError, match="must be finite"):
        extrapolate(one, one, math.inf)


def adapter(seed: int, rank: int, scale: float) -> LowRank:
    draw = torch.Generator().manual_seed(seed)
    up = torch.randn(12, rank, generator=draw, dtype=torch.float64)
    return LowRank(up, torch.randn(rank, 9, generator=draw, dtype=torch.float64), scale)


def test_adapters_are_extrapolated_as_what_they_stand_for() -> None:
    new, old = adapter(0, 3, 2.0), adapter(1, 2, 0.5)
    wanted = 1.4 * new.product_OI - 0.4 * old.product_OI
    result, error = extrapolate_low_rank(new, old, 0.4)
    assert (result.up_OR.shape, result.scale, error) == ((12, 5), 2.0, 0.0)
    assert torch.allclose(result.product_OI, wanted, atol=EXACT)
    same = adapter(2, 3, 2.0)
    apart = LowRank(
        new.up_OR + 0.4 * (new.up_OR - same.up_OR), new.down_RI + 0.4 * (new.down_RI - same.down_RI), 2.0
    )
    right = 1.4 * new.product_OI - 0.4 * same.product_OI
    assert float((apart.product_OI - right).norm() / right.norm()) > 0.1  # factor by factor is another matrix


def test_adapters_are_cut_to_the_closest_of_their_rank() -> None:
    new, old = adapter(0, 3, 2.0), adapter(1, 2, 0.5)
    wanted = 1.4 * new.product_OI - 0.4 * old.product_OI
    u, size, v = torch.linalg.svd(wanted)
    best = u[:, :3] * size[:3] @ v[:3]
    result, error = extrapolate_low_rank(new, old, 0.4, rank=3)
    assert result.up_OR.shape == (12, 3)
    assert torch.allclose(result.product_OI, best, atol=1e-9)
    assert error == pytest.approx(float((wanted - best).norm() / wanted.norm()), abs=1e-9)
    same, none = extrapolate_low_rank(new, new, 0.7, rank=3)
    assert none < 1e-9
    assert torch.allclose(same.product_OI, new.product_OI, atol=1e-9)


def test_adapters_that_do_not_fit_are_refused() -> None:
    new = adapter(0, 3, 2.0)
    with pytest.raises(InputError, match="one matrix"):
        extrapolate_low_rank(new, LowRank(torch.zeros(5, 3), torch.zeros(3, 9)), 0.4)
    with pytest.raises(InputError, match="scale of 0"):
        extrapolate_low_rank(new._replace(scale=0.0), new, 0.4)
    with pytest.raises(ConfigError, match="rank must be"):
        extrapolate_low_rank(new, new, 0.4, rank=0)
    with pytest.raises(ConfigError, match="must be finite"):
        extrapolate_low_rank(new, new, math.nan)
