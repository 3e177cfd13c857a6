"""The command line."""

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    from palate.command._app import main as run

    run()
