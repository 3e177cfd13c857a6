"""Values worked by hand, limits, equalities between members, and what must not count."""

import math

import pytest
import torch
from policy_kit import every_preset, random_completions, with_policy

from palate.errors import ConfigError, InputError, NotFoundError
from palate.policy import objectives
from palate.policy.objectives import (
    Completions,
    ImplicitReward,
    RewardAware,
    Target,
    kto,
    kto_reference_point,
    nll,
    odds_ratio,
    orpo,
    pair_distance,
    pairs,
    preset,
)

ROUNDING = 1e-10
DIGITS = 1e-6  # of the values below, which are written with seven


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def one_pair() -> Completions:
    """Log-ratios 1 and -0.5, so a gap of 1.5, and a = 0.75 at beta 1/2; two and five tokens."""
    return pairs(
        column(-3.0),
        column(-5.0),
        reference=(column(-4.0), column(-4.5)),
        length=(torch.tensor([2]), torch.tensor([5])),
        reward=(column(1.0), column(0.5)),
    )


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("dpo", {"beta": 0.5}, 0.3868710),  # ln(1 + e^-0.75)
        ("cdpo", {"beta": 0.5, "smoothing": 0.1}, 0.4618710),  # 0.9 x 0.3868710 + 0.1 x 1.1368710
        ("dpo_nll", {"beta": 0.5, "nll_weight": 0.2}, 0.6868710),  # + 0.2 x 3 / 2
        ("ipo_sum", {"beta": 0.5}, 0.25),  # (1.5 - 1)^2
        ("ipo_mean", {"beta": 0.5}, 0.16),  # (1 / 2 + 0.5 / 5 - 1)^2
        ("hinge", {"beta": 0.5}, 0.25),  # 1 - 0.75
        ("simpo", {"beta": 2.0, "margin": 1.0}, 2.1269280),  # 2 (-1.5 + 1) - 1 = -2; ln(1 + e^2)
        # p = sigmoid(0.5) = 0.6224593, q = sigmoid(0.75) = 0.6791787
        ("reward_aware", {"distance": "target_policy", "beta": 0.5}, 0.0071792),  # p ln p/q + ...
        ("reward_aware", {"distance": "policy_target", "beta": 0.5}, 0.0070007),  # q ln q/p + ...
        ("reward_aware", {"distance": "squared", "beta": 0.5}, 0.0625),  # (0.75 - 0.5)^2
        ("reward_distillation", {"beta": 0.5, "eta": 2.0}, 0.0625),  # (0.75 - 1)^2
        ("rebel", {"beta": 0.5}, 0.0625),
        ("rloo", {"beta": 0.5}, 0.03125),  # 0.0625 / (4 x 0.5)
        ("reinforce", {"beta": 0.5}, 0.015625),  # halves of 0.25 apart from their mean: 0.125^2 / 2 / 0.5
        ("exo_pref", {"beta": 0.5, "smoothing": 0.001}, 1.5893476),  # q ln q/0.999 + (1 - q) ln (1 - q)/0.001
        ("exo_rw", {"beta": 0.5, "reward_beta": 2.0}, 0.0286578),  # against sigmoid(0.25)
        ("reward_softmax", {"beta": 0.5, "reward_beta": 2.0}, 0.7152384),
        # z = 2 - 1.5 x 0.5 - 0.2 = 1.05; ln(1 + e^-0.525) + 0.3 x 3 / 2
        ("agreement_aware", {"alpha": 0.5, "nll_weight": 0.3, "gamma": 0.2, "beta": 0.5}, 0.9147118),
    ],
)
def test_values_worked_by_hand(name: str, options: dict[str, float | str], value: float) -> None:
    loss = preset(name, **options)(one_pair())
    assert loss.mean.item() == pytest.approx(value, abs=DIGITS)
    assert loss.count == 1


def test_every_preset_has_a_value_worked_by_hand() -> None:
    marks = test_values_worked_by_hand.pytestmark  # pyright: ignore[reportFunctionMemberAccess]
    assert {case[0] for case in marks[0].args[1]} == set(objectives.PRESETS)


