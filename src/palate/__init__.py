"""Palate: from "I like the left one better" to a better language model.

``import palate`` costs little: heavy parts load when they are used.
"""

from typing import TYPE_CHECKING

from palate._version import __version__

if TYPE_CHECKING:
    from palate.study import Study as Study

__all__ = ["Study", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Study":
        from palate.study import Study

        return Study
    raise AttributeError(f"module 'palate' has no attribute {name!r}")
