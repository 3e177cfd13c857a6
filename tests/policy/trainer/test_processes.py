"""Two processes that really exchange gradients (gloo): the same weights as one, one writer, exact resume."""

import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("peft")
from trainer_kit import some_groups, tiny_model
from two_processes import NEEDS_FORK, in_two

from palate.errors import ConfigError, ModelError
from palate.policy.objectives import Kto, dpo
from palate.policy.trainer import (
    BesideOthers,
    Group,
    Lora,
    Progress,
    Trained,
    TrainOptions,
    damage,
    join,
    train,
)
from palate.policy.trainer._checkpoint import read_tensors

pytestmark = NEEDS_FORK
SAME = 1e-5  # sums of gradients in another order, in 32 bits
OPTIONS = TrainOptions(
    steps=6,
    batch=2,
    accumulate=3,
    learning_rate=2e-3,
    save_every=2,
    warmup=1,
    evaluate_every=3,
    lora=Lora(r=2, dropout=0.2),
)


class Killed(BaseException):
    """Stands for the end of a process."""


def singles() -> list[Group]:
    """Single answers, every other one wanted."""
    return [
        Group(g.prompt, g.completions, {"reward": (float(n % 2),)})
        for n, g in enumerate(some_groups(7, (1,)))
    ]


def run(kind: str, folder: Path, options: TrainOptions = OPTIONS, **more: Any) -> Trained:
    if kind == "kto":
        options = replace(options, lora=None)
        groups, loss, scorer = singles(), Kto(0.5), BesideOthers()
    else:
        groups, loss, scorer = some_groups(7), dpo(0.5), None
    held = groups[:3]
    return train(
        tiny_model(), None, groups, loss, options, folder=folder, scorer=scorer, evaluate=held, **more
    )


