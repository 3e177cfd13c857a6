import pytest

from palate.proposers import clean, likeness
from palate.proposers._clean import clean_completion, placeholder_tail, usable
from palate.types import Completion

PLAIN = "Write the word that means the opposite of the input."


@pytest.mark.parametrize(
    "answer",
    [
        PLAIN,
        f"  {PLAIN}\n",
        f'"{PLAIN}"',
        f"“{PLAIN}”",
        f"'{PLAIN}'",
        f"`{PLAIN}`",
        f"**{PLAIN}**",
        f"Here is a rephrased version:\n\n{PLAIN}",
        f"Here is a rephrased version: {PLAIN}",
        f"Here's the new instruction:\n{PLAIN}",
        f"A possible rephrased version of the instruction is:\n{PLAIN}",
        f"Another way to say this: {PLAIN}",
        f"I would rephrase it as: {PLAIN}",
        f'Sure! Here is another way to say it:\n\n"{PLAIN}"',
        f"Sure, here are some rephrased versions:\n\n1. {PLAIN}\n2. Name the opposite.\n3. Negate it.",
        f"Certainly! {PLAIN}",
        f"Sure. {PLAIN}",
        f"The instruction was: {PLAIN}",
        f'The instruction could be: "{PLAIN}"',
        f"Instruction: {PLAIN}",
        f"**Instruction:** {PLAIN}",
        f"**New instruction**: {PLAIN}",
        f"### Rephrased instruction:\n{PLAIN}",
        f"New Instruction:\n\n{PLAIN}",
        f"Rephrased prompt: {PLAIN}",
        "The instruction was to write the word that means the opposite of the input.",
        'Sure! The original instruction could be to "Write the word that means the opposite of the input."',
        f"1. {PLAIN}\n2. Name the opposite.",
        f"1) {PLAIN}\n2) Name the opposite.",
        f"- {PLAIN}\n- Name the opposite.",
        f"Option 1: {PLAIN}\nOption 2: Name the opposite.",
        f"**Option A:** {PLAIN}\n\n**Option B:** Name the opposite.",
        f"```\n{PLAIN}\n```",
        f"```markdown\n{PLAIN}\n```\nThis is shorter.",
        f"Here you are:\n```text\nInstruction: {PLAIN}\n```",
        f"{PLAIN}\n\nNote: this version is shorter.",
        f"{PLAIN}\n\n(Note that the meaning is kept.)",
        f"{PLAIN}\n\nExplanation: it is the same.",
        f"{PLAIN}\n\nThis instruction keeps the meaning.",
        f"{PLAIN}\n\nI hope this helps!",
        f"{PLAIN}\n\nLet me know if you want another.",
        f"{PLAIN}\n\nInput: hot\nOutput: cold",
        f"{PLAIN}\n\nExample: hot becomes cold",
        f"{PLAIN}\n\nOr:\n\nName the opposite.",
        f"{PLAIN}\n---\nName the opposite.",
        f'"{PLAIN}"\n\nThis is another way to put it.',
        f'Instruction: "{PLAIN}"\r\n\r\nNote: done.',
    ],
)
def test_wrappings_come_off(answer: str) -> None:
    assert clean(answer) == PLAIN


@pytest.mark.parametrize(
    "prompt",
    [
        'Reply "yes" or "no".',
        '"Yes" or "no": which one fits?',
        "Reply to the customer: be brief, be kind.",
        "You are a support agent.\n\nRules:\n1. Be brief.\n2. Be kind.",
        "Write the plural.\n- no article\n- lower case",
        "Sort these words.",
        "Is the instruction clear? Say yes or no.",
        "The task is hard: think first.",
        "Make sure that the answer fits on a label: one word, no article.",
        "Rephrase the sentence politely: keep all names.",
        "Here is an email: name its sender.",
        "Other languages: translate them first.",
        "Answer as follows: name, then place.",
        "The task is hard. Think first.",
        "Summarise the text. Surely keep the names.",
        "Answer in one word",
        "Translate {{input}} into French.",
        "猫の反対は何ですか。",
    ],
)
def test_a_bare_prompt_is_left_alone(prompt: str) -> None:
    assert clean(prompt) == prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "Instruction: be brief.\nInput: {{input}}\nOutput:",
        "1. Read the text.\n2. Name its topic.",
        "Do it.\n\nNote: never apologise.",
        "Use this form:\n```\nname: …\n```",
    ],
)
def test_markers_that_the_parent_has_stay(prompt: str) -> None:
    assert clean(prompt, parent=prompt) == prompt


def test_a_refusal_and_a_truncated_answer_are_no_prompts() -> None:
    assert clean_completion(Completion(PLAIN, "m", finish="refused")) == ""
    assert clean_completion(Completion("Write the word that", "m", finish="length")) == ""
    assert clean_completion(Completion(f"{PLAIN}\n\nNote: this ver", "m", finish="length")) == PLAIN
    assert clean_completion(Completion(PLAIN, "m")) == PLAIN


@pytest.mark.parametrize(
    "text", ["", "?!", "12", "I'm sorry, but I cannot do that.", "As an AI, no.", "x" * 101]
)
def test_what_cannot_be_a_prompt(text: str) -> None:
    assert not usable(text, longest=100)


def test_placeholders_must_survive() -> None:
    parent = "Translate {{input}} for {{reader}}."
    assert usable("For {{reader}}: translate {{input}}.", longest=100, parent=parent)
    assert not usable("Translate {{input}}.", longest=100, parent=parent)
    assert not usable("Translate {{input}} for {{reader}} and {{me}}.", longest=100, parent=parent)
    assert not usable("Translate {{input}}.", longest=100)


def test_repeating_the_data_is_no_instruction() -> None:
    assert not usable("Cold!", longest=100, not_one_of=frozenset({likeness("cold")}))


def test_likeness_ignores_case_spaces_and_punctuation_in_any_script() -> None:
    assert likeness("Größe, bitte!") == likeness(" GRÖSSE bitte")
    assert likeness("猫 犬") == likeness("猫犬")
    assert likeness("a b") != likeness("a c")


def test_the_tail_lists_each_placeholder_once() -> None:
    assert placeholder_tail("{{input}} {{ x }} {{input}}") == "\n\n{{input}}\n{{ x }}"
    assert placeholder_tail("none") == ""
