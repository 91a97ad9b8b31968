"""What visitors may say of versions and models: tags, labels, notes."""

from __future__ import annotations

from saver import documents
from saver.details import notes_of
from saver.pages.page import Address, Answered, Redirect, Visit, model_at, version_at
from saver.serve.refusals import Refusal


def tag(visit: Visit) -> Answered:
    """Let a tag name a version."""
    ref, name = visit.params["ref"], visit.form.get("tag", "").strip()
    found = visit.store.version(ref)
    before = visit.store.summary(found.model).tags.get(name)
    visit.author_store.tag(found, name)
    document = documents.TagMoved(model=found.model, tag=name, number=found.number, before=before)
    return Redirect(f"{version_at(found)}#tags", document)


def untag(visit: Visit) -> Answered:
    """Remove a tag."""
    model, name = visit.params["name"], visit.form.get("tag", "")
    before = visit.store.summary(model).tags.get(name)
    visit.author_store.untag(model, name)
    document = documents.TagMoved(model=model, tag=name, number=None, before=before)
    back = version_at(f"{model}@{before}") if before is not None else model_at(model)
    return Redirect(f"{back}#tags", document)


def note(visit: Visit) -> Answered:
    """Replace the notes of a version or of a model."""
    ref = visit.params["ref"]
    try:
        notes = notes_of(visit.form.get("notes", "").replace("\r\n", "\n"))
    except ValueError as error:
        raise Refusal("bad-request", str(error)) from None
    visit.author_store.note(ref, notes)
    return _annotated(visit, ref)


def label(visit: Visit) -> Answered:
    """Set a label, or remove it if `remove` is in the form."""
    ref, key = visit.params["ref"], visit.form.get("key", "").strip()
    value = None if "remove" in visit.form else visit.form.get("value", "")
    if not key:
        raise Refusal("bad-request", "key: a label has a name, such as team or licence")
    visit.author_store.label(ref, {key: value})
    return _annotated(visit, ref)


def _annotated(visit: Visit, ref: str) -> Answered:
    if "@" in ref:
        found = visit.store.version(ref)
        document = documents.document(documents.Annotated, found)
        return Redirect(f"{version_at(found)}#notes", document)
    document = documents.document(documents.Annotated, visit.store.summary(ref), number=None)
    return Redirect(f"{model_at(ref)}#notes", document)


ROUTES = (
    Address("/tag/{ref:path}", tag, "write", action=True),
    Address("/untag/{name:path}", untag, "write", action=True),
    Address("/note/{ref:path}", note, "write", action=True),
    Address("/label/{ref:path}", label, "write", action=True),
)
