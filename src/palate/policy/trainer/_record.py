"""What a run writes down: a line of JSON an update, TensorBoard if wanted, and what the run is of."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palate.errors import ConfigError
from palate.extras import Foreign, require
from palate.policy.trainer._checkpoint import read_json
from palate.policy.trainer._processes import Processes

__all__ = ["METRICS", "Metrics", "hold_to"]

METRICS = "metrics.jsonl"
_RUN = "run.json"
_FREE = ("save_every", "tensorboard")


class Metrics:
    """Lines of ``metrics.jsonl``; a run that goes on from a checkpoint loses the lines after it.

    Args:
        folder: Of the run.
        step: The update that the run goes on from.
        tensorboard: Whether to write for TensorBoard as well.
        processes: Of which the first alone writes.

    Attributes:
        last: The line of ``step``, or of the newest before it.

    Raises:
        MissingExtraError: TensorBoard is wanted and not installed.
    """

    def __init__(
        self, folder: Path, step: int, *, tensorboard: bool, processes: Processes | None = None
    ) -> None:
        processes = processes or Processes()
        self._file = folder / METRICS
        self._writes = processes.first
        lines = self._file.read_text(encoding="utf-8").splitlines() if self._file.is_file() else []
        kept = [line for line in lines if _step_of(line) <= step]
        self.last: dict[str, float] = json.loads(kept[-1]) if kept else {}
        self._writer: Foreign = None
        processes.wait()  # until all have read what the first is about to shorten
        if not self._writes:
            return
        self._file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        if tensorboard:
            require("tensorboard", "tensorboard", "writing for TensorBoard")
            writer = require("torch.utils.tensorboard", "tensorboard", "writing for TensorBoard")
            self._writer = writer.SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Append the numbers of an update; NaN and infinity become null."""
        if not self._writes:
            return
        plain = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        with self._file.open("a", encoding="utf-8") as sink:
            sink.write(json.dumps({"step": step, **plain}) + "\n")
        if self._writer is not None:
            for name, value in plain.items():
                if value is not None:
                    self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is not yet written."""
        if self._writer is not None:
            self._writer.close()


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return math.inf  # the line that a kill cut in two


def hold_to(folder: Path, run: Mapping[str, Any], *, write: bool = True) -> None:
    """Write down what a run is of, or check that it is the one that the folder began with.

    Args:
        folder: Of the run.
        run: Options, objective, data and model as plain values.
        write: Whether this process is the one that writes.

    Raises:
        ConfigError: The folder began with something else; the text names it.
    """
    file = folder / _RUN
    told: dict[str, Any] = json.loads(json.dumps(run))
    if not file.is_file():
        if not write:
            return
        part = file.with_name(f".part-{file.name}")
        part.write_text(json.dumps(told, indent=1), encoding="utf-8")
        part.replace(file)
        return
    before = read_json(file)
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}"
        for name, value in told.items()
        if name not in _FREE and before.get(name) != value
    ]
    if changed:
        raise ConfigError(
            f"{folder} holds another training: {'; '.join(changed)}; use the same, or another folder"
        )
