"""``palate run``: a study from its file to a better prompt, by page, terminal or simulated judge."""

import shlex
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from palate.command._progress import progress
from palate.command._say import console, note, one_line, say
from palate.command._serving import PageOptions, gathered
from palate.command._session import Session, session_of
from palate.command._watching import WatchOptions, watching
from palate.errors import ConfigError, PalateError

if TYPE_CHECKING:
    from palate.study import Study
    from palate.web import Learning

__all__ = ["JudgeName", "Options", "Terminal", "Votes", "register", "run_study"]

ME = "me"
DEFAULT_VOTES = 30  # of a judge that is not a person, when neither --votes nor [budget] votes says

JudgeName = Annotated[
    str,
    typer.Option(
        "--judge",
        help="Who votes: 'me', rules:FILE, a [judges] table of the study file, or a registered judge.",
    ),
]
Votes = Annotated[int | None, typer.Option("--votes", min=1, help="Stop after so many votes in this run.")]
Terminal = Annotated[bool, typer.Option("--terminal", help="Vote here instead of in the browser.")]
JudgeOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--judge-option", metavar="KEY=VALUE", help="An option of the judge, such as scale=4; repeat it."
    ),
]


@dataclass(frozen=True, slots=True)
class Options:
    """How a study is run this time."""

    judge: str = ME
    votes: int | None = None
    terminal: bool = False
    page: PageOptions = field(default_factory=PageOptions)
    yes: bool = False
    judge_options: tuple[str, ...] = ()
    allow_commands: bool = False
    watch: WatchOptions = field(default_factory=WatchOptions)

    def again(self, path: Path) -> str:
        """The command that goes on with this run."""
        words = ["palate", "run", str(path)]
        if self.judge != ME:
            words += ["--judge", self.judge]
        for option in self.judge_options:
            words += ["--judge-option", option]
        if self.allow_commands:
            words.append("--allow-commands")
        more = [*self.page.words(), *self.watch.words(), *(["--terminal"] if self.terminal else [])]
        return shlex.join([*words, *more])


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("run")(run)


@gathered(WatchOptions, "watch")
@gathered(PageOptions, "page")
def run(
    ctx: typer.Context,
    study: Annotated[Path, typer.Argument(metavar="STUDY.toml", help="The study file.")] = Path("study.toml"),
    judge: JudgeName = ME,
    judge_option: JudgeOptions = None,
    votes: Votes = None,
    terminal: Terminal = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Accept a changed study file without asking.")
    ] = False,
    allow_commands: Annotated[
        bool,
        typer.Option("--allow-commands", help="Run the command that the study file names, without asking."),
    ] = False,
    page: PageOptions | None = None,
    watch: WatchOptions | None = None,
) -> None:
    """Run a study: propose prompts, ask which answers are better, learn.

    A study that exists is continued. Ctrl-C stops it at any time; nothing is lost.
    """
    page, watch = page or PageOptions(), watch or WatchOptions()
    options = Options(judge, votes, terminal, page, yes, tuple(judge_option or ()), allow_commands, watch)
    run_study(study, options, session_of(ctx))


def run_study(path: Path, options: Options, session: Session) -> None:
    """Open or continue a study and collect votes.

    Raises:
        ConfigError: The study file or an option is wrong, or a change was not accepted.
        PalateError: What the parts of the study could not do.
    """
    with watching(options.watch):
        _run_study(path, options, session)


def _run_study(path: Path, options: Options, session: Session) -> None:
    _check(path, options)
    session.again = options.again(path)
    from palate.config import check_data, read_config

    # Before anything is made or fetched: a mistake in the files is told at once and leaves nothing behind.
    config = read_config(path)
    check_data(config)
    if options.judge not in (ME, *config.judges) and ":" not in options.judge:
        from palate.registry import look_up

        look_up("judges", options.judge)
    from palate.study import Study

    place = config.database
    if isinstance(place, str):
        note(f"The study is on a server, {place}; other processes may work on it too.")
    elif place.is_file():
        note(f"Continuing the study in {place}.")
    tables = (config.model, config.proposer_model)
    if any(t and t.kind in ("embedded", "transformers") and "path" not in t.options for t in tables):
        fetch_if_missing()
    person = options.judge == ME
    accept = _asking(options)
    with Study.open(
        path,
        exclusive=not isinstance(place, str),
        accept_changes=accept,
        allow_commands=_allowing(options),
        repeatable=not person,
        served=person and not options.terminal,
    ) as study:
        if not person:
            _judged(study, options, config.budget.votes)
        elif options.terminal:
            _in_terminal(study, options)
        else:
            _on_page(study, options, config.page.port, session)


def _check(path: Path, options: Options) -> None:
    if path.suffix != ".toml":
        raise ConfigError(
            f"{str(path)!r} is no study file; palate run takes a .toml file; write one with: palate init"
        )
    # A mistake in these is told before a model is fetched or asked.
    options.page.public_address()
    options.page.metrics_token()
    if options.judge != ME:
        if options.page.public is not None:
            raise ConfigError("--public is for people; leave it out, or leave out --judge")
        if options.terminal:
            raise ConfigError(f"--terminal is for people; leave it out, or leave out --judge {options.judge}")
    elif options.terminal and options.page.public is not None:
        raise ConfigError("--public is for the page; leave it out, or leave out --terminal")
    elif options.judge_options:
        raise ConfigError("--judge-option is for other judges than people; name one with --judge")
    elif options.votes is not None and not options.terminal:
        raise ConfigError(
            "--votes ends a run of --terminal or of another judge; on the page, set [budget] votes"
        )


