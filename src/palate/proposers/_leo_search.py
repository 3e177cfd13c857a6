"""LEO on numbers: minimise a loss over a box with a language model as the operator of variation.

Each round shows a model the explore pool with its losses and asks for N scattered points, and shows it the
best point of the exploit pool and asks for N points close by (:mod:`palate.proposers._leo_prompts`), both at
the same time. Coordinates are shown with a little noise, so that the model does not echo them. Rows that
cannot be read fall back to the pool (:mod:`palate.proposers._leo_rows`). The 2 N points are evaluated, and
the pools advance (:mod:`palate.proposers._leo_pools`). After R rounds N (1 + 2 R) points were evaluated.

Source: Brahmachary et al., "Large language model-based evolutionary optimizer: Reasoning with elitism",
arXiv 2403.02054 (Neurocomputing 622, 2025), section 2.2, algorithm 1, tables 7 and 8. Population 10 and 30
rounds are the paper's. How many points are ported (1), the temperature (0.7) and the size of the noise (1e-4
of a variable's range) are those of a public re-implementation, since the paper does not say. The wording of
the prompts is ours.

Left out: the search along a single trajectory of section 2.1, which the paper shows to fail.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple, final

import numpy as np

from palate.errors import ConfigError, InputError
from palate.proposers._draw import ask, check_options
from palate.proposers._leo_pools import Pools, advance, best, make_pool
from palate.proposers._leo_prompts import exploit_prompt, explore_prompt
from palate.proposers._leo_rows import Box, Offspring, Tally, read_rows
from palate.types import Array, Model

__all__ = ["Asked", "LeoRun", "LeoSearch", "LeoState", "Loss", "evaluate"]

Loss = Callable[[Array], "Array | Awaitable[Array]"]
"""``loss(x_MD)`` returns one number a row, lower is better, at once or when awaited."""

_TOKENS_A_NUMBER = 12  # a sign, a digit or two, the point, six decimals, a comma, a space


@dataclass(frozen=True, slots=True, eq=False)
class LeoState:
    """Where a search stands: its pools, rounds done, points evaluated, and what became of the rows."""

    pools: Pools
    rounds: int = 0
    evaluations: int = 0
    tally: Tally = field(default_factory=Tally)

    @property
    def x_D(self) -> Array:
        """The best point, ``(D,)``."""
        return best(self.pools)[0]

    @property
    def loss(self) -> float:
        """Its loss."""
        return best(self.pools)[1]


class Asked(NamedTuple):
    """The points of one round, N of each pool."""

    explore: Offspring
    exploit: Offspring

    @property
    def x_MD(self) -> Array:
        """All of them, explore first."""
        return np.concatenate([self.explore.x_ND, self.exploit.x_ND])


class LeoRun(NamedTuple):
    """A finished search: best point, its loss, the best loss before and after each round, and the state."""

    x_D: Array
    loss: float
    loss_R: Array
    state: LeoState


@final
@dataclass(frozen=True, slots=True)
class LeoSearch:
    r"""The search as a value; its state is passed in and handed back.

    Args:
        box: The variables and their bounds.
        population: N, the size of either pool.
        port: Best explore points that overwrite the worst exploit points in each round, in [0, N].
        jitter: Size of the noise in the points that are shown, as a share of each variable's range.
        temperature: Of the model, in [0, 2]. It does not change from explore to exploit.
        context: Show the pools to the model. Without, it is the ablation LEO-Rnd: the model draws points and
            only the pools select.
        max_tokens: Upper bound on the tokens of an answer; by default enough for the rows.

    Raises:
        ConfigError: An option is out of its range.

    Example:
        >>> import asyncio, numpy as np
        >>> from palate.models import ScriptedModel
        >>> model = ScriptedModel("0.5, 0.25\n0.1, 0.2", repeat=True)
        >>> search = LeoSearch(Box((0, 0), (1, 1)), population=2)
        >>> sphere = lambda x_MD: (x_MD**2).sum(axis=1)
        >>> run = asyncio.run(search.run(sphere, model, rounds=3, rng=np.random.default_rng(0)))
        >>> run.loss <= 0.05, run.state.evaluations
        (True, 14)
    """

    box: Box
    population: int = 10
    port: int = 1
    jitter: float = 1e-4
    temperature: float = 0.7
    context: bool = True
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        check_options(
            population=self.population,
            temperature=self.temperature,
            max_tokens=1 if self.max_tokens is None else self.max_tokens,
        )
        if not 0 <= self.port <= self.population:
            raise ConfigError(
                f"port is {self.port!r}; it lies between 0 and the population, {self.population}"
            )
        if not 0.0 <= self.jitter < 1.0:
            raise ConfigError(f"jitter is {self.jitter!r}; it is a share of a range, in [0, 1)")

    def start(self, x_ND: Array, loss_N: Array) -> LeoState:
        """Begin from evaluated points, which fill both pools.

        Raises:
            InputError: They are not ``population`` points inside the box with one loss each.
        """
        points_ND = self.box.check(x_ND)
        if len(points_ND) != self.population:
            raise InputError(f"{len(points_ND)} points to start from; the population is {self.population}")
        pool = make_pool(points_ND, loss_N)
        return LeoState(Pools(pool, pool), evaluations=self.population)

    async def ask(self, state: LeoState, model: Model, rng: np.random.Generator) -> Asked:
        """Let the model make the points of one round, by two requests at the same time.

        Raises:
            ModelError: The model could not be asked.
            BudgetError: A call could have exceeded the budget.
        """
        explore, exploit = state.pools
        count = self.population
        wide_ND = self.box.jittered(explore.x_ND, self.jitter, rng)
        near_ND = self.box.jittered(exploit.x_ND[:1], self.jitter, rng)
        prompts = (
            explore_prompt(self.box, wide_ND, explore.loss_N, count, context=self.context),
            exploit_prompt(self.box, near_ND[0], float(exploit.loss_N[0]), count, context=self.context),
        )
        columns = len(self.box.names)
        requests = [
            ask(
                prompt,
                model,
                temperature=self.temperature,
                max_tokens=self.max_tokens or count * columns * _TOKENS_A_NUMBER,
                sample=2 * state.rounds + which,
                rng=rng,
            )
            for which, prompt in enumerate(prompts)
        ]
        answers = await asyncio.gather(*(model.generate(request) for request in requests))
        made = [
            self.box.offspring(read_rows(answer.text, columns), pool.x_ND)
            for answer, pool in zip(answers, state.pools, strict=True)
        ]
        return Asked(*made)

    def tell(self, state: LeoState, asked: Asked, loss_M: Array) -> LeoState:
        """Advance the pools by a round's points and their losses, in the order of :attr:`Asked.x_MD`.

        Raises:
            InputError: There are not as many losses as points, or one is not a number.
        """
        if len(loss_M) != 2 * self.population:
            raise InputError(f"{len(loss_M)} losses for {2 * self.population} points; give one a point")
        explored = make_pool(asked.explore.x_ND, loss_M[: self.population])
        exploited = make_pool(asked.exploit.x_ND, loss_M[self.population :])
        return replace(
            state,
            pools=advance(state.pools, explored, exploited, port=self.port),
            rounds=state.rounds + 1,
            evaluations=state.evaluations + 2 * self.population,
            tally=state.tally.plus(asked.explore.tally, asked.exploit.tally),
        )

    async def run(self, loss: Loss, model: Model, *, rounds: int = 30, rng: np.random.Generator) -> LeoRun:
        """Draw the first points uniformly, then ask, evaluate and tell ``rounds`` times.

        Args:
            loss: One number a row, lower is better; ``inf`` for a point that could not be evaluated.
            model: Who makes the points.
            rounds: How often; the paper has 30 for two variables and 100 for many.
            rng: Draws the first points, the noise and the requests' seeds.

        Raises:
            InputError: A loss is not a number.
            ModelError: The model could not be asked.
            BudgetError: A call could have exceeded the budget.
        """
        first_ND = self.box.sample(self.population, rng)
        state = self.start(first_ND, await evaluate(loss, first_ND))
        losses = [state.loss]
        for _ in range(rounds):
            asked = await self.ask(state, model, rng)
            state = self.tell(state, asked, await evaluate(loss, asked.x_MD))
            losses.append(state.loss)
        return LeoRun(state.x_D, state.loss, np.array(losses), state)


async def evaluate(loss: Loss, x_MD: Array) -> Array:
    """Ask for the losses of points, whether they come at once or later."""
    found = loss(x_MD)
    return np.asarray(await found if inspect.isawaitable(found) else found, dtype=np.float64)
