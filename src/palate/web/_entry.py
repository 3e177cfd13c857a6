"""How people come in: the owner by the launch link, everybody else by an invitation.

Looking at an invitation uses nothing up, since chat programs and mail filters look at every link; pressing
its one button does.
"""

from asyncio import sleep
from collections.abc import Callable
from html import escape
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from palate.store import Invitation
from palate.web._access import Access, Door
from palate.web._ballots import RefusedError
from palate.web._guard import DOOR, PERSON
from palate.web._limits import LIMITS
from palate.web._meter import Meter
from palate.web._replies import COLD_HEADERS, COLD_STYLE
from palate.web._roles import Person, Role, home_of
from palate.web._throttle import Throttle, address_of
from palate.web._words import Words

__all__ = ["Entry", "cold_page", "cold_reply"]


def cold_page(words: Words, title: str, text: str, button: str = "") -> bytes:
    """A page for a browser that was not let in, and so may not fetch a style sheet.

    Args:
        words: Texts of the pages.
        title: Its head, as plain text.
        text: Its one paragraph, as plain text.
        button: The words on a button that posts to the page's own address; empty for none.
    """
    form = f'<form method="post"><button>{escape(button)}</button></form>' if button else ""
    return (
        f'<!doctype html><html lang="{escape(words["lang"])}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
        f'<style>{COLD_STYLE}</style><h1 dir="auto">{escape(title)}</h1>'
        f'<p dir="auto">{escape(text)}</p>{form}</html>'
    ).encode()


class Entry:
    """The views that let people in.

    Args:
        access: Who everybody is.
        words: Texts of the pages.
        meter: Counts refusals.
        title: The study's name.
        name_of: The display name of a rater; empty when there is none.
    """

    def __init__(
        self,
        access: Access,
        words: Words,
        meter: Meter,
        *,
        title: Callable[[], str],
        name_of: Callable[[str], str],
    ) -> None:
        self._access = access
        self._words = words
        self._meter = meter
        self._title = title
        self._name_of = name_of
        self._throttle = Throttle(LIMITS)

    async def start(self, request: Request) -> Response:
        """Exchange the launch link for the cookie, once; later, only lead on a browser that has it."""
        door: Door = request.scope[DOOR]
        if not door.own:
            raise RefusedError(404, "the launch link works on the computer that Palate runs on")
        address = self._admit(request, door)
        token: str = request.path_params["token"]
        fresh = self._access.launch(token)
        if not fresh:
            person: Person = request.scope[PERSON]
            if not self._access.is_launch(token):
                await self._wrong(address)
            if person.role is not Role.OWNER or not self._access.is_launch(token):
                raise RefusedError(403, self._words["refusal"]["used"])
        # A strict cookie does not travel along a redirect that another site's link began; a page of our
        # own that leads on does not have this problem.
        if request.headers.get("sec-fetch-site", "none") == "none":
            reply = Response(status_code=303, headers={"location": "/"})
        else:
            reply = _leading_on("/")
        if fresh:
            reply.raw_headers.append(door.set_cookie(self._access.owner_cookie))
        return reply

    async def join(self, request: Request) -> Response:
        """Show what a link invites to."""
        found = await self._usable(request)
        if isinstance(found, Response):
            return found
        texts: dict[str, Any] = self._words["join"]
        study = await run_in_threadpool(self._title)
        name = await run_in_threadpool(self._name_of, found.rater) if found.rater else ""
        text = texts[found.role].format(study=study)
        title = texts["hello"].format(name=name) if name else texts["title"]
        return cold_reply(cold_page(self._words, title, text, texts["button"]))

    async def redeem(self, request: Request) -> Response:
        """Let this browser in."""
        found = await self._usable(request)
        if isinstance(found, Response):
            return found
        secret = await run_in_threadpool(self._access.redeem, found)
        if secret is None:
            raise RefusedError(403, self._words["join"]["spent"])
        door: Door = request.scope[DOOR]
        reply = Response(status_code=303, headers={"location": home_of(Role(found.role))})
        reply.raw_headers.append(door.set_cookie(secret))
        return reply

    async def _usable(self, request: Request) -> Invitation | Response:
        """The invitation of a request's link, or the reply to a browser that is in already."""
        door: Door = request.scope[DOOR]
        person: Person = request.scope[PERSON]
        texts: dict[str, str] = self._words["join"]
        address = self._admit(request, door)
        found = await self._access.invitation(request.path_params["secret"])
        if found is None:
            await self._wrong(address)
            raise RefusedError(403, texts["unknown"])
        if person.role is Role.OWNER:
            raise RefusedError(403, texts["owner"])
        if person.invitation == found.id:
            return _leading_on(home_of(person.role))
        if not self._access.is_open(found):
            raise RefusedError(403, texts["revoked" if found.revoked else "expired"])
        if not self._access.is_usable(found):
            raise RefusedError(403, texts["spent"])
        return found

    def _admit(self, request: Request, door: Door) -> str:
        """The address that tries, unless it has to wait."""
        client = request.client.host if request.client else ""
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")).encode("latin-1", "replace")
        address = address_of(client, forwarded, proxied=door.proxied)
        wait = self._throttle.wait(address)
        if wait > 0:
            self._meter.refused("throttled")
            raise RefusedError(429, self._words["refusal"]["throttled"].format(seconds=int(wait) + 1))
        return address

    async def _wrong(self, address: str) -> None:
        self._meter.refused("secret")
        await sleep(self._throttle.wrong(address))


def _leading_on(path: str) -> Response:
    page = f'<!doctype html><meta http-equiv="refresh" content="0;url={path}"><a href="{path}">Palate</a>'
    return Response(page, media_type="text/html")


def cold_reply(page: bytes, status: int = 200) -> Response:
    """A page for a browser that was not let in."""
    headers = {name.decode(): value.decode() for name, value in COLD_HEADERS}
    # Under "no-referrer" browsers would call the form's origin "null", which the guard refuses.
    return Response(
        page, status, media_type="text/html", headers={**headers, "referrer-policy": "same-origin"}
    )
