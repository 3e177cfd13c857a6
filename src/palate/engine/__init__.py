"""Where work runs. For now: this process."""

from palate.engine._courtesy import rest_after, take_turns
from palate.engine._local import LocalEngine

__all__ = ["LocalEngine", "rest_after", "take_turns"]
