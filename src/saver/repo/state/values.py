"""What a record makes of a version or a model: pure functions, for the state and for those who check it.

Each raises IncompatibleError for what no Saver writes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from msgspec.structs import replace

from saver.errors import IncompatibleError
from saver.repo.events import Commit, Label, Note, Sign
from saver.repo.labels import check_notes, labelled
from saver.repo.log import Record
from saver.repo.refs import NUMBER_LIMIT, STEP_LIMIT, BadNameError
from saver.repo.state.facts import ModelState, VersionState
from saver.signing.signatures import LIMIT, check_signatures
from saver.tree import EXACT_INTEGER

A = TypeVar("A", ModelState, VersionState)


def version_state(record: Record, event: Commit, where: str = "") -> VersionState:
    """A version that was saved."""
    try:
        check_notes(event.notes)
        labels = labelled({}, event.labels)
        check_signatures(event.signatures)
    except ValueError as error:  # as BadNameError is
        raise IncompatibleError(f"{where}: {error}", rule="5.10") from None
    sizes = [number for part in event.parts.values() for number in (part.number, part.bytes)]
    sizes += [event.parent or 0, event.bytes]
    if min(sizes) < 0 or max(sizes) > EXACT_INTEGER:
        raise IncompatibleError(f"{where} has sizes or numbers that no version has", rule="5.10")
    if event.step is not None and not 0 <= event.step < STEP_LIMIT:
        raise IncompatibleError(f"{where} has the step {event.step}, which none can be", rule="5.10")
    return VersionState(
        event.manifest, event.parts, record.time, event.author or record.author, event.packs, event.parent,
        event.step, event.metrics, event.notes, event.bytes, event.bytes_added, event.trees, event.file,
        labels, signatures=event.signatures,
    )  # fmt: skip


def with_version(model: ModelState, event: Commit, where: str) -> ModelState:
    """A model after a version was saved."""
    if not model.last < event.number < NUMBER_LIMIT:
        raise IncompatibleError(
            f"{where} has version {event.number} of {event.model!r} after {model.last}", rule="5.09"
        )
    if not 0 <= event.bytes_added <= EXACT_INTEGER:
        raise IncompatibleError(f"{where} says that the store grew by {event.bytes_added} bytes", rule="5.10")
    parts = {name: (part.number, part.hash) for name, part in event.parts.items()}
    return replace(
        model, last=event.number, count=model.count + 1, latest=event.number, parts={**model.parts, **parts},
        bytes_added=min(model.bytes_added + event.bytes_added, EXACT_INTEGER),
    )  # fmt: skip


def without_versions(model: ModelState, gone: Iterable[VersionState], latest: int | None) -> ModelState:
    """A model after versions were deleted; `latest` is the newest of those that are left."""
    lost = [version.bytes_added for version in gone]
    left = max(model.bytes_added - sum(lost), 0)  # the sum ends at what JSON can say
    return replace(model, count=model.count - len(lost), latest=latest, bytes_added=left)


def annotated(state: A, event: Label | Note, where: str) -> A:
    """A version or a model after it was labelled or noted."""
    changes: dict[str, Any]
    try:
        if isinstance(event, Label):
            changes = {"labels": labelled(state.labels, event.labels)}
        else:
            check_notes(event.notes)
            changes = {"notes" if isinstance(state, ModelState) else "edited": event.notes}
    except BadNameError as error:
        raise IncompatibleError(f"{where}: {error}", rule="5.10") from None
    return replace(state, **changes)


def signed_version(state: VersionState, event: Sign, where: str) -> VersionState:
    """A version after it was signed: the newest signature of each key, and no more than fit. What somebody
    else adds may so displace older signatures, and never keeps one from signing again."""
    new = {each.key for each in event.signatures}
    signatures = (*(each for each in state.signatures if each.key not in new), *event.signatures)
    try:
        check_signatures(event.signatures)
    except ValueError as error:
        raise IncompatibleError(f"{where}: {error}", rule="5.10") from None
    return replace(state, signatures=signatures[-LIMIT:])
