"""The prompt of a model that draws: a candidate describes a picture, people compare two pictures.

The description that is drawn is the study's template with the prompt and the input in it. A template of
``{{prompt}}`` alone draws the prompts as they are; the input is then only the question that people read
("Which is nearer to the garden that you have in mind?").

Source of the use: Lin et al., "Prompt Optimization with Human Feedback", arXiv 2405.17346 (text-to-image).
Changed: there all pictures are drawn before the first vote; here two duels ahead of it.
"""

import asyncio
import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar, final

from palate.errors import BudgetError, ConfigError, InputError, StoreError
from palate.kinds import Picture, picture_content
from palate.targets._ask import one_line
from palate.targets._media import PictureLimits, check_pillow, clean_picture
from palate.targets._template import literal_fill, placeholders
from palate.types import Candidate, Completion, Input, Message, Model, Request, Response

__all__ = ["ImageTarget"]

_SIZE = re.compile(r"([1-9]\d{1,4})x([1-9]\d{1,4})")


@final
@dataclass(frozen=True, slots=True, eq=False)
class ImageTarget:
    """A model that draws, with the candidate as its prompt.

    Args:
        model: Who draws; one whose capabilities include it, such as ``kind = "openai-images"``.
        template: What is drawn, with ``{{prompt}}`` in it, and ``{{input}}`` or another column of the
            inputs where these matter. Prompts that name ``{{input}}`` themselves need none.
        size: ``"WIDTHxHEIGHT"`` in pixels, asked of the model and demanded of its pictures; ``"any"`` leaves
            it to the model. People see all pictures in boxes of one size either way.
        shown: Longest side in pixels of the pictures that people see; larger ones are made smaller.
        seed: Passed on to models that can be seeded, so that prompts start from the same noise.

    Raises:
        ConfigError: The model cannot draw, or an option is wrong.
        MissingExtraError: Pillow is not installed.
    """

    model: Model
    template: str | None = None
    size: str = "1024x1024"
    shown: int = 1536
    seed: int | None = None

    usual_proposers: ClassVar[tuple[str, ...]] = ("scenes",)

    def __post_init__(self) -> None:
        if not self.model.capabilities.draw:
            raise ConfigError(
                f"the model {self.model.name!r} cannot draw pictures; take a [model] with "
                "kind = 'openai-images' or 'diffusers'"
            )
        if self.size != "any" and not _SIZE.fullmatch(self.size):
            raise ConfigError(f"size is {self.size!r}; it is like '1024x1024', or 'any'")
        if not 64 <= self.shown <= 4096:
            raise ConfigError(f"shown is {self.shown!r}; it is a number of pixels from 64 to 4096")
        if self.template is not None and "prompt" not in placeholders(self.template):
            raise ConfigError(
                f"the template {self.template[:60]!r} has no {{{{prompt}}}}, so every prompt would draw the "
                "same; add it"
            )
        check_pillow()

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Refuse a prompt that says nothing of where the input goes.

        Raises:
            ConfigError: Neither the prompt nor a template says it.
            InputError: The candidate has parts, which pictures have no use for.
        """
        if candidate.parts:
            listed = ", ".join(map(repr, candidate.parts))
            raise InputError(f"candidate {candidate.id} has parts ({listed}) that no picture can use")
        self.request(candidate, Input("check", "", fields=dict.fromkeys(fields, "")))

    def request(self, candidate: Candidate, input: Input) -> Request:
        """Write the request that the model gets; pure.

        Raises:
            ConfigError: As :meth:`check`.
        """
        values = {**input.fields, "input": input.text}
        named = set(placeholders(candidate.text)) & values.keys()
        if named:
            description = literal_fill(candidate.text, values)
        elif self.template is not None:
            description = literal_fill(self.template, {**values, "prompt": candidate.text})
        else:
            raise ConfigError(
                f"the prompt {candidate.text[:60]!r} does not say where the input goes; add {{{{input}}}} to "
                "it, or set [prompts] template: '{{prompt}}' draws the prompt alone, and the input is then "
                "the question that people read; '{{input}}, {{prompt}}' draws both"
            )
        return Request(
            messages=(Message("user", description),),
            max_tokens=1,  # a picture has none; a model that counts them says so itself
            seed=self.seed if self.model.capabilities.seed else None,
            extra={} if self.size == "any" else {"size": self.size},
        )

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Have a picture drawn, and take it apart to its pixels.

        Returns:
            The picture, written anew. Whatever goes wrong with it (the model fails or will not draw this;
            the file is no picture, too large, animated, or of another size than asked) is a response with
            ``failed`` set.

        Raises:
            BudgetError: The picture was not drawn because it could exceed the budget.
            StoreError: The picture could not be kept: no fault of the candidate's, so none of its failures.
        """
        started = perf_counter()
        try:
            drawn = await self.model.generate(self.request(candidate, input))
        except (BudgetError, StoreError):
            raise
        except Exception as error:  # a plug-in's model may raise anything; the study goes on
            return Response("image", "", seconds=perf_counter() - started, failed=one_line(error))
        seconds = drawn.seconds or perf_counter() - started
        try:
            if drawn.finish == "refused":
                raise InputError(f"{drawn.model} would not draw this: {drawn.text}")
            picture = await asyncio.to_thread(self._clean, drawn)
        except InputError as error:
            return Response("image", "", seconds=seconds, cost=drawn.cost, failed=one_line(error))
        return Response("image", picture_content(picture), seconds=seconds, cost=drawn.cost)

    def features_text(self, candidate: Candidate) -> str:
        """The prompt itself."""
        return candidate.text

    def _clean(self, drawn: Completion) -> Picture:
        try:
            data = base64.b64decode(drawn.text, validate=True)
        except (binascii.Error, ValueError):
            raise InputError(f"{drawn.model} answered with something that is not a file in base64") from None
        found = _SIZE.fullmatch(self.size)
        size = None if found is None else (int(found[1]), int(found[2]))
        try:
            return clean_picture(data, size=size, limits=PictureLimits(side=self.shown))
        except InputError as error:
            raise InputError(f"{drawn.model} answered with {error}") from None
