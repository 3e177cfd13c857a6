"""Where work runs. For now: this process."""

from palate.engine._courtesy import take_turns
from palate.engine._local import LocalEngine

__all__ = ["LocalEngine", "take_turns"]