def _asking(options: Options) -> Callable[[list[str]], bool]:
    """Show what changed in the study file, and ask whether to go on with it."""

    def accept(changes: list[str]) -> bool:
        note("The study file has changed since this study was started:")
        for line in changes:
            note(f"  {one_line(line, 200)}")
        if options.yes:
            return True
        return sys.stdin.isatty() and typer.confirm("Go on with the changes?", default=False, err=True)

    return accept


def _allowing(options: Options) -> Callable[[str], bool]:
    """Show what the study file runs on this machine, and ask whether it may."""

    def allow(command: str) -> bool:
        note("This study runs a command on this machine, with your rights:")
        note(f"  {one_line(command, 500)}")
        if options.allow_commands:
            return True
        return sys.stdin.isatty() and typer.confirm("Run it?", default=False, err=True)

    return allow


def fetch_if_missing() -> None:
    """Fetch the embedded model's weights, with progress, unless they are there."""
    from palate.models import fetch_weights, weights_path

    if weights_path() is None:
        with progress() as shown:
            fetch_weights(progress=lambda stage, share: shown(stage, share, 1.0))


def _judged(study: "Study", options: Options, budget: int | None) -> None:
    from palate.assembly import judge_named
    from palate.judges import LanguageModelJudge

    judge = judge_named(study.parts, options.judge, dict(_option(text) for text in options.judge_options))
    if options.judge == "simulated" and not any(i.references for i in study.state.inputs.values()):
        raise ConfigError(
            "a simulated judge compares answers with references, and no input has one; "
            "name their column as reference_column under [inputs]"
        )
    wanted = options.votes or budget or DEFAULT_VOTES
    with progress() as shown:
        study.prepare(shown)
        given = study.run_judge(judge, wanted, lambda done: shown("votes", done, wanted))
    if given < wanted:
        note(f"The budget ended after {given} of {wanted} votes.")
    if isinstance(judge, LanguageModelJudge):
        tried = study.examine(judge)
        note(
            f"Of {tried.asked} answers that only talk to the judge, {tried.fooled} won, and "
            f"{tried.undecided} were left undecided. Let people check the winner before you rely on it."
        )
    _report(study)


def _option(text: str) -> tuple[str, object]:
    """``scale=4`` as the number 4, ``metric=exact`` as a text: values are TOML, or else plain words."""
    import tomllib

    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--judge-option is {text!r}; write KEY=VALUE, such as scale=4")
    try:
        return key, tomllib.loads(f"value = {value}")["value"]
    except ValueError:
        return key, value


def _in_terminal(study: "Study", options: Options) -> None:
    from palate.command._keys import open_keys
    from palate.command._terminal import VotingTerminal

    if study.state.closed is not None:
        from palate.store import EventKind

        study.store.append(EventKind.STUDY_REOPENED, {"reason": "terminal"}, actor=ME)
    with _Beside(study) as beside, open_keys() as keys:
        screen = console()
        VotingTerminal(study.store, screen, keys, beside.stop, judge=ME, limit=options.votes).run()
    _report(study)


def _on_page(study: "Study", options: Options, port: int, session: Session) -> None:
    from palate.web import check_public, serve

    public = options.page.public_address()
    if public is not None:
        check_public(study.store, public)

    def ready(link: str) -> None:
        say(f"Vote here (the link works once): {link}")
        if public is not None:
            note(f"Others come by their own invitations: {public.origin}")
        note("Ctrl-C stops; every vote is saved at once.")
        if options.page.browser:
            _open_browser(link)

    with _Beside(study) as beside:
        try:
            serve(
                study.store,
                port=port if options.page.port is None else options.page.port,
                judge=ME,
                on_ready=ready,
                stop=beside.stop,
                spent=lambda: study.spent,
                learning=beside.learning,
                metrics_token=options.page.metrics_token(),
                public=public,
            )
        except KeyboardInterrupt:
            note("")
    _report(study)
    note(f"Go on at any time: {session.again}")


def _open_browser(link: str) -> None:
    import webbrowser

    try:
        opened = webbrowser.open(link)
    except webbrowser.Error:
        opened = False
    if not opened:
        note("No browser could be opened; open the link yourself.")


class _Beside:
    """Learns on a thread of its own while people vote; its failure ends the voting and is raised here."""

    def __init__(self, study: "Study") -> None:
        self.stop = threading.Event()
        self._study = study
        self._failure: Exception | None = None
        self._done: set[str] = set()
        self._thread = threading.Thread(target=self._learn, name="palate-learner", daemon=True)

    def _learn(self) -> None:
        from palate.engine import take_turns

        take_turns()
        try:
            self._study.learn_forever(self.stop, on_progress=self._told, on_notice=note)
        except Exception as error:
            self._failure = error
        finally:
            self.stop.set()

    def learning(self) -> "Learning":
        """How the learner is doing, for the page."""
        from palate.web import Learning

        kept = self._study.store.learnt
        since = None if kept is None else time.monotonic() - kept
        return Learning(self._thread.is_alive(), since, self._study.learnt)

    def _told(self, stage: str, done: int, total: int) -> None:
        """One line when it is done: beside a page nobody waits for it."""
        if done >= total > 0 and stage not in self._done:
            self._done.add(stage)
            note(f"{stage}: all {total} ready")

    def __enter__(self) -> "_Beside":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure


def _report(study: "Study") -> None:
    from palate.command._summary import cost_words, summary

    study.state.follow(study.store)
    try:
        belief = study.belief() if study.state.latest(1) else None
    except PalateError:
        belief = None
    say()
    say(summary(study.state, belief, cost=cost_words(study.spent)))
