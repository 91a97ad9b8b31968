"""Who did what, and when: the log of the store, of a model, or of a version."""

from __future__ import annotations

import time

from saver import documents
from saver.pages.page import PER_PAGE, Address, Answered, Page, Visit
from saver.pages.paging import with_query
from saver.pages.shortening import found_entry
from saver.repo import audit
from saver.repo.entry import KINDS, Entry, Kind, said, signer
from saver.repo.naming import kinds_of
from saver.serve.refusals import Refusal, shown

PATIENCE = 0.1
"""Seconds for which the log is read back for one page: of a model, there may be little in a long log."""


def look(
    visit: Visit, ref: str | None, most: int, seconds: float, kinds: frozenset[Kind] = frozenset(),
    head: int | None = None,
) -> tuple[list[Entry], int | None]:  # fmt: skip
    """The newest entries, and the record from which others go on; None if there are no others."""
    repo = visit.store._repo
    repo.open()
    about = audit.wanted(repo, ref) if ref is not None else None
    head = repo.state.head if head is None else min(head, repo.state.head)
    found: list[Entry] = []
    end, last = time.monotonic() + seconds, None
    records = visit.site.trail.records(about, kinds, head)
    for number, entry in audit.looked_at(repo, records, about, kinds):
        if len(found) == most:
            return found, number if entry is not None else number - 1 or None
        if entry is not None:
            found.append(entry)
        last = number
        if time.monotonic() > end:
            break
    else:
        last = None
    return found, last - 1 if last is not None and last > 1 else None


def history(visit: Visit) -> Answered:
    """A page of the log."""
    ref, kind = visit.params.get("ref"), visit.query("kind")
    if kind and kind not in KINDS:
        raise Refusal("bad-request", f"kind: {shown(kind)} is not one of {', '.join(KINDS)}")
    head = visit.number("from", 0, 0, 10**12) or None
    entries, older = look(visit, ref, PER_PAGE, PATIENCE, kinds_of((kind,) if kind else ()), head)
    looking = older is not None and len(entries) < PER_PAGE and visit.site.trail.go_on()
    place = visit.place
    document = documents.FoundEntries(
        store=place, ref=ref, entries=tuple(map(found_entry, entries)), older=older
    )
    path, given = f"/log/{ref}" if ref else "/log", [("kind", kind)]
    values = {
        "entries": entries, "said": said, "signer": signer, "kinds": KINDS, "kind": kind, "ref": ref,
        "older": with_query(path, given, **{"from": older}) if older else "", "at_path": path, "first": head,
        "looking": older if looking else None, "here": with_query(path, given, **{"from": head or ""}),
    }  # fmt: skip
    title = f"History of {ref or place or 'the store'}" + (f": {kind}" if kind else "")
    return Page("history.html", title + (f", from record {head}" if head else ""), document, values)


ROUTES = (Address("/log", history, menu="History"), Address("/log/{ref:path}", history))
