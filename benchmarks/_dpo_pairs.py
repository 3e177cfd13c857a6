"""Pairs, models and trainers that the benchmarks of DPO and a test share; TRL takes tokens as they are."""

import logging
import os
import random
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

BETA = 0.1
LORA = {"r": 8, "alpha": 16.0}


def folder_of_weights() -> Path:
    """SmolLM2-135M-Instruct, converted once."""
    from palate.models import weights_path
    from palate.models._causal import convert_gguf

    file = weights_path()
    if file is None:
        raise SystemExit("fetch the embedded model first: palate models fetch")
    return convert_gguf(file)


def load(dtype: str = "float32") -> Any:
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder_of_weights(), dtype=getattr(torch, dtype), use_safetensors=True
    )


def random_pairs(number: int, prompt: int, answer: int, *, ragged: bool = False, seed: int = 0) -> list[Any]:
    """Groups of two made of random tokens; ragged ones are between half as long and as long."""
    from palate.policy.trainer import Group

    draw = random.Random(seed)

    def tokens(most: int) -> tuple[int, ...]:
        size = draw.randint(most // 2, most) if ragged else most
        return tuple(draw.randrange(100, 49_000) for _ in range(size))

    return [Group(tokens(prompt), (tokens(answer), tokens(answer)), key=f"pair {n}") for n in range(number)]


def train_with_trl(
    groups: Sequence[Any],
    *,
    steps: int,
    lora: bool,
    on_step: Callable[[int, dict[str, float]], None],
    before_step: Callable[[], None] = lambda: None,
    model_dtype: str = "float32",
    model: Any = None,
    tokenizer: Any = None,
    quiet: bool = True,
    **settings: Any,
) -> Any:
    """Run TRL's DPOTrainer on the groups in their order; ``quiet`` silences the whole process for good."""
    import datasets
    import torch
    import transformers
    import trl

    if quiet:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        os.environ["TQDM_DISABLE"] = "1"
        datasets.disable_progress_bars()

    class Ordered(trl.DPOTrainer):
        """Takes tokens as they are, in the order of the data."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(self.train_dataset)

        def training_step(self, *given: Any, **more: Any) -> Any:
            loss = super().training_step(*given, **more)
            losses.append(float(loss))  # what it logs is rounded to four digits
            return loss

    losses: list[float] = []

    class Steps(transformers.TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            before_step()

        def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
            on_step(state.global_step, {"loss": losses[-1]})

    data = datasets.Dataset.from_list(
        [
            {
                "prompt_ids": list(g.prompt),
                "chosen_ids": list(g.completions[0]),
                "rejected_ids": list(g.completions[1]),
            }
            for g in groups
        ]
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = trl.DPOConfig(
            output_dir=folder,
            max_steps=steps,
            report_to="none",
            save_strategy="no",
            logging_steps=1000,
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
            **{"beta": BETA, **settings},
        )
        peft_config = None
        if lora:
            import peft

            peft_config = peft.LoraConfig(
                r=LORA["r"], lora_alpha=LORA["alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
            )
        trainer = Ordered(
            model=load(model_dtype) if model is None else model,
            args=arguments,
            train_dataset=data,
            processing_class=tokenizer or transformers.AutoTokenizer.from_pretrained(folder_of_weights()),
            peft_config=peft_config,
        )
        trainer.add_callback(Steps())
        trainer.train()
        return trainer.model
