"""The embedded model: a GGUF file on llama.cpp (xllamacpp), in this process, without torch.

Its server listens on a port of the loopback interface that the system picks, behind a random key that this
process alone knows. Answers are asked for in-process; only tokenising and the chat template use the port.

Log-probabilities: the server reports, for each token that it draws, the log-softmax of the raw logits. Each
token of the continuation is made certain by a bias on its logit, which acts on the draw and not on what is
reported, and its report is read. That is one step of the model per token: right, but slower than the
transformers engine.
"""

import asyncio
import json
import secrets
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.extras import Foreign, require
from palate.models._answer_cache import Operation
from palate.models._answers import read_answer
from palate.models._fingerprint import fingerprint
from palate.models._pricing import FREE, Price
from palate.models._requests import check_request, sample_seed
from palate.models._weights import fetch_weights
from palate.types import Array, Capabilities, Completion, Json, Request

__all__ = ["EmbeddedModel", "embedded_model"]

T = TypeVar("T")

# Larger than any difference between logits, so that the biased token is certain to be drawn.
_CERTAIN = 1e6
_PORT_SECONDS = 60.0


class EmbeddedModel:
    """A GGUF file on llama.cpp, loaded on its first use. Make it with :func:`embedded_model`.

    Args:
        path: The GGUF file; ``None`` for the embedded weights, fetched when they are first needed.
        threads: Processor threads. Two on a busy machine can be far slower than one.
        context: Most tokens of one prompt with its answer.
        parallel: Calls that run at the same time.
    """

    def __init__(
        self, path: Path | None, *, threads: int = 1, context: int = 4096, parallel: int = 2
    ) -> None:
        self._path = path
        self._name = "SmolLM2-135M-Instruct" if path is None else f"{path.stem}-{fingerprint(path)}"
        self._threads = threads
        self._context = context
        self._parallel = parallel
        self._server: Foreign = None
        self._key = ""
        self._pool: ThreadPoolExecutor | None = None
        self._starting = threading.Lock()

    def __repr__(self) -> str:
        """Say which weights."""
        return f"EmbeddedModel({self._name!r})"

    @property
    def name(self) -> str:
        """Name of the weights, with their fingerprint when they are the user's own."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Generates and scores; seeds are respected."""
        return Capabilities(generate=True, score=True, seed=True, max_concurrency=self._parallel)

    def identity(self, operation: Operation) -> Json:
        """Engine, weights and the size of the context."""
        return {"engine": "llama.cpp", "name": self._name, "context": self._context}

    def price(self, operation: Operation) -> Price | None:
        """Free: it runs here."""
        return FREE

    async def generate(self, request: Request) -> Completion:
        """Answer one request.

        Raises:
            ModelError: The model cannot be loaded, or the prompt does not fit into the context.
        """
        check_request(request)
        return await self._run(lambda server: self._generate(server, request))

    async def score(self, request: Request, continuation: str) -> Array:
        """Log-probability, in nats, of each token of a continuation; ``(T,)``.

        Raises:
            ConfigError: The continuation is empty.
            ModelError: As for :meth:`generate`.
        """
        check_request(request)
        if not continuation:
            raise ConfigError("continuation is empty, so nothing can be scored; give at least one character")
        return await self._run(lambda server: self._score(server, request, continuation))

    async def embed(self, texts: Sequence[str]) -> Array:
        """Not for this model."""
        raise UnsupportedError(f"{self._name} cannot embed; use [embedding] kind = 'wordllama'")

    async def close(self) -> None:
        """Stop the server and free the weights; another use loads them again."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
        self._server = None

    async def _run(self, work: Callable[[Any], T]) -> T:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="palate-embedded")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(self._started()))

    def _started(self) -> Foreign:
        with self._starting:
            if self._server is None:
                self._server = self._start()
            return self._server

    def _start(self) -> Foreign:
        llama = require("xllamacpp", "local", "The embedded model")
        path = self._path or fetch_weights()
        self._key = secrets.token_urlsafe(24)
        settings = llama.CommonParams()
        settings.model.path = str(path)
        settings.hostnames = ["127.0.0.1"]
        settings.port = 0
        settings.api_keys = [self._key]
        settings.n_ctx = self._context * self._parallel
        settings.n_parallel = self._parallel
        settings.cpuparams.n_threads = self._threads
        settings.cpuparams_batch.n_threads = self._threads
        settings.warmup = False
        settings.verbosity = 0
        settings.ui = False
        settings.endpoint_slots = False
        try:
            return llama.Server(settings)
        except Exception as error:
            raise ModelError(
                f"{str(path)!r} cannot be loaded as a GGUF model: {error}; fetch it again, or name another"
            ) from error

    def _generate(self, server: Foreign, request: Request) -> Completion:
        started = time.monotonic()
        body: dict[str, Any] = {
            "messages": _turns(request),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            # Off, as they are on by default and would sample from another distribution than was asked for.
            "top_k": 0,
            "min_p": 0.0,
            "stop": list(request.stop),
            **request.extra,
        }
        if request.seed is not None:
            body["seed"] = sample_seed(request)
        answer = read_answer(self._checked(server.handle_chat_completions, body), self._name)
        return Completion(
            text=answer.text,
            model=self._name,
            finish="length" if answer.finish == "length" else "stop",
            usage=answer.usage,
            cost=FREE.of(answer.usage),
            seconds=time.monotonic() - started,
        )

    def _score(self, server: Foreign, request: Request, continuation: str) -> Array:
        prompt = self._post(server, "/apply-template", {"messages": _turns(request)})["prompt"]
        before = self._tokens(server, prompt, special=True)
        target = self._tokens(server, continuation, special=False)
        score_T = np.empty(len(target))
        for place, token in enumerate(target):
            body = {
                "prompt": [*before, *target[:place]],
                "n_predict": 1,
                "n_probs": 1,
                "temperature": 0.0,
                "logit_bias": [[token, _CERTAIN]],
                "cache_prompt": True,
            }
            reply = self._checked(server.handle_completions, body)
            drawn = reply["choices"][0]["logprobs"]["content"][0]
            if drawn["id"] != token:
                raise ModelError(
                    f"{self._name} scored token {drawn['id']} instead of {token}; this llama.cpp cannot score"
                )
            score_T[place] = drawn["logprob"]
        return score_T

    def _tokens(self, server: Foreign, text: str, *, special: bool) -> list[int]:
        body: dict[str, Json] = {"content": text, "add_special": special, "parse_special": special}
        return self._post(server, "/tokenize", body)["tokens"]

    def _checked(self, ask: Callable[[dict[str, Any]], Any], body: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = ask(body)
        except ValueError as error:
            raise ModelError(f"{self._name} refused the request: {error}") from error
        if "error" in reply:
            raise ModelError(f"{self._name} failed: {reply['error'].get('message', reply['error'])}")
        return reply

    def _post(self, server: Foreign, path: str, body: dict[str, Json]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self._key}"}
        request = urllib.request.Request(server.listening_address + path, json.dumps(body).encode(), headers)
        # Without the environment's proxies: this never leaves the machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_PORT_SECONDS) as reply:
                return json.load(reply)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{self._name}: its server did not answer on the loopback port: {error}"
            ) from error


def _turns(request: Request) -> list[Json]:
    return [{"role": turn.role, "content": turn.content} for turn in request.messages]


def embedded_model(
    path: str | None = None, *, threads: int = 1, context: int = 4096, parallel: int = 2
) -> EmbeddedModel:
    """Make the embedded model, as a study file names it.

    Args:
        path: A GGUF file of the user's own, with a chat template in it; ``None`` for SmolLM2-135M-Instruct.
        threads: Processor threads, at least 1.
        context: Most tokens of one prompt with its answer, at least 64.
        parallel: Calls that run at the same time, at least 1.

    Raises:
        ConfigError: An option is out of range, or there is no such file.
    """
    if threads < 1 or parallel < 1 or context < 64:
        raise ConfigError(
            f"threads is {threads!r}, parallel is {parallel!r} and context is {context!r}; "
            "they must be at least 1, 1 and 64"
        )
    if path is not None and not Path(path).is_file():
        raise ConfigError(
            f"there is no file {path!r}; path must name a GGUF file, or be left out for the embedded model"
        )
    return EmbeddedModel(
        None if path is None else Path(path), threads=threads, context=context, parallel=parallel
    )
