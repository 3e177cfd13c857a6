"""A promptfoo configuration becomes a study file that says and asks the same."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from palate.config import check_data, load_inputs, load_prompts, parse_config
from palate.errors import InputError
from palate.integrations.promptfoo import PromptfooStudy, read_promptfoo
from palate.integrations.promptfoo._nunjucks import as_text, filled, look_up, variables
from palate.models import scripted_model
from palate.targets import InstructionTarget
from palate.types import Candidate, Message

TEXT = """\
description: Tweets
prompts:
  - 'Tweet about {{topic}}'
providers: openai:gpt-4o-mini
"""


def convert(folder: Path, text: str, **files: str) -> PromptfooStudy:
    """Write a configuration with files beside it, and read it; ``a__b_txt`` is the file ``a/b.txt``."""
    for name, held in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(held, encoding="utf-8")
    path = folder / "promptfooconfig.yaml"
    path.write_text(text, encoding="utf-8")
    return read_promptfoo(path)


def requests(made: PromptfooStudy, folder: Path) -> list[list[tuple[Message, ...]]]:
    """What the study would send: for each prompt, for each input."""
    config = parse_config(made.text, path=folder / "study.toml")
    if made.inputs is not None:
        (folder / "study.inputs.jsonl").write_text(made.inputs, encoding="utf-8")
    check_data(config)
    prompts = config.prompts
    target = InstructionTarget(scripted_model(["x"]), prompts.placement, prompts.template)
    inputs = load_inputs(config)
    return [[target.request(Candidate.make(p), i).messages for i in inputs] for p in load_prompts(config)]


def user(*contents: str) -> list[tuple[Message, ...]]:
    return [(Message("user", content),) for content in contents]


def table(made: PromptfooStudy, name: str) -> Any:
    return tomllib.loads(made.text)[name]


# -- prompts and tests ----------------------------------------------------------------------------


def test_the_example_of_the_documentation_asks_what_promptfoo_asks(tmp_path: Path) -> None:
    """Two lists of variables make every combination; see "Test cases", promptfoo's guide."""
    made = convert(
        tmp_path,
        """\
prompts:
  - 'Say {{input}} in {{language}}'
  - '{{language}}: {{ input }}'
tests:
  - vars:
      language: [French, German]
      input: [Hello, Goodbye]
""",
    )
    assert requests(made, tmp_path) == [
        user("Say Hello in French", "Say Goodbye in French", "Say Hello in German", "Say Goodbye in German"),
        user("French: Hello", "French: Goodbye", "German: Hello", "German: Goodbye"),
    ]
    assert any("{{input}} is now called {{input_text}}" in line for line in made.told)


def test_raters_read_every_variable(tmp_path: Path) -> None:
    made = convert(tmp_path, "prompts: ['{{a}} {{b}}']\ntests: [{vars: {a: x, b: 2, unused: z}}]")
    [shown] = load_inputs(parse_config(made.text))
    assert shown.text == "**a**: x\n\n**b**: 2"
    made = convert(tmp_path, "prompts: ['{{a}}']\ntests: [{vars: {a: x}}]")
    assert load_inputs(parse_config(made.text))[0].text == "x"


def test_one_file_holds_several_prompts(tmp_path: Path) -> None:
    made = convert(
        tmp_path,
        "prompts: [file://prompts/all.txt, 'prompts/*.md']\ntests: [{vars: {x: 1}}]",
        prompts__all_txt="One {{x}}\r\nmore\r\n---\r\n\n  ---  \nTwo --- {{x}}\n",
        prompts__b_md="Three\n---\n{{x}}\n",
    )
    assert requests(made, tmp_path) == [user("One 1\nmore"), user("Two --- 1"), user("Three\n---\n1\n")]


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("chat_json", '[{"role": "system", "content": "Be %s."}, {"role": "user", "content": "{{q}}?"}]'),
        ("chat_yaml", "- {role: system, content: Be %s.}\n- {role: user, content: '{{q}}?'}"),
    ],
)
def test_conversations_become_system_prompts(tmp_path: Path, name: str, held: str) -> None:
    """A system message and a user message that all share: the system message is what competes."""
    file = name.replace("_", ".")
    made = convert(
        tmp_path,
        f"prompts: [file://{file}, file://2{file}]\ntests: [{{vars: {{q: Why}}}}]",
        **{name: held % "kind", f"2{name}": held % "brief"},
    )
    asked = [[(Message("system", f"Be {how}."), Message("user", "Why?"))] for how in ("kind", "brief")]
    assert requests(made, tmp_path) == asked
    assert table(made, "prompts")["placement"] == "system"


