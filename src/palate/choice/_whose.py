"""Which judges are machines, by the names under which votes are stored."""

__all__ = ["is_machine"]

_KINDS = frozenset({"simulated", "language-model", "rules", "mixture", "majority", "cascade", "owa"})


def is_machine(judge: str | None) -> bool:
    """Whether a judge of this name is a machine: a kind of judge, or a kind and a name with a colon between.

    Everybody else is taken for a person, those without a name too.

    Example:
        >>> [is_machine(name) for name in ("me", "anna", "judge:gpt", "rules:house style", "simulated", None)]
        [False, False, True, True, True, False]
    """
    return judge is not None and (":" in judge or judge in _KINDS)
