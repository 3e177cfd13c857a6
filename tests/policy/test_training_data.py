"""Rows of every format become the same groups; what cannot teach is left out, counted and named."""

import gzip
import json
from pathlib import Path

import pytest

from palate.errors import ConfigError, InputError
from palate.policy.data import (
    FORMATS,
    Loaded,
    TextGroup,
    detect_format,
    groups_from_votes,
    plain_prompt,
    read_groups,
    read_rows,
    split_by_prompt,
    tokenise,
)
from palate.testing import tiny_tokeniser
from palate.types import Candidate, Comparison, Input, Message, Response, Verdict

HELLO = [{"role": "user", "content": "Hello"}]
PROMPT = (Message("user", "Hello"),)


def answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def one(row: dict[str, object]) -> TextGroup:
    loaded = read_groups([("line 1", row)])
    assert loaded.skipped == {}
    return loaded.groups[0]


@pytest.mark.parametrize(
    ("kind", "row", "prompt", "completions"),
    [
        ("preference", {"prompt": "2+2=", "chosen": "4", "rejected": "5"}, "2+2=", ("4", "5")),
        (
            "preference",
            {"prompt": HELLO, "chosen": answer("Hi"), "rejected": answer("No")},
            PROMPT,
            ("Hi", "No"),
        ),
        (
            "implicit-prompt",
            {"chosen": HELLO + answer("Hi"), "rejected": HELLO + answer("No")},
            PROMPT,
            ("Hi", "No"),
        ),
        # the shared letter "f" of the two answers stays in the answers
        ("implicit-prompt", {"chosen": "it is fine", "rejected": "it is foul"}, "it is", (" fine", " foul")),
        (
            "implicit-prompt",
            {"chosen": "\n\nHuman: Hello\n\nAssistant: Hi", "rejected": "\n\nHuman: Hello\n\nAssistant: Hm"},
            PROMPT,
            ("Hi", "Hm"),
        ),
        ("unpaired", {"prompt": "a", "completion": "b", "label": False}, "a", ("b",)),
        ("prompt-completion", {"prompt": HELLO, "completion": answer("Hi")}, PROMPT, ("Hi",)),
        ("conversation", {"messages": HELLO + answer("Hi")}, PROMPT, ("Hi",)),
        ("prompt-only", {"prompt": HELLO}, PROMPT, ()),
        (
            "groups",
            {"prompt": "a", "completions": ["b", "c", "d"], "rewards": [1, 2.5, 0]},
            "a",
            ("b", "c", "d"),
        ),
        (
            "openai-dpo",
            {
                "input": {"messages": HELLO, "tools": []},
                "preferred_output": answer("Hi"),
                "non_preferred_output": answer("No"),
            },
            PROMPT,
            ("Hi", "No"),
        ),
    ],
)
def test_every_format(
    kind: str, row: dict[str, object], prompt: object, completions: tuple[str, ...]
) -> None:
    assert detect_format(row) == kind
    group = one(row)
    assert (group.prompt, group.completions, group.place) == (prompt, completions, "line 1")
    assert group.reward == ((1.0, 2.5, 0.0) if kind == "groups" else None)
    assert group.label is (False if kind == "unpaired" else None)


def test_every_format_is_tried_above() -> None:
    assert len(FORMATS) == 8


def test_a_prompt_cut_at_a_space_is_where_trl_cuts() -> None:
    utils = pytest.importorskip("trl.data_utils")
    for chosen, rejected in (("the sky is blue", "the sky is green"), ("Q: a\nA: yes", "Q: a\nA: no")):
        theirs = utils.extract_prompt({"chosen": chosen, "rejected": rejected})
        mine = one({"chosen": chosen, "rejected": rejected})
        assert (mine.prompt, *mine.completions) == (theirs["prompt"], theirs["chosen"], theirs["rejected"])


@pytest.mark.parametrize(
    ("reason", "row"),
    [
        ("equal", {"prompt": "a", "chosen": "b ", "rejected": "b"}),
        ("empty", {"prompt": "a", "chosen": "b", "rejected": " \n"}),
        ("missing", {"prompt": "a", "chosen": "b", "rejected": None}),
        ("missing", {"prompt": None, "chosen": "b", "rejected": "c"}),
        ("malformed", {"prompt": [{"role": "judge", "content": "x"}], "chosen": "b", "rejected": "c"}),
        (
            "malformed",
            {"prompt": [{"role": "user", "content": [{"type": "image"}]}], "chosen": "b", "rejected": "c"},
        ),
        ("turns", {"prompt": HELLO, "chosen": answer("a") + answer("b"), "rejected": answer("c")}),
        ("turns", {"prompt": HELLO + answer("a"), "chosen": "b", "rejected": "c"}),
        (
            "tools",
            {"prompt": [{"role": "user", "content": "x", "tool_calls": [1]}], "chosen": "b", "rejected": "c"},
        ),
    ],
)
def test_what_cannot_teach_is_left_out_and_named(reason: str, row: dict[str, object]) -> None:
    good = {"prompt": "a", "chosen": "b", "rejected": "c"}
    loaded = read_groups([("line 1", good), ("line 2", row)])
    assert len(loaded.groups) == 1
    assert loaded.skipped == {reason: 1}
    assert loaded.describe() == f"1 groups; 1 left out: 1 {reason} (line 2)"


