"""The loss curve of DPO is that of TRL's trainer, on the same pairs in the same order."""

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from palate.policy.objectives import dpo
from palate.policy.trainer import Group, Lora, TrainOptions, Watch, adapt, train
from palate.policy.trainer._run import data_order

datasets = pytest.importorskip("datasets")
transformers = pytest.importorskip("transformers")
trl = pytest.importorskip("trl")
pytest.importorskip("peft")
from trainer_kit import some_groups, tiny_model, tiny_tokenizer  # noqa: E402

SAME = 1e-3  # promised for 50 steps of a real model; what is left here is rounding in 32 bits


def losses_of_trl(model: Any, groups: list[Group], folder: Path, **settings: Any) -> list[float]:
    losses: list[float] = []

    class Ordered(trl.DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def training_step(self, *given: Any, **more: Any) -> Any:
            loss = super().training_step(*given, **more)
            losses.append(float(loss))
            return loss

    rows = [
        {"prompt_ids": list(g.prompt), "chosen_ids": list(chosen), "rejected_ids": list(rejected)}
        for g in groups
        for chosen, rejected in [g.completions]
    ]
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = "<unk>"
    options = trl.DPOConfig(
        output_dir=str(folder),
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        dataloader_pin_memory=False,
        lr_scheduler_type="constant",
        logging_steps=1000,
        **settings,
    )
    Ordered(
        model=model,
        args=options,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    ).train()
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
            tmp_path / "theirs",
            beta=0.1,
            max_steps=10,
            learning_rate=rate,
            per_device_train_batch_size=4,
            gradient_checkpointing=False,
        )
    assert len(ours) == 10
    assert max(ours) - min(ours) > 0.05  # it moves
    assert ours == pytest.approx(theirs, abs=SAME / 10)
