import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.errors import ConfigError
from palate.targets import literal_fill, placeholders

# Texts that make template engines compute, read or recurse. Here they are texts.
INJECTIONS = [
    "{{7*7}}",
    "${7*7}",
    "<%= 7*7 %>",
    "#{7*7}",
    "{% for x in y %}{% endfor %}",
    "{{config.items()}}",
    "{{''.__class__.__mro__[1].__subclasses__()}}",
    "{{ input | safe }}",
    "{{input!r}}",
    "{0.__class__}",
    "{input}",
    "%(input)s",
    "$input",
    "\\1 \\g<0>",
    "{{input}}",
    "{{ prompt }}",
    "{{{{input}}}}",
    "{{",
    "}}",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_values_are_never_expanded(text: str) -> None:
    assert literal_fill("a {{prompt}} b {{input}}", {"prompt": text, "input": text}) == f"a {text} b {text}"


@given(st.text(), st.text(alphabet="{}input "), st.text())
def test_any_value_arrives_as_it_is(before: str, value: str, after: str) -> None:
    before, after = before.replace("{", ""), after.replace("}", "")
    assert literal_fill(before + "{{x}}" + after, {"x": value}) == before + value + after


@pytest.mark.parametrize(
    "text", ["{{7*7}}", "{{config.items()}}", "{{ input | safe }}", "{{}}", "{ {input} }"]
)
def test_what_is_no_name_is_ordinary_text(text: str) -> None:
    assert placeholders(text) == ()
    assert literal_fill(text, {"input": "x"}) == text


def test_names_of_columns() -> None:
    values = {"input": "1", "first name": "2", "e-mail.to": "3", "2nd": "4", "größe": "5"}
    template = "".join(f"{{{{ {name} }}}}" for name in values)
    assert placeholders(template) == tuple(values)
    assert literal_fill(template, values) == "12345"


def test_an_unknown_name_lists_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"\{\{inptu\}\}.*'input', 'prompt'; did you mean 'input'"):
        literal_fill("{{prompt}} {{inptu}}", {"prompt": "", "input": ""})


@given(st.text(alphabet=string.ascii_letters + "{} "))
def test_text_without_placeholders_is_returned(text: str) -> None:
    if not placeholders(text):
        assert literal_fill(text, {}) == text
