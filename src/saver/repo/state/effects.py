"""What a record changes of what the log says, by key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saver.errors import IncompatibleError
from saver.repo.events import Commit, Condemn, Delete, Harm, Holders, Label, Note, Relocate, Sign, Tag, Void
from saver.repo.log import Record
from saver.repo.manifest import manifest_key
from saver.repo.objects import is_own, pack_key, tree_key
from saver.repo.refs import BadNameError, check_model, check_tag
from saver.repo.state.facts import (
    HOLDERS,
    Facts,
    ModelState,
    VersionState,
    freed_key,
    gone_key,
    harmed_key,
    model_key,
    moved_key,
    step_key,
    tag_key,
    version_key,
    void_key,
)
from saver.repo.state.values import annotated, signed_version, version_state, with_version, without_versions


def changes_of(record: Record, facts: Facts, where: str) -> dict[str, Any]:
    """What a record changes, by key; None removes."""
    event = record.event
    match event:
        case Commit():
            _check_names(event.model, event.tags, where)
            return _committed(record, event, facts, where)
        case Tag():
            return _tagged(event, facts, where)
        case Label() | Note():
            return _annotated(event, facts, where)
        case Delete():
            return _deleted(record.number, event, facts, where)
        case Condemn():
            return _condemned(record.number, event.objects) | dict.fromkeys(map(freed_key, event.kept))
        case Relocate():
            changes = _condemned(record.number, event.objects)
            for pack in event.moves:
                changes[moved_key(pack)] = [*facts.moved(pack), record.number]
            return changes
        case Harm():
            return {harmed_key(pack): [*facts.harmed(pack), *places] for pack, places in event.places.items()}
        case Void(commit):
            return {void_key(commit): record.number}
        case Sign():
            return _signed(event, facts, where)
        case Holders():
            return _held(event, where)
    return {}  # of roles, which each view has by itself


def _tagged(event: Tag, facts: Facts, where: str) -> dict[str, Any]:
    _check_names(event.model, (event.tag,), where)
    if event.number is not None and facts.version(event.model, event.number) is None:
        raise IncompatibleError(
            f"{where} tags {event.model}@{event.number}, which does not exist", rule="5.08"
        )
    return {tag_key(event.model, event.tag): event.number}


def _held(event: Holders, where: str) -> dict[str, Any]:
    if not is_own(f"keys/{event.bundle}.age"):
        raise IncompatibleError(f"{where}: {event.bundle[:80]!r} is not the name of a bundle", rule="5.10")
    return {HOLDERS: event.bundle}


def _condemned(number: int, objects: Iterable[str]) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for key in objects:
        changes[gone_key(key)] = number
        changes[freed_key(key)] = None
    return changes


def _check_names(model: str, tags: Iterable[str], where: str) -> None:
    try:
        check_model(model)
        for tag in tags:
            check_tag(tag)
    except BadNameError as error:
        raise IncompatibleError(f"{where}: {error}", rule="5.10") from None


def _annotated(event: Label | Note, facts: Facts, where: str) -> dict[str, Any]:
    """The changes by labels or notes of a version or a model, which must be there."""
    _check_names(event.model, (), where)
    model = facts.model(event.model)
    if event.number is None:
        if model is None or not model.count:
            raise IncompatibleError(
                f"{where} is about the model {event.model!r}, which is not there", rule="5.08"
            )
        return {model_key(event.model): annotated(model, event, where)}
    version = _there(event.model, event.number, facts, where)
    return {version_key(event.model, event.number): annotated(version, event, where)}


def _signed(event: Sign, facts: Facts, where: str) -> dict[str, Any]:
    """The changes by signatures of a version, which must be there."""
    _check_names(event.model, (), where)
    version = _there(event.model, event.number, facts, where)
    return {version_key(event.model, event.number): signed_version(version, event, where)}


def _there(model: str, number: int, facts: Facts, where: str) -> VersionState:
    version = facts.version(model, number)
    if version is None:
        raise IncompatibleError(f"{where} is about {model}@{number}, which is not there", rule="5.08")
    return version


def _committed(record: Record, event: Commit, facts: Facts, where: str) -> dict[str, Any]:
    changes: dict[str, Any] = {
        version_key(event.model, event.number): version_state(record, event, where),
        model_key(event.model): with_version(facts.model(event.model) or ModelState(), event, where),
    }
    if event.step is not None:
        changes[step_key(event.model, event.step, event.number)] = event.number
    for tag in event.tags:
        changes[tag_key(event.model, tag)] = event.number
    return changes


def _deleted(record: int, event: Delete, facts: Facts, where: str) -> dict[str, Any]:
    """The changes of a deletion: removes the versions, and the tags and steps that point to them; what only
    they needed becomes free. Another record may have deleted some of them before."""
    _check_names(event.model, (), where)
    model = facts.model(event.model)
    if model is None or not all(0 < number <= model.last for number in event.numbers):
        raise IncompatibleError(f"{where} deletes versions of {event.model!r} that never were", rule="5.08")
    changes: dict[str, Any] = {}
    gone: dict[int, VersionState] = {}
    for number in sorted(set(event.numbers)):
        value = facts.version(event.model, number)
        if value is not None:
            gone[number] = value
            changes[version_key(event.model, number)] = None
            if value.step is not None:
                changes[step_key(event.model, value.step, number)] = None
            packs, trees = map(pack_key, value.packs), map(tree_key, value.trees)
            for key in (manifest_key(value.manifest, value.file), *packs, *trees):
                changes[freed_key(key)] = record
    for tag, number in facts.tags(event.model).items():
        if number in gone:
            changes[tag_key(event.model, tag)] = None
    if gone:
        latest = model.latest
        if latest in gone:  # only then is another one the newest
            left = (number for number, _ in facts.versions(event.model, reverse=True))
            latest = next((number for number in left if number not in gone), None)
        changes[model_key(event.model)] = without_versions(model, gone.values(), latest)
    return changes
