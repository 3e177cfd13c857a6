"""The app: which route is answered by what.

The vote route is plain ASGI, since people must never wait for it; everything else is Starlette. The route
table is also the access list: what it does not name is denied.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from html import escape
from pathlib import Path
from typing import Any, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from palate.errors import PalateError
from palate.models import Spent
from palate.store import Store
from palate.types import Json
from palate.web._assets import Asset, read_assets
from palate.web._ballots import RefusedError, VoteRoute, failure, read_body
from palate.web._guard import COLD_STYLE, Guard, Handler, Scope, Send, Session, send_reply
from palate.web._results import results_view
from palate.web._statistics import StatisticsPage
from palate.web._view import StudyView, candidate_of
from palate.web._words import Words, read_words

__all__ = ["create_app"]

SLICE = 1.0  # seconds that a waiting page holds a thread before it looks whether it is still wanted
LONGEST_WAIT = 25.0  # seconds; below the patience of browsers and proxies
WAITERS = 8  # pages that may wait at once; further ones ask again by themselves

_HASH = re.compile(r"[0-9a-f]{64}")
_PICTURE_HEADERS = {
    # What lies under a hash never changes; other people's caches have no business with it.
    "cache-control": "private, max-age=31536000, immutable",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "content-disposition": "inline",
}

View: TypeAlias = Callable[[Request], Awaitable[Response]]


def create_app(
    store: Store,
    *,
    launch_token: str,
    port: int,
    judge: str = "me",
    spent: Callable[[], Spent] | None = None,
) -> Handler:
    """Build the page on which people vote, and the page that shows what was learnt.

    Args:
        store: The study. The app only reads and writes the store; it never calls a model or a strategy.
        launch_token: At least 128 random bits. ``/start/<launch_token>`` lets one browser in, once.
        port: The port that the server is bound to, on 127.0.0.1; other Host headers are refused.
        judge: The name under which votes are stored.
        spent: What the study has cost so far, for the page that shows it; without it the cost is "not
            recorded".

    Returns:
        An ASGI application.

    Raises:
        ConfigError: The token is too short.
    """
    words = read_words()
    session = Session(launch_token, port)
    pages = _Pages(StudyView(store, judge, words), session, words, spent)
    routes = pages.routes()
    starlette = Starlette(
        routes=[Route(path, view, methods=[method]) for path, method, view in routes],
        exception_handlers={PalateError: pages.failed, Exception: pages.failed},
    )
    allowed = {
        "/api/votes": frozenset({"POST"}),
        **{_pattern(path): frozenset({method}) for path, method, _ in routes},
    }
    return Guard(
        starlette,
        hot={"/api/votes": VoteRoute(store, judge)},
        allowed=allowed,
        session=session,
        port=port,
        refuse=pages.refuse,
    )


def _pattern(path: str) -> str:
    return path[: path.index("{")] + "*" if "{" in path else path


def _json(value: Json, status: int = 200) -> Response:
    return Response(json.dumps(value, ensure_ascii=False), status, media_type="application/json")


class _Pages:
    """The Starlette views."""

    def __init__(
        self, view: StudyView, session: Session, words: Words, spent: Callable[[], Spent] | None
    ) -> None:
        self._view = view
        self._session = session
        self._words = words
        self._spent = spent
        self._statistics = StatisticsPage(view, words)
        self._assets: dict[str, Asset] = read_assets()
        self._waiters = 0
        self._changing = asyncio.Lock()
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def routes(self) -> list[tuple[str, str, View]]:
        """Every route but the vote: its path, its one method, its view."""
        return [
            ("/start/{token}", "GET", self.start),
            ("/", "GET", self.vote_page),
            ("/results", "GET", self.results_page),
            ("/results/best.txt", "GET", self.best_text),
            ("/statistics", "GET", self.statistics_page),
            ("/static/{name}", "GET", self.static),
            ("/pictures/{name}", "GET", self.picture),
            ("/api/duels", "GET", self.duels),
            ("/api/undo", "POST", self.undo),
            ("/api/close", "POST", self.close),
            ("/api/reopen", "POST", self.reopen),
        ]

    # -- being let in ----------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        """Exchange the launch link for the cookie, once; later, only lead on a browser that has it."""
        token: str = request.path_params["token"]
        fresh = self._session.redeem(token)
        if not fresh:
            inside = self._session.holds(request.headers.get("cookie", "").encode("latin-1"))
            if not (inside and self._session.known(token)):
                raise RefusedError(403, self._words["refusal"]["used"])
        # A strict cookie does not travel along a redirect that another site's link began; a page of our
        # own that leads on does not have this problem.
        if request.headers.get("sec-fetch-site", "none") == "none":
            reply = Response(status_code=303, headers={"location": "/"})
        else:
            page = '<!doctype html><meta http-equiv="refresh" content="0;url=/"><a href="/">Palate</a>'
            reply = Response(page, media_type="text/html")
        if fresh:
            reply.raw_headers.append(self._session.set_cookie)
        return reply

    async def refuse(self, scope: Scope, send: Send, status: int, reason: str) -> None:
        """Say why a request was refused: one line of JSON, or a page when a person is looking."""
        texts = self._words["refusal"]
        unknown = f"{scope['method']} {scope['path']} is not something that Palate answers"
        text = str(texts.get(reason, unknown))
        extra = ((b"allow", b"GET, POST"),) if status == 405 else ()
        if _is_navigation(scope):
            await send_reply(
                send, status, self._cold_page(text), b"text/html; charset=utf-8", extra, cold=True
            )
        else:
            await send_reply(send, status, json.dumps({"error": text}).encode(), extra=extra)

    def _cold_page(self, text: str) -> bytes:
        title = escape(self._words["refusal"]["title"])
        lang = escape(self._words["lang"])
        return (
            f'<!doctype html><html lang="{lang}"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
            f"<style>{COLD_STYLE}</style><h1>{title}</h1><p>{escape(text)}</p></html>"
        ).encode()

    async def failed(self, request: Request, error: Exception) -> Response:
        """One clear line for an error."""
        status, text = failure(error)
        return _json({"error": text}, status)

    # -- pages -----------------------------------------------------------------------------------

    async def vote_page(self, request: Request) -> Response:
        """The page on which people vote; its script fetches the duels."""
        title = await run_in_threadpool(lambda: self._view.title)
        page = self._render(
            "vote.html",
            study=self._view.study,
            name=title,
            t=self._words["vote"],
            script_words=json.dumps(self._words["page"], ensure_ascii=False),
        )
        return Response(page, media_type="text/html")

    async def results_page(self, request: Request) -> Response:
        """The page that shows what was learnt."""
        spent = self._spent() if self._spent else None
        view = await run_in_threadpool(results_view, self._view, self._words, spent)
        page = self._render("results.html", t=self._words["results"], v=view)
        return Response(page, media_type="text/html")

    async def statistics_page(self, request: Request) -> Response:
        """The page that shows what the votes say by themselves."""
        view = await run_in_threadpool(self._statistics)
        page = self._render("statistics.html", t=self._words["statistics"], v=view)
        return Response(page, media_type="text/html")

    async def best_text(self, request: Request) -> Response:
        """The best prompt as a file."""
        belief = await run_in_threadpool(self._view.store.belief)
        state = await run_in_threadpool(self._view.state)
        best = candidate_of(state, belief.best) if belief else None
        if best is None:
            raise RefusedError(404, "nothing is known yet; vote first")
        headers = {"content-disposition": 'attachment; filename="best-prompt.txt"'}
        return Response(best.text.encode("utf-8", "replace"), media_type="text/plain", headers=headers)

    async def static(self, request: Request) -> Response:
        """A style sheet or a script."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise RefusedError(404, "there is no such file")
        headers = {"vary": "accept-encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["content-encoding"] = "gzip"
            return Response(asset.packed, media_type=asset.kind, headers=headers)
        return Response(asset.plain, media_type=asset.kind, headers=headers)

    async def picture(self, request: Request) -> Response:
        """A picture of a response, under the response's hash; nothing else lies here."""
        name: str = request.path_params["name"]
        found = await run_in_threadpool(self._view.picture, name) if _HASH.fullmatch(name) else None
        if found is None:
            raise RefusedError(404, "there is no such picture")
        return Response(found.data, media_type=found.media_type, headers=_PICTURE_HEADERS)

    def _render(self, template: str, **values: Any) -> str:  # noqa: ANN401 - templates take anything
        return self._templates.get_template(template).render(lang=self._words["lang"], **values)

    # -- what the voting page's script asks -------------------------------------------------------

    async def duels(self, request: Request) -> Response:
        """The open duels; with ``wait`` and ``have``, as soon as there are more than the page has."""
        wait = min(_number(request, "wait"), LONGEST_WAIT)
        have = _number(request, "have")
        before = await run_in_threadpool(self._view.store.last_seq)
        shown = await run_in_threadpool(self._view.duels)
        if wait <= 0 or self._waiters >= WAITERS:
            return _json(shown)
        self._waiters += 1
        try:
            loop = asyncio.get_running_loop()
            until = loop.time() + wait
            while shown["state"] != "done" and _count(shown) <= have and loop.time() < until:
                if await request.is_disconnected():
                    break
                seq = await run_in_threadpool(self._view.store.wait, before, SLICE)
                if seq > before:
                    before = seq
                    shown = await run_in_threadpool(self._view.duels)
        finally:
            self._waiters -= 1
        return _json(shown)

    async def undo(self, request: Request) -> Response:
        """Take the last vote back."""
        body = await read_body(request.scope, request.receive)
        duel_id = body.get("duel_id")
        if not isinstance(duel_id, str) or set(body) != {"duel_id"}:
            raise RefusedError(400, "the body must be {duel_id}: the duel whose vote is undone")
        async with self._changing:
            return _json(await run_in_threadpool(self._view.undo, duel_id))

    async def close(self, request: Request) -> Response:
        """The person is done."""
        return await self._set_closed(request, closed=True)

    async def reopen(self, request: Request) -> Response:
        """The person goes on after all."""
        return await self._set_closed(request, closed=False)

    async def _set_closed(self, request: Request, *, closed: bool) -> Response:
        if await read_body(request.scope, request.receive):
            raise RefusedError(400, "the body must be {}")
        async with self._changing:
            return _json(await run_in_threadpool(lambda: self._view.close(closed=closed)))


def _is_navigation(scope: Scope) -> bool:
    accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
    return scope["method"] == "GET" and b"text/html" in accept


def _number(request: Request, name: str) -> float:
    text = request.query_params.get(name, "0")
    if not text.isdecimal() or len(text) > 6:
        raise RefusedError(400, f"{name} must be a whole number of at least 0, not {text[:20]!r}")
    return float(text)


def _count(shown: dict[str, Json]) -> int:
    duels = shown["duels"]
    return len(duels) if isinstance(duels, list) else 0
