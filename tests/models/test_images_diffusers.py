"""Pictures on this machine: a whole pipeline with random weights, loaded and run for real."""

import asyncio
import base64
import io
import json
from pathlib import Path

import pytest

pytest.importorskip("diffusers")
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.models import DiffusersModel, Ledger, MeteredModel, diffusers_model
from palate.targets import ImageTarget
from palate.types import Candidate, Input, Message, Request

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline with a few thousand random weights, written the way real ones are."""
    place = tmp_path_factory.mktemp("tiny")
    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = {token: n for n, token in enumerate([*letters, *(f"{letter}</w>" for letter in letters)])}
    vocabulary |= {"<|startoftext|>": len(vocabulary), "<|endoftext|>": len(vocabulary) + 1}
    (place / "vocab.json").write_text(json.dumps(vocabulary))
    (place / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=77, bos_token_id=52, eos_token_id=53,
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    tokens = (str(place / "vocab.json"), str(place / "merges.txt"))
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer(*tokens, model_max_length=77),
        unet=unet,
        scheduler=DDIMScheduler(steps_offset=1, clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(place / "pipeline", safe_serialization=True)
    return place / "pipeline"


def drawing(text: str, seed: int | None = 3, **extra: str) -> Request:
    return Request((Message("user", text),), seed=seed, extra={"size": "64x48", **extra})


def drawn(model: DiffusersModel, request: Request) -> Image.Image:
    answer = asyncio.run(model.generate(request))
    assert (answer.finish, answer.cost) == ("stop", 0.0)
    return Image.open(io.BytesIO(base64.b64decode(answer.text)))


def test_a_seed_draws_the_same_and_words_and_seeds_matter(folder: Path) -> None:
    model = diffusers_model(str(folder), steps=2, device="cpu")
    first = drawn(model, drawing("a red door"))
    assert first.size == (64, 48)
    assert drawn(model, drawing("a red door")).tobytes() == first.tobytes()
    assert drawn(model, drawing("a red door", seed=4)).tobytes() != first.tobytes()
    assert drawn(model, drawing("a blue window")).tobytes() != first.tobytes()
    asyncio.run(model.close())


def test_it_is_a_painter_like_any_other(folder: Path) -> None:
    model = MeteredModel(diffusers_model(str(folder), steps=1, device="cpu"), cache=None, ledger=Ledger())
    target = ImageTarget(model, "{{prompt}}", "64x48", seed=1)
    response = asyncio.run(target.respond(Candidate.make("a red door"), Input("i1", "?")))
    assert (response.failed, response.cost) == (None, 0.0)
    wrong = asyncio.run(
        ImageTarget(model, "{{prompt}}", "65x48").respond(Candidate.make("x"), Input("i1", "?"))
    )
    assert "could not draw" in str(wrong.failed)  # this pipeline draws multiples of eight
    assert model.ledger.spent.cost == 0.0


def test_what_shapes_a_picture_is_part_of_its_key(folder: Path) -> None:
    one = diffusers_model(str(folder), steps=1).identity("generate")
    assert one == diffusers_model(str(folder), steps=1).identity("generate")
    assert one != diffusers_model(str(folder), steps=2).identity("generate")
    assert one != diffusers_model(str(folder), steps=1, guidance=3.0).identity("generate")


def test_only_safetensors_are_loaded(folder: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "pickled"
    shutil.copytree(folder, copy)
    for weights in copy.rglob("*.safetensors"):
        weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(ModelError, match="cannot be loaded"):
        drawn(diffusers_model(str(copy), device="cpu"), drawing("x"))


def test_options_that_cannot_work_are_refused(folder: Path, tmp_path: Path) -> None:
    model = diffusers_model(str(folder), steps=1, device="cpu")
    with pytest.raises(ConfigError, match="no 'quality' = 'high'"):
        asyncio.run(model.generate(drawing("x", quality="high")))
    for options in ({"steps": 0}, {"guidance": -1.0}, {"device": "toaster"}):
        with pytest.raises(ConfigError):
            diffusers_model(str(folder), **options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r"model_index\.json"):
        diffusers_model(str(tmp_path))
    with pytest.raises(UnsupportedError):
        asyncio.run(model.embed(["x"]))
