"""Functions whose minima are known, for the benchmark of LEO.

Rosenbrock, Beale, Himmelblau and Goldstein-Price in two dimensions have the bounds of table 2 of Brahmachary
et al., arXiv 2403.02054. Rastrigin and Ackley, and everything in ten dimensions, are moved by 0.2913 in each
variable, as the paper does in its equation (2), because a language model likes to write 0 and 1 and some
optimisers start in the middle. ZDT1 is Zitzler, Deb and Thiele's, with two variables as in the paper.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SHIFT = 0.2913
REFERENCE = (1.1, 1.1)
ZDT1_AREA = 0.11 + 2 / 3 + 0.1  # of the whole front up to the reference: left of it, and above 1 - sqrt(f1)


@dataclass(frozen=True)
class Problem:
    """A function of rows ``(M, D)``, its box, where one of its minima lies, and how low it is."""

    name: str
    function: Callable
    low: tuple[float, ...]
    high: tuple[float, ...]
    minimiser: tuple[float, ...]
    minimum: float = 0.0
    rounds: int = 30

    def gap(self, x_MD):
        """Value less the minimum."""
        return self.function(x_MD) - self.minimum


def rosenbrock(x_MD):
    return (100 * (x_MD[:, 1:] - x_MD[:, :-1] ** 2) ** 2 + (1 - x_MD[:, :-1]) ** 2).sum(axis=1)


def rastrigin(x_MD):
    return 10 * x_MD.shape[1] + (x_MD**2 - 10 * np.cos(2 * np.pi * x_MD)).sum(axis=1)


def ackley(x_MD):
    spread_M = np.sqrt((x_MD**2).mean(axis=1))
    return -20 * np.exp(-0.2 * spread_M) - np.exp(np.cos(2 * np.pi * x_MD).mean(axis=1)) + 20 + np.e


def beale(x_MD):
    x, y = x_MD.T
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def himmelblau(x_MD):
    x, y = x_MD.T
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def goldstein_price(x_MD):
    x, y = x_MD.T
    first = 1 + (x + y + 1) ** 2 * (19 - 14 * x + 3 * x**2 - 14 * y + 6 * x * y + 3 * y**2)
    second = 30 + (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x**2 + 48 * y - 36 * x * y + 27 * y**2)
    return first * second


def zdt1(x_MD):
    first_M = x_MD[:, 0]
    g_M = 1 + 9 * x_MD[:, 1:].mean(axis=1)
    return np.stack([first_M, g_M * (1 - np.sqrt(first_M / g_M))], axis=1)


def moved(function):
    """The function with its minimum 0.2913 further along each variable."""
    return lambda x_MD: function(x_MD - SHIFT)


def problems() -> list[Problem]:
    """The eight problems with one loss."""
    two, ten = 2, 10
    return [
        Problem("Rosenbrock 2-D", rosenbrock, (0,) * two, (2,) * two, (1,) * two),
        Problem("Rastrigin 2-D", moved(rastrigin), (-5.12,) * two, (5.12,) * two, (SHIFT,) * two),
        Problem("Ackley 2-D", moved(ackley), (-32.768,) * two, (32.768,) * two, (SHIFT,) * two),
        Problem("Beale 2-D", beale, (0,) * two, (5,) * two, (3, 0.5)),
        Problem("Himmelblau 2-D", himmelblau, (-4,) * two, (4,) * two, (3, 2)),
        Problem("Goldstein-Price 2-D", goldstein_price, (-2,) * two, (2,) * two, (0, -1), 3.0),
        Problem(
            "Rosenbrock 10-D",
            moved(rosenbrock),
            (-2.048,) * ten,
            (2.048,) * ten,
            (1 + SHIFT,) * ten,
            0.0,
            100,
        ),
        Problem("Rastrigin 10-D", moved(rastrigin), (-5.12,) * ten, (5.12,) * ten, (SHIFT,) * ten, 0.0, 100),
    ]