def lines(folder: Path) -> list[dict[str, float]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    for line in found:
        line.pop("seconds"), line.pop("tokens_per_second")
    return found


def trained_in_two(kind: str, folder: Path, rank: int) -> list[Any]:
    told: list[str] = []
    done = run(kind, folder, progress=lambda news: told.append(news.stage))
    weights = {name: w for name, w in done.model.named_parameters() if w.requires_grad}
    total = float(sum(weight.detach().double().sum() for weight in weights.values()))
    return [rank, len(told) > 0, dict(done.metrics)["loss"], dict(done.evaluation), total]


@pytest.mark.parametrize("kind", ["dpo", "kto"])
def test_two_processes_end_with_the_weights_of_one(kind: str, tmp_path: Path) -> None:
    run(kind, tmp_path / "one")
    first, second = in_two(partial(trained_in_two, kind, tmp_path / "two"), tmp_path)
    assert (first[0], second[0]) == (0, 1), (first, second)
    assert (first[1], second[1]) == (True, False)  # one tells
    assert first[2:] == second[2:]  # both know, to the bit
    [file] = (tmp_path / "one" / "model").glob("*model.safetensors")
    assert not damage(tmp_path / "two" / "model")
    one, two = (read_tensors(tmp_path / folder / "model" / file.name) for folder in ("one", "two"))
    assert max(float((one[name] - two[name]).abs().max()) for name in one) < SAME
    start = tiny_model().state_dict() if kind == "kto" else {n: torch.zeros_like(w) for n, w in one.items()}
    assert max(float((one[name] - start[name]).abs().max()) for name in one if name in start) > 100 * SAME
    alone, shared = lines(tmp_path / "one"), lines(tmp_path / "two")
    assert [line["step"] for line in shared] == [1, 2, 3, 4, 5, 6]  # one writes
    for ours, theirs in zip(alone, shared, strict=True):
        assert (ours["groups"], ours["tokens"]) == (theirs["groups"], theirs["tokens"])
        assert theirs == pytest.approx(ours, abs=20 * SAME)
    assert {line["groups"] for line in alone} == {6, 1}  # in the second update of an epoch one had nothing


def cut_in_two(folder: Path, rank: int) -> None:
    def stop(news: Progress) -> None:
        if (news.stage, news.done) == ("train", 5):
            raise Killed

    run("dpo", folder, progress=stop)


def test_killed_they_go_on_to_the_same_weights(tmp_path: Path) -> None:
    said = in_two(partial(trained_in_two, "dpo", tmp_path / "whole"), tmp_path)
    first, second = in_two(partial(cut_in_two, tmp_path / "cut"), tmp_path)
    assert first.startswith("Killed")
    assert second is not None  # the other has heard that it is alone
    assert (tmp_path / "cut" / "step-00000004").is_dir()
    assert not (tmp_path / "cut" / "model").exists()
    shutil.copytree(tmp_path / "cut", tmp_path / "alone")
    assert in_two(partial(trained_in_two, "dpo", tmp_path / "cut"), tmp_path) == said
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    name = "model/adapter_model.safetensors"
    assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    run("dpo", tmp_path / "alone")  # one process goes on where two were stopped
    whole, alone = (read_tensors(tmp_path / folder / name) for folder in ("whole", "alone"))
    assert max(float((whole[weight] - alone[weight]).abs().max()) for weight in whole) < SAME


def wrong_starts(folder: Path, rank: int) -> list[str]:
    told: list[str] = []
    with pytest.raises(ConfigError) as few:
        run("dpo", folder / "few", replace(OPTIONS, accumulate=1))
    told.append(str(few.value))
    with pytest.raises(ConfigError) as other:
        train(tiny_model(rank), None, some_groups(4), dpo(0.1), OPTIONS, folder=folder / "other")
    told.append(str(other.value))
    broken = tiny_model()
    with torch.no_grad():
        broken.model.layers[1].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(ModelError) as nan:
        train(broken, None, some_groups(4), Kto(), replace(OPTIONS, batch=1), folder=folder / "nan",
              scorer=BesideOthers())  # fmt: skip
    told.append(str(nan.value))
    return told


def exchanged(folder: Path, rank: int) -> list[Any]:
    processes = join()
    said = processes.everyone({"rank": rank, "text": "é" * (1 + 5 * rank), "number": 0.1 + rank})
    weight = torch.nn.Parameter(torch.full((3,), float(rank)))
    bare, idle = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    processes.take_from_first([weight])
    weight.grad = torch.full((3,), 1.0 + rank)
    if rank == 1:
        bare.grad = torch.full((2,), 7.0)
    processes.add([weight, bare, idle])
    assert weight.grad is not None
    assert bare.grad is not None

    def make() -> bool:
        there = (folder / "made").is_file()
        (folder / "made").touch()
        return there

    made = processes.in_turn(make)
    sums = [weight.tolist(), weight.grad.tolist(), bare.grad.tolist(), idle.grad]
    return [said, sums, made, processes.owns(2), processes.owns(3)]


def test_what_they_exchange_arrives(tmp_path: Path) -> None:
    first, second = in_two(partial(exchanged, tmp_path), tmp_path)
    assert (
        first[0]
        == second[0]
        == [
            {"rank": 0, "text": "é", "number": 0.1},
            {"rank": 1, "text": "é" * 6, "number": 1.1},
        ]
    )
    assert first[1] == second[1] == [[0, 0, 0], [3, 3, 3], [7, 7], None]
    assert (first[2], second[2]) == (False, True)  # the first makes it, the second finds it
    assert (first[3:], second[3:]) == ([True, False], [False, True])


def test_bad_starts_are_told_by_both(tmp_path: Path) -> None:
    first, second = in_two(partial(wrong_starts, tmp_path), tmp_path)
    assert first == second
    assert "accumulate is 1, but 2 processes share the batches" in first[0]
    assert "the 2 processes do not train the same: model is" in first[1]
    assert "the loss of update 1 is NaN" in first[2]


def test_alone_nothing_is_exchanged() -> None:
    processes = join()
    assert (processes.rank, processes.count, processes.first) == (0, 1, True)
    assert processes.everyone({"a": 1}) == [{"a": 1}]
    processes.agree({"a": 1})
    processes.wait()
    assert processes.in_turn(lambda: 3) == 3
    assert not torch.distributed.is_initialized()
