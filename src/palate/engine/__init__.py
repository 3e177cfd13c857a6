"""Where work runs. For now: this process."""

from palate.engine._local import LocalEngine

__all__ = ["LocalEngine"]
