"""Tune the prompt of a LangChain chain: any Runnable can be what a study improves.

pip install palate langchain-core langchain-openai
python langchain_replies.py
"""

from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable

import palate

INPUTS = ["Where is my parcel?", "My lamp arrived broken.", "I was charged twice."]
PROMPTS = [
    "You answer the customers of a lamp shop.",
    "You answer the customers of a lamp shop in two friendly sentences.",
    "You answer the customers of a lamp shop. Say sorry, then say what happens next.",
]


def chain_of(model: BaseChatModel) -> Runnable[dict[str, str], str]:
    """The chain; its instruction is a variable like any other, so that a study can set it."""
    shape = ChatPromptTemplate.from_messages([("system", "{instruction}"), ("user", "{question}")])
    return shape | model | StrOutputParser()


def open_study(model: BaseChatModel, path: Path) -> palate.Study:
    """Make the study, or take it up again where it stopped."""
    chain = chain_of(model)

    def answer(prompt: str, text: str) -> str:
        return chain.invoke({"instruction": prompt, "question": text})

    return palate.Study.create(target=answer, inputs=INPUTS, candidates=PROMPTS, path=path)


if __name__ == "__main__":
    from langchain_openai import ChatOpenAI

    with open_study(ChatOpenAI(model="gpt-4o-mini"), Path("replies.db")) as study:
        for _ in range(12):
            duel = study.ask()
            print(f"\n{duel.input.text}\n\nA: {duel.left.content}\n\nB: {duel.right.content}")
            study.tell(duel, {"a": "left", "b": "right"}.get(input("\nBetter (a, b)? ").lower(), "skip"))
        print(study.best().candidate.text)
