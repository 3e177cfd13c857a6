"""Held-out prediction of real human votes: how well each model foretells whom a person prefers.

    OMP_NUM_THREADS=1 python benchmarks/human_duels.py [--data ../shared/data] [--shufflings 10] [--write]

100 votes of people who compared two animations, described by five parameters; every animation was shown once,
so that only likeness in the parameters can help. Ten-fold cross-validation, repeated over shufflings of the
votes, the same folds for all models. Printed are the mean log-loss (nats; a coin has ln 2) and the accuracy,
and the difference in log-loss to BoTorch's PairwiseGP, paired by vote, with a 95 % interval over the votes
(each vote's loss is first averaged over the shufflings; training sets overlap, which no interval of
cross-validation accounts for).

The parameters have different units: they are standardised over the 200 animations, once and for all models,
which needs no vote. PairwiseGP and preferential-gp then scale them to the unit cube, as BoTorch advises.
Which of the two stood left is drawn with a fair coin. Every model gets its default options, none was tuned
here. PairwiseGP is asked for the posterior's chance Phi(mean / sqrt(2 + variance)), Palate's strategies for
``win_rate(i, j).mean``.

Column one of ``responses.txt`` is taken to be the winner: the authors' code hands the table to PairwiseGP as
it is, whose first column is the winner. The votes cannot tell: a model that treats both sides alike has the
same log-loss if all votes are turned round, which is checked on every model that is Palate's.

Data: Astudillo et al., "qEUBO", 2023 (MIT).
"""

import argparse
import os
import platform
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import norm, t

from palate.strategies import DEFAULT, duel_bandit

FOLDS = 10
REFERENCE = "BoTorch PairwiseGP, default fit"
STRATEGIES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "Bradley–Terry, linear in the features (`random`)": ("random", {}),
    "`preferential-gp`": ("preferential-gp", {}),
    "`preferential-gp`, `ard=true`": ("preferential-gp", {"ard": True}),
    "`gp-eubo`": ("gp-eubo", {}),
    f"Palate's `default` (`{DEFAULT}`)": ("default", {}),
}

Predict = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Standardised parameters ``(200, 5)`` and ``(100, 2)`` rows of winner and loser."""
    feature_ND = np.loadtxt(folder / "datapoints.txt")
    pair_M2 = np.loadtxt(folder / "responses.txt").astype(np.int64)
    return (feature_ND - feature_ND.mean(axis=0)) / feature_ND.std(axis=0), pair_M2


def coin(train_M2: np.ndarray, test_M2: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One half for everything."""
    return np.full(len(test_M2), 0.5)


def strategy(feature_ND: np.ndarray, name: str, options: dict[str, Any]) -> Predict:
    """A strategy's chance that the winner wins."""

    def predict(train_M2: np.ndarray, test_M2: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        bandit = duel_bandit(name, feature_ND, 0, **options)
        for winner, loser in train_M2.tolist():
            if rng.random() < 0.5:
                bandit.tell(winner, loser, "left")
            else:
                bandit.tell(loser, winner, "right")
        return np.array([bandit.win_rate(i, j).mean for i, j in test_M2.tolist()])

    return predict


def pairwise_gp(feature_ND: np.ndarray) -> Predict:
    """BoTorch's model, its likelihood, kernel and priors by default, fitted with ``fit_gpytorch_mll``."""
    try:
        import torch
        from botorch.fit import fit_gpytorch_mll
        from botorch.models.pairwise_gp import PairwiseGP, PairwiseLaplaceMarginalLogLikelihood
        from botorch.models.transforms import Normalize
    except ImportError:
        raise SystemExit("the peer needs BoTorch; run: pip install 'palate[peers]'") from None
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    point_ND = torch.tensor(feature_ND)
    bounds_2D = torch.stack([point_ND.min(dim=0).values, point_ND.max(dim=0).values])

    def predict(train_M2: np.ndarray, test_M2: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        # BoTorch perturbs its starting point with numpy's global generator.
        np.random.seed(int(rng.integers(2**31)))
        cube = Normalize(d=feature_ND.shape[1], bounds=bounds_2D)
        model = PairwiseGP(point_ND, torch.tensor(train_M2), input_transform=cube)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit_gpytorch_mll(PairwiseLaplaceMarginalLogLikelihood(model.likelihood, model))
            with torch.no_grad():
                posterior = model.posterior(point_ND[torch.tensor(test_M2)])
        mean_M2 = posterior.mean.numpy()[..., 0]
        covariance = posterior.covariance_matrix.numpy()
        variance_M = covariance[:, 0, 0] + covariance[:, 1, 1] - 2.0 * covariance[:, 0, 1]
        return norm.cdf((mean_M2[:, 0] - mean_M2[:, 1]) / np.sqrt(2.0 + variance_M))

    return predict


def cross_validate(predict: Predict, pair_M2: np.ndarray, shufflings: int) -> np.ndarray:
    """Chance given to what happened, for each vote while it was held out: ``(shufflings, M)``."""
    chance_SM = np.empty((shufflings, len(pair_M2)))
    for shuffling in range(shufflings):
        rng = np.random.default_rng(shuffling)
        fold_M = rng.permutation(len(pair_M2)) % FOLDS
        for fold in range(FOLDS):
            held_M = fold_M == fold
            chance_SM[shuffling, held_M] = predict(pair_M2[~held_M], pair_M2[held_M], rng)
    return chance_SM


def interval(value_M: np.ndarray) -> str:
    """Mean and half the width of its 95 % interval over the votes."""
    half = float(t.ppf(0.975, len(value_M) - 1) * value_M.std(ddof=1) / np.sqrt(len(value_M)))
    return f"{value_M.mean():+.4f} ± {half:.4f}"


def line(name: str, chance_SM: np.ndarray, reference_SM: np.ndarray, seconds: float) -> str:
    """One row of the table."""
    loss_SM = -np.log(chance_SM)
    right_SM = np.where(chance_SM == 0.5, 0.5, chance_SM > 0.5)
    paired = "–" if name == REFERENCE else interval((loss_SM + np.log(reference_SM)).mean(axis=0))
    return (
        f"| {name} | {loss_SM.mean():.4f} | {loss_SM.mean(axis=1).std(ddof=1):.4f} | {right_SM.mean():.3f} "
        f"| {interval(loss_SM.mean(axis=0) - np.log(2.0))} | {paired} | {1e3 * seconds:.0f} |"
    )


def check_symmetry(predict: Predict, pair_M2: np.ndarray) -> float:
    """Largest change of the held-out chances when all votes are turned round; zero but for rounding."""
    train_M2, test_M2 = pair_M2[10:], pair_M2[:10]
    here_M = predict(train_M2, test_M2, np.random.default_rng(0))
    there_M = predict(train_M2[:, ::-1], test_M2[:, ::-1], np.random.default_rng(0))
    return float(np.abs(here_M - there_M).max())


def table(feature_ND: np.ndarray, pair_M2: np.ndarray, shufflings: int) -> str:
    """Fit everything and write the table."""
    models: dict[str, Predict] = {"a coin": coin, REFERENCE: pairwise_gp(feature_ND)}
    models |= {label: strategy(feature_ND, *made) for label, made in STRATEGIES.items()}
    chances: dict[str, np.ndarray] = {}
    seconds: dict[str, float] = {}
    for name, predict in models.items():
        started = time.perf_counter()
        chances[name] = cross_validate(predict, pair_M2, shufflings)
        seconds[name] = (time.perf_counter() - started) / (shufflings * FOLDS)
    lines = [
        "| model | log-loss | s.d. over shufflings | accuracy | minus a coin's, ± 95 % | minus PairwiseGP's, "
        "paired, ± 95 % | ms a fit |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [line(name, chances[name], chances[REFERENCE], seconds[name]) for name in models]
    turned = max(check_symmetry(models[label], pair_M2) for label in STRATEGIES)
    lines += ["", f"Turning all votes round changes no chance of Palate's models by more than {turned:.0e}."]
    return "\n".join(lines)


def main() -> None:
    """Run, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--shufflings", type=int, default=10)
    parser.add_argument("--write", action="store_true", help="write results/human_duels.md")
    arguments = parser.parse_args()
    feature_ND, pair_M2 = load(arguments.data / "human_duels")
    import botorch

    text = (
        "# Real human votes, held out\n\n"
        f"{len(pair_M2)} votes on {len(feature_ND)} animations of {feature_ND.shape[1]} parameters, "
        f"{FOLDS} folds, {arguments.shufflings} shufflings. Log-loss in nats: less is better, a coin has "
        f"{np.log(2.0):.4f}.\nMachine: {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, BoTorch {botorch.__version__}; "
        f"1 thread; other work ran on the machine at the same time.\n"
        f"Command: `OMP_NUM_THREADS=1 python benchmarks/human_duels.py --shufflings {arguments.shufflings} "
        "--write`.\n\n" + table(feature_ND, pair_M2, arguments.shufflings) + "\n"
    )
    print(text)
    if arguments.write:
        (Path(__file__).parent / "results" / "human_duels.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
