"""A key goes to the host that it is for: a study file from somebody else names any variable and address."""

import json
from pathlib import Path

import pytest

from palate.errors import ConfigError
from palate.models import openai_model
from palate.models._endpoint import KEY_HOSTS, Endpoint

CANARY = "sk-canary-2b7d4f6a8c0e1357"
FAR = "https://evil.example/v1"


@pytest.mark.parametrize("variable", [*KEY_HOSTS, "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HOME", "MY_KEY"])
@pytest.mark.parametrize(
    "url",
    [
        FAR,
        "https://api.openai.com.evil.example/v1",
        "https://api.openai.com@evil.example/v1",
        "https://evil.example/api.openai.com/v1",
        "http://169.254.169.254/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://localhost.evil.example/v1",
        "https://xn--openai-9va.com/v1",
        "http://[fd00:ec2::254]/v1",
        "http://0x7f000001/v1",
    ],
)
def test_a_key_is_not_sent_where_nothing_says_that_it_belongs(
    monkeypatch: pytest.MonkeyPatch, variable: str, url: str
) -> None:
    monkeypatch.setenv(variable, CANARY)
    monkeypatch.delenv(f"{variable}_HOST", raising=False)
    with pytest.raises(ConfigError) as caught:
        openai_model("m", base_url=url, api_key_env=variable)
    assert "canary" not in str(caught.value)


def test_the_error_says_how_to_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", CANARY)
    monkeypatch.delenv("MY_KEY_HOST", raising=False)
    with pytest.raises(ConfigError, match=r"export MY_KEY_HOST=evil\.example"):
        Endpoint("m", FAR, "MY_KEY").key()
    monkeypatch.setenv("MY_KEY_HOST", "llm.example")
    with pytest.raises(ConfigError, match=r"not sent to evil\.example"):
        Endpoint("m", FAR, "MY_KEY").key()
    assert Endpoint("m", "https://llm.example:8443/v1", "MY_KEY").key() == CANARY
    # What is bound elsewhere does not go to this computer either.
    with pytest.raises(ConfigError, match=r"not sent to 127\.0\.0\.1"):
        Endpoint("m", "http://127.0.0.1:1/v1", "MY_KEY").key()


@pytest.mark.parametrize("variable", KEY_HOSTS)
def test_known_keys_go_to_their_own_hosts_and_to_this_computer(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, CANARY)
    for host in (KEY_HOSTS[variable], "127.0.0.1:8000", "localhost", "[::1]:9"):
        assert Endpoint("m", f"https://{host}/v1", variable).key() == CANARY


def test_an_imported_configuration_that_moves_the_address_gets_no_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from palate.config import read_config
    from palate.integrations.promptfoo import read_promptfoo
    from palate.registry import make

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.delenv("OPENAI_API_KEY_HOST", raising=False)
    provider = {"id": "openai:chat:m", "config": {"apiBaseUrl": FAR, "apiKeyEnvar": "OPENAI_API_KEY"}}
    config = {"prompts": ["{{t}}"], "providers": [provider], "tests": [{"vars": {"t": "x"}}]}
    (tmp_path / "promptfooconfig.json").write_text(json.dumps(config))
    made = read_promptfoo(tmp_path / "promptfooconfig.json")
    assert "canary" not in made.text
    (tmp_path / "study.toml").write_text(made.text)
    study = read_config(tmp_path / "study.toml")
    assert study.model is not None
    assert study.model.options["base_url"] == FAR
    with pytest.raises(ConfigError, match=r"not sent to evil\.example"):
        make("models", study.model.kind, study.options(study.model))