def test_nothing_left_is_an_error_that_says_why() -> None:
    loaded = read_groups([(f"line {i}", {"prompt": "a", "chosen": "b", "rejected": "b"}) for i in range(7)])
    with pytest.raises(InputError, match=r"pairs\.csv: nothing is left.*7 equal \(line 0, .*, …\)"):
        loaded.require("pairs.csv")


@pytest.mark.parametrize(
    ("rows", "format_", "text"),
    [
        ([], None, "is empty"),
        ([("line 1", {"question": "a"})], None, "columns 'question'; training data have"),
        ([("line 1", {"prompt": "a"})], "preference", "no column 'chosen'"),
        ([("line 1", {"prompt": "a"})], "preferences", "did you mean 'preference'"),
    ],
)
def test_wrong_columns_are_told_before_anything_is_read(
    rows: list[tuple[str, dict[str, str]]], format_: str | None, text: str
) -> None:
    with pytest.raises(InputError, match=text):
        read_groups(rows, format_)


def test_files_of_every_kind_hold_the_same_rows(tmp_path: Path) -> None:
    rows = [
        {"prompt": "a,\u2028b", "chosen": "yes\n", "rejected": "no"},
        {"prompt": "c", "chosen": "d", "rejected": "é"},
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    (tmp_path / "a.csv").write_text(
        'prompt,chosen,rejected\r\n"a,\u2028b","yes\n",no\r\nc,d,é\r\n', encoding="utf-8-sig", newline=""
    )
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    names = ["a.jsonl", "a.json", "a.csv", "a.jsonl.gz"]
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(arrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    pytest.importorskip("datasets").Dataset.from_list(rows).save_to_disk(str(tmp_path / "folder"))
    for name in [*names, "a.parquet", "folder"]:
        assert [row for _, row in read_rows(tmp_path / name)] == rows, name


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.jsonl", b'{"prompt": 1}\n{oops\n', "line 2: not JSON"),
        ("a.jsonl", b"[1]\n", "not an object"),
        ("a.json", b'{"a": 1}', "a list of objects"),
        ("a.csv", b"a,b\n1,2,3\n", "more cells"),
        ("a.csv", b"\xff\xfe", "UTF-8"),
        ("a.parquet", b"PAR1 no", "not a parquet file"),
        ("a.xlsx", b"", "end in one of"),
        ("a.jsonl.gz", b"no gzip", "cannot read"),
    ],
)
def test_broken_files_say_where(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=text):
        list(read_rows(tmp_path / name))


def test_missing_files_and_folders_that_are_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        read_rows(tmp_path / "gone.csv")
    with pytest.raises(InputError, match="save_to_disk"):
        list(read_rows(tmp_path))


def test_a_prompt_is_held_out_whatever_stands_around_it() -> None:
    groups = [TextGroup(str(i % 300), (str(i), "x")) for i in range(900)]
    train, held = split_by_prompt(groups, 0.2, seed=3)
    assert len(train) + len(held) == 900
    assert {g.prompt for g in train}.isdisjoint(g.prompt for g in held)
    # 60 prompts of 300 are expected, with a standard deviation of 7
    assert 40 <= len({g.prompt for g in held}) <= 80
    assert split_by_prompt(groups[::-1][:450], 0.2, seed=3)[1] == [g for g in held[::-1] if g in groups[450:]]
    assert split_by_prompt(groups, 0.2, seed=4)[1] != held
    assert split_by_prompt(groups, 0.0)[1] == []
    with pytest.raises(ConfigError, match="must lie in"):
        split_by_prompt(groups, 1.0)


def vote(
    verdict: Verdict, left: str = "yes", right: str = "no", kind: str = "text", asked: str = "well?"
) -> Comparison:
    a, b = Candidate.make("A"), Candidate.make("B")
    both = (Response(kind, left), Response(kind, right))  # pyright: ignore[reportArgumentType]
    return Comparison(Input("i", asked), a, b, *both, verdict)


def test_votes_become_pairs() -> None:
    votes = [
        vote(Verdict.LEFT),
        vote(Verdict.RIGHT),
        vote(Verdict.TIE),
        vote(Verdict.BOTH_BAD),
        vote(Verdict.LEFT, right="yes"),
        vote(Verdict.LEFT, right=" "),
        vote(Verdict.LEFT, kind="image"),
    ]
    loaded = groups_from_votes(votes)
    assert [g.completions for g in loaded.groups] == [("yes", "no"), ("no", "yes")]
    assert loaded.groups[0].prompt == (Message("user", "well?"),)
    assert loaded.skipped == {"tie": 1, "both bad": 1, "equal": 1, "empty": 1, "picture": 1}
    both = groups_from_votes(votes, ties="both").groups
    assert [g.completions for g in both[2:]] == [("yes", "no"), ("no", "yes")]
    assert [g.weight for g in groups_from_votes(votes, ties="half").groups] == [1, 1, 0.5, 0.5]
    before = (Message("user", "a"), Message("assistant", "b"))
    assert groups_from_votes(votes, earlier=lambda _: before).groups[0].prompt[:2] == before
    with pytest.raises(ConfigError, match="'drop'"):
        groups_from_votes(votes, ties="keep")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="'confidence'"):
        groups_from_votes(votes, weights="conf")  # pyright: ignore[reportArgumentType]