def test_conversations_in_a_text_and_in_json_lines(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": [{"type": "text", "text": "Q: {{q}}"}]}]
    made = convert(
        tmp_path,
        f"prompts: ['{json.dumps(chat)}', file://more.jsonl]\ntests: [{{vars: {{q: 1}}}}]",
        more_jsonl='[{"role": "user", "content": "A {{q}}"}]\n[{"role": "user", "content": "B {{q}}"}]\n',
    )
    assert requests(made, tmp_path) == [user("Q: 1"), user("A 1"), user("B 1")]


def test_what_is_constant_in_a_system_message_is_put_in(tmp_path: Path) -> None:
    text = """\
prompts:
  - file://chat.json
defaultTest: {vars: {company: ACME}}
tests: [{vars: {q: a}}, {vars: {q: b}}]
"""
    chat = '[{"role": "system", "content": "You are %s."}, {"role": "user", "content": "{{q}}"}]'
    made = convert(tmp_path, text, chat_json=chat % "{{company}}")
    assert requests(made, tmp_path)[0][0][0] == Message("system", "You are ACME.")
    with pytest.raises(InputError, match="differs between tests"):
        convert(tmp_path, text, chat_json=chat % "{{q}}")


def test_prompts_of_another_build_are_left_out(tmp_path: Path) -> None:
    made = convert(
        tmp_path,
        "prompts: ['{{q}}', file://chat.json, 'No variable', 'Now {{ q }}']\ntests: [{vars: {q: a}}]",
        chat_json='[{"role": "system", "content": "S"}, {"role": "user", "content": "{{q}}"}]',
    )
    assert requests(made, tmp_path) == [user("a"), user("Now a")]
    assert [line.split(" is left out")[0] for line in made.told] == ["prompt 1 of 'chat.json'", "prompt 3"]


def test_prompts_in_csv_and_in_a_list_of_their_own(tmp_path: Path) -> None:
    made = convert(
        tmp_path,
        "prompts: [file://p.csv, {id: 'file://list.yaml', label: L}, {raw: 'Raw {{q}}'}]\n"
        "tests: [{vars: {q: a}}]",
        p_csv='prompt,label\n"One, {{q}}",1\n"Two, {{q}}",2\n',
        list_yaml="- 'Three {{q}}'\n- id: x\n  raw: 'Four {{q}}'\n",
    )
    assert requests(made, tmp_path) == [
        user(f"{text} a") for text in ("One,", "Two,", "Three", "Four", "Raw")
    ]


def test_tests_come_from_files_of_all_kinds(tmp_path: Path) -> None:
    made = convert(
        tmp_path,
        TEXT + "tests: [file://t.csv, file://t.json, file://t.jsonl, file://t.yaml, {vars: file://v.yaml}]",
        t_csv='topic,__expected,__description\n"a, ""b""",equals: A,first\nhttp: x,http: x,\n',
        t_json='[{"vars": {"topic": "c"}, "assert": [{"type": "equals", "value": "C {{topic}}"}]}]',
        t_jsonl='{"vars": {"topic": "d"}}\n',
        t_yaml="- topic: no\n  __expected: 'contains: x'\n- vars: {topic: [f, g]}\n",
        v_yaml="topic: h",
    )
    config = parse_config(made.text)
    found = {item.text: item.references for item in load_inputs(config)}
    assert list(found) == ['a, "b"', "http: x", "c", "d", "no", "f", "g", "h"]
    assert found['a, "b"'] == ("A",)
    assert found["http: x"] == ("http: x",)  # not a kind of assertion, so the text itself
    assert found["c"] == ("C c",)
    assert made.told == ("assertions are left out, because people decide: contains (1)",)


def test_defaults_lie_under_tests_and_scenarios_between(tmp_path: Path) -> None:
    made = convert(
        tmp_path,
        """\
prompts: ['{{a}}{{b}}{{c}}']
defaultTest: {vars: {a: 1, b: 1, c: 1}}
tests: [{vars: {b: 2}}]
scenarios:
  - config: [{vars: {b: 3}}, {vars: {b: 4}}]
    tests: [{vars: {c: 5}}]
""",
    )
    assert requests(made, tmp_path) == [user("121", "135", "145")]


def test_variables_hold_files_and_other_variables(tmp_path: Path) -> None:
    made = convert(
        tmp_path,
        """\
prompts: ['{{text}} / {{user.name}} / {{list}} / {{kept}}']
tests:
  - vars: {text: 'file://in/*.txt', user: {name: Ann}, list: [1, 2], kept: 'by {{who}}', who: me}
  - vars: {text: x, user: {name: Bob}, list: [a, b], kept: '{{nobody}}'}
    options: {disableVarExpansion: true}
""",
        in__a_txt="first\n",
        in__b_txt="second\n",
    )
    assert requests(made, tmp_path) == [
        user(
            "first / Ann / 1,2 / by me",
            "second / Ann / 1,2 / by me",
            "x / Bob / a,b / {{nobody}}",  # what a variable holds is never filled in again
        )
    ]


def test_names_that_palate_uses_are_renamed(tmp_path: Path) -> None:
    made = convert(
        tmp_path,
        "prompts: ['{{prompt}} {{prompt_text}} {{demonstrations}}']\n"
        "tests: [{vars: {prompt: a, prompt_text: b, demonstrations: c}}]",
    )
    assert requests(made, tmp_path) == [user("a b c")]
    assert len(made.told) == 2


def test_many_inputs_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    made = convert(tmp_path, TEXT + f"tests: [{{vars: {{topic: {[f't{n}' for n in range(51)]}}}}}]")
    assert made.rows == 51
    assert made.inputs is not None
    assert table(made, "inputs") == {"path": "study.inputs.jsonl", "column": "input"}
    assert requests(made, tmp_path)[0][50] == user("Tweet about t50")[0]
    few = convert(tmp_path, TEXT + "tests: [{vars: {topic: a}}]")
    assert few.inputs is None


def test_nasty_texts_survive(tmp_path: Path) -> None:
    nasty = 'say "hi" \\n \\ there\t# no comment \x7f ü \'\'\' """ {{{'
    rows = json.dumps([{"vars": {"topic": nasty + "\nline"}}])
    made = convert(tmp_path, TEXT + f"  \ntests: {rows}\n", prompts__x_txt="unused")
    assert requests(made, tmp_path)[0] == user(f"Tweet about {nasty}\nline")
    prompt = 'Quote """ and \\ and\n"{{topic}}"\n# end'
    made = convert(
        tmp_path,
        f"description: {json.dumps(nasty)}\nprompts: [{json.dumps(prompt)}]\ntests: [{{vars: {{topic: x}}}}]",
    )
    assert requests(made, tmp_path)[0] == user('Quote """ and \\ and\n"x"\n# end')


# -- providers ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai:gpt-4o-mini", {"model": "gpt-4o-mini", "api_key_env": "OPENAI_API_KEY"}),
        ("openai:chat:gpt-4.1", {"model": "gpt-4.1", "api_key_env": "OPENAI_API_KEY"}),
        (
            "openai:responses:gpt-5-mini",
            {"model": "gpt-5-mini", "api_key_env": "OPENAI_API_KEY", "omit": ["temperature"]},
        ),
        (
            "{id: 'openai:chat:qwen', config: {apiBaseUrl: 'http://127.0.0.1:8000/v1/', top_p: 0.9}}",
            {"model": "qwen", "base_url": "http://127.0.0.1:8000/v1", "extra": {"top_p": 0.9}},
        ),
        (
            "{id: 'openai:chat:m', config: {apiHost: 'llm.example', apiKeyEnvar: MY_KEY}}",
            {"model": "m", "base_url": "https://llm.example/v1", "api_key_env": "MY_KEY"},
        ),
        ("{'openai:chat:m': {config: {}}}", {"model": "m", "api_key_env": "OPENAI_API_KEY"}),
        ("ollama:chat:llama3.2:1b", {"model": "llama3.2:1b", "base_url": "http://127.0.0.1:11434/v1"}),
        ("ollama:llama3.2", {"model": "llama3.2", "base_url": "http://127.0.0.1:11434/v1"}),
        (
            "openrouter:meta-llama/llama-4",
            {
                "model": "meta-llama/llama-4",
                "base_url": "https://openrouter.ai/api/v1",
                "api_key_env": "OPENROUTER_API_KEY",
            },
        ),
    ],
)
def test_a_provider_becomes_a_model(tmp_path: Path, provider: str, model: dict[str, object]) -> None:
    text = f"prompts: ['{{{{t}}}}']\nproviders: [{provider}]\ntests: [{{vars: {{t: x}}}}]"
    made = convert(tmp_path, text)
    assert table(made, "model") == {"kind": "openai", **model}
    parse_config(made.text)


