"""Problems of the votes-needed benchmark: real prompts whose accuracies are known, and simulated raters.

Source of the tables: Mizrahi et al., "State of What Art?", arXiv 2401.00595 (CDLA-Permissive-2.0):
instruction templates of 15 tasks and the accuracy of each on 11 or 16 models over 100 samples.
"""

import asyncio
import gzip
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from palate.models import wordllama_model
from palate.wording import beside_embedding

TABLES = Path(__file__).parents[2] / "shared" / "data" / "prompt_accuracy" / "tables.json.gz"
LEAST_SPREAD = 0.03  # a model on which the prompts hardly differ poses no problem
CONDITIONS = ("clean", "ties", "side", "random", "raters")
SLOPES = ("1", "2", "10", "raw")
RELIABILITY = (1.5, 1.0, 0.25)  # slopes of the three raters, in shares of the study's


def load_tables(path: Path = TABLES) -> dict:
    """All tables by task."""
    if not path.is_file():
        raise SystemExit(f"{path} is not there; the benchmark needs the prompt tables")
    with gzip.open(path) as file:
        return json.load(file)


def split(names: list[str], part: str) -> list[str]:
    """Every second task, in alphabetical order, is for development; the others confirm."""
    ordered = sorted(names)
    return {"develop": ordered[0::2], "confirm": ordered[1::2], "all": ordered}[part]


def features(templates: list[str], kind: str = "wording") -> np.ndarray:
    """What every strategy sees of the prompts: the default embedding, with wording beside it or alone."""
    embedding_ND = np.array(asyncio.run(wordllama_model().embed(templates)))
    return beside_embedding(embedding_ND, templates) if kind == "wording" else embedding_ND


def pool_rows(table: dict, pool: str) -> np.ndarray:
    """Rows of the prompts that take part: all, or those that still mean what the task does (*correct*)."""
    return np.flatnonzero(table["correct"]) if pool == "correct" else np.arange(len(table["templates"]))


def usable_models(table: dict, pool: str = "all") -> list[str]:
    """Models on which the prompts differ, in the table's order."""
    rows = pool_rows(table, pool)
    return [
        m for m, accuracy in table["accuracy"].items() if np.std(np.array(accuracy)[rows]) >= LEAST_SPREAD
    ]


@dataclass(frozen=True)
class Unit:
    """One simulated study."""

    strategy: str
    task: str
    model: str
    slope: str
    condition: str
    seed: int
    votes: int
    kind: str
    pool: str = "all"

    @property
    def key(self) -> str:
        """Names it in the cache."""
        return "|".join(map(str, vars(self).values()))


class Rater:
    """Votes on one problem; the same unit gives the same votes to the same questions in the same order."""

    def __init__(self, unit: Unit, utility_N: np.ndarray) -> None:
        spread = 1.0 if unit.slope == "raw" else float(utility_N.std())
        slope = 1.0 if unit.slope == "raw" else float(unit.slope)
        self.log_odds_N = slope * utility_N / spread
        self.condition = unit.condition
        tag = zlib.crc32(f"{unit.task}|{unit.model}|{unit.slope}|{unit.condition}".encode())
        self.rng = np.random.default_rng([unit.seed, tag])

    def __call__(self, left: int, right: int) -> tuple[str, str]:
        """A verdict and who said it."""
        gap = float(self.log_odds_N[left] - self.log_odds_N[right])
        who = int(self.rng.integers(3)) if self.condition == "raters" else 0
        if self.condition == "raters":
            gap *= RELIABILITY[who]
        if self.condition == "side":
            gap += 0.3
        if self.condition == "random" and self.rng.random() < 0.2:
            gap = 0.0
        # Davidson's model with nu = 1: equals are called a tie one time in three.
        tie = 1.0 / (1.0 + 2.0 * np.cosh(gap / 2.0)) if self.condition == "ties" else 0.0
        draw = self.rng.random()
        if draw < tie:
            return "tie", f"rater {who}"
        won = (draw - tie) / (1.0 - tie) < 1.0 / (1.0 + np.exp(-gap))
        return ("left" if won else "right"), f"rater {who}"
