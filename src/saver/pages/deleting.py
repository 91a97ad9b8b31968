"""Deleting a version: a page that says what is lost, and the action."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from saver import documents
from saver.errors import SaverError, TaggedError
from saver.human import counted, size
from saver.pages.page import Address, Answered, Page, Redirect, Visit, model_at
from saver.repo.lineage import alone, child
from saver.repo.objects import pack_key
from saver.repo.version import Version
from saver.serve.refusals import Refusal

NAMED = 20
LONG = 2000
"""The most characters of tags that the form has."""
PATIENCE = 2.0
"""Seconds for which the page waits to say what is lost."""


def ask(visit: Visit) -> Answered:
    """What would be lost."""
    visit.demand_changes()
    found = _exact(visit)
    known = visit.site.relations.ready(PATIENCE)
    packs = alone(visit.store._repo, found) if known else []
    freed = sum(_size(visit, pack) for pack in packs)
    lost = tuple(_lost(visit, found, len(packs) if known else None, freed))
    document = documents.ToDelete(
        store=visit.place, packs=len(packs) if known else None, bytes=freed, lost=lost,
        deleted=documents.Deleted(dry_run=True, deleted=(documents.version(documents.Version, found),)),
    )  # fmt: skip
    return Page(
        "delete.html",
        f"Delete {found}?",
        document,
        {"version": found, "lost": lost, "tags": _all(found.tags)},
    )


def _exact(visit: Visit) -> Version:
    """The version, which is named by its number: a tag may move between the question and the answer."""
    ref = visit.params["ref"]
    if not ref.rpartition("@")[2].isdecimal():
        raise Refusal("bad-request", "name the version to delete by its number: iris@3")
    return visit.store.version(ref)


def _size(visit: Visit, pack: str) -> int:
    try:
        found = visit.store.storage.stat(pack_key(pack))
    except (SaverError, OSError):
        return 0  # what is not there is not freed
    return found.size if found is not None else 0


def _lost(visit: Visit, found: Version, packs: int | None, freed: int) -> list[str]:
    summary = visit.store.summary(found.model)
    lost = [f"{counted(len(found.parts), 'part')}: {', '.join(list(found.parts)[:NAMED])}"]
    if packs is None:
        lost.append("its bytes, as far as no other version needs them: which, is being read from the log")
    elif packs:
        what = f"{size(freed)} in {counted(packs, 'pack')}"
        lost.append(f"{what} that no other version needs, at the next collection")
    else:
        lost.append("no bytes: other versions need all of its tensors")
    if found.tags:
        more = f" and {counted(len(found.tags) - NAMED, 'other')}" if len(found.tags) > NAMED else ""
        lost.append(f"the tags {', '.join(found.tags[:NAMED])}{more}, which then name nothing")
    if summary.versions == 1:
        lost.append(f"the model {found.model}, of which it is the only version")
    elif summary.newest.number == found.number:
        lost.append(f"its place as the newest version of {found.model}, which loading without a number gives")
    if (next_one := child(visit.store._repo, found)) is not None:
        lost.append(f"the parent of {next_one}, which stays whole")
    if found.notes:
        lost.append("its notes, but for those that the log keeps")
    return lost


def _all(tags: Sequence[str]) -> str:
    """Tags, as the form names them: by a hash if they are too many for a form."""
    text = ",".join(tags)
    return text if len(text) <= LONG else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def delete(visit: Visit) -> Answered:
    """Delete it, if the form says that this was read."""
    found = _exact(visit)
    if visit.form.get("sure") != str(found):
        raise Refusal("bad-request", f"nothing was deleted: confirm that {found} is to go, by its name")
    with_tags = visit.form.get("tags") == _all(found.tags)
    try:
        gone = visit.author_store.delete(found, tags=with_tags and bool(found.tags))
    except TaggedError as error:
        raise TaggedError(f"{error}; open the page again: its tags have changed") from None
    deleted = tuple(documents.version(documents.Version, each) for each in gone)
    path = model_at(found.model) if found.model in visit.store.models() else "/"
    return Redirect(path, documents.Deleted(dry_run=False, deleted=deleted))


ROUTES = (
    Address("/delete/{ref:path}", ask, "admin"),
    Address("/delete-now/{ref:path}", delete, "admin", action=True),
)