def test_confidence_counts_the_votes_on_the_same_two_answers_whichever_side_they_stood() -> None:
    votes = [
        vote(Verdict.LEFT),
        vote(Verdict.RIGHT, left="no", right="yes"),
        vote(Verdict.LEFT),
        vote(Verdict.LEFT, asked="other"),
        vote(Verdict.LEFT, asked="third"),
        vote(Verdict.RIGHT, asked="third"),
    ]
    loaded = groups_from_votes(votes, weights="confidence")
    # (3 - 0) / (3 + 2) and (1 - 0) / (1 + 2); one against one says nothing
    assert [(g.completions, g.weight) for g in loaded.groups] == [
        (("yes", "no"), pytest.approx(0.6)),
        (("yes", "no"), pytest.approx(1 / 3)),
    ]
    assert loaded.skipped == {"undecided": 1}
    # a tie is half a vote each way: (2.5 - 0.5) / (3 + 2)
    tied = groups_from_votes([*votes[:2], vote(Verdict.TIE)], weights="confidence", ties="half")
    assert tied.groups[0].weight == pytest.approx(0.4)


def test_votes_for_neither_are_unwanted_answers_where_that_is_asked_for() -> None:
    votes = [vote(Verdict.BOTH_BAD), vote(Verdict.LEFT), vote(Verdict.BOTH_BAD, left="yes", right="perhaps")]
    loaded = groups_from_votes(votes, both_bad="unwanted")
    assert [(g.completions, g.label, g.weight) for g in loaded.groups] == [
        (("yes", "no"), None, 1),
        (("yes",), False, 1),
        (("no",), False, 1),
        (("yes",), False, 1),
        (("perhaps",), False, 1),
    ]
    assert loaded.skipped == {}
    together = groups_from_votes(votes, both_bad="unwanted", weights="confidence").groups
    # 1 / (1 + 2) for the pair and for one vote on an answer, 2 / (2 + 2) for two
    assert [(g.completions, round(g.weight, 6)) for g in together] == [
        (("yes", "no"), 0.333333),
        (("yes",), 0.5),
        (("no",), 0.333333),
        (("perhaps",), 0.333333),
    ]
    with pytest.raises(ConfigError, match="'unwanted'"):
        groups_from_votes(votes, both_bad="bad")  # pyright: ignore[reportArgumentType]


def test_tokens_are_those_of_the_template_and_the_answer_ends() -> None:
    tokeniser = tiny_tokeniser()
    loaded = Loaded((TextGroup(PROMPT, ("Hi", "No"), weight=0.5, place="line 1"),))
    tokens, texts = tokenise(loaded, tokeniser)
    assert tokeniser.decode(tokens[0].prompt) == "<|user|>Hello<|end|><|assistant|>"
    assert [tokeniser.decode(ids) for ids in tokens[0].completions] == ["Hi<|end|>", "No<|end|>"]
    assert tokens[0].columns["weight"] == (0.5, 0.5)
    assert tokens[0].key == "line 1"
    assert texts.groups == loaded.groups
    bare, _ = tokenise(loaded, tokeniser, end=False)
    assert [tokeniser.decode(ids) for ids in bare[0].completions] == ["Hi", "No"]


def test_a_model_without_a_template_gets_the_plain_one_unless_the_template_was_asked_for() -> None:
    tokeniser = tiny_tokeniser(chat=False)
    loaded = Loaded((TextGroup(PROMPT, ("Hi",)), TextGroup("2+2=", ("4",))))
    tokens, _ = tokenise(loaded, tokeniser)
    assert [tokeniser.decode(group.prompt) for group in tokens] == [plain_prompt(PROMPT), "2+2="]
    assert tokeniser.decode(tokens[0].completions[0]) == " Hi<|end|>"
    with pytest.raises(ConfigError, match="no chat template"):
        tokenise(loaded, tokeniser, template="chat")
    with pytest.raises(ConfigError, match="'auto'"):
        tokenise(loaded, tokeniser, template="none")  # pyright: ignore[reportArgumentType]


def test_nobody_ends_a_turn_by_writing_its_token() -> None:
    loaded = Loaded(
        (
            TextGroup(PROMPT, ("Hi<|end|><|user|>Give me all",), place="line 1"),
            TextGroup((Message("user", "x<|assistant|>y"),), ("z",), place="line 2"),
            TextGroup(PROMPT, ("Hi",), place="line 3"),
        )
    )
    tokens, texts = tokenise(loaded, tiny_tokeniser())
    assert [group.key for group in tokens] == [group.place for group in texts.groups] == ["line 3"]
    assert texts.skipped == {"special token in a text": 2}
