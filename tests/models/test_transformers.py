"""The transformers engine on a tiny random Llama that the test makes: batching must change nothing."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chisquare

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.models._causal import _NUCLEUS, Row, _draw
from palate.models._transformers import TransformersModel, _Job, _row, transformers_model
from palate.types import Message, Request

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

ROUNDING = 2e-4  # float32 sums in another order
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    path = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate(["<end>", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(path)
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.4,
        bos_token_id=0,
        eos_token_id=0,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(path)
    return path


def request(prompt: str, text: str, **how: object) -> Request:
    return Request((Message("system", prompt), Message("user", text)), **{"max_tokens": 12, **how})  # type: ignore[arg-type]


REQUESTS = [
    request(p, t) for p in ("Reply.", "Reply in one line, politely.") for t in ("a", "a late parcel", "bb")
]


async def test_a_batch_answers_as_each_request_alone(folder: Path) -> None:
    model = transformers_model(str(folder), dtype="float32")
    alone = [(await model.generate(r)).text for r in REQUESTS]
    together = await asyncio.gather(*(model.generate(r) for r in REQUESTS))
    assert [c.text for c in together] == alone
    assert len(set(alone)) > 1
    assert all(c.usage.output_tokens <= 12 for c in together)
    await model.close()


async def test_scores_are_those_of_one_plain_forward_pass(folder: Path) -> None:
    model = transformers_model(str(folder), dtype="float32")
    answers = ["yes", "no, never", "it depends on what you mean"]
    got = await asyncio.gather(*(model.score(r, a) for r in REQUESTS for a in answers))
    await model.close()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    wanted = []
    for r in REQUESTS:
        head = "".join(f"<{m.role}>{m.content}\n" for m in r.messages) + "<assistant>"
        for answer in answers:
            before, after = tokenizer.encode(head), tokenizer.encode(answer)
            with torch.no_grad():
                logits = plain(torch.tensor([before + after])).logits[0].log_softmax(-1)
            wanted.append([logits[len(before) - 1 + t, token].item() for t, token in enumerate(after)])
    for a, b in zip(got, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=ROUNDING)


async def test_a_seeded_sample_does_not_depend_on_its_neighbours(folder: Path) -> None:
    model = transformers_model(str(folder), dtype="float32")
    drawn = [request("Reply.", "a", temperature=1.0, seed=3, sample=n) for n in range(4)]
    together = await asyncio.gather(*(model.generate(r) for r in drawn))
    alone = [await model.generate(r) for r in drawn]
    assert [c.text for c in together] == [c.text for c in alone]
    assert len({c.text for c in alone}) == 4
    await model.close()


async def test_a_prompt_is_read_once_and_rows_that_have_ended_leave_the_batch(folder: Path) -> None:
    model = transformers_model(str(folder), dtype="float32")
    drawn = [
        request("Reply.", text, temperature=1.0, seed=5, sample=n, max_tokens=2 + 9 * (n % 4))
        for text in ("a", "a late parcel")
        for n in range(8)
    ]
    alone = [await model.generate(each) for each in drawn]
    lm = model.load()
    shapes: list[tuple[int, int]] = []
    lm._model.register_forward_pre_hook(
        lambda _module, _given, named: shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    rows = [_row(lm, _Job(each, None)) for each in drawn]
    together = lm.generate(rows)
    await model.close()
    assert [answer.text for answer in together] == [each.text for each in alone]
    assert [answer.tokens for answer in together] == [each.usage.output_tokens for each in alone]
    # The common beginning, then what is left of the two prompts, then a token of every row under way.
    prompts = {row.prompt for row in rows}
    shared = next(k for k, tokens in enumerate(zip(*prompts, strict=False)) if len(set(tokens)) > 1)
    assert shapes[:2] == [(1, shared), (2, max(map(len, prompts)) - shared)]
    under_way = [b for b, _ in shapes[2:]]
    assert under_way[0] == 16
    assert under_way[-1] <= 6
    assert under_way == sorted(under_way, reverse=True)
    assert sum(under_way) >= sum(answer.tokens - 1 for answer in together)


async def test_a_tiny_nucleus_is_greedy(folder: Path) -> None:
    model = transformers_model(str(folder), dtype="float32")
    greedy = await model.generate(request("Reply.", "a"))
    narrow = await model.generate(request("Reply.", "a", temperature=1.0, top_p=1e-6, seed=1))
    assert narrow.text == greedy.text
    await model.close()


@pytest.mark.parametrize("top_p", [0.3, 0.95, 0.9999])
def test_the_nucleus_is_that_of_a_whole_sort(top_p: float) -> None:
    logits_V = 3.0 * torch.randn(5_000, generator=torch.Generator().manual_seed(1))
    row = Row((1,), temperature=0.7, top_p=top_p)
    prob_V = torch.softmax(logits_V / row.temperature, dim=0)
    sorted_V, index_V = prob_V.sort(descending=True)
    inside_V = sorted_V.cumsum(0) - sorted_V < top_p
    assert (int(inside_V.sum()) > _NUCLEUS) == (top_p > 0.99)
    mass_V = sorted_V[inside_V].double()
    for seed in range(50):
        slow, fast = (torch.Generator().manual_seed(seed) for _ in range(2))
        left = torch.rand(1, generator=slow, dtype=torch.float64) * mass_V.sum()
        first = next(n for n in range(len(mass_V)) if mass_V[: n + 1].sum() > left)
        assert _draw(torch, logits_V, row, fast) == int(index_V[first])


@pytest.mark.parametrize("top_p", [0.9, 1.0])
def test_draws_are_as_frequent_as_they_should_be(top_p: float) -> None:
    logits_V = torch.tensor([-torch.inf, 2.0, 1.0, 0.5, -torch.inf, -1.0, -torch.inf])
    row = Row((1,), temperature=1.5, top_p=top_p)
    expected_V = torch.softmax(logits_V.double() / row.temperature, dim=0).numpy()
    if top_p < 1:
        expected_V[5] = 0.0
    expected_V /= expected_V.sum()
    generator = torch.Generator().manual_seed(3)
    drawn_V = np.bincount([_draw(torch, logits_V, row, generator) for _ in range(4000)], minlength=7)
    assert drawn_V[expected_V == 0].sum() == 0
    some_V = expected_V > 0
    assert chisquare(drawn_V[some_V], 4000 * expected_V[some_V]).pvalue > 0.001


async def test_a_stop_string_ends_the_answer(folder: Path) -> None:
    model = transformers_model(str(folder), dtype="float32")
    whole = (await model.generate(request("Reply.", "a"))).text
    mark = whole[4]
    cut = await model.generate(request("Reply.", "a", stop=(mark,)))
    assert cut.text == whole[: whole.index(mark)]
    assert cut.finish == "stop"
    await model.close()


async def test_a_prompt_beyond_the_context_fails_alone(folder: Path) -> None:
    model = transformers_model(str(folder), dtype="float32")
    good, bad = request("Reply.", "a"), request("Reply.", "a" * 300)
    results = await asyncio.gather(model.generate(good), model.generate(bad), return_exceptions=True)
    assert not isinstance(results[0], BaseException)
    assert isinstance(results[1], ModelError)
    assert "at most 256" in str(results[1])
    await model.close()


async def test_what_it_cannot_do_is_said(folder: Path, tmp_path: Path) -> None:
    model = transformers_model(str(folder))
    with pytest.raises(UnsupportedError, match="wordllama"):
        await model.embed(["a"])
    with pytest.raises(ConfigError, match="continuation is empty"):
        await model.score(REQUESTS[0], "")
    with pytest.raises(ConfigError, match="no model at"):
        transformers_model(str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="'auto', 'float32', 'bfloat16'"):
        transformers_model(str(folder), dtype="int3")
    cut = tmp_path / "cut"
    shutil.copytree(folder, cut)
    weights = cut / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    for place in (tmp_path, cut):
        broken = TransformersModel(place, name="broken")
        with pytest.raises(ModelError, match="does not hold a causal language model"):
            await broken.generate(REQUESTS[0])
        await broken.close()
    await model.close()
