"""A training whose groups come while it goes on: one optimiser and one schedule over all of them.

Where data are drawn from the policy that is trained, a training of its own for each handful of answers would
forget the optimiser's moments and begin its schedule again. This keeps both, saves both, and takes both up.
"""

from collections.abc import Sequence
from pathlib import Path

from palate.errors import InputError
from palate.extras import Foreign
from palate.policy.trainer import (
    Group,
    Objective,
    Scorer,
    TrainOptions,
    keep_usable,
    newest_checkpoint,
    write_folder,
)
from palate.policy.trainer._network import Network, adapt
from palate.policy.trainer._reference import Reference
from palate.policy.trainer._run import Run, Task

__all__ = ["Stream"]


class Stream(Run):
    """Updates on groups that are handed in.

    Args:
        model: A causal language model; changed in place.
        objective: The loss.
        scorer: What it is of.
        options: Of the trainer; ``batch`` groups an update.
        total: Updates in all, for the schedule.
        folder: Where it is saved, and taken up again.

    Raises:
        ConfigError: The options do not fit the model.
        InputError: No checkpoint of the folder is whole.
    """

    def __init__(
        self,
        model: Foreign,
        objective: Objective,
        scorer: Scorer,
        options: TrainOptions,
        *,
        total: int,
        folder: Path,
    ) -> None:
        adapted = adapt(model, options.lora, options.dtype, options.seed)
        network = Network(adapted, options.dtype, options.speed)
        reference = None
        if scorer.prior or scorer.reference:
            fresh = options.lora is not None
            reference = Reference(network, adapter_off=True) if fresh else Reference.frozen_copy(network)
        super().__init__(network, Task(objective, scorer, None, reference), options, (), total)
        self._folder = folder
        self._waiting: list[Group] = []
        checkpoint, self.notes = newest_checkpoint(folder)
        if checkpoint is not None:
            self.restore(checkpoint)

    def learn(self, groups: Sequence[Group]) -> list[dict[str, float]]:
        """One pass over some groups, ``batch`` of them an update; the numbers of each update.

        Raises:
            InputError: None of them can be trained on.
            ModelError: The loss became NaN or infinite.
        """
        if not groups:
            raise InputError("there is nothing to learn from")
        context = self.network.longest(self.options.max_length)
        self._waiting = list(keep_usable(groups, context).groups)
        told: list[dict[str, float]] = []
        while self._waiting:
            told.append(self.update())
        self.network.model.eval()
        return told

    def keep(self) -> None:
        """Save everything; whole or not at all."""
        write_folder(self._folder / f"step-{self.step:08d}", self.save)
        for old in sorted(self._folder.glob("step-*"))[:-2]:
            for file in sorted(old.iterdir()):
                file.unlink()
            old.rmdir()

    def _next_groups(self) -> list[Group]:
        size = self.options.batch
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        return taken
