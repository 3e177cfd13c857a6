"""A language model of a few thousand weights with a tokeniser of characters: real, and done in seconds.

It knows the printable characters of ASCII and the line feed; anything else is unknown. Its weights are
random, so it writes noise; what training does to it can be checked exactly.
"""

import string
from pathlib import Path

from palate.extras import Foreign, require

__all__ = ["save_tiny_model", "tiny_model", "tiny_tokeniser"]

_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_SPECIAL = ("<|end|>", "<|unknown|>", "<|system|>", "<|user|>", "<|assistant|>")


def tiny_tokeniser(*, chat: bool = True, letters: str = string.printable[:95] + "\n") -> Foreign:
    """A tokeniser of transformers with one token a character.

    Args:
        chat: Whether it has a chat template.
        letters: What it knows.
    """
    tokenizers = require("tokenizers", "train", "A tiny tokeniser")
    transformers = require("transformers", "train", "A tiny tokeniser")
    vocabulary = {token: place for place, token in enumerate((*_SPECIAL, *letters))}
    engine = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    engine.pre_tokenizer = tokenizers.pre_tokenizers.Split(tokenizers.Regex(r"[\s\S]"), "isolated")
    engine.decoder = tokenizers.decoders.Fuse()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=engine,
        eos_token="<|end|>",
        unk_token="<|unknown|>",
        additional_special_tokens=list(_SPECIAL[2:]),
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = _TEMPLATE if chat else None
    return made


def tiny_model(tokeniser: Foreign, *, seed: int = 0, width: int = 32, layers: int = 2) -> Foreign:
    """A Llama of random weights for a tokeniser.

    Args:
        tokeniser: Whose tokens it reads.
        seed: Of the weights.
        width: Of the hidden states, a multiple of 4.
        layers: How many.
    """
    torch = require("torch", "train", "A tiny model")
    transformers = require("transformers", "train", "A tiny model")
    config = transformers.LlamaConfig(
        vocab_size=len(tokeniser),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokeniser.eos_token_id,
        pad_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.LlamaForCausalLM(config).eval()


def save_tiny_model(folder: Path, *, seed: int = 0, chat: bool = True) -> Path:
    """Write a tiny model and its tokeniser as a folder that transformers loads; returns the folder."""
    tokeniser = tiny_tokeniser(chat=chat)
    tiny_model(tokeniser, seed=seed).save_pretrained(folder)
    tokeniser.save_pretrained(folder)
    return folder
