"""A conversation of several turns: the system message of a chat model is the candidate.

What came before stands in the column ``messages`` of the inputs, the input's own text is what the user says
next, and the column ``further`` may hold what the user says after that. The model answers each user turn, so
that a candidate shapes a whole conversation. What a person looks at is the conversation from its beginning
to its last answer, without the system message and without demonstrations, which would tell candidates apart.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import final

from palate.errors import ConfigError, PalateError
from palate.kinds import chat_content
from palate.targets._ask import LONGEST_ANSWER, ask, check_sampling, one_line
from palate.targets._conversation import FURTHER, MESSAGES, earlier_turns, further_turns
from palate.targets._demonstrations import as_text, demonstrations_of
from palate.targets._template import placeholders
from palate.types import Candidate, Input, Message, Model, Request, Response

__all__ = ["ChatTarget"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class ChatTarget:
    """A chat model whose system message is the candidate, in conversations of several turns.

    Args:
        model: Who answers.
        temperature: 0 is greedy.
        max_tokens: Upper bound on the tokens of each answer.
        seed: Passed on to models that can be seeded.

    Raises:
        ConfigError: An option is out of its range.
    """

    model: Model
    temperature: float = 0.0
    max_tokens: int = 256
    seed: int | None = None

    def __post_init__(self) -> None:
        check_sampling(self.temperature, self.max_tokens)

    def check(self, candidate: Candidate, fields: Collection[str] = ()) -> None:
        """Refuse a prompt that names the input, a message of its own, or malformed demonstrations."""
        demonstrations_of(candidate)
        named = sorted(set(placeholders(candidate.text)) & {"input", *fields, MESSAGES, FURTHER})
        if named:
            raise ConfigError(
                f"the prompt {candidate.text[:60]!r} contains {{{{{named[0]}}}}}, but in a chat it is the "
                "system message, word for word, and the input is the user's message; take it out"
            )

    def request(self, candidate: Candidate, conversation: tuple[Message, ...]) -> Request:
        """Write the request for the next answer; pure.

        Args:
            candidate: The system message, with its demonstrations as the very first turns.
            conversation: Everything that was said so far, ending with the user.

        Raises:
            InputError: The candidate's demonstrations are malformed.
        """
        shown = [
            turn
            for example in demonstrations_of(candidate)
            for turn in (Message("user", example.input), Message("assistant", example.output))
        ]
        return Request(
            messages=(Message("system", candidate.text), *shown, *conversation),
            temperature=self.temperature,
            max_tokens=self.max_tokens,
            seed=self.seed if self.model.capabilities.seed else None,
        )

    async def respond(self, candidate: Candidate, input: Input) -> Response:
        """Hold the conversation.

        Returns:
            It as a chat. If one answer fails, or it grows beyond what may be shown, it has failed as a whole.

        Raises:
            BudgetError: A call was not sent because it could exceed the budget.
            StoreError: An answer could not be kept.
        """
        try:
            self.check(candidate, input.fields)
            said = [*earlier_turns(input), Message("user", input.text)]
            further = further_turns(input)
        except PalateError as error:
            return Response("chat", "", failed=one_line(error))
        seconds, cost = 0.0, 0.0
        for following in (*further, None):
            answer = await ask(self.model, self.request(candidate, tuple(said)))
            seconds += answer.seconds
            cost = None if cost is None or answer.cost is None else cost + answer.cost
            if answer.failed is not None:
                turn = "" if not further else f"answer {sum(m.role == 'assistant' for m in said) + 1}: "
                return Response("chat", "", seconds, cost, failed=f"{turn}{answer.failed}")
            said.append(Message("assistant", answer.content))
            if following is not None:
                said.append(Message("user", following))
        content = chat_content(said)
        size = len(content.encode("utf-8", "replace"))
        if size > LONGEST_ANSWER:
            fault = f"the conversation has {size:,} bytes; at most {LONGEST_ANSWER:,} are shown"
            return Response("chat", "", seconds, cost, failed=fault)
        return Response("chat", content, seconds, cost)

    def features_text(self, candidate: Candidate) -> str:
        """The system message, then its demonstrations."""
        return "\n\n".join(filter(None, (candidate.text, as_text(demonstrations_of(candidate)))))
