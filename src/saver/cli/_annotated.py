"""What `saver label` and `saver note` have in common: the version or the model that they are about."""

from __future__ import annotations

from saver import Saver, Version, documents
from saver.cli._screen import print_json
from saver.repo.history import Summary


def about(store: Saver, ref: str) -> tuple[str, int | None, Version | Summary]:
    """The model and the number of what a ref names here, and what is known of it: a name without an @ is the
    model itself, which has no number."""
    if "@" not in ref:
        return ref, None, store.summary(ref)
    version = store.version(ref)
    return version.model, version.number, version


def name(ref: str, found: Version | Summary) -> str:
    """What a message calls it."""
    return str(found) if isinstance(found, Version) else f"the model {ref}"


def print_annotated(store: Saver, ref: str) -> None:
    """The document: labels and notes as they are now."""
    model, number, found = about(store, ref)
    print_json(documents.Annotated(model=model, number=number, labels=found.labels, notes=found.notes))
