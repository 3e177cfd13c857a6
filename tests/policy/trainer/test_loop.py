"""The loop: accumulation, schedules, orders, references, watching, and what is written down."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("peft")
from trainer_kit import some_groups, tiny_model, tiny_tokenizer

from palate.policy.objectives import ImplicitReward, RewardAware, dpo, nll, simpo
from palate.policy.trainer import (
    Group,
    LogProbabilities,
    Lora,
    Scored,
    Speed,
    States,
    TrainOptions,
    Watch,
    train,
)
from palate.policy.trainer._optimise import learning_rate
from palate.policy.trainer._run import data_order

QUIET = Watch(prompts=0)
OPTIONS = TrainOptions(steps=4, batch=4, learning_rate=1e-2, lora=Lora(r=2), watch=QUIET)


def adapter(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


def run(folder: Path, options: TrainOptions = OPTIONS, **more: Any) -> Any:
    given = {"groups": some_groups(8), "objective": dpo(0.1), "tokenizer": None, **more}
    return train(tiny_model(), options=options, folder=folder, **given)


def test_batches_of_an_update_weigh_every_group_alike(tmp_path: Path) -> None:
    found = []
    for batch, accumulate in ((4, 1), (1, 4), (3, 2)):
        groups = some_groups(4 if accumulate != 2 else 6)
        options = replace(OPTIONS, batch=batch, accumulate=accumulate, steps=3)
        found.append(run(tmp_path / str(batch), options, groups=groups))
    for name, weight in adapter(found[0].model).items():
        assert torch.allclose(weight, adapter(found[1].model)[name], atol=1e-5)
    assert found[0].metrics["loss"] == pytest.approx(found[1].metrics["loss"], abs=1e-6)
    assert found[2].metrics["groups"] == 6


@pytest.mark.parametrize("lora", [Lora(r=2), None])
def test_the_reference_is_the_same_kept_or_computed_anew(lora: Lora | None, tmp_path: Path) -> None:
    found = [
        run(tmp_path / str(cached), replace(OPTIONS, lora=lora, speed=Speed(cached_reference=cached)))
        for cached in (True, False)
    ]
    assert found[0].metrics["log_ratio_chosen"] == pytest.approx(
        found[1].metrics["log_ratio_chosen"], abs=1e-4
    )
    assert abs(found[0].metrics["log_ratio_chosen"]) > 0.1
    assert bool(list((tmp_path / "True").glob("reference-*.safetensors")))
    assert not list((tmp_path / "False").glob("reference-*.safetensors"))


def test_an_adapter_that_is_trained_on_has_two_references(tmp_path: Path) -> None:
    first = run(tmp_path / "first").model
    with torch.no_grad():
        start = adapter(first).copy()
    ratios = {}
    for reference in ("start", "base"):
        for name, weight in adapter(first).items():
            weight.copy_(start[name])
        options = replace(OPTIONS, steps=1, learning_rate=1e-9, batch=8)
        again = train(
            first, None, some_groups(8), dpo(0.1), options, folder=tmp_path / reference, reference=reference
        )
        ratios[reference] = abs(again.metrics["log_ratio_chosen"])
    assert ratios["start"] < 1e-4
    assert ratios["base"] > 0.1
    other = train(
        first, None, some_groups(8), dpo(0.1), options, folder=tmp_path / "o", reference=tiny_model()
    )
    assert abs(other.metrics["log_ratio_chosen"]) == pytest.approx(ratios["base"], rel=1e-3)


def test_supervised_fine_tuning_is_groups_of_one(tmp_path: Path) -> None:
    groups = [Group((3, 4), ((5, 6, 2),)), Group((7,), ((8, 2),))]
    options = replace(OPTIONS, steps=25, batch=2, learning_rate=3e-2, schedule="constant")
    scorer = LogProbabilities(reference=False)
    trained = run(tmp_path, options, groups=groups, objective=nll, scorer=scorer)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert lines[0]["loss"] > 2
    assert trained.metrics["loss"] < 0.2
    assert lines[-1]["score"] == pytest.approx(trained.metrics["score"])
    assert "log_ratio" not in lines[0]


def test_objectives_without_a_reference_compute_none(tmp_path: Path) -> None:
    trained = run(tmp_path, objective=simpo())
    assert not list(tmp_path.glob("reference-*"))
    assert "log_ratio_chosen" not in trained.metrics
    assert trained.metrics["margin"] == pytest.approx(
        trained.metrics["reward_chosen"] - trained.metrics["reward_rejected"], abs=1e-6
    )


class LastState:
    """A reward model: a head of its own on the last token's state."""

    name, reference, prior = "last state", False, False

    def module(self, width: int) -> torch.nn.Module:
        return torch.nn.Linear(width, 1)

    def __call__(self, states: States, module: torch.nn.Module | None) -> Scored:
        assert module is not None
        return Scored(states.batch.grid(module(states.last_CD())[:, 0]))


