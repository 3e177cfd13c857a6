"""Log-probabilities of tokens and completions, without logits for every token of the batch.

    log p(y_t | y_<t) = z_t[y_t] - log sum_v exp z_t[v]        z_t from the hidden state of position t - 1

Only the positions that predict a completion's token go through the head: neither the prompt nor padding
does. The shift by one is done here, once: a mask marks tokens, never the positions that predict them.
(Published code that took masks and logits at the same position measured a window that misses the first
token of each completion and runs one past its end.)
"""

from typing import NamedTuple

from palate.errors import InputError
from palate.policy._head import Rule, apply_head, shape_logits
from palate.policy._torch import Tensor, torch

__all__ = ["SequenceScores", "linear_log_probs", "sequence_log_probs"]


class SequenceScores(NamedTuple):
    """Scores of B rows.

    Attributes:
        logp_B: log pi of each completion, summed over its tokens, in nats, with gradient.
        length_B: Its number of tokens; 0 where the mask is empty.
        token_BS: log pi of each token from the second position on; 0 where it is not of the completion.
    """

    logp_B: Tensor
    length_B: Tensor
    token_BS: Tensor


def linear_log_probs(
    hidden_TD: Tensor,
    weight_VD: Tensor,
    target_T: Tensor,
    *,
    bias_V: Tensor | None = None,
    temperature: float = 1.0,
    softcap: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Log-probability of one token at each of T positions.

    Args:
        hidden_TD: Last hidden states of the positions that predict.
        weight_VD: The head's weights.
        target_T: The predicted tokens, integers in [0, V).
        bias_V: The head's bias.
        temperature: At which the tokens were sampled, > 0; 1 for objectives. Ratios of probabilities are
            wrong when sampling and training differ in it.
        softcap: c of c tanh(z / c), for models that cap their logits.
        chunk: Tokens a slice; as many as make 2^24 logits when left out.

    Returns:
        T log-probabilities in nats, in 32 bits; differentiable once in hidden states, weights and bias.

    Raises:
        ConfigError: ``temperature``, ``softcap`` or ``chunk`` is out of its range.
        InputError: The shapes do not fit.

    Example:
        >>> import torch
        >>> hidden, weight = torch.zeros(2, 3), torch.ones(4, 3)
        >>> linear_log_probs(hidden, weight, torch.tensor([0, 3])).exp().tolist()  # a uniform head
        [0.25, 0.25]
    """
    if target_T.shape != hidden_TD.shape[:1]:
        raise InputError(
            f"{tuple(target_T.shape)} targets do not fit hidden states of the shape {tuple(hidden_TD.shape)}"
        )
    rule = _log_prob_rule(target_T, temperature, softcap)
    return apply_head(hidden_TD, weight_VD, rule, bias_V=bias_V, chunk=chunk)


def sequence_log_probs(
    hidden_BTD: Tensor,
    weight_VD: Tensor,
    ids_BT: Tensor,
    completion_BT: Tensor,
    *,
    bias_V: Tensor | None = None,
    temperature: float = 1.0,
    softcap: float | None = None,
    chunk: int | None = None,
) -> SequenceScores:
    """Log-probabilities of B completions.

    Args:
        hidden_BTD: Last hidden states of whole rows: prompt, completion, padding.
        weight_VD: The head's weights.
        ids_BT: The rows' tokens.
        completion_BT: Which of them belong to the completion, as booleans. The first token of a row is
            predicted by nothing and never counts.
        bias_V: As in :func:`linear_log_probs`, like the rest.
        temperature: > 0.
        softcap: > 0, or ``None``.
        chunk: ≥ 1, or ``None``.

    Raises:
        ConfigError: ``temperature``, ``softcap`` or ``chunk`` is out of its range.
        InputError: The shapes do not fit.
    """
    if not hidden_BTD.shape[:2] == ids_BT.shape == completion_BT.shape:
        raise InputError(
            "hidden states, tokens and mask must agree in rows and positions, not "
            f"{tuple(hidden_BTD.shape)}, {tuple(ids_BT.shape)} and {tuple(completion_BT.shape)}"
        )
    wanted_BS = completion_BT[:, 1:].bool()
    logp_N = linear_log_probs(
        hidden_BTD[:, :-1][wanted_BS],
        weight_VD,
        ids_BT[:, 1:][wanted_BS],
        bias_V=bias_V,
        temperature=temperature,
        softcap=softcap,
        chunk=chunk,
    )
    token_BS = torch.zeros(wanted_BS.shape, dtype=logp_N.dtype, device=logp_N.device)
    token_BS = token_BS.masked_scatter(wanted_BS, logp_N)
    return SequenceScores(token_BS.sum(dim=1), wanted_BS.sum(dim=1), token_BS)


def _log_prob_rule(target_T: Tensor, temperature: float, softcap: float | None) -> Rule:
    def rule(part: slice, logits_CV: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
        logits_CV, shape = shape_logits(logits_CV, temperature, softcap)
        target_C1 = target_T[part, None]
        total_C1 = logits_CV.logsumexp(dim=1, keepdim=True)
        value_C = (logits_CV.gather(1, target_C1) - total_C1)[:, 0]
        if not wanted:
            return value_C, None
        slope_CV = logits_CV.sub_(total_C1).exp_().neg_()
        slope_CV.scatter_add_(1, target_C1, torch.ones_like(total_C1))
        return value_C, slope_CV.mul_(shape)

    return rule
