"""Batched generation and scoring with a shared prefix, on torch.

The prompts of a batch share their longest common prefix of tokens. It is run once; its cache is repeated over
the distinct prompts; the rest of each is padded on the left with masked tokens, whose positions are skipped,
so that a row's numbers are those of an unpadded run up to rounding. Every row then goes on from a copy of its
prompt's cache: K answers to one prompt read it once. Rows that have ended leave the batch.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from palate.errors import ModelError
from palate.extras import require
from palate.types import Array, Message

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Answer", "CausalLM", "Row", "convert_gguf", "load_causal_lm"]

_KEPT = 0.75  # of a batch may be under way still before those that have ended leave it
_NUCLEUS = 512  # tokens that nearly always hold the mass of a nucleus; to sort all of them takes far longer
_SCORED_TOKENS = 4096  # tokens whose logits are held at once: 4096 × 49,152 × 4 bytes = 0.8 GB


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt of a batch, as tokens, and how its answer is drawn; ``target`` is what scoring scores."""

    prompt: tuple[int, ...]
    target: tuple[int, ...] = ()
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256
    seed: int | None = None
    stop: tuple[str, ...] = ()


class Answer(NamedTuple):
    """A generated text, its number of tokens, and whether the model ended it itself."""

    text: str
    tokens: int
    stopped: bool


