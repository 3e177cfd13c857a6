"""The pages and what the voting page's script asks; every view finds in its scope who asks."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from palate.errors import NotFoundError
from palate.models import Spent
from palate.store import EventKind
from palate.types import Json
from palate.web._access import Access
from palate.web._assets import Asset, read_assets
from palate.web._ballots import RefusedError, read_body
from palate.web._guard import PERSON
from palate.web._limits import LIMITS
from palate.web._owner import OwnerPage
from palate.web._results import results_view
from palate.web._roles import Person, Role
from palate.web._statistics import StatisticsPage
from palate.web._view import StudyView, candidate_of
from palate.web._watch import SLICE, Watch
from palate.web._words import Words

__all__ = ["Pages", "as_json"]

_HASH = re.compile(r"[0-9a-f]{64}")
_PICTURE_HEADERS = {
    # What lies under a hash never changes; other people's caches have no business with it.
    "cache-control": "private, max-age=31536000, immutable",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "content-disposition": "inline",
}


def as_json(value: Json, status: int = 200) -> Response:
    """A reply of JSON."""
    return Response(json.dumps(value, ensure_ascii=False), status, media_type="application/json")


class Pages:
    """The views behind the guard."""

    def __init__(
        self,
        view: StudyView,
        access: Access,
        words: Words,
        *,
        spent: Callable[[], Spent] | None,
        owner: OwnerPage,
    ) -> None:
        self._view = view
        self._access = access
        self._words = words
        self._spent = spent
        self._owner = owner
        self._statistics = StatisticsPage(view, words)
        self._assets: dict[str, Asset] = read_assets()
        self._watch = Watch(view.store)
        self._waiters = 0
        self._changing = asyncio.Lock()
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    # -- pages -----------------------------------------------------------------------------------

    async def vote_page(self, request: Request) -> Response:
        """The page on which people vote; its script fetches the duels."""
        person = _person(request)
        title = await run_in_threadpool(lambda: self._view.title)
        return self._page(
            request,
            "vote.html",
            study=self._view.study(person),
            name=title,
            t=self._words["vote"],
            script_words=json.dumps(self._words["page"], ensure_ascii=False),
        )

    async def results_page(self, request: Request) -> Response:
        """The page that shows what was learnt."""
        spent = self._spent() if self._spent else None
        view = await run_in_threadpool(self._view.whole, results_view, self._view, self._words, spent)
        return self._page(request, "results.html", t=self._words["results"], v=view)

    async def statistics_page(self, request: Request) -> Response:
        """The page that shows what the votes say by themselves."""
        view = await run_in_threadpool(self._statistics)
        texts = self._words["statistics"]
        if view is None:
            return self._page(request, "counting.html", t=texts, v={"name": self._view.title})
        return self._page(request, "statistics.html", t=texts, v=view)

    async def owner_page(self, request: Request) -> Response:
        """The page that shows raters, the queue, the cost, the judges and what is amiss."""
        view = await run_in_threadpool(self._view.whole, self._owner)
        return self._page(
            request,
            "owner.html",
            t=self._words["owner"],
            v=view,
            script_words=json.dumps(self._words["owner"]["script"], ensure_ascii=False),
        )

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
        found = None
        if _HASH.fullmatch(name):
            found = await run_in_threadpool(self._view.picture, _person(request), name)
        if found is None:
            raise RefusedError(404, "there is no such picture")
        return Response(found.data, media_type=found.media_type, headers=_PICTURE_HEADERS)

    def _page(self, request: Request, template: str, **values: Any) -> Response:  # noqa: ANN401 - templates take anything
        role = _person(request).role
        page = self._templates.get_template(template).render(
            lang=self._words["lang"],
            votes=role in (Role.OWNER, Role.RATER),
            reads=role in (Role.OWNER, Role.VIEWER),
            owns=role is Role.OWNER,
            **values,
        )
        return Response(page, media_type="text/html")

    # -- what the voting page's script asks -------------------------------------------------------

    async def duels(self, request: Request) -> Response:
        """The open duels; with ``wait`` and ``have``, as soon as there are more than the page has."""
        person = _person(request)
        wait = min(_number(request, "wait"), LIMITS.wait_seconds)
        have = _number(request, "have")
        before = await run_in_threadpool(self._view.store.last_seq) if wait > 0 else 0
        shown = await run_in_threadpool(self._view.duels, person)
        if wait <= 0 or self._waiters >= LIMITS.pages_waiting:
            return as_json(shown)
        self._waiters += 1
        try:
            loop = asyncio.get_running_loop()
            until = loop.time() + wait
            while shown["state"] != "done" and _count(shown) <= have and loop.time() < until:
                if await request.is_disconnected():
                    break
                seq = await self._watch.after(before, SLICE)
                if seq > before:
                    before = seq
                    shown = await run_in_threadpool(self._view.duels, person)
        finally:
            self._waiters -= 1
        return as_json(shown)

    async def undo(self, request: Request) -> Response:
        """Take the last vote back."""
        body = await read_body(request.scope, request.receive)
        duel_id = body.get("duel_id")
        if not isinstance(duel_id, str) or set(body) != {"duel_id"}:
            raise RefusedError(400, "the body must be {duel_id}: the duel whose vote is undone")
        async with self._changing:
            return as_json(await run_in_threadpool(self._view.undo, _person(request), duel_id))

    async def close(self, request: Request) -> Response:
        """The owner is done."""
        return await self._set_closed(request, closed=True)

    async def reopen(self, request: Request) -> Response:
        """The owner goes on after all."""
        return await self._set_closed(request, closed=False)

    async def _set_closed(self, request: Request, *, closed: bool) -> Response:
        if await read_body(request.scope, request.receive):
            raise RefusedError(400, "the body must be {}")
        person = _person(request)
        async with self._changing:
            return as_json(await run_in_threadpool(lambda: self._view.close(person, closed=closed)))

    # -- what the owner's page asks ---------------------------------------------------------------

    async def revoke(self, request: Request) -> Response:
        """Withdraw an invitation; whoever came in by it is out at once."""
        body = await read_body(request.scope, request.receive)
        invitation = body.get("id")
        if not isinstance(invitation, str) or set(body) != {"id"} or len(invitation) > 80:
            raise RefusedError(400, "the body must be {id}: the invitation that is revoked")
        judge = _person(request).judge
        try:
            await run_in_threadpool(
                self._view.store.append, EventKind.INVITATION_REVOKED, {"id": invitation}, judge
            )
        except NotFoundError:
            raise RefusedError(404, "there is no such invitation; reload the page") from None
        return as_json({"revoked": invitation})


def _person(request: Request) -> Person:
    return request.scope[PERSON]


def _number(request: Request, name: str) -> float:
    text = request.query_params.get(name, "0")
    if not text.isdecimal() or len(text) > 6:
        raise RefusedError(400, f"{name} must be a whole number of at least 0, not {text[:20]!r}")
    return float(text)


def _count(shown: dict[str, Json]) -> int:
    duels = shown["duels"]
    return len(duels) if isinstance(duels, list) else 0