def test_a_scorer_of_ones_own_trains_its_head_and_goes_on(tmp_path: Path) -> None:
    draw = some_groups(16)
    groups = [
        replace(g, completions=((*g.completions[0][:-1], 9), (*g.completions[1][:-1], 8))) for g in draw
    ]
    objective = RewardAware("bradley_terry", ImplicitReward(beta=1.0, reference=0.0))
    options = replace(OPTIONS, steps=30, batch=8, learning_rate=2e-2, save_every=10, schedule="constant")
    trained = run(tmp_path, options, groups=groups, objective=objective, scorer=LastState())
    assert trained.metrics["accuracy"] == 1.0
    assert trained.module is not None
    from safetensors.torch import load_file

    saved = load_file(trained.folder / "scorer.safetensors")
    assert torch.equal(saved["weight"], trained.module.weight.detach())  # pyright: ignore
    again = run(tmp_path, options, groups=groups, objective=objective, scorer=LastState())
    assert torch.equal(again.module.weight, trained.module.weight)


def test_answers_are_watched(tmp_path: Path) -> None:
    options = replace(OPTIONS, steps=6, evaluate_every=3, watch=Watch(prompts=6, max_tokens=8))
    options = replace(options, learning_rate=3e-2, schedule="constant")
    held = some_groups(8, seed=3)
    trained = run(tmp_path, options, tokenizer=tiny_tokenizer(), evaluate=held)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines if "evaluate/kl" in line] == [3, 6]
    told = trained.evaluation
    assert 0 <= told["similarity"] <= 1
    assert 0 < told["distinct_2"] <= 1
    assert 1 <= told["answer_tokens"] <= 8
    assert told["kl"] > 0.5  # drawn from a policy that has moved far
    assert told["loss"] == pytest.approx(lines[-1]["evaluate/loss"])
    still = run(tmp_path / "still", replace(options, learning_rate=1e-9), tokenizer=tiny_tokenizer())
    assert abs(still.evaluation["kl"]) < 1e-3
    assert (tmp_path / "model" / "tokenizer.json").is_file()


def test_collapsed_answers_raise_the_alarm() -> None:
    """A policy that always says the same has a similarity near 1."""
    from palate.policy import SIMILARITY_ALARM
    from palate.policy.trainer import Network
    from palate.policy.trainer._watch import watch_answers

    network = Network(tiny_model(), "fp32", Speed())
    groups = some_groups(12, seed=5)
    before = watch_answers(network, None, tiny_tokenizer(), groups, Watch(12, 12), seed=0)
    with torch.no_grad():
        network.decoder.norm.weight.zero_()
        network.model.lm_head = torch.nn.Linear(32, 97)
        network.model.lm_head.bias.fill_(-50.0)[5] = 50.0
    after = watch_answers(network, None, tiny_tokenizer(), groups, Watch(12, 12), seed=0)
    assert before["similarity"] < SIMILARITY_ALARM < after["similarity"]
    assert after["distinct_2"] < 0.01 < before["distinct_2"]


