"""Visits pages as a browser does, and looks at what came: elements, forms, texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import msgspec
from starlette.testclient import TestClient

from saver import documents
from saver.pages.app import application
from saver.pages.security import SECURITY
from saver.pages.site import Site

EMPTY = {"meta", "link", "input", "img", "br", "polyline", "option"}
"""Elements that need no end."""


class Found(HTMLParser):
    """The elements of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._open = "", list[str]()
        self.feed(text)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def links(self) -> set[str]:
        """The addresses that it leads to."""
        return {each["href"] or "" for tag, each in self.elements if tag == "a" and "href" in each}


class Visitor:
    """A browser without scripts, on the same machine."""

    def __init__(self, site: Site, host: str = "localhost") -> None:
        self.site, self.store = site, site.store
        self.client = TestClient(application(site), base_url=f"http://{host}", follow_redirects=False)

    def get(self, path: str, status: int = 200, **headers: str) -> Found:
        """A page, which keeps to the rules of all pages."""
        answer = self.client.get(path, headers=headers)
        assert answer.status_code == status, answer.text[:2000]
        for name, value in SECURITY.items():
            assert answer.headers[name] == value
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        found = Found(answer.text)
        check(found)
        return found

    def json(self, path: str, status: int = 200, **headers: str) -> Any:
        """The same page as a document of its type."""
        answer = self.client.get(path, headers={"accept": "application/json", **headers})
        assert answer.status_code == status, answer.text[:2000]
        return msgspec.json.decode(answer.content, type=documents.Document)

    def token(self, path: str = "/") -> str:
        """The token that the forms of a page have."""
        found = re.search(r'name="page_token" value="([0-9a-f]{64})"', self.client.get(path).text)
        return found[1] if found is not None else ""

    def post(self, path: str, form: dict[str, str], page: str = "/model/team/net", **headers: str) -> Any:
        """What a form sends, with the token of a page; no redirect is followed."""
        return self.client.post(path, data={"page_token": self.token(page), **form}, headers=headers)


def check(found: Found) -> None:
    """No page has scripts or styles in its text, or anything from elsewhere; each has one main heading."""
    tags = [tag for tag, _ in found.elements]
    assert tags.count("main") == tags.count("h1") == 1
    assert "style" not in tags
    for tag, given in found.elements:
        assert not any(name.startswith("on") or name == "style" for name in given), (tag, given)
        if tag == "script":
            assert (given["src"] or "").startswith("/static/")
        for name in ("href", "src", "action"):
            own = (given.get(name) or "/").startswith(("/", "#", "?"))
            assert own or (tag, given[name]) == ("a", "https://pypi.org/project/saver-ml/"), (tag, given)
    ids = [given["id"] for _, given in found.elements if "id" in given]
    assert len(ids) == len(set(ids)), "each id once"
    named = {given.get("for") for tag, given in found.elements if tag == "label"}
    fields = [given for tag, given in found.elements if tag in ("input", "select", "textarea")]
    for given in fields:
        hidden = given.get("type") == "hidden"
        labelled = given.get("id") in named or given.get("aria-label")
        assert hidden or labelled, f"a field without a label: {given}"
