"""A causal language model as the trainer sees it: hidden states of a layout, a head, and its adapter.

The network is run up to its last hidden states. The head is applied by scorers, at the positions that they
want.
"""

import hashlib
import json
import warnings
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from palate.errors import ConfigError, UnsupportedError
from palate.extras import Foreign, require
from palate.policy._logprobs import linear_log_probs
from palate.policy._torch import Tensor, in_full, torch
from palate.policy.trainer._attention import SpanMasks, attends_in_spans, span_attention
from palate.policy.trainer._layout import Batch, Layout
from palate.policy.trainer._options import Lora, Speed
from palate.policy.trainer._seed import seeded

__all__ = ["Head", "Network", "States", "adapt", "fingerprint"]

_LARGEST = 2**31


class Head(NamedTuple):
    """A language model's head, and what it does to its logits.

    Attributes:
        weight_VD: One row a token of the vocabulary.
        bias_V: ``None`` for most.
        softcap: c of c tanh(z / c); ``None`` for most.
        divisor: Logits are divided by it; 1 for most.
    """

    weight_VD: Tensor
    bias_V: Tensor | None
    softcap: float | None
    divisor: float


class States(NamedTuple):
    """What the network has computed of a batch.

    Attributes:
        hidden_ND: Last hidden states by flat place; see :class:`Layout`.
        head: The head as it is now.
        batch: The groups and their layout.
        speed: Whether the head runs in slices.
        prior_ND: Hidden states of the reference at the same places, where a scorer asked for them.
        prior_head: The reference's head, where it is another one.
    """

    hidden_ND: Tensor
    head: Head
    batch: Batch
    speed: Speed
    prior_ND: Tensor | None = None
    prior_head: Head | None = None

    def token_log_probs(self) -> Tensor:
        """Log pi of the M completion tokens of the batch, in nats."""
        layout = self.batch.layout
        hidden_MD = self.hidden_ND[layout.predict_M]
        if self.speed.chunked_head:
            return linear_log_probs(
                hidden_MD,
                self.head.weight_VD,
                layout.target_M,
                bias_V=self.head.bias_V,
                softcap=self.head.softcap,
                temperature=self.head.divisor,
            )
        logits_MV = in_full(torch.nn.functional.linear(hidden_MD, self.head.weight_VD, self.head.bias_V))
        if self.head.softcap is not None:
            logits_MV = self.head.softcap * torch.tanh(logits_MV / self.head.softcap)
        logp_MV = torch.log_softmax(logits_MV / self.head.divisor, dim=1)
        return logp_MV.gather(1, layout.target_M[:, None])[:, 0]

    def log_probs(self) -> Tensor:
        """Log pi of each completion, summed over its tokens: G by K, 0 where there is none."""
        return self.sums(self.token_log_probs())

    def sums(self, value_M: Tensor) -> Tensor:
        """Sum numbers of completion tokens into G by K."""
        layout = self.batch.layout
        total_C = torch.zeros(len(layout.last_C), dtype=value_M.dtype, device=value_M.device)
        return self.batch.grid(total_C.index_add(0, layout.owner_M, value_M))

    def last_CD(self) -> Tensor:
        """Hidden state of each completion's last token, C rows; :meth:`Batch.grid` arranges C numbers."""
        return self.hidden_ND[self.batch.layout.last_C]


def _slides(config: Foreign) -> bool:
    """Whether some layer sees only the latest tokens."""
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"]
    return bool(getattr(config, "sliding_window", None)) and "sliding_attention" in kinds


