"""Contract suites for plug-in authors: subclass one, give its fixtures, run pytest."""

from palate.testing._judges import JudgeContract, sample_duels
from palate.testing._targets import ProposerContract, TargetContract

__all__ = ["JudgeContract", "ProposerContract", "TargetContract", "sample_duels"]
