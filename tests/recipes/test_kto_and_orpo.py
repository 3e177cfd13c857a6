"""KTO and ORPO on a tiny policy: where their losses begin, and what they do to wanted answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from recipe_kit import asked, job, losses, pairs

from palate.errors import ConfigError, InputError
from palate.policy.data import Loaded, encode_texts, read_groups
from palate.policy.trainer import Lora
from palate.recipes import kto, open_policy, orpo


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def labelled(loaded: Loaded) -> Loaded:
    """The same answers in TRL's unpaired format."""
    rows = [
        {
            "prompt": [{"role": turn.role, "content": turn.content} for turn in group.prompt],
            "completion": [{"role": "assistant", "content": text}],
            "label": label,
        }
        for group in loaded.groups
        for text, label in zip(group.completions, (True, False), strict=True)
    ]
    return read_groups((f"row {n}", row) for n, row in enumerate(rows))


@pytest.mark.parametrize("lora", [None, Lora(r=4)], ids=["full", "lora"])
def test_kto_parts_wanted_from_unwanted_answers(model: Path, tmp_path: Path, lora: Lora | None) -> None:
    work = replace(job(model, tmp_path, pairs(16), steps=8, lora=lora), held=pairs(6, seed=4))
    done = kto(work, beta=0.5)
    told = lines(tmp_path / "run")
    assert told[0]["loss"] == pytest.approx(0.5, abs=1e-5)  # policy is reference: z = D = 0, sigmoid(0)
    assert told[0]["reference_point"] == pytest.approx(0, abs=1e-5)
    assert told[-1]["loss"] < 0.4
    gap = [row["reward_wanted"] - row["reward_unwanted"] for row in told]
    assert abs(gap[0]) < 1e-5
    assert gap[-1] > 1
    assert done.numbers["held-out reward_wanted"] > done.numbers["held-out reward_unwanted"] + 0.5
    assert "weighs 1 (16 of them), one that is not 1 (16)" in done.notes[0]


def test_kto_learns_the_same_from_labels_as_from_pairs(model: Path, tmp_path: Path) -> None:
    given = {"a": pairs(8), "b": labelled(pairs(8))}
    for name, data in given.items():
        kto(job(model, tmp_path / name, data, steps=3))
    assert losses(tmp_path / "a" / "run") == losses(tmp_path / "b" / "run")


def test_kto_weighs_the_rarer_answers_by_the_rule(model: Path, tmp_path: Path) -> None:
    data = labelled(pairs(12))
    wanted = [group for group in data.groups if group.label]
    few = replace(data, groups=(*wanted[:3], *(group for group in data.groups if not group.label)))
    done = kto(job(model, tmp_path / "a", few, steps=1, batch=15))
    assert "weighs 4 (3 of them)" in done.notes[0]  # 4 * 3 / 12 = 1
    assert losses(tmp_path / "a" / "run")[0] == pytest.approx(0.5 * (3 * 4 + 12) / 15, abs=1e-5)
    kto(job(model, tmp_path / "b", few, steps=1, batch=15), wanted_weight=2.0)
    assert losses(tmp_path / "b" / "run")[0] == pytest.approx(0.5 * (3 * 2 + 12) / 15, abs=1e-5)


def test_orpo_begins_where_its_formula_says_and_widens_the_odds(model: Path, tmp_path: Path) -> None:
    data = pairs(8)
    orpo(job(model, tmp_path, data, steps=10, learning_rate=1e-2), weight=0.3)
    policy = open_policy(model)

    def mean(prompt: tuple[int, ...], answer: tuple[int, ...]) -> torch.Tensor:
        ids = torch.tensor([[*prompt, *answer]])
        with torch.no_grad():
            logp = torch.log_softmax(policy.model(input_ids=ids).logits[0].double(), -1)
        return torch.stack([logp[len(prompt) - 1 + t, token] for t, token in enumerate(answer)]).mean()

    def odds(mean_: torch.Tensor) -> torch.Tensor:
        return torch.log(mean_.exp() / (1 - mean_.exp()))

    expected = []
    for group in data.groups:
        tokens = encode_texts(group, policy.tokenizer)
        chosen, rejected = (mean(tokens.prompt, answer) for answer in tokens.completions)
        expected.append(-chosen - 0.3 * torch.log(torch.sigmoid(odds(chosen) - odds(rejected))))
    told = lines(tmp_path / "run")
    assert told[0]["loss"] == pytest.approx(float(torch.stack(expected).mean()), abs=1e-4)
    assert told[-1]["margin"] > told[0]["margin"] + 2
    assert not list((tmp_path / "run").glob("reference-*"))


def test_errors_come_before_any_training(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wanted or not, but the data have none"):
        kto(job(model, tmp_path, asked(3)))
    with pytest.raises(ConfigError, match="batch=2"):
        kto(job(model, tmp_path, pairs(3), batch=1))
    with pytest.raises(ConfigError, match="wanted_weight must be above 0"):
        kto(job(model, tmp_path, pairs(3)), wanted_weight=0.0)
    with pytest.raises(InputError, match="learns from pairs"):
        orpo(job(model, tmp_path, asked(3)))
    with pytest.raises(ConfigError, match="weight must be 0 or more"):
        orpo(job(model, tmp_path, pairs(3)), weight=-1.0)
    with pytest.raises(ConfigError, match="average must be"):
        orpo(job(model, tmp_path, pairs(3)), average="median")  # pyright: ignore
    assert not (tmp_path / "run").exists()
