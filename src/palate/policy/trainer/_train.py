"""The one loop: batches of groups, a scorer, an objective, an update.

    for each update:  L = sum over its groups of objective(scores) / number of those that count
                      gradient -> cut to a length -> AdamW

Everything random is drawn from the seed and the numbers of the update and the batch, so that a run that was
killed goes on from its checkpoint to the same weights, bit for bit on one machine.

Started by ``torchrun`` or ``accelerate launch`` in several processes, it trains one model in all of them; see
:mod:`palate.policy.trainer._processes`.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Literal, NamedTuple

from palate.errors import ConfigError
from palate.extras import Foreign, require
from palate.policy._meteor import similarity_alarm
from palate.policy._torch import torch
from palate.policy.objectives import RewardAware
from palate.policy.trainer._checkpoint import damage, newest_checkpoint, write_folder, write_tensors
from palate.policy.trainer._groups import Group, Kept, keep_usable
from palate.policy.trainer._network import Network, adapt, fingerprint
from palate.policy.trainer._options import TrainOptions
from palate.policy.trainer._processes import Processes, join
from palate.policy.trainer._record import Metrics, hold_to
from palate.policy.trainer._reference import Reference, References, choose_reference, fill_references
from palate.policy.trainer._run import Objective, Progress, Run, Task
from palate.policy.trainer._scorers import Arranging, LogProbabilities, Scorer
from palate.policy.trainer._seed import seeded
from palate.policy.trainer._watch import watch_answers

__all__ = ["Trained", "train"]

_CHECKPOINTS_KEPT = 2


class Trained(NamedTuple):
    """What a training ends with.

    Attributes:
        model: With the trained weights; of PEFT where there is an adapter.
        module: The scorer's own weights, where it has any.
        folder: The model's folder: safetensors and the tokeniser, or the adapter's.
        steps: Updates made.
        metrics: The last update's numbers.
        evaluation: The last evaluation's numbers, on held-out groups and drawn answers; empty without.
        skipped: Groups that were left out, by reason.
        notes: What a person should know, such as a damaged checkpoint that was passed over.
    """

    model: Foreign
    module: torch.nn.Module | None
    folder: Path
    steps: int
    metrics: Mapping[str, float]
    evaluation: Mapping[str, float]
    skipped: Mapping[str, int]
    notes: tuple[str, ...]


def train(
    model: Foreign,
    tokenizer: Foreign,
    groups: Sequence[Group],
    objective: Objective,
    options: TrainOptions,
    *,
    folder: Path,
    scorer: Scorer | None = None,
    reference: Literal["start", "base"] | Foreign = "start",
    evaluate: Sequence[Group] | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a model on groups of completions.

    Called again on the same folder, it goes on from the newest whole checkpoint, or returns at once when the
    training has ended. ``model`` must then be what it was at first.

    Args:
        model: A causal language model of transformers, or one with an adapter of PEFT, which is then trained
            on. It is changed in place.
        tokenizer: Saved beside the weights, and turns drawn answers into words; ``None`` draws none.
        groups: The data.
        objective: The loss, such as ``dpo(beta=0.1)``. For supervised fine-tuning, ``nll`` with
            ``LogProbabilities(reference=False)`` on groups of one.
        options: How.
        folder: Of this run: ``metrics.jsonl``, checkpoints ``step-N``, and ``model`` at the end.
        scorer: What the loss is of; log-probabilities when left out.
        reference: ``start``: the model as it is given; ``base``: the model below its adapter; or another
            model.
        evaluate: Held-out groups.
        progress: Called after every update, evaluation and batch of the reference; in the first process.

    Raises:
        ConfigError: Options do not fit the model or the number of processes, or the folder holds another
            training.
        InputError: No group can be trained on, or no checkpoint of the folder is whole.
        ModelError: The loss became NaN or infinite; the update was not made.
        MissingExtraError: A package is not installed.
    """
    processes = _joined(options)
    folder.mkdir(parents=True, exist_ok=True)
    tell = progress if progress is not None and processes.first else _silent
    if scorer is None:
        wanted = objective.reward.reference != 0 if isinstance(objective, RewardAware) else True
        scorer = LogProbabilities(reference=wanted)
    start, base = fingerprint(model, adapter=True), fingerprint(model)
    fresh = options.lora is not None and not hasattr(model, "peft_config")
    model = adapt(model, options.lora, options.dtype, options.seed)
    network = Network(model, options.dtype, options.speed)
    longest = network.longest(options.max_length)
    kept = keep_usable(groups, longest)
    held = keep_usable(evaluate, longest, least=0) if evaluate else Kept((), {})
    of = asdict(options) | {
        "objective": _named(objective),
        "scorer": scorer.name,
        "model": start,
        "data": _digest(kept.groups),
        "evaluate": _digest(held.groups),
    }
    processes.agree(of)
    hold_to(folder, of, write=processes.first)
    new = scorer.reference and isinstance(scorer, Arranging)  # groups that no cache can know
    found = choose_reference(
        network,
        reference,
        (start, base),
        fresh=fresh,
        wanted=(scorer.reference and not new, scorer.prior or new),
    )
    if found.once is not None:
        kept, held = (
            part._replace(groups=_filled(found, part.groups, folder, options, tell, processes))
            for part in (kept, held)
        )
    with seeded(f"{options.seed} scorer", network.device):
        module = scorer.module(network.decoder.config.hidden_size)
    if module is not None:
        module = module.to(network.device)
    if options.gradient_checkpointing:
        network.checkpoint_activations()
    task = Task(objective, scorer, module, found.always)
    run = Run(network, task, options, kept.groups, options.updates(len(kept.groups)), processes)
    notes = (*_left_out("the data", kept), *_left_out("what is held out", held))
    return _Loop(run, folder, tokenizer, kept, held.groups, found.watching, tell).go(notes)


