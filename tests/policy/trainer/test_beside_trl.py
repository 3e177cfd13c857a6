"""The loss curve of DPO is that of TRL's trainer, on the same pairs in the same order."""

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest

from palate.policy.objectives import dpo
from palate.policy.trainer import Group, Lora, TrainOptions, Watch, adapt, train
from palate.policy.trainer._run import data_order

transformers = pytest.importorskip("transformers")
for needed in ("datasets", "peft", "trl"):
    pytest.importorskip(needed)
from trainer_kit import some_groups, tiny_model, tiny_tokenizer  # noqa: E402

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SAME = 1e-3  # promised for 50 steps of a real model; what is left here is rounding in 32 bits


def losses_of_trl(model: Any, groups: list[Group], **settings: Any) -> list[float]:
    """As the benchmark of the loss curve has TRL do it."""
    spec = importlib.util.spec_from_file_location("_dpo_pairs", BENCHMARKS / "_dpo_pairs.py")
    assert spec is not None
    assert spec.loader is not None
    shared = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(shared)
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = "<unk>"
    losses: list[float] = []
    shared.train_with_trl(
        groups,
        lora=False,  # the model has its adapter already
        model=model,
        tokenizer=tokenizer,
        quiet=False,
        on_step=lambda _, numbers: losses.append(numbers["loss"]),
        bf16=False,
        lr_scheduler_type="constant",
        **settings,
    )
    return losses


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lora", [Lora(r=4), None], ids=["lora", "full"])
def test_curves_agree(lora: Lora | None, tmp_path: Path) -> None:
    transformers.utils.logging.set_verbosity_error()
    groups = some_groups(40)
    rate = 1e-2 if lora else 2e-3
    options = TrainOptions(
        steps=10, batch=4, learning_rate=rate, schedule="constant", lora=lora, watch=Watch(0), seed=3
    )
    ours: list[float] = []
    train(
        tiny_model(),
        None,
        groups,
        dpo(0.1),
        options,
        folder=tmp_path / "ours",
        progress=lambda news: ours.append(news.metrics["loss"]) if news.stage == "train" else None,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny_model().save_pretrained(tmp_path / "start")  # its second model is read from there
        start = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "start")
        theirs = losses_of_trl(
            adapt(start, lora, "fp32", 3),
            [groups[place] for place in data_order(3, 0, 40)],
            beta=0.1,
            steps=10,
            learning_rate=rate,
            per_device_train_batch_size=4,
            gradient_checkpointing=False,
        )
    assert len(ours) == 10
    assert max(ours) - min(ours) > 0.05  # it moves
    assert ours == pytest.approx(theirs, abs=SAME / 10)
