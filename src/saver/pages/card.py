"""The card of a version, as Markdown."""

from __future__ import annotations

from saver import documents
from saver.card import Card, bases, card_of
from saver.opened import open_version
from saver.pages.page import Address, Answered, File, Page, Visit
from saver.pages.rendered import MOST, rendered
from saver.repo.version import Version


def card(visit: Visit) -> Answered:
    """The card, or with `?format=md` its file."""
    found = visit.store.version(visit.params["ref"])
    made = visit.store.card(found) if visit.place else _partly(visit, found)
    if visit.query("format") == "md":
        headers = {"content-disposition": 'attachment; filename="README.md"', "cache-control": "no-store"}
        content = made.markdown.encode("utf-8", "backslashreplace")
        return File(content, "text/markdown; charset=utf-8", headers)
    place = visit.place
    document = documents.Card(store=place, ref=str(found), markdown=made.markdown, output=None)
    more = len(made.markdown) > MOST
    values = {"version": found, "card": made, "shown": rendered(made.markdown), "more": more}
    return Page("card.html", f"Card of {found}", document, values)


def _partly(visit: Visit, found: Version) -> Card:
    """The card for one who does not know where the store is, nor of models that others read."""
    repo = visit.store._repo
    known = [each for each in bases(repo, found) if visit.may("read", each.model)]
    return card_of(open_version(repo, found), found, (), known)


ROUTES = (Address("/card/{ref:path}", card),)
