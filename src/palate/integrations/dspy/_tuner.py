"""An optimiser for DSPy that needs no metric: it asks which of two outputs is better.

DSPy's optimisers search for the program with the highest value of a metric. Where there is none, a person (or
a judge of any other kind) is shown the outputs of two programs on the same example and says which is better;
the duelling bandit of the study chooses the next pair and reports the best program with how sure it is.
"""

import contextvars
from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, Literal

import dspy
import numpy as np
from dspy.teleprompt import Teleprompter

from palate.errors import ConfigError, InputError
from palate.integrations.dspy._instructions import given_instructions, pool_of, written_instructions
from palate.integrations.dspy._judges import (
    Decide,
    Page,
    at_terminal,
    by_function,
    decided,
    taught,
)
from palate.integrations.dspy._program import (
    ProgramTarget,
    Show,
    candidate_of,
    instructed,
    instructions_of,
    predictor_states,
    program_inputs,
    shown_output,
)
from palate.store import EventKind, candidates_payload
from palate.study import Study
from palate.types import Candidate, Judge, Lineage

__all__ = ["DuelTuner"]


PAGE, TERMINAL = "page", "terminal"


class DuelTuner(Teleprompter):
    """Tunes the instructions of a program's predictors from duels between its outputs.

    Args:
        path: The database of the study. Calling :meth:`compile` again with it goes on where it stopped:
            nothing is proposed twice, no output is produced twice, no vote is lost.
        judge: Who decides: ``"page"`` (a page in the browser; ``Page(…)`` to say where), ``"terminal"``
            (here, or in a notebook's cell), a function ``(example, left, right) → verdict`` of the two
            outputs as shown, or any judge of Palate.
        votes: Votes that teach after which the tuning ends; those of earlier calls with the same ``path``
            count.
        instructions: Your own instructions: a list for a program of one predictor, else a mapping from the
            predictors' names to lists. Without it a language model writes them.
        prompt_model: The model that writes them; by default the one that DSPy is configured with.
        candidates: Programs that compete, the program as it is among them; at least 2.
        guidelines: What raters are told to look for, as Markdown.
        show: What raters see of a prediction, as a function ``(example, prediction) → Markdown``; by default
            its outputs without the reasoning.
        strategy: Which two programs to compare next, by a registered name.
        seed: Of every random draw.

    Raises:
        ConfigError: A number is out of its range, or the judge cannot judge.

    Example:
        >>> import dspy, tempfile
        >>> from dspy.utils import DummyLM
        >>> from palate.integrations.dspy import DuelTuner
        >>> folder = tempfile.TemporaryDirectory()
        >>> tuner = DuelTuner(
        ...     f"{folder.name}/replies.db", judge=lambda example, left, right: "tie", votes=3,
        ...     instructions=["Answer kindly.", "Answer briefly."],
        ... )
        >>> trainset = [dspy.Example(question="My lamp is broken.").with_inputs("question")]
        >>> with dspy.context(lm=DummyLM([{"answer": "Sorry to hear that."}] * 9)):
        ...     better = tuner.compile(dspy.Predict("question -> answer"), trainset=trainset)
        >>> better.palate["votes"]
        3
        >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | Path,
        *,
        judge: Literal["page", "terminal"] | Page | Decide | Judge = PAGE,
        votes: int = 30,
        instructions: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        prompt_model: dspy.LM | None = None,
        candidates: int = 12,
        guidelines: str = "",
        show: Show = shown_output,
        strategy: str = "default",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if votes < 1:
            raise ConfigError(f"votes is {votes!r}; it is at least 1")
        if candidates < 2:
            raise ConfigError(f"candidates is {candidates!r}; it is at least 2, since one cannot be compared")
        if isinstance(judge, str) and judge not in (PAGE, TERMINAL):
            raise ConfigError(
                f"judge is {judge!r}; it is {PAGE!r}, {TERMINAL!r}, a function or a judge of Palate"
            )
        if not (isinstance(judge, str | Page) or callable(judge) or _is_judge(judge)):
            raise ConfigError(
                f"judge={judge!r} cannot judge; give 'page', 'terminal', a function or a judge of Palate"
            )
        self.path = Path(path)
        self.judge = judge
        self.votes = votes
        self.instructions = instructions
        self.prompt_model = prompt_model
        self.candidates = candidates
        self.guidelines = guidelines
        self.show = show
        self.strategy = strategy
        self.seed = seed

    def compile(
        self,
        student: dspy.Module,
        *,
        trainset: list[dspy.Example],
        teacher: dspy.Module | None = None,
        valset: list[dspy.Example] | None = None,
        **kwargs: Any,  # noqa: ANN401 - DSPy's signature
    ) -> dspy.Module:
        """Tune a program.

        Args:
            student: The program; it stays as it is.
            trainset: Examples to run it on. Only their inputs are used, so they need no outputs.
            teacher: Not used.
            valset: Not used: the same votes that choose the program say how sure that is.
            **kwargs: None is known.

        Returns:
            A copy of the program with the instructions believed best, or with its own if there are no votes.
            Its attribute ``palate`` tells how sure that is: ``{"probability", "interval", "win_rate",
            "votes", "stop", "reason", "path"}``.

        Raises:
            ConfigError: The program has no predictor to tune, or ``path`` holds the study of another program.
            InputError: ``trainset`` is empty, or an example has no inputs; no instruction differs from those
                that the program has.
            ModelError: The language model could not write instructions, or the program keeps failing.
        """
        del teacher, valset
        if kwargs:
            raise ConfigError(f"compile has no option {next(iter(kwargs))!r}; options go to DuelTuner(…)")
        inputs, examples = program_inputs(trainset)
        target = ProgramTarget(student, examples, show=self.show, context=contextvars.copy_context())
        own = (
            []
            if self.instructions is None
            else self._pool(student, given_instructions(student, self.instructions))
        )
        with Study.create(
            target=target,
            inputs=inputs,
            candidates=[_seed(student), *own],
            path=self.path,
            guidelines=self.guidelines,
            strategy=self.strategy,
            max_votes=self.votes,
            seed=self.seed,
        ) as study:
            _check_same(study, student, target)
            if self.instructions is None and len(study.state.candidates) + len(study.state.withdrawn) < 2:
                self._propose(study, student, trainset)
            if len(study.state.candidates) < 2:
                raise InputError(
                    "no instruction differs from those that the program has; give some as instructions=[…], "
                    "or another prompt_model"
                )
            self._vote(study, examples)
            return self._tuned(study, student)

    def _propose(self, study: Study, student: dspy.Module, trainset: Sequence[dspy.Example]) -> None:
        # One event for all of them, so that a study that was killed has all proposals or none.
        predictors = len(instructions_of(student))
        each = ceil((self.candidates - 1) / predictors)
        lm = self.prompt_model or dspy.settings.lm
        written = written_instructions(student, trainset, each, lm=lm)
        made = self._pool(student, written, origin="written", model=getattr(lm, "model", None))
        if made:
            study.store.append(EventKind.CANDIDATES_ADDED, candidates_payload(made))
            study.state.follow(study.store)

    def _pool(
        self,
        student: dspy.Module,
        options: Mapping[str, Sequence[str]],
        *,
        origin: str = "user",
        model: str | None = None,
    ) -> list[Candidate]:
        rng = np.random.default_rng(self.seed)
        return pool_of(student, options, self.candidates - 1, origin=origin, rng=rng, model=model)

    def _vote(self, study: Study, examples: Mapping[str, dspy.Example]) -> None:
        judge = Page() if self.judge == PAGE else self.judge
        missing = self.votes - taught(study.state)
        if missing <= 0:
            return
        if isinstance(judge, Page):
            judge.collect(study, self.votes)
        elif judge == TERMINAL:
            decided(study, "me", at_terminal(), self.votes)
        elif _is_judge(judge):
            study.run_judge(judge, missing)  # pyright: ignore[reportArgumentType] - it has what a judge has
        else:
            decided(study, "function", by_function(judge, examples), self.votes)  # pyright: ignore[reportArgumentType]
        study.state.follow(study.store)

    def _tuned(self, study: Study, student: dspy.Module) -> dspy.Module:
        report: dict[str, object] = {"votes": taught(study.state), "path": str(self.path)}
        instructions: Mapping[str, str] = {}
        if report["votes"]:
            best, (stop, reason) = study.best(), study.should_stop()
            instructions = best.candidate.parts["instructions"]  # pyright: ignore[reportAssignmentType]
            report |= {
                "probability": best.probability,
                "interval": best.interval,
                "win_rate": best.win_rate,
                "stop": stop,
                "reason": reason,
            }
        tuned: Any = instructed(student, instructions)
        tuned._compiled = True  # what DSPy's own optimisers set: a larger program leaves this part alone
        tuned.palate = report
        return tuned


def _is_judge(judge: object) -> bool:
    return callable(getattr(judge, "judge", None)) and isinstance(getattr(judge, "name", None), str)


def _seed(student: dspy.Module) -> Candidate:
    detail = {"predictors": predictor_states(student), "program": type(student).__name__}
    return candidate_of(instructions_of(student), Lineage("seed", detail=detail))


def _check_same(study: Study, student: dspy.Module, target: ProgramTarget) -> None:
    """A database belongs to one program as it was."""
    seed = _seed(student).id
    for candidate in (*study.state.candidates.values(), *study.state.withdrawn.values()):
        target.check(candidate)
        if candidate.lineage.origin == "seed" and candidate.id != seed:
            raise ConfigError(
                f"{study.store.path} is the study of this program with other instructions; use another "
                "path, or the program as it was"
            )
