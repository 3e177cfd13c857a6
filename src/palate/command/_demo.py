"""The demo study: an ordinary study file with its data, copied to where the user can look at it."""

from importlib.resources import files
from pathlib import Path

from palate.command._write import write_text
from palate.errors import ConfigError

__all__ = ["lay_out"]

DATA = ("inputs.jsonl", "examples.jsonl")


def lay_out(folder: Path, *, seed: int) -> Path:
    """Put the demo's files into a folder, and leave alone those that are there.

    Returns:
        The study file.

    Raises:
        ConfigError: The folder holds a demo with another seed.
        StoreError: The files cannot be written.
    """
    source = files("palate.command") / "demo_study"
    for name in DATA:
        if not (folder / name).exists():
            write_text(folder / name, (source / name).read_text(encoding="utf-8"))
    study = folder / "study.toml"
    if not study.exists():
        text = (source / "study.toml").read_text(encoding="utf-8")
        write_text(study, text.replace("\nseed = 0\n", f"\nseed = {seed}\n", 1))
        return study
    from palate.config import read_config

    there = read_config(study).study.seed
    if there != seed:
        raise ConfigError(
            f"the demo in {str(folder)!r} was begun with seed {there}, not {seed}; give another --path"
        )
    return study
