"""A local causal language model through transformers, for batches.

Calls that are under way at the same time are gathered into one batch. The tokens that the batch's prompts
share are run through the model once, and their key–value cache is expanded over the rows, which is the
right shape for trying many instructions on one input or many inputs under one instruction.

Each row samples with a generator of its own, seeded from its request, so that which requests happen to
share a batch changes an answer only through rounding. Log-probabilities are log-softmax of the raw logits
(temperature 1) in float32.

The weights of the embedded model come as GGUF; they are converted once to safetensors beside it, because
reading GGUF takes some twenty seconds each time.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.models._answer_cache import Operation
from palate.models._answers import UnusableAnswerError
from palate.models._causal import CausalLM, Row, load_causal_lm
from palate.models._fingerprint import fingerprint
from palate.models._pricing import FREE, Price
from palate.models._requests import check_request, sample_seed
from palate.types import Array, Capabilities, Completion, Json, Request, Usage

__all__ = ["TransformersModel", "transformers_model"]


@dataclass(slots=True)
class _Job:
    """One call that waits for its batch; ``continuation`` is ``None`` for a generation."""

    request: Request
    continuation: str | None
    done: "Future[Any]" = field(default_factory=lambda: Future[Any]())


class TransformersModel:
    """A causal language model on this machine, loaded on first use, in a thread of its own.

    Args:
        path: Folder of a transformers model with safetensors, or a GGUF file.
        name: Stable name, part of the key under which answers are kept.
        dtype: ``"float32"``, ``"bfloat16"``, or ``"auto"`` (bfloat16 where the processor multiplies in it).
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``.
        batch: Most rows in one batch.
        window: Seconds to wait for more calls before a batch that is not full starts.
        threads: Processor threads; small models are often slower on two than on one.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str,
        dtype: str = "auto",
        device: str = "auto",
        batch: int = 32,
        window: float = 0.01,
        threads: int = 1,
    ) -> None:
        self._path = path
        self._name = name
        self._dtype = dtype
        self._device = device
        self._batch = batch
        self._window = window
        self._threads = threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        """Say which model."""
        return f"TransformersModel({self._name!r})"

    @property
    def name(self) -> str:
        """The name it was made with."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Generates with a seed, and scores."""
        return Capabilities(generate=True, score=True, seed=True, max_concurrency=4 * self._batch)

    def identity(self, operation: Operation) -> Json:
        """Name and number format: rounding can change an answer."""
        return {"engine": "transformers", "name": self._name, "dtype": self._dtype}

    def price(self, operation: Operation) -> Price | None:
        """Nothing is paid to anybody."""
        return FREE

    async def generate(self, request: Request) -> Completion:
        """Answer one request, batched with the others under way.

        Raises:
            ConfigError: The request is outside what any model can do.
            ModelError: The model could not be loaded, or the prompt is longer than its context.
        """
        check_request(request)
        return await self._submit(_Job(request, None))

    async def score(self, request: Request, continuation: str) -> Array:
        """Log-probability (nats) of each token of ``continuation``; ``(T,)``.

        Raises:
            ConfigError: ``continuation`` is empty.
            ModelError: As for :meth:`generate`.
        """
        if not continuation:
            raise ConfigError("continuation is empty, so nothing can be scored; give at least one character")
        return await self._submit(_Job(request, continuation))

    async def embed(self, texts: Sequence[str]) -> Array:
        """This model does not embed."""
        raise UnsupportedError(
            f"{self._name} cannot embed; use [embedding] kind = 'wordllama' or an endpoint's embeddings"
        )

    def load(self) -> CausalLM:
        """Read the weights; called once, in the worker's thread."""
        return load_causal_lm(self._path, self._dtype, self._device, self._threads)

    async def close(self) -> None:
        """Stop the worker and free the weights. Idempotent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self._jobs.put(None)
            await asyncio.to_thread(worker.join)

    async def _submit(self, job: _Job) -> Any:  # noqa: ANN401 - a completion or an array, by the kind of job
        with self._starting:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name=f"palate-{self._name}", daemon=True)
                self._worker.start()
        self._jobs.put(job)
        return await asyncio.wrap_future(job.done)

    def _work(self) -> None:
        lm: CausalLM | None = None
        while (jobs := self._gather()) is not None:
            try:
                if lm is None:
                    lm = self.load()
                for part in (
                    [job for job in jobs if job.continuation is None],
                    [job for job in jobs if job.continuation is not None],
                ):
                    if part:
                        self._run(lm, part)
            except Exception as error:
                failure = error if isinstance(error, ModelError) else ModelError(f"{self._name}: {error}")
                for job in jobs:
                    if not job.done.done():
                        job.done.set_exception(failure)

    def _gather(self) -> list[_Job] | None:
        """Wait for a call, then a little for others; ``None`` at the end."""
        first = self._jobs.get()
        if first is None:
            return None
        jobs = [first]
        deadline = time.monotonic() + self._window
        while len(jobs) < self._batch:
            try:
                job = self._jobs.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
        return [job for job in jobs if job.done.set_running_or_notify_cancel()]

    def _run(self, lm: CausalLM, jobs: list[_Job]) -> None:
        rows: list[Row] = []
        kept: list[_Job] = []
        for job in jobs:
            try:
                rows.append(_row(lm, job))
                kept.append(job)
            except ModelError as error:
                job.done.set_exception(error)
        if not rows:
            return
        started = time.monotonic()
        if kept[0].continuation is not None:
            for job, score_T in zip(kept, lm.score(rows), strict=True):
                job.done.set_result(np.asarray(score_T, dtype=np.float64))
            return
        answers = lm.generate(rows)
        seconds = time.monotonic() - started
        for job, row, answer in zip(kept, rows, answers, strict=True):
            usage = Usage(len(row.prompt), answer.tokens)
            if not answer.text.strip():
                job.done.set_exception(
                    UnusableAnswerError(f"{self._name} answered with empty text", usage, 0.0)
                )
                continue
            job.done.set_result(
                Completion(
                    answer.text,
                    self._name,
                    finish="stop" if answer.stopped else "length",
                    usage=usage,
                    cost=FREE.of(usage),
                    seconds=seconds,
                )
            )


def _row(lm: CausalLM, job: _Job) -> Row:
    request = job.request
    prompt = lm.encode_turns(request.messages)
    target = () if job.continuation is None else tuple(lm.encode(job.continuation))
    length = len(prompt) + max(len(target), request.max_tokens if job.continuation is None else 0)
    if length > lm.context:
        raise ModelError(
            f"the prompt has {len(prompt)} tokens and {length} are needed with the answer, but the model "
            f"reads at most {lm.context}; shorten the input or lower max_tokens"
        )
    return Row(
        tuple(prompt),
        target,
        temperature=request.temperature,
        top_p=request.top_p,
        max_tokens=request.max_tokens,
        seed=sample_seed(request),
        stop=request.stop,
    )


def transformers_model(
    path: str | None = None,
    *,
    dtype: str = "auto",
    device: str = "auto",
    batch: int = 32,
    threads: int = 1,
) -> TransformersModel:
    """Make a local model from a folder or GGUF file; without a path, the embedded model's weights.

    Args:
        path: Folder with a transformers model in safetensors, or a ``.gguf`` file.
        dtype: ``float32``, ``bfloat16`` or ``auto``.
        device: ``cpu``, ``cuda`` or ``auto``.
        batch: Most rows in one batch.
        threads: Processor threads.

    Raises:
        ConfigError: An option is outside its range, or there is nothing at ``path``.
    """
    if dtype not in ("auto", "float32", "bfloat16"):
        raise ConfigError(f"dtype is {dtype!r}; allowed: 'auto', 'float32', 'bfloat16'")
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device is {device!r}; allowed: 'auto', 'cpu', 'cuda'")
    if batch < 1 or threads < 1:
        raise ConfigError(f"batch is {batch!r} and threads is {threads!r}; both must be at least 1")
    if path is not None and not Path(path).exists():
        raise ConfigError(f"there is no model at {path!r}; give a folder with safetensors or a .gguf file")
    if path is None:
        from palate.models._weights import fetch_weights

        file = fetch_weights()
    else:
        file = Path(path)
    # Files of the user's own may share a name; the kept answers of one must not be taken for another's.
    name = file.stem if path is None else f"{file.stem}-{fingerprint(file)}"
    return TransformersModel(file, name=name, dtype=dtype, device=device, batch=batch, threads=threads)
