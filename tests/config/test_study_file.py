"""Study files: what is accepted, and that each mistake is one line that says what to do."""

from pathlib import Path

import pytest

from palate.config import StudyConfig, parse_config, read_config
from palate.errors import ConfigError, InputError, PalateError

GOOD = """\
[model]
kind = "scripted"

[inputs]
inline = ["one", "two"]

[prompts]
seed = "Say it."
"""


def refused(source: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(source)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_small_file_gets_defaults() -> None:
    config = parse_config(GOOD)
    assert config.study.candidates == 30
    assert config.embedding.kind == "wordllama"
    assert config.proposers.use == ("rephrase",)
    assert config.budget.cost is None
    assert config.source == GOOD


def test_examples_add_induction() -> None:
    source = GOOD + '[examples]\ninline = [{input = "a", output = "b"}]\n'
    assert parse_config(source).proposers.use == ("rephrase", "induction")
    assert parse_config(source + '[proposers]\nuse = ["rephrase"]\n').proposers.use == ("rephrase",)


def test_paths_start_at_the_study_file(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "replies.toml"
    file.parent.mkdir()
    file.write_text(GOOD, encoding="utf-8")
    config = read_config(file)
    assert config.database == tmp_path / "deep" / "replies.db"
    named = parse_config('[study]\ndatabase = "other.db"\n' + GOOD, path=file)
    assert named.database == tmp_path / "deep" / "other.db"


def test_a_model_path_beside_the_study_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    source = GOOD.replace('"scripted"', '"transformers"\npath = "weights"')
    config = parse_config(source, path=tmp_path / "study.toml")
    assert config.options(config.model) == {"path": str((tmp_path / "weights").resolve())}
    elsewhere = parse_config(source.replace("weights", "somebody/model"), path=tmp_path / "study.toml")
    assert elsewhere.options(elsewhere.model) == {"path": "somebody/model"}


def test_settings_come_back_equal() -> None:
    source = (
        GOOD + '[proposers]\ntemperature = 0.5\n[proposers.rephrase]\nparents = "any"\n[budget]\ncost = 2\n'
    )
    config = parse_config(source)
    again = StudyConfig.from_settings(config.settings())
    assert again.settings() == config.settings()
    assert again.proposers == config.proposers
    assert config.proposers.options_of("rephrase") == {"temperature": 0.5, "parents": "any"}
    assert config.proposers.options_of("induction") == {"temperature": 0.5}


def test_environment_is_never_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    config = parse_config(GOOD.replace("Say it.", "Say ${SECRET} $SECRET."))
    assert config.prompts.seed == "Say ${SECRET} $SECRET."


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (
            GOOD.replace("[model]", "[modle]"),
            ("study.toml:1: [modle]: unknown table", "did you mean 'model'?"),
        ),
        (GOOD + 'placment = "system"\n', ("study.toml:9: [prompts] placment: unknown key", "'placement'?")),
        (GOOD + 'placement = "sytem"\n', ("[prompts] placement is 'sytem'", "'system'?", "'template'")),
        ("[study]\ncandidates = 1\n" + GOOD, ("study.toml:2: [study] candidates is 1", "at least 2")),
        ('[study]\ncandidates = "30"\n' + GOOD, ("candidates is '30'", "a whole number")),
        ("[study]\ncandidates = true\n" + GOOD, ("candidates is true", "a whole number")),
        ("[study]\ncandidates = 3.5\n" + GOOD, ("candidates is 3.5", "a whole number")),
        (GOOD + "temperature = nan\n", ("[prompts] temperature is nan", "finite number")),
        (GOOD + "temperature = 7\n", ("[prompts] temperature is 7", "at most 2")),
        (GOOD + "[budget]\ncost = 0\n", ("[budget] cost is 0", "more than 0")),
        (GOOD + "[page]\nport = 70000\n", ("[page] port is 70000", "at most 65535")),
        (GOOD.replace('"Say it."', '""'), ("[prompts] seed is ''", "not empty")),
        (GOOD.replace('"Say it."', "3"), ("[prompts] seed is 3", "a text in quotes")),
        (GOOD.replace('seed = "Say it."', ""), ("[prompts] seed is missing", "add seed = …")),
        (GOOD.replace('["one", "two"]', '["one", 2]'), ("[inputs] inline, entry 2 is 2", "a table")),
        (GOOD.replace('["one", "two"]', '"one"'), ("[inputs] inline is 'one'", "a list")),
        (GOOD.replace('["one", "two"]', "[]"), ("[inputs] inline is empty",)),
        (GOOD.replace("inline", "path = 'x.txt'\ninline"), ("both inline and path", "exactly one")),
        (GOOD.replace('inline = ["one", "two"]', ""), ("neither inline nor path", "exactly one")),
        (GOOD.partition("[prompts]")[0], ("[prompts] seed is missing", "seed = …")),
        (GOOD.partition("[inputs]")[2].join(("[inputs]", "")), ("[model] is missing", "kind = …")),
        ("study = 3\n" + GOOD, ("study.toml:1: [study] is 3", "a table")),
        (GOOD.replace('"scripted"', '"scriptd"'), ("[model] kind is 'scriptd'", "did you mean 'scripted'?")),
        (GOOD.replace("[inputs]", 'anwers = "x"\n[inputs]'), ("[model] anwers: unknown key", "'answers'?")),
        (GOOD.replace("[inputs]", "delay = 2020-01-01\n[inputs]"), ("[model] delay", "a text, number")),
        (GOOD + "[strategy]\nname = 'rnadom'\n", ("[strategy] name is 'rnadom'", "'random'?")),
        (GOOD + "[proposers]\nuse = ['rephrse']\n", ("[proposers] use is 'rephrse'", "'rephrase'?")),
        (GOOD + "[proposers]\nuse = ['induction']\n", ("'induction', which needs the table [examples]",)),
        (GOOD + "[proposers]\ntemprature = 1\n", ("[proposers] temprature", "'temperature'?")),
        (GOOD + "[proposers.rephrase]\nparnts = 1\n", ("[proposers.rephrase] parnts", "'parents'?")),
        (GOOD + "[proposers.rephrse]\nparents = 1\n", ("[proposers.rephrse]", "'rephrase'?")),
        (GOOD + "demonstrations = 2\n", ("[prompts] demonstrations needs the table [examples]",)),
        (GOOD + "column = 'x'\n", ("[prompts] column needs path",)),
        (GOOD + "list = ['a']\npath = 'b.txt'\n", ("[prompts] has both list and path",)),
        (GOOD + "placement = 'template'\n", ("[prompts]", "{{input}}")),
        (GOOD + "placement = 'template'\ntemplate = '{{input}}'\n", ("[prompts]", "{{prompt}}")),
        (GOOD + "template = 'no place'\n", ("[prompts]", "{{input}}")),
        (GOOD + "template = '{{prompt}} {{input}}'\n", ("[prompts]", "placement")),
        (
            GOOD.replace("[inputs]", "api_key_env = 'sk-canary-123'\n[inputs]"),
            ("api_key_env must be the name",),
        ),
        (GOOD.replace('kind = "scripted"', 'kind = "scripted'), ("study.toml: not TOML", "line 2")),
        ("x = " + "[" * 5000, ("study.toml: nested too deeply",)),
        ("x = " + "9" * 6000, ("study.toml: not TOML",)),
    ],
)
def test_each_mistake_is_one_clear_line(source: str, parts: tuple[str, ...]) -> None:
    text = refused(source)
    for part in parts:
        assert part in text


