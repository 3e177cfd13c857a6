"""Contract suites for plug-in authors: subclass one, give its fixtures, run pytest."""

from palate.testing._faults import Fault, FaultReport, FaultyDisk, fault_storm
from palate.testing._judges import JudgeContract, sample_duels
from palate.testing._leases import LeaseReport, simulate_leases
from palate.testing._models import ModelContract
from palate.testing._postgres import PostgresServer, find_postgres, postgres_server
from palate.testing._rater_contract import RaterContract, SimulatedClock, with_rules
from palate.testing._stores import StoreContract, ballot_on, fill_study
from palate.testing._storm import StormReport, storm
from palate.testing._strategies import StrategyContract, StrategyRow
from palate.testing._targets import ProposerContract, TargetContract
from palate.testing._tiny import save_tiny_model, tiny_model, tiny_tokeniser

__all__ = [
    "Fault",
    "FaultReport",
    "FaultyDisk",
    "JudgeContract",
    "LeaseReport",
    "ModelContract",
    "PostgresServer",
    "ProposerContract",
    "RaterContract",
    "SimulatedClock",
    "StoreContract",
    "StormReport",
    "StrategyContract",
    "StrategyRow",
    "TargetContract",
    "ballot_on",
    "fault_storm",
    "fill_study",
    "find_postgres",
    "postgres_server",
    "sample_duels",
    "save_tiny_model",
    "simulate_leases",
    "storm",
    "tiny_model",
    "tiny_tokeniser",
    "with_rules",
]
