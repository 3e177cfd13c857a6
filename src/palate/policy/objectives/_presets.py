"""The published losses as members of the reward-aware family, one line a choice.

Names that mean several things in the field are spelled out, and their short forms are refused with the list
of what they may mean: APO (accelerated, anchored, automatic prompt), RPO (reward-aware, or DPO with a
likelihood term) and IPO (log-probabilities as sums or as means over tokens).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

from palate.errors import ConfigError, NotFoundError, nearest
from palate.policy.objectives._family import ImplicitReward, RewardAware, Target

__all__ = [
    "PRESETS",
    "agreement_aware",
    "cdpo",
    "dpo",
    "dpo_nll",
    "exo_pref",
    "exo_rw",
    "hinge",
    "ipo_mean",
    "ipo_sum",
    "preset",
    "rebel",
    "reinforce",
    "reward_aware",
    "reward_distillation",
    "reward_softmax",
    "rloo",
    "simpo",
]


def dpo(beta: float = 0.1) -> RewardAware:
    """Direct preference optimisation: -log sigmoid(a), a = beta (log-ratio of chosen - of rejected).

    Source: R. Rafailov et al., arXiv:2305.18290, equation 7.
    """
    return RewardAware("dpo", ImplicitReward(beta), Target("best"), "cross_entropy")


def cdpo(beta: float = 0.1, smoothing: float = 0.1) -> RewardAware:
    """DPO with labels that are wrong with probability ``smoothing``: the wanted gap is log((1 - e) / e).

    Source: E. Mitchell, "A note on DPO with noisy preferences", 2023.
    """
    return RewardAware("cdpo", ImplicitReward(beta), Target("best", smoothing=smoothing), "cross_entropy")


def dpo_nll(beta: float = 0.1, nll_weight: float = 1.0) -> RewardAware:
    """DPO and the mean log-likelihood of the chosen answer: what TRL's ``rpo_alpha`` meant.

    Source: R. Y. Pang et al., "Iterative Reasoning Preference Optimization", arXiv:2404.19733.
    """
    return RewardAware("dpo_nll", ImplicitReward(beta), Target("best"), nll_weight=nll_weight)


def ipo_mean(beta: float = 0.1) -> RewardAware:
    """Identity preference optimisation on log-probabilities a token: (gap - 1 / (2 beta))^2, as in TRL.

    On the scale of a = beta gap this is (a - 1/2)^2 / beta^2.

    Source: M. G. Azar et al., arXiv:2310.12036, equation 17.
    """
    return RewardAware(
        "ipo_mean", ImplicitReward(beta, mean=True), Target("gap", gap=0.5), "squared", 1 / beta**2
    )


def ipo_sum(beta: float = 0.1) -> RewardAware:
    """Identity preference optimisation on sums over tokens, as in OpenRLHF and NeMo-Aligner.

    The same beta is far stronger than in ``ipo_mean``, by the number of tokens squared.

    Source: M. G. Azar et al., arXiv:2310.12036, equation 17.
    """
    return RewardAware("ipo_sum", ImplicitReward(beta), Target("gap", gap=0.5), "squared", 1 / beta**2)


def hinge(beta: float = 0.1) -> RewardAware:
    """max(0, 1 - a): pairs that are a nat apart teach no more.

    Source: Y. Zhao et al., "SLiC-HF", arXiv:2305.10425, with DPO's implicit reward (T. Liu et al.,
    arXiv:2309.06657).
    """
    return RewardAware("hinge", ImplicitReward(beta), Target("best"), "hinge")


def simpo(beta: float = 2.0, margin: float = 1.0, smoothing: float = 0.0) -> RewardAware:
    """-log sigmoid(beta (l_w / |y_w| - l_l / |y_l|) - margin), without a reference.

    Source: Y. Meng et al., "SimPO", arXiv:2405.14734, equation 6; ``margin`` is the paper's gamma.
    """
    return RewardAware(
        "simpo",
        ImplicitReward(beta, reference=0.0, mean=True),
        Target("best", smoothing=smoothing, margin=margin),
        "cross_entropy",
    )


def reward_aware(
    distance: Literal["target_policy", "policy_target", "squared"], beta: float = 0.2, eta: float = 1.0
) -> RewardAware:
    """NVIDIA's reward-aware preference optimisation: the implicit gap meets eta times the gap of rewards.

    ``target_policy`` is its ``rpo_bwd_kl``, ``policy_target`` its ``rpo_fwd_kl``, ``squared`` its
    ``rpo_sq``; this is not what TRL called ``rpo_alpha`` (:func:`dpo_nll`).

    Source: S. Sun et al., arXiv:2502.00203, section 3.
    """
    return RewardAware(f"reward_aware_{distance}", ImplicitReward(beta), Target("reward", eta=eta), distance)


def reward_distillation(beta: float = 0.1, eta: float = 1.0) -> RewardAware:
    """(a - eta (r_w - r_l))^2 on given answers: regression of the implicit reward on a reward model.

    With the log-ratio of a teacher to the reference as rewards, and eta = beta, it distils that teacher.

    Source: A. Fisch et al., "Robust Preference Optimization through Reward Model Distillation",
    arXiv:2405.19316.
    """
    return RewardAware("reward_distillation", ImplicitReward(beta), Target("reward", eta=eta), "squared")


def rebel(beta: float = 1.0) -> RewardAware:
    """Regression to relative rewards; the reference is the iterate that sampled, so use a moving reference.

    Source: Z. Gao et al., "REBEL", arXiv:2404.16767; its eta is 1 / beta.
    """
    return RewardAware("rebel", ImplicitReward(beta), Target("reward"), "squared")


def rloo(beta: float = 0.1, eta: float = 1.0) -> RewardAware:
    """REINFORCE with the others of the group as baseline and the KL divergence in the reward.

    The gradient is that of -1/K sum_i A_i l_i, A_i = R_i - mean_{j != i} R_j, R = eta r - beta (l - l_ref).
    It is a policy gradient only if the completions were sampled from the present policy.

    Source: A. Ahmadian et al., "Back to Basics", arXiv:2402.14740; as a square, arXiv:2502.00203, section 3.
    """
    return RewardAware("rloo", ImplicitReward(beta), Target("reward", eta=eta), "squared", 1 / (4 * beta))


def reinforce(beta: float = 0.1, eta: float = 1.0) -> RewardAware:
    """As ``rloo`` with the mean of the whole group as baseline: its gradient times (K - 1) / K.

    This is GRPO's advantage without its division by the standard deviation.
    """
    return RewardAware("reinforce", ImplicitReward(beta), Target("reward", eta=eta), "centred", 1 / beta)


def exo_pref(beta: float = 0.1, smoothing: float = 1e-3) -> RewardAware:
    """Efficient exact optimisation from a pair: KL(P || (1 - e, e)); TRL's ``exo_pair``.

    The gradient vanishes when the policy has collapsed on the rejected answer: start from the reference and
    keep ``smoothing`` at 0.001 or more. The authors' code fixes it at 4.5e-5, whatever its option says.

    Source: H. Ji et al., arXiv:2402.00856, equation 16.
    """
    return RewardAware("exo_pref", ImplicitReward(beta), Target("best", smoothing=smoothing), "policy_target")


def exo_rw(beta: float = 0.1, reward_beta: float = 0.1) -> RewardAware:
    """Efficient exact optimisation from rewards: KL(softmax s || softmax(r / reward_beta)), K completions.

    Both temperatures act: the optimum is proportional to pi_ref exp(r / (reward_beta beta)). Completions must
    come from the reference; a later iterate's samples change the target.

    Source: H. Ji et al., arXiv:2402.00856, section 3.
    """
    return RewardAware("exo_rw", ImplicitReward(beta), Target("reward", eta=1 / reward_beta), "policy_target")


def reward_softmax(beta: float = 0.1, reward_beta: float = 0.1) -> RewardAware:
    """- sum_i T_i log P_i, T = softmax(r / reward_beta): DPO from the rewards of K completions (``DPO-rw``).

    Source: H. Ji et al., arXiv:2402.00856, section 3.
    """
    return RewardAware(
        "reward_softmax", ImplicitReward(beta), Target("reward", eta=1 / reward_beta), "cross_entropy"
    )


def agreement_aware(alpha: float, nll_weight: float, gamma: float = 0.0, beta: float = 0.1) -> RewardAware:
    """AIPO's loss: DPO whose wanted gap grows with the reference's own, and the chosen answer's likelihood.

    L = -log sigmoid(beta z) - nll_weight l_w / |y_w|,  z = (l_w - l_l) - (1 + alpha) (ref_w - ref_l) - gamma.
    Where the reference already prefers the chosen answer, more is asked for; where the other one, less.
    The log-probabilities in z are sums over tokens, that of the likelihood is a mean. The paper's code has no
    default for alpha, nll_weight and gamma either. alpha = nll_weight = gamma = 0 is DPO.

    Source: Y. Shen et al., "AIPO", arXiv:2409.08845, and its code for the sign of alpha.
    """
    if not alpha > -1:
        raise ConfigError(f"alpha must be above -1, not {alpha!r}: at -1 the reference is gone; 0 is DPO")
    return RewardAware(
        "agreement_aware",
        ImplicitReward(beta, reference=1.0 + alpha),
        Target("best", margin=beta * gamma),
        "cross_entropy",
        nll_weight=nll_weight,
    )


PRESETS: Mapping[str, Callable[..., RewardAware]] = MappingProxyType(
    {
        "agreement_aware": agreement_aware,
        "cdpo": cdpo,
        "dpo": dpo,
        "dpo_nll": dpo_nll,
        "exo_pref": exo_pref,
        "exo_rw": exo_rw,
        "hinge": hinge,
        "ipo_mean": ipo_mean,
        "ipo_sum": ipo_sum,
        "rebel": rebel,
        "reinforce": reinforce,
        "reward_aware": reward_aware,
        "reward_distillation": reward_distillation,
        "reward_softmax": reward_softmax,
        "rloo": rloo,
        "simpo": simpo,
    }
)
"""Every member of the family by its name."""

_SHORT_FORMS: Mapping[str, str] = MappingProxyType(
    {
        "aipo": "'agreement_aware' is AIPO's loss, and palate.policy.updates.agreement_aware its iterations",
        "apo": "accelerated preference optimisation is an update rule, "
        "palate.policy.updates.accelerated_preference; anchored preference optimisation (TRL's apo_zero, "
        "apo_down) is not here; automatic prompt optimisation needs no weights",
        "exo": "'exo_pref' learns from pairs, 'exo_rw' from the rewards of several completions",
        "ipo": "'ipo_mean' takes log-probabilities as means over tokens, as TRL does, 'ipo_sum' as sums",
        "rpo": "'reward_aware' is NVIDIA's reward-aware preference optimisation; "
        "'dpo_nll' is what TRL's rpo_alpha did",
    }
)


def preset(name: str, **options: float | str) -> RewardAware:
    """A member of the family by its name.

    Args:
        name: One of :data:`PRESETS`.
        **options: That preset's parameters.

    Raises:
        NotFoundError: The name is unknown, or a short form with several meanings; the text lists them.
        ConfigError: An option is unknown, missing or out of range.

    Example:
        >>> preset("cdpo", beta=0.5).target
        Target(kind='best', smoothing=0.1, gap=0.0, eta=1.0, margin=0.0)
    """
    if name in _SHORT_FORMS:
        raise NotFoundError(f"objective {name!r} is short for several things: {_SHORT_FORMS[name]}")
    if name not in PRESETS:
        raise NotFoundError(f"objective {name!r} is not known; {nearest(name, PRESETS)}")
    try:
        return PRESETS[name](**options)
    except TypeError as error:
        raise ConfigError(f"objective {name!r}: {error}") from error
