"""The app: which route is answered by what.

The vote route is plain ASGI, since people must never wait for it; everything else is Starlette. The table of
routes in ``_roles.py`` is also the access list: what it does not name is denied.
"""

import json
from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeAlias

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from palate.errors import PalateError
from palate.models import Spent
from palate.store import Store
from palate.web._access import Access, Door, own_door, public_door
from palate.web._ballots import VoteRoute, failure
from palate.web._entry import Entry, cold_page, cold_reply
from palate.web._figures import Figures, Learning
from palate.web._guard import Guard
from palate.web._meter import Meter
from palate.web._owner import OwnerPage
from palate.web._pages import Pages, as_json
from palate.web._replies import Handler, Scope, Send, send_reply
from palate.web._roles import ROUTES
from palate.web._view import StudyView
from palate.web._words import Words, read_words

__all__ = ["Apps", "create_app", "create_apps"]

View: TypeAlias = Callable[[Request], Awaitable[Response]]


class Apps(NamedTuple):
    """The same page at two doors, which share everything but who may come in where.

    Args:
        own: For this computer.
        public: For others, under one https origin; ``None`` when there is none.
        look: Notices what is amiss, for those who listen; to be called now and then. Blocks.
    """

    own: Handler
    public: Handler | None
    look: Callable[[], None]


def create_app(
    store: Store,
    *,
    launch_token: str,
    port: int,
    judge: str = "me",
    spent: Callable[[], Spent] | None = None,
    learning: Callable[[], Learning] | None = None,
    metrics_token: str | None = None,
) -> Handler:
    """Build the page on which people vote, and the page that shows what was learnt.

    Args:
        store: The study. The app only reads and writes the store; it never calls a model or a strategy.
        launch_token: At least 128 random bits; ``/start/<launch_token>`` lets the owner's browser in, once.
        port: The port that the server is bound to, on 127.0.0.1; other Host headers are refused.
        judge: The name under which the owner's votes are stored.
        spent: What the study has cost so far, for the pages that show it; without it the cost is "not
            recorded".
        learning: How the learner beside the page is doing; without it that is "unknown".
        metrics_token: Lets a program read ``/metrics`` as a bearer; without it only the owner can.

    Returns:
        An ASGI application.

    Raises:
        ConfigError: A token is too short.
    """
    return create_apps(
        store,
        launch_token=launch_token,
        port=port,
        judge=judge,
        spent=spent,
        learning=learning,
        metrics_token=metrics_token,
    ).own


def create_apps(
    store: Store,
    *,
    launch_token: str,
    port: int,
    origin: str | None = None,
    proxied: bool = False,
    judge: str = "me",
    spent: Callable[[], Spent] | None = None,
    learning: Callable[[], Learning] | None = None,
    metrics_token: str | None = None,
) -> Apps:
    """Build the page for this computer and, under an https origin, for others.

    Args:
        store: See :func:`create_app`, here and below.
        launch_token: The owner's way in.
        port: On this computer.
        judge: The owner's name.
        spent: What the study has cost.
        learning: How the learner is doing.
        metrics_token: For a program that reads figures.
        origin: The origin under which others reach the page, such as ``https://rate.example.org``.
        proxied: Whether a proxy stands before that door, so that its forwarding headers are believed.
    """
    words = read_words()
    meter = Meter()
    access = Access(store, launch_token, judge=judge, monitor=metrics_token)
    view = StudyView(store, words)
    figures = Figures(view, meter, judge=judge, spent=spent, learning=learning)
    owner = OwnerPage(view, access, figures, meter, words, judge=judge, spent=spent)
    pages = Pages(view, access, words, spent=spent, owner=owner)
    entry = Entry(access, words, meter, title=lambda: view.title, name_of=view.name_of)
    refusals = _Refusals(words)
    views: dict[str, View] = {}
    for route in ROUTES:
        if route.view != "votes":
            part = next(each for each in (pages, entry, figures) if hasattr(each, route.view))
            views[route.view] = getattr(part, route.view)
    starlette = Starlette(
        routes=[Route(r.path, views[r.view], methods=[r.method]) for r in ROUTES if r.view in views],
        exception_handlers={PalateError: refusals.failed, Exception: refusals.failed},
    )
    hot = {"/api/votes": VoteRoute(store, meter)}

    def guard(door: Door) -> Handler:
        return Guard(starlette, hot=hot, access=access, door=door, meter=meter, refuse=refusals.refuse)

    public = None if origin is None else guard(public_door(origin, proxied=proxied))
    return Apps(guard(own_door(port)), public, owner.look)


class _Refusals:
    """Says why something was refused or failed: one line of JSON, or a page when a person is looking."""

    def __init__(self, words: Words) -> None:
        self._words = words

    async def refuse(self, scope: Scope, send: Send, status: int, reason: str) -> None:
        """Refuse a request that the guard stopped."""
        unknown = f"{scope['method']} {scope['path']} is not something that Palate answers"
        text = str(self._words["refusal"].get(reason, unknown))
        extra = ((b"allow", b"GET, POST"),) if status == 405 else ()
        if _is_navigation(scope["method"], scope["headers"]):
            page = cold_page(self._words, self._words["refusal"]["title"], text)
            await send_reply(send, status, page, b"text/html; charset=utf-8", extra, cold=True)
        else:
            await send_reply(send, status, json.dumps({"error": text}).encode(), extra=extra)

    async def failed(self, request: Request, error: Exception) -> Response:
        """One clear line for an error."""
        status, text = failure(error)
        reply = as_json({"error": text}, status)
        if request.url.path.startswith(("/join/", "/start/")) and _is_navigation(
            "GET", request.scope["headers"]
        ):
            page = cold_page(self._words, self._words["refusal"]["title"], text)
            reply = cold_reply(page, status)
        if status in (429, 503):
            reply.headers["retry-after"] = "60" if status == 429 else "1"
        return reply


def _is_navigation(method: str, headers: list[tuple[bytes, bytes]]) -> bool:
    accept = next((value for name, value in headers if name == b"accept"), b"")
    return method == "GET" and b"text/html" in accept
