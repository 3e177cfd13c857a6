"""The embedded model: real weights on llama.cpp, checked against a plain forward pass of the same weights."""

import asyncio
import socket
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palate.errors import ConfigError, ModelError
from palate.models import EmbeddedModel, embedded_model, fetch_weights
from palate.models._causal import convert_gguf
from palate.models._fingerprint import fingerprint
from palate.types import Message, Request

ASKED = Request((Message("user", "What is the capital of France?"),), max_tokens=12)

# 4-bit weights on both sides, but llama.cpp rounds activations to 8 bits, and the copy is in bfloat16.
QUANTISED = 0.15


@pytest.fixture(scope="module")
def weights() -> Path:
    pytest.importorskip("xllamacpp")
    return fetch_weights()


@pytest.fixture(scope="module")
def model(weights: Path) -> Iterator[EmbeddedModel]:
    made = embedded_model()
    yield made
    asyncio.run(made.close())


def run(call: Callable[[], Awaitable[Any]]) -> Any:
    async def scenario() -> Any:
        return await call()

    return asyncio.run(scenario())


@pytest.mark.weights
def test_answers_and_counts(model: EmbeddedModel) -> None:
    answer = run(lambda: model.generate(ASKED))
    assert answer.text.strip()
    assert answer.finish == "length"
    assert answer.usage.output_tokens == 12
    # The chat template adds the default system turn: 37 tokens, counted by the tokeniser's own rules.
    assert answer.usage.input_tokens == 37
    assert answer.cost == 0.0
    assert answer.model == model.name == "SmolLM2-135M-Instruct"


@pytest.mark.weights
def test_stops_where_it_is_told(model: EmbeddedModel) -> None:
    whole = run(lambda: model.generate(ASKED)).text
    mark = whole[5]
    cut = run(lambda: model.generate(Request(ASKED.messages, max_tokens=12, stop=(mark,))))
    assert cut.text == whole[: whole.index(mark)]
    assert cut.finish == "stop"


@pytest.mark.weights
def test_seeds_and_samples(model: EmbeddedModel) -> None:
    def ask(seed: int, sample: int) -> str:
        request = Request(ASKED.messages, temperature=1.0, max_tokens=12, seed=seed, sample=sample)
        return run(lambda: model.generate(request)).text

    texts = [ask(1, 0), ask(1, 1), ask(2, 0)]
    assert len(set(texts)) == 3


@pytest.mark.weights
def test_scores_agree_with_a_plain_forward_pass(model: EmbeddedModel, weights: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = convert_gguf(weights)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    turns = [{"role": "user", "content": ASKED.messages[0].content}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    before = tokenizer.encode(prompt, add_special_tokens=False)
    means: list[tuple[float, float]] = []
    for continuation in [
        "The capital of France is Paris.",
        "The capital of France is Madrid.",
        "Bananas sing.",
    ]:
        target = tokenizer.encode(continuation, add_special_tokens=False)
        with torch.inference_mode():
            logits_TV = network(torch.tensor([before + target])).logits[0, len(before) - 1 : -1]
        wanted_T = torch.log_softmax(logits_TV, dim=1)[range(len(target)), target].numpy()
        score_T = run(lambda text=continuation: model.score(ASKED, text))
        assert score_T.shape == wanted_T.shape
        means.append((float(score_T.mean()), float(wanted_T.mean())))
    ours, theirs = zip(*means, strict=True)
    np.testing.assert_allclose(ours, theirs, atol=QUANTISED)
    assert ours[0] > ours[1] > ours[2]


@pytest.mark.weights
def test_a_prompt_that_does_not_fit_is_refused(weights: Path) -> None:
    small = embedded_model(context=128, parallel=1)
    long = Request((Message("user", "word " * 400),))

    async def scenario() -> None:
        try:
            with pytest.raises(ModelError, match="exceeds the available context size"):
                await small.generate(long)
            with pytest.raises(ModelError):
                await small.score(long, "x")
        finally:
            await small.close()

    asyncio.run(scenario())


@pytest.mark.weights
def test_the_port_is_on_loopback_and_locked(model: EmbeddedModel) -> None:
    run(lambda: model.generate(ASKED))
    address = model._server.listening_address  # pyright: ignore[reportPrivateUsage]
    assert address.startswith("http://127.0.0.1:")
    for path in ("/v1/models", "/tokenize", "/completion"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(address + path, timeout=10)
        assert caught.value.code == 401
        caught.value.close()


@pytest.mark.weights
def test_closing_frees_the_port_and_another_use_starts_again(weights: Path) -> None:
    made = embedded_model(parallel=1)

    async def scenario() -> int:
        await made.generate(ASKED)
        port = int(made._server.listening_address.rsplit(":", 1)[1])  # pyright: ignore[reportPrivateUsage]
        await made.close()
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
        text = (await made.generate(ASKED)).text
        await made.close()
        return len(text)

    assert asyncio.run(scenario()) > 0


@pytest.mark.weights
def test_a_file_of_the_users_own(weights: Path) -> None:
    own = embedded_model(str(weights))
    assert own.name == f"{weights.stem}-{fingerprint(weights)}"


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp")
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"broken\.gguf' cannot be loaded"):
        run(lambda: embedded_model(str(path)).generate(ASKED))


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"parallel": 0}, {"context": 10}, {"path": "/nowhere.gguf"}]
)
def test_refuses_wrong_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        embedded_model(**wrong)


def test_fingerprints_tell_files_apart(tmp_path: Path) -> None:
    size = 3_000_000
    files = {
        "a.gguf": bytes(size),
        "b.gguf": bytes(size - 1),
        "c.gguf": bytes(size - 1) + b"x",
        "d.gguf": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    prints = [fingerprint(tmp_path / name) for name in files]
    assert len(set(prints)) == 4
    assert fingerprint(tmp_path / "a.gguf") == prints[0]
    folder = fingerprint(tmp_path)
    (tmp_path / "notes.txt").write_text("not part of a model")
    assert fingerprint(tmp_path) == folder
    (tmp_path / "config.json").write_text("{}")
    assert fingerprint(tmp_path) != folder
