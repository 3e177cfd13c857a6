"""Reflection: read what happened on some inputs and rewrite the prompt; a Pareto pool over inputs (GEPA).

One round:

1. for each input i, its front: the candidates of the highest score s_ci;
2. candidates are removed as long as one is dominated: at each input where it is in the front, another one
   that is left is there too; the one of the lowest mean score goes first;
3. the parent is drawn among those that are left, in proportion to the number of fronts it is in;
4. the model reads 3 of the parent's traces (input, answer, feedback) and writes a new prompt.

Source: Agrawal et al., "GEPA: reflective prompt evolution can outperform reinforcement learning", arXiv
2507.19457, section 3 and algorithm 2, and its released code (minibatch 3, duplicates removed as above).

What differs. Scores: nobody measures one candidate on one input, so s_ci combines the belief with the duels
on that input, as if the belief were ``weight`` duels more:

    s_ci = (weight * mean_c + wins_ci + ties_ci / 2) / (weight + duels_ci)

with mean_c the believed probability of beating the seed; *both bad* counts as a lost duel. Feedback: the
verdict, the answer that won instead, and the rater's comment. Acceptance: a child is not tried on a minibatch
first; it joins the study, and the votes decide. Left out: the merge of two candidates, which exchanges whole
components of a system of several prompts and has nothing to exchange where there is one. The wording is ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from palate.errors import ConfigError
from palate.proposers._draw import check_options, starting_prompt
from palate.proposers._feedback import met, outcome_for, tell
from palate.proposers._written import ANSWER, Writer
from palate.types import Candidate, Comparison, Known, Model

__all__ = ["Reflect", "input_scores", "pareto_chances"]

_REFLECT = (
    "A language model was given this prompt to do a task:\n{prompt}\n\n"
    "These are inputs that it met, what it answered, and what people said:\n{traces}\n\n"
    "Write a new prompt for the task. First read the inputs and find out what the task is, in detail, and "
    "what form its inputs have. Then read the answers and what was said of them: whatever people care about, "
    "and whatever one has to know to do the task well, belongs into the prompt, because the model will see "
    "nothing else. If answers that won share a way of doing it, put that in too. "
    f"{ANSWER}"
)
_UNTRIED = (
    "A language model is given this prompt to do a task:\n{prompt}\n\n"
    "These are cases of the task:\n{traces}\n\n"
    "Write a new prompt for the task. First read the cases and find out what the task is, in detail. "
    "Whatever one has to know to do it well belongs into the prompt, because the model will see nothing "
    f"else. {ANSWER}"
)
_POINTS = {"won": 1.0, "tied": 0.5, "lost": 0.0, "both_bad": 0.0}
_SAME = 1e-9


@final
@dataclass(frozen=True, slots=True, eq=False)
class Reflect:
    """Makes prompts by reflection on a parent's duels; parents come from the Pareto front over inputs.

    Raters' comments are part of the request, so they go to whoever runs ``model``.

    Args:
        model: Who is asked.
        temperature: Of a draw, in [0, 2]; 1 as published.
        traces: Duels of the parent shown in one request; 3 as published.
        weight: How many duels on one input the belief is worth in the score of a candidate there, > 0.
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 1.0
    traces: int = 3
    weight: float = 2.0
    max_tokens: int = 1024
    longest: int = 4000
    attempts: int = 4
    concurrency: int = 8
    writer: Writer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_options(traces=self.traces)
        if not (np.isfinite(self.weight) and self.weight > 0):
            raise ConfigError(f"weight is {self.weight!r}; it is above 0")
        object.__setattr__(self, "writer", Writer.of(self))

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        Raises:
            ConfigError: There is no prompt to start from.
            BudgetError: A call could have exceeded the budget.
        """
        starting_prompt(known.existing, "reflect")
        pool = known.ranked()
        chances = pareto_chances(input_scores(pool, known, self.weight))
        chance_N = np.array([chances.get(candidate.id, 0.0) for candidate in pool])

        async def draw(sample: int, own: np.random.Generator) -> Candidate | None:
            parent = pool[int(own.choice(len(pool), p=chance_N))]
            request, texts = self._request(parent, known, own)
            text = await self.writer.write(request, texts, [parent], sample, own)
            detail = {"attempt": sample, "fronts": chances[parent.id]}
            return self.writer.candidate("reflect", text, [parent], detail) if text else None

        return await self.writer.collect(draw, n, known=known, rng=rng)

    def _request(
        self, parent: Candidate, known: Known, rng: np.random.Generator
    ) -> tuple[str, dict[str, str]]:
        fought = met(parent, known.comparisons)
        if fought:
            chosen = [fought[int(k)] for k in rng.permutation(len(fought))[: self.traces]]
            told = [tell(parent, comparison) for comparison in chosen]
        else:
            pool = [f"Input: {e.input}\nWanted output: {e.output}" for e in known.examples]
            pool = pool or [f"Input: {item.text}" for item in known.inputs] or ["(none is known)"]
            told = [pool[int(k)] for k in rng.permutation(len(pool))[: self.traces]]
        traces = "\n\n".join(f"{k}.\n{text}" for k, text in enumerate(told, start=1))
        return _REFLECT if fought else _UNTRIED, {"prompt": parent.text, "traces": traces}


def input_scores(candidates: Sequence[Candidate], known: Known, weight: float) -> dict[str, dict[str, float]]:
    """Score of each candidate on each input, in [0, 1]: input → candidate → score.

    Args:
        candidates: Those that take part.
        known: Belief and duels.
        weight: How many duels on one input the belief is worth.
    """
    mean = {c.id: known.standings[c.id].mean if c.id in known.standings else 0.5 for c in candidates}
    on: dict[str, list[Comparison]] = {item.id: [] for item in known.inputs}
    for comparison in known.comparisons:
        on.setdefault(comparison.input.id, []).append(comparison)
    scores: dict[str, dict[str, float]] = {}
    for input_id, duels in (on or {"": []}).items():
        points, count = dict.fromkeys(mean, 0.0), dict.fromkeys(mean, 0)
        for comparison in duels:
            for one in (comparison.left, comparison.right):
                if one.id in mean:
                    points[one.id] += _POINTS[outcome_for(one, comparison)]
                    count[one.id] += 1
        scores[input_id] = {c: (weight * mean[c] + points[c]) / (weight + count[c]) for c in mean}
    return scores


def pareto_chances(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Chance of each candidate to be the parent: its share of the fronts, without the dominated.

    Args:
        scores: Input → candidate → score; at least one input and one candidate.

    Returns:
        Candidate → chance, summing to one; those that are in no front, or dominated, are left out.

    Example:
        >>> pareto_chances({"x": {"a": 1.0, "b": 1.0}, "y": {"a": 0.0, "b": 1.0}, "z": {"a": 0.5, "b": 0.2}})
        {'b': 0.5, 'a': 0.5}
    """
    fronts = [
        {c for c, score in row.items() if score >= max(row.values()) - _SAME} for row in scores.values()
    ]
    mean = {c: float(np.mean([row[c] for row in scores.values()])) for front in fronts for c in front}
    left = sorted(mean, key=lambda c: (mean[c], c))
    dominated = next((c for c in left if _dominated(c, fronts)), None)
    while dominated is not None:
        left.remove(dominated)
        fronts = [front - {dominated} for front in fronts]
        dominated = next((c for c in left if _dominated(c, fronts)), None)
    share = {c: sum(c in front for front in fronts) for c in left}
    whole = sum(share.values())
    return {c: share[c] / whole for c in sorted(share, key=lambda c: (-mean[c], c))}


def _dominated(candidate: str, fronts: Sequence[set[str]]) -> bool:
    """Whether it is never alone in a front."""
    return all(len(front) > 1 for front in fronts if candidate in front)
