"""What a page is: an address, the function that answers there, what it is asked and what it returns."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import msgspec

from saver import Saver
from saver.documents import Piece
from saver.errors import printable
from saver.repo.refs import parse_ref
from saver.serve.refusals import Refusal
from saver.serve.tokens import Right

if TYPE_CHECKING:  # which holds what pages keep, and these are made of this module
    from saver.pages.site import Site

PER_PAGE = 50
MOST_PER_PAGE = 500


class Page(msgspec.Struct, frozen=True):
    """A page: a template with its values, and the same as a document."""

    template: str
    title: str
    document: Piece
    values: Mapping[str, Any] = {}
    status: int = 200


class Redirect(msgspec.Struct, frozen=True):
    """The answer to an action: the page to go to, and the document for programs."""

    path: str
    document: Piece | None = None
    cookie: str | None = None


class Seat(ABC):
    """Room for one stream. `ending` is set when the server ends."""

    ending: asyncio.Event

    @abstractmethod
    def leave(self) -> None:
        """Give it to others. A second time changes nothing."""


class Stream(msgspec.Struct, frozen=True):
    """An answer without an end, such as server-sent events."""

    events: AsyncIterator[bytes]
    type: str = "text/event-stream"
    seat: Seat | None = None


class File(msgspec.Struct, frozen=True):
    """An answer of bytes."""

    body: bytes
    type: str
    headers: Mapping[str, str] = {}


Answered: TypeAlias = Page | Redirect | Stream | File


class Visit:
    """One request to a page."""

    def __init__(
        self, site: Site, params: Mapping[str, str], query: Callable[[str], list[str]],
        may: Callable[[Right, str | None], bool], form: Mapping[str, str], *, author: str = "",
        client: str = "", place: str = "",
    ) -> None:  # fmt: skip
        self.site, self.store, self.params, self._query = site, site.store, params, query
        self.may, self.form, self.client, self._author = may, form, client, author
        self.place = place
        """Where the store is; "" if that is not for this visitor."""

    @property
    def author_store(self) -> Saver:
        """The store for changes: its log then names who signed in."""
        return self.site.store_of(self._author)

    def shown(self, text: str) -> str:
        """A message of the store, for this visitor."""
        return text if self.place else without_place(text, str(self.store.storage))

    def demand_changes(self) -> None:
        """Raises Refusal where pages change nothing in the store."""
        self.site.demand_changes()

    def query(self, name: str, default: str = "") -> str:
        """The last value of a parameter of the address."""
        return (self._query(name) or [default])[-1]

    def queries(self, name: str) -> list[str]:
        """All values of a parameter of the address."""
        return self._query(name)

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A parameter that is a whole number, brought into its bounds. Raises Refusal for another text."""
        text = self.query(name, str(default))
        if not (text.isascii() and text.isdigit()) or len(text) > 12:
            raise Refusal("bad-request", f"{name}: write a whole number, not {text[:40]!r}")
        return min(max(int(text), least), most)

    def demand(self, right: Right, model: str) -> None:
        """Raises Refusal where the visitor has no such right to a model."""
        if not self.may(right, model):
            raise Refusal("forbidden", f"the token does not give the right {right}:{model}")


Act: TypeAlias = Callable[[Visit], Answered]


class Address(msgspec.Struct, frozen=True):
    """A path, as Starlette writes it, and what answers there.

    If the path has `{name:path}` or `{ref:path}`, the right is one to that model; else it is one to the whole
    server, or with `some` to any model, and None is for everybody. `menu` is its title in the menu of every
    page. An `action` changes something: it is asked with POST, and needs the token of the page; GET there
    leads to `form`, if that is given. What `keeps` leaves the store as it is, so it is allowed where pages
    change nothing. A `stream` is answered with a Stream, of which there are only so many at the same time.
    """

    path: str
    act: Act
    right: Right | None = "read"
    some: bool = False
    menu: str = ""
    action: bool = False
    keeps: bool = False
    form: Act | None = None
    stream: bool = False

    def model(self, params: Mapping[str, str]) -> str | None:
        """The model that a request is about. Raises BadNameError."""
        if "ref" in params:
            return parse_ref(params["ref"]).model
        return params.get("name")


def model_at(name: str) -> str:
    """The address of a model."""
    return f"/model/{quote(name)}"


def version_at(ref: object) -> str:
    """The address of a version, given it or its ref."""
    return f"/version/{quote(str(ref), safe='/@=:')}"


def without_place(text: str, place: str) -> str:
    """A message that does not say where the store is."""
    for each in {place, printable(place)}:
        text = re.sub(rf"(?<![\w./-]){re.escape(each)}(?![\w.-])", "the store", text)
    return text


def local_path(text: str) -> str:
    """An address on this server; `/` for any other."""
    inside = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if inside and text.isascii() and text.isprintable() else "/"