def test_odds_kto_and_likelihood_by_hand() -> None:
    # log odds: -1.5 - ln(1 - e^-1.5) = -1.2475175 and -1 - ln(1 - e^-1) = -0.5413249; ln(1 + e^0.7061927)
    assert odds_ratio(one_pair()).mean.item() == pytest.approx(1.1073282, abs=DIGITS)
    assert orpo(one_pair(), weight=0.1).mean.item() == pytest.approx(1.5 + 0.11073282, abs=DIGITS)
    wanted = torch.tensor([True, False])
    # z = max(0, (0.4 + 0.2) / 2) = 0.3; sigmoid(-0.5 x 0.7) and 2 x sigmoid(0.5 x -0.8)
    point = kto_reference_point(column(-1.0, -2.0), column(-1.4, -2.2))
    each = kto(
        column(-3.0, -5.0), column(-4.0, -4.5), wanted, point, beta=0.5, unwanted_weight=2.0
    ).each_G.tolist()
    assert each == pytest.approx([1 / (1 + math.exp(0.35)), 2 / (1 + math.exp(0.4))], abs=ROUNDING)
    assert kto_reference_point(column(-5.0), column(-1.0)) == 0  # a negative estimate is none
    two = Completions(column(-6.0, -4.0)[:, None], length_GK=torch.tensor([[3], [1]]))
    assert [nll(two, average=kind).mean.item() for kind in ("sum", "mean", "tokens")] == [5.0, 3.0, 2.5]


def test_three_completions_by_hand() -> None:
    three = Completions(
        column(-1.0, -2.0, -3.0)[None], column(-1.0, -1.0, -1.0)[None], reward_GK=column(1.0, 0.0, 0.0)[None]
    )
    # s = (0, -1, -2), b = (1, 0, 0), d = (-1, -1, -2): gaps 0, 1, 1, so a mean square of 2/3
    squared = RewardAware("", ImplicitReward(1.0), Target("reward"), "squared")
    assert squared(three).mean.item() == pytest.approx(2 / 3, abs=ROUNDING)
    # mean -4/3, squares 1/9 + 1/9 + 4/9 = 2/3, halved and over three
    centred = RewardAware("", ImplicitReward(1.0), Target("reward"), "centred")
    assert centred(three).mean.item() == pytest.approx(1 / 9, abs=ROUNDING)
    # P = (e^2, e, 1) / 11.1073, T = (e, 1, 1) / 4.71828
    mass, wanted = [math.e**2, math.e, 1.0], [math.e, 1.0, 1.0]
    mass, wanted = [m / sum(mass) for m in mass], [w / sum(wanted) for w in wanted]
    exo = RewardAware("", ImplicitReward(1.0), Target("reward"), "policy_target")
    value = sum(m * math.log(m / w) for m, w in zip(mass, wanted, strict=True))
    assert exo(three).mean.item() == pytest.approx(value, abs=ROUNDING)
    assert preset("hinge", beta=1.0)(three).mean.item() == 0.0  # ahead by 1 and 2
    assert preset("hinge", beta=0.5)(three).mean.item() == 0.25  # ahead by 0.5 and 1


GAPS = torch.linspace(-6.0, 6.0, 25, dtype=torch.float64)


def test_dpo_is_the_limit_of_a_growing_target() -> None:
    certain = pair_distance(GAPS, torch.full_like(GAPS, math.inf), "target_policy")
    assert torch.allclose(certain, torch.log1p(torch.exp(-GAPS)), atol=ROUNDING)
    assert torch.allclose(
        pair_distance(GAPS, torch.full_like(GAPS, 40.0), "target_policy"), certain, atol=ROUNDING
    )


@pytest.mark.parametrize("smoothing", [1e-3, 0.1, 0.4])
def test_label_smoothing_is_a_finite_target(smoothing: float) -> None:
    wanted = torch.full_like(GAPS, math.log((1 - smoothing) / smoothing))
    pair = pairs(GAPS, torch.zeros_like(GAPS), reference=(torch.zeros_like(GAPS), torch.zeros_like(GAPS)))
    entropy = -smoothing * math.log(smoothing) - (1 - smoothing) * math.log(1 - smoothing)
    smoothed = preset("cdpo", beta=1.0, smoothing=smoothing)(pair).each_G
    assert torch.allclose(smoothed, pair_distance(GAPS, wanted, "target_policy") + entropy, atol=ROUNDING)
    exact = preset("exo_pref", beta=1.0, smoothing=smoothing)(pair).each_G
    assert torch.allclose(exact, pair_distance(GAPS, wanted, "policy_target"), atol=ROUNDING)


def test_ipo_is_a_square_with_a_constant_target() -> None:
    half = torch.full_like(GAPS, 0.5)
    for beta in (0.1, 0.7):
        pair = pairs(GAPS, torch.zeros_like(GAPS), reference=(torch.zeros_like(GAPS), torch.zeros_like(GAPS)))
        expected = 2 / beta**2 * 0.5 * pair_distance(beta * GAPS, half, "squared")
        assert torch.allclose(preset("ipo_sum", beta=beta)(pair).each_G, expected, atol=ROUNDING)


