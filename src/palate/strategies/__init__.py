"""Which two to compare next, what to believe of the candidates, and when to stop."""

from palate.strategies._apohf import Apohf, apohf
from palate.strategies._apohf_released import apohf_released
from palate.strategies._bandit import DEFAULT, DuelBandit, duel_bandit
from palate.strategies._double_ts import DoubleTs, double_ts
from palate.strategies._ensemble_ts import EnsembleTs, ensemble_ts
from palate.strategies._gp_eubo import GpEubo, gp_eubo
from palate.strategies._growing import Exploring, exploring, with_children, worth_of_growing
from palate.strategies._linear_duel import LinearDuel, linear_ucb
from palate.strategies._linear_released import LinearReleased, linear_released
from palate.strategies._neural_duel import NeuralDuel, ndb_ts, ndb_ucb
from palate.strategies._palate import Palate, palate
from palate.strategies._pdo import Pdo, pdo
from palate.strategies._preferential_gp import (
    PreferentialGp,
    preferential_gp,
    preferential_gp_bald,
    preferential_gp_qeubo,
    preferential_gp_thompson,
)
from palate.strategies._protocol import History, Pair, Pool, Strategy
from palate.strategies._random_memoryless import RandomMemoryless, random_memoryless
from palate.strategies._random_pairs import RandomPairs, random_pairs
from palate.strategies._stopping import HeldOut, Outlook, expected_gain, outlook, stop_advice

__all__ = [
    "DEFAULT",
    "Apohf",
    "DoubleTs",
    "DuelBandit",
    "EnsembleTs",
    "Exploring",
    "GpEubo",
    "HeldOut",
    "History",
    "LinearDuel",
    "LinearReleased",
    "NeuralDuel",
    "Outlook",
    "Pair",
    "Palate",
    "Pdo",
    "Pool",
    "PreferentialGp",
    "RandomMemoryless",
    "RandomPairs",
    "Strategy",
    "apohf",
    "apohf_released",
    "double_ts",
    "duel_bandit",
    "ensemble_ts",
    "expected_gain",
    "exploring",
    "gp_eubo",
    "linear_released",
    "linear_ucb",
    "ndb_ts",
    "ndb_ucb",
    "outlook",
    "palate",
    "pdo",
    "preferential_gp",
    "preferential_gp_bald",
    "preferential_gp_qeubo",
    "preferential_gp_thompson",
    "random_memoryless",
    "random_pairs",
    "stop_advice",
    "with_children",
    "worth_of_growing",
]
