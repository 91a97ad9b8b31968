"""What every request to a page passes: limits, its host, who may, the token of forms, errors as pages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, quote

from markupsafe import Markup
from msgspec.structs import replace

from saver.documents.pages import Done, Trouble
from saver.logger import logger
from saver.pages.page import Address, Answered, File, Page, Redirect, Stream, Visit, without_place
from saver.pages.rendering import render
from saver.pages.security import SECURITY
from saver.pages.site import Site
from saver.pages.streaming import send_stream
from saver.pages.troubles import trouble
from saver.serve.body import Body
from saver.serve.door import Answer, Ask, Json, cookie_token
from saver.serve.refusals import Refusal
from saver.serve.sending import send_answer
from saver.serve.tokens import Right

FORM = "application/x-www-form-urlencoded"
FIELDS = 200


class PageDoor:
    """An ASGI application for one address."""

    def __init__(self, site: Site, address: Address, others: tuple[Address, ...]) -> None:
        self._site, self._address = site, address
        self._menu = sorted((each for each in others if each.menu), key=lambda each: each.path)
        self._paths = [each.path for each in others]
        reads = ("GET", "HEAD") if not address.action or address.form is not None else ()
        self._methods = (*(("POST",) if address.action else ()), *reads)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        house = self._site.house
        house.requests += 1
        try:
            with Body(house.bodies) as body:
                ask = Ask(scope, receive, house, body)
                found = await self._answer(ask)
        except ConnectionError:
            return  # the client has gone
        except asyncio.CancelledError:
            if not house.ending:
                raise
            found = Answer(b"", "text/plain", dict(SECURITY), 503)  # the server waits for it no longer
        finally:
            house.requests -= 1
        if isinstance(found, Stream):
            try:
                await send_stream(found, receive, send)
            finally:
                if found.seat is not None:
                    found.seat.leave()
        else:
            await send_answer(send, ask, found, house.ending)

    async def _answer(self, ask: Ask) -> Answer | Stream:
        try:
            found = await self._found(ask)
        except ConnectionError:
            raise
        except Exception as error:
            status, code, message = trouble(error)
            if status == 500:
                logger.exception("request %s failed; this is a defect of Saver", ask.id)
            strange = status in (401, 403) or not self._place(ask)  # such do not learn where the store is
            message = without_place(message, str(self._site.store.storage)) if strange else message
            document = Trouble(error=message, code=code, request_id=ask.id)
            values: dict[str, Any] = {"code": code, "status": status} | ({"store": ""} if strange else {})
            found = Page("trouble.html", message, document, values, status)
            found = self._sign_in(ask) if status == 401 and not _wants_json(ask) else found
            made = self._made(ask, found)
            if isinstance(error, Refusal) and error.retry is not None:
                made.headers["retry-after"] = error.headers()["retry-after"]
            return made
        return found if isinstance(found, Stream) else self._made(ask, found)

    async def _found(self, ask: Ask) -> Answered:
        if ask.scope["method"] not in self._methods:
            raise Refusal("bad-method", self._other_method())
        house = self._site.house
        house.check_host(ask.headers)
        house.check_room()
        client = (ask.scope.get("client") or ("",))[0]
        if self._address.right is not None:
            model = self._address.model(ask.params)
            ask.token = house.gate.admit(
                _shown_token(ask), self._address.right, model, client, some=self._address.some
            )
        elif self._address.action:
            ask.token = house.gate.quietly(_shown_token(ask))
        acts = ask.scope["method"] == "POST"
        form = await self._form(ask) if acts else {}
        author = ask.token.name if ask.token is not None else ""
        may = partial(self._may, ask)
        visit = Visit(
            self._site, ask.params, ask.query, may, form, author=author, client=client, place=self._place(ask)
        )
        if self._address.stream:
            return await self._seated(visit, ask.token.id if ask.token is not None else client)
        if self._address.form is not None and not acts:
            return await self._site.apart.run(partial(self._address.form, visit))
        return await self._site.apart.run(partial(self._acted, visit))

    def _other_method(self) -> str:
        answered = f"{', '.join(self._methods)} is answered here"
        return f"{answered}: a button of a page sends it; open the page" if self._address.action else answered

    async def _seated(self, visit: Visit, visitor: str) -> Answered:
        """A stream, for which there is room before anything is done for it."""
        seat, found = self._site.streams.seat(visitor), None
        try:
            found = await self._site.apart.run(partial(self._acted, visit))
        finally:
            if not isinstance(found, Stream):
                seat.leave()
        return replace(found, seat=seat) if isinstance(found, Stream) else found

    def _acted(self, visit: Visit) -> Answered:
        if self._address.action and not self._address.keeps:
            visit.demand_changes()
        return self._address.act(visit)

    async def _form(self, ask: Ask) -> Mapping[str, str]:
        """The fields of a form. A browser sends a cookie along with whatever a page of a stranger posts; so
        a form has the token of the page, unless the request shows its own token, as no browser does."""
        if ask.headers.get("content-type", FORM).partition(";")[0].strip().lower() != FORM:
            raise Refusal("bad-type", f"an action is sent as a form: {FORM}")
        text = (await ask.body()).decode("utf-8", "replace")
        try:
            form = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS))
        except ValueError:
            raise Refusal("bad-request", f"a form has at most {FIELDS} fields") from None
        by_header = ask.token is not None and "authorization" in ask.headers
        if not by_header and not self._site.is_page_token(_visitor(ask), form.pop("page_token", "")):
            raise Refusal("forbidden", "this form is not of this page any more; open the page again")
        return form

    def _place(self, ask: Ask) -> str:
        """Where the store is: for those who may read all of it, and have said who they are."""
        token, gate = ask.token, self._site.house.gate
        known = gate.is_open or (token is not None and token.may("read", None))
        return str(self._site.store.storage) if known else ""

    def _may(self, ask: Ask, right: Right, model: str | None = None) -> bool:
        return self._site.house.gate.allows(ask.token, right, model)

    def _made(self, ask: Ask, found: Page | Redirect | File) -> Answer:
        """The answer, with the headers that keep strangers out."""
        headers = dict(SECURITY)
        if isinstance(found, File):
            return Answer(found.body, found.type, headers | dict(found.headers))
        headers |= {"cache-control": "no-store", "vary": "accept, cookie"}
        if isinstance(found, Redirect) and found.cookie is not None:
            headers["set-cookie"] = found.cookie
        if _wants_json(ask):
            document = found.document if found.document is not None else Done(to=found_path(found))
            status = found.status if isinstance(found, Page) else 200
            return Answer(Json(document), "application/json", headers, status)
        if isinstance(found, Redirect):
            return Answer(b"", "text/plain", headers | {"location": found.path}, 303)
        body = render(found.template, {**self._common(ask, found), **found.values})
        return Answer(body, "text/html; charset=utf-8", headers, found.status)

    def _common(self, ask: Ask, found: Page) -> dict[str, Any]:
        """What every template has."""
        token, why = self._site.page_token(_visitor(ask)), self._site.why_fixed()
        path = ask.scope["path"]
        query = ask.scope.get("query_string", b"").decode("latin-1")
        json_at = f"{quote(path, safe='/@=:')}?{query + '&' if query else ''}format=json"
        return {
            "title": found.title, "menu": self._menu, "path": path, "json_at": json_at,
            "store": self._place(ask), "document": found.document,
            "may": partial(self._may, ask), "why_fixed": why,
            "may_change": lambda right, model=None: not why and self._may(ask, right, model),
            "signed_in": ask.token, "open": self._site.house.gate.is_open,
            "has": lambda start: any(each.startswith(start) for each in self._paths),
            "token_field": lambda: Markup('<input type="hidden" name="page_token" value="{}">').format(token),
        }  # fmt: skip

    def _sign_in(self, ask: Ask) -> Page:
        document = Trouble(error="a token is needed", code="unauthorized", request_id=ask.id)
        return Page("sign_in.html", "Sign in", document, {"back": back(ask), "wrong": ""}, 401)


def found_path(found: Page | Redirect) -> str:
    """Where an action leads."""
    return found.path if isinstance(found, Redirect) else ""


def back(ask: Ask) -> str:
    """The address of a request, on this server."""
    query = ask.scope.get("query_string", b"").decode("latin-1")
    return quote(ask.scope["path"], safe="/@=:") + (f"?{query}" if query else "")


def _wants_json(ask: Ask) -> bool:
    with suppress(Refusal):  # too many parameters: a page says so
        if asked := ask.query("format"):
            return asked[-1] == "json"
    accepted = ask.headers.get("accept", "").lower()
    return "application/json" in accepted and "text/html" not in accepted


def _shown_token(ask: Ask) -> str | None:
    """The header with the token of a request, or else that of its cookie."""
    header: str | None = ask.headers.get("authorization")
    return header if header is not None else cookie_token(ask.headers)


def _visitor(ask: Ask) -> str:
    return ask.token.id if ask.token is not None else ""
