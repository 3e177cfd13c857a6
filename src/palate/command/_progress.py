"""How far long work has come: a bar on a terminal, a line at the start and at the end anywhere else."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from palate.command._say import console, note

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

__all__ = ["Progress", "progress"]


class Progress(Protocol):
    """Told of each step: what is done, how much of it, out of how much."""

    def __call__(self, stage: str, done: float, total: float) -> None:
        """Show it."""
        ...


class _Lines:
    def __init__(self) -> None:
        self._told: dict[str, bool] = {}

    def __call__(self, stage: str, done: float, total: float) -> None:
        finished = total > 0 and done >= total
        if stage not in self._told:
            note(f"{stage} …")
        if finished and not self._told.get(stage, False):
            note(f"{stage}: done")
        self._told[stage] = finished


class _Bars:
    def __init__(self, bar: "Bar") -> None:
        self._bar = bar
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: float, total: float) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total or None)
        self._bar.update(self._tasks[stage], completed=done, total=total or None)


@contextmanager
def progress() -> Generator[Progress]:
    """Show progress on standard error while the block runs."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Lines()
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    with Bar(*columns, TimeElapsedColumn(), console=screen, transient=True) as bar:
        yield _Bars(bar)
