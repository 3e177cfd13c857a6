"""Log-probabilities of the reference, computed once a completion and kept.

With a fixed reference, training then needs no second model. The numbers are of one reference, one number
format, one temperature and one tokeniser; asked for any other, the cache refuses instead of answering,
because a wrong reference gives a wrong gradient without a sign of it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from palate.errors import InputError
from palate.policy._torch import Tensor, torch

__all__ = ["ReferenceKey", "ReferenceScores"]


@dataclass(frozen=True, slots=True)
class ReferenceKey:
    """What log-probabilities depend on, apart from prompt and completion.

    Attributes:
        reference: Hash or name of the reference's weights; it changes when the update rule moves them.
        tokeniser: Hash of the tokeniser and its chat template.
        dtype: Number format of the forward pass, such as ``bfloat16``.
        temperature: At which they are taken, > 0; 1 for objectives.
    """

    reference: str
    tokeniser: str
    dtype: str = "float32"
    temperature: float = 1.0

    @property
    def digest(self) -> str:
        """A short hash of all of it, for the name of a file."""
        content = json.dumps([self.reference, self.tokeniser, self.dtype, float(self.temperature)])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ReferenceScores:
    """Log-probabilities of completions under one reference; a value that grows by making another.

    Attributes:
        key: What they depend on.
        logp: Sum over tokens in nats, by the identifier of prompt and completion together.
    """

    key: ReferenceKey
    logp: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Which of some completions have no number yet, each once, in order."""
        return [name for name in dict.fromkeys(ids) if name not in self.logp]

    def plus(self, ids: Sequence[str], logp_N: Tensor) -> "ReferenceScores":
        """The same with further completions.

        Raises:
            InputError: The numbers do not fit the identifiers, or are NaN, infinite or above 0.
        """
        if logp_N.shape != (len(ids),):
            raise InputError(
                f"{len(ids)} identifiers do not fit log-probabilities of the shape {tuple(logp_N.shape)}"
            )
        values = logp_N.detach().double().cpu().tolist()
        bad = [name for name, value in zip(ids, values, strict=True) if not -float("inf") < value <= 0]
        if bad:
            raise InputError(
                f"{len(bad)} of {len(ids)} reference log-probabilities are NaN, infinite or above 0, "
                f"first that of {bad[0]!r}"
            )
        return ReferenceScores(
            self.key, MappingProxyType({**self.logp, **dict(zip(ids, values, strict=True))})
        )

    def take(self, key: ReferenceKey, ids_GK: Sequence[Sequence[str]]) -> Tensor:
        """Log-probabilities of groups of completions.

        Args:
            key: What the caller trains with.
            ids_GK: Identifiers, K a group.

        Returns:
            reference_GK in 32 bits.

        Raises:
            InputError: The key is another one, or completions are missing.
        """
        if key != self.key:
            raise InputError(f"these log-probabilities are of {self.key}, not of {key}; compute them anew")
        missing = self.missing(name for group in ids_GK for name in group)
        if missing:
            raise InputError(
                f"{len(missing)} completions have no reference log-probability, first {missing[0]!r}"
            )
        return torch.tensor([[self.logp[name] for name in group] for group in ids_GK], dtype=torch.float32)
