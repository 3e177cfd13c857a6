"""What the strategy knows of a candidate before any vote: its text as numbers, and what its target adds."""

from collections.abc import Sequence

import numpy as np

from palate.assembly import Parts
from palate.types import Array, Candidate, Encodes
from palate.wording import beside_embedding

__all__ = ["candidate_features"]


async def candidate_features(parts: Parts, candidates: Sequence[Candidate]) -> dict[str, Array]:
    """A row of size ``D`` by identifier: the embedding of the text, its wording, and the target's own.

    Args:
        parts: Of the study.
        candidates: At least one.
    """
    texts = [parts.features_text(candidate) for candidate in candidates]
    embedding_ND = await parts.embedder.embed(texts)
    feature_ND = np.hstack([beside_embedding(embedding_ND, texts), _own_features(parts, candidates)])
    return dict(zip((candidate.id for candidate in candidates), feature_ND, strict=True))


def _own_features(parts: Parts, candidates: Sequence[Candidate]) -> Array:
    """What the target itself says of candidates, beside their text; ``(N, 0)`` for most targets."""
    if not isinstance(parts.target, Encodes):
        return np.zeros((len(candidates), 0))
    return np.stack([parts.target.features(candidate) for candidate in candidates])
