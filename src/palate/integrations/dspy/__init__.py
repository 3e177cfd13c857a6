"""DSPy: tune the instructions of a program from duels, without a metric.

    from palate.integrations.dspy import DuelTuner

    tuner = DuelTuner("replies.db", votes=30)
    better = tuner.compile(program, trainset=trainset)

Importing this module imports DSPy (``pip install 'palate[dspy]'``).
"""

from palate.errors import MissingExtraError

try:
    import dspy as _dspy
except ImportError as error:
    raise MissingExtraError(
        "palate.integrations.dspy needs the package 'dspy'; install it with: pip install 'palate[dspy]'"
    ) from error

del _dspy

from palate.integrations.dspy._judges import Decide, Page  # noqa: E402 - only once DSPy is known to be there
from palate.integrations.dspy._program import ProgramTarget  # noqa: E402
from palate.integrations.dspy._tuner import DuelTuner  # noqa: E402

__all__ = ["Decide", "DuelTuner", "Page", "ProgramTarget"]
