"""The verbs, and how they end: exit code 0 for done, 2 for a mistake that is explained, 130 for ctrl-C.

Everything heavy is imported by the verb that needs it, so that ``palate --help`` answers at once.
"""

import os
import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from palate._version import __version__
from palate.command import _care, _invite, _propose, _raters, _read, _run, _start, _train
from palate.command._say import note, one_line, say
from palate.command._session import Session
from palate.errors import PalateError

__all__ = ["app", "main"]


class _Verbs(TyperGroup):
    """Turns whatever a verb raises into one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer does not publish these types
        ctx.obj = session = Session(debug=bool(ctx.params.get("debug")))
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            on = f"; continue with: {session.again}" if session.again else ""
            note(f"\npalate: stopped; nothing is lost{on}")
            raise typer.Exit(130) from None
        except PalateError as error:
            if session.debug:
                raise
            note(f"palate: {one_line(str(error), 2000)}")
            raise typer.Exit(2) from None
        except (typer.Exit, typer.Abort):
            raise
        except BrokenPipeError:
            # The reader of a pipe (head, less) has seen enough; Python would complain once more at its exit.
            sys.stdout = None  # pyright: ignore[reportAttributeAccessIssue]
            raise typer.Exit(0) from None
        except Exception as error:
            if session.debug or type(error).__module__.startswith("typer"):
                raise
            from palate.operations import masked

            # A library's own words may hold what it was given, such as a key.
            said = one_line(masked(str(error), os.environ), 500)
            note(
                f"palate: unexpected {type(error).__name__}: {said}; "
                "this is a mistake in Palate or in a plug-in; palate --debug shows where"
            )
            raise typer.Exit(1) from None


def _version(wanted: bool) -> None:
    if wanted:
        say(f"palate {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=_Verbs,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """From "I like the left one better" to a better prompt, with the fewest questions."""
    del debug, version


_start.register(app)
_run.register(app)
_invite.register(app)
_raters.register(app)
_read.register(app)
_propose.register(app)
_train.register(app)
_care.register(app)


def main() -> None:
    """Run the command line. ``--debug`` may stand anywhere before a ``--``."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal that cannot show a character shows a question mark; it does not end the program.
            stream.reconfigure(errors="replace")
    # Weights come from this disk in a second or two; a library's bars would run into our own progress.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    if "--debug" in arguments[:end]:
        arguments.remove("--debug")
        arguments.insert(0, "--debug")
    app(args=arguments, prog_name="palate")
