import asyncio

import pytest

from palate.errors import ConfigError, InputError
from palate.judges import (
    Calibrated,
    GradedJudge,
    Instruction,
    JsonSchema,
    Language,
    Length,
    Mixture,
    Pattern,
    ReadingLevel,
    reading_ease,
    reading_grade,
    rules_judge,
    verdict_of,
)
from palate.judges._text import sentences, syllables, words
from palate.testing import JudgeContract
from palate.types import Duel, Grade, Grader, Input, Response, Verdict

ASKED = Input("i", "Where is it?")


def grade(grader: Grader, text: str, asked: Input = ASKED) -> Grade:
    return asyncio.run(grader.grade(asked, Response("text", text)))


def verdict(judge: GradedJudge, left: str, right: str) -> Verdict:
    duel = Duel("d", "p", "j", ASKED, Response("text", left), Response("text", right), "a", "b", False)
    return asyncio.run(judge.judge(duel)).verdict


class TestLengthJudge(JudgeContract):
    @pytest.fixture
    def judge(self) -> GradedJudge:
        return GradedJudge(Mixture([Length(most=4)], [ReadingLevel()]), margin=0.5)


@pytest.mark.parametrize(
    ("word", "count"),
    [("cat", 1), ("make", 1), ("table", 2), ("people", 2), ("readability", 5), ("wanted", 2), ("asked", 1),
     ("boxes", 2), ("makes", 1), ("being", 1), ("the", 1), ("y", 1), ("hypertension", 4), ("4", 1)],
)  # fmt: skip
def test_syllables_by_ear(word: str, count: int) -> None:
    # "being" has two; runs of vowels are counted as one, which is the price of a rule without a dictionary.
    assert syllables(word) == count


def test_sentences_and_words() -> None:
    assert words("It's 3.5 km, isn't it?") == ["It's", "3", "5", "km", "isn't", "it"]
    assert sentences("Stop. Go on! Why? Because.") == ["Stop.", "Go on!", "Why?", "Because."]
    assert sentences('He said "No." Then he left.') == ['He said "No.', "Then he left."]
    assert sentences("e.g. This is one.") == ["e.g. This is one."]
    assert sentences("") == []


def test_reading_levels_by_hand() -> None:
    text = "The cat sat on the mat. It was happy."  # 9 words, 2 sentences, 10 syllables
    assert reading_grade(text) == pytest.approx(0.39 * 4.5 + 11.8 * 10 / 9 - 15.59)
    assert reading_ease(text) == pytest.approx(206.835 - 1.015 * 4.5 - 84.6 * 10 / 9)
    easy, hard = (
        grade(ReadingLevel(most=5), text),
        grade(ReadingLevel(most=5), "Antihypertensive medication necessitates supervision."),
    )
    assert (easy.satisfied, hard.satisfied) == (True, False)
    assert easy.reward is not None
    assert hard.reward is not None
    assert easy.reward > hard.reward
    assert grade(ReadingLevel(), "…").unknown


def test_patterns() -> None:
    assert grade(Pattern(r"\d+ mg"), "Take 5 mg.").satisfied
    assert not grade(Pattern("as an ai", must=False, ignore_case=True), "As an AI, no.").satisfied
    with pytest.raises(ConfigError, match="not a regular expression"):
        Pattern("(")


def test_a_pattern_that_explodes_knows_nothing() -> None:
    assert "took more than 1 s" in (grade(Pattern(r"^(?:a|aa|aaa)+$"), "a" * 60 + "b").unknown or "")


def test_json() -> None:
    rule = JsonSchema({"type": "object", "required": ["dose"], "properties": {"dose": {"type": "number"}}})
    assert grade(rule, '{"dose": 5}').satisfied
    assert grade(rule, '```json\n{"dose": 5}\n```').satisfied
    assert grade(rule, '{"dose": "five"}').satisfied is False
    assert grade(rule, "dose: 5").satisfied is False
    assert grade(rule, "[" * 100_000).satisfied is False
    assert grade(JsonSchema({"$ref": "https://example.org/x.json"}), "{}").unknown
    with pytest.raises(ConfigError, match="not a JSON Schema"):
        JsonSchema({"type": "objekt"})


def test_language() -> None:
    assert grade(Language("de"), "Das ist ein guter Satz, den ich gerne lese.").satisfied
    assert grade(Language("de"), "This is a good sentence that I like to read.").satisfied is False
    assert grade(Language("de"), "Ja.").unknown
    with pytest.raises(ConfigError, match="not known; known: "):
        Language("xx")


