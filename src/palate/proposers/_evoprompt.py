"""EvoPrompt: evolution of prompts, with a language model for crossover and mutation.

Genetic algorithm (GA). Population P of N prompts with fitness f. For each child:

1. select two parents by roulette wheel, p_i = f_i / sum_j f_j, with replacement;
2. cross them over and mutate the result, in one request of two steps;
3. survivors are the N fittest of parents and children.

Differential evolution (DE). For each prompt p_i of the population, with two distinct donors a, b ≠ p_i and
the best prompt so far:

1. find where a and b differ; 2. mutate the parts that differ; 3. put them into the best prompt in places;
4. cross the result over with p_i; the child takes the place of p_i if it is fitter.

Source: Guo et al., "Connecting large language models with evolutionary algorithms yields powerful prompt
optimizers", arXiv 2309.08532, sections 3.2 and 3.3, and its released code: N = 10, temperature 0.5.

What differs: nothing is measured. Fitness is the believed probability of beating the seed, which after new
votes is read anew: survivors are those that the belief puts ahead now, whether or not they were shown. Before
any vote all are equally fit. The wording of the requests is ours; like the published ones they show one
worked example. A child is asked for when a study wants one, not a whole generation at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from palate.proposers._draw import check_options, starting_prompt
from palate.proposers._written import ANSWER, Writer
from palate.types import Array, Candidate, Json, Known, Model

__all__ = ["EvoPromptDe", "EvoPromptGa"]

GA = (
    "Make a better prompt out of two, in two steps.\n"
    "Step 1, crossover: combine the two prompts into one that keeps what is good in each.\n"
    "Step 2, mutation: change the prompt of step 1 in some places, so that it asks for the same thing in a "
    f"new way. {ANSWER}\n\n"
    "An example. Prompt 1: Name the capital of the country. Prompt 2: Which city governs this state? Answer "
    "with one word.\n"
    "Step 1: Name the capital of the country with one word.\n"
    "Step 2: <prompt>Give, in a single word, the city from which this country is governed.</prompt>\n\n"
    "Now the two prompts to work on.\n{prompt 1}\n{prompt 2}\nStep 1:"
)
DE = (
    "Make a better prompt out of four, in four steps.\n"
    "Step 1: say which parts of prompt 1 and prompt 2 are different.\n"
    "Step 2, mutation: word each of these parts anew at random.\n"
    "Step 3, combination: put some of the new parts into prompt 3, in the place of parts that they fit.\n"
    "Step 4, crossover: combine the prompt of step 3 with the base prompt into the final one. "
    f"{ANSWER}\n\n"
    "An example. Prompt 1: Name the capital. Prompt 2: Name the seat of government, please. Prompt 3: Which "
    "town is the capital? Base prompt: Answer with one word.\n"
    'Step 1: "capital" and "seat of government, please".\n'
    'Step 2: "capital" becomes "first city"; "seat of government, please" becomes "where the rulers sit".\n'
    "Step 3: Which town is the first city?\n"
    "Step 4: <prompt>Say in one word which town is the first city.</prompt>\n\n"
    "Now the four prompts to work on.\n{prompt 1}\n{prompt 2}\n{prompt 3}\n{base prompt}\nStep 1:"
)
_DE_ORIGIN = "evoprompt-de"


@final
@dataclass(frozen=True, slots=True, eq=False)
class EvoPromptGa:
    """Makes prompts by crossover and mutation of two parents drawn by roulette wheel.

    Args:
        model: Who is asked.
        temperature: Of a draw, in [0, 2]; 0.5 as published.
        population: How many of the likeliest winners may be parents; 10 as published.
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 0.5
    population: int = 10
    max_tokens: int = 1024
    longest: int = 4000
    attempts: int = 4
    concurrency: int = 8
    writer: Writer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_options(population=self.population)
        object.__setattr__(self, "writer", Writer.of(self))

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates; see :class:`palate.types.Proposer`.

        Raises:
            ConfigError: There is no prompt to start from.
            BudgetError: A call could have exceeded the budget.
        """
        population = fittest(known, self.population)
        chance_P = roulette(population, known)

        async def draw(sample: int, own: np.random.Generator) -> Candidate | None:
            places = own.choice(len(population), size=2, replace=True, p=chance_P)
            parents = [population[int(place)] for place in places]
            texts = {"prompt 1": parents[0].text, "prompt 2": parents[1].text}
            text = await self.writer.write(GA, texts, parents, sample, own)
            return self.writer.candidate("evoprompt-ga", text, parents, {"attempt": sample}) if text else None

        return await self.writer.collect(draw, n, known=known, rng=rng)


@final
@dataclass(frozen=True, slots=True, eq=False)
class EvoPromptDe:
    """Makes prompts by differential evolution: what two donors differ in, put into the best, crossed.

    Args:
        model: Who is asked.
        temperature: Of a draw, in [0, 2]; 0.5 as published.
        population: How many places the population has; 10 as published.
        max_tokens: Upper bound on the tokens of an answer.
        longest: Most characters that a prompt may have.
        attempts: Draws allowed for each candidate that is wanted.
        concurrency: Draws under way at the same time.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 0.5
    population: int = 10
    max_tokens: int = 1024
    longest: int = 4000
    attempts: int = 4
    concurrency: int = 8
    writer: Writer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_options(population=self.population)
        object.__setattr__(self, "writer", Writer.of(self))

    async def propose(self, n: int, *, known: Known, rng: np.random.Generator) -> list[Candidate]:
        """Make up to ``n`` candidates, the places of the population taking turns as the base.

        Raises:
            ConfigError: There is no prompt to start from.
            BudgetError: A call could have exceeded the budget.
        """
        places = occupants(known, self.population)
        best = max(places, key=lambda candidate: fitness(candidate, known))

        async def draw(sample: int, own: np.random.Generator) -> Candidate | None:
            base = places[sample % len(places)]
            one, other = donors(places, base, own)
            parents = [base, one, other, best]
            labels = ("base prompt", "prompt 1", "prompt 2", "prompt 3")
            texts = {label: parent.text for label, parent in zip(labels, parents, strict=True)}
            text = await self.writer.write(DE, texts, parents, sample, own)
            detail: dict[str, Json] = {"attempt": sample, "base": base.id}
            return self.writer.candidate(_DE_ORIGIN, text, parents, detail) if text else None

        return await self.writer.collect(draw, n, known=known, rng=rng)


