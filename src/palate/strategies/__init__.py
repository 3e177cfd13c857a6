"""Which two to compare next, what to believe of the candidates, and when to stop."""

from palate.strategies._apohf import Apohf, apohf
from palate.strategies._apohf_released import apohf_released
from palate.strategies._bandit import DEFAULT, DuelBandit, duel_bandit
from palate.strategies._gp_eubo import GpEubo, gp_eubo
from palate.strategies._protocol import History, Pair, Pool, Strategy
from palate.strategies._random_memoryless import RandomMemoryless, random_memoryless
from palate.strategies._random_pairs import RandomPairs, random_pairs
from palate.strategies._stopping import expected_gain, stop_advice

__all__ = [
    "DEFAULT",
    "Apohf",
    "DuelBandit",
    "GpEubo",
    "History",
    "Pair",
    "Pool",
    "RandomMemoryless",
    "RandomPairs",
    "Strategy",
    "apohf",
    "apohf_released",
    "duel_bandit",
    "expected_gain",
    "gp_eubo",
    "random_memoryless",
    "random_pairs",
    "stop_advice",
]
