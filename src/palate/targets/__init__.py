"""What is being improved: a candidate is plugged into a target, which answers an input."""

from palate.targets._ask import LONGEST_ANSWER
from palate.targets._chat import ChatTarget
from palate.targets._conversation import earlier_turns
from palate.targets._demonstrations import demonstrations_of
from palate.targets._function import FunctionTarget
from palate.targets._image import ImageTarget
from palate.targets._instruction import InstructionTarget
from palate.targets._media import PictureLimits, clean_picture
from palate.targets._recorded import RecordedTarget
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
    "RecordedTarget",
    "ResponseTarget",
    "SettingsTarget",
    "SlotsTarget",
    "clean_picture",
    "demonstrations_of",
    "earlier_turns",
    "literal_fill",
    "placeholders",
]
