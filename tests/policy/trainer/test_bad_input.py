"""What cannot teach is left out and counted, or refused before the first update with a word on what to do."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("peft")
from trainer_kit import some_groups, tiny_model, tiny_tokenizer

from palate.errors import ConfigError, InputError, ModelError
from palate.policy.objectives import Completions, Loss, dpo, nll
from palate.policy.trainer import (
    Group,
    LogProbabilities,
    Lora,
    Speed,
    TrainOptions,
    Watch,
    encode_group,
    keep_usable,
    load_policy,
    train,
)
from palate.policy.trainer._run import data_order

PAIR = Group((3, 4), ((5, 2), (6, 7, 2)), key="good")


def test_rows_that_cannot_teach_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [
        PAIR,
        Group((3,), ((5, 2), (5, 2)), key="equal"),
        Group((3,), ((5, 2), ()), key="empty"),
        Group((3,) * 64, ((5, 2), (6, 2)), key="long prompt"),
        Group((3,) * 60, ((5, 6, 7, 8, 2), (6, 2)), key="long answer"),
        Group((3,), ((), (6, 2), (7, 2)), key="first of three empty"),
        Group((3,), ((6, 2), (), (7, 2)), key="second of three empty"),
        Group((3,), ((),), key="nothing to learn"),
    ]
    kept = keep_usable(rows, 64)
    assert [group.key for group in kept.groups] == ["good", "second of three empty"]
    assert kept.groups[1].completions == ((6, 2), (7, 2))
    assert kept.skipped == {
        "equal completions": 1,
        "empty completion": 3,
        "prompt longer than the context": 1,
        "longer than the context": 1,
        "completions of larger groups": 1,
    }
    options = TrainOptions(steps=1, lora=Lora(r=2), watch=Watch(prompts=0))
    trained = train(tiny_model(), None, rows, dpo(0.1), options, folder=tmp_path)
    assert trained.skipped == kept.skipped


def test_what_is_left_out_is_told_and_held_out_groups_may_all_be(tmp_path: Path) -> None:
    rows = [PAIR, Group((3,), ((5, 2), (5, 2)), key="equal")]
    held = [Group((3,) * 64, ((5, 2), (6, 2)), key="long prompt")]
    options = TrainOptions(steps=1, lora=Lora(r=2), watch=Watch(prompts=0))
    trained = train(tiny_model(), None, rows, dpo(0.1), options, folder=tmp_path, evaluate=held)
    assert trained.notes == (
        "left out of the data: 1 equal completions",
        "left out of what is held out: 1 prompt longer than the context",
    )
    assert trained.evaluation == {}


def test_with_rewards_no_completion_of_a_group_is_special() -> None:
    group = Group((3,), ((), (6, 2), (7, 2)), {"reward": (0.0, 1.0, 2.0)}, reference=(-1.0, -2.0, -3.0))
    [kept] = keep_usable([group], 64).groups
    assert kept.completions == ((6, 2), (7, 2))
    assert (kept.columns["reward"], kept.reference) == ((1.0, 2.0), (-2.0, -3.0))


def test_a_limit_of_ones_own_is_kept(tmp_path: Path) -> None:
    options = TrainOptions(steps=1, max_length=4, watch=Watch(prompts=0))
    with pytest.raises(InputError, match=r"none of 1 groups can be trained on: 1 longer than the context"):
        train(tiny_model(), None, [PAIR], dpo(0.1), options, folder=tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Group((), ((5,),)), "empty prompt"),
        (lambda: Group((3,), ()), "no completion"),
        (lambda: Group((3,), ((5,), (6,)), {"reward": (1.0,)}), "must hold 2 finite"),
        (lambda: Group((3,), ((5,),), {"reward": (float("nan"),)}), "must hold 1 finite"),
        (lambda: Group((3,), ((5,), (6,)), reference=(0.0,)), "1 reference log-prob"),
        (lambda: keep_usable([], 9), "there were none"),
        (lambda: keep_usable([PAIR, *some_groups(1)], 64), "some groups have columns"),
    ],
)
def test_data_that_do_not_fit_are_refused(make: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        make()


def test_texts_become_groups() -> None:
    tokenizer = tiny_tokenizer()
    group = encode_group(tokenizer, "a b", ["c", "d e"], columns={"reward": [1, 2]}, key="row 1")
    words = [tokenizer.decode([token]) for completion in group.completions for token in completion]
    assert words == ["c", "</s>", "d", "e", "</s>"]
    assert tokenizer.decode(group.prompt) == "a b"
    assert (group.columns["reward"], group.key) == ((1.0, 2.0), "row 1")
    assert encode_group(tokenizer, "a", ["", "d"]).completions[0] == ()
    assert encode_group(tokenizer, "a", ["d"], end=False).completions == ((tokenizer.encode("d")[0],),)
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }} {% endfor %}z"
    chat = encode_group(tokenizer, [{"role": "user", "content": "a b"}], ["c"])
    assert tokenizer.decode(chat.prompt) == "a b z"


def test_tokenisers_that_lack_something_say_what_to_do() -> None:
    tokenizer = tiny_tokenizer()
    assert tokenizer.pad_token is None  # and it is never needed
    with pytest.raises(ConfigError, match="no chat template"):
        encode_group(tokenizer, [{"role": "user", "content": "a"}], ["b"])
    tokenizer.eos_token = None
    with pytest.raises(ConfigError, match="no end token"):
        encode_group(tokenizer, "a", ["b"])


def test_a_loss_that_is_not_a_number_stops_before_the_update(tmp_path: Path) -> None:
    calls = [0]

    def breaks(completions: Completions) -> Loss:
        calls[0] += 1
        loss = dpo(0.1)(completions)
        return Loss(loss.each_G * (float("nan") if calls[0] == 6 else 1.0), loss.counted_G)

    options = TrainOptions(
        steps=4, batch=2, accumulate=2, save_every=1, learning_rate=1e-2, lora=Lora(r=2), watch=Watch(0)
    )
    with pytest.raises(ModelError, match="the loss of update 3 is NaN or infinite") as error:
        train(tiny_model(), None, some_groups(16), breaks, options, folder=tmp_path)
    named = [f"row {place}" for place in data_order(0, 0, 16)[10:12]]  # the batch, not the whole update
    assert f"its groups are {', '.join(named)}. The" in str(error.value)
    lines = (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    assert sorted(file.name for file in tmp_path.glob("step-*")) == ["step-00000001", "step-00000002"]
    calls[0] = 100
    assert train(tiny_model(), None, some_groups(16), breaks, options, folder=tmp_path).steps == 4


def test_a_gradient_that_is_not_a_number_stops_too(tmp_path: Path) -> None:
    def steep(completions: Completions) -> Loss:
        loss = dpo(0.1)(completions)
        return Loss((loss.each_G * 0).sqrt() + loss.each_G.detach(), loss.counted_G)

    with pytest.raises(ModelError, match="the gradient of update 1 is NaN"):
        train(tiny_model(), None, [PAIR], steep, TrainOptions(steps=1, watch=Watch(0)), folder=tmp_path)


def test_an_update_in_which_nothing_counts_changes_nothing(tmp_path: Path) -> None:
    def deaf(completions: Completions) -> Loss:
        loss = nll(completions)
        return Loss(loss.each_G * 0, torch.zeros_like(loss.counted_G))

    options = TrainOptions(steps=2, learning_rate=1.0, lora=None, weight_decay=0.5, watch=Watch(0))
    scorer = LogProbabilities(reference=False)
    before = tiny_model().state_dict()
    trained = train(tiny_model(), None, [PAIR], deaf, options, folder=tmp_path, scorer=scorer)
    after = trained.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert trained.metrics["groups"] == 0


def test_an_adapter_for_another_model_is_refused(tmp_path: Path) -> None:
    for seed in (0, 1):
        tiny_model(seed).save_pretrained(tmp_path / f"base{seed}")
        tiny_tokenizer().save_pretrained(tmp_path / f"base{seed}")
    options = TrainOptions(steps=1, lora=Lora(r=2), watch=Watch(0))
    trained = train(tiny_model(), tiny_tokenizer(), [PAIR], dpo(0.1), options, folder=tmp_path / "run")
    found = load_policy(trained.folder, base=tmp_path / "base0", device="cpu")
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        assert torch.allclose(found.model(ids).logits, trained.model(ids).logits, atol=1e-5)
    with pytest.raises(InputError, match="trained on another model"):
        load_policy(trained.folder, base=tmp_path / "base1", device="cpu")
    with pytest.raises(InputError, match=r"give that model.s folder as base"):
        load_policy(trained.folder)
    weights = trained.folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"is damaged: adapter_model\.safetensors has"):
        load_policy(trained.folder, base=tmp_path / "base0", device="cpu")


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_models_of_others_that_were_cut_in_half_are_refused(tmp_path: Path) -> None:
    from palate.policy.rewards import load_reward

    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    assert load_policy(tmp_path, device="cpu").model.config.vocab_size == 97
    cut(tmp_path / "model.safetensors")
    for load in (load_policy, load_reward):
        with pytest.raises(InputError, match="is damaged"):
            load(tmp_path)


def test_weights_that_are_not_there_are_not_drawn_at_random(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 1 weights of its model, first 'model\.layers\.0\.mlp\.up"):
        load_policy(tmp_path)


def test_an_adapter_as_a_pickle_is_refused_whatever_lies_beside_it(tmp_path: Path) -> None:
    for part in ("base", "run"):
        tiny_model().save_pretrained(tmp_path / part)
        tiny_tokenizer().save_pretrained(tmp_path / part)
    options = TrainOptions(steps=1, lora=Lora(r=2), watch=Watch(0))
    folder = train(tiny_model(), tiny_tokenizer(), [PAIR], dpo(0.1), options, folder=tmp_path / "run").folder
    (folder / "complete.json").unlink()
    weights = folder / "adapter_model.safetensors"
    weights.rename(folder / "other.safetensors")
    (folder / "adapter_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=r"adapter without adapter_model\.safetensors; pickles are refused"):
        load_policy(folder, base=tmp_path / "base", device="cpu")
    (folder / "other.safetensors").rename(weights)
    cut(weights)
    with pytest.raises(InputError, match="is damaged"):
        load_policy(folder, base=tmp_path / "base", device="cpu")


def test_models_as_pickles_are_refused(tmp_path: Path) -> None:
    tiny_model().config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="pickle"):
        load_policy(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        load_policy(tmp_path / "nowhere")


def test_choices_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    quiet = {"steps": 1, "watch": Watch(0)}
    options = TrainOptions(lora=None, **quiet)
    with pytest.raises(ConfigError, match="there is no adapter"):
        train(tiny_model(), None, [PAIR], dpo(0.1), options, folder=tmp_path / "a", reference="base")
    adapted = train(
        tiny_model(), None, [PAIR], dpo(0.1), TrainOptions(lora=Lora(r=2), **quiet), folder=tmp_path / "b"
    ).model
    with pytest.raises(ConfigError, match="merge the adapter"):
        train(adapted, None, [PAIR], dpo(0.1), TrainOptions(lora=None, **quiet), folder=tmp_path / "c")
    options = TrainOptions(lora=Lora(targets=("no_such_layer",)), **quiet)
    with pytest.raises(ConfigError, match="does not fit the model"):
        train(tiny_model(), None, [PAIR], dpo(0.1), options, folder=tmp_path / "d")
    with pytest.raises(ConfigError, match="reference must be"):
        train(tiny_model(), None, [PAIR], dpo(0.1), TrainOptions(**quiet), folder=tmp_path / "e", reference=7)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0},
        {"epochs": 0},
        {"batch": 0},
        {"accumulate": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"schedule": "linear"},
        {"warmup": -1},
        {"weight_decay": -0.1},
        {"max_grad_norm": 0.0},
        {"dtype": "fp16"},
        {"seed": -1},
        {"patience": 1},
        {"max_length": 1},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainOptions(**wrong)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Lora, {"r": 0}),
        (Lora, {"alpha": 0.0}),
        (Lora, {"dropout": 1.0}),
        (Lora, {"targets": ()}),
        (Watch, {"prompts": -1}),
        (Watch, {"max_tokens": 0}),
        (LogProbabilities, {"prior_kl": -1.0}),
    ],
)
def test_parts_out_of_range_are_refused(kind: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        kind(**wrong)


def test_a_network_without_a_linear_head_is_refused() -> None:
    from palate.errors import UnsupportedError
    from palate.policy.trainer import Network

    model = SimpleNamespace(get_output_embeddings=lambda: None, get_decoder=lambda: None)
    with pytest.raises(UnsupportedError, match="no plain linear head"):
        Network(model, "fp32", Speed())
