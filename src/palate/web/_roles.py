"""Who may do what: the one table of routes, which is all that the guard, the app and the tests go by.

What is not in it is refused, for everybody. What a rater may do is further bound to the rater's own duels:
votes, undoes and pictures of other people's duels are answered like things that do not exist.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

__all__ = ["OWNER", "ROUTES", "Person", "Role", "Route", "allowed", "home_of", "template_of"]


class Role(StrEnum):
    """What somebody was let in as."""

    OWNER = "owner"
    RATER = "rater"
    VIEWER = "viewer"
    MONITOR = "monitor"
    """A program that reads figures, with the token from a file."""
    GUEST = "guest"
    """Somebody who was not let in, at the public address or on this machine."""
    LOCAL = "local"
    """Somebody who was not let in, on this machine."""


class Person(NamedTuple):
    """Who asks.

    Args:
        role: As what.
        judge: The name under which votes are stored; empty for those who have none.
        invitation: The invitation that let the person in; empty for the owner.
    """

    role: Role
    judge: str = ""
    invitation: str = ""


class Route(NamedTuple):
    """One path, one method, and who may use it; ``{name}`` stands for one segment of the path."""

    path: str
    method: str
    view: str
    roles: frozenset[Role]


OWNER = frozenset((Role.OWNER,))
_VOTERS = OWNER | {Role.RATER}
_READERS = OWNER | {Role.VIEWER}
_PEOPLE = OWNER | {Role.RATER, Role.VIEWER}
_EVERYBODY = frozenset(Role)

ROUTES: tuple[Route, ...] = (
    Route("/start/{token}", "GET", "start", _EVERYBODY),
    Route("/join/{secret}", "GET", "join", _EVERYBODY),
    Route("/join/{secret}", "POST", "redeem", _EVERYBODY),
    Route("/health", "GET", "health", OWNER | {Role.MONITOR, Role.LOCAL, Role.RATER, Role.VIEWER}),
    Route("/metrics", "GET", "metrics", OWNER | {Role.MONITOR}),
    Route("/static/{name}", "GET", "static", _PEOPLE),
    Route("/pictures/{name}", "GET", "picture", _PEOPLE),
    Route("/", "GET", "vote_page", _VOTERS),
    Route("/api/duels", "GET", "duels", _VOTERS),
    Route("/api/votes", "POST", "votes", _VOTERS),
    Route("/api/undo", "POST", "undo", _VOTERS),
    Route("/api/close", "POST", "close", OWNER),
    Route("/api/reopen", "POST", "reopen", OWNER),
    Route("/results", "GET", "results_page", _READERS),
    Route("/results/best.txt", "GET", "best_text", _READERS),
    Route("/statistics", "GET", "statistics_page", _READERS),
    Route("/owner", "GET", "owner_page", OWNER),
    Route("/api/revoke", "POST", "revoke", OWNER),
)


def allowed(routes: tuple[Route, ...] = ROUTES) -> dict[str, Mapping[str, frozenset[Role]]]:
    """The roles by path and method, as the guard looks them up; ``/*`` stands for one more segment."""
    found: dict[str, dict[str, frozenset[Role]]] = {}
    for route in routes:
        path = route.path[: route.path.index("{")] + "*" if "{" in route.path else route.path
        found.setdefault(path, {})[route.method] = route.roles
    return dict(found)


def template_of(path: str) -> str:
    """The route that a path belongs to, without what varies in it; ``"none"`` for a path without one."""
    folder, _, name = path.rpartition("/")
    for route in ROUTES:
        fixed, brace, _ = route.path.partition("{")
        if path == route.path or (brace and name and f"{folder}/" == fixed):
            return route.path
    return "none"


def home_of(role: Role) -> str:
    """The first page for a role."""
    return "/results" if role is Role.VIEWER else "/"
