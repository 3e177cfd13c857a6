"""``palate invite`` and ``palate invitations``: who besides the owner may come in, and until when."""

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from palate.command._say import clean, note, one_line, print_json, say
from palate.command._session import AsJson, StudyPath, StudyPlace, open_existing
from palate.errors import ConfigError

if TYPE_CHECKING:
    from palate.store import Invitation, Invitations, Store
    from palate.types import Json

__all__ = ["register"]

SECRET_BYTES = 32
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LOOPBACK = re.compile(r"http://(127\.0\.0\.1|localhost)(:\d{1,5})?")
_HTTPS = re.compile(r"https://[a-z0-9.-]+(:\d{1,5})?|https://\[[0-9a-f:.]+\](:\d{1,5})?")


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("invite")(invite)
    app.command("invitations")(invitations)


def invite(
    study: StudyPath,
    name: Annotated[
        list[str], typer.Option("--name", help="Whom the link is for; repeat it for several people.")
    ],
    role: Annotated[
        str, typer.Option("--role", help="'rater' votes and sees nothing else; 'viewer' sees results.")
    ] = "rater",
    group: Annotated[str, typer.Option("--group", help="The group of raters, such as clinicians.")] = "",
    expires: Annotated[
        str, typer.Option("--expires", help="When it ends, such as 12h, 7d or 4w; or 'never'.")
    ] = "30d",
    uses: Annotated[
        int, typer.Option("--uses", min=1, max=100, help="How many browsers a link lets in.")
    ] = 1,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="URL", help="The address of the page, such as https://rate.example.org."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Invite people to a study: one link for each, printed once and kept nowhere.

    Works while the study is served. A link that is lost cannot be shown again: revoke it and make a new one.
    """
    until = _until(expires)
    for each in name:
        _check_name(each)
    with _opened(study) as store:
        origin = _origin(study, at, store.invitations())
        rows: list[Json] = []
        for each in name:
            secret = secrets.token_urlsafe(SECRET_BYTES)
            made = store.invite(each, secret, role=role, group=group, expires=until, uses=uses)
            rows.append(
                {
                    "id": made.id,
                    "name": each,
                    "rater": made.rater,
                    "link": f"{origin}/join/{secret}",
                    "expires": until,
                }
            )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        assert isinstance(row, dict)
        say(f"{row['name']}: {row['link']}" if len(rows) > 1 else str(row["link"]))
    note(_told(len(rows), uses, until))


def _opened(study: StudyPlace) -> "Store":
    """The study, which may be yet to begin: a page for others demands that somebody is invited before."""
    config = study.config()
    if config is None:
        return open_existing(study)
    from palate.config import check_data
    from palate.store import open_store

    check_data(config)
    return open_store(config.database)


def _told(people: int, uses: int, until: str | None) -> str:
    browsers = "one browser" if uses == 1 else f"{uses} browsers"
    ends = "" if until is None else f" until {until[:16].replace('T', ' ')} UTC"
    links = "The link lets" if people == 1 else "Each link lets"
    return f"{links} {browsers} in{ends}. It is shown once and kept nowhere."


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > 80 or clean(name) != name or "\n" in name:
        raise ConfigError(f"--name is {name!r:.100}; give 1 to 80 printable characters")


def _until(expires: str) -> str | None:
    if expires == "never":
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})([mhdw])", expires.strip())
    if found is None:
        raise ConfigError(f"--expires is {expires!r}; write a number with m, h, d or w, such as 7d, or never")
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    return (datetime.now(UTC) + length).isoformat(timespec="seconds")


def _origin(study: StudyPlace, at: str | None, known: "Invitations") -> str:
    """The address that links begin with: as told, as last served, or as the study file's port says."""
    if at is not None:
        told = at.strip().lower().rstrip("/")
        if not (_HTTPS.fullmatch(told) or _LOOPBACK.fullmatch(told)):
            raise ConfigError(
                f"--at is {at!r}; write the origin that people type and nothing more, such as "
                "https://rate.example.org (http only for 127.0.0.1)"
            )
        return told
    if known.origin is not None:
        return known.origin
    config = study.config()
    if config is not None and config.page.port:
        return f"http://127.0.0.1:{config.page.port}"
    raise ConfigError(
        "the address of the page is not known yet; add --at https://NAME, the name under which palate run "
        "--public will serve it"
    )


def invitations(
    study: StudyPath,
    revoke: Annotated[
        list[str] | None, typer.Option("--revoke", metavar="ID", help="Withdraw this invitation; repeat it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the invitations of a study, or withdraw some. No link is shown: only its hash is kept.

    Whoever came in by a withdrawn invitation is out at once, also while the study is served. Votes stay.
    """
    from palate.store import EventKind

    with open_existing(study) as store:
        for each in revoke or ():
            store.append(EventKind.INVITATION_REVOKED, {"id": each})
        known, names = store.invitations(), store.rater_names()
    rows = [_row(each, names.get(each.rater, "")) for each in known.by_id.values()]
    if as_json:
        print_json(list(rows))
        return
    for each in revoke or ():
        note(f"Revoked {one_line(each, 80)}.")
    _print_table(rows)


def _row(each: "Invitation", name: str) -> "dict[str, Json]":
    now = datetime.now(UTC).isoformat()
    state = "revoked" if each.revoked else "in use" if each.sessions else "not used yet"
    return {
        "id": each.id,
        "name": name,
        "role": each.role,
        "rater": each.rater,
        "group": each.group,
        "browsers": len(each.sessions),
        "uses": each.uses,
        "expires": each.expires,
        "state": state if each.is_open(now) or each.revoked else "expired",
    }


def _print_table(rows: "Sequence[dict[str, Json]]") -> None:
    if not rows:
        say("Nobody is invited; begin with: palate invite STUDY --name NAME")
        return
    lines: list[tuple[str, ...]] = [("ID", "NAME", "ROLE", "RATER", "GROUP", "BROWSERS", "UNTIL", "STATE")]
    for row in rows:
        until = "no end" if row["expires"] is None else str(row["expires"])[:16].replace("T", " ")
        shown = [row[key] or "-" for key in ("id", "name", "role", "rater", "group")]
        browsers = f"{row['browsers']} of {row['uses']}"
        lines.append((*(one_line(str(text), 40) for text in shown), browsers, until, str(row["state"])))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        say("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())
