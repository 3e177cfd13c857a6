"""The sample study that ships with Palate: real inputs, real prompts, ready for ``palate demo``."""

from importlib.resources import files

__all__ = ["demo_study_toml"]


def demo_study_toml() -> str:
    """The text of the sample study file: 20 customers' emails that should each become one line.

    The file states its source and licence. Its references are read by the simulated judge alone.
    """
    return files(__name__).joinpath("emails.toml").read_text(encoding="utf-8")