def fitness(candidate: Candidate, known: Known) -> float:
    """Believed probability of beating the seed, in [0, 1]; one half before any vote."""
    standing = known.standings.get(candidate.id)
    return 0.5 if standing is None else standing.mean


def fittest(known: Known, size: int) -> list[Candidate]:
    """The population: the ``size`` fittest that take part."""
    starting_prompt(known.existing, "evolution")
    return known.ranked()[:size]


def roulette(population: Sequence[Candidate], known: Known) -> Array:
    """Each one's share of the wheel, ``(P,)``, in proportion to its fitness."""
    fitness_P = np.array([fitness(candidate, known) for candidate in population])
    return fitness_P / fitness_P.sum() if fitness_P.sum() > 0 else np.full(len(fitness_P), 1 / len(fitness_P))


def occupants(known: Known, size: int) -> list[Candidate]:
    """Who holds the places of a DE population: each first holder, or the child that was fitter.

    The first holders are the ``size`` fittest that DE did not make. Children are weighed in the order of
    their making, each against whoever held its base's place before it.
    """
    first = [c for c in known.ranked() if c.lineage.origin != _DE_ORIGIN]
    starting_prompt(first, "evolution")
    places = first[:size]
    place_of = {candidate.id: place for place, candidate in enumerate(places)}
    for child in known.existing:
        place = place_of.get(str(child.lineage.detail.get("base")))
        if child.lineage.origin != _DE_ORIGIN or place is None or child.id not in known.standings:
            continue
        place_of[child.id] = place
        if fitness(child, known) > fitness(places[place], known):
            places[place] = child
    return places


def donors(
    places: Sequence[Candidate], base: Candidate, rng: np.random.Generator
) -> tuple[Candidate, Candidate]:
    """Two distinct others; with fewer than two of them, what there is, more than once."""
    others = [candidate for candidate in places if candidate.id != base.id] or [base]
    chosen = rng.choice(len(others), size=2, replace=len(others) < 2)
    return others[int(chosen[0])], others[int(chosen[1])]
