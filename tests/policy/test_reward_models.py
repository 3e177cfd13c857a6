"""Reward models end to end on a tiny network: they learn, keep what they learnt, and others read them."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from palate.errors import ConfigError, InputError, ModelError
from palate.policy.data import Loaded, TextGroup, tokenise
from palate.policy.objectives import Completions
from palate.policy.rewards import (
    Classify,
    PairwiseReward,
    Rewards,
    ScalarModel,
    ScalarReward,
    Written,
    accuracy,
    bradley_terry,
    class_groups,
    knock_out,
    load_reward,
    pairwise_groups,
    save_pairwise,
    save_scalar,
)
from palate.policy.trainer import LogProbabilities, Trained, TrainOptions, Watch, train
from palate.testing import tiny_model, tiny_tokeniser
from palate.types import Message

SAME = 1e-5
QUICK: dict[str, Any] = {"batch": 8, "learning_rate": 2e-2, "schedule": "constant", "watch": Watch(prompts=0)}


def pairs(count: int, seed: int) -> Loaded:
    """The answer with the sum is right; both have the same length."""
    draw = random.Random(seed)
    groups = []
    for n in range(count):
        good, bad = ("".join(draw.choices(letters, k=6)) for letters in ("aeiou", "bcdfg"))
        groups.append(TextGroup((Message("user", f"say {n}"),), (good, bad), place=f"row {n}"))
    return Loaded(tuple(groups))


def columns(loaded: Loaded) -> tuple[list[Any], list[str], list[str]]:
    prompts, chosen, rejected = zip(*((g.prompt, *g.completions) for g in loaded.groups), strict=True)
    return list(prompts), list(chosen), list(rejected)


def lines(trained: Trained) -> list[dict[str, float]]:
    text = (trained.folder.parent / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_a_scalar_model_learns_and_comes_back_the_same(tmp_path: Path) -> None:
    tokeniser = tiny_tokeniser()
    groups, _ = tokenise(pairs(64, 0), tokeniser)
    options = TrainOptions(steps=24, lora=None, **QUICK)
    trained = train(
        tiny_model(tokeniser),
        tokeniser,
        groups,
        bradley_terry(),
        options,
        folder=tmp_path / "run",
        scorer=ScalarReward(),
    )
    told = lines(trained)
    assert told[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)  # the head begins at zero
    assert told[-1]["loss"] < 0.1
    assert trained.module is not None
    save_scalar(trained.model, trained.module, tokeniser, Written("scalar"), tmp_path / "reward")
    loaded = load_reward(tmp_path / "reward")
    assert isinstance(loaded, ScalarModel)
    assert isinstance(loaded, Rewards)
    prompts, chosen, rejected = columns(pairs(30, 1))
    gap = loaded.score(prompts, chosen) - loaded.score(prompts, rejected)
    assert accuracy(gap).share == 1.0
    assert loaded.prefer(prompts, chosen, rejected) == pytest.approx(1 / (1 + np.exp(-gap)))
    # one row, by hand: the whole text through the network, the head on its last token
    ids = torch.tensor([loaded.tokens(prompts[0], chosen[0])])
    with torch.no_grad():
        last = trained.model.model(input_ids=ids).last_hidden_state[0, -1]
        by_hand = float(last @ trained.module.weight[0])  # pyright: ignore
    assert loaded.score(prompts[:1], chosen[:1])[0] == pytest.approx(by_hand, abs=SAME)


def test_transformers_reads_the_same_rewards_from_the_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokeniser = tiny_tokeniser()
    head = ScalarReward().module(32)
    torch.nn.init.normal_(next(head.parameters()))
    save_scalar(tiny_model(tokeniser), head, tokeniser, Written("scalar"), tmp_path / "r")
    mine = load_reward(tmp_path / "r")
    assert isinstance(mine, ScalarModel)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "r")
    for answer in ("yes", "a much longer answer than that"):
        ids = torch.tensor([mine.tokens((Message("user", "x"),), answer)])
        assert int(ids[0, -1]) == tokeniser.eos_token_id  # the end of the answer is what is read
        with torch.no_grad():
            expected = float(theirs(input_ids=ids).logits[0, 0])
        assert mine.score([(Message("user", "x"),)], [answer])[0] == pytest.approx(expected, abs=SAME)


def test_padding_and_company_change_nothing(tmp_path: Path) -> None:
    tokeniser = tiny_tokeniser()
    head = ScalarReward().module(32)
    torch.nn.init.normal_(next(head.parameters()))
    save_scalar(tiny_model(tokeniser), head, tokeniser, Written("scalar"), tmp_path / "r")
    model = load_reward(tmp_path / "r")
    answers = ["a" * n for n in range(1, 40)]
    prompts: list[Any] = [(Message("user", "x"),)] * len(answers)
    alone = [model.score([prompt], [answer])[0] for prompt, answer in zip(prompts, answers, strict=True)]
    assert model.score(prompts, answers) == pytest.approx(alone, abs=SAME)
    assert math.isnan(model.score(prompts[:1], ["a" * 600])[0])  # longer than the context of 512


def test_a_model_of_others_is_shown_whole_conversations(tmp_path: Path) -> None:
    tokeniser = tiny_tokeniser()
    head = ScalarReward().module(32)
    save_scalar(tiny_model(tokeniser), head, tokeniser, Written(), tmp_path / "r")
    (tmp_path / "r" / "palate_reward.json").unlink()
    model = load_reward(tmp_path / "r")
    assert isinstance(model, ScalarModel)
    told = tokeniser.decode(model.tokens((Message("user", "x"),), "y"))
    assert told == "<|user|>x<|end|><|assistant|>y<|end|>"
    assert tokeniser.decode(model.tokens("x", "y")) == told


def test_centring_draws_rewards_towards_zero(tmp_path: Path) -> None:
    tokeniser = tiny_tokeniser()
    groups, _ = tokenise(pairs(32, 0), tokeniser)
    options = TrainOptions(steps=30, lora=None, **QUICK)
    off = []
    for centre in (0.0, 1.0):
        trained = train(
            tiny_model(tokeniser),
            tokeniser,
            groups,
            bradley_terry(),
            options,
            folder=tmp_path / str(centre),
            scorer=ScalarReward(centre),
        )
        off.append(abs(lines(trained)[-1]["reward_mean"]))
    assert off[1] < 0.05
    with pytest.raises(ConfigError, match="centre"):
        ScalarReward(-1.0)


def test_a_pairwise_model_learns_and_does_not_care_who_stands_first(tmp_path: Path) -> None:
    tokeniser = tiny_tokeniser()
    loaded = pairs(64, 0)
    groups, texts = pairwise_groups(loaded, tokeniser, seed=1)
    firsts = [tokeniser.decode(group.completions[0]) for group in groups]
    assert 16 < firsts.count("A") < 48
    assert len(texts.groups) == 64
    shown = tokeniser.decode(groups[0].prompt)
    assert shown.index("[Answer A]") < shown.index("[Answer B]")
    options = TrainOptions(steps=80, lora=None, **(QUICK | {"learning_rate": 5e-3}))
    trained = train(
        tiny_model(tokeniser),
        tokeniser,
        groups,
        bradley_terry(),
        options,
        folder=tmp_path / "run",
        scorer=LogProbabilities(reference=False),
    )
    save_pairwise(trained.model, tokeniser, Written("pairwise"), tmp_path / "reward")
    model = load_reward(tmp_path / "reward")
    assert isinstance(model, PairwiseReward)
    prompts, chosen, rejected = columns(pairs(20, 1))
    there = model.prefer(prompts, chosen, rejected)
    assert there + model.prefer(prompts, rejected, chosen) == pytest.approx(np.ones(20), abs=SAME)
    assert (there > 0.5).mean() >= 0.9
    odds = model.log_odds(prompts, chosen, rejected), model.log_odds(prompts, rejected, chosen)
    assert there == pytest.approx((1 / (1 + np.exp(-odds[0])) + 1 - 1 / (1 + np.exp(-odds[1]))) / 2, abs=SAME)
    # three answers to one prompt, one to another: mean probabilities of winning
    score = model.score([*prompts[:1] * 3, prompts[1]], [chosen[0], rejected[0], rejected[1], "x"])
    first = model.prefer(prompts[:1] * 2, [chosen[0]] * 2, [rejected[0], rejected[1]])
    assert score[0] == pytest.approx(first.mean(), abs=SAME)
    assert score[:3].sum() == pytest.approx(1.5, abs=SAME)
    assert score[3] == 0.5
    assert knock_out(model, prompts[0], [rejected[0], chosen[0], rejected[1]]) == 1
    with pytest.raises(InputError, match="one or more"):
        knock_out(model, prompts[0], [])


def test_the_loss_of_classes_by_hand() -> None:
    score = torch.tensor([[2.0, -1.0], [0.5, math.nan]], requires_grad=True)
    reward, length = torch.tensor([[1.0, -1.0], [-1.0, 0.0]]), torch.tensor([[3, 3], [3, 0]])
    loss = Classify()(Completions(score, None, length, reward))
    # mean of ln(1 + e^-2) and ln(1 + e^-1); ln(1 + e^0.5) alone
    assert loss.each_G.tolist() == pytest.approx([(0.126928 + 0.313262) / 2, 0.974077], abs=1e-5)
    loss.total.backward()
    assert score.grad is not None
    assert torch.isfinite(score.grad).all()


def test_a_classifier_tells_wanted_texts_without_their_prompts(tmp_path: Path) -> None:
    tokeniser = tiny_tokeniser()
    loaded = pairs(64, 0)
    groups, _ = class_groups(loaded, tokeniser)
    assert len({group.prompt for group in groups}) == 1
    options = TrainOptions(steps=24, lora=None, **(QUICK | {"learning_rate": 1e-2}))
    trained = train(
        tiny_model(tokeniser),
        tokeniser,
        groups,
        Classify(),
        options,
        folder=tmp_path / "run",
        scorer=ScalarReward(),
    )
    assert trained.module is not None
    save_scalar(trained.model, trained.module, tokeniser, Written("classifier"), tmp_path / "r")
    model = load_reward(tmp_path / "r")
    _, chosen, rejected = columns(pairs(20, 1))
    # log-odds: wanted above zero, unwanted below, whatever the prompt is said to be
    assert (model.score(["whatever"] * 20, chosen) > 0).all()
    assert (model.score([""] * 20, rejected) < 0).all()
    with pytest.raises(InputError, match="pairs or from completions"):
        class_groups(Loaded((TextGroup("a", ("b",)),)), tokeniser)


def test_single_labelled_texts_are_a_class_each() -> None:
    labelled = Loaded((TextGroup("a", ("b",), label=True), TextGroup("a", ("c",), label=False)))
    groups, _ = class_groups(labelled, tiny_tokeniser())
    assert [group.columns["reward"] for group in groups] == [(1.0,), (-1.0,)]


def test_a_pair_that_weighs_twice_counts_twice(tmp_path: Path) -> None:
    tokeniser = tiny_tokeniser()
    losses = []
    for weight in (1.0, 2.0):
        group = TextGroup("a", ("b", "c"), weight=weight)
        groups, _ = tokenise(Loaded((group,)), tokeniser)
        options = TrainOptions(steps=1, lora=None, watch=Watch(prompts=0))
        trained = train(
            tiny_model(tokeniser),
            None,
            groups,
            bradley_terry(),
            options,
            folder=tmp_path / str(weight),
            scorer=ScalarReward(),
        )
        losses.append(trained.metrics["loss"])
    assert losses == pytest.approx([math.log(2), 2 * math.log(2)], abs=1e-6)


def test_what_is_no_reward_model_is_refused(tmp_path: Path) -> None:
    tokeniser = tiny_tokeniser()
    with pytest.raises(InputError, match="no folder"):
        load_reward(tmp_path / "gone")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="pickle"):
        load_reward(pickled)
    tiny_model(tokeniser).save_pretrained(tmp_path / "causal")
    tokeniser.save_pretrained(tmp_path / "causal")
    with pytest.raises(ModelError, match="not a reward model"):
        load_reward(tmp_path / "causal")
    (tmp_path / "causal" / "palate_reward.json").write_text('{"kind": "oracle"}')
    with pytest.raises(ConfigError, match="oracle"):
        load_reward(tmp_path / "causal")
    (tmp_path / "causal" / "palate_reward.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        load_reward(tmp_path / "causal")