@pytest.mark.parametrize(
    ("identifier", "arguments", "good", "bad"),
    [
        ("keywords:existence", {"keywords": ["dose", "daily"]}, "The Dose is daily.", "The dose."),
        ("keywords:frequency", {"keyword": "no", "frequency": 2, "relation": "at least"}, "No, no.", "No."),
        ("keywords:frequency", {"keyword": "no", "frequency": 2, "relation": "less than"}, "No.", "no no"),
        ("keywords:forbidden_words", {"forbidden_words": ["cat"]}, "concatenate", "A cat."),
        (
            "keywords:letter_frequency",
            {"letter": "e", "let_frequency": 2, "let_relation": "at least"},
            "Eel",
            "Ewok",
        ),
        (
            "language:response_language",
            {"language": "fr"},
            "Je suis très content de vous voir ici.",
            "I am very glad to see you here.",
        ),
        (
            "length_constraints:number_sentences",
            {"num_sentences": 2, "relation": "less than"},
            "One only.",
            "One. Two.",
        ),
        ("length_constraints:number_paragraphs", {"num_paragraphs": 2}, "a\n***\nb", "a *** b *** c"),
        (
            "length_constraints:number_words",
            {"num_words": 3, "relation": "at least"},
            "one two three",
            "one two",
        ),
        (
            "length_constraints:nth_paragraph_first_word",
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "then"},
            "One.\n\nThen, two.",
            "Then.\n\nOne.",
        ),
        ("detectable_content:number_placeholders", {"num_placeholders": 2}, "[name] of [place]", "[name]"),
        ("detectable_content:postscript", {"postscript_marker": "P.S."}, "Bye.\nP.S. More.", "Bye. PS more"),
        ("detectable_content:postscript", {"postscript_marker": "P.P.S"}, "Bye.\nP. P. S more", "P.S. more"),
        ("detectable_format:number_bullet_lists", {"num_bullets": 2}, "* a\n- b", "* a\n**b**"),
        ("detectable_format:constrained_response", {}, "My answer is maybe.", "Maybe."),
        ("detectable_format:number_highlighted_sections", {"num_highlights": 2}, "*a* and **b**", "* a"),
        (
            "detectable_format:multiple_sections",
            {"section_spliter": "PART", "num_sections": 2},
            "PART 1 x PART 2 y",
            "PART 1",
        ),
        ("detectable_format:json_format", {}, "```json\n[1]\n```", "one"),
        ("detectable_format:title", {}, "<<Cats>>\nA cat.", "<< >>"),
        ("combination:two_responses", {}, "one ****** two", "one ****** one"),
        ("combination:repeat_prompt", {"prompt_to_repeat": "Say it."}, "say it. It.", "It."),
        ("startend:end_checker", {"end_phrase": "That is all."}, "Yes. That is all.", "That is all. Or not."),
        ("startend:quotation", {}, '"All of it."', '"All" of it'),
        (
            "change_case:capital_word_frequency",
            {"capital_frequency": 2, "capital_relation": "at least"},
            "NO means NO",
            "No means NO",
        ),
        (
            "change_case:english_capital",
            {},
            "THIS IS A SENTENCE THAT SHOUTS.",
            "This is a sentence that does not.",
        ),
        (
            "change_case:english_lowercase",
            {},
            "this is a sentence that whispers.",
            "This is a sentence that does not.",
        ),
        ("punctuation:no_comma", {}, "One and two.", "One, two."),
    ],
)
def test_instructions(identifier: str, arguments: dict, good: str, bad: str) -> None:
    rule = Instruction(identifier, arguments)
    assert grade(rule, good).satisfied is True
    assert grade(rule, bad).satisfied is False


def test_wrong_instructions() -> None:
    with pytest.raises(ConfigError, match="did you mean 'punctuation:no_comma'"):
        Instruction("punctuation:no_coma")
    with pytest.raises(ConfigError, match="takes num_words, relation"):
        Instruction("length_constraints:number_words", {"num_words": 3})
    with pytest.raises(ConfigError, match="at least, less than"):
        Instruction("length_constraints:number_words", {"num_words": 3, "relation": "around"})
    with pytest.raises(ConfigError, match="whole number"):
        Instruction("length_constraints:number_words", {"num_words": "3", "relation": "at least"})


