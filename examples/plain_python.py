"""Tune the prompt of any Python function: run it, and vote in the terminal.

The function below needs no model. Put yours in its place: whatever turns a prompt and an input into a text.
"""

from pathlib import Path

import palate

INPUTS = ["Where is my parcel?", "My lamp arrived broken.", "I was charged twice."]
PROMPTS = ["Reply.", "Reply politely.", "Reply politely, and say what happens next."]


def reply(prompt: str, text: str) -> str:
    """Answer a customer; a stand-in for a call to your model."""
    greeting = "Thank you for writing. " if "politely" in prompt else ""
    follow = " You will hear from us within a day." if "next" in prompt else ""
    return f"{greeting}About your message, “{text}”: we are looking into it.{follow}"


def open_study(path: Path) -> palate.Study:
    """Make the study, or take it up again where it stopped."""
    return palate.Study.create(target=reply, inputs=INPUTS, candidates=PROMPTS, path=path)


def vote(study: palate.Study) -> None:
    """Ask until the study says that more votes are not worth your time, or an empty line ends it."""
    while not study.should_stop()[0]:
        duel = study.ask()
        said = input(
            f"\n{duel.input.text}\n\n1: {duel.left.content}\n2: {duel.right.content}\n\nBetter (1, 2, =)? "
        )
        if said not in ("1", "2", "="):
            return
        study.tell(duel, {"1": "left", "2": "right", "=": "tie"}[said])


if __name__ == "__main__":
    with open_study(Path("replies.db")) as study:
        vote(study)
        if study.state.votes:
            best = study.best()
            print(f"\n{best.candidate.text}\n({best.probability:.0%} sure, after {best.votes} votes)")