class _Loop:
    """A run from its newest checkpoint to its end, in a folder."""

    def __init__(
        self,
        run: Run,
        folder: Path,
        tokenizer: Foreign,
        kept: Kept,
        held: Sequence[Group],
        watching: Reference | None,
        tell: Callable[[Progress], None],
    ) -> None:
        self._run, self._folder, self._tokenizer = run, folder, tokenizer
        self._kept, self._held, self._watching, self._tell = kept, held, watching, tell
        self._numbers: dict[str, float] = {}
        self._evaluation: dict[str, float] = {}

    def go(self, told: Sequence[str]) -> Trained:
        """Train, and write the model; to the notes that are there, its own are added."""
        run, options = self._run, self._run.options
        checkpoint, found = newest_checkpoint(self._folder)
        notes = [*told, *found]
        if run.network.imitates:
            notes.append("this processor only imitates bfloat16, many times slower than dtype='fp32'")
        if checkpoint is not None:
            run.restore(checkpoint)
        run.processes.agree({"the update that the folder goes on from": run.step})
        run.processes.take_from_first(list(run.weights.values()))
        metrics = Metrics(self._folder, run.step, tensorboard=options.tensorboard, processes=run.processes)
        self._recall(metrics.last)
        try:
            while run.step < run.total and not run.done:
                self._update(metrics)
        finally:
            metrics.close()
        run.processes.wait()  # until the first has written the best weights
        if options.patience and self._held and not damage(self._folder / "best"):
            run.restore(self._folder / "best", weights_only=True)
        run.done = True
        self._save(optimiser=False)
        if run.processes.first:
            self._write_model()
        run.processes.wait()
        run.network.model.eval()
        notes += similarity_alarm(self._evaluation.get("similarity", 0.0))
        return Trained(
            run.network.model,
            run.task.module,
            self._folder / "model",
            run.step,
            self._numbers,
            self._evaluation,
            self._kept.skipped,
            tuple(notes),
        )

    def _recall(self, line: Mapping[str, float | None]) -> None:
        """Numbers of a training that had ended before."""
        for name, value in line.items():
            kind, _, rest = name.rpartition("/")
            (self._evaluation if kind else self._numbers)[rest] = math.nan if value is None else value

    def _update(self, metrics: Metrics) -> None:
        run, options = self._run, self._run.options
        started = time.perf_counter()
        self._numbers = run.update()
        seconds = time.perf_counter() - started
        self._numbers |= {"seconds": seconds, "tokens_per_second": self._numbers["tokens"] / seconds}
        line = dict(self._numbers)
        self._tell(Progress("train", run.step, run.total, self._numbers))
        if run.step == run.total or (options.evaluate_every and run.step % options.evaluate_every == 0):
            self._evaluation = self._evaluate()
            line |= {f"evaluate/{name}": value for name, value in self._evaluation.items()}
            self._tell(Progress("evaluate", run.step, run.total, self._evaluation))
        metrics.write(run.step, line)
        if options.save_every and run.step % options.save_every == 0 and run.step < run.total:
            self._save()

    def _evaluate(self) -> dict[str, float]:
        run = self._run
        found: dict[str, float] = {}
        if self._held:
            found = run.evaluate(self._held)
            if run.judge(found["loss"]) and run.options.patience and run.processes.first:
                write_folder(self._folder / "best", partial(run.save, optimiser=False))
        if self._tokenizer is not None:
            watched: dict[str, float] = {}
            if run.processes.first:  # answers are drawn once, and all hear what they were like
                watched = watch_answers(
                    run.network,
                    self._watching,
                    self._tokenizer,
                    self._held or self._kept.groups,
                    run.options.watch,
                    run.options.seed,
                )
            found |= run.processes.everyone(watched)[0]
        return found

    def _save(self, *, optimiser: bool = True) -> None:
        if not self._run.processes.first:
            return
        name = f"step-{self._run.step:08d}"
        write_folder(self._folder / name, partial(self._run.save, optimiser=optimiser))
        for old in sorted(self._folder.glob("step-*"))[:-_CHECKPOINTS_KEPT]:
            shutil.rmtree(old)

    def _write_model(self) -> None:
        target = self._folder / "model"
        if target.exists() and not damage(target):
            return

        def fill(work: Path) -> None:
            network = self._run.network
            disable_bars = require("transformers", "train", "training").utils.logging.disable_progress_bar
            disable_bars()  # its bar for shards would cut through our own
            network.model.save_pretrained(work, safe_serialization=True)
            if self._tokenizer is not None:
                self._tokenizer.save_pretrained(work)
            if self._run.task.module is not None:
                write_tensors(work / "scorer.safetensors", dict(self._run.task.module.named_parameters()))
            told = {"base": fingerprint(network.model) if network.adapted else "", "adapter": network.adapted}
            (work / "palate.json").write_text(json.dumps(told), encoding="utf-8")

        write_folder(target, fill)


