"""The loop that all proposers share: draw, refuse what is not new, draw again, and give up in time.

Draw ``k`` is a pure function of the proposer's generator at the start and of ``k``, never of what the
draws before it returned or in which order they came back. So a study that was killed half-way asks for
exactly the same draws again, and a cache answers those that were already paid for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np

from palate.errors import BudgetError, ConfigError
from palate.proposers._clean import likeness
from palate.types import Candidate, Example, Json, Message, Model, Request, canonical_json

__all__ = [
    "Draw",
    "ask",
    "check_options",
    "collect",
    "demonstrations_part",
    "failures",
    "identity",
    "seed_of",
    "starting_prompt",
]

Draw = Callable[[int, np.random.Generator], Awaitable[Candidate | None]]
"""``draw(sample, rng)`` asks once and returns a candidate, or ``None`` for an answer that is no prompt."""


async def collect(
    draw: Draw,
    n: int,
    *,
    existing: Sequence[Candidate],
    rng: np.random.Generator,
    attempts: int,
    concurrency: int,
) -> list[Candidate]:
    """Draw until there are ``n`` new candidates or ``attempts * n`` draws are spent.

    Args:
        draw: Asks a model once.
        n: How many candidates are wanted.
        existing: Candidates that must not be made again, compared without case, spaces and punctuation.
        rng: Advanced by one number, whatever happens.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Returns:
        At most ``n`` candidates in the order of their draws; fewer if the model keeps repeating itself
        or began to fail.

    Raises:
        BudgetError: A draw could have exceeded the budget.
        Exception: What the first draw raised, if a whole round failed before there was any candidate.
    """
    base = int(rng.integers(2**31))
    known = {identity(candidate) for candidate in existing}
    made: list[Candidate] = []
    sent, allowed = 0, attempts * n
    while len(made) < n and sent < allowed:
        round_ = range(sent, sent + min(concurrency, n - len(made), allowed - sent))
        drawn = [draw(base + k, np.random.default_rng([base, k])) for k in round_]
        outcomes = await asyncio.gather(*drawn, return_exceptions=True)
        sent += len(round_)
        failed = failures(outcomes)
        if len(failed) == len(outcomes):
            if made:
                break
            raise failed[0]
        for outcome in outcomes:
            if isinstance(outcome, Candidate) and identity(outcome) not in known:
                known.add(identity(outcome))
                made.append(outcome)
    return made


def failures(outcomes: Sequence[Candidate | BaseException | None]) -> list[Exception]:
    """The draws that failed, of those that were under way together.

    Raises:
        BudgetError: A draw could have exceeded the budget.
        BaseException: What is no failure of a draw, such as being cancelled.
    """
    failed: list[Exception] = []
    for outcome in outcomes:
        if isinstance(outcome, BudgetError) or (
            isinstance(outcome, BaseException) and not isinstance(outcome, Exception)
        ):
            raise outcome
        if isinstance(outcome, Exception):
            failed.append(outcome)
    return failed


def identity(candidate: Candidate) -> tuple[str, str]:
    """What two candidates share that are not worth telling apart: :func:`likeness`, and equal parts."""
    return likeness(candidate.text) or candidate.text, canonical_json(candidate.parts)


def seed_of(existing: Sequence[Candidate]) -> Candidate | None:
    """The study's seed prompt: the one marked so, or else the first there is."""
    marked = [candidate for candidate in existing if candidate.lineage.origin == "seed"]
    return next(iter([*marked, *existing]), None)


def starting_prompt(existing: Sequence[Candidate], who: str) -> Candidate:
    """The seed prompt, for a proposer that can do nothing without one.

    Raises:
        ConfigError: There is none.
    """
    seed = seed_of(existing)
    if seed is None:
        raise ConfigError(f"{who} needs a prompt to start from; set seed under [prompts]")
    return seed


def ask(
    text: str, model: Model, *, temperature: float, max_tokens: int, sample: int, rng: np.random.Generator
) -> Request:
    """Write one request; the sample number keeps draws of one text apart in every cache."""
    seed = int(rng.integers(2**31))
    return Request(
        messages=(Message("user", text),),
        temperature=temperature,
        max_tokens=max_tokens,
        seed=seed if model.capabilities.seed else None,
        sample=sample,
    )


def demonstrations_part(
    examples: Sequence[Example], count: int, rng: np.random.Generator
) -> Mapping[str, Json]:
    """Draw distinct examples and write them as a candidate's ``demonstrations``."""
    if len(examples) < count:
        raise ConfigError(
            f"demonstrations = {count}, but there are {len(examples)} examples; give more of them under "
            "[examples], or ask for fewer demonstrations"
        )
    chosen = rng.choice(len(examples), size=count, replace=False)
    return {"demonstrations": [{"input": examples[i].input, "output": examples[i].output} for i in chosen]}


def check_options(**options: float) -> None:
    """Refuse options that cannot work, by name."""
    for name, value in options.items():
        if name == "temperature" and not 0.0 <= value <= 2.0:
            raise ConfigError(f"temperature is {value!r}; it lies between 0 and 2")
        lowest = 0 if name in ("temperature", "demonstrations") else 1
        if value < lowest:
            raise ConfigError(f"{name} is {value!r}; it is at least {lowest}")
