"""The exact divergence from a prior's next token to the policy's, without logits for every token.

    KL_t(p0 || p) = sum_v p0(v) (log p0(v) - log p(v))     where t predicts a completion's token

p0 comes first: it is the prior, and the policy must keep mass wherever the prior has some. This is the
direction of SuperHF; PPO's penalty is the other one. It is returned a token, so that whoever trains takes
the same average for it as for the likelihood beside it; a sum over a minibatch beside a mean would make its
weight grow with the minibatch.

Source: G. Mukobi et al., "SuperHF: Supervised Iterative Learning from Human Feedback", arXiv:2310.16763,
section 3; the average and the positions differ from the published code as said above and in
:mod:`palate.policy._logprobs`.
"""

from palate.errors import InputError
from palate.policy._head import Rule, apply_head, shape_logits
from palate.policy._torch import Tensor, torch

__all__ = ["linear_prior_kl"]


def linear_prior_kl(
    hidden_TD: Tensor,
    weight_VD: Tensor,
    prior_hidden_TD: Tensor,
    prior_weight_VD: Tensor | None = None,
    *,
    softcap: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """KL(prior || policy) over the whole vocabulary at each of T positions.

    Args:
        hidden_TD: Last hidden states of the policy.
        weight_VD: The policy's head.
        prior_hidden_TD: Last hidden states of the prior at the same positions, such as the same network with
            its adapter off; no gradient flows into it.
        prior_weight_VD: The prior's head; the policy's, as it is now, when left out.
        softcap: c of c tanh(z / c), for models that cap their logits.
        chunk: Tokens a slice; as many as make 2^24 logits when left out.

    Returns:
        T divergences ≥ 0 in nats, in 32 bits; differentiable once in the policy's hidden states and head.

    Raises:
        ConfigError: ``softcap`` or ``chunk`` is out of its range.
        InputError: The shapes do not fit.

    Example:
        >>> import torch
        >>> hidden, weight = torch.randn(5, 3), torch.randn(7, 3)
        >>> linear_prior_kl(hidden, weight, hidden).abs().max().item() < 1e-6
        True
    """
    if prior_weight_VD is None:
        prior_weight_VD = weight_VD
    if prior_hidden_TD.shape != hidden_TD.shape or prior_weight_VD.shape != weight_VD.shape:
        raise InputError(
            "policy and prior must agree in positions, width and vocabulary, not "
            f"{tuple(hidden_TD.shape)} and {tuple(prior_hidden_TD.shape)}, "
            f"{tuple(weight_VD.shape)} and {tuple(prior_weight_VD.shape)}"
        )
    rule = _prior_rule(prior_hidden_TD.detach(), prior_weight_VD.detach(), softcap)
    return apply_head(hidden_TD, weight_VD, rule, chunk=chunk)


def _prior_rule(prior_hidden_TD: Tensor, prior_weight_VD: Tensor, softcap: float | None) -> Rule:
    prior_hidden_TD = prior_hidden_TD.to(prior_weight_VD.dtype)

    def rule(part: slice, logits_CV: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
        logits_CV, shape = shape_logits(logits_CV, 1.0, softcap)
        prior_CV = (prior_hidden_TD[part] @ prior_weight_VD.T).to(logits_CV.dtype)
        prior_CV = torch.log_softmax(shape_logits(prior_CV, 1.0, softcap)[0], dim=1)
        log_policy_CV = torch.log_softmax(logits_CV, dim=1)
        mass_CV = prior_CV.exp()
        value_C = torch.linalg.vecdot(mass_CV, prior_CV - log_policy_CV)
        if not wanted:
            return value_C, None
        return value_C, log_policy_CV.exp_().sub_(mass_CV).mul_(shape)

    return rule
