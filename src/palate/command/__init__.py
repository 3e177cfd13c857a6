"""The command line."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from palate.command._app import main as run

        run()
    except KeyboardInterrupt:
        # While the verbs are still being imported, or after the last one has ended.
        sys.exit(130)
