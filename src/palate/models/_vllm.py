"""A causal language model through vLLM, for many answers on a graphics processor.

Calls that are under way at the same time go to the engine as one list, which it batches as it likes. n
answers to one prompt are n requests with seeds of their own, as everywhere in Palate; the engine computes the
prompt that they share once, because it keeps what it has computed of a prefix.

Source: W. Kwon et al., "Efficient Memory Management for Large Language Model Serving with PagedAttention",
arXiv:2309.06180; the interface is that of vLLM 0.33 (``LLM``, ``SamplingParams``, ``LoRARequest``).
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from palate.errors import ConfigError, InputError, ModelError, UnsupportedError
from palate.extras import Foreign, require
from palate.models._answer_cache import Operation
from palate.models._causal import Answer, CausalLM, Row
from palate.models._fingerprint import fingerprint
from palate.models._transformers import TransformersModel
from palate.types import Array, Capabilities, Json, Message, Request

__all__ = ["VllmModel", "vllm_model"]

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # the engine makes room for one of these


@final
class VllmModel(TransformersModel):
    """Answers with vLLM; the engine starts on first use and gives its memory back on :meth:`close`.

    Args:
        path: Folder of a transformers model with safetensors.
        name: Stable name, part of the key under which answers are kept; a new one for new weights.
        adapter: Folder of an adapter in PEFT's form, which is put on the model.
        encode: From the turns of a request to the tokens of the prompt; the chat template when left out.
        dtype: ``"float32"``, ``"bfloat16"``, or ``"auto"``.
        memory: Share of the processor's memory that the engine may take, in (0, 1].
        context: Most tokens of prompt and answer; the model's own when left out.
        parallel: Graphics processors that hold one layer together.
        batch: Most requests that are handed over at a time.
        window: Seconds to wait for more calls before fewer are handed over.

    Raises:
        MissingExtraError: vLLM is not installed.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        adapter: Path | None = None,
        encode: Callable[[Sequence[Message]], Sequence[int]] | None = None,
        dtype: str = "auto",
        memory: float = 0.9,
        context: int | None = None,
        parallel: int = 1,
        batch: int = 1024,
        window: float = 0.05,
    ) -> None:
        super().__init__(path, name=name, dtype=dtype, batch=batch, window=window)
        self._vllm = require("vllm", "vllm", "Drawing answers with vLLM")
        self._adapter = adapter
        self._encode = encode
        self._settings = {
            "dtype": dtype,
            "gpu_memory_utilization": memory,
            "max_model_len": context,
            "tensor_parallel_size": parallel,
        }
        self._engine: Foreign = None

    def __repr__(self) -> str:
        """Say which model."""
        return f"VllmModel({self.name!r})"

    @property
    def capabilities(self) -> Capabilities:
        """Generates with a seed."""
        return Capabilities(generate=True, seed=True, max_concurrency=4 * self._batch)

    def identity(self, operation: Operation) -> Json:
        """Another engine than transformers: the same seed gives another answer."""
        return {"engine": "vllm", "name": self.name, "dtype": self._dtype}

    async def score(self, request: Request, continuation: str) -> Array:
        """This engine does not score."""
        raise UnsupportedError(
            f"{self.name} runs on vLLM, which is used for answers only; use 'transformers'"
        )

    def load(self) -> CausalLM:
        """Start the engine; called once, in the worker's thread.

        Raises:
            InputError: The adapter's folder holds none.
            ModelError: The engine cannot load the model.
        """
        adapter, room = None, {}
        if self._adapter is not None:
            lora = require("vllm.lora.request", "vllm", "Drawing answers with vLLM")
            adapter = lora.LoRARequest(self._adapter.name, 1, str(self._adapter))
            room = {"enable_lora": True, "max_lora_rank": _room(self._adapter)}
        try:
            # Pickled weights are never read, and no code that comes with a model is run.
            self._engine = self._vllm.LLM(
                model=str(self._path),
                load_format="safetensors",
                trust_remote_code=False,
                **self._settings,
                **room,
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ModelError(f"vLLM cannot load {self._path}: {error}") from error
        return _Engine(self._vllm, self._engine, adapter, self._encode)

    async def close(self) -> None:
        """Stop the worker and the engine, and free its memory. Idempotent."""
        await super().close()
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.llm_engine.engine_core.shutdown()


class _Engine(CausalLM):
    """An engine that runs, as the batches of :class:`TransformersModel` see it."""

    def __init__(
        self,
        vllm: Foreign,
        engine: Foreign,
        adapter: Foreign,
        encode: Callable[[Sequence[Message]], Sequence[int]] | None,
    ) -> None:
        self._vllm, self._model, self._adapter, self._encode = vllm, engine, adapter, encode
        self._tokenizer = engine.get_tokenizer()

    @property
    def context(self) -> int:
        """Most tokens that the engine reads."""
        return int(self._model.model_config.max_model_len)

    def encode_turns(self, turns: Sequence[Message]) -> list[int]:
        """Tokens of a conversation, up to where the answer begins."""
        return super().encode_turns(turns) if self._encode is None else list(self._encode(turns))

    def generate(self, rows: Sequence[Row]) -> list[Answer]:
        """Answer every row, in their order."""
        outputs = self._model.generate(
            [{"prompt_token_ids": list(row.prompt)} for row in rows],
            [self._sampling(row) for row in rows],
            lora_request=self._adapter,
            use_tqdm=False,
        )
        answers: list[Answer] = []
        for output in outputs:
            said = output.outputs[0]
            answers.append(Answer(said.text, len(said.token_ids), said.finish_reason == "stop"))
        return answers

    def _sampling(self, row: Row) -> Foreign:
        return self._vllm.SamplingParams(
            n=1,
            temperature=row.temperature,
            top_p=row.top_p,
            top_k=0,  # all tokens
            max_tokens=row.max_tokens,
            seed=row.seed,
            stop=list(row.stop) or None,
        )


def _room(adapter: Path) -> int:
    """The smallest rank that the engine makes room for and the adapter fits in."""
    file = adapter / "adapter_config.json"
    try:
        rank = int(json.loads(file.read_text(encoding="utf-8"))["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{adapter} is not the folder of an adapter: {file.name}: {error}") from error
    if rank > _RANKS[-1]:
        raise InputError(f"the adapter in {adapter} has the rank {rank}; vLLM takes {_RANKS[-1]} at most")
    return next(room for room in _RANKS if room >= rank)


def vllm_model(
    path: str,
    *,
    adapter: str | None = None,
    dtype: str = "auto",
    memory: float = 0.9,
    context: int | None = None,
    parallel: int = 1,
) -> VllmModel:
    """Make a model on vLLM from a folder.

    Args:
        path: Folder with a transformers model in safetensors.
        adapter: Folder of an adapter for it, in PEFT's form.
        dtype: ``float32``, ``bfloat16`` or ``auto``.
        memory: Share of the processor's memory that the engine may take, in (0, 1].
        context: Most tokens of prompt and answer.
        parallel: Graphics processors that hold one layer together.

    Raises:
        ConfigError: An option is outside its range, or there is no folder at ``path`` or ``adapter``.
        MissingExtraError: vLLM is not installed.
    """
    if dtype not in ("auto", "float32", "bfloat16"):
        raise ConfigError(f"dtype is {dtype!r}; allowed: 'auto', 'float32', 'bfloat16'")
    if not 0 < memory <= 1:
        raise ConfigError(f"memory is {memory!r}; it is a share in (0, 1], 0.9 is usual")
    if parallel < 1 or (context is not None and context < 2):
        raise ConfigError(f"parallel is {parallel!r} and context {context!r}; at least 1 and 2 are needed")
    for folder in (path, *([] if adapter is None else [adapter])):
        if not Path(folder).is_dir():
            raise ConfigError(f"there is no folder {folder!r}; give one with safetensors")
    name = f"{Path(path).name}-{fingerprint(Path(path))}"
    if adapter is not None:
        name += f"+{Path(adapter).name}-{fingerprint(Path(adapter))}"
    return VllmModel(
        Path(path),
        name=name,
        adapter=None if adapter is None else Path(adapter),
        dtype=dtype,
        memory=memory,
        context=context,
        parallel=parallel,
    )