def test_two_completions_are_a_pair() -> None:
    """Softmax over two is the Bernoulli divergence of the gaps, in the order that the names say."""
    wanted = torch.linspace(-3.0, 5.0, 25, dtype=torch.float64)
    p, q = torch.sigmoid(wanted), torch.sigmoid(GAPS)
    first = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    second = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    assert torch.allclose(pair_distance(GAPS, wanted, "target_policy"), first, atol=ROUNDING)
    assert torch.allclose(pair_distance(GAPS, wanted, "policy_target"), second, atol=ROUNDING)
    assert torch.allclose(pair_distance(GAPS, wanted, "squared"), (GAPS - wanted) ** 2, atol=ROUNDING)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_all_pairs_are_one_centred_sum(size: int) -> None:
    completions = random_completions(3, size=size)
    loss = preset("reward_aware", distance="squared", beta=0.3)(completions)
    assert completions.reference_GK is not None
    assert completions.reward_GK is not None
    d = 0.3 * (completions.policy_GK - completions.reference_GK) - completions.reward_GK
    each = [(d[:, i] - d[:, j]) ** 2 for i in range(size) for j in range(i)]
    assert torch.allclose(loss.each_G, torch.stack(each).mean(dim=0), atol=ROUNDING)


def test_agreement_aware_without_its_terms_is_dpo_bit_for_bit() -> None:
    completions = random_completions(5, groups=50)
    plain = preset("agreement_aware", alpha=0.0, nll_weight=0.0, beta=0.1)(completions)
    assert torch.equal(plain.each_G, preset("dpo", beta=0.1)(completions).each_G)


def test_agreement_asks_for_more_where_the_reference_agrees() -> None:
    policy = (column(-2.0, -2.0), column(-2.0, -2.0))
    reference = (column(-1.0, -3.0), column(-3.0, -1.0))  # prefers the chosen one, then the other
    pair = pairs(*policy, reference=reference)
    gradients = []
    for alpha in (0.0, 0.5):
        chosen = policy[0].clone().requires_grad_()
        loss = preset("agreement_aware", alpha=alpha, nll_weight=0.0, beta=0.5)(
            pairs(chosen, policy[1], reference=reference)
        )
        (gradient,) = torch.autograd.grad(loss.total, chosen)
        gradients.append(-gradient)
    assert gradients[1][0] > gradients[0][0]
    assert gradients[1][1] < gradients[0][1]
    assert preset("agreement_aware", alpha=0.5, nll_weight=0.0, beta=0.5)(pair).each_G[0] > math.log(2)


def test_simpo_forgets_the_reference() -> None:
    completions = random_completions(1)
    alone = Completions(completions.policy_GK, None, completions.length_GK)
    assert torch.equal(preset("simpo")(alone).each_G, preset("simpo")(completions).each_G)


def test_the_two_normalisations_differ() -> None:
    completions = random_completions(2)
    summed, mean = preset("ipo_sum")(completions), preset("ipo_mean")(completions)
    assert not torch.allclose(summed.each_G, mean.each_G, rtol=0.1)
    single = Completions(
        completions.policy_GK,
        completions.reference_GK,
        torch.ones_like(completions.policy_GK, dtype=torch.long),
    )
    assert torch.allclose(preset("ipo_sum")(single).each_G, preset("ipo_mean")(single).each_G)


def test_smoothing_changes_exo() -> None:
    """The authors' code reads this option and does not use it."""
    one, other = (preset("exo_pref", smoothing=e)(one_pair()).mean for e in (0.001, 0.1))
    assert abs(one - other) > 0.1


@pytest.mark.parametrize("name", every_preset())
def test_rewards_count_up_to_a_constant(name: str) -> None:
    """A prompt's rewards, and its log-probabilities where sums are compared, may all be shifted together."""
    objective = every_preset()[name]
    completions = random_completions(8, size=2)
    assert completions.reward_GK is not None
    shifted = Completions(
        completions.policy_GK, completions.reference_GK, completions.length_GK, completions.reward_GK + 3.0
    )
    assert torch.allclose(objective(completions).each_G, objective(shifted).each_G, atol=1e-9)


@pytest.mark.parametrize("name", every_preset())
def test_what_is_masked_teaches_nothing(name: str) -> None:
    """A pair with an empty answer would add ln 2 to a batch; and NaN must not reach the gradient."""
    objective = every_preset()[name]
    completions = random_completions(4, groups=3, size=2)
    spoilt = completions.policy_GK.detach().clone()
    spoilt[1, 1] = math.nan
    spoilt.requires_grad_()
    length = completions.length_GK
    assert length is not None
    length = length.clone()
    length[1, 1] = 0
    masked = Completions(spoilt, completions.reference_GK, length, completions.reward_GK)
    kept = Completions(
        *(
            getattr(completions, key)[[0, 2]]
            for key in ("policy_GK", "reference_GK", "length_GK", "reward_GK")
        )
    )
    loss = objective(masked)
    assert loss.count == 2
    assert loss.counted_G.tolist() == [True, False, True]
    assert loss.mean.item() == pytest.approx(objective(kept).mean.item(), rel=1e-9)
    (gradient,) = torch.autograd.grad(loss.total, spoilt)
    assert gradient[1].tolist() == [0.0, 0.0]
    assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("name", every_preset())
def test_a_masked_completion_is_as_if_absent(name: str) -> None:
    objective = every_preset()[name]
    whole = random_completions(6, groups=1, size=4, masked=True)
    cut = Completions(
        *(getattr(whole, key)[:, :3] for key in ("policy_GK", "reference_GK", "length_GK", "reward_GK"))
    )
    assert objective(whole).mean.item() == pytest.approx(objective(cut).mean.item(), rel=1e-9)


def test_no_group_that_counts_is_a_loss_of_nothing() -> None:
    nothing = Completions(
        torch.full((2, 2), -1.0, requires_grad=True),
        torch.full((2, 2), -1.0),
        torch.zeros(2, 2, dtype=torch.long),
    )
    loss = preset("dpo")(nothing)
    assert (loss.mean.item(), loss.count.item()) == (0.0, 0)
    loss.mean.backward()
    assert nothing.policy_GK.grad is not None
    assert nothing.policy_GK.grad.abs().sum() == 0


@pytest.mark.parametrize("gap", [-400.0, 400.0])
@pytest.mark.parametrize("name", every_preset())
def test_far_apart_is_finite(name: str, gap: float) -> None:
    objective = every_preset()[name]
    policy = torch.tensor([[-500.0, -500.0 - gap]]).clamp(max=-1.0).requires_grad_()
    far = Completions(policy, torch.full((1, 2), -500.0), torch.full((1, 2), 40), torch.tensor([[1.0, 0.0]]))
    loss = objective(far).mean
    loss.backward()
    assert math.isfinite(loss.item())
    assert policy.grad is not None
    assert bool(torch.isfinite(policy.grad).all())


def test_half_precision_is_computed_in_full() -> None:
    policy = torch.tensor([[-1000.0, -1004.0]], dtype=torch.bfloat16)
    loss = preset("dpo", beta=0.5)(Completions(policy, policy))
    assert loss.each_G.dtype == torch.float32
    assert loss.mean.item() == pytest.approx(math.log(2), abs=1e-6)


def test_a_certain_answer_has_finite_odds() -> None:
    certain = torch.zeros(1, 2, requires_grad=True)
    loss = odds_ratio(Completions(certain, length_GK=torch.ones(1, 2, dtype=torch.long)))
    loss.mean.backward()
    assert certain.grad is not None
    assert bool(torch.isfinite(certain.grad).all())
    assert loss.mean.item() == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize(
    ("short", "means"), [("apo", "accelerated_preference"), ("rpo", "dpo_nll"), ("ipo", "ipo_sum")]
)
def test_names_that_clash_are_refused(short: str, means: str) -> None:
    with pytest.raises(NotFoundError, match=means):
        preset(short)


def test_wrong_names_and_options() -> None:
    with pytest.raises(NotFoundError, match="did you mean 'cdpo'"):
        preset("cdop")
    with pytest.raises(ConfigError, match="gamma"):
        preset("dpo", gamma=1.0)
    with pytest.raises(ConfigError, match="alpha"):
        preset("agreement_aware", nll_weight=0.1)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: preset("dpo", beta=0.0), "beta must be above 0"),
        (lambda: preset("dpo", beta=math.nan), "beta must be above 0"),
        (lambda: ImplicitReward(reference=-1.0), "reference must be 0 or more"),
        (lambda: preset("cdpo", smoothing=0.5), "smoothing must lie in"),
        (lambda: preset("exo_pref", smoothing=0.0), "infinite for a certain target"),
        (lambda: Target("worst"), "kind must be"),  # pyright: ignore[reportArgumentType]
        (lambda: Target("reward", margin=1.0), "margin has no meaning"),
        (lambda: Target("gap", gap=math.inf), "must be finite"),
        (lambda: Target("reward", eta=0.0), "eta must be above 0"),
        (lambda: RewardAware("", distance="squared"), "needs a finite target"),
        (lambda: RewardAware("", target=Target("gap"), distance="hinge"), "'hinge' knows only"),
        (lambda: RewardAware("", distance="kl"), "is not known"),  # pyright: ignore[reportArgumentType]
        (lambda: RewardAware("", scale=0.0), "scale must be above 0"),
        (lambda: RewardAware("", nll_weight=-1.0), "nll_weight must be 0 or more"),
        (lambda: preset("agreement_aware", alpha=-1.0, nll_weight=0.0), "alpha must be above -1"),
        (lambda: nll(one_pair(), average="words"), "average must be"),  # pyright: ignore[reportArgumentType]
        (lambda: orpo(one_pair(), weight=-1.0), "weight must be 0 or more"),
        (lambda: kto(column(-1.0), column(-1.0), torch.tensor([True]), beta=-1.0), "beta must be above 0"),
    ],
)
def test_what_does_not_go_together_is_refused(make: object, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        make()  # pyright: ignore[reportCallIssue]


def test_missing_and_misshapen_input_is_refused() -> None:
    policy = torch.full((3, 2), -1.0)
    with pytest.raises(InputError, match="reference_GK"):
        preset("dpo")(Completions(policy))
    with pytest.raises(InputError, match="length_GK"):
        preset("simpo")(Completions(policy))
    with pytest.raises(InputError, match="reward_GK"):
        preset("rloo")(Completions(policy, policy))
    with pytest.raises(InputError, match="two or more a group"):
        preset("dpo")(Completions(policy[:, :1], policy[:, :1]))
    with pytest.raises(InputError, match="has the shape"):
        Completions(policy, policy[:2])
    with pytest.raises(InputError, match="groups by completions"):
        Completions(policy[0])
    with pytest.raises(InputError, match="carries a gradient"):
        Completions(policy, policy.clone().requires_grad_())
    with pytest.raises(InputError, match="differ"):
        pairs(policy[:, 0], policy[:2, 0])
    with pytest.raises(InputError, match="in pairs"):
        odds_ratio(Completions(torch.full((1, 3), -1.0), length_GK=torch.ones(1, 3)))
    with pytest.raises(InputError, match="one shape"):
        kto(policy[:, 0], policy[:2, 0], torch.ones(3))
    with pytest.raises(InputError, match="reference point"):
        kto_reference_point(policy[:0, 0], policy[:0, 0])
    with pytest.raises(InputError, match="one shape"):
        objectives.group_distance(policy, policy[:2], policy > 0, "squared")


def test_values_are_looked_at_on_request() -> None:
    good = torch.full((2, 2), -1.0)
    Completions(good, good).check()
    for spoil, text in ((math.nan, "NaN"), (0.5, "above 0")):
        bad = good.clone()
        bad[0, 1] = spoil
        with pytest.raises(InputError, match=text):
            Completions(bad, good).check()
        valid = torch.tensor([[True, False], [True, True]])
        Completions(bad, good, valid_GK=valid).check()
    with pytest.raises(InputError, match="reward_GK"):
        Completions(good, reward_GK=torch.full((2, 2), math.inf)).check()


def test_sums_over_parts_are_the_sum() -> None:
    """What a trainer does that accumulates gradients: totals over the count of the whole step."""
    completions = random_completions(9, groups=7)
    objective = preset("cdpo")
    whole = objective(completions)
    parts = [
        objective(with_policy_rows(completions, rows)) for rows in (slice(0, 2), slice(2, 3), slice(3, 7))
    ]
    total = sum((part.total for part in parts), torch.zeros(()))
    count = sum(int(part.count) for part in parts)
    assert (total / count).item() == pytest.approx(whole.mean.item(), abs=ROUNDING)


def with_policy_rows(completions: Completions, rows: slice) -> Completions:
    keys = ("policy_GK", "reference_GK", "length_GK", "reward_GK", "valid_GK")
    return Completions(*(getattr(completions, key)[rows] for key in keys))


def test_the_policy_can_be_exchanged() -> None:
    completions = random_completions(0)
    other = with_policy(completions, completions.policy_GK.detach() - 1.0)
    assert not torch.equal(other.policy_GK, completions.policy_GK)
    # A shift of both log-probabilities of a pair changes no gap.
    assert torch.allclose(preset("dpo")(other).each_G, preset("dpo")(completions).each_G)