class Network:
    """A model of transformers, with an adapter of PEFT or without.

    Args:
        model: A causal language model.
        dtype: ``bf16`` computes in bfloat16.
        speed: How batches are laid out.

    Raises:
        UnsupportedError: The model is no causal language model with a linear head, or attends within a
            window where prompts are shared in rows that are not packed.
    """

    def __init__(self, model: Foreign, dtype: str, speed: Speed) -> None:
        self.model = model
        self.adapted = hasattr(model, "peft_config")
        self.base = model.get_base_model() if self.adapted else model
        self.dtype = dtype
        self.speed = speed
        self._head = self.base.get_output_embeddings()
        self.decoder = self.base.get_decoder()
        if not isinstance(self._head, torch.nn.Linear) or self.decoder is None:
            raise UnsupportedError(
                f"{type(self.base).__name__} has no plain linear head over its vocabulary, so its "
                "log-probabilities cannot be taken in slices; use a causal language model whose head has no "
                "adapter"
            )
        if speed.shared_prompt and not speed.packed and _slides(self.decoder.config):
            raise UnsupportedError(
                f"{type(self.base).__name__} attends within a sliding window, which a shared prompt keeps "
                "to in packed rows only; train it with Speed(packed=True) or Speed(shared_prompt=False)"
            )

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.base.device

    @property
    def context(self) -> int | None:
        """Most tokens of a row; ``None`` where the model names no limit."""
        return getattr(self.decoder.config, "max_position_embeddings", None)

    def longest(self, most: int | None = None) -> int:
        """Most tokens of prompt and completion, where a training allows ``most``."""
        return min(most or _LARGEST, self.context or _LARGEST)

    @contextmanager
    def computing(self) -> Generator[None]:
        """Attention and number format for everything inside, backward passes too."""
        with ExitStack() as stack:
            if self.speed.packed:
                stack.enter_context(span_attention(self.decoder))
            if self.dtype == "bf16":
                stack.enter_context(torch.autocast(self.device.type, torch.bfloat16))
            yield

    @property
    def imitates(self) -> bool:
        """Whether it computes in a number format that its processor only imitates, many times slower."""
        slow = self.device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
        return self.dtype == "bf16" and slow

    @contextmanager
    def without_adapter(self) -> Generator[None]:
        """The base model: the adapter is off.

        Raises:
            ConfigError: There is no adapter.
        """
        if not self.adapted:
            raise ConfigError(
                "the base model was asked for, but all weights are trained and none of them is left of it; "
                "use reference='start', or give another model as the reference"
            )
        with self.model.disable_adapter():
            yield

    def checkpoint_activations(self) -> None:
        """Compute activations again in the backward pass instead of keeping them."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # a newer name that older versions lack
            self.base.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    def states(self, batch: Batch) -> States:
        """Run the network on a batch; call it inside :meth:`computing`."""
        return States(self.hidden(batch.layout), self.head, batch, self.speed)

    def hidden(self, layout: Layout) -> Tensor:
        """Last hidden states of a layout by flat place."""
        given: dict[str, Any] = {
            "input_ids": layout.ids_BT,
            "position_ids": layout.position_BT,
            "use_cache": False,
        }
        if layout.spans:
            if not attends_in_spans(self.decoder):
                raise RuntimeError("packed rows would see each other here; call this inside computing()")
            given["span_masks"] = SpanMasks(layout)
        elif layout.mask_BTT is not None:
            given["attention_mask"] = layout.mask_BTT[:, None]
        else:
            given["attention_mask"] = layout.valid_BT
        hidden_BTD = self.decoder(**given).last_hidden_state
        return hidden_BTD.reshape(-1, hidden_BTD.shape[-1])

    @property
    def head(self) -> Head:
        """The head as it is now."""
        config = self.decoder.config
        divisor = float(getattr(config, "logits_scaling", None) or 1.0)
        divisor /= float(getattr(config, "logit_scale", None) or 1.0)
        softcap = getattr(config, "final_logit_softcapping", None)
        return Head(self._head.weight, self._head.bias, softcap, divisor)


def adapt(model: Foreign, lora: Lora | None, dtype: str, seed: int) -> Foreign:
    """Give a model its adapter, and every weight the number format that it is trained in.

    A model that has an adapter already keeps it, and that adapter is trained on.

    Args:
        model: Of transformers or PEFT; changed in place.
        lora: The adapter; ``None`` trains all weights.
        dtype: ``bf16`` keeps frozen weights in bfloat16; trained ones are always in 32 bits.
        seed: Of the adapter's first weights.

    Raises:
        ConfigError: The model has an adapter but ``lora`` is ``None``, or a target does not exist.
        MissingExtraError: PEFT is not installed.
    """
    adapted = hasattr(model, "peft_config")
    if lora is None:
        if adapted:
            raise ConfigError(
                "the model has an adapter, but lora is None, which trains all weights; merge the adapter "
                "first (merge_and_unload()), or give a Lora"
            )
        model.requires_grad_(True)
        return model.float()
    peft = require("peft", "train", "training an adapter")
    if adapted:
        for name, weight in model.named_parameters():
            weight.requires_grad_(".lora_" in name)
    else:
        frozen = torch.bfloat16 if dtype == "bf16" else torch.float32
        settings = peft.LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=lora.targets[0] if lora.targets == ("all-linear",) else list(lora.targets),
            task_type="CAUSAL_LM",
        )
        with seeded(seed, model.device), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # PEFT asks transformers by an old name
            try:
                model = peft.get_peft_model(model.to(frozen), settings)
            except ValueError as error:
                raise ConfigError(f"the adapter does not fit the model: {error}") from error
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return model


def fingerprint(model: Foreign, *, adapter: bool = False) -> str:
    """A short hash of a model's shape and of some numbers of each of its weights.

    Args:
        model: Of transformers or PEFT.
        adapter: Whether an adapter counts; without it, a model and the same with an adapter are one.
    """
    hasher = hashlib.sha256()
    entries: list[tuple[str, Tensor]] = []
    for name, weight in model.state_dict().items():
        if adapter or ".lora_" not in name:
            entries.append((name.replace("base_model.model.", "").replace(".base_layer", ""), weight))
    with torch.no_grad():
        for name, weight in sorted(entries, key=lambda entry: entry[0]):
            flat = weight.detach().flatten()
            # Rounded, so that a model has one fingerprint in 16 bits and in 32.
            some = flat[:: max(1, flat.numel() // 64)][:64].bfloat16().float().cpu().tolist()
            hasher.update(json.dumps([name, list(weight.shape), some]).encode())
    return hasher.hexdigest()[:16]
