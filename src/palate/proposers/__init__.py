"""Where new candidates come from."""

from palate.proposers._clean import clean, likeness
from palate.proposers._induction import Induction
from palate.proposers._own import own_candidates
from palate.proposers._rephrase import Rephrase

__all__ = ["Induction", "Rephrase", "clean", "likeness", "own_candidates"]