def test_a_misspelling_goes_before_what_it_makes_missing() -> None:
    text = refused(GOOD.replace("[inputs]", "[input]"))
    assert "[input]: unknown table" in text
    assert "did you mean 'inputs'?" in text
    assert text.endswith("(and 1 more problem)")


def test_a_pasted_key_is_not_repeated() -> None:
    assert "canary" not in refused(GOOD.replace("[inputs]", "api_key_env = 'sk-canary-123'\n[inputs]"))
    assert "canary" not in refused(GOOD.replace("[inputs]", "api_kee = 'sk-canary-123'\n[inputs]"))


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(InputError, match=r"did you mean 'study.toml'\?"):
        read_config(tmp_path / "stdy.toml")
    with pytest.raises(InputError, match=r"its folder .* does not exist"):
        read_config(tmp_path / "nowhere" / "stdy.toml")


def test_not_utf8_says_where(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(GOOD.encode() + b'# caf\xe9"\n')
    with pytest.raises(InputError, match=r"not UTF-8 \(byte 0xe9 in line 9\); save it as UTF-8"):
        read_config(file)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert read_config(file).prompts.seed == "Say it."


def test_a_study_file_has_a_size_limit(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(GOOD + "#" * 5_000_000, encoding="utf-8")
    with pytest.raises(InputError, match="larger than 5 MB"):
        read_config(file)


def test_a_folder_is_no_study_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; give a file"):
        read_config(tmp_path)


def test_random_damage_is_always_explained() -> None:
    # Every prefix and every single deleted character: either a good file or an error of ours, never another.
    explained: list[str] = []
    for cut in range(len(GOOD)):
        for source in (GOOD[:cut], GOOD[:cut] + GOOD[cut + 1 :]):
            try:
                parse_config(source)
            except PalateError as error:
                explained.append(str(error))
    assert len(explained) > len(GOOD)
    assert not any("\n" in text for text in explained)
