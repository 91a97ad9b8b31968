"""The first page: the models of the store."""

from __future__ import annotations

from saver import documents
from saver.pages.catalog import ORDERS, line
from saver.pages.page import Address, Answered, Page, Visit
from saver.pages.paging import paging, with_query
from saver.pages.shortening import found_model
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
        models=tuple(found_model(each, trend) for each, trend in rows),
    )  # fmt: skip
    given = [("text", text), ("sort", order if order != "name" else ""), ("metric", metric)]
    values = {
        "rows": rows, "at": at, "text": text, "order": order, "orders": ORDERS, "metric": metric,
        "line": line, "count": len(catalog.models()),
        "to": lambda **changes: with_query("/", given, **changes),
    }  # fmt: skip
    title = f"Models with {text}" if text else "Models"
    return Page("models.html", at.titled(title), document, values)


ROUTES = (Address("/", models, menu="Models"),)
