"""Tune a DSPy program without a metric: vote in the browser on what it answers.

pip install 'palate[dspy]'
python dspy_replies.py
"""

import dspy

from palate.integrations.dspy import DuelTuner

QUESTIONS = ["Where is my parcel?", "My lamp arrived broken.", "I was charged twice."]


class Reply(dspy.Signature):
    """Answer a customer of a lamp shop."""

    message: str = dspy.InputField()
    reply: str = dspy.OutputField()


def trainset() -> list[dspy.Example]:
    """Messages to try the program on; nobody needs to write the right answers."""
    return [dspy.Example(message=text).with_inputs("message") for text in QUESTIONS]


def tune(tuner: DuelTuner) -> dspy.Module:
    """Tune the program; calling it again goes on where it stopped."""
    return tuner.compile(dspy.ChainOfThought(Reply), trainset=trainset())


if __name__ == "__main__":
    dspy.configure(lm=dspy.LM("openai/gpt-4o-mini"))
    better = tune(DuelTuner("replies.db", votes=20, guidelines="Which reply would you rather have received?"))
    print(better.palate)
    better.save("reply.json")
