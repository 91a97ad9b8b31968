"""The first page: the models of the store."""

from __future__ import annotations

from saver import documents
from saver.pages.catalog import ORDERS, line
from saver.pages.page import Address, Answered, Page, Visit
from saver.pages.paging import paging, with_query
from saver.repo.history import Summary
from saver.serve.refusals import Refusal, shown


def models(visit: Visit) -> Answered:
    """The models whose name, tags, labels or notes have the words of `text`."""
    text, order, metric = visit.query("text")[:200], visit.query("sort", "name"), visit.query("metric")[:200]
    if order not in ORDERS:
        raise Refusal("bad-request", f"sort: {shown(order)} is not one of {', '.join(ORDERS)}")
    catalog = visit.site.catalog
    found = catalog.found(text, order)
    at = paging(visit, len(found))
    rows = [(each, catalog.trend(each, metric)) for each in found[at.first : at.first + at.most]]
    document = documents.FoundModels(
        store=visit.place, text=text, sort=order, total=at.total, page=at.page, pages=at.pages,
        models=tuple(_document(each, trend) for each, trend in rows),
    )  # fmt: skip
    given = [("text", text), ("sort", order if order != "name" else ""), ("metric", metric)]
    values = {
        "rows": rows, "at": at, "text": text, "order": order, "orders": ORDERS, "metric": metric,
        "line": line, "count": len(catalog.models()),
        "to": lambda **changes: with_query("/", given, **changes),
    }  # fmt: skip
    return Page("models.html", "Models", document, values)


def _document(found: Summary, trend: documents.Trend | None) -> documents.FoundModel:
    newest = documents.version(documents.Version, found.newest)
    return documents.document(documents.FoundModel, found, newest=newest, trend=trend)


ROUTES = (Address("/", models, menu="Models"),)
