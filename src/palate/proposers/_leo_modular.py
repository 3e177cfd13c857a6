"""LEO-modular: several losses at once, NSGA-II with a language model instead of crossover and mutation.

Each round, for a population of N points with losses f in R^K:

1. parents: pairs of winners of binary tournaments, by front and then by crowding distance;
2. each pair is shown to the model with its losses; in turns it is asked for two points close by (in place of
   crossover) and for two points far away (in place of mutation), until there are N new points;
3. the best N of old and new points stay, front by front, the last front by crowding distance.

After R rounds N (1 + R) points were evaluated.

Source: Brahmachary et al., arXiv 2403.02054, section 3.2 and table 9; the survival and the tournament are
those of Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", IEEE TEC 6(2), 2002,
sections III.A and III.B. The paper does not say in which proportion the two prompts are used; here they take
turns. Answers that cannot be read fall back to the parents. The wording of the prompts is ours.
"""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from palate.errors import ConfigError, InputError
from palate.proposers._draw import ask, check_options
from palate.proposers._leo_prompts import pair_prompt
from palate.proposers._leo_rows import Box, Offspring, Tally, read_rows
from palate.proposers._leo_search import Loss, evaluate
from palate.types import Array, Model

__all__ = ["LeoModular", "ModularState", "crowding", "fronts", "hypervolume", "nondominated"]

_LEAST = 4  # two tournaments of two
_TOKENS_A_NUMBER = 12


class ModularState(NamedTuple):
    """Where a search stands: points ``(N, D)``, losses ``(N, K)``, rounds, evaluations, tally of rows."""

    x_ND: Array
    loss_NK: Array
    rounds: int = 0
    evaluations: int = 0
    tally: Tally = Tally()


