"""What is being improved: a candidate is plugged into a target, which answers an input."""

from palate.targets._ask import LONGEST_ANSWER
from palate.targets._chat import ChatTarget
from palate.targets._demonstrations import demonstrations_of
from palate.targets._function import FunctionTarget
from palate.targets._image import ImageTarget
from palate.targets._instruction import InstructionTarget
from palate.targets._media import PictureLimits, clean_picture
from palate.targets._response import ResponseTarget
from palate.targets._settings import SettingsTarget
from palate.targets._slots import SlotsTarget
from palate.targets._template import literal_fill, placeholders

__all__ = [
    "LONGEST_ANSWER",
    "ChatTarget",
    "FunctionTarget",
    "ImageTarget",
    "InstructionTarget",
    "PictureLimits",
    "ResponseTarget",
    "SettingsTarget",
    "SlotsTarget",
    "clean_picture",
    "demonstrations_of",
    "literal_fill",
    "placeholders",
]
