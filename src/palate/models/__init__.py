"""Who answers: OpenAI-style endpoints, local models, embeddings, a scripted fake, and their meter."""

from palate.models._causal import convert_gguf
from palate.models._diffusion import DiffusersModel, diffusers_model
from palate.models._embedded import EmbeddedModel, embedded_model
from palate.models._embeddings import EmbeddingModel, minilm_model, wordllama_model
from palate.models._endpoint import Endpoint
from palate.models._images import ImagesModel, images_model
from palate.models._ledger import Budget, Estimate, Ledger, Reservation, Spent
from palate.models._limits import AdaptiveLimit, LimitPool
from palate.models._loaded import LoadedModel
from palate.models._metered import Accountable, MeteredModel
from palate.models._openai import OpenAIModel, openai_model
from palate.models._pricing import Price, PriceTable, read_prices
from palate.models._retry import Retrier, RetryPolicy
from palate.models._scripted import Call, ScriptedModel, scripted_model
from palate.models._transformers import TransformersModel, transformers_model
from palate.models._vllm import VllmModel, vllm_model
from palate.models._weights import cache_folder, fetch_weights, weights_path

__all__ = [
    "Accountable",
    "AdaptiveLimit",
    "Budget",
    "Call",
    "DiffusersModel",
    "EmbeddedModel",
    "EmbeddingModel",
    "Endpoint",
    "Estimate",
    "ImagesModel",
    "Ledger",
    "LimitPool",
    "LoadedModel",
    "MeteredModel",
    "OpenAIModel",
    "Price",
    "PriceTable",
    "Reservation",
    "Retrier",
    "RetryPolicy",
    "ScriptedModel",
    "Spent",
    "TransformersModel",
    "VllmModel",
    "cache_folder",
    "convert_gguf",
    "diffusers_model",
    "embedded_model",
    "fetch_weights",
    "images_model",
    "minilm_model",
    "openai_model",
    "read_prices",
    "scripted_model",
    "transformers_model",
    "vllm_model",
    "weights_path",
    "wordllama_model",
]