def test_settings_of_a_provider(tmp_path: Path) -> None:
    text = """\
prompts: ['{{t}}']
providers:
  - file://provider.yaml
  - anthropic:messages:claude
  - openai:embedding:text-embedding-3-large
  - groq:llama-4
tests: [{vars: {t: x}}]
"""
    config = "{temperature: 0.7, max_tokens: 99, apiKey: sk-canary, tools: [], stop: [a]}"
    held = f"id: openai:gpt-4o\nconfig: {config}"
    made = convert(tmp_path, text, provider_yaml=held)
    assert (table(made, "prompts")["temperature"], table(made, "prompts")["max_tokens"]) == (0.7, 99)
    assert table(made, "model")["extra"] == {"stop": ["a"]}
    assert "sk-canary" not in made.text + "".join(made.told)
    assert '# model = "llama-4"' in made.text
    assert [line.split(":")[0].split(" is ")[0].split(" has ")[0] for line in made.told] == [
        "provider 'openai",
        "settings of provider 'openai",
        "provider 'anthropic",
        "provider 'openai",
    ]


def test_without_a_provider_that_can_be_asked_the_model_is_to_be_named(tmp_path: Path) -> None:
    made = convert(tmp_path, "prompts: ['{{t}}']\nproviders: [python:x.py]\ntests: [{vars: {t: x}}]")
    assert made.model is None
    assert table(made, "model") == {"kind": "embedded"}
    assert "python:x.py" in made.text


