"""Recipes in two processes: one draws, judges and writes, both train."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from recipe_kit import asked, job
from two_processes import NEEDS_FORK, in_two

from palate.errors import UnsupportedError
from palate.policy.trainer import damage
from palate.recipes import Job, online_dpo, superhf

pytestmark = NEEDS_FORK

PLAN: dict[str, Any] = {"rounds": 2, "samples": 3, "max_tokens": 5}


def rounds(work: Job, out: Path, rank: int) -> Any:
    told: list[str] = []
    done = online_dpo(replace(work, out=out, tell=lambda stage, *_: told.append(stage)), **PLAN)
    with pytest.raises(UnsupportedError, match="superhf trains in one process"):
        superhf(work)
    return [[dict(row) for row in done.rounds], str(done.model), bool(told)]


def answers(folder: Path) -> list[str]:
    return (folder / "round-01" / "answers.jsonl").read_text("utf-8").splitlines()


def test_rounds_are_drawn_once_and_trained_by_both(model: Path, tmp_path: Path) -> None:
    work = job(model, tmp_path, asked(8), steps=3, batch=1, accumulate=2, learning_rate=2e-3)
    alone = online_dpo(replace(work, out=tmp_path / "one"), **PLAN)
    first, second = in_two(partial(rounds, work, tmp_path / "two"), tmp_path)
    assert first[:2] == second[:2], (first, second)
    assert first[1] == str(tmp_path / "two" / "model")
    assert not damage(tmp_path / "two" / "model")
    assert (first[2], second[2]) == (True, False)
    assert len(answers(tmp_path / "two")) == len(answers(tmp_path / "one")) == 12  # 3 to each of 4 prompts
    judged = [(tmp_path / name / "round-01" / "judged.jsonl").read_text() for name in ("one", "two")]
    assert judged[0] == judged[1]
    lines = (tmp_path / "two" / "rounds.jsonl").read_text().splitlines()
    assert [json.loads(line)["round"] for line in lines] == [1, 2]
    for row, expected in zip(first[0], alone.rounds, strict=True):
        assert row["examples"] == expected["examples"]
        assert row["kl"] == pytest.approx(expected["kl"], abs=1e-2)
