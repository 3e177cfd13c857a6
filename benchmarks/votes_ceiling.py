"""How far any learner could come with these votes: ``python benchmarks/votes_ceiling.py [--write]``.

Three rows a slope, on the prompts of the tasks for development (see votes_needed.py), share of the way from
the average to the best candidate after so many votes:

    real       the default on the real accuracies
    own        the default on utilities drawn from its own prior over the same prompts, so that everything
               it believes beforehand is true: nobody could know better which prompts are alike
    scores     in place of each vote a noisy score of one candidate that tells as much as a vote between two
               equal ones (Fisher information slope^2 / 4, so noise of 2 / slope spreads), on the real
               accuracies, same prior; scored is whichever has the largest mean plus two deviations

What lies between the first two is what a better model of prompts could win; what the second lacks of one is
what so few votes do not tell this learner although it is right in all that it assumes.
"""

import argparse
import multiprocessing
import os
import platform
from functools import cache
from pathlib import Path

import numpy as np
from _prompt_tables import features, load_tables, split, usable_models

from palate.strategies import duel_bandit
from palate.strategies._prior import Mixture, make_prior

POINTS = (5, 10, 25, 50, 100)


@cache
def _prior(task: str) -> tuple[np.ndarray, np.ndarray]:
    """Features of a task's prompts and what is believed of them beforehand."""
    feature_ND = features(load_tables()[task]["templates"])
    return feature_ND, make_prior(feature_ND, Mixture()).rows(np.arange(len(feature_ND)))


def _standard(value_N: np.ndarray) -> np.ndarray:
    return (value_N - value_N.mean()) / value_N.std()


def by_votes(task: str, utility_N: np.ndarray, slope: float, seed: int) -> list[float]:
    """The default's report after every vote, as a share of the way."""
    bandit = duel_bandit("default", _prior(task)[0], seed)
    rng = np.random.default_rng([seed, 1])
    curve = []
    for _ in range(POINTS[-1]):
        pair = np.array(bandit.ask())
        left, right = (int(row) for row in (pair if rng.random() < 0.5 else pair[::-1]))
        chance = 1.0 / (1.0 + np.exp(-slope * (utility_N[left] - utility_N[right])))
        bandit.tell(left, right, "left" if rng.random() < chance else "right")
        curve.append(float(utility_N[bandit.best()] / utility_N.max()))
    return curve


def by_scores(task: str, utility_N: np.ndarray, slope: float, seed: int) -> list[float]:
    """The report of a Gaussian process after every noisy score, as a share of the way."""
    covariance_NN = _prior(task)[1].copy()
    mean_N, noise = np.zeros(len(covariance_NN)), 2.0 / slope
    rng = np.random.default_rng([seed, 2])
    curve = []
    for turn in range(POINTS[-1]):
        upper_N = mean_N + 2.0 * np.sqrt(np.maximum(np.diag(covariance_NN), 0.0))
        row = int(upper_N.argmax()) if turn else int(rng.integers(len(mean_N)))
        gain_N = covariance_NN[row] / (covariance_NN[row, row] + noise**2)
        score = utility_N[row] + noise * rng.standard_normal()
        mean_N = mean_N + gain_N * (score - mean_N[row])
        covariance_NN = covariance_NN - np.outer(gain_N, covariance_NN[row])
        curve.append(float(utility_N[mean_N.argmax()] / utility_N.max()))
    return curve


def play(unit: tuple[str, str, str, float, int]) -> tuple[tuple[float, str], list[float]]:
    """One study of a row."""
    row, task, model, slope, seed = unit
    if row == "own":
        value_E, vector_EE = np.linalg.eigh(_prior(task)[1])
        draw_E = np.random.default_rng([seed, 3]).standard_normal(len(value_E))
        utility_N = _standard(vector_EE @ (np.sqrt(np.maximum(value_E, 0.0)) * draw_E))
    else:
        utility_N = _standard(np.array(load_tables()[task]["accuracy"][model]))
    return (slope, row), (by_scores if row == "scores" else by_votes)(task, utility_N, slope, seed)


def units(seeds: int) -> list[tuple[str, str, str, float, int]]:
    """As many studies a row, one model a seed in turn."""
    tables = load_tables()
    found = []
    for seed in range(seeds):
        for task in split(list(tables), "develop"):
            models = usable_models(tables[task])
            model = models[seed % len(models)]
            found += [
                (row, task, model, slope, seed) for slope in (2.0, 10.0) for row in ("real", "own", "scores")
            ]
    return found


def main() -> None:
    """Play and print, and write if asked."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(chosen.jobs) as pool:
        played = pool.map(play, units(chosen.seeds), chunksize=4)
    lines = [
        "# What so few votes can tell", "",
        f"`python benchmarks/votes_ceiling.py --seeds {chosen.seeds}`", "",
        f"Python {platform.python_version()}, {platform.system()}. Share of the way from the average to the "
        "best candidate, mean ± standard error; the rows are explained in the script.", "",
        "| slope | row | " + " | ".join(map(str, POINTS)) + " | studies |",
        "|--:|---|" + "--:|" * (len(POINTS) + 1),
    ]  # fmt: skip
    for slope, row in dict.fromkeys(cell for cell, _ in played):
        curve_SV = np.array([curve for cell, curve in played if cell == (slope, row)])
        error_V = curve_SV.std(axis=0, ddof=1) / np.sqrt(len(curve_SV))
        shown = [f"{curve_SV[:, v - 1].mean():.3f} ± {error_V[v - 1]:.3f}" for v in POINTS]
        lines.append(f"| {slope:g} | {row} | {' | '.join(shown)} | {len(curve_SV)} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.write:
        (Path(__file__).parent / "results" / "votes_ceiling.md").write_text(text)


if __name__ == "__main__":
    main()
