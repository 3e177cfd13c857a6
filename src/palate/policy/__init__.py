"""Weights from votes: objectives, update rules over iterations, log-probabilities, and alarms.

``import palate.policy`` loads no torch; :mod:`palate.policy.objectives` and :mod:`palate.policy.updates` do
when they are imported, and so do the names below when they are first used.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from palate.policy._alarms import (
        KLEstimate,
        Margin,
        distinct_n,
        effective_samples,
        estimate_kl,
        exact_kl,
        length_correlation,
        reward_margin,
    )
    from palate.policy._logprobs import (
        SequenceScores,
        linear_log_probs,
        sequence_log_probs,
    )
    from palate.policy._meteor import (
        SIMILARITY_ALARM,
        Similarity,
        completion_similarity,
        meteor,
        similarity_alarm,
    )
    from palate.policy._prior_kl import linear_prior_kl

__all__ = [
    "SIMILARITY_ALARM",
    "KLEstimate",
    "Margin",
    "SequenceScores",
    "Similarity",
    "completion_similarity",
    "distinct_n",
    "effective_samples",
    "estimate_kl",
    "exact_kl",
    "length_correlation",
    "linear_log_probs",
    "linear_prior_kl",
    "meteor",
    "reward_margin",
    "sequence_log_probs",
    "similarity_alarm",
]

_HOMES: Mapping[str, str] = MappingProxyType(
    {
        "SIMILARITY_ALARM": "_meteor",
        "KLEstimate": "_alarms",
        "Margin": "_alarms",
        "SequenceScores": "_logprobs",
        "Similarity": "_meteor",
        "completion_similarity": "_meteor",
        "distinct_n": "_alarms",
        "effective_samples": "_alarms",
        "estimate_kl": "_alarms",
        "exact_kl": "_alarms",
        "length_correlation": "_alarms",
        "linear_log_probs": "_logprobs",
        "linear_prior_kl": "_prior_kl",
        "meteor": "_meteor",
        "reward_margin": "_alarms",
        "sequence_log_probs": "_logprobs",
        "similarity_alarm": "_meteor",
    }
)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'palate.policy' has no attribute {name!r}")
    return getattr(import_module(f"palate.policy.{_HOMES[name]}"), name)
