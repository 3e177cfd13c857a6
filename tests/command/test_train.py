"""``palate train``: from a file or a study to weights, and to a study of before and after."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from palate.store import StudyState, open_store
from palate.testing import save_tiny_model

pytest.importorskip("torch")

Call = Callable[..., Result]
QUICK = ("--set", "steps=2", "--set", "lora=none", "--set", "watch.prompts=0", "--set", "learning_rate=0.01")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.jsonl"
    rows = [
        {
            "prompt": [{"role": "user", "content": f"say {n}"}],
            "chosen": "aaaa",
            "rejected": "bbbb" if n else "aaaa",
        }
        for n in range(12)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_pairs_train_a_model_and_people_compare_it(
    call: Call, model: Path, pairs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = ("train", "dpo", "--data", pairs, "--model", model, "--out", out, *QUICK, "--set", "beta=0.5")
    done = call(*command)
    assert done.exit_code == 0, done.output
    assert "1 left out: 1 equal (line 1)" in done.output
    assert re.search(r"^ +last update +held out$", done.output, re.MULTILINE)
    assert re.search(r"^loss +0\.\d+ +0\.\d+$", done.output, re.MULTILINE)
    assert "grad_norm" not in done.output
    study = out / "before-after" / "study.toml"
    assert f"palate run {study}" in done.output.replace("\n", "")
    assert (out / "model" / "model.safetensors").is_file()
    # the page's study runs: a rater who likes short answers votes on both models' answers
    rules = tmp_path / "rules.toml"
    rules.write_text('[reward]\nkind = "reading-level"\n', encoding="utf-8")
    voted = call("run", study, "--judge", f"rules:{rules}", "--votes", "1")
    assert voted.exit_code == 0, voted.output
    with open_store(study.with_suffix(".db"), create=False) as store:
        state = StudyState()
        state.follow(store)
    assert sorted(candidate.text for candidate in state.candidates.values()) == ["after", "before"]
    assert len(state.votes) == 1
    again = call(*command, "--no-page")  # everything is there already
    assert again.exit_code == 0, again.output


def test_votes_of_a_study_train_a_model(call: Call, model: Path, study: Path, tmp_path: Path) -> None:
    voted = call("run", study, "--judge", "simulated", "--votes", "8", "--judge-option", "tie_rate=0")
    assert voted.exit_code == 0, voted.output
    out = tmp_path / "run"
    done = call("train", "dpo", "--study", study, "--model", model, "--out", out, *QUICK, "--no-page")
    assert done.exit_code == 0, done.output
    assert "groups" in done.output
    lines = (out / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["loss"] == pytest.approx(0.6931, abs=1e-3)
    sure = call(
        *("train", "reward", "--study", study, "--model", model, "--out", tmp_path / "r"),
        *(*QUICK, "--set", "weights=confidence", "--set", "ties=half", "--set", "kind=scalar"),
    )
    assert sure.exit_code == 0, sure.output
    assert "--judge reward-model" in sure.output


def test_a_reward_that_was_trained_judges_duels_by_option_and_by_table(
    call: Call, study: Path, pairs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "taste"
    done = call("train", "reward", "--data", pairs, "--out", out, "--set", "kind=ngrams")
    assert done.exit_code == 0, done.output
    assert f"--judge reward-model --judge-option path={out / 'reward'}" in done.output.replace("\n", "")
    command = ("run", study, "--judge", "reward-model", "--judge-option", f"path={out / 'reward'}")
    voted = call(*command, "--votes", "3")
    assert voted.exit_code == 0, voted.output
    table = f'\n[judges.taste]\nkind = "reward-model"\npath = "{out / "reward"}"\nmargin = 0.2\n'
    other = tmp_path / "other.toml"
    other.write_text(study.read_text(encoding="utf-8") + table, encoding="utf-8")
    voted = call("run", other, "--judge", "taste", "--votes", "3")
    assert voted.exit_code == 0, voted.output
    for file in (study, other):
        with open_store(file.with_suffix(".db"), create=False) as store:
            state = StudyState()
            state.follow(store)
        assert len(state.votes) == 3
    cut = out / "reward" / "ngrams.safetensors"
    cut.write_bytes(cut.read_bytes()[:-9])
    broken = call(*command, "--votes", "5")
    assert broken.exit_code == 2
    assert "does not hold a reward" in broken.output.replace("\n", " ")


def test_an_online_recipe_needs_a_reward(call: Call, model: Path, pairs: Path, tmp_path: Path) -> None:
    command = ("train", "superhf", "--data", pairs, "--model", model, "--out", tmp_path / "run", *QUICK)
    without = call(*command)
    assert without.exit_code == 2
    assert "--reward reading-level" in without.output
    small = ("superbatches=1", "samples=3", "max_tokens=5", "held_out=0.3")
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nkind = "length"\nmost = 3\n', encoding="utf-8")
    done = call(
        *command, "--reward", f"rules:{rules}", *(w for s in small for w in ("--set", s)), "--no-page"
    )
    assert done.exit_code == 0, done.output
    assert "similarity" in done.output


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("dpoo",), "did you mean 'dpo'"),
        (("dpo",), "exactly one of --data"),
        (("dpo", "--data", "gone.jsonl"), "no file"),
        (("dpo", "--set", "beta"), "KEY=VALUE"),
        (("dpo", "--set", "lora.rank=3"), "lora has no 'rank'"),
        (("dpo", "--set", "lara.r=3"), "did you mean 'lora'"),
        (("dpo", "--set", "steps=0"), "steps must be 1 or more"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(
    call: Call, arguments: tuple[str, ...], text: str
) -> None:
    done = call("train", *arguments)
    assert done.exit_code == 2
    assert text in done.output.replace("\n", " ")


def test_data_of_one_prompt_say_what_to_do(call: Call, model: Path, tmp_path: Path) -> None:
    file = tmp_path / "one.jsonl"
    rows = [{"prompt": "say", "chosen": f"a{n}", "rejected": "b"} for n in range(4)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = (
        "train",
        "dpo",
        "--data",
        file,
        "--model",
        model,
        "--out",
        tmp_path / "run",
        *QUICK,
        "--no-page",
    )
    done = call(*command, "--set", "held_out=0.999")
    assert done.exit_code == 2
    assert "--set held_out=0" in done.output.replace("\n", " ")
    assert not (tmp_path / "run").exists()
    done = call(*command, "--set", "held_out=0")
    assert done.exit_code == 0, done.output


def test_a_wrong_option_of_the_recipe_names_the_nearest(
    call: Call, model: Path, pairs: Path, tmp_path: Path
) -> None:
    done = call(
        *(
            "train",
            "sft",
            "--data",
            pairs,
            "--model",
            model,
            "--out",
            tmp_path / "run",
            "--set",
            "avarage=sum",
        )
    )
    assert done.exit_code == 2
    assert "did you mean 'average'" in done.output.replace("\n", " ")