@final
@dataclass(frozen=True, slots=True)
class LeoModular:
    """The search as a value; its state is passed in and handed back.

    Args:
        box: The variables and their bounds.
        population: N, at least 4.
        jitter: Size of the noise in the points that are shown, as a share of each variable's range.
        temperature: Of the model, in [0, 2].
        max_tokens: Upper bound on the tokens of an answer; by default enough for two rows.

    Raises:
        ConfigError: An option is out of its range.
    """

    box: Box
    population: int = 10
    jitter: float = 1e-4
    temperature: float = 0.7
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        check_options(
            temperature=self.temperature, max_tokens=1 if self.max_tokens is None else self.max_tokens
        )
        if self.population < _LEAST:
            raise ConfigError(f"population is {self.population!r}; it is at least {_LEAST}")
        if not 0.0 <= self.jitter < 1.0:
            raise ConfigError(f"jitter is {self.jitter!r}; it is a share of a range, in [0, 1)")

    def start(self, x_ND: Array, loss_NK: Array) -> ModularState:
        """Begin from evaluated points.

        Raises:
            InputError: They are not ``population`` points inside the box with a row of losses each.
        """
        points_ND = self.box.check(x_ND)
        if len(points_ND) != self.population:
            raise InputError(f"{len(points_ND)} points to start from; the population is {self.population}")
        return ModularState(points_ND, _checked(loss_NK, self.population), evaluations=self.population)

    async def ask(self, state: ModularState, model: Model, rng: np.random.Generator) -> Offspring:
        """Let the model make N points from pairs of parents, all requests at the same time.

        Raises:
            ModelError: The model could not be asked.
            BudgetError: A call could have exceeded the budget.
        """
        pairs = -(-self.population // 2)
        parents = [_parents(state.loss_NK, rng) for _ in range(pairs)]
        columns = len(self.box.names)
        requests = [
            ask(
                pair_prompt(
                    self.box,
                    self.box.jittered(state.x_ND[pair], self.jitter, rng),
                    state.loss_NK[pair],
                    explore=turn % 2 == 1,
                ),
                model,
                temperature=self.temperature,
                max_tokens=self.max_tokens or 2 * columns * _TOKENS_A_NUMBER,
                sample=pairs * state.rounds + turn,
                rng=rng,
            )
            for turn, pair in enumerate(parents)
        ]
        answers = await asyncio.gather(*(model.generate(request) for request in requests))
        made = [
            self.box.offspring(_read_pair(answer.text, columns), state.x_ND[pair])
            for answer, pair in zip(answers, parents, strict=True)
        ]
        return Offspring(
            np.concatenate([pair.x_ND for pair in made])[: self.population],
            np.concatenate([pair.fell_back_N for pair in made])[: self.population],
            Tally().plus(*(pair.tally for pair in made)),
        )

    def tell(self, state: ModularState, asked: Offspring, loss_NK: Array) -> ModularState:
        """Keep the best N of old and new points.

        Raises:
            InputError: There are not as many rows of losses as points, or one is not a number.
        """
        x_MD = np.concatenate([state.x_ND, asked.x_ND])
        loss_MK = np.concatenate([state.loss_NK, _checked(loss_NK, self.population, state.loss_NK.shape[1])])
        stay = _survivors(loss_MK, self.population)
        return ModularState(
            x_MD[stay],
            loss_MK[stay],
            state.rounds + 1,
            state.evaluations + self.population,
            state.tally.plus(asked.tally),
        )

    async def run(
        self, loss: Loss, model: Model, *, rounds: int = 40, rng: np.random.Generator
    ) -> ModularState:
        """Draw the first points uniformly, then ask, evaluate and tell ``rounds`` times.

        Args:
            loss: ``loss(x_MD)`` returns ``(M, K)``, lower is better in every column.
            model: Who makes the points.
            rounds: How often; the paper has 40.
            rng: Draws the first points, the tournaments, the noise and the requests' seeds.
        """
        first_ND = self.box.sample(self.population, rng)
        state = self.start(first_ND, await evaluate(loss, first_ND))
        for _ in range(rounds):
            asked = await self.ask(state, model, rng)
            state = self.tell(state, asked, await evaluate(loss, asked.x_ND))
        return state


def nondominated(loss_NK: Array) -> NDArray[np.bool_]:
    """Which points are not dominated; ``a`` dominates ``b`` if it is nowhere worse and somewhere better."""
    nowhere_NN = np.all(loss_NK[:, None] >= loss_NK[None], axis=2)
    somewhere_NN = np.any(loss_NK[:, None] > loss_NK[None], axis=2)
    return ~np.any(nowhere_NN & somewhere_NN, axis=1)


def fronts(loss_NK: Array) -> NDArray[np.int64]:
    """Number of each point's front: 0 is not dominated, 1 is once front 0 is taken away, and so on."""
    front_N = np.full(len(loss_NK), -1)
    number = 0
    while (left := np.flatnonzero(front_N < 0)).size:
        front_N[left[nondominated(loss_NK[left])]] = number
        number += 1
    return front_N


def crowding(loss_NK: Array) -> Array:
    """Crowding distance within one front: the sum over losses of the gap between a point's two neighbours.

    Gaps are shares of the loss's range in the front; the ends of each loss are infinitely far from others.
    """
    distance_N = np.zeros(len(loss_NK))
    for loss_N in loss_NK.T:
        order_N = np.argsort(loss_N, kind="stable")
        sorted_N = loss_N[order_N]
        distance_N[order_N[[0, -1]]] = np.inf
        span = sorted_N[-1] - sorted_N[0]
        if span > 0:
            distance_N[order_N[1:-1]] += (sorted_N[2:] - sorted_N[:-2]) / span
    return distance_N


def hypervolume(loss_N2: Array, reference: tuple[float, float]) -> float:
    """Area that points with two losses dominate, up to a reference point; larger is better.

    Example:
        >>> hypervolume(np.array([[0.0, 0.5], [0.5, 0.0], [0.75, 0.75]]), (1.0, 1.0))
        0.75

    References:
        Zitzler and Thiele, "Multiobjective evolutionary algorithms", IEEE TEC 3(4), 1999.
    """
    inside_N2 = loss_N2[(loss_N2 < np.array(reference)).all(axis=1)]
    area, ceiling = 0.0, reference[1]
    for first, second in inside_N2[np.lexsort((inside_N2[:, 1], inside_N2[:, 0]))]:
        if second < ceiling:
            area += (reference[0] - first) * (ceiling - second)
            ceiling = second
    return float(area)


def _parents(loss_NK: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    front_N, distance_N = _standing(loss_NK)
    drawn = rng.choice(len(loss_NK), size=_LEAST, replace=False)
    return np.array([_winner(a, b, front_N, distance_N) for a, b in (drawn[:2], drawn[2:])])


def _winner(a: int, b: int, front_N: NDArray[np.int64], distance_N: Array) -> int:
    better = (front_N[b], -distance_N[b]) < (front_N[a], -distance_N[a])
    return b if better else a


def _standing(loss_NK: Array) -> tuple[NDArray[np.int64], Array]:
    front_N = fronts(loss_NK)
    distance_N = np.zeros(len(loss_NK))
    for number in range(int(front_N.max()) + 1):
        members = np.flatnonzero(front_N == number)
        distance_N[members] = crowding(loss_NK[members])
    return front_N, distance_N


def _survivors(loss_MK: Array, size: int) -> NDArray[np.int64]:
    front_M, distance_M = _standing(loss_MK)
    return np.lexsort((-distance_M, front_M))[:size]


def _read_pair(answer: str, columns: int) -> list[tuple[float, ...] | None]:
    rows = read_rows(answer, columns)
    if any(row is not None for row in rows):
        return rows
    # The paper asks for both points as one list of numbers.
    joined = next((row for row in read_rows(answer, 2 * columns) if row is not None), None)
    return [None, None] if joined is None else [joined[:columns], joined[columns:]]


def _checked(loss_NK: Array, count: int, width: int | None = None) -> Array:
    losses_NK = np.asarray(loss_NK, dtype=np.float64)
    right = losses_NK.ndim == 2 and len(losses_NK) == count and width in (None, losses_NK.shape[1])
    if not right or not np.isfinite(losses_NK).all():
        raise InputError(
            f"losses of shape {losses_NK.shape} for {count} points; give one row of finite losses a point"
        )
    return losses_NK
