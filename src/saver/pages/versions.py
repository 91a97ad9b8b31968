"""The page of a model: its versions as a table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from saver import documents
from saver.pages.filters import Filters, filters
from saver.pages.page import Address, Answered, Page, Visit, model_at
from saver.pages.paging import Paging, paging, with_query
from saver.pages.shortening import MODEL_TAGS, found_version, shortened
from saver.repo.history import Summary
from saver.repo.version import Version

METRICS = 8
"""Metrics that have a column; the others are on the page of a version."""


def versions(visit: Visit) -> Answered:
    """The versions of a model that fit the filters, in pages."""
    model, chosen = visit.params["name"], filters(visit)
    summary = visit.store.summary(model)
    rows, at = _page(visit, summary, chosen)
    names = list(dict.fromkeys(name for each in (summary.newest, *rows) for name in each.metrics))
    some, left_out = shortened(summary, {"tags": MODEL_TAGS})
    document = documents.document(
        documents.FoundVersions, some, store=visit.place, count=summary.versions,
        total=at.total, page=at.page, pages=at.pages, left_out=left_out,
        versions=tuple(map(found_version, rows)),
    )  # fmt: skip
    given = [*chosen.given.items(), ("sort", chosen.sort), ("order", "up" if chosen.up else "")]
    values = {
        "model": summary, "rows": rows, "at": at, "chosen": chosen, "metrics": names[:METRICS],
        "names": names, "left_out": max(0, len(names) - METRICS),
        "to": lambda **changes: with_query(model_at(model), given, **changes),
    }  # fmt: skip
    title = f"Versions of {model}" + (", some of them" if any(chosen.given.values()) else "")
    title += f", by {chosen.sort}" if chosen.sort != "number" else ""
    return Page("model.html", at.titled(title), document, values)


def _page(visit: Visit, summary: Summary, chosen: Filters) -> tuple[Sequence[Version], Paging]:
    repo = visit.store._repo
    if chosen.plain:
        at = paging(visit, summary.versions)
        return list(islice(repo.versions(summary.model, reverse=True), at.first, at.first + at.most)), at
    found = chosen.among(list(repo.versions(summary.model)))
    at = paging(visit, len(found))
    return found[at.first : at.first + at.most], at


ROUTES = (Address("/model/{name:path}", versions),)
