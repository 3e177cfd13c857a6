"""The demo study: an ordinary study file, put where the user can look at it and change it."""

from pathlib import Path

from palate.command._write import write_text
from palate.errors import ConfigError

__all__ = ["lay_out"]


def lay_out(folder: Path, *, seed: int) -> Path:
    """Put the sample study into a folder, and leave one alone that is there.

    Returns:
        The study file.

    Raises:
        ConfigError: The folder holds a demo with another seed.
        StoreError: The file cannot be written.
    """
    study = folder / "study.toml"
    if not study.exists():
        from palate.samples import demo_study_toml

        write_text(study, demo_study_toml().replace("\nseed = 0\n", f"\nseed = {seed}\n", 1))
        return study
    from palate.config import read_config

    there = read_config(study).study.seed
    if there != seed:
        raise ConfigError(
            f"the demo in {str(folder)!r} was begun with seed {there}, not {seed}; give another --path"
        )
    return study
