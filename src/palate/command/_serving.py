"""The options that say who may reach the page, and how a verb gets several options as one value."""

import inspect
import stat
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from palate.errors import ConfigError

if TYPE_CHECKING:
    from palate.web import Public

__all__ = ["Browser", "PageOptions", "Port", "gathered"]

Result = TypeVar("Result")

Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Whether to open the browser.")]
Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, help="Port of the page; 0 takes a free one.")
]


@dataclass(frozen=True, slots=True)
class PageOptions:
    """Where the page is served, and to whom."""

    browser: Browser = True
    port: Port = None
    public: Annotated[
        str | None,
        typer.Option(
            "--public", metavar="HOST[:PORT]", help="Serve people who were invited on other computers, too."
        ),
    ] = None
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="Certificate of the public address.")
    ] = None
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="Private key of the certificate.")
    ] = None
    behind_proxy: Annotated[
        str | None,
        typer.Option(
            "--behind-proxy", metavar="https://NAME", help="State that a proxy of that name ends TLS."
        ),
    ] = None
    metrics_token_file: Annotated[
        Path | None,
        typer.Option(
            "--metrics-token-file", metavar="FILE", help="File with the token that may read /metrics."
        ),
    ] = None

    def public_address(self) -> "Public | None":
        """The address for other computers; ``None`` without ``--public``.

        Raises:
            ConfigError: An option is missing, or stands without ``--public``.
        """
        named = {"--tls-cert": self.tls_cert, "--tls-key": self.tls_key, "--behind-proxy": self.behind_proxy}
        if self.public is None:
            alone = [option for option, value in named.items() if value is not None]
            if alone:
                raise ConfigError(f"{alone[0]} belongs to --public HOST[:PORT]; add that, or leave it out")
            return None
        from palate.web import public_address

        return public_address(
            self.public, certificate=self.tls_cert, key=self.tls_key, proxy=self.behind_proxy
        )

    def words(self) -> list[str]:
        """The options as they were written, for the command that goes on."""
        named = (
            ("--public", self.public),
            ("--tls-cert", self.tls_cert),
            ("--tls-key", self.tls_key),
            ("--behind-proxy", self.behind_proxy),
            ("--metrics-token-file", self.metrics_token_file),
        )
        return [word for option, value in named if value is not None for word in (option, str(value))]

    def metrics_token(self) -> str | None:
        """The token in the file, which nobody else may read.

        Raises:
            ConfigError: There is no such file, or others can read it.
        """
        path = self.metrics_token_file
        if path is None:
            return None
        try:
            mode = path.stat().st_mode
            token = path.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"--metrics-token-file {str(path)!r} cannot be read: {error}") from error
        if sys.platform != "win32" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(f"others can read {str(path)!r}, which holds a token; first: chmod 600 {path}")
        return token


def gathered(options: type[Any], name: str) -> Callable[[Callable[..., Result]], Callable[..., Result]]:
    """Let a verb take the fields of a dataclass as options of its own, and get them as one value.

    Args:
        options: The dataclass; its annotations are typer's.
        name: The verb's parameter that takes the value.
    """

    def change(verb: Callable[..., Result]) -> Callable[..., Result]:
        hints = get_type_hints(options, include_extras=True)
        own = inspect.signature(verb, eval_str=True)
        more = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
                annotation=hints[field.name],
            )
            for field in fields(options)
        ]
        kept = [parameter for parameter in own.parameters.values() if parameter.name != name]

        @wraps(verb)
        def called(*arguments: Any, **given: Any) -> Result:  # noqa: ANN401 - whatever the verb takes
            value = options(**{parameter.name: given.pop(parameter.name) for parameter in more})
            return verb(*arguments, **given, **{name: value})

        called.__signature__ = own.replace(parameters=[*kept, *more])  # pyright: ignore[reportAttributeAccessIssue] - what inspect reads
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in (*kept, *more)}
        return called

    return change
