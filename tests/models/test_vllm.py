"""What is handed to vLLM and what becomes of what it hands back.

vLLM itself needs a graphics processor. What stands in for it here has the names, parameters and defaults that
its interface had when it was read (0.33), and answers with the seed and the length of the prompt: it shows
that the right things are asked for, and nothing of what vLLM makes of them.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from palate.errors import ConfigError, MissingExtraError, ModelError, UnsupportedError
from palate.models import VllmModel, vllm_model
from palate.policy.rollouts import RolloutOptions, sample
from palate.types import Message, Request


@dataclass
class SamplingParams:
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int | None = 16
    seed: int | None = None
    stop: list[str] | None = None


@dataclass
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str = ""


class Tokenizer:
    """A token a character; the template marks turns."""

    def apply_chat_template(self, messages: Any, *, tokenize: bool, add_generation_prompt: bool) -> str:
        assert add_generation_prompt
        assert not tokenize
        return "".join(f"<{turn['role']}>{turn['content']}" for turn in messages) + "<assistant>"

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return [ord(letter) for letter in text]


@dataclass
class LLM:
    """Records what it is given."""

    model: str
    load_format: str
    trust_remote_code: bool
    dtype: str = "auto"
    gpu_memory_utilization: float = 0.92
    max_model_len: int | None = None
    tensor_parallel_size: int = 1
    enable_lora: bool = False
    max_lora_rank: int = 16
    asked: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if "broken" in self.model:
            raise ValueError("no weights")
        self.model_config = SimpleNamespace(max_model_len=self.max_model_len or 64)
        self.down: list[bool] = []
        core = SimpleNamespace(shutdown=lambda: self.down.append(True))
        self.llm_engine = SimpleNamespace(engine_core=core)
        started.append(self)

    def get_tokenizer(self) -> Tokenizer:
        return Tokenizer()

    def generate(self, prompts: Any, sampling_params: Any, *, use_tqdm: bool, lora_request: Any) -> list[Any]:
        assert not use_tqdm
        assert len(prompts) == len(sampling_params)
        self.asked.append((prompts, sampling_params, lora_request))
        return [
            SimpleNamespace(
                outputs=[
                    SimpleNamespace(
                        text=f"{len(prompt['prompt_token_ids'])} {how.seed}",
                        token_ids=[1, 2, 3],
                        finish_reason="length" if how.max_tokens == 3 else "stop",
                    )
                ]
            )
            for prompt, how in zip(prompts, sampling_params, strict=True)
        ]


started: list[LLM] = []


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[LLM]:
    vllm, lora, request = (ModuleType(name) for name in ("vllm", "vllm.lora", "vllm.lora.request"))
    vllm.LLM, vllm.SamplingParams = LLM, SamplingParams  # type: ignore[attr-defined]
    request.LoRARequest = LoRARequest  # type: ignore[attr-defined]
    for module in (vllm, lora, request):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    started.clear()
    return started


async def test_each_answer_is_a_request_with_a_seed_of_its_own(engine: list[LLM], tmp_path: Path) -> None:
    model = VllmModel(tmp_path, name="m", memory=0.5, context=99, parallel=2, dtype="bfloat16")
    assert engine == []  # nothing is started before it is used
    options = RolloutOptions(samples=3, temperature=0.7, top_p=0.9, max_tokens=5, seed=4)
    drawn = await sample(model, [(Message("user", "one"),), (Message("user", "three"),)], options)
    [one] = engine
    assert (one.model, one.load_format, one.trust_remote_code) == (str(tmp_path), "safetensors", False)
    assert (one.dtype, one.gpu_memory_utilization, one.max_model_len) == ("bfloat16", 0.5, 99)
    assert (one.tensor_parallel_size, one.enable_lora) == (2, False)
    asked = [
        (prompt, how) for prompts, hows, _ in one.asked for prompt, how in zip(prompts, hows, strict=True)
    ]
    assert len(asked) == 6
    assert len({how.seed for _, how in asked}) == 6
    assert {(how.n, how.temperature, how.top_p, how.top_k, how.max_tokens) for _, how in asked} == {
        (1, 0.7, 0.9, 0, 5)
    }
    sizes = [len("<user>" + text + "<assistant>") for text in ("one", "three")]
    assert [{text.split()[0] for text in each.answers} for each in drawn.each] == [{str(s)} for s in sizes]
    assert drawn.tokens == 18
    again = await sample(model, [(Message("user", "three"),)], options)
    assert again.each[0] == drawn.each[1]  # the seed is of the prompt and the sample, not of the batch
    await model.close()
    assert one.down == [True]
    await model.close()
    assert one.down == [True]


async def test_an_adapter_is_put_on_the_model(engine: list[LLM], tmp_path: Path) -> None:
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"r": 12}))
    model = VllmModel(tmp_path, name="m", adapter=adapter, encode=lambda turns: [7] * len(turns))
    said = await model.generate(Request((Message("user", "x"),), max_tokens=3, stop=("\n",)))
    await model.close()
    [one] = engine
    assert (one.enable_lora, one.max_lora_rank) == (True, 16)
    [(prompts, [how], lora)] = one.asked
    assert lora == LoRARequest("adapter", 1, str(adapter))
    assert prompts == [{"prompt_token_ids": [7]}]
    assert (how.temperature, how.seed, how.stop) == (0.0, None, ["\n"])
    assert (said.text, said.finish, said.usage) == ("1 None", "length", (1, 3))


@pytest.mark.parametrize(
    ("content", "told"),
    [("{}", "is not the folder of an adapter"), ('{"r": 999}', "the rank 999; vLLM takes 512 at most")],
)
async def test_bad_adapters(engine: list[LLM], tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    model = VllmModel(tmp_path, name="m", adapter=tmp_path)
    with pytest.raises(ModelError, match=told):
        await model.generate(Request((Message("user", "x"),)))
    await model.close()
    assert engine == []


async def test_what_it_cannot_do(engine: list[LLM], tmp_path: Path) -> None:
    model = VllmModel(tmp_path, name="m")
    with pytest.raises(UnsupportedError, match="for answers only"):
        await model.score(Request((Message("user", "x"),)), "y")
    with pytest.raises(ModelError, match="are needed with the answer, but the model reads at most 64"):
        await model.generate(Request((Message("user", "x"),), max_tokens=60))
    await model.close()
    broken = VllmModel(tmp_path / "broken", name="m")
    with pytest.raises(ModelError, match=r"vLLM cannot load .*broken: no weights"):
        await broken.generate(Request((Message("user", "x"),)))
    await broken.close()


def test_the_maker_names_files_and_refuses_nonsense(engine: list[LLM], tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(name)
    plain, other = (
        vllm_model(str(tmp_path / "a")),
        vllm_model(str(tmp_path / "a"), adapter=str(tmp_path / "b")),
    )
    assert plain.name.startswith("a-")
    assert other.name.startswith(f"{plain.name}+b-")
    for options in (
        {"dtype": "int4"},
        {"memory": 0},
        {"parallel": 0},
        {"context": 1},
        {"adapter": "nowhere"},
    ):
        with pytest.raises(ConfigError):
            vllm_model(str(tmp_path / "a"), **options)  # type: ignore[arg-type]


def test_without_vllm_the_command_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'palate\[vllm\]'"):
        vllm_model(str(tmp_path))


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
async def test_an_adapter_in_training_is_drawn_from_without_merging_it(
    engine: list[LLM], tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    from palate.policy.data import Loaded, TextGroup
    from palate.policy.trainer import Lora, adapt
    from palate.recipes import Job, Policy, open_policy
    from palate.recipes._answers import _answering
    from palate.testing import save_tiny_model

    folder = save_tiny_model(tmp_path / "tiny")
    model, tokenizer = open_policy(folder)
    policy = Policy(adapt(model, Lora(r=4), "fp32", 0), tokenizer)
    job = Job(folder, tmp_path, Loaded((TextGroup("p"),)), engine="vllm")
    answering = _answering(job, policy, ["p"], tmp_path / "drawn-from")
    await sample(answering, ["p"], RolloutOptions(samples=1, max_tokens=4))
    await answering.close()
    [one] = engine
    assert (one.model, one.enable_lora, one.max_lora_rank) == (str(folder), True, 8)
    assert one.asked[0][2] == LoRARequest("drawn-from", 1, str(tmp_path / "drawn-from"))
    assert (tmp_path / "drawn-from" / "adapter_model.safetensors").is_file()


async def test_the_rounds_of_a_recipe_draw_with_it(engine: list[LLM], tmp_path: Path) -> None:
    from palate.policy.data import Loaded, TextGroup
    from palate.recipes import Job, open_policy
    from palate.recipes._answers import _answering
    from palate.testing import save_tiny_model

    folder = save_tiny_model(tmp_path / "tiny")
    policy = open_policy(folder)
    job = Job(folder, tmp_path, Loaded((TextGroup("p"),)), engine="vllm", engine_memory=0.3)
    model = _answering(job, policy, ["p"], tmp_path / "drawn-from")
    drawn = await sample(model, ["p"], RolloutOptions(samples=2, max_tokens=4))
    await model.close()
    [one] = engine
    assert (one.model, one.gpu_memory_utilization, one.dtype) == (
        str(tmp_path / "drawn-from"),
        0.3,
        "float32",
    )
    assert open_policy(tmp_path / "drawn-from").digest() == policy.digest()
    ids = policy.tokenizer.encode("p")  # the very tokens that are trained on
    assert [prompt["prompt_token_ids"] for prompt in one.asked[0][0]] == [ids, ids]
    assert len(drawn.each[0].answers) == 2
    with pytest.raises(ConfigError, match="'transformers' or 'vllm'"):
        Job(folder, tmp_path, Loaded(()), engine="onnx")  # type: ignore[arg-type]