@pytest.mark.parametrize(
    "config", ["apiBaseUrl: 'http://me:secret@h/v1'", "apiBaseUrl: '{{env.URL}}'", "apiBaseUrl: 'file:///x'"]
)
def test_addresses_that_cannot_be_used(tmp_path: Path, config: str) -> None:
    provider = f"{{id: 'openai:m', config: {{{config}}}}}"
    text = f"prompts: ['{{{{t}}}}']\nproviders: [{provider}]\ntests: [{{vars: {{t: x}}}}]"
    made = convert(tmp_path, text)
    assert made.model is None
    assert "its address" in made.told[0]
    assert "secret" not in made.text


def test_numbers_out_of_range_are_told(tmp_path: Path) -> None:
    provider = "{id: 'openai:m', config: {temperature: 3, max_tokens: 0}}"
    made = convert(tmp_path, f"prompts: ['{{{{t}}}}']\nproviders: [{provider}]\ntests: [{{vars: {{t: x}}}}]")
    assert (table(made, "prompts")["temperature"], table(made, "prompts")["max_tokens"]) == (0.0, 1024)
    assert len(made.told) == 2


# -- words ----------------------------------------------------------------------------------------


def test_rubrics_for_every_test_tell_raters_what_to_look_for(tmp_path: Path) -> None:
    made = convert(
        tmp_path,
        TEXT
        + """\
defaultTest:
  assert:
    - {type: llm-rubric, value: Is funny}
    - {type: javascript, value: 'process.exit(1)'}
    - {type: llm-rubric, value: 'About {{topic}}'}
tests:
  - {vars: {topic: a}, assert: [{type: assert-set, assert: [{type: cost}, {type: latency}]}]}
  - {vars: {topic: b}, options: {prefix: 'Now: '}}
redteam: {purpose: x}
""",
    )
    assert table(made, "study")["guidelines"].splitlines()[-1] == "- Is funny"
    assert made.told == (
        "'redteam' is left out",
        "assertions are left out, because people decide: "
        "javascript (2), llm-rubric (2), cost (1), latency (1)",
        "a prefix or suffix of the prompt is left out in 1 tests",
    )
    for line in made.told:
        assert f"# - {line}" in made.text


def test_variables_of_a_template() -> None:
    assert variables("{{a}} {{ b.c.0 }} {a} {{a}}{}") == ("a", "b.c.0")
    values = {"b": {"c": ["x"]}, "d.e": 1}
    assert look_up(values, "b.c.0") == "x"
    assert look_up(values, "d.e") == 1
    assert look_up(values, "b.c.7") is None
    assert look_up(values, "b.x.y") is None
    assert as_text([["a"], 1]) == '[["a"],1]'
    assert as_text({"a": 1}) == '{"a":1}'
    assert as_text(["a", None, True]) == "a,,true"


def test_variables_are_filled_five_times_at_most() -> None:
    chain = {f"v{n}": f"{{{{v{n + 1}}}}}" for n in range(40)} | {"v40": "end"}
    # A name takes over what the next one holds, so each pass doubles the step: five passes make 32.
    found = filled(chain)
    assert (found["v0"], found["v8"], found["v9"]) == ("{{v32}}", "{{v40}}", "end")
    assert filled({"a": "{{b}}\n", "b": "x\n\n"}) == {"a": "x\n", "b": "x\n"}
    with pytest.raises(InputError, match="grows beyond"):
        filled({"a": "{{b}}" * 100, "b": "{{c}}" * 100, "c": "x" * 1000})


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ name | upper }}", "uses a filter"),
        ("{% if a %}b{% endif %}", "{% if a %} is logic"),
        ("{# note #}", "comment"),
        ("{{ f(1) }}", "more than a variable"),
        ("{{ 'x' }}", "more than a variable"),
        ("{{ a - b }}", "more than a variable"),
        ("{{ a", "does not end"),
        ("{{env.KEY}}", "environment variable"),
        ("{{_conversation}}", "earlier turns"),
    ],
)
def test_logic_is_refused_by_name(template: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        variables(f"text {template} text")
    assert told in str(error.value)
