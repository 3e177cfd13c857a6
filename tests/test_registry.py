"""The door for plug-ins, tried with a real package that is built, installed and loaded."""

import asyncio
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import pytest

from palate import registry
from palate.errors import ConfigError, NotFoundError
from palate.registry import GROUPS, look_up, make, parts
from palate.types import Duel, Input, Message, Model, Request, Response, Verdict

PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plug-in package, built as a wheel and unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("plugin")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "dist")],
        cwd=PACKAGE,
        check=True,
        capture_output=True,
    )
    [wheel] = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def fresh() -> Iterator[None]:
    """Entry points are read once a process; a test that installs something reads them anew."""
    registry._entries.cache_clear()  # pyright: ignore[reportPrivateUsage]
    invalidate_caches()
    yield
    registry._entries.cache_clear()  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def plugin(installed: Path, fresh: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(installed))
    return installed


Install = Callable[[str, dict[str, str]], None]


@pytest.fixture
def install(tmp_path: Path, fresh: None, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put the metadata of a package with some judges on the path."""

    def place(name: str, judges: dict[str, str]) -> None:
        info = tmp_path / name / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{key} = {value}" for key, value in judges.items()]
        (info / "entry_points.txt").write_text("\n".join(["[palate.judges]", *lines]))
        monkeypatch.syspath_prepend(str(tmp_path / name))

    return place


def test_a_plug_in_stands_beside_the_built_in_parts(plugin: Path) -> None:
    listed = {part.name: part for part in parts("models")}
    assert listed["parrot"].package == "palate-plugin-of-the-tests"
    assert listed["parrot"].location == "palate_plugin:parrot_model"
    assert listed["scripted"].package == "palate"
    assert list(listed) == sorted(listed)


def test_a_plug_in_model_answers(plugin: Path) -> None:
    model = make("models", "parrot", {"times": 2})
    assert isinstance(model, Model)
    answer = asyncio.run(model.generate(Request((Message("user", "hello "),))))
    assert (answer.text, answer.model) == ("hello hello ", "parrot-2")


def test_what_palate_supplies_reaches_only_makers_that_ask(plugin: Path) -> None:
    judge = make("judges", "longest", {"margin": 3}, seed=7, model="not asked for")
    assert (judge.margin, judge.seed) == (3, 7)
    shown = Duel(
        "d", "p", "longest", Input("i", "?"), Response("text", "a"), Response("text", "abcd"), "1", "2", False
    )
    assert asyncio.run(judge.judge(shown)).verdict is Verdict.RIGHT


def test_a_user_cannot_set_what_palate_supplies(plugin: Path) -> None:
    with pytest.raises(ConfigError, match=r"no option 'seed'; known: 'margin'$"):
        make("judges", "longest", {"margin": 3, "seed": 1}, seed=7)


def test_a_missing_option_is_named(plugin: Path) -> None:
    with pytest.raises(ConfigError, match=r"'longest' needs 'margin'; add it to the study file"):
        make("judges", "longest", {})


def test_an_unknown_option_gets_the_nearest(plugin: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"no option 'margn'; known: 'margin', 'seed'; did you mean 'margin'\?"
    ):
        make("judges", "longest", {"margn": 3})


@pytest.mark.parametrize(
    ("name", "reason"), [("broken", "a_library_that_is_not_installed"), ("vanished", "no_such_name")]
)
def test_a_broken_plug_in_is_named_when_it_is_used(plugin: Path, name: str, reason: str) -> None:
    assert name in {part.name for part in parts("judges")}
    with pytest.raises(
        ConfigError, match=f"judge '{name}' from package 'palate-plugin-of-the-tests' failed"
    ) as told:
        look_up("judges", name)
    assert reason in str(told.value)
    assert told.value.__cause__ is not None
    assert look_up("judges", "simulated") is not None


def test_two_packages_with_one_name_are_refused(install: Install) -> None:
    install("first", {"strict": "first:judge"})
    install("second", {"strict": "second:judge"})
    with pytest.raises(ConfigError) as told:
        parts("judges")
    for word in ("'strict'", "first:judge", "second:judge", "uninstall"):
        assert word in str(told.value)


def test_a_plug_in_cannot_take_the_name_of_a_built_in_part(install: Install) -> None:
    install("thief", {"simulated": "thief:judge"})
    with pytest.raises(ConfigError, match="'simulated'"):
        look_up("judges", "simulated")


def test_the_same_package_found_twice_is_one(install: Install) -> None:
    install("once", {"strict": "once:judge"})
    install("again", {"strict": "once:judge"})
    assert [part.name for part in parts("judges")].count("strict") == 1


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(
        NotFoundError, match=r"no strategy called 'apofh'; known: .*; did you mean 'apohf'\?"
    ) as told:
        look_up("strategies", "apofh")
    assert "'random'" in str(told.value)


@pytest.mark.parametrize(
    "ask", [parts, lambda group: look_up(group, "any"), lambda group: make(group, "any", {})]
)
def test_an_unknown_group_lists_the_groups(ask: Callable[[str], Any]) -> None:
    with pytest.raises(NotFoundError, match=r"'judge'; known: .*'judges'.*did you mean 'judges'\?"):
        ask("judge")


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_can_be_listed(group: str) -> None:
    assert all(part.location and part.package for part in parts(group))


def test_open_ended_makers_take_any_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "look_up", lambda group, name: lambda **options: options)
    assert make("models", "any", {"whatever": 1}) == {"whatever": 1}
