"""The demo study: an ordinary study file, put where the user can look at it and change it."""

from pathlib import Path

from palate.command._write import write_text
from palate.errors import ConfigError

__all__ = ["lay_out"]


def lay_out(folder: Path, *, seed: int, votes: int | None = None) -> Path:
    """Put the sample study into a folder, and leave one alone that is there.

    Args:
        folder: Where; made if missing.
        seed: Of every random draw.
        votes: How many votes the study asks for; ``None`` for no limit.

    Returns:
        The study file.

    Raises:
        ConfigError: The folder holds a demo that was begun otherwise.
        StoreError: The file cannot be written.
    """
    study = folder / "study.toml"
    if not study.exists():
        from palate.samples import demo_study_toml

        source = demo_study_toml().replace("\nseed = 0\n", f"\nseed = {seed}\n", 1)
        write_text(study, source + (f"\n[budget]\nvotes = {votes}\n" if votes else ""))
        return study
    from palate.config import read_config

    there = read_config(study)
    for name, begun, wanted in (("seed", there.study.seed, seed), ("votes", there.budget.votes, votes)):
        if begun != wanted and wanted is not None:
            raise ConfigError(
                f"the demo in {str(folder)!r} was begun with {name} {begun}, not {wanted}; "
                "give another --path"
            )
    return study