def _left_out(what: str, kept: Kept) -> list[str]:
    """What a person should know of the groups that cannot teach."""
    why = ", ".join(f"{count} {reason}" for reason, count in kept.skipped.items())
    return [f"left out of {what}: {why}"] if why else []


def _joined(options: TrainOptions) -> Processes:
    """The processes of this training, each of which has a batch of a whole update to compute."""
    processes = join()
    if options.accumulate < processes.count:
        raise ConfigError(
            f"accumulate is {options.accumulate}, but {processes.count} processes share the batches of an "
            f"update; give accumulate={processes.count} or more (and a smaller batch for the same update)"
        )
    return processes


def _filled(
    found: References,
    groups: Sequence[Group],
    folder: Path,
    options: TrainOptions,
    tell: Callable[[Progress], None],
    processes: Processes,
) -> tuple[Group, ...]:
    assert found.once is not None
    return tuple(
        fill_references(
            found.once,
            groups,
            found.key,
            folder,
            batch=options.batch,
            tell=lambda done, total: tell(Progress("reference", done, total, {})),
            processes=processes,
        )
    )


def _digest(groups: Sequence[Group]) -> str:
    """A short hash of data, with their columns, in their order."""
    content = [[group.ids(), sorted((k, list(v)) for k, v in group.columns.items())] for group in groups]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _named(objective: object) -> str:
    """What an objective is called in the record: a value by its fields, a function by its name."""
    if isinstance(objective, partial):
        return f"{_named(objective.func)}{objective.args!r}{sorted(objective.keywords.items())!r}"
    if is_dataclass(objective):
        return repr(objective)
    kind = objective if isinstance(objective, FunctionType) else type(objective)
    return f"{kind.__module__}.{kind.__qualname__}"


def _silent(progress: Progress) -> None:
    del progress
