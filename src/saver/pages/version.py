"""The page of a version: everything that is known of it."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from msgspec.structs import replace

from saver import documents
from saver.card import loading_lines
from saver.card.licence import licence_of
from saver.card.sections import data, environment
from saver.description import Description
from saver.documents import contents
from saver.errors import DamagedError, SaverError
from saver.pages.history import look
from saver.pages.page import Address, Answered, Page, Visit, version_at
from saver.pages.paging import paging, with_query
from saver.pages.shortening import found_entry
from saver.pages.tree import tree
from saver.pages.trying import form_of
from saver.repo.entry import said, signer
from saver.repo.lineage import child, sharing
from saver.repo.version import Version
from saver.repo.vouching import HOLDS, verdicts
from saver.signing.keys import brief

PARTS, TENSORS, ALL_TENSORS = 40, 300, 5000
"""Parts of a page; tensors of a part there, and where it is alone."""

NAMED = 50
ENTRIES, PATIENCE = 30, 0.05


def version(visit: Visit) -> Answered:
    """A version, with what can be read of it: of a damaged one, the log still knows who saved it."""
    found = visit.store.version(visit.params["ref"])
    described, trouble = None, ""
    try:
        described = visit.site.described.of(visit.store, found)
    except SaverError as error:
        trouble = visit.shown(f"damaged: {error}" if isinstance(error, DamagedError) else str(error))
    entries, older = look(visit, str(found), ENTRIES, PATIENCE)
    document = _document(visit, found, described, trouble, entries, older)
    values = {
        "version": found, "described": described, "trouble": trouble, "entries": entries, "older": older,
        "said": said, "signer": signer, "brief": brief, "lineage": document.lineage,
        "verdicts": document.verdicts, "roles": document.roles, "loading": document.loading,
        "predictions": None, "git": None, "licence": licence_of(found.labels),
        **(_parts(visit, found, described) if described is not None else {}),
    }  # fmt: skip
    title = f"{found}, part {alone}" if (alone := visit.query("part")) else str(found)
    return Page("version.html", values["at"].titled(title) if "at" in values else title, document, values)


def _document(
    visit: Visit, found: Version, described: Description | None, trouble: str, entries: Any, older: int | None
) -> documents.ShownVersion:
    place = visit.place
    signed = verdicts(visit.store._repo, found, found.signatures) if described is not None else {}
    opening = (f"store = saver.Saver({json.dumps(place)})",) if place else ()
    return documents.ShownVersion(
        store=place, version=documents.version(documents.Version, found), trouble=trouble,
        description=_described(visit, found, described) if described is not None else None,
        lineage=_lineage(visit, found), roles=visit.store.roles(),
        verdicts=tuple(
            documents.Verdict(key=key, holds=why == HOLDS, why="" if why == HOLDS else why)
            for key, why in signed.items()
        ),
        history=documents.FoundEntries(
            store=place, ref=str(found), entries=tuple(map(found_entry, entries)), older=older
        ),
        loading="\n".join(loading_lines(found, described, opening)) if described is not None else "",
    )  # fmt: skip


def _described(visit: Visit, found: Version, described: Description) -> documents.Description:
    document = contents.described(described, found)
    return replace(document, path=visit.shown(document.path))


def _lineage(visit: Visit, found: Version) -> documents.Lineage:
    """Relations by name; those to models that the visitor may not see are left out."""
    repo, others = visit.store._repo, list[Version]()
    known = visit.site.relations.ready(PATIENCE)
    if known:
        with repo.users.lock:
            some = islice(sharing(repo, found), 10 * NAMED)
            others = [each for each in some if visit.may("read", each.model)]
    before = [str(each) for each in others if each.time <= found.time]
    after = [str(each) for each in others if each.time > found.time]
    next_one = child(repo, found)
    return documents.Lineage(
        parent=None if found.parent is None else f"{found.model}@{found.parent}",
        children=() if next_one is None else (next_one,),
        from_others=tuple(sorted(before)[:NAMED]), in_others=tuple(sorted(after)[:NAMED]),
        pending=not known, more=max(0, len(before) - NAMED) + max(0, len(after) - NAMED),
    )  # fmt: skip


def _parts(visit: Visit, found: Version, described: Description) -> dict[str, Any]:
    """What the template needs of the parts: those of a page, or the one that the address names."""
    alone = visit.query("part")
    chosen = [part for part in described.parts if not alone or part.name == alone]
    at = paging(visit, len(chosen), PARTS)
    shown_parts = chosen[at.first : at.first + at.most]
    most = ALL_TENSORS if alone else max(20, TENSORS // max(1, len(shown_parts) // 4))
    path, git = version_at(found), described.environment.get("git")
    return {
        "parts": [(part, tree(part.name, part.tensors, most)) for part in shown_parts], "at": at,
        "alone": alone, "most": most, "environment": environment(described.environment),
        "data": data(described.data),
        "git": git if isinstance(git, dict) else None,
        "to": lambda **changes: with_query(path, [("part", alone)], **changes),
        "predictions": described.predictions,
        "trying": form_of(described.predictions.schema) if described.predictions is not None else None,
        "served": [name for name, model in visit.site.predicting.items() if model == found.model],
    }  # fmt: skip


ROUTES = (Address("/version/{ref:path}", version),)
