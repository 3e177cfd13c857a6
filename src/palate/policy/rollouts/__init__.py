"""Answers drawn from a policy through the protocol of models: batched, kept, taken up again."""

from palate.policy.rollouts._kept import KeptAnswers
from palate.policy.rollouts._sample import TURN, Rollout, RolloutOptions, Rollouts, cut_turn, sample
from palate.policy.rollouts._stream import Stream

__all__ = ["TURN", "KeptAnswers", "Rollout", "RolloutOptions", "Rollouts", "Stream", "cut_turn", "sample"]
