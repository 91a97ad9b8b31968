"""The health of the store: what it holds, who may, and what a check finds."""

from __future__ import annotations

from msgspec.structs import replace

from saver import documents
from saver.pages.page import Address, Answered, Page, Redirect, Visit
from saver.pages.works import WORKS
from saver.repo.format import is_sealed
from saver.serve.refusals import Refusal, shown
from saver.signing.keys import brief


def health(visit: Visit) -> Answered:
    """What is known at once, and the works that were done."""
    store, models = visit.store, visit.site.catalog.models()
    document = documents.Health(
        store=visit.place, sealed=bool(is_sealed(store.storage)), head=store._repo.state.head,
        models=len(models), versions=sum(each.versions for each in models),
        bytes_added=sum(each.bytes_added for each in models), roles=store.roles(),
        works=tuple(replace(each, error=visit.shown(each.error)) for each in visit.site.works.all()),
    )  # fmt: skip
    works = {each.kind: each for each in document.works}
    return Page("health.html", "Health", document, {"works": works, "brief": brief})


def begin(visit: Visit) -> Answered:
    """Begin a work; a check records the damage that it finds."""
    kind = visit.params["kind"]
    if kind not in WORKS:
        raise Refusal("not-found", f"{shown(kind)} is not one of {', '.join(WORKS)}")
    if kind == "check":  # which records what it found
        visit.demand_changes()
    visit.site.works.begin(kind, visit.author_store)
    return Redirect("/health")


ROUTES = (
    Address("/health", health, menu="Health"),
    Address("/health/{kind}", begin, "write", action=True, keeps=True),
)
