"""A run under way: weights, optimiser, counters; and its four deeds: update, evaluate, save, restore."""

import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from palate.errors import InputError, ModelError
from palate.policy._torch import Tensor, torch
from palate.policy.objectives import Completions, Loss
from palate.policy.trainer._checkpoint import read_json, read_tensors, write_tensors
from palate.policy.trainer._groups import Group
from palate.policy.trainer._layout import Batch, make_batch
from palate.policy.trainer._measure import Numbers, Sums, add_up, measure, plain
from palate.policy.trainer._network import Network
from palate.policy.trainer._optimise import (
    clip,
    learning_rate,
    make_optimiser,
    optimiser_state,
    restore_optimiser,
)
from palate.policy.trainer._options import TrainOptions
from palate.policy.trainer._processes import Processes
from palate.policy.trainer._reference import Reference
from palate.policy.trainer._scorers import Arranging, Scorer
from palate.policy.trainer._seed import seeded

__all__ = ["Objective", "Progress", "Run", "Task"]

Objective: TypeAlias = Callable[[Completions], Loss]
"""A loss; see :mod:`palate.policy.objectives`."""

_WEIGHTS, _OPTIMISER, _STATE = "weights.safetensors", "optimiser.safetensors", "state.json"
_OWN = "scorer."
_TOTALS = (("tokens", 0), ("loss", 1))  # sum of the one, count of the other


class Task(NamedTuple):
    """What is trained.

    Attributes:
        objective: The loss.
        scorer: What it is a loss of.
        module: The scorer's own weights.
        reference: Computes the reference in every batch; ``None`` where its numbers are in the groups, or
            none are wanted.
    """

    objective: Objective
    scorer: Scorer
    module: torch.nn.Module | None
    reference: Reference | None


class Progress(NamedTuple):
    """How far a training is.

    Attributes:
        stage: ``reference``, ``train`` or ``evaluate``.
        done: Batches or updates done.
        total: In all.
        metrics: The newest numbers.
    """

    stage: str
    done: int
    total: int
    metrics: dict[str, float]


