"""Palate beside other tools: promptfoo and DSPy, and winners in the forms that they read.

``palate.integrations.promptfoo`` reads a configuration (``pip install 'palate[promptfoo]'``) and
``palate.integrations.dspy`` tunes a program (``pip install 'palate[dspy]'``). Both load it on use.
"""

from palate.integrations._winners import WINNER_FORMATS, winner_text

__all__ = ["WINNER_FORMATS", "winner_text"]
