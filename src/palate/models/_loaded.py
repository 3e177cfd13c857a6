"""A model that is in memory already, such as a policy between two trainings, behind the same protocol."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from palate.extras import Foreign
from palate.models._causal import CausalLM
from palate.models._transformers import TransformersModel
from palate.types import Message

__all__ = ["LoadedModel"]


@final
class LoadedModel(TransformersModel):
    """Answers with weights that somebody else holds and may train on afterwards.

    Make a new one, under a new name, after the weights have changed: answers are kept under the name. The
    model is put into evaluation mode when the first request comes.

    Args:
        model: A causal language model of transformers, or one with an adapter of PEFT.
        tokenizer: Its tokeniser.
        name: Tells these weights from all others.
        encode: From the turns of a request to the tokens of the prompt; the chat template when left out.
        batch: Most rows in one batch.
        window: Seconds to wait for more calls before a batch that is not full starts.
    """

    def __init__(
        self,
        model: Foreign,
        tokenizer: Foreign,
        *,
        name: str,
        encode: Callable[[Sequence[Message]], Sequence[int]] | None = None,
        batch: int = 32,
        window: float = 0.01,
    ) -> None:
        dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
        super().__init__(Path(), name=name, dtype=dtype, batch=batch, window=window)
        self._held = (model, tokenizer, encode)

    def load(self) -> CausalLM:
        """The weights that are there."""
        model, tokenizer, encode = self._held
        return _Encoded(model.eval(), tokenizer, encode)


class _Encoded(CausalLM):
    def __init__(
        self, model: Foreign, tokenizer: Foreign, encode: Callable[[Sequence[Message]], Sequence[int]] | None
    ) -> None:
        super().__init__(model, tokenizer)
        self._encode = encode

    def encode_turns(self, turns: Sequence[Message]) -> list[int]:
        """Tokens of a conversation, up to where the answer begins."""
        return super().encode_turns(turns) if self._encode is None else list(self._encode(turns))
