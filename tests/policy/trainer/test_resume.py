"""A run that was killed goes on to the same weights, bit for bit; damaged checkpoints are never taken."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")
from trainer_kit import some_groups, tiny_model

from palate.errors import ConfigError, InputError
from palate.policy.objectives import dpo
from palate.policy.trainer import (
    Lora,
    Progress,
    Trained,
    TrainOptions,
    newest_checkpoint,
    refuse_pickles,
    train,
)
from palate.policy.trainer import _checkpoint as checkpoints

OPTIONS = TrainOptions(
    steps=7,
    batch=2,
    accumulate=2,
    learning_rate=1e-2,
    save_every=2,
    warmup=1,
    evaluate_every=3,
    lora=Lora(r=2, dropout=0.2),
)


class Killed(BaseException):
    """Stands for the end of the process."""


def run(folder: Path, options: TrainOptions = OPTIONS, **more: Any) -> Trained:
    given = {"evaluate": some_groups(3, seed=7), **more}
    return train(tiny_model(), None, some_groups(9), dpo(0.1), options, folder=folder, **given)


def result(folder: Path) -> dict[str, bytes]:
    """All that a run ends with, apart from seconds."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    for line in lines:
        line.pop("seconds"), line.pop("tokens_per_second")
    files = {file.name: file.read_bytes() for file in (folder / "model").glob("*.safetensors")}
    return files | {"metrics": json.dumps(lines).encode()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return result(folder)


def killed_at(place: int) -> Callable[[Progress], None]:
    seen = [0]

    def progress(news: Progress) -> None:
        seen[0] += 1
        if seen[0] == place:
            raise Killed

    return progress


@pytest.mark.parametrize("place", [4, 8, 9, 11, 13, 14, 16, 17])
def test_killed_after_any_step_it_ends_with_the_same_weights(
    place: int, whole: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run(tmp_path, progress=killed_at(place))
    run(tmp_path)
    assert result(tmp_path) == whole


@pytest.mark.parametrize("place", [1, 2, 4, 6, 9, 14])
def test_killed_while_a_checkpoint_is_written(
    place: int, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = [0]
    real = checkpoints._to_disk

    def to_disk(path: Path) -> None:
        calls[0] += 1
        if calls[0] == place:
            if path.is_file():
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
            raise Killed
        real(path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "_to_disk", to_disk)
        with pytest.raises(Killed):
            run(tmp_path)
    run(tmp_path)
    assert result(tmp_path) == whole


def test_all_weights_and_early_stopping_go_on_too(tmp_path: Path) -> None:
    from dataclasses import replace

    options = replace(
        OPTIONS, steps=30, learning_rate=0.05, lora=None, evaluate_every=2, patience=2, save_every=1
    )
    first = run(tmp_path / "whole", options)
    assert first.steps < 30
    for place in (8, 13):
        with pytest.raises(Killed):
            run(tmp_path / "cut", options, progress=killed_at(place))
    second = run(tmp_path / "cut", options)
    assert second.steps == first.steps
    assert result(tmp_path / "cut") == result(tmp_path / "whole")
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["evaluate/loss"] for line in lines if "evaluate/loss" in line]
    assert losses[-1] > min(losses)  # it stopped since they rose, and took the best
    best = json.loads((tmp_path / "whole" / "best" / "state.json").read_text())
    assert best["best"] == min(losses)


@pytest.mark.slow
def test_killed_by_the_system_it_ends_with_the_same_weights(whole: dict[str, bytes], tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from test_resume import run\n"
        "run(Path(sys.argv[1]), progress=lambda news: print(news.stage, news.done, flush=True))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    for stage in ("train 3", "train 6"):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            assert any(line.startswith(stage) for line in process.stdout)
            os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    assert result(tmp_path) == whole


def test_a_training_that_ended_returns_at_once(tmp_path: Path) -> None:
    first = run(tmp_path)
    before = result(tmp_path)
    stages: list[str] = []
    again = run(tmp_path, progress=lambda news: stages.append(news.stage))
    assert "train" not in stages
    assert (again.steps, again.metrics["loss"]) == (first.steps, first.metrics["loss"])
    assert again.evaluation["loss"] == first.evaluation["loss"]
    assert result(tmp_path) == before


def test_two_seeds_differ(whole: dict[str, bytes], tmp_path: Path) -> None:
    from dataclasses import replace

    run(tmp_path, replace(OPTIONS, seed=1))
    assert result(tmp_path)["adapter_model.safetensors"] != whole["adapter_model.safetensors"]


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "unmarked"])
def test_a_damaged_checkpoint_is_passed_over_and_told(
    damage: str, whole: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        run(tmp_path, progress=killed_at(13))
    newest, notes = newest_checkpoint(tmp_path)
    assert newest is not None
    assert (newest.name, notes) == ("step-00000004", [])
    file = newest / "weights.safetensors"
    content = file.read_bytes()
    match damage:
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "changed":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "missing":
            file.unlink()
        case _:
            (newest / "complete.json").unlink()
    trained = run(tmp_path)
    assert len(trained.notes) == 1
    assert "step-00000004 was not taken" in trained.notes[0]
    assert result(tmp_path) == whole


def test_when_every_checkpoint_is_damaged_nothing_is_trained(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, progress=killed_at(13))
    for checkpoint in tmp_path.glob("step-*"):
        (checkpoint / "optimiser.safetensors").write_bytes(b"half")
    with pytest.raises(InputError, match=r"no checkpoint in .* is whole"):
        run(tmp_path)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 1e-3}, "learning_rate was 0.01 and is 0.001"),
        ({"lora": Lora(r=4)}, "lora was"),
        ({"seed": 5}, "seed was 0 and is 5"),
    ],
)
def test_another_training_in_the_same_folder_is_refused(
    change: dict[str, Any], named: str, tmp_path: Path
) -> None:
    from dataclasses import replace

    with pytest.raises(Killed):
        run(tmp_path, progress=killed_at(6))
    with pytest.raises(ConfigError, match=named):
        run(tmp_path, replace(OPTIONS, **change))
    with pytest.raises(ConfigError, match="data was"):
        train(tiny_model(), None, some_groups(8), dpo(0.1), OPTIONS, folder=tmp_path)
    with pytest.raises(ConfigError, match=r"objective was .*beta=0\.1"):
        train(tiny_model(), None, some_groups(9), dpo(0.2), OPTIONS, folder=tmp_path)
    with pytest.raises(ConfigError, match="model was"):
        train(tiny_model(seed=4), None, some_groups(9), dpo(0.1), OPTIONS, folder=tmp_path)


def test_pickles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match="pickle"):
        refuse_pickles(tmp_path)
    with pytest.raises(InputError, match="pickle"):
        refuse_pickles(tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").write_bytes(b"")
    refuse_pickles(tmp_path)


def test_nothing_on_disk_is_a_pickle(tmp_path: Path) -> None:
    run(tmp_path)
    kinds = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert kinds <= {".json", ".jsonl", ".safetensors", ".md"}