def test_verdicts_from_grades() -> None:
    assert verdict_of(Grade(satisfied=False), Grade(satisfied=False)).verdict is Verdict.BOTH_BAD
    assert verdict_of(Grade(1.0, False), Grade(0.0, True)).verdict is Verdict.RIGHT
    assert verdict_of(Grade(1.0), Grade(1.4), margin=0.5).verdict is Verdict.TIE
    assert verdict_of(Grade(1.0), Grade(1.6), margin=0.5).verdict is Verdict.RIGHT
    assert verdict_of(Grade(satisfied=True), Grade(satisfied=True)).verdict is Verdict.TIE
    assert verdict_of(Grade(float("nan")), Grade(1.0)).verdict is Verdict.FAILED
    assert verdict_of(Grade(1.0), Grade(unknown="down")).verdict is Verdict.SKIP


class Fixed:
    """Gives what it was told, and remembers whether it was asked."""

    def __init__(self, name: str, grade: Grade, cost: int = 0) -> None:
        self.name, self.cost, self.given, self.asked = name, cost, grade, 0

    async def grade(self, input: Input, response: Response) -> Grade:
        self.asked += 1
        return self.given


def test_constraints_veto_and_never_enter_the_mean() -> None:
    broken, dear = Fixed("broken", Grade(satisfied=False)), Fixed("dear", Grade(satisfied=True), cost=3)
    reward = Fixed("reward", Grade(9.0))
    assert grade(Mixture([dear, broken], [reward]), "x") == Grade(satisfied=False, reason="broken: ")
    assert (broken.asked, dear.asked, reward.asked) == (1, 0, 0)


def test_an_unknown_constraint_is_not_a_broken_one() -> None:
    unknown, broken = Fixed("gate", Grade(unknown="out of reach")), Fixed("rule", Grade(satisfied=False), 1)
    assert grade(Mixture([unknown]), "x").unknown == "gate: out of reach"
    assert grade(Mixture([unknown, broken]), "x").satisfied is False


def test_averages_of_rewards() -> None:
    three = [Fixed("a", Grade(3.0)), Fixed("b", Grade(1.0)), Fixed("c", Grade(2.0))]
    assert grade(Mixture((), three, "mean"), "x").reward == pytest.approx(2.0)
    assert grade(Mixture((), three, "worst"), "x").reward == pytest.approx(1.0)
    assert grade(Mixture((), three, "gini"), "x").reward == pytest.approx((5 + 6 + 3) / 9)
    assert grade(Mixture((), three, 0.5), "x").reward == pytest.approx((4 + 4 + 3) / 7)


def test_calibration_against_the_baseline() -> None:
    longer = Calibrated(ReadingLevel(), temperature=2.0)
    asked = Input("i", "?", references=("The cat sat on the mat.",))
    assert grade(longer, "The cat sat on the mat.", asked).reward == pytest.approx(0.5)
    harder = grade(longer, "Antihypertensive medication necessitates supervision.", asked).reward
    assert harder is not None
    assert 0.0 < harder < 0.01
    assert grade(longer, "x").unknown == "input 'i' has no reference to compare with"


def test_a_file_of_rules(tmp_path) -> None:
    file = tmp_path / "house.toml"
    file.write_text(
        'name = "house"\nmargin = 0.5\n[[rule]]\nkind = "length"\nmost = 6\n[[rule]]\nkind = "pattern"\n'
        'pattern = "(?i)as an ai"\nmust = false\n[reward]\nkind = "reading-level"\n'
    )
    judge = rules_judge(str(file))
    assert judge.name == "rules:house"
    assert verdict(judge, "The cat sat.", "The cat sat on the mat all day.") is Verdict.LEFT
    assert verdict(judge, "As an AI, no.", "as an AI I do") is Verdict.BOTH_BAD
    assert verdict(judge, "Medication necessitates supervision.", "Take it with food.") is Verdict.RIGHT
    assert verdict(judge, "The cat sat.", "The dog sat.") is Verdict.TIE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rule"),
        ("rule = 3", "no rule"),
        ('[[rule]]\nkind = "lenght"', "did you mean 'length'"),
        ('[[rule]]\nkind = "length"\nmots = 3', "did you mean 'most'"),
        ('[[rule]]\nkind = "length"\nleast = 5\nmost = 3', "[[rule]] 1: least is 5"),
        ('[[rule]]\nkind = "pattern"', "[[rule]] 1: "),
        ('margin = "x"\n[reward]\nkind = "reading-level"', "margin is 'x'"),
        ("= 3", "not TOML"),
    ],
)
def test_mistakes_in_a_file_of_rules(tmp_path, text: str, said: str) -> None:
    file = tmp_path / "house.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        rules_judge(str(file))
    assert said in str(error.value)
    assert str(file) in str(error.value)


def test_no_file_of_rules(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot read the rules"):
        rules_judge(str(tmp_path / "none.toml"))