def test_the_alarm_is_told_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from palate.policy.trainer import _train

    for similarity, told in ((0.4, ["similarity 0.40, above 0.15"]), (0.05, [])):
        monkeypatch.setattr(_train, "watch_answers", lambda *_, found=similarity: {"similarity": found})
        trained = run(tmp_path / str(similarity), tokenizer=tiny_tokenizer())
        alarms = [note for note in trained.notes if note.startswith("ALARM")]
        assert len(alarms) == len(told)
        assert all(text in alarm for text, alarm in zip(told, alarms, strict=True))
        again = run(tmp_path / str(similarity), tokenizer=tiny_tokenizer())  # from what it wrote down
        assert [note for note in again.notes if note.startswith("ALARM")] == alarms


def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(tmp_path, replace(OPTIONS, tensorboard=True))
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
        found = {event.step: event.value for event in events.Scalars("loss")}
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert found == pytest.approx({line["step"]: line["loss"] for line in lines}, abs=1e-6)


def test_schedules_by_hand() -> None:
    cosine = replace(OPTIONS, learning_rate=1.0, warmup=2)
    assert [learning_rate(cosine, step, 6) for step in range(6)] == pytest.approx(
        [0, 0.5, 1, (1 + math.cos(math.pi / 4)) / 2, 0.5, (1 + math.cos(3 * math.pi / 4)) / 2]
    )
    constant = replace(cosine, schedule="constant")
    assert [learning_rate(constant, step, 4) for step in range(4)] == [0, 0.5, 1, 1]


def test_every_epoch_takes_every_group_once_in_an_order_of_its_own() -> None:
    first, second = data_order(0, 0, 50), data_order(0, 1, 50)
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second != data_order(1, 1, 50)
    assert TrainOptions(epochs=3, batch=4, accumulate=2).updates(17) == 9


def test_the_gradient_is_cut_after_the_mean(tmp_path: Path) -> None:
    """The first step of AdamW is lr sign(g) at any length, but the norm written down is the mean's."""
    one = run(tmp_path / "a", replace(OPTIONS, steps=1, batch=8))
    two = run(tmp_path / "b", replace(OPTIONS, steps=1, batch=2, accumulate=4, max_grad_norm=1e-3))
    assert one.metrics["grad_norm"] == pytest.approx(two.metrics["grad_norm"], rel=1e-3)
    assert one.metrics["grad_norm"] > 1e-2


def test_the_prior_pulls_back(tmp_path: Path) -> None:
    """Supervised training with SuperHF's term stays nearer to the start."""
    groups = [replace(g, columns={}, completions=g.completions[:1]) for g in some_groups(8)]
    divergence = []
    for weight in (1e-6, 5.0):
        scorer = LogProbabilities(reference=False, prior_kl=weight)
        options = replace(OPTIONS, steps=15, batch=8, learning_rate=2e-2, schedule="constant")
        trained = run(tmp_path / str(weight), options, groups=groups, objective=nll, scorer=scorer)
        divergence.append(trained.metrics["prior_kl"])
    assert divergence[1] < divergence[0] / 2


def test_weights_multiply_the_losses_of_groups(tmp_path: Path) -> None:
    """At the start every pair's loss is ln 2, so the mean is ln 2 (2 + 0.5 + 0 + 1) / 4."""
    weights = (2.0, 0.5, 0.0, 1.0)
    groups = [
        replace(group, columns={"weight": (weight, weight)})
        for group, weight in zip(some_groups(4), weights, strict=True)
    ]
    options = replace(OPTIONS, steps=1)
    trained = run(tmp_path / "weighted", options, groups=groups)
    assert trained.metrics["loss"] == pytest.approx(math.log(2) * 3.5 / 4, abs=1e-6)
    none = [replace(group, columns={"weight": (0.0, 0.0)}) for group in groups]
    assert run(tmp_path / "none", options, groups=none).metrics["grad_norm"] == 0
