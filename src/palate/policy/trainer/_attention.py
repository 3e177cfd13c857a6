"""Attention inside packed rows: each row sees itself, each completion its prompt and itself.

    root       causal attention of the prompt to itself
    branches   attention of all completions of a prompt to [prompt | y_1 | ... | y_K], masked by branch

Both are exact attention of torch (``scaled_dot_product_attention``), one call a span, so that neither other
rows nor padding cost anything and any device's kernel serves. The network computes everything else on all
tokens of the batch at once.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from palate.errors import UnsupportedError
from palate.extras import Foreign, require
from palate.policy._torch import Tensor, torch
from palate.policy.trainer._layout import Layout, Span, branch_mask

__all__ = ["SpanMasks", "attends_in_spans", "span_attention"]

_NAME: Final = "palate_spans"
_OTHER_MATHS: Final = ("softcap", "s_aux", "position_bias")


class SpanMasks:
    """Masks of one layout, made once for all layers.

    Args:
        layout: A packed layout.
    """

    def __init__(self, layout: Layout) -> None:
        self.spans = layout.spans
        self._position_T = layout.position_BT[0]
        self._made: dict[tuple[Span, int | None, str], Tensor | None] = {}

    def root(self, span: Span, window: int | None) -> Tensor | None:
        """Mask of a root; ``None`` where being causal says it all."""
        if window is None or span.fork - span.start <= window:
            return None
        return self._kept(span, window, "root")

    def branches(self, span: Span, window: int | None) -> Tensor | None:
        """Mask of the branches of a span over the whole span."""
        return self._kept(span, window, "branches")

    def _kept(self, span: Span, window: int | None, part: str) -> Tensor | None:
        name = (span, window, part)
        if name not in self._made:
            start, root = span.start, span.fork - span.start
            first, stop = (0, span.fork) if part == "root" else (root, span.stop)
            ends = [end - start for end in span.ends] if part == "branches" else []
            mask_ST = branch_mask(root, ends, stop - start, first=first)
            mask_ST = mask_ST.to(self._position_T.device)
            if window is not None:
                place_T = self._position_T[start:stop]
                mask_ST = mask_ST & (place_T[first:, None] - place_T[None, :] < window)
            self._made[name] = mask_ST
        return self._made[name]


def attends_in_spans(decoder: Foreign) -> bool:
    """Whether a decoder is inside :func:`span_attention` now."""
    return decoder.config._attn_implementation == _NAME


@contextmanager
def span_attention(decoder: Foreign) -> Generator[None]:
    """Let a decoder of transformers attend inside spans, until the end of the context.

    The backward pass belongs inside it too, where activations are computed again.

    Args:
        decoder: Whose layers take their attention from its ``config``.

    Raises:
        UnsupportedError: The network has another kind of attention, or none.
    """
    if not getattr(decoder, "_supports_attention_backend", False) or getattr(decoder, "_is_stateful", False):
        raise UnsupportedError(
            f"{type(decoder).__name__} does not let its attention be chosen, so rows cannot be packed; "
            "train it with Speed(packed=False, shared_prompt=False)"
        )
    transformers = require("transformers", "train", "training")
    transformers.AttentionInterface.register(_NAME, _attend)
    before = decoder.config._attn_implementation
    decoder.config._attn_implementation = _NAME
    try:
        yield
    finally:
        decoder.config._attn_implementation = before


def _attend(
    module: Foreign,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **more: Any,  # noqa: ANN401 - whatever a network passes to every kind of attention
) -> tuple[Tensor, None]:
    """Attention of one layer: (1, heads, T, width) to (1, T, heads, width)."""
    other = [name for name in _OTHER_MATHS if more.get(name) is not None]
    if other:
        raise UnsupportedError(
            f"this network's attention uses {', '.join(other)}, which packed rows lack; train it with "
            "Speed(packed=False)"
        )
    masks: SpanMasks = more["span_masks"]
    window: int | None = more.get("sliding_window")
    share = query.shape[1] // key.shape[1]
    if share > 1:
        key, value = (part.repeat_interleave(share, dim=1) for part in (key, value))
    parts: list[Tensor] = []

    def attend(rows: slice, seen: slice, mask: Tensor | None) -> None:
        parts.append(
            torch.nn.functional.scaled_dot_product_attention(
                query[:, :, rows],
                key[:, :, seen],
                value[:, :, seen],
                attn_mask=mask,
                dropout_p=dropout,
                scale=scaling,
                is_causal=mask is None,
            )
        )

    for span in masks.spans:
        attend(slice(span.start, span.fork), slice(span.start, span.fork), masks.root(span, window))
        if span.fork < span.stop:
            branches, whole = slice(span.fork, span.stop), slice(span.start, span.stop)
            attend(branches, whole, masks.branches(span, window))
    return torch.cat(parts, dim=2).transpose(1, 2).contiguous(), None