class Run:
    """Weights that are trained, with the optimiser and the number of the update.

    Args:
        network: The policy.
        task: What it is trained for.
        options: How.
        groups: The data, with what they need of the reference.
        total: Updates in all.
        processes: Which of how many this is.
    """

    def __init__(
        self,
        network: Network,
        task: Task,
        options: TrainOptions,
        groups: Sequence[Group],
        total: int,
        processes: Processes | None = None,
    ) -> None:
        self.network, self.task, self.options, self.total = network, task, options, total
        self.processes = processes or Processes()
        self._groups = groups
        self.weights = {name: w for name, w in network.model.named_parameters() if w.requires_grad}
        if task.module is not None:
            self.weights |= {_OWN + name: w for name, w in task.module.named_parameters()}
        self.optimiser = make_optimiser(self.weights, options)
        self.step = 0
        self.best = math.inf
        self.waited = 0
        self.done = False

    def update(self) -> dict[str, float]:
        """One update of the weights.

        Raises:
            ModelError: The loss or its gradient is NaN or infinite; the weights are what they were before.
        """
        groups = self._next_groups()
        rate = learning_rate(self.options, self.step, self.total)
        self.network.model.train()
        batches = [groups[i : i + self.options.batch] for i in range(0, len(groups), self.options.batch)]
        parts = self._through(batches, learn=True)
        self.processes.add(list(self.weights.values()))
        numbers = add_up(parts)
        tokens, counted = (sum(part[name][place] for part in parts) for name, place in _TOTALS)
        norm = clip(self.weights.values(), self.options.max_grad_norm, max(1.0, counted))
        numbers |= {"grad_norm": float(norm), "learning_rate": rate, "groups": counted, "tokens": tokens}
        if counted and not (math.isfinite(numbers["loss"]) and math.isfinite(numbers["grad_norm"])):
            self.optimiser.zero_grad(set_to_none=True)
            raise ModelError(self._diverged(parts, batches))
        if counted:
            for entry in self.optimiser.param_groups:
                entry["lr"] = rate
            self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.step += 1
        return numbers

    def evaluate(self, groups: Sequence[Group]) -> dict[str, float]:
        """The same numbers on held-out groups, without dropout."""
        self.network.model.eval()
        batches = [groups[i : i + self.options.batch] for i in range(0, len(groups), self.options.batch)]
        with torch.no_grad():
            found = add_up(self._through(batches, learn=False))
        return {name: value for name, value in found.items() if name != "tokens"}

    def _through(self, batches: Sequence[Sequence[Group]], *, learn: bool) -> list[Numbers]:
        """Compute this process's batches; the numbers of all batches, in their order."""
        own = [number for number in range(len(batches)) if self.processes.owns(number)]
        sums: list[Sums] = []
        with self.network.computing():
            for number in own:
                # A seed a batch, so that dropout is the same wherever the batch is computed.
                with seeded(f"{self.options.seed} {self.step} {number}", self.network.device):
                    batch = self._batch(batches[number])
                    loss, found = self._loss(batch)
                    if learn:
                        loss.backward()
                one = torch.ones((), device=self.network.device)
                sums.append({**found, "tokens": (one * batch.layout.tokens, one)})
        told = self.processes.everyone(dict(zip(map(str, own), plain(sums), strict=True)))
        every = {int(number): numbers for part in told for number, numbers in part.items()}
        return [every[number] for number in range(len(batches))]

    def _batch(self, groups: Sequence[Group]) -> Batch:
        if isinstance(self.task.scorer, Arranging):
            groups = self.task.scorer.arrange(groups, self.network.longest(self.options.max_length))
        return make_batch(groups, self.options.speed, self.network.device)

    def judge(self, loss: float) -> bool:
        """Take note of a held-out loss; whether it is the best so far."""
        if loss < self.best:
            self.best, self.waited = loss, 0
            return True
        self.waited += 1
        self.done = self.done or 0 < self.options.patience <= self.waited
        return False

    def save(self, folder: Path, *, optimiser: bool = True) -> None:
        """Write weights, optimiser and counters into an empty folder."""
        write_tensors(folder / _WEIGHTS, self.weights)
        if optimiser:
            write_tensors(folder / _OPTIMISER, optimiser_state(self.optimiser, self.weights))
        best = None if math.isinf(self.best) else self.best
        state = {"step": self.step, "best": best, "waited": self.waited, "done": self.done}
        (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")

    def restore(self, folder: Path, *, weights_only: bool = False) -> None:
        """Go on from what :meth:`save` wrote.

        Raises:
            InputError: It is of another model or adapter.
        """
        saved = read_tensors(folder / _WEIGHTS)
        check_names(saved, self.weights, folder)
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(saved[name])
        if weights_only:
            return
        state = read_json(folder / _STATE)
        self.step, self.waited, self.done = state["step"], state["waited"], state["done"]
        self.best = math.inf if state["best"] is None else state["best"]
        if (folder / _OPTIMISER).is_file():
            restore_optimiser(self.optimiser, self.weights, read_tensors(folder / _OPTIMISER))

    def _next_groups(self) -> list[Group]:
        """Groups of the present update: each epoch has an order of its own, drawn from the seed."""
        size = self.options.batch * self.options.accumulate
        each = math.ceil(len(self._groups) / size)
        epoch, place = divmod(self.step, each)
        order = data_order(self.options.seed, epoch, len(self._groups))
        return [self._groups[i] for i in order[place * size : (place + 1) * size]]

    def _loss(self, batch: Batch) -> tuple[Tensor, Sums]:
        task = self.task
        states = self.network.states(batch)
        reference_GK = batch.reference_GK
        if task.reference is not None:
            if task.scorer.prior:
                states = states._replace(
                    prior_ND=task.reference.hidden(batch.layout), prior_head=task.reference.head
                )
            if task.scorer.reference and reference_GK is None:
                reference_GK = task.reference.log_probs(batch)
        scored = task.scorer(states, task.module)
        completions = Completions(
            scored.score_GK, reference_GK, batch.length_GK, batch.columns.get("reward"), batch.valid_GK
        )
        loss = task.objective(completions)
        if "weight" in batch.columns:  # of the group; every completion of it says the same
            loss = Loss(loss.each_G * batch.columns["weight"][:, 0], loss.counted_G)
        if scored.penalty_G is not None:
            loss = loss.plus(Loss(scored.penalty_G, loss.counted_G))
        return loss.total, measure(task.objective, completions, loss, scored)

    def _diverged(self, parts: Sequence[Numbers], batches: Sequence[Sequence[Group]]) -> str:
        broken = [
            group.key
            for numbers, batch in zip(parts, batches, strict=True)
            if not math.isfinite(numbers["loss"][0])
            for group in batch
        ]
        what = "loss" if broken else "gradient"
        named = broken or [group.key for batch in batches for group in batch]
        shown = ", ".join(named[:8]) + (f" and {len(named) - 8} more" if len(named) > 8 else "")
        return (
            f"the {what} of update {self.step + 1} is NaN or infinite, so it was not made; its groups are "
            f"{shown}. The last checkpoint is whole: look at these rows, lower learning_rate, or use "
            "dtype='fp32', and run it again"
        )


def data_order(seed: int, epoch: int, number: int) -> list[int]:
    """The order in which an epoch, counted from 0, takes the groups."""
    order = list(range(number))
    random.Random(f"{seed} {epoch}").shuffle(order)
    return order


def check_names(saved: dict[str, Tensor], wanted: dict[str, Tensor], folder: Path) -> None:
    """Compare names and shapes of weights.

    Raises:
        InputError: They differ.
    """
    wrong = sorted(set(saved) ^ set(wanted))
    wrong += [name for name in saved if name in wanted and saved[name].shape != wanted[name].shape]
    if wrong:
        raise InputError(
            f"{folder} holds weights of another model or adapter: {len(wrong)} of {len(wanted)} do not fit, "
            f"first {wrong[0]!r}; use the model and the Lora that it was made with"
        )
