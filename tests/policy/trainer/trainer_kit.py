"""A tiny network with a tokeniser of its own, and groups of random tokens."""

import random
from typing import Any

import torch
import transformers

from palate.policy.trainer import Group

VOCABULARY = 97


def tiny_model(seed: int = 0, **more: Any) -> Any:
    torch.manual_seed(seed)
    settings = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "max_position_embeddings": 64,
        "initializer_range": 0.3,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
    }
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**(settings | more)))


def some_groups(number: int, sizes: tuple[int, ...] = (2,), seed: int = 0, **columns: Any) -> list[Group]:
    """Ragged prompts and completions; sizes say how many completions, in turn."""
    draw = random.Random(seed)

    def tokens(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw.randrange(3, VOCABULARY) for _ in range(draw.randint(low, high)))

    return [
        Group(
            tokens(1, 9),
            tuple((*tokens(1, 7), 2) for _ in range(sizes[place % len(sizes)])),
            {"reward": tuple(draw.gauss(0, 1) for _ in range(sizes[place % len(sizes)]))},
            key=f"row {place}",
        )
        for place in range(number)
    ]


def tiny_tokenizer() -> Any:
    """Words of one letter; no pad token, no chat template."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = [
        "<unk>",
        "<s>",
        "</s>",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"w{n}" for n in range(VOCABULARY - 29)),
    ]
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
