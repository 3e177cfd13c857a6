"""A language model's head in slices of tokens, so that tokens times vocabulary is never held.

For a head z_t = W h_t + b and a function f of each token's logits, with slope g_t = df/dz_t,

    f_t = f(z_t)        df_t/dh_t = W^T g_t        dF/dW = sum_t w_t g_t h_t^T,   w_t = dF/df_t

A slice of the logits is computed, used and overwritten. Where the head is frozen (LoRA), W^T g_t is
computed in the forward pass, while the slice is there, and kept: T x D numbers, and no second product with
W. Where the head is trained, the backward pass computes the slice again, since w_t is unknown before.

Source of the idea: E. Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models",
arXiv:2411.09009. That paper also skips vocabulary blocks whose probabilities vanish; here every logit
counts.
"""

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from palate.errors import ConfigError, InputError
from palate.policy._torch import Tensor, full_dtype, torch

__all__ = ["Rule", "apply_head", "shape_logits"]

Rule: TypeAlias = Callable[[slice, Tensor, bool], "tuple[Tensor, Tensor | None]"]
"""From the tokens' place, their logits (may be overwritten) and whether a slope is wanted, to f and g."""

_HELD_LOGITS = 2**24  # 64 MiB in 32 bits: large enough for full speed, small beside the weights


def apply_head(
    hidden_TD: Tensor,
    weight_VD: Tensor,
    rule: Rule,
    *,
    bias_V: Tensor | None = None,
    chunk: int | None = None,
) -> Tensor:
    """Apply a function of the logits to every token.

    Args:
        hidden_TD: Last hidden states of T tokens.
        weight_VD: The head's weights, one row a token of the vocabulary.
        rule: The function and its slope.
        bias_V: The head's bias.
        chunk: Tokens a slice, ≥ 1; as many as make 2^24 logits when left out.

    Returns:
        f_T in 32 bits (64 for inputs of 64), differentiable once in the hidden states, weights and bias.

    Raises:
        ConfigError: ``chunk`` is below 1.
        InputError: The shapes do not fit.
    """
    if hidden_TD.dim() != 2 or weight_VD.dim() != 2 or hidden_TD.shape[1] != weight_VD.shape[1]:
        raise InputError(
            "hidden states must be tokens by width and weights vocabulary by width, not "
            f"{tuple(hidden_TD.shape)} and {tuple(weight_VD.shape)}"
        )
    if chunk is None:
        chunk = max(1, _HELD_LOGITS // weight_VD.shape[0])
    if chunk < 1:
        raise ConfigError(f"chunk must be 1 or more tokens, not {chunk!r}")
    kind = hidden_TD.device.type
    dtype = torch.promote_types(hidden_TD.dtype, weight_VD.dtype)
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    # Cast where autograd sees it, so that gradients come back in the callers' own types.
    bias_V = None if bias_V is None else bias_V.to(dtype)
    hidden_TD, weight_VD = hidden_TD.to(dtype), weight_VD.to(dtype)
    value_T: Tensor = _Head.apply(hidden_TD, weight_VD, bias_V, rule, chunk)  # pyright: ignore[reportAssignmentType]
    return value_T


def shape_logits(
    logits_CV: Tensor, temperature: float, softcap: float | None
) -> tuple[Tensor, Tensor | float]:
    """Cap and cool logits: z = c tanh(z / c), then z / temperature; and dz, elementwise.

    Raises:
        ConfigError: ``temperature`` or ``softcap`` is not above 0.
    """
    for name, value in (("temperature", temperature), ("softcap", softcap)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{name} must be above 0 and finite, not {value!r}")
    slope: Tensor | float = 1.0 / temperature
    if softcap is not None:
        logits_CV = torch.tanh(logits_CV / softcap)
        slope = (1 - logits_CV**2) / temperature
        logits_CV = softcap * logits_CV
    return (logits_CV if temperature == 1 else logits_CV / temperature), slope


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's own context
        hidden_TD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        rule: Rule,
        chunk: int,
    ) -> Tensor:
        hidden, weight, bias = ctx.needs_input_grad[:3]
        ctx.again = weight or bias
        keep = hidden and not ctx.again
        value_T = torch.empty(len(hidden_TD), dtype=full_dtype(hidden_TD), device=hidden_TD.device)
        slope_TD = torch.empty_like(hidden_TD) if keep else None
        for part in _parts(len(hidden_TD), chunk):
            value_C, slope_CV = rule(part, _logits(hidden_TD[part], weight_VD, bias_V), keep)
            value_T[part] = value_C
            if slope_TD is not None and slope_CV is not None:
                slope_TD[part] = slope_CV.to(weight_VD.dtype) @ weight_VD
            del slope_CV  # or it would live beside the next slice
        ctx.rule, ctx.chunk = rule, chunk
        if ctx.again:
            ctx.save_for_backward(hidden_TD, weight_VD, bias_V)
        else:
            ctx.save_for_backward(slope_TD)
        return value_T

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,  # noqa: ANN401
        grad_T: Tensor,
    ) -> tuple[Tensor | None, ...]:
        if not ctx.again:
            (slope_TD,) = ctx.saved_tensors
            return (grad_T.to(slope_TD.dtype)[:, None] * slope_TD, None, None, None, None)
        hidden_TD, weight_VD, bias_V = ctx.saved_tensors
        hidden, weight, bias = ctx.needs_input_grad[:3]
        wide = full_dtype(hidden_TD)
        hidden_grad = torch.empty_like(hidden_TD) if hidden else None
        # Sums over slices are kept in 32 bits: in 16, late slices would vanish beside the sum of the others.
        weight_grad = torch.zeros_like(weight_VD, dtype=wide) if weight else None
        bias_grad = torch.zeros_like(bias_V, dtype=wide) if bias else None
        for part in _parts(len(hidden_TD), ctx.chunk):
            _, slope_CV = ctx.rule(part, _logits(hidden_TD[part], weight_VD, bias_V), True)
            slope_CV = slope_CV.mul_(grad_T[part, None])
            if bias_grad is not None:
                bias_grad += slope_CV.sum(dim=0)
            slope_CV = slope_CV.to(weight_VD.dtype)
            if hidden_grad is not None:
                hidden_grad[part] = slope_CV @ weight_VD
            if weight_grad is not None:
                _add_product(weight_grad, slope_CV, hidden_TD[part])
            del slope_CV
        narrow = weight_VD.dtype
        return (
            hidden_grad,
            None if weight_grad is None else weight_grad.to(narrow),
            None if bias_grad is None else bias_grad.to(narrow),
            None,
            None,
        )


def _add_product(total_VD: Tensor, slope_CV: Tensor, hidden_CD: Tensor) -> None:
    if total_VD.dtype == slope_CV.dtype:
        total_VD.addmm_(slope_CV.T, hidden_CD)
    else:
        total_VD += slope_CV.T @ hidden_CD


def _logits(hidden_CD: Tensor, weight_VD: Tensor, bias_V: Tensor | None) -> Tensor:
    return torch.nn.functional.linear(hidden_CD, weight_VD, bias_V).to(full_dtype(hidden_CD))


def _parts(tokens: int, chunk: int) -> list[slice]:
    return [slice(start, start + chunk) for start in range(0, tokens, chunk)]