class CausalLM:
    """A loaded model and its tokeniser."""

    def __init__(self, model: Any, tokenizer: Any) -> None:  # noqa: ANN401 - transformers' own classes
        self._model = model
        self._tokenizer = tokenizer
        ends = model.generation_config.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}

    @property
    def context(self) -> int:
        """Most tokens that the model reads."""
        return int(self._model.config.max_position_embeddings)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without special ones."""
        return self._tokenizer.encode(text, add_special_tokens=False)

    def encode_turns(self, turns: Sequence[Message]) -> list[int]:
        """Tokens of a conversation in the model's chat template, up to where the answer begins."""
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return self.encode(text)

    def generate(self, rows: Sequence[Row]) -> list[Answer]:
        """Answer every row of a batch."""
        import torch

        with torch.inference_mode():
            return self._generate(rows)

    def score(self, rows: Sequence[Row]) -> list[Array]:
        """Log-probabilities of every row's ``target``; rows that share a long prefix are run together."""
        import torch

        order = sorted(range(len(rows)), key=lambda i: rows[i].prompt)
        result: list[Any] = [None] * len(rows)
        with torch.inference_mode():
            for part in _portions(rows, order):
                for i, score_T in zip(part, self._score([rows[i] for i in part]), strict=True):
                    result[i] = score_T.cpu().numpy()
        return result

    def _prefill(self, prompts: Sequence[tuple[int, ...]]) -> "tuple[Any, int]":
        """Run the common prefix once and repeat its cache over the rows."""
        import torch

        shared = _common(prompts)
        if shared == 0:
            return None, 0
        ids = torch.tensor([list(prompts[0][:shared])], device=self._model.device)
        cache = self._model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        if len(prompts) > 1:
            cache.batch_repeat_interleave(len(prompts))
        return cache, shared

    def _read(self, rows: Sequence[Row]) -> "tuple[Tensor, Any, Tensor]":
        """Read each distinct prompt once: logits of the next token, cache and mask, for every row."""
        import torch

        prompts = sorted({row.prompt for row in rows})
        cache, shared = self._prefill(prompts)
        ids_UT, mask_UT = self._left_padded([prompt[shared:] for prompt in prompts], shared)
        read = self._model(
            input_ids=ids_UT,
            attention_mask=mask_UT,
            position_ids=(mask_UT.cumsum(dim=1) - 1).clamp(min=0)[:, shared:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        which_B = torch.tensor([prompts.index(row.prompt) for row in rows], device=mask_UT.device)
        if len(rows) > 1:
            read.past_key_values.batch_select_indices(which_B)
        return read.logits[which_B, -1], read.past_key_values, mask_UT[which_B]

    def _generate(self, rows: Sequence[Row]) -> list[Answer]:
        import torch

        logits_BV, cache, mask_BT = self._read(rows)
        draws = [_generator(torch, row, self._model.device) for row in rows]
        tokens: list[list[int]] = [[] for _ in rows]
        texts: list[Answer | None] = [None] * len(rows)
        under_way = list(range(len(rows)))  # the rows that are still in the batch
        while True:
            chosen = [_draw(torch, logits_BV[b].float(), rows[i], draws[i]) for b, i in enumerate(under_way)]
            for i, token in zip(under_way, chosen, strict=True):
                if texts[i] is None:
                    texts[i] = self._advance(rows[i], tokens[i], token)
            left = [b for b, i in enumerate(under_way) if texts[i] is None]
            if not left:
                return [text for text in texts if text is not None]
            if len(left) <= _KEPT * len(under_way):
                cache.batch_select_indices(torch.tensor(left, device=mask_BT.device))
                mask_BT = mask_BT[left]
                under_way, chosen = [under_way[b] for b in left], [chosen[b] for b in left]
            mask_BT = torch.cat([mask_BT, torch.ones_like(mask_BT[:, :1])], dim=1)
            out = self._model(
                input_ids=torch.tensor(chosen, device=mask_BT.device)[:, None],
                attention_mask=mask_BT,
                position_ids=mask_BT.sum(dim=1, keepdim=True) - 1,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache, logits_BV = out.past_key_values, out.logits[:, -1]

    def _advance(self, row: Row, tokens: list[int], chosen: int) -> Answer | None:
        """Take one token into an answer; the answer, once it has ended."""
        if chosen in self._ends:
            return Answer(self._text(tokens), len(tokens) + 1, stopped=True)
        tokens.append(chosen)
        if row.stop:
            text = self._text(tokens)
            cuts = [text.index(mark) for mark in row.stop if mark in text]
            if cuts:
                return Answer(text[: min(cuts)], len(tokens), stopped=True)
        if len(tokens) >= row.max_tokens:
            return Answer(self._text(tokens), len(tokens), stopped=False)
        return None

    def _text(self, tokens: Sequence[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=True)

    def _left_padded(self, rests: Sequence[Sequence[int]], shared: int) -> "tuple[Tensor, Tensor]":
        import torch

        width = max(len(rest) for rest in rests)
        pad = next(iter(self._ends))
        ids = [[pad] * (width - len(rest)) + list(rest) for rest in rests]
        mask = [[1] * shared + [0] * (width - len(rest)) + [1] * len(rest) for rest in rests]
        device = self._model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    def _score(self, rows: Sequence[Row]) -> "list[Tensor]":
        """Read each distinct prompt once, then every target after a copy of its prompt's cache."""
        import torch

        logits_BV, cache, mask_BT = self._read(rows)
        logits_BTV = logits_BV[:, None]
        longest = max(len(row.target) for row in rows)
        if longest > 1:
            ids_BS, mask_BS = self._right_padded([row.target[:-1] for row in rows], longest - 1)
            position_BS = mask_BT.sum(dim=1, keepdim=True) + torch.arange(longest - 1, device=mask_BT.device)
            rest = self._model(
                input_ids=ids_BS,
                attention_mask=torch.cat([mask_BT, mask_BS], dim=1),
                position_ids=position_BS,
                past_key_values=cache,
                use_cache=True,
            )
            logits_BTV = torch.cat([logits_BTV, rest.logits], dim=1)
        scores: list[Tensor] = []
        for b, row in enumerate(rows):
            logits_TV = logits_BTV[b, : len(row.target)].float()
            target_T = torch.tensor(row.target, device=logits_TV.device)
            picked_T = logits_TV.gather(1, target_T[:, None])[:, 0]
            scores.append(picked_T - torch.logsumexp(logits_TV, dim=1))
        return scores

    def _right_padded(self, rests: Sequence[Sequence[int]], width: int) -> "tuple[Tensor, Tensor]":
        import torch

        pad = next(iter(self._ends))
        ids = [[*rest, *[pad] * (width - len(rest))] for rest in rests]
        mask = [[1] * len(rest) + [0] * (width - len(rest)) for rest in rests]
        device = self._model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _common(prompts: Sequence[tuple[int, ...]]) -> int:
    """Length of the longest common prefix that leaves at least one token to every prompt."""
    first, last = min(prompts), max(prompts)
    limit = min(len(prompt) for prompt in prompts) - 1
    shared = 0
    while shared < limit and first[shared] == last[shared]:
        shared += 1
    return shared


def _portions(rows: Sequence[Row], order: Sequence[int]) -> list[list[int]]:
    """Cut sorted rows into batches whose logits fit in memory."""
    parts: list[list[int]] = []
    longest = 0
    for i in order:
        longest = max(longest, len(rows[i].target))
        if parts and (len(parts[-1]) + 1) * longest <= _SCORED_TOKENS:
            parts[-1].append(i)
        else:
            parts.append([i])
            longest = len(rows[i].target)
    return parts


def _generator(torch: Any, row: Row, device: Any) -> "torch.Generator | None":  # noqa: ANN401
    if row.temperature == 0:
        return None
    generator = torch.Generator(device=device)
    if row.seed is None:
        generator.seed()
    else:
        generator.manual_seed(row.seed)
    return generator


def _draw(torch: Any, logits_V: "Tensor", row: Row, generator: "torch.Generator | None") -> int:  # noqa: ANN401
    """Greedy at temperature 0; otherwise from the smallest set of tokens whose mass reaches ``top_p``."""
    if generator is None:
        return int(logits_V.argmax())
    likely_K, index_K = torch.softmax(logits_V / row.temperature, dim=0), None
    if row.top_p < 1:
        prob_V = likely_K
        likely_K, index_K = prob_V.topk(min(_NUCLEUS, len(prob_V)))
        if likely_K.cumsum(0)[-1] < row.top_p:
            likely_K, index_K = prob_V.sort(descending=True)
        outside_K = likely_K.cumsum(0) - likely_K >= row.top_p
        likely_K = likely_K.masked_fill(outside_K, 0.0)
    # By the inverse of the distribution function: torch.multinomial takes ten times as long.
    mass_K = likely_K.double().cumsum(0)
    share = torch.rand(1, generator=generator, device=mass_K.device, dtype=torch.float64)
    place = int(torch.searchsorted(mass_K, share * mass_K[-1], right=True).clamp(max=len(mass_K) - 1))
    return place if index_K is None else int(index_K[place])


def load_causal_lm(path: Path, dtype: str, device: str, threads: int) -> CausalLM:
    """Load a model from a folder, or from a GGUF file by way of its converted copy.

    Raises:
        MissingExtraError: torch or transformers is not installed.
        ModelError: The files are not a causal language model.
    """
    torch = require("torch", "train", "the transformers engine")
    transformers = require("transformers", "train", "the transformers engine")
    damaged = require("safetensors", "train", "the transformers engine").SafetensorError
    torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()  # several bars for one load would bury our own
    folder = convert_gguf(path) if path.suffix == ".gguf" else path
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype == "auto":
        fast = device == "cuda" or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        dtype = "bfloat16" if fast else "float32"
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=getattr(torch, dtype), trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError, KeyError, RuntimeError, damaged) as error:
        raise ModelError(f"{folder} does not hold a causal language model: {error}") from error
    return CausalLM(model.to(device).eval(), tokenizer)


def convert_gguf(file: Path) -> Path:
    """Convert a GGUF file once to a folder of safetensors (bfloat16) beside it, and return the folder.

    The folder appears whole or not at all: it is written under another name and renamed.
    """
    folder = file.with_suffix(".bf16")
    if folder.is_dir():
        return folder
    torch = require("torch", "train", "the transformers engine")
    transformers = require("transformers", "train", "the transformers engine")
    require("gguf", "train", "reading a GGUF file with transformers")
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=file.parent))
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        )
        # transformers refuses to save what it read from GGUF until it forgets that it was quantised.
        model.hf_quantizer = None
        model.is_quantized = False
        model.quantization_method = None
        del model.config.quantization_config
        model.to(torch.bfloat16).save_pretrained(work)
        tokenizer.save_pretrained(work)
        try:
            os.rename(work, folder)  # noqa: PTH104 - must fail, not replace, when another process was first
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder
